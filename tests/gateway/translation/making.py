"""Requests, answers and streams in short, and what comes out of the translators, decoded."""

import json
from typing import Any

from farthing.gateway.translation import (
    AnthropicStream,
    AnthropicTarget,
    OpenAIStream,
    OpenAITarget,
    Reply,
    Translated,
    to_anthropic,
    to_openai,
)

CREATED_S = 1_760_000_000
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOL = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": WEATHER}}
ANTHROPIC_TOOL = {"name": "weather", "description": "of a city", "input_schema": WEATHER}


def openai_asks(target: AnthropicTarget | None = None, **request: Any) -> Translated:
    """An OpenAI client's request, translated; a model and one message where none are given."""
    whole = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100} | request
    return to_anthropic(json.dumps(whole).encode(), target)


def anthropic_asks(target: OpenAITarget | None = None, **request: Any) -> Translated:
    """An Anthropic client's request, translated; a model and one message where none are given."""
    whole = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100} | request
    return to_openai(json.dumps(whole).encode(), target)


def sent(translated: Translated) -> dict[str, Any]:
    """The request that goes upstream."""
    made = json.loads(translated.body)
    assert isinstance(made, dict)
    return made


def noted(translated: Translated) -> list[str]:
    """The fields that the notes name."""
    return [note.field for note in translated.notes]


def anthropic_bytes(*events: dict[str, Any]) -> bytes:
    """An Anthropic stream."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def openai_bytes(*chunks: dict[str, Any] | str) -> bytes:
    """An OpenAI stream; a text stands for itself, such as [DONE]."""
    return b"".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n".encode() for one in chunks)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One OpenAI chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": [choice],
    } | more


def call_delta(index: int | None, arguments: str = "", **named: str) -> dict[str, Any]:
    """A delta that holds a piece of one tool call; `id` and `name` where the call begins."""
    function = {"arguments": arguments} | ({"name": named["name"]} if "name" in named else {})
    call = {"index": index, "type": "function", "function": function} | ({"id": named["id"]} if "id" in named else {})
    return {"tool_calls": [{key: value for key, value in call.items() if value is not None}]}


def message_start(**usage: int) -> dict[str, Any]:
    """The first event of an Anthropic stream."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    return {"type": "message_start", "message": message | {"usage": {"input_tokens": 10, "output_tokens": 1} | usage}}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message_end(stop_reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    """The last two events of an Anthropic stream."""
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7} | usage},
        {"type": "message_stop"},
    ]


def to_openai_stream(data: bytes, reply: Reply | None = None, step: int = 0) -> tuple[list[Any], OpenAIStream]:
    """OpenAI chunks (or "[DONE]") made of an Anthropic stream fed `step` bytes at a time (0: all at once)."""
    stream = OpenAIStream(reply or Reply(stream=True), CREATED_S)
    return decoded(fed(stream, data, step)), stream


def to_anthropic_stream(data: bytes, reply: Reply | None = None, step: int = 0) -> tuple[list[Any], AnthropicStream]:
    """Anthropic events made of an OpenAI stream fed `step` bytes at a time (0: all at once)."""
    stream = AnthropicStream(reply or Reply(stream=True))
    return decoded(fed(stream, data, step)), stream


def fed(stream: OpenAIStream | AnthropicStream, data: bytes, step: int) -> bytes:
    step = step or len(data) or 1
    made = b"".join(stream.feed(data[start : start + step]) for start in range(0, len(data), step))
    return made + stream.finish()


def decoded(data: bytes) -> list[Any]:
    """The data of each event; the event's name must be its type where it has a name."""
    found: list[Any] = []
    for event in data.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in event.split("\n") if line and not line.startswith(":"))
        if "data" not in lines:
            continue
        value = lines["data"] if lines["data"] == "[DONE]" else json.loads(lines["data"])
        if "event" in lines:
            assert lines["event"] == value["type"]
        found.append(value)
    return found
