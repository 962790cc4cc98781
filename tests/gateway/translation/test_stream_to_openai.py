"""Anthropic streams for OpenAI clients, whole and cut at every byte."""

import json
from typing import Any

import pytest

from farthing.gateway.translation import Reply
from tests.gateway.translation.making import (
    CREATED_S,
    anthropic_bytes,
    block,
    message_end,
    message_start,
    to_openai_stream,
)

PING = {"type": "ping"}
TEXT = block(
    0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Ça "}, {"type": "text_delta", "text": "va"}
)
TOOLS = [
    *block(
        0,
        {"type": "thinking", "thinking": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "sig"},
    ),
    *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "I look."}),
    *block(
        2,
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city":'},
        {"type": "input_json_delta", "partial_json": '"Paris"}'},
    ),
    *block(
        3,
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
    ),
]


def test_text_in_the_order_that_openai_clients_expect() -> None:
    data = anthropic_bytes(message_start(), PING, *TEXT, *message_end())
    chunks, stream = to_openai_stream(data, Reply(stream=True, include_usage=True))
    assert chunks[-1] == "[DONE]"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-2]]
    assert deltas == [{"role": "assistant", "content": "", "refusal": None}, {"content": "Ça "}, {"content": "va"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-2]] == [None, None, None, "stop"]
    assert {(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks[:-1]} == {
        ("msg_1", "claude-x", CREATED_S)
    }
    assert all(chunk["usage"] is None for chunk in chunks[:-2])
    # message_start said 10 of input; message_delta's 7 of output replaces the 1 that message_start said
    assert chunks[-2]["choices"] == []
    assert chunks[-2]["usage"]["prompt_tokens"] == 10
    assert chunks[-2]["usage"]["completion_tokens"] == 7
    assert (stream.closed, stream.failed, stream.notes) == (True, False, [])


def test_no_usage_chunk_where_it_was_not_asked_for() -> None:
    chunks, _ = to_openai_stream(anthropic_bytes(message_start(), *TEXT, *message_end()))
    assert all("usage" not in chunk for chunk in chunks[:-1])


def test_usage_only_in_the_last_event_is_found_and_cache_is_contained() -> None:
    end = message_end(input_tokens=4, cache_read_input_tokens=90, cache_creation_input_tokens=6, output_tokens=3)
    data = anthropic_bytes(message_start(input_tokens=0, output_tokens=0), *TEXT, *end)
    chunks, _ = to_openai_stream(data, Reply(stream=True, include_usage=True))
    assert chunks[-2]["usage"] == {
        "prompt_tokens": 100,  # 4 + 90 + 6
        "completion_tokens": 3,
        "total_tokens": 103,
        "prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 6},
    }


def test_tool_calls_count_from_zero_and_thinking_has_its_place() -> None:
    # BerriAI/litellm#5231: the block's index is not the tool call's. #12666: all of it is choice 0.
    chunks, _ = to_openai_stream(anthropic_bytes(message_start(), *TOOLS, *message_end("tool_use")))
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert {choice["index"] for choice in choices} == {0}
    assert [choice["delta"] for choice in choices[1:-1]] == [
        {"reasoning_content": "hm"},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "hm", "signature": "sig"}]},
        {"content": "I look."},
        {
            "tool_calls": [
                {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": ""}}
            ]
        },
        # BerriAI/litellm#5063: no arguments are "{}", which parses; #4537: and "{}" never stands before others
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
    ]
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_arguments_that_come_whole_with_the_start_are_told() -> None:
    data = anthropic_bytes(
        message_start(),
        *block(0, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}),
        *message_end("tool_use"),
    )
    chunks, _ = to_openai_stream(data)
    assert chunks[2]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_cut_anywhere_it_says_the_same(step: int, line_end: bytes) -> None:
    data = anthropic_bytes(message_start(), PING, *TEXT, *TOOLS, *message_end("tool_use"))
    whole, _ = to_openai_stream(data)
    assert to_openai_stream(data.replace(b"\n", line_end), step=step)[0] == whole


def test_events_without_names_and_data_in_several_lines() -> None:
    data = anthropic_bytes(message_start(), *TEXT, *message_end())
    bare = b"\n".join(line for line in data.split(b"\n") if not line.startswith(b"event:"))
    spread = bare.replace(b', "index"', b',\ndata: "index"').replace(b"data: ", b"data:")
    assert spread.count(b"data:") > bare.count(b"data:")
    whole = to_openai_stream(data)[0]
    assert to_openai_stream(b"\xef\xbb\xbf" + spread)[0] == whole
    assert to_openai_stream(spread.replace(b"\n", b"\r\n"), step=1)[0] == whole  # cut between \r and \n


def test_an_error_in_the_stream_is_an_error_chunk_and_nothing_follows() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    chunks, stream = to_openai_stream(anthropic_bytes(message_start(), *TEXT[:2], error, *message_end()))
    assert chunks[-1] == {
        "error": {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"}
    }
    assert "[DONE]" not in chunks
    assert stream.failed


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "complete"),
        (anthropic_bytes(message_start(), *TEXT), "complete"),
        (anthropic_bytes(message_start()) + b"data: {broken\n\n", "JSON"),
        (anthropic_bytes(message_start()) + b"data: [1]\n\n", "JSON"),
        (b"<html>Bad gateway</html>", "complete"),
        (b"data: [DONE]\n\n", "complete"),
    ],
)
def test_a_stream_that_dies_is_never_a_complete_answer(data: bytes, word: str) -> None:
    chunks, stream = to_openai_stream(data)
    assert word in chunks[-1]["error"]["message"]
    assert stream.failed and stream.finish() == b""


def test_a_missing_message_stop_after_the_reason_is_forgiven() -> None:
    events = anthropic_bytes(message_start(), *TEXT, message_end()[0])
    assert (
        to_openai_stream(events.rstrip(b"\n"))[0]
        == to_openai_stream(anthropic_bytes(message_start(), *TEXT, *message_end()))[0]
    )


def test_the_forced_json_tool_is_text() -> None:
    reply = Reply(stream=True, json_tool="json_response")
    start = {"type": "tool_use", "id": "t", "name": "json_response", "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"a"', ":1}")]
    aside = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Sure."})
    data = anthropic_bytes(message_start(), *aside, *block(1, start, *pieces), *message_end("tool_use"))
    chunks, stream = to_openai_stream(data, reply)
    deltas: list[dict[str, Any]] = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert json.loads("".join(delta.get("content", "") for delta in deltas)) == {"a": 1}
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert [note.field for note in stream.notes] == ["content"]


def test_a_refusal_says_why() -> None:
    end = message_end("refusal")
    end[0]["delta"]["stop_details"] = {"type": "refusal", "explanation": "Unsafe."}
    chunks, _ = to_openai_stream(anthropic_bytes(message_start(), *end))
    assert chunks[-2]["choices"][0] == {
        "index": 0,
        "delta": {"refusal": "Unsafe."},
        "logprobs": None,
        "finish_reason": "content_filter",
    }


def test_events_and_blocks_of_a_later_version_are_no_error() -> None:
    later = [
        {"type": "message_mood", "mood": "good"},
        *block(1, {"type": "hologram"}, {"type": "hologram_delta", "x": 1}),
    ]
    data = anthropic_bytes(message_start(), *TEXT, *later, *message_end())
    chunks, stream = to_openai_stream(data)
    assert chunks == to_openai_stream(anthropic_bytes(message_start(), *TEXT, *message_end()))[0]
    assert [note.field for note in stream.notes] == ["content"]


def test_an_endless_event_is_cut_off() -> None:
    chunks, stream = to_openai_stream(b"data: " + b"x" * (9 * 1024 * 1024), step=1024 * 1024)
    assert "too long" in chunks[-1]["error"]["message"]
    assert stream.failed
