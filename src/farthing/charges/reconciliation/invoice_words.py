"""The words of invoices: which meter a line's kind means, and the parts of a line item."""

from typing import NamedTuple

from farthing.units import METERS
from farthing.usage.record import tier_name

_BY_METER = {
    "input": ("uncached input", "uncached_input_tokens", "input_no_cache", "input tokens", "input_tokens",
              "prompt tokens", "prompt_tokens", "prompt", "uncached_input"),
    "cache_read": ("cached input", "cached_input", "cache read", "cache reads", "cache_read_input_tokens",
                   "input_cache_read", "cache read tokens", "cached", "cached input tokens", "cached_tokens"),
    "cache_write": ("cache write", "cache writes", "cache_creation_input_tokens", "cache write tokens"),
    "cache_write_5m": ("input_cache_write_5m", "cache_creation.ephemeral_5m_input_tokens"),
    "cache_write_1h": ("input_cache_write_1h", "cache_creation.ephemeral_1h_input_tokens"),
    "output": ("output tokens", "output_tokens", "completion", "completion tokens", "completion_tokens"),
    "web_search": ("web search", "web searches", "web search tool calls", "web search tool call", "web_searches"),
    "file_search": ("file search", "file search tool calls"),
}  # fmt: skip

KINDS: dict[str, str] = {name: name for name in METERS} | {
    word: meter for meter, words in _BY_METER.items() for word in words
}
"""A kind as invoices write it, lower case, to the meter."""

_TIERS = frozenset({"standard", "batch", "flex", "priority", "fast"})
_MODALITIES = {"text": "", "audio": "_audio", "image": "_image", "video": "_video"}


class Item(NamedTuple):
    """What a line item says."""

    model: str | None = None
    kind: str | None = None
    tier: str | None = None


def tier_word(stated: object) -> str | None:
    """The service tier that `stated` names, None where it names none ("message" is no tier)."""
    name = tier_name(str(stated)) if stated else ""
    return name if name in _TIERS else None


def line_item(stated: str) -> Item:
    """The model, meter and tier of a line item such as OpenAI writes.

    "gpt-4o-2024-08-06, cached input"; "priority | gpt-5.6-sol, output, long context";
    "gpt-audio-mini-2025-12-15 audio, input"; "web search tool calls"; "assistants api | file search".
    A text with spaces that fits none of these is a description and not a model.
    """
    head, bar, rest = stated.strip().partition(" | ")
    tier = tier_word(head) if bar else None
    parts = [part.strip() for part in (rest if bar else head).split(",")]
    kind = next((KINDS[part.lower()] for part in parts[1:] if part.lower() in KINDS), None)
    tier = tier or next((word for part in parts[1:] if (word := tier_word(part))), None)
    if len(parts) == 1 and parts[0].lower() in KINDS:
        return Item(None, KINDS[parts[0].lower()], tier)
    words = parts[0].split()
    suffix = ""
    while len(words) > 1:
        last = words[-1].lower()
        if last in _MODALITIES:
            suffix = _MODALITIES[last]
        elif last in _TIERS:
            tier = tier or last
        else:
            break
        words.pop()
    if kind and f"{kind}{suffix}" in METERS:
        kind = f"{kind}{suffix}"
    named = len(words) == 1 or kind is not None
    return Item(" ".join(words) if named and words else None, kind, tier)
