"""One purse as one worker holds it in memory, and what a request has reserved of it."""

from collections.abc import Sequence

import msgspec

from farthing.ledger.bank import Short
from farthing.ledger.budgets import BudgetRef, Span

FIRST_CHUNK = 8
"""A first lease is for this many requests like the one that needs it (the bank may give less)."""
MOST_CHUNK = 1_024
STEADY_S = 1.0
"""Refills closer together than this mean that the chunk is too small."""
SHORT_S = 1.0
"""How long the bank's refusal is remembered, unless money comes back."""


class Purse:
    """A purse's lease in this worker, nanodollars: `leased` is `free` or `held` by requests in flight.

    `bank_free`: what was left for all when the bank was last asked. `left`: that and what is free here, which is what
    a reservation changes; so `free` is `left - bank_free`. `known`: the bank has been asked about it, so it has a
    lease there (perhaps of nothing). `blind`: let pass while the bank was away. `used`: the tick of the last
    reservation. `pins`: slow reservations under way, which must find it where it is.
    """

    __slots__ = (
        "alerted", "bank_free", "blind", "chunk", "end_s", "fetched_at", "id", "key", "known", "leased", "left", "pins",
        "ref", "short", "short_returned", "short_until", "start_s", "tight_until", "used", "wait_until",
    )  # fmt: skip

    def __init__(self, id: str, key: tuple[str, str], ref: BudgetRef, span: Span, free: int, used: int) -> None:
        self.id = id
        self.key = key
        self.ref = ref
        self.start_s, self.end_s = span.start_s, span.end_s
        self.left = self.leased = free
        self.bank_free = 0
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

    @property
    def free(self) -> int:
        """What is leased, and held by nobody."""
        return self.left - self.bank_free

    @property
    def held(self) -> int:
        """What requests in flight hold of the lease."""
        return self.leased - self.free

    def lease(self, amount: int) -> None:
        """So much more is leased, and free; below zero: less."""
        self.leased += amount
        self.left += amount

    def give_back(self, amount: int) -> None:
        """So much of what is free goes back to the bank."""
        self.leased -= amount
        self.bank_free += amount

    def tell(self, bank_free: int) -> None:
        """What the bank has left for all."""
        self.left += bank_free - self.bank_free
        self.bank_free = bank_free

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


class Account:
    """The purses of a set of budgets: all are known, and of the period from `start_s` to `end_s`.

    `tightest`: those among which is the one with least left (hard ones count before others). `alike`: these are all of
    them, and the account is remembered for its budgets. `used`: the tick of the last reservation, until `mark`.
    """

    __slots__ = ("alike", "budgets", "end_s", "ids", "purses", "start_s", "tightest", "used")

    def __init__(self, budgets: Sequence[BudgetRef], purses: list[Purse]) -> None:
        self.budgets = budgets
        self.purses = purses
        self.ids = [purse.id for purse in purses]
        self.tightest = tightest(purses)
        self.alike = False
        self.used = 0
        self.start_s = max((purse.start_s for purse in purses), default=float("-inf"))
        self.end_s = min((purse.end_s for purse in purses), default=float("inf"))

    def mark(self) -> None:
        """Tell the purses when they were used: a reservation tells the account alone."""
        for purse in self.purses:
            purse.used = max(purse.used, self.used)
        self.used = 0


def tightest(purses: list[Purse]) -> list[Purse]:
    """Those whose remainders count for a client: the hard ones; all where none is hard."""
    return [purse for purse in purses if purse.ref.hard] or purses


class Hold(msgspec.Struct, eq=False, gc=False):
    """What one attempt has reserved: `amounts` by purse id, nanodollars (for the open row's `holds`); `charged`: the
    same for the final row, once it is settled; `left`: nanodollars of the tightest budget then, where that was seen in
    passing (else None: ask `Purses.remaining`)."""

    account: Account
    amount: int
    amounts: dict[str, int]
    charged: dict[str, int] | None = None
    left: int | None = None
