"""The back-test sees nothing that came later, and its intervals hold what it was not shown."""

from datetime import timedelta
from math import log

import msgspec
import numpy as np
import pytest

from farthing.index.backtest import errors
from farthing.index.calibration import ALONE, backtest
from farthing.index.tracks import Step, Track, grid
from tests.index.forecasts import END, exponential, jumps


def _market(clusters: int, each: int, yearly: float, seed: int = 0, falling: bool = True) -> list[Track]:
    return [
        jumps(1000 * seed + 10 * c + i, yearly, 40, f"c{c}t{i}", f"c{c}", falling=falling)
        for c in range(clusters)
        for i in range(each)
    ]


def test_errors_of_an_exact_decline_are_none_for_the_drift_and_the_decline_for_no_change() -> None:
    found = {one.horizon: one for one in errors(grid([exponential(10, 36)], END), own=True)}
    # Months are of 365.25/12 days on the grid and of the calendar in the track: a step may fall to either side.
    assert np.median(np.abs(found[12].errors["drift"])) < 0.02
    assert np.median(found[12].errors["no change"]) == pytest.approx(-log(10), rel=1e-3)


def test_what_comes_later_changes_no_earlier_forecast() -> None:
    track = jumps(3, 10, 40)
    cut = END - timedelta(days=400)
    other = tuple(
        msgspec.structs.replace(step, price=step.price * 100) if step.date > cut else step for step in track.steps
    )
    changed = msgspec.structs.replace(track, steps=other, falling=False)
    first = errors(grid([msgspec.structs.replace(track, falling=False)], END), own=True, horizons=[6])[0]
    second = errors(grid([changed], END), own=True, horizons=[6])[0]
    last = grid([track], END).logs.shape[1] - 1
    early = first.origin + 6 <= last - 14  # outcomes before the cut
    assert early.sum() > 5
    for name, found in first.errors.items():
        assert np.allclose(found[early], second.errors[name][early]), name
    assert not np.allclose(first.errors["drift"], second.errors["drift"])


def test_a_steady_market_is_forecast_by_a_drift_and_a_still_one_by_no_change() -> None:
    tested = backtest(grid([exponential(10, 36, f"t{i}") for i in range(4)], END), 0.9, own=True)
    assert tested is not None
    assert tested.model in ("drift", "shrunk drift")
    assert tested.relative["drift"] < 0.1
    start = END - timedelta(days=1000)
    still = [Track(name=f"t{i}", cluster=f"t{i}", steps=(Step(date=start, price=1.0),)) for i in range(4)]
    tested = backtest(grid(still, END), 0.9, own=True)
    assert tested is not None
    assert tested.model == "no change"
    assert all(one.factor_error == 1 for one in tested.horizons)


def test_the_drift_of_a_market_without_a_rate_is_not_believed() -> None:
    tested = backtest(grid(_market(6, 2, 1.0, falling=False), END), 0.9, own=True)
    assert tested is not None
    assert tested.relative["drift"] > 1
    assert tested.model == "no change"


def test_the_interval_holds_what_was_left_out() -> None:
    tested = backtest(grid(_market(6, 2, 10.0), END), 0.9, own=True)
    assert tested is not None
    assert tested.folds == "cluster"
    assert tested.covered >= 0.9
    assert all(one.stretched >= 1 for one in tested.horizons)
    assert all(0.7 <= one.coverage <= 1 for one in tested.horizons)
    assert all(one.coverage_other_times is not None for one in tested.horizons)
    assert [one.months for one in tested.horizons] == [3, 6, 12, 24]
    assert all(one.low <= 0 <= one.high for one in tested.horizons)


def test_a_series_alone_is_told_from_three() -> None:
    alone = backtest(grid([jumps(1, 10, 40)], END), 0.9, own=True)
    assert alone is not None
    assert alone.folds == ALONE
    assert set(alone.relative) == {"no change", "drift"}
    three = backtest(grid([jumps(i, 10, 40, f"t{i}", "one") for i in range(3)], END), 0.9, own=True)
    assert three is not None
    assert three.folds == "series"


def test_a_short_history_has_no_back_test() -> None:
    assert backtest(grid([jumps(1, 10, 10)], END), 0.9, own=True) is None


def test_windows_that_overlap_are_told_from_those_side_by_side() -> None:
    tested = backtest(grid([exponential(10, 36)], END), 0.9, own=True)
    assert tested is not None
    twelve = next(one for one in tested.horizons if one.months == 12)
    # 36.008 months of history; origins from month 6 on, the last 12 months before the end: months 6 to 24 and a bit.
    assert twelve.origins in (18, 19)
    assert twelve.windows == 2
