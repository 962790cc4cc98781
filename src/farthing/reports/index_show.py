"""Price indices over time: JSON, rows and tables; and the price history of single lines for charts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from math import log
from typing import Any

from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.matched import INTERVAL, METHODS, SEED, IndexPoint, IndexSeries
from farthing.index.show import Answer
from farthing.money import decimal_text
from farthing.reports.index_chart_words import change
from farthing.reports.index_words import UNKNOWN, number, plain_table, say
from farthing.time import show_instant

_TITLES = {
    "jevons": "matched-model Jevons", "carli": "matched-model Carli", "dutot": "matched-model Dutot",
    "laspeyres": "matched-model Laspeyres", "paasche": "matched-model Paasche", "fisher": "matched-model Fisher",
    "tornqvist": "matched-model Törnqvist", "walsh": "matched-model Walsh", "geks": "matched-model GEKS",
    "hedonic": "hedonic (time dummies)", "hedonic-adjacent": "hedonic (adjacent periods)",
    "constant-capability": "constant capability",
}  # fmt: skip
_ROWS = 24
"""Rows of a table that can be read at a glance; longer series show every n-th."""


def answer_view(found: Answer, kind: str, mix: str) -> dict[str, Any]:
    """As `series_view`, with what the index would be without the steps that are unclear."""
    view = series_view(found.series, kind, mix)
    if found.without is None:
        return view
    last = _last(found.without)
    rate = found.without.yearly_factor
    view["without_unclear"] = {
        "steps": found.unclear,
        "date": _day(last.date) if last else None,
        "index": last.index if last else None,
        "yearly_factor": rate,
    }
    ends = f"the index ends at {last.index:.1f} and {change(rate)}" if last and last.index else "no index is left"
    view["notes"].insert(
        0,
        f"of {found.unclear:,} steps the lists do not say whether a price changed or was corrected: they count as "
        f"changes; without them {ends}",
    )
    return view


def _last(found: IndexSeries) -> IndexPoint | None:
    return next((p for p in reversed(found.points) if p.index is not None), None)


def series_view(found: IndexSeries, kind: str, mix: str | None, graded: bool = True) -> dict[str, Any]:
    """An index as JSON. `kind` says in words which price it follows; a user's own prices are not `graded`."""
    matched = found.method in METHODS
    last = _last(found) if matched else None
    return {
        "method": found.method,
        "title": _TITLES[found.method],
        "kind": kind,
        "mix": mix,
        "base": _day(found.base),
        "base_value": 100,
        "level": found.level,
        **rate_view(found.yearly_factor, found.yearly_low, found.yearly_high),
        "interval": {"how": INTERVAL if matched else "bootstrap over models", "seed": SEED},
        "points": [
            {
                "date": _day(p.date),
                "index": p.index,
                "low": p.low,
                "high": p.high,
                "count": p.count,
                "entered": p.entered,
                "left": p.left,
                "fixed_base": p.fixed,
                "fixed_base_count": p.fixed_count,
                "geks": p.geks,
            }
            for p in found.points
        ],
        "drift": None
        if last is None
        else {"date": _day(last.date), "index": last.index, "fixed_base": last.fixed,
              "fixed_base_count": last.fixed_count, "geks": last.geks},
        "count": found.count,
        "offers": found.offers,
        "basket": list(found.basket),
        "grade": str(found.grade) if graded else None,
        "notes": list(found.notes),
    }  # fmt: skip


def rate_view(factor: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    """A yearly factor with its interval, and the half-life (or the doubling time) in months that it means."""
    months = 12 * log(2) / log(factor) if factor is not None and factor != 1 else None
    return {
        "yearly_factor": factor,
        "yearly_low": low,
        "yearly_high": high,
        "half_life_months": months if months is not None and months > 0 else None,
        "doubling_months": -months if months is not None and months < 0 else None,
    }


def contrast_view(same: IndexSeries, constant: IndexSeries) -> dict[str, Any] | None:
    """The two prices that both fall, at such different rates; None where either is too thin."""
    if same.yearly_factor is None or constant.yearly_factor is None:
        return None
    what = constant.notes[0]
    words = (
        f"The cheapest model with {what} {_moved(constant.yearly_factor, constant.yearly_low, constant.yearly_high)}. "
        "Both are true: a maker seldom cuts the price of a model; it sells the next one for less, and only who "
        "switches pays that."
    )
    return {
        "method": constant.method,
        "what": what,
        "yearly_factor": constant.yearly_factor,
        "yearly_low": constant.yearly_low,
        "yearly_high": constant.yearly_high,
        "words": words,
    }


def show_view(series: Sequence[Mapping[str, Any]], contrast: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One series as it is, several under "series"."""
    view = dict(series[0]) if len(series) == 1 else {"series": [dict(one) for one in series]}
    return view | ({"contrast": dict(contrast)} if contrast else {})


def show_rows(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each method and date."""
    return [{"method": one["method"]} | dict(point) for one in view.get("series", [view]) for point in one["points"]]


def show_table(view: Mapping[str, Any]) -> Iterator[Any]:
    """What a person wants first: how much a year, of what; then the levels, then what to know of them."""
    every = view.get("series", [view])
    for one in every:
        yield from say(headline(one))
        yield from say("  " + basket(one))
    if view.get("contrast"):
        yield from say(view["contrast"]["words"])
    yield ""
    yield _levels(every[0]) if len(every) == 1 else _side_by_side(every)
    for one in every:
        yield from _drift(one)
    common = [note for note in every[0]["notes"] if all(note in one["notes"] for one in every)]
    for note in common:
        yield from say(f"· {note}")
    for one in every:
        for note in one["notes"]:
            if note not in common:
                yield from say(f"· {one['method']}: {note}")


def headline(one: Mapping[str, Any]) -> str:
    """ "The prices of the same models fell 12% a year (3.1% to 20%), 2023-09-01 to 2026-11-22"."""
    subject = {
        "constant-capability": "The price of constant capability",
        "hedonic": "Prices at equal quality",
    }.get(one["method"], "The prices of the same models")
    known = [point for point in one["points"] if point["index"] is not None]
    span = f", {known[0]['date']} to {known[-1]['date']}" if len(known) > 1 else ""
    rate = one["yearly_factor"]
    text = f"{subject}{':' if rate is None else ''} {_moved(rate, one.get('yearly_low'), one.get('yearly_high'))}{span}"
    ends = [end for end in (one.get("yearly_low"), one.get("yearly_high")) if end is not None]
    if one.get("half_life_months") and all(end > 1 for end in ends):  # where it may as well have risen, there is none
        months = one["half_life_months"]
        text += f"; half-life {months:,.0f} months" if months >= 100 else f"; half-life {months:.3g} months"
    return text


def _moved(factor: float | None, low: float | None, high: float | None) -> str:
    """ "fell 12% a year (3.1% to 20%)"; with both directions named where the interval holds both."""
    text = change(factor)
    if low is None or high is None:
        return text
    ends = [change(end).replace(" a year", "") for end in sorted((low, high))]
    if ends[0].split()[0] == ends[1].split()[0]:
        ends = [end.split(maxsplit=1)[-1] for end in ends]
    return f"{text} ({ends[0]} to {ends[1]})"


def basket(one: Mapping[str, Any]) -> str:
    """What the index is of, in a line."""
    offers = f" ({one['offers']:,} offer{'' if one['offers'] == 1 else 's'})" if one.get("offers") else ""
    level = [f"{one['level']:.0%} interval"] if one.get("yearly_low") is not None else []
    price = f"price of a {one['kind']}" if one["kind"].startswith("task") else f"{one['kind']} price"
    models = f"{one['count']:,} model{'' if one['count'] == 1 else 's'}"
    parts = [one["title"], f"{models}{offers}", price, f"{one['base']} = 100"]
    return " · ".join([*parts, *level, *([f"evidence: {one['grade']}"] if one["grade"] else [])])


def _levels(one: Mapping[str, Any]) -> Any:
    circular = any(point.get("geks") is not None for point in one["points"])
    fixed = any(point.get("fixed_base") is not None for point in one["points"])
    names = ["date", "index", f"{one['level']:.0%} interval", "models", "entered", "left"]
    table = plain_table(*names, *(["fixed base"] if fixed else []), *(["GEKS"] if circular else []))
    for point in _summed(one["points"]):
        cells = [point["date"], number(point["index"], 1), _range(point)]
        cells += [_count(point.get(name)) for name in ("count", "entered", "left")]
        cells += [number(point.get("fixed_base"), 1)] if fixed else []
        cells += [number(point.get("geks"), 1)] if circular else []
        table.add_row(*cells)
    return table


def _side_by_side(every: Sequence[Mapping[str, Any]]) -> Any:
    table = plain_table("date", *(one["method"] for one in every))
    dates = sorted({point["date"] for one in every for point in one["points"]})
    levels = [{point["date"]: point["index"] for point in one["points"]} for one in every]
    for date in _some(dates):
        table.add_row(date, *(number(level.get(date), 1) for level in levels))
    return table


def _some(points: Sequence[Any]) -> list[Any]:
    """All of a short series; every n-th of a long one, always with the first and the last."""
    step = -(-len(points) // _ROWS)
    chosen = list(points[::step])
    return chosen if not points or chosen[-1] == points[-1] else [*chosen, points[-1]]


def _summed(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`_some` of `points`, each with what entered and left since the one shown before it."""
    shown: list[dict[str, Any]] = []
    chosen = {id(point) for point in _some(points)}
    sums: dict[str, int | None] = {"entered": 0, "left": 0}
    for point in points:
        for name, before in sums.items():
            here = point.get(name)
            sums[name] = None if here is None or before is None else before + here
        if id(point) in chosen:
            shown.append({**point, **sums})
            sums = {"entered": 0, "left": 0}
    return shown


def _range(point: Mapping[str, Any]) -> str:
    low, high = point.get("low"), point.get("high")
    return UNKNOWN if low is None or high is None else f"{low:.1f}-{high:.1f}"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _drift(one: Mapping[str, Any]) -> Iterator[Any]:
    drift = one.get("drift")
    if not drift or (drift["fixed_base"] is None and drift["geks"] is None):
        return
    others = []
    if drift["fixed_base"] is not None:
        others.append(f"{drift['fixed_base']:.1f} with a fixed base ({drift['fixed_base_count']} models left)")
    if drift["geks"] is not None:
        others.append(f"{drift['geks']:.1f} by GEKS")
    yield from say(f"Drift: {one['method']} ends at {drift['index']:.1f}; " + ", ".join(others))


# --- the history of single lines -------------------------------------------------------------------


def history_view(lines: Sequence[Line], kind: Kind, mix: str, ids: Collection[str] | None = None) -> dict[str, Any]:
    """The price of each line through time (of those in `ids`, by PROVIDER/MODEL or family), as steps.

    A price without an end is still in force; a free one is left out, and counted.
    """
    wanted = None if ids is None else {name.casefold() for name in ids}
    shown = [
        line for line in lines if wanted is None or line.id.casefold() in wanted or line.family.casefold() in wanted
    ]
    free, found = 0, []
    for line in shown:
        points = []
        for quote in line.quotes:
            price = kind(quote)
            free += price == 0
            if price:
                points.append(
                    {
                        "start": _day(quote.start),
                        "end": _day(quote.end) if quote.end else None,
                        "after": _day(quote.after) if quote.after else None,
                        "price": decimal_text(price) if _is_short(price.denominator) else float(price),
                        "source": quote.source.title,
                        "grade": str(quote.source.grade),
                    }
                )
        if points:
            found.append(
                {
                    "id": line.id,
                    "provider": line.provider,
                    "model": line.model,
                    "family": line.family,
                    "maker": line.maker,
                    "points": points,
                }
            )
    gifts = "1 price of 0 is" if free == 1 else f"{free} prices of 0 are"
    notes = [f"{gifts} left out: a logarithm has none"] if free else []
    return {"lines": found, "mix": mix, "notes": notes}


def _is_short(denominator: int) -> bool:
    """Whether a fraction of it ends as a decimal."""
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _day(moment: datetime) -> str:
    return show_instant(moment)
