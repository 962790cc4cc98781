"""Raw API answers kept as JSONL: OpenAI chat completions and responses, Anthropic messages, batch outputs.

The answer may stand under `response` (or `response.body`, `result.message`, `body`), with a time of
the logger's own beside it. An answer without any time is a bad row: what it cost depends on when.
"""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import json_rows
from farthing.usage.readers.usage_objects import (
    anthropic_region,
    anthropic_tier,
    anthropic_usage,
    built_in_calls,
    is_anthropic,
    openai_usage,
)
from farthing.usage.readers.values import (
    BadRow,
    Row,
    between,
    instant,
    labels,
    later,
    meters,
    part,
    pick,
    provider_name,
    seconds,
    text,
    usd,
)
from farthing.usage.record import Usage

_PATHS = ((), ("response",), ("response", "body"), ("body",), ("result", "message"), ("message",))
_TIMES = ("created", "created_at", "timestamp", "time", "at", "started_at", "start_time")
_OPENAI_MODELS = ("gpt-", "o1", "o3", "o4", "chatgpt", "codex", "text-", "computer-")


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    if seen.flat:
        return seen.has("usage") and (seen.has("total_tokens") or seen.has("output_tokens"))
    counted = any(
        seen.has(f"{wrapper}usage.{name}")
        for wrapper in ("", "data.")
        for name in ("prompt_tokens", "input_tokens", "output_tokens")
    )
    wrapped = seen.has("custom_id", "response.body") or seen.has("custom_id", "result.message")
    inner = seen.has("response.usage") or seen.has("body.usage") or seen.has("message.usage")
    return (counted or wrapped or inner) and not (seen.has("sessionId") or seen.has("payload") or seen.has("traceId"))


def _answer(row: Row) -> Row | None:
    for path in _PATHS:
        inner: object = row
        for name in path:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("usage"), dict):
            return inner
    return None


def _usage(row: Row) -> Usage | None:
    answer = _answer(row)
    if answer is None:
        if pick(row, "error") is not None or pick(row, "object") == "chat.completion.chunk":
            return None  # a failed answer, or a part of a stream before its usage
        raise BadRow("no usage object in the answer", kind="unexpected shape")
    usage = part(answer, "usage")
    theirs = is_anthropic(usage) or text(answer.get("type")) == "message"
    batch = "custom_id" in row
    stated = pick(row, *_TIMES) if row is not answer else None
    start = instant(stated if stated is not None else pick(answer, *_TIMES))
    end = later(pick(answer, "completed_at"))
    counts: dict[str, int] = dict(anthropic_usage(usage) if theirs else openai_usage(usage))
    for meter, calls in built_in_calls(answer.get("output")).items():
        counts[meter] = counts.get(meter, 0) + calls
    tier = anthropic_tier(usage) if theirs else text(answer.get("service_tier"))
    provider = provider_name(pick(row, "provider") or pick(answer, "provider"))
    return Usage(
        at=start,
        completed=end,
        latency_s=seconds(pick(row, "latency_s")) if end is None else between(start, end),
        quantities=meters(**counts),
        provider=provider or ("anthropic" if theirs else _openai(answer)),
        model_asked=text(row.get("model")) if row is not answer else None,
        model_served=text(answer.get("model")),
        tier_served="batch" if batch else tier,
        region=anthropic_region(usage) if theirs else None,
        user=text(pick(row, "user") or pick(answer, "user")),
        session=text(pick(row, "session_id", "conversation_id")),
        feature=text(pick(row, "feature")),
        tags=labels(custom_id=row.get("custom_id")),
        id=text(answer.get("id")),
        reported_usd=usd(usage.get("cost")),
    )


def _openai(answer: Row) -> str | None:
    """OpenAI only where the answer shows it: many providers copy its shape."""
    if text(answer.get("object")) == "response" or "system_fingerprint" in answer or "service_tier" in answer:
        model = (text(answer.get("model")) or "").removeprefix("ft:")
        return (
            "openai" if model.startswith(("gpt-", "o1", "o3", "o4", "chatgpt", "codex", "text-", "computer-")) else None
        )
    return None


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(paged(json_rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="responses",
    title="Raw API answers with a usage object (JSONL; OpenAI, Anthropic and compatible)",
    containment="A usage object with Anthropic's cache fields is disjoint; any other is OpenAI's: input includes "
    "cached, written, audio and image tokens, which are subtracted, and output includes reasoning (added "
    "where total_tokens shows that it was left out).",
    sniff=_sniff,
    decode=_decode,
)
