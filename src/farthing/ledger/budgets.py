"""Budgets as the ledger counts them: nanodollars, UTC periods, and the purse that a budget has in each period."""

import hashlib
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec

NANO = 1_000_000_000
"""Nanodollars in a dollar. A charge is rounded up to the next one (`nano_up`), so a sum is never below the truth."""
LARGEST_USD = 1_000_000_000
"""The largest budget, in dollars: sums of nanodollars stay within 64 bits."""
PERIODS = ("day", "week", "month", "total")
EVER = "ever"
_LONGEST = 200  # characters of a purse's name: a name can come from a request


class BudgetRef(msgspec.Struct, frozen=True):
    """A budget that a request must stay within.

    `id` is its scope ("key:k_3f…", "user:alice", "feature:search", "team:ml", "all"); `limit` nanodollars in each
    `period` (a UTC day, an ISO week from Monday, a calendar month, or total). A budget that is not `hard` counts
    and warns, and never refuses. Two budgets of one scope and period share what was spent.
    """

    id: str
    limit: int
    period: str = "month"
    hard: bool = True


class Span(msgspec.Struct, frozen=True):
    """One period: its name in a purse's id, and its half-open interval in seconds since 1970."""

    name: str
    start_s: float
    end_s: float


def nano_up(usd: Fraction) -> int:
    """`usd` in nanodollars, rounded up."""
    return -((-usd.numerator * NANO) // usd.denominator)


def usd(nano: int) -> Fraction:
    """Nanodollars as exact dollars."""
    return Fraction(nano, NANO)


def span_at(period: str, now_s: float) -> Span:
    """The period that holds the instant `now_s` (seconds since 1970)."""
    if period == "total":
        return Span(EVER, float("-inf"), float("inf"))
    day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        start, end = day, day + timedelta(days=1)
    elif period == "week":
        start = day - timedelta(days=day.weekday())
        end = start + timedelta(days=7)
    elif period == "month":
        start = day.replace(day=1)
        end = (start + timedelta(days=31)).replace(day=1)
    else:
        raise ValueError(f"period {period!r} is not one of {', '.join(PERIODS)}")
    return Span(start.date().isoformat(), start.timestamp(), end.timestamp())


def purse_id(budget: BudgetRef, span: Span) -> str:
    """The name of `budget`'s purse in `span`: "key:k_3f…/month@2026-11-01", "all/total@ever".

    A scope's name may be a client's word: what no database takes is replaced, and what is long is told by its hash.
    """
    scope = budget.id
    if not scope.isascii() or "\0" in scope:
        scope = scope.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if len(scope) > _LONGEST:
        scope = f"{scope[:_LONGEST]}~{hashlib.sha256(scope.encode()).hexdigest()[:16]}"
    return f"{scope}/{budget.period}@{span.name}"
