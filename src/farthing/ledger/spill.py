"""The emergency file: rows that the store would not take, appended and synced, until it takes them again.

One file a worker: frames of length, checksum and packed rows. A torn last frame (the process died in it, the
disk was full) is left out; its rows were never said to be durable.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from farthing.ledger.row import Attempt
from farthing.ledger.workers import file_stem, id_of

SUFFIX = ".spill"
_FRAME = struct.Struct("<II")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Attempt], strict=False).decode


class Spill:
    """The emergency file of one worker in `folder`; nothing is made there until it is needed."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.path = folder / (file_stem(worker) + SUFFIX)
        self.rows = 0

    def append(self, attempts: Sequence[Attempt]) -> None:
        """Append `attempts` durably, all or none. Raises `OSError` where that cannot be."""
        body = _encode(_packable(attempts))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            before = os.fstat(handle).st_size
            frame = _FRAME.pack(len(body), zlib.crc32(body)) + body
            try:
                view = memoryview(frame)
                while view:
                    view = view[os.write(handle, view) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)
        self.rows += len(attempts)

    def remove(self) -> None:
        """Forget the file: the store has taken its rows."""
        self.path.unlink(missing_ok=True)
        self.rows = 0


def _packable(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    try:
        _encode(attempts)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        from farthing.ledger.pack import mended

        return [mended(attempt) for attempt in attempts]
    return attempts


def batches(path: Path) -> Iterator[list[Attempt]]:
    """The rows of an emergency file, frame by frame, up to the first torn one."""
    with path.open("rb") as file:
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(head)
            body = file.read(length)
            if len(body) != length or zlib.crc32(body) != checksum:
                return
            yield _decode(body)


def files(folder: Path) -> list[Path]:
    """The emergency files in `folder`."""
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def worker_of(path: Path) -> str:
    """The id of the worker that wrote the file."""
    return id_of(path.name.removesuffix(SUFFIX))
