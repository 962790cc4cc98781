"""Amounts as headers say them: dollars in decimals."""

from fractions import Fraction

from farthing.ledger.budgets import NANO
from farthing.money import decimal_text

_PLACES = 10**15  # nearly every charge ends within so many decimals


def nano_text(nano: int) -> bytes:
    """Nanodollars, not below zero, as dollars in decimals."""
    whole, part = divmod(nano, NANO)
    return b"%d.%09d" % (whole, part) if part else b"%d" % whole


def usd_text(top: int, bottom: int) -> bytes:
    """`top` / `bottom` dollars, not below zero, in decimals; what they cannot hold, rounded to 28 digits."""
    number, rest = divmod(top * _PLACES, bottom)
    if rest:
        return decimal_text(Fraction(top, bottom)).encode()
    return (b"%d.%015d" % divmod(number, _PLACES)).rstrip(b"0").rstrip(b".")
