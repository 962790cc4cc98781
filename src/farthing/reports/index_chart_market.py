"""Charts of the market at one time: the hosts of a model side by side, and providers with their bands."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from farthing.reports.index_chart_parts import (
    COLOURS,
    FONT,
    GREY,
    WIDTH,
    Axis,
    Drawing,
    Rows,
    Spec,
    layer,
    log_axis,
    nothing,
    tip,
)
from farthing.reports.index_chart_words import count, sentence, times, usd

View = Mapping[str, Any]
_STEP = 18  # pixels a row
_NUMBERS = 150  # pixels for what is written at the right of a plot
_PROVIDERS = 24  # drawn; the table has all
_DOT = {"type": "point", "filled": True, "opacity": 1}


def spread(view: View) -> Drawing:
    """One model's hosts, the cheapest first; or, where no model was named, the spread of each."""
    if "models" in view:
        return _spreads(view)
    hosts = [one for one in view["hosts"] if _above_zero(one.get("blended"))]
    if not hosts:
        return nothing(f"{view['model']}: nobody is known to charge for it by the token at this date", _notes(view))
    rows = [_host_row(one, hosts) for one in hosts]
    counted = [row for row in rows if row["counted"]]
    axis, x = _across([row[key] for row in rows for key in ("v", "input", "output") if row[key]])
    y = _names([row["name"] for row in rows])
    told = tip(
        ("id", "offer"), ("text", view["mix"]), ("inputs", "input"), ("outputs", "output"), ("else", "what else")
    )
    ranged = [row for row in rows if row["input"] and row["output"]]
    layers = [
        layer(ranged, {"type": "rule", "color": GREY, "opacity": 0.6}, x=axis.encoding("input") | {"axis": x["axis"]},
              x2={"field": "output"}, y=y),
        *(layer(ranged, {"type": "tick", "color": GREY, "thickness": 1.5, "size": 9},
                x=axis.encoding(key) | {"axis": x["axis"]}, y=y) for key in ("input", "output")),
        layer(counted, _DOT | {"size": 70, "color": COLOURS[0]}, x=x, y=y, tooltip=told),
        layer([row for row in rows if not row["counted"]],
              {"type": "point", "filled": False, "size": 52, "color": GREY, "opacity": 1}, x=x, y=y, tooltip=told),
        _written(rows, axis.length, y),
    ]  # fmt: skip
    if len(counted) > 2:
        middle = [{"v": median(row["v"] for row in counted)}]
        layers.insert(0, layer(middle, {"type": "rule", "strokeDash": [4, 3], "opacity": 0.55}, x=x))
    return Drawing(
        title=_spread_title(view, counted),
        subtitle=sentence(
            str(view.get("at"))[:10],
            f"$ a million tokens: filled is {view['mix']} input to output, ticks are input and output alone",
            "hollow: another offer of a seller, or a router's; not counted" if len(counted) < len(rows) else None,
            "dashed: the median" if len(counted) > 2 else None,
            f"evidence: {view['grade']}" if view.get("grade") else None,
        ),
        spec={"width": axis.length, "height": {"step": _STEP}, "layer": layers},
        alt=f"Price of {view['model']} at each host on a logarithmic scale",
    )


def _spread_title(view: View, counted: Sequence[View]) -> str:
    prices = [row["v"] for row in counted]
    if not prices:
        return f"{view['model']}: no offer counts as a seller's own"
    if len(prices) == 1:
        return f"{view['model']}: one seller, {usd(prices[0])} a million tokens"
    low, high = min(prices), max(prices)
    return (
        f"{view['model']} costs {usd(low)} to {usd(high)} at {len(prices)} sellers: "
        f"the dearest asks {times(high / low)} what the cheapest does"
    )


def _host_row(one: View, hosts: Sequence[View]) -> dict[str, Any]:
    same = sum(other["provider"] == one["provider"] for other in hosts) > 1
    counted = one.get("counted", True)
    ratio = f" ({times(one['ratio'])})" if one.get("ratio") else ""
    return {
        "name": f"{one['provider']}, {one['model'].rsplit('/', 1)[-1]}" if same else one["provider"],
        "id": f"{one['provider']}/{one['model']}", "counted": counted, "v": float(one["blended"]),
        "input": _positive(one.get("input")), "output": _positive(one.get("output")),
        "inputs": usd(one.get("input")), "outputs": usd(one.get("output")), "text": usd(one["blended"]) + ratio,
        "else": sentence(one.get("why_not"), one.get("served_as"), one.get("grade")),
    }  # fmt: skip


def _spreads(view: View) -> Drawing:
    """Each widely sold model from its cheapest seller to its dearest."""
    models = [one for one in view["models"] if _above_zero(one.get("low"))]
    if not models:
        return nothing("No open model is sold by three hosts or more at this date", _notes(view))
    rows = [
        {"name": one["model"], "low": float(one["low"]), "v": float(one["median"]), "high": float(one["high"]),
         "text": f"{times(one['ratio'])} over {count(one['count'], 'seller')}", "least": one.get("cheapest")}
        for one in models
    ]  # fmt: skip
    axis, x = _across([row[key] for row in rows for key in ("low", "high")])
    widest = max(models, key=lambda one: one["ratio"])
    middle = median(one["ratio"] for one in models)
    return Drawing(
        title=f"For the same model the dearest host asks {times(middle)} what the cheapest does (the median of "
        f"{count(len(models), 'open model')}), up to {times(widest['ratio'])}",
        subtitle=sentence(str(view.get("at"))[:10], f"$ a million tokens, {view['mix']} input to output",
                          "bar: cheapest to dearest seller; dot: the median"),
        spec=_ranges(rows, axis, x, (("name", "model"), ("text", "spread"), ("least", "cheapest at"))),
        alt="The range of each model's price over its hosts on a logarithmic scale",
    )  # fmt: skip


def _ranges(rows: Sequence[dict[str, Any]], axis: Axis, x: Spec, told: Sequence[tuple[str, str]]) -> Spec:
    """A row each: a bar from low to high, a dot at the middle, words at the right."""
    y = _names([row["name"] for row in rows])
    layers = [
        layer(list(rows), {"type": "rule", "strokeWidth": 5, "opacity": 0.28, "color": COLOURS[0]},
              x=axis.encoding("low") | {"axis": x["axis"]}, x2={"field": "high"}, y=y),
        layer(list(rows), _DOT | {"size": 60, "color": COLOURS[0]}, x=x, y=y, tooltip=tip(*told)),
        _written(rows, axis.length, y),
    ]  # fmt: skip
    return {"width": axis.length, "height": {"step": _STEP}, "layer": layers}


def _written(rows: Sequence[dict[str, Any]], width: float, y: Spec) -> Spec:
    """Words at the right of each row."""
    return layer(list(rows), {"type": "text", "align": "left", "fontSize": FONT}, x={"value": width + 10}, y=y,
                 text={"field": "text", "type": "nominal"})  # fmt: skip


def _names(names: Sequence[str]) -> Spec:
    axis = {"title": None, "ticks": False, "domain": False, "labelLimit": 330, "grid": True, "gridOpacity": 0.08}
    return {"field": "name", "type": "nominal", "sort": list(names), "axis": axis}


def _across(values: Sequence[float], title: str = "$ a million tokens") -> tuple[Axis, Spec]:
    axis = log_axis(values, WIDTH - _NUMBERS, title, up=False)
    return axis, axis.encoding("v")


def compare(view: View) -> Drawing:
    """Providers by their prices; below, how many models each band holds, tiers of capability, output over input."""
    providers = [one for one in view["providers"] if _above_zero(one.get("blended_low"))]
    if not providers:
        return nothing("No text model has a known price at this date", _notes(view))
    panels = [_titled(_providers(providers, view), _provider_title(providers))]
    bands = [band for band in view.get("bands") or () if band["count"]]
    if bands:
        panels.append(_titled(_bands(bands), "How many models each band of prices holds"))
    tiers = [tier for tier in view.get("tiers") or () if tier.get("low") and tier.get("median")]
    if tiers:
        panels.append(_titled(_tiers(tiers), f"Price by capability, {view.get('benchmark')}"))
    ratios = [one for one in view.get("ratios") or () if one.get("median")]
    if ratios:
        panels.append(_titled(_output(ratios), "How many times its input a token of output costs"))
    low = min(providers, key=lambda one: float(one["blended_low"]))
    high = max(providers, key=lambda one: float(one["blended_high"]))
    return Drawing(
        title=f"A million tokens cost from {usd(low['blended_low'])} ({low['provider']}) to "
        f"{usd(high['blended_high'])} ({high['provider']}), over {count(view['count'], 'offer')} of "
        f"{count(len({one['provider'] for one in providers}), 'provider')}",
        subtitle=sentence(str(view.get("at"))[:10], f"list prices, {view['mix']} input to output; free offers left out",
                          "bar: lowest to highest; dot: the median",
                          f"evidence: {view['grade']}" if view.get("grade") else None),
        spec={"vconcat": panels, "spacing": 36},
        alt="Ranges of prices by provider, with bands and tiers",
    )  # fmt: skip


def _titled(spec: Spec, title: str) -> Spec:
    return {**spec, "title": {"text": title, "fontSize": 13, "frame": "group", "offset": 8}}


def _provider_title(providers: Sequence[View]) -> str:
    left = len(providers) - _PROVIDERS
    return "Price by provider" + (f", the {_PROVIDERS} with most offers ({left} more in the table)" if left > 0 else "")


def _providers(providers: Sequence[View], view: View) -> Spec:
    """A row for each provider, the dearest median first; where models are listed, a dot for each of them."""
    most = sorted(providers, key=lambda one: -one["count"])[:_PROVIDERS]
    rows: Rows = [
        {"name": one.get("name", one["provider"]), "low": float(one["blended_low"]), "v": float(one["blended_median"]),
         "high": float(one["blended_high"]), "count": one["count"], "least": one.get("cheapest"),
         "most": one.get("dearest"), "text": f"{usd(one['blended_median'])}, {count(one['count'], 'offer')}"}
        for one in sorted(most, key=lambda one: -float(one["blended_median"]))
    ]  # fmt: skip
    axis, x = _across([row[key] for row in rows for key in ("low", "high")])
    told = (("name", "provider"), ("text", "median"), ("least", "cheapest"), ("most", "dearest"))
    spec = _ranges(rows, axis, x, told)
    shown = {row["name"] for row in rows}
    resold = {one["provider"]: one["name"] for one in providers if one.get("name", one["provider"]) != one["provider"]}
    dots = [
        {"name": row, "v": float(one["blended"]), "id": one["id"], "text": usd(one["blended"])}
        for one in view.get("models") or ()
        if (row := _row_of(one, resold)) in shown and _above_zero(one.get("blended"))
    ]
    if dots:
        names = _names([row["name"] for row in rows])
        mark = {"type": "tick", "size": 10, "thickness": 1.2, "color": COLOURS[1], "opacity": 0.8}
        spec["layer"].insert(1, layer(dots, mark, x=x, y=names, tooltip=tip(("id", "offer"), ("text", "price"))))
    return spec


def _row_of(model: View, resold: Mapping[str, str]) -> str:
    """The row of a provider in which a model counts: what a maker resells has a row of its own."""
    provider: str = model["provider"]
    return resold.get(provider, provider) if model.get("maker") not in (None, provider) else provider


def _bands(bands: Sequence[View]) -> Spec:
    rows: Rows = [
        {"name": f"{usd(band['low'])} to {usd(band['high'])}", "n": band["count"],
         "text": _few(f"{band['count']}: ", band.get("examples") or ())}
        for band in bands
    ]  # fmt: skip
    y = _names([row["name"] for row in rows])
    y["axis"] = {**y["axis"], "grid": False}
    scale = {"domain": [0, max(row["n"] for row in rows)], "nice": False}
    x = {"field": "n", "type": "quantitative", "scale": scale, "axis": None}
    # Bars take less than half of the width: the names of models stand beside them.
    bars = layer(rows, {"type": "bar", "color": COLOURS[0], "opacity": 0.75, "height": 12}, x=x, y=y)
    words = layer(rows, {"type": "text", "align": "left", "dx": 6, "fontSize": FONT}, x=x, y=y,
                  text={"field": "text", "type": "nominal"})  # fmt: skip
    return {"width": 250, "height": {"step": _STEP}, "layer": [bars, words]}


def _tiers(tiers: Sequence[View]) -> Spec:
    rows: Rows = [
        {"name": f"{tier['tier']} ({_scores(tier)})", "low": tier["low"], "v": tier["median"],
         "high": tier["high"], "least": tier.get("cheapest"),
         "text": f"{usd(tier['median'])}, {count(tier['count'], 'model')}"}
        for tier in tiers
    ]  # fmt: skip
    axis, x = _across([row[key] for row in rows for key in ("low", "high")])
    return _ranges(rows, axis, x, (("name", "tier"), ("text", "median"), ("least", "cheapest")))


def _few(head: str, names: Sequence[str], widest: int = 64) -> str:
    """As many whole names as fit; the first one always."""
    kept = list(names[:1])
    for name in names[1:]:
        if len(head) + len(", ".join([*kept, name])) <= widest:
            kept.append(name)
    return head + ", ".join(kept)


def _scores(tier: View) -> str:
    """The lowest tier has no floor but 0, which is no score."""
    low, high = tier["score_low"], tier.get("score_high")
    return f"from {_score(low)}" if low or high is None else f"below {_score(high)}"


def _score(score: float) -> str:
    return f"{score:,.0f}" if score >= 100 else f"{score:.3g}"


def _output(ratios: Sequence[View]) -> Spec:
    rows: Rows = []
    for one in ratios[: _PROVIDERS // 2]:
        what = "model" if one["name"].startswith("all") else "offer"
        rows.append({"name": one["name"], "low": one.get("p25") or one["low"], "v": one["median"],
                     "high": one.get("p75") or one["high"],
                     "text": f"{times(one['median'])}, {count(one['count'], what)}"})  # fmt: skip
    axis, x = _across([row[key] for row in rows for key in ("low", "high")], "half of the offers lie within the bar")
    x["axis"] = {**x["axis"], "labelExpr": "format(datum.value, '~g') + '×'"}
    return _ranges(rows, axis, x, (("name", "provider"), ("text", "median")))


def _notes(view: View) -> list[str]:
    return [str(note) for note in view.get("notes") or ()]


def _above_zero(value: Any) -> bool:
    return value is not None and float(value) > 0


def _positive(value: Any) -> float | None:
    return float(value) if _above_zero(value) else None
