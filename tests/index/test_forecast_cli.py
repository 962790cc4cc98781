"""`farthing index forecast` and `farthing index viability`, as a user runs them."""

import csv
import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run

STUDY = Path(__file__).parent / "data" / "epoch_2025_points.csv"


@pytest.fixture
def decline(tmp_path: Path) -> Path:
    """100 dollars that fall tenfold a year, on the first of each month of 2022 to 2024."""
    rows = [f"{2022 + i // 12}-{1 + i % 12:02d}-01,{100 * 10 ** (-i / 12):.9f}" for i in range(37)]
    path = tmp_path / "decline.csv"
    path.write_text("date,price\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def _near(text: str, day: date, days: int) -> bool:
    return abs(date.fromisoformat(text) - day) <= timedelta(days=days)


def test_a_known_decline_is_forecast_and_dated(decline: Path) -> None:
    view = run("index", "forecast", "--points", decline, "--horizon", "24m", "--json").json
    # 0.1 on 1 January 2025, tenfold a year: 0.001 two years on.
    assert view["start"] == "2025-01-01"
    assert view["points"][24]["expected"] == pytest.approx(0.001, rel=0.01)
    assert view["points"][24]["low"] < 0.001 < view["points"][24]["high"]
    assert view["yearly_factor"] == pytest.approx(10, rel=0.01)
    assert {"series", "kind", "history", "points", "model", "backtest", "level", "notes"} <= view.keys()
    assert {"origins", "factor_error", "coverage", "bias"} <= view["backtest"]["horizons"][0].keys()

    found = run(
        "index", "viability", "--cost", "1", "--target", "0.1", "--points", decline, "--at", "2025-01-01", "--json"
    ).json
    assert _near(found["date"], date(2026, 1, 1), 7)
    assert found["earliest"] < found["date"] < found["latest"]
    assert found["factor"] == pytest.approx(10)
    keys = {"cost", "target", "factor", "benchmark", "date", "earliest", "latest", "level", "basis", "notes"}
    assert keys <= found.keys()


def test_a_use_case_like_those_of_the_study() -> None:
    ran = run("index", "viability", "--cost", "$1.00", "--target", "0.10", "--points", STUDY, "--at", "2025-03-01")
    assert ran.code == 0, ran.err
    first = ran.out.splitlines()[0]
    assert first.startswith("What costs $1.00 on 2025-03-01 is expected to cost $0.10 by 2025-")
    assert "21 series fell from 9.25-fold to 855-fold a year" in " ".join(ran.out.split())
    assert "Only by moving to newer models" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


@pytest.mark.slow
def test_our_own_scores_and_prices_give_a_date_or_say_why_not() -> None:
    view = run("index", "viability", "--cost", "1", "--target", "0.1", "--json").json
    assert view["basis"].startswith("a use case like any of")
    assert view["date"] is None or view["earliest"] <= view["date"]
    assert view["date"] is not None or view["notes"]
    assert view["backtest"]["covered"] >= 0.85
    assert view["rates"]["count"] >= 5
    assert view["rates"]["low"] < view["rates"]["median"] < view["rates"]["high"]
    assert view["matched"]["yearly_factor"] < view["yearly_factor"]
    one = run("index", "viability", "--cost", "1", "--target", "0.1", "--benchmark", "mmlu", "--score", "80", "--json")
    assert one.json["basis"] == "MMLU at 80"


def test_a_forecast_of_a_benchmark_has_history_and_fan() -> None:
    view = run("index", "forecast", "--benchmark", "mmlu", "--score", "80", "--json").json
    assert view["kind"] == "constant-capability"
    prices = [step["price"] for step in view["history"]]
    assert prices == sorted(prices, reverse=True)
    expected = [point["expected"] for point in view["points"]]
    assert expected == sorted(expected, reverse=True)
    assert all(point["low"] <= point["expected"] <= point["high"] <= prices[-1] for point in view["points"])


@pytest.mark.slow
def test_a_list_price_and_an_index_are_forecast_too() -> None:
    view = run("index", "forecast", "--model", "openai/gpt-4o", "--at", "2026-11-01", "--json").json
    assert view["kind"] == "list-price"
    assert view["points"][0]["expected"] == pytest.approx((3 * 2.5 + 10) / 4)
    assert view["points"][12]["low"] <= view["points"][12]["expected"] <= view["points"][12]["high"]
    view = run("index", "forecast", "--series", "index", "--at", "2026-11-01", "--json").json
    assert view["unit"] == "index"
    assert view["points"]


def test_rows_for_a_spreadsheet(decline: Path) -> None:
    ran = run("index", "forecast", "--points", decline, "--horizon", "3m", "--csv", "-")
    assert ran.code == 0, ran.err
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(ran.out)))
    assert len(rows) == 37 + 4
    assert rows[0]["price"] == "100.0"
    assert rows[-1]["expected"]


@pytest.mark.slow
def test_already_there(decline: Path) -> None:
    args = ("index", "viability", "--cost", "0.05", "--target", "0.05", "--points", decline)
    ran = run(*args)
    assert ran.out.splitlines()[0] == "Already there: $0.05 is no more than $0.05"
    view = run(*args, "--at", "2025-01-01", "--json").json
    assert view["date"] == view["earliest"] == view["latest"] == "2025-01-01"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("2024-01-01,5", "0.0 months of prices; it takes 6"),
        ("2024-01-01,5\n2024-02-01,4", "1.0 months of prices; it takes 6"),
        ("2023-01-01,5\n2024-02-01,4", "the price changed once"),
        ("2023-01-01,5\n2024-02-01,5\n2024-03-01,0", "the price never changed"),
    ],
)
def test_too_thin_gives_no_number_and_the_reason(tmp_path: Path, rows: str, reason: str) -> None:
    path = tmp_path / "thin.csv"
    path.write_text(f"date,price\n{rows}\n", encoding="utf-8")
    view = run("index", "forecast", "--points", path, "--json").json
    assert view["points"] == []
    assert view["yearly_factor"] is None
    assert any(reason in note for note in view["notes"]), view["notes"]
    found = run("index", "viability", "--cost", "1", "--target", "0.1", "--points", path, "--json").json
    assert found["date"] is None
    assert any(reason in note for note in found["notes"])
    shown = run("index", "viability", "--cost", "1", "--target", "0.1", "--points", path)
    assert shown.code == 0
    assert "no date can be given" in shown.out


def test_a_series_that_rises_has_no_date(tmp_path: Path) -> None:
    rows = "\n".join(f"{2022 + i // 12}-{1 + i % 12:02d}-01,{2 ** (i / 12):.6f}" for i in range(37))
    path = tmp_path / "rise.csv"
    path.write_text(f"date,price\n{rows}\n", encoding="utf-8")
    found = run("index", "viability", "--cost", "1", "--target", "0.1", "--points", path, "--json").json
    assert found["date"] is None
    assert any("expected to rise, by 100% a year: no date" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("viability", "--cost", "1"), "state both amounts"),
        (("viability", "--cost", "0", "--target", "1"), "--cost must be an amount over 0"),
        (("viability", "--cost", "1", "--target", "-1"), "--target must be an amount over 0"),
        (("viability", "--cost", "x", "--target", "1"), "--cost: 'x' is not a decimal number"),
        (("viability", "--cost", "nan", "--target", "1"), "--cost: 'nan' is not a finite number"),
        (("viability", "--cost", "0,50", "--target", "1"), "--cost: '0,50' has a comma"),
        (("viability", "--cost", "1", "--target", ".1", "--at", "2999-01-01"), "--at 2999-01-01 lies ahead"),
        (("viability", "--cost", "1", "--target", ".1", "--level", "0.999"), "--level 0.999 is not an interval's"),
        (("forecast", "--benchmark", "mmlu", "--score", "nan"), "--score is a number"),
        (("forecast", "--points", "x.csv", "--reasoning"), "--reasoning is of our own scores"),
        (("viability", "--cost", "1", "--target", ".1", "--level", "90"), "--level 90 is not an interval's level"),
        (("viability", "--cost", "1", "--target", ".1", "--score", "5"), "--score 5 of which benchmark?"),
        (("viability", "--cost", "1", "--target", ".1", "--benchmark", "chess"), "no scores on a benchmark called"),
        (("forecast", "--benchmark", "mmlu", "--score", "99.9"), "no model with a price reaches 99.9 on MMLU"),
        (("forecast", "--model", "openai/gpt-99"), "no dated price of 'openai/gpt-99'; did you mean openai/gpt-"),
        (("forecast", "--model", "openai/gpt-4o", "--series", "index"), "--model and --series ask for different"),
        (("forecast", "--series", "cpi"), "--series 'cpi' is not known"),
        (("forecast", "--horizon", "soon"), "--horizon 'soon' is not 24m, 2y or a date"),
        (("forecast", "--horizon", "0m"), "is not at least a month after"),
        (("forecast", "--horizon", "2020-01-01"), "is not at least a month after"),
        (("forecast", "--horizon", "40y"), "months ahead is too far for a history of"),
        (("forecast", "--points", "nowhere.csv"), "nowhere.csv: cannot be read"),
    ],
)
def test_mistakes_are_one_line(args: tuple[str, ...], line: str) -> None:
    assert line in run("index", *args).refusal


def test_a_picture_is_written(decline: Path, tmp_path: Path) -> None:
    png = tmp_path / "fan.png"
    ran = run("index", "forecast", "--points", decline, "--png", png)
    assert ran.code == 0, ran.err
    assert png.read_bytes().startswith(b"\x89PNG")
