"""Rate limits and concurrency limits, exact over all workers of a machine.

A minute is a sliding one: no span of 60 seconds, wherever it begins, holds more requests or more (estimated) tokens
than the limit. Uses are counted by the second, and a second counts until the whole of it is a minute old; so the
count is never too low, and too high for less than a second. (A token bucket with a minute's burst, the usual choice,
lets twice the limit through in the first minute.)
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil
from pathlib import Path

import msgspec

from farthing.gateway.problem import Header
from farthing.gateway.shared_table import CELLS, ENTRIES, RING, SECOND, SECONDS, TOTAL, SharedTable, name_hash

# Requests and tokens share a word, so that one addition counts both: 28 bits of requests, 35 of tokens.
_SHIFT = 28
_REQUESTS = (1 << _SHIFT) - 1
MOST_REQUESTS = _REQUESTS
MOST_TOKENS = 1 << 33
"""The largest limits and counts that the table holds (in one minute); larger ones are cut to them."""
_CROWDED = MOST_TOKENS << _SHIFT  # from here on tokens are not added up any more, so that a word never overflows
_REMEMBERED = 65_536  # names whose entry is known without a search

Places = list[tuple[int, int]]
"""Where limits stand in the table: hash and first word of each."""


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


class Admission:
    """One admitted request. `settle` and `release` may be called any number of times, in any order."""

    __slots__ = ("_limits", "_now_s", "_open", "_owner", "_places", "_tokens", "_totals")

    def __init__(
        self, owner: "Limits", limits: Sequence[Limit], places: Places, totals: list[int], now_s: float, tokens: int
    ) -> None:
        self._owner = owner
        self._limits = limits
        self._places = places
        self._totals = totals
        self._now_s = now_s
        self._tokens = tokens
        self._open = True

    def settle(self, tokens: int) -> None:
        """Say how many tokens it took indeed, instead of the estimate.

        Fewer are given back to the second of admission; more count from now, and may bring the limit into debt.
        """
        tokens = min(max(tokens, 0), MOST_TOKENS)
        change = tokens - self._tokens
        for limit in self._limits if change else ():
            if limit.tokens_per_minute is not None:
                self._owner._settle(self._places, int(self._now_s), change)
                self._tokens = tokens
                return

    def release(self) -> None:
        """The request has ended: it is in flight no more. What it used still counts in its minute."""
        if self._open:
            self._open = False
            self._owner._release(self._places)

    @property
    def headers(self) -> list[Header]:
        """`x-ratelimit-…` as OpenAI gives them, for the limit with the least left."""
        reset_s = int(self._now_s) + RING - self._now_s
        use = self._tokens << _SHIFT | 1
        return _headers(self._limits, [total + use for total in self._totals], reset_s)


class Limits:
    """The limits of this process, shared with all other workers on `folder`. For one thread (the event loop's).

    `refusals` counts by `Limited.what`. `clock`: seconds that never go back and are the same for all processes.
    """

    def __init__(self, table: SharedTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._known: dict[str, tuple[int, int]] = {}
        self._late: list[tuple[Places, int, int]] = []
        self.refusals: dict[str, int] = {}

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
        self._table.close()

    def admit(self, limits: Sequence[Limit], tokens: int = 0, at_least: int = 0) -> Admission | Limited:
        """Count a request of an estimated number of `tokens` under all `limits` (of distinct ids), or under none.

        An estimate above a whole limit is admitted when nothing else is in the minute, since it may be far too
        high; `at_least`, the tokens that it surely takes (its prompt), is not.
        """
        table = self._table
        tokens = min(max(tokens, at_least, 0), MOST_TOKENS)
        if not table.lock():
            return self._refused(Limited(limit="", what="busy", retry_after_s=1))
        try:
            now_s = self._clock()  # after the lock is had, so that times follow each other
            if self._late:
                self._settle_late()
            found = self._try(limits, tokens, at_least, now_s)
            if type(found) is Limited and found.what == "concurrent" and table.bury(now_s):
                found = self._try(limits, tokens, at_least, now_s)
        finally:
            table.unlock()
        return found if type(found) is Admission else self._refused(found)  # type: ignore[arg-type]

    def in_flight(self, limit: str) -> int:
        """Requests under this limit that have not ended, over all living workers."""
        if not self._table.lock():
            return 0
        try:
            now_s = self._clock()
            self._table.bury(now_s)
            base = self._table.find(name_hash(limit), int(now_s), create=False)
            return self._table.in_flight(base) if base else 0
        finally:
            self._table.unlock()

    # --- under the lock -----------------------------------------------------------------------

    def _try(self, limits: Sequence[Limit], tokens: int, at_least: int, now_s: float) -> Admission | Limited:
        table, words, known, second = self._table, self._table.words, self._known, int(now_s)
        places: list[tuple[int, int]] = []
        totals: list[int] = []
        for limit in limits:
            place = known.get(limit.id) or self._remember(limit.id, second)
            if words[place[1]] != place[0] and not (place := self._remember(limit.id, second))[1]:
                return Limited(limit=limit.id, what="table", retry_after_s=1)
            base = place[1]
            if words[base + SECOND] != second:
                table.advance(base, second)
            total = words[base + TOTAL]
            if (
                ((most := limit.requests_per_minute) is not None and (total & _REQUESTS) >= most)
                or (
                    (most := limit.tokens_per_minute) is not None
                    and (total >> _SHIFT) + tokens > most
                    and _is_over(total >> _SHIFT, tokens, at_least, most)
                )
                or ((most := limit.concurrent) is not None and table.in_flight(base) >= most)
                or (total & _REQUESTS) >= MOST_REQUESTS
            ):
                return self._why(limits, tokens, at_least, now_s)
            places.append(place)
            totals.append(total)
        use = tokens << _SHIFT | 1
        ring, cell = SECONDS + second % RING, CELLS + table.slot
        for (_, base), total in zip(places, totals, strict=True):
            here = use if total < _CROWDED else 1
            words[base + TOTAL] = total + here
            words[base + ring] += here
            words[base + cell] += 1
        return Admission(self, limits, places, totals, now_s, tokens)

    def _remember(self, limit: str, second: int) -> tuple[int, int]:
        """The limit's hash and entry (0: there is no room)."""
        name = name_hash(limit)
        base = self._table.find(name, second)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        if base:
            self._known[limit] = name, base
        return name, base

    def _why(self, limits: Sequence[Limit], tokens: int, at_least: int, now_s: float) -> Limited:
        """The refusal that takes longest to pass, so that who waits as told is not refused again."""
        second, words = int(now_s), self._table.words
        worst_s, worst, totals, newest = -1.0, ("", ""), [], second - RING + 1
        for limit in limits:
            _, base = self._remember(limit.id, second)
            if not base:
                totals.append(0)
                continue
            self._table.advance(base, second)
            total = words[base + TOTAL]
            totals.append(total)
            used, taken = total & _REQUESTS, total >> _SHIFT
            first, middle, end = base + SECONDS, base + SECONDS + (second + 1) % RING, base + SECONDS + RING
            ring = [*words[middle:end], *words[first:middle]]  # the oldest second first, the last being now
            newest = max(newest, next((second - at for at in range(RING) if ring[-1 - at]), newest))
            waits: list[tuple[str, float]] = []
            most = limit.requests_per_minute
            most = MOST_REQUESTS if most is None else min(most, MOST_REQUESTS)
            if used >= most:
                uses = [use & _REQUESTS for use in ring]
                waits.append(("requests", _wait_s(uses, used - most + 1, now_s)))
            most = limit.tokens_per_minute
            if most is not None and _is_over(taken, tokens, at_least, most):
                if at_least > most:
                    waits.append(("size", float("inf")))
                else:
                    uses = [use >> _SHIFT for use in ring]
                    waits.append(("tokens", _wait_s(uses, taken - max(most - tokens, 0), now_s)))
            if limit.concurrent is not None and self._table.in_flight(base) >= limit.concurrent:
                waits.append(("concurrent", 0.0))
            for what, wait_s in waits:
                if wait_s > worst_s:
                    worst_s, worst = wait_s, (limit.id, what)
        headers = _headers(limits, totals, newest + RING - now_s)
        retry_s = None if worst_s == float("inf") else max(ceil(worst_s), 1)
        return Limited(limit=worst[0], what=worst[1], retry_after_s=retry_s, headers=headers)

    # --- what admissions call -----------------------------------------------------------------

    def _settle(self, places: Places, admitted: int, change: int) -> None:
        if not self._table.lock():
            if len(self._late) < _REMEMBERED:
                self._late.append((places, admitted, change))
            return
        try:
            if self._late:
                self._settle_late()
            self._change(places, admitted, change)
        finally:
            self._table.unlock()

    def _settle_late(self) -> None:
        """Under the lock: what was settled while it was out of reach."""
        for late in self._late:
            self._change(*late)
        self._late.clear()

    def _change(self, places: Places, admitted: int, change: int) -> None:
        table, words, second = self._table, self._table.words, int(self._clock())
        if change < 0 and second - admitted >= RING:
            return  # the estimate has left the minute already
        ring = SECONDS + (second if change > 0 else admitted) % RING
        for name, base in places:
            if words[base] != name:
                continue  # given to another: this one was idle, so its minute is over
            if words[base + SECOND] != second:
                table.advance(base, second)
            most = MOST_TOKENS - (words[base + TOTAL] >> _SHIFT) if change > 0 else words[base + ring] >> _SHIFT
            use = change << _SHIFT if abs(change) <= most else (most if change > 0 else -most) << _SHIFT
            words[base + ring] += use
            words[base + TOTAL] += use

    def _release(self, places: Places) -> None:
        # Without the lock: no other process writes this worker's cells while it lives.
        words, cell = self._table.words, CELLS + self._table.slot
        try:
            for name, base in places:
                if words[base] == name and words[base + cell] > 0:
                    words[base + cell] -= 1
        except ValueError:
            return  # closed: the cells were dropped then

    def _refused(self, refusal: Limited) -> Limited:
        self.refusals[refusal.what] = self.refusals.get(refusal.what, 0) + 1
        return refusal


def _is_over(taken: int, tokens: int, at_least: int, most: int) -> bool:
    return at_least > most or (taken + tokens > most and (taken > 0 or most == 0))


def _wait_s(uses: list[int], surplus: int, now_s: float) -> float:
    """Seconds until `surplus` of the uses (by second, the oldest first, the last being now) have left the minute."""
    oldest = int(now_s) - RING + 1
    for at, use in enumerate(uses):
        surplus -= use
        if surplus <= 0:
            return oldest + at + RING - now_s
    return float(RING)  # a limit of nothing: no wait helps, and a client should not come often


def _headers(limits: Sequence[Limit], totals: Sequence[int], reset_s: float) -> list[Header]:
    """Limit, remaining and reset (when nothing of what was used counts any more) of the limits with least left."""
    requests = tokens = requests_of = tokens_of = -1
    for limit, total in zip(limits, totals, strict=True):
        if (most := limit.requests_per_minute) is not None:
            left = most - (total & _REQUESTS)
            if left < 0:
                left = 0
            if requests < 0 or left < requests:
                requests, requests_of = left, most
        if (most := limit.tokens_per_minute) is not None:
            left = most - (total >> _SHIFT)
            if left < 0:
                left = 0
            if tokens < 0 or left < tokens:
                tokens, tokens_of = left, most
    found: list[Header] = []
    reset = _duration(max(ceil(reset_s), 1))
    if requests >= 0:
        found += (
            (b"x-ratelimit-limit-requests", b"%d" % requests_of),
            (b"x-ratelimit-remaining-requests", b"%d" % requests),
            (b"x-ratelimit-reset-requests", reset if requests < requests_of else b"0s"),
        )
    if tokens >= 0:
        found += (
            (b"x-ratelimit-limit-tokens", b"%d" % tokens_of),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens),
            (b"x-ratelimit-reset-tokens", reset if tokens < tokens_of else b"0s"),
        )
    return found


@lru_cache(maxsize=RING + 2)
def _duration(seconds: int) -> bytes:
    """Whole seconds as OpenAI writes them: "59s", "1m1s"."""
    return b"%dm%ds" % divmod(seconds, 60) if seconds >= 60 else b"%ds" % seconds
