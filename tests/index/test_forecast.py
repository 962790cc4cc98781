"""Forecasts of series whose future is known, and of those of which nothing can be said."""

from datetime import date, timedelta
from math import log

import pytest

from farthing.index.forecast import Forecast, forecast, furthest_months, pooled
from farthing.index.tracks import Step, Track, after
from tests.index.forecasts import END, exponential, jumps


def _holds(said: Forecast, track: Track, months: int) -> bool:
    point = said.points[months]
    came = track.at(point.date)
    assert came is not None
    assert point.low is not None
    assert point.high is not None
    return point.low * 0.999 <= came.price <= point.high * 1.001


def test_an_exact_decline_goes_on() -> None:
    said = forecast(exponential(10, 36), [], END, 24, 0.9)
    # 100 falls tenfold a year: .1 after three years, .001 two years on.
    assert said.points[0].expected == pytest.approx(0.1)
    assert said.points[24].expected == pytest.approx(0.001, rel=0.01)
    assert said.yearly_factor == pytest.approx(10, rel=0.01)
    assert said.model == "drift"
    low, high = said.points[24].low, said.points[24].high
    assert low is not None
    assert high is not None
    assert low < 0.001 < high


def test_a_rising_price_is_expected_to_rise() -> None:
    said = forecast(exponential(1 / 1.5, 36), [], END, 12, 0.9)
    assert said.yearly_factor == pytest.approx(1 / 1.5, rel=0.01)


@pytest.mark.parametrize(
    ("months", "falling", "yearly"), [(12, True, 10), (20, True, 10), (40, True, 10), (40, False, 1), (40, True, 100)]
)
def test_the_interval_of_a_lone_series_holds_its_future_about_as_often_as_it_says(
    months: int, falling: bool, yearly: float
) -> None:
    held = []
    for seed in range(100):
        track = jumps(seed, yearly, months, falling=falling)
        said = forecast(track, [], END, 24, 0.9)
        if said.points:
            held += [_holds(said, track, 12), _holds(said, track, 24)]
    # 100 series (fewer where the history is too thin), two correlated horizons: .9 give or take .07.
    assert len(held) > 60
    assert sum(held) / len(held) >= 0.82


def test_the_interval_of_a_use_case_holds_unlike_futures() -> None:
    yearly = [3, 5, 8, 10, 15, 30, 60, 100]
    held = []
    for seed in range(12):
        tracks = [jumps(100 * seed + i, y, 40, f"t{i}") for i, y in enumerate(yearly)]
        hidden = tracks.pop(seed % len(tracks))
        said = pooled(tracks, END, 24, 0.9)
        start = hidden.at(END)
        assert start is not None
        for months in (12, 24):
            came = hidden.at(after(END, months))
            point = said.points[months]
            assert came is not None
            assert point.low is not None
            assert point.high is not None
            held.append(point.low <= came.price / start.price <= point.high)
    assert sum(held) / len(held) >= 0.75  # 12 draws of one of eight rates, two horizons


def test_a_pooled_price_starts_at_one_and_cannot_rise() -> None:
    said = pooled([jumps(i, 10, 40, f"t{i}") for i in range(5)], END, 24, 0.9)
    assert said.points[0].expected == 1
    for before, point in zip(said.points, said.points[1:], strict=False):
        assert point.low is not None
        assert point.high is not None
        assert point.low <= point.expected <= point.high <= 1
        assert point.expected <= before.expected
    assert said.yearly_factor is not None
    assert 3 < said.yearly_factor < 30


def test_a_higher_level_is_wider() -> None:
    track, others = jumps(0, 10, 40), [jumps(i, 10, 40, f"t{i}") for i in range(1, 6)]
    half, most = (forecast(track, others, END, 12, level).points[12] for level in (0.5, 0.95))
    assert half.low is not None
    assert most.low is not None
    assert half.high is not None
    assert most.high is not None
    assert most.low <= half.low
    assert half.high <= most.high


def test_the_same_question_has_the_same_answer() -> None:
    track, others = jumps(0, 10, 40), [jumps(i, 10, 40, f"t{i}") for i in range(1, 4)]
    assert forecast(track, others, END, 12, 0.9) == forecast(track, others, END, 12, 0.9)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "no price of x is known"),
        ([(END + timedelta(days=9), 1.0)], "no price of x is known"),
        ([(END - timedelta(days=90), 1.0)], "months of prices; it takes 6"),
        ([(END - timedelta(days=900), 1.0)], "the price never changed in 30 months"),
        ([(END - timedelta(days=900), 1.0), (END - timedelta(days=400), 0.5)], "the price changed once"),
    ],
)
def test_too_thin_is_said_and_gives_no_number(steps: list[tuple[date, float]], reason: str) -> None:
    track = Track(name="x", cluster="x", steps=tuple(Step(date=day, price=price) for day, price in steps))
    said = forecast(track, [], END, 12, 0.9)
    assert said.points == ()
    assert said.yearly_factor is None
    assert reason in said.notes[0]


def test_an_offer_that_never_changed_is_forecast_from_offers_that_did() -> None:
    start = END - timedelta(days=900)
    flat = Track(name="flat", cluster="a", steps=(Step(date=start, price=2.0),))
    first = Step(date=start, price=1.0)
    others = [
        Track(name=f"t{i}", cluster=f"c{i}", steps=(first, Step(date=after(start, 7 + i), price=0.6)))
        for i in range(12)
    ]
    said = forecast(flat, others, END, 12, 0.9)
    assert said.points[12].expected <= 2
    assert any("its own price never changed in 30 months" in note for note in said.notes)


def test_too_few_series_are_not_pooled() -> None:
    said = pooled([exponential(10, 36, "a"), exponential(10, 36, "b")], END, 12, 0.9)
    assert said.points == ()
    assert "2 series of at least 6 months; it takes 3" in said.notes[0]


def test_few_milestones_of_one_benchmark_are_tested_on_those_of_all() -> None:
    """Alone they are too few to test, and no interval can be earned: then there is no number. With those of other
    benchmarks there is one, at their own rate: fourfold a year, where the others fell thirtyfold."""
    few = [jumps(i, 4, 10, f"few at {i}", "few") for i in range(3)]
    alone = pooled(few, END, 12, 0.9)
    assert alone.points == () and "too thin to test" in alone.notes[0]
    others = [jumps(50 + i, 30, 48, f"t{i} at {n}", f"t{i}") for i in range(8) for n in range(2)]
    said = pooled(few, END, 12, 0.9, wider=[*few, *others])
    assert said.points[12].low is not None and said.backtest is not None
    assert "tested on all 19" in said.notes[0]
    assert said.yearly_factor is not None and 1 < said.yearly_factor < 12


def test_what_lies_beyond_the_test_and_beyond_the_history_is_said() -> None:
    said = forecast(exponential(10, 20), [], END, 30, 0.9)
    assert any("more than the history's 20 months" in note for note in said.notes)
    assert furthest_months(20) == 40
    tested = forecast(exponential(10, 48), [], END, 40, 0.9)
    assert any("the back-test reaches" in note for note in tested.notes)


def test_a_short_history_is_forecast_without_a_back_test_and_says_so() -> None:
    said = forecast(exponential(10, 9), [], END, 6, 0.9)
    assert said.backtest is None
    assert any("not back-tested" in note for note in said.notes)
    assert said.points[6].expected == pytest.approx(said.points[0].expected * 10**-0.5, rel=0.02)
    assert log(said.points[6].high or 0) > log(said.points[6].expected)


def test_a_price_that_is_gone_is_not_forecast() -> None:
    gone = Track(
        name="gone", cluster="c", until=END - timedelta(days=30),
        steps=tuple(exponential(10, 24, end=date(2025, 6, 1)).steps),
    )  # fmt: skip
    said = forecast(gone, [], END, 12, 0.9)
    assert "no price of gone is known" in said.notes[0]


def test_a_price_too_young_for_a_rate_of_its_own_moves_as_the_others() -> None:
    others = [exponential(10, 36, f"t{i}") for i in range(4)]
    young = Track(name="young", cluster="y", steps=(Step(date=END - timedelta(days=60), price=8.0),), falling=True)
    said = forecast(young, others, END, 12, 0.9)
    assert said.name == "young"
    assert said.points[0].expected == 8
    assert said.points[12].expected == pytest.approx(0.8, rel=0.02)
    assert "only 2.0 months of prices of its own" in said.notes[0]
