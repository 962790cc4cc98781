"""`farthing index decline`: how fast a price falls, between two dates or at constant capability."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.common import Cards, Json, book_with, instant
from farthing.cli.index_common import Csv, Html, Mix, Png, emit
from farthing.problems import FarthingError, Problems

if TYPE_CHECKING:
    from farthing.evidence import Grade
    from farthing.index.decline import Decline, Point
    from farthing.reports.index_decline import View

_PAIR = ("--from", "--to", "--start", "--end")


def decline(
    from_usd: Annotated[str | None, typer.Option("--from", metavar="USD", help="The first price.")] = None,
    to_usd: Annotated[str | None, typer.Option("--to", metavar="USD", help="The last price.")] = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="Of the first: 2023-03-14 or 2023-03.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="Of the last price.")] = None,
    points: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own series, CSV or JSON: date, price, score, model; or wide."),
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(metavar="B", help="One benchmark only, such as gpqa-diamond.")
    ] = None,
    score: Annotated[
        list[float] | None, typer.Option(metavar="S", help="The score to hold constant; repeatable. Else each record.")
    ] = None,
    mix: Mix = "3:1",
    provider: Annotated[list[str] | None, typer.Option(metavar="P", help="These providers only; repeatable.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Prices that began on or after it.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Prices that began by it.")] = None,
    reasoning: Annotated[
        bool, typer.Option("--reasoning", help="Let scores reached by reasoning count (they cost more tokens).")
    ] = False,
    level: Annotated[float, typer.Option(metavar="L", help="Of the interval.")] = 0.9,
    year_days: Annotated[float, typer.Option(metavar="N", help="Days of a year (Epoch's study counts 365).")] = 365.25,
    card: Cards = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """How fast a price falls: between two dates, or for the cheapest model at or above a score on a benchmark."""
    from farthing.reports import index_decline as report

    given = [name for name, text in zip(_PAIR, (from_usd, to_usd, start, end), strict=True) if text is not None]
    if given:
        if points is not None or benchmark is not None or score:
            raise FarthingError("two prices (--from --to --start --end) or --points/--benchmark/--score, not both")
        if from_usd is None or to_usd is None or start is None or end is None:
            missing = ", ".join(name for name in _PAIR if name not in given)
            raise FarthingError(f"two dated prices need --from, --to, --start and --end; missing: {missing}")
        from farthing.index import pair

        made = pair.pair(pair.price("--from", from_usd), pair.price("--to", to_usd), start, end)
        view: View = report.pair_view(made)
        emit(view, report.decline_rows(view), report.pair_table, "decline", as_json, csv, html, png)
        return
    if not 0.5 <= level <= 0.99:
        raise FarthingError(f"--level {level:g} is not between 0.5 and 0.99; 0.9 is usual")
    if not 360 <= year_days <= 366:
        raise FarthingError(f"--year-days {year_days:g} is no year; 365.25, or 365 as Epoch's study counts")
    first, last = _day(since), _day(until)
    if first and last and first > last:
        raise FarthingError(f"--since {first} is after --until {last}")
    scores = sorted(set(score or ()))
    if not all(math.isfinite(one) for one in scores):
        raise FarthingError("--score is a number, such as 68")
    if points is not None:
        ours = [
            name for name, given in (("--provider", provider), ("--card", card), ("--reasoning", reasoning)) if given
        ]
        if ours:
            raise FarthingError(f"{', '.join(ours)}: of our own prices and scores; --points has its own")
        view = _of_file(points, benchmark, scores, mix, (first, last), level, year_days)
    else:
        view = _of_market(benchmark, scores, mix, provider, card, reasoning, (first, last), level, year_days)
    emit(view, report.decline_rows(view), report.decline_table, "decline", as_json, csv, html, png)


Days = tuple[date | None, date | None]


def _day(text: str | None) -> date | None:
    moment = instant(text)
    return moment.date() if moment else None


def _within(points: "Sequence[Point]", days: Days) -> "list[Point]":
    first, last = days
    return [p for p in points if (first is None or p.date >= first) and (last is None or p.date <= last)]


def _of_file(
    path: Path, benchmark: str | None, scores: list[float], mix: str, days: Days, level: float, year_days: float
) -> "View":
    from farthing.index.decline import declines
    from farthing.index.kinds import mix_from
    from farthing.index.points import read_points
    from farthing.index.scores import title_of
    from farthing.reports.index_decline import decline_view

    asked = _means(benchmark) if benchmark is not None else None

    def known(name: str) -> bool:
        return title_of(name) is not None or _means(name) == asked

    problems = Problems()
    parts = mix_from(mix)
    series = read_points(path, problems, known, (float(parts.prompt), float(parts.output)))
    held = series.points
    if asked is not None and set(held) != {None}:
        kept_names = [name for name in held if name is not None and _means(name) == asked]
        if not kept_names:
            raise FarthingError(f"{path}: no rows of {benchmark!r}; it has: {', '.join(str(name) for name in held)}")
        held = {name: held[name] for name in kept_names}
    if scores and len(held) > 1:
        raise FarthingError(f"--score of which benchmark? Name it with --benchmark: {', '.join(map(str, held))}")
    if scores and not any(point.score is not None for points in held.values() for point in points):
        raise FarthingError(f"{path}: it has no scores (a column called score), so none can be held constant")
    found: list[Decline] = []
    for name, points in held.items():
        kept = _within(points, days)
        found += declines(kept, name or benchmark, scores, level=level, year_days=year_days)
    return decline_view(found, level=level, mix=None, grade=None, notes=series.notes, problems=problems)


def _means(name: str) -> str:
    """The benchmark that `name` means, whatever its spelling."""
    from farthing.index.scores import title_of

    return title_of(name) or name.strip().casefold()


def _of_market(
    benchmark: str | None,
    scores: list[float],
    mix: str,
    providers: list[str] | None,
    cards: list[Path] | None,
    reasoning: bool,
    days: Days,
    level: float,
    year_days: float,
) -> "View":
    from farthing.evidence import worst
    from farthing.index import scores as capability
    from farthing.index.capability import lowest_in_force, market
    from farthing.index.decline import declines
    from farthing.index.kinds import blended, mix_from
    from farthing.index.lines import lines
    from farthing.reports.index_decline import decline_view

    if scores and benchmark is None:
        raise FarthingError("--score needs --benchmark: a score means nothing without one")
    wanted = [capability.find(benchmark)] if benchmark is not None else list(capability.benchmarks())
    parts = mix_from(mix)
    all_lines = lines(book_with(cards), providers=providers)
    today = datetime.now(UTC).date()
    found: list[Decline] = []
    notes: list[str] = []
    grades: list[Grade] = []
    for one in wanted:
        prices = market(all_lines, blended(parts), one.id, reasoning)
        kept = _within(prices.points, days)
        until = min(days[1] or today, today)
        made = declines(kept, one.title, scores, level=level, year_days=year_days, until=until)
        grades += [prices.grade] if kept else []
        if benchmark is None:  # the saying of what is too thin would be longer than the answer
            made = [decline for decline in made if decline.fit or len(decline.lows) > 2]
        found += made
        if made:
            notes += [note for note in prices.notes if benchmark is not None or "saturated" in note]
        if len(made) == 1 and made[0].lows and made[0].score is not None:
            notes += _in_force(
                lowest_in_force(all_lines, blended(parts), one.id, made[0].score, until), made[0].lows[-1]
            )
    if not grades:
        raise FarthingError("no price of these providers and dates has a score; leave out --provider, --since, --until")
    if benchmark is not None and not reasoning:
        notes.append("scores reached by reasoning are left out (--reasoning lets them count)")
    return decline_view(found, level=level, mix=str(parts), grade=worst(grades), notes=dict.fromkeys(notes))


def _in_force(now: "Point | None", low: "Point") -> list[str]:
    """Where what can be bought on the last day costs more than the running minimum: by how much."""
    if now is None:
        return ["no model that reaches it has a price in force now"]
    if now.price <= low.price * 1.005:
        return []
    return [
        f"on {now.date} the cheapest in force is {now.model} at {now.provider}, {now.price / low.price:.3g} times the "
        "running minimum: what was cheaper was withdrawn or became dearer"
    ]
