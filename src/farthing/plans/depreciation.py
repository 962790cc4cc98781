"""What owning a machine costs a year: its loss of value and the money tied up in it.

Formulas: straight-line and declining-balance depreciation; the cost of capital is a yearly rate on what the
machine is worth at the start of each year, undiscounted, as an account has it.
"""

from fractions import Fraction

import msgspec

from farthing.plans.interval import from_physics

STRAIGHT, DECLINING = "straight", "declining"


class Year(msgspec.Struct, frozen=True, kw_only=True):
    """One year of a machine, in dollars; the last may be a part of a year. `interest`: on the opening value."""

    year: int
    opening_usd: Fraction
    depreciation_usd: Fraction
    interest_usd: Fraction
    closing_usd: Fraction


def power(base: Fraction, years: Fraction) -> Fraction:
    """base^years: exact for whole years."""
    if years.denominator == 1 or base in (0, 1):
        return base ** int(years) if years.denominator == 1 else base
    return from_physics(float(base) ** float(years))


def residual_usd(
    price_usd: Fraction, years: Fraction, method: str, yearly_decline: Fraction, residual_share: Fraction
) -> Fraction:
    """What the machine is worth after `years`: the stated share, or price × (1 - yearly decline)^years."""
    if method == DECLINING:
        return price_usd * power(1 - yearly_decline, years)
    return price_usd * residual_share


def schedule(
    price_usd: Fraction, residual: Fraction, years: Fraction, rate: Fraction, method: str, yearly_decline: Fraction
) -> tuple[Year, ...]:
    """Year by year: what the machine is worth, loses and ties up. The last row may be a part of a year."""
    rows: list[Year] = []
    opening, begun = price_usd, Fraction(0)
    while begun < years:
        part = min(Fraction(1), years - begun)
        if method == DECLINING:
            loss = opening - opening * power(1 - yearly_decline, part)
        else:
            loss = (price_usd - residual) / years * part
        rows.append(
            Year(
                year=len(rows) + 1,
                opening_usd=opening,
                depreciation_usd=loss,
                interest_usd=opening * rate * part,
                closing_usd=opening - loss,
            )
        )
        opening, begun = opening - loss, begun + part
    return tuple(rows)


def yearly_interest_usd(rows: tuple[Year, ...], years: Fraction) -> Fraction:
    """The mean yearly cost of the money tied up over `years`."""
    return sum((row.interest_usd for row in rows), Fraction(0)) / years
