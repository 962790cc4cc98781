"""Gemma 4: windows and full layers of different heads, keys that are values, experts beside a dense block."""

from collections.abc import Sequence

from farthing.serving.config_attention import layer_count
from farthing.serving.config_keys import Keys
from farthing.serving.shape import Attention, FeedForward


def gemma4(keys: Keys) -> tuple[Sequence[Attention], Sequence[FeedForward]]:
    """Attention and feed-forward of every layer. The small ones (E2B, E4B) are refused: their per-layer
    embeddings and shared caches are not modelled."""
    for key in ("hidden_size_per_layer_input", "num_kv_shared_layers"):
        if keys.whole(key, default=0, least=0):
            keys.fail(f"{key!r} is stated: such layers are not modelled", "of Gemma 4, take 26B-A4B or 31B")
    count = layer_count(keys)
    kinds = keys.listed("layer_types", count)
    if kinds is None:
        each = keys.whole("sliding_window_pattern", default=6)
        kinds = ["sliding_attention" if (layer + 1) % each else "full_attention" for layer in range(count)]
    window = _attention(keys, keys.whole("head_dim"), keys.whole("num_key_value_heads"), True)
    full = _attention(keys, keys.whole("global_head_dim"), _global_heads(keys), False)
    return [window if kind == "sliding_attention" else full for kind in kinds], [_feed_forward(keys)] * count


def _global_heads(keys: Keys) -> int:
    return keys.whole("num_global_key_value_heads", "num_key_value_heads")


def _attention(keys: Keys, size: int, kv_heads: int, sliding: bool) -> Attention:
    hidden, heads = keys.whole("hidden_size"), keys.whole("num_attention_heads")
    keys.divided(heads, kv_heads, "'num_attention_heads' by the key and value heads")
    # Full layers take the key's projection as the value's; both are kept, normed differently.
    projected = 2 if sliding or not keys.flag("attention_k_eq_v", False) else 1
    weights = 2 * hidden * heads * size + projected * hidden * kv_heads * size + 2 * size + 2 * hidden
    return Attention(
        layers=1,
        kind="window" if sliding else "full",
        heads=heads,
        kv_heads=kv_heads,
        key_dim=size,
        value_dim=size,
        parameters=weights,
        window=keys.whole("sliding_window") if sliding else 0,
    )


def _feed_forward(keys: Keys) -> FeedForward:
    """A gated dense block; with "enable_moe_block" routed experts beside it, whose router scales and norms."""
    hidden, width = keys.whole("hidden_size"), keys.whole("intermediate_size")
    weights = 3 * hidden * width + 2 * hidden + 1  # two norms, and the layer's scale
    if not keys.flag("enable_moe_block", False):
        return FeedForward(layers=1, width=width, parameters=weights)
    experts, chosen = keys.whole("num_experts"), keys.whole("top_k_experts", "num_experts_per_tok")
    if chosen > experts:
        keys.fail(f"'top_k_experts' is {chosen}, of {experts} experts", "at most all of them")
    expert = keys.whole("moe_intermediate_size")
    return FeedForward(
        layers=1,
        width=expert,
        parameters=weights + hidden * experts + hidden + experts + 3 * hidden,
        experts=experts,
        per_token=chosen,
        expert_parameters=3 * hidden * expert,
    )
