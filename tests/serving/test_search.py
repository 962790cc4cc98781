"""The search: what it calls cheapest against every point there is, its frontier, what it says where none will do."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from farthing.problems import FarthingError
from farthing.serving import devices, models
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import Estimate, Load, estimate
from farthing.serving.search import Goal, Search, search

RENT = Decimal("3.79")
GOAL = Goal(input=1024, output=512, ttft_ms=1000, tpot_ms=25)


def found(model: str, *names: str, goal: Goal = GOAL, **more: object) -> Search:
    offers = [(devices.find(name), RENT) for name in names]
    return search(models.find(model), offers, goal, **more)  # type: ignore[arg-type]


def dollars(point: Estimate) -> float:
    assert point.usd_per_mtok_blended is not None
    return point.usd_per_mtok_blended.value


def times(point: Estimate) -> tuple[float, float]:
    assert point.ttft_ms is not None and point.tpot_ms is not None
    return point.ttft_ms.value, point.tpot_ms.value


def meets(point: Estimate, goal: Goal) -> bool:
    ttft, tpot = times(point)
    return ttft <= goal.ttft_ms and tpot <= goal.tpot_ms


def every_point(model: str, device: str, goal: Goal, layouts: list[dict[str, int]]) -> Iterator[Estimate]:
    """Every number of requests at once, in every layout and format: not a search."""
    for weights in ("bf16", "fp8"):
        for layout in layouts:
            one = Deployment(model=models.find(model), device=devices.find(device), weights=weights, **layout)  # type: ignore[arg-type]
            for concurrency in range(1, one.max_batch(goal.input + goal.output) + 1):
                load = Load(input=goal.input, output=goal.output, concurrency=concurrency)
                yield estimate(one, load, usd_per_gpu_hour=RENT)


@pytest.mark.parametrize(
    ("model", "device", "layouts"),
    [
        ("llama-3.1-8b", "h100-sxm", [{"tp": n} for n in (1, 2, 4, 8)]),
        ("llama-3.1-70b", "h200", [{"tp": n} for n in (1, 2, 4, 8)]),
        ("qwen3-30b-a3b", "h100-sxm", [{"tp": 1}, *({"tp": n, "ep": e} for n in (2, 4) for e in (1, n)),
                                       *({"dp": n, "ep": n} for n in (2, 4))]),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("ttft_ms", "tpot_ms"), [(1000.0, 25.0), (300.0, 15.0)])
def test_the_cheapest_is_the_cheapest_of_all_there_are(
    model: str, device: str, layouts: list[dict[str, int]], ttft_ms: float, tpot_ms: float
) -> None:
    goal = Goal(input=1024, output=512, ttft_ms=ttft_ms, tpot_ms=tpot_ms)
    good = [point for point in every_point(model, device, goal, layouts) if meets(point, goal)]
    made = found(model, device, goal=goal, max_gpus=max(max(layout.values()) for layout in layouts))
    assert bool(made.best) == bool(good)
    if good:
        cheapest = min(good, key=dollars)
        assert dollars(made.best[0]) == pytest.approx(dollars(cheapest), rel=1e-12)
        assert made.best[0].deployment == cheapest.deployment


def test_every_best_meets_the_goal_and_the_cheaper_comes_first() -> None:
    made = found("llama-3.1-70b", "h100-sxm", "h200", "b200")
    assert made.best and made.nearest is None
    assert all(meets(point, GOAL) for point in made.best)
    assert [dollars(point) for point in made.best] == sorted(dollars(point) for point in made.best)
    names = [point.deployment.name for point in made.best]
    assert len(set(names)) == len(names)  # one point of each deployment
    assert len(made.best) <= made.fitting <= made.tried


def test_one_more_request_would_miss_the_goal_or_the_memory() -> None:
    for point in found("llama-3.1-70b", "h200").best:
        load = Load(input=GOAL.input, output=GOAL.output, concurrency=round(point.batch) + 1)
        assert round(point.batch) == point.max_batch or not meets(estimate(point.deployment, load), GOAL)


def test_a_sure_search_promises_the_slow_end() -> None:
    goal = Goal(input=1024, output=512, ttft_ms=1000, tpot_ms=25, sure=True)
    plain, sure = found("llama-3.1-70b", "h200"), found("llama-3.1-70b", "h200", goal=goal)
    for point in sure.best:
        assert point.ttft_ms is not None and point.tpot_ms is not None
        assert point.ttft_ms.high <= 1000 and point.tpot_ms.high <= 25
    assert dollars(sure.best[0]) > dollars(plain.best[0])  # a firmer promise costs more


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gpt-oss-120b"])
def test_no_point_of_the_frontier_is_beaten(model: str) -> None:
    made = found(model, "h100-sxm", "h200")
    speeds = [times(point)[1] for point in made.frontier]
    costs = [dollars(point) for point in made.frontier]
    assert speeds == sorted(speeds) and len(speeds) > 5
    assert costs == sorted(costs, reverse=True) and len(set(costs)) == len(costs)
    for point in made.best:  # each is as slow or as dear as some point of the frontier
        assert any(times(one)[1] <= times(point)[1] and dollars(one) <= dollars(point) for one in made.frontier)
    assert dollars(made.best[0]) >= costs[-1]


def test_a_looser_goal_is_never_dearer() -> None:
    last = float("inf")
    for slack in (0.5, 1, 2, 8):
        goal = Goal(input=1024, output=512, ttft_ms=400 * slack, tpot_ms=12 * slack)
        made = found("llama-3.1-70b", "h200", goal=goal)
        cost = dollars(made.best[0]) if made.best else float("inf")
        assert cost <= last
        last = cost
    assert last < float("inf")


def test_where_none_meets_the_nearest_is_said() -> None:
    goal = Goal(input=1024, output=512, ttft_ms=5, tpot_ms=0.5)
    made = found("llama-3.1-8b", "h100-sxm", goal=goal)
    assert made.best == () and made.nearest is not None and made.frontier

    def missed(point: Estimate) -> float:
        ttft, tpot = times(point)
        return max(ttft / goal.ttft_ms, tpot / goal.tpot_ms)

    assert missed(made.nearest) > 1
    assert missed(made.nearest) <= min(missed(point) for point in made.frontier)


def test_where_nothing_fits_there_is_nothing() -> None:
    made = found("llama-3.1-405b", "rtx-4090")
    assert (made.best, made.frontier, made.nearest, made.fitting) == ((), (), None, 0)
    assert made.tried > 0


def test_the_dearer_device_loses_unless_it_is_faster() -> None:
    cheap, dear = (devices.find("h100-sxm"), Decimal(1)), (devices.find("h100-sxm"), Decimal(2))
    made = search(models.find("llama-3.1-8b"), [dear, cheap], GOAL)
    assert made.best[0].usd_per_gpu_hour == 1
    assert all(point.usd_per_gpu_hour == 1 for point in made.frontier)


def test_what_is_tried_is_what_was_asked() -> None:
    made = found("llama-3.1-8b", "h100-sxm", weights=["int4"], engines=["sglang", "trtllm"], kv="fp8", max_gpus=2)
    tried = {(one.deployment.engine, one.deployment.weights, one.deployment.kv, one.deployment.gpus)
             for one in made.best}  # fmt: skip
    assert tried == {(engine, "int4", "fp8", gpus) for engine in ("sglang", "trtllm") for gpus in (1, 2)}
    assert made.tried == 4
    assert found("llama-3.1-8b", "a100-80gb-sxm", max_gpus=1).tried == 1  # no fp8, no fp4: bf16 alone
    assert {one.deployment.ep for one in found("qwen3-30b-a3b", "h100-sxm", max_gpus=4).best} == {1, 2, 4}


def test_a_device_without_links_is_tried_alone() -> None:
    cpu = next(one for one in devices.everything() if one.form == "cpu" and one.link_devices == 1)
    goal = Goal(input=256, output=64, ttft_ms=1e5, tpot_ms=1e3)
    made = search(models.find("llama-3.1-8b"), [(cpu, Decimal(2))], goal, weights=["bf16"])
    assert made.tried == 1 and [point.deployment.gpus for point in made.best] == [1]


def test_half_the_hours_in_use_cost_twice() -> None:
    whole, half = found("llama-3.1-8b", "h100-sxm"), found("llama-3.1-8b", "h100-sxm", utilization=0.5)
    assert dollars(half.best[0]) == pytest.approx(2 * dollars(whole.best[0]))


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    made = found("llama-3.1-8b", "h100-sxm", progress=lambda done, of: told.append((done, of)))
    assert told == [(at, made.fitting) for at in range(made.fitting)]


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ({"ttft_ms": 0.0}, {}, "a goal is more than 0 ms"),
        ({"tpot_ms": -1.0}, {}, "a goal is more than 0 ms"),
        ({"tpot_ms": float("nan")}, {}, "a goal is more than 0 ms"),
        ({"input": 0.0}, {}, "must be at least 1"),
        ({"output": float("inf")}, {}, "must be at least 1"),
        ({"prefix_hit": 1.0}, {}, "a share from 0 to under 1"),
        ({}, {"engines": ["ollama"]}, "one of vllm, sglang, trtllm"),
        ({}, {"weights": ["q4"]}, "unknown format of weights 'q4'"),
        ({}, {"kv": "q4"}, "unknown format of the KV cache 'q4'"),
        ({}, {"utilization": 0.0}, "utilization 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(change: dict[str, float], more: dict[str, object], said: str) -> None:
    goal = Goal(**{"input": 1024, "output": 512, "ttft_ms": 1000, "tpot_ms": 25, **change})  # type: ignore[arg-type]
    with pytest.raises(FarthingError, match=said):
        found("llama-3.1-8b", "h100-sxm", goal=goal, **more)
