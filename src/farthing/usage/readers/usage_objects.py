"""The three usage objects that model APIs answer with, made disjoint. Everything else quotes one of them.

`openai_usage`: input includes cached tokens, output includes reasoning. `anthropic_usage`: disjoint.
`gemini_usage`: the prompt includes cached content, thoughts are beside the candidates.
"""

from farthing.usage.readers.common_usage import common_anthropic, common_openai
from farthing.usage.readers.values import (
    Row,
    items,
    meters,
    part,
    pick,
    rest,
    text,
    whole,
)

_CALLS = {"web_search_call": "web_search", "file_search_call": "file_search", "code_interpreter_call": "code_execution"}
_MODALITIES = {"AUDIO": "_audio", "IMAGE": "_image", "VIDEO": "_video"}


def openai_usage(usage: Row) -> dict[str, int]:
    """The meters of an OpenAI usage object (chat completions, responses, embeddings, and those who copy it).

    Cached and written tokens leave the input; audio and image tokens leave it too. Where the cached
    tokens are not split by modality they are text first. Where `total_tokens` shows that reasoning
    was counted beside the output (xAI), it is added. Raises `BadRow` where parts exceed their total.
    """
    common = common_openai(usage)
    return _openai_in_general(usage) if common is None else common


def _openai_in_general(usage: Row) -> dict[str, int]:
    total_in = whole(usage, "prompt_tokens", "input_tokens")
    total_out = whole(usage, "completion_tokens", "output_tokens")
    read_in = part(usage, _first(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details"))
    read_out = part(usage, _first(usage, "completion_tokens_details", "output_tokens_details", "output_token_details"))
    cached = whole(read_in, "cached_tokens") or whole(
        usage, "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens"
    )
    writes = cache_writes(usage, read_in)
    audio, image = whole(read_in, "audio_tokens"), whole(read_in, "image_tokens")
    split = part(read_in, "cached_tokens_details")
    rest(total_in, "input", cached=cached, written=sum(writes.values()))
    plain = rest(total_in, "input", audio=audio, image=image)
    if split:
        cached_audio, cached_image = whole(split, "audio_tokens"), whole(split, "image_tokens")
        cached_text = rest(cached, "cached", audio=cached_audio, image=cached_image)
    else:
        cached_text = min(cached, plain)
        cached_audio = min(cached - cached_text, audio)
        cached_image = cached - cached_text - cached_audio
    reasoning = whole(read_out, "reasoning_tokens") or whole(usage, "reasoning_tokens")
    if reasoning and whole(usage, "total_tokens") == total_in + total_out + reasoning:
        total_out += reasoning
    audio_out, image_out = whole(read_out, "audio_tokens"), whole(read_out, "image_tokens")
    return meters(
        input=rest(plain, "input", cached=cached_text, written=sum(writes.values())),
        cache_read=cached_text,
        **writes,
        input_audio=rest(audio, "audio input", cached=cached_audio),
        cache_read_audio=cached_audio,
        input_image=rest(image, "image input", cached=cached_image),
        cache_read_image=cached_image,
        output=rest(total_out, "output", audio=audio_out, image=image_out),
        reasoning=reasoning,
        output_audio=audio_out,
        output_image=image_out,
        web_search=whole(part(usage, "server_tool_use"), "web_search_requests"),
    )


def built_in_calls(output: object) -> dict[str, int]:
    """The calls of built-in tools among the output items of an OpenAI response, by meter.

    Of web searches only the searching is billed; opening a page and finding in it are not (OpenAI's web search guide).
    """
    counts: dict[str, int] = {}
    for item in output if isinstance(output, list) else []:
        meter = _CALLS.get(str(item.get("type"))) if isinstance(item, dict) else None
        if meter is None:
            continue
        action = item.get("action")
        if isinstance(action, dict) and action.get("type") in ("open_page", "find_in_page", "find"):
            continue
        counts[meter] = counts.get(meter, 0) + 1
    return counts


def _first(row: Row, *names: str) -> str:
    for name in names:
        if row.get(name):
            return name
    return names[0]


def cache_writes(usage: Row, details: Row) -> dict[str, int]:
    """The cache writes that an OpenAI-like usage object states, by meter; all are part of its input."""
    by_life = part(details, _first(details, "cache_creation_token_details", "cache_write_details"))
    hour = whole(by_life, "ephemeral_1h_input_tokens", "write_1h_tokens")
    five = whole(by_life, "ephemeral_5m_input_tokens", "write_5m_tokens")
    total = whole(details, "cache_write_tokens", "cache_creation_tokens") or whole(
        usage, "cache_creation_input_tokens", "cache_write_input_tokens", "cache_write_tokens"
    )
    if "cache_creation_input_tokens" in usage:  # Anthropic's name: its default life is five minutes
        five = max(five, rest(max(total, hour), "cache writes", hour=hour))
    return {
        "cache_write": max(total - hour - five, 0),
        "cache_write_5m": five,
        "cache_write_1h": hour,
    }


def anthropic_usage(usage: Row) -> dict[str, int]:
    """The meters of an Anthropic usage object. All of its fields are disjoint.

    Cache writes are split by time-to-live under `cache_creation`; what the older single field states
    beyond that split was written for the default five minutes. What summarising the context took
    (`iterations` of type "compaction") is billed and is not in the fields beside it: it is added.
    """
    common = common_anthropic(usage)
    return _anthropic_in_general(usage) if common is None else common


def _anthropic_in_general(usage: Row) -> dict[str, int]:
    counts = _anthropic_counts(usage)
    for step in items(usage, "iterations") if usage.get("iterations") else ():
        if step.get("type") == "compaction":
            for name, count in _anthropic_counts(step).items():
                counts[name] += count
    return meters(**counts)


def _anthropic_counts(usage: Row) -> dict[str, int]:
    by_life = part(usage, "cache_creation")
    hour, five = whole(by_life, "ephemeral_1h_input_tokens"), whole(by_life, "ephemeral_5m_input_tokens")
    written = whole(usage, "cache_creation_input_tokens")
    return {
        "input": whole(usage, "input_tokens", "uncached_input_tokens"),
        "cache_read": whole(usage, "cache_read_input_tokens"),
        "cache_write_5m": five + max(written - hour - five, 0),
        "cache_write_1h": hour,
        "output": whole(usage, "output_tokens"),
        "reasoning": whole(part(usage, "output_tokens_details"), "thinking_tokens"),
        "web_search": whole(part(usage, "server_tool_use"), "web_search_requests"),
    }


def anthropic_tier(usage: Row) -> str | None:
    """The tier that an Anthropic usage object says was served; "fast" where its speed was fast."""
    return "fast" if text(usage.get("speed")) == "fast" else text(usage.get("service_tier"))


def anthropic_region(usage: Row) -> str | None:
    """The inference geography, None where it is not available or not set."""
    stated = text(usage.get("inference_geo"))
    return None if stated in ("not_available", "not_set", "unspecified") else stated


def is_anthropic(usage: Row) -> bool:
    """Whether a usage object with `input_tokens` has Anthropic's disjoint fields rather than OpenAI's."""
    if "prompt_tokens" in usage:  # a gateway's OpenAI shape, with Anthropic's names added
        return False
    return any(name in usage for name in ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"))


def gemini_usage(usage: Row) -> dict[str, int]:
    """The meters of a Gemini `usageMetadata` object, with its modality lists where it has them.

    The prompt includes cached content; thoughts are beside the candidates and are output too; prompt
    tokens of tools are beside the prompt.
    """
    prompt, cached = _modalities(usage, "prompt"), _modalities(usage, "cached")
    out = _modalities(usage, "candidates")
    if set(cached) == {""}:  # no list: text first, then the other modalities as far as they go
        for suffix, held in prompt.items():
            if suffix and cached[""] > prompt[""]:
                cached[suffix] = min(cached[""] - prompt[""], held)
                cached[""] -= cached[suffix]
    thoughts = whole(usage, "thoughtsTokenCount", "thoughts_token_count")
    counts: dict[str, int] = {}
    for suffix in ("", *_MODALITIES.values()):
        read = cached.get(suffix, 0)
        counts[f"input{suffix}"] = rest(prompt.get(suffix, 0), f"prompt{suffix}", cached=read)
        counts[f"cache_read{suffix}"] = read
        counts[f"output{suffix}"] = out.get(suffix, 0)
    counts["output"] += thoughts
    return meters(
        **counts,
        reasoning=thoughts,
        input_tool=whole(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count"),
    )


_GEMINI = {
    "prompt": (("promptTokenCount", "prompt_token_count"), ("promptTokensDetails", "prompt_tokens_details")),
    "cached": (
        ("cachedContentTokenCount", "cached_content_token_count"),
        ("cacheTokensDetails", "cache_tokens_details"),
    ),
    "candidates": (
        ("candidatesTokenCount", "responseTokenCount", "candidates_token_count"),
        ("candidatesTokensDetails", "responseTokensDetails", "candidates_tokens_details"),
    ),
}


def _modalities(usage: Row, what: str) -> dict[str, int]:
    """Counts by meter suffix: those the modality list names, the remainder (text, documents) under ""."""
    totals, lists = _GEMINI[what]
    total = whole(usage, *totals)
    found: dict[str, int] = {}
    for entry in items(usage, next((name for name in lists if pick(usage, name)), lists[0])):
        suffix = _MODALITIES.get((text(entry.get("modality")) or "").upper())
        if suffix:
            found[suffix] = found.get(suffix, 0) + whole(entry, "tokenCount", "token_count")
    found[""] = rest(total, what, **{f"its{suffix}": count for suffix, count in found.items()})
    return found
