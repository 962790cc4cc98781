"""Whole answers (not streams) in the client's protocol."""

from typing import Any

import msgspec

from farthing.gateway.translation.errors import read_error
from farthing.gateway.translation.reasons import finish_reason, openai_tier, stop_reason
from farthing.gateway.translation.usage import anthropic_usage, openai_usage
from farthing.gateway.translation.words import (
    Answer,
    BadAnswer,
    Json,
    Note,
    Reply,
    decode_object,
    encode,
    object_in,
    objects_in,
    text_in,
)

RAW_ARGUMENTS = "__unparsed_arguments"
"""Holds a tool call's arguments that are not a JSON object, which Anthropic's `input` must be: an empty input would
hide them, and a tool without required arguments would run on it."""


def openai_response(body: bytes, reply: Reply, created_s: int) -> Answer:
    """A messages answer as a chat/completions answer. Raises `BadAnswer` where `body` is none."""
    message = decode_object(body, "answer", BadAnswer)
    if not isinstance(message.get("content"), list):
        raise BadAnswer("answer", f"has no content ({read_error(body, 200)[1]})")
    notes: list[Note] = []
    texts: list[str] = []
    thoughts: list[Json] = []
    calls: list[Json] = []
    as_json: str | None = None
    for block in objects_in(message.get("content")):
        kind = block.get("type")
        if kind == "text":
            texts.append(text_in(block.get("text")))
            if block.get("citations"):
                notes.append(Note("citations", "left out: OpenAI's messages have none"))
        elif kind in ("thinking", "redacted_thinking"):
            thoughts.append(block)
        elif kind == "tool_use" and block.get("name") == reply.json_tool:
            as_json = _compact(block.get("input"))
        elif kind == "tool_use":
            calls.append(openai_call(block, reply))
        else:
            notes.append(Note("content", f"a block of type {str(kind)[:40]!r} is left out: OpenAI has no such"))
    if as_json is not None and "".join(texts).strip():
        notes.append(Note("content", "words beside the JSON answer are left out"))
    text = as_json if as_json is not None else "".join(texts)
    usage = object_in(message.get("usage"))
    reason = finish_reason(message.get("stop_reason"), tools=bool(calls), json_tool=as_json is not None, notes=notes)
    made: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": refusal_of(message)}
    if calls:
        made["tool_calls"] = calls
    made |= reasoning_fields(thoughts)
    answer: Json = {
        "id": text_in(message.get("id")) or reply.fallback_id,
        "object": "chat.completion",
        "created": created_s,
        "model": text_in(message.get("model")),
        "choices": [{"index": 0, "message": made, "finish_reason": reason, "logprobs": None}],
    }
    counted = openai_usage(usage)
    if counted is not None:
        answer["usage"] = counted
    if (tier := openai_tier(usage)) is not None:
        answer["service_tier"] = tier
    return Answer(body=encode(answer), notes=tuple(notes))


def anthropic_response(body: bytes, reply: Reply) -> Answer:
    """A chat/completions answer as a messages answer. Raises `BadAnswer` where `body` is none."""
    answer = decode_object(body, "answer", BadAnswer)
    notes: list[Note] = []
    choices = objects_in(answer.get("choices"))
    if not choices:
        raise BadAnswer("answer", f"has no choices ({read_error(body, 200)[1]})")
    choice = choices[0]
    message = object_in(choice.get("message"))
    answer_id = text_in(answer.get("id")) or reply.fallback_id
    content: list[Json] = _thinking_blocks(message)
    text, refusal = plain_text(message.get("content")), text_in(message.get("refusal"))
    content += [{"type": "text", "text": one} for one in (text, refusal) if one.strip()]
    for number, call in enumerate(objects_in(message.get("tool_calls"))):
        function = object_in(call.get("function"))
        name = text_in(function.get("name"))
        block = {
            "type": "tool_use",
            "id": text_in(call.get("id")) or made_id(answer_id, number),
            "name": reply.tool_names.get(name, name),
            "input": _input(function.get("arguments"), notes),
        }
        content.append(block)
    calls = bool(message.get("tool_calls"))
    reason, sequence = stop_reason(choice, tools=calls, refused=bool(refusal), notes=notes)
    counted = anthropic_usage(object_in(answer.get("usage")))
    if counted is None:
        notes.append(Note("usage", "the upstream gave none; the client is told 0, which Anthropic's form needs"))
    made: Json = {
        "id": answer_id,
        "type": "message",
        "role": "assistant",
        "model": text_in(answer.get("model")),
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": counted or {"input_tokens": 0, "output_tokens": 0},
    }
    return Answer(body=encode(made), notes=tuple(notes))


def openai_call(block: Json, reply: Reply) -> Json:
    """A tool_use block as a tool call."""
    name = text_in(block.get("name"))
    return {
        "id": text_in(block.get("id")),
        "type": "function",
        "function": {"name": reply.tool_names.get(name, name), "arguments": _compact(block.get("input"))},
    }


def refusal_of(message: Json) -> str | None:
    """What Anthropic says of a refusal, else None."""
    if message.get("stop_reason") != "refusal":
        return None
    return text_in(object_in(message.get("stop_details")).get("explanation")) or None


def reasoning_fields(thoughts: list[Json]) -> Json:
    """Thinking as OpenAI-compatible upstreams give it (`reasoning_content`), and whole, with its signature.

    A client that sends `thinking_blocks` back lets Anthropic go on from its own thinking.
    """
    if not thoughts:
        return {}
    text = "".join(text_in(block.get("thinking")) for block in thoughts)
    return ({"reasoning_content": text} if text else {}) | {"thinking_blocks": thoughts}


def plain_text(content: object) -> str:
    """The text of an OpenAI message's content, which some upstreams give in parts."""
    if isinstance(content, str):
        return content
    return "".join(text_in(part.get("text")) for part in objects_in(content) if part.get("type") == "text")


def reasoning_text(message: Json) -> str:
    """Reasoning of an OpenAI message or delta: `reasoning_content`, `reasoning`, or Mistral's thinking parts."""
    for key in ("reasoning_content", "reasoning"):
        if text := text_in(message.get(key)):
            return text
    parts = [part for part in objects_in(message.get("content")) if part.get("type") == "thinking"]
    return "".join(text_in(one.get("text")) for part in parts for one in objects_in(part.get("thinking")))


def made_id(answer_id: str, number: int) -> str:
    """The id of a tool call that the upstream left without one."""
    return f"toolu_{''.join(c if c.isascii() and c.isalnum() else '_' for c in answer_id)[:40]}_{number}"


def _thinking_blocks(message: Json) -> list[Json]:
    kept = [block for block in objects_in(message.get("thinking_blocks")) if block.get("type") == "thinking"]
    if kept:
        return kept
    text = reasoning_text(message)
    return [{"type": "thinking", "thinking": text, "signature": ""}] if text else []


def _input(arguments: object, notes: list[Note]) -> Json:
    """A call's arguments as an object."""
    if isinstance(arguments, dict):
        return arguments  # some upstreams do not encode them
    text = text_in(arguments)
    if not text.strip():
        return {}
    value: Any = None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    notes.append(Note("tool_calls", f"arguments that are not a JSON object are given as {RAW_ARGUMENTS!r}"))
    return {RAW_ARGUMENTS: text}


def _compact(value: object) -> str:
    return msgspec.json.encode(value if isinstance(value, dict) else {}).decode()
