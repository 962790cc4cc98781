"""Feed-forward blocks of the known families, one a layer, from the keys of a config.json."""

import msgspec

from farthing.serving.config_keys import Keys
from farthing.serving.shape import FeedForward

_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")


class Mixture(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one family's mixture of experts from another's.

    `width`: the key of one expert's intermediate size. `dense`: of a dense layer's; "" where there are
    none. `shared`: how shared experts are stated: "" none, "number" ("n_shared_experts" of the expert's
    size), "width" ("shared_expert_intermediate_size", with a gate of its own), "one" of the expert's
    size. `router_bias`: a value an expert. `expert_bias`: the experts' projections have biases.
    `layers`: which are routed: "all", "after" the first "first_k_dense_replace", "step" each
    "decoder_sparse_step"th but "mlp_only_layers", "interleave" each "interleave_moe_layer_step"th.
    """

    width: str = "moe_intermediate_size"
    dense: str = ""
    shared: str = ""
    router_bias: bool = False
    expert_bias: bool = False
    layers: str = "all"


def dense(keys: Keys, *, norms: int = 1) -> list[FeedForward]:
    """Gated blocks (gate, up, down: 3 × hidden × width), all alike."""
    for key in (*_EXPERT_KEYS, "kv_lora_rank"):
        if keys.has(key):
            model = keys.text("model_type")
            keys.fail(f"{key!r} is stated, but {model!r} is a dense family", "name the model_type that has it")
    width = keys.whole("intermediate_size")
    block = _gated(keys, width, norms=norms, bias=keys.flag("mlp_bias", False))
    return [block] * keys.whole("num_hidden_layers")


def _gated(keys: Keys, width: int, *, norms: int = 1, bias: bool = False) -> FeedForward:
    hidden = keys.whole("hidden_size")
    weights = 3 * hidden * width + norms * hidden + (2 * width + hidden) * bias
    return FeedForward(layers=1, width=width, parameters=weights)


def mixture(keys: Keys, family: Mixture) -> list[FeedForward]:
    """Routed experts, and dense blocks in the layers that are not routed."""
    routed = _routed(keys, family)
    flags = _flags(keys, family.layers)
    if all(flags):
        return [routed] * len(flags)
    plain = _gated(keys, keys.whole(family.dense)) if family.dense else None
    if plain is None:
        keys.fail("some layers are not routed to experts", "this family routes all of them")
    return [routed if flag else plain for flag in flags]


def _routed(keys: Keys, family: Mixture) -> FeedForward:
    hidden, width = keys.whole("hidden_size"), keys.whole(family.width)
    experts = keys.whole(*_EXPERT_KEYS)
    chosen = keys.whole("num_experts_per_tok", "experts_per_token", "num_experts_per_token")
    if chosen > experts:
        keys.fail(f"'num_experts_per_tok' is {chosen}, of {experts} experts", "at most all of them")
    shared = 0
    if family.shared == "width":
        shared = 3 * hidden * keys.whole("shared_expert_intermediate_size") + hidden
    elif family.shared:
        number = 1 if family.shared == "one" else keys.whole("n_shared_experts", default=0, least=0)
        shared = 3 * hidden * width * number
    return FeedForward(
        layers=1,
        width=width,
        parameters=hidden + hidden * experts + experts * family.router_bias + shared,
        experts=experts,
        per_token=chosen,
        expert_parameters=3 * hidden * width + (2 * width + hidden) * family.expert_bias,
    )


def _flags(keys: Keys, layers: str) -> list[bool]:
    """Which layers are routed."""
    count = keys.whole("num_hidden_layers")
    if layers == "after":
        first = keys.whole("first_k_dense_replace", default=0, least=0)
        if isinstance(keys.values.get("moe_layer_freq"), list):
            return [bool(one) for one in keys.listed("moe_layer_freq", count) or []]
        each = keys.whole("moe_layer_freq", default=1)
        return [layer >= first and layer % each == 0 for layer in range(count)]
    if layers == "step":
        each, only = keys.whole("decoder_sparse_step", default=1), keys.numbers("mlp_only_layers")
        return [layer not in only and (layer + 1) % each == 0 for layer in range(count)]
    if layers == "interleave":
        each = keys.whole("interleave_moe_layer_step")
        return [(layer + 1) % each == 0 for layer in range(count)]
    return [True] * count


def squared(keys: Keys) -> FeedForward:
    """Nemotron-H's dense block without a gate: up and down, 2 × hidden × width."""
    hidden, width = keys.whole("hidden_size"), keys.whole("intermediate_size")
    bias = (width + hidden) * keys.flag("mlp_bias", False)
    return FeedForward(layers=1, width=width, parameters=2 * hidden * width + hidden + bias)


def squared_experts(keys: Keys) -> FeedForward:
    """Nemotron-H's experts without a gate; with "moe_latent_size" they work on a projection of that size."""
    hidden, width = keys.whole("hidden_size"), keys.whole("moe_intermediate_size")
    experts, chosen = keys.whole("n_routed_experts"), keys.whole("num_experts_per_tok")
    latent = keys.whole("moe_latent_size", default=0, least=0)
    shared = keys.whole("n_shared_experts", default=0, least=0)
    shared_width = keys.whole("moe_shared_expert_intermediate_size") if shared else 0
    weights = hidden + hidden * experts + experts + 2 * hidden * shared_width * shared + 2 * hidden * latent
    return FeedForward(
        layers=1,
        width=width,
        parameters=weights,
        experts=experts,
        per_token=chosen,
        expert_parameters=2 * (latent or hidden) * width,
    )
