"""The packaged serving model, simulated, against two recorded vLLM 0.19 runs (`../shared/serving/runs`).

The fit has never seen these devices (an RTX 4090, two RTX PRO 6000) nor these runs. The overlap: the two
coefficients of cards without NVLink have as priors the link that one run's configuration states.
"""

import numpy as np
import pytest

from farthing.serving import devices, models
from farthing.serving.deployment import Deployment
from farthing.serving.replica import Replica
from farthing.serving.simulator import simulate
from farthing.serving.simulator.calibrate import calibrate_steps, errors
from tests.serving.simulator.test_recorded import ENGINE, RUNS, recorded

pytestmark = pytest.mark.skipif(not RUNS.is_dir(), reason="../shared/serving/runs is not there")

RUN = {  # engine_kwargs of each run's meta.json
    "rtx4090-llama31-8b": ("meta-llama/Llama-3.1-8B", "rtx-4090", 1, 256),
    "rtxpro6000x2-qwen3-32b": ("Qwen/Qwen3-32B", "RTXPRO6000", 2, 128),
}

BLOCKS = {"rtx4090-llama31-8b": 2588}  # num_gpu_blocks of its meta.json; the other run does not say, and is not full


def replica(name: str) -> Replica:
    model, device, tp, sequences = RUN[name]
    return Replica(
        Deployment(model=models.find(model), device=devices.find(device), tp=tp, chunk=2048, max_sequences=sequences)
    )


@pytest.mark.parametrize("name", RUN)
def test_uncalibrated_end_to_end_is_within_15_percent(name: str) -> None:
    run = recorded(name)
    off = errors(simulate(run.requests, [replica(name)], **ENGINE), run)
    assert off.requests == 300
    assert off.end_to_end_median < 0.15
    assert off.tpot_median < 0.15


def test_the_memory_for_contexts_is_about_what_the_engine_found() -> None:
    # meta.json: 2,588 blocks of 16 tokens on the RTX 4090. (The PRO 6000 run does not say.)
    assert replica("rtx4090-llama31-8b").kv_tokens == pytest.approx(2588 * 16, rel=0.1)


@pytest.mark.parametrize("name", RUN)
@pytest.mark.parametrize("part", ["first half", "every other"])
def test_calibrated_on_a_half_the_other_half_is_within_3_percent(name: str, part: str) -> None:
    run = recorded(name)
    number = np.arange(len(run.requests))
    chosen = number < len(number) // 2 if part == "first half" else number % 2 == 0
    model = replica(name)
    if name in BLOCKS:
        model.kv_tokens = (BLOCKS[name] - 1) * 16  # the engine prints it; one block is its own
    found = calibrate_steps(model, run, fit_on=chosen, **ENGINE)
    assert found.before.end_to_end_median > 0.03
    assert found.fitted.end_to_end_median < 0.03
    assert found.held_out.end_to_end_median < 0.03
