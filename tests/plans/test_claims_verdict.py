"""How a stated figure is compared with a computed one: tolerances by the digits that were written, and factors."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.plans.claims.verdict import (
    HOWS,
    Span,
    Stated,
    Verdict,
    below,
    decide,
    number,
    point,
    rounding,
    show,
)


@pytest.mark.parametrize(
    ("written", "slack"),
    [
        ("0.23", Fraction(5, 230)),  # ± 0.005
        ("45", Fraction(1, 90)),  # ± 0.5
        ("0.6", Fraction(5, 60)),  # ± 0.05
        ("15.00", Fraction(1, 100)),  # ± 0.005 is 0.03 %: at least 1 %
        ("200", Fraction(15, 100)),  # ± 50 is 25 %: at most 15 %
        ("1793", Fraction(1, 100)),
        ("0", Fraction(1, 100)),
    ],
)
def test_slack_follows_the_digits(written: str, slack: Fraction) -> None:
    assert rounding(Decimal(written)) == slack


def said(low: str, high: str | None = None, how: str = "rounded") -> Stated:
    return Stated(low=Decimal(low), high=Decimal(high or low), how=how)


def span(low: float, high: float | None = None) -> Span:
    return Span(Fraction(str(low)), Fraction(str(high if high is not None else low)))


@pytest.mark.parametrize(
    ("stated", "computed", "factor", "too"),
    [
        (said("0.23"), span(0.2306), None, ""),
        (said("45"), span(64), Fraction(64, 45), "low"),
        (said("30"), span(1.25), Fraction(24), "high"),
        (said("0.30", "0.60"), span(0.42), None, ""),  # a point inside the range
        (said("0.05", "0.30"), span(0.4), Fraction(4, 3), "low"),
        (said("0.24", "0.36"), span(0.24, 0.36), None, ""),
        (said("0.50", "1.00"), span(0.24, 0.36), Fraction(100, 36), "high"),  # the worse end
        (said("0.34", "0.46"), span(0.3044, 0.4566), Fraction(3400, 3044), "high"),  # the low end only
        (said("5", how="about"), span(4.4), None, ""),
        (said("5", how="about"), span(4.2), Fraction(50, 42), "high"),
        (said("100", how="nearly"), span(93.75), None, ""),
        (said("100", how="nearly"), span(75), Fraction(4, 3), "high"),
        (said("100", how="nearly"), span(105), Fraction(105, 100), "low"),
        (said("10", how="order"), span(31), None, ""),
        (said("10", how="order"), span(2), Fraction(5), "high"),
        (said("200", how="at-least"), span(285.7), None, ""),
        (said("200", how="at-least"), span(100), Fraction(2), "high"),
        (said("0.01", how="at-most"), span(0.0019), None, ""),
        (said("1", how="at-most"), span(2), Fraction(2), "low"),
        (said("5", "10", "within"), span(2, 23), None, ""),
        (said("5", "30", "within"), span(2, 23), Fraction(30, 23), "high"),
        (said("2", "3", "overlaps"), span(1.6, 3.1), None, ""),
        (said("4", "5", "overlaps"), span(1.6, 3.1), Fraction(40, 31), "high"),
        (said("2.50", how="exact"), span(2.5), None, ""),
        (said("0.27", how="exact"), span(0.28), Fraction(28, 27), "low"),
    ],
)
def test_decisions(stated: Stated, computed: Span, factor: Fraction | None, too: str) -> None:
    verdict, off, side = decide(stated, computed)
    assert (off, side) == (factor, too)
    assert verdict is (Verdict.HOLDS if factor is None else Verdict.OFF)


values = st.decimals(min_value=Decimal("0.001"), max_value=Decimal("1e12"), places=3).filter(lambda d: d > 0)


@settings(deadline=None)
@given(values, values, st.sampled_from(HOWS))
def test_what_was_computed_holds_and_three_times_it_never_does(one: Decimal, other: Decimal, how: str) -> None:
    low, high = min(one, other), max(one, other)
    stated = Stated(low=low, high=high, how=how)
    assert decide(stated, Span(Fraction(low), Fraction(high)))[0] is Verdict.HOLDS or how in ("at-least", "at-most")
    as_point = Stated(low=high, high=high, how=how)
    assert decide(as_point, point(high))[0] is Verdict.HOLDS
    if how in ("at-least", "order"):
        return
    verdict, factor, _ = decide(as_point, point(high * 3))
    assert (verdict, factor) == (Verdict.OFF, 3)


@settings(deadline=None)
@given(st.integers(1, 10**9), st.floats(0.01, 100))
def test_a_ceiling_is_a_ceiling(stated: int, ratio: float) -> None:
    finding = below(point(stated), stated * ratio, None, "…")
    if ratio >= 1:
        assert finding.verdict is Verdict.HOLDS
    elif ratio < 0.98:
        assert finding.verdict is Verdict.IMPOSSIBLE
        assert float(finding.factor or 0) == pytest.approx(1 / ratio)


def test_between_practice_and_ceiling_is_off_by_a_factor() -> None:
    assert below(point(50), 100.0, span(0.6), "…").verdict is Verdict.HOLDS
    finding = below(point(90), 100.0, span(0.6), "…")
    assert finding.verdict is Verdict.OFF and finding.factor == Fraction(3, 2)  # 90 / (100 × 0.6)
    assert below(point(110), 100.0, span(0.6), "…").verdict is Verdict.IMPOSSIBLE


def test_a_negative_or_no_growth_has_no_factor() -> None:
    verdict, factor, too = decide(said("5"), Span(Fraction(-3), Fraction(-3)))
    assert (verdict, factor, too) == (Verdict.OFF, None, "high")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction("0.2306"), "0.2306"), (Fraction(14400), "14,400"), (Fraction(10_800_000), "10.8 M"),
        (Fraction(46_800_000_000), "46.8 B"), (Fraction(1979 * 10**12), "1.979 P"),
        (Fraction("0.0000125"), "0.0000125"),
        (Fraction(0), "0"),
    ],
)  # fmt: skip
def test_numbers_as_text(value: Fraction, text: str) -> None:
    assert number(value) == text


def test_spans_as_text() -> None:
    assert show(span(0.24, 0.36)) == "0.24–0.36"
    assert show(point(3)) == "3"


def test_arithmetic_of_spans() -> None:
    assert span(2, 4) * span(3, 5) == span(6, 20)
    assert span(2, 4) / span(2, 8) == span(0.25, 2)  # smallest by largest
    assert span(2, 4) + point(1) == span(3, 5)
