"""Which workers live: each holds a lock on a file of its own, which the system lets go when the process ends."""

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "workers"
_ODD = re.compile(r"[^A-Za-z0-9.-]+")


class Worker:
    """This process (one opening of the ledger) as a worker: its id and the lock that says it lives.

    `id` is host:pid:start in microseconds. The lock tells the living from the dead where host names change
    with each container and process numbers are used again.
    """

    def __init__(self, folder: Path) -> None:
        started_us = time.time_ns() // 1000
        host = _ODD.sub("-", socket.gethostname())[:60] or "host"
        self._folder = folder / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        # Locked before it has its name, so that no other worker finds it unlocked.
        while True:
            self.id = f"{host}:{os.getpid()}:{started_us}"
            self._path = self._folder / _file(self.id)
            if not self._path.exists():
                break
            started_us += 1
        nameless = self._path.with_suffix(".new")
        self._handle = os.open(nameless, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        nameless.rename(self._path)

    def is_alive(self, worker: str) -> bool:
        """Whether the worker called `worker` (this one, or another on this ledger) still lives."""
        if worker == self.id:
            return True
        path = self._folder / _file(worker)
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def judge(self) -> Callable[[str], bool]:
        """`is_alive` as of now, for all questions: who dies in the midst of a recovery is left to the next."""
        living = {
            path.name: self.is_alive(id_of(path.name.removesuffix(".lock"))) for path in self._folder.glob("*.lock")
        }

        def alive(worker: str) -> bool:
            name = _file(worker)
            known = living.get(name)
            return (self._folder / name).exists() if known is None else known

        return alive

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Only one worker looks after the dead at a time; another waits."""
        handle = os.open(self._folder / "recovery", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def bury(self) -> None:
        """Remove the lock files of the dead."""
        for path in self._folder.glob("*.lock"):
            if path != self._path and not self.is_alive(id_of(path.name.removesuffix(".lock"))):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Say that this worker is gone."""
        if self._handle >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def anyone_alive(folder: Path) -> bool:
    """Whether any worker lives on the ledger in `folder`. Asked from outside; nothing is made there."""
    for path in (folder / FOLDER).glob("*.lock"):
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
    return False


def is_named(folder: Path, worker: str) -> bool:
    """Whether the lock file of `worker` is in `folder`, so that others can see that it lives."""
    return (folder / FOLDER / _file(worker)).exists()


def _file(worker: str) -> str:
    return file_stem(worker) + ".lock"


def file_stem(worker: str) -> str:
    """The id as a name of a file; `id_of` gives the id back."""
    return _ODD.sub("_", worker) or "_"


def id_of(stem: str) -> str:
    """The id of the worker whose files are called so."""
    return stem.replace("_", ":")
