"""A static site of the index: pages, each chart with its table and its data, one runtime, one style.

It works from a folder, without a server or a network. Files are written beside each other and then moved into
place one by one; a list of them (`site.json`) marks the folder as ours.
"""

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from farthing import __version__
from farthing.problems import FarthingError
from farthing.reports import index_charts, vega
from farthing.reports.index_chart_parts import Drawing
from farthing.reports.index_charts import Table, cells, embedded, environment, picture
from farthing.reports.index_rows import csv_text

View = Mapping[str, Any]
MARK = "site.json"
"""The file that says which files of a folder are ours."""
_OURS = re.compile(r"(?:data/)?[a-z0-9][a-z0-9._-]*\.(?:html|css|js|json|csv|png)")
_ROWS = 300  # of a table on a page


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One chart of a page: its name among the charts, its view, the command that makes it again.

    `pictured`: a PNG of it is written, too."""

    id: str
    chart: str
    view: View
    command: str = ""
    pictured: bool = True


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """A number in large, with what it is and what it means."""

    name: str
    value: str
    words: str


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """A table without a chart."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    words: Sequence[str] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page. `menu`: its name in the menu; None for a page that stands under another (`under`).

    `missing`: what could not be made, and why: said, never left out in silence.
    """

    file: str
    title: str
    menu: str | None = None
    under: str = ""
    words: Sequence[str] = ()
    headlines: Sequence[Headline] = ()
    links: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    extras: Sequence[Extra] = ()
    missing: Sequence[str] = ()


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A section as the template prints it."""

    id: str
    made: Drawing
    pictured: bool
    spec: Any
    table: Table
    rows: int
    more: bool
    notes: list[str]
    command: str


def check_folder(out: Path) -> None:
    """Raises `FarthingError` where a site cannot be written to `out`: a file, or a folder of something else."""
    _owned(out)


def write_site(
    pages: Sequence[Page], out: Path, title: str, at: str, tick: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Write the site of `pages` to the folder `out` (made where it is missing) and return the number of files.

    `title` heads every page, `at` is the day that it tells of; `tick` is called with the pages done, of all. Raises
    `FarthingError` where `out` is no folder of ours or cannot be written; what was there then stays.
    """
    ours = _owned(out)
    made = files(pages, title, at, tick)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=out) as folder:
            for name, content in made.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            (out / "data").mkdir(exist_ok=True)
            for name in made:  # the mark is the last: until then an interrupted folder is still the old one's
                (Path(folder) / name).replace(out / name)
        for name in ours - set(made):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise FarthingError(f"{out}: cannot be written: {error.strerror or error}") from None
    return len(made)


def _owned(out: Path) -> set[str]:
    """The files that an earlier site left in `out`. Raises `FarthingError` where it holds what is not ours."""
    if out.exists() and not out.is_dir():
        raise FarthingError(f"{out}: is a file; name a folder for the site")
    try:
        if not out.exists() or not any(out.iterdir()):
            return set()
        listed = json.loads((out / MARK).read_text())["files"]
        return {name for name in listed if isinstance(name, str) and _OURS.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError):
        why = "holds files that are no site of ours; name a new or an empty folder"
        raise FarthingError(f"{out}: {why}") from None


def files(
    pages: Sequence[Page], title: str, at: str, tick: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, bytes]:
    """Every file of the site by its name, the mark last."""
    template = environment().get_template("index_site.html.j2")
    parts = environment().get_template("index_parts.html.j2").module
    menu = [(page.menu, page.file) for page in pages if page.menu]
    site = {"title": title, "stamp": f"Farthing {__version__}, as of {at}"}
    made: dict[str, bytes] = {}
    for number, page in enumerate(pages):
        tick(number, len(pages))
        figures = [_figure(section, made) for section in page.sections]
        tables = [{"title": e.title, "words": e.words, "table": cells(e.rows)} for e in page.extras]
        shown = {"title": page.title, "file": page.file, "under": page.under, "words": page.words,
                 "figures": page.headlines, "links": page.links, "tables": tables, "missing": page.missing}  # fmt: skip
        made[page.file] = _bytes(template.render(page=shown, site=site, menu=menu, figures=figures))
    made["style.css"] = _bytes(parts.style().strip() + "\n")
    made["draw.js"] = _bytes(parts.draw().strip() + "\n")
    made["vega.js"] = _bytes(vega.runtime())
    listed = {"made_by": f"farthing {__version__}", "at": at, "files": sorted([*made, MARK])}
    made[MARK] = _bytes(json.dumps(listed, indent=1))
    return made


def _figure(section: Section, made: dict[str, bytes]) -> Figure:
    """The section for the template; its data go to `made`."""
    drawn = index_charts.drawing(section.chart, section.view)
    rows = index_charts.rows(section.chart, section.view)
    made[f"data/{section.id}.json"] = _bytes(json.dumps(section.view, indent=1, ensure_ascii=False))
    made[f"data/{section.id}.csv"] = _bytes(csv_text(rows))
    if drawn.spec is not None and section.pictured:
        made[f"data/{section.id}.png"] = vega.png(picture(drawn))
    return Figure(
        id=section.id,
        made=drawn,
        pictured=section.pictured,
        spec=embedded(drawn),
        table=cells(rows[:_ROWS]),
        rows=len(rows),
        more=len(rows) > _ROWS,
        notes=[str(note) for note in section.view.get("notes") or ()],
        command=section.command,
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
