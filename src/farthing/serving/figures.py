"""What a deployment must move and compute, in bytes and operations: facts of shape, formats and layout.

Every field is a number; `physics` works on one of these, or on a table of arrays with the same fields.
"""

from typing import Any

import msgspec

from farthing.serving import formats
from farthing.serving.deployment import Deployment
from farthing.serving.device import Device

Number = Any  # a float, or a numpy array of floats


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One replica. Bytes and weights are of the whole model; the divisors say how many devices share them.

    `dense_*`: what every token passes (attention, dense and shared blocks); `expert_*`: one expert of all
    layers. `ranks` (dp): groups that each decode their own sequences. `*_window`: layers that read at most
    `window` tokens. `kv_split`: devices among which one sequence's cache is divided.
    """

    bandwidth: Number
    link: Number
    link_devices: Number
    dense_flops: Number
    expert_flops: Number
    bf16_flops: Number
    gpus: Number
    tp: Number
    pp: Number
    ranks: Number
    spread: Number  # 1 where experts are spread over ranks (ep > 1), else 0
    hidden: Number
    layers: Number
    moe_layers: Number
    latent_layers: Number
    linear_layers: Number
    sparse_layers: Number
    dense_bytes: Number
    dense_weights: Number
    head_bytes: Number
    head_weights: Number
    expert_bytes: Number
    expert_weights: Number
    experts: Number
    per_token: Number
    kv_bytes: Number
    kv_window_bytes: Number
    window: Number
    state_bytes: Number
    kv_split: Number
    pair_flops: Number
    window_pair_flops: Number
    read_flops: Number


def _beyond(device: Device) -> float:
    """Bytes a second among more devices than one scale-up domain has: the network's, where that is slower."""
    return min(device.link_bytes_s, device.network_bytes_s)


def figures(deployment: Deployment) -> Figures:
    """The figures of one replica of `deployment`."""
    model, device = deployment.model, deployment.device
    form = formats.find(deployment.weights)
    moe = bool(model.expert_parameters)
    dense_form = form.dense_format(moe)
    dense = model.attention_parameters + model.dense_parameters + model.norm_parameters
    experts = max((block.experts for block in model.feed_forward), default=0)
    kv = formats.kv_bytes(deployment.kv)
    full, windowed, state, pairs, window_pairs, reads = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    window = 0
    for block in model.attention:
        state += block.layers * block.state_values * formats.STATE_BYTES * 2  # read and written
        if block.kind == "sparse":
            # An indexer looks at every token, the attention itself at `window` chosen ones.
            full += block.layers * block.index_values * kv
            windowed += block.layers * block.kv_values * kv
            window_pairs += block.layers * block.prefill_flops_per_pair
            window = max(window, block.window)
        elif block.kind == "window":
            windowed += block.layers * block.kv_values * kv
            window_pairs += block.layers * block.prefill_flops_per_pair
            window = max(window, block.window)
        elif block.kind == "full":
            full += block.layers * block.kv_values * kv
            pairs += block.layers * block.prefill_flops_per_pair
            reads += block.layers * block.decode_flops_per_pair
    return Figures(
        bandwidth=device.bandwidth_bytes_s,
        link=device.link_bytes_s if deployment.tp * deployment.dp <= device.link_devices else _beyond(device),
        link_devices=float(device.link_devices),
        dense_flops=device.flops_of(dense_form.compute),
        expert_flops=device.flops_of(form.compute),
        bf16_flops=device.flops_of("bf16"),
        gpus=float(deployment.tp * deployment.dp),
        tp=float(deployment.tp),
        pp=float(deployment.pp),
        ranks=float(deployment.dp),
        spread=float(deployment.ep > 1),
        hidden=float(model.hidden),
        layers=float(model.layers),
        moe_layers=float(model.moe_layers),
        latent_layers=float(sum(block.layers for block in model.attention if block.latent)),
        linear_layers=float(sum(block.layers for block in model.attention if block.kind == "linear")),
        sparse_layers=float(sum(block.layers for block in model.attention if block.kind == "sparse")),
        dense_bytes=dense * dense_form.expert_bytes,
        dense_weights=float(dense),
        head_bytes=model.head_parameters * formats.HEAD_BYTES,
        head_weights=float(model.head_parameters),
        expert_bytes=model.expert_parameters / max(experts, 1) * form.expert_bytes,
        expert_weights=model.expert_parameters / max(experts, 1),
        experts=float(max(experts, 1)),
        per_token=float(max((block.per_token for block in model.feed_forward), default=0)),
        kv_bytes=full,
        kv_window_bytes=windowed,
        window=float(max(window, 1)),
        state_bytes=state,
        kv_split=deployment.kv_split,
        pair_flops=pairs,
        window_pair_flops=window_pairs,
        read_flops=reads,
    )
