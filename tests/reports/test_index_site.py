"""The site: whole, linked, escaped, offline; a folder that is not ours is never touched."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from farthing.problems import FarthingError
from farthing.reports import index_charts
from farthing.reports.index_site import MARK, Extra, Headline, Page, Section, check_folder, files, write_site
from tests.reports import index_views as views


@pytest.fixture(autouse=True)
def plain_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows for made-up views: the lists that they hold."""

    def rows(name: str, view: dict[str, Any]) -> Sequence[dict[str, Any]]:
        return next((view[key] for key in ("points", "hosts", "lines") if view.get(key)), [])

    monkeypatch.setattr(index_charts, "rows", rows)


def pages(*more: Page) -> list[Page]:
    return [
        Page(
            file="index.html", menu="Overview", title="Two truths", words=[views.EVIL],
            headlines=[Headline(name="same models", value="4% a year", words="34 models")],
            links=[("spread", "spread.html")],
            sections=[Section(id="overview", chart="index", view=views.show(), command="farthing index show")],
            extras=[Extra(title="Changes", rows=[{"offer": views.EVIL, "was": "$2"}, {"offer": "b", "was": "$1"}])],
            missing=["forecast: too thin"],
        ),
        Page(
            file="spread.html", menu="Spread", title="Spread",
            sections=[Section(id="spread", chart="spread", view=views.spread()),
                      Section(id="none", chart="viability", view=views.viability(date=None))],
        ),
        *more,
    ]  # fmt: skip


class Reader(HTMLParser):
    """What a page refers to, and the ids and texts that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [value for name, value in attrs if name in ("src", "href") and value]
        self.alts += [value or "" for name, value in attrs if name == "alt"]


def test_every_link_leads_to_a_file_of_the_site_and_nothing_leaves_it(tmp_path: Path) -> None:
    count = write_site(pages(), tmp_path / "site", "Index", "2026-11-22")
    there = {str(p.relative_to(tmp_path / "site")) for p in (tmp_path / "site").rglob("*") if p.is_file()}
    assert len(there) == count
    for name in ("index.html", "spread.html"):
        read = Reader((tmp_path / "site" / name).read_text())
        assert set(read.refers) <= there
        assert "table" in read.tags
        assert all(len(alt) > 20 for alt in read.alts)


def test_each_chart_has_its_data_beside_it(tmp_path: Path) -> None:
    write_site(pages(), tmp_path, "Index", "2026-11-22")
    assert json.loads((tmp_path / "data" / "spread.json").read_text())["model"] == "llama-3.3-70b"
    assert (tmp_path / "data" / "spread.csv").read_text().startswith("id,provider,model")
    assert (tmp_path / "data" / "spread.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "data" / "none.png").exists()  # nothing to draw
    assert "no date can be given" in (tmp_path / "spread.html").read_text()


def test_the_runtime_and_the_style_are_there_once() -> None:
    made = files(pages(), "Index", "2026-11-22")
    assert b"vegaEmbed" in made["vega.js"]
    assert len(made["index.html"]) < 60_000
    assert list(made)[-1] == MARK


def test_names_of_others_are_escaped() -> None:
    made = files(pages(), "Index", "2026-11-22")
    for name in ("index.html", "spread.html"):
        text = made[name].decode()
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in made["index.html"].decode()


def test_the_same_views_give_the_same_bytes() -> None:
    assert files(pages(), "Index", "2026-11-22") == files(pages(), "Index", "2026-11-22")


def test_a_folder_that_is_not_ours_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FarthingError, match="no site of ours; name a new or an empty folder"):
        write_site(pages(), tmp_path, "Index", "2026-11-22")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("mark", ["", "[]", '{"files": 3}', "{"])
def test_a_mark_that_cannot_be_read_is_no_mark(tmp_path: Path, mark: str) -> None:
    (tmp_path / MARK).write_text(mark)
    with pytest.raises(FarthingError, match="no site of ours"):
        write_site(pages(), tmp_path, "Index", "2026-11-22")


def test_a_folder_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FarthingError, match="no site of ours"):
        check_folder(tmp_path)
    check_folder(tmp_path / "new")
    told: list[tuple[int, int]] = []
    write_site(pages(), tmp_path / "new", "T", "2026-11-22", lambda done, total: told.append((done, total)))
    assert told == [(n, len(pages())) for n in range(len(pages()))]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(FarthingError, match="is a file"):
        write_site(pages(), tmp_path / "x", "Index", "2026-11-22")


def test_writing_again_removes_what_is_no_longer_part_of_it_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "site"
    gone = Page(file="gone.html", title="Gone", under="index.html")
    write_site(pages(gone), out, "Index", "2026-11-22")
    (out / "note.txt").write_text("mine")
    write_site(pages(), out, "Index", "2026-11-23")
    assert not (out / "gone.html").exists()
    assert (out / "note.txt").read_text() == "mine"


def test_a_mark_cannot_name_files_outside_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_site(pages(), out, "Index", "2026-11-22")
    (tmp_path / "precious.html").write_text("mine")
    (out / MARK).write_text(json.dumps({"files": ["../precious.html", str(tmp_path / "precious.html"), MARK]}))
    write_site(pages(), out, "Index", "2026-11-22")
    assert (tmp_path / "precious.html").read_text() == "mine"


def test_a_failure_leaves_the_old_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(pages(), tmp_path, "Index", "2026-11-22")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FarthingError, match="cannot be written: No space left"):
        write_site(pages(), tmp_path, "Index", "2026-11-23")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_pages_say_what_day_they_tell_of_and_what_is_missing() -> None:
    text = files(pages(), "Index", "2026-11-22")["index.html"].decode()
    assert "as of 2026-11-22" in text
    assert "forecast: too thin" in text
    assert re.search(r'<a href="index.html" aria-current="page">Overview</a>', text)


@pytest.mark.slow
def test_the_site_of_our_own_book_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page with its charts, from the packaged prices: nothing missing, every link leads somewhere."""
    monkeypatch.undo()  # the rows of the commands themselves
    from farthing.index.kinds import Mix
    from farthing.rates.book import Book
    from farthing.reports.index_site_pages import pages as of_book

    made = of_book(Book(), datetime(2026, 11, 22, tzinfo=UTC), Mix.parse("3:1"))
    menu = [page.file for page in made if page.menu]
    assert menu == ["index.html", "history.html", "decline.html", "spread.html", "compare.html", "forecast.html",
                    "gpu.html", "methods.html"]  # fmt: skip
    assert [reason for page in made for reason in page.missing] == []
    assert all(page.sections or page.extras for page in made)
    write_site(made, tmp_path, "Index", "2026-11-22")
    there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    for page in made:
        text = (tmp_path / page.file).read_text()
        assert set(Reader(text).refers) <= there
        assert "NaN" not in text
    front = made[0]
    assert len(front.headlines) == 3
    assert "Both are true" in front.title
