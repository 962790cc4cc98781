"""Prompts on one pool of replicas, answers on another, and the keys and values sent between them.

Requests only ever go forward (prefill, transfer, decode), so the two pools are simulated one after the
other. The prefill pool makes the first token. The decode pool gets the prompt's keys and values, holds
blocks for all of them, and computes only what follows; after a preemption it computes the prompt itself.
Left out: a prefill replica frees its blocks at once, not when the transfer is over; transfers do not
slow each other down; an operator's back-pressure from the decode pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from farthing.problems import FarthingError
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import ReplicaUse, Run, Slo
from farthing.serving.simulator.simulate import simulate
from farthing.serving.steps import StepModel


def simulate_disaggregated(
    requests: Requests,
    prefill: Sequence[StepModel],
    decode: Sequence[StepModel],
    *,
    transfer_s: float = 0.0,
    transfer_s_per_token: float = 0.0,
    router: str = "least",
    block_size: int = 16,
    prefix_cache: bool = False,
    lookahead: bool = False,
    slo: Slo | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """What becomes of `requests` on a `prefill` pool and a `decode` pool; both use `router`.

    A request reaches the decode pool `transfer_s` + prompt tokens × `transfer_s_per_token` seconds (KV bytes a
    token / the link's bytes a second) after its first token. The prefix cache is the prefill pool's. `Run.replica`
    is where a request decoded (prefill replicas come first in `replicas`; answers of one token end there).
    Arrivals are open: a closed loop would need both pools at once. Raises `FarthingError` as `simulate` does.
    """
    import numpy as np

    if transfer_s < 0 or transfer_s_per_token < 0:
        raise FarthingError("a transfer of keys and values cannot take less than no time")
    count = len(requests)

    def half(offset: int) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, of: progress(offset + done, 2 * count)

    prompts = msgspec.structs.replace(requests, output_tokens=np.minimum(requests.output_tokens, 1))
    first = simulate(
        prompts, prefill, router=router, block_size=block_size, prefix_cache=prefix_cache, lookahead=lookahead,
        progress=half(0),
    )  # fmt: skip
    longer = np.flatnonzero((requests.output_tokens > 1) & np.isfinite(first.first_s))
    sent = first.first_s[longer] + transfer_s + transfer_s_per_token * requests.prompt_tokens[longer]
    order = np.argsort(sent, kind="stable")
    longer, sent = longer[order], sent[order]
    # To the decode pool, the first token is one more of the prompt: the only one whose keys are not there.
    answers = Requests.of(
        sent,
        requests.prompt_tokens[longer] + 1,
        requests.output_tokens[longer] - 1,
        priority=None if requests.priority is None else requests.priority[longer],
        cached_tokens=requests.prompt_tokens[longer],
    )
    second = simulate(answers, decode, router=router, block_size=block_size, lookahead=lookahead, progress=half(count))
    finish, replica, preemptions = first.finish_s.copy(), first.replica.copy(), first.preemptions.copy()
    finish[requests.output_tokens > 1] = np.nan
    finish[longer] = second.finish_s
    replica[longer] = second.replica + len(prefill)
    preemptions[longer] += second.preemptions
    run = msgspec.structs.replace(
        first, finish_s=finish, replica=replica, preemptions=preemptions, output_tokens=requests.output_tokens, slo=slo
    )
    uses = [
        _over(use, part.duration_s, run.duration_s, model)
        for part, pool in ((first, prefill), (second, decode))
        for use, model in zip(part.replicas, pool, strict=True)
    ]
    return msgspec.structs.replace(run, replicas=tuple(uses))


def _over(use: ReplicaUse, own_s: float, whole_s: float, model: StepModel) -> ReplicaUse:
    """`use` of a pool's own span, told of the whole run's: idle for the rest."""
    if whole_s <= 0:
        return use
    return msgspec.structs.replace(
        use,
        busy_share=use.busy_share * own_s / whole_s,
        kv_share=use.kv_share * own_s / whole_s,
        energy_j=use.energy_j + model.watts(0, 0) * max(0.0, whole_s - own_s),
    )
