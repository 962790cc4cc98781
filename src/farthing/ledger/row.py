"""One attempt at a request, as the ledger keeps it: who asked, what was served, what it consumed, what it cost."""

from collections.abc import Mapping

import msgspec

STATES = ("open", "done", "failed", "cancelled", "lost")
"""open: sent, no end yet. done: answered. failed: an error or no answer. cancelled: the client left. lost: found open
after its worker died."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One attempt; a request has several where it was retried or fell back.

    `attempt` is unique in all ledgers (a repeated write of it changes nothing but its state); `request` groups
    attempts; `number` counts them from 1. Times are microseconds since 1970 (UTC); `first_us`: the first byte
    of the answer. `quantities`: counts by meter in 1/scale units (see `units`), disjoint. `usd`: the exact
    charge as a fraction in text ("23/5000"), None: unknown, and then `unknown` says why; `price`: which price
    record it rests on, with its source. `reported_usd`: what the provider says it cost. `estimated`: the usage
    was not stated by the provider (the stream broke, the client left). `key`: the virtual key's id, never the
    key. `attrs`: what else the price depends on (image size, quality, …), as in `Usage`. `decision`: what the
    policies chose, from what, with which probabilities (JSON). `answer`: the provider's id of the answer.
    `holds`: nanodollars by purse (a budget in one period): reserved in an open row, charged to it in a final one;
    the ledger settles them and does not keep them in rows.
    """

    attempt: str
    request: str
    number: int = 1
    state: str = "open"
    started_us: int
    ended_us: int | None = None
    first_us: int | None = None
    worker: str = ""
    key: str = ""
    protocol: str = ""
    surface: str = ""
    provider: str = ""
    upstream: str = ""
    model_asked: str = ""
    model_served: str = ""
    tier_asked: str = ""
    tier_served: str = ""
    region: str = ""
    streamed: bool = False
    status: int | None = None
    error: str = ""
    quantities: Mapping[str, int] = {}
    usd: str | None = None
    unknown: str = ""
    price: str = ""
    reported_usd: str | None = None
    estimated: bool = False
    feature: str = ""
    request_type: str = ""
    user: str = ""
    segment: str = ""
    session: str = ""
    tags: Mapping[str, str] = {}
    attrs: Mapping[str, str] = {}
    decision: str = ""
    answer: str = ""
    holds: Mapping[str, int] = {}
