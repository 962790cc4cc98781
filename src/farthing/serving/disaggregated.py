"""Disaggregated serving: some replicas compute prompts, others decode; caches travel between them."""

import msgspec

from farthing.problems import FarthingError
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
    asked = load.concurrency or min(USUAL_CONCURRENCY, most) * decode
    batch = min(asked / decode, deployment.max_batch(load.input + load.output / 2) or most)
    _, _, prompt, step = replica.point(load.input, load.output, batch, batch, load.prefix_hit)
    travel = deployment.kv_bytes(load.input) / deployment.device.network_bytes_s
    front = replica.terms.front
    ttft = front + prompt + travel + step
    rate = min(batch * decode / (ttft + step * (load.output - 1)), prefill / prompt)
    ttft = max(ttft, asked / rate - step * (load.output - 1)) if rate >= prefill / prompt else ttft
    basis = widened(one.basis, "disaggregated serving is not in the fit")
    requests = basis.around("throughput", rate)
    share = prefill / (prefill + decode)
    output = requests.times(load.output)
    return msgspec.structs.replace(
        one, batch=batch * decode, max_batch=most * decode, ttft_ms=basis.around("ttft", ttft * 1e3),
        tpot_ms=basis.around("tpot", step * 1e3), requests_per_s=requests,
        input_tokens_per_s=requests.times(load.input),
        output_tokens_per_s=output, output_tokens_per_s_per_gpu=output.times(1 / whole.count), prompt_share=share,
        joules_per_output_token=one.watts.over(output), basis=basis,
    )  # fmt: skip
