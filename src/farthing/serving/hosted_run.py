"""A simulation of a deployment of one's own: its replicas, corrected as its estimate is, under given requests."""

import math
from collections.abc import Callable

import msgspec

from farthing.problems import FarthingError
from farthing.serving.calibration import Calibration
from farthing.serving.corrections import corrected
from farthing.serving.hosted import Hosted
from farthing.serving.replica import Replica
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import Run, Slo
from farthing.serving.simulator.simulate import simulate


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulation runs. `speed`: arrivals come so many times as fast as recorded. `closed_loop`: requests
    kept in flight, arrival times not used; None: open loop. `kv_tokens`: tokens of context that one replica holds, as
    the engine itself prints it; None: computed."""

    prefix_cache: bool = True
    router: str = "least"
    closed_loop: int | None = None
    speed: float = 1.0
    slo: Slo | None = None
    calibration: Calibration | None = None
    kv_tokens: int | None = None


def run(
    one: Hosted, requests: Requests, setting: Setting, progress: Callable[[int, int], None] | None = None
) -> tuple[Run, float]:
    """The run, and the factor on every step from the measured rows of the deployment's group (1: none).

    Raises `FarthingError` where the deployment does not fit, or no request is left.
    """
    deployment = one.deployment
    mean_input, mean_output = float(requests.prompt_tokens.mean()), max(float(requests.output_tokens.mean()), 1.0)
    if deployment.max_batch(mean_input + mean_output) < 1:
        from farthing.serving.estimate import Load, estimate

        raise FarthingError(f"it does not fit: {estimate(deployment, Load(input=mean_input, output=mean_output)).why}")
    if not 0 < setting.speed < math.inf:
        raise FarthingError(f"--speed {setting.speed:g}; more than 0")
    if setting.speed != 1.0:
        requests = msgspec.structs.replace(requests, arrival_s=requests.arrival_s / setting.speed)
    usual = (setting.closed_loop or one.concurrency or 32.0) / deployment.replicas
    if setting.calibration is None:
        scale = corrected(deployment, usual, mean_input, mean_output).tpot
        replica = Replica(deployment, scale=scale)
    else:
        applied = setting.calibration.apply(deployment)
        scale = applied.tpot_factor(usual, mean_input, mean_output)
        replica = Replica(applied.deployment, values=applied.values, scale=scale)
    if setting.kv_tokens is not None:
        replica.kv_tokens = setting.kv_tokens
    return (
        simulate(
            requests, [replica] * deployment.replicas, router=setting.router, prefix_cache=setting.prefix_cache,
            lookahead=deployment.engine != "trtllm", closed_loop=setting.closed_loop, slo=setting.slo,
            progress=progress,
        ),
        scale,
    )  # fmt: skip
