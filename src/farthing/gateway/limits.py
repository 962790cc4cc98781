"""Rate limits and concurrency limits, exact over all workers of a machine.

A minute is a sliding one: no span of 60 seconds, wherever it begins, holds more requests or more (estimated) tokens
than the limit. Uses are counted by the second, and a second counts until the whole of it is a minute old; so the
count is never too low, and too high for less than a second. (A token bucket with a minute's burst, the usual choice,
lets twice the limit through in the first minute.)
"""

import time
from collections.abc import Callable, Sequence
from math import ceil, inf
from pathlib import Path

import msgspec

from farthing.gateway.admission import Admission, Counting
from farthing.gateway.limit_words import waits_s
from farthing.gateway.problem import Header
from farthing.gateway.shared_table import (
    CELLS,
    ENTRIES,
    RING,
    SECOND,
    SECONDS,
    TOTAL,
    USED_SLOTS,
    SharedTable,
    name_hash,
)

_MOST_LIMITERS = 8192  # a kilobyte each


class Limit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What may be used under one name ("key:k_3f…", "all"). None: no such limit. 0: nothing is admitted."""

    id: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


class Limited(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal. `what`: "requests", "tokens", "concurrent"; "size": more tokens than the limit ever admits (waiting
    does not help: `retry_after_s` is None); "table": too many names at once; "busy": a worker was stopped while it
    held the table. `headers`: for the response, beside `retry-after`."""

    limit: str
    what: str
    retry_after_s: int | None
    headers: Sequence[Header] = ()


class Limiter(Counting):
    """Limits of distinct ids that requests stand under together, made ready once for all of those requests."""

    __slots__ = ("_bases", "_names", "_owner", "limits", "table")

    def __init__(self, owner: "Limits", limits: Sequence[Limit]) -> None:
        self.limits = limits
        self.table = owner.table
        self._owner = owner
        self._names = [name_hash(limit.id) for limit in limits]
        self._bases = [0] * len(limits)

    # --- what `Counting` asks for -------------------------------------------------------------

    def _had(self, answer: int) -> bool:
        return self.table.had(answer)

    def _busy(self) -> Limited:
        return self._owner.refused(Limited(limit="", what="busy", retry_after_s=1))

    def _no_room(self) -> Limited:
        name = self.limits[self._bases.index(0)].id
        return self._owner.refused(Limited(limit=name, what="table", retry_after_s=1))

    # --- under the lock -----------------------------------------------------------------------

    def _bring(self, now_s: float) -> bool:
        """Bring the limits to this second; False where the table has no room for one of them.

        What is brought to a second stays where it is for a minute, since only what is idle is given away.
        """
        table, words, second = self.table, self.table.words, int(now_s)
        ring, own = SECONDS + second % RING, CELLS + table.slot
        for number, name in enumerate(self._names):
            base = self._bases[number]
            if words[base] != name:
                base = self._bases[number] = table.find(name, second)
                if not base:
                    return False
            if words[base + SECOND] != second:
                table.advance(base, second)
        places = [(base + TOTAL, base + ring, base + own, base + CELLS) for base in self._bases]
        self.brought(second + 1, second + RING, words[USED_SLOTS], places)
        return True

    def _weigh(self, tokens: int, at_least: int, now_s: float) -> Limited | None:
        """Judge a request that may be beyond a limit. None: it is within all of them."""
        refusal = self._why(tokens, at_least, now_s)
        if refusal is not None and refusal.what == "concurrent" and self.table.bury(now_s):
            refusal = self._why(tokens, at_least, now_s)
        return None if refusal is None else self._owner.refused(refusal)

    def _why(self, tokens: int, at_least: int, now_s: float) -> Limited | None:
        """The refusal that takes longest to pass, so that who waits as told is not refused again."""
        second, words = int(now_s), self.table.words
        worst_s, worst, newest = -1.0, ("", ""), second - RING + 1
        for limit, base in zip(self.limits, self._bases, strict=True):
            first, middle, end = base + SECONDS, base + SECONDS + (second + 1) % RING, base + SECONDS + RING
            ring = [*words[middle:end], *words[first:middle]]  # the oldest second first, the last being now
            newest = max(newest, next((second - ago for ago in range(RING) if ring[-1 - ago]), newest))
            waits = waits_s(limit, words[base + TOTAL], ring, tokens, at_least, now_s)
            if limit.concurrent is not None and self.table.in_flight(base) >= limit.concurrent:
                waits.append(("concurrent", 0.0))
            for what, wait_s in waits:
                if wait_s > worst_s:
                    worst_s, worst = wait_s, (limit.id, what)
        if worst_s < 0:
            return None
        retry_s = None if worst_s == inf else max(ceil(worst_s), 1)
        tells = self.told_now(max(ceil(newest + RING - now_s), 1))
        return Limited(limit=worst[0], what=worst[1], retry_after_s=retry_s, headers=tells)


class Limits:
    """The limits of this process, shared with all other workers on `folder`. For one thread (the event loop's).

    `refusals` counts by `Limited.what`. `clock`: seconds that never go back and are the same for all processes.
    """

    def __init__(self, table: SharedTable, clock: Callable[[], float]) -> None:
        self.table = table
        self.clock = clock
        self.refusals: dict[str, int] = {}
        self._limiters: dict[tuple[Limit, ...], Limiter] = {}

    @classmethod
    def open(cls, folder: Path, *, entries: int = ENTRIES, clock: Callable[[], float] = time.monotonic) -> "Limits":
        """The limits in the data folder `folder`. Raises `FarthingError` where the table cannot be made."""
        return cls(SharedTable(folder / "limits", entries=entries), clock)

    def close(self) -> None:
        """Leave: this worker's requests count as ended."""
        self.table.close()

    def limiter(self, limits: Sequence[Limit]) -> Limiter:
        """What admits requests that stand under all of `limits`, of distinct ids; the same one to all who ask."""
        wanted = tuple(limits)
        found = self._limiters.get(wanted)
        if found is None:
            if len(self._limiters) >= _MOST_LIMITERS:
                self._limiters.clear()
            found = self._limiters[wanted] = Limiter(self, wanted)
        return found

    def admit(self, limits: Sequence[Limit], tokens: int = 0, at_least: int = 0) -> Admission | Limited:
        """Count a request under `limits` (see `Limiter.admit`)."""
        return self.limiter(limits).admit(tokens, at_least)

    def in_flight(self, limit: str) -> int:
        """Requests under this limit that have not ended, over all living workers."""
        if not self.table.lock():
            return 0
        try:
            now_s = self.clock()
            self.table.bury(now_s)
            base = self.table.find(name_hash(limit), int(now_s), create=False)
            return self.table.in_flight(base) if base else 0
        finally:
            self.table.give_back()

    def refused(self, refusal: Limited) -> Limited:
        """Count a refusal."""
        self.refusals[refusal.what] = self.refusals.get(refusal.what, 0) + 1
        return refusal
