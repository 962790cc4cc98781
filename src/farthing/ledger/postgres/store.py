"""The hot rows in PostgreSQL: the `Store` of several gateways, on as many machines."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.ledger.amounts import LARGEST
from farthing.ledger.pack import bare, mended
from farthing.ledger.postgres.connection import NOW_US, driver, reason
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.workers import BEAT_S, bury, dead_workers, folder_identity, seen
from farthing.ledger.row import Attempt
from farthing.ledger.schema import DONE, OPEN, STATE_NUMBERS
from farthing.ledger.settle import HOLD_S
from farthing.ledger.store import Mark, Prices, Store, StoreUnavailable

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

_encode = msgspec.json.Encoder().encode
_BAD = (UnicodeError, OverflowError, TypeError, ValueError, AttributeError, KeyError, msgspec.MsgspecError)

_INSERT = f"""
INSERT INTO attempt (attempt, state, worker, started_us, changed, record)
SELECT a, s, w, t, pg_current_xact_id(), r::json
FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::bigint[], %s::text[]) AS x (a, s, w, t, r)
ON CONFLICT (attempt) DO UPDATE SET state = excluded.state, worker = excluded.worker, started_us = excluded.started_us,
  changed = excluded.changed, record = excluded.record
WHERE attempt.state < {DONE} AND excluded.state > attempt.state
RETURNING attempt.attempt"""
# A row comes back exactly where it took effect: a final one that does so is settled, and never again.

_SPEND = f"""
INSERT INTO purse AS p (id, spent, changed_us) SELECT i, n, {NOW_US} FROM unnest(%s::text[], %s::bigint[]) AS x (i, n)
ORDER BY i
ON CONFLICT (id) DO UPDATE SET changed_us = excluded.changed_us,
  spent = least({LARGEST}::numeric, p.spent::numeric + excluded.spent)::bigint"""
# In the order of their names, as the bank locks them: two transactions never wait for each other.
# Also where there is no lease: what was admitted while the bank was away is added to it afterwards.
_LEASE = """
INSERT INTO lease AS l (purse, worker, amount)
SELECT p, w, -n FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS x (p, w, n) ORDER BY p, w
ON CONFLICT (purse, worker) DO UPDATE SET
  amount = greatest(-9223372036854775807::numeric, l.amount::numeric + excluded.amount)::bigint"""
_HOLD = """
INSERT INTO hold (attempt, purse, amount) SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
ON CONFLICT DO NOTHING"""
_MARK = "INSERT INTO journal VALUES (%s, %s) ON CONFLICT (worker) DO UPDATE SET through = excluded.through"


class _Row(msgspec.Struct, frozen=True):
    state: int
    worker: str
    started_us: int
    record: str
    holds: Mapping[str, int]


class PostgresStore:
    """`Store` on a PostgreSQL database. One connection, made when it is needed, used by one thread at a time."""

    def __init__(self, url: str, folder: Path, worker: str = "") -> None:
        """Raises `FarthingError` where the database is of a newer Farthing; `StoreUnavailable` where it is away."""
        self._url = url
        self._folder = folder_identity(folder)
        self._worker = worker
        self._errors = driver().Error
        self._connection: Connection | None = None
        self._beat_at = float("-inf")
        try:
            self._connected()
        except self._errors as error:
            raise StoreUnavailable(reason(error)) from error

    def write(self, attempts: Sequence[Attempt], prices: Prices, mark: Mark | None = None) -> None:
        made = self._rows(attempts)
        try:
            connection = self._connected()
            with connection.transaction():
                for name, (offer, record) in sorted(prices.items()):
                    connection.execute(
                        "INSERT INTO price VALUES (%s, %s, %s, pg_current_xact_id()) ON CONFLICT DO NOTHING",
                        (name, offer, record),
                    )
                if made:
                    self._settle(connection, made, self._insert(connection, made))
                if mark is not None:
                    connection.execute(_MARK, (mark.worker, mark.through))
        except self._errors as error:
            raise self._failed(error) from error

    def _rows(self, attempts: Sequence[Attempt]) -> dict[str, _Row]:
        """The rows to write, each attempt once: of several the first end, else the last state that counts more."""
        made: dict[str, _Row] = {}
        for attempt in attempts:
            try:
                name, row = self._row(attempt)
            except _BAD:
                try:
                    name, row = self._row(mended(attempt))
                except _BAD as fault:
                    name, row = self._row(bare(attempt, fault))
            before = made.get(name)
            if before is None or before.state < min(row.state, DONE):
                made[name] = row
        return made

    def _row(self, attempt: Attempt) -> tuple[str, _Row]:
        worker = attempt.worker or self._worker
        record = _encode(msgspec.structs.replace(attempt, holds={}) if attempt.holds else attempt).decode()
        if not 0 <= attempt.started_us <= LARGEST:
            raise ValueError("a time outside all years")
        holds = {_plain(purse): n for purse, n in attempt.holds.items() if type(n) is int and 0 <= n <= LARGEST}
        return _plain(attempt.attempt), _Row(
            STATE_NUMBERS[attempt.state], _plain(worker), attempt.started_us, record, holds
        )

    @staticmethod
    def _insert(connection: "Connection", made: Mapping[str, _Row]) -> list[str]:
        """Write the rows; those that took effect."""
        rows = made.values()
        columns = [
            _array(made), [row.state for row in rows], _array(row.worker for row in rows),
            [row.started_us for row in rows], _array(row.record for row in rows),
        ]  # fmt: skip
        return [name for (name,) in connection.execute(_INSERT.encode(), columns).fetchall()]

    @staticmethod
    def _settle(connection: "Connection", made: Mapping[str, _Row], took: Sequence[str]) -> None:
        """Settle the rows that took effect: what was charged, what is held, what is held no more."""
        spent: dict[str, int] = {}
        leased: dict[tuple[str, str], int] = {}
        held: list[tuple[str, str, int]] = []
        for name in took:
            row = made[name]
            for purse, amount in row.holds.items():
                if row.state == OPEN:
                    held.append((name, purse, amount))
                elif row.state >= DONE:
                    spent[purse] = min(LARGEST, spent.get(purse, 0) + amount)
                    leased[purse, row.worker] = min(LARGEST, leased.get((purse, row.worker), 0) + amount)
        if spent:
            connection.execute(_SPEND.encode(), (list(spent), list(spent.values())))
            purses, workers = zip(*leased, strict=True)
            connection.execute(_LEASE, (list(purses), list(workers), list(leased.values())))
        if held:
            connection.execute(_HOLD, [list(column) for column in zip(*held, strict=True)])
        ended = [name for name in took if made[name].state >= DONE]
        if ended:
            connection.execute("DELETE FROM hold WHERE attempt = ANY(%s)", (ended,))

    def marked(self, worker: str) -> int:
        try:
            found = self._connected().execute("SELECT through FROM journal WHERE worker = %s", (worker,)).fetchone()
        except self._errors as error:
            raise self._failed(error) from error
        return int(found[0]) if found else 0

    def forget(self, worker: str) -> None:
        try:
            self._connected().execute("DELETE FROM journal WHERE worker = %s", (worker,))
        except self._errors as error:
            raise self._failed(error) from error

    def recover(self, alive: Callable[[str], bool], hold_s: float = HOLD_S) -> int:
        """See `Store.recover`. `alive` decides for workers of this data folder; see `workers` for others'."""
        try:
            connection = self._connected()
            gone = dead_workers(connection, self._folder, alive)
            if not gone:
                return 0
            with connection.transaction():
                bury(connection, gone)
                marked = connection.execute(
                    f"UPDATE attempt SET state = 1, changed = pg_current_xact_id() "
                    f"WHERE state = {OPEN} AND worker = ANY(%s) RETURNING attempt, started_us",
                    (gone,),
                ).fetchall()
                connection.execute(
                    "UPDATE hold SET expires_us = x.s + %s FROM unnest(%s::text[], %s::bigint[]) AS x (a, s) "
                    "WHERE attempt = x.a",
                    (int(hold_s * 1_000_000), [name for name, _ in marked], [started for _, started in marked]),
                )
                connection.execute("DELETE FROM lease WHERE worker = ANY(%s)", (gone,))
                connection.execute(f"DELETE FROM hold WHERE expires_us <= {NOW_US}".encode())
            return len(marked)
        except self._errors as error:
            raise self._failed(error) from error

    def _connected(self) -> "Connection":
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = opened(self._url)
            self._beat_at = float("-inf")
        if self._worker and time.monotonic() - self._beat_at > BEAT_S:
            seen(connection, self._worker, self._folder)
            self._beat_at = time.monotonic()
        return connection

    def _failed(self, error: Exception) -> StoreUnavailable:
        self.close()  # whatever state it was in; the next call makes another
        return StoreUnavailable(reason(error))

    def amiss(self) -> str:
        return ""  # a server tells by itself when it is away

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def shared_store(url: str, folder: Path) -> Callable[[str], Store]:
    """What `Ledger.open(folder, store=…)` takes to keep its rows in the database at `url`."""
    return lambda worker: PostgresStore(url, folder, worker)


def _array(texts: Iterable[str]) -> str:
    """`texts` as PostgreSQL writes an array of them. (The driver escapes each character: six times the work.)"""
    return "{" + ",".join(['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]) + "}"


def _plain(text: Any) -> str:
    """`text` as the database takes it: no zero characters, no half ones."""
    if not isinstance(text, str):
        raise TypeError("no text")
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
