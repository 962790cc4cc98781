"""Anthropic's usage report: JSON pages of the messages usage report, and the console's CSV export.

A page holds buckets (`starting_at`, `ending_at`), a bucket holds results, one a group. The CSV has one
row a day and group, its date in UTC. Neither states how many requests there were: a record is a bucket.
"""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, shape
from farthing.usage.readers.rows import rows
from farthing.usage.readers.usage_objects import anthropic_region, anthropic_tier, anthropic_usage
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    items,
    labels,
    later,
    meters,
    text,
    whole,
)
from farthing.usage.record import Usage

_WINDOWS = {"≤ 200k": "0-200k", "<= 200k": "0-200k", "≤200k": "0-200k", "> 200k": "200k-1M", ">200k": "200k-1M"}


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    if seen.columned("usage_date_utc", "usage_output_tokens"):
        return True
    return seen.has("starting_at", "results") and b'"amount"' not in head


def _results(found: Iterator[tuple[str, Row]], problems: Problems) -> Iterator[tuple[str, Row]]:
    for place, row in found:
        try:
            if "usage_date_utc" in row:
                yield place, _from_console(row)
                continue
            for number, bucket in enumerate(items(row, "data") if "data" in row else [row], 1):
                where = f"{place} bucket {number}" if "data" in row else place
                if "results" not in bucket:
                    raise BadRow("neither a page nor a bucket of the usage report", kind="unexpected shape")
                times = {"starting_at": bucket.get("starting_at"), "ending_at": bucket.get("ending_at")}
                for index, result in enumerate(items(bucket, "results"), 1):
                    yield f"{where} result {index}", {**times, **result}
        except BadRow as bad:
            problems.add(place, str(bad), bad.repair, bad.kind)


def _from_console(row: Row) -> Row:
    """A row of the console's CSV under the report's names."""
    return {
        "starting_at": row["usage_date_utc"],
        "model": row.get("model_version"),
        "api_key_id": row.get("api_key"),
        "workspace_id": row.get("workspace"),
        "service_tier": row.get("usage_type"),
        "context_window": row.get("context_window"),
        "inference_geo": row.get("inference_geo"),
        "speed": row.get("speed"),
        "uncached_input_tokens": row.get("usage_input_tokens_no_cache"),
        "cache_read_input_tokens": row.get("usage_input_tokens_cache_read"),
        "cache_creation": {
            "ephemeral_5m_input_tokens": row.get("usage_input_tokens_cache_write_5m"),
            "ephemeral_1h_input_tokens": row.get("usage_input_tokens_cache_write_1h"),
        },
        "output_tokens": row.get("usage_output_tokens"),
        "server_tool_use": {"web_search_requests": row.get("web_search_count")},
    }


def _usage(row: Row) -> Usage | None:
    counts = anthropic_usage(row)
    if not counts:
        return None  # a bucket in which nothing was used
    window = text(row.get("context_window"))
    return Usage(
        at=instant(row.get("starting_at")),
        completed=later(row.get("ending_at")),
        quantities=meters(**counts),
        provider="anthropic",
        model_served=text(row.get("model")),
        tier_served=anthropic_tier(row),
        region=anthropic_region(row),
        attrs=labels(context_window=_WINDOWS.get(window or "", window)),
        requests=whole(row, "request_count") or 1,
        feature=text(row.get("workspace_id")),
        user=text(row.get("account_id")),
        tags=labels(api_key_id=row.get("api_key_id"), service_account_id=row.get("service_account_id")),
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(_results(rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="anthropic",
    title="Anthropic usage report (JSON pages or console CSV)",
    containment="All fields are disjoint: uncached input, cache reads, cache writes by time-to-live and output stand "
    "beside each other. Dates of the console's CSV are UTC. A record is a bucket, whose number of requests "
    "is not stated.",
    sniff=_sniff,
    decode=_decode,
)
