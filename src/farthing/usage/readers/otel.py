"""OpenTelemetry spans with `gen_ai.*` attributes: OTLP JSON (file exporter), or one span a line.

In OTLP a line is a batch (`resourceSpans`) and attributes are lists of key and typed value; exporters
to a console or a store write one span with plain attributes. Old and new attribute names are read.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import json_rows
from farthing.usage.readers.values import (
    BadRow,
    Row,
    between,
    channel_name,
    instant,
    items,
    labels,
    meters,
    part,
    pick,
    provider_name,
    rest,
    seconds,
    text,
    usd,
    whole,
)
from farthing.usage.record import Usage

_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
_READ = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached", "gen_ai.usage.cached_input_tokens", "gen_ai.usage.input_tokens_cached",
    "gen_ai.usage.details.cache_read_tokens", "gen_ai.usage.details.cache_read_input_tokens",
    "gen_ai.openai.usage.cached_tokens",
)  # fmt: skip
_WRITTEN = (
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.input_tokens.cache_write", "gen_ai.usage.details.cache_write_tokens",
    "gen_ai.usage.details.cache_creation_input_tokens",
)  # fmt: skip
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.output_tokens_reasoning", "gen_ai.usage.details.reasoning_tokens",
)  # fmt: skip
_TIER = (
    "gen_ai.response.service_tier", "gen_ai.openai.response.service_tier", "openai.response.service_tier",
)  # fmt: skip
_TIER_ASKED = ("gen_ai.request.service_tier", "gen_ai.openai.request.service_tier", "openai.request.service_tier")
_SPAN = ("attributes", "spanId", "span_id", "context", "traceId", "trace_id")
_MODEL_CALLS = {"", "chat", "text_completion", "generate_content", "embeddings", "completion", "responses", "rerank"}


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    return seen.has("resourceSpans") or any(
        key.startswith(("gen_ai.", "attributes.gen_ai.", "llm.usage.", "attributes.llm.usage.")) for key in seen.keys
    )


def _value(stated: Any) -> Any:
    """The value of an OTLP attribute: {"intValue": "12"} is "12" (64-bit integers are written as text)."""
    if not isinstance(stated, dict):
        return stated
    for name in ("stringValue", "intValue", "doubleValue", "boolValue"):
        if name in stated:
            return stated[name]
    listed = stated.get("arrayValue")
    values = listed.get("values") if isinstance(listed, dict) else None
    return [_value(value) for value in values] if isinstance(values, list) else None


def _attributes(span: Row) -> Row:
    listed = span.get("attributes")
    if isinstance(listed, list):
        return {str(entry.get("key")): _value(entry.get("value")) for entry in items(span, "attributes")}
    plain = part(span, "attributes") or span
    return {**plain, **_flattened(part(plain, "gen_ai"), "gen_ai.")}


def _flattened(nested: Row, prefix: str) -> Row:
    """Nested attributes (some stores split the names at their dots) under their dotted names."""
    flat: Row = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat.update(_flattened(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _spans(found: Iterator[tuple[str, Row]], problems: Problems) -> Iterator[tuple[str, tuple[Row, Row]]]:
    """Every span with its resource's attributes."""
    for place, row in found:
        if "resourceSpans" not in row:
            yield place, (row, {})
            continue
        try:
            number = 0
            for resource in items(row, "resourceSpans"):
                about = _attributes(part(resource, "resource"))
                for scope in items(resource, "scopeSpans") or items(resource, "instrumentationLibrarySpans"):
                    for span in items(scope, "spans"):
                        number += 1
                        yield f"{place} span {number}", (span, about)
        except BadRow as bad:
            problems.add(place, str(bad), bad.repair, bad.kind)


def _time(span: Row, *names: str) -> datetime | None:
    stated = pick(span, *names)
    return None if stated is None else instant(stated)


def _failed(span: Row) -> bool:
    status = span.get("status")
    if isinstance(status, dict):
        status = pick(status, "code", "status_code")
    return (text(status) or "").upper().removeprefix("STATUS_CODE_") in ("2", "ERROR")


def _usage(found: tuple[Row, Row]) -> Usage | None:
    span, about = found
    named = _attributes(span)
    if not any(key in span for key in _SPAN) and not any(key.startswith("gen_ai.") for key in named):
        raise BadRow("not a span", kind="unexpected shape")
    if pick(named, *_INPUT, *_OUTPUT) is None:
        return None  # not a model's span, or one that states no usage
    operation = text(named.get("gen_ai.operation.name")) or ""
    if operation not in _MODEL_CALLS:
        return None  # agents and tools repeat the sums of the calls inside them
    total, read, written = whole(named, *_INPUT), whole(named, *_READ), whole(named, *_WRITTEN)
    start = instant(pick(span, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp"))
    end = _time(span, "endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")
    stated = pick(named, "gen_ai.provider.name", "gen_ai.system")
    provider = provider_name(stated)
    context = part(span, "context")
    trace = text(pick(span, "traceId", "trace_id") or context.get("trace_id"))
    return Usage(
        at=start,
        completed=end,
        latency_s=between(start, end),
        ttft_s=seconds(pick(named, "gen_ai.server.time_to_first_token", "gen_ai.response.time_to_first_token")),
        quantities=meters(
            input=rest(total, "input_tokens", cached=read, written=written),
            cache_read=read,
            **{"cache_write_5m" if provider == "anthropic" else "cache_write": written},
            output=whole(named, *_OUTPUT),
            reasoning=whole(named, *_REASONING),
        ),
        provider=provider,
        channel=channel_name(stated),
        model_asked=text(pick(named, "gen_ai.request.model", "llm.request.model")),
        model_served=text(pick(named, "gen_ai.response.model", "llm.response.model")),
        tier_asked=text(pick(named, *_TIER_ASKED)),
        tier_served=text(pick(named, *_TIER)),
        region=text(pick(named, "cloud.region") or about.get("cloud.region")),
        user=text(pick(named, "enduser.id", "user.id")),
        session=text(pick(named, "gen_ai.conversation.id", "session.id")),
        feature=text(pick(named, "gen_ai.agent.name") or about.get("service.name")),
        tags=labels(
            operation=operation,
            trace=trace,
            response=named.get("gen_ai.response.id"),
        ),
        status="error" if _failed(span) or named.get("error.type") else "ok",
        id="/".join(name for name in (trace, text(pick(span, "spanId", "span_id") or context.get("span_id"))) if name),
        reported_usd=usd(pick(named, "gen_ai.usage.cost", "gen_ai.cost.total_cost")),
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    spans = _spans(paged(json_rows(stream, place, problems), problems), problems)
    yield from build(spans, _usage, problems, memory)


READER = Reader(
    name="otel",
    title="OpenTelemetry gen_ai spans (OTLP JSON, or one span a line)",
    containment="gen_ai.usage.input_tokens includes cache reads and cache writes, output_tokens includes reasoning: "
    "reads and writes are subtracted. Spans of agents and tools repeat the sums of the model calls inside them and "
    "are passed over.",
    sniff=_sniff,
    decode=_decode,
)
