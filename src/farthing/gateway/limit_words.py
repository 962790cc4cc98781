"""What limits are told by: how long it takes until there is room, and the headers of an answer that do not vary."""

from math import inf
from typing import TYPE_CHECKING

from farthing.gateway.limit_moment import MOST_REQUESTS, REQUESTS, SHIFT
from farthing.gateway.shared_table import RING

if TYPE_CHECKING:
    from farthing.gateway.limits import Limit


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
