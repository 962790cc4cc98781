"""Rate limits and concurrency limits, exact over all workers of a machine.

A minute is a sliding one: no span of 60 seconds, wherever it begins, holds more requests or more (estimated) tokens
than the limit. Uses are counted by the second, and a second counts until the whole of it is a minute old; so the
count is never too low, and too high for less than a second. (A token bucket with a minute's burst, the usual choice,
lets twice the limit through in the first minute.)
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, inf
from pathlib import Path

import msgspec

from farthing.gateway.limit_words import (
    CROWDED,
    MOST_REQUESTS,
    MOST_TOKENS,
    REQUESTS,
    SHIFT,
    Told,
    headers,
    least,
    told,
    waits_s,
)
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


class Bound(msgspec.Struct, frozen=True, gc=False):
    """What one limit is compared by: the most requests, the word that too many tokens make, the most in flight."""

    requests: int
    full: int
    concurrent: int | None


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Where limits count in one second, which is over at `until_s` and has left the minute at `gone_s`.

    By limit: `uses`, the words of its total and of that second; `cells`, that of this worker's requests in flight.
    `bounds`: those three, then those of a `Bound`, the last being the words of all workers' requests in flight (None:
    no limit) and the most of them. `slots`: how many workers these words are of.
    """

    until_s: float
    gone_s: float
    slots: int
    uses: list[tuple[int, int]]
    cells: list[int]
    bounds: list[tuple[int, int, int, int, int, slice | None, int]]


class Admission(msgspec.Struct, gc=False):
    """One admitted request, of an estimated or known number of `tokens`.

    `headers`: `x-ratelimit-…` as OpenAI gives them, for the limit with the least left.
    """

    limiter: "Limiter"
    moment: Moment
    tokens: int
    headers: list[Header]
    in_flight: bool = True

    def end(self, tokens: int) -> None:
        """The request has ended, and took so many tokens instead of the estimate: it is in flight no more.

        Fewer are given back to the second of admission; more count from now, and may bring the limit into debt. May be
        called again, where the tokens turn out to be others.
        """
        limiter = self.limiter
        if tokens < 0:
            tokens = 0
        change = tokens - self.tokens
        self.tokens = tokens
        if change and limiter.meters:
            table = limiter.table
            if not (answer := table.attempt()) or table.had(answer):
                try:
                    limiter.change(self.moment, change)
                finally:
                    table.give_back()
            else:
                table.put_off(partial(limiter.change, self.moment, change))
        if self.in_flight:
            self.in_flight = False
            # Without the lock: no other process writes this worker's cells while it lives, and no entry is given
            # away while something is in flight in it.
            words = limiter.table.words
            try:
                for cell in self.moment.cells:
                    words[cell] -= 1
            except ValueError:
                pass  # the table is closed: what this worker had in flight was dropped then


class Limiter:
    """Limits of distinct ids that requests stand under together, made ready once for all of those requests."""

    __slots__ = ("_alone", "_bases", "_bounds", "_clock", "_moment", "_names", "_owner", "limits", "meters", "table")

    def __init__(self, owner: "Limits", limits: Sequence[Limit]) -> None:
        self.limits = limits
        self.meters = any(limit.tokens_per_minute is not None for limit in limits)
        self.table = owner.table
        self._owner = owner
        self._clock = owner.clock
        self._names = [name_hash(limit.id) for limit in limits]
        self._bases = [0] * len(limits)
        self._bounds = [_bound(limit) for limit in limits]
        self._alone: Told | None = None
        if len(limits) == 1:
            self._alone = told(limits[0].requests_per_minute, limits[0].tokens_per_minute, RING, RING)
        self._moment = Moment(-inf, -inf, 0, [], [], [])

    def admit(self, tokens: int = 0, at_least: int = 0) -> Admission | Limited:
        """Count a request of an estimated number of `tokens` under all the limits, or under none.

        An estimate above a whole limit is admitted when nothing else is in the minute, since it may be far too
        high; `at_least` (not negative), the tokens that it surely takes (its prompt), is not.
        """
        if not at_least <= tokens <= MOST_TOKENS:
            tokens = min(max(tokens, at_least), MOST_TOKENS)
        table = self.table
        if (answer := table.attempt()) and not table.had(answer):
            return self._owner.refused(Limited(limit="", what="busy", retry_after_s=1))
        try:
            now_s = self._clock()  # after the lock is had, so that times follow each other
            words, moment = table.words, self._moment
            if now_s >= moment.until_s or words[USED_SLOTS] != moment.slots:
                if not self._bring(now_s):
                    name = self.limits[self._bases.index(0)].id
                    return self._owner.refused(Limited(limit=name, what="table", retry_after_s=1))
                moment = self._moment
            use = tokens << SHIFT | 1
            tells = self._alone if tokens else None
            for at, second, cell, requests, full, cells, concurrent in moment.bounds:
                uses = words[at] + use
                if (
                    uses & REQUESTS > requests
                    or uses >= full
                    or (cells is not None and sum(words[cells]) >= concurrent)
                ):  # not plainly within this limit
                    refusal = self._weigh(at, tokens, at_least, now_s)
                    if refusal is not None:
                        return self._owner.refused(refusal)
                    tells = None
                    break
                words[at] = uses
                words[second] += use
                words[cell] += 1
            if tells is None:
                tells, uses = self._least(RING)
        finally:
            table.give_back()
        return Admission(self, moment, tokens, headers(tells, uses))

    # --- under the lock -----------------------------------------------------------------------

    def change(self, admitted: Moment, tokens: int) -> None:
        """Count so many tokens more, from now; or (negative) fewer, of those that were counted in `admitted`."""
        now_s, words, uses = self._clock(), self.table.words, admitted.uses
        if now_s >= admitted.until_s:
            if tokens < 0:
                if now_s >= admitted.gone_s:
                    return  # the estimate has left the minute already, and its entry may be another's
            elif now_s < self._moment.until_s or self._bring(now_s):
                uses = self._moment.uses
            else:
                return  # its entry was given to another: it was idle, so its minute is over
        use = tokens << SHIFT
        for at, second in uses:
            total, here = words[at] + use, words[second] + use
            if here < 0 or total >= CROWDED:  # as much as there is, or as there is room for
                part = -(words[second] >> SHIFT) if use < 0 else max(MOST_TOKENS - (words[at] >> SHIFT), 0)
                total, here = words[at] + (part << SHIFT), words[second] + (part << SHIFT)
            words[at] = total
            words[second] = here

    def _bring(self, now_s: float) -> bool:
        """Bring the limits to this second; False where the table has no room for one of them.

        What is brought to a second stays where it is for a minute, since only what is idle is given away.
        """
        table, words, second = self.table, self.table.words, int(now_s)
        ring, own, slots = SECONDS + second % RING, CELLS + table.slot, words[USED_SLOTS]
        bounds: list[tuple[int, int, int, int, int, slice | None, int]] = []
        for number, name in enumerate(self._names):
            base = self._bases[number]
            if words[base] != name:
                base = self._bases[number] = table.find(name, second)
                if not base:
                    return False
            if words[base + SECOND] != second:
                table.advance(base, second)
            bound = self._bounds[number]
            cells = None if bound.concurrent is None else table.cells(base)
            bounds.append(
                (base + TOTAL, base + ring, base + own, bound.requests, bound.full, cells, bound.concurrent or 0)
            )
        uses, owned = [bound[:2] for bound in bounds], [bound[2] for bound in bounds]
        self._moment = Moment(second + 1, second + RING, slots, uses, owned, bounds)
        return True

    def _weigh(self, at: int, tokens: int, at_least: int, now_s: float) -> Limited | None:
        """Judge a request that may be beyond the limit at `at`, and is counted before it. None: it is counted."""
        words, use, moment = self.table.words, tokens << SHIFT | 1, self._moment
        for total, second, cell, *_ in moment.bounds:
            if total == at:
                break
            words[total] -= use
            words[second] -= use
            words[cell] -= 1
        refusal = self._why(tokens, at_least, now_s)
        if refusal is not None and refusal.what == "concurrent" and self.table.bury(now_s):
            refusal = self._why(tokens, at_least, now_s)
        if refusal is None:
            for total, second, cell, *_ in moment.bounds:
                here = use if words[total] < CROWDED else 1
                words[total] += here
                words[second] += here
                words[cell] += 1
        return refusal

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
        tells = headers(*self._least(max(ceil(newest + RING - now_s), 1)))
        return Limited(limit=worst[0], what=worst[1], retry_after_s=retry_s, headers=tells)

    def _least(self, reset_s: int) -> tuple[Told, int]:
        words = self.table.words
        return least(self.limits, [words[base + TOTAL] for base in self._bases], reset_s)


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
    def open(
        cls, folder: Path, worker: str = "", *, entries: int = ENTRIES, clock: Callable[[], float] = time.monotonic
    ) -> "Limits":
        """The limits in the data folder `folder`. Raises `FarthingError` where the table cannot be made.

        `worker` is this worker's id; the slot's lock, not the id, says who lives.
        """
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


def _bound(limit: Limit) -> Bound:
    requests, tokens = limit.requests_per_minute, limit.tokens_per_minute
    return Bound(
        MOST_REQUESTS if requests is None else min(requests, MOST_REQUESTS),
        CROWDED if tokens is None else min(tokens + 1 << SHIFT, CROWDED),
        limit.concurrent,
    )
