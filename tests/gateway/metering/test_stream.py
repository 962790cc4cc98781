"""Streams: what each provider's amounts to, however its bytes are cut, and that every byte is passed on."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Asked, Served, StreamMeter, Surface
from tests.gateway.metering import streams
from tests.gateway.metering.streams import ALL, DONE, Recorded, chunk, event, usage_chunk


def metered(recorded: Recorded, pieces: list[bytes], hide: bool = False) -> tuple[Served, bytes]:
    meter = StreamMeter(recorded.surface, recorded.provider, hide_usage=hide)
    out = b"".join(meter.feed(piece) for piece in pieces) + meter.close()
    return meter.finish(), out


@pytest.mark.parametrize("recorded", ALL.values(), ids=ALL)
def test_amounts_to_what_the_provider_states(recorded: Recorded) -> None:
    served, out = metered(recorded, recorded.events)
    assert dict(served.quantities) == recorded.quantities
    assert (served.estimated, served.unknown, served.complete) == (False, "", True)
    assert (served.model, served.finish, served.tool_calls) == (recorded.model, recorded.finish, recorded.tool_calls)
    assert out == recorded.bytes


@pytest.mark.parametrize("recorded", ALL.values(), ids=ALL)
@pytest.mark.parametrize("hide", [False, True], ids=["shown", "hidden"])
def test_cut_in_two_at_every_byte(recorded: Recorded, hide: bool) -> None:
    whole = recorded.bytes
    first, _ = metered(recorded, recorded.events, hide)
    expected = recorded.without_usage if hide else whole
    for at in range(len(whole) + 1):
        served, out = metered(recorded, [whole[:at], whole[at:]], hide)
        assert served == first, at
        assert out == expected, at


@pytest.mark.parametrize("recorded", ALL.values(), ids=ALL)
@pytest.mark.parametrize("hide", [False, True], ids=["shown", "hidden"])
def test_byte_by_byte(recorded: Recorded, hide: bool) -> None:
    whole = recorded.bytes
    served, out = metered(recorded, [whole[at : at + 1] for at in range(len(whole))], hide)
    assert served == metered(recorded, recorded.events)[0]
    assert out == (recorded.without_usage if hide else whole)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(list(ALL.values())), st.lists(st.integers(0, 4000), max_size=12), st.booleans())
def test_cut_anywhere(recorded: Recorded, places: list[int], hide: bool) -> None:
    whole = recorded.bytes
    cuts = sorted({0, *(place % len(whole) for place in places), len(whole)})
    pieces = [whole[begin:end] for begin, end in pairwise(cuts)]
    served, out = metered(recorded, pieces, hide)
    assert dict(served.quantities) == recorded.quantities
    assert out == (recorded.without_usage if hide else whole)


NAMES = st.sampled_from(["id", "model", "choices", "usage", "delta", "content", "error", "type", "message", "index",
                         "tool_calls", "function", "response", "status", "output", "content_block", "finish_reason",
                         "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "x_groq", "timings",
                         "code", "iterations", "cache_creation", "reason", "incomplete_details"])  # fmt: skip
MARKS = st.sampled_from([b"\n\n", b"\r\n\r\n", b"data: {", b"}\n\n", b"\r"])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=60) | MARKS, max_size=12), st.sampled_from(list(Surface)), st.booleans())
def test_garbage_is_passed_on_and_never_raises(pieces: list[bytes], surface: Surface, hide: bool) -> None:
    meter = StreamMeter(surface, "openai", hide_usage=hide)
    out = b"".join(meter.feed(piece) for piece in pieces) + meter.close()
    assert out == b"".join(pieces)
    assert isinstance(meter.finish(), Served)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), max_size=4), st.sampled_from(list(Surface)), st.booleans())
def test_events_of_any_shape(rows: list[dict[str, object]], surface: Surface, hide: bool) -> None:
    meter = StreamMeter(surface, "google", hide_usage=hide, asked=Asked(prompt_tokens_estimate=3))
    pieces = [event(row) for row in rows]
    out = b"".join(meter.feed(piece) for piece in pieces) + meter.close()
    kept = [piece for row, piece in zip(rows, pieces, strict=True) if row.get("choices") or not row.get("usage")]
    assert all(piece in out for piece in kept)  # only what states usage and has no choices can be hidden
    served = meter.finish()
    assert all(count > 0 for count in served.quantities.values())


def test_without_hiding_the_very_chunk_comes_back() -> None:
    meter = StreamMeter(Surface.CHAT, "openai")
    for piece in streams.OPENAI.events:
        assert meter.feed(piece) is piece


def test_hiding_holds_no_ended_event_back() -> None:
    """What is passed on at once is everything but the event that is not ended: no token waits for the next."""
    meter = StreamMeter(Surface.CHAT, "openai", hide_usage=True)
    first, second = streams.OPENAI.events[:2]
    assert meter.feed(first) is first
    assert meter.feed(second + b"data: {") == second
    assert meter.feed(b'"choices":[]}\n\n') == b'data: {"choices":[]}\n\n'


def test_hiding_an_event_without_its_blank_line() -> None:
    recorded = streams.OPENAI
    cut = b"".join(recorded.events[:5]).removesuffix(b"\n\n")
    served, out = metered(recorded, [cut], hide=True)
    assert out == b"".join(recorded.events[:4])
    assert dict(served.quantities) == recorded.quantities


def test_usage_beside_choices_is_not_hidden() -> None:
    _, out = metered(streams.GEMINI, streams.GEMINI.events, hide=True)
    assert out == streams.GEMINI.bytes


@pytest.mark.parametrize("choices", ['"x"', '[{"delta":5}]', "[5]", '{"a":1}'])
def test_a_chunk_that_may_hold_something_is_not_hidden(choices: str) -> None:
    odd = b'data: {"choices":' + choices.encode() + b',"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    meter = StreamMeter(Surface.CHAT, "openai", hide_usage=True)
    assert meter.feed(odd) == odd
    meter.feed(DONE)
    assert dict(meter.finish().quantities) == {"input": 3, "output": 4}


def test_a_huge_event_flows_through_a_hiding_meter() -> None:
    """An image in a chunk: it is not held until its end, and the usage after it is hidden all the same."""
    big = event(chunk("x" * 1_000_000))
    usage = event(usage_chunk({"prompt_tokens": 5, "completion_tokens": 9}))
    meter = StreamMeter(Surface.CHAT, "openai", hide_usage=True)
    pieces = [big[at : at + 16384] for at in range(0, len(big), 16384)]
    out = [meter.feed(piece) for piece in pieces]
    assert len(b"".join(out[:10])) > 9 * 16384 - (64 << 10)  # at most 64 KiB are held
    out += [meter.feed(event(chunk(None, "stop"))), meter.feed(usage), meter.feed(DONE), meter.close()]
    assert b"".join(out) == big + event(chunk(None, "stop")) + DONE
    assert dict(meter.finish().quantities) == {"input": 5, "output": 9}


def test_what_was_passed_on_in_part_is_passed_on_whole() -> None:
    """A usage event of 200 kB is none that a provider sends; its end is not withheld when its beginning is out."""
    big = event({**usage_chunk({"prompt_tokens": 5, "completion_tokens": 9}), "padding": "x" * 200_000})
    meter = StreamMeter(Surface.CHAT, "openai", hide_usage=True)
    out = b"".join(meter.feed(big[at : at + 16384]) for at in range(0, len(big), 16384)) + meter.close()
    assert out == big


@pytest.mark.parametrize("hide", [False, True])
def test_an_event_that_is_too_large_is_passed_on_and_said(hide: bool) -> None:
    big, end = event(chunk("x" * 300_000)), [event(chunk(None, "stop")), event(usage_chunk({"prompt_tokens": 5})), DONE]
    meter = StreamMeter(Surface.CHAT, "openai", hide_usage=hide, largest_event=100_000)
    pieces = [big[at : at + 10_000] for at in range(0, len(big), 10_000)] + end
    out = b"".join(meter.feed(piece) for piece in pieces) + meter.close()
    assert out == big + b"".join(end)  # nothing is hidden any more: better one event too many than one too few
    served = meter.finish()
    assert served.quantities == {"input": 5}
    assert "an event of the stream was too large to be read" in served.notes


def test_a_client_that_leaves_is_estimated_from_what_came() -> None:
    """Four pieces of 8 bytes: 32 bytes / 4 = 8 tokens, more than the 4 pieces. The prompt is the request's estimate."""
    meter = StreamMeter(Surface.CHAT, "openai", asked=Asked(model="gpt-5.1", prompt_tokens_estimate=120))
    for _ in range(4):
        meter.feed(event(chunk("12345678")))
    served = meter.finish()
    assert dict(served.quantities) == {"input": 120, "output": 8}
    assert (served.estimated, served.complete) == (True, False)
    assert served.unknown == "the stream broke off before its usage"
    assert served.model == "gpt-5.1"


def test_short_pieces_count_as_a_token_each() -> None:
    meter = StreamMeter(Surface.CHAT, "openai", asked=Asked(prompt_tokens_estimate=1))
    for _ in range(9):
        meter.feed(event(chunk("a")))
    assert dict(meter.finish().quantities) == {"input": 1, "output": 9}


def test_a_broken_anthropic_stream_keeps_the_stated_prompt() -> None:
    """Input as message_start states it; output estimated: "0123456789" is 10 bytes, 10 / 4 = 2.5, so 3 tokens."""
    meter = StreamMeter(Surface.MESSAGES, "anthropic")
    meter.feed(streams.ANTHROPIC.events[0])
    delta = {"type": "text_delta", "text": "0123456789"}
    meter.feed(streams.named({"type": "content_block_delta", "index": 0, "delta": delta}))
    served = meter.finish()
    assert dict(served.quantities) == {
        "input": 25, "cache_read": 1024, "cache_write_5m": 100, "cache_write_1h": 200, "output": 3,
    }  # fmt: skip
    assert served.estimated and not served.complete and not meter.settled


def test_a_break_before_any_output_is_no_final_count() -> None:
    """The prompt is stated, the output of 1 in message_start is not what was generated in the end."""
    meter = StreamMeter(Surface.MESSAGES, "anthropic")
    meter.feed(streams.ANTHROPIC.events[0])
    served = meter.finish()
    assert served.estimated and served.unknown == "the answer broke off: its output is estimated"
    assert served.quantities["input"] == 25 and served.quantities["output"] == 1


def test_a_stream_that_ends_without_usage_is_estimated_and_said() -> None:
    meter = StreamMeter(Surface.CHAT, "vllm", asked=Asked(prompt_tokens_estimate=10))
    for piece in (event(chunk("abcdefgh")), event(chunk(None, "stop")), DONE):
        meter.feed(piece)
    served = meter.finish()
    assert served.unknown == "the stream ended without usage"
    assert (dict(served.quantities), served.estimated, served.complete) == ({"input": 10, "output": 2}, True, True)


def test_nothing_came() -> None:
    served = StreamMeter(Surface.CHAT, "openai").finish()
    assert (dict(served.quantities), served.estimated) == ({}, False)
    assert served.unknown == "the stream broke off before its usage"


def test_settled_tells_a_drain_when_to_stop() -> None:
    meter = StreamMeter(Surface.CHAT, "openai")
    for number, piece in enumerate(streams.OPENAI.events):
        meter.feed(piece)
        assert meter.settled == (number >= 4)
    meter = StreamMeter(Surface.MESSAGES, "anthropic")
    for number, piece in enumerate(streams.ANTHROPIC.events):
        meter.feed(piece)
        assert meter.settled == (number >= 8)


def test_reported_cost_is_exact() -> None:
    served, _ = metered(streams.OPENROUTER, streams.OPENROUTER.events)
    assert served.reported_usd == Fraction(95, 100_000)
    assert served.upstream == "Amazon Bedrock"


@pytest.mark.parametrize(
    ("surface", "piece", "word"),
    [
        (Surface.CHAT, event({"error": {"message": "key sk-secret", "type": "server_error"}}), "server_error"),
        (Surface.MESSAGES, event({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "error"),
         "overloaded_error"),
        (Surface.RESPONSES, event({"type": "error", "code": "rate_limit_exceeded", "message": "x"}, "error"),
         "rate_limit_exceeded"),
        (Surface.RESPONSES, event({"type": "response.failed", "response": {"id": "r", "status": "failed",
         "error": {"code": "server_error", "message": "x"}, "usage": None}}, "response.failed"), "server_error"),
        (Surface.CHAT, b'{"error":{"message":"no such model","type":"invalid_request_error"}}',
         "invalid_request_error"),
    ],
)  # fmt: skip
def test_errors_in_the_stream(surface: Surface, piece: bytes, word: str) -> None:
    meter = StreamMeter(surface, "openai")
    assert meter.feed(piece) == piece
    served = meter.finish()
    assert served.error == word
    assert "secret" not in repr(served)
    assert served.unknown and not served.quantities


def test_an_error_after_some_output_is_billed_for_what_came() -> None:
    meter = StreamMeter(Surface.MESSAGES, "anthropic")
    for piece in streams.ANTHROPIC.events[:4]:
        meter.feed(piece)
    meter.feed(event({"type": "error", "error": {"type": "overloaded_error"}}, "error"))
    served = meter.finish()
    assert served.error == "overloaded_error"
    assert served.estimated and served.quantities["input"] == 25 and served.quantities["output"] > 1


def test_events_in_unusual_but_correct_form() -> None:
    """A byte order mark, no space after the colon, data over several lines, comments and other fields between."""
    text = (
        b'\xef\xbb\xbfdata:{"id":"c","model":"m",\r\n'
        b'data: "choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}'
        b"\r\r"
        b': comment\n\nid: 7\nretry: 10\n\ndata: {"choices":[],\n: between\ndata: "usage":{"prompt_tokens":3,\n'
        b'data: "completion_tokens":1}}\n\ndata\n\ndata: [DONE]\n\n'
    )
    for at in range(len(text)):
        served, out = metered(streams.OPENAI, [text[:at], text[at:]])
        assert dict(served.quantities) == {"input": 3, "output": 1}, at
        assert (served.model, served.finish, out) == ("m", "stop", text)
