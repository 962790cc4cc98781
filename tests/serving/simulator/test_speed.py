"""The stated speed and size, with room for a busy machine (see benchmarks/simulator.py for figures)."""

import subprocess
import sys
import time

import pytest

from farthing.serving.simulator import Requests, simulate
from tests.serving.simulator.models import Affine

MODEL = Affine(
    constant_s=0.008, token_s=2e-5, pair_s=1e-9, sequence_s=1e-5, context_s=5e-8, kv_tokens=400_000, max_sequences=256
)

MILLION = """
import resource
from farthing.serving.simulator import Requests, simulate
from tests.serving.simulator.test_speed import MODEL
requests = Requests.synthetic(1_000_000, rate_per_s=33, prompt_tokens=500, output_tokens=200, variation=1.0)
summary = simulate(requests, [MODEL]).summary()
print(summary.requests, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"prefix_cache": True, "lookahead": True}, {"closed_loop": 100}])
def test_15_000_requests_per_second_of_cpu(settings):
    requests = Requests.synthetic(60_000, rate_per_s=33, prompt_tokens=500, output_tokens=200, variation=1.0)
    began = time.process_time()
    run = simulate(requests, [MODEL], **settings)
    took = time.process_time() - began
    assert run.summary().requests == 60_000
    assert 60_000 / took > 15_000


@pytest.mark.slow
def test_a_million_requests_within_2_gib():
    result = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    requests, kib = map(int, result.stdout.split())
    assert requests == 1_000_000
    assert kib < 2 * 2**20
