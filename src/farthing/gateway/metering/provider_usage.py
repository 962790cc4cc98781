"""From a provider's usage object to disjoint meters, its reported cost and the rest: the containment rules are those
of `usage.readers.usage_objects`, and here stands only what a provider adds to the object that it copies.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from farthing.gateway.metering.surfaces import COUNT_TOKENS, MESSAGES, RESPONSES, Surface
from farthing.units import MICRO
from farthing.usage.readers.common_usage import common_anthropic, common_openai
from farthing.usage.readers.usage_objects import (
    anthropic_region,
    anthropic_tier,
    anthropic_usage,
    is_anthropic,
    openai_usage,
)
from farthing.usage.readers.values import BadRow, Row, part, provider_name, usd, whole

_TICKS_PER_USD = 10**10
"""xAI states what a request cost in ticks (https://docs.x.ai/developers/cost-tracking)."""

_XAI_CALLS = {
    "web_search_calls": "web_search", "x_search_calls": "social_search", "code_interpreter_calls": "code_execution",
    "file_search_calls": "file_search", "document_search_calls": "file_search",
}  # fmt: skip
_PARTS = {  # counts that are parts of others, or free: told, not priced
    "completion_tokens_details": {
        "accepted_prediction_tokens": "accepted_prediction_tokens",
        "rejected_prediction_tokens": "rejected_prediction_tokens",
    },
    "server_tool_use": {"web_fetch_requests": "web_fetches"},
    "server_side_tool_usage_details": {"mcp_calls": "mcp_calls"},
}


@lru_cache(maxsize=256)
def spelled(provider: str) -> str:
    """`provider` in the spelling of `provider_name`."""
    return provider_name(provider) or ""


def only_tokens(surface: Surface, usage: Row) -> dict[str, int] | None:
    """The disjoint meters of a common `usage` that holds nothing else: no cost, calls, steps, or unexplained total.

    None where it may: then `consumed` and the other functions of this module say what it holds.
    """
    if surface is MESSAGES:
        return common_anthropic(usage)
    return None if surface is COUNT_TOKENS else common_openai(usage, cost=False)


def consumed(surface: Surface, provider: str, usage: Row) -> dict[str, int]:
    """The disjoint meters of `usage`. `provider` in the spelling of `provider_name`. Raises `BadRow`."""
    if surface is COUNT_TOKENS:
        return {}
    if (
        "prompt_tokens" not in usage
        and "completion_tokens" not in usage
        and (surface is MESSAGES or (surface is not RESPONSES and is_anthropic(usage)))
    ):
        return anthropic_usage(usage)
    if provider == "google":
        usage = _with_thoughts(usage)
    counts = openai_usage(usage)
    if provider == "mistral" and (audio := usage.get("prompt_audio_seconds")):
        _add(counts, "input_audio_second", whole({"prompt_audio_seconds": audio}, "prompt_audio_seconds") * MICRO)
    if stated := usage.get("server_side_tool_usage_details"):
        calls: Row = stated if isinstance(stated, dict) else {}
        for name, meter in _XAI_CALLS.items():
            _add(counts, meter, whole(calls, name))
    return counts


def _add(counts: dict[str, int], meter: str, count: int) -> None:
    if count:
        counts[meter] = counts.get(meter, 0) + count


def _with_thoughts(usage: Row) -> Row:
    """Gemini's OpenAI-compatible endpoint leaves the thoughts out of the completion; only the total shows them."""
    total = whole(usage, "total_tokens")
    seen = whole(usage, "prompt_tokens", "input_tokens") + whole(usage, "completion_tokens", "output_tokens")
    details = part(usage, "completion_tokens_details") or part(usage, "output_tokens_details")
    if total <= seen or whole(details, "reasoning_tokens"):
        return usage
    return {**usage, "completion_tokens_details": {**details, "reasoning_tokens": total - seen}}


def has_counts(usage: Any) -> bool:
    """Whether `usage` is an object that states any count above 0."""
    if not isinstance(usage, dict):
        return False
    for name, value in usage.items():
        if not name.endswith(("_tokens", "_characters", "_seconds")):
            continue
        if type(value) is int:
            if value:
                return True
        elif isinstance(value, (int, str, Decimal)) and value not in (0, "", "0") and not isinstance(value, bool):
            return True
    return False


def reported_usd(usage: Row, headers: Mapping[str, str]) -> Fraction | None:
    """What the provider says the request cost, exactly; None where it says nothing that can be read.

    OpenRouter: `cost`, and beside it what the customer's own key is charged upstream; xAI: ticks; Perplexity: an
    object; DeepInfra: `estimated_cost`; a LiteLLM upstream: a header.
    """
    try:
        if (ticks := usage.get("cost_in_usd_ticks")) is not None:
            return Fraction(whole({"cost_in_usd_ticks": ticks}, "cost_in_usd_ticks"), _TICKS_PER_USD)
        cost = usage.get("cost", usage.get("estimated_cost"))
        if isinstance(cost, dict):
            cost = cost.get("total_cost")
        if cost is None:
            return usd(headers.get("x-litellm-response-cost"))
        found = usd(cost)
        if found is not None and usage.get("is_byok") is True:
            found += usd(part(usage, "cost_details").get("upstream_inference_cost")) or 0
        return found
    except BadRow:
        return None


def details(usage: Row) -> dict[str, int]:
    """The counts of `usage` that are no meter, by name; those that cannot be read are left out."""
    found: dict[str, int] = {}
    for place, names in _PARTS.items():
        inner = usage.get(place)
        if not isinstance(inner, dict):
            continue
        for name, label in names.items():
            try:
                _add(found, label, whole(inner, name))
            except BadRow:
                continue
    return found


def billed_apart(usage: Row) -> str:
    """Why `usage` does not hold all that is billed: steps by another model, at that model's rate; "" where it does."""
    steps = usage.get("iterations")
    for step in steps if isinstance(steps, list) else ():
        kind = step.get("type") if isinstance(step, dict) else None
        if isinstance(kind, str) and kind not in ("message", "compaction"):
            return f"steps of type {kind[:40]!r} are billed at another model's rate and are not in the usage"
    return ""


def unexplained(usage: Row) -> str:
    """A note where the stated total is more than its parts (and the rules above do not explain it); else ""."""
    try:
        total = whole(usage, "total_tokens")
        parts = whole(usage, "prompt_tokens", "input_tokens") + whole(usage, "completion_tokens", "output_tokens")
        inner = part(usage, "completion_tokens_details") or part(usage, "output_tokens_details")
        reasoning = whole(inner, "reasoning_tokens") or whole(usage, "reasoning_tokens")
    except BadRow:
        return ""
    if total > parts and total != parts + reasoning:
        return f"the stated total of {total} tokens is {total - parts} more than its parts"
    return ""


def tier_and_region(surface: Surface, usage: Row) -> tuple[str, str]:
    """The tier and region that an Anthropic usage object states; ("", "") for others."""
    if surface is not MESSAGES:
        return "", ""
    return anthropic_tier(usage) or "", anthropic_region(usage) or ""
