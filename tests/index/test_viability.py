"""When a cost reaches a target."""

from datetime import date
from math import log

import pytest

from farthing.index.fan import Ahead
from farthing.index.forecast import Forecast, forecast
from farthing.index.tracks import MONTH_DAYS, Track, after
from farthing.index.viability import at_rate, checked, from_day, rates, when
from farthing.problems import FarthingError
from tests.index.forecasts import END, exponential, jumps


def _said(expected: list[float], low: list[float] | None = None, high: list[float] | None = None) -> Forecast:
    points = tuple(
        Ahead(months=h, date=after(END, h), expected=price, low=low[h] if low else None, high=high[h] if high else None)
        for h, price in enumerate(expected)
    )
    factor = (points[0].expected / points[12].expected) if len(points) > 12 else None
    return Forecast(
        name="x", start=END, level=0.9, points=points, model="drift", backtest=None, yearly_factor=factor,
        history_months=30, tracks=1, notes=(),
    )  # fmt: skip


def test_the_date_is_where_the_path_crosses_the_target() -> None:
    middle = [10 ** (-h / 12) for h in range(37)]
    fast, slow = [10 ** (-h / 6) for h in range(37)], [10 ** (-h / 24) for h in range(37)]
    found = when(0.5, 0.05, _said(middle, fast, slow))
    # A tenth after 12 months of 365.25/12 days, 6 at the fast end, 24 at the slow one.
    assert found.factor == pytest.approx(10)
    assert found.day == after(END, 12)
    assert found.earliest == after(END, 6)
    assert found.latest == after(END, 24)


def test_between_two_months_it_is_interpolated() -> None:
    found = when(1, 10 ** (-0.5 / 12), _said([10 ** (-h / 12) for h in range(25)]))
    assert found.day is not None
    assert (found.day - END).days == round(0.5 * MONTH_DAYS)


def test_beyond_the_horizon_there_is_no_date_and_it_says_so() -> None:
    middle = [2 ** (-h / 12) for h in range(37)]
    fast, slow = [10 ** (-h / 12) for h in range(37)], [1.0] * 37
    found = when(1, 0.01, _said(middle, fast, slow))
    assert found.day is None
    assert found.earliest == after(END, 24)
    assert found.latest is None
    assert "falling 2-fold a year it is not reached by" in found.notes[0]
    assert "at the slow end of the interval it is not reached" in found.notes[1]


@pytest.mark.parametrize(("yearly", "word"), [(1.0, "stay as it is"), (0.5, "rise, by 100% a year")])
def test_flat_and_rising_prices_never_get_there(yearly: float, word: str) -> None:
    found = when(1, 0.5, _said([yearly ** (-h / 12) for h in range(25)]))
    assert found.day is None
    assert word in found.notes[0]


@pytest.mark.parametrize(("cost", "target"), [(1.0, 1.0), (0.5, 2.0)])
def test_already_there(cost: float, target: float) -> None:
    found = when(cost, target, _said([1.0, 0.9]))
    assert found.day == found.earliest == found.latest == END
    assert found.notes == ("already there: the cost today is no more than the target",)


@pytest.mark.parametrize(("cost", "target"), [(0, 1), (1, 0), (-1, 1), (1, -1), (float("nan"), 1), (1, float("inf"))])
def test_amounts_that_are_not_over_zero_are_refused(cost: float, target: float) -> None:
    with pytest.raises(FarthingError, match="must be an amount over 0"):
        checked(cost, target)


def test_nothing_to_say_gives_no_date_and_the_reason() -> None:
    thin = forecast(Track(name="x", cluster="x", steps=()), [], END, 12, 0.9)
    found = when(1, 0.1, thin)
    assert (found.day, found.earliest, found.latest) == (None, None, None)
    assert "no price of x is known" in found.notes[0]


def test_at_a_stated_rate() -> None:
    # A tenth at tenfold a year: a year. At 1.05-fold: ln 10 / ln 1.05 = 47.19 years.
    assert at_rate(1, 0.1, 10, date(2026, 1, 1)) == after(date(2026, 1, 1), 12)
    later = at_rate(1, 0.1, 1.05, date(2026, 1, 1))
    assert later is not None
    assert later.year == 2073
    assert at_rate(1, 0.1, 1.04, date(2026, 1, 1)) is None  # 58.7 years
    assert at_rate(1, 0.1, 1.0, date(2026, 1, 1)) is None
    assert at_rate(1, 0.1, None, date(2026, 1, 1)) is None
    assert at_rate(1, 2, None, date(2026, 1, 1)) == date(2026, 1, 1)


def test_a_known_decline_gives_the_known_date() -> None:
    said = forecast(exponential(10, 36), [], END, 48, 0.9)
    found = when(1, 0.1, said)
    assert found.day is not None
    assert abs((found.day - END).days - 365) < 10
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest < found.day < found.latest


def test_the_true_date_lies_in_the_interval_about_as_often_as_it_says() -> None:
    held = []
    for seed in range(60):
        track = jumps(seed, 20, 40)
        start = track.at(END)
        assert start is not None
        true = next((step.date for step in track.steps if step.price <= start.price / 10), date.max)
        found = when(1, 0.1, forecast(track, [], END, 60, 0.9))
        late = found.latest is None or true <= found.latest
        held.append(found.earliest is not None and found.earliest <= true and late)
    assert sum(held) / len(held) >= 0.82  # 60 draws at .9: a standard error of .04


def test_counted_from_another_day_the_moves_are_the_same() -> None:
    said = _said([1.0, 0.9])
    moved = from_day(said, date(2026, 12, 1))
    assert moved.start == moved.points[0].date == date(2026, 12, 1)
    assert [one.expected for one in moved.points] == [1.0, 0.9]
    assert moved.notes == ("the prices it rests on are known until 2026-01-01: 334 days before 2026-12-01",)
    assert from_day(said, date(2026, 2, 1)).notes == ()


def test_rates_say_how_unlike_the_series_are() -> None:
    found = rates([exponential(y, 24, f"x{y}") for y in (3, 10, 50)] + [exponential(7, 2, "short")])
    assert found is not None
    # Least squares of a calendar decline on years of 365.25 days: within a hundredth of the factor.
    assert (found.low, found.median, found.high) == pytest.approx((3, 10, 50), rel=0.01)
    assert found.count == 3
    assert (found.slowest, found.fastest) == ("x3", "x50")
    assert rates([]) is None
    assert log(found.high) > 0
