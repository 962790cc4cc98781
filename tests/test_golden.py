"""Published worked examples, in tests/golden/*.toml: usage, offer and instant; the lines that must come of it.

Each case states where it was published, and its arithmetic in a comment. `stated` is the published figure where
that was rounded; `card` holds prices that the book does not have.
"""

import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farthing.api import price
from farthing.money import decimal_text, round_usd
from farthing.rates.book import Book
from farthing.rates.toml import load_card

FOLDER = Path(__file__).parent / "golden"
KEYS = {"what", "source", "note", "offer", "at", "requests", "tier", "usage", "lines", "total", "stated", "card"}
BOOK = Book()


def cases() -> list[Any]:
    found = []
    for file in sorted(FOLDER.glob("*.toml")):
        for case in tomllib.loads(file.read_text("utf-8"))["case"]:
            found.append(pytest.param(case, id=f"{file.stem}: {case['what']}"))
    return found


def instant(stated: datetime | date) -> datetime:
    return stated if isinstance(stated, datetime) else datetime(stated.year, stated.month, stated.day, tzinfo=UTC)


@pytest.mark.parametrize("case", cases())
def test_published_example(case: dict[str, Any]) -> None:
    assert set(case) <= KEYS and case["source"]
    book = Book([load_card(case["card"])]) if "card" in case else BOOK
    charge = price(
        case["offer"], at=instant(case["at"]), requests=case.get("requests", 1), tier=case.get("tier"), book=book,
        **case["usage"],
    )  # fmt: skip
    assert {line.meter: None if line.usd is None else decimal_text(line.usd) for line in charge.lines} == case["lines"]
    assert charge.total_usd is not None
    assert decimal_text(charge.total_usd) == case["total"]
    if "stated" in case:
        stated = Decimal(case["stated"])
        assert round_usd(charge.total_usd, -int(stated.as_tuple().exponent)) == stated


def test_there_are_examples_of_several_providers() -> None:
    offers = {param.values[0]["offer"].partition("/")[0] for param in cases()}
    assert len(cases()) >= 25 and offers >= {"anthropic", "openai", "google", "deepseek"}
