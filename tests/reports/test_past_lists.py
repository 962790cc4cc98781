"""Beside an undated price of the catalogue: what the lists of a past day said."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from farthing.evidence import Grade, Source
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.select import price_at
from farthing.reports.past_lists import said_then, told
from farthing.reports.prices import history
from farthing.units import METERS

JUNE_2023 = datetime(2023, 6, 1, tzinfo=UTC)


def offer(usd: str, source: str = "genai-prices") -> tuple[Offer, Price]:
    price = Price(
        source=Source(id=source, title="t", where="w", seen=None, grade=Grade.VENDOR_STATED),
        rates=(Rate(meter="input", amount=Decimal(usd), per=1_000_000),),
    )
    return Offer(provider="openai", model="gpt-3.5-turbo", prices=(price,)), price


def test_the_lists_of_that_day_are_told_where_they_differ() -> None:
    """gpt-3.5-turbo cost $2 a million tokens from 1 March 2023 on; the catalogue's undated price is of 2024."""
    said = said_then(*offer("0.5"), JUNE_2023)
    assert said is not None
    assert (said["usd_per_mtok"], said["valid_from"], said["grade"]) == ({"input": "2"}, "2023-03-01", "assumed")
    line = told(said, "openai/gpt-3.5-turbo")
    assert "input $2 a million" in line and "farthing prices history openai/gpt-3.5-turbo" in line


def test_nothing_is_told_where_nothing_is_to_be_told() -> None:
    one, price = offer("2")
    assert said_then(one, price, JUNE_2023) is None  # the same
    one, price = offer("0.5")
    assert said_then(one, price, datetime.now(UTC) - timedelta(hours=1)) is None  # now
    assert said_then(one, price, datetime(2022, 1, 1, tzinfo=UTC)) is None  # before any list
    assert said_then(*offer("0.5", "my-card"), JUNE_2023) is None  # a card's word is the user's own
    assert said_then(msgspec.structs.replace(one, model="nothing"), price, JUNE_2023) is None
    assert said_then(one, msgspec.structs.replace(price, currency="EUR"), JUNE_2023) is None
    assert said_then(None, None, JUNE_2023) is None


def test_the_book_has_such_prices() -> None:
    book = Book()
    found = book.find("openai/gpt-4o")
    price = price_at(found, datetime(2024, 6, 15, tzinfo=UTC))
    assert isinstance(price, Price)
    said = said_then(found, price, datetime(2024, 6, 15, tzinfo=UTC))
    assert said is not None and said["usd_per_mtok"]["input"] == "5" and said["after"] == "2024-04-01"


def test_history_shows_the_lists_beside_the_book() -> None:
    book = Book()
    rows = history(book, book.find("openai/gpt-4o"), METERS, True)
    lists = [row for row in rows if row.layer == "price lists"]
    plain = [
        (str(row.valid_from)[:10], str(row.after)[:10], row.usd, row.unclear) for row in lists if row.meter == "input"
    ]
    assert plain[0] == ("2024-06-01", "2024-04-01", 5, False) and plain[1][1:3] == ("2024-10-01", Decimal("2.5"))
    assert [row for row in lists if row.change is not None]
    # What the book states for the same day is not repeated.
    stated = {(row.meter, row.when, row.usd, str(row.valid_from)[:10]) for row in rows if row.layer != "price lists"}
    assert not stated & {(row.meter, row.when, row.usd, str(row.valid_from)[:10]) for row in lists}
