"""The Azure LLM inference traces (2023, 2024) and the multimodal one (2025): CSV with a line a request.

Columns: `TIMESTAMP,ContextTokens,GeneratedTokens`, and `NumImages` in the multimodal trace. The 2023
files write 100 ns ticks without a zone, the later ones microseconds with an offset. A record holds
microseconds, so a seventh digit is cut off.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, shape
from farthing.usage.record import LARGEST_COUNT, Usage
from farthing.usage.streams import numbered_lines

_NEEDED = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_KIND = "not a row of this trace"


def _sniff(path_name: str, head: bytes) -> bool:
    return shape(head).columned(*_NEEDED)


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    lines = numbered_lines(stream, place, problems)
    _, header = next(lines, (0, b""))
    columns = header.decode("utf-8", "replace").strip().split(",")
    if not set(_NEEDED).issubset(columns):
        problems.add(f"{place}:1", "the header lacks " + ", ".join(_NEEDED), "give the trace its header line")
        return
    width = len(columns)
    when, context, generated = (columns.index(name) for name in _NEEDED)
    images = columns.index("NumImages") if "NumImages" in columns else -1
    for number, line in lines:
        fields = line.split(b",")
        try:
            if len(fields) != width:
                raise ValueError(f"{len(fields)} fields, the header has {width}")
            moment = datetime.fromisoformat(fields[when].decode("ascii").strip())
            quantities = {"input": int(fields[context]), "output": int(fields[generated])}
            if images >= 0:
                quantities["input_image_count"] = int(fields[images])
            for name, count in quantities.items():
                if not 0 <= count <= LARGEST_COUNT:
                    raise ValueError(f"{name} is {count}: not a count of one request")
        except ValueError as fault:
            problems.add(f"{place}:{number}", f"{_KIND}: {fault}", "mend or remove the line", _KIND)
            continue
        at = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        yield Usage(at=at, quantities={name: count for name, count in quantities.items() if count}, provider="azure")


READER = Reader(
    name="azure-trace",
    title="Azure LLM inference trace (CSV)",
    containment="ContextTokens is all of the input and GeneratedTokens all of the output; the trace states no cache "
    "hits, so all input is uncached. Times without a zone are UTC. Images are counted beside the tokens.",
    sniff=_sniff,
    decode=_decode,
)
