"""What every reader is made of: the `Reader` itself, its memory, the making of records, the shape of a file."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, TypeVar

from farthing.problems import Problems
from farthing.usage.readers.rows import head_objects, is_json
from farthing.usage.readers.values import BadRow, Row
from farthing.usage.record import Usage

T = TypeVar("T")
_NAMES = re.compile(rb'"([\w.\-]+)"\s*:')


class Memory:
    """What one run remembers across the files of one reader: 8-byte hashes, and which session came from which."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._roots: dict[str, str] = {}

    def add(self, *parts: object) -> bool:
        """Remember `parts`; whether they are new."""
        before = len(self._seen)
        self._seen.add(hash(parts))
        return len(self._seen) > before

    def has(self, *parts: object) -> bool:
        """Whether `parts` were remembered."""
        return hash(parts) in self._seen

    def root(self, name: str) -> str:
        """The one name that stands for all that were joined with `name`."""
        while (up := self._roots.get(name, name)) != name:
            name = up
        return name

    def join(self, one: str, other: str) -> None:
        """Let `one` and `other` share a root."""
        if (root := self.root(one)) != (top := self.root(other)):
            self._roots[root] = top


ReadStream = Callable[[BinaryIO, str, Problems, Memory], Iterator[Usage]]


@dataclass(frozen=True)
class Reader:
    """One source format.

    `containment` says how the source's counts contain each other and how they become disjoint
    meters. `clock` is "utc", or "relative" where the source gives only offsets. `sniff` judges a
    file's name and its first 64 KiB. `decode` reads a stream: use `read`.
    """

    name: str
    title: str
    containment: str
    sniff: Callable[[str, bytes], bool]
    decode: ReadStream
    clock: str = "utc"

    def read(self, stream: BinaryIO, place: str, problems: Problems, memory: Memory | None = None) -> Iterator[Usage]:
        """The usage records of `stream`; bad rows go to `problems` with their places.

        `memory` is shared between the files of one run, so that what one repeats of another is dropped.
        """
        return self.decode(stream, place, problems, memory if memory is not None else Memory())


def build(
    rows: Iterable[tuple[str, T]], make: Callable[[T], Usage | None], problems: Problems, memory: Memory
) -> Iterator[Usage]:
    """`make` of every row: a bad row is a problem, a repeated id keeps the first, None is not usage."""
    for place, row in rows:
        try:
            usage = make(row)
        except BadRow as bad:
            problems.add(place, str(bad), bad.repair, bad.kind)
            continue
        if usage is None:
            continue
        if usage.id and not memory.add("id", usage.id):
            problems.add(place, f"duplicate id {usage.id!r}", "the first row with this id is kept", "duplicate id")
            continue
        yield usage


def paged(rows: Iterable[tuple[str, Row]], problems: Problems) -> Iterator[tuple[str, Row]]:
    """The rows, and in place of a page the rows under its `data`."""
    for place, row in rows:
        inner = row.get("data")
        if isinstance(inner, dict):
            yield place, inner
            continue
        if not isinstance(inner, list):
            yield place, row
            continue
        for number, item in enumerate(inner, 1):
            if isinstance(item, dict):
                yield f"{place} row {number}", item
            else:
                problems.add(f"{place} row {number}", "not a JSON object", "mend or remove the row")


@dataclass(frozen=True)
class Shape:
    """What the head of a file shows: CSV columns, or JSON keys ("a" and "a.b"; flat when no row stands whole)."""

    columns: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    flat: bool = False

    def has(self, *names: str) -> bool:
        """Whether every one of `names` is among the JSON keys."""
        return bool(self.keys) and all((name.rpartition(".")[2] if self.flat else name) in self.keys for name in names)

    def columned(self, *names: str) -> bool:
        """Whether every one of `names` is among the CSV columns."""
        return bool(self.columns) and self.columns.issuperset(names)


@lru_cache(maxsize=2)
def shape(head: bytes) -> Shape:
    """The shape of `head`. A wrapping list of rows (`data`) shows its rows' keys as its own too."""
    if not is_json(head):
        first = head.lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 1)[0].decode("utf-8", "replace").strip()
        separator = max(",;\t", key=first.count)
        return Shape(columns=frozenset(column.strip().strip('"') for column in first.split(separator)))
    keys = {key for row in head_objects(head) for key in _keys(row)}
    if keys:
        return Shape(keys=frozenset(keys))
    return Shape(keys=frozenset(name.decode() for name in _NAMES.findall(head)), flat=True)


def _keys(row: Row) -> Iterator[str]:
    for key, value in row.items():
        yield key
        inner = value[0] if key in ("data", "results") and isinstance(value, list) and value else value
        if isinstance(inner, dict):
            yield from (f"{key}.{name}" for name in inner)
            if inner is not value:
                yield from _keys(inner)
