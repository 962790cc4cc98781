"""Langfuse observations: the UI's export, the API's pages and the blob-storage export; JSON, JSONL or CSV."""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import rows
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
    rest,
    seconds,
    status_name,
    text,
    usd,
    whole,
)
from farthing.usage.record import Usage

_READ = (
    "input_cached_tokens", "cache_read_input_tokens", "input_cache_read", "cached_tokens", "cache_read",
    "input_cached", "cacheReadInputTokens", "cache_read_tokens",
)  # fmt: skip
_WRITTEN = (
    "cache_creation_input_tokens", "input_cache_creation", "cache_creation", "cache_write_tokens", "cache_write",
    "input_cache_write", "cacheWriteInputTokens", "input_cache_write_tokens",
)  # fmt: skip
_WRITTEN_5M = ("input_cache_creation_5m", "cache_creation_ephemeral_5m_input_tokens", "ephemeral_5m_input_tokens")
_WRITTEN_1H = ("input_cache_creation_1h", "cache_creation_ephemeral_1h_input_tokens", "ephemeral_1h_input_tokens")
_REASONING = ("output_reasoning_tokens", "output_reasoning", "reasoning_tokens", "thoughts_token_count", "reasoning")
_ROW_INPUT = ("promptTokens", "inputUsage", "input_usage", "prompt_tokens")
_ROW_OUTPUT = ("completionTokens", "outputUsage", "output_usage", "completion_tokens")
_INPUT = ("input", "input_tokens", "prompt_tokens", "promptTokens")
_OUTPUT = ("output", "output_tokens", "completion_tokens", "completionTokens")
_TOTAL = ("total", "total_tokens", "totalTokens")
_SINGLE = {
    "input_audio": ("input_audio_tokens", "input_audio"), "input_image": ("input_image_tokens", "input_image"),
    "output_audio": ("output_audio_tokens", "output_audio"), "output_image": ("output_image_tokens", "output_image"),
    "web_search": ("web_search_requests", "server_tool_use_web_search_requests"),
}  # fmt: skip


_KNOWN = {
    "unit", *_READ, *_WRITTEN, *_WRITTEN_5M, *_WRITTEN_1H, *_REASONING, *_INPUT, *_OUTPUT, *_TOTAL,
    *(name for names in _SINGLE.values() for name in names),
}  # fmt: skip


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    camel = ("traceId", "startTime"), ("usageDetails", "costDetails", "providedModelName", "promptTokens", "inputUsage")
    snake = ("trace_id", "start_time"), ("usage_details", "cost_details", "provided_model_name")
    return any(
        test(*needed) and any(test(name) for name in names)
        for needed, names in (camel, snake)
        for test in (seen.has, seen.columned)
    )


def _counts(row: Row) -> dict[str, int]:
    usage = part(row, "usageDetails") or part(row, "usage_details") or part(row, "usage")
    if not usage:
        usage = {"input": pick(row, *_ROW_INPUT), "output": pick(row, *_ROW_OUTPUT)}
    total = whole(usage, *_TOTAL)
    read, written = whole(usage, *_READ), whole(usage, *_WRITTEN)
    five, hour = whole(usage, *_WRITTEN_5M), whole(usage, *_WRITTEN_1H)
    written = max(written - five - hour, 0)  # a split beside the sum repeats it
    single = {meter: whole(usage, *names) for meter, names in _SINGLE.items()}
    plain, output = whole(usage, *_INPUT), whole(usage, *_OUTPUT)
    reasoning = whole(usage, *_REASONING)
    inside = read + written + five + hour + single["input_audio"] + single["input_image"]
    beside = reasoning + single["output_audio"] + single["output_image"]
    if total and total == plain + output and inside + beside:  # the writer did not take the parts out
        plain = rest(plain, "input", parts=inside)
        output = rest(output, "output", parts=beside)
    else:
        for name in usage:
            if name not in _KNOWN and (count := whole(usage, name)):
                if name.startswith("input"):
                    plain += count
                elif name.startswith("output"):
                    output += count
                else:
                    raise BadRow(
                        f"usage type {name!r} ({count}) has no meter",
                        "rename it to a known usage type, or map the columns",
                        "usage type without a meter",
                    )
    return meters(
        input=plain,
        cache_read=read,
        cache_write=written,
        cache_write_5m=five,
        cache_write_1h=hour,
        output=output + reasoning,
        reasoning=reasoning,
        **single,
    )


def _usage(row: Row) -> Usage | None:
    if pick(row, "startTime", "start_time") is None:
        raise BadRow("not an observation: no start time", kind="unexpected shape")
    counts = _counts(row)
    kind = (text(row.get("type")) or "GENERATION").upper()
    model = text(pick(row, "providedModelName", "provided_model_name", "model"))
    if not counts and (kind in ("SPAN", "EVENT", "TRACE") or model is None):
        return None  # a step of the trace that called no model
    start = instant(pick(row, "startTime", "start_time"), utc=True)
    end = later(pick(row, "endTime", "end_time"), utc=True)
    first = later(pick(row, "completionStartTime", "completion_start_time"), utc=True)
    metadata, parameters = pick(row, "metadata"), pick(row, "modelParameters", "model_parameters")
    settings = part(row, "modelParameters" if parameters is row.get("modelParameters") else "model_parameters")
    costs = part(row, "costDetails") or part(row, "cost_details")
    stated = part(row, "metadata") if isinstance(metadata, dict) else {}
    level = text(row.get("level"))
    ttft = pick(row, "timeToFirstToken", "time_to_first_token")
    return Usage(
        at=start,
        completed=end,
        latency_s=between(start, end) if end else seconds(row.get("latency")),
        ttft_s=seconds(ttft) if ttft is not None else between(start, first),
        quantities=counts,
        provider=provider_name(pick(stated, "ls_provider", "provider", "gen_ai.provider.name")),
        model_served=model,
        tier_served=text(pick(settings, "service_tier")),
        user=text(pick(row, "userId", "user_id")),
        session=text(pick(row, "sessionId", "session_id")),
        feature=text(pick(row, "traceName", "trace_name", "name")),
        tags=labels(
            trace=pick(row, "traceId", "trace_id"),
            environment=row.get("environment"),
            pricing_tier=pick(row, "usagePricingTierName", "usage_pricing_tier_name"),
        ),
        status="error" if level == "ERROR" else status_name(None),
        id=text(row.get("id")),
        reported_usd=usd(pick(row, "totalCost", "total_cost") or costs.get("total")),
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(paged(rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="langfuse",
    title="Langfuse observations (JSON, JSONL or CSV)",
    containment="Usage details are disjoint, as Langfuse stores them: cached and written tokens stand beside input, "
    "reasoning and audio beside output, and reasoning is added back to output; any other input… or output… type counts "
    "as plain input or output. Where the stated total equals input + "
    "output alone, the writer left the parts inside, and they are subtracted. Times without a zone are UTC, as its "
    "export says.",
    sniff=_sniff,
    decode=_decode,
)
