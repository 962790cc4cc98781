"""Corrections: shrunk by how little was seen, none for what was not, and not pulled by outliers."""

import math

import numpy as np
import pytest

from farthing.serving.fitting.corrections import PENALTY, fit_effects
from tests.serving.fitting.made import row

LOADS = [(c, i, o) for c in (1, 4, 16, 64, 256) for i, o in ((1_000, 1_000), (8_000, 1_000), (1_000, 8_000))]


def test_a_constant_error_is_corrected_the_more_the_oftener_it_was_seen() -> None:
    found = []
    for times in (1, 3, 10):
        rows = [row(*load) for load in LOADS for _ in range(times)]
        effects = fit_effects(rows, np.full(len(rows), 0.1), "tpot")
        found.append(effects.correction(row(16)))
        assert set(effects.rows.values()) == {len(rows)}
    assert found == sorted(found) and 0.08 < found[0] < found[-1] < 0.1


def test_one_row_is_shrunk_by_the_penalty() -> None:
    # At the load where both slopes are 0 a level and a layout of penalty p share an error e: 2 e / (2 + p).
    neutral = row(2 ** (1.3 * 3), 1_000, 1_000)
    effects = fit_effects([neutral], np.array([0.1]), "tpot")
    assert effects.correction(neutral) == pytest.approx(0.1 * 2 / (2 + PENALTY))


def test_slopes_are_found() -> None:
    rows = [row(*load) for load in LOADS for _ in range(5)]
    truth = np.array(
        [0.05 + 0.03 * (math.log2(r.concurrency) / 3 - 1.3) - 0.02 * math.log2(r.input / r.output) / 3 for r in rows]
    )
    effects = fit_effects(rows, truth, "tpot")
    assert [effects.correction(one) for one in rows] == pytest.approx(list(truth), abs=0.005)


def test_what_was_never_seen_is_left_alone_and_another_layout_has_its_group_s() -> None:
    rows = [row(*load) for load in LOADS]
    effects = fit_effects(rows, np.full(len(rows), 0.1), "tpot")
    assert effects.correction(row(16, engine="sglang")) == 0
    assert effects.correction(row(16, device="h200-sxm")) == 0
    other = effects.correction(row(16, tp=8))
    assert 0.02 < other < effects.correction(row(16, tp=4))


def test_one_wild_row_does_not_move_a_group() -> None:
    rows = [row(*load) for load in LOADS]
    errors = np.zeros(len(rows))
    errors[7] = 3.0  # twenty times as slow as its neighbours
    assert abs(fit_effects(rows, errors, "tpot").correction(row(16))) < 0.1
    plain = 3.0 / len(rows)
    assert abs(fit_effects(rows, errors, "tpot").correction(row(16))) < plain


def test_a_slope_is_not_followed_beyond_its_rows() -> None:
    rows = [row(c, i, 1_000) for c in (4, 8, 16) for i in (1_000, 4_000) for _ in range(20)]
    errors = np.array([0.3 * math.log2(one.concurrency) + 0.1 * math.log2(one.input) for one in rows])
    effects = fit_effects(rows, errors, "ttft")
    assert set(effects.spans.values()) == {((4, 1.0), (16, 4.0))}
    assert effects.correction(row(2_048, 1_000, 1_000)) == pytest.approx(effects.correction(row(16, 1_000, 1_000)))
    assert effects.correction(row(8, 80_000, 1_000)) == pytest.approx(effects.correction(row(8, 4_000, 1_000)))
    assert effects.correction(row(16, 4_000, 1_000)) > effects.correction(row(8, 1_000, 1_000)) + 0.3
    assert effects.correction(row(16, 4_000, 1_000, engine="sglang")) == 0


def test_no_error_no_correction() -> None:
    rows = [row(*load) for load in LOADS]
    effects = fit_effects(rows, np.zeros(len(rows)), "ttft")
    assert all(value == pytest.approx((0, 0, 0), abs=1e-12) for value in effects.of.values())
