"""Views of forecasts and of viability: JSON, rows, tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from farthing.index.calibration import ALONE, Backtest
from farthing.index.fan import Ahead
from farthing.index.forecast import Forecast
from farthing.index.forecast_from import Ground
from farthing.index.forecast_models import MODELS
from farthing.money import show_usd
from farthing.reports.index_words import UNKNOWN, plain_table, say

View = Mapping[str, Any]
_SHOWN_MONTHS = (0, 3, 6, 9, 12, 18, 24, 36, 48, 60, 84, 120)
_LEAST = 1e-6
_LEFT_OUT = {
    "cluster": "its benchmark or provider was left out of choosing the model and making the interval",
    "series": "its series was left out of choosing the model and making the interval",
    ALONE: "what came later was not known",
}


def forecast_view(said: Forecast, ground: Ground, mix: str | None) -> dict[str, Any]:
    """A forecast in JSON's types. `points` are in the unit of the series; of a pooled one, 1 is the price at start."""
    track = ground.track
    history = [{"date": s.date.isoformat(), "price": s.price, "model": s.model} for s in (track.steps if track else ())]
    return {
        "series": said.name,
        "kind": ground.kind,
        "method": _METHOD,
        "basket": basket(ground),
        "unit": {"pooled": "times the price at start", "index": "index"}.get(ground.kind, "usd_per_mtok"),
        "start": said.start.isoformat(),
        "history": history,
        "points": [point_json(one, 1.0) for one in said.points],
        "yearly_factor": said.yearly_factor,
        "model": said.model,
        "model_words": MODELS[said.model].words if said.model else None,
        "backtest": backtest_json(said.backtest),
        "interval": interval_words(said),
        "level": said.level,
        "mix": mix,
        "count": ground.count,
        "series_learned_from": said.tracks,
        "history_months": round(said.history_months, 2),
        "grade": str(ground.grade) if ground.grade is not None else None,
        "notes": [*ground.notes, *said.notes],
    }


_METHOD = (
    "candidates tried on the series' own past from every month on (rolling origin); the one that erred least in log "
    "price, the most cautious of equals, goes on from the last price"
)


def basket(ground: Ground) -> list[str]:
    """The series that the forecast is of; what it is learned from beside them is counted, not listed."""
    return [ground.track.name] if ground.track is not None else [one.name for one in ground.others]


def point_json(one: Ahead, times: float) -> dict[str, Any]:
    low, high = one.low, one.high
    return {
        "date": one.date.isoformat(), "months": one.months, "expected": one.expected * times,
        "low": None if low is None else low * times, "high": None if high is None else high * times,
    }  # fmt: skip


def interval_words(said: Forecast) -> str | None:
    """How the interval was made."""
    if not said.points:
        return None
    if said.backtest is None:
        return "Student's t around the mean rate; not back-tested"
    if said.backtest.folds == ALONE:
        return "Student's t, stretched until the back-test's outcomes were held"
    return "quantiles of the back-test's errors by horizon, stretched until outcomes of what was left out were held"


def backtest_json(tested: Backtest | None) -> dict[str, Any] | None:
    if tested is None:
        return None
    return {
        "horizons": [
            {
                "months": one.months, "origins": one.origins, "windows": one.windows, "used": one.used,
                "forecasts": one.forecasts, "series": one.tracks, "clusters": one.clusters,
                "factor_error": one.factor_error, "factor_error_no_change": one.factor_error_no_change,
                "bias": one.bias, "coverage": one.coverage, "coverage_other_times": one.coverage_other_times,
                "stretched": one.stretched, "covered": one.covered,
            }
            for one in tested.horizons
        ],
        "relative_error": dict(tested.relative),
        "left_out": _LEFT_OUT[tested.folds],
        "covered": tested.covered,
    }  # fmt: skip


def forecast_rows(view: View) -> list[dict[str, Any]]:
    """A row for each past price and for each month ahead."""
    head = {"series": view["series"], "unit": view["unit"]}
    past = [head | {"date": one["date"], "price": one["price"], "model": one["model"]} for one in view["history"]]
    return past + [head | dict(one) | {"level": view["level"]} for one in view["points"]]


def forecast_table(view: View) -> Iterator[Any]:
    """The answer in words, the months ahead, how well such forecasts did, what to know of them."""
    yield from say(_forecast_words(view))
    if view["points"]:
        yield from say("")
        table = plain_table("Date", "Months ahead", "Expected", f"Low ({view['level']:.0%})", "High")
        for one in _picked(view["points"]):
            table.add_row(one["date"], str(one["months"]), *(_amount(one[key], view) for key in _ENDS))
        yield table
    yield from tested_parts(view)


_ENDS = ("expected", "low", "high")


def _forecast_words(view: View) -> str:
    points = view["points"]
    if not points:
        return f"{view['series']}: no forecast can be given"
    first, last = points[0], points[-1]
    interval = f" ({view['level']:.0%}: {_amount(last['low'], view)} to {_amount(last['high'], view)})"
    now = f"{view['series']}: {_amount(first['expected'], view)} on {view['start']}"
    then = f"{_amount(last['expected'], view)} expected by {last['date']}{interval if last['low'] else ''}"
    return f"{now}, {then}; it {moved(view['yearly_factor'])}"


def moved(factor: float | None) -> str:
    """A yearly factor in words."""
    if factor is None:
        return "moves nobody can say how"
    if 0.995 < factor < 1.005:
        return "is expected to stay as it is"
    if factor < 1:
        return f"is expected to rise by {1 / factor - 1:.0%} in the year ahead"
    return f"is expected to fall {fold(factor)} in the year ahead"


def fold(factor: float) -> str:
    """How many times less: "12-fold", or in per cent where it is little."""
    return f"{times(factor)}-fold" if factor >= 2 else f"by {1 - 1 / factor:.1%}"


def times(factor: float) -> str:
    """A factor of 1 and more in three digits: "3.16", "46.4", "3,870"."""
    return f"{float(f'{factor:.3g}'):,.12g}"


def _amount(value: float | None, view: View) -> str:
    if value is None:
        return UNKNOWN
    if view.get("unit") in ("usd_per_mtok", "usd"):
        return dollars(value)
    return f"{value:.3g}"


def dollars(value: float) -> str:
    """An amount in three digits, in whole cents from a dollar on; what is under a millionth is said to be."""
    from fractions import Fraction

    if value < _LEAST:
        return "<$0.000001"
    return f"${value:,.2f}" if value >= 1 else show_usd(Fraction(f"{value:.2e}"))


def _picked(points: Sequence[View]) -> list[View]:
    last = points[-1]["months"]
    return [one for one in points if one["months"] in _SHOWN_MONTHS or one["months"] == last]


def tested_parts(view: View) -> Iterator[Any]:
    """The model, the back-test, the notes."""
    tested = view["backtest"]
    if view["model"]:
        yield from say("")
        learned = f"learned from {view['series_learned_from']} series over {view['history_months']:.0f} months"
        yield from say(f"Model: {view['model']} ({view['model_words']}); {learned}")
    if tested:
        yield from say("")
        alone = tested["horizons"][0]["coverage_other_times"] is None
        names = ("Held",) if alone else ("Held", "Other times", "Stretched")
        table = plain_table("Back-test", "Origins", "Side by side", "Typical error", "No change", "Bias", *names)
        for one in tested["horizons"]:
            name = f"{one['months']} months" if one["used"] else f"({one['months']} months)"
            factors = (f"x{one[key]:,.2f}" for key in ("factor_error", "factor_error_no_change", "bias"))
            rest = () if alone else (f"{one['coverage_other_times']:.0%}", f"x{one['stretched']:.2f}")
            table.add_row(name, f"{one['origins']}", f"{one['windows']}", *factors, f"{one['coverage']:.0%}", *rest)
        yield table
        words = f"Held: share of outcomes inside the interval where {tested['left_out']}"
        if alone:
            words += f"; it was then stretched x{tested['horizons'][0]['stretched']:.2f}."
        else:
            words += "; other times: where its third of the time was. It was then stretched until both were held."
        yield from say(words)
    if view["notes"]:
        yield from say("")
    for note in view["notes"]:
        yield from say(f"- {note}")
