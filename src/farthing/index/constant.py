"""The price of constant capability as an index: the running minimum of what reaches a score, 100 at the base date.

A level says what the cheapest model so far at or above the score cost, against the base date. The interval of a level
is what other draws of the models would have given (percentiles; a model is drawn with all its hosts and prices, or not
at all). The yearly factor is that of the series, from its first level to its last, as of every index here; what the
line through the new lows says (`decline.fit`), which knows nothing of the time after the last of them, is a note.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from farthing.index import scores as capability
from farthing.index.capability import Market, market
from farthing.index.decline import LEVEL, Point, decline, frontier, records
from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.matched import BASE, SHORTEST_DAYS, IndexPoint, IndexSeries
from farthing.index.pair import YEAR_DAYS
from farthing.index.regression import SEED
from farthing.problems import FarthingError
from farthing.rates.family import family

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

DRAWS = 500
METHOD = "constant-capability"


def constant_capability(
    lines: Sequence[Line],
    kind: Kind,
    benchmark: str | None,
    score: float | None,
    dates: Sequence[datetime],
    base: datetime | None = None,
    level: float = LEVEL,
    reasoning: bool = False,
) -> IndexSeries:
    """The index of the price of `score` on `benchmark` at `dates`; without them of the milestone with most new lows.

    A date before any model reached the score has no level. Raises `FarthingError` for an unknown benchmark, for fewer
    than two dates, a base that is none of them, and where no model has both a price and a score.
    """
    ordered = sorted(set(dates))
    if len(ordered) < 2:
        raise FarthingError(f"an index needs prices at two dates at least, and there are {len(ordered)}")
    prices, held = _milestone(lines, kind, benchmark, score, reasoning)
    days = [moment.date() for moment in ordered]
    made = decline(
        [p for p in prices.points if p.date <= days[-1]], prices.benchmark, held, level=level, until=days[-1]
    )
    lowest = [min((p.price for p in made.lows if p.date <= day), default=None) for day in days]
    known = [n for n, price in enumerate(lowest) if price is not None]
    if base is not None and base not in ordered:
        raise FarthingError(f"the base {base:%Y-%m-%d} is not one of the series' dates")
    place = ordered.index(base) if base is not None else known[0] if known else 0
    start = lowest[place]
    notes = [f"{prices.benchmark} {held:g} or better", *made.notes, *prices.notes]
    if start is None:
        notes.append(f"no index: no model reached it by {days[place]}")
    low, high = _spread(made.models, [(day.toordinal()) for day in days], place, level)
    points = []
    seen: set[str] = set()
    for n, day in enumerate(days):
        there = {family(p.model) for p in made.models if p.date <= day}
        price = lowest[n]
        level_now = BASE * price / start if price is not None and start is not None else None
        points.append(
            IndexPoint(
                date=ordered[n],
                index=level_now,
                low=None if level_now is None else min(low[n], level_now) if low[n] == low[n] else None,
                high=None if level_now is None else max(high[n], level_now) if high[n] == high[n] else None,
                count=len(there),
                entered=len(there - seen) if n else 0,
            )
        )
        seen = there
    factor, slowest, fastest = _yearly(made.models, days, lowest, level) if made.fit else (None, None, None)
    if made.fit:
        notes.append(
            f"the line through its {made.fit.n} new lows, {made.fit.first} to {made.fit.last}, falls "
            f"{made.fit.yearly_factor:.3g} times a year"
        )
    return IndexSeries(
        method=METHOD,
        base=ordered[place],
        level=level,
        points=tuple(points),
        basket=tuple(sorted({family(p.model) for p in made.models})),
        offers=len({(p.provider, p.model) for p in made.models}),
        grade=prices.grade,
        yearly_factor=factor,
        yearly_low=slowest,
        yearly_high=fastest,
        notes=tuple(notes),
    )


def _yearly(
    models: Sequence[Point], days: Sequence[date], lowest: Sequence[float | None], level: float
) -> tuple[float | None, float | None, float | None]:
    """By how much the price fell in a year between the first and the last day that has one, and the interval that other
    draws of the models give; None where the days lie too near each other, or too few draws have a price on the first.
    """
    known = [(n, price) for n, price in enumerate(lowest) if price is not None]
    if not known:
        return None, None, None
    (first, start), (last, end) = known[0], known[-1]
    years = (days[last] - days[first]).days / YEAR_DAYS
    if years * YEAR_DAYS < SHORTEST_DAYS:
        return None, None, None
    low, high = _spread(models, [day.toordinal() for day in days], first, level)
    factor = (start / end) ** (1 / years)
    if low[last] != low[last]:  # NaN
        return factor, None, None
    slowest, fastest = (BASE / high[last]) ** (1 / years), (BASE / low[last]) ** (1 / years)
    return factor, min(factor, slowest), max(factor, fastest)


def _milestone(
    lines: Sequence[Line], kind: Kind, benchmark: str | None, score: float | None, reasoning: bool
) -> tuple[Market, float]:
    """The market of the benchmark, and the score to hold constant: the record with most new lows, if not stated."""
    names = [capability.find(benchmark).id] if benchmark is not None else [one.id for one in capability.benchmarks()]
    if benchmark is None and score is not None:
        raise FarthingError("a score means nothing without its benchmark; name one with --benchmark")
    best: tuple[tuple[int, int], Market, float] | None = None
    for name in names:
        prices = market(lines, kind, name, reasoning)
        for record in [score] if score is not None else records(prices.points):
            lows = frontier(prices.points, record)
            span = (lows[-1].date - lows[0].date).days if lows else 0
            if best is None or (len(lows), span) > best[0]:
                best = (len(lows), span), prices, record
    if best is None or not best[0][0]:
        what = benchmark if benchmark is not None else "any benchmark"
        raise FarthingError(f"no model with a dated price has the score on {what}; leave out --provider or --score")
    return best[1], best[2]


def _spread(
    models: Sequence[Point], days: Sequence[int], place: int, level: float
) -> tuple[Sequence[float], Sequence[float]]:
    """The ends of the interval of each level: NaN where a tenth of the draws have no price then.

    Draws without a price at the base date compare with nothing; where they are more than half there is no interval.
    """
    import numpy as np

    if not models:
        return [float("nan")] * len(days), [float("nan")] * len(days)
    units = sorted({family(p.model) for p in models})
    unit = np.array([units.index(family(p.model)) for p in models])
    begun = np.array([[p.date.toordinal() <= day for p in models] for day in days])
    drawn = np.random.default_rng(SEED).integers(0, len(units), (DRAWS, len(units)))
    there = np.zeros((DRAWS, len(units)), dtype=bool)
    there[np.arange(DRAWS)[:, None], drawn] = True
    prices = np.array([p.price for p in models])
    lowest = np.empty((DRAWS, len(days)))
    for n in range(len(days)):
        lowest[:, n] = np.where(there[:, unit] & begun[n], prices, np.inf).min(axis=1)
    usable = np.isfinite(lowest[:, place])
    with np.errstate(invalid="ignore"):
        ratios = BASE * lowest[usable] / lowest[usable][:, place : place + 1]
    low, high = np.full(len(days), np.nan), np.full(len(days), np.nan)
    for n in range(len(days)):
        known = ratios[np.isfinite(ratios[:, n]), n]
        if usable.mean() >= 0.5 and len(known) >= 0.9 * len(ratios):
            low[n], high[n] = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    return low.tolist(), high.tolist()
