"""DeepSeek-V4's attention: a window of whole tokens, and all tokens compressed, by 4 or by 128.

A layer is told as two blocks: the window, with all its weights, and the compressed stream, with none. An
entry that stands for r tokens is told as 1/r of its values a token, so that a cache, a read and a sum of
products come out as they are. Checked against the published 9.62 GiB of DeepSeek-V4-Pro at 1M tokens.
"""

from farthing.serving.config_attention import layer_count
from farthing.serving.config_keys import Keys
from farthing.serving.shape import Attention

_SPARSE = 4  # at this ratio entries overlap, and an indexer chooses among them


def compressed(keys: Keys) -> list[Attention]:
    """One window block a layer, then a block for each layer that keeps a compressed stream."""
    ratios = keys.listed("compress_ratios", layer_count(keys))
    if ratios is None:
        keys.fail("'compress_ratios' is missing", "a list of ratios, one a layer")
    size = keys.whole("head_dim")
    blocks: list[Attention] = []
    for ratio in ratios:
        if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio not in (0, _SPARSE, 128):
            keys.fail(f"'compress_ratios' holds {str(ratio)[:20]!r}", "0, 4 or 128")
        blocks.append(_block(keys, "window", keys.whole("sliding_window"), size, _weights(keys, ratio)))
        if ratio == _SPARSE:
            index = keys.divided(keys.whole("index_head_dim"), ratio, "'index_head_dim' by its ratio")
            held = keys.divided(size, ratio, "'head_dim' by its ratio")
            blocks.append(_block(keys, "sparse", keys.whole("index_topk") * ratio, held, 0, index))
        elif ratio:
            blocks.append(_block(keys, "full", 0, keys.divided(size, ratio, "'head_dim' by its ratio"), 0))
    return blocks


def _block(keys: Keys, kind: str, window: int, size: int, weights: int, index: int = 0) -> Attention:
    """A block of one shared entry (key and value are the same) of `size` values a token."""
    heads = keys.whole("num_attention_heads")
    return Attention(
        layers=1,
        kind=kind,
        heads=heads,
        kv_heads=1,
        key_dim=size,
        value_dim=size,
        parameters=weights,
        latent=size,
        window=window,
        index_values=index,
    )


def _weights(keys: Keys, ratio: int) -> int:
    """Weights of one layer's attention, its compressor and indexer, and both of its hyper-connections."""
    hidden, size = keys.whole("hidden_size"), keys.whole("head_dim")
    heads, rank = keys.whole("num_attention_heads"), keys.whole("q_lora_rank")
    out_rank, groups = keys.whole("o_lora_rank"), keys.whole("o_groups")
    weights = hidden * rank + rank + rank * heads * size + hidden * size + size + heads + hidden
    weights += heads * size * out_rank + groups * out_rank * hidden
    if ratio:
        weights += _compressor(hidden, size, ratio)
    if ratio == _SPARSE:
        index_heads, index_size = keys.whole("index_n_heads"), keys.whole("index_head_dim")
        weights += rank * index_heads * index_size + hidden * index_heads + _compressor(hidden, index_size, ratio)
    streams = keys.whole("hc_mult")
    mixing = (2 + streams) * streams
    return weights + 2 * (mixing * streams * hidden + mixing + 3)


def _compressor(hidden: int, size: int, ratio: int) -> int:
    """Values and gates of the entries, their positions and their norm; twice as wide where entries overlap."""
    wide = size * (2 if ratio == _SPARSE else 1)
    return 2 * hidden * wide + ratio * wide + size
