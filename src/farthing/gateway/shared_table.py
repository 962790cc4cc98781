"""A table of counts that all workers on one machine share: a mapped file under a lock, one entry a name.

    words 0-127        the header
    words 128 k …      entry k: name's hash, last second, total, 61 seconds, 63 workers

A word is eight bytes. Everything is read and changed under the lock, but one: a worker lowers its own cell of an
entry without it, since only that worker writes it. The lock is in the header (`shared_words`; a lock on the file where
the system has no such thing), a killed worker lets it go, and no write inside it leaves an entry unreadable. Each
worker owns a slot, a lock on a small file of its own: what a dead worker's cells still say is dropped as soon as
somebody asks.
"""

import errno
import fcntl
import mmap
import os
import platform
import struct
import time
from functools import cache
from hashlib import blake2b
from pathlib import Path

from farthing.gateway.shared_words import LOCK_BYTES, ROBUST, SharedWords, make_lock
from farthing.problems import FarthingError

ENTRY = 128
"""Words of an entry."""
SECOND, TOTAL, SECONDS, CELLS = 1, 2, 4, 65
"""Where in an entry: the last second that it knows of, the total, the ring of seconds, the workers' cells."""
RING = 61
"""Seconds kept: those of a minute, and the one that the minute begins in."""
SLOTS = ENTRY - CELLS
"""How many workers can share a table."""
ENTRIES = 16_384
"""Names that can be in use within one minute (16 MiB)."""
_WAYS = 16  # entries that a name may stand in: so many are looked at where a new name comes
_MAGIC = 0x6661_7274_6861_0002  # "fartha" and the version of this layout
_HEADER = {"magic": 0, "entries": 1, "boot": 2, "lock": 4}
USED_SLOTS = 3  # in the header, too: slots that were ever taken are below it
_LOCK_AT = LOCK_BYTES  # in the header, too, in bytes
_OWNED = 64  # in the header, from here on: whether a slot was taken and not given back
_NO_WAIT = fcntl.LOCK_EX | fcntl.LOCK_NB
_PATIENCE_S = 0.25
_PROBE_S = 0.25


class SharedTable:
    """The table in `folder`, and this process's slot in it. For one thread.

    Raises `FarthingError` where it cannot be made (no room, no permission), or all slots are taken.
    """

    def __init__(self, folder: Path, *, entries: int = ENTRIES) -> None:
        self._folder = folder
        self._file, self._map = _open(folder / "table", entries)
        try:
            self.words = memoryview(self._map).cast("q")
            self.shared = SharedWords(self._map, _LOCK_AT if lock_kind() else -1, self._file)
            self._entries = self.words[_HEADER["entries"]]
            self._next_probe_s = 0.0
            self._slot_file = -1
            self.slot = self._take_slot()
            self._drop(self.slot)  # what an owner left who was killed
            self.words[_OWNED + self.slot] = 1
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the slot back. What this worker still counts as in flight is dropped."""
        if self._slot_file < 0:
            return
        if self.lock():
            self._drop(self.slot)
            self.give_back()
        os.close(self._slot_file)
        self._slot_file = -1
        self.words.release()
        self.shared.close()
        self._map.close()
        os.close(self._file)
        self._file = -1

    # --- the lock -----------------------------------------------------------------------------

    def lock(self) -> bool:
        """Take the lock; whether it was had."""
        answer = self.shared.attempt()
        return not answer or self.had(answer)

    def had(self, answer: int) -> bool:
        """Whether the lock is had after an attempt that answered so; waits for it for a quarter of a second.

        False where its holder was stopped inside it, and after `close`. Raises `OSError` where it is no lock.
        """
        if self._file < 0:
            return False
        # Held for a few microseconds at a time, so at first only the processor is given away.
        until = time.monotonic() + _PATIENCE_S
        pause_s = 0.0
        while answer:
            if answer != errno.EBUSY:
                raise OSError(answer, "the lock of the shared table is broken")
            if time.monotonic() >= until:
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s + 0.000_02, 0.001)
            answer = self.shared.attempt()
        return True

    def give_back(self) -> None:
        """Let the lock go."""
        self.shared.give_back()

    # --- entries, under the lock --------------------------------------------------------------

    def find(self, name: int, second: int, *, create: bool = True) -> int:
        """The first word of the entry of the name with this hash; 0 where there is none, or no room for it.

        Room is a free entry, or one that is idle: nothing in its minute, and nothing in flight.
        """
        words = self.words
        first = name % (self._entries // _WAYS) * _WAYS + 1
        places = range(first * ENTRY, (first + _WAYS) * ENTRY, ENTRY)
        for base in places:
            if words[base] == name:
                return base
        if not create:
            return 0
        for base in places:
            if words[base] == 0 or self._is_idle(base, second):
                words[base] = 0  # named last: a process killed here leaves a free entry
                words[base + SECOND : base + ENTRY] = _EMPTY
                words[base + SECOND] = second
                words[base] = name
                return base
        return 0

    def _is_idle(self, base: int, second: int) -> bool:
        words = self.words
        return abs(second - words[base + SECOND]) >= RING and not self.in_flight(base)

    def in_flight(self, base: int) -> int:
        """What all workers count as in flight in this entry."""
        return sum(self.words[self.cells(base)])

    def cells(self, base: int) -> slice:
        """The words of this entry that say what each worker has in flight."""
        return slice(base + CELLS, base + CELLS + self.words[USED_SLOTS])

    def advance(self, base: int, second: int) -> None:
        """Bring the entry to this second: what is older than a minute leaves its total."""
        words = self.words
        steps = second - words[base + SECOND]
        if -RING < steps <= 0:
            return  # another process is a moment ahead: this second is still in the ring
        ring = base + SECONDS
        if 0 < steps < RING:
            for old in range(second - steps + 1, second + 1):
                words[ring + old % RING] = 0
            # Summed anew, so that a worker killed between two writes leaves no more than a second's trace.
            words[base + TOTAL] = sum(words[ring : ring + RING])
        else:  # long ago; or far later than now, which no running clock says
            words[ring : ring + RING] = _EMPTY[:RING]
            words[base + TOTAL] = 0
        words[base + SECOND] = second

    # --- workers ------------------------------------------------------------------------------

    def bury(self, now_s: float) -> bool:
        """Under the lock: drop what dead workers held; whether there was one. Looks four times a second at most."""
        if now_s < self._next_probe_s:
            return False
        self._next_probe_s = now_s + _PROBE_S
        found = False
        for slot in range(self.words[USED_SLOTS]):
            if slot == self.slot:
                continue
            file = _try_slot(self._slot_path(slot))
            if file >= 0:
                found = self._drop(slot) or found
                os.close(file)
        return found

    def _take_slot(self) -> int:
        for slot in range(SLOTS):
            file = _try_slot(self._slot_path(slot))
            if file >= 0:
                os.truncate(file, 0)
                os.write(file, f"{os.getpid()}\n".encode())  # for whoever looks into the folder
                self._slot_file = file
                self.words[USED_SLOTS] = max(self.words[USED_SLOTS], slot + 1)
                return slot
        raise FarthingError(f"{self._folder}: {SLOTS} workers share this folder, and no more can")

    def _slot_path(self, slot: int) -> Path:
        return self._folder / f"worker-{slot:02}.lock"

    def _drop(self, slot: int) -> bool:
        """Set the slot's cells to 0, if it was taken and not given back; whether it was."""
        words, found = self.words, bool(self.words[_OWNED + slot])
        if found:
            for base in self._bases_with(slot):
                words[base + CELLS + slot] = 0
            words[_OWNED + slot] = 0
        return found

    def _bases_with(self, slot: int) -> list[int]:
        # Read from the file: going through the map would make all of it resident.
        found, chunk = [], 8 * ENTRY * 128
        for start in range(8 * ENTRY, 8 * len(self.words), chunk):
            cells = memoryview(os.pread(self._file, chunk, start)).cast("q")[CELLS + slot :: ENTRY]
            found += [start // 8 + at * ENTRY for at, cell in enumerate(cells) if cell]
        return found


@cache
def lock_kind() -> str:
    """Which robust mutex this process has, in a word ("glibc64"): one table holds one kind. "" where it has none."""
    return f"{platform.libc_ver()[0] or 'libc'}{8 * struct.calcsize('P')}" if ROBUST else ""


_EMPTY = memoryview(bytes(8 * (ENTRY - 1))).cast("q")


def name_hash(name: str) -> int:
    """The name as a word; never 0, which marks a free entry."""
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), signed=True) or 1


def _try_slot(path: Path) -> int:
    """The slot's file, locked; -1 where a living worker has it."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, _NO_WAIT)
    except BlockingIOError:
        os.close(file)
        return -1
    return file


def _open(path: Path, entries: int) -> tuple[int, mmap.mmap]:
    """The table's file, locked and mapped; made where there is none, or one of another layout or another boot."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise FarthingError(f"{path}: cannot be written: {error.strerror or error}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file) and _is_ready(path, file, max(entries // _WAYS, 1) * _WAYS):
                return file, mmap.mmap(file, 0)
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # somebody replaced it while we waited, or we removed it: again


def _is_ready(path: Path, file: int, entries: int) -> bool:
    size, boot = os.fstat(file).st_size, _boot()
    if size and not _is_ours(path, file, size, boot):
        path.unlink()  # never emptied in place: who has it mapped would die of that
        return False
    if not size:
        _make(path, file, entries, boot)
    return True


def _is_at(path: Path, file: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _is_ours(path: Path, file: int, size: int, boot: int) -> bool:
    header = memoryview(os.pread(file, 8 * ENTRY, 0).ljust(8 * ENTRY, b"\0")).cast("q")
    stated = {name: header[at] for name, at in _HEADER.items()}
    whole = size == 8 * ENTRY * (stated["entries"] + 1)
    ours = stated["magic"] == _MAGIC and whole and stated["boot"] == boot
    if ours and stated["lock"] != name_hash(lock_kind()):
        raise FarthingError(
            f"{path}: a process of another system (its C library differs) uses it: give this one a --data of its own"
        )
    return ours


def _make(path: Path, file: int, entries: int, boot: int) -> None:
    size = 8 * ENTRY * (entries + 1)
    try:
        # Room is taken now: a mapped file without it kills the process that writes to it on a full disk.
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        path.unlink()
        raise FarthingError(
            f"{path}: no room for the table of limits, {size >> 20} MiB: {error.strerror or error}"
        ) from None
    if lock_kind():
        with mmap.mmap(file, 0) as mapped:
            make_lock(mapped, _LOCK_AT)
    for name, value in (
        ("entries", entries), ("boot", boot), ("lock", name_hash(lock_kind())), ("magic", _MAGIC),
    ):  # fmt: skip
        os.pwrite(file, value.to_bytes(8, "little", signed=True), 8 * _HEADER[name])


def _boot() -> int:
    """Which boot of the machine this is: the clock that times are kept in starts again with each."""
    try:
        return name_hash(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    except OSError:
        return 1  # elsewhere only times later than now are known as stale
