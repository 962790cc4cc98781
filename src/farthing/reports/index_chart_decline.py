"""The charts of decline: models by price and date, the falling frontier, the fitted line; many rates side by side."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import exp, log
from statistics import median, quantiles
from typing import Any

from farthing.reports.index_chart_labels import Box, beside, labels
from farthing.reports.index_chart_parts import (
    COLOURS,
    FONT,
    GREY,
    WIDTH,
    Across,
    Drawing,
    Rows,
    Spec,
    layer,
    layered,
    log_axis,
    ms,
    nothing,
    time_axis,
    tip,
)
from farthing.reports.index_chart_words import change, count, cut, half_life, sentence, times, usd

View = Mapping[str, Any]
MANY_RATES = 8  # from which the middle half says more than the extremes
_SMALL = 9  # pictures of single thresholds beside the rates: those with most new lows
_CROWD = 60  # marks: more of them are drawn smaller and fainter
_CUT = 12  # an interval's bar ends here: so many times beyond the furthest rate
_YEAR_MS = 365.25 * 86_400_000


def decline(view: View) -> Drawing:
    """A pair of prices, one benchmark's decline, or many."""
    if "declines" not in view:
        return _pair(view)
    drawn = [one for one in view["declines"] if _models(one)]
    if not drawn:
        return nothing("No decline can be given: no model has both a score and a dated price", view.get("notes") or ())
    if len(drawn) == 1:
        one = drawn[0]
        return Drawing(
            title=_finding(one, view),
            subtitle=_method(view, one),
            spec=scatter(one, WIDTH, 360),
            alt=f"Models of {_name(one)}, by date and price, with the falling minimum",
        )
    return _many(drawn, view)


def _finding(one: View, view: View) -> str:
    fit = one.get("fit")
    what = _name(one)
    if not fit:
        why = (one.get("notes") or ["too few models"])[0]
        return f"{what}: no rate can be given ({why})"
    interval = f" ({_interval(fit, view)})" if fit.get("low") and fit.get("high") else ""
    return f"{what}: the cheapest price {change(fit['yearly_factor'])}{interval}"


def _interval(fit: View, view: View) -> str:
    level = f"{view['level']:.0%} interval " if view.get("level") else ""
    return f"{level}{times(fit['low'])} to {times(fit['high'])}"


def _method(view: View, one: View | None = None) -> str:
    fit = (one or {}).get("fit") or {}
    fits = fit or one is None
    return sentence(
        "filled: cheaper than every model before it at that score"
        + ("; line: log-linear fit of those" if fits else ""),
        count(fit["n"], "frontier model") if fit.get("n") else None,
        f"{count(one.get('count') or len(one['models']), 'model')} in all" if one else None,
        half_life(fit.get("half_life_months")),
        f"R² {fit['r2']:.2f}" if fit.get("r2") is not None else None,
        f"mix {view['mix']}" if view.get("mix") else None,
        f"evidence: {view['grade']}" if view.get("grade") else None,
    )


def scatter(one: View, width: float, height: float, small: bool = False) -> Spec:
    """Models as dots, the frontier as steps, its fit as a line. `small`: without the names."""
    models = _models(one)
    last = max(row["t"] for row in models)
    across = time_axis((row["t"] for row in models), width)
    up = log_axis((row["v"] for row in models), height, None if small else "$ a million tokens")
    x, y = across.encoding("t"), up.encoding("v")
    frontier = sorted((row for row in models if row["frontier"]), key=lambda row: row["t"])
    rest = [row for row in models if not row["frontier"]]
    told = tip(("model", "model"), ("date", "date"), ("text", "price"), ("score", "score"))
    size, opacity = (26, 0.7) if len(rest) < _CROWD else (14, 0.35)
    ring = {"type": "point", "size": size, "color": GREY, "opacity": opacity, "strokeWidth": 1.2}
    layers = [layer(rest, ring, x=x, y=y, tooltip=told)]
    if frontier:
        steps = [*frontier, frontier[-1] | {"t": last}]
        layers.append(layer(steps, {"type": "line", "interpolate": "step-after", "color": COLOURS[0], "opacity": 0.55,
                                    "strokeWidth": 1.4}, x=x, y=y))  # fmt: skip
    fitted = _line(one, frontier)
    if fitted:
        layers.append(layer(fitted, {"type": "line", "color": COLOURS[1], "strokeWidth": 2, "strokeDash": [7, 4],
                                     "clip": True}, x=x, y=y))  # fmt: skip
    layers.append(layer(frontier, {"type": "point", "filled": True, "size": 58, "color": COLOURS[0], "opacity": 1},
                        x=x, y=y, tooltip=told))  # fmt: skip
    if not small and frontier:
        texts = [f"{cut(row['model'].rsplit('/', 1)[-1])} {row['text']}" for row in frontier]
        at = [(across.pixel(row["t"]), up.pixel(row["v"])) for row in frontier]
        others = [(across.pixel(row["t"]), up.pixel(row["v"])) for row in rest]
        steps_at = [(across.pixel(row["t"]), up.pixel(row["v"])) for row in (*frontier, frontier[-1] | {"t": last})]
        stairs = [box for (a, b), (c, d) in pairwise(steps_at)
                  for box in ((a, b, c, b), (c, b, c, d))]  # fmt: skip
        slope = _sampled([(across.pixel(row["t"]), up.pixel(row["v"])) for row in fitted])
        named = [(*p, text) for p, text in zip(at, texts, strict=True)]
        places = beside(named, width + 150, height, others, [*stairs, *slope])
        layers += labels(texts, places)
    return layered(layers, height, width)


def _sampled(ends: Sequence[tuple[float, float]]) -> list[Box]:
    """A straight line as short pieces, each of which is nearly its own box."""
    if len(ends) != 2:
        return []
    (a, b), (c, d) = ends
    return [(a + (c - a) * i / 60, b + (d - b) * i / 60, a + (c - a) * (i + 1) / 60, b + (d - b) * (i + 1) / 60)
            for i in range(60)]  # fmt: skip


def _line(one: View, frontier: Sequence[View]) -> list[dict[str, Any]]:
    """The fitted line over the time of the frontier: a least-squares line passes through the points' means."""
    fit = one.get("fit")
    if not fit or not fit.get("yearly_factor") or len(frontier) < 2:
        return []
    mean_t = sum(row["t"] for row in frontier) / len(frontier)
    mean_log = sum(log(row["v"]) for row in frontier) / len(frontier)
    slope = -log(fit["yearly_factor"]) / _YEAR_MS
    ends = (frontier[0]["t"], frontier[-1]["t"])
    return [{"t": t, "v": exp(mean_log + slope * (t - mean_t))} for t in ends]


def _many(drawn: Sequence[View], view: View) -> Drawing:
    """Every rate with its interval on one logarithmic axis, the fastest first; below, each benchmark's models."""
    fitted = sorted((one for one in drawn if one.get("fit")), key=lambda one: -one["fit"]["yearly_factor"])
    small = [
        scatter(one, 215, 130, small=True)
        | {"title": {"text": _name(one), "fontSize": 12, "subtitleFontSize": 11,
                     "frame": "group",
                     "subtitle": change(one["fit"]["yearly_factor"]) if one.get("fit") else "too thin for a rate"}}
        for one in sorted(drawn, key=lambda one: -((one.get("fit") or {}).get("n") or 0))[:_SMALL]
    ]  # fmt: skip
    grid = {"concat": small, "columns": 3, "spacing": {"row": 84, "column": 66}, "align": "all", "bounds": "flush"}
    if not fitted:
        return Drawing(title=f"None of {count(len(drawn), 'threshold')} has enough models for a rate",
                       subtitle=_method(view), spec=grid, alt="Models by date and price, per benchmark")  # fmt: skip
    rates = [one["fit"]["yearly_factor"] for one in fitted]
    middle = exp(median(map(log, rates)))
    names = {one["benchmark"] for one in fitted}
    what = f"of {names.pop()} " if len(names) == 1 else ""
    by = "score" if what else "benchmark"
    if len(rates) >= MANY_RATES:  # the fastest of many is the one with the widest interval
        slow, _, fast = quantiles(rates, n=4, method="inclusive")
        title = f"At constant capability {what}the price {_range(slow, fast)} for half of {len(rates)} rates by {by}"
    else:
        title = f"At constant capability {what}the price {_range(rates[-1], rates[0])}, by {by}"
    if len(rates) > 2:
        title += f"; the median {change(middle)}"
    spec = {"vconcat": [forest(fitted, view), grid], "spacing": 30}
    subtitle = sentence(f"{count(len(fitted), 'rate')} of {count(len(drawn), 'threshold')}", _method(view))
    return Drawing(title=title, subtitle=subtitle, spec=spec, alt="Yearly factor of each benchmark with its interval")


def _range(slow: float, fast: float) -> str:
    if slow < 2 or fast / slow < 1.01:
        return change(slow) if fast / slow < 1.01 else f"{change(slow)} to {change(fast)}"
    return f"fell {times(slow).removesuffix('×')}- to {times(fast).removesuffix('×')}-fold a year"


def forest(fitted: Sequence[View], view: View) -> Spec:
    """A dot for each rate, a bar for its interval, its numbers at the right."""
    rows: Rows = []
    for one in fitted:
        fit = one["fit"]
        numbers = times(fit["yearly_factor"]) + (
            f" ({times(fit['low'])} to {times(fit['high'])})" if fit.get("low") and fit.get("high") else ""
        )
        rows.append({"name": _name(one), "v": fit["yearly_factor"],
                     "low": fit.get("low") or fit["yearly_factor"], "high": fit.get("high") or fit["yearly_factor"],
                     "text": f"{numbers}, {count(fit['n'], 'low')}" if fit.get("n") else numbers})  # fmt: skip
    width = WIDTH - 160
    rates = [row["v"] for row in rows]
    for row in rows:  # an interval may be as good as endless: its numbers say so, its bar is cut
        row["low"], row["high"] = max(row["low"], min(rates) / _CUT), min(row["high"], max(rates) * _CUT)
    axis = log_axis([value for row in rows for value in (row["low"], row["high"])], width, None, up=False,
                    dollars=False)  # fmt: skip
    x = axis.encoding("v")
    x["axis"] = {**x["axis"], "labelExpr": "format(datum.value, ',.6~f') + '×'", "title": "fall in a year, times"}
    y = {"field": "name", "type": "nominal", "sort": [row["name"] for row in rows],
         "axis": {"title": None, "ticks": False, "domain": False, "labelLimit": 240}}  # fmt: skip
    layers = [
        layer(rows, {"type": "rule", "strokeWidth": 5, "opacity": 0.25, "color": COLOURS[0]}, x=axis.encoding("low")
              | {"axis": x["axis"]}, x2={"field": "high"}, y=y),
        layer(rows, {"type": "point", "filled": True, "size": 60, "color": COLOURS[0], "opacity": 1}, x=x, y=y,
              tooltip=tip(("name", "benchmark"), ("text", "a year"))),
        layer(rows, {"type": "text", "align": "left", "fontSize": FONT}, x={"value": width + 10}, y=y,
              text={"field": "text", "type": "nominal"}),
    ]  # fmt: skip
    return {"width": width, "height": {"step": 19}, "layer": layers}


def _pair(view: View) -> Drawing:
    """Two prices and the line between them."""
    start, end = float(view["from"]), float(view["to"])
    rows: Rows = [{"t": ms(view["start"]), "v": start, "text": f"{usd(start)}, {view['start']}"},
            {"t": ms(view["end"]), "v": end, "text": f"{usd(end)}, {view['end']}"}]  # fmt: skip
    height = 260
    months = view.get("counted_in") == "months"
    span = f"{view['months']:.0f} months" if months else count(view["days"], "day")
    across: Across = time_axis((row["t"] for row in rows), WIDTH, 0.16)
    up = log_axis((start, end), height, "price", room=0.12)
    x, y = across.encoding("t"), up.encoding("v")
    texts = [str(row["text"]) for row in rows]
    at = [(across.pixel(r["t"]), up.pixel(r["v"])) for r in rows]
    named = [(*place, text) for place, text in zip(at, texts, strict=True)]
    places = beside(named, WIDTH + 150, height, (), _sampled(at))
    layers = [
        layer(rows, {"type": "line", "color": COLOURS[1], "strokeWidth": 2, "strokeDash": [7, 4]}, x=x, y=y),
        layer(rows, {"type": "point", "filled": True, "size": 70, "color": COLOURS[0], "opacity": 1}, x=x, y=y),
        *labels(texts, places),
    ]
    return Drawing(
        title=f"{usd(start)} → {usd(end)} in {span}: {change(view['yearly_factor'])}",
        subtitle=sentence(half_life(view.get("half_life_months")),
                          f"{times(view['total_factor'])} in all" if view.get("total_factor") else None,
                          "two prices say nothing of the way between them"),
        spec=layered(layers, height),
        alt="Two prices on a logarithmic axis",
    )  # fmt: skip


def _name(one: View) -> str:
    """ "GPQA Diamond ≥ 50"; points without a benchmark are whatever they are."""
    benchmark = one.get("benchmark") or "these points"
    return benchmark if one.get("score") is None else f"{benchmark} ≥ {one['score']:g}"


def _models(one: View) -> list[dict[str, Any]]:
    return [
        {"t": ms(row["date"]) or 0, "v": float(row["price"]), "model": row["model"], "date": row["date"],
         "text": usd(row["price"]), "score": row.get("score"), "frontier": bool(row.get("frontier"))}
        for row in one["models"]
        if row.get("price") and float(row["price"]) > 0
    ]  # fmt: skip
