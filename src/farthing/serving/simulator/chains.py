"""What prompts share, as chains of pieces that are as long as they can be.

A trace states its prompts' starts in small pieces (512 tokens in Mooncake's). Two that are always
asked for one after the other are one piece to the cache: fewer to look up, with the same result.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from farthing.serving.simulator.blocks import Chain
from farthing.serving.simulator.requests import Requests

if TYPE_CHECKING:
    from numpy.typing import NDArray


def chains(requests: Requests, block_size: int) -> list[Chain]:
    """The (piece, whole blocks) of each request's prompt that others may share, from its first token on.

    A piece that does not end with a block is counted to the last whole one: the blocks of a prefix of n
    tokens are n // `block_size`, as an engine hashes them.
    """
    import numpy as np

    count = len(requests)
    if requests.prefix_ids is None or requests.prefix_tokens is None or requests.prefix_starts is None:
        return [()] * count
    starts = requests.prefix_starts
    ids = np.unique(requests.prefix_ids, return_inverse=True)[1]
    if not ids.size:
        return [()] * count
    lengths = np.diff(starts)
    begins = np.zeros(ids.size, dtype=bool)
    begins[starts[:-1][lengths > 0]] = True
    request = np.repeat(np.arange(count), lengths)
    # Tokens of the prompt up to the end of each piece, cut at the prompt's end; and the blocks in them.
    running = np.cumsum(requests.prefix_tokens)
    before = np.where(starts[:-1] > 0, running[np.maximum(starts[:-1], 1) - 1], 0)
    ends = np.minimum(running - before[request], requests.prompt_tokens[request])
    tokens = np.diff(ends, prepend=0)
    tokens[begins] = ends[begins]
    last = ends // block_size

    joined = np.zeros(ids.size, dtype=bool)  # with the piece before it
    following = np.where(np.append(begins[1:], True), -1, np.append(ids[1:], -1))
    preceding = np.where(begins, -1, np.append(-1, ids[:-1]))
    whole = _one_value(ids, tokens)
    same_next = _one_value(ids, following) & whole
    same_before = _one_value(ids, preceding) & whole
    joined[1:] = same_next[ids[:-1]] & same_before[ids[1:]] & ~begins[1:]

    heads = np.flatnonzero(~joined)
    tails = np.append(heads[1:], ids.size) - 1
    first = np.where(begins[heads], 0, last[heads - 1])
    sizes = last[tails] - first
    # Where one id comes in several lengths (a prompt ended within it), each is a piece of its own.
    names = np.unique(np.stack([ids[heads], sizes], axis=1), axis=0, return_inverse=True)[1].ravel()
    kept = sizes > 0
    owners = request[heads][kept]
    bounds = np.searchsorted(owners, np.arange(count + 1)).tolist()
    pairs = list(zip(names[kept].tolist(), sizes[kept].tolist(), strict=True))
    return [tuple(pairs[low:high]) for low, high in pairwise(bounds)]


def _one_value(ids: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """For each id, whether all its occurrences have one value."""
    import numpy as np

    low = np.full(int(ids.max()) + 1, np.iinfo(np.int64).max)
    high = np.full(low.size, np.iinfo(np.int64).min)
    np.minimum.at(low, ids, values)
    np.maximum.at(high, ids, values)
    same: NDArray[Any] = low == high
    return same
