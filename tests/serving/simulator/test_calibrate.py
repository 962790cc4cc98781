import numpy as np
import pytest

from farthing.problems import FarthingError
from farthing.serving.simulator import Requests, simulate
from farthing.serving.simulator.calibrate import PARTS, Recorded, ScaledSteps, calibrate_steps, errors
from tests.serving.simulator.models import Affine

MODEL = Affine(
    constant_s=0.01, token_s=4e-5, pair_s=1e-8, sequence_s=2e-4, context_s=3e-7, max_sequences=64, kv_tokens=30_000
)
REQUESTS = Requests.synthetic(300, rate_per_s=6, prompt_tokens=800, output_tokens=120, variation=0.8, seed=9)


def test_scaled_steps_scale_what_they_say():
    """2 x (0.01 + 4e-5 x 3 x 100 + 1e-8 x 5 x 4950 + 2e-4 x 7 x 8 + 3e-7 x 11 x 9000) by hand."""
    scaled = ScaledSteps(MODEL, scale=2, prompt=3, pairs=5, sequences=7, context=11)
    expected = 2 * (0.01 + 0.012 + 0.0002475 + 0.0112 + 0.0297)
    assert scaled.step_s(100, 4950, 8, 9000) == pytest.approx(expected)
    assert (scaled.kv_tokens, scaled.max_sequences, scaled.token_budget, scaled.gpus) == (30_000, 64, 2048, 1)
    assert scaled.watts(1, 0) == 300
    assert ScaledSteps(MODEL).step_s(1, 2, 3, 4) == MODEL.step_s(1, 2, 3, 4)


def test_factors_that_made_a_run_are_found_again():
    truth = ScaledSteps(MODEL, scale=1.3, prompt=0.7, context=2.0)
    made = simulate(REQUESTS, [truth])
    run = Recorded.of(REQUESTS, made.ttft_s, made.end_to_end_s)
    chosen = np.arange(300) < 150
    found = calibrate_steps(MODEL, run, fit_on=chosen)
    assert found.before.end_to_end_median > 0.2
    assert found.fitted.requests == found.held_out.requests == 150
    assert found.held_out.end_to_end_median < 0.02
    assert found.held_out.ttft_median < 0.05
    # Steps such as the run had; of what it never did (two sequences alone) it says little.
    for tokens, pairs, sequences, context in ((2000, 2e6, 10, 5000), (0, 0, 30, 20_000), (0, 0, 20, 15_000)):
        assert found.steps.step_s(tokens, pairs, sequences, context) == pytest.approx(
            truth.step_s(tokens, pairs, sequences, context), rel=0.06
        )


def test_a_perfect_model_is_left_as_it_is():
    made = simulate(REQUESTS, [MODEL])
    found = calibrate_steps(MODEL, Recorded.of(REQUESTS, made.ttft_s, made.end_to_end_s))
    assert found.held_out is None
    assert found.before.end_to_end_p90 == 0
    assert list(found.steps.factors.values()) == pytest.approx([1.0] * len(PARTS), abs=1e-3)


def test_errors_by_hand():
    """One request of 3 tokens in 1 + 2 steps of 1 s; recorded 0.8 s and 4 s: off by 25 %, 25 %, and 1 to 1.6."""
    requests = Requests.of([0], [5], [3])
    run = simulate(requests, [Affine()])
    off = errors(run, Recorded.of(requests, [0.8], [4.0]))
    assert off.ttft_median == pytest.approx(0.25)
    assert off.end_to_end_median == pytest.approx(0.25)
    assert off.tpot_median == pytest.approx(0.375)


def test_bad_input_is_said():
    with pytest.raises(FarthingError, match="give one of each"):
        Recorded.of(REQUESTS, [1.0], [2.0])
    with pytest.raises(FarthingError, match="last token came before"):
        Recorded.of(Requests.of([0], [1], [2]), [2.0], [1.0])
    made = simulate(REQUESTS, [MODEL])
    run = Recorded.of(REQUESTS, made.ttft_s, made.end_to_end_s)
    with pytest.raises(FarthingError, match="5 of 300 requests to fit on"):
        calibrate_steps(MODEL, run, fit_on=np.arange(300) < 5)
    with pytest.raises(FarthingError, match="do not fit into 800 tokens"):
        calibrate_steps(Affine(kv_tokens=800), run)
    with pytest.raises(FarthingError, match="not calibrated again"):
        calibrate_steps(ScaledSteps(MODEL), run)
