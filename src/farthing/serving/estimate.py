"""The estimate: what a deployment does under a load, and what its tokens then cost. Every figure with its interval."""

import math
from decimal import Decimal

import msgspec

from farthing.problems import FarthingError
from farthing.serving import formats, hosts
from farthing.serving.calibration import Calibration
from farthing.serving.corrections import Corrected, corrected
from farthing.serving.deployment import Deployment
from farthing.serving.evidence import Basis, Ranged, basis
from farthing.serving.physics import pace_s
from farthing.serving.replica import Replica, prepared

USUAL_CONCURRENCY = 64
_SMALLER = ("fp8", "int4", "fp4")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A steady load: mean tokens in and out of a request, requests in flight (all replicas; None: a usual number).

    `prefix_hit`: the share of prompt tokens found in a prefix cache.
    """

    input: float
    output: float
    concurrency: float | None = None
    prefix_hit: float = 0.0

    def check(self) -> None:
        """Raise `FarthingError` for a load that cannot be."""
        if not (1 <= self.input < math.inf and 1 <= self.output < math.inf):
            raise FarthingError(
                f"a request of {self.input:g} tokens in and {self.output:g} out; both must be at least 1"
            )
        if not 0 <= self.prefix_hit < 1:
            raise FarthingError(f"prefix hit {self.prefix_hit:g}: a share from 0 to under 1 (0.6 for 60 %)")
        if self.concurrency is not None and not 1 <= self.concurrency < math.inf:
            raise FarthingError(f"concurrency {self.concurrency:g}; at least 1")


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment does. Times in milliseconds; watts of all its servers at the wall, PUE not included.

    `max_batch`: requests of the full length that fit in memory at once (all replicas); `batch`: those that run.
    `prompt_share`: the part of the machines' time that prompts take, by which dollars are divided between
    input and output tokens. `usd_per_mtok_input` is of the tokens computed (not found in a cache).
    Where `feasible` is false, `why` says what would work, and nothing else is stated.
    """

    deployment: Deployment
    load: Load
    feasible: bool
    why: str = ""
    max_batch: int = 0
    batch: float = 0.0
    weight_gb_per_gpu: float = 0.0
    kv_gb_per_gpu: float = 0.0
    ttft_ms: Ranged | None = None
    tpot_ms: Ranged | None = None
    requests_per_s: Ranged | None = None
    input_tokens_per_s: Ranged | None = None
    output_tokens_per_s: Ranged | None = None
    output_tokens_per_s_per_gpu: Ranged | None = None
    prompt_share: float = 0.0
    prefill_tokens_per_s: Ranged | None = None
    decode_tokens_per_s: Ranged | None = None
    watts: Ranged | None = None
    joules_per_output_token: Ranged | None = None
    usd_per_gpu_hour: Decimal | None = None
    utilization: float = 1.0
    usd_per_mtok_input: Ranged | None = None
    usd_per_mtok_output: Ranged | None = None
    usd_per_mtok_blended: Ranged | None = None
    basis: Basis | None = None


def estimate(
    deployment: Deployment, load: Load, *, usd_per_gpu_hour: Decimal | None = None, utilization: float = 1.0,
    values: dict[str, float] | None = None, calibration: Calibration | None = None,
) -> Estimate:  # fmt: skip
    """What `deployment` does under `load`, and the dollars per million tokens at `usd_per_gpu_hour`.

    `utilization`: the share of paid hours in which the load is there. `values`: coefficients of a calibration,
    which replace the fit's (and its corrections). `calibration`: measured points of this deployment, which come
    before the fit; the interval is theirs. A deployment that does not fit is an answer, not an error;
    raises `FarthingError` for a load that cannot be.
    """
    load.check()
    if not 0 < utilization <= 1:
        raise FarthingError(f"utilization {utilization:g}: a share over 0, up to 1")
    most = deployment.max_batch(load.input + load.output)
    if most < 1:
        return Estimate(deployment=deployment, load=load, feasible=False, why=_too_large(deployment, load))
    applied = None if calibration is None else calibration.apply(deployment)
    if applied is not None:
        replica = Replica(applied.deployment, values=applied.values)
    else:
        replica = prepared(deployment) if values is None else Replica(deployment, values=values)
    concurrency = load.concurrency or min(USUAL_CONCURRENCY, most) * deployment.replicas
    working = min(float(deployment.replicas), concurrency)  # replicas with a request: one is not divided
    asked = concurrency / working
    # The mean context is the prompt and half the answer; engines admit by what is there, not by what may come.
    batch = min(asked, max(most, deployment.max_batch(load.input + load.output / 2)))
    tpot, ttft, prompt, step = replica.point(load.input, load.output, asked, batch, load.prefix_hit)
    if applied is not None:
        known = applied.corrected(asked, load.input, load.output)
        founded = applied.basis(asked, load.input, load.output)
    else:
        known = corrected(deployment, asked, load.input, load.output) if values is None else Corrected()
        founded = basis(deployment, asked, load.input, load.output, known.rows)
    tpot, ttft = tpot * known.tpot, ttft * known.ttft
    pace = pace_s(
        replica.terms, prompt * known.tpot, step * known.tpot, tpot, ttft, asked, batch, load.output
    )  # fmt: skip
    ttft = max(ttft, asked * pace - tpot * (load.output - 1))  # what cannot run waits
    requests = founded.around("throughput", working / pace)
    busy = load.output * step / batch
    share = prompt / (prompt + busy)
    watts = hosts.wall_w(deployment.device, batch, deployment.count)
    wall = hosts.host(deployment.device)
    draw = Ranged(watts, watts * min(wall.low / wall.factor, 0.9), watts * max(wall.high / wall.factor, 1.1))
    output_rate = requests.times(load.output)
    computed = load.input * (1 - load.prefix_hit)
    filled = Estimate(
        deployment=deployment, load=load, feasible=True,
        max_batch=most * deployment.replicas, batch=batch * working,
        weight_gb_per_gpu=deployment.weight_bytes / 1e9, kv_gb_per_gpu=deployment.kv_room_bytes / 1e9,
        ttft_ms=founded.around("ttft", ttft * 1e3), tpot_ms=founded.around("tpot", tpot * 1e3),
        requests_per_s=requests, input_tokens_per_s=requests.times(load.input), output_tokens_per_s=output_rate,
        output_tokens_per_s_per_gpu=output_rate.times(1 / deployment.count), prompt_share=share,
        prefill_tokens_per_s=founded.around("throughput", computed / (prompt * known.tpot) * deployment.replicas),
        decode_tokens_per_s=founded.around("throughput", batch / (step * known.tpot) * deployment.replicas),
        watts=draw, joules_per_output_token=draw.over(output_rate), utilization=utilization, basis=founded,
    )  # fmt: skip
    return filled if usd_per_gpu_hour is None else priced(filled, usd_per_gpu_hour)


def priced(one: Estimate, usd_per_gpu_hour: Decimal) -> Estimate:
    """`one` with its dollars per million tokens, at `usd_per_gpu_hour` for each device and its utilization."""
    if one.requests_per_s is None:
        return one
    per_s = float(usd_per_gpu_hour) * one.deployment.count / 3600 / one.utilization
    per_request = one.requests_per_s.under(per_s * 1e6)
    load = one.load
    return msgspec.structs.replace(
        one,
        usd_per_gpu_hour=usd_per_gpu_hour,
        usd_per_mtok_input=per_request.times(one.prompt_share / (load.input * (1 - load.prefix_hit))),
        usd_per_mtok_output=per_request.times((1 - one.prompt_share) / load.output),
        usd_per_mtok_blended=per_request.times(1 / (load.input + load.output)),
    )


def _too_large(deployment: Deployment, load: Load) -> str:
    """Why a deployment does not fit, and what would."""
    weights, memory = deployment.weight_bytes / 1e9, deployment.device.memory_bytes / 1e9
    usable = memory * formats.memory().utilisation - deployment.reserve_bytes / 1e9
    tokens = load.input + load.output
    cache = deployment.kv_bytes(tokens) / 1e9
    what = f"{weights:,.1f} GB of weights and {cache:,.2f} GB for one request of {tokens:,.0f} tokens"
    text = f"{what} on each device; {usable:,.1f} of {memory:,.1f} GB are usable on {deployment.device.title}"
    fits: list[str] = []
    for key, values in (("tp", (2, 4, 8, 16, 32, 64)), ("pp", (2, 4, 8)), ("kv", ("fp8",)), ("weights", _SMALLER)):
        if key == "pp" and fits:
            continue  # stages answer no faster than one, so they are the second choice
        found = next((value for value in values if _fits(deployment, tokens, key, value)), None)
        if found is not None:
            more = deployment.count // getattr(deployment, key) * found if isinstance(found, int) else 0
            layout = f"--tp {deployment.tp} --pp {found}" if key == "pp" else f"--{key} {found}"
            fits.append(layout + (f" ({more} devices)" if more else ""))
    return text + ("; " + " or ".join(fits) + " would fit" if fits else "; a larger device is needed")


def _fits(deployment: Deployment, tokens: float, key: str, value: int | str) -> bool:
    """Whether one request of `tokens` tokens fits with a larger `tp` or `pp`, or a smaller `kv` or `weights`."""
    changes: dict[str, int | str] = {key: value}
    if isinstance(value, int):
        if value <= getattr(deployment, key) or (
            key == "tp" and value * deployment.dp > deployment.device.link_devices
        ):
            return False
        changes |= {"ep": value * deployment.dp if deployment.ep > 1 and key == "tp" else deployment.ep}
    elif key == "weights" and formats.find(value).expert_bytes >= formats.find(deployment.weights).expert_bytes:
        return False
    other = msgspec.structs.replace(deployment, **changes)
    return _divides(other) and other.max_batch(tokens) > 0


def _divides(deployment: Deployment) -> bool:
    try:
        deployment.check()
    except FarthingError:
        return False
    return True
