"""Traces with prefix-block hashes: Mooncake (FAST'25) and Qwen-Bailian, JSON with a line a request.

Both write `timestamp, input_length, output_length, hash_ids`. Mooncake's time is in milliseconds and
its blocks hold 512 tokens; Qwen-Bailian adds `chat_id`, counts seconds, and its blocks hold 16.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, BinaryIO

import msgspec

from farthing.problems import Problems
from farthing.time import EPOCH
from farthing.usage.readers.base import Memory, Reader, shape
from farthing.usage.readers.values import (
    labels,
)
from farthing.usage.record import LARGEST_COUNT, Usage
from farthing.usage.streams import broken_json, numbered_lines

MOONCAKE_BLOCK_TOKENS = 512
BAILIAN_BLOCK_TOKENS = 16
_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)]
_YEAR_MS = 366 * 86_400_000


class _Line(msgspec.Struct):
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=_YEAR_MS)]  # of a clock, not of money
    input_length: _Count
    output_length: _Count
    hash_ids: tuple[int, ...] = ()
    chat_id: int | None = None
    parent_chat_id: int | None = None
    type: str | None = None
    turn: int | None = None


def _sniff(path_name: str, head: bytes) -> bool:
    return shape(head).has("timestamp", "input_length", "output_length")


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    decode = msgspec.json.Decoder(_Line).decode
    roots: dict[int, int] = {}
    for number, line in numbered_lines(stream, place, problems):
        try:
            row = decode(line)
        except msgspec.ValidationError as fault:
            reason = f"not a line of this trace: {fault}"
            problems.add(f"{place}:{number}", reason, "mend or remove the line", "not a line of this trace")
            continue
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            broken_json(problems, f"{place}:{number}", fault)
            continue
        quantities = {}
        if row.input_length:
            quantities["input"] = row.input_length
        if row.output_length:
            quantities["output"] = row.output_length
        if row.chat_id is None:
            yield Usage(
                at=EPOCH + timedelta(milliseconds=row.timestamp),
                quantities=quantities,
                prefix_hashes=row.hash_ids,
                block_tokens=MOONCAKE_BLOCK_TOKENS,
                relative=True,
            )
            continue
        parent = row.chat_id if row.parent_chat_id in (None, -1) else row.parent_chat_id
        root = roots[row.chat_id] = roots.get(parent, parent) if parent is not None else row.chat_id
        yield Usage(
            at=EPOCH + timedelta(seconds=row.timestamp),
            quantities=quantities,
            session=str(root),
            tags=labels(type=row.type, turn=row.turn),
            prefix_hashes=row.hash_ids,
            block_tokens=BAILIAN_BLOCK_TOKENS,
            relative=True,
        )


READER = Reader(
    name="mooncake",
    title="Mooncake or Qwen-Bailian trace with prefix hashes (JSONL)",
    containment="input_length is all of the input and output_length all of the output; what a cache would serve is "
    "left to the prefix hashes, so all input is uncached.",
    sniff=_sniff,
    decode=_decode,
    clock="relative",
)
