"""What a forecast learns from: points, lines, scores."""

from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from farthing.evidence import Grade, Source
from farthing.index.decline import Point
from farthing.index.forecast_from import Scored, of_benchmark, of_benchmarks, of_file, of_points
from farthing.index.forecast_market import line_track, of_line
from farthing.index.kinds import Mix, blended, list_price
from farthing.index.line import Line, Quote
from farthing.index.viability import rates
from farthing.problems import FarthingError

STUDY = Path(__file__).parent / "data" / "epoch_2025_points.csv"
MIX = Mix.parse("3:1")


def _points(*rows: tuple[str, float, float | None, str]) -> list[Point]:
    return [Point(date=date.fromisoformat(day), price=usd, score=score, model=name) for day, usd, score, name in rows]


def test_milestones_are_the_scores_that_were_best_when_they_came() -> None:
    points = _points(
        ("2024-01-01", 10, 50, "a"), ("2024-03-01", 20, 60, "b"), ("2024-06-01", 5, 55, "c"),
        ("2024-09-01", 4, 62, "d"),
    )  # fmt: skip
    ground = of_points(points, "x", None, pool=True)
    assert ground.track is None
    names = {track.name: [step.price for step in track.steps] for track in ground.others}
    # At 50 all count: 10, 5, 4 (20 is dearer). At 60: 20 then 4. At 62: 4 alone.
    assert names == {"x at 50": [10, 5, 4], "x at 60": [20, 4], "x at 62": [4]}
    assert all(track.falling for track in ground.others)
    one = of_points(points, "x", None, pool=False)
    assert one.track is not None
    assert one.track.name == "x at 50"
    assert "the lowest milestone" in one.notes[0]
    asked = of_points(points, "x", 53, pool=False)
    assert asked.track is not None
    assert [step.price for step in asked.track.steps] == [20, 5, 4]


def test_points_without_scores_are_a_series_as_it_is_which_may_rise() -> None:
    points = _points(("2024-03-01", 3, None, ""), ("2024-01-01", 2, None, ""), ("2024-03-01", 4, None, ""))
    ground = of_points(points, "x", None, pool=True)
    assert ground.track is not None
    assert [(step.date.month, step.price) for step in ground.track.steps] == [(1, 2), (3, 4)]  # the last of a day
    assert not ground.track.falling


def test_points_of_several_models_without_scores_are_their_running_minimum() -> None:
    ground = of_points(_points(("2024-01-01", 2, None, "a"), ("2024-03-01", 3, None, "b")), "x", None, pool=False)
    assert ground.track is not None
    assert [step.price for step in ground.track.steps] == [2]
    assert "as if they were equally capable" in ground.notes[0]


def test_a_score_that_nothing_reaches_and_a_score_of_nothing_are_refused() -> None:
    points = _points(("2024-01-01", 10, 50, "a"))
    with pytest.raises(FarthingError, match="no model with a price reaches 90 on x; the best score known is 50"):
        of_points(points, "x", 90, pool=False)
    with pytest.raises(FarthingError, match="asks for a column of scores"):
        of_points(_points(("2024-01-01", 10, None, "a")), "x", 90, pool=False)
    with pytest.raises(FarthingError, match="no point has a price over 0"):
        of_points([], "x", None, pool=False)
    with pytest.raises(FarthingError, match="no scores of benchmark 'z'; there are x"):
        of_benchmark({"x": Scored(points=tuple(points), until=date(2024, 6, 1))}, "z", 50)


def test_pooled_milestones_say_how_few_models_they_rest_on() -> None:
    points = tuple(_points(("2024-01-01", 10, 50, "a"), ("2024-06-01", 5, 60, "b")))
    ground = of_benchmarks({name: Scored(points=points, until=date(2024, 9, 1)) for name in ("x", "y")})
    assert len(ground.others) == 4
    assert ground.others[0].until == date(2024, 9, 1)
    assert "4 milestones of 2 benchmarks rest on the 2 models" in ground.notes[0]


def test_the_published_study_comes_out_as_published() -> None:
    ground = of_file(STUDY, MIX, None, None, None, pool=True)
    found = rates(ground.others)
    assert found is not None
    # The study's 21 rates: 9x to 900x a year, with a median of 50x (epoch.ai, 12 March 2025).
    assert found.count == 21
    assert 9 <= found.low < 10
    assert 850 < found.high <= 900
    assert 45 < found.median < 50


def test_a_file_of_several_benchmarks_wants_one_for_a_score() -> None:
    with pytest.raises(FarthingError, match="it has several benchmarks; name one of GPQA Diamond, HumanEval"):
        of_file(STUDY, MIX, None, 50, None, pool=True)
    ground = of_file(STUDY, MIX, "mmlu", 83.7, None, pool=True)
    assert ground.track is not None
    assert ground.track.name == "MMLU at 83.7"
    assert {track.cluster for track in ground.others} > {"MMLU", "GPQA Diamond"}
    with pytest.raises(FarthingError, match="no points of 'chess'"):
        of_file(STUDY, MIX, "chess", None, None, pool=True)
    with pytest.raises(FarthingError, match="no point on or before 2019-01-01"):
        of_file(STUDY, MIX, None, None, date(2019, 1, 1), pool=True)


def test_what_came_after_the_day_asked_is_not_seen() -> None:
    ground = of_file(STUDY, MIX, "mmlu", None, date(2024, 1, 1), pool=True)
    assert ground.asked == date(2024, 1, 1)
    assert max(step.date for track in ground.others for step in track.steps) <= date(2024, 1, 1)


# --- lines ---------------------------------------------------------------------------------------

SOURCE = Source(id="s", title="s", where="here", seen=None, grade=Grade.VENDOR_STATED)


def _quote(start: str, end: str | None, usd: str) -> Quote:
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    last = datetime.fromisoformat(end).replace(tzinfo=UTC) if end else None
    prices = {"input": Fraction(usd), "output": Fraction(usd) * 4}
    return Quote(start=first, end=last, usd_per_mtok=prices, source=SOURCE)


def _line(model: str, *quotes: Quote) -> Line:
    return Line(provider="acme", model=model, family=model, quotes=quotes)


def test_a_line_is_a_track_until_it_is_withdrawn() -> None:
    line = _line("m", _quote("2024-01-01", "2024-06-01", "2"), _quote("2024-06-01", "2025-01-01", "1"))
    track = line_track(line, blended(MIX), date(2025, 6, 1))
    assert track is not None
    # 3 parts at 2 and one at 8 are 14 / 4.
    assert [(str(step.date), step.price) for step in track.steps] == [("2024-01-01", 3.5), ("2024-06-01", 1.75)]
    assert track.until == date(2025, 1, 1)
    before = line_track(line, blended(MIX), date(2024, 3, 1))
    assert before is not None
    assert len(before.steps) == 1
    assert before.until is None


def test_a_gap_and_a_free_price_begin_a_line_anew() -> None:
    gap = _line("m", _quote("2024-01-01", "2024-03-01", "2"), _quote("2024-06-01", None, "1"))
    track = line_track(gap, list_price("input"), date(2025, 1, 1))
    assert track is not None
    assert [step.price for step in track.steps] == [1]
    free = _line("m", _quote("2024-01-01", "2024-03-01", "2"), _quote("2024-03-01", None, "0"))
    assert line_track(free, list_price("input"), date(2025, 1, 1)) is None
    assert line_track(free, list_price("cache_read"), date(2025, 1, 1)) is None


def test_a_long_silence_in_a_series_is_said(tmp_path: Path) -> None:
    rows = [f"2023-{month:02d}-01,{10 / month}" for month in range(1, 8)]
    path = tmp_path / "gap.csv"
    path.write_text("\n".join(("date,price", *rows, "2025-06-01,1", "2025-07-01,0.9", "")))
    ground = of_file(path, MIX, None, None, date(2025, 8, 1), False)
    assert "nothing is stated from 2023-07-01 to 2025-06-01: the price is taken to have held" in ground.notes


def test_prices_of_days_to_come_are_not_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "ahead.csv"
    path.write_text("date,price\n2024-01-01,2\n2024-06-01,1\n2999-01-01,0.1\n")
    ground = of_file(path, MIX, None, None, None, False)
    assert ground.end == date(2024, 6, 1) and any("dated after today" in note for note in ground.notes)


def test_an_offer_that_is_not_there_is_refused_with_the_nearest() -> None:
    lines = [_line("gpt-x-mini", _quote("2024-01-01", None, "2"))]
    with pytest.raises(FarthingError, match="did you mean acme/gpt-x-mini"):
        of_line(lines, "other/gpt-x", list_price("input"), date(2025, 1, 1))
    with pytest.raises(FarthingError, match="no price over 0 of that kind"):
        of_line(lines, "acme/gpt-x-mini", list_price("cache_read"), date(2025, 1, 1))
    ground = of_line(lines, "acme/gpt-x-mini", list_price("input"), date(2025, 1, 1))
    assert ground.grade is Grade.VENDOR_STATED
