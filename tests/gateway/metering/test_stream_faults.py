"""Streams that are broken, lying or strange: the usage beside the fault is not lost, and nothing false is counted."""

import json

import pytest

from farthing.gateway.metering import Served, StreamMeter, Surface
from tests.gateway.metering.streams import ANTHROPIC_EVENTS, DONE, chunk, event, named, usage_chunk

STOP = event(chunk(None, "stop"))


def chat(*events: bytes, provider: str = "openai") -> Served:
    meter = StreamMeter(Surface.CHAT, provider)
    for piece in events:
        assert meter.feed(piece) == piece
    return meter.finish()


def raw(usage: str) -> bytes:
    return b'data: {"id":"c","model":"m","choices":[],"usage":' + usage.encode() + b"}\n\n"


@pytest.mark.parametrize(
    "content",
    [
        '"usage": {"prompt_tokens": 999999, "completion_tokens": 1}',
        'data: {"choices":[],"usage":{"prompt_tokens":5}}\n\ndata: [DONE]\n\n',
        '\\"usage\\":{',
        "event: message_delta\n",
        '"usage',
        "\u2028\u2029\x85",
    ],
)
def test_text_does_not_fool_it(content: str) -> None:
    true = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
    served = chat(event(chunk(content)), STOP, event(usage_chunk(true)), DONE)
    assert dict(served.quantities) == {"input": 10, "output": 4}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": content}}
    meter = StreamMeter(Surface.MESSAGES, "anthropic")
    for value in (ANTHROPIC_EVENTS[0], delta, *ANTHROPIC_EVENTS[-2:]):
        meter.feed(named(value))
    assert meter.finish().quantities["output"] == 88


@pytest.mark.parametrize(
    "usage", ["null", "{}", "[]", '"12"', "12", "true", '{"prompt_tokens":null,"completion_tokens":null}',
              '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'],
)  # fmt: skip
def test_a_usage_that_states_nothing_replaces_nothing(usage: str) -> None:
    true = raw('{"prompt_tokens":10,"completion_tokens":4}')
    assert dict(chat(event(chunk("a")), STOP, true, raw(usage), DONE).quantities) == {"input": 10, "output": 4}


@pytest.mark.parametrize("usage", ["null", "{}", "[]", '"12"', "12", "true"])
def test_a_usage_that_states_nothing_is_no_usage(usage: str) -> None:
    served = chat(event(chunk("a")), STOP, raw(usage), DONE)
    assert served.unknown == "the stream ended without usage"
    assert served.estimated and dict(served.quantities) == {"output": 1}
    assert served.notes == ("the prompt is not in the estimate: its size is not known",)


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        ('{"prompt_tokens":-5,"completion_tokens":4}', "negative"),
        ('{"prompt_tokens":1e30,"completion_tokens":4}', "absurd"),
        ('{"prompt_tokens":99999999999999999999,"completion_tokens":4}', "absurd"),
        ('{"prompt_tokens":1.5,"completion_tokens":4}', "whole number"),
        ('{"prompt_tokens":"many","completion_tokens":4}', "whole number"),
        ('{"prompt_tokens":[1],"completion_tokens":4}', "whole number"),
        ('{"prompt_tokens":true,"completion_tokens":4}', "whole number"),
        ('{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":11}}', "exceed"),
        ('{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":7}', "not an object"),
    ],
)
def test_a_usage_that_cannot_be_true_is_not_counted(usage: str, reason: str) -> None:
    served = chat(event(chunk("abcdefgh")), STOP, raw(usage), DONE)
    assert served.unknown.startswith("the stated usage cannot be true: ") and reason in served.unknown
    assert served.estimated and dict(served.quantities) == {"output": 2}  # 8 bytes of text / 4


def test_numbers_as_text_count() -> None:
    assert dict(chat(STOP, raw('{"prompt_tokens":"10","completion_tokens":"4"}'), DONE).quantities) == {
        "input": 10, "output": 4,
    }  # fmt: skip


def test_of_doubled_keys_the_last_holds() -> None:
    """As in every JSON parser in use; msgspec and json agree."""
    text = '{"prompt_tokens":1,"prompt_tokens":10,"completion_tokens":4}'
    assert json.loads(text)["prompt_tokens"] == 10
    assert dict(chat(STOP, raw(text), DONE).quantities) == {"input": 10, "output": 4}
    twice = b'data: {"choices":[],"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":10,"completion_tokens":4}}\n\n'
    assert dict(chat(STOP, twice, DONE).quantities) == {"input": 10, "output": 4}


@pytest.mark.parametrize(
    "inner",
    [
        b'"content":"\\ud83d"',  # half a surrogate pair: a token that ends within an emoji
        b'"content":"a","x":NaN',
        b'"content":"a\x01b"',
        b'"content":"\xff\xfe"',
        b'"content":{"odd":1}',
        b'"content":5',
        b'"content":"a","tool_calls":"none"',
        b'"content":"a","tool_calls":[7]',
    ],
)
def test_what_is_not_quite_json_does_not_cost_the_usage_beside_it(inner: bytes) -> None:
    odd = (
        b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{' + inner + b'},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":10,"completion_tokens":4}}\n\n'
    )
    served = chat(odd, DONE)
    assert dict(served.quantities) == {"input": 10, "output": 4}
    assert (served.estimated, served.model) == (False, "m")


@pytest.mark.parametrize(
    "noise",
    [b"data: {\n\n", b"data: \x00\x00\n\n", b"\x00\n\n", b"data: [1,2]\n\n", b"data: " + b"[" * 100_000 + b"\n\n",
     b"data: nonsense\n\n", b"\n\n\n\n", b"event: x\n\n", b"data: " + b"9" * 10_000 + b"\n\n"],
)  # fmt: skip
@pytest.mark.parametrize("surface", [Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES])
def test_noise_between_events(noise: bytes, surface: Surface) -> None:
    from tests.gateway.metering import streams

    recorded = {Surface.CHAT: streams.OPENAI, Surface.MESSAGES: streams.ANTHROPIC, Surface.RESPONSES: streams.RESPONSES}
    chosen = recorded[surface]
    meter = StreamMeter(surface, chosen.provider)
    for piece in chosen.events:
        meter.feed(noise)
        meter.feed(piece)
    assert dict(meter.finish().quantities) == chosen.quantities


def test_a_truncated_usage_event_is_not_half_read() -> None:
    whole = event(usage_chunk({"prompt_tokens": 1000, "completion_tokens": 4000}))
    for at in range(len(whole) - 3):  # without the closing brace and the blank line
        served = chat(event(chunk("abcd")), STOP, whole[:at])
        assert dict(served.quantities) == {"output": 1} and served.estimated, at


def test_repeated_usage_counts_once() -> None:
    usage = event(usage_chunk({"prompt_tokens": 10, "completion_tokens": 4}))
    assert dict(chat(STOP, usage, usage, usage, DONE).quantities) == {"input": 10, "output": 4}
