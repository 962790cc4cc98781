"""Deterministic answers: the same request is answered by the same bytes and the same counts."""

import base64
import json
import struct
from typing import Any

from tests.gateway.faulty.answers_responses import responses, responses_events
from tests.gateway.faulty.asked import ARGUMENTS, Asked, Json, cut, text_of

# chat/completions


def chat_usage(asked: Asked) -> Json:
    counts = asked.counts
    usage: Json = {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output,
        "total_tokens": counts.prompt + counts.output,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning, "audio_tokens": 0},
    }
    return usage | ({"cost": float(asked.orders.cost)} if asked.orders.cost else {})


def _chat_head(asked: Asked, kind: str) -> Json:
    head: Json = {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": asked.served}
    return head | ({"service_tier": asked.orders.tier} if asked.orders.tier else {})


def chat(asked: Asked) -> Json:
    message: Json = {"role": "assistant", "content": text_of(asked), "refusal": None}
    reason = "length" if cut(asked) else "stop"
    if asked.tool:
        call = {"id": "call_1", "type": "function", "function": {"name": asked.tool, "arguments": ARGUMENTS}}
        message |= {"content": None, "tool_calls": [call]}
        reason = "tool_calls"
    choices = [{"index": n, "message": message, "logprobs": None, "finish_reason": reason} for n in range(_n(asked))]
    return _chat_head(asked, "chat.completion") | {"choices": choices, "usage": chat_usage(asked)}


def _n(asked: Asked) -> int:
    n = asked.body.get("n")
    return n if isinstance(n, int) else 1


def chat_events(asked: Asked) -> list[Json]:
    """The stream's events; the usage stands in the last one, where it was asked for."""
    asks = (asked.body.get("stream_options") or {}).get("include_usage") is True
    head = _chat_head(asked, "chat.completion.chunk") | ({"usage": None} if asks else {})

    def chunk(delta: Json, reason: str | None = None) -> Json:
        return head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    events = [chunk({"role": "assistant", "content": ""})]
    if asked.tool:
        call: Json = {"index": 0, "id": "call_1", "type": "function", "function": {"name": asked.tool, "arguments": ""}}
        events.append(chunk({"tool_calls": [call]}))
        pieces = (ARGUMENTS[:9], ARGUMENTS[9:])
        events += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces]
        events.append(chunk({}, "tool_calls"))
    else:
        events += [chunk({"content": word}) for word in asked.words]
        events.append(chunk({}, "length" if cut(asked) else "stop"))
    if asks:
        events.append(head | {"choices": [], "usage": chat_usage(asked)})
    return events


# messages


def messages_usage(asked: Asked, output: int) -> Json:
    counts = asked.counts
    usage: Json = {
        "input_tokens": counts.input,
        "cache_creation_input_tokens": counts.written_5m + counts.written_1h,
        "cache_read_input_tokens": counts.cached,
        "output_tokens": output,
        "service_tier": asked.orders.tier or "standard",
    }
    if counts.written_5m or counts.written_1h:
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": counts.written_5m,
            "ephemeral_1h_input_tokens": counts.written_1h,
        }
    return usage


def messages(asked: Asked) -> Json:
    block: Json = {"type": "text", "text": text_of(asked)}
    reason = "max_tokens" if cut(asked) else "end_turn"
    if asked.tool:
        block = {"type": "tool_use", "id": "toolu_1", "name": asked.tool, "input": json.loads(ARGUMENTS)}
        reason = "tool_use"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.served,
        "content": [block],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": messages_usage(asked, asked.counts.output),
    }


def messages_events(asked: Asked) -> list[Json]:
    whole = messages(asked)
    start = whole | {"content": [], "stop_reason": None, "usage": messages_usage(asked, 1)}
    events: list[Json] = [{"type": "message_start", "message": start}]
    block: Json = {"type": "text", "text": ""}
    deltas: list[Json] = [{"type": "text_delta", "text": word} for word in asked.words]
    if asked.tool:
        block = whole["content"][0] | {"input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", ARGUMENTS[:9], ARGUMENTS[9:])]
    events.append({"type": "content_block_start", "index": 0, "content_block": block})
    events.append({"type": "ping"})
    events += [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    events.append({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": messages_usage(asked, asked.counts.output)})
    events.append({"type": "message_stop"})
    return events


# the rest


def embeddings(asked: Asked) -> Json:
    given = asked.body.get("input", "")
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    vector = [0.25, -0.5, 0.125, 1.0]
    packed: Any = base64.b64encode(struct.pack("<4f", *vector)).decode()
    shown = packed if asked.body.get("encoding_format") == "base64" else vector
    data = [{"object": "embedding", "index": n, "embedding": shown} for n in range(len(inputs))]
    usage = {"prompt_tokens": asked.counts.prompt, "total_tokens": asked.counts.prompt}
    return {"object": "list", "data": data, "model": asked.served, "usage": usage}


def completions(asked: Asked) -> Json:
    head: Json = {"id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000, "model": asked.served}
    choices = [{"index": 0, "text": text_of(asked), "logprobs": None, "finish_reason": "stop"}]
    return head | {"choices": choices, "usage": chat_usage(asked)}


def completions_events(asked: Asked) -> list[Json]:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000, "model": asked.served}
    events = [
        head | {"choices": [{"index": 0, "text": word, "logprobs": None, "finish_reason": None}]}
        for word in asked.words
    ]
    events.append(head | {"choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]})
    if (asked.body.get("stream_options") or {}).get("include_usage") is True:
        events.append(head | {"choices": [], "usage": chat_usage(asked)})
    return events


WHOLE = {
    "/v1/chat/completions": chat,
    "/v1/messages": messages,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
    "/v1/completions": completions,
    "/v1/messages/count_tokens": lambda asked: {"input_tokens": asked.counts.prompt},
}
EVENTS = {
    "/v1/chat/completions": chat_events,
    "/v1/messages": messages_events,
    "/v1/responses": responses_events,
    "/v1/completions": completions_events,
}


def event_bytes(asked: Asked, event: Json, newline: str = "\n") -> bytes:
    """One server-sent event as the protocol writes it: named for Anthropic and for responses."""
    named = asked.path in ("/v1/messages", "/v1/responses")
    name = f"event: {event['type']}{newline}" if named and "type" in event else ""
    return f"{name}data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}".encode()


def words_in(event: Json) -> int:
    """How many output tokens an event carries."""
    kind = event.get("type")
    if kind == "content_block_delta":
        return int(event["delta"].get("type") == "text_delta")
    if kind == "response.output_text.delta":
        return 1
    choices = event.get("choices") or [{}]
    return int(bool((choices[0].get("delta") or {}).get("content") or choices[0].get("text")))


def error(status: int, anthropic: bool, kind: str = "") -> Json:
    """An error body as the vendor writes it."""
    if anthropic:
        names = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
        names |= {404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
        name = kind or names.get(status, "api_error")
        return {"type": "error", "error": {"type": name, "message": f"ordered status {status}"}, "request_id": "req_1"}
    names = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    name = "server_error" if status >= 500 else "invalid_request_error"
    told = {"message": f"ordered status {status}", "type": kind or name, "param": None, "code": names.get(status)}
    return {"error": told}
