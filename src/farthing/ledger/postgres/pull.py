"""Bringing the rows of all gateways into one data folder, where they are asked, checked, exported and closed by day.

The folder is then an ordinary ledger: `open_view`, `summary`, `verify`, `close_days` and the readers of usage see in it
what the database had at the last pull, and what was pulled and closed before. A pull brings what was written since the
one before; rows that come twice change nothing.
"""

import socket
import sqlite3
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.files import write_whole
from farthing.ledger.days import GRACE_S, Closed, close_days
from farthing.ledger.ended import ended, newest_us
from farthing.ledger.hot import closed_days
from farthing.ledger.postgres.connection import driver, reason
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.workers import folder_identity
from farthing.ledger.row import Attempt
from farthing.ledger.schema import DAY_US, LOST, OPEN
from farthing.ledger.schema import connect as connect_hot
from farthing.ledger.store import WORKER_DIED, SqliteStore, StoreUnavailable
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

NOTE = "pulled.json"
_TOGETHER = 4_096
_PIECE = 20_000  # rows deleted in one transaction
_decode = msgspec.json.Decoder(Attempt).decode


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """How far a folder is: of which database, and every transaction before `through`."""

    database: str
    through: int


def pull(url: str, folder: Path) -> int:
    """Bring what is new in the database at `url` to the ledger in `folder`; how many rows came.

    Raises `FarthingError` where the database or the folder cannot be used.
    """
    try:
        with opened(url, **_PATIENT) as connection:
            return _pull(connection, folder)[0]
    except (driver().Error, StoreUnavailable) as error:
        raise FarthingError(f"rows cannot be brought over now: {reason(error)}") from None
    except OSError as error:
        raise FarthingError(f"{folder}: cannot hold a ledger: {error.strerror or error}") from None


def archive(url: str, folder: Path, now_us: int | None = None, grace_s: float = GRACE_S) -> list[Closed] | None:
    """Pull, close the days that are over in `folder`, and delete their rows from the database; the days closed.

    The first folder that does so is the archive, and the only one: None for any other. Raises `FarthingError`.
    """
    identity = folder_identity(folder)
    try:
        with opened(url, **_PATIENT) as connection:
            connection.execute(
                "INSERT INTO archive VALUES (true, %s, %s) ON CONFLICT DO NOTHING", (identity, socket.gethostname())
            )
            if connection.execute("SELECT folder FROM archive").fetchall() != [(identity,)]:
                return None
            _, through = _pull(connection, folder)
            closed = close_days(folder, now_us, grace_s)
            hot = connect_hot(folder, read_only=True)
            try:
                days = [day.day for day in closed_days(hot)]
            finally:
                hot.close()
            _delete(connection, days, through)
            return closed
    except (driver().Error, StoreUnavailable) as error:
        raise FarthingError(f"days cannot be closed now: {reason(error)}") from None


def forget_purses(url: str, folder: Path, before: date) -> int:
    """Delete what budgets spent in periods that ended before `before`; how many. See `ended.forget_purses`.

    `folder`: where the rows of all gateways were brought, which tells how far time has come. Raises `FarthingError`.
    """
    try:
        hot = connect_hot(folder, read_only=True)
        try:
            newest = newest_us(hot)
        finally:
            hot.close()
        limit = min((before - date(1970, 1, 1)).days * DAY_US, newest, time.time_ns() // 1000)
        with opened(url, **_PATIENT) as connection:
            listed = connection.execute("SELECT id FROM purse").fetchall()
            return connection.execute(
                "DELETE FROM purse p WHERE id = ANY(%s) AND NOT EXISTS (SELECT 1 FROM lease WHERE purse = p.id) "
                "AND NOT EXISTS (SELECT 1 FROM hold WHERE purse = p.id)",
                (list(ended((purse for (purse,) in listed), limit)),),
            ).rowcount
    except (driver().Error, sqlite3.Error) as error:
        raise FarthingError(f"purses cannot be dropped now: {reason(error)}") from None


_PATIENT = {"options": "-c timezone=UTC -c client_encoding=UTF8 -c lock_timeout=10s"}


def _pull(connection: "Connection", folder: Path) -> tuple[int, int]:
    """Bring what is new; how many rows, and the first transaction that may still be missing."""
    [(database,)] = connection.execute("SELECT id FROM database_id").fetchall()
    before = _note(folder)
    since = before.through if before is not None and before.database == database else 0
    store = SqliteStore(folder)
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # Transactions below this number have ended; what a later one wrote may still be unseen.
            [(through,)] = connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchall()
            prices = connection.execute(
                "SELECT name, offer, record FROM price WHERE changed >= %s::text::xid8", (str(since),)
            ).fetchall()
            store.write([], {name: (offer, record) for name, offer, record in prices})
            rows = 0
            with connection.cursor("pull") as cursor:
                cursor.execute(
                    "SELECT state, worker, record::text FROM attempt WHERE changed >= %s::text::xid8", (str(since),)
                )
                while batch := cursor.fetchmany(_TOGETHER):
                    store.write([_attempt(*row) for row in batch], {})
                    rows += len(batch)
    finally:
        store.close()
    write_whole(folder / NOTE, msgspec.json.encode(Pulled(database=database, through=through)).decode())
    return rows, through


def _attempt(state: int, worker: str, record: str) -> Attempt:
    """The row as it was written, but for what the database knows better."""
    found = _decode(record)
    if state == LOST and found.state == "open":
        return msgspec.structs.replace(found, state="lost", worker=found.worker or worker, unknown=WORKER_DIED)
    return found if found.worker else msgspec.structs.replace(found, worker=worker)


def _note(folder: Path) -> Pulled | None:
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=Pulled)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # then all of it is pulled again


def _delete(connection: "Connection", days: Sequence[int], through: int) -> None:
    """Delete the rows of `days` that were pulled, in pieces."""
    for day in days:
        while connection.execute(
            "DELETE FROM attempt WHERE attempt IN (SELECT attempt FROM attempt WHERE started_us >= %s AND "
            f"started_us < %s AND changed < %s::text::xid8 AND state <> {OPEN} LIMIT {_PIECE}) AND "
            "changed < %s::text::xid8",
            (day * DAY_US, (day + 1) * DAY_US, str(through), str(through)),
        ).rowcount:
            pass
