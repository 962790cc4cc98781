"""What a reader is: one format, recognised by its fields."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from farthing.serving.measured.measurement import Measurement

Record = Mapping[str, Any]


def whole_record(record: Record, source: str) -> Iterable[tuple[Record, str]]:
    """A record that is one measurement."""
    return ((record, source),)


class Reader(NamedTuple):
    """`fits`: whether a record is of this format. `parts`: the records of single measurements in it, each with
    its place. `read`: the measurement of one part; raises `Refused`. `wants`: what the format needs, for a person.
    """

    name: str
    wants: str
    fits: Callable[[Record], bool]
    read: Callable[[Record, str], Measurement]
    parts: Callable[[Record, str], Iterable[tuple[Record, str]]] = whole_record
