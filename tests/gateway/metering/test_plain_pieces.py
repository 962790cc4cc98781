"""The events in the midst of a stream, read in C: as the gatherers read them."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Served, StreamMeter, Surface
from farthing.gateway.metering.gather_chat import ChatGatherer, text_size
from farthing.gateway.metering.gather_messages import MessagesGatherer
from farthing.gateway.metering.gather_responses import ResponsesGatherer
from farthing.gateway.metering.plain_pieces import chat_piece, messages_piece, responses_piece
from tests.gateway.metering.broken import TEXTS, VALUES, damaged, written

CHAT, MESSAGES, RESPONSES = Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES
ODD: st.SearchStrategy[Any] = st.one_of(TEXTS, TEXTS, st.sampled_from([None, 0, [], {}, [{"text": "x"}]]), VALUES)
CHAT_EVENT = {
    "id": "c-1", "object": "chat.completion.chunk", "model": "m", "usage": None,
    "choices": [{"index": 0, "delta": {"content": "word", "reasoning": ""}, "finish_reason": None, "logprobs": None}],
}  # fmt: skip
MESSAGES_EVENT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word"}}
RESPONSES_EVENT = {"type": "response.output_text.delta", "sequence_number": 5, "delta": "word", "logprobs": []}
EVENTS: list[tuple[Surface, Any, list[tuple[str | int, ...]]]] = [
    (CHAT, CHAT_EVENT, [
        ("choices", 0, "delta", "content"), ("choices", 0, "delta", "reasoning"), ("choices", 0, "delta", "refusal"),
        ("choices", 0, "delta", "tool_calls"), ("choices", 0, "delta", "function_call"), ("choices", 0, "delta"),
        ("choices", 0, "finish_reason"), ("choices", 0, "text"), ("choices", 0, "error"), ("choices", 0, "odd"),
        ("choices", 0), ("choices",), ("usage",), ("x_groq",), ("timings",), ("error",), ("id",), ("model",),
        ("created",),
    ]),
    (MESSAGES, MESSAGES_EVENT, [
        ("type",), ("index",), ("delta",), ("delta", "text"), ("delta", "thinking"), ("delta", "partial_json"),
        ("delta", "stop_reason"), ("message",), ("usage",), ("error",),
    ]),
    (RESPONSES, RESPONSES_EVENT, [("type",), ("delta",), ("response",), ("error",), ("code",), ("item_id",)]),
]  # fmt: skip
BEFORE = st.sampled_from([b"", b"event: content_block_delta\n", b"event: \n", b": x\n", b"id: 1\n", b"event: a\r\n"])
AFTER = st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\n", b"\n\n\n", b"", b"\ndata: 5\n\n"])


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """`value` with `new` at `path`, if that is a place in it."""
    if not path:
        return new
    if isinstance(value, dict):
        return value | {path[0]: changed(value.get(path[0]), path[1:], new)}
    if isinstance(value, list) and value:
        return [changed(value[0], path[1:], new), *value[1:]]
    return value


@st.composite
def chunks(draw: st.DrawFn, event: Any, paths: list[tuple[str | int, ...]]) -> bytes:
    """A chunk of a stream: `event`, or one that is like it."""
    for _ in range(draw(st.integers(0, 2))):
        event = changed(event, draw(st.sampled_from(paths)), draw(ODD))
    if draw(st.integers(0, 9)) == 0 and isinstance(event.get("choices") if isinstance(event, dict) else None, list):
        event = event | {"choices": event["choices"] * 2}
    data = b"data: " + written(draw, event)
    if draw(st.integers(0, 4)) == 0:
        return draw(BEFORE) + data + draw(AFTER)
    return draw(damaged(data + b"\n\n")) if draw(st.integers(0, 9)) == 0 else data + b"\n\n"


def metered(surface: Surface, stream: list[bytes], hide: bool) -> tuple[list[bytes], int, int, Served]:
    meter = StreamMeter(surface, "openai", hide_usage=hide)
    out = [meter.feed(chunk) for chunk in stream]
    answer = meter._answer
    return [*out, meter.close()], answer.pieces, answer.text_bytes, meter.finish()


@pytest.mark.slow
@settings(deadline=None, max_examples=2500)
@given(st.sampled_from(EVENTS), st.booleans(), st.data())
def test_each_chunk_is_read_as_the_gatherers_read_it(
    kind: tuple[Surface, Any, list[tuple[str | int, ...]]], hide: bool, data: st.DataObject
) -> None:
    surface, event, paths = kind
    first = b"data: " + json.dumps(event).encode() + b"\n\n"
    stream = [first, *data.draw(st.lists(chunks(event, paths), max_size=5)), first]
    quick = metered(surface, stream, hide)
    with (
        patch.object(ChatGatherer, "takes", no),
        patch.object(MessagesGatherer, "takes", no),
        patch.object(ResponsesGatherer, "takes", no),
    ):
        assert quick == metered(surface, stream, hide)


def no(*_: Any) -> bool:
    return False


@settings(deadline=None, max_examples=1000)
@given(TEXTS, st.booleans())
def test_the_size_of_a_piece(text: str, ascii_only: bool) -> None:
    """In bytes of UTF-8, however it is written; where half a surrogate pair may be in it another look is taken."""
    halves = any(0xD800 <= ord(letter) < 0xE000 or (ascii_only and ord(letter) > 0xFFFF) for letter in text)
    event = {"choices": [{"delta": {"content": text}}]}
    data = json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert chat_piece(b"data: " + data + b"\n\n") == (-1 if halves else text_size(text))


@pytest.mark.parametrize(
    ("piece", "chunk", "size"),
    [
        (chat_piece, b'data: {"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n', 5),
        (chat_piece, b'data: {"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}\n\n', 0),
        (chat_piece, b'data: {"choices":[{"delta":{"content":"a\\nb\\u00e9\\u20ac"}}]}\n\n', 8),
        (chat_piece, b'data: {"choices":[]}\n\n', 0),
        (messages_piece, b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"hi"}}\n\n',
         2),
        (responses_piece, b'event: x\ndata: {"type":"response.output_text.delta","delta":"hey"}\n\n', 3),
    ],
)  # fmt: skip
def test_what_providers_stream_is_plain(piece: Any, chunk: bytes, size: int) -> None:
    assert [piece(chunk), piece(chunk)] == [size, size]


@pytest.mark.parametrize(
    "chunk",
    [
        b"data: [DONE]\n\n", b"", b"\n\n", b"data: \n\n", b"data: {}\n", b"event: x\n\n", b"event: x",
        b"data: {}\r\n\r\n",
        b'data: {"choices":[{"delta":{"content":"a","reasoning":"b"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', b'data: {"choices":[],"usage":{}}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', b'data: {"error":{"code":"x"}}\n\n',
        b'data: {"choices":[\n\n]}\n\n', b'data: {}\n\ndata: {}\n\n',
    ],
)  # fmt: skip
def test_what_is_no_plain_piece(chunk: bytes) -> None:
    assert chat_piece(chunk) == -1
