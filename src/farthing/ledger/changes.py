"""Signals between the processes on one data folder: a small mapped file of words that change when something did.

A reader compares a word with the one it saw last: some tens of nanoseconds, no system call. A writer stores a random
word, not the next number, so that two writers at once need no lock and no reader ever takes a new state for an old one.
"""

import mmap
import os
from pathlib import Path

from farthing.problems import FarthingError

FILE = "changes"
_BYTES = mmap.PAGESIZE
_KEYS, _WANTED, _RETURNED = range(3)


class Changes:
    """The signals of one data folder. Each property is an opaque word; an equal word means: nothing since.

    A writer commits what it changed first and signals then. One that dies in between has signalled nothing,
    so a reader that must not miss a change looks for itself now and then, too.
    """

    def __init__(self, folder: Path | str) -> None:
        path = Path(folder) / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Its page is allocated now: on a full disk this is an error here, not a fault at the first write.
                os.posix_fallocate(handle, 0, _BYTES)
                self._map = mmap.mmap(handle, _BYTES)
            finally:
                os.close(handle)
        except OSError as error:
            raise FarthingError(f"{path}: cannot be used: {error.strerror or error}") from None
        self._words = memoryview(self._map).cast("Q")

    @property
    def keys(self) -> int:
        """Changes when a virtual key was made, revoked or rotated."""
        return self._words[_KEYS]

    @property
    def wanted(self) -> int:
        """Changes when a worker was refused money that others hold leases on."""
        return self._words[_WANTED]

    @property
    def returned(self) -> int:
        """Changes when leased money went back."""
        return self._words[_RETURNED]

    def tell_keys(self) -> None:
        """Say that keys changed."""
        self._tell(_KEYS)

    def tell_wanted(self) -> None:
        """Say that someone wants money back."""
        self._tell(_WANTED)

    def tell_returned(self) -> None:
        """Say that money came back."""
        self._tell(_RETURNED)

    def _tell(self, slot: int) -> None:
        before = self._words[slot]
        while (word := int.from_bytes(os.urandom(8), "little")) == before:
            pass
        self._words[slot] = word

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()
