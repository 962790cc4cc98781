"""Verification and re-pricing: the reference's own charges row by row; what is wrong is found and named."""

import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.charges.reference import price_usage
from farthing.ledger.days import close_days
from farthing.ledger.ledger import Ledger
from farthing.ledger.pricing import price_name, record_json, record_of
from farthing.ledger.reprice import reprice
from farthing.ledger.rows import Priced, RowPricer
from farthing.ledger.schema import FILE
from farthing.ledger.verify import verify
from farthing.ledger.view import DAYS
from farthing.rates.book import Book
from farthing.rates.card import ALL_WEEK, Band, Bracket, Free, Modifier, Offer, Period, Price, Rate, When, Window
from farthing.rates.select import Unknown
from farthing.rates.toml import Card
from farthing.time import EPOCH
from farthing.usage.record import Usage
from tests.ledger.made import DAY_US, NOON_US, OFFER, PRICE, SOURCE, done, some

NIGHT = Window(minutes=ALL_WEEK >> 5000)
WHENS = [
    When(), When(tier="batch"), When(bands=(Band(low=1001),)), When(regions=frozenset({"eu"})),
    When(window=NIGHT), When(window=msgspec.structs.replace(NIGHT, decides="completion")),
    When(period=Period(end=EPOCH + timedelta(microseconds=NOON_US + DAY_US))), When(attrs=frozenset({("size", "big")})),
]  # fmt: skip
AMOUNTS = st.decimals(min_value=0, max_value=50, places=4)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """A record with a plain rate of some meters and at most one conditioned rate of each, so nothing is ambiguous."""
    rates = []
    for meter in ("input", "cache_read", "output", "reasoning", "audio_second", "requests"):
        if draw(st.booleans()) or meter == "input":
            per = draw(st.sampled_from([1_000_000, 3600, 7]))
            rates.append(Rate(meter=meter, amount=draw(AMOUNTS), per=per))
            when = draw(st.sampled_from(WHENS))
            if when != WHENS[0]:
                rates.append(Rate(meter=meter, amount=draw(AMOUNTS), per=per, when=when))
    modifiers = (Modifier(when=When(regions=frozenset({"eu"})), factor=Decimal("1.1")),) * draw(st.integers(0, 1))
    if draw(st.integers(0, 9)) == 0:
        rates[0] = msgspec.structs.replace(rates[0], minimum=Decimal(50))
    return Price(source=SOURCE, rates=tuple(rates), modifiers=modifiers, valid_from=datetime(2020, 1, 1, tzinfo=UTC))


ROWS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["input", "cache_read", "output", "audio_second"]), st.integers(1, 2000)),
        st.integers(0, 2000), st.sampled_from(["standard", "batch"]), st.sampled_from([None, "eu"]), st.booleans(),
        st.integers(0, 3 * DAY_US),
    ),
    min_size=1, max_size=20,
)  # fmt: skip


@given(prices(), ROWS)
@settings(deadline=None, max_examples=150)
def test_rows_priced_many_at_once_equal_the_reference(price: Price, rows: list[Any]) -> None:
    offer = Offer(provider="p", model="m", prices=(price,))
    pricer = RowPricer()
    for quantities, reasoning, tier, region, big, later in rows:
        if quantities.get("output", 0) >= reasoning > 0:
            quantities = {**quantities, "reasoning": reasoning}
        attrs = {"size": "big"} if big else {}
        started = NOON_US + later
        at, end = (EPOCH + timedelta(microseconds=us) for us in (started, started + 40_000_000))
        usage = Usage(at=at, completed=end, quantities=quantities, tier_served=tier, region=region, attrs=attrs)
        expected = price_usage(usage, offer).total_usd
        found = pricer.charge(
            Priced(id="", started_us=started, completed_us=started + 40_000_000, state="done", provider="p", model="m",
                   tier=tier, region=region, attrs=tuple(attrs.items()), price="", recorded_usd=None,
                   quantities=quantities),
            price,
        )  # fmt: skip
        assert (None if isinstance(found, Unknown) else found) == expected


@given(prices())
@settings(deadline=None, max_examples=50)
def test_a_record_survives_its_json_and_its_name_tells_it_from_others(price: Price) -> None:
    assert record_of(record_json(price)) == price
    other = msgspec.structs.replace(price, minimum_usd=Decimal("0.01"))
    assert price_name(OFFER, price) != price_name(OFFER, other)


def test_records_of_every_kind_survive() -> None:
    rate = Rate(meter="output", amount=None, per=1000, brackets=(Bracket(up_to=5, amount=Decimal("0.1")),), group="g")
    free = Rate(meter="input", amount=Decimal("1E-7"), per=1, free=Free(quantity=3, per="day"), source=SOURCE)
    price = Price(source=SOURCE, rates=(rate, free), usd=Decimal("1.0800"), currency="EUR", recorded=EPOCH)
    again = record_of(record_json(price))
    assert again == price
    assert str(again.usd) == "1.0800"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Ledger.open(tmp_path) as ledger:
        ledger.write(list(some(1500, ledger)))
    close_days(tmp_path, NOON_US + 2 * DAY_US)
    return tmp_path


def test_a_ledger_in_order_is_in_order(folder: Path) -> None:
    found = verify(folder)
    assert found.ok and not found.problems and not found.differences
    assert found.rows == 1500 == found.checked + found.unpriced
    assert found.agree == found.checked > 1000
    assert found.days == 2 and 0 < found.hot < 1500
    assert verify(folder) == found


def broken(folder: Path, *statements: str) -> None:
    hot = sqlite3.connect(folder / FILE)
    for statement in statements:
        hot.execute(statement)
    hot.commit()
    hot.close()


def test_a_charge_that_was_changed_is_found(folder: Path) -> None:
    broken(folder, "UPDATE attempt SET usd = usd + 1 WHERE attempt = (SELECT min(attempt) FROM attempt WHERE usd > 0 "
                   "AND typeof(usd) = 'integer')")  # fmt: skip
    found = verify(folder)
    assert not found.ok
    [one] = found.differences
    assert one.recorded_usd is not None and one.repriced_usd is not None
    assert one.recorded_usd - one.repriced_usd == Fraction(1, 10**15)


def test_a_price_that_is_not_kept_is_said(folder: Path) -> None:
    broken(folder, "DELETE FROM price")
    found = verify(folder)
    assert found.ok and found.unchecked_why == {"its price record is not kept in this ledger": found.unchecked}
    assert found.unchecked > 800


def test_a_day_that_was_changed_is_found(folder: Path) -> None:
    import duckdb

    path = next((folder / DAYS).glob("*/*.parquet"))
    duckdb.connect().execute(
        f"COPY (SELECT * REPLACE (input + 1 AS input) FROM read_parquet('{path}', "
        f"hive_partitioning = false)) TO '{path}.new' (FORMAT parquet)"
    )
    Path(f"{path}.new").replace(path)
    found = verify(folder)
    assert [str(problem) for problem in found.problems] == [
        f"{path.relative_to(folder)}: is not what was closed: meters differ (restore it from a backup)"
    ]
    assert found.differ > 100


def test_a_row_that_is_there_twice_is_found(folder: Path) -> None:
    """Under one id, at two starts on different days: nothing keeps a caller from that, so it is looked for."""
    with Ledger.open(folder) as ledger:
        ledger.write([done(1, ledger=ledger, attempt="twice")])
        ledger.flush()
        close_days(folder, NOON_US + 2 * DAY_US)
        ledger.write([done(1, ledger=ledger, attempt="twice", started_us=NOON_US + 3 * DAY_US)])
    assert [str(problem) for problem in verify(folder).problems] == ["attempt twice: is there 2 times"]


def test_a_damaged_database_is_said(folder: Path) -> None:
    data = bytearray((folder / FILE).read_bytes())
    data[4096 * 6 : 4096 * 7] = b"\x00" * 4096
    (folder / FILE).write_bytes(data)
    try:
        problems = verify(folder).problems
    except Exception as error:  # what is damaged decides how far it comes
        assert "malformed" in str(error) or "damaged" in str(error)
    else:
        assert any("damaged" in problem.reason for problem in problems)


def test_prices_that_depend_on_other_requests_are_not_checked(tmp_path: Path) -> None:
    free = Rate(meter="input", amount=Decimal(1), per=1, free=Free(quantity=10, per="day"))
    price = Price(source=SOURCE, rates=(free,))
    offer = Offer(provider="openai", model="m", prices=(price,))
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, quantities={"input": 12}, usd="2", price=ledger.price_name(offer, price))])
    found = verify(tmp_path)
    assert found.ok and found.checked == 0
    assert found.unchecked_why == {
        "its price depends on other requests (a free quota or brackets over a period)": 1
    }  # fmt: skip


def test_another_book_as_of_another_day(tmp_path: Path) -> None:
    """Input costs 2.5 until 20 November 12:00:00.5, then 3; the change was recorded on the 25th."""
    at = EPOCH + timedelta(microseconds=NOON_US)
    dearer = msgspec.structs.replace(
        PRICE, valid_from=at + timedelta(milliseconds=500), recorded=at + timedelta(days=5),
        rates=(msgspec.structs.replace(PRICE.rates[0], amount=Decimal(3)), *PRICE.rates[1:]),
    )  # fmt: skip
    card = Card(offers=(msgspec.structs.replace(OFFER, prices=(PRICE, dearer)),), sources={})
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(n, ledger=ledger, quantities={"input": 100}) for n in range(1000)])
        ledger.write([done(7, ledger=ledger, state="failed", quantities={}, usd="0")])
        ledger.write([done(8, usd=None, unknown="x", model_served="elsewhere")])
    now = reprice(tmp_path, Book([card]))
    [known] = [offer for offer in now.offers if offer.offer == "openai/gpt-test"]
    # 500 attempts of 100 tokens began at or after .5 s: 500 × 100 × 0.5 / 10⁶ = $0.025 more
    assert (known.differ, known.repriced_usd - known.recorded_usd) == (500, Fraction(25, 1000))
    assert now.differ == 500
    assert len(known.records) == 2
    assert reprice(tmp_path, Book([card])).offers == now.offers
    then = at + timedelta(days=1)
    assert reprice(tmp_path, Book([card], then), then).differ == 0
    assert verify(tmp_path).ok, "nothing was overwritten"
    [other] = [offer for offer in now.offers if offer.offer == "openai/elsewhere"]
    assert (other.unknown_before, other.unknown_now, other.differ) == (1, 1, 0)
