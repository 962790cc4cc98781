"""Tracks on a grid of months, and the candidate models on pasts that can be checked by hand."""

from datetime import date, timedelta
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.index import forecast_models as models
from farthing.index.tracks import MONTH_DAYS, Step, Track, after, grid
from tests.index.forecasts import END, exponential, jumps


def _past(track: Track, end: date = END) -> models.Past:
    table = grid([track], end)
    return models.past(table.logs, table.began, table.starts, np.array(["one"]), own=True)


def test_a_grid_holds_the_price_in_force_on_each_day_and_nothing_before_the_first() -> None:
    steps = (Step(date=date(2025, 9, 20), price=8.0), Step(date=date(2025, 12, 1), price=2.0))
    made = grid([Track(name="a", cluster="a", steps=steps)], date(2025, 12, 31))
    # Days: 30.4375 apart before 31 December: 30 November, 31 October, 30 September, 31 August (before the first price).
    assert np.isnan(made.logs[0, 0])
    assert np.exp(made.logs[0, 1:]).tolist() == pytest.approx([8.0, 8.0, 8.0, 2.0])
    # 102 days are 3.351 months; the first price stands at 4 - 3.351 = 0.649 in five columns.
    assert made.began[0] == pytest.approx(4 - 102 / MONTH_DAYS)


def test_after_its_end_a_price_is_unknown_and_before_any_price_a_track_is_left_out() -> None:
    gone = Track(name="gone", cluster="c", steps=(Step(date=date(2025, 1, 1), price=1.0),), until=date(2025, 6, 1))
    later = Track(name="later", cluster="c", steps=(Step(date=date(2026, 6, 1), price=1.0),))
    made = grid([gone, later], END)
    assert [one.name for one in made.tracks] == ["gone"]
    assert np.isnan(made.logs[0, -1])
    assert gone.at(date(2025, 6, 1)) is not None
    assert gone.at(date(2025, 6, 2)) is None


def test_the_mean_rate_of_an_exact_decline_is_exact() -> None:
    known = _past(exponential(10, 36))
    # Tenfold a year is ln 10 / 12 = 0.19188 a month; 36 calendar months are 1096 days, so 36.008 months of 365.25/12.
    assert known.rate[0] == pytest.approx(-36 * log(10) / 12 / (1096 / MONTH_DAYS))


@pytest.mark.parametrize(("name", "times"), [("no change", 0.0), ("drift", 12.0), ("log-linear trend", 12.0)])
def test_models_on_an_exact_decline(name: str, times: float) -> None:
    known = _past(exponential(10, 36))
    said = models.moves(name, known, [12], np.array([False]))
    assert said[0, 0] == pytest.approx(-times * log(10) / 12, rel=0.02)


def test_the_damped_rate_fades() -> None:
    known = _past(exponential(10, 36))
    said = models.moves("damped drift", known, [1, 1000], np.array([False]))[0]
    # .95 r after a month; .95 / .05 = 19 r in the end.
    assert said.tolist() == pytest.approx([0.95 * known.rate[0], 19 * known.rate[0]])


def test_recent_drift_sees_the_last_twelve_months_only() -> None:
    start = END - timedelta(days=round(36 * MONTH_DAYS))
    stopped = Track(name="t", cluster="c", steps=(Step(date=start, price=100.0), Step(date=after(start, 6), price=1.0)))
    assert models.moves("recent drift", _past(stopped), [12], np.array([True]))[0, 0] == 0
    assert models.moves("drift", _past(stopped), [36], np.array([True]))[0, 0] == pytest.approx(-log(100), rel=1e-3)


def test_the_median_of_resampled_jumps_stays_when_most_quarters_are_still() -> None:
    start = END - timedelta(days=round(48 * MONTH_DAYS))
    once = Track(name="t", cluster="c", steps=(Step(date=start, price=100.0), Step(date=after(start, 20), price=1.0)))
    assert models.moves("jumps", _past(once), [3], np.array([True]))[0, 0] == 0


def test_a_running_minimum_is_never_said_to_rise() -> None:
    rising = _past(exponential(0.5, 24))
    assert models.moves("drift", rising, [12], np.array([False]))[0, 0] > 0
    assert models.moves("drift", rising, [12], np.array([True]))[0, 0] == 0


def test_without_a_past_of_its_own_a_track_is_forecast_from_other_clusters_alone() -> None:
    tracks = [exponential(10, 36, "a"), exponential(10, 36, "b"), exponential(2, 36, "c")]
    table = grid(tracks, END)
    known = models.past(table.logs, table.began, table.starts, np.array(["a", "b", "c"]), own=False)
    said = models.moves("shrunk drift", known, [12], np.array([False] * 3))[:, 0]
    # a sees b and c (the weighted median takes the lower of two), b sees a and c, c sees a and b.
    assert said[2] == pytest.approx(-log(10), rel=1e-3)
    assert said[0] == pytest.approx(-log(10), rel=1e-3)
    other = models.past(table.logs, table.began, table.starts, np.array(["a", "a", "c"]), own=False)
    said = models.moves("shrunk drift", other, [12], np.array([False] * 3))[:, 0]
    assert said[0] == pytest.approx(-log(2), rel=1e-3)
    assert said[2] == pytest.approx(-log(10), rel=1e-3)


def test_a_short_past_is_shrunk_more_than_a_long_one() -> None:
    tracks = [jumps(i, 10, months, f"t{i}") for i, months in enumerate([9, 40, 40, 40, 40])]
    table = grid(tracks, END)
    known = models.past(table.logs, table.began, table.starts, np.array([t.name for t in tracks]), own=True)
    assert known.own_weight[0] < known.own_weight[1] < 1


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 1)), min_size=1, max_size=30),
    st.floats(0.01, 0.99),
)
@settings(deadline=None)
def test_a_weighted_quantile_has_at_least_its_share_at_or_below_it(
    pairs: list[tuple[float, float]], level: float
) -> None:
    values, weights = (np.array(one) for one in zip(*pairs, strict=True))
    found = models.weighted_quantile(values, weights, level)
    assert found in values
    assert weights[values <= found].sum() / weights.sum() >= level - 1e-9
    assert weights[values < found].sum() / weights.sum() <= level + 1e-9


def test_clusters_weigh_the_same() -> None:
    weights = models.cluster_weights(np.array(["a", "a", "a", "b"]))
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
