"""Requests: what is read, what is refused in one line, and how long a prompt can be."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import SURFACES, Asked, Surface, read_request, request

CHAT, MESSAGES, RESPONSES = Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES


def ask(surface: Surface, **body: Any) -> Asked:
    return read_request(surface, json.dumps({"model": "m", **body}).encode())


def test_a_chat_request() -> None:
    asked = ask(
        CHAT, stream=True, stream_options={"include_usage": True}, max_completion_tokens=500, max_tokens=9, n=3,
        service_tier="flex", user="u-1", metadata={"feature": "search", "n": 5, "odd": [1]},
        messages=[{"role": "user", "content": "hi"}], tools=[{"type": "function", "function": {"name": "f"}}],
    )  # fmt: skip
    assert (asked.problem, asked.model, asked.stream, asked.stream_usage) == ("", "m", True, True)
    assert (asked.max_output_tokens, asked.choices, asked.tier, asked.user) == (500, 3, "flex", "u-1")
    assert dict(asked.metadata) == {"feature": "search", "n": "5"}
    assert (asked.tools, asked.images, asked.audio, asked.documents) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("surface", "body", "limit", "choices"),
    [
        (CHAT, {"max_tokens": 7}, 7, 1),
        (CHAT, {}, None, 1),
        (CHAT, {"max_completion_tokens": None, "max_tokens": 7}, 7, 1),
        (MESSAGES, {"max_tokens": 1024}, 1024, 1),
        (MESSAGES, {"max_tokens": 0}, 0, 1),  # Anthropic: warm the cache, answer nothing
        (RESPONSES, {"max_output_tokens": 30, "max_tokens": 9}, 30, 1),
        (Surface.COMPLETIONS, {"max_tokens": 16, "n": 2, "best_of": 5}, 16, 5),
        (Surface.EMBEDDINGS, {"input": "x"}, 0, 1),
        (Surface.COUNT_TOKENS, {"messages": []}, 0, 1),
    ],
)
def test_how_much_can_be_answered(surface: Surface, body: dict[str, Any], limit: int | None, choices: int) -> None:
    asked = ask(surface, **body)
    assert (asked.problem, asked.max_output_tokens, asked.choices) == ("", limit, choices)


def test_whose_request_it_is() -> None:
    assert ask(MESSAGES, metadata={"user_id": "u-2"}).user == "u-2"
    assert ask(RESPONSES, safety_identifier="u-3").user == "u-3"
    assert ask(CHAT, user=7, metadata="x").user == "7"
    assert ask(MESSAGES, speed="fast").tier == "fast"
    assert ask(CHAT, user="a\r\nx-evil: 1").user == "a x-evil: 1"  # fit for a header


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body is empty: send a JSON object"),
        (b"  \n", "the body is empty: send a JSON object"),
        (b"[]", "the body is a list, not a JSON object"),
        (b"{}", "model is missing: name one, as text"),
        (b'{"model":""}', "model is missing: name one, as text"),
        (b'{"model":null}', "model is missing: name one, as text"),
        (b'{"model":5}', "model: expected text or nothing, got a whole number"),
        (b'{"model":"m","stream":"yes"}', "stream: expected true or false or nothing, got text"),
        (b'{"model":"m","max_tokens":"5"}', "max_tokens: expected a whole number or nothing, got text"),
        (b'{"model":"m","max_tokens":-1}', "max_tokens is negative: state a number of tokens"),
        (b'{"model":"m","max_tokens":1' + b"0" * 30 + b"}", "max_tokens is absurd: state a number of tokens"),
        (b'{"model":"m","max_tokens":1' + b"0" * 5000 + b"}", "max_tokens is absurd: state a number of tokens"),
        (b'{"model":"m","max_tokens":1000000000001}', "max_tokens is absurd: state a number of tokens"),
        (b'{"model":"m","max_completion_tokens":-5}', "max_completion_tokens is negative: state a number of tokens"),
        (
            b'{"model":"m","user":"\\ud83d","max_output_tokens":-5}',
            "max_output_tokens is negative: state a number of tokens",
        ),  # a cut emoji is forgiven, the limit is not
        (b'{"model":"m","n":0}', "n must be a whole number of at least 1"),
        (b'{"model":"m","best_of":-1}', "best_of must be a whole number of at least 1"),
        (b'{"model":"m","n":1000000000001}', "n must be a whole number of at least 1"),
        (b'{"model":"m"', "the body is not JSON: Input data was truncated"),
        (b'{"model":"m"}x', "the body is not JSON: trailing characters (byte 14)"),
        (b"\xef\xbb\xbf{}", "the body begins with a byte order mark: send JSON without one"),
        (b'{"model":"m","x":"\xff"}', "the body is not UTF-8 (byte 18): send JSON in UTF-8"),
        (b'{"model":"m","messages":' + b"[" * 100_000, "the body is nested too deeply: send fewer levels"),
        (b'{"model":"a\\nb"}', "model is too long or holds control characters: name one, as text"),
        (b'{"model":"' + b"m" * 300 + b'"}', "model is too long or holds control characters: name one, as text"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(body: bytes, problem: str) -> None:
    assert read_request(CHAT, body) == Asked(problem=problem)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"cheap","messages":[],"model":"dear"}',
        b'{"model":"cheap","messages":[],"mod\\u0065l":"dear"}',  # the same name, to a parser
        b'{"model":"cheap", "x": {"a": [1, "}"]}, "s": "\\"model\\": 1",\n "model" :"cheap"}',
    ],
)
def test_a_field_stated_twice_is_refused(body: bytes) -> None:
    """One parser takes the first, another the last: a key could be allowed one model and get another."""
    assert read_request(CHAT, body).problem == "model is stated twice: state it once"


def test_what_is_remembered_of_models_is_bounded() -> None:
    for number in range(request._MOST_MODELS + 10):
        assert ask(CHAT, model=f"m{number}").model == f"m{number}"
    assert ask(CHAT, model="m" + " " * 10_000).problem == ""  # as it was; only its name is judged
    assert len(request._models) <= request._MOST_MODELS and max(map(len, map(str, request._models))) < 300


def test_a_name_in_the_text_is_not_a_second_statement() -> None:
    text = '{"model": "x", "model": "y"} ' * 10
    body = {"messages": [{"role": "user", "content": text, "model": 1}], "tools": [{"model": 1}], "stream": True}
    assert ask(CHAT, **body).problem == ""
    assert read_request(CHAT, b'{"a":1,"a":2,"model":"m"}').problem == ""  # a name that nobody here reads


def test_half_a_surrogate_pair_is_taken() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'
    asked = read_request(CHAT, body)
    assert asked.problem == "" and asked.prompt_tokens_bound is not None


# sizes


@settings(deadline=None, max_examples=150)
@given(st.lists(st.text(max_size=80), max_size=6), st.booleans())
def test_no_more_tokens_than_bytes(texts: list[str], escaped: bool) -> None:
    """A tokeniser on bytes gives at most one token a byte of UTF-8, however the text is escaped."""
    row = {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}
    body = json.dumps(row, ensure_ascii=escaped).encode("utf-8", "replace")
    asked = read_request(CHAT, body)
    bound = asked.prompt_tokens_bound
    assert bound is not None and bound >= sum(len(text.encode("utf-8", "replace")) for text in texts)
    assert asked.prompt_tokens_estimate <= bound


def image(kind: str, size: int = 30_000) -> dict[str, Any]:
    data = base64.b64encode(b"x" * size).decode()
    if kind == "image":
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    url = f"data:image/png;base64,{data}"
    return {"type": kind, "image_url": url if kind == "input_image" else {"url": url}}


@pytest.mark.parametrize(
    ("surface", "kind", "field", "most"),
    [(CHAT, "image_url", "messages", 48169), (RESPONSES, "input_image", "input", 48169),
     (MESSAGES, "image", "messages", 4784)],
)  # fmt: skip
def test_an_image_counts_as_an_image_not_as_its_base64(surface: Surface, kind: str, field: str, most: int) -> None:
    """Two images of 40,000 base64 characters: bounded by two images and the rest of the body, under 1,000 bytes."""
    turns = [{"role": "user", "content": [{"type": "text", "text": "look"}, image(kind), image(kind)]}]
    asked = ask(surface, **{field: turns})
    assert asked.images == 2
    assert asked.prompt_tokens_bound is not None
    assert 2 * most <= asked.prompt_tokens_bound <= 2 * most + 1000
    assert 2 * 1250 <= asked.prompt_tokens_estimate <= 2 * 1250 + 250


def test_an_image_within_a_tools_result() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, image("image")]}
    asked = ask(MESSAGES, messages=[{"role": "user", "content": [result]}])
    assert asked.images == 1 and (asked.prompt_tokens_bound or 0) < 4784 + 1000
    output = {"type": "function_call_output", "call_id": "c", "output": [image("input_image")]}
    assert ask(RESPONSES, input=[output]).images == 1


def test_an_image_by_address_is_not_fetched_and_counts() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    asked = ask(CHAT, messages=[{"role": "user", "content": [part]}])
    assert asked.images == 1 and (asked.prompt_tokens_bound or 0) > 48169


def test_audio() -> None:
    """1.6 million base64 characters / 16 = 100,000 tokens at most, and not one a character."""
    part = {"type": "input_audio", "input_audio": {"data": "A" * 1_600_000, "format": "mp3"}}
    asked = ask(CHAT, messages=[{"role": "user", "content": [part]}])
    assert asked.audio == 1
    assert asked.prompt_tokens_bound is not None and 100_000 <= asked.prompt_tokens_bound < 100_400


@pytest.mark.parametrize(
    ("surface", "body", "why"),
    [
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64",
         "media_type": "application/pdf", "data": "AAAA"}}]}]}, "documents"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "documents"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {}}]}]}, "video"),
        (CHAT, {"messages": [{"role": "user", "type": "message", "content": 5}]}, "content of an unusual form"),
        (CHAT, {"messages": ["x", {"type": "text"}]}, "content of an unusual form"),
        (RESPONSES, {"previous_response_id": "resp_1"}, "a stored conversation"),
        (RESPONSES, {"conversation": "conv_1"}, "a stored conversation"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, "a stored conversation"),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "a stored prompt"),
        (RESPONSES, {"tools": [{"type": "web_search"}]}, "what built-in tools read"),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "what built-in tools read"),
        (MESSAGES, {"mcp_servers": [{"type": "url", "url": "https://x"}]}, "what built-in tools read"),
        (CHAT, {"web_search_options": {}}, "what built-in tools read"),
    ],
)  # fmt: skip
def test_what_cannot_be_bounded_is_said(surface: Surface, body: dict[str, Any], why: str) -> None:
    asked = ask(surface, **body)
    assert asked.problem == "" and asked.prompt_tokens_bound is None
    assert asked.prompt_size_from == f"no bound: {why} cannot be counted from the request's bytes"


def test_a_document_of_plain_text_is_text() -> None:
    part = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 50}}
    asked = ask(MESSAGES, messages=[{"role": "user", "content": [part]}])
    assert asked.documents == 0 and asked.prompt_tokens_bound is not None


def test_tools_of_the_client_cost_what_the_provider_adds_for_them() -> None:
    body = {"messages": [], "tools": [{"name": "f", "input_schema": {}}]}
    plain, tools = ask(MESSAGES, messages=[]), ask(MESSAGES, **body)
    length = len(json.dumps({"model": "m", **body})) - len(json.dumps({"model": "m", "messages": []}))
    assert (tools.prompt_tokens_bound or 0) - (plain.prompt_tokens_bound or 0) == 1000 + length


def test_surfaces_by_path() -> None:
    assert SURFACES["/v1/messages/count_tokens"] is Surface.COUNT_TOKENS
    assert {surface.protocol for surface in Surface} == {"openai", "anthropic"}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(list(Surface)), st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(surface: Surface, body: bytes) -> None:
    asked = read_request(surface, body)
    assert asked.problem and "\n" not in asked.problem and len(asked.problem) < 300
