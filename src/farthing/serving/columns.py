"""The estimate in columns: one deployment under many loads at once, by the very formulas of the scalar one."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from farthing.serving.corrections import effects_of
from farthing.serving.deployment import Deployment
from farthing.serving.physics import pace_s
from farthing.serving.replica import Replica

Floats = NDArray[np.float64]


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """One value a load. `feasible`: whether one request fits; where not, the rest are NaN.

    `max_batch`: requests of the full length that fit; `prompt_share`: the part of the time that prompts take.
    """

    feasible: NDArray[np.bool_]
    max_batch: Floats
    batch: Floats
    ttft_ms: Floats
    tpot_ms: Floats
    output_tokens_per_s: Floats
    prompt_share: Floats


def points(deployment: Deployment, input: Any, output: Any, concurrency: Any, prefix_hit: Any = 0.0) -> Points:
    """What `deployment` does under loads given as arrays (or single values), corrections of its group included.

    `concurrency` is of all replicas together, as in `Load`. Equal to `estimate`'s values, which a test holds it to.
    """
    given = [np.asarray(one, np.float64) for one in (input, output, concurrency, prefix_hit)]
    into, out, asked, hit = np.broadcast_arrays(*given)
    working = np.minimum(float(deployment.replicas), asked)
    asked = asked / working
    full = _fitting(deployment, into + out)
    room = np.maximum(full, _fitting(deployment, into + out / 2))
    feasible = full >= 1
    batch = np.where(feasible, np.minimum(asked, np.maximum(room, 1.0)), np.nan)
    replica = Replica(deployment)
    tpot, ttft, prompt, step = replica.point(into, out, asked, batch, hit, np.maximum, np.minimum)
    (a0, a1, a2), (b0, b1, b2), (low, high) = effects_of(deployment)
    x = np.log2(np.clip(asked, max(low[0], 1.0), high[0])) / 3.0 - 1.3
    y = np.log2(np.clip(into / out, low[1], high[1])) / 3.0
    level = np.exp(a0 + a1 * x + a2 * y)
    tpot = tpot * level
    ttft = ttft * np.exp(b0 + b1 * x + b2 * y)
    pace = pace_s(replica.terms, prompt * level, step * level, tpot, ttft, asked, batch, out, np.maximum)
    ttft = np.maximum(ttft, asked * pace - tpot * (out - 1))
    rate = working / pace
    return Points(
        feasible=feasible, max_batch=full * deployment.replicas, batch=batch * working,
        ttft_ms=ttft * 1e3, tpot_ms=tpot * 1e3, output_tokens_per_s=rate * out,
        prompt_share=prompt / (prompt + out * step / batch),
    )  # fmt: skip


def _fitting(deployment: Deployment, tokens: Floats) -> Floats:
    """`Deployment.max_batch` of every length."""
    room = deployment.kv_room_bytes
    if room <= 0:
        return np.zeros(tokens.shape)
    each = np.maximum(deployment.kv_bytes(tokens, np.minimum), 1.0)
    fitting: Floats = np.minimum(np.floor(room / each) * deployment.dp, deployment.max_sequences)
    return fitting
