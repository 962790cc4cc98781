"""Attention of the known families, one block a layer, from the keys of a config.json.

Weights are counted as the published modelling code of each family lays them out: projections, biases
where the family has them, and the norms beside them, so that the sum is the exact published count.
"""

import msgspec

from farthing.serving.config_keys import Keys
from farthing.serving.shape import Attention

_WINDOWED = ("sliding_attention", "chunked_attention", "local_attention", "sliding_window")


class Grouped(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one family's grouped-query attention from another's.

    `bias`, `output_bias`: does the projection of query/key/value, of the output have one ("stated": the
    key "attention_bias" says). `norm`: of query and key: "" none, "head" one of the head's size, "layer"
    one over all heads. `norms`: vectors of the hidden size beside it. `derived`: "head_dim" may be left
    out, being hidden size / heads. `sinks`: one learned sink a head. `gate`: the query's projection is
    doubled by an output gate. `layers`: where the family windows its layers when "layer_types" is not
    stated: "" none, "all" all where a window is stated, "deep" from "max_window_layers" on, "even" the
    even ones, "pattern" all but each "sliding_window_pattern"th, "rope" all but each fourth.
    """

    bias: bool | str = False
    output_bias: bool | str = False
    norm: str = ""
    norms: int = 1
    derived: bool = False
    sinks: bool = False
    gate: bool = False
    layers: str = ""
    window: str = "sliding_window"
    pattern: int = 0


def layer_count(keys: Keys) -> int:
    return keys.whole("num_hidden_layers", most=10_000)


def grouped(keys: Keys, family: Grouped) -> list[Attention]:
    """Attention with query heads in groups that share a key and value head (GQA; MHA and MQA are its ends)."""
    full = _block(keys, family)
    windows = _windows(keys, family)
    return [msgspec.structs.replace(full, kind="window", window=w) if w else full for w in windows]


def _block(keys: Keys, family: Grouped) -> Attention:
    hidden, heads = keys.whole("hidden_size"), keys.whole("num_attention_heads")
    kv_heads = keys.whole("num_key_value_heads")
    keys.divided(heads, kv_heads, "'num_attention_heads' by 'num_key_value_heads'")
    if keys.has("head_dim") or not family.derived:
        size = keys.whole("head_dim")
    else:
        size = keys.divided(hidden, heads, "'hidden_size' by 'num_attention_heads'")
    queries = heads * size * (2 if family.gate else 1)
    pairs = 2 * kv_heads * size
    weights = hidden * (queries + pairs) + heads * size * hidden + family.norms * hidden
    weights += (queries + pairs) * _says(keys, family.bias) + hidden * _says(keys, family.output_bias)
    weights += {"": 0, "head": 2 * size, "layer": (heads + kv_heads) * size}[family.norm]
    weights += heads * family.sinks
    return Attention(
        layers=1, kind="full", heads=heads, kv_heads=kv_heads, key_dim=size, value_dim=size, parameters=weights
    )


def _says(keys: Keys, bias: bool | str) -> bool:
    return keys.flag("attention_bias", False) if bias == "stated" else bool(bias)


def _windows(keys: Keys, family: Grouped) -> list[int]:
    """The window of each layer in tokens; 0: it sees all."""
    count = layer_count(keys)
    if not family.layers or not keys.flag("use_sliding_window", family.layers != "deep"):
        return [0] * count
    if family.layers in ("all", "deep") and not keys.has(family.window):
        return [0] * count
    window = keys.whole(family.window)
    if (stated := keys.listed("layer_types", count)) is not None:
        return [window if kind in _WINDOWED else 0 for kind in stated]
    if family.layers == "all":
        return [window] * count
    if family.layers == "deep":
        first = keys.whole("max_window_layers", least=0)
        return [window if layer >= first else 0 for layer in range(count)]
    if family.layers == "even":
        return [0 if layer % 2 else window for layer in range(count)]
    each = keys.whole("sliding_window_pattern", default=family.pattern)
    return [window if (layer + 1) % each else 0 for layer in range(count)]


def latent(keys: Keys) -> list[Attention]:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): one latent a token, shared by all heads.

    With "index_topk" (DeepSeek-V3.2's sparse attention) an indexer of its own cache chooses the tokens
    attended; layers whose "indexer_types" entry is "shared" use the choice of the layer before.
    """
    hidden, heads = keys.whole("hidden_size"), keys.whole("num_attention_heads")
    nope, rope = keys.whole("qk_nope_head_dim"), keys.whole("qk_rope_head_dim")
    value, kv_rank = keys.whole("v_head_dim"), keys.whole("kv_lora_rank")
    rank = keys.whole("q_lora_rank", default=0)
    queries = heads * (nope + rope)
    weights = hidden * rank + rank + rank * queries if rank else hidden * queries
    weights += hidden * (kv_rank + rope) + kv_rank + kv_rank * heads * (nope + value)
    weights += heads * value * hidden + hidden
    if keys.flag("attention_bias", False):
        weights += rank + kv_rank + rope + hidden
    full = Attention(
        layers=1,
        kind="full",
        heads=heads,
        kv_heads=heads,
        key_dim=nope + rope,
        value_dim=value,
        parameters=weights,
        latent=kv_rank,
        rope=rope,
    )
    count = layer_count(keys)
    if not keys.has("index_topk"):
        return [full] * count
    index_heads, size, chosen = keys.whole("index_n_heads"), keys.whole("index_head_dim"), keys.whole("index_topk")
    # wq_b, wk, weights_proj, and the layer norm of the keys (weight and bias)
    indexer = (rank or hidden) * index_heads * size + hidden * size + hidden * index_heads + 2 * size
    shared = msgspec.structs.replace(full, kind="sparse", window=chosen)
    own = msgspec.structs.replace(shared, index_values=size, parameters=weights + indexer)
    kinds = keys.listed("indexer_types", count) or ["full"] * count
    return [shared if kind == "shared" else own for kind in kinds]


def gated_delta(keys: Keys) -> list[Attention]:
    """Qwen3-Next's hybrid: gated delta-rule layers with a fixed state, each fourth full with an output gate."""
    count = layer_count(keys)
    if (kinds := keys.listed("layer_types", count)) is None:
        each = keys.whole("full_attention_interval")
        kinds = ["linear_attention" if (layer + 1) % each else "full_attention" for layer in range(count)]
    full = _block(keys, Grouped(norm="head", gate=keys.flag("attn_output_gate", True), bias="stated"))
    hidden, kernel = keys.whole("hidden_size"), keys.whole("linear_conv_kernel_dim")
    key_heads, key_dim = keys.whole("linear_num_key_heads"), keys.whole("linear_key_head_dim")
    heads, value_dim = keys.whole("linear_num_value_heads"), keys.whole("linear_value_head_dim")
    keys.divided(heads, key_heads, "'linear_num_value_heads' by 'linear_num_key_heads'")
    mixed = 2 * key_heads * key_dim + heads * value_dim  # what the convolution passes: queries, keys, values
    weights = hidden * (mixed + heads * value_dim + 2 * heads)  # and the gate z, beta, decay
    weights += mixed * kernel + 2 * heads + value_dim + heads * value_dim * hidden + hidden
    linear = Attention(
        layers=1,
        kind="linear",
        heads=heads,
        kv_heads=key_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        parameters=weights,
        state_values=heads * key_dim * value_dim + mixed * (kernel - 1),
    )
    return [linear if kind == "linear_attention" else full for kind in kinds]


def mamba(keys: Keys) -> Attention:
    """One Mamba-2 layer (arXiv 2405.21060): a state of heads × head size × state size, and its convolution's."""
    hidden, kernel = keys.whole("hidden_size"), keys.whole("conv_kernel")
    heads, size = keys.whole("mamba_num_heads"), keys.whole("mamba_head_dim")
    groups, state = keys.whole("n_groups"), keys.whole("ssm_state_size")
    inner = heads * size
    mixed = inner + 2 * groups * state
    weights = hidden * (inner + mixed + heads) + mixed * kernel + mixed * keys.flag("use_conv_bias", True)
    weights += 3 * heads + inner + inner * hidden + hidden
    return Attention(
        layers=1,
        kind="linear",
        heads=heads,
        kv_heads=groups,
        key_dim=state,
        value_dim=size,
        parameters=weights,
        state_values=heads * size * state + mixed * (kernel - 1),
    )


def full_only(keys: Keys) -> Attention:
    """One full attention layer without biases or norms of query and key (Nemotron-H)."""
    if not keys.has("head_dim") and keys.has("attention_head_dim"):
        keys = Keys({**keys.values, "head_dim": keys.values["attention_head_dim"]}, keys.place)
    return _block(keys, Grouped(bias="stated", output_bias="stated"))
