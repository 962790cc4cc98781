"""Money: published rates as `Decimal`, amounts as exact rationals, rounding in one place.

A rate is published in decimal digits and stays a `Decimal`. An amount is quantity x rate / per, and
`per` is not always a power of ten (audio is priced by the hour and metered by the second), so an
amount is a `Fraction`: sums and products of rates and counts are exact, in any order, always.
Nothing here rounds except `round_usd`, which says so, and `decimal_text`, which rounds only a
number that has no finite decimal form.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from fractions import Fraction

Usd = Fraction
"""An exact amount of United States dollars."""

ZERO = Fraction(0)
_DIGITS = 28  # significant digits shown of an amount that has no finite decimal form (1/3600 of a dollar)


def parse_decimal(value: object) -> Decimal:
    """The decimal that `value` (text, int or Decimal) states, digit for digit.

    Raises `ValueError` for a binary float, a non-number, an infinity or a NaN: a price that passed
    through a float is no longer the price that was published.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError(f"{value!r} is not a decimal number")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a decimal number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return number


def is_finite_decimal(amount: Fraction) -> bool:
    """Whether `amount` can be written with finitely many decimal digits."""
    rest = amount.denominator
    rest >>= (rest & -rest).bit_length() - 1
    while rest % 5 == 0:
        rest //= 5
    return rest == 1


def to_decimal(amount: Fraction) -> Decimal:
    """`amount` as a Decimal: exact where a finite decimal exists, else 28 digits, half-even."""
    if is_finite_decimal(amount):
        with localcontext() as context:
            context.prec = len(str(amount.numerator)) + 4 * amount.denominator.bit_length() + 8
            return (Decimal(amount.numerator) / Decimal(amount.denominator)).normalize()
    with localcontext() as context:
        context.prec = _DIGITS
        context.rounding = ROUND_HALF_EVEN
        return Decimal(amount.numerator) / Decimal(amount.denominator)


def decimal_text(amount: Fraction | Decimal) -> str:
    """`amount` as plain decimal digits without an exponent: "0.0000002", "12.5", "0"."""
    number = to_decimal(amount) if isinstance(amount, Fraction) else amount
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def round_usd(amount: Fraction, places: int = 2) -> Decimal:
    """`amount` rounded half-even to `places` decimals: what an invoice prints, and nothing else."""
    scaled = amount * 10**places
    # Fraction.__round__ is half-even and exact; text, because scaleb would round to the caller's context.
    return Decimal(f"{round(scaled)}E-{places}")


def show_usd(amount: Fraction | None) -> str:
    """`amount` for a person: cents for dollars, four significant digits below; None is "unknown"."""
    if amount is None:
        return "unknown"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size == 0:
        return "$0"
    if size >= 1:
        return f"{sign}${round_usd(size, 2):,}"
    places = 2
    while size * 10**places < 1000 and places < 15:
        places += 1
    text = format(round_usd(size, places), "f")
    whole, _, cents = text.partition(".")
    return f"{sign}${whole}.{cents.rstrip('0').ljust(2, '0')}"
