"""`farthing index forecast` and `farthing index viability`: where a price goes, and when a use case will pay."""

import re
from datetime import UTC, date, datetime
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from farthing.cli.common import At, Cards, Json, book_with, instant
from farthing.cli.index_common import Csv, Html, Mix, Png, emit
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.index.forecast_from import Ground
    from farthing.index.line import Line

Benchmark = Annotated[str | None, typer.Option("--benchmark", metavar="B", help="What the work is like: gpqa, mmlu, …")]
Score = Annotated[float | None, typer.Option("--score", metavar="S", help="The score that is good enough.")]
Points = Annotated[
    Path | None, typer.Option("--points", metavar="FILE", help="A series of yours: date, price[, score, model] (CSV).")
]
Reasoning = Annotated[
    bool, typer.Option("--reasoning", help="Let scores reached by reasoning count (they cost more tokens).")
]
Level = Annotated[float, typer.Option("--level", metavar="P", help="Of the interval: 0.9 is nine times in ten.")]
_LENGTH = re.compile(r"(\d{1,4})\s*(m|mo|months?|y|years?)?", re.IGNORECASE)
_MOST_MONTHS = 240
_USUAL_MONTHS = 24


def forecast(
    benchmark: Benchmark = None,
    score: Score = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="PROVIDER/MODEL", help="The list price of one offer.")
    ] = None,
    points: Points = None,
    series: Annotated[
        str | None, typer.Option("--series", metavar="NAME", help="index: the matched-model index of list prices.")
    ] = None,
    horizon: Annotated[
        str | None, typer.Option("--horizon", metavar="24m", help="How far: 18m, 2y, or a date.", show_default="24m")
    ] = None,
    reasoning: Reasoning = False,
    mix: Mix = "3:1",
    level: Level = 0.9,
    at: At = None,
    card: Cards = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """Where a price goes, with an interval that a back-test earned; without a series, a use case like the benchmarks'.

    Example: farthing index forecast --benchmark gpqa-diamond --score 50 --horizon 24m
    """
    from farthing.index.forecast import furthest_months
    from farthing.index.forecast_from import look_ahead
    from farthing.index.tracks import MONTH_DAYS
    from farthing.reports.index_forecast import forecast_rows, forecast_table, forecast_view

    _checked_level(level)
    _one_of(benchmark=None if points else benchmark, model=model, points=points, series=series)
    far = _parsed_horizon(horizon)
    market = _Market(mix, instant(at), card)
    ground = _ground(market, benchmark, score, model, points, series, reasoning, pool=False)
    history, asked = ground.history_months, ground.asked or ground.end
    since = round((asked - ground.end).days / MONTH_DAYS)  # months between the last price known and the day asked
    most = min(furthest_months(history), _MOST_MONTHS) - since
    months = _months(far, asked)
    if months > most and horizon is not None and history:
        raise FarthingError(
            f"{months} months ahead is too far for a history of {history:.0f} months until {ground.end}: "
            + (f"at most --horizon {most}m" if most >= 1 else "nothing can be said")
        )
    if months > most:
        note = f"it looks as far ahead as the history allows, not {_USUAL_MONTHS} months: at most twice its length"
        ground = replace(ground, notes=(*ground.notes, note))
    said = look_ahead(ground, max(1, since + min(months, most)), level)
    view = forecast_view(said, ground, None if points else str(market.mix))
    emit(view, forecast_rows(view), forecast_table, "forecast", as_json, csv, html, png)


def viability(
    cost: Annotated[str | None, typer.Option("--cost", metavar="USD", help="What it costs today.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="USD", help="What it may cost to pay.")] = None,
    benchmark: Benchmark = None,
    score: Score = None,
    points: Points = None,
    reasoning: Reasoning = False,
    mix: Mix = "3:1",
    level: Level = 0.9,
    at: At = None,
    card: Cards = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """When a use case that costs X today is expected to cost Y, if it moves to cheaper models as good as these.

    Example: farthing index viability --cost 0.50 --target 0.05
    """
    from farthing.index.forecast import furthest_months
    from farthing.index.forecast_from import look_ahead
    from farthing.index.viability import checked, from_day, rates, when
    from farthing.reports.index_viability import viability_rows, viability_table, viability_view

    if cost is None or target is None:
        raise FarthingError("state both amounts: --cost 0.50 (today) and --target 0.05 (what would pay)")
    now, goal = _amount("--cost", cost), _amount("--target", target)
    checked(now, goal)
    _checked_level(level)
    market = _Market(mix, instant(at), card)
    ground = _ground(market, benchmark, score, None, points, None, reasoning, pool=True)
    furthest = max(1, min(furthest_months(ground.history_months), _MOST_MONTHS))
    said = from_day(look_ahead(ground, furthest, level), market.end.date())
    found = when(now, goal, said)
    spread = rates([ground.track] if ground.track is not None else ground.others)
    view = viability_view(
        found, said, ground, benchmark, _matched(market, now, goal), spread, None if points else str(market.mix)
    )
    emit(view, viability_rows(view), viability_table, "viability", as_json, csv, html, png)


class _Market:
    """The dated prices at the day asked, read once and only where they are needed."""

    def __init__(self, mix: str, moment: datetime | None, card: list[Path] | None) -> None:
        from farthing.index.kinds import blended, mix_from

        self.mix = mix_from(mix)
        self.kind = blended(self.mix)
        self.moment = moment
        self.end = moment or datetime.now(UTC)
        self._card = card

    @cached_property
    def lines(self) -> "list[Line]":
        from farthing.index.lines import lines

        return lines(book_with(self._card), at=self.end)


def _ground(
    market: _Market,
    benchmark: str | None,
    score: float | None,
    model: str | None,
    points: Path | None,
    series: str | None,
    reasoning: bool,
    pool: bool,
) -> "Ground":
    """What the options ask to learn from."""
    if score is not None and not isfinite(score):
        raise FarthingError("--score is a number, such as 50")
    if market.end > datetime.now(UTC):
        raise FarthingError(f"--at {market.end.date()} lies ahead; prices are known until today")
    if points is not None:
        from farthing.index.forecast_from import of_file

        if reasoning:
            raise FarthingError("--reasoning is of our own scores; --points has its own")
        return of_file(points, market.mix, benchmark, score, market.moment.date() if market.moment else None, pool)
    if score is not None and benchmark is None:
        raise FarthingError(f"--score {score:g} of which benchmark? Name it: --benchmark gpqa-diamond")
    from farthing.index import forecast_market as learn

    if model is not None:
        return learn.of_line(market.lines, model, market.kind, market.end.date())
    if series is not None:
        if series not in ("index", "jevons"):
            raise FarthingError(f"--series {series!r} is not known; there is: index (the matched-model index)")
        return learn.of_matched(market.lines, market.kind, market.end)
    return learn.of_market(market.lines, market.kind, benchmark, score, market.end.date(), reasoning)


def _matched(market: _Market, cost: float, target: float) -> dict[str, Any]:
    """The same question at the rate of matched list prices: what happens without changing the model."""
    from farthing.index.forecast_market import matched_rate
    from farthing.index.viability import at_rate

    rate = matched_rate(market.lines, market.kind, market.end)
    day = at_rate(cost, target, rate.yearly_factor, market.end.date()) if rate is not None else None
    return {
        "method": "jevons",
        "yearly_factor": rate.yearly_factor if rate else None,
        "low": rate.yearly_low if rate else None,
        "high": rate.yearly_high if rate else None,
        "count": rate.count if rate else 0,
        "date": day.isoformat() if day else None,
        "notes": [] if rate else ["too few models are priced at both ends to say how list prices moved"],
    }


def _one_of(**given: object) -> None:
    """Raises `FarthingError` where more than one of the options is given."""
    stated = [f"--{name}" for name, value in given.items() if value is not None]
    if len(stated) > 1:
        raise FarthingError(f"{' and '.join(stated)} ask for different series; give one of them")


def _checked_level(level: float) -> None:
    if not 0.5 <= level <= 0.99:  # so few outcomes came that no rarer one can be told
        raise FarthingError(f"--level {level:g} is not an interval's level; write 0.9 (from 0.5 to 0.99)")


def _amount(option: str, text: str) -> float:
    from farthing.index.pair import price

    return float(price(option, text))


def _parsed_horizon(text: str | None) -> "int | date":
    """The months, or the day, that `text` ("24m", "2y", "2028-01-01") names. Raises `FarthingError`."""
    if text is None:
        return _USUAL_MONTHS
    match = _LENGTH.fullmatch(text.strip())
    if match:
        return int(match[1]) * (12 if (match[2] or "m").lower().startswith("y") else 1)
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise FarthingError(f"--horizon {text!r} is not 24m, 2y or a date such as 2028-01-01") from None


def _months(horizon: "int | date", asked: date) -> int:
    """How many months after `asked` that is, one at least. Raises `FarthingError`."""
    from farthing.index.tracks import MONTH_DAYS

    months = horizon if isinstance(horizon, int) else round((horizon - asked).days / MONTH_DAYS)
    if months < 1:
        raise FarthingError(f"--horizon {horizon} is not at least a month after {asked}, from which it looks ahead")
    return months
