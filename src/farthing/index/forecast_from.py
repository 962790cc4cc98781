"""What a forecast learns from: tracks made of scored models and their prices, or of anybody's points."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from farthing.evidence import Grade
from farthing.index.decline import Point, eligible, frontier, records
from farthing.index.forecast import LEAST_TRACKS, Forecast, forecast, pooled
from farthing.index.forecast_models import LEAST_MONTHS
from farthing.index.kinds import Mix
from farthing.index.tracks import Step, Track
from farthing.problems import FarthingError, Problems

GAP_DAYS = 182
_UNNAMED = re.compile(r"(row \d+)?")  # what a row without a model is called


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """`track` is what is asked of (None: a use case like any of `others`); `others` are tracks like it.

    `kind`: "constant-capability", "points", "list-price", "index" or "pooled". `name`: in words. `end`: the last day
    of which something is known; `asked`: the day from which one looks ahead (None: that same day). `count`: how many
    models' prices stand behind it. `wider`: the tracks on which a pooled forecast is tested, where not its own.
    """

    kind: str
    name: str
    track: Track | None
    others: tuple[Track, ...]
    end: date
    count: int
    asked: date | None = None
    grade: Grade | None = None
    notes: tuple[str, ...] = ()
    wider: tuple[Track, ...] = ()

    @property
    def history_months(self) -> float:
        """How long the history is that it rests on: of what is asked, or the longest of the others where nothing in
        particular is asked or that is younger than half a year."""
        asked = [self.track] if self.track is not None else self.others
        if self.track is not None and len(self.others) >= LEAST_TRACKS and self.track.months(self.end) < LEAST_MONTHS:
            asked = self.others
        return max((one.months(self.end) for one in asked), default=0.0)


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one benchmark until `until`, the last day on which new models were still scored on it."""

    points: tuple[Point, ...]
    until: date


def thresholds(points: Sequence[Point], benchmark: str, until: date | None = None) -> list[Track]:
    """The price of each milestone of a benchmark: the running minimum among models at or above each score that was
    the best so far when it came, named "BENCHMARK at SCORE". `until`: the last day on which it is known."""
    made = (_running(points, score, benchmark, until) for score in records(points))
    return [track for track in made if track is not None]


def threshold(points: Sequence[Point], benchmark: str, score: float, until: date | None = None) -> Track:
    """The price of one score of a benchmark. Raises `FarthingError` where no model reaches it."""
    made = _running(points, score, benchmark, until)
    if made is None:
        best = max((p.score for p in points if p.score is not None), default=None)
        known = f"the best score known is {best:g}" if best is not None else "nothing is scored"
        raise FarthingError(f"no model with a price reaches {score:g} on {benchmark}; {known}")
    return made


def _running(points: Sequence[Point], score: float | None, benchmark: str, until: date | None) -> Track | None:
    lows = frontier(points, score)
    if not lows:
        return None
    steps = tuple(Step(date=p.date, price=p.price, model=p.model) for p in lows)
    name = benchmark if score is None else f"{benchmark} at {score:g}"
    return Track(name=name, cluster=benchmark, steps=steps, falling=True, until=until)


def of_benchmarks(series: Mapping[str, Scored]) -> Ground:
    """All milestones of all benchmarks, for a use case like any of them."""
    tracks = [track for name, one in series.items() for track in thresholds(one.points, name, one.until)]
    models = {point.model for one in series.values() for point in one.points}
    (only, *more) = series
    name = f"a use case like any of {len(series)} benchmarks" if more else f"a use case like those of {only}"
    return Ground(
        kind="pooled", name=name, track=None, others=tuple(tracks), end=max(one.until for one in series.values()),
        count=len(models), notes=(_few_models(tracks),),
    )  # fmt: skip


def _few_models(tracks: Sequence[Track]) -> str:
    lows = {step.model for track in tracks for step in track.steps}
    kinds = {track.cluster for track in tracks}
    return (
        f"{len(tracks)} milestones of {len(kinds)} benchmark{'s' if len(kinds) > 1 else ''} rest on the {len(lows)} "
        "models that were ever the cheapest: they are less independent than they are many"
    )


def of_benchmark(series: Mapping[str, Scored], benchmark: str, score: float) -> Ground:
    """One score of a benchmark, with the milestones of all benchmarks to learn from. Raises `FarthingError` for a
    benchmark that is not there, and for a score that nothing reaches."""
    if benchmark not in series:
        raise FarthingError(f"no scores of benchmark {benchmark!r}; there are {', '.join(sorted(series))}")
    own = series[benchmark]
    track = threshold(own.points, benchmark, score, own.until)
    others = [one for name, some in series.items() for one in thresholds(some.points, name, some.until)]
    return Ground(
        kind="constant-capability", name=track.name, track=track,
        others=tuple(one for one in others if one.name != track.name), end=own.until,
        count=len(eligible(own.points, score)),
    )  # fmt: skip


def of_points(points: Sequence[Point], name: str, score: float | None, pool: bool) -> Ground:
    """Anybody's points. Scored ones: the running minimum at `score` (none: the lowest milestone, or with `pool` a use
    case like any of the milestones). Points of several models without scores: their running minimum. Points of one
    model, or of none that is named: the series as it is, which may rise."""
    usable = [point for point in points if point.price > 0]
    if not usable:
        raise FarthingError(f"{name}: no point has a price over 0")
    end = _last(usable)
    if any(point.score is not None for point in usable):
        tracks = thresholds(usable, name)
        if pool and score is None and len(tracks) > 1:
            return Ground(kind="pooled", name=f"a use case like those of {name}", track=None, others=tuple(tracks),
                          end=end, count=len(usable))  # fmt: skip
        first = min(records(usable))
        track = threshold(usable, name, first if score is None else score)
        note = f"no --score: of the models at or above {first:g}, the lowest milestone" if score is None else ""
        return Ground(
            kind="points", name=track.name, track=track, others=tuple(one for one in tracks if one.name != track.name),
            end=end, count=len(eligible(usable, first if score is None else score)), notes=(note,) if note else (),
        )  # fmt: skip
    if score is not None:
        raise FarthingError(f"{name}: --score {score:g} asks for a column of scores, and there is none")
    if len({point.model for point in usable if not _UNNAMED.fullmatch(point.model)}) > 1:
        running = _running(usable, None, name, None)
        note = "several models and no scores: the running minimum of all, as if they were equally capable"
        return Ground(kind="points", name=name, track=running, others=(), end=end, count=len(usable), notes=(note,))
    return Ground(kind="points", name=name, track=_as_it_is(usable, name), others=(), end=end, count=len(usable))


def _as_it_is(points: Sequence[Point], name: str) -> Track:
    """The last price of each day."""
    steps = [
        list(some)[-1] for _, some in itertools.groupby(sorted(points, key=lambda p: p.date), key=lambda p: p.date)
    ]
    return Track(name=name, cluster=name, steps=tuple(Step(date=p.date, price=p.price, model=p.model) for p in steps))


def of_file(path: Path, mix: Mix, benchmark: str | None, score: float | None, until: date | None, pool: bool) -> Ground:
    """The points of a file (see `points.read_points`), of `benchmark` where it has several, until `until`.

    Raises `FarthingError` for a file without such points.
    """
    from farthing.index.points import read_points
    from farthing.index.scores import title_of

    def known_name(name: str) -> bool:
        return title_of(name) is not None

    problems = Problems()
    read = read_points(path, problems, known_name, (float(mix.prompt), float(mix.output)))
    last = until or datetime.now(UTC).date()  # what is dated later is nobody's price yet
    series = {
        name or path.name: tuple(point for point in some if point.date <= last) for name, some in read.points.items()
    }
    series = {name: some for name, some in series.items() if some}
    if not series:
        raise FarthingError(f"{path}: no point on or before {last}")
    ground = _of_series(series, path, title_of(benchmark) or benchmark if benchmark else None, score, pool)
    notes = [*ground.notes, *read.notes, *_gaps(series.values())]
    if problems.total:
        notes.append(f"{problems.total} rows could not be read and were left out; the first is {problems.kept[0]}")
    return msgspec.structs.replace(ground, asked=until, notes=tuple(notes))


def _gaps(series: Iterable[Sequence[Point]]) -> list[str]:
    """Where a series says nothing for so long that its last price cannot be taken to have held unsaid."""
    told = []
    for points in series:
        if any(point.score is not None for point in points):
            continue  # days on which models came: none came in between
        days = sorted({point.date for point in points})
        steps = [(after - before).days for before, after in itertools.pairwise(days)]
        if steps and max(steps) > max(GAP_DAYS, 4 * statistics.median(steps)):
            place = steps.index(max(steps))
            told.append(f"nothing is stated from {days[place]} to {days[place + 1]}: the price is taken to have held")
    return told


def _of_series(
    series: Mapping[str, tuple[Point, ...]], path: Path, benchmark: str | None, score: float | None, pool: bool
) -> Ground:
    """What is asked of a file's points by benchmark."""
    if len(series) == 1:
        ((name, some),) = series.items()
        if benchmark not in (None, name) and name != path.name:
            raise FarthingError(f"{path}: no points of {benchmark!r}; it has {name}")
        return of_points(some, name, score, pool)
    scored = {name: Scored(points=some, until=_last(some)) for name, some in series.items()}
    if benchmark is None:
        if pool and score is None:
            return of_benchmarks(scored)
        raise FarthingError(f"{path}: it has several benchmarks; name one of {', '.join(sorted(series))} (--benchmark)")
    if benchmark not in series:
        raise FarthingError(f"{path}: no points of {benchmark!r}; it has {', '.join(sorted(series))}")
    return (
        of_points(series[benchmark], benchmark, score, pool)
        if score is None
        else of_benchmark(scored, benchmark, score)
    )


def look_ahead(ground: Ground, months: int, level: float) -> Forecast:
    """The forecast of what `ground` asks, `months` after its end."""
    if ground.track is None:
        return pooled(ground.others, ground.end, months, level, ground.name, ground.wider)
    return forecast(ground.track, ground.others, ground.end, months, level)


def _last(points: Iterable[Point]) -> date:
    """The last day of which a point speaks."""
    last = max((point.date for point in points), default=None)
    if last is None:
        raise FarthingError("there are no points to forecast from")
    return last
