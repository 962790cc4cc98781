"""The quick ways through the meter: each says what the long way says."""

import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import (
    Served,
    StreamMeter,
    Surface,
    answer,
    read_request,
    read_response,
    request,
    response,
)
from farthing.gateway.metering.members import doubled, names_of
from farthing.gateway.metering.plain_answers import plain_answer
from farthing.gateway.metering.sse import Events, data_of
from farthing.gateway.metering.words import word
from tests.gateway.metering.agents import as_a_whole
from tests.usage.test_common_usage import ANTHROPIC, ELSE, OPENAI, RESPONSES, usages

USAGES = usages(OPENAI, RESPONSES, ANTHROPIC, {**OPENAI, **ELSE, "estimated_cost": st.just(0.5)})
HEADERS = st.sampled_from([
    {}, {"x-litellm-response-cost": "0.5"}, {"x-ms-region": "East US"}, {"x-amzn-bedrock-service-tier": "flex"},
])  # fmt: skip
PROVIDERS = st.sampled_from(["openai", "anthropic", "google", "xai", "mistral", "deepseek", "openrouter", ""])


def may_double(text: bytes, names: frozenset[bytes]) -> bool:
    return b"\\u" in text or doubled(names_of(text), names)


ODD = st.sampled_from([None, "", 0, 7, True, {}, {"code": "no"}, [], "a b", " x", "é", "a\n", "t" * 300, "stop"])
KINDS = st.lists(st.sampled_from([{"type": "tool_use"}, {"type": "text", "text": "x"}, {"type": 5}, {}, 5]), max_size=3)
SPOKEN = st.fixed_dictionaries(
    {}, optional={"tool_calls": st.one_of(KINDS, ODD), "function_call": st.sampled_from([None, {}, {"name": "f"}, 5])}
)
CHOICES = st.lists(
    st.fixed_dictionaries({}, optional={"finish_reason": ODD, "message": st.one_of(SPOKEN, ODD), "error": ODD}),
    max_size=3,
)
BESIDE = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.one_of(CHOICES, ODD), "content": st.one_of(KINDS, ODD), "id": ODD, "model": ODD, "error": ODD,
        "service_tier": ODD, "provider": ODD, "stop_reason": ODD, "x_groq": st.just({"id": "r"}),
        "timings": st.just({"predicted_n": 5}), "output": st.just([{"type": "web_search_call"}]),
    },
)  # fmt: skip
"""What stands beside the usage in an answer: common things and odd ones."""


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@given(st.sampled_from(list(Surface)), PROVIDERS, USAGES, HEADERS, st.sampled_from([200, 200, 201, 400, 503]), BESIDE)
def test_a_plain_answer(
    surface: Surface, provider: str, usage: dict[str, Any], headers: dict[str, str], status: int, beside: dict[str, Any]
) -> None:
    body: dict[str, Any] = {"id": "a-1", "model": "m", "usage": usage, "status": "completed", "service_tier": "flex"}
    text = json.dumps(body | beside, default=float).encode()
    quick = read_response(surface, provider, text, headers, status=status)
    with patch.object(answer, "only_tokens", none), patch.object(response, "plain_answer", none):
        assert quick == read_response(surface, provider, text, headers, status=status)


def none(*_: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("surface", "body", "expected"),
    [
        (
            Surface.CHAT,
            b'{"id":"c-1","model":"gpt","choices":[{"message":{"tool_calls":[{"type":"function"}]},"finish_reason":'
            b'"tool_calls"}],"usage":{"prompt_tokens":7,"completion_tokens":2},"service_tier":null}',
            Served(quantities={"input": 7, "output": 2}, id="c-1", model="gpt", finish="tool_calls", tool_calls=1),
        ),
        (
            Surface.MESSAGES,
            b'{"id":"m-1","model":"claude","content":[{"type":"text"},{"type":"tool_use"}],"stop_reason":"tool_use",'
            b'"usage":{"input_tokens":7,"output_tokens":2,"service_tier":"priority","inference_geo":"us"}}',
            Served(quantities={"input": 7, "output": 2}, id="m-1", model="claude", finish="tool_use", tool_calls=1,
                   tier="priority", region="us"),
        ),
        (
            Surface.EMBEDDINGS,
            b'{"model":"my embedder","data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}',
            Served(quantities={"input": 8}, model="my embedder"),
        ),
    ],
)  # fmt: skip
def test_what_providers_answer_is_plain(surface: Surface, body: bytes, expected: Served) -> None:
    assert plain_answer(surface, body, {}) == read_response(surface, "", body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"usage":{"prompt_tokens":7},"error":{"code":"no"}}',
        b'{"usage":{"prompt_tokens":7},"choices":[{"error":{"code":"no"}}]}',
        b'{"usage":{"prompt_tokens":7,"cost":1}}',
        b'{"usage":{"prompt_tokens":0}}',
        b'{"usage":null}',
        b'{"usage":{"prompt_tokens":7},"provider":"Someone"}',
        b'{"usage":{"prompt_tokens":7}',
    ],
)
def test_what_is_not_plain(body: bytes) -> None:
    assert plain_answer(Surface.CHAT, body, {}) is None


TEXTS = st.sampled_from(["hi", "line\nline", "caf\u00e9", 'say "type":', "x" * 600])
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.just("user")},
        optional={"content": st.one_of(TEXTS, st.just([{"type": "image_url", "image_url": {"url": "http://a"}}]))},
    ),
    max_size=3,
)
FIELDS = st.fixed_dictionaries(
    {"model": st.sampled_from(["gpt", " gpt ", "a b", "", "x" * 300, "caf\u00e9", None])},
    optional={
        "messages": MESSAGES, "input": st.one_of(TEXTS, MESSAGES), "prompt": st.one_of(TEXTS, st.lists(TEXTS)),
        "system": TEXTS, "max_tokens": st.sampled_from([None, 0, 5, -1, 10**13, 5.5]),
        "max_completion_tokens": st.sampled_from([None, 9]), "max_output_tokens": st.sampled_from([None, 9]),
        "n": st.sampled_from([None, 1, 3, 0]), "best_of": st.sampled_from([None, 2]), "temperature": st.just(0.5),
        "stream": st.sampled_from([None, True, False]), "user": st.just("u"), "stop": st.just(["\n"]),
        "stream_options": st.just({"include_usage": True}), "tools": st.just([{"type": "web_search"}]),
    },
)  # fmt: skip


@settings(deadline=None, max_examples=1500)
@given(
    st.sampled_from(list(Surface)), FIELDS, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\r\n")]),
    st.booleans(), st.data(),
)  # fmt: skip
def test_a_plain_request(
    surface: Surface, fields: dict[str, Any], between: tuple[str, str], ascii_only: bool, data: st.DataObject
) -> None:
    """Whatever is asked plainly, in any order of its fields, is read as the long way reads it."""
    stated = {name: fields[name] for name in data.draw(st.permutations(sorted(fields)))}
    body = json.dumps(stated, separators=between, ensure_ascii=ascii_only).encode()
    quick = [read_request(surface, body) for _ in range(2)]  # found, and remembered
    assert quick == [as_a_whole(surface, body)] * 2


SETTINGS = '{"model":"gpt","messages":%s,"max_tokens":9,"n":2}'


@pytest.mark.parametrize(
    "others", ['"hi"', '[{"role":"user","content":"a\\nb"}]', '[{"type":"image_url","image_url":"x"}]']
)
@pytest.mark.parametrize("surface", [Surface.CHAT, Surface.MESSAGES])
def test_the_same_settings_around_other_messages(surface: Surface, others: str) -> None:
    """What is remembered of a request says nothing of the next one's messages, nor of another surface."""
    body = (SETTINGS % "[]").encode()
    first = read_request(Surface.CHAT, body)
    assert (first.model, first.max_output_tokens, first.choices, first.prompt_tokens_bound) == ("gpt", 9, 2, len(body))
    body = (SETTINGS % others).encode()
    found = read_request(surface, body)
    assert found.choices == (2 if surface is Surface.CHAT else 1)
    assert found.images == others.count("image_url") // 2
    assert found == as_a_whole(surface, body)


def test_what_is_remembered_of_requests_is_bounded() -> None:
    for number in range(3000):
        body = SETTINGS.replace("9", f"{number}") % "[]"
        assert read_request(Surface.CHAT, body.encode()).max_output_tokens == number
    assert 0 < request._remembered[Surface.CHAT].count <= request._MOST_REMEMBERED


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
    with patch.object(answer, "only_tokens", none):
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


@pytest.mark.slow
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
        ('{"model":"a","u\u017fer":"b"}'.encode(), True),  # a long s, which Go takes for an s
        (b'{"model":"a","User":"b"}', True),
        (b'{"model":"a","topK":"b"}', False),
    ],
)
def test_where_a_double_is_possible(text: bytes, may: bool) -> None:
    assert may_double(text, frozenset({b"model", b"user"})) is may


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
