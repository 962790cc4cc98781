"""How fast prices fall, for a person and for a program: two dated prices, or constant capability by benchmark."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from farthing.evidence import Grade
from farthing.index.decline import INTERVAL, LEAST_LOWS, Decline, Fit
from farthing.index.pair import Pair, Rate
from farthing.money import decimal_text
from farthing.problems import Problems
from farthing.rates.family import family
from farthing.reports.index_words import UNKNOWN, money, plain_table, say

METHOD = (
    "cheapest model at or above the score (running minimum, one a day), log10 of its price on time by least squares; "
    f"at least {LEAST_LOWS} new lows"
)
View = Mapping[str, Any]
_BEYOND = 10_000
_MOST_ROWS = 24
_PER_BENCHMARK = 2


def pair_view(pair: Pair) -> dict[str, Any]:
    """Two dated prices as JSON: the rate counted as `counted_in` says, and `by_days`."""
    return {
        "from": decimal_text(pair.from_usd),
        "to": decimal_text(pair.to_usd),
        "start": pair.start.isoformat(),
        "end": pair.end.isoformat(),
        "days": pair.days,
        "months": pair.months,
        "counted_in": pair.counted_in,
        "total_factor": pair.total_factor,
        **_rate(pair.rate),
        "by_days": _rate(pair.by_days),
        "notes": list(pair.notes),
    }


def _rate(rate: Rate | None) -> dict[str, Any]:
    return {
        "yearly_factor": rate.yearly_factor if rate else None,
        "half_life_months": rate.half_life_months if rate else None,
        "doubling_months": rate.doubling_months if rate else None,
    }


def decline_view(
    declines: Sequence[Decline],
    *,
    level: float,
    mix: str | None,
    grade: Grade | None,
    notes: Iterable[str] = (),
    problems: Problems | None = None,
) -> dict[str, Any]:
    """Declines as JSON. `grade`: the worst that a price or score rests on; None for points that the user brought."""
    benchmarks = list(dict.fromkeys(one.benchmark for one in declines))
    fitted = [one.fit.yearly_factor for one in declines if one.fit]
    to_date = [one.fit.to_date_yearly_factor for one in declines if one.fit]
    view: dict[str, Any] = {
        "benchmark": benchmarks[0] if len(benchmarks) == 1 else None,
        "declines": [_decline(one) for one in declines],
        "fitted": len(fitted),
        "lowest_yearly_factor": min(fitted, default=None),
        "median_yearly_factor": median(fitted) if fitted else None,
        "highest_yearly_factor": max(fitted, default=None),
        "lowest_to_date_yearly_factor": min(to_date, default=None),
        "median_to_date_yearly_factor": median(to_date) if to_date else None,
        "highest_to_date_yearly_factor": max(to_date, default=None),
        "level": level,
        "method": METHOD,
        "interval": INTERVAL,
        "mix": mix,
        "grade": str(grade) if grade is not None else None,
        "notes": list(notes),
    }
    if problems is not None:
        view["bad_rows"] = problems.total
        view["problems"] = [str(problem) for problem in problems.kept[:20]]
    return view


def _decline(one: Decline) -> dict[str, Any]:
    lows = {id(point) for point in one.lows}
    return {
        "benchmark": one.benchmark,
        "score": one.score,
        "models": [
            {
                "date": point.date.isoformat(),
                "model": point.model,
                "provider": point.provider or None,
                "price": point.price,
                "score": point.score,
                "frontier": id(point) in lows,
            }
            for point in one.models
        ],
        "count": len({family(point.model) for point in one.models}),
        "fit": _fit(one.fit) if one.fit else None,
        "notes": list(one.notes),
    }


def _fit(fit: Fit) -> dict[str, Any]:
    return {
        "yearly_factor": fit.yearly_factor,
        "low": fit.low,
        "high": fit.high,
        "level": fit.level,
        "half_life_months": fit.half_life_months,
        "doubling_months": fit.doubling_months,
        "n": fit.n,
        "r2": fit.r2,
        "first": fit.first.isoformat(),
        "last": fit.last.isoformat(),
        "days": fit.days,
        "total_factor": fit.total_factor,
        "until": fit.until.isoformat(),
        "to_date_yearly_factor": fit.to_date_yearly_factor,
        "t_low": fit.t_low,
        "t_high": fit.t_high,
        "year_days": fit.year_days,
    }


def decline_rows(view: View) -> list[dict[str, Any]]:
    """A pair's one row; one threshold's models; or a row for each of several thresholds."""
    if "declines" not in view:
        return [{key: value for key, value in view.items() if key not in ("notes", "by_days")}]
    if len(view["declines"]) == 1:
        one = view["declines"][0]
        return [{"benchmark": one["benchmark"], "threshold": one["score"], **model} for model in one["models"]]
    empty = dict.fromkeys(
        (
            "yearly_factor", "low", "high", "level", "half_life_months", "n", "r2", "first", "last", "total_factor",
            "until", "to_date_yearly_factor",
        )
    )  # fmt: skip
    return [
        {
            "benchmark": one["benchmark"],
            "score": one["score"],
            "models": one["count"],
            **{key: (one["fit"] or empty)[key] for key in empty},
            "notes": "; ".join(one["notes"]),
        }
        for one in view["declines"]
    ]


def pair_table(view: View) -> Iterator[Any]:
    """What two prices say, in words."""
    when = f"from {view['start']} to {view['end']}"
    fall = view["total_factor"]
    moved = f"a {_times(fall)} fall" if fall > 1 else f"a {_times(1 / fall)} rise" if fall < 1 else "no change"
    yield from say(f"${view['from']} to ${view['to']} {when}: {moved} in {_span(view)}.")
    if view["yearly_factor"] is not None:
        yield from say(f"Yearly factor {_times(view['yearly_factor'])}; {_pace(view)}.")
    for note in view["notes"]:
        yield from say(f"- {note}")


def _span(view: View) -> str:
    return f"{view['months']:.0f} months" if view["counted_in"] == "months" else f"{view['days']} days"


def _pace(rate: View) -> str:
    if rate["half_life_months"] is not None:
        return f"half-life {_months(rate['half_life_months'])}"
    if rate["doubling_months"] is not None:
        return f"it doubles in {_months(rate['doubling_months'])}"
    return "it neither halves nor doubles"


def _months(months: float) -> str:
    return f"{months:.2f} months" if months < 100 else f"{months / 12:,.0f} years"


def _times(factor: float | None) -> str:
    """A factor in three digits: 9.35x, 31.6x, 1,234x; beyond what anyone would believe, that it is beyond."""
    if factor is None:
        return UNKNOWN
    if factor >= _BEYOND:
        return f">{_BEYOND:,}x"
    if 0 < factor < 1 / 100:
        return "<0.01x"
    places = max(0, 2 - len(str(int(factor))) + 1)
    return f"{factor:,.{places}f}x"


def decline_table(view: View) -> Iterator[Any]:
    """The answer in words, then the lows of one threshold or the rates of all."""
    if len(view["declines"]) == 1:
        yield from _one(view, view["declines"][0])
    else:
        yield from _many(view)
    if view.get("bad_rows"):
        rows = "1 row" if view["bad_rows"] == 1 else f"{view['bad_rows']} rows"
        yield from say(f"{rows} could not be read; the first: {view['problems'][0]}")
    for note in view["notes"]:
        yield from say(f"- {note}")


def _one(view: View, one: View) -> Iterator[Any]:
    name = _name(one)
    fit = one["fit"]
    if fit:
        yield from say(
            f"The cheapest price of {name} falls {_times(fit['yearly_factor'])} a year "
            f"({view['level']:.0%} interval {_times(fit['low'])} to {_times(fit['high'])}), {_pace(fit)}."
        )
        yield from say(
            f"{fit['n']} new lows among {one['count']} models, {fit['first']} to {fit['last']}; together "
            f"{_times(fit['total_factor'])}; r2 {fit['r2']:.2f}."
        )
    else:
        yield from say(f"{name}: no rate.")
    for note in one["notes"]:
        yield from say(f"- {note}")
    table = plain_table("New low on", "Model", "Provider", "$/Mtok", "Score", left=3)
    for model in (model for model in one["models"] if model["frontier"]):
        score = UNKNOWN if model["score"] is None else f"{model['score']:g}"
        table.add_row(model["date"], model["model"], model["provider"] or UNKNOWN, money(model["price"]), score)
    if table.row_count:
        yield table


def _name(one: View) -> str:
    if one["score"] is None:
        return "these models" if one["benchmark"] is None else f"the models of {one['benchmark']}"
    return f"{one['benchmark'] or 'score'} {one['score']:g} or better"


def _many(view: View) -> Iterator[Any]:
    fitted = [one for one in view["declines"] if one["fit"]]
    shown: list[View] = []
    if fitted:
        yield from say(
            f"At constant capability the cheapest price falls {_times(view['lowest_yearly_factor'])} to "
            f"{_times(view['highest_yearly_factor'])} a year, in the median {_times(view['median_yearly_factor'])} "
            f"({len(fitted)} milestones)."
        )
        if len(_idle(fitted)) > len(fitted) / 2:  # then the first sentence is about what was, not about what is
            yield from say(
                f"So it fell until its last new low. Counting the time since, it fell "
                f"{_times(view['lowest_to_date_yearly_factor'])} to {_times(view['highest_to_date_yearly_factor'])} a "
                f"year to date, in the median {_times(view['median_to_date_yearly_factor'])}."
            )
        table = plain_table(
            "Benchmark", "Score", "A year", f"{view['level']:.0%} interval", "To date", "Half-life", "Lows", "Models",
            "First", "Last",
        )  # fmt: skip
        shown = _foremost(fitted)
        for one in shown:
            fit = one["fit"]
            table.add_row(
                one["benchmark"] or UNKNOWN,
                UNKNOWN if one["score"] is None else f"{one['score']:g}",
                _times(fit["yearly_factor"]),
                f"{_times(fit['low'])}-{_times(fit['high'])}",
                _times(fit["to_date_yearly_factor"]),
                UNKNOWN if fit["half_life_months"] is None else f"{fit['half_life_months']:.1f} mo",
                str(fit["n"]),
                str(one["count"]),
                fit["first"][:7],
                fit["last"][:7],
            )
        yield table
        if len(shown) < len(fitted):
            yield from say(f"Of each benchmark the {_PER_BENCHMARK} best supported; --benchmark, --json or --csv: all.")
    else:
        yield from say("No milestone has enough new lows for a rate.")
    idle = _idle(shown)
    if idle:
        until = max(one["fit"]["until"] for one in idle)
        rates = [one["fit"]["to_date_yearly_factor"] for one in idle]
        span = dict.fromkeys(_times(rate) for rate in (min(rates), max(rates)))
        yield from say(
            f"- {len(idle)} of {len(shown)} had no new low for half a year or more by {until}: the rate is that of the "
            f"lows; counting the time since (To date) it is {' to '.join(span)} a year"
        )
    short = [one for one in shown if one["fit"]["days"] < 365]
    if short:
        yield from say(f"- extrapolated from less than a year: {_listed(short)}")
    loose = [one for one in shown if one["fit"]["low"] <= 1]
    if loose:
        yield from say(f"- the interval reaches below 1, so a fall is not settled: {_listed(loose)}")
    thin = [one for one in view["declines"] if not one["fit"]]
    if thin and len(shown) == len(fitted):
        yield from say(f"- too thin for a rate ({LEAST_LOWS} new lows are the fewest): {_listed(thin)}")


def _idle(declines: Sequence[View]) -> list[View]:
    """Those whose price was not undercut for half a year or more."""
    return [one for one in declines if any(note.startswith("no new low in") for note in one["notes"])]


def _foremost(fitted: Sequence[View]) -> list[View]:
    """All, or where they are too many to read those of each benchmark with most new lows over the longest time."""
    if len(fitted) <= _MOST_ROWS:
        return list(fitted)
    kept: list[View] = []
    for name in dict.fromkeys(one["benchmark"] for one in fitted):
        own = [one for one in fitted if one["benchmark"] == name]
        best = sorted(own, key=lambda one: (-one["fit"]["n"], -one["fit"]["days"]))[:_PER_BENCHMARK]
        kept += [one for one in own if one in best]
    return kept


def _listed(declines: Sequence[View]) -> str:
    scores: dict[str, list[str]] = {}
    for one in declines:
        scores.setdefault(one["benchmark"] or "score", []).append(
            "all" if one["score"] is None else f"{one['score']:g}"
        )
    return "; ".join(f"{benchmark} {', '.join(found)}" for benchmark, found in scores.items())
