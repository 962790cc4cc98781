"""An answer as it is gathered, from a body or a stream, and the `Served` that it amounts to."""

from collections.abc import Mapping
from typing import Any

import msgspec

from farthing.gateway.metering.assumptions import assumptions
from farthing.gateway.metering.provider_usage import (
    billed_apart,
    consumed,
    details,
    has_counts,
    only_tokens,
    reported_usd,
    tier_and_region,
    unexplained,
)
from farthing.gateway.metering.surfaces import MESSAGES, Surface
from farthing.gateway.metering.values import Asked, Served
from farthing.gateway.metering.words import word
from farthing.units import METERS
from farthing.usage.readers.common_usage import MOST
from farthing.usage.readers.values import BadRow, Row, whole
from farthing.usage.record import quantities

_OUTPUT = frozenset(name for name, meter in METERS.items() if meter.direction == "output")
_TOKENS = frozenset(name for name, meter in METERS.items() if meter.unit == "token")
_MOST_TOKENS = MOST
"""A count beyond it is a counter's fault (2**32 - 1) that would spend budgets. (Of a common usage none is.)"""
NO_HEADERS: Mapping[str, str] = {}
COST_HEADER = "x-litellm-response-cost"
TIER_HEADER = "x-amzn-bedrock-service-tier"
REGION_HEADER = "x-ms-region"


class Answer(msgspec.Struct):
    """What has been seen of an answer. `pieces` and `text_bytes` measure the output for an estimate, where needed."""

    id: Any = ""
    model: Any = ""
    tier: Any = ""
    upstream: Any = ""
    finish: Any = ""
    error: str = ""
    usage: Row = {}
    timings: Row = {}
    calls: dict[str, int] = {}
    tool_calls: int = 0
    pieces: int = 0
    text_bytes: int = 0
    complete: bool = False
    final: bool = False
    notes: list[str] = []

    def take_usage(self, usage: Any) -> None:
        """Keep `usage` in place of what was there: counts are cumulative. One that is all zeros replaces nothing."""
        if isinstance(usage, dict) and usage:
            before = self.usage
            if not before or has_counts(usage) or not has_counts(before):
                self.usage = usage

    def note(self, text: str) -> None:
        if text and text not in self.notes:
            self.notes.append(text)


def usage_from_timings(timings: Row) -> Row:
    """llama.cpp's timings as a usage object: tokens read (without the cached ones), cached, and generated."""
    if "predicted_n" not in timings:
        return {}
    try:
        read, held, made = (whole(timings, name) for name in ("prompt_n", "cache_n", "predicted_n"))
    except BadRow:
        return {}
    return {
        "prompt_tokens": read + held, "completion_tokens": made, "prompt_tokens_details": {"cached_tokens": held},
    }  # fmt: skip


def usage_from_headers(headers: Mapping[str, str]) -> Row:
    """Amazon Bedrock's counts in the headers of an answer, as a usage object with Anthropic's names."""
    pairs = {
        "input_tokens": "x-amzn-bedrock-input-token-count",
        "output_tokens": "x-amzn-bedrock-output-token-count",
        "cache_read_input_tokens": "x-amzn-bedrock-cache-read-input-token-count",
        "cache_creation_input_tokens": "x-amzn-bedrock-cache-write-input-token-count",
    }
    found = {name: headers[header] for name, header in pairs.items() if header in headers}
    return found if "input_tokens" in found else {}


def served(
    surface: Surface,
    provider: str,
    answer: Answer,
    *,
    asked: Asked | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
    absent: str = "the provider stated no usage",
) -> Served:
    """The `Served` of a gathered answer. `absent`: what to say where there is no usage in it."""
    usage = answer.usage
    if usage and answer.final and not answer.calls and COST_HEADER not in headers:
        tokens = only_tokens(surface, usage)
        if tokens and (not answer.pieces or "output" in tokens):
            return _of_tokens(surface, answer, tokens, headers)
    unknown, counts = "", dict[str, int]()
    stated = usage or usage_from_timings(answer.timings) or usage_from_headers(headers)
    if stated:
        try:
            counts = consumed(MESSAGES if "input_tokens" in stated and not usage else surface, provider, stated)
            if stated.get("server_side_tool_usage_details") is None:
                for meter, calls in answer.calls.items():
                    counts[meter] = counts.get(meter, 0) + calls
            unknown = "" if counts else "the stated usage counts nothing"  # no request consumes nothing
            if any(count > _MOST_TOKENS and meter in _TOKENS for meter, count in counts.items()):
                unknown = f"the stated usage cannot be true: more than {_MOST_TOKENS:,} tokens in one answer"
        except BadRow as bad:
            unknown = word(f"the stated usage cannot be true: {bad}")
    else:
        unknown = absent
    estimated = False
    if unknown:
        counts = _estimate(answer, asked)
        estimated = bool(counts)
    elif answer.pieces and _OUTPUT.isdisjoint(counts):
        unknown, estimated = "the stated usage has no output, though some came: it is estimated", True
        counts = _at_least(counts, _output(answer))
    elif not answer.final:
        unknown, estimated = "the answer broke off: its output is estimated", True
        counts = _at_least(counts, _output(answer))
    tier, region = tier_and_region(surface, usage)
    return Served(
        quantities=counts,
        estimated=estimated,
        unknown=unknown or billed_apart(usage),
        complete=answer.complete,
        id=word(answer.id),
        model=word(answer.model),
        tier=tier or word(answer.tier) or word(headers.get(TIER_HEADER, "")),
        region=region or word(headers.get(REGION_HEADER, "")),
        upstream=word(answer.upstream),
        finish=word(answer.finish),
        tool_calls=answer.tool_calls,
        reported_usd=reported_usd(usage, headers),
        error=answer.error,
        details=details(usage),
        notes=tuple(answer.notes) + ((note,) if not unknown and (note := _note(provider, usage)) else ()),
    )


def _of_tokens(surface: Surface, answer: Answer, tokens: dict[str, int], headers: Mapping[str, str]) -> Served:
    """The `Served` of a final answer whose usage holds these tokens and nothing else, as nearly all of them do."""
    tier, region = tier_and_region(surface, answer.usage) if surface is MESSAGES else ("", "")
    if not tier:
        tier = word(answer.tier)
        if not tier and TIER_HEADER in headers:
            tier = word(headers[TIER_HEADER])
    if not region and REGION_HEADER in headers:
        region = word(headers[REGION_HEADER])
    return Served(
        quantities=tokens,
        complete=answer.complete,
        id=word(answer.id),
        model=word(answer.model),
        tier=tier,
        region=region,
        upstream="" if answer.upstream is None else word(answer.upstream),
        finish=word(answer.finish),
        tool_calls=answer.tool_calls,
        error=answer.error,
        notes=tuple(answer.notes),
    )


def _note(provider: str, usage: Row) -> str:
    return "" if provider == "google" else unexplained(usage)


def _output(answer: Answer) -> int:
    """Output tokens by what was seen: at least one a piece, and one for every so many bytes of text."""
    by_size = -(-answer.text_bytes // assumptions().size("bytes_per_token"))
    return max(answer.pieces, by_size)


def _estimate(answer: Answer, asked: Asked | None) -> dict[str, int]:
    """The consumption of an answer without usage; empty where nothing was answered (then nothing is known)."""
    output = _output(answer)
    begun = bool(output or answer.id or answer.model) and not (answer.error and not output)
    if not begun or (asked is None and not output):
        return {}
    if asked is None:
        answer.note("the prompt is not in the estimate: its size is not known")
    return quantities({"input": asked.prompt_tokens_estimate if asked else 0, "output": output, **answer.calls})


def _at_least(counts: dict[str, int], output: int) -> dict[str, int]:
    """`counts` with no less output than was seen."""
    return {**counts, "output": output} if counts.get("output", 0) < output else counts
