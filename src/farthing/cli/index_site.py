"""`farthing index site OUT`: the index as a folder of pages."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from farthing.cli.common import At, Cards, book_with, console, instant, share
from farthing.cli.index_common import Mix


def site(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder: new, empty, or an earlier site of ours.")],
    mix: Mix = "3:1",
    at: At = None,
    card: Cards = None,
) -> None:
    """Write a static site of the index: history, declines, spreads, forecasts, GPU rents, each with its data."""
    from farthing.index.kinds import mix_from
    from farthing.reports.index_site import check_folder, write_site
    from farthing.reports.index_site_pages import pages

    moment = instant(at) or datetime.now(UTC).replace(microsecond=0)
    check_folder(out)  # before the work, not after it
    parts, book = mix_from(mix), book_with(card)
    with share("Working out the index") as tick:
        made = pages(book, moment, parts, tick)
    with share("Drawing its pages") as tick:
        written = write_site(made, out, "Price index of inference", moment.date().isoformat(), tick)
    console().print(f"Written: {out / 'index.html'} ({len(made)} pages, {written} files)")
