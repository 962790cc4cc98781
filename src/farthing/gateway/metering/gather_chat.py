"""Gathering an answer of OpenAI's chat/completions or completions, chunk by chunk.

Each chunk is decoded into the few fields below: that takes less time than looking for byte patterns in it, and a
model that writes `"usage": {…}` in its answer cannot deceive it.
"""

from typing import Any

import msgspec

from farthing.gateway.metering.answer import Answer
from farthing.gateway.metering.decoding import FAULTS, Decoder
from farthing.gateway.metering.plain_pieces import chat_piece
from farthing.gateway.metering.words import code


class _Function(msgspec.Struct, gc=False):
    name: Any = None
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    index: Any = None
    id: Any = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = None
    finish_reason: Any = None
    delta: _Delta | None = None
    text: Any = None
    error: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    service_tier: Any = None
    provider: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    timings: Any = None
    error: Any = None


class _Alone(msgspec.Struct):
    choices: list[Any] | None = None


_decode = Decoder(_Chunk)
_strict = _decode.strict
_alone = msgspec.json.Decoder(_Alone).decode


class ChatGatherer:
    """Reads the events of a chat stream into `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self._begun = False
        self._calls = set[tuple[Any, Any]]()

    def takes(self, chunk: bytes) -> bool:
        """Take a chunk that is one event with the next piece of the answer and nothing else, if it is: as nearly all
        are."""
        if not self._begun:
            return False
        size = chat_piece(chunk)
        if size > 0:
            self.answer.pieces += 1
            self.answer.text_bytes += size
        return size >= 0

    def read(self, data: bytes) -> bool:
        """Take one event's data; whether it holds usage and nothing for the client to read."""
        answer = self.answer
        if data == b"[DONE]":
            answer.complete = True
            answer.final = answer.final or bool(answer.usage or answer.timings)
            return False
        strict = True
        try:
            chunk = _strict(data)
        except FAULTS:
            strict = False
            forgiven = _decode(data)
            if forgiven is None:
                answer.note("an event of the stream could not be read")
                return False
            chunk = forgiven
        if not self._begun:
            self._begin(chunk)
        if chunk.choices:
            for choice in chunk.choices:
                self._choice(choice)
        if chunk.usage or chunk.x_groq or chunk.timings or chunk.error:
            self._rare(chunk)
            if chunk.usage and not chunk.choices and not chunk.error:
                return strict or _without_choices(data)
        return False

    def _begin(self, chunk: _Chunk) -> None:
        """What every chunk repeats: taken until all of it has been seen."""
        answer = self.answer
        answer.id = answer.id or chunk.id
        answer.model = answer.model or chunk.model
        answer.tier = answer.tier or chunk.service_tier
        answer.upstream = answer.upstream or chunk.provider
        self._begun = bool(answer.id and answer.model and chunk.choices)

    def _choice(self, choice: _Choice) -> None:
        answer, delta = self.answer, choice.delta
        size = 0
        if delta is not None:
            size = _size(delta.content) or _size(delta.reasoning_content) or _size(delta.reasoning)
            size = size or _size(delta.refusal)
            if delta.tool_calls:
                for number, call in enumerate(delta.tool_calls):
                    size += self._call(choice.index, call, number)
            if delta.function_call is not None:
                size += self._call(choice.index, _Call(index=-1, function=delta.function_call), 0)
        elif choice.text:
            size = _size(choice.text)
        if size:
            answer.pieces += 1
            answer.text_bytes += size
        if choice.finish_reason:
            answer.finish = choice.finish_reason
        if choice.error:
            answer.error = code(choice.error)

    def _call(self, choice: Any, call: _Call, number: int) -> int:
        """The size of one piece of a tool call; each call is counted once, by its index (or, without one, its id)."""
        mark = call.index if isinstance(call.index, int) else call.id if isinstance(call.id, str) else number
        if (choice if isinstance(choice, int) else 0, mark) not in self._calls:
            self._calls.add((choice if isinstance(choice, int) else 0, mark))
            self.answer.tool_calls += 1
        function = call.function
        return _size(function.arguments) + _size(function.name) if function else 0

    def _rare(self, chunk: _Chunk) -> None:
        """The few chunks of a stream that hold more than a delta."""
        answer = self.answer
        answer.model = chunk.model or answer.model
        answer.tier = chunk.service_tier or answer.tier
        usage = chunk.usage
        if not usage and isinstance(chunk.x_groq, dict):
            usage = chunk.x_groq.get("usage")
            if chunk.x_groq.get("error"):
                answer.error = code(chunk.x_groq)
        if isinstance(chunk.timings, dict):
            answer.timings = chunk.timings
        if chunk.error:
            answer.error = code(chunk.error)
        if isinstance(usage, dict) and usage:
            answer.take_usage(usage)
        answer.final = answer.final or bool(answer.finish and (answer.usage or answer.timings))


def _without_choices(data: bytes) -> bool:
    """Whether a chunk that is not quite JSON surely has nothing for the client: where in doubt, it is passed on."""
    try:
        return not _alone(data).choices
    except FAULTS:
        return False


def _size(value: Any) -> int:
    """The bytes of text in a delta's field; lists of parts (Mistral's thinking) are looked into."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if isinstance(value, list):
        return sum(_size(inner) for inner in value)
    if isinstance(value, dict):
        return sum(_size(value.get(name)) for name in ("text", "thinking"))
    return 0


text_size = _size
