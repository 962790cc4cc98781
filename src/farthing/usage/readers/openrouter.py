"""OpenRouter: the activity CSV, the activity API's daily rows, and generation objects (JSON or JSONL)."""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import rows
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    labels,
    meters,
    pick,
    rest,
    seconds,
    text,
    usd,
    whole,
)
from farthing.usage.record import Usage


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    return (
        seen.columned("generation_id", "tokens_prompt")
        or seen.columned("model_permaslug")
        or seen.has("native_tokens_prompt")
        or seen.has("data.native_tokens_prompt")
        or seen.has("model_permaslug")
    )


def _counts(row: Row) -> dict[str, int]:
    # The native counts are the served model's own tokenizer's: they are billed, the others are a comparison.
    total_in = whole(row, "native_tokens_prompt", "tokens_prompt", "prompt_tokens")
    total_out = whole(row, "native_tokens_completion", "tokens_completion", "completion_tokens")
    read = whole(row, "native_tokens_cached", "tokens_cached", "cached_tokens")
    written = whole(row, "native_tokens_cache_creation", "tokens_cache_write", "cache_write_tokens")
    reasoning = whole(row, "native_tokens_reasoning", "tokens_reasoning", "reasoning_tokens")
    # Chat-completion counts that leave the reasoning out are smaller than it.
    output = total_out if reasoning <= total_out else total_out + reasoning
    image_out = whole(row, "native_tokens_completion_images")
    return meters(
        input=rest(total_in, "prompt tokens", cached=read, written=written),
        cache_read=read,
        cache_write=written,
        output=rest(output, "completion tokens", image=image_out),
        output_image=image_out,
        reasoning=min(reasoning, output - image_out),
        web_search=whole(row, "billable_web_search_calls"),
    )


def _usage(row: Row) -> Usage:
    model = text(pick(row, "model_permaslug", "model"))
    if model is None:
        raise BadRow("no model: not an activity row or a generation", kind="unexpected shape")
    bucket = row.get("created_at") is None and pick(row, "date") is not None
    cancelled = (text(row.get("cancelled")) or "").lower() == "true"
    reported = usd(pick(row, "total_cost", "cost_total", "usage", "cost"))
    latency = seconds(pick(row, "generation_time_ms", "generation_time"), 1000)
    first = seconds(pick(row, "time_to_first_token_ms", "latency"), 1000)
    return Usage(
        at=instant(pick(row, "created_at", "date"), utc=True),
        latency_s=latency,
        ttft_s=first,
        quantities=_counts(row),
        provider="openrouter",
        model_asked=text(row.get("model")),
        model_served=model,
        channel="openrouter",
        tier_served=text(row.get("service_tier")),
        region=text(row.get("data_region")),
        requests=whole(row, "requests") or 1 if bucket else 1,
        user=text(pick(row, "external_user", "user")),
        session=text(row.get("session_id")),
        feature=text(row.get("app_name")),
        tags=labels(
            upstream=row.get("provider_name"), variant=row.get("variant"), api_key=row.get("api_key_name"),
            finish_reason=pick(row, "finish_reason_normalized", "finish_reason"),
            byok=row.get("is_byok"),
        ),
        status="cancelled" if cancelled else "ok",
        id=text(pick(row, "generation_id", "id")),
        reported_usd=reported,
    )  # fmt: skip


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(paged(rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="openrouter",
    title="OpenRouter activity (CSV) or generations (JSON, JSONL)",
    containment="Prompt tokens include cached and written tokens, completion tokens include reasoning: the cached and "
    "written are subtracted. Native counts (the served model's tokenizer) are taken where both are given. Times "
    "without a zone are UTC. The stated cost includes the upstream's.",
    sniff=_sniff,
    decode=_decode,
)
