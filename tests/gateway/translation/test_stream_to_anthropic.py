"""OpenAI streams for Anthropic clients, whole and cut at every byte; blocks always one after another."""

from typing import Any

import pytest

from farthing.gateway.translation import Reply
from tests.gateway.translation.making import call_delta, chunk, openai_bytes, to_anthropic_stream

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 9,
    "total_tokens": 109,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
}
USAGE_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
ROLE = chunk({"role": "assistant", "content": ""})
TEXT = [ROLE, chunk({"content": "Ça "}), chunk({"content": "va"}), chunk({}, "stop"), USAGE_CHUNK, "[DONE]"]


def test_text_in_the_order_that_anthropic_clients_expect() -> None:
    events, stream = to_anthropic_stream(openai_bytes(*TEXT))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = events[0]["message"]
    assert (message["id"], message["model"], message["content"], message["role"]) == (
        "chatcmpl-1",
        "gpt-x",
        [],
        "assistant",
    )
    assert events[1]["content_block"] == {"type": "text", "text": ""}
    assert events[5] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        # 100 of prompt - 60 read - 10 written = 30 fresh
        "usage": {
            "input_tokens": 30,
            "output_tokens": 9,
            "cache_creation_input_tokens": 10,
            "cache_read_input_tokens": 60,
        },
    }
    assert (stream.closed, stream.failed, stream.notes) == (True, False, [])


def test_the_start_goes_out_with_the_first_chunk() -> None:
    _, stream = to_anthropic_stream(b"")
    stream = type(stream)(Reply())
    assert stream.feed(openai_bytes(ROLE)).startswith(b"event: message_start\n")


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
def test_cut_anywhere_it_says_the_same(step: int) -> None:
    data = openai_bytes(*TEXT[:3], chunk(call_delta(0, '{"a":"é"}', id="c", name="f")), *TEXT[3:])
    whole, _ = to_anthropic_stream(data)
    assert to_anthropic_stream(data, step=step)[0] == whole
    assert to_anthropic_stream(data.replace(b"\n", b"\r\n"), step=step)[0] == whole


def test_reasoning_first_opens_a_thinking_block_first() -> None:
    # BerriAI/litellm#29518, #32357, #25212; sgl-project/sglang#24293: "Content block is not a thinking block".
    for key in ("reasoning_content", "reasoning"):
        data = openai_bytes(ROLE, chunk({key: "h", "content": None}), chunk({key: "m"}), *TEXT[1:])
        assert blocks_of(data) == [("thinking", "hm"), ("text", "Ça va")]


def test_parallel_calls_one_after_another() -> None:
    data = openai_bytes(
        ROLE,
        chunk({"content": "I look."}),
        chunk(call_delta(0, "", id="call_1", name="weather")),
        chunk(call_delta(0, '{"city":')),
        chunk(call_delta(0, '"Paris"}')),
        chunk(call_delta(1, "", id="call_2", name="now")),
        chunk({}, "tool_calls"),
        USAGE_CHUNK,
        "[DONE]",
    )
    assert blocks_of(data) == [("text", "I look."), ("call_1 weather", '{"city":"Paris"}'), ("call_2 now", "")]
    events, _ = to_anthropic_stream(data)
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_interleaved_parallel_calls_lose_nothing() -> None:
    data = openai_bytes(
        ROLE,
        chunk(call_delta(0, "", id="call_1", name="a")),
        chunk(call_delta(1, "", id="call_2", name="b")),
        chunk(call_delta(1, '{"y":')),
        chunk(call_delta(0, '{"x":')),
        chunk(call_delta(1, "2}")),
        chunk(call_delta(0, "1}")),
        chunk({}, "tool_calls"),
        "[DONE]",
    )
    assert blocks_of(data) == [("call_1 a", '{"x":1}'), ("call_2 b", '{"y":2}')]


def test_arguments_stream_while_they_come() -> None:
    _, stream = to_anthropic_stream(b"")
    stream = type(stream)(Reply())
    stream.feed(openai_bytes(ROLE, chunk(call_delta(0, "", id="c", name="f"))))
    assert b'"partial_json":"{\\"a' in stream.feed(openai_bytes(chunk(call_delta(0, '{"a'))))


def test_text_between_and_after_calls_gets_its_own_block_and_blanks_get_none() -> None:
    # sgl-project/sglang#24293: "\n" between two calls stamped on the open tool block.
    first, second = call_delta(0, "{}", id="call_1", name="a"), call_delta(1, "{}", id="call_2", name="b")
    blank = openai_bytes(ROLE, chunk(first), chunk({"content": "\n"}), chunk(second), chunk({}, "tool_calls"), "[DONE]")
    assert blocks_of(blank) == [("call_1 a", "{}"), ("call_2 b", "{}")]
    words = openai_bytes(
        ROLE,
        chunk(first),
        chunk({"content": "\n"}),
        chunk({"content": "then"}),
        chunk(second),
        chunk({}, "stop"),
        "[DONE]",
    )
    assert blocks_of(words) == [("call_1 a", "{}"), ("text", "\nthen"), ("call_2 b", "{}")]


def test_gemini_numbers_all_calls_zero_or_not_at_all() -> None:
    for index in (0, None):
        calls = [chunk(call_delta(index, f'{{"n":{n}}}', id=f"call_{n}", name="f")) for n in (1, 2)]
        data = openai_bytes(ROLE, *calls, chunk({}, "stop"), "[DONE]")
        assert blocks_of(data) == [("call_1 f", '{"n":1}'), ("call_2 f", '{"n":2}')]
        events, _ = to_anthropic_stream(data)
        assert events[-2]["delta"]["stop_reason"] == "tool_use"  # though the upstream said stop


def test_id_and_name_repeated_in_each_chunk_are_one_call() -> None:
    for index in (0, None):
        pieces = [chunk(call_delta(index, piece, id="c", name="f")) for piece in ('{"a"', ":1}")]
        assert blocks_of(openai_bytes(ROLE, *pieces, chunk({}, "tool_calls"), "[DONE]")) == [("c f", '{"a":1}')]


def test_two_calls_that_begin_in_one_chunk_and_a_call_without_id() -> None:
    both = {
        "tool_calls": call_delta(0, '{"a":1}', name="f")["tool_calls"]
        + call_delta(1, "{}", id="c", name="g")["tool_calls"]
    }
    (first, arguments), second = blocks_of(openai_bytes(ROLE, chunk(both), chunk({}, "tool_calls"), "[DONE]"))
    assert (first, arguments) == ("toolu_chatcmpl_1_0 f", '{"a":1}')
    assert second == ("c g", "{}")


def test_names_are_told_whole() -> None:
    data = openai_bytes(ROLE, chunk(call_delta(0, "{}", id="c", name="short")), chunk({}, "tool_calls"), "[DONE]")
    events, _ = to_anthropic_stream(data, Reply(tool_names={"short": "the_whole_name"}))
    assert events[1]["content_block"]["name"] == "the_whole_name"


def test_usage_before_the_end_or_with_each_chunk_is_taken_once() -> None:
    early = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    data = openai_bytes(ROLE, chunk({"content": "x"}, usage=early), chunk({}, "stop", usage=USAGE), "[DONE]")
    events, _ = to_anthropic_stream(data)
    assert events[-2]["usage"]["output_tokens"] == 9


def test_without_usage_the_counts_are_there_and_a_note_says_so() -> None:
    # farion1231/cc-switch#2485: clients fail on a message_delta without usage.
    events, stream = to_anthropic_stream(openai_bytes(*TEXT[:4], "[DONE]"))
    assert events[-2]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert [note.field for note in stream.notes] == ["usage"]


def test_filter_results_and_comments_before_the_answer() -> None:
    azure = {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    data = b": OPENROUTER PROCESSING\n\n" + openai_bytes(azure) + b": keep-alive\n\n" + openai_bytes(*TEXT)
    assert to_anthropic_stream(data)[0] == to_anthropic_stream(openai_bytes(*TEXT))[0]


def test_comments_inside_the_answer_are_pings() -> None:
    data = openai_bytes(ROLE) + b": keep-alive\n\n" + openai_bytes(*TEXT[1:])
    assert [event["type"] for event in to_anthropic_stream(data)[0]][:2] == ["message_start", "ping"]


def test_a_missing_done_after_the_reason_is_forgiven() -> None:
    assert to_anthropic_stream(openai_bytes(*TEXT[:-1]).rstrip(b"\n"))[0] == to_anthropic_stream(openai_bytes(*TEXT))[0]


def test_an_error_in_the_stream_is_an_error_event_and_nothing_follows() -> None:
    error = {"error": {"message": "Provider failed", "type": "rate_limit_error", "code": 429}}
    events, stream = to_anthropic_stream(openai_bytes(*TEXT[:2], error, *TEXT[2:]))
    assert events[-1] == {"type": "error", "error": {"type": "rate_limit_error", "message": "Provider failed"}}
    assert stream.failed


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "complete"),
        (openai_bytes(*TEXT[:3]), "complete"),
        (openai_bytes("[DONE]"), "no answer"),
        (openai_bytes(ROLE) + b"data: {broken\n\n", "JSON"),
        (b'{"error":{"message":"not a stream"}}', "complete"),
    ],
)
def test_a_stream_that_dies_is_never_a_complete_answer(data: bytes, word: str) -> None:
    events, stream = to_anthropic_stream(data)
    assert events[-1]["type"] == "error"
    assert word in events[-1]["error"]["message"]
    assert all(event["type"] != "message_stop" for event in events)
    assert stream.failed and stream.feed(openai_bytes(*TEXT)) == stream.finish() == b""


def test_the_gateway_can_end_it_by_an_error() -> None:
    _, stream = to_anthropic_stream(b"")
    stream = type(stream)(Reply())
    stream.feed(openai_bytes(ROLE))
    assert b'"type":"timeout_error"' in stream.fail("timeout_error", "no word for 60 s")
    assert stream.fail("api_error", "again") == b""


def test_odd_chunks_are_no_traceback() -> None:
    odd: list[Any] = [
        {"choices": "x"},
        {"choices": [{"delta": "x"}]},
        {
            "choices": [{"index": 0, "delta": {"content": 5, "tool_calls": [{"index": "x", "function": 3}, 4]}}],
            "usage": "y",
        },
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
    ]
    events, stream = to_anthropic_stream(openai_bytes(*odd, *TEXT))
    assert events[-1]["type"] == "message_stop"
    assert "choices" in [note.field for note in stream.notes]


def blocks_of(data: bytes) -> list[tuple[str, str]]:
    """Kind and content of each block, after checking that they come one after another with rising indexes."""
    found: list[tuple[str, str]] = []
    is_open = False
    for event in to_anthropic_stream(data)[0]:
        if event["type"] == "content_block_start":
            assert not is_open and event["index"] == len(found)
            start, is_open = event["content_block"], True
            found.append((f"{start['id']} {start['name']}" if start["type"] == "tool_use" else start["type"], ""))
        elif event["type"] == "content_block_delta":
            assert is_open and event["index"] == len(found) - 1
            delta = event["delta"]
            assert delta["type"] == {"text": "text_delta", "thinking": "thinking_delta"}.get(
                found[-1][0], "input_json_delta"
            )
            piece = delta.get("text", delta.get("thinking", delta.get("partial_json")))
            found[-1] = (found[-1][0], found[-1][1] + piece)
        elif event["type"] == "content_block_stop":
            assert is_open and event["index"] == len(found) - 1
            is_open = False
    assert not is_open
    return found
