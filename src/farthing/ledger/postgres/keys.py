"""Virtual keys of several gateways: the database has them, each data folder a mirror that requests are checked against.

So a request waits for no network, and keys open doors while the database is away; what was revoked meanwhile ends once
it is back. `Watch` keeps a mirror true.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farthing.ledger.changes import Changes
from farthing.ledger.key_store import KeyRow, KeysUnavailable, SqliteKeys
from farthing.ledger.postgres.bank import CHANNEL
from farthing.ledger.postgres.connection import driver, reason
from farthing.ledger.postgres.schema import opened
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

_COLUMNS = KeyRow.__struct_fields__
_NAMES = ", ".join(_COLUMNS)
_LOCK = 0x46524C32
_PUT = (
    f"INSERT INTO virtual_key ({_NAMES}) VALUES ({', '.join(['%s'] * len(_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
)


class PostgresKeys:
    """`KeyStore` on a PostgreSQL database, mirrored in a data folder: read there, changed in the database first.

    Raises `FarthingError` where the database is away when it is opened: nobody should hand out a key unheard.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._errors = (driver().Error, sqlite3.Error)
        self._editing = False
        try:
            self._connection: Connection = opened(url)
            mirror_keys(self._connection, folder)
        except self._errors as error:
            raise FarthingError(f"keys cannot be read now: {reason(error)}") from None
        self._mirror = SqliteKeys(folder, create=True, patient=True)

    def by_hash(self, digest: bytes) -> KeyRow | None:
        return self._mirror.by_hash(digest)

    def by_id(self, id: str) -> KeyRow | None:
        return self._mirror.by_id(id)

    def any(self) -> bool:
        return self._mirror.any()

    def rows(self) -> list[KeyRow]:
        if not self._editing:
            return self._mirror.rows()
        return sorted(_shared(self._connection).values(), key=lambda row: (row.created_us, row.id))

    @contextmanager
    def editing(self) -> Iterator[None]:
        try:
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._editing = True
                yield
                self._connection.execute("UPDATE key_change SET number = number + 1")
                self._connection.execute("SELECT pg_notify(%s, 'keys')", (CHANNEL,))
            mirror_keys(self._connection, self._folder)
        except self._errors as error:
            raise KeysUnavailable(reason(error)) from error
        finally:
            self._editing = False

    def put(self, row: KeyRow) -> None:
        self._connection.execute(_PUT.encode(), [getattr(row, name) for name in _COLUMNS])

    def remove(self, id: str) -> None:
        self._connection.execute("DELETE FROM virtual_key WHERE id = %s", (id,))

    def close(self) -> None:
        self._mirror.close()
        self._connection.close()


def mirror_keys(connection: "Connection", folder: Path) -> bool:
    """Make the keys of the data folder those of the database; whether anything was different.

    Raises `psycopg.Error`, `FarthingError` or `KeysUnavailable`.
    """
    theirs = _shared(connection)
    mirror = SqliteKeys(folder, create=True, patient=True)
    try:
        if {row.id: row for row in mirror.rows()} == theirs:
            return False
        with mirror.editing():
            ours = {row.id: row for row in mirror.rows()}
            changed = [name for name, row in ours.items() if theirs.get(name) != row]
            for name in changed:  # first: a hash is unique, and may have passed from one row to another
                mirror.remove(name)
            for name, row in theirs.items():
                if ours.get(name) != row:
                    mirror.put(row)
    finally:
        mirror.close()
    changes = Changes(folder)
    changes.tell_keys()
    changes.close()
    return True


def _shared(connection: "Connection") -> dict[str, KeyRow]:
    found: list[tuple[Any, ...]] = connection.execute(f"SELECT {_NAMES} FROM virtual_key".encode()).fetchall()
    return {row[0]: KeyRow(**dict(zip(_COLUMNS, row, strict=True))) for row in found}
