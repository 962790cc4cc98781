"""Two prices and two dates: by what factor a price fell in a year, and in how many months it halved.

    yearly factor = (p0 / p1)^(12 months / elapsed months)      half-life = elapsed months x ln 2 / ln(p0 / p1)

A list price is dated by the month in published series ("100 times in 16 months"), so two dates twelve calendar months
or more apart are counted in calendar months (March 2023 to July 2024 is 16, whatever the days), and nearer ones in
days, a month being 365.25 / 12 of them. What the days alone would give stands beside it (`by_days`).
"""

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from farthing.money import parse_decimal
from farthing.problems import FarthingError

YEAR_DAYS = 365.25
MONTH_DAYS = YEAR_DAYS / 12
SHORTEST_DAYS = 28
"""A yearly rate of fewer days would be extrapolated more than a dozen times."""
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_WORDED = ("%B %Y", "%b %Y")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
_LEAST, _MOST = Decimal("1e-15"), Decimal("1e15")


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a price falls: the factor in a year (above 1: it falls), and the months in which it halves or doubles
    (None where it does not)."""

    yearly_factor: float
    half_life_months: float | None = None
    doubling_months: float | None = None


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What two dated prices say. `rate` is None where they lie too near each other for a yearly one."""

    from_usd: Decimal
    to_usd: Decimal
    start: date
    end: date
    days: int
    months: float
    counted_in: str
    total_factor: float
    rate: Rate | None
    by_days: Rate | None
    notes: tuple[str, ...] = ()


def rate_of(log_factor_per_year: float) -> Rate:
    """The rate of a price whose natural logarithm falls by `log_factor_per_year` in a year.

    Raises `FarthingError` where the factor is beyond what a number can hold.
    """
    if abs(log_factor_per_year) > 650:
        raise FarthingError("the yearly factor would have hundreds of digits; the dates are too near each other")
    months = 12 * math.log(2) / abs(log_factor_per_year) if log_factor_per_year else None
    return Rate(
        yearly_factor=math.exp(log_factor_per_year),
        half_life_months=months if log_factor_per_year > 0 else None,
        doubling_months=months if log_factor_per_year < 0 else None,
    )


def pair(from_usd: Decimal, to_usd: Decimal, start: str, end: str) -> Pair:
    """The fall from `from_usd` at `start` to `to_usd` at `end` (dates as text: 2023-03-14, or a month, 2023-03).

    Raises `FarthingError` for prices that are not above 0 (a logarithm has none), and dates that are equal or reversed.
    """
    for name, price in (("--from", from_usd), ("--to", to_usd)):
        if price <= 0:
            raise FarthingError(f"{name} {price} is not a price above 0; no factor leads from or to a free price")
    (first, by_month), (last, also) = _day("--start", start), _day("--end", end)
    if first >= last:
        how = "equal" if first == last else "reversed"
        raise FarthingError(f"the dates are {how} ({first} to {last}); --start must be before --end")
    days = (last - first).days
    calendar = (last.year - first.year) * 12 + last.month - first.month
    in_months = calendar >= 12 or (by_month and also)
    months = float(calendar) if in_months else days / MONTH_DAYS
    log_fall = math.log(from_usd / to_usd)
    long_enough = days >= SHORTEST_DAYS
    daily = rate_of(log_fall * YEAR_DAYS / days) if long_enough else None
    rate = rate_of(log_fall * 12 / months) if long_enough else None
    return Pair(
        from_usd=from_usd,
        to_usd=to_usd,
        start=first,
        end=last,
        days=days,
        months=months,
        counted_in="months" if in_months else "days",
        total_factor=float(from_usd / to_usd),
        rate=rate,
        by_days=daily,
        notes=tuple(_notes(days, calendar, in_months, by_month or also, rate, daily) + _ahead(last)),
    )


def price(option: str, text: str) -> Decimal:
    """The dollars that `text` states ("60", "$0.60", "1,000"). Raises `FarthingError` naming the option."""
    plain = text.strip().removeprefix("$")
    if "," in plain and not _THOUSANDS.fullmatch(plain):
        raise FarthingError(f"{option}: {text!r} has a comma that does not part thousands; write dollars such as 0.60")
    try:
        stated = parse_decimal(plain.replace(",", ""))
    except ValueError as error:
        raise FarthingError(f"{option}: {error}; write dollars such as 0.60") from None
    if stated > 0 and not _LEAST <= stated <= _MOST:
        raise FarthingError(f"{option} {text} is no price of tokens; write dollars such as 0.60")
    return stated


def _day(option: str, text: str) -> tuple[date, bool]:
    """The date that `text` names, and whether it names a month only (its first day then)."""
    text = text.strip()
    month = _MONTH.fullmatch(text)
    for form in () if month else _WORDED:
        try:
            return datetime.strptime(text, form).date(), True
        except ValueError:
            continue
    try:
        if month:
            return date(int(month[1]), int(month[2]), 1), True
        return datetime.fromisoformat(text).date(), False
    except ValueError:
        raise FarthingError(
            f"{option} {text!r} is not a date such as 2024-07-18, nor a month such as 2024-07"
        ) from None


def _ahead(last: date) -> list[str]:
    """That a price dated after today is nobody's yet."""
    return [f"{last} lies ahead: the last price is an assumption"] if last > datetime.now(UTC).date() else []


def _notes(
    days: int, calendar: int, in_months: bool, monthly: bool, rate: Rate | None, daily: Rate | None
) -> list[str]:
    if rate is None or daily is None:
        return [f"{days} days are too few for a yearly rate; give prices at least {SHORTEST_DAYS} days apart"]
    notes = []
    if in_months and not monthly:
        notes.append(
            f"counted in calendar months ({calendar}), as published series are; by the {days} days between the dates "
            f"it is {daily.yearly_factor:.4g} times a year"
        )
    if days < YEAR_DAYS:
        notes.append(f"the yearly figure is extrapolated from {days} days")
    if rate.yearly_factor < 1:
        notes.append("the price rose: the yearly factor is below 1 and there is no half-life")
    elif rate.yearly_factor == 1:
        notes.append("the price did not move: there is no half-life")
    return notes
