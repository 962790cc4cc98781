"""The quick ways through the meter: each says what the long way says."""

import json
import re
from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import StreamMeter, Surface, answer, read_request, read_response
from farthing.gateway.metering.members import doubled, names_of
from farthing.gateway.metering.sse import Events, data_of
from farthing.gateway.metering.words import word
from tests.usage.test_common_usage import ANTHROPIC, ELSE, OPENAI, RESPONSES, usages

USAGES = usages(OPENAI, RESPONSES, ANTHROPIC, {**OPENAI, **ELSE, "estimated_cost": st.just(0.5)})
HEADERS = st.sampled_from([
    {}, {"x-litellm-response-cost": "0.5"}, {"x-ms-region": "East US"}, {"x-amzn-bedrock-service-tier": "flex"},
])  # fmt: skip
PROVIDERS = st.sampled_from(["openai", "anthropic", "google", "xai", "mistral", "deepseek", "openrouter", ""])


def may_double(text: bytes, names: frozenset[bytes], known: Iterable[tuple[str, bytes]] = ()) -> bool:
    found = names_of(text, known)
    return found is None or doubled(found, names)


@settings(deadline=None, max_examples=600)
@given(st.sampled_from(list(Surface)), PROVIDERS, USAGES, HEADERS, st.sampled_from([200, 400, 503]), st.booleans())
def test_an_answer_of_tokens_alone(
    surface: Surface, provider: str, usage: dict[str, Any], headers: dict[str, str], status: int, calls: bool
) -> None:
    body: dict[str, Any] = {"id": "a-1", "model": "m", "usage": usage, "status": "completed", "service_tier": "flex"}
    if calls:
        body["output"] = [{"type": "web_search_call"}]
    text = json.dumps(body, default=float).encode()
    quick = read_response(surface, provider, text, headers, status=status)
    with patch.object(answer, "only_tokens", return_value=None):
        assert quick == read_response(surface, provider, text, headers, status=status)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(list(Surface)), PROVIDERS, USAGES, st.booleans())
def test_a_stream_of_tokens_alone(surface: Surface, provider: str, usage: dict[str, Any], pieces: bool) -> None:
    if surface is Surface.MESSAGES:
        text: dict[str, Any] = {"type": "content_block_delta", "delta": {"text": "hi"}}
        end: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    elif surface is Surface.RESPONSES:
        text = {"type": "response.output_text.delta", "delta": "hi"}
        end = {"type": "response.completed", "response": {"status": "completed", "usage": usage}}
    else:
        text = {"id": "a", "model": "m", "choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}
        end = {"choices": [{"finish_reason": "stop"}], "usage": usage}

    def meter() -> Any:
        found = StreamMeter(surface, provider)
        for event in (text, end) if pieces else (end,):
            found.feed(b"data: " + json.dumps(event, default=float).encode() + b"\n\n")
        return found.finish()

    quick = meter()
    with patch.object(answer, "only_tokens", return_value=None):
        assert quick == meter()


NAMES = st.sampled_from(["model", "messages", "input", "metadata", "user", "n", "stop", "odd", "modelle", "User"])
VALUES = st.sampled_from([
    "m", "a b " * 40, [{"role": "user", "content": "x" * 90}], {"user": 1, "input": {"model": 2}},
    [{"type": "tool_use", "input": {"model": "x", "messages": []}}] * 3, '","model":"z"', "\u00e9", "\\", [], {},
    [{"role": "user", "content": 'say "messages":['}] * 2,
])  # fmt: skip


def spelled(name: str, escaped: int) -> str:
    """`name` in quotes, with one of its letters escaped where `escaped` says so."""
    if escaped < len(name):
        return f'"{name[:escaped]}\\u{ord(name[escaped]):04x}{name[escaped + 1 :]}"'
    return f'"{name}"'


@settings(deadline=None, max_examples=1500)
@given(
    st.lists(st.tuples(NAMES, VALUES, st.integers(0, 60)), max_size=7),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]),
    st.booleans(),
)
def test_a_double_is_never_missed(members: list[Any], between: tuple[str, str], ascii_only: bool) -> None:
    """Against Python's own decoder, which shows every member. (Go's takes `User` for `user`.)"""
    stated = [("model", "gpt", 99), *((n, v, e) for n, v, e in members if n != "model" or v == "m")]
    stated = [(n, 3 if n == "n" else v, e) for n, v, e in stated]
    comma, colon = between
    body = comma.join(
        spelled(name, escaped) + colon + json.dumps(value, ensure_ascii=ascii_only) for name, value, escaped in stated
    )
    pairs: list[tuple[str, Any]] = json.loads("{" + body + "}", object_pairs_hook=list)
    names = [name for name, _ in pairs]
    known = {"model", "messages", "input", "metadata", "user", "n"}
    wrong = [
        f"{name} is stated twice: state it once"
        if name in known
        else "a field is called user but for its capitals: write user"
        for position, name in enumerate(names)
        if (name in names[:position] and name in known) or name == "User"
    ]
    expected = wrong[0] if wrong else ""
    assert read_request(Surface.CHAT, ("{" + body + "}").encode()).problem == expected


def test_a_double_behind_a_long_text_that_looks_like_it() -> None:
    long = json.dumps([{"content": '"model": "b"' * 100}])
    body = f'{{"model":"a","metadata":{{"messages":{long}}},"messages":{long},"model":"b"}}'
    assert read_request(Surface.CHAT, body.encode()).problem == "model is stated twice: state it once"


@pytest.mark.parametrize(
    ("text", "may"),
    [
        (b'{"model":"a","user":"b"}', False),
        (b'{"model":"a","model":"b"}', True),
        (b'{"model":"a","mod\\u0065l":"b"}', True),
        (b'{"model":"a","metadata":{"model":"b"}}', True),  # only the long way can tell
        (b'{"model":"a","schema":{"type":"x","properties":{"type":1}}}', False),  # doubles of no name that matters
        (b'{"model":"a","user":"\\"model\\": "}', False),  # a text
    ],
)
def test_where_a_double_is_possible(text: bytes, may: bool) -> None:
    assert may_double(text, frozenset({b"model", b"user"})) is may


def test_what_is_cut_out_is_not_searched() -> None:
    value, names = b'[{"model":1}]', frozenset({b"model"})
    assert not may_double(b'{"model":"a","messages" : ' + value + b"}", names, [("messages", value)])
    assert may_double(b'{"model":"a","messages":' + value + b',"model":2}', names, [("messages", value)])


LINES = st.sampled_from(
    [b"data: x\r\rdata: y\n\n", b"\n", b"\n\n", b"\r", b"data: x", b"data:y", b"event: a\n", b":", b"data: {}\n\n"]
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.text(), st.text("ab -\n\x7f\u2028é "), st.text("x", min_size=250)))
def test_a_word_is_one_short_line(text: str) -> None:
    assert word(text) == _CONTROL.sub(" ", text[:256]).strip()


@settings(deadline=None, max_examples=500)
@given(st.lists(st.lists(LINES, max_size=5).map(b"".join), max_size=5))
def test_a_chunk_of_one_event(parts: list[bytes]) -> None:
    """However a stream comes, whole chunks or byte by byte, the events are the same."""
    stream = b"".join(parts)
    whole, single = Events(), Events()
    by_chunk = [data_of(event) for part in parts for event in whole.feed(part)]
    by_byte = [data_of(event) for at in range(len(stream)) for event in single.feed(stream[at : at + 1])]
    assert [data for data in by_chunk if data] == [data for data in by_byte if data]
    assert whole.end() == single.end()
