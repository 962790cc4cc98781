"""The journal: every row that a worker accepts is appended to a file of its own before `write` returns.

There it survives the death of the process (in the system's page cache) until the store has it; where the store
refuses rows for long, `handles` are synced and the journal alone keeps them. A worker's files are numbered segments of
frames, one frame a call: length, checksum, ticket (how many rows were accepted up to its end), packed rows; or the
price record that rows are about to name.
"""

import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from farthing.ledger.frame import Latest, Segment, framed
from farthing.ledger.pack import bare, mended
from farthing.ledger.row import Attempt
from farthing.ledger.store import Prices
from farthing.ledger.workers import file_stem, id_of

FOLDER = "journal"
SUFFIX = ".journal"
SEGMENT_BYTES = 4 << 20
WHOLE = (1 << 62) - 1
"""The ticket that says: nothing of this worker's journal is missing from the store."""
TOGETHER = 4_096  # rows brought in at a time
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
_FRAME = struct.Struct("<IIQ")
_write = os.write
_FIELDS = frozenset(Attempt.__struct_fields__)
encode = msgspec.msgpack.Encoder().encode
"""The rows of a frame as they are; where it raises one of `BAD`, see `packed`."""
_decode = msgspec.msgpack.Decoder(list[Attempt]).decode
_decode_prices = msgspec.msgpack.Decoder(dict[str, tuple[str, str]]).decode
BAD = (UnicodeError, OverflowError, TypeError, ValueError, AttributeError, msgspec.MsgspecError)


class Frame(NamedTuple):
    """A ticket, the rows of one call or of several that were written down together, and price records."""

    through: int
    rows: list[Attempt]
    prices: Prices


class Journal(Latest):
    """The journal of one living worker in `folder`. Not safe for threads: its writer's lock guards it."""

    def __init__(self, folder: Path, worker: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._stem = file_stem(worker)
        self._limit = segment_bytes
        self._number = 0
        self._old: deque[Segment] = deque()
        self.now = None

    def append(self, body: bytes, through: int) -> None:
        """Append a frame of rows (`packed`), all or nothing. Raises `OSError` where the disk takes none."""
        if self.now is not None and self.now.torn:
            self._cut(self.now)
        segment = self.now
        if segment is None or segment.size >= segment.limit:
            segment = self._next()
        frame = framed(body, through)
        written = _write(segment.handle, frame)
        if written != len(frame):
            self._cut(segment)
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        segment.size += written
        segment.through = through

    def _next(self) -> Segment:
        """A new segment, or the present one still where none can be made."""
        path = self.folder / f"{self._stem}.{self._number + 1:08d}{SUFFIX}"
        try:
            handle = os.open(path, _FLAGS, 0o600)
        except OSError:
            if self.now is not None:
                return self.now
            raise
        self._number += 1
        if self.now is not None:
            self._old.append(self.now)
        self.now = Segment(path, handle, self._limit)
        return self.now

    def _cut(self, segment: Segment) -> None:
        """Take half a frame off the end; where even that fails, nothing more is written behind it."""
        try:
            os.ftruncate(segment.handle, segment.size)
            segment.torn = False
        except OSError:
            self._old.append(segment)
            self.now = None

    def mend(self, *, parents: bool = False) -> None:
        """Give files that were taken away their names back, with all that is in them. Raises `OSError` where that
        cannot be. `parents`: make the folder anew, and those above it."""
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=parents, exist_ok=True)
        for segment in self._segments():
            if segment.handle >= 0 and not _named(segment):
                segment.handle = _copied(segment)

    def unsynced(self) -> list[int]:
        """Handles that `os.fsync` makes safe from power loss what was appended so far."""
        return [segment.handle for segment in self._segments() if segment.handle >= 0]

    def synced(self, handles: Iterable[int]) -> None:
        """`handles` were synced: full segments among them need not stay open."""
        done = set(handles)
        for segment in self._old:
            if segment.handle in done:
                os.close(segment.handle)
                segment.handle = -1

    def release(self, through: int) -> list[Path]:
        """Let go of full segments that hold nothing after ticket `through`; the caller removes those files."""
        gone = []
        while self._old and self._old[0].through <= through:
            segment = self._old.popleft()
            if segment.handle >= 0:
                os.close(segment.handle)
            gone.append(segment.path)
        return gone

    @property
    def bytes(self) -> int:
        """How long the segment is that is written now."""
        return self.now.size if self.now is not None else 0

    def empty(self, through: int) -> None:
        """Empty the segment that is written now, if it holds nothing after ticket `through`."""
        if self.now is not None and self.now.through <= through:
            with suppress(OSError):
                os.ftruncate(self.now.handle, 0)
                self.now.size = 0

    def paths(self) -> list[Path]:
        """The files, in the order in which they were written."""
        return [segment.path for segment in self._segments()]

    def _segments(self) -> list[Segment]:
        return [*self._old, *([self.now] if self.now is not None else ())]

    def close(self, *, remove: bool) -> None:
        """Let go of the files, and `remove` them where the store has all that is in them."""
        for segment in self._segments():
            if segment.handle >= 0:
                os.close(segment.handle)
            if remove:
                segment.path.unlink(missing_ok=True)
        self._old.clear()
        self.now = None


def _named(segment: Segment) -> bool:
    try:
        there = segment.path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(segment.handle))


def _copied(segment: Segment) -> int:
    """A handle on a copy of the segment, at its path; that on the nameless one is closed."""
    segment.path.unlink(missing_ok=True)
    handle = os.open(segment.path, _FLAGS, 0o600)
    try:
        start = 0
        while part := os.pread(segment.handle, 1 << 20, start):
            start += os.write(handle, part)
    except OSError:
        os.close(handle)
        segment.path.unlink(missing_ok=True)
        raise
    os.close(segment.handle)
    return handle


def packed(attempts: Sequence[Attempt]) -> bytes:
    """The rows of a frame. A row that cannot be packed as it is, is mended: it is never left out."""
    try:
        return encode(attempts)
    except BAD:
        return encode([_packable(attempt) for attempt in attempts])


def packed_prices(prices: Prices) -> bytes:
    """The price records of a frame."""
    return encode(prices)


def _packable(attempt: Attempt) -> Attempt:
    try:
        encode(attempt)
    except BAD as fault:
        try:
            found = mended(attempt)
            encode(found)
        except BAD:
            return bare(attempt, fault)
        return found
    return attempt


def frames(path: Path) -> Iterator[Frame]:
    """The frames of a segment up to the first torn one: whoever wrote that died before its `write` returned."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum, through = _FRAME.unpack(head)
            body = file.read(length)
            if not length or len(body) != length or crc32(body, through) != checksum:
                return  # (zeros, as after a power loss, have the checksum of nothing)
            if body[0] >> 4 == 8 or body[0] >= 0xDE:  # msgpack's maps; rows are an array
                yield Frame(through, [], _decode_prices(body))
            else:
                yield Frame(through, _rows(body), {})


def _rows(body: bytes) -> list[Attempt]:
    try:
        return _decode(body)
    except msgspec.ValidationError:  # a bad field, which the store mends when it packs the row
        return [
            Attempt(**{name: value for name, value in row.items() if name in _FIELDS})
            for row in msgspec.msgpack.decode(body)
        ]


def missing(found: Iterable[Frame], done: int, last: int | None = None) -> Iterator[Frame]:
    """Of a worker's frames in their order, what the store may miss, in few large frames; at the end one with `last`.

    `done`: the ticket up to which the store has every ended attempt. Open rows are not counted in that: they are
    held back for a while. Those whose end is in the journal are left out, the others come with the last frame.
    """
    opens: dict[str, Attempt] = {}
    batch: list[Attempt] = []
    prices: dict[str, tuple[str, str]] = {}
    before = done
    for through, rows, records in found:
        if len(batch) >= TOGETHER and through != before:
            yield Frame(before, batch, prices)
            batch, prices = [], {}
        prices.update(records)
        for row in rows:
            if row.state == "open":
                opens[row.attempt] = row
            else:
                opens.pop(row.attempt, None)
                if through > done:
                    batch.append(row)
        before = max(through, done)
    yield Frame(before if last is None else last, [*batch, *opens.values()], prices)


def segments(folder: Path) -> dict[str, list[Path]]:
    """The segments in `folder` by the worker that wrote them, each worker's in their order."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*.*{SUFFIX}")) if folder.is_dir() else ():
        found.setdefault(id_of(path.name.removesuffix(SUFFIX).rpartition(".")[0]), []).append(path)
    return found
