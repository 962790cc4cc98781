"""Rows with their places out of a stream: JSON objects (one a line, an array, documents) and CSV records.

A JSON document over several lines is loaded whole up to a stated size; everything else streams.
"""

import io
import json
from collections import deque
from collections.abc import Iterator
from csv import Error as CsvError
from csv import field_size_limit
from csv import reader as csv_reader
from decimal import Decimal
from typing import Any, BinaryIO, cast

import msgspec

from farthing.problems import FarthingError, Problems
from farthing.usage.streams import HEAD, LONGEST_LINE, broken_json, decode_json, numbered_lines

LARGEST_DOCUMENT = 1 << 30
_RECORD_LINES = 10_000  # a quoted CSV field may run over this many lines; beyond, its quote was a stray one
_OPENING = 200  # a document's opening line is no longer than this, or holds a whole item and a comma


def peek(stream: BinaryIO) -> bytes:
    """The next bytes of `stream` (up to the head's size) without consuming them."""
    ahead = getattr(stream, "peek", None)
    if ahead is not None:
        return cast(bytes, ahead(HEAD)[:HEAD])
    at = stream.tell()
    head = stream.read(HEAD)
    stream.seek(at)
    return head


def is_json(head: bytes) -> bool:
    """Whether `head` opens JSON; after a broken first line, whether it is no CSV header and objects follow."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    if first.startswith((b"{", b"[")):
        return True
    columns = max(first.count(separator) for separator in (b",", b";", b"\t")) + 1
    header = columns >= 3 and not any(mark in first for mark in (b"{", b"}", b"[", b"]", b":"))
    return not header and any(head_objects(head))


def head_objects(head: bytes, most: int = 20) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand whole on a line among the first `most` lines of `head`."""
    for line in head.split(b"\n")[:most]:
        if line.lstrip().startswith(b"{"):
            try:
                value = decode_json(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value


def is_document(head: bytes) -> bool:
    """Whether `head` opens one JSON document over several lines (or an array), not one object a line."""
    lines = [line.strip() for line in head.lstrip(b"\xef\xbb\xbf").split(b"\n") if line.strip()][:2]
    if not lines or not lines[0].startswith((b"{", b"[")):
        return False
    first, below = lines[0], lines[1] if len(lines) == 2 else b""
    if first.endswith(b",") or (len(first) <= _OPENING and first.endswith((b"{", b"["))):
        return True
    if any(head_objects(head)):  # whole objects stand on lines: a first line that is none is broken
        return False
    return first.startswith(b"[") or bool(below and not first.endswith(b"}") and not below.startswith(b"{"))


def json_rows(stream: BinaryIO, place: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of `stream` with their places: one a line, or the items of an array, or documents.

    An object that only wraps a list of rows (`data`) is given whole: the reader knows what it holds.
    """
    if is_document(peek(stream)):
        yield from _document(stream, place, problems)
        return
    for number, line in numbered_lines(stream, place, problems):
        where = f"{place}:{number}"
        try:
            value = decode_json(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            broken_json(problems, where, fault)
            continue
        if isinstance(value, dict):
            yield where, value
        else:
            problems.add(where, "not a JSON object", "mend or remove the line")


def _document(stream: BinaryIO, place: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    data = stream.read(LARGEST_DOCUMENT + 1)
    if len(data) > LARGEST_DOCUMENT:
        raise FarthingError(
            f"{place}: one JSON document over {LARGEST_DOCUMENT >> 30} GiB; write one object a line (JSONL) instead"
        )
    try:
        values: Iterator[Any] = iter([decode_json(data)])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        values = _salvage(data.decode("utf-8-sig", "replace"), place, problems)
    item = 0
    for value in values:
        for row in value if isinstance(value, list) else [value]:
            item += 1
            if isinstance(row, dict):
                yield f"{place} item {item}", row
            else:
                problems.add(f"{place} item {item}", "not a JSON object", "mend or remove the item")


def _salvage(text: str, place: str, problems: Problems) -> Iterator[Any]:
    """Documents written one after the other; of a broken one, the items of its first array up to the fault."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    at, inside = _skip(text, 0), False
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as fault:
            bracket = text.find("[", at)
            if inside or bracket < 0:
                where = fault.lineno if isinstance(fault, json.JSONDecodeError) else text.count("\n", 0, at) + 1
                broken_json(problems, f"{place}:{where}", fault)
                return
            at, inside = _skip(text, bracket + 1), True
            continue
        yield value
        at = _skip(text, at)
        if inside and text[at : at + 1] == "]":
            broken_json(problems, f"{place}:{text.count(chr(10), 0, at) + 1}", ValueError("the document breaks off"))
            return


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def csv_rows(stream: BinaryIO, place: str, problems: Problems) -> Iterator[tuple[str, dict[str, str]]]:
    """The records of a CSV with a header, as column to text, with their places.

    The separator is the commonest of comma, semicolon and tab in the header. A quoted field may hold
    line breaks; a stray quote costs its own line only: the lines after it are read again. Raises
    `FarthingError` for a header that is none.
    """
    field_size_limit(LONGEST_LINE)  # prompts in a cell are longer than csv's default of 128 KiB
    lines = numbered_lines(stream, place, problems)
    first = next(lines, None)
    if first is None:
        return
    head = first[1].decode("utf-8", "replace")
    separator = max(",;\t", key=head.count)
    stated = _fields(first[1], separator) if head.count('"') % 2 == 0 else None
    if stated is None or "\r" in head.strip():
        why = "a quote is not closed" if stated is None else "lines end with a bare carriage return; use line feeds"
        raise FarthingError(f"{place}: the header of the CSV cannot be read: {why}")
    header = [column.strip() for column in stated]
    twice = _repeated(header)
    waiting: deque[tuple[int, bytes]] = deque()

    def take() -> tuple[int, bytes] | None:
        return waiting.popleft() if waiting else next(lines, None)

    while (line := take()) is not None:
        number, record = line
        more: list[tuple[int, bytes]] = []
        quotes, size = record.count(b'"'), 0
        while quotes % 2 and len(more) < _RECORD_LINES and size < LONGEST_LINE and (following := take()):
            more.append(following)
            quotes += following[1].count(b'"')
            size += len(following[1])
        fields = _fields(b"".join([record, *(text for _, text in more)]), separator) if quotes % 2 == 0 else None
        if fields is not None and len(fields) == len(header):
            if name := next((name for name, at in twice.items() if len({fields[position] for position in at}) > 1), ""):
                reason = f"two columns are called {name!r} and differ"
                problems.add(f"{place}:{number}", reason, "give each column a name of its own", "columns of one name")
            else:
                yield f"{place}:{number}", dict(zip(header, fields, strict=True))
            continue
        count = "an unclosed quote" if fields is None else f"{len(fields)} fields, the header has {len(header)}"
        problems.add(
            f"{place}:{number}", f"not a row of this CSV: {count}", "mend or remove the line", "broken CSV row"
        )
        waiting.extendleft(reversed(more))


def _repeated(header: list[str]) -> dict[str, list[int]]:
    """The names that head several columns, with the positions of those."""
    at: dict[str, list[int]] = {}
    for position, name in enumerate(header):
        if name:
            at.setdefault(name, []).append(position)
    return {name: positions for name, positions in at.items() if len(positions) > 1}


def _fields(record: bytes, separator: str) -> list[str] | None:
    text = record.decode("utf-8", "replace").rstrip("\r\n")
    if '"' not in text:
        return text.split(separator)
    try:
        rows = list(csv_reader(io.StringIO(text, newline=""), delimiter=separator))
    except CsvError:
        return None
    return rows[0] if len(rows) == 1 else None


def rows(stream: BinaryIO, place: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """`json_rows` or `csv_rows`, by the first visible byte."""
    if is_json(peek(stream)):
        yield from json_rows(stream, place, problems)
    else:
        yield from csv_rows(stream, place, problems)
