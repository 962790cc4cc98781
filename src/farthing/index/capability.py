"""Prices joined to scores: what each model at each provider cost from a day on, and what it was capable of."""

from collections import Counter
from collections.abc import Iterable
from datetime import date

import msgspec

from farthing.evidence import Grade, worst
from farthing.index import scores
from farthing.index.decline import Point
from farthing.index.kinds import Kind
from farthing.index.line import Line

DROPPED = {
    "unscored": "left out for want of a score on it",
    "early": "left out as begun before the first release that has a score",
    "free": "left out as free ($0)",
    "unpriced": "left out for want of a price that the mix needs",
}


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one benchmark. `dropped` counts lines by reason; `grade` is the worst that a point rests on."""

    benchmark: str
    points: tuple[Point, ...]
    dropped: dict[str, int]
    grade: Grade
    notes: tuple[str, ...]


def market(lines: Iterable[Line], kind: Kind, benchmark: str, reasoning: bool = False) -> Market:
    """Every price of every line of which a score on `benchmark` is known, as a point on the day it began.

    Without `reasoning` scores that a model reached by thinking first are left out, as the published study does: what
    such an answer costs is not in the price of a token. Raises `FarthingError` for an unknown benchmark.
    """
    known = scores.by_key(benchmark, reasoning)
    points: list[Point] = []
    grades: set[Grade] = set()
    dropped: Counter[str] = Counter()
    for line in lines:
        releases = known.get(line.id) or known.get(line.family)
        if releases is None:
            dropped["unscored"] += 1
            continue
        for quote in line.quotes:
            price = kind(quote)
            if not price:
                dropped["free" if price == 0 else "unpriced"] += 1
                continue
            day = quote.start.date()
            score = scores.on(releases, day)
            if score is None:
                dropped["early"] += 1
                continue
            grades |= {quote.source.grade, score.source.grade}
            points.append(
                Point(date=day, price=float(price), model=line.model, score=score.value, provider=line.provider)
            )
    title = scores.find(benchmark)
    return Market(
        benchmark=title.title,
        points=tuple(sorted(points, key=lambda p: (p.date, p.price))),
        dropped=dict(dropped),
        grade=worst(grades),
        notes=tuple(_notes(title, points, dropped, reasoning)),
    )


def _notes(title: scores.Benchmark, points: list[Point], dropped: Counter[str], reasoning: bool) -> list[str]:
    notes = []
    best = max((p.score or 0 for p in points), default=0)
    if title.unit == "percent" and best >= scores.SATURATED:
        notes.append(f"{title.title} is saturated (best {best:g}): its upper thresholds no longer tell models apart")
    for reason, count in sorted(dropped.items()):
        notes.append(f"{DROPPED[reason]}: {count:,} {'lines' if reason == 'unscored' else 'prices'}")
    if reasoning:
        notes.append("scores reached by reasoning count too: an answer then costs more tokens than its price shows")
    notes += scores.conflicts(scores.scores(title.id))[:3]
    return notes


def lowest_in_force(lines: Iterable[Line], kind: Kind, benchmark: str, score: float, day: date) -> Point | None:
    """The cheapest price on `day` itself of a model at or above `score`: above the running minimum where the cheapest
    model was withdrawn or became dearer."""
    known = scores.by_key(benchmark)
    found: list[Point] = []
    for line in lines:
        releases = known.get(line.id) or known.get(line.family)
        reached = scores.on(releases, day) if releases else None
        if reached is None or reached.value < score:
            continue
        for quote in line.quotes:
            price = kind(quote)
            if quote.start.date() <= day and (quote.end is None or day < quote.end.date()) and price:
                found.append(
                    Point(date=day, price=float(price), model=line.model, score=reached.value, provider=line.provider)
                )
    return min(found, key=lambda p: p.price, default=None)
