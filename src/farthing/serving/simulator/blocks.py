"""The blocks of the KV cache: how many are held, and which content the free ones still have.

Two pools with one face. `Blocks` only counts. `CachedBlocks` also remembers content, as vLLM's block
pool does: a request's blocks, once free, stand in one queue, least recently used first and the deepest
of a request before those above it; new blocks are taken from its head, and content found again is taken
back out. Content is a chain of *pieces*: so many blocks that are always asked for together, so that one
entry stands for a whole run of blocks. That is exact, since a run loses its deepest blocks first.
"""

from collections import OrderedDict

Chain = tuple[tuple[int, int], ...]
"""A prompt's shareable start: (piece, blocks in it), from the first token on."""


class Blocks:
    """`total` blocks without content: nothing is found again."""

    caches = False

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0

    def take(self, blocks: int) -> None:
        """`blocks` free blocks are now held. The caller has seen that there are so many."""
        self.used += blocks

    def found(self, request: int, chain: Chain) -> tuple[int, int]:
        """(blocks of the prompt whose content is here, those of them that are free)."""
        return 0, 0

    def hold(self, request: int, chain: Chain, found: int) -> None:
        """`request` begins: it holds the `found` blocks from now on, and those it takes besides."""

    def release(self, request: int, chain: Chain, blocks: int, full: int, again: bool) -> None:
        """`request` gives its `blocks` blocks back, `full` of them full. `again`: it will come back for them."""
        self.used -= blocks


class CachedBlocks(Blocks):
    """`total` blocks whose content stays until they are needed for another."""

    caches = True

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._blank = total  # free blocks that never held anything
        self._free: OrderedDict[int, int] = OrderedDict()  # content -> blocks of it, least recently used first
        self._holders: dict[int, int] = {}  # piece that is held -> by how many requests
        self._garbage = 0  # names for content that nobody can ask for: -2, -4, …

    def take(self, blocks: int) -> None:
        self.used += blocks
        if self._blank:
            fresh = min(self._blank, blocks)
            self._blank -= fresh
            blocks -= fresh
        free = self._free
        while blocks > 0:
            content, held = free.popitem(last=False)
            blocks -= held
            if blocks < 0:  # the deepest of them go, the rest keeps its place
                free[content] = -blocks
                free.move_to_end(content, last=False)

    def found(self, request: int, chain: Chain) -> tuple[int, int]:
        holders, free = self._holders, self._free
        hit = idle = 0
        for piece, size in chain:
            if piece in holders:
                hit += size
            else:
                here = free.get(piece, 0)
                hit += here
                idle += here
                if here < size:
                    return hit, idle
        own = free.get(_own(request), 0)
        return hit + own, idle + own

    def hold(self, request: int, chain: Chain, found: int) -> None:
        if not found:
            for piece, _ in chain:
                self._holders[piece] = 1
            return
        holders, free = self._holders, self._free
        for piece, _ in chain:
            count = holders.get(piece, 0)
            holders[piece] = count + 1
            if not count:  # what of it is still here; a piece below an incomplete one never is
                self.used += free.pop(piece, 0)
        self.used += free.pop(_own(request), 0)

    def release(self, request: int, chain: Chain, blocks: int, full: int, again: bool) -> None:
        holders, free = self._holders, self._free
        start = sum(size for _, size in chain)
        own, lost = max(0, full - start), blocks - full
        if not again:
            own, lost = 0, lost + own
        if lost:
            self._garbage -= 2
            free[self._garbage] = lost
        if own:
            free[_own(request)] = own
        freed = own + lost
        for piece, size in reversed(chain):
            start -= size
            count = holders[piece] - 1
            if count:
                holders[piece] = count
                continue
            del holders[piece]
            here = min(size, full - start)
            if here > 0:
                free[piece] = here
                freed += here
        self.used -= freed

    def idle(self) -> int:
        """Free blocks, counted one by one: always `total - used` (for tests)."""
        return self._blank + sum(self._free.values())


def _own(request: int) -> int:
    """The name of what only `request` itself can ask for again, after a preemption: -1, -3, …"""
    return -2 * request - 1
