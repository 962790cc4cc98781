"""What a forecast learns from in the market: scored models, list prices, the matched-model index."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec

from farthing.evidence import worst
from farthing.index import matched, scores
from farthing.index.capability import market
from farthing.index.forecast_from import Ground, Scored, of_benchmark, of_benchmarks
from farthing.index.kinds import Kind
from farthing.index.line import Line, Quote
from farthing.index.panel import grid
from farthing.index.tracks import Step, Track
from farthing.problems import FarthingError

FOLLOWED = timedelta(days=92)
"""A benchmark counts as followed for a quarter after its newest scored model, in which hosts list it; after that its
prices are not unchanged but unknown: cheaper models came that nobody scored on it."""
MATCHED_DAYS = 731
"""The rate of matched list prices is that of the last two years."""


def of_market(
    lines: Sequence[Line],
    kind: Kind,
    benchmark: str | None,
    score: float | None,
    end: date,
    reasoning: bool = False,
) -> Ground:
    """Our scores joined to prices: one score of a benchmark, any of its milestones, or those of all benchmarks.
    `reasoning`: scores that were reached by reasoning count too, whose tokens the price does not show.

    Raises `FarthingError` for an unknown benchmark, and for a score that no priced model reaches.
    """
    wanted = scores.find(benchmark).title if benchmark is not None else None
    series: dict[str, Scored] = {}
    grades = []
    for one in scores.benchmarks():
        known = (found for found in scores.scores(one.id) if reasoning or not found.reasoning)
        released = [found.released for found in known if found.released <= end]
        if not released:
            continue
        until = min(end, max(released) + FOLLOWED)
        found = market(lines, kind, one.id, reasoning)
        points = tuple(point for point in found.points if point.date <= until)
        if points:
            series[found.benchmark] = Scored(points=points, until=until)
            grades.append(found.grade)
    if not series or (wanted is not None and wanted not in series):
        raise FarthingError(f"no model with a score{f' on {wanted}' if wanted else ''} had a price by {end}")
    if wanted is not None and score is not None:
        ground = of_benchmark(series, wanted, score)
    else:
        ground = of_benchmarks(series if wanted is None else {wanted: series[wanted]})
    if wanted is not None and score is None:
        ground = msgspec.structs.replace(ground, wider=of_benchmarks(series).others)
    last = ground.end
    notes = ground.notes
    if reasoning:
        notes += ("scores reached by reasoning count too: an answer then costs more tokens than its price shows",)
    if (end - last).days > FOLLOWED.days:
        how = "" if reasoning else " that it reached without reasoning (--reasoning counts those)"
        notes += (f"no model newer than {last - FOLLOWED} has a score here{how}",)
    return msgspec.structs.replace(ground, asked=end, grade=worst(grades), notes=notes)


def of_line(lines: Sequence[Line], wanted: str, kind: Kind, end: date) -> Ground:
    """The list price of one offer ("provider/model"), with every other offer's to learn how such prices change.

    Raises `FarthingError` where the offer has no dated price of that kind.
    """
    target = next((line for line in lines if line.id == wanted), None)
    if target is None:
        ids = [line.id for line in lines]
        near = [one for one in ids if wanted.rpartition("/")[2] in one][:5] or difflib.get_close_matches(wanted, ids, 3)
        hint = f"; did you mean {', '.join(near)}?" if near else "; farthing prices list shows the offers"
        raise FarthingError(f"no dated price of {wanted!r}{hint}")
    track = line_track(target, kind, end)
    if track is None:
        raise FarthingError(f"{wanted}: no price over 0 of that kind is known on {end}")
    others = [one for one in (line_track(line, kind, end) for line in lines if line.id != wanted) if one is not None]
    grades = [quote.source.grade for quote in target.quotes]
    return Ground(
        kind="list-price", name=wanted, track=track, others=tuple(others), end=end, count=1 + len(others),
        grade=worst(grades),
    )  # fmt: skip


def line_track(line: Line, kind: Kind, end: date) -> Track | None:
    """The prices of a line until `end` as a track: its last run without a gap. None where it has none over 0."""
    run: list[tuple[Quote, float]] = []
    for quote in line.quotes:
        price = kind(quote)
        if quote.start.date() > end:
            break
        if run and run[-1][0].end != quote.start and run[-1][0].end is not None:
            run = []
        if price is None or price <= 0:
            run = []
            continue
        run.append((quote, float(price)))
    if not run:
        return None
    last = run[-1][0].end
    until = last.date() if last is not None and last.date() <= end else None
    steps = {quote.start.date(): Step(date=quote.start.date(), price=price, model=line.model) for quote, price in run}
    return Track(name=line.id, cluster=line.provider, steps=tuple(steps.values()), until=until)


def of_matched(lines: Sequence[Line], kind: Kind, end: datetime) -> Ground:
    """The matched-model index of list prices (Jevons, by month), as a price."""
    first = min((quote.start for line in lines for quote in line.quotes), default=end)
    series = matched.series(lines, kind, "jevons", grid(first, end))
    values = [(point.date.date(), point.index) for point in series.points if point.index is not None]
    steps = tuple(Step(date=day, price=value) for day, value in values)
    name = "matched-model index of list prices"
    return Ground(
        kind="index", name=name, track=Track(name=name, cluster=name, steps=steps), others=(), end=end.date(),
        count=series.count, grade=series.grade, notes=series.notes,
    )  # fmt: skip


def matched_rate(lines: Sequence[Line], kind: Kind, end: datetime) -> matched.IndexSeries | None:
    """How matched list prices moved in the two years before `end`, by quarter; None where too few are known."""
    dates = grid(end - timedelta(days=MATCHED_DAYS), end, "quarter")
    found = matched.series(lines, kind, "jevons", dates)
    return found if found.yearly_factor is not None else None
