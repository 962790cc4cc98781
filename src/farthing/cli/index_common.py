"""What the verbs of `farthing index` share: their options, and one result as table, JSON, CSV, page or picture."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from farthing.cli.common import console, print_json
from farthing.problems import FarthingError

Mix = Annotated[
    str, typer.Option("--mix", metavar="I:O[:C]", help="Parts of input, output and cached input; or a usage file.")
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows as CSV (- for the screen).")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the chart as a page.")]
Png = Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write the chart as a picture.")]


def emit(
    view: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    table: Callable[[Mapping[str, Any]], Iterable[Any]],
    chart: str,
    as_json: bool,
    csv: Path | None = None,
    html: Path | None = None,
    png: Path | None = None,
) -> None:
    """Print `view` as JSON, or as what `table` makes of it; write `rows` as CSV and the chart called `chart`.

    `view` is in JSON's types; `table(view)` yields what rich prints, one after the other.
    """
    if str(csv) == "-" and as_json:
        raise FarthingError("--csv - and --json both want the screen; name a file for one of them")
    if csv is not None:
        from farthing.reports.index_rows import write_csv

        write_csv(rows, csv)
    if html is not None or png is not None:
        from farthing.reports.index_charts import write_chart

        write_chart(chart, view, html, png)
    if as_json:
        print_json(view)
    elif str(csv) != "-":
        screen = console()
        for part in table(view):
            screen.print(part)
        for path in (csv, html, png):
            if path is not None:
                screen.print(f"Written: {path}")
