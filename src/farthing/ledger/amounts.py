"""Exact dollars in a narrow form: a whole number of femtodollars where there is one, else a fraction in text.

Prices are published to about 10**-9 dollars a token and factors add a few digits, so 10**-15 holds nearly every
charge exactly; a charge per second of an hourly price does not end in decimals and stays the fraction it is.
"""

from collections.abc import Iterable
from fractions import Fraction

from farthing.ledger.femto import femtodollars
from farthing.money import ZERO, Usd

PLACES = 15
FEMTO = 10**PLACES
LARGEST = (1 << 63) - 1
"""The largest whole number that a column holds: 9,223 dollars in femtodollars; a larger charge stays text."""


def packed(text: str | None) -> int | str | None:
    """The amount that `text` ("23/5000", "0.0046", "3") states: femtodollars, else "n/d"; None stays None.

    Raises `ValueError` for text that is no number.
    """
    if text is None:
        return None
    number: int
    quick = femtodollars(text)
    if quick is not None:  # nearly always
        return quick
    top, bar, bottom = text.partition("/")
    if not (bar and top.removeprefix("-").isdecimal() and bottom.isdecimal()):
        amount = exact(text)
        numerator, denominator = amount.numerator, amount.denominator
    else:  # as `str` of a Fraction writes it
        numerator, denominator = int(top), int(bottom)
        if not denominator:
            raise ValueError(f"{text!r} divides by nothing")
    number, rest = divmod(numerator * FEMTO, denominator)
    if rest == 0 and -LARGEST <= number <= LARGEST:
        return number
    return f"{numerator}/{denominator}"


def exact(text: str) -> Usd:
    """The exact amount that `text` states. Raises `ValueError` for what is no number, or divides by nothing."""
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by nothing") from None


def unpacked(value: int | str | None) -> Usd | None:
    """The exact dollars of a packed amount."""
    if value is None:
        return None
    return Fraction(value, FEMTO) if isinstance(value, int) else exact(value)


def total(parts: Iterable[tuple[int, int]]) -> Usd:
    """The exact sum of (numerator, denominator) pairs, of which many share a denominator."""
    by_denominator: dict[int, int] = {}
    for top, bottom in parts:
        by_denominator[bottom] = by_denominator.get(bottom, 0) + top
    return sum((Fraction(top, bottom) for bottom, top in by_denominator.items()), ZERO)
