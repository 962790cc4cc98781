"""The hedonic index: what prices did at equal quality, by time dummies in a regression of log price on capability.

    pooled     ln p = δ(t) + β c + γ z + error      over all dates at once; index = 100 exp(δ(t) - δ(base))
    adjacent   the same over each two neighbouring dates, the two δ's difference chained

(Triplett, Handbook on Hedonic Indexes, OECD 2004, chapter 3.) `c` is the model's capability in log-odds: ln(s/(1-s)) of
the share s answered rightly, or ln 10 / 400 times an Elo rating. `z`: whether the score was reached by reasoning, and
whether the offer is the maker's own. An observation is an offer with a price and a score at a date.

The interval draws model families again with replacement (hosts and dates of one model are not independent
observations), 400 times, and takes percentiles, widened by Student's t over the normal quantile and √(G/(G-1)) for G
families. `exp` of an estimate is not corrected for its variance; with the numbers here that is a fraction of a percent.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec

from farthing.evidence import Grade, worst
from farthing.index import scores as capability
from farthing.index.decline import LEVEL
from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.matched import BASE, SHORTEST_DAYS, IndexPoint, IndexSeries
from farthing.index.pair import YEAR_DAYS
from farthing.index.regression import SEED, t_quantile
from farthing.problems import FarthingError

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

FEWEST = 5
"""Families priced at a date, below which it has no level."""
DRAWS = 400


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """An offer at the date numbered `at`: its log price, log-odds of capability, and attributes (0 or 1)."""

    at: int
    family: str
    offer: str
    log_price: float
    capability: float
    attributes: tuple[float, ...] = ()
    grade: Grade = Grade.MEASURED


def log_odds(value: float, unit: str) -> float:
    """A score as log-odds: percent between 0 and 100 (held half a point from both), or an Elo rating."""
    if unit == "elo":
        return value * math.log(10) / 400
    share = min(max(value, 0.5), 99.5) / 100
    return math.log(share / (1 - share))


def hedonic(
    lines: Sequence[Line],
    kind: Kind,
    dates: Sequence[datetime],
    benchmark: str | None = None,
    base: datetime | None = None,
    level: float = LEVEL,
    adjacent: bool = False,
) -> IndexSeries:
    """The hedonic index of `lines` at `dates`, capability being the score on `benchmark` (None: the one that most of
    the models have). Raises `FarthingError` for an unknown benchmark or base, or fewer than two dates."""
    ordered = sorted(set(dates))
    title = capability.find(benchmark) if benchmark is not None else _commonest(lines)
    found, free, unscored = observations(lines, kind, title, ordered)
    notes = [f"quality is the score on {title.title}"]
    if unscored:
        notes.append(f"{unscored} lines have no score on it")
    if free:
        notes.append(f"{free} prices are free ($0) and enter no logarithm")
    return of_observations(found, ordered, base, level, adjacent, notes)


def _commonest(lines: Sequence[Line]) -> capability.Benchmark:
    def covered(one: capability.Benchmark) -> int:
        known = capability.by_key(one.id, reasoning=True)
        return len({line.family for line in lines if line.id in known or line.family in known})

    return max(capability.benchmarks(), key=covered)


def observations(
    lines: Sequence[Line], kind: Kind, benchmark: capability.Benchmark, dates: Sequence[datetime]
) -> tuple[list[Observation], int, int]:
    """The priced and scored offers at each date; how many prices were free, and how many lines have no score."""
    plain, any_way = capability.by_key(benchmark.id), capability.by_key(benchmark.id, reasoning=True)
    found: list[Observation] = []
    free = unscored = 0
    for line in lines:
        releases = plain.get(line.id) or plain.get(line.family) or any_way.get(line.id) or any_way.get(line.family)
        if releases is None:
            unscored += 1
            continue
        for at, moment in enumerate(dates):
            quote = line.at(moment)
            price = kind(quote) if quote is not None else None
            free += price == 0
            score = capability.on(releases, moment.date())
            if quote is None or not price or score is None:
                continue
            found.append(
                Observation(
                    at=at,
                    family=line.family,
                    offer=line.id,
                    log_price=math.log(price),
                    capability=log_odds(score.value, benchmark.unit),
                    attributes=(float(score.reasoning), float(line.first_party)),
                    grade=min(quote.source.grade, score.source.grade),
                )
            )
    return found, free, unscored


def of_observations(
    found: Sequence[Observation],
    dates: Sequence[datetime],
    base: datetime | None = None,
    level: float = LEVEL,
    adjacent: bool = False,
    notes: Sequence[str] = (),
) -> IndexSeries:
    """The index of `found`. A date at which fewer than `FEWEST` families are priced has no level, and is said."""
    import numpy as np

    if len(dates) < 2:
        raise FarthingError(f"an index needs prices at two dates at least, and there are {len(dates)}")
    if base is not None and base not in dates:
        raise FarthingError(f"the base {base:%Y-%m-%d} is not one of the series' dates")
    told = list(notes)
    there = [{o.family for o in found if o.at == n} for n in range(len(dates))]
    kept = [n for n in range(len(dates)) if len(there[n]) >= FEWEST]
    place = list(dates).index(base) if base is not None else kept[0] if kept else 0
    if len(kept) < len(dates):
        told.append(f"{len(dates) - len(kept)} of {len(dates)} dates have fewer than {FEWEST} scored models: no level")
    levels = np.full(len(dates), np.nan)
    drawn = np.full((DRAWS, len(dates)), np.nan)
    used = [o for o in found if o.at in set(kept)]
    if place in kept and len(kept) > 1:
        fitted = (_adjacent if adjacent else _pooled)(used, kept)
        levels[kept], drawn[:, kept] = fitted[0], fitted[1:]
        levels, drawn = levels - levels[place], drawn - drawn[:, place : place + 1]
    else:
        told.append("no index: too few dates have enough models with a price and a score")
    families = sorted({o.family for o in used})
    wide = _widening(len(families), level)
    points = [_point(n, date, levels, drawn, there, level, wide) for n, date in enumerate(dates)]
    rate = _rate(dates, levels, drawn, level, wide)
    return IndexSeries(
        method="hedonic-adjacent" if adjacent else "hedonic",
        base=dates[place],
        level=level,
        points=tuple(points),
        basket=tuple(families),
        offers=len({o.offer for o in used}),
        grade=worst(o.grade for o in used),
        yearly_factor=rate[0],
        yearly_low=rate[1],
        yearly_high=rate[2],
        notes=tuple(told),
    )


def _pooled(found: Sequence[Observation], kept: Sequence[int]) -> "Floats":
    """δ of each kept date: first as estimated, then of each draw of families."""
    import numpy as np

    column = {n: place for place, n in enumerate(kept)}
    size = len(kept)
    rows = np.zeros((len(found), size + 1 + len(found[0].attributes)))
    for row, o in zip(rows, found, strict=True):
        row[column[o.at]] = 1.0
        row[size:] = (o.capability, *o.attributes)
    return _solve(rows, np.array([o.log_price for o in found]), found, size)


def _adjacent(found: Sequence[Observation], kept: Sequence[int]) -> "Floats":
    """As `_pooled`, each step from a regression over two neighbouring dates alone, chained."""
    import numpy as np

    steps = [np.zeros(DRAWS + 1)]
    names = {o.family: None for o in found}
    for before, after in pairwise(kept):
        pair = [o for o in found if o.at in (before, after)]
        deltas = _pooled_over(pair, (before, after), list(names))
        steps.append(steps[-1] + deltas[:, 1] - deltas[:, 0])
    return np.stack(steps, axis=1)


def _pooled_over(found: Sequence[Observation], kept: Sequence[int], names: Sequence[str]) -> "Floats":
    import numpy as np

    rows = np.array([[float(o.at == kept[0]), float(o.at == kept[1]), o.capability, *o.attributes] for o in found])
    return _solve(rows, np.array([o.log_price for o in found]), found, 2, names)


def _solve(
    rows: "Floats", y: "Floats", found: Sequence[Observation], size: int, names: Sequence[str] | None = None
) -> "Floats":
    """Least squares of `y` on `rows`, as they are and for each draw of families; the first `size` coefficients.

    A draw that leaves a date without observations says nothing of it: NaN there.
    """
    import numpy as np

    keep = [n for n in range(rows.shape[1]) if n < size or np.ptp(rows[:, n]) > 0]  # what never varies explains nothing
    rows = rows[:, keep]
    families = list(names if names is not None else dict.fromkeys(o.family for o in found))
    place = {family: n for n, family in enumerate(families)}
    member = np.array([place[o.family] for o in found])
    width = rows.shape[1]
    squares = np.zeros((len(families), width, width))
    products = np.zeros((len(families), width))
    np.add.at(squares, member, rows[:, :, None] * rows[:, None, :])
    np.add.at(products, member, rows * y[:, None])
    draws = np.random.default_rng(SEED).multinomial(len(families), np.full(len(families), 1 / len(families)), DRAWS)
    weights = np.vstack([np.ones(len(families)), draws.astype(float)])
    left = np.einsum("df,fij->dij", weights, squares)
    right = weights @ products
    left += 1e-9 * np.eye(width)  # a draw may leave out all that tells two columns apart
    solved: Floats = np.linalg.solve(left, right[:, :, None])[:, :, 0][:, :size]
    solved[np.einsum("dii->di", left)[:, :size] < 0.5] = np.nan
    return solved


def _widening(families: int, level: float) -> float:
    if families < 3:
        return 1.0
    normal = NormalDist().inv_cdf(0.5 + level / 2)
    return t_quantile(level, families - 1) / normal * math.sqrt(families / (families - 1))


def _ends(middle: float, drawn: "Floats", level: float, wide: float) -> tuple[float | None, float | None]:
    """The interval of a log level; None where a twentieth of the draws say nothing of it."""
    import numpy as np

    known = drawn[np.isfinite(drawn)]
    if len(known) < 0.95 * len(drawn) or not math.isfinite(middle):
        return None, None
    low, high = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    return middle + wide * min(float(low) - middle, 0.0), middle + wide * max(float(high) - middle, 0.0)


def _point(
    n: int,
    date: datetime,
    levels: "Floats",
    drawn: "Floats",
    there: Sequence[set[str]],
    level: float,
    wide: float,
) -> IndexPoint:
    middle = float(levels[n])
    low, high = _ends(middle, drawn[:, n], level, wide)
    before = there[n - 1] if n else there[n]
    return IndexPoint(
        date=date,
        index=BASE * math.exp(middle) if math.isfinite(middle) else None,
        low=None if low is None else BASE * math.exp(low),
        high=None if high is None else BASE * math.exp(high),
        count=len(there[n]),
        entered=len(there[n] - before),
        left=len(before - there[n]),
    )


def _rate(
    dates: Sequence[datetime], levels: "Floats", drawn: "Floats", level: float, wide: float
) -> tuple[float | None, float | None, float | None]:
    """The yearly factor between the first and the last level, and its interval."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(levels))
    if len(known) < 2:
        return None, None, None
    first, last = int(known[0]), int(known[-1])
    days = (dates[last] - dates[first]).total_seconds() / 86400
    if days < SHORTEST_DAYS:
        return None, None, None
    power = YEAR_DAYS / days
    fall = float(levels[first] - levels[last])
    low, high = _ends(fall, drawn[:, first] - drawn[:, last], level, wide)
    return (
        math.exp(fall * power),
        None if low is None else math.exp(low * power),
        None if high is None else math.exp(high * power),
    )
