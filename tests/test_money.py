"""Money: digits survive, rounding happens once and half-even, floats are refused."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farthing.money import decimal_text, is_finite_decimal, parse_decimal, round_usd, show_usd, to_decimal

exact = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
amounts = st.fractions(-(10**12), 10**12, max_denominator=10**15)


@given(exact)
@example(Decimal("1E-30"))
@example(Decimal("3.625E-9"))  # the finest published price: 3,625 picodollars a token
@example(Decimal("-0.00"))
@example(Decimal(10**20))
def test_every_decimal_comes_back_exactly(number: Decimal) -> None:
    for amount in (number, Fraction(number)):
        text = decimal_text(amount)
        assert "E" not in text.upper()
        assert Fraction(text) == Fraction(number)
        assert parse_decimal(text) == number
        assert not (text.endswith((".", "0")) and "." in text)  # no needless digits
        assert text != "-0"


@given(st.integers(-(10**40), 10**40), st.integers(0, 60), st.integers(0, 60))
def test_a_fraction_of_twos_and_fives_is_a_finite_decimal(number: int, twos: int, fives: int) -> None:
    amount = Fraction(number, 2**twos * 5**fives)
    assert is_finite_decimal(amount)
    assert Fraction(to_decimal(amount)) == amount
    assert Fraction(decimal_text(amount)) == amount


@given(st.integers(1, 10**12), st.sampled_from([3, 7, 9, 3600, 11 * 2**5, 13 * 5**4]))
def test_any_other_fraction_is_cut_to_28_digits(number: int, denominator: int) -> None:
    amount = Fraction(number, denominator)
    finite = amount.denominator in {2**a * 5**b for a in range(20) for b in range(20)}
    assert is_finite_decimal(amount) == finite
    if not finite:
        shown = to_decimal(amount)
        assert len(shown.as_tuple().digits) == 28
        assert abs(Fraction(shown) - amount) <= amount / 10**27 / 2


def test_the_context_of_the_caller_does_not_matter() -> None:
    with localcontext() as context:
        context.prec = 3
        assert decimal_text(Fraction(123456789, 10**6)) == "123.456789"
        assert to_decimal(Fraction(1, 3)) == Decimal("0." + 28 * "3")


@pytest.mark.parametrize(
    ("text", "number"), [("0.18", "0.18"), (" 2.50 ", "2.50"), ("1e-7", "1E-7"), (3, "3"), (Decimal("0.10"), "0.10")]
)
def test_a_decimal_is_parsed_digit_for_digit(text: object, number: str) -> None:
    assert str(parse_decimal(text)) == number


@pytest.mark.parametrize("value", [0.1, 1.0, True, None, "", "one", "1,5", "nan", "inf", "-Infinity", Decimal("NaN")])
def test_what_is_no_decimal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a (decimal|finite) number"):
        parse_decimal(value)


@pytest.mark.parametrize(
    ("amount", "places", "rounded"),
    [
        ("0.005", 2, "0.00"), ("0.015", 2, "0.02"), ("0.025", 2, "0.02"), ("-0.025", 2, "-0.02"),
        ("-0.035", 2, "-0.04"), ("2.675", 2, "2.68"), ("0.0250000000000000000001", 2, "0.03"),
        ("12.5", 0, "12"), ("13.5", 0, "14"),
    ],
)  # fmt: skip
def test_rounding_is_half_even(amount: str, places: int, rounded: str) -> None:
    found = round_usd(Fraction(amount), places)
    assert found == Decimal(rounded)
    assert -found.as_tuple().exponent == places  # type: ignore[operator]


@given(amounts, st.integers(0, 12))
def test_rounding_is_off_by_half_a_place_at_most(amount: Fraction, places: int) -> None:
    rounded = Fraction(round_usd(amount, places))
    assert abs(rounded - amount) <= Fraction(1, 2 * 10**places)
    assert (rounded * 10**places).denominator == 1
    if abs(rounded - amount) == Fraction(1, 2 * 10**places):
        assert rounded * 10**places % 2 == 0


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"), (Fraction(0), "$0"), (Fraction("1234567.891"), "$1,234,567.89"), (Fraction(1), "$1.00"),
        (Fraction("0.25"), "$0.25"), (Fraction("0.0045"), "$0.0045"), (Fraction("0.06486225"), "$0.06486"),
        (Fraction("-0.0045"), "-$0.0045"), (Fraction("-1234.5"), "-$1,234.50"),
        (Fraction(1, 3), "$0.3333"), (Fraction("0.0000000000037"), "$0.0000000000037"),
    ],
)  # fmt: skip
def test_amounts_for_a_person(amount: Fraction | None, shown: str) -> None:
    assert show_usd(amount) == shown
