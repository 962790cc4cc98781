"""The chart of rented GPUs: what an hour of each device costs, and the price of tokens against it."""

from collections.abc import Mapping, Sequence
from typing import Any

from farthing.reports.index_chart_labels import end_labels
from farthing.reports.index_chart_parts import (
    COLOURS,
    WIDTH,
    Axis,
    Drawing,
    Spec,
    layer,
    layered,
    linear_axis,
    log_axis,
    ms,
    nothing,
    time_axis,
    tip,
)
from farthing.reports.index_chart_words import month_text, sentence, times, usd

View = Mapping[str, Any]


def gpu(view: View) -> Drawing:
    """What an hour of each device costs, and the price of tokens against it."""
    notes = [str(note) for note in view.get("notes") or ()]
    devices = [(one, points) for one in view["devices"] if (points := _rents(one))]
    if not devices:
        return nothing("No dated rent of a GPU is known for this question", notes)
    height = 260
    shown = [p for _, points in devices for p in points]
    days = [p["date"] for p in shown] + [p["date"] for _, points in _tokens(view) for p in points]
    across = time_axis(ms(day) or 0 for day in days)
    up = linear_axis([p.get("high") or p["usd_per_hour"] for p in shown], height, "$ an hour", dollars=True)
    x, layers, ends = across.encoding("t"), [], []
    for number, (one, points) in enumerate(devices):
        ink = COLOURS[number % len(COLOURS)]
        rows = [
            {"t": ms(p["date"]), "v": p["usd_per_hour"], "low": p.get("low"), "high": p.get("high"),
             "date": p["date"], "device": one["device"], "text": f"{usd(p['usd_per_hour'])} an hour",
             "count": p.get("count"), "grade": p.get("grade")}
            for p in points
        ]  # fmt: skip
        ranged = [row for row in rows if row["low"] and row["high"] and row["low"] < row["high"]]
        layers += [
            layer(ranged, {"type": "rule", "strokeWidth": 5, "opacity": 0.22, "color": ink}, x=x,
                  y=up.encoding("low"), y2={"field": "high"}),
            layer(rows, {"type": "line", "strokeWidth": 1.8, "color": ink}, x=x, y=up.encoding("v")),
            layer(rows, {"type": "point", "filled": True, "size": 34, "color": ink, "opacity": 1}, x=x,
                  y=up.encoding("v"), tooltip=tip(("device", "device"), ("date", "date"), ("text", "rent"),
                                                  ("count", "statements"), ("grade", "evidence"))),
        ]  # fmt: skip
        last = rows[-1]
        ends.append((across.pixel(last["t"]), up.pixel(last["v"]), f"{one['device'].upper()} {usd(last['v'])}", ink))
    layers += end_labels(ends, WIDTH, height)
    upper = layered(layers, height)
    tokens = _tokens(view)
    spec = {"vconcat": [upper, _against(tokens, across)], "spacing": 34} if tokens else upper
    return Drawing(
        title=_gpu_title(devices, tokens),
        subtitle=sentence(f"rent of one GPU, {view.get('term') or 'on demand'}",
                          "a market average where one is published, else the median of sellers",
                          "bars: lowest to highest", f"evidence: {view['grade']}" if view.get("grade") else None),
        spec=spec,
        alt="Rent of GPUs by device along time",
    )  # fmt: skip


def _tokens(view: View) -> list[tuple[str, Sequence[View]]]:
    """The series of token prices against the rent of one device, by name: those that begin where the first does."""
    stated = view.get("token_series") or [{"name": view.get("tokens_method"), "points": view.get("tokens") or ()}]
    found = [
        (str(one.get("name") or "tokens"), points)
        for one in stated
        if len(points := [p for p in one["points"] if p.get("token_index") and p.get("gpu_index")]) > 1
    ]
    return [one for one in found if one[1][0]["date"] == found[0][1][0]["date"]]


def _against(tokens: Sequence[tuple[str, Sequence[View]]], across: Axis) -> Spec:
    """The price of tokens and the rent of a GPU, all 100 at the first common date."""
    height = 220
    rent = [(p["date"], p["gpu_index"]) for p in max((points for _, points in tokens), key=len)]
    drawn = [("rent of a GPU", rent, COLOURS[0])]
    for number, (name, points) in enumerate(tokens):
        ink = COLOURS[(number + 1) % len(COLOURS)]
        drawn.append((f"tokens, {name}", [(p["date"], p["token_index"]) for p in points], ink))
    up = log_axis([value for _, values, _ in drawn for _, value in values], height, f"index, {rent[0][0]} = 100",
                  dollars=False)  # fmt: skip
    x, layers, ends = across.encoding("t"), [], []
    for name, values, ink in drawn:
        rows = [{"t": ms(day), "v": v, "date": day, "name": name, "text": f"{v:,.3g}"} for day, v in values]
        told = tip(("name", "index"), ("date", "date"), ("text", "value"))
        layers.append(layer(rows, {"type": "line", "strokeWidth": 2, "color": ink}, x=x, y=up.encoding("v"),
                            tooltip=told))  # fmt: skip
        last = rows[-1]
        ends.append((across.pixel(ms(values[-1][0]) or 0), up.pixel(values[-1][1]), f"{name} {last['text']}", ink))
    return layered([*layers, *end_labels(ends, WIDTH, height)], height)


def _gpu_title(devices: Sequence[tuple[View, Sequence[View]]], tokens: Sequence[tuple[str, Sequence[View]]]) -> str:
    one, points = max(devices, key=lambda pair: len(pair[1]))
    first, last = points[0], points[-1]
    title = f"An hour of {one['device'].upper()} costs {usd(last['usd_per_hour'])} in {month_text(last['date'])}"
    if len(points) > 1:
        share = last["usd_per_hour"] / first["usd_per_hour"] - 1
        title += f", {abs(share):.0%} {'more' if share > 0 else 'less'} than in {month_text(first['date'])}"
    if tokens:
        moved = " and ".join(f"{_moved(points)} ({name})" for name, points in tokens)
        title += f"; meanwhile the price of tokens {moved}"
    return title


def _moved(points: Sequence[View]) -> str:
    """What a series did from its first to its last date: "fell 16%", "rose 2.4×"."""
    fell = points[0]["token_index"] / points[-1]["token_index"]
    size = max(fell, 1 / fell)
    return ("fell " if fell >= 1 else "rose ") + (times(size) if size >= 2 else f"{abs(1 - 1 / fell):.0%}")


def _rents(one: View) -> list[Any]:
    return [point for point in one["points"] if point.get("usd_per_hour")]
