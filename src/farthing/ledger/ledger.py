"""The ledger of a data folder, as a process that writes rows sees it.

ledger = Ledger.open(folder)
ledger.write([Attempt(attempt=attempt_id(), …, state="open")])     # from any thread, never waits for the disk
ledger.write([Attempt(…the same attempt…, state="done")])
ledger.close()
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from farthing.ledger import journal as journals
from farthing.ledger.attempts import attempt_id as attempt_id
from farthing.ledger.journal import WHOLE, Journal, frames, missing, segments
from farthing.ledger.pricing import price_name, record_json
from farthing.ledger.row import Attempt
from farthing.ledger.settle import HOLD_S
from farthing.ledger.store import Mark, SqliteStore, Store, StoreUnavailable
from farthing.ledger.workers import Worker
from farthing.ledger.writer import MOST_ROWS, Health, Writer
from farthing.problems import FarthingError
from farthing.rates.card import Offer, Price

OpenStore = Callable[[str], Store]
"""Opens the store of hot rows for the worker whose id it is given."""
T = TypeVar("T")
_OPEN_TRIES_S = 10.0


class Ledger:
    """One process's open ledger. `worker`: its id, for `Attempt.worker`; rows without one get it."""

    write: Callable[[Sequence[Attempt]], int]
    """Accept rows, from any thread, in some microseconds; a ticket for `flush` and `when_durable`.

    When it returns, the rows survive the death of this process (unless `health` says that the journal is refused); they
    are durable a few milliseconds later, open ones after about a second. Each attempt is one row, however often it is
    written: a later state replaces an open (or lost) row, a final one stays, and its `holds` are settled once. Raises
    `LedgerFull` where no more can be kept safe; `health` says so before.
    """

    def __init__(
        self, folder: Path, worker: Worker, store: Store, open_store: OpenStore, journal: Journal, most_rows: int,
        hold_s: float,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.worker = worker.id
        self._pid = os.getpid()
        self._worker = worker
        self._store = store
        self._open_store = open_store
        self._journal = journal
        self._hold_s = hold_s
        self._writer = Writer(store, journal, worker.id, most_rows)
        self.write = self._writer.write
        self._names: dict[int, tuple[Price, str]] = {}
        self._closed = False
        self._closing = threading.Lock()
        atexit.register(self.close)

    @classmethod
    def open(
        cls, folder: Path | str, *, journal: Path | str | None = None, most_rows: int = MOST_ROWS,
        store: OpenStore | None = None, hold_s: float = HOLD_S,
    ) -> "Ledger":  # fmt: skip
        """Open (or make) the ledger in `folder`, take up the journals of the dead, mark what they left open as lost.

        `journal`: where each row is written down before `write` returns and stays while the database takes none,
        best on another disk than it; without it a folder beside the database. `most_rows`: how many rows may wait in
        memory when neither takes any. `store`: opens another store of hot rows than the folder's SQLite file.
        `hold_s`: how long after its start an attempt that was lost keeps its hold on budgets.
        Raises `FarthingError` where the folder cannot be used, or its ledger is of a newer Farthing.
        """
        folder = Path(folder)
        aside = Path(journal) if journal is not None else folder / journals.FOLDER
        open_store: OpenStore = store or (lambda worker: SqliteStore(folder, worker))
        place = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            place = aside
            aside.mkdir(mode=0o700, parents=True, exist_ok=True)
            place = folder
            worker = Worker(folder)
        except OSError as error:
            raise FarthingError(f"{place}: cannot hold a ledger: {error.strerror or error}") from None
        try:
            hot = _patiently(lambda: open_store(worker.id), folder)
            try:
                _patiently(lambda: _recover(hot, worker, aside, hold_s), folder)
            except BaseException:
                hot.close()
                raise
        except BaseException:
            worker.close()
            raise
        return cls(folder, worker, hot, open_store, Journal(aside, worker.id), most_rows, hold_s)

    def price_name(self, offer: Offer, price: Price) -> str:
        """The name for `Attempt.price` of a record of `offer`; the record itself is kept in the ledger once."""
        known = self._names.get(id(price))
        if known is None or known[0] is not price:
            name = price_name(offer, price)
            self._writer.remember_price(name, offer.id, record_json(price))
            known = self._names[id(price)] = (price, name)
        return known[1]

    def flush(self, ticket: int | None = None, timeout_s: float | None = None) -> bool:
        """Wait until all rows accepted so far (or up to `ticket`) are durable; whether they are."""
        return self._writer.flush(ticket, timeout_s)

    def when_durable(self, ticket: int, call: Callable[[], object]) -> None:
        """Call `call` once the rows up to `ticket` are durable, from another thread; it must be quick."""
        self._writer.when_durable(ticket, call)

    def health(self) -> Health:
        """How the writing fares, with the reason where something is amiss."""
        return self._writer.health()

    def recover(self) -> int:
        """Take up the journals of workers that died since, mark what they left open as lost; how many rows that were.

        For a supervisor that saw a worker die; `open` does it too. Opens a connection of its own.
        """
        store = self._open_store(self.worker)
        try:
            return _recover(store, self._worker, self._journal.folder, self._hold_s)
        except StoreUnavailable as error:
            raise FarthingError(f"{self.folder}: the ledger cannot be written now: {error}") from None
        finally:
            store.close()

    def close(self, timeout_s: float = 10.0) -> int:
        """Write what waits and let go of the ledger; how many rows could be kept nowhere (0, unless no disk takes any).

        Called at the interpreter's exit too. A process that ends by a signal must call it, or exit by `sys.exit`.
        """
        with self._closing:
            if self._closed or os.getpid() != self._pid:  # a child that was forked off does not end its parent's
                return 0
            self._closed = True
        atexit.unregister(self.close)
        left = self._writer.close(timeout_s)
        stored = self._writer.all_stored
        self._journal.close(remove=stored)
        if stored:
            with suppress(StoreUnavailable):  # a mark without a journal does no harm
                self._store.forget(self.worker)
        self._store.close()
        self._worker.close()
        return left

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _recover(store: Store, worker: Worker, aside: Path, hold_s: float) -> int:
    """Take up the journals of the dead, then mark what they left open; only then may the journals go."""
    with worker.alone():
        alive = worker.judge()
        left = {dead: paths for dead, paths in segments(aside).items() if not alive(dead)}
        for dead, paths in left.items():
            done = store.marked(dead)
            if done < WHOLE:
                found = (frame for path in paths for frame in frames(path))
                for through, rows, prices in missing(found, done, WHOLE):
                    store.write(_named(rows, dead), prices, Mark(worker=dead, through=through))
        marked = store.recover(alive, hold_s)
        for dead, paths in left.items():
            for path in paths:
                path.unlink(missing_ok=True)
            store.forget(dead)
        worker.bury()
        return marked


def _named(rows: Sequence[Attempt], worker: str) -> list[Attempt]:
    """`rows`, those that name no worker as rows of `worker`: the store would take them for those of who writes them,
    and count them among the living."""
    return [row if row.worker else msgspec.structs.replace(row, worker=worker) for row in rows]


def _patiently(work: Callable[[], T], folder: Path) -> T:
    """`work`, tried again for some seconds while another process holds the database."""
    import sqlite3

    until = time.monotonic() + _OPEN_TRIES_S
    while True:
        try:
            return work()
        except (sqlite3.OperationalError, StoreUnavailable) as error:
            if time.monotonic() > until:
                raise FarthingError(f"{folder}: the ledger cannot be opened: {error}") from None
            time.sleep(0.05)
