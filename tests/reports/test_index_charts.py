"""Charts of the index: valid, finite, said in words, escaped; nothing to draw is said and not drawn."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import pytest
import vl_convert

from farthing.problems import FarthingError
from farthing.reports import index_charts
from farthing.reports.index_chart_parts import Drawing, configured, log_axis, ms, time_axis
from tests.reports import index_views as views

PNG = b"\x89PNG\r\n"


def drawn(name: str, view: dict[str, Any]) -> Drawing:
    return index_charts.drawing(name, view)


@pytest.mark.parametrize("case", views.every().values(), ids=views.every())
def test_each_chart_is_valid_vega_lite_and_every_number_is_finite(case: tuple[str, dict[str, Any]]) -> None:
    made = drawn(*case)
    assert made.spec is not None
    json.dumps(made.spec, allow_nan=False)
    kind = next(c for key, c in (("vconcat", alt.VConcatChart), ("layer", alt.LayerChart)) if key in made.spec)
    kind.from_dict(configured(made.spec), validate=True)


@pytest.mark.parametrize("case", views.every().values(), ids=views.every())
def test_each_title_tells_a_number(case: tuple[str, dict[str, Any]]) -> None:
    assert re.search(r"\d", drawn(*case).title)


@pytest.mark.parametrize("case", views.empty().values(), ids=views.empty())
def test_nothing_to_draw_is_said(case: tuple[str, dict[str, Any]]) -> None:
    made = drawn(*case)
    assert made.spec is None
    assert len(made.title) > 20
    assert "nan" not in made.title.lower()


@pytest.mark.parametrize(
    ("name", "view", "words"),
    [
        ("index", views.show(fall=0.99), "same models fell 11% a year"),  # 1 - 0.99^12 = 0.114
        ("index", views.show(yearly_factor=None), "no yearly rate"),
        ("decline", views.decline(views.benchmark()), "GPQA ≥ 50: the cheapest price fell 10-fold a year"),
        ("decline", views.pair(), "$60 → $0.60 in 492 days: fell 30.6-fold a year"),
        ("spread", views.spread(), "$0.15 to $0.60 at 3 sellers: the dearest asks 4×"),  # one of four is a router
        ("viability", views.viability(), "in March 2028; 90% interval from June 2027 to January 2030"),
        ("viability", views.viability(latest=None), "no latest date in sight"),
        (
            "gpu",
            views.gpu(),
            "in September 2026, 12% more than in September 2023; meanwhile the price of tokens fell 40× (constant-",
        ),
        ("history", views.history(), "1 of 3 models got cheaper"),  # the free one is not drawn
    ],
)
def test_titles_say_the_finding(name: str, view: dict[str, Any], words: str) -> None:
    assert words in drawn(name, view).title


def test_a_benchmark_without_a_fit_gives_no_rate() -> None:
    thin = views.benchmark(n=2) | {"fit": None, "notes": ["too thin: 2 new lows, and a line needs 4"]}
    made = drawn("decline", views.decline(thin))
    assert "no rate can be given (too thin: 2 new lows" in made.title
    assert '"strokeDash": [7, 4]' not in json.dumps(made.spec)  # no fitted line


def test_the_fitted_line_passes_the_frontier_of_a_constant_rate() -> None:
    """Lows that fall 10-fold a year exactly lie on the line: its ends are the first and last low."""
    one = views.benchmark(rate=10.0)
    made = drawn("decline", views.decline(one))
    assert made.spec is not None
    (line,) = [layer for layer in made.spec["layer"] if layer["mark"].get("strokeDash") == [7, 4]]
    lows = [float(m["price"]) for m in one["models"] if m["frontier"]]
    ends = [row["v"] for row in line["data"]["values"]]
    # Quarters are not exactly a quarter of a year: the dates differ from the exponent by a day or two.
    assert ends == pytest.approx([lows[0], lows[-1]], rel=0.02)


def test_an_endless_interval_does_not_flatten_the_others() -> None:
    wild = views.benchmark("A")
    wild["fit"] |= {"low": 1e-300, "high": 1e300}
    made = drawn("decline", views.decline(wild, views.benchmark("B")))
    assert made.spec is not None
    low, high = made.spec["vconcat"][0]["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert high / low < 1e4


def _crowd(number: int) -> dict[str, Any]:
    """A history of so many models, each of which was cut once, with names of every length."""
    view = views.history()
    view["lines"] = [
        {"id": f"maker-{n % 9}/{'m' * (3 + n)}", "provider": f"maker-{n % 9}", "model": "m" * (3 + n), "maker": None,
         "points": [{"start": "2024-01-01", "end": "2025-01-01", "price": str(0.1 * (n + 2))},
                    {"start": "2025-01-01", "end": None if n % 4 else "2026-01-01", "price": str(0.1 * (n + 1))}]}
        for n in range(number)
    ]  # fmt: skip
    return view


@pytest.mark.parametrize("number", [1, 3, 60])
@pytest.mark.parametrize("name", ["spread", "history", "decline"])
def test_one_mark_a_few_or_sixty(name: str, number: int) -> None:
    view = {"spread": lambda: views.spread(number), "history": lambda: _crowd(number),
            "decline": lambda: views.decline(views.benchmark(n=number, rate=3.0))}[name]()  # fmt: skip
    made = drawn(name, view)
    assert made.spec is not None
    json.dumps(made.spec, allow_nan=False)
    assert vl_convert.vegalite_to_svg(configured(made.spec)).startswith("<svg")


def test_labels_in_the_margin_of_a_crowd_do_not_touch() -> None:
    spec = drawn("history", _crowd(60)).spec
    assert spec is not None
    rows = [row for layer in spec["layer"] if layer["mark"]["type"] == "text" and "stroke" not in layer["mark"]
            for row in layer["data"]["values"] if row["px"] > 720]  # fmt: skip
    heights = sorted(row["py"] for row in rows)
    assert len(heights) == 45  # three in four are still sold, each at a price of its own
    assert all(b - a >= 12.99 for a, b in pairwise(heights))


def test_prices_of_zero_never_reach_a_logarithm() -> None:
    text = json.dumps(drawn("history", views.history()).spec)
    assert "acme/free" not in text


@pytest.mark.parametrize(("name", "view"), [("decline", views.pair()), ("history", views.history())])
def test_places_computed_here_are_those_that_vega_draws(name: str, view: dict[str, Any]) -> None:
    """The oracle is Vega's own scene: symbols stand where `Axis.pixel` says."""
    spec = drawn(name, view).spec
    assert spec is not None
    seen = set(_symbols(vl_convert.vegalite_to_scenegraph(configured(spec))["scenegraph"]))
    layer = next(la for la in spec["layer"] if la["mark"]["type"] == "point")
    x, y = layer["encoding"]["x"]["scale"]["domain"], layer["encoding"]["y"]["scale"]["domain"]
    across = time_axis(x, spec["width"], room=0)
    up = log_axis(y, spec["height"], None, room=0)
    for row in layer["data"]["values"]:
        place = (round(across.pixel(row["t"])), round(up.pixel(row["v"])))
        assert any(abs(place[0] - a) <= 1 and abs(place[1] - b) <= 1 for a, b in seen), row


def _symbols(node: Any) -> list[tuple[int, int]]:
    if isinstance(node, list):
        return [found for one in node for found in _symbols(one)]
    if not isinstance(node, dict):
        return []
    own = [(round(i["x"]), round(i["y"])) for i in node.get("items", []) if node.get("marktype") == "symbol"]
    return own + _symbols(node.get("items", []))


def test_a_day_is_its_midnight_in_utc_wherever_the_reader_is() -> None:
    assert ms("1970-01-02") == 86_400_000
    assert ms("1970-01-02T01:00:00Z") == 90_000_000


def test_a_picture_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_charts, "rows", lambda name, view: view["hosts"])
    html, png = tmp_path / "a.html", tmp_path / "a.png"
    index_charts.write_chart("spread", views.spread(), html, png)
    assert png.read_bytes().startswith(PNG)
    text = html.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text  # in the table
    assert "vegaEmbed" in text
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert re.search(r"\b(?:src|href)=", markup) is None  # nothing is fetched


def test_a_page_with_nothing_to_draw_has_no_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_charts, "rows", lambda name, view: [])
    html, png = tmp_path / "a.html", tmp_path / "a.png"
    index_charts.write_chart("spread", views.spread(0), html, png)
    assert "<script" not in html.read_text()
    assert png.read_bytes().startswith(PNG)


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be written"):
        index_charts.write_chart("decline", views.pair(), None, tmp_path / "no" / "a.png")


def test_a_table_says_once_what_all_rows_share() -> None:
    made = index_charts.cells([{"at": "2026-11-22T00:00:00Z", "n": n, "none": None, "x": "0.60"} for n in range(3)])
    assert made.same == "at: 2026-11-22; x: 0.60"
    assert made.head == ["n"]
    assert made.numbers == [True]
    assert made.body == [["0"], ["1"], ["2"]]


def test_of_many_rates_the_title_has_the_middle_half() -> None:
    """The fastest of many thresholds is the one with the widest interval: 10,000-fold of five models is no headline.
    Of 2, 4, 8, 16, 32, 64, 128, 256, 10,000 the quartiles are 8 and 128, the middle 32."""
    rates = (2, 4, 8, 16, 32, 64, 128, 256, 10_000)
    made = views.decline(*(views.benchmark(f"B{n}", rate=rate) for n, rate in enumerate(rates)))
    assert [one["fit"]["yearly_factor"] for one in made["declines"]] == pytest.approx(rates)
    title = drawn("decline", made).title
    assert "fell 8- to 128-fold a year for half of 9 rates" in title and "the median fell 32-fold" in title
