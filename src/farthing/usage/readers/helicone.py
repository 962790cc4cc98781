"""Helicone request exports: JSON, JSONL (its export tool) or CSV, one row a request."""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import rows
from farthing.usage.readers.values import (
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
    text,
    usd,
    whole,
)
from farthing.usage.record import Usage

_NO_CACHE = "00000000-0000-0000-0000-000000000000"


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    wanted = ("request_created_at", "prompt_tokens")
    return seen.has(*wanted) or seen.columned(*wanted)


def _counts(row: Row) -> dict[str, int]:
    audio, audio_out = whole(row, "prompt_audio_tokens"), whole(row, "completion_audio_tokens")
    reasoning = whole(row, "reasoning_tokens")
    hour, written = whole(row, "prompt_cache_write_1h"), whole(row, "prompt_cache_write_tokens")
    return meters(
        input=rest(whole(row, "prompt_tokens"), "prompt_tokens", audio=audio),
        input_audio=audio,
        cache_read=whole(row, "prompt_cache_read_tokens"),
        cache_write=rest(written, "prompt_cache_write_tokens", hour=hour),
        cache_write_1h=hour,
        output=rest(whole(row, "completion_tokens"), "completion_tokens", audio=audio_out) + reasoning,
        reasoning=reasoning,
        output_audio=audio_out,
    )


def _usage(row: Row) -> Usage:
    start = instant(row.get("request_created_at"), utc=True)
    end = later(row.get("response_created_at"), utc=True)
    properties = part(row, "request_properties") or part(row, "properties")
    reused = text(row.get("cache_reference_id"))
    from_cache = reused not in (None, _NO_CACHE, "DEFAULT")
    status = text(pick(row, "response_status", "status"))
    delay = seconds(pick(row, "delay_ms", "latency"), 1000)
    return Usage(
        at=start,
        completed=end,
        latency_s=delay if delay is not None else between(start, end),
        ttft_s=seconds(row.get("time_to_first_token"), 1000),
        quantities={} if from_cache else _counts(row),
        provider=provider_name(row.get("provider")),
        model_asked=text(row.get("request_model")),
        model_served=text(pick(row, "response_model", "model_override", "model")),
        user=text(pick(row, "request_user_id", "user_id", "helicone_user")),
        session=text(properties.get("Helicone-Session-Id")),
        feature=text(pick(properties, "feature", "Feature", "app", "App") or row.get("prompt_id")),
        tags=labels(
            country=row.get("country_code"),
            served_from="helicone-cache" if from_cache else None,
            **{str(key): value for key, value in properties.items() if not str(key).startswith("Helicone-")},
        ),
        status="ok" if status is None or status.startswith("2") else status,
        id=text(pick(row, "request_id", "response_id")),
        reported_usd=usd(pick(row, "costUSD", "cost_usd", "provider_total_cost", "cost")),
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(paged(rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="helicone",
    title="Helicone requests (JSON, JSONL or CSV)",
    containment="Helicone takes cached tokens out of prompt_tokens and reasoning out of completion_tokens before it "
    "stores them, so cache reads, writes and reasoning stand beside them (reasoning is added to the output); audio is "
    "inside both and is subtracted. A row answered from Helicone's own cache consumed nothing. Times without a zone "
    "are UTC. Its CSV has no cache columns.",
    sniff=_sniff,
    decode=_decode,
)
