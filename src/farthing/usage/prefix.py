"""How much of the prompts a prefix cache could serve: an ideal cache, fed the requests in order.

A usage record may carry hashes of its prompt's blocks. They are *chained* (vLLM, Mooncake): a
block's hash covers everything before it, so two equal hashes mean two equal prefixes. The cache
here holds such blocks. A request hits its leading run of cached blocks, and then all its blocks
are cached: the result is a ceiling, because nothing expires and a block is there at once.
"""

from collections import OrderedDict
from fractions import Fraction

import msgspec

from farthing.usage.record import Usage

_ONE = 1 << 64  # a request's share is kept in units of 2**-64, so that the mean needs one integer


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """What a prefix cache of `capacity` blocks (None: unlimited) would have served of `requests`.

    The three usual definitions of "the hit rate" of the same replay differ; each is None of nothing:

    * `share_of_blocks`: hit blocks / all blocks. A partial last block counts as a whole one.
    * `token_weighted`: hit tokens / all prompt tokens. A hit of n blocks is min(n x block_tokens,
      prompt) tokens: a partial last block counts with the tokens that it has.
    * `mean_per_request`: the mean, over requests, of hit tokens / prompt tokens (as above). Short
      prompts weigh as much as long ones. Shares are cut to 2**-64 before they are averaged, so the
      mean is low by less than 6e-20; the other two are exact.
    """

    capacity: int | None
    requests: int
    blocks: int
    hit_blocks: int
    prompt_tokens: int
    hit_tokens: int
    share_of_blocks: Fraction | None
    token_weighted: Fraction | None
    mean_per_request: Fraction | None


class PrefixCache:
    """An ideal prefix cache; `add` requests in the order in which they arrived.

    `capacity` is in blocks; None is unlimited. Over capacity the least recently used block goes. A
    request uses its blocks from the last to the first, so among blocks of one request the deepest
    goes first. That keeps the cache closed (a cached block's prefix is cached too): no block is held
    that no request could reach. Time is O(1) a block; memory is one entry a cached block.
    """

    def __init__(self, capacity: int | None = None) -> None:
        if capacity is not None and capacity < 0:
            raise ValueError(f"a cache of {capacity} blocks: the capacity cannot be negative")
        self.capacity = capacity
        self.requests = 0
        self.blocks = 0
        self.hit_blocks = 0
        self.prompt_tokens = 0
        self.hit_tokens = 0
        self._shares = 0
        self._all: set[int] = set()  # the blocks, when nothing is ever evicted
        self._recent: OrderedDict[int, None] = OrderedDict()  # the blocks, least recently used first

    def add(self, usage: Usage) -> int:
        """The tokens of `usage`'s prompt that the cache holds; afterwards it holds all its blocks.

        A record without `prefix_hashes` hits nothing and is not counted in the ceiling. Where the
        size of a block is not stated, the prompt is taken to fill its blocks evenly.
        """
        hashes = usage.prefix_hashes
        if not hashes:
            return 0
        hits = self._touch(hashes)
        prompt = usage.prompt_tokens
        size = usage.block_tokens or -(-prompt // len(hashes))
        tokens = min(hits * size, prompt)
        self.requests += 1
        self.blocks += len(hashes)
        self.hit_blocks += hits
        self.prompt_tokens += prompt
        self.hit_tokens += tokens
        if tokens:
            self._shares += tokens * _ONE // prompt
        return tokens

    def _touch(self, hashes: tuple[int, ...]) -> int:
        """The length of the leading run of `hashes` that is cached; caches them all."""
        hits = 0
        if self.capacity is None:
            for block in hashes:
                if block not in self._all:
                    break
                hits += 1
            self._all.update(hashes[hits:])
            return hits
        recent = self._recent
        for block in hashes:
            if block not in recent:
                break
            hits += 1
        for block in reversed(hashes[: self.capacity]):  # deeper ones would be evicted at once
            recent[block] = None
            recent.move_to_end(block)
        while len(recent) > self.capacity:
            recent.popitem(last=False)
        return hits

    def ceiling(self) -> Ceiling:
        """The three hit rates of all requests so far."""
        return Ceiling(
            capacity=self.capacity,
            requests=self.requests,
            blocks=self.blocks,
            hit_blocks=self.hit_blocks,
            prompt_tokens=self.prompt_tokens,
            hit_tokens=self.hit_tokens,
            share_of_blocks=Fraction(self.hit_blocks, self.blocks) if self.blocks else None,
            token_weighted=Fraction(self.hit_tokens, self.prompt_tokens) if self.prompt_tokens else None,
            mean_per_request=Fraction(self._shares, _ONE * self.requests) if self.requests else None,
        )
