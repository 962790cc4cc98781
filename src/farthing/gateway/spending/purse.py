"""One purse as one worker holds it in memory."""

from farthing.gateway.spending.till import Lease
from farthing.ledger.bank import Short
from farthing.ledger.budgets import BudgetRef, Span

FIRST_CHUNK = 8
"""A first lease is for this many requests like the one that needs it (the bank may give less)."""
MOST_CHUNK = 1_024
STEADY_S = 1.0
"""Refills closer together than this mean that the chunk is too small."""
SHORT_S = 1.0
"""How long the bank's refusal is remembered, unless money comes back."""


class Purse(Lease):
    """A purse as this worker knows it: its lease, and what decides about the next one.

    `known`: the bank has been asked about it, so it has a lease there (perhaps of nothing). `blind`: so much may be
    held that is not known to be there: let pass while the bank was away, or leased under an easier rule. `pins`: slow
    reservations under way, which must find it where it is.
    """

    __slots__ = (
        "alerted", "blind", "chunk", "fetched_at", "id", "key", "known", "pins", "ref", "short", "short_returned",
        "short_until", "tight_until", "wait_until",
    )  # fmt: skip

    def __init__(self, id: str, key: tuple[str, str], ref: BudgetRef, span: Span, free: int, used: int) -> None:
        self.id = id
        self.key = key
        self.ref = ref
        self.start_s, self.end_s = span.start_s, span.end_s
        self.lease(free)
        self.known = False
        self.blind = 0
        self.chunk = 0
        self.fetched_at = float("-inf")
        self.pins = 0
        self.used = used
        self.alerted = False
        self.tight_until = float("-inf")
        self.short: Short | None = None
        self.short_until = self.wait_until = float("-inf")
        self.short_returned = 0

    def wish(self, amount: int, now: float) -> int:
        """How much more than needed to ask for: nothing while others are short; twice the last time where that
        did not last; else some requests' worth."""
        if now < self.tight_until:
            return 0
        self.chunk = self.chunk * 2 if now - self.fetched_at < STEADY_S else 0
        most = max(MOST_CHUNK * amount, self.ref.limit // FIRST_CHUNK)
        self.chunk = min(max(self.chunk, FIRST_CHUNK * amount), most)
        return self.chunk

    def note_short(self, short: Short, returned: int, now: float, patience_s: float) -> None:
        """The bank refused. Who is refused in the same bad patch waits no longer than the first did."""
        if self.short is None or now >= self.short_until:
            self.wait_until = now + patience_s
        self.short, self.short_returned, self.short_until = short, returned, now + SHORT_S
        self.tell(short.free)

    def is_short(self, amount: int, now: float, returned: int) -> bool:
        """Whether the bank has said lately that `amount` is not there, and nothing came back since."""
        return (
            self.short is not None
            and now < self.short_until
            and returned == self.short_returned
            and amount > self.free + self.short.free
        )

    def unspent(self) -> int:
        """What is not spent, nor held for lost attempts: some of it may be leased to others."""
        return self.ref.limit - (self.short.state.spent + self.short.state.held if self.short is not None else 0)

    def may_come_back(self, amount: int) -> bool:
        """Whether `amount` would be there if all leases came back."""
        return amount <= self.unspent() and (self.held > 0 or (self.short is not None and self.short.state.leased > 0))
