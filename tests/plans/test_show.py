"""How plans print numbers: three figures, nothing rounded to a wrong size, "never" and "-" where there is none."""

from fractions import Fraction

import pytest

from farthing.plans.interval import Outcome, between
from farthing.reports.plans_show import compact, digits, dollars, percent, range_json, shown, spread, times, tokens


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2, "2"), (1234567, "1,234,567"), (12.34, "12.3"), (99.96, "100"), (9.999, "10"), (0.4304, "0.430"),
     (0.00314, "0.00314"), (-0.5, "-0.500"), (150.4, "150")],
)  # fmt: skip
def test_three_figures(value: float, text: str) -> None:
    assert digits(value) == text


def test_units() -> None:
    assert tokens(Fraction(5_976_000_000)) == "5.98B"
    assert tokens(None) == "never"
    assert tokens(Fraction(10**15)) == "1,000T"
    assert dollars(Fraction(-3)) == "-$3"
    assert compact(Fraction(12_690)) == "$12.7k"
    assert compact(Fraction(9_999)) == "$9,999"
    assert percent(Fraction(845, 1000)) == "84.5 %"
    assert times(Fraction(3, 2)) == "x1.50"
    assert shown(Fraction(7), "messages") == "7"


def test_intervals() -> None:
    assert spread(between(1, 2, 3)) == "$2 ($1 to $3)"
    assert spread(Outcome(low=Fraction(1), mid=None, high=None), "tokens") == "never (1 to never)"
    assert spread(None) == "-"
    assert range_json(Outcome(low=Fraction(1, 2), mid=Fraction(1), high=None)) == {"low": 0.5, "mid": 1.0, "high": None}
