"""`farthing index decline` as a command: what it prints, as JSON and CSV, and how it refuses."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from farthing.cli.index_decline import decline
from farthing.problems import FarthingError

POINTS = str(Path(__file__).parent / "data" / "epoch_2025_points.csv")
app = typer.Typer()
app.command()(decline)
run = CliRunner()


def said(*words: str) -> str:
    result = run.invoke(app, list(words), env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str) -> str:
    result = run.invoke(app, list(words))
    assert isinstance(result.exception, FarthingError), result.output
    assert len(str(result.exception).splitlines()) == 1
    return str(result.exception)


PAIR = ("--from", "60", "--to", "0.60", "--start", "2023-03-14", "--end", "2024-07-18")


def test_two_prices_as_json_and_in_words() -> None:
    view = json.loads(said(*PAIR, "--json"))
    assert view["yearly_factor"] == pytest.approx(31.6, abs=0.05)
    assert view["half_life_months"] == pytest.approx(2.41, abs=0.005)
    assert (view["from"], view["to"], view["total_factor"]) == ("60", "0.6", pytest.approx(100))
    assert view["by_days"]["yearly_factor"] == pytest.approx(30.53, abs=0.01)
    text = " ".join(said(*PAIR).split())
    assert "a 100x fall in 16 months" in text
    assert "Yearly factor 31.6x; half-life 2.41 months" in text


def test_a_published_series_as_json_has_what_charts_draw() -> None:
    view = json.loads(said("--points", POINTS, "--benchmark", "mmlu", "--score", "43.9", "--json"))
    (one,) = view["declines"]
    assert (view["benchmark"], one["score"], view["level"]) == ("MMLU", 43.9, 0.9)
    assert one["fit"]["yearly_factor"] == pytest.approx(11.77, rel=5e-3)
    assert one["fit"]["low"] < one["fit"]["yearly_factor"] < one["fit"]["high"]
    assert sum(model["frontier"] for model in one["models"]) == one["fit"]["n"] == 9
    assert one["models"][0] == {"date": "2021-11-20", "model": "GPT-3", "provider": None, "price": 60, "score": 43.9,
                                "frontier": True}  # fmt: skip


def test_a_wide_file_gives_every_milestone_within_100_columns() -> None:
    text = said("--points", POINTS, "--year-days", "365")
    assert "falls 9.24x to 851x a year" in " ".join(text.split()) and "(21 milestones)" in " ".join(text.split())
    assert "too thin for a rate" in text
    assert all(len(row) <= 100 for row in text.splitlines())


def test_csv_has_a_row_for_each_milestone_or_each_model_of_one() -> None:
    many = said("--points", POINTS, "--csv", "-").splitlines()
    assert many[0].startswith("benchmark,score,models,yearly_factor,low,high") and len(many) > 22
    one = said("--points", POINTS, "--benchmark", "mmlu", "--score", "87", "--csv", "-").splitlines()
    assert one[0].startswith("benchmark,threshold,date,model") and len(one) == 8


def test_since_and_until_cut_the_series() -> None:
    view = json.loads(
        said("--points", POINTS, "--benchmark", "mmlu", "--score", "43.9", "--until", "2023-12-31", "--json")
    )
    assert view["declines"][0]["fit"]["n"] == 5


def test_our_own_prices_and_scores(tmp_path: Path) -> None:
    out = tmp_path / "lows.csv"
    view = json.loads(said("--benchmark", "gpqa", "--score", "50", "--json", "--csv", str(out)))
    (one,) = view["declines"]
    assert view["mix"] == "3:1" and view["grade"] in ("measured", "vendor-stated", "derived", "assumed")
    assert len(one["models"]) > 20 and one["fit"] is not None
    assert (
        one["fit"]["yearly_factor"] > 2
    )  # whatever the data grow to: capability gets cheaper by more than half a year
    assert len(out.read_text().splitlines()) == len(one["models"]) + 1
    assert all(model["score"] >= 50 for model in one["models"])


@pytest.mark.slow
def test_every_benchmark_at_once() -> None:
    text = said()
    assert "At constant capability the cheapest price falls" in text
    assert all(len(row) <= 100 for row in text.splitlines())


def test_bad_rows_are_counted_and_the_first_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("date,price\n2024-01-01,3\nsoon,2\n")
    text = said("--points", str(path))
    assert "1 row could not be read; the first:" in text and ":3: 'soon' is not a date" in "".join(text.split("\n"))
    assert json.loads(said("--points", str(path), "--json"))["bad_rows"] == 1


def test_one_point_gives_no_number(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("date,price,model\n2024-01-01,3,a\n")
    view = json.loads(said("--points", str(path), "--json"))
    assert view["declines"][0]["fit"] is None
    assert "no model has been cheaper than the first" in view["declines"][0]["notes"][0]
    assert "no rate" in said("--points", str(path))


def test_no_score_can_be_held_where_none_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("date,price,model\n2024-01-01,3,a\n2024-05-01,1,b\n")
    assert "it has no scores" in refused("--points", str(path), "--score", "50")


def test_a_frontier_that_stands_still_says_so_before_the_table(tmp_path: Path) -> None:
    """Four halvings in a year, then nothing for three: 2^4 = 16 times a year while it fell, 16^(1/4) = 2 to date."""
    path = tmp_path / "p.csv"
    rows = [f"{day},{16 / 2**i},{60},model {i}" for i, day in enumerate(
        ("2020-01-01", "2020-04-01", "2020-07-01", "2020-10-01", "2021-01-01")
    )]  # fmt: skip
    late = "2024-01-01,9,61,dearer"
    path.write_text("\n".join(("date,price,score,model", *rows, late)) + "\n")
    view = json.loads(said("--points", str(path), "--score", "60", "--json"))
    assert view["median_yearly_factor"] == pytest.approx(16, rel=0.02)
    assert view["median_to_date_yearly_factor"] == pytest.approx(2, rel=0.01)
    row = said("--points", str(path), "--score", "60", "--score", "59", "--csv", "-").splitlines()
    assert "until,to_date_yearly_factor" in row[0]
    text = " ".join(said("--points", str(path), "--score", "60", "--score", "59").split())
    assert "Counting the time since, it fell 2.00x to 2.00x a year to date" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--from", "60"), "missing: --to, --start, --end"),
        ((*PAIR, "--benchmark", "mmlu"), "not both"),
        (("--from", "0", *PAIR[2:]), "--from 0 is not a price above 0"),
        (("--benchmark", "vibes"), "no scores on a benchmark called 'vibes'"),
        (("--score", "50"), "--score needs --benchmark"),
        (("--level", "2", "--benchmark", "mmlu"), "not between 0.5 and 0.99"),
        (("--level", "0.9999", "--benchmark", "mmlu"), "not between 0.5 and 0.99"),
        (("--score", "nan", "--benchmark", "mmlu"), "--score is a number"),
        (("--points", POINTS, "--score", "43.9"), "--score of which benchmark? Name it with --benchmark: MMLU"),
        (("--points", POINTS, "--provider", "openai", "--reasoning"), "--provider, --reasoning: of our own prices"),
        (("--year-days", "12", "--benchmark", "mmlu"), "is no year"),
        (("--since", "2025-01-01", "--until", "2024-01-01"), "is after"),
        (("--points", POINTS, "--benchmark", "hle"), "no rows of 'hle'"),
        (("--points", "nowhere.csv"), "cannot be read"),
        (("--benchmark", "mmlu", "--provider", "nobody"), "unknown provider 'nobody'"),
        (("--benchmark", "mmlu", "--mix", "lots"), "mix 'lots'"),
    ],
)
def test_what_cannot_be_answered_is_one_line(words: tuple[str, ...], reason: str) -> None:
    assert reason in refused(*words)
