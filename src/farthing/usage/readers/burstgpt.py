"""The BurstGPT trace: CSV with a line a request, times in seconds from the first day's midnight, no zone.

Columns: `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, and in the later
releases `Session ID` and `Elapsed time` (seconds to the whole answer). An answer of 0 tokens is a failure.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import BinaryIO

from farthing.problems import Problems
from farthing.time import EPOCH
from farthing.usage.readers.base import Memory, Reader, build, shape
from farthing.usage.readers.rows import csv_rows
from farthing.usage.readers.values import (
    BadRow,
    Row,
    labels,
    meters,
    seconds,
    text,
    whole,
)
from farthing.usage.record import Usage

_LONGEST = 100 * 366 * 86400


def _sniff(path_name: str, head: bytes) -> bool:
    return shape(head).columned("Timestamp", "Model", "Request tokens", "Response tokens")


def _usage(row: Row) -> Usage:
    stated = text(row["Timestamp"]) or ""
    try:
        offset = Decimal(stated)
    except ArithmeticError:
        offset = Decimal("NaN")
    if not (offset.is_finite() and 0 <= offset <= _LONGEST):
        raise BadRow(f"Timestamp is {stated!r}, not seconds from the start", kind="bad time")
    output = whole(row, "Response tokens")
    return Usage(
        at=EPOCH + timedelta(microseconds=int(offset * 1_000_000)),
        quantities=meters(input=whole(row, "Request tokens"), output=output),
        model_asked=text(row["Model"]),
        session=text(row.get("Session ID")),
        latency_s=seconds(row.get("Elapsed time")),
        tags=labels(log_type=row.get("Log Type")),
        status="ok" if output else "failed",
        relative=True,
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(csv_rows(stream, place, problems), _usage, problems, memory)


READER = Reader(
    name="burstgpt",
    title="BurstGPT trace (CSV)",
    containment="Request tokens is all of the input and Response tokens all of the output (Total tokens is their sum "
    "and is not used); the trace states no cache hits, so all input is uncached.",
    sniff=_sniff,
    decode=_decode,
    clock="relative",
)
