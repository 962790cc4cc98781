"""The replay page: whole, offline, escaped, exact; unknown is never drawn or written as zero."""

import json
import re
import resource
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import vl_convert

from farthing.charges.spread import Spread
from farthing.evidence import Grade, Source
from farthing.policies.question import Replay, Row
from farthing.problems import FarthingError
from farthing.reports import html_charts
from farthing.reports.html import DRAWN, page, write_page

EVIL = 'acme/<script>alert("x")</script>&</style>'
SOURCE = Source(
    id="s", title="Acme <b>list</b>", where="https://acme.example", seen=date(2026, 11, 1), grade=Grade.MEASURED
)
START = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


def usd(text: str) -> Fraction:
    return Fraction(text)


def row(offer: str, total: str | None, policy: str = "as-is", known: str = "0", **more: Any) -> Row:
    """A row of 4 requests: three quarters of the cost are input."""
    cost = None if total is None else usd(total)
    size = usd(known) if cost is None else cost
    made = Row(
        offer=offer,
        policy=policy,
        total_usd=cost,
        known_usd=size,
        ratio=None if cost is None else cost / 2,
        usd_per_mtok=None if cost is None else cost * 1000,
        mean_usd=None if cost is None else cost / 4,
        spread=None if cost is None else Spread(rows=4, sampled=False, p50=cost / 8, p95=cost / 5, p99=cost / 3),
        shares={"input": Fraction(3, 4), "output": Fraction(1, 4)} if size else {},
        rows=4,
        unpriced_rows=0 if cost is not None else 3,
        reasons={} if cost is not None else {"no price stated for <output>": 3},
        grade=Grade.DERIVED if size or cost is not None else None,
        notes=(),
        sources=(SOURCE,),
        lines={"input": (900, size * 3 / 4 if size else None), "output": (100, size / 4 if size else None)},
    )
    return msgspec.structs.replace(made, **more)


def replayed(as_is: Row, rows: list[Row], everywhere: list[Row] = [], **more: Any) -> Replay:  # noqa: B006
    made = Replay(
        as_is=as_is,
        models=[],
        rows=rows,
        everywhere=everywhere,
        unable=0,
        usage_rows=4,
        requests=4,
        quantities={"input": 900, "output": 100},
        first=START,
        last=START + timedelta(minutes=5),
        relative=False,
        cacheable_rows=0,
        notes=(),
    )
    return msgspec.structs.replace(made, **more)


def usual() -> Replay:
    """Usage of $2 at acme/own; candidates dearer, cheaper, free and unknown; a book of five offers."""
    own = row("acme/own", "2")
    rows = [
        own,
        row("acme/own", "1", "batch"),
        row(EVIL, "3.000000000001"),
        row("zed/gone", None, known="0.5"),
        row("zed/free", "0"),
    ]
    return replayed(own, rows, [rows[4], row("acme/cheap", "0.25", too_long_rows=2), own, rows[2], rows[3]], unable=7)


class Seen(HTMLParser):
    """What a browser would find in a page: tags with attributes, the text of scripts, and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self._in = ""
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in = tag
            if tag == "script":
                self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            attrs, before = self.scripts[-1]
            self.scripts[-1] = (attrs, before + data)
        elif self._in == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    def data(self) -> dict[str, Any]:
        [found] = [text for attrs, text in self.scripts if attrs.get("type") == "application/json"]
        loaded: dict[str, Any] = json.loads(found)
        return loaded


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen(page(usual(), "Bill of <November>", "log & log.jsonl", "farthing replay 'a b.jsonl'"))


def test_nothing_is_fetched(seen: Seen) -> None:
    for tag, attrs in seen.tags:
        assert not {"src", "srcset", "href", "action", "data", "poster", "background"} & attrs.keys(), (tag, attrs)
    assert not any("url(" in style or "@import" in style for style in seen.styles)
    [policy] = [attrs["content"] for tag, attrs in seen.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none';")
    assert "http" not in policy and "connect-src" not in policy


def test_the_libraries_are_in_the_page_once_and_cannot_end_their_script(seen: Seen) -> None:
    big = [text for attrs, text in seen.scripts if len(text) > 300_000]
    assert len(big) == 1 and "window.vegaEmbed=" in big[0]
    assert len(seen.scripts) == 4  # sorting, data, libraries, charts: no library text was cut in two


def test_names_from_files_are_text_everywhere(seen: Seen) -> None:
    assert EVIL in seen.text
    assert "Bill of <November>" in seen.text and "log & log.jsonl" in seen.text and "Acme <b>list</b>" in seen.text
    assert not [text for _, text in seen.scripts if text.startswith("alert")]
    assert "november" not in {tag for tag, _ in seen.tags}
    assert EVIL in {drawn["offer"] for drawn in seen.data()["data"]["rows"]}
    assert EVIL in {offer[0] for offer in seen.data()["offers"]}
    assert EVIL in str(seen.data()["charts"]["costs"])  # as an item of the order of its bars


def test_a_title_with_markup_makes_no_tag() -> None:
    made = page(replayed(row("acme/own", "2"), []), "<img onerror=x>", "</script>", "--to '</pre>'")
    assert not [tag for tag, _ in Seen(made).tags if tag == "img"]
    assert "<pre>farthing" not in made and "--to &#39;&lt;/pre&gt;&#39;" in made


def test_every_candidate_is_a_row_of_the_table_and_a_bar(seen: Seen) -> None:
    data = seen.data()
    assert [(bar["offer"], bar["policy"], bar["label"]) for bar in data["data"]["rows"]] == [
        ("zed/free", "as-is", "$0"), ("acme/own", "as-is", "$2.00"), ("acme/own", "batch", "$1.00"),
        (EVIL, "as-is", "$3.00"), ("zed/gone", "as-is", "unknown"),
    ]  # fmt: skip
    for bar in data["data"]["rows"]:
        assert seen.text.count(bar["offer"]) >= 1 and bar["label"] in seen.text
    assert [offer[0] for offer in data["offers"]] == ["zed/free", "acme/cheap", "acme/own", EVIL, "zed/gone"]


def test_amounts_carry_all_their_digits(seen: Seen) -> None:
    titles = {attrs.get("title") for _, attrs in seen.tags}
    assert "$3.000000000001" in titles
    # A third of 3.000000000001 has no finite decimal form: 28 digits, and the page says that they are cut.
    assert "$1.000000000000333333333333333… (28 digits)" in titles
    [bar] = [bar for bar in seen.data()["data"]["rows"] if bar["offer"] == EVIL]
    assert bar["cost"] == "$3.000000000001"
    assert [offer[1] for offer in seen.data()["offers"]] == ["0", "0.25", "2", "3.000000000001", None]


def test_the_headline(seen: Seen) -> None:
    assert "$2.00 Exactly $2, served by acme/own . Grade: derived" in seen.text.replace("own.", "own .")
    assert "requests 4" in seen.text and "tokens 1,000" in seen.text and "time span 5 min" in seen.text
    assert "2026-11-01T09:30:00Z to 2026-11-01T09:35:00Z" in seen.text
    # $2 = 3/4 input + 1/4 output
    assert "input 900 tokens $1.50 75.00 %" in seen.text and "output 100 tokens $0.50 25.00 %" in seen.text
    assert "farthing replay 'a b.jsonl'" in seen.text


def test_free_and_short_and_unable_offers_are_told_apart(seen: Seen) -> None:
    assert "1 at $0, which has no place on a logarithmic axis zed/free" in seen.text
    assert "1 of them have a price for a part of it only: their cost is unknown and not drawn." in seen.text
    assert "1 have too short a context for some of it (hollow dots)." in seen.text
    assert "7 more have no price for any of it." in seen.text


def test_the_cheapest_own_policy_and_candidate_are_named() -> None:
    own = row("acme/own", "2")
    short = row("zed/short", "0.1", too_long_rows=1)
    text = Seen(page(replayed(own, [own, row("acme/own", "1", "batch"), row("zed/z", "1.5"), short]), "t", "s")).text
    assert "Cheapest where it runs now: acme/own , batch: $1.00 (×0.50)" in text
    assert "Cheapest of the candidates: acme/own , batch: $1.00 (×0.50)" in text  # the short one cannot do the work


def drawn(replay: Replay, chart: str) -> str:
    """One chart of a page as SVG, drawn by the same libraries."""
    data = Seen(page(replay, "t", "s")).data()
    names = ("offer", "usd", "cost", "ratio", "grade", "notes", "own", "short")
    offers = [
        dict(zip(names, (o[0], o[1] and float(o[1]), o[1], o[3], o[4], o[5], bool(o[6]), bool(o[7])), strict=True))
        | {"provider": o[0].split("/")[0]}
        for o in data["offers"]
    ]
    spec = data["charts"][chart]
    spec["datasets"] = {**spec.get("datasets", {}), **data["data"], "offers": offers}
    spec["width"] = 800
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg


def marks(svg: str, role: str) -> int:
    return len(re.findall(rf'aria-roledescription="{role}"', svg))


def test_costs_are_drawn_and_unknown_is_a_word_and_no_bar() -> None:
    own = row("acme/own", "2")
    svg = drawn(replayed(own, [own, row("zed/gone", None)]), "costs")
    assert ">$2.00<" in svg and ">unknown<" in svg and ">zed/gone<" in svg
    bars = re.findall(r'aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="bar"', svg)
    assert len([bar for bar in bars if "acme/own" in bar]) == 1
    assert not [bar for bar in bars if "zed/gone" in bar]
    assert marks(svg, "rule mark") == 1


def test_the_chart_of_offers_leaves_out_free_and_unknown_and_marks_the_own() -> None:
    svg = drawn(usual(), "offers")
    assert marks(svg, "circle") == 1  # EVIL; acme/own is the diamond, acme/cheap a hollow dot
    assert marks(svg, "point") == 2
    assert "zed" not in svg


def test_the_parts_of_a_cost_are_drawn() -> None:
    own = row("acme/own", "2")
    assert (
        marks(drawn(replayed(own, [own, row("acme/own", "1", "batch")]), "shares"), "bar") == 2
    )  # one policy at a time


def test_an_unknown_cost_is_not_zero() -> None:
    text = Seen(page(replayed(row("acme/own", None), []), "t", "s")).text
    assert "unknown What it cost is unknown ." in text.replace("unknown.", "unknown .")
    assert "3 of 4 rows have no price" in text and "no price stated for <output> (3 rows)" in text
    assert "input 900 tokens unknown" in text
    assert "$0" not in text


def test_a_cost_known_in_part_is_a_lower_bound() -> None:
    text = Seen(page(replayed(row("acme/own", None, known="0.5"), []), "t", "s")).text
    assert "What it cost is unknown: at least $0.5 for the part that has a price." in text
    assert "Costs and shares are of the part that has a price." in text


def test_no_candidate_means_no_chart_and_no_libraries() -> None:
    made = page(replayed(row("acme/own", "2"), []), "t", "s")
    assert "No candidate was priced." in made
    assert len(made) < 20_000 and "vegaEmbed" not in made


def test_models_are_shown_where_there_are_several() -> None:
    models = [row("acme/a", "1.5"), row("acme/b", None, known="0.5")]
    text = Seen(page(replayed(row("2 offers", None, known="2"), [], models=models), "t", "s")).text
    assert "acme/a" in text and "acme/b" in text and "at least $0.50" in text


def test_a_long_list_is_drawn_in_part_and_listed_in_full() -> None:
    own = row("acme/own", "2")
    rows = [row(f"zed/m{number:03}", str(number + 1)) for number in range(DRAWN + 5)]
    seen = Seen(page(replayed(own, rows), "t", "s"))
    assert [bar["offer"] for bar in seen.data()["data"]["rows"]] == [f"zed/m{number:03}" for number in range(DRAWN)]
    assert all(f"zed/m{number:03}" in seen.text for number in range(DRAWN + 5))
    assert f"The {DRAWN} cheapest of {DRAWN + 5} offers are drawn" in seen.text


def test_a_lone_surrogate_in_a_name_is_written(tmp_path: Path) -> None:
    own = row("acme/\ud800", "2")
    write_page(replayed(own, [own]), tmp_path / "out.html", "t", "s")
    assert "acme/?" in (tmp_path / "out.html").read_text("utf-8")


def test_the_same_answer_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_page(replayed(row("acme/own", "2"), []), tmp_path / name, "t", "s")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "b.html"}


@pytest.mark.parametrize("place", ["absent/out.html", "."])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(FarthingError) as caught:
        write_page(replayed(row("acme/own", "2"), []), tmp_path / place, "t", "s")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_page_and_no_half_page(tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    out.write_text("old")
    replay = replayed(row("acme/own", "2"), [])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(FarthingError, match=r"out\.html"):
            write_page(replay, out, "t", "s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


def test_the_bundle_is_one_script() -> None:
    assert "</script" not in html_charts.runtime().lower()
