"""Epoch AI's study of March 2025: its points go in, its 21 published rates must come out."""

import csv
from datetime import date
from pathlib import Path

import pytest

from farthing.index.decline import Decline, Point, declines, frontier
from farthing.index.points import read_points
from farthing.index.scores import title_of
from farthing.problems import Problems

POINTS = Path(__file__).parent / "data" / "epoch_2025_points.csv"
with (POINTS.parent / "epoch_2025_rates.csv").open() as _file:
    PUBLISHED = list(csv.DictReader(_file))  # as published: lows, factor a year, 90 % interval of least squares, r2


def _points() -> dict[str | None, tuple[Point, ...]]:
    problems = Problems()
    series = read_points(POINTS, problems, lambda name: title_of(name) is not None)
    assert problems.total == 0
    return series.points


def _all(year_days: float) -> dict[tuple[str | None, float | None], Decline]:
    return {
        (one.benchmark, one.score): one
        for name, points in _points().items()
        for one in declines(points, name, year_days=year_days)
        if one.fit
    }


@pytest.fixture(scope="module")
def theirs() -> dict[tuple[str | None, float | None], Decline]:
    return _all(365)  # the study's year


def test_the_milestones_with_enough_lows_are_the_21_of_the_study(
    theirs: dict[tuple[str | None, float | None], Decline],
) -> None:
    assert set(theirs) == {(row["benchmark"], float(row["score"])) for row in PUBLISHED}
    assert len(PUBLISHED) == 21


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row['benchmark']} {row['score']}")
def test_a_published_rate_comes_out(
    row: dict[str, str], theirs: dict[tuple[str | None, float | None], Decline]
) -> None:
    fit = theirs[row["benchmark"], float(row["score"])].fit
    assert fit is not None
    assert (fit.n, fit.first.isoformat(), fit.last.isoformat()) == (int(row["lows"]), row["first"], row["last"])
    assert fit.yearly_factor == pytest.approx(float(row["factor"]), rel=1e-8)
    assert fit.t_low == pytest.approx(float(row["low"]), rel=1e-6)
    assert fit.t_high == pytest.approx(float(row["high"]), rel=1e-6)
    assert round(fit.r2, 2) == float(row["r2"])
    assert fit.low <= fit.yearly_factor <= fit.high


def test_a_year_of_365_and_a_quarter_days_moves_them_by_less_than_half_a_percent() -> None:
    ours = _all(365.25)
    for row in PUBLISHED:
        fit = ours[row["benchmark"], float(row["score"])].fit
        assert fit is not None
        assert fit.yearly_factor == pytest.approx(float(row["factor"]), rel=5e-3)


def test_the_lows_of_one_rate_are_the_models_of_the_study() -> None:
    lows = frontier(_points()["MMLU"], 43.9)
    assert [(p.model, p.price) for p in lows] == [
        ("GPT-3", 60), ("GPT-3", 20), ("GPT-3.5 Turbo", 2), ("Llama-2-Chat-13B", 0.56), ("Llama 2-7B", 0.2),
        ("Llama 2-7B", 0.13), ("Llama-3.1-Instruct-8B", 0.1), ("Llama-3.2-Instruct-3B", 0.08),
        ("Gemini-1.5-Flash-8B", 0.07),
    ]  # fmt: skip


def test_its_own_table_of_lowest_prices_gives_the_same_rates(tmp_path: Path) -> None:
    """The long table that the study publishes: a row for each low, repeated under each threshold."""
    rows = []
    for name, points in _points().items():
        for one in declines(points, name):
            if one.fit:
                rows += [
                    {"bench": name, "threshold_model": str(one.score), "Model Name": p.model,
                     "Release Date": p.date.isoformat(), "USD per 1M Tokens": p.price, "predicted_log_price": 1,
                     "benchmark_score": p.score}
                    for p in one.lows
                ]  # fmt: skip
    path = tmp_path / "lowest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    series = read_points(path, Problems(), lambda name: title_of(name) is not None)
    assert series.repeated > 20  # a low of one threshold is that of another
    found = {
        (name, one.score): one.fit.yearly_factor
        for name, points in series.points.items()
        for one in declines(points, name, year_days=365)
        if one.fit
    }
    for row in PUBLISHED:
        assert found[row["benchmark"], float(row["score"])] == pytest.approx(float(row["factor"]), rel=1e-8)


def test_a16z_thousandfold_in_three_years_is_tenfold_a_year() -> None:
    """a16z, LLMflation (November 2024): $60 in November 2021 to $0.06 three years on. 1000^(1/3) = 10 a year."""
    fall = [Point(date=date(2021 + n, 11, 18), price=60 / 10**n, model=f"m{n}", score=42) for n in range(4)]
    (one,) = declines(fall, "MMLU", [42])
    assert one.fit is not None
    assert one.fit.yearly_factor == pytest.approx(10, rel=2e-3)
    assert one.fit.half_life_months == pytest.approx(3.6, abs=0.02)  # 36 ln 2 / ln 1000
