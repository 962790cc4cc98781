"""The bank: what is left of each budget, shared by all workers.

A purse is one budget in one period. A worker spends from leases: `acquire` moves free money to it, `give_back` moves
what it does not need back, and the ledger moves what was charged from its lease to `spent`, in the transaction that
makes the row durable. At any instant

    free = limit - spent - leases - holds of lost attempts that have not expired

and `acquire` never gives more than is free, so all workers together cannot pass a limit.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from farthing.ledger.place import REPLACED
from farthing.ledger.schema import connect_in_place
from farthing.problems import FarthingError

SHARE = 16
"""Beyond its need a worker gets at most this part of what is free: what it may hold while others are short."""
BUSY_MS = 2_000
WANTED_S = 5
"""A want older than this is forgotten: who wanted it waits half a second at most."""


class BankUnavailable(Exception):
    """The bank cannot be asked now. `certain`: nothing of the call took effect; otherwise it may have."""

    def __init__(self, reason: str, *, certain: bool = True) -> None:
        super().__init__(reason)
        self.certain = certain


class Want(msgspec.Struct, frozen=True):
    """`need` nanodollars of `purse` (of `limit`), and up to `want` where much is free.

    One that is not `hard` gets what it wants whatever is free.
    """

    purse: str
    limit: int
    need: int
    want: int
    hard: bool = True


class PurseState(msgspec.Struct, frozen=True):
    """A purse in nanodollars: charged by durable rows, leased to workers, held for lost attempts that may be billed."""

    spent: int = 0
    leased: int = 0
    held: int = 0

    def free(self, limit: int) -> int:
        """What is left of `limit` for leases; negative where it is passed."""
        return limit - self.spent - self.leased - self.held


class Granted(msgspec.Struct, frozen=True):
    """`amount` nanodollars went to the worker's lease; `state` is that of the purse then."""

    amount: int
    state: PurseState


class Short(msgspec.Struct, frozen=True):
    """`purse` has `free` nanodollars, less than was needed; nothing was acquired."""

    purse: str
    free: int
    state: PurseState


class Bank(Protocol):
    """Where purses are kept. Calls may wait for a disk or a network: never from an event loop's thread.

    All raise `BankUnavailable` where the bank cannot be reached.
    """

    def acquire(self, worker: str, wants: Sequence[Want]) -> dict[str, Granted] | Short:
        """Lease what `wants` need to `worker`: all of it or nothing, at once for all other workers."""

    def give_back(self, worker: str, amounts: Mapping[str, int]) -> None:
        """Take `amounts` from the leases of `worker`. A negative one is added whatever is free: it is spent already."""

    def forget(self, worker: str, purses: Sequence[str]) -> None:
        """The worker has nothing left of `purses` and no charge under way: their empty leases can go."""

    def states(self, purses: Sequence[str]) -> dict[str, PurseState]:
        """The purses as they are; one that nobody has used has nothing spent."""

    def want(self, purse: str) -> None:
        """Note that someone is short of `purse` while others hold leases on it."""

    def wanted(self) -> set[str]:
        """The purses that someone is short of."""

    def close(self) -> None:
        """Let go of the file or connection."""


def grant(want: Want, free: int) -> int | None:
    """How much of `free` nanodollars a worker gets; None: too little is there."""
    if free < want.need:
        return None if want.hard else max(want.want, want.need)
    return want.need + max(min(want.want - want.need, (free - want.need) // SHARE), 0)


_FAULTS = (sqlite3.Error, OverflowError)  # more nanodollars than 64 bits hold: no bank has them
_STATE = """SELECT (SELECT spent FROM purse WHERE id = :purse),
  (SELECT sum(amount) FROM lease WHERE purse = :purse AND amount > 0),
  (SELECT sum(amount) FROM hold WHERE purse = :purse AND expires_us > :now)"""
# A lease is below zero for the moment between a charge beyond its hold and the call that takes the rest: its purse's
# `spent` has it all, so it must not count as free.
_LEASE = (
    "INSERT INTO lease (purse, worker, amount) VALUES (?, ?, ?) "
    "ON CONFLICT (purse, worker) DO UPDATE SET amount = amount + excluded.amount"
)


class SqliteBank:
    """`Bank` on the SQLite file of a data folder. One connection, used by one thread at a time."""

    def __init__(self, folder: Path, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._now_us = now_us
        self._folder = folder
        self._open(create=True)

    def _open(self, *, create: bool) -> None:
        self._connection, self._place = connect_in_place(self._folder, create=create)
        # A lease is worth nothing without its worker, so power may take the last of them: no wait for the disk.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def acquire(self, worker: str, wants: Sequence[Want]) -> dict[str, Granted] | Short:
        try:
            self._begin()
            granted: dict[str, Granted] = {}
            for want in wants:
                state = self._state(want.purse)
                free = state.free(want.limit)
                amount = grant(want, free)
                if amount is None:
                    self._connection.execute("ROLLBACK")
                    return Short(want.purse, free, state)
                # A row even for nothing: what is charged must find the lease that it comes from.
                self._connection.execute(_LEASE, (want.purse, worker, amount))
                granted[want.purse] = Granted(amount, PurseState(state.spent, state.leased + amount, state.held))
            self._commit()
            return granted
        except _FAULTS as error:
            raise self._failed(error) from error

    def give_back(self, worker: str, amounts: Mapping[str, int]) -> None:
        try:
            self._begin()
            self._connection.executemany(_LEASE, [(purse, worker, -amount) for purse, amount in amounts.items()])
            self._commit()
        except _FAULTS as error:
            raise self._failed(error) from error

    def forget(self, worker: str, purses: Sequence[str]) -> None:
        try:
            self._begin()
            self._connection.executemany(
                "DELETE FROM lease WHERE purse = ? AND worker = ? AND amount = 0", [(purse, worker) for purse in purses]
            )
            self._commit()
        except _FAULTS as error:
            raise self._failed(error) from error

    def states(self, purses: Sequence[str]) -> dict[str, PurseState]:
        try:
            self._stand()
            return {purse: self._state(purse) for purse in purses}
        except _FAULTS as error:
            raise self._failed(error) from error

    def _state(self, purse: str) -> PurseState:
        row = self._connection.execute(_STATE, {"purse": purse, "now": self._now_us()}).fetchone()
        return PurseState(*(part or 0 for part in row))

    def want(self, purse: str) -> None:
        now_us = self._now_us()
        try:
            self._begin()
            self._connection.execute("INSERT OR REPLACE INTO wanted (purse, at_us) VALUES (?, ?)", (purse, now_us))
            # A clock that was set back must not keep a want for ever.
            self._connection.execute("DELETE FROM wanted WHERE abs(at_us - ?) > ?", (now_us, WANTED_S * 1_000_000))
            self._commit()
        except _FAULTS as error:
            raise self._failed(error) from error

    def wanted(self) -> set[str]:
        try:
            self._stand()
            rows = self._connection.execute(
                "SELECT purse FROM wanted WHERE abs(at_us - ?) <= ?", (self._now_us(), WANTED_S * 1_000_000)
            )
            return {purse for (purse,) in rows}
        except _FAULTS as error:
            raise self._failed(error) from error

    def _stand(self) -> None:
        """See that the open file is the one in the folder: the ledger's writer puts one back that was removed. Where it
        is another, even a reader would be told nothing of what is spent or wanted from then on."""
        if self._place.amiss() == REPLACED:
            self._place.drop_log()
            before = self._connection
            try:
                self._open(create=False)
            except FarthingError as error:
                raise BankUnavailable(str(error)) from error
            before.close()
        if why := self._place.why():
            raise BankUnavailable(why)

    def _begin(self) -> None:
        self._stand()
        self._connection.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        self._connection.execute("COMMIT")
        if why := self._place.why():
            raise BankUnavailable(why, certain=False)

    def _failed(self, error: Exception) -> BankUnavailable:
        """SQLite takes back what was begun, whole: the call can be made again."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # it has done so itself, as on a full disk
        return BankUnavailable(str(error))

    def close(self) -> None:
        self._connection.close()
