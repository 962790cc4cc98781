"""`index show`: the question, its views, what a person sees; on a small market of our own and on the packaged one."""

import json
from datetime import datetime
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from farthing.cli.index_show import show
from farthing.index.kinds import Mix
from farthing.index.line import Line
from farthing.index.lines import Survey
from farthing.index.show import Asked, Priced, answers
from farthing.problems import FarthingError
from farthing.reports.index_show import (
    _summed,
    answer_view,
    headline,
    history_view,
    rate_view,
    show_rows,
    show_view,
)
from tests.index.made import day, line, quote, steps

app = typer.Typer()
app.command()(show)


def run(*arguments: object) -> str:
    """What `index show` prints; a mistake of the user's is raised as it is."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def priced(**more: Any) -> Priced:
    return Priced(mix=Mix.parse("3:1"), **more)


def asked(*methods: str, until: str = "2024-07-01", **more: Any) -> Asked:
    return Asked(methods=methods or ("jevons",), priced=more.pop("priced", priced()), until=day(until), **more)


def market() -> Survey:
    """Six models from January on, two of which halve in March; a seventh from April."""
    made: list[Line] = [steps(f"m{n}", ("2024-01-01", n + 1)) for n in range(4)]
    made += [steps(f"m{n}", ("2024-01-01", 8), ("2024-03-10", 4)) for n in (4, 5)]
    return Survey(lines=(*made, steps("m6", ("2024-04-01", 1))), undated=3, left_out={"moving pointer": 2})


def test_the_answer_is_the_baskets_mean_and_says_what_it_is_of() -> None:
    (found,) = answers(asked(), market())
    assert [p.index for p in found.series.points] == pytest.approx([100] * 3 + [100 * 0.5 ** (1 / 3)] * 4)
    assert found.series.base == day("2024-01-01") and found.series.count == 7
    view = answer_view(found, priced().words, "3:1")
    assert view["kind"] == "blended 3:1 (input:output)" and view["method"] == "jevons"
    assert view["grade"] == "vendor-stated" and view["base"] == "2024-01-01" and view["level"] == 0.9
    assert view["basket"] == [f"m{n}" for n in range(7)]
    assert "3 offers have only undated prices: when those began nobody says" in view["notes"]
    assert "left out: 2 moving pointers (the model behind the name changes)" in view["notes"]
    assert view["drift"]["fixed_base_count"] == 6
    json.dumps(view)


def test_it_begins_where_five_models_compare_unless_a_day_is_asked_for() -> None:
    few = Survey(lines=(steps("old", ("2023-01-01", 9), ("2023-06-01", 3)), *market().lines))
    (found,) = answers(asked(), few)
    assert found.series.points[0].date == day("2024-01-01")
    assert any("begins on 2024-01-01: before that fewer than 5" in note for note in found.series.notes)
    (early,) = answers(asked(since=day("2023-01-01")), few)
    assert early.series.points[0].date == day("2023-01-01") and early.series.points[0].index is None
    assert early.series.base == day("2024-01-01")  # the chain begins there


def test_a_few_models_begin_where_two_compare() -> None:
    """Never five: the dates before the second one came say nothing, and are not shown."""
    one = steps("m1", ("2023-01-15", 4), ("2024-02-01", 2))
    other = steps("m2", ("2023-12-20", 4), ("2024-02-01", 2))
    [found] = answers(asked("jevons"), Survey(lines=(one, other)))
    assert f"{found.series.points[0].date:%Y-%m-%d}" == "2024-01-01"
    assert found.series.points[-1].index == pytest.approx(50)
    assert any("fewer than 2 models" in note for note in found.series.notes)


def test_a_base_of_ones_own() -> None:
    (found,) = answers(asked(base=day("2024-05-15")), market())
    levels = {p.date: p.index for p in found.series.points}
    assert found.series.base == day("2024-05-15") and levels[day("2024-05-15")] == pytest.approx(100)
    assert levels[day("2024-01-01")] == pytest.approx(100 * 2 ** (1 / 3))


def test_unclear_steps_count_and_the_index_without_them_stands_beside() -> None:
    sudden = quote("2024-03-05", None, "1", "1", unclear=True)
    doubtful = line("m7", quote("2024-01-01", "2024-03-05", "8", "8"), sudden)
    (found,) = answers(asked(), Survey(lines=(*market().lines, doubtful)))
    assert found.unclear == 1 and found.without is not None
    assert found.series.points[-1].index == pytest.approx(100 * (0.5 * 0.5 / 8) ** (1 / 7))
    view = answer_view(found, "", "3:1")
    assert view["without_unclear"]["steps"] == 1
    assert view["without_unclear"]["index"] == pytest.approx(100 * 0.5 ** (2 / 6))
    assert view["notes"][0].startswith("of 1 steps the lists do not say whether a price changed or was corrected")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (priced(), "blended 3:1 (input:output)"),
        (priced(kind="output"), "output list"),
        (
            priced(kind="effective", cached_share=F(2, 5)),
            "effective 3:1 (input:output), 40% of input cached, 0% in batch",
        ),
        (priced(kind="task", task=(F(2000), F(500), F(0))), "task of 2,000 tokens in, 500 tokens out"),
    ],
)
def test_kinds_in_words(kind: Priced, words: str) -> None:
    assert kind.words == words
    (found,) = answers(asked(priced=kind), market())
    assert found.series.points[-1].index == pytest.approx(100 * 0.5 ** (1 / 3))  # input costs as much as output here


def test_rates_and_half_lives() -> None:
    """A factor of 2 a year is a half-life of 12 months; of 1/2 a doubling time of 12; of 1 neither."""
    assert rate_view(2.0, None, None)["half_life_months"] == pytest.approx(12)
    assert rate_view(0.5, None, None)["doubling_months"] == pytest.approx(12)
    for factor in (1.0, None):
        view = rate_view(factor, None, None)
        assert view["half_life_months"] is None and view["doubling_months"] is None


def test_the_headline() -> None:
    view: dict[str, Any] = {
        "method": "jevons", "level": 0.9, **rate_view(1.25, 1.1, 1.5),
        "points": [{"date": "2024-01-01", "index": 100.0}, {"date": "2025-01-01", "index": 80.0}],
    }  # fmt: skip
    assert headline(view) == (
        "The prices of the same models fell 20% a year (9.1% to 33%), 2024-01-01 to 2025-01-01; half-life 37.3 months"
    )
    unsure = headline(view | {"yearly_low": 0.9})  # it may as well have risen: no half-life
    assert "fell 20% a year (rose 11% to fell 33%)" in unsure and "half-life" not in unsure
    slow = headline(view | rate_view(1.0042, 1.001, 1.009))  # 12 ln 2 / ln 1.0042 = 1,984.6
    assert slow.endswith("half-life 1,985 months")
    none = headline(view | rate_view(None, None, None))
    assert none == "The prices of the same models: no yearly rate (too thin), 2024-01-01 to 2025-01-01"


def test_a_thinned_table_adds_up_who_came_and_went() -> None:
    """Of 60 dates every third is shown (60 / 24, rounded up), and the last: what entered between is not lost."""
    points = [{"date": f"{n:03}", "index": 100.0, "count": 9, "entered": 1, "left": 2} for n in range(60)]
    points[0] |= {"entered": 0, "left": 0}
    shown = _summed(points)
    assert [one["date"] for one in shown[:2]] == ["000", "003"] and shown[-1]["date"] == "059"
    assert (sum(one["entered"] for one in shown), sum(one["left"] for one in shown)) == (59, 118)
    assert (shown[1]["entered"], shown[1]["left"]) == (3, 6)


def test_several_methods_stand_side_by_side() -> None:
    views = [answer_view(one, "", "3:1") for one in answers(asked("jevons", "geks"), market())]
    both = show_view(views)
    assert [one["method"] for one in both["series"]] == ["jevons", "geks"]
    assert len(show_rows(both)) == 14 and show_view(views[:1])["method"] == "jevons"
    assert show_rows(both)[0]["method"] == "jevons" and show_rows(both)[0]["date"] == "2024-01-01"


# --- history of single lines -----------------------------------------------------------------------------


def test_history_of_lines() -> None:
    lines = [
        steps("a", ("2024-01-01", 10), ("2024-06-01", 2.5), family="fam"),
        steps("b", ("2024-01-01", 0), provider="q"),
        line("c", quote("2024-01-01", "2024-02-01", "1", "5", after="2023-12-15")),
    ]
    view = history_view(lines, priced().price, "3:1")
    assert [one["id"] for one in view["lines"]] == ["p/a", "p/c"] and view["notes"] == [
        "1 price of 0 is left out: a logarithm has none"
    ]
    first = view["lines"][0]["points"]
    assert [(p["start"], p["end"], p["price"]) for p in first] == [
        ("2024-01-01", "2024-06-01", "10"), ("2024-06-01", None, "2.5"),
    ]  # fmt: skip
    assert view["lines"][1]["points"][0]["after"] == "2023-12-15"
    assert view["lines"][1]["points"][0]["price"] == "2"  # (3 x 1 + 5) / 4
    assert [one["id"] for one in history_view(lines, priced().price, "3:1", ["FAM"])["lines"]] == ["p/a"]
    assert [one["id"] for one in history_view(lines, priced().price, "3:1", ["p/c"])["lines"]] == ["p/c"]


# --- the command ---------------------------------------------------------------------------------------


def test_the_packaged_market_answers(tmp_path: Path) -> None:
    rows = tmp_path / "index.csv"
    found = json.loads(run("--json", "--since", "2025-01-01", "--until", "2026-01-01", "--csv", rows))
    assert found["method"] == "jevons" and len(found["points"]) == 13 and found["count"] > 100
    assert found["points"][0]["index"] == pytest.approx(100) and 0.5 < found["yearly_factor"] < 3
    assert found["yearly_low"] < found["yearly_factor"] < found["yearly_high"]
    assert found["contrast"]["yearly_factor"] > found["yearly_factor"]
    assert "Both are true" in found["contrast"]["words"]
    assert len(rows.read_text().splitlines()) == 14
    later = [datetime.fromisoformat(p["date"]) for p in found["points"]]
    assert later == sorted(later)


@pytest.mark.slow
def test_every_method_answers() -> None:
    methods = ("jevons", "carli", "dutot", "geks", "laspeyres", "paasche", "fisher", "tornqvist", "walsh", "hedonic",
               "hedonic-adjacent", "constant-capability")  # fmt: skip
    options = [option for method in methods for option in ("--method", method)]
    found = json.loads(run("--json", *options, "--since", "2025-03-01", "--until", "2026-06-01", "--by", "quarter"))
    assert [one["method"] for one in found["series"]] == list(methods)
    for one in found["series"]:
        for name in ("basket", "count", "base", "level", "interval", "grade", "notes", "yearly_factor"):
            assert name in one, (one["method"], name)
        assert one["count"] == len(one["basket"]) > 10 and one["yearly_factor"] is not None
    by_name = {one["method"]: one for one in found["series"]}
    low, high = sorted(by_name[name]["points"][-1]["index"] for name in ("laspeyres", "paasche"))
    assert low <= by_name["fisher"]["points"][-1]["index"] <= high


def test_the_table_says_the_answer_first() -> None:
    text = " ".join(
        run("--provider", "openai", "--since", "2024-01-01", "--until", "2025-01-01", "--method", "jevons").split()
    )
    assert text.startswith("The prices of the same models ")
    assert "matched-model Jevons" in text and "2024-01-01 = 100" in text and "Drift: jevons ends at" in text


@pytest.mark.slow
def test_usage_brings_volumes_and_its_own_mix(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    names = ("gpt-4o", "gpt-4o-mini", "o3", "gpt-4.1", "gpt-4.1-mini")
    path.write_text(
        "".join(
            json.dumps({"at": "2025-09-01T00:00:00Z", "provider": "openai", "model": name, "input": 900, "output": 100})
            + "\n"
            for name in names
        )
    )
    span = ("--since", "2025-05-01", "--until", "2026-01-01")
    found = json.loads(run("--json", "--method", "fisher", "--method", "laspeyres", "--usage", path, *span))
    fisher, laspeyres = found["series"]
    assert fisher["mix"] == "9:1" and fisher["count"] == 5 and "openai/o3" in fisher["basket"]
    assert fisher["points"][-1]["index"] == pytest.approx(laspeyres["points"][-1]["index"])  # one basket throughout
    # In June o3 fell from 10 and 40 to 2 and 8: a part of this basket's cost that these five prices tell.
    assert fisher["points"][-1]["index"] < 75
    stated = json.loads(run("--json", "--method", "fisher", "--mix", "3:1", "--usage", path, *span))
    assert stated["mix"] == "3:1"


@pytest.mark.slow
def test_without_usage_the_weights_are_a_marketplaces(tmp_path: Path) -> None:
    found = json.loads(run("--json", "--method", "tornqvist", "--until", "2026-06-01"))
    assert found["points"][0]["date"] >= "2025-02-16" and 30 < found["count"] < 60
    assert found["yearly_low"] < found["yearly_factor"] < found["yearly_high"]
    assert any(note.startswith("volumes: the most used models of OpenRouter in 10 weeks") for note in found["notes"])


def test_points_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    rows = [f"202{year}-01-01,m{n},{(n + 1) * 10.0**-year}" for year in range(3) for n in range(6)]
    path.write_text("\n".join(["date,model,price", *rows]))
    found = json.loads(run("--json", "--points", path))
    assert found["yearly_factor"] == pytest.approx(10, rel=0.002) and found["grade"] is None  # 731 days are two years
    assert found["count"] == 6 and found["mix"] is None
    cut = json.loads(run("--json", "--points", path, "--since", "2021-01-01", "--method", "geks"))
    assert [p["index"] for p in cut["points"]] == pytest.approx([100, 10])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--method", "median"), "unknown method 'median'; known are jevons"),
        (("--mix", "3"), "mix '3' is not"),
        (("--kind", "net"), "unknown --kind 'net'"),
        (("--kind", "task"), "--kind task needs the task"),
        (("--kind", "task", "--task", "many"), "--task 'many': 'many' is not a number"),
        (("--kind", "effective", "--batch-share", "120%"), "batch share 1.2 is not between 0 and 1"),
        (("--batch-share", "0.5"), "--batch-share is for --kind effective"),
        (("--since", "2026-01-01", "--until", "2025-01-01"), "ends on 2025-01-01, not after its start, 2026-01-01"),
        (("--since", "soon"), "'soon' is not an ISO 8601 instant"),
        (("--by", "day"), "--by 'day' is none of week, month, quarter"),
        (("--base", "2001-01-01"), "the base 2001-01-01 lies outside the series"),
        (("--level", "90"), "level 90 is not between 0 and 1"),
        (("--provider", "opnai"), "unknown provider 'opnai'; did you mean 'openai'?"),
        (("--until", "2020-01-01"), "no dated price of a text model for this question"),
        (("--points", "absent.csv"), "absent.csv: cannot be read"),
        (("--points", "absent.csv", "--usage", "x"), "--points brings its own models and volumes; leave --usage away"),
        (("--until", "2999-01-01"), "--until 2999-01-01 is in the future"),
        (("--method", "jevons", "--score", "80"), "--score is for --method constant-capability"),
        (("--method", "geks", "--benchmark", "mmlu"), "--benchmark is for --method constant-capability or hedonic"),
        (("--csv", "-", "--json", "--since", "2026-06-01"), "both want the screen"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(FarthingError) as error:
        run(*arguments)
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_one_date_says_which_rows_were_not_read(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("date,model,price\n2024-01-01,a,NaN\n2024-02-01,a,1\n")
    with pytest.raises(FarthingError, match=r"one date only.*rows in doubt: 1.*own\.csv:2: 'NaN' is not a price"):
        run("--points", path)


def test_scores_are_not_in_a_file_of_prices(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("date,model,price\n2024-01-01,a,1\n2024-02-01,a,1\n")
    with pytest.raises(FarthingError, match="farthing index decline --points FILE"):
        run("--points", path, "--method", "constant-capability")
