"""Gathering an answer of OpenAI's responses, event by event; the last holds the whole response, with its usage."""

from typing import Any

import msgspec

from farthing.gateway.metering.answer import Answer
from farthing.gateway.metering.decoding import FAULTS, Decoder
from farthing.gateway.metering.plain_pieces import responses_piece
from farthing.gateway.metering.words import code
from farthing.usage.readers.usage_objects import built_in_calls

_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})


class Item(msgspec.Struct):
    """One output item: which kind it is, and what a web search did."""

    type: Any = None
    action: Any = None


class Response(msgspec.Struct, gc=False):
    """The fields of a response that the meter needs, in a body as in the events that hold one."""

    id: Any = None
    model: Any = None
    status: Any = None
    service_tier: Any = None
    provider: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: list[Item] | None = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    response: Response | None = None
    code: Any = None
    error: Any = None


_decode = Decoder(_Event)
_strict = _decode.strict


class ResponsesGatherer:
    """Reads the events of a responses stream into `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def takes(self, chunk: bytes) -> bool:
        """Take a chunk that is one event with the next piece of the answer and nothing else, if it is."""
        size = responses_piece(chunk)
        if size > 0:
            self.answer.pieces += 1
            self.answer.text_bytes += size
        return size >= 0

    def read(self, data: bytes) -> bool:
        """Take one event's data. There is no event of usage alone: always False."""
        event: _Event | None
        try:
            event = _strict(data)
        except FAULTS:
            event = _decode(data)
        answer = self.answer
        if event is None:
            if data != b"[DONE]":
                answer.note("an event of the stream could not be read")
        elif isinstance(event.delta, str):
            if event.delta and event.type != "response.audio.delta":
                answer.pieces += 1
                text = event.delta
                answer.text_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        elif event.response is not None:
            take_response(answer, event.response)
        elif event.type == "error" or event.error:
            answer.error = code(event.error or {"code": event.code})
        return False


def take_response(answer: Answer, response: Response) -> None:
    """Take what `response` says into `answer`; it ends the answer where its status says so."""
    answer.id = response.id or answer.id
    answer.model = response.model or answer.model
    answer.upstream = response.provider or answer.upstream
    answer.tier = response.service_tier or answer.tier
    answer.take_usage(response.usage)
    if response.error:
        answer.error = code(response.error)
    if isinstance(response.status, str) and response.status in _ENDED:
        answer.finish = response.status
        reason = response.incomplete_details
        if isinstance(reason, dict) and isinstance(reason.get("reason"), str):
            answer.finish = reason["reason"]
        answer.complete = True
        answer.final = bool(answer.usage)
    if response.output:
        answer.tool_calls = sum(item.type in ("function_call", "custom_tool_call") for item in response.output)
        answer.calls = built_in_calls([msgspec.to_builtins(item) for item in response.output])
