"""Reading a whole answer: the usage and the few fields beside it, whatever else it holds."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from farthing.gateway.metering.answer import NO_HEADERS, Answer, served
from farthing.gateway.metering.decoding import Decoder, crowded
from farthing.gateway.metering.gather_chat import text_size
from farthing.gateway.metering.gather_messages import usage_from_metrics
from farthing.gateway.metering.gather_responses import Response, take_response
from farthing.gateway.metering.plain_answers import plain_answer
from farthing.gateway.metering.provider_usage import has_counts, spelled
from farthing.gateway.metering.surfaces import COUNT_TOKENS, MESSAGES, RESPONSES, Surface
from farthing.gateway.metering.values import Asked, Served
from farthing.gateway.metering.words import code
from farthing.usage.readers.values import Row, whole

_LARGEST = 256 << 20
_BEGUN = frozenset(range(500, 600)) - {503, 529}
"""Error statuses after which something may have been consumed. Not after 4xx, nor where the provider was too busy to
begin (503, 529)."""
NO_OBJECT = "the answer is not a JSON object"
"""Why nothing is known of an answer that is none."""


class _Kind(msgspec.Struct, gc=False):
    type: Any = None


class _Spoken(msgspec.Struct, gc=False):
    tool_calls: list[_Kind] | None = None
    function_call: _Kind | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None
    message: _Spoken | None = None
    error: Any = None


class _Chat(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    service_tier: Any = None
    provider: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    timings: Any = None
    error: Any = None


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    content: list[_Kind] | None = None
    usage: Any = None
    error: Any = None
    input_tokens: Any = None
    metrics: Any = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")


_chat, _message, _response = Decoder(_Chat), Decoder(_Message), Decoder(Response)


def is_event_stream(headers: Mapping[str, str]) -> bool:
    """Whether the answer is a stream of events, by its content type (header names in lower case)."""
    kind = headers.get("content-type", "")
    return kind != "application/json" and kind.lower().startswith("text/event-stream")


def read_response(
    surface: Surface,
    provider: str,
    body: bytes,
    headers: Mapping[str, str] = NO_HEADERS,
    *,
    status: int = 200,
    asked: Asked | None = None,
) -> Served:
    """What the answer `body` says was served. Header names in lower case. Never raises for bytes.

    An answer of status 4xx without usage consumed nothing (no provider bills a refused request), nor one of 503 or
    529 (too busy to begin); of another 5xx without usage it is unknown.
    """
    if status == 200 and (plain := plain_answer(surface, body, headers)) is not None:
        return plain
    answer = Answer(complete=True, final=True)
    provider = spelled(provider)
    text = _plain(body, headers)
    if isinstance(text, str):
        return Served(unknown=text, complete=False)
    if crowded(text) or not _gather(surface, text, answer):
        if status >= 400 and status not in _BEGUN:
            return Served(error=str(status))
        return Served(unknown=NO_OBJECT, complete=False, error=str(status) * (status >= 400))
    if status >= 400:
        answer.error = answer.error or str(status)
    if status >= 400 and not answer.usage and not answer.timings:
        unknown = f"the provider answered {status} and stated no usage" if status in _BEGUN else ""
        return Served(error=answer.error, unknown=unknown)
    if surface is COUNT_TOKENS:
        return _counted(answer, text)
    if not has_counts(answer.usage) and not answer.timings and not answer.error:
        _measure(text, answer)
    found = served(surface, provider, answer, asked=asked, headers=headers)
    if found.unknown and not answer.text_bytes and not answer.error:  # the stated usage cannot be true
        _measure(text, answer)
        found = served(surface, provider, answer, asked=asked, headers=headers)
    return found


def _plain(body: bytes, headers: Mapping[str, str]) -> bytes | str:
    """The body without its content encoding, or why it cannot be read."""
    stated = headers.get("content-encoding")
    if stated is None:
        return body
    coding = stated.strip().lower()
    if coding in ("", "identity") or body.lstrip()[:1] == b"{":  # some clients decode and leave the header
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        return f"the answer is encoded as {coding[:20]!r}: send Accept-Encoding: identity upstream"
    try:
        engine = zlib.decompressobj(wbits=47 if "gzip" in coding else 15)
        found = engine.decompress(body, _LARGEST)
    except zlib.error:
        return f"the answer's {coding} data is damaged"
    return f"the answer is larger than {_LARGEST >> 20} MiB" if engine.unconsumed_tail else found


def _gather(surface: Surface, text: bytes, answer: Answer) -> bool:
    """Take the fields of `text` into `answer`; whether it is a JSON object."""
    if surface is MESSAGES or surface is COUNT_TOKENS:
        return _gather_message(_message(text), answer)
    if surface is RESPONSES:
        response = _response(text)
        if response is not None:
            take_response(answer, response)
            if response.status in ["queued", "in_progress"]:
                answer.complete = answer.final = False
                answer.note("the response runs in the background: its usage comes when it is fetched")
        return response is not None
    return _gather_chat(_chat(text), answer)


def _gather_chat(found: _Chat | None, answer: Answer) -> bool:
    if found is None:
        return False
    answer.id, answer.model, answer.tier = found.id, found.model, found.service_tier
    answer.upstream = found.provider
    answer.take_usage(found.usage)
    if not answer.usage and isinstance(found.x_groq, dict):
        answer.take_usage(found.x_groq.get("usage"))
    if isinstance(found.timings, dict):
        answer.timings = found.timings
    if found.error:
        answer.error = code(found.error)
    if found.choices:
        answer.finish, answer.tool_calls = _finish_and_calls(found.choices)
        for choice in found.choices:
            if choice.error:
                answer.error = code(choice.error)
    return True


def _finish_and_calls(choices: Sequence[_Choice]) -> tuple[Any, int]:
    """The reason why the last choice ended that says one, and the tool calls of all."""
    finish, calls = "", 0
    for choice in choices:
        finish = choice.finish_reason or finish
        message = choice.message
        if message is not None:
            if message.tool_calls:
                calls += len(message.tool_calls)
            if message.function_call is not None:
                calls += 1
    return finish, calls


def _gather_message(found: _Message | None, answer: Answer) -> bool:
    if found is None:
        return False
    answer.id, answer.model, answer.finish = found.id, found.model, found.stop_reason
    answer.take_usage(found.usage)
    if not answer.usage and found.metrics:
        answer.take_usage(usage_from_metrics(found.metrics))
    if found.error:
        answer.error = code(found.error)
    if found.content:
        answer.tool_calls = [block.type for block in found.content].count("tool_use")
    return True


def _counted(answer: Answer, text: bytes) -> Served:
    """An answer of count_tokens: a count, for which nothing is billed."""
    found = _message(text)
    try:
        count = whole({"input_tokens": found.input_tokens if found else None}, "input_tokens")
    except ValueError:
        count = 0
    return Served(error=answer.error, details={"counted_input_tokens": count} if count else {})


def _measure(text: bytes, answer: Answer) -> None:
    """Measure the text of an answer that states no usage, for an estimate."""
    row = _whole(text)
    if row is None:
        return
    for choice in row.get("choices") or () if isinstance(row.get("choices"), list) else ():
        if isinstance(choice, dict):
            message = choice.get("message")
            answer.text_bytes += text_size(choice.get("text"))
            if isinstance(message, dict):
                answer.text_bytes += text_size(message.get("content")) + text_size(message.get("reasoning_content"))
    for block in row.get("content") or () if isinstance(row.get("content"), list) else ():
        answer.text_bytes += text_size(block)
    for item in row.get("output") or () if isinstance(row.get("output"), list) else ():
        if isinstance(item, dict):
            answer.text_bytes += text_size(item.get("content"))


class _Any(msgspec.Struct):
    choices: Any = None
    content: Any = None
    output: Any = None


_any = Decoder(_Any)


def _whole(text: bytes) -> Row | None:
    found = _any(text)
    return None if found is None else {"choices": found.choices, "content": found.content, "output": found.output}
