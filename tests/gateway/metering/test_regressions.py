"""What went wrong in other gateways and clients, by their issue: none of it may go wrong here."""

import json
from typing import Any

import pytest

from farthing.gateway.metering import Served, StreamMeter, Surface, read_response
from tests.gateway.metering.streams import DONE, chunk, event, named, usage_chunk


def messages(*events: dict[str, Any], provider: str = "anthropic") -> Served:
    meter = StreamMeter(Surface.MESSAGES, provider)
    for value in events:
        meter.feed(named(value))
    return meter.finish()


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5", "usage": usage}}


def delta(stop: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}


STOP = {"type": "message_stop"}


def test_one_api_pro_13_delta_added_to_start() -> None:
    """modelbus/one-api-pro#13: input and cache reads counted twice, output with the first event's 1 on top."""
    served = messages(
        start(input_tokens=27, cache_read_input_tokens=1000, cache_creation_input_tokens=0, output_tokens=1),
        delta(input_tokens=27, cache_read_input_tokens=1000, cache_creation_input_tokens=0, output_tokens=47),
        STOP,
    )
    assert dict(served.quantities) == {"input": 27, "cache_read": 1000, "output": 47}


def test_envoy_ai_gateway_2236_cache_reads_added_twice() -> None:
    """envoyproxy/ai-gateway#2236: 9 + 1 cached became 11 with 2 cached."""
    served = messages(
        start(input_tokens=9, cache_read_input_tokens=1, cache_creation_input_tokens=0, output_tokens=0),
        delta(input_tokens=9, cache_read_input_tokens=1, cache_creation_input_tokens=0, output_tokens=16),
        STOP,
    )
    assert dict(served.quantities) == {"input": 9, "cache_read": 1, "output": 16}


def test_librechat_agents_150_several_deltas() -> None:
    """LibreChat-AI/agents#150: each message_delta is cumulative; their sum is not the output."""
    served = messages(
        start(input_tokens=10, output_tokens=1), delta(None, output_tokens=20), delta(None, output_tokens=55),
        delta(output_tokens=70), STOP,
    )  # fmt: skip
    assert dict(served.quantities) == {"input": 10, "output": 70}


def test_llm_gateway_2057_usage_that_grows_in_the_delta() -> None:
    """mnfst/llm-gateway#2057: a server tool's results are read too; the delta's prompt is the true one."""
    served = messages(
        start(input_tokens=2679, cache_read_input_tokens=0, output_tokens=3),
        delta(input_tokens=10682, cache_read_input_tokens=512, cache_creation_input_tokens=100, output_tokens=510,
              server_tool_use={"web_search_requests": 1}),
        STOP,
    )  # fmt: skip
    assert dict(served.quantities) == {
        "input": 10682, "cache_read": 512, "cache_write_5m": 100, "output": 510, "web_search": 1,
    }  # fmt: skip


def test_sglang_20678_zero_at_the_start_truth_in_the_delta() -> None:
    """sgl-project/sglang#20678: message_start says 0; usage comes only in the delta."""
    served = messages(start(input_tokens=0, output_tokens=0), delta(input_tokens=31, output_tokens=8), STOP)
    assert dict(served.quantities) == {"input": 31, "output": 8}


def test_sglang_20830_truth_at_the_start_zero_in_the_delta() -> None:
    """sgl-project/sglang#20830 and #33419: the delta says 0, or nothing, of the prompt that the start stated."""
    for usage in (
        {"input_tokens": 0, "output_tokens": 8},
        {"output_tokens": 8},
        {"input_tokens": None, "output_tokens": 8},
    ):
        served = messages(start(input_tokens=31, cache_read_input_tokens=5, output_tokens=0), delta(**usage), STOP)
        assert dict(served.quantities) == {"input": 31, "cache_read": 5, "output": 8}


def test_time_to_live_of_writes_survives_the_delta() -> None:
    """Only message_start splits the writes by time-to-live; the delta repeats their sum: 200 of 300 for an hour."""
    split = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}
    served = messages(
        start(input_tokens=1, cache_creation_input_tokens=300, cache_creation=split, output_tokens=1),
        delta(input_tokens=1, cache_creation_input_tokens=300, output_tokens=2),
        STOP,
    )
    assert dict(served.quantities) == {"input": 1, "cache_write_5m": 100, "cache_write_1h": 200, "output": 2}


def test_litellm_9812_cache_writes_charged_as_input_too() -> None:
    """BerriAI/litellm#9812: input 3, written 12304: not 12307 uncached and 12304 written."""
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 12304,
        "cache_read_input_tokens": 0,
        "output_tokens": 550,
    }
    served = read_response(Surface.MESSAGES, "anthropic", json.dumps({"usage": usage}).encode())
    assert dict(served.quantities) == {"input": 3, "cache_write_5m": 12304, "output": 550}


def test_litellm_11789_cache_reads_charged_as_input_when_streamed() -> None:
    """BerriAI/litellm#11789: 2455 cached tokens at the full rate, but only in streams."""
    served = messages(
        start(input_tokens=4, cache_read_input_tokens=2455, output_tokens=1), delta(output_tokens=23), STOP
    )
    assert dict(served.quantities) == {"input": 4, "cache_read": 2455, "output": 23}


def test_litellm_14849_gemini_cache_hits_counted_twice() -> None:
    """BerriAI/litellm#14849: 262960 - 257955 = 5005 uncached."""
    usage = {"prompt_tokens": 262960, "prompt_tokens_details": {"text_tokens": 262960, "cached_tokens": 257955},
             "completion_tokens": 1744, "total_tokens": 264704}  # fmt: skip
    served = read_response(Surface.CHAT, "google", json.dumps({"usage": usage}).encode())
    assert dict(served.quantities) == {"input": 5005, "cache_read": 257955, "output": 1744}


def test_litellm_36678_details_lost_when_streamed() -> None:
    """BerriAI/litellm#36678: 80 of 100 cached, 5 of 9 reasoning, in the last chunk of a stream."""
    usage = {
        "prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109,
        "prompt_tokens_details": {"cached_tokens": 80}, "completion_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    meter = StreamMeter(Surface.CHAT, "custom")
    for piece in (event(chunk("x")), event(chunk(None, "stop")), event(usage_chunk(usage)), DONE):
        meter.feed(piece)
    assert dict(meter.finish().quantities) == {"input": 20, "cache_read": 80, "output": 9, "reasoning": 5}


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_cumulative_usage_in_every_chunk_is_not_summed(chunks: int) -> None:
    """open-webui#29064, InsForge#2015, ogx-ai/ogx#5122, cline#11304: 10, 50, 100 is 100, not 160."""
    meter = StreamMeter(Surface.CHAT, "vllm")
    for number in range(1, chunks + 1):
        usage = {"prompt_tokens": 40, "completion_tokens": 10 * number, "total_tokens": 40 + 10 * number}
        meter.feed(event(chunk("word", usage=usage)))
    meter.feed(event(chunk(None, "stop")))
    meter.feed(DONE)
    assert dict(meter.finish().quantities) == {"input": 40, "output": 10 * chunks}


def test_portkey_1338_usage_twice_from_groq() -> None:
    """Portkey-AI/gateway#1338: Groq states usage under x_groq and, when asked, once more: it counts once."""
    usage = {"prompt_tokens": 36, "completion_tokens": 3, "total_tokens": 39}
    meter = StreamMeter(Surface.CHAT, "groq", hide_usage=True)
    last = event(chunk(None, "length", x_groq={"id": "r", "usage": usage}))
    assert meter.feed(last) == last
    assert meter.feed(event(usage_chunk(usage))) == b""
    assert meter.feed(DONE) == DONE
    assert dict(meter.finish().quantities) == {"input": 36, "output": 3}


def test_portkey_1627_chunks_without_choices() -> None:
    """Portkey-AI/gateway#1627: Fireworks leaves `choices` out of the usage chunk; it broke the transform."""
    bare = event({"id": "c", "model": "m", "usage": {"prompt_tokens": 4, "completion_tokens": 2}})
    meter = StreamMeter(Surface.CHAT, "fireworks", hide_usage=True)
    meter.feed(event(chunk(None, "stop")))
    assert meter.feed(bare) == b""
    assert dict(meter.finish().quantities) == {"input": 4, "output": 2}


def test_portkey_1259_usage_of_mistral_in_the_finish_chunk() -> None:
    """Portkey-AI/gateway#1259: the usage that stands beside the finish reason was lost."""
    usage = {"prompt_tokens": 7, "total_tokens": 17, "completion_tokens": 10}
    last = event(chunk("", "stop", usage=usage))
    meter = StreamMeter(Surface.CHAT, "mistral", hide_usage=True)
    assert meter.feed(last) == last
    assert dict(meter.finish().quantities) == {"input": 7, "output": 10}


def test_portkey_1458_helicone_4261_gemini_thoughts_not_billed() -> None:
    """Portkey-AI/gateway#1458, Helicone#4261: thoughts are output: 60 - 8 - 2 = 50, and 2 + 50 = 52."""
    body = json.dumps({"usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 60}}).encode()
    assert dict(read_response(Surface.CHAT, "google", body).quantities) == {"input": 8, "output": 52, "reasoning": 50}


def test_aisix_108_streams_commit_zero() -> None:
    """api7/aisix#108 and #436: every streamed request was metered as 0 tokens. Without usage it is unknown here."""
    meter = StreamMeter(Surface.CHAT, "openai")
    meter.feed(event(chunk("hello")))
    served = meter.finish()
    assert served.unknown and served.estimated and served.quantities["output"] > 0


def test_litellm_17136_usage_before_the_last_chunk() -> None:
    """BerriAI/litellm#17136: xAI's usage comes beside the last delta, and an empty chunk follows it."""
    usage = {"prompt_tokens": 171, "completion_tokens": 10, "total_tokens": 181}
    meter = StreamMeter(Surface.CHAT, "xai")
    for piece in (event(chunk("x")), event(chunk(None, "stop", usage=usage)), event({**chunk(), "choices": []}), DONE):
        meter.feed(piece)
    assert dict(meter.finish().quantities) == {"input": 171, "output": 10}


def test_fr0ster_39_comments_and_null_usages() -> None:
    """fr0ster/llm-agent#39: `usage: null` to the end and comments between: no usage, which is not 0."""
    meter = StreamMeter(Surface.CHAT, "sap")
    last = event(chunk(None, "stop", usage=None))
    for piece in (event(chunk("Hi!", usage=None)), b": timing llm_call_1=1955ms\n\n", last, DONE):
        assert meter.feed(piece) == piece
    assert meter.finish().unknown == "the stream ended without usage"


def test_koine_41_zeros_for_a_stream_that_said_something() -> None:
    """pattern-zones-co/koine#41: 26 chunks of text and a usage of zeros: that is not free."""
    meter = StreamMeter(Surface.CHAT, "koine")
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    for piece in (*[event(chunk("word"))] * 26, event(chunk(None, "stop")), event(usage_chunk(zeros)), DONE):
        meter.feed(piece)
    served = meter.finish()
    assert served.unknown == "the stated usage counts nothing"
    assert served.estimated and served.quantities["output"] == 26


def test_output_of_zero_beside_text() -> None:
    """A prompt is stated and no output, though text came: the output is estimated, the prompt is as stated."""
    meter = StreamMeter(Surface.CHAT, "acme")
    usage = {"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}
    for piece in (event(chunk("word")), event(chunk(None, "stop")), event(usage_chunk(usage)), DONE):
        meter.feed(piece)
    served = meter.finish()
    assert served.unknown == "the stated usage has no output, though some came: it is estimated"
    assert (dict(served.quantities), served.estimated) == ({"input": 12, "output": 1}, True)
