"""Gemini API and Vertex AI answers with `usageMetadata`, kept as JSONL, or Vertex request-response logs."""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import json_rows
from farthing.usage.readers.usage_objects import gemini_usage
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    items,
    labels,
    part,
    pick,
    seconds,
    text,
)
from farthing.usage.record import Usage

_WRAPPERS = ("response", "full_response", "fullResponse")
_TIMES = ("createTime", "create_time", "logging_time", "request_time", "timestamp", "created_at", "time")
_TIERS = {"ON_DEMAND": None, "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    if seen.flat:
        return seen.has("promptTokenCount")
    return any(
        seen.has(prefix + name)
        for prefix in ("", *(f"{wrapper}." for wrapper in _WRAPPERS))
        for name in ("usageMetadata", "usage_metadata")
    )


def _usage(row: Row) -> Usage | None:
    answer = row
    for wrapper in _WRAPPERS:
        if row.get(wrapper) and not pick(row, "usageMetadata", "usage_metadata"):
            answer = part(row, wrapper)
            break
    usage = part(answer, "usageMetadata") or part(answer, "usage_metadata")
    if not usage:
        if pick(row, "type", "role", "uuid", "error") is not None:
            return None  # another event of a log, or a failed answer
        raise BadRow("no usageMetadata", kind="unexpected shape")
    quantities = gemini_usage(usage)
    if searches := _searches(answer):
        quantities["web_search"] = searches
    asked = text(pick(row, "model", "endpoint"))
    traffic = text(pick(usage, "trafficType", "traffic_type"))
    batch = "response" in row and pick(row, "key", "processed_time") is not None
    return Usage(
        at=instant(pick(answer, *_TIMES) or pick(row, *_TIMES)),
        latency_s=seconds(pick(row, "latency_s")),
        quantities=quantities,
        provider="google",
        model_asked=asked.rpartition("/")[2] if asked else None,
        model_served=text(pick(answer, "modelVersion", "model_version")),
        tier_served="batch" if batch else _TIERS.get(traffic or ""),
        session=text(pick(row, "sessionId", "session_id")),
        tags=labels(traffic=traffic),
        id=text(pick(answer, "responseId", "response_id") or pick(row, "request_id")),
    )


def _searches(answer: Row) -> int:
    """Grounded searches of the answer: its queries; for Gemini 1 and 2, which bill a grounded prompt, at most one."""
    count = 0
    for candidate in items(answer, "candidates"):
        grounding = candidate.get("groundingMetadata")
        queries = grounding.get("webSearchQueries") if isinstance(grounding, dict) else None
        count += len(queries) if isinstance(queries, list) else 0
    served = text(pick(answer, "modelVersion", "model_version")) or ""
    return min(count, 1) if served.startswith(("gemini-1", "gemini-2")) else count


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(paged(json_rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="gemini",
    title="Gemini and Vertex AI answers with usageMetadata (JSONL)",
    containment="promptTokenCount includes cachedContentTokenCount, which is subtracted; thoughtsTokenCount is beside "
    "candidatesTokenCount and is added to make the output (and is its reasoning); toolUsePromptTokenCount is beside "
    "the prompt. Modality lists split the totals that they list; cached tokens without a list are text first.",
    sniff=_sniff,
    decode=_decode,
)
