"""The search: every sensible way to serve a model on given devices, under a promise on latency; cheapest first."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial

import msgspec

from farthing.problems import FarthingError
from farthing.serving import formats, models
from farthing.serving.deployment import ENGINES, Deployment
from farthing.serving.device import Device
from farthing.serving.estimate import Estimate, Load, estimate
from farthing.serving.shape import ModelShape

CONCURRENCIES = tuple(sorted({round(2 ** (k / 2)) for k in range(21)}))
"""Requests at once in one replica: 1 to 1,024, two steps an octave."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: lengths, and the slowest first token and token that will do, in milliseconds.

    `sure`: the slow end of the 80 % interval must meet the goal, not the estimate alone.
    """

    input: float
    output: float
    ttft_ms: float
    tpot_ms: float
    prefix_hit: float = 0.0
    sure: bool = False


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """`best`: of each deployment its cheapest point that meets the goal, cheapest first. `frontier`: points that no
    other beats in both dollars and speed, goal or not, fastest first. `tried`, `fitting`: deployments. `nearest`:
    where none meets the goal, the point that comes nearest."""

    best: tuple[Estimate, ...]
    frontier: tuple[Estimate, ...]
    tried: int
    fitting: int
    nearest: Estimate | None


def search(
    model: ModelShape, offers: Sequence[tuple[Device, Decimal]], goal: Goal, *, engines: Sequence[str] = ("vllm",),
    weights: Sequence[str] = (), kv: str = "bf16", max_gpus: int = 8, utilization: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Search:  # fmt: skip
    """Search `offers` (devices with their dollars an hour). `weights`: formats to try; none: all that a device has.

    Raises `FarthingError` for a goal that cannot be.
    """
    if not (goal.ttft_ms > 0 and goal.tpot_ms > 0):
        raise FarthingError(f"TTFT ≤ {goal.ttft_ms:g} ms and TPOT ≤ {goal.tpot_ms:g} ms: a goal is more than 0 ms")
    formats.kv_bytes(kv)
    for name in weights:
        formats.find(name)
    Load(input=goal.input, output=goal.output, prefix_hit=goal.prefix_hit).check()
    found: list[tuple[Deployment, Decimal]] = []
    tried = 0
    for device, rent in offers:
        for deployment in _deployments(model, device, engines, weights, kv, max_gpus):
            tried += 1
            if deployment.max_batch(goal.input + goal.output) >= 1:
                found.append((deployment, rent))
    best, speed = [], []
    for at, (deployment, rent) in enumerate(found):
        if progress:
            progress(at, len(found))
        points = _points(deployment, rent, goal, utilization)
        speed.extend(points)
        good = _cheapest(points, goal, partial(_point, deployment, rent, goal, utilization))
        if good is not None:
            best.append(good)
            speed.append(good)
    nearest = None if best or not speed else min(speed, key=lambda point: _distance(point, goal))
    best.sort(key=_dollars)
    return Search(best=tuple(best), frontier=tuple(_frontier(speed)), tried=tried, fitting=len(found), nearest=nearest)


def _deployments(
    model: ModelShape, device: Device, engines: Sequence[str], weights: Sequence[str], kv: str, max_gpus: int
) -> Iterator[Deployment]:
    experts = max((block.experts for block in model.feed_forward), default=0)
    chosen = weights or _formats(model, device)
    for engine in engines:
        if engine not in ENGINES:
            raise FarthingError(f"unknown engine {engine!r}; one of {', '.join(ENGINES)}")
        for name in chosen:
            tp = 1
            while tp <= min(max_gpus, max(device.link_devices, 1)):
                layouts = [(tp, 1, 1)]
                if experts and tp > 1:
                    layouts += [(tp, 1, tp), (1, tp, tp)]  # experts spread; attention copied as well
                for one, dp, ep in layouts:
                    deployment = Deployment(
                        model=model, device=device, engine=engine, weights=name, kv=kv, tp=one, dp=dp, ep=ep
                    )
                    try:
                        deployment.check()
                    except FarthingError:
                        continue
                    yield deployment
                tp *= 2


def _formats(model: ModelShape, device: Device) -> list[str]:
    """The formats to try: the checkpoint's own, whatever the device computes in, and those the device has."""
    has = [name for name in ("bf16", "fp8", "fp4") if formats.find(name).compute in device.flops]
    try:
        own = models.precision(model.id)
    except FarthingError:
        own = "bf16"
    return list(dict.fromkeys([own, *has]))


def _points(deployment: Deployment, rent: Decimal, goal: Goal, utilization: float) -> list[Estimate]:
    """Estimates at the concurrencies that fit, and at the most that does, each with its dollars."""
    most = deployment.max_batch(goal.input + goal.output)
    tried = [concurrency for concurrency in CONCURRENCIES if concurrency < most] + [most]
    return [_point(deployment, rent, goal, utilization, concurrency) for concurrency in tried]


def _point(deployment: Deployment, rent: Decimal, goal: Goal, utilization: float, concurrency: int) -> Estimate:
    load = Load(input=goal.input, output=goal.output, concurrency=concurrency, prefix_hit=goal.prefix_hit)
    return estimate(deployment, load, usd_per_gpu_hour=rent, utilization=utilization)


def _cheapest(points: Sequence[Estimate], goal: Goal, point: Callable[[int], Estimate]) -> Estimate | None:
    """The cheapest that meets the goal: of `points`, or between the last that does and the next, to a request.

    More at once are slower, so where the goal begins to be missed is found by halving.
    """
    good = [place for place, one in enumerate(points) if _meets(one, goal)]
    if not good:
        return None
    best = min((points[place] for place in good), key=_dollars)
    low, high = (round(one.batch) for one in (points[good[-1]], points[min(good[-1] + 1, len(points) - 1)]))
    while high - low > 1:
        middle = (low + high) // 2
        one = point(middle)
        if _meets(one, goal):
            low, best = middle, min(best, one, key=_dollars)
        else:
            high = middle
    return best


def _times(point: Estimate, sure: bool) -> tuple[float, float]:
    if point.ttft_ms is None or point.tpot_ms is None:
        return float("inf"), float("inf")
    return (point.ttft_ms.high, point.tpot_ms.high) if sure else (point.ttft_ms.value, point.tpot_ms.value)


def _meets(point: Estimate, goal: Goal) -> bool:
    ttft, tpot = _times(point, goal.sure)
    return ttft <= goal.ttft_ms and tpot <= goal.tpot_ms


def _distance(point: Estimate, goal: Goal) -> float:
    """By how much a point misses the goal: the larger of the two ratios."""
    ttft, tpot = _times(point, goal.sure)
    return max(ttft / goal.ttft_ms, tpot / goal.tpot_ms)


def _dollars(point: Estimate) -> float:
    return point.usd_per_mtok_blended.value if point.usd_per_mtok_blended else float("inf")


def _frontier(points: Sequence[Estimate]) -> Iterator[Estimate]:
    """The points that no other beats in both TPOT and dollars, fastest first."""
    cheapest = float("inf")
    for point in sorted(points, key=lambda one: (_times(one, False)[1], _dollars(one))):
        if _dollars(point) < cheapest:
            cheapest = _dollars(point)
            yield point
