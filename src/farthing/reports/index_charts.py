"""The charts of the index, by name: a page, or a picture. Each is drawn from the view that `--json` prints."""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from farthing import __version__
from farthing.files import write_whole
from farthing.reports import vega
from farthing.reports.index_chart_parts import PAGE, Drawing, Spec, configured
from farthing.reports.index_chart_words import lines_of
from farthing.reports.index_rows import columns, plain

View = Mapping[str, Any]
_LETTERS = 132  # of a subtitle's line in a picture
_TITLE_LETTERS = 84
_CHARTS = {
    "index": "index_chart_time:index",
    "history": "index_chart_time:history",
    "gpu": "index_chart_gpu:gpu",
    "decline": "index_chart_decline:decline",
    "spread": "index_chart_market:spread",
    "compare": "index_chart_market:compare",
    "forecast": "index_chart_future:forecast",
    "viability": "index_chart_future:viability",
}
_ROWS = {
    "index": "index_show:show_rows",
    "history": "index_rows:history_rows",
    "gpu": "index_gpu:gpu_rows",
    "decline": "index_decline:decline_rows",
    "spread": "index_spread:spread_rows",
    "compare": "index_compare:compare_rows",
    "forecast": "index_forecast:forecast_rows",
    "viability": "index_viability:viability_rows",
}


def drawing(name: str, view: View) -> Drawing:
    """The chart called `name` of `view`, and its finding in words."""
    made: Drawing = _found(_CHARTS[name])(view)
    return made


def rows(name: str, view: View) -> Sequence[Mapping[str, Any]]:
    """The rows of the table beside the chart: those that `--csv` writes."""
    made: Sequence[Mapping[str, Any]] = _found(_ROWS[name])(view)
    return made


def _found(where: str) -> Callable[[View], Any]:
    module, _, function = where.partition(":")
    found: Callable[[View], Any] = getattr(import_module(f"farthing.reports.{module}"), function)
    return found


def embedded(made: Drawing) -> Spec | None:
    """The specification for a page, whose own text says the title."""
    return None if made.spec is None else configured(made.spec)


def picture(made: Drawing) -> Spec:
    """The specification for a picture, which says its title itself; a picture of words where nothing can be drawn."""
    spec = made.spec or {"width": 720, "height": 1, "data": {"values": [{}]}, "mark": {"type": "point", "opacity": 0}}
    title = {
        "text": lines_of(made.title, _TITLE_LETTERS), "subtitle": lines_of(made.subtitle, _LETTERS), "anchor": "start",
        "fontSize": 17, "subtitleFontSize": 12, "subtitlePadding": 6, "offset": 16, "subtitleColor": "#5b6470",
        "frame": "bounds",
    }  # fmt: skip
    whole: Spec = _on_white(configured(spec) | {"title": title, "background": "white", "padding": 18})
    return whole


def _on_white(part: Any) -> Any:
    """The specification with white for the page's own colour, which only a page knows."""
    if isinstance(part, dict):
        return {name: _on_white(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_on_white(value) for value in part]
    return "white" if part == PAGE else part


def write_chart(name: str, view: View, html: Path | None, png: Path | None) -> None:
    """Write the chart called `name` of `view` as a page and as a picture, where asked for.

    Raises `FarthingError` where a file cannot be written.
    """
    made = drawing(name, view)
    if png is not None:
        vega.write_png(picture(made), png)
    if html is not None:
        write_whole(html, page(made, rows(name, view), view).encode("utf-8", "replace").decode())


def page(made: Drawing, table: Sequence[Mapping[str, Any]], view: View) -> str:
    """One self-contained page: the finding, the chart, the table, the notes."""
    spec = embedded(made)
    text: str = environment().get_template("index_chart.html.j2").render(
        made=made,
        spec=spec,
        runtime=vega.runtime() if spec else "",
        table=cells(table),
        notes=[str(note) for note in view.get("notes") or ()],
        version=__version__,
    )  # fmt: skip
    return text


class Table(msgspec.Struct, frozen=True):
    """A table as a page shows it: what all rows share, names, which of them are numbers, and each row's texts."""

    same: str
    head: list[str]
    numbers: list[bool]
    body: list[list[str]]


def cells(table: Sequence[Mapping[str, Any]]) -> Table:
    """The rows as texts: floats in four digits, midnights as days. A column that says one thing is said once."""
    names = [name for name in columns(table) if any(_text(row.get(name)) for row in table)]
    shared = [name for name in names if len(table) > 2 and len({_text(row.get(name)) for row in table}) == 1]
    if len(shared) == len(names):
        shared = []
    head = [name for name in names if name not in shared]
    body = [[_text(row.get(name)) for name in head] for row in table]
    numbers = [all(_is_number(row.get(name)) for row in table) for name in head]
    same = "; ".join(f"{name.replace('_', ' ')}: {_text(table[0].get(name))}" for name in shared)
    return Table(same, [name.replace("_", " ") for name in head], numbers, body)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return re.sub(r"(?<=\d)T00:00:00Z$", "", plain(value))


def _is_number(value: Any) -> bool:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return True
    try:
        return isinstance(value, str) and float(value) is not None
    except ValueError:
        return False


def environment() -> Any:
    """Jinja, with everything that comes from data escaped."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("farthing", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made
