"""The hot rows in SQLite: batches written whole or not at all, each attempt once, budgets settled with them, the rows
of dead workers found.

`Store` is all that the writer needs, so that another database can stand in its place.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Protocol

import msgspec

from farthing.ledger import settle
from farthing.ledger.pack import BAD_ROW, PLAIN, RARE, Row, mended_row, rows, whole
from farthing.ledger.packer import Packer, flat
from farthing.ledger.place import put_back
from farthing.ledger.row import Attempt
from farthing.ledger.schema import connect_in_place
from farthing.ledger.workers import is_named
from farthing.problems import FarthingError

TOGETHER = 512
"""Rows in one statement at most. Python's lock is let go in each statement, and beside a busy event loop it takes
milliseconds to get it back: once for many rows, not once a row."""

_REPLACE = (
    " ON CONFLICT (attempt) DO UPDATE SET "
    + ", ".join(f'"{name}" = excluded."{name}"' for name in (*PLAIN, *RARE) if name != "attempt")
    + " WHERE attempt.state < 2 AND excluded.state > attempt.state"
)


def _inserts(columns: Sequence[str]) -> dict[int, str]:
    names = ", ".join(f'"{name}"' for name in columns)
    one = "(" + ", ".join("?" * len(columns)) + ")"
    return {
        rows: f"INSERT INTO attempt ({names}) VALUES {', '.join([one] * rows)}{_REPLACE}"
        for rows in (1 << power for power in range(TOGETHER.bit_length() - 1, -1, -1))
    }


_INSERTS = {len(columns): _inserts(columns) for columns in (PLAIN, (*PLAIN, *RARE))}
"""By the length of a row: one statement for each power of two, the largest first; SQLite compiles each once."""

SETTLE_S = 0.3
"""How long after a file was taken away it is put back: whoever removes one removes the next, and two workers that open
a database while its log is removed between them would write past each other. By then all have noticed and wait."""
WORKER_DIED = "the worker died before the end was recorded"

Prices = Mapping[str, tuple[str, str]]
"""Price records by name: the offer, and the record in JSON."""


class StoreUnavailable(Exception):
    """The store cannot take rows now (disk full, locked, unreachable); the same batch can be tried again later."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a worker's journal is in the store: every attempt that ended up to the ticket `through`."""

    worker: str
    through: int


class Store(Protocol):
    """Where hot rows live."""

    def write(self, attempts: Sequence[Attempt], prices: Prices, mark: Mark | None = None) -> None:
        """Write all of it durably, or raise `StoreUnavailable` and leave nothing of it. Each attempt is kept once;
        a later state replaces an open or lost row, never a final one.

        In the same transaction, for each ended attempt that was not ended before: each purse in its `holds` has
        spent that much more, its worker's lease of that purse (0 where there is none) is as much smaller, and its hold
        is gone. An open attempt's `holds` are noted as its hold, without an expiry. `mark` is kept.
        """

    def marked(self, worker: str) -> int:
        """The ticket of the last `mark` of `worker`; 0 where there is none."""

    def forget(self, worker: str) -> None:
        """Delete the mark of `worker`, whose journal is gone."""

    def recover(self, alive: Callable[[str], bool], hold_s: float = settle.HOLD_S) -> int:
        """Mark the open rows of workers that are not `alive` as lost; how many there were.

        In the same transaction their holds get an expiry, `hold_s` after the attempt's start, and the leases of
        workers that are not `alive` are deleted.
        """

    def amiss(self) -> str:
        """What befell the store so that rows written now would be lost, which a write mends or says; "" else.

        From any thread, in some microseconds.
        """

    def close(self) -> None:
        """Let go of the file or connection."""


class SqliteStore:
    """`Store` on the SQLite file of a data folder. One connection, used by one thread at a time."""

    def __init__(self, folder: Path, worker: str = "") -> None:
        self._folder = folder
        self._connection, self._place = connect_in_place(folder, create=True)
        self._packer = Packer(self._connection, worker)
        self._worker = worker
        self._written = 0
        """The last batch that is known to be in the file that the folder names."""
        self._amiss_since: float | None = None

    def amiss(self) -> str:
        return self._place.why()

    def write(self, attempts: Sequence[Attempt], prices: Prices, mark: Mark | None = None) -> None:
        self._stand()
        try:
            batch = self._begin()
            made = rows(self._packer, attempts, batch)
            ended = frozenset[str]()
            if self._insert(attempts, made, batch) < len(made) and any(attempt.holds for attempt in attempts):
                # Some were final before, as where a batch is tried again; which ones can be told only before they are
                # written. (To ask each time would take a tenth of the whole.)
                self._undo()
                batch = self._begin()
                made = rows(self._packer, attempts, batch)
                ended = settle.ended_before(self._connection, made)
                self._insert(attempts, made, batch)
            settle.settle(self._connection, settle.settlement(attempts, made, self._worker, ended))
            for name, (offer, record) in prices.items():
                self._connection.execute("INSERT OR IGNORE INTO price VALUES (?, ?, ?)", (name, offer, record))
            if mark is not None:
                self._connection.execute("INSERT OR REPLACE INTO journal VALUES (?, ?)", (mark.worker, mark.through))
            self._connection.execute("COMMIT")
            if why := self._place.why():  # nothing of it counts: it is written again, to the file that is there then
                raise StoreUnavailable(why)
            self._written = batch
        except sqlite3.Error as error:
            self._undo()
            raise StoreUnavailable(str(error)) from error
        except BaseException:
            self._undo()
            raise

    def _stand(self) -> None:
        """See that the open file is the one in the folder: put it back, or go over to the one there if it has all that
        was written to this. Raises `StoreUnavailable`."""
        if not self._place.amiss():
            self._amiss_since = None
            return
        if self._amiss_since is None:
            self._amiss_since = time.monotonic()
        if time.monotonic() - self._amiss_since < SETTLE_S:
            raise StoreUnavailable(self._place.why())
        try:
            if self._worker and not is_named(self._folder, self._worker):
                raise StoreUnavailable(f"{self._folder}: the data folder was removed or replaced while it was in use")
            put_back(self._connection, self._place)
            self._place.drop_log()
            connection, place = connect_in_place(self._folder)
            try:
                if not self._goes_on(connection):
                    raise StoreUnavailable(f"{self._place.why()}, without all that this had; the next start takes it")
            except BaseException:
                connection.close()
                raise
        except (OSError, sqlite3.Error, FarthingError) as error:
            raise StoreUnavailable(f"{self._place.why()}: {error}") from error
        self._connection.close()
        self._connection, self._place = connection, place
        self._packer = Packer(connection, self._worker)
        self._amiss_since = None

    def _goes_on(self, other: sqlite3.Connection) -> bool:
        """Whether `other` is this ledger, with every batch that was written here."""
        made = "SELECT min(applied_us) FROM schema"
        return other.execute(made).fetchall() == self._connection.execute(made).fetchall() and (
            other.execute("SELECT batch FROM clock").fetchall() >= [(self._written,)]
        )

    def _begin(self) -> int:
        """Start a write transaction; the number of its batch."""
        self._connection.execute("BEGIN IMMEDIATE")
        [(batch, epoch)] = self._connection.execute("UPDATE clock SET batch = batch + 1 RETURNING batch, epoch")
        self._packer.renew(epoch)
        return int(batch)

    def _insert(self, attempts: Sequence[Attempt], made: list[Row], batch: int) -> int:
        """Write the rows; how many of them are new, or replace what was there."""
        lengths = {len(row) for row in made}
        if len(lengths) < 2:
            return self._insert_alike(attempts, made, batch)
        if len({row[0] for row in made}) < len(made):  # an attempt comes twice: then the order counts
            return self._insert_alike(attempts, [whole(row) for row in made], batch)
        changed = 0
        for length in lengths:
            chosen = [len(row) == length for row in made]
            changed += self._insert_alike(list(compress(attempts, chosen)), list(compress(made, chosen)), batch)
        return changed

    def _insert_alike(self, attempts: Sequence[Attempt], made: list[Row], batch: int) -> int:
        """The same for rows of one length."""
        start = changed = 0
        for size, insert in _INSERTS[len(made[0])].items() if made else ():
            while len(made) - start >= size:
                part = made[start : start + size]
                try:
                    changed += self._connection.execute(insert, flat(part)).rowcount
                except BAD_ROW:  # a value that SQLite cannot hold; find it, keep the others
                    for attempt, row in zip(attempts[start : start + size], part, strict=True):
                        changed += self._insert_one(attempt, row, batch)
                start += size
        return changed

    def _insert_one(self, attempt: Attempt, row: Row, batch: int) -> int:
        try:
            return self._connection.execute(_INSERTS[len(row)][1], row).rowcount
        except BAD_ROW:
            row = mended_row(self._packer, attempt, batch)
            return self._connection.execute(_INSERTS[len(row)][1], row).rowcount

    def _undo(self) -> None:
        self._packer.forget()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled it back itself, as it does on a full disk

    def marked(self, worker: str) -> int:
        self._stand()
        try:
            found = self._connection.execute("SELECT through FROM journal WHERE worker = ?", (worker,)).fetchone()
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        return int(found[0]) if found else 0

    def forget(self, worker: str) -> None:
        try:
            self._connection.execute("DELETE FROM journal WHERE worker = ?", (worker,))
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def recover(self, alive: Callable[[str], bool], hold_s: float = settle.HOLD_S) -> int:
        try:
            found = self._connection.execute(
                "SELECT w.id, w.value FROM (SELECT DISTINCT worker FROM attempt WHERE state = 0) "
                "LEFT JOIN text w ON w.id = worker"
            ).fetchall()
            dead = [number for number, worker in found if not alive(worker or "")]
            leasing = [worker for worker in settle.leasing_workers(self._connection) if not alive(worker)]
            if not dead and not leasing:
                return 0
            batch = self._begin()
            marked = 0
            for number in dead:
                settle.leave_holds(self._connection, number, hold_s)
                marked += self._connection.execute(
                    "UPDATE attempt SET state = 1, batch = ?, unknown = ? WHERE state = 0 AND worker IS ?",
                    (batch, self._packer.text(WORKER_DIED), number),
                ).rowcount
            settle.end_leases(self._connection, leasing)
            self._connection.execute("COMMIT")
            return marked
        except sqlite3.Error as error:
            self._undo()
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        self._connection.close()
