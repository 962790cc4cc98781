"""The fit finds what rows were made with, holds to its priors where rows say nothing, and does not mind outliers."""

import msgspec
import numpy as np
import pytest

from farthing.serving.coefficients import packaged
from farthing.serving.fitting.fit import FIRST, fit_values, group_weights
from farthing.serving.fitting.table import Table, predict, table_of
from tests.serving.fitting.made import grid, row

FIT = packaged()
PRIORS = {name: one.prior for name, one in FIT.coefficients.items()}


def made(values: dict[str, float]) -> Table:
    """The grid, with the times that `values` give."""
    table = table_of(grid(), FIT)
    tpot, ttft = predict(table, FIT, values)
    return msgspec.structs.replace(table, tpot_s=tpot, ttft_s=ttft)


def test_a_group_counts_by_the_root_of_its_size() -> None:
    rows = [row(one) for one in range(1, 5)] + [row(1, engine="sglang")]
    weights = group_weights(rows)
    assert weights.mean() == pytest.approx(1)
    assert weights[4] / weights[0] == pytest.approx(2)  # 4 rows of one group count as 2
    assert weights[:4].sum() / weights[4] == pytest.approx(2)


def test_rows_of_the_priors_leave_them() -> None:
    table = made(PRIORS)
    found = fit_values(table, np.ones(len(table.asked)), FIT)
    assert found == pytest.approx(PRIORS, rel=1e-6, abs=1e-6)


def test_a_changed_machine_is_found() -> None:
    truth = {**PRIORS, "dense_bandwidth": 0.7, "interference": 1.0, "step_s": 2e-3, "front_s": 0.02, "queue": 0.15}
    table = made(truth)
    found = fit_values(table, np.ones(len(table.asked)), FIT, strength=0.05)
    tpot, ttft = predict(table, FIT, found)
    before = predict(table, FIT, PRIORS)
    assert np.median(np.abs(np.log(before[0] / table.tpot_s))) > 0.05
    assert np.abs(np.log(tpot / table.tpot_s)).max() < 0.01
    assert np.abs(np.log(ttft / table.ttft_s)).max() < 0.02
    # One by one they are found roughly: a format's factor or a layer's cost can stand in for another.
    assert found["dense_bandwidth"] * found["dense_bandwidth@fp8"] == pytest.approx(0.7, rel=0.15)
    assert found["step_s"] * found["step_s@vllm"] == pytest.approx(2e-3, rel=0.3)
    assert found["interference"] * found["interference@vllm"] == pytest.approx(1.0, rel=0.1)


def test_a_strong_prior_moves_less() -> None:
    table = made({**PRIORS, "dense_bandwidth": 0.7})
    weights = np.ones(len(table.asked))
    loose, tight = (fit_values(table, weights, FIT, strength=one)["dense_bandwidth"] for one in (0.1, 100.0))
    assert abs(np.log(tight / 0.9)) < 0.05 < abs(np.log(loose / 0.9))


def test_a_few_wild_rows_do_not_move_the_rest() -> None:
    table = made(PRIORS)
    wild = table.tpot_s.copy()
    wild[::20] *= 10
    found = fit_values(msgspec.structs.replace(table, tpot_s=wild), np.ones(len(wild)), FIT)
    tpot, _ = predict(table, FIT, found)
    assert np.median(np.abs(np.log(tpot / table.tpot_s))) < 0.03


def test_tpot_is_fitted_first_and_ttft_does_not_touch_it() -> None:
    table = made(PRIORS)
    slow = msgspec.structs.replace(table, ttft_s=table.ttft_s * 2)
    found = fit_values(slow, np.ones(len(table.asked)), FIT)
    moved = {
        name.split("@")[0] for name in found if abs(found[name] - PRIORS[name]) > 1e-6 * max(abs(PRIORS[name]), 1e-9)
    }
    assert moved and moved <= set(FIRST)
