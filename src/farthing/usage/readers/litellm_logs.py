"""LiteLLM proxy spend logs (the SpendLogs table): JSON, JSONL or CSV, one row a request."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, paged, shape
from farthing.usage.readers.rows import rows
from farthing.usage.readers.usage_objects import openai_usage
from farthing.usage.readers.values import (
    BadRow,
    Row,
    between,
    channel_name,
    instant,
    labels,
    later,
    meters,
    part,
    pick,
    provider_name,
    seconds,
    status_name,
    text,
    usd,
    whole,
)
from farthing.usage.record import Usage
from farthing.usage.streams import decode_json

_NAMES = ("call_type", "spend", "startTime")
_DETAILS = (
    "prompt_tokens_details", "completion_tokens_details", "cache_read_input_tokens", "cache_creation_input_tokens",
    "server_tool_use", "cache_creation_token_details",
)  # fmt: skip


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    return seen.has(*_NAMES) or seen.columned(*_NAMES)


def _usage(row: Row) -> Usage:
    if "call_type" not in row:
        raise BadRow("not a row of the spend logs: no call_type", kind="unexpected shape")
    metadata = part(row, "metadata")
    extra, stated = part(metadata, "additional_usage_values"), part(metadata, "usage_object")
    usage: Row = {
        "prompt_tokens": whole(row, "prompt_tokens"),
        "completion_tokens": whole(row, "completion_tokens"),
        "total_tokens": row.get("total_tokens"),
        **{name: found for name in _DETAILS if (found := pick(extra, name) or pick(stated, name)) is not None},
    }
    start, end = instant(row.get("startTime"), utc=True), later(row.get("endTime"), utc=True)
    first = later(row.get("completionStartTime"), utc=True)
    served_from_cache = (text(row.get("cache_hit")) or "").lower() == "true"
    return Usage(
        at=start,
        completed=end,
        latency_s=seconds(row.get("request_duration_ms"), 1000) or between(start, end),
        ttft_s=between(start, first) if first != end else None,
        quantities={} if served_from_cache else meters(**openai_usage(usage)),
        provider=provider_name(row.get("custom_llm_provider")),
        channel=channel_name(row.get("custom_llm_provider")),
        model_asked=text(row.get("model_group")),
        model_served=_bare_model(text(row.get("model")), text(row.get("custom_llm_provider"))),
        tier_served=text(pick(extra, "service_tier") or pick(stated, "service_tier")),
        user=text(pick(row, "end_user", "user")),
        session=text(row.get("session_id")),
        feature=text(pick(metadata, "user_api_key_alias") or pick(row, "team_id")),
        tags=labels(
            call_type=row.get("call_type"), team=row.get("team_id"), labels=_tags(row.get("request_tags")),
            served_from="litellm-cache" if served_from_cache else None,
        ),
        status=status_name(pick(row, "status") or pick(metadata, "status")),
        id=text(row.get("request_id")),
        reported_usd=usd(row.get("spend")),
    )  # fmt: skip


def _bare_model(model: str | None, provider: str | None) -> str | None:
    return model.removeprefix(f"{provider}/") if model and provider else model


def _tags(stated: object) -> str | None:
    if isinstance(stated, str) and stated.startswith("["):
        try:
            stated = decode_json(stated)
        except (msgspec.DecodeError, RecursionError):
            return text(stated)
    if isinstance(stated, list):
        return ",".join(str(tag) for tag in stated) or None
    return text(stated)


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(paged(rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="litellm",
    title="LiteLLM spend logs (JSON, JSONL or CSV)",
    containment="prompt_tokens includes cache reads and writes for every provider (LiteLLM adds them where the "
    "provider does not), completion_tokens includes reasoning: cached, written, audio and image tokens are subtracted. "
    "A row answered from LiteLLM's own cache consumed nothing. Times without a zone are UTC, as its database keeps "
    "them.",
    sniff=_sniff,
    decode=_decode,
)
