"""Views of viability: when a use case that costs X today is expected to cost Y. JSON, rows, tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from farthing.index.forecast import Forecast
from farthing.index.forecast_from import Ground
from farthing.index.forecast_models import MODELS
from farthing.index.viability import Rates, When
from farthing.reports.index_forecast import (
    View,
    backtest_json,
    basket,
    dollars,
    fold,
    interval_words,
    moved,
    point_json,
    tested_parts,
    times,
)
from farthing.reports.index_words import say


def viability_view(
    found: When,
    said: Forecast,
    ground: Ground,
    benchmark: str | None,
    matched: Mapping[str, Any],
    rates: Rates | None,
    mix: str | None,
) -> dict[str, Any]:
    """The date in JSON's types. `points` is the expected cost by month, in dollars; `matched`: the same question at
    the rate of matched list prices; `rates`: how unlike the series are that it was learned from."""

    def iso(day: Any) -> str | None:
        return None if day is None else day.isoformat()

    at_start = said.points[0].expected if said.points else 1.0
    return {
        "cost": found.cost,
        "target": found.target,
        "factor": found.factor,
        "benchmark": benchmark,
        "at": found.at.isoformat(),
        "date": iso(found.day),
        "earliest": iso(found.earliest),
        "latest": iso(found.latest),
        "level": found.level,
        "basis": said.name,
        "basket": basket(ground),
        "mix": mix,
        "unit": "usd",
        "yearly_factor": said.yearly_factor,
        "matched": dict(matched),
        "rates": _rates(rates),
        "searched_until": found.searched_until.isoformat(),
        "points": [point_json(one, found.cost / at_start) for one in said.points],
        "model": said.model,
        "model_words": MODELS[said.model].words if said.model else None,
        "backtest": backtest_json(said.backtest),
        "interval": interval_words(said),
        "count": ground.count,
        "series_learned_from": said.tracks,
        "history_months": round(said.history_months, 2),
        "grade": str(ground.grade) if ground.grade is not None else None,
        "notes": [*ground.notes, *found.notes],
    }  # fmt: skip


def _rates(found: Rates | None) -> dict[str, Any]:
    if found is None:
        return {"count": 0}
    return {
        "count": found.count, "low": found.low, "median": found.median, "high": found.high,
        "slowest": found.slowest, "fastest": found.fastest,
    }  # fmt: skip


def viability_rows(view: View) -> list[dict[str, Any]]:
    """A row for each month: the expected cost and its interval."""
    head = {"cost": view["cost"], "target": view["target"], "benchmark": view["benchmark"]}
    dates = {name: view[name] for name in ("date", "earliest", "latest")}
    if not view["points"]:
        return [head | dates]
    return [head | {f"target_{k}": v for k, v in dates.items()} | dict(one) for one in view["points"]]


def viability_table(view: View) -> Iterator[Any]:
    """The date in words, what it takes, how unlike the evidence is, how well such forecasts did."""
    yield from say(_viability_words(view))
    if view["factor"] <= 1:
        return
    if view["points"]:
        yield from say(f"It must become {times(view['factor'])} times cheaper; {view['basis']} "
                       f"{moved(view['yearly_factor'])}.")  # fmt: skip
        yield from say(_matched_words(view))
        if view["rates"]["count"] > 1:
            yield from say(_rates_words(view["rates"]))
    yield from tested_parts(view)


def _viability_words(view: View) -> str:
    cost, target = dollars(view["cost"]), dollars(view["target"])
    if view["factor"] <= 1:
        return f"Already there: {cost} is no more than {target}"
    if view["date"] is None:
        return f"{cost} to {target}: no date can be given"
    early = view["earliest"] or "unknown"
    late = view["latest"] or f"not by {view['searched_until']}"
    return (
        f"What costs {cost} on {view['at']} is expected to cost {target} by {view['date']} "
        f"({view['level']:.0%}: {early} to {late})"
    )


def _matched_words(view: View) -> str:
    matched = view["matched"]
    rate = matched.get("yearly_factor")
    if rate is None:
        return "Only by moving to newer models: the list price of one model seldom moves."
    how = f"fell {fold(rate)} a year" if rate > 1.005 else "did not fall" if rate > 0.995 else "rose"
    if matched.get("date"):
        when = f"at that rate it takes until {matched['date']}"
    else:
        when = "that takes more than 50 years" if rate > 1.005 else "at that rate it never will"
    return f"Only by moving to newer models: the list price of one and the same model {how}; {when}."


def _rates_words(rates: View) -> str:
    low, middle, high = (times(rates[key]) for key in ("low", "median", "high"))
    return (
        f"Use cases differ: until their last new low {rates['count']} series fell from {low}-fold to {high}-fold a "
        f"year, half of them more than {middle}-fold."
    )
