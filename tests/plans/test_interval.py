"""Intervals: exact middles, ends in quadrature, and what "never" does."""

import math
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.plans.interval import (
    Interval,
    between,
    exactly,
    from_physics,
    parse_interval,
    parse_number,
    propagate,
    uncertain,
)

positive = st.fractions(min_value=Fraction(1, 1000), max_value=1000, max_denominator=1000)


class Two(msgspec.Struct, frozen=True, kw_only=True):
    price: Interval
    speed: Interval
    name: str = "two"


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low, mid, high = sorted(draw(st.lists(positive, min_size=3, max_size=3)))
    return Interval(low, mid, high)


def test_a_quotient_has_its_exact_middle_and_its_deviations_in_quadrature() -> None:
    two = Two(price=between(1, 2, 4), speed=between(5, 10, 20))
    found = propagate(lambda t: t.price.mid / t.speed.mid, two)
    assert found.mid == Fraction(1, 5)
    # Each input alone halves or doubles the quotient: ln 2 twice in quadrature is ln 2 × √2.
    factor = 2 ** math.sqrt(2)
    assert float(found.low or 0) == pytest.approx(0.2 / factor)
    assert float(found.high or 0) == pytest.approx(0.2 * factor)
    assert {d.name for d in found.drivers} == {"price", "speed"}


def test_exact_inputs_give_an_exact_result() -> None:
    found = propagate(lambda t: t.price.mid / t.speed.mid, Two(price=exactly(1), speed=exactly(3)))
    assert found.low == found.mid == found.high == Fraction(1, 3)
    assert found.drivers == ()


def test_the_widest_driver_comes_first() -> None:
    two = Two(price=between(9, 10, 11), speed=between(1, 10, 100))
    assert [d.name for d in propagate(lambda t: t.price.mid / t.speed.mid, two).drivers] == ["speed", "price"]


def test_a_result_that_is_not_positive_spreads_plainly() -> None:
    two = Two(price=between(1, 2, 5), speed=exactly(2))
    found = propagate(lambda t: t.price.mid - t.speed.mid, two)
    assert (found.low, found.mid, found.high) == (-1, 0, 3)


def test_never_is_above_everything() -> None:
    two = Two(price=between(1, 2, 4), speed=exactly(1))
    dear = propagate(lambda t: None if t.price.mid > 2 else t.price.mid, two)
    assert (dear.low, dear.mid, dear.high) == (1, 2, None)
    hopeless = propagate(lambda t: None if t.price.mid > 1 else t.price.mid, two)
    assert (hopeless.low, hopeless.mid, hopeless.high) == (1, None, None)
    with pytest.raises(ValueError, match="never"):
        _ = hopeless.interval


@settings(deadline=None)
@given(intervals(), intervals())
def test_the_ends_hold_the_middle_and_what_each_input_does_alone(price: Interval, speed: Interval) -> None:
    found = propagate(lambda t: t.price.mid / t.speed.mid, Two(price=price, speed=speed))
    assert found.low is not None and found.mid is not None and found.high is not None
    assert found.low <= found.mid <= found.high
    for driver in found.drivers:
        for end in (driver.at_low, driver.at_high):
            assert end is not None
            assert float(found.low) <= float(end) * (1 + 1e-9) and float(end) <= float(found.high) * (1 + 1e-9)
    # Never wider than all inputs at their worst together.
    assert float(found.high) <= float(price.high / speed.low) * (1 + 1e-9)


def test_only_fields_with_a_width_are_uncertain_and_absent_parts_are_skipped() -> None:
    two = Two(price=between(1, 2, 3), speed=exactly(1))
    assert [(where, name) for where, name, _ in uncertain(None, two)] == [(1, "price")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2.49", (2.49, 2.49, 2.49)), ("2..4", (2, 3, 4)), ("2..2.5..4", (2, 2.5, 4)), ("1k..3k", (1000, 2000, 3000))],
)
def test_intervals_as_people_write_them(text: str, expected: tuple[float, ...]) -> None:
    found = parse_interval(text)
    assert (float(found.low), float(found.mid), float(found.high)) == expected


@pytest.mark.parametrize("text", ["", "a", "4..2", "1..2..3..4", "-1", "1..x", "nan", "inf", "1e999999", "1e-999999"])
def test_what_is_no_interval_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"LOW\.\.HIGH"):
        parse_interval(text)


def test_numbers_keep_their_digits() -> None:
    assert parse_number("5.5B") == 5_500_000_000
    assert parse_number("$1,793") == 1793
    assert parse_number("0.1") == Fraction(1, 10)


def test_physics_enters_with_twelve_digits_and_nothing_infinite() -> None:
    assert from_physics(0.1) == Fraction(1, 10)
    assert from_physics(1 / 3) == Fraction("0.333333333333")
    with pytest.raises(ValueError, match="finite"):
        from_physics(math.inf)
