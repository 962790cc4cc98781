"""The commonest forms of a usage object, read without looking for what they do not hold.

Nearly every answer of nearly every provider is one of these, and the general rules of `usage_objects` look for some
forty names. Each function answers None for anything that is not in its lists: the general rules then hold, and where
it does answer they would say the same (a property test).
"""

from typing import Any

from farthing.usage.record import LARGEST_COUNT

_CHAT = frozenset({
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
    "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
})  # fmt: skip
_RESPONSES = frozenset(
    {"input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"}
)
_CHAT_AND_COST = _CHAT | {"cost", "cost_details", "is_byok", "estimated_cost"}
_PARTS = frozenset({
    "audio_tokens", "image_tokens", "text_tokens", "video_tokens", "cache_write_tokens", "accepted_prediction_tokens",
    "rejected_prediction_tokens",
})  # fmt: skip
"""Parts of the input and the output that a common usage object states as 0 or null, if at all."""

_ANTHROPIC = frozenset({
    "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation",
    "service_tier", "inference_geo", "speed", "server_tool_use", "output_tokens_details", "iterations",
})  # fmt: skip
_LIVES = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})


def only_counts(usage: dict[str, Any]) -> bool:
    """Whether a usage object that `common_openai` reads has nothing beside its counts: no cost, nothing to tell."""
    names = usage.keys()
    return names <= _CHAT or names <= _RESPONSES


def common_openai(usage: dict[str, Any]) -> dict[str, int] | None:
    """The meters of a common OpenAI usage object: the input includes cached tokens, the output reasoning."""
    names = usage.keys()
    if names <= _CHAT_AND_COST:
        read, made = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        cached = _alone(usage.get("prompt_tokens_details"), "cached_tokens")
        reasoning = _alone(usage.get("completion_tokens_details"), "reasoning_tokens")
        if cached == 0:
            cached = usage.get("prompt_cache_hit_tokens", 0)
    elif names <= _RESPONSES:
        read, made = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
        cached = _alone(usage.get("input_tokens_details"), "cached_tokens")
        reasoning = _alone(usage.get("output_tokens_details"), "reasoning_tokens")
    else:
        return None
    total = usage.get("total_tokens", 0)
    if not (type(read) is type(made) is type(cached) is type(reasoning) is type(total) is int):
        return None
    if not (0 <= cached <= read and 0 <= reasoning <= made):
        return None
    # A total above its parts says that something was counted beside them.
    if not 0 <= total <= read + made <= LARGEST_COUNT:
        return None
    return _stated(read - cached, cached, made, reasoning)


def _alone(details: Any, name: str) -> int | None:
    """The count called `name` in `details`, 0 where there is none; None where they hold anything else."""
    if details is None:
        return 0
    if type(details) is not dict:
        return None
    found = 0
    for key, value in details.items():
        if type(value) is int:
            if key == name:
                found = value
            elif value or key not in _PARTS:
                return None
        elif value is not None or (key != name and key not in _PARTS):
            return None
    return found


def _stated(uncached: int, cached: int, made: int, reasoning: int) -> dict[str, int]:
    """The meters that are above 0."""
    found = {}
    if uncached:
        found["input"] = uncached
    if cached:
        found["cache_read"] = cached
    if made:
        found["output"] = made
        if reasoning:
            found["reasoning"] = reasoning
    return found


def common_anthropic(usage: dict[str, Any]) -> dict[str, int] | None:
    """The meters of a common Anthropic usage object, whose fields are disjoint: one without tools and thoughts."""
    if not usage.keys() <= _ANTHROPIC:
        return None
    get = usage.get
    if not (get("server_tool_use") is get("output_tokens_details") is get("iterations") is None):
        return None
    split = get("cache_creation")
    if split is None:
        five: Any = 0
        hour: Any = 0
    elif type(split) is dict and split.keys() <= _LIVES:
        five, hour = split.get("ephemeral_5m_input_tokens", 0), split.get("ephemeral_1h_input_tokens", 0)
    else:
        return None
    read, made = get("input_tokens", 0), get("output_tokens", 0)
    cached, written = get("cache_read_input_tokens", 0), get("cache_creation_input_tokens", 0)
    if not (type(read) is type(made) is type(cached) is type(written) is type(five) is type(hour) is int):
        return None
    least, most = min(read, made, cached, written, five, hour), max(read, made, cached, written, five, hour)
    if least < 0 or most > LARGEST_COUNT:
        return None
    five += max(written - hour - five, 0)  # what the older single field states beyond the split: the default life
    if five > LARGEST_COUNT:
        return None
    found = {}
    if read:
        found["input"] = read
    if cached:
        found["cache_read"] = cached
    if five:
        found["cache_write_5m"] = five
    if hour:
        found["cache_write_1h"] = hour
    if made:
        found["output"] = made
    return found
