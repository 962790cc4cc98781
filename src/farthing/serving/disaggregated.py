"""Disaggregated serving: some replicas compute prompts, others decode; caches travel between them."""

import math

import msgspec

from farthing.problems import FarthingError
from farthing.serving.corrections import corrected
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import USUAL_CONCURRENCY, Estimate, Load, estimate
from farthing.serving.evidence import widened
from farthing.serving.replica import prepared


def estimate_split(deployment: Deployment, load: Load, prefill: int, decode: int, utilization: float = 1.0) -> Estimate:
    """What `prefill` + `decode` replicas of one layout do, each with its own work.

    A token is never held up by another request's prompt: TPOT is the step alone. TTFT is the prompt, the
    cache's way to the other machine (its bytes over the network of its devices), and one step. The prompts'
    machines cap the rate: beyond it requests queue there. Raises `FarthingError` for fewer than one of each.
    """
    if prefill < 1 or decode < 1:
        raise FarthingError(f"disaggregated {prefill}:{decode}; at least 1:1")
    whole = msgspec.structs.replace(deployment, replicas=prefill + decode)
    one = estimate(whole, load, utilization=utilization)
    if one.basis is None or one.watts is None:
        return one
    replica = prepared(deployment)
    most = deployment.max_batch(load.input + load.output)
    asked = load.concurrency or float(min(USUAL_CONCURRENCY, most) * decode)
    working = min(float(decode), asked)  # replicas with a request: one is not divided
    batch = min(asked / working, max(most, deployment.max_batch(load.input + load.output / 2)))
    known = corrected(deployment, asked / working, load.input, load.output).tpot
    _, _, prompt, step = (
        known * time for time in replica.point(load.input, load.output, batch, batch, load.prefix_hit)
    )
    decoding = step * (load.output - 1)
    travel = deployment.kv_bytes(load.input) / deployment.device.network_bytes_s
    ttft = replica.terms.front + prompt * deployment.pp + travel + step
    # Little's law on all requests and on those that decode, and the most that the prompts' machines take.
    slots = batch * working / decoding if decoding else math.inf
    rate = min(asked / (ttft + decoding), slots, prefill / prompt)
    ttft = max(ttft, asked / rate - decoding)
    basis = widened(one.basis, "disaggregated serving is not in the fit")
    requests = basis.around("throughput", rate)
    share = prefill / (prefill + decode)
    output = requests.times(load.output)
    computed = load.input * (1 - load.prefix_hit)
    return msgspec.structs.replace(
        one, batch=batch * working, max_batch=most * decode, ttft_ms=basis.around("ttft", ttft * 1e3),
        tpot_ms=basis.around("tpot", step * 1e3), requests_per_s=requests,
        input_tokens_per_s=requests.times(load.input),
        output_tokens_per_s=output, output_tokens_per_s_per_gpu=output.times(1 / whole.count), prompt_share=share,
        prefill_tokens_per_s=basis.around("throughput", computed / prompt * prefill),
        decode_tokens_per_s=basis.around("throughput", batch / step * decode),
        joules_per_output_token=one.watts.over(output), basis=basis,
    )  # fmt: skip
