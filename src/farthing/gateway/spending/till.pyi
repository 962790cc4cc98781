"""Purses as one worker holds them in memory, and the two steps of every request: reserve, and settle.

Amounts are whole nanodollars between -2^62 and 2^62, not included: four times the largest budget. A sum beyond is held
at that edge; a budget is long spent there, and the ledger has every charge as it is.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import final

from farthing.gateway.spending.purse import Purse
from farthing.ledger.budgets import BudgetRef

MOST: int
"""Nanodollars: more than any budget has, so no more are reserved."""

class Lease:
    """What a worker has of a purse, nanodollars: `leased` is `free` or `held` by requests in flight.

    `bank_free`: what was left for all when the bank was last asked. `left`: that and what is free here, which is what
    a reservation changes; so `free` is `left - bank_free`. `used`: the tick of the last reservation. The purse is of
    the period from `start_s` to `end_s`, in seconds since 1970.
    """

    used: int
    start_s: float
    end_s: float
    @property
    def left(self) -> int:
        """What the bank has left for all, and what is free here."""

    @property
    def leased(self) -> int:
        """What this worker has of it."""

    @property
    def bank_free(self) -> int:
        """What was left for all when the bank was last asked."""

    @property
    def free(self) -> int:
        """What is leased, and held by nobody."""

    @property
    def held(self) -> int:
        """What requests in flight hold of the lease."""

    def take(self, amount: int) -> None:
        """A request holds so much of what is free."""

    def lease(self, amount: int) -> None:
        """So much more is leased, and free; below zero: less."""

    def lease_held(self, amount: int) -> None:
        """So much more is leased, and a request holds it already."""

    def give_back(self, amount: int) -> None:
        """So much of what is free goes back to the bank."""

    def tell(self, bank_free: int) -> None:
        """What the bank has left for all."""

def tightest(purses: Sequence[Purse], /) -> tuple[Purse, ...]:
    """Those whose remainders count for a client: the hard ones; all where none is hard."""

@final
class Account:
    """The purses of a set of budgets: all are known, and of the period from `start_s` to `end_s`.

    `tightest`: those among which is the one with least left (hard ones count before others). `alike`: these are all of
    them, and the account is remembered for its budgets. `used`: the tick of the last reservation, until `mark`.
    """

    alike: bool
    used: int
    def __new__(cls, budgets: Sequence[BudgetRef], purses: Sequence[Purse], /) -> Account: ...
    @property
    def budgets(self) -> Sequence[BudgetRef]: ...
    @property
    def purses(self) -> tuple[Purse, ...]: ...
    @property
    def tightest(self) -> tuple[Purse, ...]: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    def mark(self) -> None:
        """Tell the purses when they were used: a reservation tells the account alone."""

@final
class Hold:
    """What one attempt has reserved: `amount` nanodollars of each purse; `amounts` by purse id (for the open row's
    `holds`); `charged`: the same for the final row, once it is settled; `left`: nanodollars of the tightest budget
    then, where that was seen in passing (else None: ask `Purses.remaining`)."""

    @property
    def amount(self) -> int: ...
    @property
    def amounts(self) -> dict[str, int]: ...
    @property
    def charged(self) -> dict[str, int] | None: ...
    @property
    def left(self) -> int | None: ...

def held(account: Account, amount: int, /) -> Hold:
    """A hold of `amount` nanodollars, 0 to `MOST`, which the purses of `account` have taken already."""

class Till:
    """What of the purses every request needs. `accounts`: by the id of a tuple of budgets, which an account keeps
    alive; `_account` of the class that extends this one finds the others. `ticks` counts time. `blindly`: of
    some purse something is held that nobody has said to be there; then, and where a charge is more than was held,
    `_square(purse)` is called after each settlement."""

    ticks: int
    blindly: bool
    @property
    def accounts(self) -> dict[int, Account]: ...
    def try_reserve(self, budgets: Sequence[BudgetRef], amount: int, now: float, /) -> Hold | None:
        """Reserve `amount` nanodollars of every budget, where leases in memory suffice; else None: `reserve` then.

        `now`: seconds since 1970, which chooses the period.
        """

    def settle(self, hold: Hold, charged: int | Fraction | None, /) -> dict[str, int]:
        """The request cost `charged`: the rest is free again. What the final row's `holds` must say, by purse.

        An int is nanodollars, a `Fraction` exact dollars, None an unknown charge: all that was held counts as spent.
        Again for the same hold: the same answer, and nothing happens. More than was held is charged all the same.
        Raises `ValueError` for a negative charge.
        """
