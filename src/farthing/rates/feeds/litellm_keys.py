"""The grammar of LiteLLM's price keys: a base, and suffixes for tier, context, time-to-live and selectors.

`cache_creation_input_token_cost_above_1hr_above_272k_tokens_priority` is the base
`cache_creation_input_token_cost` (to meter `cache_write`), kept for an hour, for prompts above 272,000
tokens, in tier "priority". A key that does not parse, and is not on the list of those that state no
price, is reported: a new kind of price must not pass in silence.
"""

import re
from collections.abc import Collection
from functools import lru_cache

import msgspec

from farthing.money import parse_decimal
from farthing.units import METERS


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A price key taken apart: what is priced, and under which condition."""

    base: str
    tier: str | None = None
    above: int | None = None
    ttl: str = ""
    attrs: frozenset[tuple[str, str]] = frozenset()


_SUFFIXES = (
    ("tier", re.compile(r"_(batches|batch_requests|flex|priority|fast|balanced|ultrafast|decisions)$")),
    ("above", re.compile(r"_above_(\d+)(k?)_tokens$")),
    ("ttl", re.compile(r"_above_(\d+)hr$")),
    ("interval", re.compile(r"(?<=_per_second)_above_(\d+s)_interval$")),
    ("quality", re.compile(r"(?<=_per_image)_(low|medium|high|auto|standard|hd)_quality$")),
    ("quality", re.compile(r"(?:_and)?_(premium)_image$")),
    ("size", re.compile(r"(?<=_per_image)_above_(\d+)_and_(\d+)_pixels$")),
    ("size", re.compile(r"(?<=_per_image)_(\d+(?:\.\d+)?K?)$")),
    ("resolution", re.compile(r"(?<=_per_second)_(\d+[pk])$")),
)
_TOKEN_PRICE = re.compile(r"(input|output)_cost_per_(?:(audio|image|video|reasoning)_)?token")
_CACHE_PRICE = re.compile(r"cache_(read|creation)_input_(?:(audio|image|video)_)?token_cost")

# Base key to the meter and the number of its units that the stated price is for.
_METER_OF_BASE = {
    "input_cost_per_token_cache_hit": ("cache_read", 1),
    "cache_read_input_token_cost_per_audio_token": ("cache_read_audio", 1),
    "explicit_cache_read_input_token_cost": ("cache_read_explicit", 1),
    "citation_cost_per_token": ("output_citation", 1),
    "computer_use_input_cost_per_1k_tokens": ("input", 1000),
    "computer_use_output_cost_per_1k_tokens": ("output", 1000),
    "input_cost_per_audio_per_second": ("input_audio_second", 1),
    "output_cost_per_audio_per_second": ("output_audio_second", 1),
    "input_cost_per_video_per_second": ("input_video_second", 1),
    "output_cost_per_video_per_second": ("video_second", 1),
    "input_cost_per_character": ("character", 1),
    "output_cost_per_character": ("output_character", 1),
    "output_cost_per_image": ("image", 1),
    "cost_per_image": ("image", 1),  # a name of 2024
    "output_cost_per_pixel": ("pixel", 1),
    "input_cost_per_request": ("requests", 1),
    "input_cost_per_text_message": ("message", 1),
    "ocr_cost_per_page": ("page", 1),
    "ocr_cost_per_credit": ("credit", 1),
    "annotation_cost_per_page": ("annotated_page", 1),
    "google_maps_grounding_cost_per_query": ("maps_search", 1),
    "file_search_cost_per_1k_calls": ("file_search", 1000),
    "file_search_cost_per_gb_per_day": ("storage_gb_day", 1),
    "vector_store_cost_per_gb_per_day": ("storage_gb_day", 1),
    "code_interpreter_cost_per_session": ("code_session", 1),
}
_SELECTED_BY_KEY = {  # two keys that price one meter for two uses
    "computer_use_input_cost_per_1k_tokens": ("tool", "computer_use"),
    "computer_use_output_cost_per_1k_tokens": ("tool", "computer_use"),
    "file_search_cost_per_gb_per_day": ("use", "file_search"),
}
_BY_MODE = ("cost_per_second", "input_cost_per_second", "output_cost_per_second", "input_cost_per_query",
            "input_cost_per_image", "input_cost_per_pixel")  # fmt: skip

STRUCTURED = frozenset({
    "tiered_pricing", "off_peak_pricing", "search_context_cost_per_query", "search_queries_cost_per_query",
    "guardrail_cost_per_unit", "provider_specific_entry", "search_free_requests", "web_search_billing_unit",
    "regional_endpoint_uplift_multiplier", "input_dbu_cost_per_token", "output_dbu_cost_per_token",
    "output_db_cost_per_token",
})  # fmt: skip
UPLIFT = re.compile(r"regional_processing_uplift_multiplier_([a-z]+)")

_NO_PRICE = frozenset({
    "litellm_provider", "mode", "source", "comment", "metadata", "rules", "deprecation_date", "rpm", "tpm",
    "output_vector_size", "prompt_cache_min_tokens", "thinking_always_on", "audio_transcription_config",
    "reasoning_contexts", "reasoning_effort_levels", "reasoning_modes", "tool_use_system_prompt_tokens",
    "max_query_tokens", "code", "base_model", "id", "display_name", "rpd",
    # Limits whose names read like prices: so many images, videos, … in one prompt.
    "max_images_per_prompt", "max_videos_per_prompt", "max_audio_per_prompt",
    "max_document_chunks_per_query", "max_tokens_per_document_chunk",
})  # fmt: skip
_NO_PRICE_PREFIXES = ("supports_", "supported_", "max_", "default_", "uses_", "use_", "token_count_", "bedrock_",
                      "gemini_", "vertex_ai_")  # fmt: skip
_KEYS = 4096
"""Lists have some hundreds of keys, in thousands of entries each; more than this is not kept of a hostile one."""
_PRICE_WORD = re.compile(r"cost|price|pricing|uplift|multiplier|discount|surcharge|_per_|fee|dbu|rate(s)?$")


@lru_cache(_KEYS)
def states_no_price(key: str) -> bool:
    """Whether `key` is known to say something else than a price (capabilities, limits, remarks)."""
    return key in _NO_PRICE or (key.startswith(_NO_PRICE_PREFIXES) and not _PRICE_WORD.search(key))


def may_be_a_price(key: str, value: object) -> bool:
    """Whether `key`, which is not known, could state a price: by its name, or because its value is a number."""
    if _PRICE_WORD.search(key):
        return True
    if isinstance(value, bool):
        return False
    try:
        parse_decimal(value)
    except ValueError:
        return False
    return True


@lru_cache(_KEYS)
def parse_key(key: str) -> Key | None:
    """`key` taken apart, or None if it is not one of the price keys that this grammar knows."""
    base, found, attrs = key, {}, set()
    stripped = True
    while stripped:
        stripped = False
        for kind, suffix in _SUFFIXES:
            match = suffix.search(base)
            if match is None or kind in found:
                continue
            stripped, base = True, base[: match.start()]
            found[kind] = match
            if kind in ("interval", "quality", "size", "resolution"):
                attrs.add((kind, _selector(kind, match)))
    if not _priced(base):
        return None
    tier = found["tier"].group(1) if "tier" in found else None
    ttl = f"{found['ttl'].group(1)}h" if "ttl" in found else ""
    if ttl and f"cache_write_{ttl}" not in METERS:
        return None
    above = None
    if "above" in found:
        above = int(found["above"].group(1)) * (1000 if found["above"].group(2) else 1)
    if base in _SELECTED_BY_KEY:
        attrs.add(_SELECTED_BY_KEY[base])
    return Key(
        base=base,
        tier="batch" if tier in ("batches", "batch_requests") else tier,
        above=above,
        ttl=ttl,
        attrs=frozenset(attrs),
    )


def _selector(kind: str, match: re.Match[str]) -> str:
    if kind == "interval":
        return f"above {match.group(1)}"
    if kind == "size" and match.lastindex == 2:
        return f"above {match.group(1)}x{match.group(2)}"
    return match.group(1)


def _priced(base: str) -> bool:
    return bool(
        base in _METER_OF_BASE or base in _BY_MODE or _TOKEN_PRICE.fullmatch(base) or _CACHE_PRICE.fullmatch(base)
    )


def meter_of(key: Key, mode: str, stated: Collection[str]) -> tuple[str, int]:
    """The meter that `key` prices in an entry of `mode`, and what its price is to be multiplied by.

    `stated` are all of the entry's keys: some names mean another thing beside others.
    """
    if token := _TOKEN_PRICE.fullmatch(key.base):
        kind = token.group(2)
        name = "reasoning" if kind == "reasoning" else f"{token.group(1)}_{kind}" if kind else token.group(1)
        return name, METERS[name].per
    if cached := _CACHE_PRICE.fullmatch(key.base):
        name = "cache_read" if cached.group(1) == "read" else "cache_write"
        name += f"_{key.ttl}" if key.ttl else ""
        name += f"_{cached.group(2)}" if cached.group(2) else ""
        return name, METERS[name].per
    if key.base in _BY_MODE:
        return _by_mode(key.base, mode, stated)
    name, units = _METER_OF_BASE[key.base]
    return name, METERS[name].per // units


def _by_mode(base: str, mode: str, stated: Collection[str]) -> tuple[str, int]:
    tokens = any(key.endswith("_per_token") for key in stated)
    if base == "input_cost_per_query":
        name = "rerank_search" if mode == "rerank" else "query"
    elif base == "input_cost_per_image":
        # Image generators state what a generated image costs under this name, unless they also state the other.
        drawn = mode in ("image_generation", "image_edit") and "output_cost_per_image" not in stated
        name = "image" if drawn else "input_image_count"
    elif base == "input_cost_per_pixel":
        name = "pixel" if mode in ("image_generation", "image_edit") else "input_pixel"
    elif mode == "audio_transcription":
        name = "input_audio_second"
    elif mode == "audio_speech":
        name = "output_audio_second"
    elif mode == "video_generation":
        name = "video_second"
    elif mode == "realtime":
        name = "input_audio_second" if tokens and base == "input_cost_per_second" else "audio_second"
    elif "cost_per_second" in stated:
        return "provisioned_hour", 3600  # Bedrock's committed units: $ per second of one unit
    else:
        name = "compute_second"
    return name, METERS[name].per
