"""Policy "prompt-cache": what a provider's prompt cache would have made of recorded requests.

Simulated request by request under that provider's own rules: minimum length, step, time-to-live and
whether reads refresh it, automatic or by breakpoint, where written tokens are counted. What is shared
between requests comes from prefix-block hashes where the usage has them, else from the turns of a
session (each turn repeats the prompt of the last one). Writes cost what they cost: under a provider
that charges for them, prompts that are never repeated come out dearer, and the replay says so.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from farthing.rates.rules import CacheTtl, CachingRule
from farthing.time import microseconds
from farthing.units import CACHE_READS, CACHE_WRITES
from farthing.usage.record import Usage

_HOUR = 3_600_000_000
_UNSTATED_TTL = 300_000_000  # five minutes: the shortest that any provider states


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a caching rule that decides what is read and written; rules that share it share a run.

    Times in microseconds. `write_meter` "input": the provider does not count written tokens apart.
    `breakpoint`: everything up to the end of the prompt is written; else only whole steps are.
    """

    min_tokens: int
    step: int
    ttl: int
    at_most: int | None
    refresh: bool
    breakpoint: bool
    read_meter: str
    write_meter: str


def behaviour(rule: CachingRule, ttl: CacheTtl | None = None) -> Behaviour | None:
    """The behaviour of `rule` with one of its times-to-live (the first: the default); None: it caches nothing.

    What the rule's source leaves open is taken at its least favourable: a refresh that is not stated
    does not happen, a time-to-live that is not stated is five minutes.
    """
    chosen = ttl or next(iter(rule.ttls), None)
    if rule.mode == "none" or chosen is None:
        return None
    return Behaviour(
        min_tokens=rule.min_tokens or 1,
        step=rule.step or 1,
        ttl=chosen.seconds * 1_000_000 if chosen.seconds else _UNSTATED_TTL,
        at_most=chosen.at_most_s * 1_000_000 if chosen.at_most_s else None,
        refresh=bool(rule.refresh_on_read),
        breakpoint=rule.mode != "automatic",
        read_meter=rule.read_meter,
        write_meter=chosen.meter,
    )


class _Entry(msgspec.Struct):
    stored: int
    used: int
    tokens: int = 0


class PromptCache:
    """One provider's cache, fed requests in the order of their start. `apply` rewrites each."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._blocks: dict[int, _Entry] = {}
        self._sessions: dict[tuple[str | None, str], _Entry] = {}
        self._swept = 0

    def apply(self, usage: Usage) -> Usage:
        """`usage` with its prompt split into what this cache would have read and written, and the rest.

        A request of which nothing tells what it shares (no hashes, no session), or that sums several,
        is left as it was recorded.
        """
        if not tells_what_is_shared(usage):
            return usage
        prompt = sum(n for name, n in usage.quantities.items() if name in _TEXT_PROMPT)
        now = microseconds(usage.at)
        if usage.prefix_hashes:
            read, written = self._by_blocks(usage.prefix_hashes, usage.block_tokens or 1, prompt, now)
        else:
            read, written = self._by_session((usage.model, usage.session or ""), prompt, now)
        quantities = {name: n for name, n in usage.quantities.items() if name not in _TEXT_PROMPT}
        b = self.behaviour
        for name, n in (("input", prompt - read - written), (b.read_meter, read), (b.write_meter, written)):
            if n:
                quantities[name] = quantities.get(name, 0) + n
        return msgspec.structs.replace(usage, quantities=quantities)

    def _alive(self, entry: _Entry | None, now: int) -> bool:
        if entry is None:
            return False
        b = self.behaviour
        if b.at_most is not None and now - entry.stored > b.at_most:
            return False
        return now - (entry.used if b.refresh else entry.stored) <= b.ttl

    def _usable(self, shared: int) -> int:
        b = self.behaviour
        return 0 if shared < b.min_tokens else shared - shared % b.step

    def _storable(self, prompt: int) -> int:
        b = self.behaviour
        if prompt < b.min_tokens:
            return 0
        return prompt if b.breakpoint else prompt - prompt % b.step

    def _split(self, shared: int, prompt: int) -> tuple[int, int]:
        read = self._usable(min(shared, prompt))
        return read, max(self._storable(prompt) - read, 0)

    def _by_blocks(self, hashes: Sequence[int], size: int, prompt: int, now: int) -> tuple[int, int]:
        run = 0
        for block in hashes:
            if not self._alive(self._blocks.get(block), now):
                break
            run += 1
        read, written = self._split(min(run * size, prompt), prompt)
        if read or written:
            for place, block in enumerate(hashes):
                if read and place < run:
                    self._blocks[block].used = now
                else:  # new, expired, or too short to be read and so written again
                    self._blocks[block] = _Entry(stored=now, used=now)
        self._sweep(now)
        return read, written

    def _by_session(self, session: tuple[str | None, str], prompt: int, now: int) -> tuple[int, int]:
        entry = self._sessions.get(session)
        # A prompt shorter than the last one is not its continuation (a compaction, a new task): nothing is shared.
        shared = entry.tokens if entry is not None and self._alive(entry, now) and entry.tokens <= prompt else 0
        read, written = self._split(shared, prompt)
        if read or written:
            stored = entry.stored if entry is not None and read else now
            self._sessions[session] = _Entry(stored=stored, used=now, tokens=self._storable(prompt))
        return read, written

    def _sweep(self, now: int) -> None:
        """Forget blocks that have expired, once an hour of the trace: memory follows the time-to-live."""
        if now - self._swept > max(_HOUR, self.behaviour.ttl):
            self._swept = now
            self._blocks = {block: entry for block, entry in self._blocks.items() if self._alive(entry, now)}


_TEXT_PROMPT = frozenset({"input", *CACHE_READS, *CACHE_WRITES} - {
    name for name in (*CACHE_READS, *CACHE_WRITES) if name.endswith(("_audio", "_image", "_video"))
})  # fmt: skip


def tells_what_is_shared(usage: Usage) -> bool:
    """Whether `usage` says what its prompt shares with others: block hashes or a session."""
    return usage.requests == 1 and not usage.unmeasured and bool(usage.prefix_hashes or usage.session)


def in_force(rules: Sequence[CachingRule], at: datetime) -> CachingRule | None:
    """The first of `rules` whose dates contain `at`."""
    return next(
        (r for r in rules if (r.valid_from is None or r.valid_from <= at) and (r.valid_to is None or at < r.valid_to)),
        None,
    )
