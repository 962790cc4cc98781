"""The hot ledger's file under our feet: whether the names in the folder still lead to what a connection has open, and
how an open database gets its name back after somebody took it away.

A database without a name goes on as if nothing were amiss, and is gone with the last process that has it open. All of
it can still be read until then, so it is copied whole and put back. Whoever has it open finds another file at its name
then, and opens that: each looks before and after every transaction, so that nothing counts as written that went into a
file without a name.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = "ledger.sqlite"
LOCK = "ledger.lock"
REMOVED, REPLACED, LOG_REMOVED = "was removed", "was replaced by another file", "has lost its log (-wal or -shm)"
Identity = tuple[int, int] | None


class Place:
    """What `FILE` and its log were when a connection opened them. `was`: the file as it was before, so that one that is
    taken away meanwhile is missed too."""

    def __init__(self, folder: Path, was: Identity) -> None:
        self.path = folder / FILE
        self._logs = (folder / f"{FILE}-wal", folder / f"{FILE}-shm")
        self._was = was
        self._logs_were = [identity(log) for log in self._logs]

    def amiss(self) -> str:
        """What happened to the file meanwhile: `REMOVED`, `REPLACED`, `LOG_REMOVED`, or "" (some microseconds)."""
        now = identity(self.path)
        if now is None:
            return REMOVED
        if now != self._was:
            return REPLACED
        for number, log in enumerate(self._logs):
            found = identity(log)
            if found != self._logs_were[number]:
                if self._logs_were[number] is not None:
                    return LOG_REMOVED
                self._logs_were[number] = found
        return ""

    def why(self) -> str:
        """`amiss` in words, "" where nothing is."""
        what = self.amiss()
        return f"{self.path} {what} while it was in use" if what else ""

    def drop_log(self) -> None:
        """Where another file was put in the place of ours, remove our log from beside it: it would be read as that
        file's."""
        if self.amiss() == REPLACED and self._logs_were[0] and identity(self._logs[0]) == self._logs_were[0]:
            _remove_log(self.path)


def identity(path: Path) -> Identity:
    """Which file is at `path`; None: none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


@contextmanager
def opening(folder: Path, *, alone: bool) -> Iterator[None]:
    """While a file is opened, made or put back: `alone`, or beside others who only open it to read."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        handle = os.open(folder / LOCK, flags | (os.O_CREAT if alone else 0), 0o600)
    except OSError:  # a folder that can only be read, or is not there: whoever opens the file says so
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def make(path: Path) -> None:
    """Make an empty file that only its owner can read, where there is none; in `opening`."""
    if not path.exists():
        _remove_log(path)  # of a database that is gone: SQLite would take it for this one's
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def put_back(connection: sqlite3.Connection, place: Place) -> None:
    """Copy the database that `connection` has open to its name, unless another process did so before.

    Raises `OSError` or `sqlite3.Error` where that cannot be; then nothing is changed.
    """
    path = place.path
    with opening(path.parent, alone=True):
        if place.amiss() not in (REMOVED, LOG_REMOVED):
            return
        beside = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            make(beside)
            copy = sqlite3.connect(beside)
            try:
                connection.backup(copy)
            finally:
                copy.close()
            _sync(beside)
            _remove_log(path)
            beside.replace(path)
            _sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)
            _remove_log(beside)


def _remove_log(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
