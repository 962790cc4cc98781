"""The serving model: microseconds a scalar call, configurations a second in columns, and a whole search."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from benchmarks.common import seconds
from farthing.serving import devices, models
from farthing.serving.columns import points
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import Load, estimate
from farthing.serving.replica import Replica
from farthing.serving.search import Goal, search

CALLS, LOADS = 20_000, 1_000_000
ASKED_US, ASKED_PER_S = 10, 1_000_000
GROUPS = (
    ("llama-3.1-70b", "h100-sxm", {"tp": 4, "weights": "fp8"}),  # dense, its group measured
    ("deepseek-v3", "b200", {"tp": 8, "ep": 8, "weights": "fp4"}),  # latent attention, experts spread
    ("gemma-3-27b", "l40s", {"tp": 2}),  # windows, never measured
)


def main() -> None:
    random = np.random.default_rng(1)
    loads = [random.integers(low, high, LOADS).astype(float) for low, high in ((16, 16_000), (1, 4000), (1, 1024))]
    for model, device, layout in GROUPS:
        deployment = Deployment(model=models.find(model), device=devices.find(device), **layout)  # type: ignore[arg-type]
        replica, load = Replica(deployment), Load(input=2000, output=500, concurrency=32)
        print(deployment.name)
        _scalar("Replica.point", lambda at=replica: at.point(2000.0, 500.0, 32.0, 32.0))
        _scalar("Replica.step_s", lambda at=replica: at.step_s(512.0, 131_072.0, 32.0, 64_000.0))
        _scalar("estimate, with its intervals", lambda of=deployment, at=load: estimate(of, at))
        took = seconds(lambda of=deployment: points(of, *loads), 3)
        rate = LOADS / took
        print(f"  {'columns.points':32}{rate / 1e6:7.2f} M configurations/s = {rate / ASKED_PER_S:.1f} x asked")
    _search()


def _scalar(name: str, call: Callable[[], Any]) -> None:
    """Microseconds of one call: the median of several rounds of many."""
    took = seconds(lambda: [call() for _ in range(CALLS)], 3) / CALLS * 1e6
    print(f"  {name:32}{took:7.2f} µs a call = {ASKED_US / took:.1f} x as fast as asked")


def _search() -> None:
    goal = Goal(input=2000, output=500, ttft_ms=2000, tpot_ms=40)
    offers = [(devices.find(name), Decimal(3)) for name in ("h100-sxm", "h200", "b200")]
    found = search(models.find("deepseek-v3"), offers, goal, engines=("vllm", "sglang", "trtllm"))
    took = seconds(lambda: search(models.find("deepseek-v3"), offers, goal, engines=("vllm", "sglang", "trtllm")))
    print(f"a search over {found.tried} deployments, {len(found.best)} of which meet the goal: {took * 1e3:.0f} ms")
