"""What limits are counted in and told by: a word of uses, how long it takes to pass, and the headers of an answer."""

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

from farthing.gateway.problem import Header
from farthing.gateway.shared_table import RING

if TYPE_CHECKING:
    from farthing.gateway.limits import Limit

# Requests and tokens share a word, so that one addition counts both: 28 bits of requests, 35 of tokens.
SHIFT = 28
REQUESTS = (1 << SHIFT) - 1
MOST_REQUESTS = REQUESTS - 1
MOST_TOKENS = 1 << 33
"""The largest limits and counts that the table holds (in one minute); larger ones are cut to them."""
CROWDED = MOST_TOKENS << SHIFT
"""From here on tokens are not added up any more, so that a word never overflows."""

_LEFT, _LEFT_TOKENS = b"x-ratelimit-remaining-requests", b"x-ratelimit-remaining-tokens"

Told = tuple[int | None, int | None, list[Header]]
"""What is told of limits: the requests and the tokens a minute that are stated; the headers that do not vary."""


def waits_s(
    limit: "Limit", uses: int, ring: list[int], tokens: int, at_least: int, now_s: float
) -> list[tuple[str, float]]:
    """What a request of these `tokens` would have to wait for ("requests", "tokens"; "size": for ever), in seconds.

    `uses`: what is used of the limit in the minute; `ring`: by second, the oldest first, the last being now.
    """
    used, taken = uses & REQUESTS, uses >> SHIFT
    waits: list[tuple[str, float]] = []
    most = limit.requests_per_minute
    most = MOST_REQUESTS if most is None else min(most, MOST_REQUESTS)
    if used >= most:
        waits.append(("requests", _passing_s([use & REQUESTS for use in ring], used - most + 1, now_s)))
    most = limit.tokens_per_minute
    if most is not None and (at_least > most or (taken + tokens > most and (taken > 0 or most == 0))):
        surplus = taken - max(most - tokens, 0)
        wait_s = inf if at_least > most else _passing_s([use >> SHIFT for use in ring], surplus, now_s)
        waits.append(("size" if at_least > most else "tokens", wait_s))
    return waits


def _passing_s(uses: list[int], surplus: int, now_s: float) -> float:
    """Seconds until `surplus` of the uses (by second, the oldest first, the last being now) have left the minute."""
    oldest = int(now_s) - RING + 1
    for at, use in enumerate(uses):
        surplus -= use
        if surplus <= 0:
            return oldest + at + RING - now_s
    return float(RING)  # a limit of nothing: no wait helps, and a client should not come often


def least(limits: "Sequence[Limit]", uses: Sequence[int], reset_s: int) -> tuple[Told, int]:
    """What to tell of the limits with least left, of requests and of tokens; and what is used of them, in a word.

    `uses`: of each limit. `reset_s`: until nothing of what was used counts any more.
    """
    left = left_tokens = 0
    most = most_tokens = None
    for limit, use in zip(limits, uses, strict=True):
        if (stated := limit.requests_per_minute) is not None:
            here = max(stated - (use & REQUESTS), 0)
            if most is None or here < left:
                left, most = here, stated
        if (stated := limit.tokens_per_minute) is not None:
            here = max(stated - (use >> SHIFT), 0)
            if most_tokens is None or here < left_tokens:
                left_tokens, most_tokens = here, stated
    used, taken = (most or 0) - left, (most_tokens or 0) - left_tokens
    return told(most, most_tokens, used and reset_s, taken and reset_s), taken << SHIFT | used


@lru_cache(maxsize=1024)
def told(requests: int | None, tokens: int | None, requests_reset_s: int, tokens_reset_s: int) -> Told:
    """How limits of so much a minute are told, of which nothing is used any more after these whole seconds."""
    fixed: list[Header] = []
    if requests is not None:
        fixed.append((b"x-ratelimit-limit-requests", b"%d" % requests))
        fixed.append((b"x-ratelimit-reset-requests", _duration(requests_reset_s)))
    if tokens is not None:
        fixed.append((b"x-ratelimit-limit-tokens", b"%d" % tokens))
        fixed.append((b"x-ratelimit-reset-tokens", _duration(tokens_reset_s)))
    return requests, tokens, fixed


def headers(told: Told, uses: int) -> list[Header]:
    """`x-ratelimit-…` as OpenAI gives them, where so much is used of what is told (no more than it)."""
    requests, tokens, fixed = told
    if requests is None:
        return [] if tokens is None else [*fixed, (_LEFT_TOKENS, b"%d" % (tokens - (uses >> SHIFT)))]
    left = (_LEFT, b"%d" % (requests - (uses & REQUESTS)))
    return [*fixed, left] if tokens is None else [*fixed, left, (_LEFT_TOKENS, b"%d" % (tokens - (uses >> SHIFT)))]


def _duration(seconds: int) -> bytes:
    """Whole seconds as OpenAI writes them: "59s", "1m1s"."""
    return b"%dm%ds" % divmod(seconds, 60) if seconds >= 60 else b"%ds" % seconds
