"""The background writer: batches rows of all threads into one transaction, and holds on to them until they are safe.

    write -> memory -> store                    (a batch every few milliseconds)
                    -> emergency file -> store  (while the store is full, locked or away)

A row leaves memory only once it is durable in one of the two.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from farthing.ledger.row import Attempt
from farthing.ledger.spill import Spill, batches
from farthing.ledger.store import Store

GATHER_S = 0.01
"""How long a batch gathers: the most that a row waits beside the commit itself."""
BATCH_ROWS = 4_096
MOST_ROWS = 100_000
"""Rows kept in memory while neither store nor emergency file takes them; beyond, `write` refuses."""
_SPILL_AFTER_S = 1.0  # a lock is usually gone by then
_RETRY_S = (0.02, 1.0)  # back-off between tries: the first and the longest


class LedgerFull(Exception):
    """The ledger can keep no more rows: neither database nor emergency file takes them, and memory is at its bound."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the writer fares. `ok`: rows that are accepted now become durable soon. `reason`: what is amiss, if anything.

    `waiting`: rows in memory only. `spilled`: rows in the emergency file. `failing_s`: since when the store refuses.
    """

    ok: bool
    reason: str
    waiting: int
    spilled: int
    failing_s: float


class Writer:
    """One thread that writes what any thread gives it. `most_rows` bounds what waits in memory."""

    def __init__(self, store: Store, spill: Spill, most_rows: int = MOST_ROWS) -> None:
        self._store = store
        self._spill = spill
        self._most = most_rows
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._safe = threading.Condition(self._lock)
        self._pending: list[Attempt] = []
        self._taken: list[Attempt] = []  # the batch that is being written
        self._prices: dict[str, tuple[str, str]] = {}
        self._callbacks: deque[tuple[int, Callable[[], object]]] = deque()
        self._accepted = 0
        self._durable = 0
        self._idle = False
        self._hurry = False
        self._closing = False
        self._deadline = float("inf")
        self._reason = ""
        self._failing_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="farthing-ledger", daemon=True)
        self._thread.start()

    @property
    def emergency_folder(self) -> Path:
        """Where emergency files are."""
        return self._spill.path.parent

    # --- any thread ---------------------------------------------------------------------------

    def write(self, attempts: Sequence[Attempt]) -> int:
        """Accept rows; the ticket that `flush` and `when_durable` take. Raises `LedgerFull`, and accepts none then."""
        with self._lock:
            if self._closing:
                raise LedgerFull("the ledger is closed")
            if not self._thread.is_alive():  # also in a child of this process, which has no such thread
                raise LedgerFull("the ledger's writer thread has ended")
            if (waiting := self._waiting()) + len(attempts) > self._most:
                raise LedgerFull(f"{waiting:,} rows wait already: {self._reason or 'the writer is behind'}")
            self._pending.extend(attempts)
            self._accepted += len(attempts)
            if self._idle:
                self._work.notify()
            return self._accepted

    def _waiting(self) -> int:
        return len(self._pending) + len(self._taken)

    def remember_price(self, name: str, offer: str, record: str) -> None:
        """Keep a price record with the next batch, so that rows can be priced again under it."""
        with self._lock:
            self._prices[name] = (offer, record)
            if self._idle:
                self._work.notify()

    def flush(self, ticket: int | None = None, timeout_s: float | None = None) -> bool:
        """Wait until the rows up to `ticket` (all so far) are durable; whether they are."""
        with self._lock:
            wanted = self._accepted if ticket is None else ticket
            self._hurry = True
            self._work.notify()
            return self._safe.wait_for(lambda: self._durable >= wanted or not self._thread.is_alive(), timeout_s) and (
                self._durable >= wanted
            )

    def when_durable(self, ticket: int, call: Callable[[], object]) -> None:
        """Call `call` (from the writer's thread; it must be quick) once the rows up to `ticket` are durable."""
        with self._lock:
            if self._durable < ticket:
                self._callbacks.append((ticket, call))
                return
        call()

    def health(self) -> Health:
        """How the writer fares now."""
        with self._lock:
            failing_s = 0.0 if self._failing_since is None else time.monotonic() - self._failing_since
            alive = self._thread.is_alive()
            return Health(
                ok=alive and not self._closing and self._waiting() * 2 < self._most,
                reason=self._reason if alive else "the writer thread has ended",
                waiting=self._waiting(),
                spilled=self._spill.rows,
                failing_s=failing_s,
            )

    def close(self, timeout_s: float = 10.0) -> int:
        """Write what waits and end; how many rows could not be made durable anywhere (0, unless both are gone)."""
        with self._lock:
            self._closing = True
            self._hurry = True
            self._deadline = time.monotonic() + timeout_s
            self._work.notify()
        self._thread.join(timeout_s + 5)
        with self._lock:
            return self._waiting()

    # --- the writer's thread ------------------------------------------------------------------

    def _run(self) -> None:
        delay = 0.0
        while True:
            with self._lock:
                self._await_work(delay)
                self._taken += self._pending
                self._pending = []
                if self._closing and not (self._taken or self._prices or self._spill.rows):
                    return
                prices = dict(self._prices)
            try:
                self._restore()
                if self._taken or prices:
                    self._store.write(self._taken, prices)
            except Exception as error:  # whatever it is, the rows stay
                delay = self._failed(error, delay)
                if self._closing and (not self._waiting() or time.monotonic() > self._deadline):
                    return  # what is in the emergency file is found at the next start
                continue
            delay = 0.0
            with self._lock:
                self._reason, self._failing_since = "", None
                for name in prices:
                    self._prices.pop(name, None)
            self._done()

    def _await_work(self, delay: float) -> None:
        """Sleep until there is a batch to write (holding the lock, which sleeping lets go)."""
        if delay:
            self._work.wait(min(delay, max(self._deadline - time.monotonic(), 0.01)))
            return
        while not (self._pending or self._prices or self._closing):
            self._hurry = False
            self._idle = True
            self._work.wait()
            self._idle = False
        if not (self._hurry or len(self._pending) >= BATCH_ROWS):
            self._work.wait(GATHER_S)  # woken only by a flush: `_idle` is off

    def _done(self) -> None:
        """The taken rows are durable: forget them, tell who waits."""
        with self._lock:
            self._durable += len(self._taken)
            self._taken = []
            if self._durable == self._accepted:
                self._hurry = False
            ready = []
            while self._callbacks and self._callbacks[0][0] <= self._durable:
                ready.append(self._callbacks.popleft()[1])
            self._safe.notify_all()
        for call in ready:
            with suppress(Exception):  # a caller's fault must not end the writer
                call()

    def _failed(self, error: Exception, delay: float) -> float:
        """Note the failure, bring rows to the emergency file where the store stays away; how long to wait now."""
        now = time.monotonic()
        with self._lock:
            self._failing_since = self._failing_since or now
            self._reason = str(error) or type(error).__name__
            brief = "locked" in self._reason and now - self._failing_since < _SPILL_AFTER_S
            if self._closing or not brief or self._waiting() * 4 > self._most:
                self._taken += self._pending
                self._pending = []
                brief = False
        if self._taken and not brief:
            try:
                self._spill.append(self._taken)
                self._done()
            except OSError as fault:
                with self._lock:
                    self._reason = f"{error}; the emergency file: {fault.strerror or fault}"
        first, longest = _RETRY_S
        return min(max(delay * 2, first), longest) * random.uniform(0.5, 1.0)

    def _restore(self) -> None:
        """Bring the emergency file's rows into the store, which may take rows again."""
        if not self._spill.rows:
            return
        for batch in batches(self._spill.path):
            self._store.write(batch, {})
        self._spill.remove()
