"""The charge of an answer, remembered: equal to exact fractions at every size, and to one that remembers nothing."""

import re
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from farthing.charges.quick import Plan
from farthing.gateway.metering.values import Served
from farthing.gateway.spending.costs import Costs, Seller
from farthing.gateway.spending.selling import Priced, Sold, cost_lines, reason_text
from farthing.ledger.budgets import NANO, nano_up
from farthing.money import decimal_text
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.toml import Card
from farthing.units import METERS
from tests.charges.cards import SOURCE

NOW = 1_795_000_000_000_000
SIZES = st.integers(0, 2**70) | st.integers(0, 70).map(lambda n: 1 << n) | st.integers(0, 10**6)
METER_NAMES = sorted(name for name, meter in METERS.items() if meter.unit == "token" and name != "reasoning")


def offer(*amounts: tuple[str, str]) -> Offer:
    rates = tuple(Rate(meter=name, amount=Decimal(amount), per=METERS[name].per) for name, amount in amounts)
    return Offer(provider="p", model="m", prices=(Price(source=SOURCE, rates=rates),))


def costs(made: Offer) -> Costs:
    return Costs(Book([Card(offers=(made,), sources={SOURCE.id: SOURCE})]))


# --- what it comes to --------------------------------------------------------------------------


@settings(deadline=None, max_examples=1000)
@given(SIZES, SIZES.map(lambda n: n or 1))
@example(2**63 - 1, 1)
@example(9 * 10**9, 1)
@example(9 * 10**9 - 1, 1)
@example((9 * 10**9) * 2**30 - 1, 2**30)
@example(2**63 - 1, 2**63 - 1)
@example(1, 2**63 - 1)
def test_an_amount_is_exact_in_text_and_rounded_up(top: int, bottom: int) -> None:
    found = Priced(Plan(known=True, bottom=bottom), top)
    usd = Fraction(top, bottom)
    assert found.amounts() == (nano_up(usd), str(usd)) == (found.nano, found.text)
    assert (found.top, found.usd) == (top, usd)


def test_golden() -> None:
    # 3060 / 40,000,000 = 153 / 2,000,000 dollars = 76,500 nanodollars
    assert Priced(Plan(known=True, bottom=40_000_000), 3060).amounts() == (76_500, "153/2000000")
    assert Priced(Plan(known=True, bottom=3_000_000_000), 1).amounts() == (1, "1/3000000000")  # a third of one
    assert Priced(Plan(known=True)).amounts() == (0, "0")
    assert Priced(Plan(known=True, bottom=5), 10).amounts() == (2 * NANO, "2")


def test_what_is_unknown_has_no_amount() -> None:
    found = Priced(Plan(known=False, reason="no price"), estimated=True)
    assert (found.amounts(), found.usd, found.unknown, found.estimated) == ((None, None), None, "no price", True)
    assert (found.offer, found.price, found.note, found.terms) == (None, None, "", None)


def test_it_does_not_change() -> None:
    found = Priced(Plan(known=True), 1)
    for name in ("plan", "top", "terms", "estimated"):
        with pytest.raises(AttributeError):
            setattr(found, name, 1)


# --- header lines ------------------------------------------------------------------------------


def lines_said(priced: Priced, left: int | None) -> bytes:
    if priced.usd is None:
        told = f"x-farthing-cost-unknown: {reason_text(priced.unknown).decode()}\r\n"
    else:
        told = f"x-farthing-cost-usd: {decimal_text(priced.usd)}\r\n"
        told += "x-farthing-cost-estimated: true\r\n" if priced.estimated else ""
    if left is not None:
        whole, part = divmod(left, NANO)
        told += f"x-farthing-budget-remaining-usd: {whole}.{part:09}\r\n".replace(".000000000\r", "\r")
    return told.encode()


@settings(deadline=None, max_examples=500)
@given(st.booleans(), SIZES, SIZES.map(lambda n: n or 1), st.booleans(), st.none() | SIZES)
def test_lines(known: bool, top: int, bottom: int, estimated: bool, left: int | None) -> None:
    priced = Priced(Plan(known=known, bottom=bottom, reason="" if known else "why"), top, None, estimated)
    assert cost_lines(priced, left) == lines_said(priced, left)


def test_lines_golden() -> None:
    priced = Priced(Plan(known=True, bottom=40_000_000), 3060, None, True)
    assert cost_lines(priced, 99_999_123_456_789) == (
        b"x-farthing-cost-usd: 0.0000765\r\nx-farthing-cost-estimated: true\r\n"
        b"x-farthing-budget-remaining-usd: 99999.123456789\r\n"
    )
    assert cost_lines(Priced(Plan(known=True)), None) == b"x-farthing-cost-usd: 0\r\n"
    assert cost_lines(Priced(Plan(known=False)), 0) == (
        b"x-farthing-cost-unknown: unknown\r\nx-farthing-budget-remaining-usd: 0\r\n"
    )


@settings(deadline=None, max_examples=500)
@given(st.text())
@example("no price for 'm\r\nx-evil: 1'\0")
@example("é" * 300)
@example(" \t")
def test_a_reason_can_break_no_header(reason: str) -> None:
    assert re.fullmatch(rb"[!-~](?:[ -~]{0,198}[!-~])?", reason_text(reason))
    if reason.isascii() and reason.isprintable():
        assert reason_text(reason).decode() == (reason[:200].strip(" ") or "unknown")


# --- what is remembered ------------------------------------------------------------------------

THREE = offer(("input", "2.5"), ("output", "10"), ("cache_read", "0.3125"))


@st.composite
def answers(draw: st.DrawFn) -> Served:
    counts = draw(st.dictionaries(st.sampled_from(["input", "output", "cache_read"]), SIZES | st.booleans()))
    return Served(quantities=counts, model=draw(st.sampled_from(["m", ""])), estimated=draw(st.booleans()))


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.lists(answers(), min_size=1, max_size=20))
def test_answers_of_every_size(served: list[Served]) -> None:
    by = costs(THREE)
    seller = Seller(by, "p", "m", "", None)
    for one in served:
        found = seller.price(one, "", NOW, NOW)
        per = {"input": Fraction(5, 2), "output": Fraction(10), "cache_read": Fraction(5, 16)}
        usd = sum((per[name] * count / 10**6 for name, count in one.quantities.items()), Fraction(0))
        assert found.usd == usd and found.amounts() == (nano_up(usd), str(usd))
        assert found.estimated == one.estimated
    assert seller.remembered <= 2 * 15  # two names; the meters that are counted, in every order


@pytest.mark.parametrize("wrong", [1.5, "1", None, [1]])
def test_a_count_that_is_none_is_no_charge(wrong: Any) -> None:
    seller = Seller(costs(THREE), "p", "m", "", None)
    for _ in range(2):
        with pytest.raises((TypeError, AttributeError)):
            seller.price(Served(quantities={"input": wrong}), "", NOW, NOW)
        seller.price(Served(quantities={"input": 1}), "", NOW, NOW)
    assert seller.remembered == 1


def test_answers_that_are_not_as_they_usually_are() -> None:
    seller = Seller(costs(THREE), "p", "m", "", None)
    usd = Fraction(7 * 5, 2 * 10**6)
    for _ in range(2):
        assert seller.price(Served(quantities={"input": 7}), "", NOW, NOW).usd == usd
        assert seller.price(Served(quantities=MappingProxyType({"input": 7})), "", NOW, NOW).usd == usd

        class Word(str):
            __slots__ = ()

        assert seller.price(Served(quantities={Word("input"): 7}, model=Word("m")), Word(""), NOW, NOW).usd == usd
        assert seller.price(Served(quantities={"input": 7}, unknown="why"), "", NOW, NOW).usd is None
        with pytest.raises(AttributeError):
            seller.price(object(), "", NOW, NOW)  # type: ignore[arg-type]


def test_many_meters_and_large_rates_are_looked_up_each_time() -> None:
    many = offer(*((name, str(n + 1)) for n, name in enumerate(METER_NAMES)))
    assert len(METER_NAMES) > 12
    seller = Seller(costs(many), "p", "m", "", None)
    # 3 x (1 + 2 + … + n) millionths
    usd = Fraction(3 * len(METER_NAMES) * (len(METER_NAMES) + 1) // 2, 10**6)
    for _ in range(2):
        assert seller.price(Served(quantities=dict.fromkeys(METER_NAMES, 3)), "", NOW, NOW).usd == usd
    huge = Seller(costs(offer(("input", "1" + "0" * 30))), "p", "m", "", None)
    for _ in range(2):
        assert huge.price(Served(quantities={"input": 3}), "", NOW, NOW).amounts() == (3 * 10**33, str(3 * 10**24))
    assert seller.remembered == huge.remembered == 0


def test_the_order_of_the_meters_does_not_mix_them_up() -> None:
    seller = Seller(costs(THREE), "p", "m", "", None)
    for _ in range(3):
        for counts in ({"input": 2, "output": 1}, {"output": 1, "input": 2}, {"input": 2}, {"output": 1}):
            usd = Fraction(counts.get("input", 0) * 5 + counts.get("output", 0) * 20, 2 * 10**6)
            assert seller.price(Served(quantities=counts), "", NOW, NOW).usd == usd
    assert seller.remembered == 4


def test_what_cannot_be_remembered_is_refused() -> None:
    plan = Plan(known=True, units=(1,), bottom=1)
    sold: dict[str, Any] = {
        "from_us": 0, "until_us": 1, "terms": None, "model": "", "tier": "", "region": "", "names": ("input",),
    }  # fmt: skip
    assert Sold(plan, **sold)
    for wrong in (
        {"known": False}, {"units": ()}, {"units": (2**63,)}, {"bottom": 2**63}, {"each": -(2**63) - 1}, {"bottom": 0},
    ):  # fmt: skip
        with pytest.raises((OverflowError, ValueError)):
            Sold(msgspec.structs.replace(plan, **wrong), **sold)
    for wrong in ({"until_us": 10**400}, {"from_us": 2**63}, {"model": None}, {"names": (1,)}):
        with pytest.raises((OverflowError, ValueError)):
            Sold(plan, **sold | wrong)
    with pytest.raises(TypeError):
        Seller(costs(THREE), "p", "m", "", None).remember(None)  # type: ignore[arg-type]
