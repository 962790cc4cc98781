"""Whole answers: what each provider's amounts to. The expected counts show their arithmetic where there is any."""

import gzip
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Asked, Served, Surface, is_event_stream, read_response
from tests.gateway.metering.streams import RESPONSE

CHAT, MESSAGES, RESPONSES, EMBEDDINGS = Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES, Surface.EMBEDDINGS


def read(surface: Surface, provider: str, usage: Any, headers: dict[str, str] | None = None, **more: Any) -> Served:
    return read_response(surface, provider, json.dumps({"model": "m", "usage": usage, **more}).encode(), headers or {})


@pytest.mark.parametrize(
    ("surface", "provider", "usage", "expected"),
    [
        # OpenAI: input includes cached: 2006 - 1920 = 86
        (CHAT, "openai", {"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
         "prompt_tokens_details": {"cached_tokens": 1920}, "completion_tokens_details": {"reasoning_tokens": 192}},
         {"input": 86, "cache_read": 1920, "output": 300, "reasoning": 192}),
        # audio: input 120 = 20 text + 100 audio; output 80 = 10 text + 70 audio
        (CHAT, "openai", {"prompt_tokens": 120, "completion_tokens": 80, "total_tokens": 200,
         "prompt_tokens_details": {"audio_tokens": 100, "text_tokens": 20, "cached_tokens": 0},
         "completion_tokens_details": {"audio_tokens": 70, "text_tokens": 10}},
         {"input": 20, "input_audio": 100, "output": 10, "output_audio": 70}),
        # cache writes reported by OpenAI from 5.6: part of the input: 3000 - 1000 - 1500 = 500
        (RESPONSES, "openai", {"input_tokens": 3000, "output_tokens": 7, "total_tokens": 3007,
         "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 1500}},
         {"input": 500, "cache_read": 1000, "cache_write": 1500, "output": 7}),
        (EMBEDDINGS, "openai", {"prompt_tokens": 8, "total_tokens": 8}, {"input": 8}),
        # Anthropic: disjoint; what the older field states beyond the split was for five minutes: 350 - 100 - 200 = 50
        (MESSAGES, "anthropic", {"input_tokens": 25, "cache_read_input_tokens": 1024, "output_tokens": 88,
         "cache_creation_input_tokens": 350,
         "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
         "output_tokens_details": {"thinking_tokens": 40}, "server_tool_use": {"web_search_requests": 3}},
         {"input": 25, "cache_read": 1024, "cache_write_5m": 150, "cache_write_1h": 200, "output": 88, "reasoning": 40,
          "web_search": 3}),
        # Anthropic's compaction: 180000 + 23000 in, 3500 + 1000 out (the figures of its documentation)
        (MESSAGES, "anthropic", {"input_tokens": 23000, "output_tokens": 1000, "iterations": [
            {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500},
            {"type": "message", "input_tokens": 23000, "output_tokens": 1000}]}, {"input": 203000, "output": 4500}),
        # Gemini's compatible endpoint: 1230 - 30 - 200 = 1000 thoughts
        (CHAT, "google", {"prompt_tokens": 30, "completion_tokens": 200, "total_tokens": 1230},
         {"input": 30, "output": 1200, "reasoning": 1000}),
        (CHAT, "gemini", {"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81,
         "completion_tokens_details": {"reasoning_tokens": 60}}, {"input": 21, "output": 60, "reasoning": 60}),
        (RESPONSES, "google", {"input_tokens": 30, "output_tokens": 200, "total_tokens": 1230},
         {"input": 30, "output": 1200, "reasoning": 1000}),
        # xAI: reasoning beside the completion, as its total shows: 32 + 9 + 230 = 271
        (CHAT, "xai", {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 271,
         "prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 230}},
         {"input": 26, "cache_read": 6, "output": 239, "reasoning": 230}),
        (RESPONSES, "xai", {"input_tokens": 7583, "input_tokens_details": {"cached_tokens": 3072},
         "output_tokens": 3192, "total_tokens": 10775, "server_side_tool_usage_details": {
            "web_search_calls": 1, "x_search_calls": 3, "code_interpreter_calls": 0, "file_search_calls": 2,
            "document_search_calls": 1, "mcp_calls": 4}},
         {"input": 4511, "cache_read": 3072, "output": 3192, "web_search": 1, "social_search": 3, "file_search": 3}),
        (CHAT, "deepseek", {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140,
         "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, {"input": 36, "cache_read": 64, "output": 40}),
        # Mistral, speech: 12 seconds in millionths
        (CHAT, "mistral", {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_audio_seconds": 12},
         {"input": 5, "output": 2, "input_audio_second": 12_000_000}),
        (CHAT, "mistral", {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_audio_seconds": {}},
         {"input": 5, "output": 2}),
        # a gateway in front of Anthropic that answers in OpenAI's form, with Anthropic's names added
        (CHAT, "openrouter", {"prompt_tokens": 1349, "completion_tokens": 5, "cache_read_input_tokens": 1024,
         "cache_creation_input_tokens": 300}, {"input": 25, "cache_read": 1024, "cache_write_5m": 300, "output": 5}),
        # a server that answers Anthropic's surface with OpenAI's names
        (MESSAGES, "acme", {"prompt_tokens": 9, "completion_tokens": 7}, {"input": 9, "output": 7}),
        (CHAT, "vllm", {"prompt_tokens": 7, "total_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None},
         {"input": 7, "output": 2}),
        (CHAT, "sglang", {"prompt_tokens": 7, "total_tokens": 9, "completion_tokens": 2, "reasoning_tokens": 0,
         "prompt_tokens_details": {"cached_tokens": 4}}, {"input": 3, "cache_read": 4, "output": 2}),
        (CHAT, "ollama", {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324},
         {"input": 26, "output": 298}),
    ],
)  # fmt: skip
def test_quantities(surface: Surface, provider: str, usage: Any, expected: dict[str, int]) -> None:
    served = read(surface, provider, usage)
    assert dict(served.quantities) == expected
    assert (served.unknown, served.estimated, served.notes) == ("", False, ())


@pytest.mark.parametrize(
    ("provider", "usage", "headers", "usd"),
    [
        ("openrouter", {"prompt_tokens": 1, "cost": 0.00014}, {}, Fraction(14, 100_000)),
        # the customer's own key: the fee, and beside it what the upstream charges: 0.95 + 19
        ("openrouter", {"prompt_tokens": 1, "cost": 0.95, "is_byok": True,
         "cost_details": {"upstream_inference_cost": 19}}, {}, Fraction(1995, 100)),
        ("openrouter", {"prompt_tokens": 1, "cost": 0.95, "is_byok": False,
         "cost_details": {"upstream_inference_cost": 0.95}}, {}, Fraction(95, 100)),
        ("openrouter", {"prompt_tokens": 1, "cost": 0}, {}, Fraction(0)),  # free is a price
        ("xai", {"prompt_tokens": 1, "cost_in_usd_ticks": 37756000}, {}, Fraction(37756, 10_000_000)),  # / 10^10
        ("deepinfra", {"prompt_tokens": 1, "estimated_cost": 3.84e-06}, {}, Fraction(384, 100_000_000)),
        ("perplexity", {"prompt_tokens": 1, "cost": {"total_cost": 0.006}}, {}, Fraction(6, 1000)),
        ("litellm", {"prompt_tokens": 1}, {"x-litellm-response-cost": "2.85e-05"}, Fraction(285, 10_000_000)),
        ("openai", {"prompt_tokens": 1}, {}, None),
        ("openrouter", {"prompt_tokens": 1, "cost": "free"}, {}, None),
        ("openrouter", {"prompt_tokens": 1, "cost": [1]}, {}, None),
        ("openrouter", {"prompt_tokens": 1, "cost": 1e999}, {}, None),
    ],
)  # fmt: skip
def test_reported_cost(provider: str, usage: Any, headers: dict[str, str], usd: Fraction | None) -> None:
    assert read(CHAT, provider, usage, headers).reported_usd == usd


def test_what_was_served_beside_the_counts() -> None:
    calls = [{"id": "a", "type": "function"}, {"id": "b", "type": "function"}]
    body = {
        "id": "gen-1", "model": "m", "service_tier": "priority", "provider": "DeepInfra",
        "choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": calls}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }  # fmt: skip
    served = read_response(CHAT, "openrouter", json.dumps(body).encode())
    assert (served.id, served.model, served.tier, served.upstream) == ("gen-1", "m", "priority", "DeepInfra")
    assert (served.finish, served.tool_calls, served.complete) == ("tool_calls", 2, True)


def test_a_response_of_the_responses_api() -> None:
    served = read_response(RESPONSES, "openai", json.dumps(RESPONSE).encode())
    # of the two web search calls one searched, the other opened a page; 1200 - 1024 = 176
    assert dict(served.quantities) == {
        "input": 176, "cache_read": 1024, "output": 120, "reasoning": 64, "web_search": 1,
    }  # fmt: skip
    assert (served.tier, served.finish, served.tool_calls, served.model) == (
        "flex", "completed", 1, "gpt-5.1-2025-11-13",
    )  # fmt: skip


def test_a_response_that_was_cut_says_why() -> None:
    body = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert read_response(RESPONSES, "openai", json.dumps(body).encode()).finish == "max_output_tokens"


def test_a_background_response_is_unknown_not_zero() -> None:
    body = {"id": "resp_1", "status": "queued", "model": "o3", "usage": None, "output": []}
    served = read_response(RESPONSES, "openai", json.dumps(body).encode())
    assert served.unknown and not served.quantities and not served.complete
    assert served.notes == ("the response runs in the background: its usage comes when it is fetched",)


def test_tier_and_geography_of_anthropic() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": "priority", "inference_geo": "us"}
    served = read(MESSAGES, "anthropic", usage)
    assert (served.tier, served.region) == ("priority", "us")
    fast = read(MESSAGES, "anthropic", {**usage, "speed": "fast", "inference_geo": "not_available"})
    assert (fast.tier, fast.region) == ("fast", "")


def test_steps_of_another_model_are_unknown_not_free() -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "iterations": [
        {"type": "advisor_message", "model": "claude-opus-4-7", "input_tokens": 900, "output_tokens": 90}]}  # fmt: skip
    served = read(MESSAGES, "anthropic", usage)
    assert dict(served.quantities) == {"input": 10, "output": 5}
    assert "advisor_message" in served.unknown


def test_parts_and_free_calls_are_told_apart() -> None:
    details = {"accepted_prediction_tokens": 12, "rejected_prediction_tokens": 30, "reasoning_tokens": 0}
    served = read(CHAT, "openai", {"prompt_tokens": 9, "completion_tokens": 60, "completion_tokens_details": details})
    # rejected predictions are billed as output and are in the completion already
    assert dict(served.quantities) == {"input": 9, "output": 60}
    assert dict(served.details) == {"accepted_prediction_tokens": 12, "rejected_prediction_tokens": 30}


def test_a_total_that_is_more_than_its_parts_is_noted() -> None:
    served = read(CHAT, "acme", {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 99})
    assert dict(served.quantities) == {"input": 10, "output": 20}
    assert served.notes == ("the stated total of 99 tokens is 69 more than its parts",)


def test_bedrock_headers_stand_in_for_usage() -> None:
    headers = {"x-amzn-bedrock-input-token-count": "11", "x-amzn-bedrock-output-token-count": "16"}
    served = read_response(CHAT, "bedrock", b'{"outputs":[]}', headers)
    assert dict(served.quantities) == {"input": 11, "output": 16}
    assert not served.estimated
    kept = read(MESSAGES, "bedrock", {"input_tokens": 7, "output_tokens": 3}, headers)
    assert dict(kept.quantities) == {"input": 7, "output": 3}  # the body's own usage holds


def test_timings_of_llamacpp_stand_in_for_usage() -> None:
    body = b'{"model":"g","choices":[],"timings":{"cache_n":10,"prompt_n":4,"predicted_n":2,"predicted_ms":3.5}}'
    assert dict(read_response(CHAT, "llamacpp", body).quantities) == {"input": 4, "cache_read": 10, "output": 2}


def test_count_tokens_consumes_nothing() -> None:
    served = read_response(Surface.COUNT_TOKENS, "anthropic", b'{"input_tokens": 2095}')
    assert (dict(served.quantities), served.unknown) == ({}, "")
    assert dict(served.details) == {"counted_input_tokens": 2095}


def test_an_answer_without_usage_is_estimated_and_said() -> None:
    """40 bytes of text / 4 = 10 tokens; the prompt is the request's estimate."""
    body = json.dumps({"model": "m", "choices": [{"message": {"content": "x" * 40}, "finish_reason": "stop"}]}).encode()
    served = read_response(CHAT, "acme", body, asked=Asked(prompt_tokens_estimate=50))
    assert dict(served.quantities) == {"input": 50, "output": 10}
    assert (served.estimated, served.unknown) == (True, "the provider stated no usage")
    bare = read_response(CHAT, "acme", b'{"choices":[]}')
    assert (dict(bare.quantities), bare.estimated) == ({}, False)
    assert bare.unknown == "the provider stated no usage"


@pytest.mark.parametrize(
    ("surface", "usage"),
    [(CHAT, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}), (MESSAGES, {"tokens_out": 7}),
     (CHAT, {"tokens": {"in": 5}}), (MESSAGES, {"input_tokens": 0, "output_tokens": 0})],
)  # fmt: skip
def test_a_usage_that_counts_nothing_is_unknown_not_free(surface: Surface, usage: Any) -> None:
    served = read(surface, "acme", usage, content=[{"text": "12345678"}], choices=[{"text": "12345678"}])
    assert served.unknown == "the stated usage counts nothing"
    assert served.estimated and served.quantities["output"] > 0


@pytest.mark.parametrize(
    ("status", "body", "error", "unknown"),
    [
        (429, b'{"error":{"type":"rate_limit_error","message":"sk-abc"}}', "rate_limit_error", ""),
        (400, b'{"error":{"type":null,"code":"context_length_exceeded"}}', "context_length_exceeded", ""),
        (404, b"<html>not found</html>", "404", ""),
        (529, b'{"type":"error","error":{"type":"overloaded_error"}}', "overloaded_error", ""),
        (502, b"<html>", "502", "the answer is not a JSON object"),
        (500, b"", "500", "the answer is not a JSON object"),
        (200, b'{"error":{"code":502,"message":"x"}}', "502", "the provider stated no usage"),
        (200, b'{"error":"model not loaded"}', "error", "the provider stated no usage"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("surface", [CHAT, MESSAGES])
def test_errors(surface: Surface, status: int, body: bytes, error: str, unknown: str) -> None:
    served = read_response(surface, "openai", body, status=status)
    assert (served.error, served.unknown, dict(served.quantities)) == (error, unknown, {})
    assert "sk-abc" not in repr(served)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"\x00", b"{", b'{"usage"', b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe"],
)  # fmt: skip
@pytest.mark.parametrize("surface", list(Surface))
def test_what_is_no_answer_is_unknown(surface: Surface, body: bytes) -> None:
    served = read_response(surface, "openai", body)
    assert served.unknown == "the answer is not a JSON object"
    assert not served.quantities and not served.complete


def test_a_field_of_another_type_does_not_cost_the_usage() -> None:
    body = {"id": 5, "model": ["x"], "choices": {"a": 1}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    served = read_response(CHAT, "openai", json.dumps(body).encode())
    assert (dict(served.quantities), served.id, served.model) == ({"input": 3, "output": 4}, "5", "")


def test_a_usage_within_the_text_or_a_tool_is_not_the_usage() -> None:
    body = {"model": "m", "choices": [{"message": {"content": '"usage": {"prompt_tokens": 9}'}, "usage": {"x": 1}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}}  # fmt: skip
    assert dict(read_response(CHAT, "openai", json.dumps(body).encode()).quantities) == {"input": 3, "output": 4}


def test_encoded_answers() -> None:
    body = json.dumps({"model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()
    for coded, name in ((gzip.compress(body), "gzip"), (body, "gzip"), (body, "identity")):
        served = read_response(CHAT, "openai", coded, {"content-encoding": name})
        assert dict(served.quantities) == {"input": 3, "output": 4}
    served = read_response(CHAT, "openai", b"\x8b\x02\x80", {"content-encoding": "br"})
    assert served.unknown == "the answer is encoded as 'br': send Accept-Encoding: identity upstream"
    assert "damaged" in read_response(CHAT, "openai", b"\x1f\x8bxx", {"content-encoding": "gzip"}).unknown


@pytest.mark.parametrize("number", ["9" * 5000, "1e999999999", "0e999999999", "-1e-999999999"])
def test_numbers_that_would_take_forever(number: str) -> None:
    usage = '{"prompt_tokens":N,"completion_tokens":4,"cost":N,"cost_in_usd_ticks":N}'
    body = '{"id":N,"model":"m","usage":USAGE,"error":{"code":N},"timings":{"predicted_n":N,"prompt_n":N}}'
    for stated in (usage, "null"):
        served = read_response(CHAT, "openai", body.replace("USAGE", stated).replace("N", number).encode())
        assert served.reported_usd in (None, 0)


def test_what_kind_of_answer() -> None:
    assert is_event_stream({"content-type": "text/event-stream; charset=utf-8"})
    assert not is_event_stream({"content-type": "application/json"}) and not is_event_stream({})


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["id", "model", "usage", "choices", "content", "output", "error", "service_tier", "timings",
                         "x_groq", "status", "stop_reason", "type"])  # fmt: skip
COUNTS = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens",
                     "cache_read_input_tokens", "cache_creation", "prompt_tokens_details", "iterations", "cost",
                     "completion_tokens_details", "server_tool_use", "server_side_tool_usage_details"]),
    WILD, max_size=5,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(list(Surface)), st.sampled_from(["openai", "google", "xai", "mistral", "bedrock", ""]),
       st.dictionaries(NAMES, WILD, max_size=6), COUNTS)  # fmt: skip
def test_any_json_gives_counts_or_a_reason(surface: Surface, provider: str, row: dict[str, Any], usage: Any) -> None:
    served = read_response(surface, provider, json.dumps({**row, "usage": usage}).encode())
    assert all(count > 0 for count in served.quantities.values())
    stated = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")]
    if any(type(count) is int and count > 0 for count in stated) and surface is not Surface.COUNT_TOKENS:
        assert served.quantities or served.unknown
    for text in (served.model, served.error, served.finish, served.unknown, served.tier):
        assert "\n" not in text and len(text) <= 256
