"""OpenAI's organization usage: JSON pages of `/v1/organization/usage/...`, and the dashboard's CSV export.

A page holds buckets of time, a bucket holds results, one a group (model, project, batch, tier, …).
Each result becomes one record for `num_model_requests` requests, at its bucket's start.
"""

from collections.abc import Iterator
from typing import BinaryIO

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, build, shape
from farthing.usage.readers.rows import rows
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    items,
    labels,
    later,
    meters,
    pick,
    rest,
    text,
    whole,
)
from farthing.usage.record import Usage

_BY_NAME = {
    "images": "image", "characters": "character", "num_sessions": "code_session", "sessions": "code_session",
    "seconds": "input_audio_second",
}  # fmt: skip
_SINCE_2026 = ("input_uncached_tokens", "input_text_tokens", "output_text_tokens")
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")


def _sniff(path_name: str, head: bytes) -> bool:
    seen = shape(head)
    if seen.columned("start_time", "end_time"):
        used = seen.columned("num_model_requests") or seen.columned("start_time_iso")
        return used and not seen.columned("amount_value")
    bucketed = seen.has("start_time", "end_time", "results") and not seen.has("starting_at")
    return bucketed and b"organization.costs.result" not in head


def _results(found: Iterator[tuple[str, Row]], problems: Problems) -> Iterator[tuple[str, Row]]:
    """The results of pages, buckets and CSV rows, each with its bucket's times."""
    for place, row in found:
        try:
            if "data" not in row and "results" not in row:
                yield place, row
                continue
            for number, bucket in enumerate(items(row, "data") if "data" in row else [row], 1):
                where = f"{place} bucket {number}" if "data" in row else place
                for index, result in enumerate(items(bucket, "results"), 1):
                    times = {"start_time": bucket.get("start_time"), "end_time": bucket.get("end_time")}
                    yield f"{where} result {index}", {**times, **result}
        except BadRow as bad:
            problems.add(place, str(bad), bad.repair, bad.kind)


def _counts(row: Row) -> dict[str, int]:
    total_in, total_out = whole(row, "input_tokens"), whole(row, "output_tokens")
    cached, written = whole(row, "input_cached_tokens"), whole(row, "input_cache_write_tokens")
    audio, image = whole(row, "input_audio_tokens"), whole(row, "input_image_tokens")
    cached_audio, cached_image = whole(row, "input_cached_audio_tokens"), whole(row, "input_cached_image_tokens")
    audio_out, image_out = whole(row, "output_audio_tokens"), whole(row, "output_image_tokens")
    uncached = rest(total_in, "input_tokens", cached=cached, written=written)
    if not any(pick(row, name) is not None for name in _SINCE_2026):  # then the totals are of text alone
        uncached, total_out = uncached + audio + image, total_out + audio_out + image_out
    return {
        "input": rest(uncached, "uncached input", audio=audio, image=image),
        "input_audio": audio,
        "input_image": image,
        "cache_read": rest(cached, "cached input", audio=cached_audio, image=cached_image),
        "cache_read_audio": cached_audio,
        "cache_read_image": cached_image,
        "cache_write": written,
        "output": rest(total_out, "output_tokens", audio=audio_out, image=image_out),
        "output_audio": audio_out,
        "output_image": image_out,
    }


def _usage(row: Row) -> Usage | None:
    start = instant(pick(row, "start_time", "start_time_iso"))
    kind = (text(row.get("object")) or "").removeprefix("organization.usage.").removesuffix(".result")
    if pick(row, "usage_bytes") is not None:
        raise BadRow(
            "stored bytes (vector stores) have no meter: a charge for storage needs the days it was kept",
            "price the storage apart",
            "no meter for stored bytes",
        )
    counts: dict[str, object] = dict(_counts(row))
    for name, meter in _BY_NAME.items():
        if pick(row, name) is not None:
            counts[meter] = whole(row, name)
    if kind in ("web_searches", "web_search_calls", "file_searches", "file_search_calls"):
        meter = "web_search" if kind.startswith("web") else "file_search"
        counts[meter] = whole(row, "num_requests", "num_model_requests")
    quantities = meters(**counts)
    if not quantities:
        return None  # a bucket in which nothing was used
    batch = (text(row.get("batch")) or "").lower()
    if batch not in ("", *_TRUE, *_FALSE):
        raise BadRow(f"batch is {batch!r}, not true or false")
    return Usage(
        at=start,
        completed=later(pick(row, "end_time", "end_time_iso")),
        quantities=quantities,
        provider="openai",
        model_served=text(row.get("model")),
        tier_served="batch" if batch in _TRUE else text(row.get("service_tier")),
        requests=whole(row, "num_model_requests", "num_requests") or 1,
        user=text(row.get("user_id")),
        feature=text(row.get("project_id")),
        attrs=labels(size=row.get("size")),
        tags=labels(api_key_id=row.get("api_key_id"), source=row.get("source"), kind=kind),
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    yield from build(_results(rows(stream, place, problems), problems), _usage, problems, memory)


READER = Reader(
    name="openai",
    title="OpenAI organization usage (JSON pages or CSV export)",
    containment="input_tokens includes cached tokens and cache writes: they are subtracted. Where the export splits by "
    "modality (input_uncached_tokens, input_text_tokens: since 2026), input_tokens and output_tokens include audio and "
    "images too, whose own fields count the uncached part; in older exports input_tokens and output_tokens are text "
    "alone. Reasoning is inside output and not stated.",
    sniff=_sniff,
    decode=_decode,
)
