"""Usage in the other protocol's terms. OpenAI's prompt tokens contain the cached ones; Anthropic's fields are disjoint.

A ledger reads the upstream's own usage; this is what the client is told.
"""

from farthing.gateway.translation.words import Json, count_in, object_in


def openai_usage(usage: Json) -> Json | None:
    """Anthropic usage as OpenAI's; None where the upstream counted no output or input.

    prompt = input + cache reads + cache writes, as Anthropic's reference sums them.
    """
    fresh, output = count_in(usage.get("input_tokens")), count_in(usage.get("output_tokens"))
    if fresh is None or output is None:
        return None
    read = count_in(usage.get("cache_read_input_tokens")) or 0
    written = _written(usage)
    prompt = fresh + read + written
    made: Json = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    made["prompt_tokens_details"] = {"cached_tokens": read, "cache_write_tokens": written}
    thinking = count_in(object_in(usage.get("output_tokens_details")).get("thinking_tokens"))
    if thinking is not None:
        made["completion_tokens_details"] = {"reasoning_tokens": thinking}
    return made


def anthropic_usage(usage: Json) -> Json | None:
    """OpenAI usage as Anthropic's; None where the upstream counted no prompt or completion.

    input = prompt - cached - written, never below 0: an upstream that counts cached tokens beside its prompt tokens
    must not make a negative number.
    """
    prompt, output = count_in(usage.get("prompt_tokens")), count_in(usage.get("completion_tokens"))
    if prompt is None or output is None:
        return None
    detail = object_in(usage.get("prompt_tokens_details"))
    read = count_in(detail.get("cached_tokens"))
    if read is None:
        read = count_in(usage.get("prompt_cache_hit_tokens")) or 0  # DeepSeek
    written = count_in(detail.get("cache_write_tokens")) or 0
    reasoning = count_in(object_in(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    total = count_in(usage.get("total_tokens"))
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # xAI counts reasoning beside the completion; the total tells
    made: Json = {
        "input_tokens": max(prompt - read - written, 0),
        "output_tokens": output,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
    }
    if reasoning is not None:
        made["output_tokens_details"] = {"thinking_tokens": min(reasoning, output)}
    return made


def _written(usage: Json) -> int:
    total = count_in(usage.get("cache_creation_input_tokens"))
    if total is not None:
        return total
    by_lifetime = object_in(usage.get("cache_creation"))
    return sum(count_in(value) or 0 for value in by_lifetime.values())
