"""Charts along time: an index with its band, the history of prices, the rent of GPUs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from farthing.reports.index_chart_labels import Box, Place, beside, end_labels, labels
from farthing.reports.index_chart_parts import (
    COLOURS,
    GAP,
    GREY,
    WIDTH,
    Drawing,
    Rows,
    Spec,
    colour,
    day_text,
    layer,
    layered,
    log_axis,
    ms,
    nothing,
    time_axis,
    tip,
)
from farthing.reports.index_chart_words import between, change, count, cut, half_life, sentence, usd

View = Mapping[str, Any]
_HEIGHT = 340
_LETTERS = 52  # of the names of lines that end at one price
METHODS = {
    "jevons": "Jevons", "carli": "Carli", "dutot": "Dutot", "laspeyres": "Laspeyres", "paasche": "Paasche",
    "fisher": "Fisher", "tornqvist": "Törnqvist", "walsh": "Walsh", "geks": "GEKS", "hedonic": "hedonic",
    "constant-capability": "constant capability",
}  # fmt: skip


def index(view: View) -> Drawing:
    """One index or several, each a line with its band; under a single one, how many models each link rests on."""
    series = [one for one in view.get("series", [view]) if len(_points(one)) > 1]
    if not series:
        return nothing("No index can be given: too few models have dated prices", _notes(view))
    every = [(one, _points(one)) for one in series]
    values = [p[key] for _, points in every for p in points for key in ("index", "low", "high") if p.get(key)]
    across = time_axis(ms(p["date"]) or 0 for _, points in every for p in points)
    up = log_axis(values, _HEIGHT, f"index, {series[0].get('base') or 'base'} = 100", dollars=False)
    x, layers, ends = across.encoding("t"), [], []
    base = _reference(up.low, up.high)
    if base:
        layers.append(layer([{"v": base}], {"type": "rule", "strokeDash": [2, 3], "opacity": 0.5}, y=up.encoding("v")))
    for number, (one, points) in enumerate(every):
        ink = COLOURS[number % len(COLOURS)]
        rows = [_index_row(p, one) | {"ink": ink} for p in points]
        band = [row for row in rows if row["low"] and row["high"]]
        tint = {"type": "area", "opacity": 0.16 if len(every) == 1 else 0.11, "color": ink, "clip": True}
        layers.append(layer(band, tint, x=x, y=up.encoding("low"), y2={"field": "high"}))
        layers.append(layer(rows, {"type": "line", "strokeWidth": 2, "color": ink}, x=x, y=up.encoding("v")))
        told = tip(("date", "date"), ("name", "method"), ("text", "index"), ("count", "models"))
        unseen = {"type": "point", "filled": True, "size": 70, "opacity": 0}  # what the pointer finds
        layers.append(layer(rows, unseen, x=x, y=up.encoding("v"), tooltip=told))
        last = rows[-1]
        text = f"{last['v']:,.3g}" if len(every) == 1 else f"{last['name']} {last['v']:,.3g}"
        ends.append((across.pixel(last["t"]), up.pixel(last["v"]), text, ink))
    layers += end_labels(ends, WIDTH, _HEIGHT)
    spec = layered(layers, _HEIGHT)
    if len(every) == 1:
        spec = {"vconcat": [spec, _counts(every[0][1], across)], "spacing": 14}
    return Drawing(
        title=_index_title(series),
        subtitle=_index_subtitle(series, view),
        spec=spec,
        alt=f"Line chart on a logarithmic scale from {every[0][1][0]['date']} to {every[0][1][-1]['date']}",
    )


def _index_title(series: Sequence[View]) -> str:
    if len(series) > 1:
        rate = _rate if len(series) == 2 else lambda one: change(one.get("yearly_factor"))
        each = "; ".join(f"{_name(one)} {rate(one)}" for one in series)
        return f"How prices moved, by method: {each}"
    one = series[0]
    subject = {
        "constant-capability": "The price of constant capability",
        "hedonic": "Prices at equal quality (hedonic)",
    }.get(one["method"], "The prices of the same models")
    return f"{subject} {_rate(one)}"


def _name(one: View) -> str:
    """The method, and of constant capability what is held constant (its first note)."""
    name = METHODS.get(one["method"], str(one["method"]))
    held = one["method"] == "constant-capability" and _notes(one)[:1]
    return f"{name} ({held[0]})" if held else name


def _rate(one: View) -> str:
    text = change(one.get("yearly_factor"))
    if one.get("yearly_factor") and one.get("yearly_low") and one.get("yearly_high"):
        level = f"{one['level']:.0%}: " if one.get("level") else ""
        ends = between(one["yearly_low"], one["yearly_high"]).removesuffix(" a year")
        text += f" ({level}{ends.removeprefix(text.split(' ', 1)[0]).strip()})"
    return text


def _index_subtitle(series: Sequence[View], view: View) -> str:
    one = series[0]
    single = len(series) == 1
    return sentence(
        METHODS.get(one["method"], one["method"]) if single else None,
        _mix(one),
        count(one["count"], "model") if single and one.get("count") else None,
        half_life(one.get("half_life_months")) if single else None,
        f"band: {one['level']:.0%} interval" if one.get("level") else None,
        f"evidence: {one['grade']}" if one.get("grade") else None,
        *(_notes(view)[:1] if single else ()),
    )


def _counts(points: Sequence[View], across: Any) -> Spec:
    """How many models each point rests on: a small index is a weak one, and a reader should see it."""
    rows = [{"t": ms(p["date"]), "n": p.get("count") or 0, "date": p["date"]} for p in points]
    high = max(row["n"] for row in rows) or 1
    axis = {"values": [0, high], "title": None, "grid": False, "domain": False, "ticks": False}
    return layered(
        [
            layer(rows, {"type": "area", "interpolate": "step", "opacity": 0.35, "color": GREY},
                  x=across.encoding("t") | {"axis": None},
                  y={"field": "n", "type": "quantitative", "scale": {"domain": [0, high]}, "axis": axis},
                  tooltip=tip(("date", "date"), ("n", "models"))),
            *labels(["models compared"], [Place(x=WIDTH + 6, y=18, align="left")]),
        ],
        36,
    )  # fmt: skip


def _index_row(point: View, one: View) -> dict[str, Any]:
    low, high = point.get("low"), point.get("high")
    band = f" ({low:,.3g} to {high:,.3g})" if low and high else ""
    return {"t": ms(point["date"]), "date": point["date"], "v": point["index"], "low": low, "high": high,
            "count": point.get("count"), "name": _name(one),
            "text": f"{point['index']:,.4g}{band}"}  # fmt: skip


def _points(one: View) -> list[Any]:
    """The points that have a value: a logarithm takes no zero, and unknown is not drawn."""
    return [point for point in one.get("points", ()) if point.get("index")]


def _reference(low: float, high: float) -> float | None:
    return 100.0 if low < 100 < high else None


def _mix(view: View) -> str | None:
    kind, mix = view.get("kind"), view.get("mix")
    if mix and (kind is None or str(kind).startswith("blended")):
        return f"input and output mixed {mix}"
    return f"{kind} price" if kind else None


def _notes(view: View) -> list[str]:
    return [str(note) for note in view.get("notes") or ()]


def history(view: View) -> Drawing:
    """What each model cost through time: steps on a logarithmic axis, each with its name."""
    lines = [(line, points) for line in view["lines"] if (points := _priced(line, view.get("at")))]
    if not lines:
        return nothing("No dated price above zero is known for these models", _notes(view))
    known = [ms(day) or 0 for _, points in lines for p in points for day in (p["start"], p.get("end")) if day]
    last = ms(view.get("at")) or max(known)
    hues = _hues([line for line, _ in lines])
    alive = {(hues[line["id"]], points[-1]["v"]) for line, points in lines if not points[-1]["end"]}
    height = max(_HEIGHT, GAP * len(alive) + 24)
    across = time_axis([min(known), last])
    title = f"$ a million tokens, {view.get('mix')}"
    up = log_axis((p["v"] for _, points in lines for p in points), height, title, room=0.08)
    ends: dict[tuple[str, float], list[str]] = {}
    over: list[tuple[float, float, str]] = []
    over_inks: list[str] = []
    drawn: list[Box] = []
    steps: Rows = []
    dots: Rows = []
    one_provider = len({line["provider"] for line, _ in lines}) == 1
    for line, points in lines:
        ink, name = hues[line["id"]], line["model"] if one_provider else line["id"]
        rows = _steps(line["id"], points, last, ink)
        at = [(across.pixel(row["t"]), up.pixel(row["v"])) for row in rows]
        drawn += [(*a, *b) for a, b in pairwise(at)]
        steps += rows
        dots += rows[::2]
        end = rows[-1]
        if end["t"] >= last:
            ends.setdefault((ink, end["v"]), []).append(name)
        else:
            over.append((*at[-1], cut(name)))
            over_inks.append(ink)
    edge = across.pixel(last)
    merged = [(edge, up.pixel(v), f"{usd(v)} {_together(names)}", ink) for (ink, v), names in ends.items()]
    x, y = across.encoding("t"), up.encoding("v")
    run = {"field": "run", "type": "nominal"}
    told = tip(("id", "model"), ("text", "price"))
    layers = [
        layer(steps, {"type": "line", "strokeWidth": 1.6, "opacity": 0.85}, x=x, y=y, detail=run, color=colour()),
        layer(dots, {"type": "point", "filled": True, "size": 22, "opacity": 0.9}, x=x, y=y, color=colour(),
              tooltip=told),
    ]  # fmt: skip
    layers += end_labels(merged, WIDTH, height)
    layers += labels([text for _, _, text in over], beside(over, WIDTH, height, (), drawn), over_inks)
    first, fell = day_text(min(known))[:4], sum(_fell(points) for _, points in lines)
    moved = f"{fell} of {count(len(lines), 'model')} got cheaper at least once since {first}"
    moved = f"{lines[0][0]['provider']}: {moved}" if one_provider else moved
    newest = f"the cheapest now costs {usd(min(points[-1]['v'] for _, points in lines if not points[-1].get('end')))}" \
        if ends else None  # fmt: skip
    return Drawing(
        title=moved + (f"; {newest}" if newest else ""),
        subtitle=sentence(f"list price of a million tokens, {view.get('mix')} input to output",
                          "a line that ends: the model was withdrawn, or nothing is known after", *_notes(view)[:1]),
        spec=layered(layers, height),
        alt=f"Price history of {count(len(lines), 'model')} on a logarithmic scale",
    )  # fmt: skip


def _together(names: Sequence[str]) -> str:
    """The names of lines that end at one price, as many as can be read."""
    shown = [cut(names[0], _LETTERS)]
    for name in names[1:]:
        if len(", ".join([*shown, name])) > _LETTERS:
            break
        shown.append(name)
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _steps(id: str, points: Sequence[View], last: int, ink: str) -> Rows:
    """Two rows a price, where it begins and where it ends; a gap, in which nothing is known, begins a new run."""
    rows: Rows = []
    run, before = 0, points[0]["start"]
    for p in points:
        run += p["start"] != before
        before = p.get("end")
        row = {"id": id, "run": f"{id} {run}", "ink": ink, "v": p["v"], "text": f"{usd(p['v'])} from {p['start']}"}
        rows += [row | {"t": ms(p["start"])}, row | {"t": ms(before) if before else last}]
    return rows


def _priced(line: View, at: str | None) -> list[dict[str, Any]]:
    """The prices above zero that began by `at`; what was stated twice is one, and an end that is still to come is no
    end yet."""
    made: list[dict[str, Any]] = []
    for p in line["points"]:
        if not p.get("price") or float(p["price"]) <= 0 or (at and p["start"][:10] > at[:10]):
            continue
        end = p.get("end")
        end = None if end and at and end[:10] > at[:10] else end
        if made and made[-1]["v"] == float(p["price"]) and made[-1]["end"] == p["start"]:
            made[-1]["end"] = end
        else:
            made.append({"start": p["start"], "end": end, "v": float(p["price"])})
    return made


def _fell(points: Sequence[View]) -> bool:
    return any(b["v"] < a["v"] for a, b in pairwise(points))


def _hues(lines: Sequence[View]) -> dict[str, str]:
    """A colour a line where they are few, else a colour a maker or provider (the most frequent ones)."""
    if len(lines) <= len(COLOURS):
        return {line["id"]: COLOURS[i] for i, line in enumerate(lines)}
    groups = [line.get("maker") or line["provider"] for line in lines]
    by_size = sorted(set(groups), key=lambda g: (-groups.count(g), g))
    shade = {group: COLOURS[i] if i < len(COLOURS) else GREY for i, group in enumerate(by_size)}
    return {line["id"]: shade[group] for line, group in zip(lines, groups, strict=True)}
