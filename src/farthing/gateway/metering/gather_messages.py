"""Gathering an answer of Anthropic's messages, event by event.

Usage is cumulative and stands in two kinds of events: `message_start` holds the prompt's, each `message_delta` the
output's so far and, from most servers, the prompt's again. The last statement holds; nothing is added.
"""

from typing import Any

import msgspec

from farthing.gateway.metering.answer import Answer
from farthing.gateway.metering.decoding import FAULTS, Decoder
from farthing.gateway.metering.gather_chat import text_size
from farthing.gateway.metering.plain_pieces import messages_piece
from farthing.gateway.metering.words import code
from farthing.usage.readers.values import Row

_PROMPT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    usage: Any = None


class _Delta(msgspec.Struct, gc=False):
    stop_reason: Any = None
    text: Any = None
    thinking: Any = None
    partial_json: Any = None


class _Block(msgspec.Struct, gc=False):
    type: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    message: _Message | None = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    usage: Any = None
    error: Any = None
    metrics: Any = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")


_decode = Decoder(_Event)
_strict = _decode.strict


class MessagesGatherer:
    """Reads the events of a messages stream into `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def takes(self, chunk: bytes) -> bool:
        """Take a chunk that is one event with the next piece of the answer and nothing else, if it is."""
        size = messages_piece(chunk)
        if size > 0:
            self.answer.pieces += 1
            self.answer.text_bytes += size
        return size >= 0

    def read(self, data: bytes) -> bool:
        """Take one event's data. Anthropic's streams have no event of usage alone: always False."""
        event: _Event | None
        try:
            event = _strict(data)
        except FAULTS:
            event = _decode(data)
        if event is None:
            if data != b"[DONE]":
                self.answer.note("an event of the stream could not be read")
            return False
        if event.type == "content_block_delta":
            delta = event.delta
            size = 0 if delta is None else text_size(delta.text or delta.thinking or delta.partial_json)
            if size:
                self.answer.pieces += 1
                self.answer.text_bytes += size
        else:
            self._rare(event)
        return False

    def _rare(self, event: _Event) -> None:
        answer = self.answer
        if event.message is not None:
            answer.id = event.message.id or answer.id
            answer.model = event.message.model or answer.model
            self._usage(event.message.usage)
        self._usage(event.usage)
        if event.content_block is not None and event.content_block.type == "tool_use":
            answer.tool_calls += 1
        if event.delta is not None and event.delta.stop_reason:
            answer.finish = event.delta.stop_reason
        if event.type == "message_delta" and event.usage and answer.finish:
            answer.final = True
        if event.metrics and not answer.usage:
            answer.usage = usage_from_metrics(event.metrics)
        if event.type == "message_stop":
            answer.complete = True
            answer.final = answer.final or bool(answer.usage and "output_tokens" in answer.usage)
        if event.error:
            answer.error = code(event.error)

    def _usage(self, usage: Any) -> None:
        if isinstance(usage, dict) and usage:
            self.answer.usage = merged(self.answer.usage, usage)


def merged(before: Row, now: Row) -> Row:
    """The usage known after `now`: what it states replaces what was known; nothing is added.

    Some servers state the prompt in the first event only and zeros later, others the reverse: a prompt of zeros
    replaces nothing. Output is cumulative and never shrinks.
    """
    stated = {name: value for name, value in now.items() if value is not None}
    if not before:
        return stated
    if not any(stated.get(name) for name in _PROMPT):
        for name in (*_PROMPT, "cache_creation"):
            stated.pop(name, None)
    elif "cache_creation_input_tokens" in stated and "cache_creation" not in stated:
        split = before.get("cache_creation")
        if isinstance(split, dict) and _sum(split) != stated["cache_creation_input_tokens"]:
            before = {name: value for name, value in before.items() if name != "cache_creation"}
    output = before.get("output_tokens")
    if isinstance(output, int) and isinstance(stated.get("output_tokens"), int) and stated["output_tokens"] >= 0:
        stated["output_tokens"] = max(output, stated["output_tokens"])
    return {**before, **stated}


def _sum(split: Row) -> int:
    return sum(value for value in split.values() if isinstance(value, int))


def usage_from_metrics(metrics: Any) -> Row:
    """Amazon Bedrock's invocation metrics as a usage object with Anthropic's names."""
    names = {
        "inputTokenCount": "input_tokens", "outputTokenCount": "output_tokens",
        "cacheReadInputTokenCount": "cache_read_input_tokens",
        "cacheWriteInputTokenCount": "cache_creation_input_tokens",
    }  # fmt: skip
    return {names[name]: value for name, value in metrics.items() if name in names} if isinstance(metrics, dict) else {}
