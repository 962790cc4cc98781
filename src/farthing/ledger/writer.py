"""The background writer: batches rows of all threads into one transaction, and holds on to them until they are safe.

    write -> journal (a file) and memory -> store        (a batch every few milliseconds)
             journal alone               -> store        (while the store is full, locked or away)

A row leaves memory only once the store has it, or the journal is synced. An open row waits about a second for its end:
an attempt that ends sooner is written to the store once.
"""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import ENOENT
from weakref import WeakSet

from farthing.ledger.ground import Ground
from farthing.ledger.health import Health as Health
from farthing.ledger.health import LedgerFull as LedgerFull
from farthing.ledger.intake import AWAKE, DEEP, LIGHT, Intake
from farthing.ledger.journal import TOGETHER, Journal, frames, missing, packed, packed_prices
from farthing.ledger.row import Attempt
from farthing.ledger.store import Mark, Store
from farthing.ledger.waiting import OpenRows

GATHER_S = 0.025
"""How long a batch gathers: the most that an ended attempt waits beside the commit itself. (A commit costs as much as
thirty rows; until then the journal has them.)"""
OPEN_AFTER_S = 1.0
"""How long an open row waits for its end before the store gets it."""
BATCH_ROWS = 4_096
MOST_ROWS = 100_000
"""Rows kept in memory while neither store nor journal takes them; beyond, `write` refuses."""
_LOOK_S = 0.25  # how often open rows are looked at
_EMPTY_S = 10.0  # after so long without a row, or with so many bytes in it at a moment's rest, the journal is
_EMPTY_BYTES = 65_536  # emptied: names in it should not outlive the ledger's
_PATIENCE_S = 1.0  # a lock is usually gone by then
_RETRY_S = (0.02, 1.0)  # back-off between tries: the first and the longest


class Writer:
    """One thread that writes what any thread gives it. `most_rows` bounds what waits in memory."""

    def __init__(self, store: Store, journal: Journal, worker: str, most_rows: int = MOST_ROWS) -> None:
        self._store = store
        self._journal = journal
        self._worker = worker
        self._most = most_rows
        self._forked = False  # this is a copy in a forked child, whose thread stayed behind
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._safe = threading.Condition(self._lock)
        # Shared, under the lock. Tickets count the rows accepted so far. (`Intake.fault` is never empty while the
        # ground's is not.)
        self._intake = Intake(self._lock, journal, self._accept, most_rows)
        self.write = self._intake.write
        self._held = 0  # rows that the thread has, and which are not safe yet; `most_rows` may be pending beside them
        self._prices: dict[str, tuple[str, str]] = {}
        self._callbacks: deque[tuple[int, Callable[[], object]]] = deque()
        self._durable = 0
        self._wanted = 0  # up to this ticket somebody waits
        self._unjournaled = 0  # the last ticket whose rows the journal refused
        self._closing = False
        self._ended = False
        self._deadline = float("inf")
        self._reason = ""
        self._ground = Ground(store, journal)
        self._failing_since: float | None = None
        # The thread's own.
        self._batch: list[Attempt] = []  # ended attempts on their way to the store
        self._opens = OpenRows()
        self._sorted = 0  # rows up to this ticket are in `_batch` or `_opens`, or safe
        self._spilled = 0  # rows that only the journal has
        self._spilled_to = 0  # up to this ticket
        self._thread = threading.Thread(target=self._run, name="farthing-ledger", daemon=True)
        _writers.add(self)
        self._thread.start()

    # --- any thread ---------------------------------------------------------------------------

    write: Callable[[Sequence[Attempt]], int]
    """Accept rows; the ticket that `flush` and `when_durable` take. Raises `LedgerFull`, and accepts none then."""

    def _accept(self, attempts: Sequence[Attempt]) -> int:
        """`write`, where the usual way in (`Intake`) does not do."""
        intake = self._intake
        if not attempts:
            return intake.accepted
        body = packed(attempts)
        with self._lock:
            through = intake.accepted + len(attempts)
            if through > intake.last_ticket:
                self._refuse()
            intake.accepted = through
            try:
                self._journal.append(body, through)
            except OSError as error:
                self._note_fault(f"the journal: {error.strerror or error}", through)
            else:
                if intake.fault:
                    self._note_fault(self._ground.fault, through)
            intake.pending += attempts
            if intake.asleep:
                self._wake(attempts)
            return through

    def _note_fault(self, fault: str, through: int) -> None:
        """The journal did not keep the rows up to `through`, for `fault`; "": it is well again."""
        self._intake.fault = fault
        if fault:
            self._unjournaled = through

    def _wake(self, attempts: Sequence[Attempt]) -> None:
        """Wake the thread, if these rows are what it waits for. To be called with the lock."""
        if self._intake.asleep == DEEP or _any_ended(attempts):
            self._intake.asleep = AWAKE
            self._work.notify()

    def _refuse(self) -> None:
        if self._closing:
            raise LedgerFull("the ledger is closed")
        if self._ended:
            raise LedgerFull("the ledger's writer thread has ended")
        if self._forked:
            raise LedgerFull("the ledger was opened by another process, from which this one was forked")
        why = "; ".join(filter(None, (self._reason, self._intake.fault))) or "the writer is behind"
        raise LedgerFull(f"{self._waiting():,} rows wait already: {why}")

    def _waiting(self) -> int:
        return len(self._intake.pending) + self._held

    def remember_price(self, name: str, offer: str, record: str) -> None:
        """Keep a price record with the next batch, so that rows can be priced again under it."""
        with self._lock:
            self._prices[name] = (offer, record)
            with suppress(OSError):
                self._journal.append(packed_prices({name: (offer, record)}), self._intake.accepted)
            self._work.notify()

    def flush(self, ticket: int | None = None, timeout_s: float | None = None) -> bool:
        """Wait until the rows up to `ticket` (all so far) are durable; whether they are."""
        with self._lock:
            wanted = self._intake.accepted if ticket is None else min(ticket, self._intake.accepted)
            self._wanted = max(self._wanted, wanted)
            self._work.notify()
            return self._safe.wait_for(lambda: self._durable >= wanted or self._ended, timeout_s) and (
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
            self._look()
            failing_s = 0.0 if self._failing_since is None else time.monotonic() - self._failing_since
            alive = not (self._ended or self._forked)
            ground = self._ground
            reason = "; ".join(filter(None, (self._reason or ground.amiss, self._intake.fault)))
            return Health(
                ok=alive and not (ground.amiss or ground.fault or self._closing) and self._waiting() * 2 < self._most,
                reason=reason if alive else "the writer thread has ended",
                waiting=self._waiting(),
                spilled=self._spilled,
                unjournaled=bool(self._unjournaled),
                failing_s=failing_s,
            )

    def _look(self, *, at_once: bool = False) -> None:
        """Look whether the files are still there, once a second. To be called with the lock."""
        ground = self._ground
        ground.look(parents=self._pressed(), at_once=at_once)
        if ground.fault:
            self._intake.fault = ground.fault
            if self._durable < self._intake.accepted:
                self._unjournaled = self._intake.accepted
        if ground.amiss:
            self._intake.asleep = AWAKE
            self._work.notify()

    def _pressed(self) -> bool:
        """Whether rows have no other place than the journal, and no time to wait for one."""
        return self._closing and bool(self._waiting() or self._spilled)

    def close(self, timeout_s: float = 10.0) -> int:
        """Write what waits and end; how many rows could not be made durable anywhere (0, unless both are gone)."""
        with self._lock:
            self._closing = True
            self._intake.last_ticket = -1
            self._deadline = time.monotonic() + timeout_s
            self._work.notify()
        self._thread.join(timeout_s + 5)
        with self._lock:
            return self._waiting()

    @property
    def all_stored(self) -> bool:
        """Whether the store has every row, so that the journal can go. To be asked after `close`."""
        return self._ended and not (self._waiting() or self._spilled)

    # --- the writer's thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._keep_writing()
        finally:
            with self._lock:
                self._ended = True
                self._intake.last_ticket = -1
                self._safe.notify_all()

    def _keep_writing(self) -> None:
        delay = 0.0
        while True:
            with self._lock:
                self._await_work(delay)
                through, prices = self._take()
                self._look(at_once=self._closing)
                amiss = self._ground.amiss
                if self._closing and not (self._held or prices or self._spilled or amiss):
                    return
            due = self._opens.due(float("inf") if self._closing else time.monotonic(), self._wanted)
            try:
                self._bring_back()
                if self._batch or due or prices or amiss:
                    self._store.write([*self._batch, *due], prices, Mark(worker=self._worker, through=through))
            except Exception as error:  # whatever it is, the rows stay
                delay = self._failed(error, delay)
                if self._closing and time.monotonic() > self._last():
                    return  # what is in the journal is found at the next start
                continue
            delay = 0.0
            with self._lock:
                self._reason, self._ground.amiss, self._failing_since = "", "", None
                for name in prices:
                    self._prices.pop(name, None)
                self._batch = []
                self._opens.stored(due)
                self._count()
            self._stored()

    def _last(self) -> float:
        """While closing, until when the store is tried again."""
        if self._waiting():
            return self._deadline
        since = self._failing_since
        return since + _PATIENCE_S if self._ground.amiss and since is not None else 0.0

    def _await_work(self, delay: float) -> None:
        """Sleep until there is something to do (holding the lock, which sleeping lets go)."""
        if delay:
            self._work.wait(min(delay, max(self._deadline - time.monotonic(), 0.01)))
            return
        if not self._hurried():
            longest: float | None
            if self._opens or self._intake.pending:
                self._intake.asleep, longest = LIGHT, _LOOK_S
            else:
                self._empty_journal(_EMPTY_BYTES)
                self._intake.asleep, longest = DEEP, _EMPTY_S if self._journal.bytes else None
            told = self._work.wait(longest)
            self._intake.asleep = AWAKE
            if not told:
                self._empty_journal(1)
        some = 0 < len(self._intake.pending) < BATCH_ROWS
        if some and not self._closing and self._wanted <= self._durable and _any_ended(self._intake.pending):
            self._work.wait(GATHER_S)  # woken only by a flush

    def _empty_journal(self, least: int) -> None:
        """Empty the journal, if it has `least` bytes and the store has every row."""
        if self._journal.bytes >= least and not (self._intake.pending or self._opens or self._prices or self._spilled):
            self._journal.empty(self._durable)

    def _hurried(self) -> bool:
        told = self._closing or self._wanted > self._durable or bool(self._prices) or bool(self._ground.amiss)
        return told or _any_ended(self._intake.pending)

    def _take(self) -> tuple[int, dict[str, tuple[str, str]]]:
        """Sort what is pending into ended attempts and open ones; the ticket that is reached, and price records."""
        before, self._sorted = self._sorted, self._intake.accepted
        self._batch += self._opens.sort(self._intake.pending, before, time.monotonic() + OPEN_AFTER_S)
        self._intake.pending = []
        self._count()
        return self._sorted, dict(self._prices)

    def _count(self) -> None:
        """Count what waits with this thread. To be called with the lock, when that has changed."""
        self._held = len(self._batch) + len(self._opens)
        # (What is pending are the tickets after the last one that was sorted.)
        self._intake.last_ticket = -1 if self._closing or self._ended else self._sorted + self._most - self._held

    def _stored(self) -> None:
        """The store has what was sorted, but for open rows that wait: say so to who waits, let go of the journal."""
        through = self._opens.reached(self._sorted)
        with self._lock:
            gone = [] if self._prices else self._journal.release(through)
            ready = self._reached(through)
        for path in gone:
            with suppress(OSError):
                path.unlink()
        _call(ready)

    def _reached(self, through: int) -> list[Callable[[], object]]:
        """Rows up to ticket `through` are durable; the calls that waited for it. To be called with the lock."""
        self._durable = max(self._durable, through)
        if self._unjournaled <= self._durable:
            self._unjournaled = 0
        ready = []
        while self._callbacks and self._callbacks[0][0] <= self._durable:
            ready.append(self._callbacks.popleft()[1])
        self._safe.notify_all()
        return ready

    def _failed(self, error: Exception, delay: float) -> float:
        """Note the failure, leave rows to the journal where the store stays away; how long to wait now."""
        now = time.monotonic()
        with self._lock:
            self._failing_since = self._failing_since or now
            self._reason = str(error) or type(error).__name__
            self._look(at_once=True)
            brief = "locked" in self._reason and now - self._failing_since < _PATIENCE_S
            if brief and not self._closing and self._waiting() * 4 <= self._most:
                return _longer(delay)
        try:
            self._leave_to_journal()
        except Exception as fault:  # this thread must not end
            with self._lock:
                self._intake.fault = f"the journal: {getattr(fault, 'strerror', None) or fault}"
        return _longer(delay)

    def _leave_to_journal(self) -> None:
        """Sync the journal and forget what is in it. Raises `OSError` where that cannot be, and forgets nothing."""
        with self._lock:
            self._ground.mend_journal(self._pressed())
            if self._ground.fault:
                self._intake.fault = self._ground.fault
                raise OSError(ENOENT, self._ground.fault.removeprefix("the journal: "))
            through, _ = self._take()
            if not (self._batch or self._opens):
                return
            if self._unjournaled:
                waiting = [*self._batch, *self._opens.rows()]
                for start in range(0, len(waiting), TOGETHER):
                    self._journal.append(packed(waiting[start : start + TOGETHER]), through)
                self._unjournaled = 0
            handles = self._journal.unsynced()
        for handle in handles:
            os.fsync(handle)
        with self._lock:
            self._journal.synced(handles)
            self._intake.fault = self._ground.fault
            self._spilled += len(self._batch) + len(self._opens)
            self._spilled_to = through
            self._batch = []
            self._opens.clear()
            self._count()
            ready = self._reached(through)
        _call(ready)

    def _bring_back(self) -> None:
        """Bring the rows that only the journal has into the store, which may take rows again."""
        if not self._spilled:
            return
        with self._lock:
            paths = self._journal.paths()
        found = (frame for path in paths for frame in frames(path) if frame.through <= self._spilled_to)
        for through, rows, prices in missing(found, self._store.marked(self._worker)):
            self._store.write(rows, prices, Mark(worker=self._worker, through=through))
        with self._lock:
            self._spilled = 0


def _call(ready: Sequence[Callable[[], object]]) -> None:
    for call in ready:
        with suppress(Exception):  # a caller's fault must not end the writer
            call()


def _longer(delay: float) -> float:
    first, longest = _RETRY_S
    return min(max(delay * 2, first), longest) * random.uniform(0.5, 1.0)


def _any_ended(rows: Sequence[Attempt]) -> bool:
    return any(row.state != "open" for row in rows)


_writers: "WeakSet[Writer]" = WeakSet()
"""Those of this process, or of the one that it was forked from."""


def _refuse_in_child() -> None:
    for writer in _writers:
        writer._forked, writer._intake.last_ticket = True, -1


os.register_at_fork(after_in_child=_refuse_in_child)
