"""Rate cards of many price structures, in tests/golden/cards/*.toml, each with worked examples in its comments.

A line "#: ARGUMENTS == SUM" of a card says that `farthing price ARGUMENTS --card THAT` gives SUM, which is written
as arithmetic, may be followed by the same as a figure ("== FIGURE"), or is the word "unknown". The columns must
give what the reference gave.
"""

import ast
import operator
import shlex
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from farthing import api
from farthing.charges.bill import bill_as_served, price_records
from farthing.charges.reference import Charge
from farthing.money import decimal_text
from farthing.rates.check import check_files
from farthing.rates.toml import load_card
from farthing.rates.write import write_card
from farthing.time import parse_instant
from farthing.usage.table import connect, stage
from tests.cli import run

CARDS = sorted((Path(__file__).parent / "golden" / "cards").glob("*.toml"))
CONNECTION = connect()
OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip


def exact(sum_of: str) -> Fraction:
    """The value of an arithmetic expression, each number digit for digit as it is written."""

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            return Fraction(OPERATORS[type(node.op)](value(node.left), value(node.right)))
        return Fraction(Decimal(ast.get_source_segment(sum_of, node) or ""))

    return value(ast.parse(sum_of, mode="eval").body)


def examples() -> list[Any]:
    found = []
    for card in CARDS:
        for line in card.read_text("utf-8").splitlines():
            if line.startswith("#: "):
                arguments, *sums = line.removeprefix("#: ").split(" == ")
                found.append(pytest.param(card, arguments, sums, id=f"{card.stem}: {arguments}"))
    return found


@pytest.mark.parametrize(("card", "arguments", "sums"), examples())
def test_worked_example(card: Path, arguments: str, sums: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    charges: list[Charge] = []
    price_request = api.price_request

    def remembered(*stated: Any, **more: Any) -> Charge:
        charges.append(price_request(*stated, **more))
        return charges[-1]

    monkeypatch.setattr(api, "price_request", remembered)
    answer = run("price", *shlex.split(arguments), "--card", card, "--json").json
    if sums == ["unknown"]:
        assert answer["total_usd"] is None and answer["unknown"]
    else:
        assert len({exact(one) for one in sums}) == 1, "the sum and its figure differ"
        assert answer["total_usd"] == decimal_text(exact(sums[0]))
        assert not answer["unknown"]

    (charge,) = charges
    offer = charge.offer
    assert offer is not None
    CONNECTION.execute("DROP TABLE IF EXISTS usage")
    columns = bill_as_served(stage([charge.usage], CONNECTION), {0: offer}).bill
    reference = price_records([charge.usage], lambda usage: offer)
    assert (columns.usd_by_meter, columns.reasons) == (reference.usd_by_meter, reference.reasons)
    assert columns.usd == reference.usd == charge.known_usd


def test_every_offer_has_an_example() -> None:
    offers = {offer.id for card in CARDS for offer in load_card(card).offers}
    priced = {param.values[1].split()[0] for param in examples()}
    by_pattern = {"fireworks/size-16b-plus", "fireworks/size-4b-16b"}
    assert offers - priced == by_pattern and len(offers) > 45


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_written_and_read_again_it_is_the_same(card: Path) -> None:
    offers = load_card(card).offers
    assert load_card(write_card(list(offers))).offers == offers


def test_nothing_in_them_is_left_unexpressed() -> None:
    assert check_files([str(card) for card in CARDS], None, [], parse_instant("2026-11-01")).clean
