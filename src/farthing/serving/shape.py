"""The shape of a model: what its layers hold, read and keep. Bytes and operations follow from it.

Nothing here knows a precision, a device or a number of GPUs: counts are of values, not of bytes.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec


class Attention(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """`layers` layers with one kind of attention.

    `kind`: "full", "window" (the last `window` tokens), "sparse" (`window` chosen tokens of all, found
    by an indexer that keeps `index_values` values a token), "linear" (a state of `state_values` values
    a sequence, and no cache a token). `latent` > 0 is multi-head latent attention: `latent` + `rope`
    values are kept a token, shared by all heads. `parameters`: weights of one layer.
    """

    layers: int
    kind: str
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    parameters: int
    latent: int = 0
    rope: int = 0
    window: int = 0
    index_values: int = 0
    state_values: int = 0

    @cached_property
    def kv_values(self) -> int:
        """Values kept per token in one layer: 2 × KV heads × head size, or latent + rope for MLA; 0 if linear."""
        if self.kind == "linear":
            return 0
        if self.latent:
            return self.latent + self.rope
        return self.kv_heads * (self.key_dim + self.value_dim)

    @cached_property
    def prefill_flops_per_pair(self) -> int:
        """Operations per (query token, attended token) pair in one layer: 2 × heads × (key + value size)."""
        return 0 if self.kind == "linear" else 2 * self.heads * (self.key_dim + self.value_dim)

    @cached_property
    def decode_flops_per_pair(self) -> int:
        """The same when decoding; MLA then works on the latent itself (absorbed), so its pairs cost more."""
        if self.latent:
            return 2 * self.heads * (2 * self.latent + self.rope)
        return self.prefill_flops_per_pair


class FeedForward(msgspec.Struct, frozen=True, kw_only=True):
    """`layers` layers with one kind of feed-forward block.

    `parameters`: weights that every token passes in one layer (a dense block, or router and shared
    experts). `experts` > 0: so many routed experts of `expert_parameters` weights each, of which a
    token passes `per_token`. `width`: the intermediate size of the dense block or of one expert.
    """

    layers: int
    width: int
    parameters: int
    experts: int = 0
    per_token: int = 0
    expert_parameters: int = 0


class ModelShape(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A transformer as its serving sees it. `layers` counts blocks; MTP modules and vision towers are left out.

    `tied`: the output head shares the embedding's weights. `norm_parameters`: of the norm after the last
    layer. `other_parameters`: weights that no token of text passes (towers, MTP). `context`: longest
    context in tokens, 0 where not stated.

    Count layers by `layers`, not by adding up blocks: a layer may be only attention or only feed-forward
    (Nemotron-H), and one with two caches is two blocks, of which the second has no weights (DeepSeek-V4).
    """

    id: str
    architecture: str
    layers: int
    hidden: int
    vocabulary: int
    attention: tuple[Attention, ...]
    feed_forward: tuple[FeedForward, ...]
    tied: bool = False
    norm_parameters: int = 0
    other_parameters: int = 0
    context: int = 0
    aliases: tuple[str, ...] = ()
    title: str = ""

    @cached_property
    def attention_parameters(self) -> int:
        """Weights of all attention layers."""
        return sum(block.layers * block.parameters for block in self.attention)

    @cached_property
    def dense_parameters(self) -> int:
        """Feed-forward weights that every token passes: dense blocks, routers, shared experts."""
        return sum(block.layers * block.parameters for block in self.feed_forward)

    @cached_property
    def expert_parameters(self) -> int:
        """Weights of all routed experts."""
        return sum(block.layers * block.experts * block.expert_parameters for block in self.feed_forward)

    @cached_property
    def head_parameters(self) -> int:
        """Weights of the output head (read once a step, also where they are tied to the embedding)."""
        return self.vocabulary * self.hidden

    @cached_property
    def parameters(self) -> int:
        """All weights of the language model: what is published as its size."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        blocks = self.attention_parameters + self.dense_parameters + self.expert_parameters
        return blocks + embeddings + self.norm_parameters + self.other_parameters

    @cached_property
    def active_parameters(self) -> int:
        """Weights that one token passes: everything but the experts it is not routed to (and other parts)."""
        idle = sum(b.layers * (b.experts - b.per_token) * b.expert_parameters for b in self.feed_forward)
        return self.parameters - idle - self.other_parameters

    @cached_property
    def moe_layers(self) -> int:
        return sum(block.layers for block in self.feed_forward if block.experts)

    def kv_values_per_token(self) -> int:
        """Values kept per token over all layers, once the context is longer than no window (full and sparse layers)."""
        growing = (block for block in self.attention if block.kind in ("full", "sparse"))
        return sum(block.layers * (block.kv_values + block.index_values) for block in growing)

    def kv_values(self, tokens: Any, least: Callable[[Any, Any], Any] = min) -> Any:
        """Values kept for one sequence of `tokens` tokens: windows hold at most their length, states are fixed.

        On a float; or on an array, with `least` numpy's `minimum`.
        """
        kept: Any = 0.0
        for block in self.attention:
            held = least(tokens, block.window) if block.kind == "window" else tokens
            kept += block.layers * (held * (block.kv_values + block.index_values) + block.state_values)
        return kept
