"""What a writer says of itself."""

import msgspec


class LedgerFull(Exception):
    """The ledger can keep no more rows: neither database nor journal takes them, and memory is at its bound."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the writer fares. `ok`: rows that are accepted now become durable soon, in files that are in their place.
    `reason`: what is amiss, if anything.

    `waiting`: rows in memory. `spilled`: rows in the journal only, because the store refused them. `unjournaled`: rows
    in memory that the journal refused: a kill would take them. `failing_s`: since when the store refuses.
    """

    ok: bool
    reason: str
    waiting: int
    spilled: int
    unjournaled: bool
    failing_s: float
