"""Streams: bytes from a file or standard input, decompressed by magic number, cut into numbered lines.

A fault is a problem with a place; what was good before it, and after it, is kept.
"""

import codecs
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from farthing.problems import FarthingError, Problems

HEAD = 64 << 10
LONGEST_LINE = 64 << 20
_CHUNK = 256 << 10
_PACKED_CHUNK = 64 << 10
_BITE = 1 << 10  # compressed bytes at a time: highly repetitive data swells a thousandfold and more
_WIDE = (
    ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"), ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
)  # fmt: skip
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

decode_json = msgspec.json.Decoder(float_hook=Decimal).decode
"""Decode JSON with every fraction as a `Decimal`, digit for digit: a price never becomes a binary float."""

ABSENT = msgspec.Raw()
"""The default of a raw JSON field (msgspec knows no optional raw)."""


def is_absent(raw: msgspec.Raw) -> bool:
    """Whether a raw JSON field was not there, or null."""
    return bytes(raw) in (b"", b"null")


class Opened(NamedTuple):
    """An open source: its name for places, its first bytes (decompressed), its stream, its path if it is a file."""

    place: str
    head: bytes
    stream: BinaryIO
    path: Path | None


class _Chunks(io.RawIOBase):
    """A readable over an iterator of non-empty chunks; fills whole buffers, so that a peek sees the head."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            taken = min(len(self._rest), len(view) - filled)
            view[filled : filled + taken] = self._rest[:taken]
            self._rest = self._rest[taken:]
            filled += taken
        return filled


def _inflate(raw: BinaryIO, first: bytes, place: str, problems: Problems) -> Iterator[bytes]:
    """The decompressed chunks of `raw`, member after member; a fault ends them and is one problem.

    What follows the last line break before a fault is dropped: a row that is cut short can look whole.
    """
    faults: tuple[type[Exception], ...] = (zlib.error,)
    if first.startswith(_GZIP):
        name = "gzip"

        def new() -> Any:
            return zlib.decompressobj(wbits=31)
    else:
        import zstandard

        name, faults = "zstd", (zstandard.ZstdError,)

        def new() -> Any:
            return zstandard.ZstdDecompressor().decompressobj()

    engine, begun, data = new(), False, first
    held: list[bytes] = []  # the line that is not ended yet
    size = 0
    repair = "what comes before is read; fetch the file again for the rest"
    try:
        while data:
            if not begun and not (data := data.lstrip(b"\0")):  # some writers pad a member with zeros
                data = raw.read(_PACKED_CHUNK)
                continue
            begun = True
            out = engine.decompress(data[:_BITE])
            end = len(out) if size > LONGEST_LINE else out.rfind(b"\n") + 1
            if end:
                yield b"".join([*held, out[:end]])
                held, size, out = [], 0, out[end:]
            if out:
                held.append(out)
                size += len(out)
            data = data[_BITE:]
            if engine.eof:
                data = engine.unused_data + data
                engine, begun = new(), False
            data = data or raw.read(_PACKED_CHUNK)
    except faults as fault:
        problems.add(place, f"the {name} data is damaged: {fault}", repair, f"damaged {name}")
        return
    if begun:
        problems.add(place, f"the {name} data is truncated", repair)
    elif held:
        yield b"".join(held)


def _chunks(raw: BinaryIO, place: str, problems: Problems) -> Iterator[bytes]:
    """The chunks of `raw`, decompressed where its first bytes say so; a failing disk or pipe ends them."""
    try:
        yield from _utf8(_unpacked(raw, place, problems), place, problems)
    except OSError as fault:
        problems.add(place, f"reading failed: {fault.strerror or fault}", "read it again", "reading failed")


def _utf8(chunks: Iterator[bytes], place: str, problems: Problems) -> Iterator[bytes]:
    """`chunks` in UTF-8: what opens with the mark of UTF-16 or UTF-32 (some shells write it) is decoded."""
    first = next(chunks, b"")
    name = next((name for marks, name in _WIDE if first.startswith(marks)), None)
    if name is None:
        yield from chain([first] if first else (), chunks)
        return
    decoder = codecs.getincrementaldecoder(name)()
    try:
        for chunk in chain([first], chunks):
            if text := decoder.decode(chunk):
                yield text.encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as fault:
        problems.add(place, f"not {name.upper()}: {fault.reason}", "what comes before is read", "damaged text")


def _unpacked(raw: BinaryIO, place: str, problems: Problems) -> Iterator[bytes]:
    first = raw.read(_CHUNK)
    while 0 < len(first) < 4 and (more := raw.read(_CHUNK)):
        first += more
    if first.startswith((_GZIP, _ZSTD)):
        yield from _inflate(raw, first, place, problems)
        return
    while first:
        yield first
        first = raw.read(_CHUNK)


@contextmanager
def open_source(path: Path | str, problems: Problems) -> Iterator[Opened]:
    """Open a file, or standard input for "-", plain or gzip or zstd (told by their first bytes, not by name).

    Raises `FarthingError` where it cannot be opened.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise FarthingError("standard input is closed; name a file")
        source = _Chunks(_chunks(sys.stdin.buffer, "<stdin>", problems))
        stream = io.BufferedReader(source, 1 << 20)
        yield Opened("<stdin>", stream.peek(HEAD)[:HEAD], cast(BinaryIO, stream), None)
        return
    path = Path(path)
    try:
        raw = path.open("rb", buffering=0)
    except OSError as fault:
        raise FarthingError(f"{path}: cannot be opened: {fault.strerror}") from None
    with raw:
        stream = io.BufferedReader(_Chunks(_chunks(cast(BinaryIO, raw), str(path), problems)), 1 << 20)
        yield Opened(str(path), stream.peek(HEAD)[:HEAD], cast(BinaryIO, stream), path)


def numbered_lines(stream: BinaryIO, place: str, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """The lines of `stream` that are not blank, with their numbers from 1.

    A line over 64 MiB is a problem and is passed over without being held.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
            problems.add(f"{place}:{number}", f"the line is longer than {LONGEST_LINE >> 20} MiB",
                         "end each row with a line break", "line too long")  # fmt: skip
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST_LINE)
            continue
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        if not line.isspace():
            yield number, line


def broken_json(problems: Problems, place: str, fault: Exception) -> None:
    """Record that what is at `place` is not JSON."""
    if isinstance(fault, UnicodeDecodeError):
        problems.add(place, f"not UTF-8: {fault.reason}", "save the file as UTF-8", "not UTF-8")
        return
    problems.add(place, f"not JSON: {fault}", "mend or remove the line", "broken JSON")
