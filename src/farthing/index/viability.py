"""Viability: when a use case that costs X today is expected to cost Y.

The cost follows the price that `forecast` says (a factor of today's). The date is the first on which the expected cost
is at most the target; `earliest` and `latest` are those of the interval's lower and upper ends. Where a price cannot
rise, P(date <= t) = P(cost at t <= target), so the ends are quantiles of the date itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import exp, log
from statistics import median

import msgspec

from farthing.index.decline import LEAST_LOWS
from farthing.index.fan import Ahead
from farthing.index.forecast import Forecast
from farthing.index.pair import YEAR_DAYS
from farthing.index.regression import line
from farthing.index.tracks import MONTH_DAYS, Track, after
from farthing.problems import FarthingError

LATE_DAYS = 92
RATE_DAYS = 183  # over less, a yearly rate is mostly extrapolation


class When(msgspec.Struct, frozen=True, kw_only=True):
    """The `day` on which a cost reaches a target; None where it cannot be said, and `notes` say why.

    `factor`: how many times cheaper it must become. `searched_until`: how far ahead the forecast was asked.
    """

    cost: float
    target: float
    factor: float
    at: date
    day: date | None
    earliest: date | None
    latest: date | None
    level: float
    searched_until: date
    notes: tuple[str, ...]


def when(cost: float, target: float, said: Forecast) -> When:
    """The date on which `cost` today (dollars, over 0) is `target` (over 0), as `said` has it, with its interval.

    Raises `FarthingError` for a cost or target that is not over 0.
    """
    checked(cost, target)
    start = said.start
    factor = cost / target
    until = said.points[-1].date if said.points else start
    if factor <= 1:
        note = "already there: the cost today is no more than the target"
        return _when(cost, target, said, (start, start, start), until, [note])
    if not said.points:
        return _when(cost, target, said, (None, None, None), until, list(said.notes))
    days = tuple(_first(said.points, end, factor) for end in ("expected", "low", "high"))
    middle, earliest, latest = days
    notes = []
    if middle is None and said.yearly_factor is not None:
        notes.append(_why_not(said.yearly_factor, until))
    if latest is None:
        notes.append(f"at the slow end of the interval it is not reached by {until}, which is as far as is looked")
    if earliest is None and middle is None:
        notes.append(f"not even at the fast end of the interval by {until}")
    return _when(cost, target, said, (middle, earliest, latest), until, [*notes, *said.notes])


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How unlike `count` series are: the least, middle and greatest yearly factor of their own lines, and the names of
    the slowest and the fastest."""

    count: int
    low: float
    median: float
    high: float
    slowest: str
    fastest: str


def rates(tracks: Sequence[Track]) -> Rates | None:
    """The yearly factors of `tracks`, each by ordinary least squares of log price on time through its steps; of those
    with four steps over half a year at least. None where there are none.

    The middle is the median of series, not of benchmarks: those with many milestones count more.
    """
    import numpy as np

    found = []
    for track in tracks:
        span = (track.steps[-1].date - track.steps[0].date).days
        if len(track.steps) < LEAST_LOWS or span < RATE_DAYS:
            continue
        years = np.array([(step.date - track.steps[0].date).days / YEAR_DAYS for step in track.steps])
        slope = line(years, np.log([step.price for step in track.steps])).slope
        found.append((exp(min(max(-slope, -60.0), 60.0)), track.name))
    if not found:
        return None
    found.sort()
    return Rates(
        count=len(found), low=found[0][0], median=median(factor for factor, _ in found), high=found[-1][0],
        slowest=found[0][1], fastest=found[-1][1],
    )  # fmt: skip


def from_day(said: Forecast, day: date) -> Forecast:
    """The same moves, counted from `day`: of a use case that costs what it costs on that day."""
    late = (day - said.start).days
    points = tuple(msgspec.structs.replace(one, date=after(day, one.months)) for one in said.points)
    notes = said.notes
    if late > LATE_DAYS:
        notes = (*notes, f"the prices it rests on are known until {said.start}: {late} days before {day}")
    return msgspec.structs.replace(said, start=day, points=points, notes=notes)


def checked(cost: float, target: float) -> None:
    """Raises `FarthingError` where an amount is not over 0 (a cost of 0 falls no further, and none falls to 0)."""
    for name, amount in (("--cost", cost), ("--target", target)):
        if not 0 < amount < float("inf"):
            raise FarthingError(f"{name} must be an amount over 0: no price falls to 0, and none rises from it")


def at_rate(
    cost: float, target: float, yearly_factor: float | None, start: date, most_years: float = 50
) -> date | None:
    """The date on which `cost` falling `yearly_factor`-fold a year reaches `target`: ln(X/Y) / ln(f) years.

    None where the rate does not fall, is not known, or takes more than `most_years`.
    """
    if cost <= target:
        return start
    if yearly_factor is None or yearly_factor <= 1:
        return None
    years = log(cost / target) / log(yearly_factor)
    return after(start, years * 12) if years <= most_years else None


def _why_not(yearly: float, until: date) -> str:
    if yearly < 0.995:
        return f"the price is expected to rise, by {1 / yearly - 1:.0%} a year: no date"
    if yearly <= 1.005:
        return "the price is expected to stay as it is: no date"
    return f"falling {yearly:.3g}-fold a year it is not reached by {until}, which is as far as is looked: no date"


def _first(points: Sequence[Ahead], end: str, factor: float) -> date | None:
    """The first day on which the price at `end` of the interval is down by `factor`; log-linear between months."""
    start = points[0].expected
    goal = log(start / factor)
    before = points[0]
    for point in points[1:]:
        value = getattr(point, end)
        if value is None:
            return None
        if log(value) <= goal + 1e-12:
            high, low = log(getattr(before, end)), log(value)
            share = (high - goal) / (high - low) if high > low else 1.0
            days = (before.months + share * (point.months - before.months)) * MONTH_DAYS
            return after(points[0].date, days / MONTH_DAYS)
        before = point
    return None


def _when(
    cost: float,
    target: float,
    said: Forecast,
    days: tuple[date | None, date | None, date | None],
    until: date,
    notes: list[str],
) -> When:
    return When(
        cost=cost, target=target, factor=cost / target, at=said.start, day=days[0], earliest=days[1], latest=days[2],
        level=said.level, searched_until=until, notes=tuple(notes),
    )  # fmt: skip
