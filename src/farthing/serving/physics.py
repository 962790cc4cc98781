"""The serving model's formulas: figures and efficiencies to seconds. Pure; they work on floats and on arrays alike.

A step takes as long as the larger of moving and computing, block by block, plus communication and overhead
(the roofline: Williams, Waterman and Patterson 2009). Three things carry most of the error where they are
left out: a batch of T tokens touches E (1 - (1 - k/E)^T) distinct experts, whose weights are all read;
prompts of other requests are computed between the tokens of this one; and every layer has a fixed cost.
`largest` and `least` are `max` and `min` for floats, `numpy.maximum` and `numpy.minimum` for arrays.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from farthing.serving.figures import Figures, Number

Pick = Callable[[Any, Any], Any]


class Terms(msgspec.Struct, kw_only=True):
    """The seconds of which steps are made. `*_read`: once a step; `*_token`: per token of it; per replica.

    `_decode` and `_prompt` tokens compute at different efficiencies. `kv_*`: per token of context read.
    `pair`: per (prompt token, attended token). `interference`: the share of other requests' prompts that
    is felt between two tokens. `speed`: how much newer engines gained; `drafted`: time per token where tokens
    were drafted by the model's own heads (as seen in the fit). The last block is of the first token.
    """

    dense_read: Number
    dense_decode: Number
    dense_prompt: Number
    head_read: Number
    head_decode: Number
    expert_read: Number
    expert_decode: Number
    expert_prompt: Number
    experts: Number
    untouched: Number
    imbalance: Number
    kv_read: Number
    kv_window: Number
    kv_flop: Number
    state: Number
    window: Number
    pair: Number
    window_pair: Number
    comm_step: Number
    comm_token: Number
    overhead: Number
    rank_token: Number
    ranks: Number
    pp: Number
    speed: Number
    drafted: Number
    interference: Number
    front: Number
    front_power: Number
    own_prompt: Number
    first_step: Number
    queue: Number
    capacity_wait: Number


def terms(f: Figures, c: Any, largest: Pick = max, least: Pick = min) -> Terms:
    """The terms of a deployment with figures `f` under the chosen coefficients `c` (see `coefficients.Chosen`)."""
    dense_bw = f.bandwidth * c.dense_bandwidth
    shard = f.expert_bytes / largest(f.moe_layers, 1.0) / (f.gpus + f.spread * (1.0 - f.gpus))
    expert_bw = f.bandwidth * c.expert_bandwidth * (largest(shard, 1.0) / 5e6) ** c.expert_size
    prompt = c.prompt_compute * (f.hidden / 5000.0) ** c.hidden_compute
    attention = f.bf16_flops * c.attention_compute
    hops = _log2(f.tp)
    wire = f.link * c.link_bandwidth
    several = 1.0 - 1.0 / f.tp  # 0 on one device
    ring = 2.0 * several * f.hidden * 2.0 / largest(wire, 1.0)
    rank_hops = _log2(f.gpus) * least(f.ranks - 1.0, 1.0)
    exchange = f.moe_layers * 2.0 * f.per_token * f.hidden * 1.5 / (f.gpus * largest(wire, 1.0))
    exchange = exchange * least(f.ranks - 1.0, 1.0)
    wide = (f.hidden / 5000.0) ** c.hidden_overhead
    layers = (f.layers * c.layer_s + f.moe_layers * c.moe_layer_s) * wide
    layers = layers + f.latent_layers * c.latent_layer_s + f.linear_layers * c.linear_layer_s
    layers = layers + f.sparse_layers * c.sparse_layer_s
    eager = c.front_s + f.layers * c.eager_layer_s + f.moe_layers * c.eager_moe_layer_s
    eager = eager + f.latent_layers * c.eager_latent_layer_s
    return Terms(
        dense_read=f.dense_bytes / (f.tp * dense_bw),
        dense_decode=2.0 * f.dense_weights / (f.tp * f.dense_flops * c.decode_compute),
        dense_prompt=2.0 * f.dense_weights / (f.gpus * f.dense_flops * prompt),
        head_read=f.head_bytes / (f.tp * dense_bw),
        head_decode=2.0 * f.head_weights / (f.tp * f.bf16_flops * c.decode_compute),
        expert_read=f.expert_bytes / (f.gpus * expert_bw),
        expert_decode=2.0 * f.expert_weights * f.per_token / (f.gpus * f.expert_flops * c.expert_compute),
        expert_prompt=2.0 * f.expert_weights * f.per_token / (f.gpus * f.expert_flops * prompt * c.expert_prompt),
        experts=f.experts,
        untouched=1.0 - f.per_token / f.experts,
        imbalance=1.0 + f.spread * (c.imbalance - 1.0),
        kv_read=f.kv_bytes / (f.kv_split * f.bandwidth * c.kv_bandwidth * f.ranks),
        kv_window=f.kv_window_bytes / (f.kv_split * f.bandwidth * c.kv_bandwidth * f.ranks),
        kv_flop=f.read_flops / (f.tp * attention * f.ranks),
        state=f.state_bytes / (f.tp * f.bandwidth * c.kv_bandwidth * f.ranks),
        window=f.window,
        pair=f.pair_flops / (f.gpus * attention),
        window_pair=f.window_pair_flops / (f.gpus * attention),
        comm_step=2.0 * f.layers * c.link_latency_s * hops + f.moe_layers * 2.0 * c.exchange_latency_s * rank_hops,
        comm_token=2.0 * f.layers * ring / f.ranks + exchange,
        overhead=layers * c.overhead + c.step_s,
        rank_token=c.rank_sequence_s / f.ranks,
        ranks=f.ranks,
        pp=f.pp,
        speed=c.speed,
        drafted=c.drafted,
        interference=c.interference,
        front=eager * c.front,
        front_power=c.front_power,
        own_prompt=c.own_prompt,
        first_step=c.first_step,
        queue=c.queue,
        capacity_wait=c.capacity_wait,
    )


def decode_s(
    t: Terms, tokens: Number, sequences: Number, context: Number, largest: Pick = max, least: Pick = min
) -> Number:
    """Seconds of one step that decodes `tokens` tokens for `sequences` sequences with `context` tokens in all.

    `tokens` is `sequences`, or more where drafted tokens are verified. With pipeline stages the batch goes
    through in `pp` parts, one after another on each stage, so the step of a part is what counts. A sequence
    is not divided: fewer than there are stages (or ranks) leave some of them idle.
    """
    parts = least(t.pp, largest(sequences, 1.0))
    tokens, sequences, context = tokens / parts, sequences / parts, context / parts
    idle = t.ranks / least(t.ranks, largest(sequences, 1.0))  # 1 where every rank has a sequence
    rank = tokens / t.ranks * idle
    touched = t.experts * (1.0 - t.untouched**tokens)
    time = largest(t.dense_read, t.dense_decode * rank) + largest(t.head_read, t.head_decode * rank)
    time = time + t.imbalance * largest(t.expert_read * touched, t.expert_decode * tokens)
    windowed = least(context, sequences * t.window)
    kv = context * t.kv_read + windowed * t.kv_window + sequences * t.state
    time = time + largest(kv, context * t.kv_flop * (tokens / largest(sequences, 1e-9))) * idle
    fixed = t.comm_step + t.overhead
    return (time + fixed + t.comm_token * tokens + t.rank_token * tokens * idle) * t.speed * t.drafted


def prompt_s(t: Terms, tokens: Number, before: Number, least: Pick = min) -> Number:
    """Seconds that `tokens` new prompt tokens add to whatever runs: their arithmetic and their communication.

    `before`: tokens already in the cache (a prefix hit). Each new token attends to those and to the new ones
    before it: tokens × (before + tokens / 2) pairs; window layers see at most their window.
    """
    mean = before + tokens / 2.0
    attention = mean * t.pair + least(mean, t.window) * t.window_pair
    return tokens * (t.dense_prompt + t.expert_prompt + t.comm_token + attention)


def pass_s(t: Terms) -> Number:
    """Seconds of a step whose tokens touch everything: the least that a prompt of some hundred tokens takes."""
    return t.dense_read + t.experts * t.expert_read + t.overhead + 512.0 * t.rank_token


def token_s(t: Terms, decode: Number, prompt: Number, batch: Number, output: Number, largest: Pick = max) -> Number:
    """Time per output token: a step, and the prompts of the other sequences, one each per `output` tokens.

    TPOT = t_step + φ (B - 1) / OSL × t_prefill. Of `pp` stages each holds others up by its own part of a prompt.
    """
    return decode + t.interference * largest(batch - 1.0, 0.0) / output * prompt / t.pp * t.speed


def first_token_s(
    t: Terms, prompt: Number, per_token: Number, asked: Number, batch: Number, output: Number, largest: Pick = max
) -> Number:
    """Time to the first token under a closed loop of `asked` requests of which `batch` fit at once.

    The engine's front end, the prompt itself (or one pass over the weights), the step that is running, the
    prompts that arrived before, and where memory admits fewer than are asked for, the wait for room.
    """
    wait = largest(asked - batch, 0.0) / largest(batch, 1.0) * output * per_token * t.capacity_wait
    start = t.front * asked**t.front_power + t.own_prompt * largest(prompt, pass_s(t)) + t.first_step * per_token
    return start + t.queue * largest(batch - 1.0, 0.0) * prompt / t.pp + wait


def pace_s(
    t: Terms, prompt: Number, step: Number, per_token: Number, first: Number, asked: Number, batch: Number,
    output: Number, largest: Pick = max,
) -> Number:  # fmt: skip
    """Seconds between two finished requests of a replica in a closed loop of `asked`, of which `batch` fit at once.

    Little's law on all requests, unless that were more than can be: sequences that decode are at most `batch`
    (the law on those alone), and a machine cannot work on prompts and steps for more than all of its time, of
    which steps hide the share of the prompts that is not felt. `prompt`, `step`: machine time, as `Replica.point`.
    """
    decoding = per_token * (output - 1.0)
    busy = largest(prompt, t.interference * prompt + output * step / batch)
    return largest(largest((first + decoding) / asked, decoding / batch), busy)


def _log2(value: Number) -> Number:
    if isinstance(value, float):
        import math

        return math.log2(value)
    import numpy

    return numpy.log2(value)
