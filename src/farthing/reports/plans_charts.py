"""The charts of API against hosting: a curve over volumes, a surface over mix and utilisation; a page or a picture."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from farthing import __version__
from farthing.files import write_whole
from farthing.plans.breakeven import MARKS, Breakeven
from farthing.reports import vega
from farthing.reports.plans_breakeven import load_text, verdict
from farthing.reports.plans_show import dollars, percent, spread, tokens

_COLOURS = ("#7d8ba1", "#d95f76", "#2a9d8f", "#b07a2a", "#6d78c9")
_WIDTH, _HEIGHT, _CELL = 760, 340, 46
_NEUTRAL = 1.0  # hosting costs what the API does


def curve_rows(found: Breakeven) -> list[dict[str, Any]]:
    """A row for each way and volume: dollars a month with their interval."""
    rows: list[dict[str, Any]] = []
    for point in found.curve:
        at = {"volume": float(point.volume), "tokens": tokens(point.volume)}
        rows.append({**at, "way": found.api.name, "usd": float(point.api_usd), "low": float(point.api_usd),
                     "high": float(point.api_usd), "cost": dollars(point.api_usd), "gpus": 0})  # fmt: skip
        for one, value, gpus in zip(found.against, point.hosted_usd, point.gpus, strict=True):
            interval = value.interval
            rows.append({**at, "way": one.host.name, "usd": float(interval.mid), "low": float(interval.low),
                         "high": float(interval.high), "cost": spread(value), "gpus": gpus})  # fmt: skip
    return rows


def surface_rows(found: Breakeven) -> list[dict[str, Any]]:
    """A row for each host, share of input and utilisation: the cost of hosting over the API's."""
    return [
        {
            "way": one.host.name,
            "input": percent(cell.input_share),
            "order": float(cell.input_share),
            "busy": percent(cell.utilisation),
            "use": float(cell.utilisation),
            "ratio": float(cell.hosted_usd[position] / cell.api_usd),
            "text": f"{float(cell.hosted_usd[position] / cell.api_usd):.2f}",
            "hosted": dollars(cell.hosted_usd[position]),
            "api": dollars(cell.api_usd),
        }
        for position, one in enumerate(found.against)
        for cell in found.surface
        if cell.api_usd
    ]


def specification(found: Breakeven) -> dict[str, Any]:
    """The two charts, one above the other, as a Vega-Lite specification with its data."""
    import altair as alt

    names = [found.api.name, *(one.host.name for one in found.against)]
    colour = alt.Color("way:N", sort=names, scale=alt.Scale(domain=names, range=list(_COLOURS[: len(names)])),
                       legend=alt.Legend(orient="top", title=None, labelLimit=400, symbolOpacity=1))  # fmt: skip
    curve = alt.Chart(alt.InlineData(values=curve_rows(found))).encode(
        x=alt.X("volume:Q", scale=alt.Scale(type="log", nice=False), title="tokens a month",
                axis=alt.Axis(format="~s", labelExpr="replace(datum.label, 'G', 'B')", values=_powers(found))),
        color=colour,
    )  # fmt: skip
    money = alt.Y("usd:Q", scale=alt.Scale(type="log", nice=False), title="US dollars a month",
                  axis=alt.Axis(format="$,.12~f", labelOverlap=True))  # fmt: skip
    layers: list[Any] = [
        curve.mark_area(opacity=0.16, interpolate="linear").encode(
            y=alt.Y("low:Q", scale=alt.Scale(type="log", nice=False), title="US dollars a month"), y2="high:Q"
        ),
        curve.mark_line(strokeWidth=2).encode(y=money),
        curve.mark_point(filled=True, size=60, opacity=0).encode(  # unseen: what the pointer finds
            y=money, tooltip=["way:N", "tokens:N", "cost:N", alt.Tooltip("gpus:Q", title="GPUs")]
        ),
    ]
    marks = [
        {"volume": float(one.first.mid), "label": f"{one.host.name} from {tokens(one.first.mid)}"}
        for one in found.against
        if one.first.mid is not None and found.curve[0].volume <= one.first.mid <= found.curve[-1].volume
    ]
    for position, mark in enumerate(marks):  # one below the other: two break-evens may be close
        rule = alt.Chart(alt.InlineData(values=[mark])).encode(x="volume:Q")
        below = -_HEIGHT / 2 + 8 + 16 * position
        layers += [
            rule.mark_rule(strokeDash=[4, 3], opacity=0.6),
            rule.mark_text(align="left", dx=5, dy=below, baseline="top").encode(text="label:N"),
        ]
    upper = alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT, title=_title(found))
    lower = _surface(alt, found)
    made: dict[str, Any] = alt.vconcat(upper, lower).resolve_scale(color="independent").to_dict()
    return {**made, "config": _config()}


def _surface(alt: Any, found: Breakeven) -> Any:
    """A heat map for each host: below 1 (green) hosting costs less than the API, above (red) more."""
    rows = surface_rows(found)
    cells = alt.Chart().encode(
        x=alt.X("busy:N", sort=alt.SortField("use"), title="busy, on average", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("input:N", sort=alt.SortField("order"), title="share of input"),
        tooltip=["way:N", "input:N", "busy:N", "hosted:N", "api:N"],
    )
    ratio = alt.Color(
        "ratio:Q",
        scale=alt.Scale(type="log", domain=[0.1, _NEUTRAL, 10], range=["#2a9d8f", "#f4f1e6", "#d95f76"], clamp=True),
        legend=alt.Legend(title="hosting / API", format="~g", values=[0.1, 0.3, 1, 3, 10]),
    )
    drawn = alt.layer(
        cells.mark_rect().encode(color=ratio),
        cells.mark_text(fontSize=12, color="#1c2128").encode(text="text:N"),
        data=alt.InlineData(values=rows),
    ).properties(width=max(220, _WIDTH // len(found.against) - 110), height=_CELL * 4)
    return drawn.facet(column=alt.Column("way:N", title=None, sort=[one.host.name for one in found.against]))


def _powers(found: Breakeven) -> list[float]:
    return [float(point.volume) for point in found.curve if str(int(point.volume)).strip("0") == "1"]


def _title(found: Breakeven) -> str:
    return f"{found.api.name} against hosting: {load_text(found.load)}"


def _config() -> dict[str, Any]:
    return {
        "background": "white",
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {"gridOpacity": 0.3, "labelFontSize": 12, "titleFontSize": 12},
        "title": {"anchor": "start", "fontSize": 14},
        "legend": {"labelFontSize": 12},
    }


def volumes(per_decade: int = 40, first: int = 8, last: int = 12) -> list[Fraction]:
    """Volumes for a smooth curve, from 10^first to 10^last tokens a month; powers of ten are exact."""
    exponents = [Fraction(step, per_decade) for step in range(first * per_decade, last * per_decade + 1)]
    return [Fraction(10**e) if e.denominator == 1 else Fraction(round(10 ** float(e))) for e in exponents]


def write_png(found: Breakeven, out: Path) -> None:
    """Write the charts as a picture. Raises `FarthingError` where `out` cannot be written."""
    vega.write_png(specification(found), out)


def write_html(found: Breakeven, out: Path, command: str) -> None:
    """Write one self-contained page: the verdicts, the charts, the table. Raises `FarthingError` where it cannot."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("farthing", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    names = [one.host.name for one in found.against]
    rows = [
        [tokens(p.volume), dollars(p.api_usd), *(spread(v) for v in p.hosted_usd), *map(str, p.gpus), p.winner]
        for p in found.curve
        if p.volume in MARKS
    ]
    sources = {s.id: s for part in (found.api, *_parts(found)) for s in part.sources}
    text = environment.get_template("plans.html.j2").render(
        title=_title(found),
        verdicts=[verdict(one) for one in found.against],
        evidence=str(found.grade),
        head=["tokens a month", found.api.name, *names, *(f"GPUs, {name}" for name in names), "cheapest"],
        rows=rows,
        sources=[f"{s.title}; {s.where}; {s.grade}" for s in sources.values()],
        command=command,
        version=__version__,
        runtime=vega.runtime(),
        spec=specification(found),
    )
    write_whole(out, text.encode("utf-8", "replace").decode())


def _parts(found: Breakeven) -> list[Any]:
    hosts = [one.host for one in found.against]
    return [part for h in hosts for part in (h.hosting, h.capacity, h.power) if part is not None]
