"""Claude Code's own session logs: JSONL under `projects/`, one event a line.

A response is written once for every block of its content, each time with its usage so far, so the
last line with its key (message id and request id) counts. The same message is written again in other
files when a session is resumed or handed to a side chain; it counts once.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, shape
from farthing.usage.readers.usage_objects import anthropic_region, anthropic_tier, anthropic_usage
from farthing.usage.readers.values import (
    BadRow,
    instant,
    labels,
    text,
    usd,
)
from farthing.usage.record import Usage
from farthing.usage.streams import ABSENT, broken_json, is_absent, numbered_lines

_SYNTHETIC = "<synthetic>"


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = ABSENT


class _Line(msgspec.Struct):
    type: str | None = None
    timestamp: str | None = None
    sessionId: str | None = None
    requestId: str | None = None
    isSidechain: bool | None = None
    isApiErrorMessage: bool | None = None
    agentId: str | None = None
    version: str | None = None
    cwd: str | None = None
    gitBranch: str | None = None
    costUSD: msgspec.Raw = ABSENT
    message: msgspec.Raw = ABSENT


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_message = msgspec.json.Decoder(_Message).decode


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    known = seen.has("type", "sessionId") or seen.has("type", "leafUuid") or seen.has("type", "messageId", "snapshot")
    known = known or "/.claude/projects/" in path_name.replace("\\", "/")
    return known and not any(seen.has(name) for name in ("usageMetadata", "payload", "traceId"))


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    # One session's responses are held until its end: the last line of a response counts, not the first.
    held: dict[tuple[str, str], tuple[Usage, bool]] = {}
    by_message: dict[str, tuple[str, str]] = {}
    for number, line in numbered_lines(stream, place, problems):
        try:
            row = _decode_line(line)
        except msgspec.ValidationError as fault:
            reason = f"not an event of this log: {fault}"
            problems.add(f"{place}:{number}", reason, "mend or remove the line", "unexpected shape")
            continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            broken_json(problems, f"{place}:{number}", fault)
            continue
        if row.type is None:
            problems.add(f"{place}:{number}", "not an event of this log: it has no type", kind="unexpected shape")
            continue
        if row.type != "assistant" or is_absent(row.message):
            continue
        try:
            usage = _usage(row, _decode_message(row.message))
        except BadRow as bad:
            problems.add(f"{place}:{number}", str(bad), bad.repair, bad.kind)
            continue
        except msgspec.ValidationError as fault:
            reason = f"not a message of this log: {fault}"
            problems.add(f"{place}:{number}", reason, "mend or remove the line", "unexpected shape")
            continue
        if usage is None:
            continue
        message, request = usage.id or row.requestId or f"{place}:{number}", row.requestId or ""
        key, aside = (message, request), bool(row.isSidechain)
        known = by_message.setdefault(message, key)
        if key not in held and known in held and (aside or held[known][1] or not (request and known[1])):
            if aside and request and request != known[1]:
                continue  # a side chain's replay of a message of the main chain
            key = known
        if key in held:
            first = held[key][0].at
            usage = msgspec.structs.replace(usage, at=min(first, usage.at), completed=max(first, usage.at))
        held[key] = (usage, aside)
    for (message, request), (usage, aside) in held.items():
        if (aside and memory.has("message", message)) or memory.has("aside", message):
            continue
        if not memory.add("response", message, request):
            continue
        memory.add("message", message)
        if aside:
            memory.add("aside", message)
        yield usage


def _usage(row: _Line, message: _Message) -> Usage | None:
    if is_absent(message.usage) or message.model == _SYNTHETIC or row.isApiErrorMessage:
        return None
    stated = msgspec.json.decode(message.usage)
    if not isinstance(stated, dict):
        raise BadRow("usage is not an object", kind="unexpected shape")
    counts = anthropic_usage(stated)
    tags: dict[str, Any] = {"agent": row.agentId, "cwd": row.cwd, "branch": row.gitBranch, "version": row.version}
    return Usage(
        at=instant(row.timestamp),
        quantities=counts,
        provider="anthropic",
        model_served=text(message.model),
        tier_served=anthropic_tier(stated),
        region=anthropic_region(stated),
        session=text(row.sessionId),
        feature="claude-code",
        tags=labels(**tags, side_chain="yes" if row.isSidechain else None),
        id=text(message.id),
        reported_usd=None if is_absent(row.costUSD) else usd(bytes(row.costUSD).decode().strip('"')),
        estimated=True,
    )


READER = Reader(
    name="claude-code",
    title="Claude Code session log (JSONL)",
    containment="Anthropic's fields are disjoint: input_tokens is uncached input, cache reads and writes are beside "
    "it; a write without a stated time-to-live is the default five minutes. The log can undercount, so every record "
    "is marked estimated.",
    sniff=_sniff,
    decode=_decode,
)
