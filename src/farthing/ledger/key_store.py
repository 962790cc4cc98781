"""Where virtual keys are kept: rows of `virtual_key`, found by the hash of their token."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec

from farthing.ledger.place import REPLACED
from farthing.ledger.schema import FILE, connect_in_place
from farthing.problems import FarthingError

BUSY_MS = 10_000  # someone at a terminal waits rather than being told to try again
_COLUMNS = "id, hash, name, record, created_us, expires_us, revoked_us"


class KeysUnavailable(Exception):
    """The keys cannot be read now: nobody can be let in by them."""


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row: `hash` is the token's SHA-256, `record` the rest in JSON. Times are microseconds since 1970.

    A token that was replaced, and is honoured for a while yet, has a row of its own, whose id says of which key:
    "k_0123456789ab~" and some digits.
    """

    id: str
    hash: bytes
    name: str
    record: str
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None

    @property
    def key(self) -> str:
        """The id of the key that the row is about."""
        return self.id.partition("~")[0]


class KeyStore(Protocol):
    """Where keys are kept. All raise `KeysUnavailable` where it cannot be reached."""

    def by_hash(self, digest: bytes) -> KeyRow | None:
        """The row of a token."""

    def by_id(self, id: str) -> KeyRow | None:
        """The row of a key."""

    def rows(self) -> list[KeyRow]:
        """All rows, the oldest first."""

    def any(self) -> bool:
        """Whether there ever was a key."""

    def editing(self) -> AbstractContextManager[None]:
        """What is done within happens whole or not at all, durably, and alone."""

    def put(self, row: KeyRow) -> None:
        """Keep a row in the place of the one with its id, if there is one. Only while editing."""

    def remove(self, id: str) -> None:
        """Delete a row. Only while editing."""

    def close(self) -> None:
        """Let go of the file or connection."""


class SqliteKeys:
    """`KeyStore` in the SQLite file of a data folder. `create`: make the file where there is none. `patient`: wait
    for others who write, as nobody on an event loop can."""

    def __init__(self, folder: Path, *, create: bool = False, patient: bool = False) -> None:
        self._folder = folder
        self._patient = patient
        try:
            self._open(create=create)
            _keep_private(folder)
        except sqlite3.Error as error:
            raise FarthingError(f"{folder / FILE}: cannot be opened: {error}") from None
        except OSError as error:
            raise FarthingError(f"{folder}: cannot hold keys: {error.strerror or error}") from None

    def _open(self, *, create: bool) -> None:
        self._connection, self._place = connect_in_place(self._folder, create=create)
        if self._patient:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def _stand(self) -> None:
        """See that the open file is the one in the folder: the ledger's writer puts one back that was removed."""
        if self._place.amiss() == REPLACED:
            self._place.drop_log()
            before = self._connection
            try:
                self._open(create=False)
            except FarthingError as error:
                raise KeysUnavailable(str(error)) from error
            before.close()
        if why := self._place.why():
            raise KeysUnavailable(why)

    def by_hash(self, digest: bytes) -> KeyRow | None:
        return next(self._find("WHERE hash = ?", digest), None)

    def by_id(self, id: str) -> KeyRow | None:
        return next(self._find("WHERE id = ?", id), None)

    def rows(self) -> list[KeyRow]:
        return list(self._find("ORDER BY created_us, id"))

    def any(self) -> bool:
        return next(self._find("LIMIT 1"), None) is not None

    def _find(self, which: str, *values: object) -> Iterator[KeyRow]:
        try:
            self._stand()
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM virtual_key {which}", values).fetchall()
        except sqlite3.Error as error:
            raise KeysUnavailable(str(error)) from error
        for id, digest, name, record, created_us, expires_us, revoked_us in rows:
            yield KeyRow(
                id=id, hash=digest, name=name, record=record, created_us=created_us, expires_us=expires_us,
                revoked_us=revoked_us,
            )  # fmt: skip

    @contextmanager
    def editing(self) -> Iterator[None]:
        try:
            self._stand()
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
            if why := self._place.why():
                raise KeysUnavailable(f"{why}; look whether the change is there")
        except sqlite3.Error as error:
            raise KeysUnavailable(str(error)) from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def put(self, row: KeyRow) -> None:
        values = (row.id, row.hash, row.name, row.record, row.created_us, row.expires_us, row.revoked_us)
        self._connection.execute(
            f"INSERT OR REPLACE INTO virtual_key ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values
        )

    def remove(self, id: str) -> None:
        self._connection.execute("DELETE FROM virtual_key WHERE id = ?", (id,))

    def close(self) -> None:
        self._connection.close()


def _keep_private(folder: Path) -> None:
    """Let nobody else read the ledger: who may call what is in it from now on. (SQLite gives its other files the same
    permissions.)"""
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        path = folder / name
        with suppress(FileNotFoundError):  # the last connection of another process may have taken it away
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
