"""Faults of the usage that an answer states."""

import json
from collections.abc import Callable
from typing import Any

from tests.gateway.faulty import answers
from tests.gateway.faulty.answers import event_bytes
from tests.gateway.faulty.asked import Asked
from tests.gateway.faulty.registry import alters
from tests.gateway.faulty.wire import Reply


@alters
def no_usage(asked: Asked, reply: Reply) -> Reply:
    return _usage(asked, reply, lambda _: None)


@alters
def usage_null(asked: Asked, reply: Reply) -> Reply:
    return _usage(asked, reply, lambda _: "null")


@alters
def usage_negative(asked: Asked, reply: Reply) -> Reply:
    return _usage(asked, reply, lambda usage: {name: -7 if isinstance(n, int) else n for name, n in usage.items()})


@alters
def usage_text(asked: Asked, reply: Reply) -> Reply:
    return _usage(asked, reply, lambda usage: {name: str(n) if isinstance(n, int) else n for name, n in usage.items()})


@alters
def usage_huge(asked: Asked, reply: Reply) -> Reply:
    return _usage(asked, reply, lambda usage: {name: 10**19 if isinstance(n, int) else n for name, n in usage.items()})


@alters
def usage_twice(asked: Asked, reply: Reply) -> Reply:
    """The event with the usage comes twice."""
    if not asked.stream:
        return reply
    chunks = [twice for chunk in reply.chunks for twice in ([chunk, chunk] if _tells_usage(chunk) else [chunk])]
    return reply._replace(chunks=chunks, tokens=[0] * (len(chunks) - len(reply.chunks)) + reply.tokens)


@alters
def usage_always(asked: Asked, reply: Reply) -> Reply:
    """Usage in every event, growing, as some OpenAI-compatible servers state it."""
    if not asked.stream:
        return reply
    events = answers.EVENTS[asked.path](asked)
    said = 0
    for n, event in enumerate(list(events)):
        said += answers.words_in(event)
        if asked.path == "/v1/messages":
            if event["type"] == "content_block_delta":
                counts = answers.messages_usage(asked, said)
                events[n] = event | {"usage": counts}
        elif event.get("choices"):
            counts = answers.chat_usage(asked) | {"completion_tokens": said}
            events[n] = event | {"usage": counts}
    return events_reply(asked, reply, events)


@alters
def cumulative(asked: Asked, reply: Reply) -> Reply:
    """Several of Anthropic's `message_delta`, each with the count so far; only the last one is the bill."""
    if asked.path != "/v1/messages" or not asked.stream:
        return reply
    events = answers.messages_events(asked)
    part = {"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": None}}
    early = [part | {"usage": {"output_tokens": n}} for n in range(1, asked.counts.output)]
    return events_reply(asked, reply, [*events[:-2], *early, *events[-2:]])


def _usage(asked: Asked, reply: Reply, change: Callable[[dict[str, Any]], Any]) -> Reply:
    def inside(value: Any) -> Any:
        if isinstance(value, list):
            return [inside(item) for item in value]
        if not isinstance(value, dict):
            return value
        new = {name: inside(item) for name, item in value.items() if name != "usage"}
        if isinstance(value.get("usage"), dict):
            told = change(value["usage"])
            if told is not None:
                new["usage"] = None if told == "null" else told
        return new

    if asked.stream:
        events = [inside(event) for event in answers.EVENTS[asked.path](asked)]
        kept = [event for event in events if event.get("choices") != [] or "usage" in event]
        return events_reply(asked, reply, kept)
    return reply.whole(json.dumps(inside(answers.WHOLE[asked.path](asked))).encode())


def _tells_usage(chunk: bytes) -> bool:
    return b'"usage": {' in chunk and (b'"choices": []' in chunk or b"message_delta" in chunk or b"completed" in chunk)


def events_reply(asked: Asked, reply: Reply, events: list[dict[str, Any]], newline: str = "\n") -> Reply:
    chunks = [event_bytes(asked, event, newline) for event in events]
    tokens = [answers.words_in(event) for event in events]
    if reply.chunks and reply.chunks[-1].startswith(b"data: [DONE]"):
        chunks.append(f"data: [DONE]{newline}{newline}".encode())
        tokens.append(0)
    return reply._replace(chunks=chunks, tokens=tokens)
