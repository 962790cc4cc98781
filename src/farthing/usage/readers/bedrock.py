"""Amazon Bedrock model invocation logs: JSONL as delivered to a bucket, often gzipped."""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, shape
from farthing.usage.readers.rows import json_rows
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    labels,
    meters,
    part,
    pick,
    seconds,
    text,
    whole,
)
from farthing.usage.record import Usage

_GEOGRAPHIES = {"us", "eu", "apac", "ap", "jp", "au", "ca", "sa", "me", "us-gov", "global"}


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    return seen.has("modelId", "input", "output") or (seen.has("schemaType") and b"ModelInvocationLog" in head)


def bare_model(stated: str | None) -> tuple[str | None, str | None]:
    """The foundation model and the geography of its inference profile, from an id or an ARN.

    "arn:…:inference-profile/us.anthropic.claude-x" is ("anthropic.claude-x", "us"). An application
    profile's opaque id stays as it is: only the account knows which model is behind it.
    """
    if stated is None:
        return None, None
    name = stated.rpartition("/")[2] if stated.startswith("arn:") else stated
    head, dot, tail = name.partition(".")
    if dot and head in _GEOGRAPHIES:
        return tail, head
    return name, None


def _usage(row: Row) -> Usage | None:
    if "modelId" not in row:
        raise BadRow("not an invocation log record: no modelId", kind="unexpected shape")
    read, written = part(row, "input"), part(row, "output")
    model, geography = bare_model(text(row.get("modelId")))
    body = written.get("outputBodyJson")
    answer: Row = body if isinstance(body, dict) else {}
    by_life = _writes(body)
    total = whole(read, "cacheWriteInputTokenCount")
    hour = by_life.get("1h", 0)
    five = max(by_life.get("5m", 0), 0)
    quantities = meters(
        input=whole(read, "inputTokenCount"),
        cache_read=whole(read, "cacheReadInputTokenCount"),
        cache_write=max(total - hour - five, 0),
        cache_write_5m=five,
        cache_write_1h=hour,
        output=whole(written, "outputTokenCount"),
        input_image_count=whole(read, "inputImageCount"),
        image=whole(written, "outputImageCount"),
    )
    error = text(pick(row, "errorCode"))
    metrics = part(answer, "metrics") if isinstance(answer.get("metrics"), dict) else {}
    tier = pick(row, "serviceTier") or pick(answer, "serviceTier")
    return Usage(
        at=instant(row.get("timestamp")),
        latency_s=seconds(metrics.get("latencyMs"), 1000),
        quantities=quantities,
        provider="aws",
        model_served=model,
        channel="bedrock",
        tier_served=text(tier.get("type")) if isinstance(tier, dict) else text(tier),
        region=text(row.get("region")),
        attrs=labels(geography=geography),
        user=text(part(row, "identity").get("arn")) if isinstance(row.get("identity"), dict) else None,
        tags=labels(
            operation=row.get("operation"),
            account=row.get("accountId"),
            inference_region=row.get("inferenceRegion"),
            **{str(key): value for key, value in part(row, "requestMetadata").items()},
        ),
        status="ok" if error is None else error,
        id=text(row.get("requestId")),
    )


def _writes(body: object) -> dict[str, int]:
    """Cache writes by time-to-live, where the logged answer holds them (Anthropic's or Converse's names)."""
    for chunk in body if isinstance(body, list) else [body]:
        if not isinstance(chunk, dict):
            continue
        inner = chunk.get("message") if isinstance(chunk.get("message"), dict) else chunk
        usage = inner.get("usage") if isinstance(inner, dict) else None
        if not isinstance(usage, dict):
            continue
        split = part(usage, "cache_creation")
        if split:
            return {
                "5m": whole(split, "ephemeral_5m_input_tokens"),
                "1h": whole(split, "ephemeral_1h_input_tokens"),
            }
        details = usage.get("cacheDetails")
        if isinstance(details, list):
            return {str(entry.get("ttl")): whole(entry, "inputTokens") for entry in details if isinstance(entry, dict)}
    return {}


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(json_rows(stream, place, problems), _usage, problems, memory)


READER = Reader(
    name="bedrock",
    title="Amazon Bedrock model invocation log (JSONL)",
    containment="Counts are disjoint: inputTokenCount is uncached input, cache reads and writes stand beside it. "
    "Writes are split by time-to-live where the logged answer says so, else they are of the default one.",
    sniff=_sniff,
    decode=_decode,
)
