"""Amounts as headers and rows say them: dollars in decimals, and as fractions."""

def nano_text(nano: int) -> bytes:
    """Nanodollars, not below zero, as dollars in decimals."""

def usd_text(top: int, bottom: int) -> bytes:
    """`top` / `bottom` dollars, not below zero, in decimals; what they cannot hold, rounded to 28 digits."""
