"""Charts of what is expected: the fan of a forecast, and the date at which a cost reaches a target."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

from farthing.reports.index_chart_labels import Place, end_labels, labels, text_width
from farthing.reports.index_chart_parts import (
    COLOURS,
    WIDTH,
    Axis,
    Drawing,
    Spec,
    day_text,
    layer,
    layered,
    log_axis,
    ms,
    nothing,
    time_axis,
    tip,
)
from farthing.reports.index_chart_words import expected, month_text, sentence, times, usd

View = Mapping[str, Any]
_HEIGHT = 340
_BELOW = 46  # pixels
_PAST, _FUTURE = COLOURS[0], COLOURS[1]
_AXES = {"usd_per_mtok": "$ a million tokens", "index": "index", "pooled": "", "usd": "$",
         "times the price at start": "$ of what costs $1 at first"}  # fmt: skip
_STEP = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}


def forecast(view: View) -> Drawing:
    """The price until now as steps, and from now on what is expected with its interval."""
    points = [p for p in view.get("points") or () if _above_zero(p.get("expected"))]
    past = [p for p in view.get("history") or () if _above_zero(p.get("price"))]
    notes = [str(note) for note in view.get("notes") or ()]
    if not points:
        return nothing(f"{_name(view)}: no forecast can be given", notes)
    history = [{"t": ms(p["date"]) or 0, "v": float(p["price"]), "date": p["date"], "model": p.get("model") or "",
                "text": _amount(float(p["price"]), view)} for p in past]  # fmt: skip
    ahead = [_ahead(p, view) for p in points]
    today = ahead[0]["t"]
    across = time_axis([row["t"] for row in [*history, *ahead]])
    values = [row[key] for row in ahead for key in ("v", "low", "high") if row.get(key)]
    up = log_axis(
        [*(row["v"] for row in history), *values],
        _HEIGHT,
        _AXES.get(view.get("unit") or "", _AXES["usd_per_mtok"]),
        dollars=_in_dollars(view),
    )
    x, y, layers = across.encoding("t"), up.encoding("v"), _fan(ahead, across, up)
    if history:
        steps = [*history, history[-1] | {"t": today}] if history[-1]["t"] < today else history
        layers += [
            layer(steps, {**_STEP, "color": _PAST}, x=x, y=y),
            layer(history, {"type": "point", "filled": True, "size": 34, "color": _PAST, "opacity": 1}, x=x, y=y,
                  tooltip=tip(("date", "date"), ("text", "price"), ("model", "model"))),
        ]  # fmt: skip
    layers += _today(today, across, _HEIGHT)
    last = ahead[-1]
    ends = [
        (across.pixel(last["t"]), up.pixel(value), f"{_amount(value, view)} {name}", _FUTURE)
        for value, name in ((last["high"], "high end"), (last["v"], "expected"), (last["low"], "low end"))
        if value
    ]
    layers += end_labels(ends, WIDTH, _HEIGHT)
    interval = (
        f" ({_level(view)}: {_amount(last['low'], view)} to {_amount(last['high'], view)})"
        if last["low"] and last["high"]
        else ""
    )
    return Drawing(
        title=f"{_name(view)}: {_amount(ahead[0]['v'], view)} in "
        f"{month_text(ahead[0]['date'])}, {_amount(last['v'], view)} expected in {month_text(last['date'])}{interval}",
        subtitle=sentence(
            f"model: {view.get('model_words') or view['model']}" if view.get("model") else None,
            f"the expected price {expected(view['yearly_factor'])}" if view.get("yearly_factor") else None,
            _tested(view.get("backtest")),
            *notes[:1],
        ),
        spec=layered(layers, _HEIGHT),
        alt=f"Price history and forecast of {view['series']} on a logarithmic scale",
    )


def viability(view: View) -> Drawing:
    """The cost from today on, the target as a line, and the interval of the date at which they meet."""
    cost, target = float(view["cost"]), float(view["target"])
    notes = [str(note) for note in view.get("notes") or ()]
    today = ms(view.get("at"))
    if cost <= target:
        return nothing(f"{usd(cost)} today is no more than {usd(target)}: already there")
    if today is None or not view.get("date"):
        return nothing(f"{usd(cost)} to {usd(target)}: no date can be given", notes)
    path = [p for p in view.get("points") or () if _above_zero(p.get("expected"))]
    met = {key: ms(view.get(key)) for key in ("earliest", "date", "latest")}
    far = max(day for day in met.values() if day)
    margin = far + (far - today) * (0.08 if met["latest"] else 0.6)
    if not met["latest"]:
        far = int(margin)
    ahead = [row for p in path if (row := _ahead(p, view))["t"] <= margin] or _wedge(view, cost, target, today, far)
    across = time_axis([today, *(row["t"] for row in ahead), far])
    room = (cost / target) ** (_BELOW / (_HEIGHT - _BELOW))  # under the target stand the dates
    seen = [row[key] for row in ahead for key in ("v", "low", "high") if row.get(key) and row[key] >= target / room]
    up = log_axis([cost, target / room, *seen], _HEIGHT, "$ of the use case")
    x, y = across.encoding("t"), up.encoding("v")
    layers = _fan(ahead, across, up)
    rule = [{"v": target, "text": f"target {usd(target)}"}]
    layers.append(layer(rule, {"type": "rule", "strokeDash": [6, 4], "opacity": 0.7}, y=y))
    span = [{"t": met["earliest"] or today, "u": met["latest"] or int(across.high), "v": target}]
    layers.append(layer(span, {"type": "rule", "strokeWidth": 7, "opacity": 0.35, "color": _FUTURE}, x=x, y=y,
                        x2={"field": "u"}))  # fmt: skip
    layers.append(layer([{"t": met["date"], "v": target}], {"type": "point", "filled": True, "size": 110, "opacity": 1,
                                                            "color": _FUTURE}, x=x, y=y))  # fmt: skip
    layers.append(layer([{"t": today, "v": cost}], {"type": "point", "filled": True, "size": 70, "opacity": 1,
                                                    "color": _PAST}, x=x, y=y))  # fmt: skip
    layers += _met_labels(met, across, up.pixel(target))
    layers += labels(
        [f"{usd(cost)} today", f"target {usd(target)}"],
        [Place(x=across.pixel(today) + 8, y=up.pixel(cost) - 9, align="left"),
         Place(x=WIDTH + 6, y=up.pixel(target), align="left")],
    )  # fmt: skip
    return Drawing(
        title=f"{usd(cost)} is expected to be {usd(target)} ({times(cost / target)} less) in {month_text(view['date'])}"
        f"{_between(view)}",
        subtitle=sentence(
            f"benchmark: {view['benchmark']}" if view.get("benchmark") else None,
            f"on the basis of {view['basis']}" if isinstance(view.get("basis"), str) else None,
            *notes[:1],
        ),
        spec=layered(layers, _HEIGHT),
        alt="The expected cost along time, with the target and the interval of the date at which it is met",
    )


def _between(view: View) -> str:
    if not view.get("earliest") and not view.get("latest"):
        return ""
    early = f"from {month_text(view['earliest'])}" if view.get("earliest") else "from an unknown date"
    late = f" to {month_text(view['latest'])}" if view.get("latest") else ", no latest date in sight"
    return f"; {_level(view)} {early}{late}"


def _met_labels(met: Mapping[str, int | None], across: Axis, line: float) -> list[Spec]:
    """The dates under the target's line: in one row where they do not touch, else the expected one above the ends."""
    names = {"earliest": "earliest", "date": "expected", "latest": "latest"}
    found = []
    for key, day in met.items():
        if day:
            text, x = f"{names[key]} {month_text(day_text(day))}", across.pixel(day)
            half = text_width(text) / 2
            found.append((key, text, min(max(x, half), WIDTH - half), half))
    ordered = sorted(found, key=lambda one: one[2])
    crowded = any(a[2] + a[3] + 8 > b[2] - b[3] for a, b in pairwise(ordered))
    places = [Place(x=x, y=line + (33 if crowded and key != "date" else 17), align="center") for key, _, x, _ in found]
    if crowded and len(found) == 3 and found[0][2] + found[0][3] + 8 > found[2][2] - found[2][3]:
        return labels([text for key, text, _, _ in found if key == "date"], [p for p in places if p.y == line + 17])
    return labels([text for _, text, _, _ in found], places)


def _wedge(view: View, cost: float, target: float, today: int, far: int) -> list[dict[str, Any]]:
    """Straight lines (of logarithms) from the cost today to the target at each of the three dates."""
    ends = {name: ms(view.get(key)) for key, name in (("date", "v"), ("earliest", "low"), ("latest", "high"))}
    known = [far, *(day for day in ends.values() if day)]
    rows = []
    for t in sorted({*known, *(today + (max(known) - today) * step / 40 for step in range(41))}):
        row: dict[str, Any] = {"t": t, "date": day_text(t), "high": cost, "low": None}
        for name, day in ends.items():
            if day is not None:
                row[name] = cost * (target / cost) ** min(1.0, (t - today) / max(1, day - today))
        row["text"] = usd(row["v"])
        row["v"] = row["v"] if t <= (ends["v"] or 0) else None
        rows.append(row)
    return rows


def _fan(ahead: Sequence[dict[str, Any]], across: Axis, up: Axis) -> list[Spec]:
    x = across.encoding("t")
    said = [row for row in ahead if row["v"]]
    ranged = [row for row in ahead if row.get("low") and row.get("high")]
    return [
        layer(ranged, {"type": "area", "opacity": 0.18, "color": _FUTURE, "clip": True}, x=x, y=up.encoding("low"),
              y2={"field": "high"}),
        layer(said, {"type": "line", "strokeWidth": 2, "strokeDash": [7, 4], "color": _FUTURE, "clip": True}, x=x,
              y=up.encoding("v")),
        layer(said, {"type": "point", "size": 60, "filled": True, "opacity": 0}, x=x, y=up.encoding("v"),
              tooltip=tip(("date", "date"), ("text", "expected"))),
    ]  # fmt: skip


def _today(today: int, across: Axis, height: float) -> list[Spec]:
    x, text = across.pixel(today), f"known until {day_text(today)}"
    place = Place(x=x - 5, y=height - 8, align="right")
    if x < text_width(text) + 12:
        place = Place(x=x + 5, y=height - 8, align="left")
    return [
        layer([{"t": today}], {"type": "rule", "strokeDash": [2, 3], "opacity": 0.5}, x=across.encoding("t")),
        *labels([text], [place]),
    ]


def _ahead(point: View, view: View) -> dict[str, Any]:
    low, high = point.get("low"), point.get("high")
    interval = f" ({_amount(low, view)} to {_amount(high, view)})" if low and high else ""
    said = _amount(point["expected"], view) + interval
    return {"t": ms(point["date"]) or 0, "v": float(point["expected"]), "low": float(low) if low else None,
            "high": float(high) if high else None, "date": point["date"], "text": said}  # fmt: skip


def _name(view: View) -> str:
    """What is forecast; an offer's id keeps its own letters."""
    series = str(view["series"])
    return series if "/" in series else series[:1].upper() + series[1:]


def _tested(backtest: Any) -> str:
    """The back-test in a few words, from the horizon nearest to a year."""
    horizons = [h for h in (backtest or {}).get("horizons") or () if h.get("factor_error")]
    if not horizons:
        return "not back-tested"
    one = min(horizons, key=lambda h: abs(log(h["months"] / 12)))
    covered = backtest.get("covered")
    held = f", the interval held {covered:.0%}" if covered is not None else ""
    return f"back-test {one['months']} months ahead: typical error {times(one['factor_error'])}{held}"


def _in_dollars(view: View) -> bool:
    return view.get("unit") != "index"  # what is pooled is a dollar at first


def _amount(value: float | None, view: View) -> str:
    return usd(value) if value is None or _in_dollars(view) else f"{value:.3g}"


def _level(view: View) -> str:
    return f"{view['level']:.0%} interval" if view.get("level") else "interval"


def _above_zero(value: Any) -> bool:
    return value is not None and float(value) > 0
