"""Two dated prices: the check values, and what cannot be answered."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.index.pair import pair, price
from farthing.problems import FarthingError


def _pair(first: str, last: str, start: str, end: str):  # type: ignore[no-untyped-def]
    return pair(Decimal(first), Decimal(last), start, end)


def test_gpt_4_to_gpt_4o_mini_is_31_6_times_a_year() -> None:
    # 100 times in 16 calendar months: 100^(12/16) = 10^1.5 = 31.62; 16 ln 2 / ln 100 = 2.408 months.
    found = _pair("60", "0.60", "2023-03-14", "2024-07-18")
    assert found.rate is not None and found.by_days is not None
    assert found.rate.yearly_factor == pytest.approx(10**1.5)
    assert found.rate.half_life_months == pytest.approx(2.41, abs=0.005)
    assert (found.months, found.counted_in, found.days) == (16, "months", 492)
    # By the day: 492 / 365.25 of a year, 100^(365.25/492) = 30.53.
    assert found.by_days.yearly_factor == pytest.approx(100 ** (365.25 / 492))
    assert "by the 492 days" in found.notes[0]


@pytest.mark.parametrize(("start", "end"), [("2022-11", "2024-10"), ("2022-11-30", "2024-10-03")])
def test_the_ai_index_fall_is_19_times_a_year_and_not_43(start: str, end: str) -> None:
    # 285.7 times in 23 months: 285.7^(12/23) = 19.1. Over 18 months, as often told, it would be 43.4.
    found = _pair("20", "0.07", start, end)
    assert found.rate is not None
    assert found.rate.yearly_factor == pytest.approx(19.1, abs=0.05)
    assert pytest.approx(43.4, abs=0.1) == (20 / 0.07) ** (12 / 18)


def test_a_thousandfold_in_three_years_halves_every_3_6_months() -> None:
    found = _pair("60", "0.06", "2021-11", "2024-11")
    assert found.rate is not None
    assert found.rate.yearly_factor == pytest.approx(10)
    assert found.rate.half_life_months == pytest.approx(3.6, abs=0.02)  # 36 ln 2 / ln 1000 = 3.612


def test_a_rise_has_a_factor_below_one_and_doubles() -> None:
    found = _pair("1", "4", "2023-01", "2025-01")
    assert found.rate is not None
    assert found.rate.yearly_factor == pytest.approx(0.5)
    assert found.rate.half_life_months is None
    assert found.rate.doubling_months == pytest.approx(12)
    assert any("rose" in note for note in found.notes)


def test_an_unmoved_price_neither_halves_nor_doubles() -> None:
    found = _pair("1", "1.00", "2023-01", "2025-01")
    assert found.rate is not None
    assert (found.rate.yearly_factor, found.rate.half_life_months, found.rate.doubling_months) == (1, None, None)


def test_less_than_a_year_is_counted_in_days_and_said_to_be_extrapolated() -> None:
    found = _pair("2", "1", "2024-01-31", "2024-04-30")  # 90 days
    assert found.rate is not None
    assert found.rate.yearly_factor == pytest.approx(2 ** (365.25 / 90))
    assert "extrapolated from 90 days" in found.notes[0]


def test_a_few_days_give_no_yearly_rate() -> None:
    found = _pair("60", "0.6", "2024-01-31", "2024-02-01")
    assert found.rate is None
    assert found.total_factor == pytest.approx(100)
    assert "too few" in found.notes[0]


@pytest.mark.parametrize(
    ("first", "last", "start", "end", "reason"),
    [
        ("0", "1", "2023-01", "2024-01", "not a price above 0"),
        ("1", "0", "2023-01", "2024-01", "not a price above 0"),
        ("-1", "1", "2023-01", "2024-01", "not a price above 0"),
        ("1", "2", "2023-01-05", "2023-01-05", "equal"),
        ("1", "2", "2024-01-05", "2023-01-05", "reversed"),
        ("1", "2", "yesterday", "2023-01-05", "--start 'yesterday'"),
        ("1", "2", "2023-01-05", "2023-02-30", "--end '2023-02-30'"),
        ("1e15", "1e-15", "2023-01-01", "2023-01-31", "hundreds of digits"),
    ],
)
def test_what_cannot_be_answered_is_one_line(first: str, last: str, start: str, end: str, reason: str) -> None:
    with pytest.raises(FarthingError, match=reason) as error:
        _pair(first, last, start, end)
    assert "\n" not in str(error.value)


def test_prices_are_read_as_written() -> None:
    assert price("--from", " $1,000.50") == Decimal("1000.50")
    with pytest.raises(FarthingError, match="--to: 'cheap' is not a decimal number"):
        price("--to", "cheap")


@pytest.mark.parametrize("text", ["0,60", "1,50", "1,23,456"])
def test_a_decimal_comma_is_not_read_as_thousands(text: str) -> None:
    with pytest.raises(FarthingError, match="does not part thousands"):
        price("--to", text)


def test_a_price_beyond_any_is_refused_and_never_infinite() -> None:
    with pytest.raises(FarthingError, match="no price of tokens"):
        price("--from", "1e400")


def test_months_in_words_and_times_are_dates_too() -> None:
    assert _pair("60", "0.60", "March 2023", "July 2024").months == 16
    assert _pair("60", "0.60", "2023-03-14T09:00:00Z", "2024-07-18").days == 492


def test_a_price_of_tomorrow_is_said_to_be_an_assumption() -> None:
    assert any("lies ahead" in note for note in _pair("60", "0.60", "2023-03-14", "2999-07-18").notes)


@settings(deadline=None)
@given(st.floats(0.001, 1000), st.floats(0.001, 1000), st.integers(12, 120))
def test_a_year_of_halving_agrees_with_the_factor(first: float, last: float, months: int) -> None:
    """yearly factor = 2^(12 / half-life), and there and back is where one began."""
    end = f"{2000 + months // 12}-{months % 12 + 1:02d}"
    there = pair(Decimal(repr(first)), Decimal(repr(last)), "2000-01", end)
    back = pair(Decimal(repr(last)), Decimal(repr(first)), "2000-01", end)
    assert there.rate is not None and back.rate is not None
    assert there.rate.yearly_factor * back.rate.yearly_factor == pytest.approx(1)
    half = there.rate.half_life_months or (-there.rate.doubling_months if there.rate.doubling_months else math.inf)
    assert there.rate.yearly_factor == pytest.approx(2 ** (12 / half))
