"""How fast the price of one capability falls: the cheapest model at or above a score, and a line through its lows.

The method is that of Epoch AI's study of March 2025, whose 21 published rates it gives back (tests/index): of the
models whose score is at or above the threshold, in the order of their dates, those enter that are strictly cheaper
than every one before (of one day, the cheapest); log10 of their price is fitted on time by ordinary least squares.

    yearly factor = 10^(-slope)          half-life = 12 ln 2 / ln(yearly factor) months

The study gives the t interval of the fit (`t_low`, `t_high`). It takes the models for given; our interval (`low`,
`high`) also asks which models might not have been there (`regression.resampled_slopes`). On synthetic markets of 6 to
40 models whose true rate is known, a 90 % interval held it in 80 to 98 of 100, where the t interval held it in 65 to
87. In a crowded market (100 models, prices scattered fourfold) it held it in 78: a running minimum starts above the
trend and overstates the fall at first, which no resampling can see.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from datetime import date

import msgspec

from farthing.index.pair import MONTH_DAYS, YEAR_DAYS, Rate, rate_of
from farthing.index.regression import SEED, line, resampled_slopes, running_lows, t_quantile
from farthing.rates.family import family

LEAST_LOWS = 4
"""Fewer lows give no line worth an interval (the study's limit, too)."""
LEAST_MODELS = 3
"""A line through the prices of two models says how they were priced, not how the market moved."""
LEAST_DAYS = 180
IDLE_DAYS = 182
"""A frontier that was not undercut for longer is said to be: the line through its lows does not show it."""
LONG_GAP_MONTHS = 12
LEVEL = 0.9
RESAMPLES = 1000
INTERVAL = (
    "bootstrap: models drawn with replacement, the running minimum and its line found again, the line's sampling error "
    f"(Student's t) added; {RESAMPLES} draws, seed {SEED}"
)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A model's price from a date on (dollars per million tokens, above 0), and its score on the benchmark at hand."""

    date: date
    price: float
    model: str
    score: float | None = None
    provider: str = ""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The line through a frontier. `low` to `high` is the interval of the yearly factor at `level`; `t_low` to
    `t_high` that of least squares alone. `at(day)` is the line's price.

    `until` is the last day of which prices are known: after the `last` low nothing was cheaper, which no line through
    the lows shows. `to_date_yearly_factor` counts that time too: (first low / last low)^(year / days to `until`).
    """

    yearly_factor: float
    low: float
    high: float
    level: float
    half_life_months: float | None
    doubling_months: float | None
    n: int
    r2: float
    first: date
    last: date
    days: int
    total_factor: float
    until: date
    to_date_yearly_factor: float
    t_low: float
    t_high: float
    slope_log10_per_year: float
    start_log10_usd: float
    year_days: float = YEAR_DAYS

    def at(self, day: date) -> float:
        """The fitted price on `day`, dollars per million tokens."""
        return float(
            10 ** (self.start_log10_usd + self.slope_log10_per_year * (day - self.first).days / self.year_days)
        )


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """The decline at one threshold: the models that reach it, which of them were a new low, and the line (None where
    they are too thin; `notes` say why)."""

    benchmark: str | None
    score: float | None
    models: tuple[Point, ...]
    lows: tuple[Point, ...]
    fit: Fit | None
    notes: tuple[str, ...]


def eligible(points: Iterable[Point], score: float | None = None) -> list[Point]:
    """The points at or above `score`, by date, the cheapest of a day first. Prices of 0 never enter a logarithm."""
    kept = (p for p in points if p.price > 0 and (score is None or (p.score is not None and p.score >= score)))
    return sorted(kept, key=lambda p: (p.date, p.price, p.model))


def frontier(points: Iterable[Point], score: float | None = None) -> list[Point]:
    """Of the points at or above `score`, those strictly cheaper than all before; one a day."""
    lows: list[Point] = []
    for point in eligible(points, score):
        if not lows or point.price < lows[-1].price:
            lows.append(point)
    return lows


def records(points: Iterable[Point]) -> list[float]:
    """The scores that were the best so far on the day they appeared: the milestones whose price is then followed."""
    scored = sorted((p for p in points if p.score is not None and p.price > 0), key=lambda p: (p.date, -(p.score or 0)))
    best: list[float] = []
    for point in scored:
        if point.score is not None and (not best or point.score > best[-1]):
            best.append(point.score)
    return best


def thin(lows: Sequence[Point]) -> str | None:
    """Why no rate can be given of these lows; None where one can."""
    if not lows:
        return "no model with a price reaches it"
    if len(lows) == 1:
        return f"no model has been cheaper than the first ({lows[0].model}, {lows[0].date})"
    if len(lows) < LEAST_LOWS:
        return f"too thin: {len(lows)} new lows, and a line needs {LEAST_LOWS}"
    models = len({_unit(low.model) for low in lows})
    if models < LEAST_MODELS:
        return f"too thin: its new lows are of {models} models, and a line needs {LEAST_MODELS}"
    days = (lows[-1].date - lows[0].date).days
    return f"too thin: its lows span {days} days, and a yearly rate needs {LEAST_DAYS}" if days < LEAST_DAYS else None


def fit(
    points: Sequence[Point],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    year_days: float = YEAR_DAYS,
    until: date | None = None,
) -> Fit | None:
    """The line through the running minimum of `points` (all that reach the score); None where `thin` says why.

    `level` is the interval's, `year_days` the days of a year (the study counts 365), `until` the last day of which
    prices are known (None: that of the last point).
    """
    import numpy as np

    entered = eligible(points)
    lows = frontier(entered)
    if thin(lows) is not None:
        return None
    first = lows[0].date
    until = max(until or entered[-1].date, entered[-1].date)
    x = np.array([(p.date - first).days / year_days for p in entered])
    y = np.log10([p.price for p in entered])
    new = running_lows(y)
    own = line(x[new], y[new])
    reach = t_quantile(level, len(lows) - 2) * own.error
    slopes = resampled_slopes(x, y, [_unit(p.model) for p in entered], own, LEAST_LOWS, resamples)
    if len(slopes) >= resamples / 5:
        steepest, flattest = (float(end) for end in np.quantile(slopes, [0.5 - level / 2, 0.5 + level / 2]))
    else:  # with so few lows hardly a draw has a line of its own: then least squares alone says how far it may be off
        steepest, flattest = own.slope - reach, own.slope + reach
    total = lows[0].price / lows[-1].price
    rate: Rate = rate_of(-own.slope * math.log(10))
    return Fit(
        yearly_factor=rate.yearly_factor,
        low=_factor(max(flattest, own.slope)),
        high=_factor(min(steepest, own.slope)),
        level=level,
        half_life_months=rate.half_life_months,
        doubling_months=rate.doubling_months,
        n=len(lows),
        r2=own.r2,
        first=first,
        last=lows[-1].date,
        days=(lows[-1].date - first).days,
        total_factor=total,
        until=until,
        to_date_yearly_factor=total ** (year_days / (until - first).days),
        t_low=_factor(own.slope + reach),
        t_high=_factor(own.slope - reach),
        slope_log10_per_year=own.slope,
        start_log10_usd=own.intercept,
        year_days=year_days,
    )


@functools.lru_cache(maxsize=10_000)
def _unit(model: str) -> str:
    """What is drawn as one: a model, however many hosts sell it and however often its price changes."""
    return family(model)


def _factor(slope: float) -> float:
    """10^-slope, at most 10^300: an interval's end may be as good as endless."""
    return float(10 ** min(300.0, max(-300.0, -slope)))


def decline(
    points: Sequence[Point],
    benchmark: str | None = None,
    score: float | None = None,
    *,
    level: float = LEVEL,
    year_days: float = YEAR_DAYS,
    resamples: int = RESAMPLES,
    until: date | None = None,
) -> Decline:
    """The decline of the price of `score` (None: of all the points, whatever they score)."""
    models = eligible(points, score)
    lows = frontier(models)
    fitted = fit(models, level=level, year_days=year_days, resamples=resamples, until=until)
    return Decline(
        benchmark=benchmark,
        score=score,
        models=tuple(models),
        lows=tuple(lows),
        fit=fitted,
        notes=tuple(_notes(lows, fitted)),
    )


def declines(
    points: Sequence[Point],
    benchmark: str | None = None,
    scores: Sequence[float] = (),
    *,
    level: float = LEVEL,
    year_days: float = YEAR_DAYS,
    until: date | None = None,
) -> list[Decline]:
    """A decline for each of `scores`; without them for every record score, and where nothing is scored for all points.

    Milestones that no later model undercut are left out unless they were asked for.
    """
    asked: Sequence[float | None] = scores or records(points) or [None]
    found = [decline(points, benchmark, score, level=level, year_days=year_days, until=until) for score in asked]
    return [one for one in found if scores or len(one.lows) > 1] or found[:1]


def _notes(lows: Sequence[Point], fitted: Fit | None) -> list[str]:
    why = thin(lows)
    if why is not None:
        return [why]
    if fitted is None:
        return []
    notes = []
    if fitted.days < YEAR_DAYS:
        notes.append(
            f"the yearly figure is extrapolated from {fitted.days} days, in which the price fell "
            f"{fitted.total_factor:.3g}-fold"
        )
    gap = max(itertools.pairwise(lows), key=lambda pair: pair[1].date - pair[0].date)
    months = (gap[1].date - gap[0].date).days / MONTH_DAYS
    if months >= LONG_GAP_MONTHS:
        notes.append(
            f"between {gap[0].date} and {gap[1].date} there is no new low: the line bridges {months:.0f} months"
        )
    idle = (fitted.until - fitted.last).days
    if idle > IDLE_DAYS:
        notes.append(
            f"no new low in the {idle / MONTH_DAYS:.0f} months since {fitted.last}; counting them, the price fell "
            f"{fitted.to_date_yearly_factor:.3g} times a year from {fitted.first} to {fitted.until}"
        )
    if fitted.low <= 1:
        notes.append(f"its {fitted.level:.0%} interval reaches below 1: these points do not settle that it falls")
    if fitted.r2 < 0.75:
        notes.append(f"the lows lie far from a line (r2 {fitted.r2:.2f}): they fell in steps, not at a rate")
    return notes
