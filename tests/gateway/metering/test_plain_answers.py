"""Whole answers read in C: as the long way reads them, whatever they are, and those of a kind that came before."""

import json
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Served, Surface, answer, read_response, response
from farthing.gateway.metering.plain_answers import plain_answer
from farthing.usage.readers.common_usage import MOST, ChatUsage, MessagesUsage, anthropic_meters, openai_meters
from tests.gateway.metering.broken import VALUES, damaged, written
from tests.usage import test_common_usage as usage

CHAT, MESSAGES = Surface.CHAT, Surface.MESSAGES
COUNTS = st.one_of(
    st.integers(0, 3), st.integers(0, 300), st.sampled_from([None, MOST, MOST + 1, 5.0, -1, "7", 10**30])
)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", 0, True, {}, [], "a b", " x", "x ", "\x7f", "é", "a\n", "t" * 256, "t" * 257, "stop"]
)
KINDS = st.lists(st.sampled_from([{"type": "tool_use"}, {"type": "text", "text": "x"}, {"type": 5}, {}, 5]), max_size=3)
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi", "tool_calls": []}}
CHAT_ANSWER = {
    "id": "c-1", "created": 1, "model": "m", "choices": [CHOICE], "service_tier": "default",
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9,
              "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 1}},
}  # fmt: skip
MESSAGE = {
    "id": "m-1", "type": "message", "model": "m", "content": [{"type": "text", "text": "x"}, {"type": "tool_use"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 5,
              "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 1},
              "service_tier": "standard", "inference_geo": "us"},
}  # fmt: skip


def slow(surface: Surface, body: bytes) -> Served:
    """What the long way says."""
    with patch.object(answer, "only_tokens", none), patch.object(response, "plain_answer", none):
        return read_response(surface, "openai", body)


def none(*_: Any) -> None:
    return None


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values in a decoded value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(path for key, one in inner for path in paths(one, (*before, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = changed(value[path[0]], path[1:], new)
    return made


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@given(st.sampled_from([(CHAT, CHAT_ANSWER), (MESSAGES, MESSAGE)]), st.data())
def test_answers_that_differ_in_a_few_values(asked: tuple[Surface, Any], data: st.DataObject) -> None:
    """Each is compared with those before it: where only texts and numbers differ, it is known by the rest."""
    surface, value = asked
    first = data.draw(st.composite(written)(value))
    assert plain_answer(surface, first, {}) is not None
    for _ in range(data.draw(st.integers(1, 4))):
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(paths(value)[1:]))
            value = changed(value, path, data.draw(st.one_of(COUNTS, ODD, VALUES)))
            if not isinstance(value, dict):
                break
        body = data.draw(st.composite(written)(value))
        assert read_response(surface, "openai", body) == slow(surface, body)


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@given(st.sampled_from([(CHAT, CHAT_ANSWER), (MESSAGES, MESSAGE)]), st.data())
def test_answers_that_are_damaged(asked: tuple[Surface, Any], data: st.DataObject) -> None:
    surface, value = asked
    body = data.draw(st.composite(written)(value))
    assert plain_answer(surface, body, {}) == slow(surface, body)
    broken = data.draw(damaged(body))
    assert read_response(surface, "openai", broken) == slow(surface, broken)


def decoded(kind: Any, stated: Any) -> Any:
    try:
        return msgspec.json.decode(json.dumps(stated).encode(), type=kind)
    except msgspec.ValidationError:
        return None


def is_whole(stated: Any) -> bool:
    """Whether no count is a number with a fraction, which msgspec takes for a whole one."""
    return not any(isinstance(one, float) for one in [*stated.values(), *inner(stated)])


def inner(stated: Any) -> list[Any]:
    return [value for one in stated.values() if isinstance(one, dict) for value in one.values()]


PARTS = st.fixed_dictionaries(
    {}, optional={"cached_tokens": COUNTS, "reasoning_tokens": COUNTS, "audio_tokens": st.sampled_from([0, None, 1])}
)
OPENAI_USAGE = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS, "prompt_cache_hit_tokens": COUNTS,
        "prompt_tokens_details": st.one_of(st.none(), PARTS), "completion_tokens_details": st.one_of(st.none(), PARTS),
        "queue_time": st.sampled_from(["0.5", None, {"a": [1]}]), "odd": COUNTS,
    },
)  # fmt: skip


@settings(deadline=None, max_examples=2000)
@given(st.one_of(OPENAI_USAGE, usage.usages(usage.OPENAI)))
def test_the_counts_of_openai(stated: Any) -> None:
    """The rules of `common_usage`, told again in C."""
    stated = json.loads(json.dumps(stated, default=float))
    found = plain_answer(CHAT, json.dumps({"usage": stated}).encode(), {})
    common = decoded(ChatUsage, stated)
    meters = None if common is None else openai_meters(common)
    if found is not None or is_whole(stated):
        assert (None if found is None else list(found.quantities.items())) == (list(meters.items()) if meters else None)


LIVES = st.fixed_dictionaries(
    {}, optional={"ephemeral_5m_input_tokens": COUNTS, "ephemeral_1h_input_tokens": COUNTS, "odd": COUNTS}
)
ANTHROPIC_USAGE = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": COUNTS, "output_tokens": COUNTS, "cache_read_input_tokens": COUNTS,
        "cache_creation_input_tokens": COUNTS, "cache_creation": st.one_of(st.none(), LIVES),
        "service_tier": st.sampled_from([None, "standard", "", "t" * 64, "t" * 65]), "server_tool_use": st.none(),
    },
)  # fmt: skip


@settings(deadline=None, max_examples=2000)
@given(st.one_of(ANTHROPIC_USAGE, usage.usages(usage.ANTHROPIC)))
def test_the_counts_of_anthropic(stated: Any) -> None:
    stated = json.loads(json.dumps(stated, default=float))
    found = plain_answer(MESSAGES, json.dumps({"usage": stated}).encode(), {})
    common = decoded(MessagesUsage, stated)
    meters = None if common is None else anthropic_meters(common)
    if found is not None or is_whole(stated):
        assert (None if found is None else list(found.quantities.items())) == (list(meters.items()) if meters else None)


def test_more_kinds_of_answers_than_are_remembered() -> None:
    """Nine kinds in turn, of which four are remembered: each is read as what it is."""
    for turn in range(3):
        for kind in range(9):
            calls = [{"id": f"{n}"} for n in range(kind)]
            body = changed(CHAT_ANSWER, ("choices", 0, "message", "tool_calls"), calls) | {"id": f"{turn}-{kind}"}
            found = plain_answer(CHAT, json.dumps(body).encode(), {})
            assert found is not None and (found.tool_calls, found.id) == (kind, f"{turn}-{kind}")


def test_calls_are_counted_anew_in_an_answer_of_a_kind_that_came_before() -> None:
    for kinds, calls in ((["text", "tool_use"], 1), (["tool_use", "tool_use"], 2), (["text", "thinking"], 0)):
        body = MESSAGE | {"content": [{"type": kind} for kind in kinds]}
        found = plain_answer(MESSAGES, json.dumps(body).encode(), {})
        assert found is not None and found.tool_calls == calls


@pytest.mark.parametrize(
    "headers",
    [{"content-encoding": "gzip"}, {"x-litellm-response-cost": "1"}, {"x-ms-region": "x"},
     {"x-amzn-bedrock-service-tier": "flex"}],
)  # fmt: skip
def test_headers_that_say_more(headers: dict[str, str]) -> None:
    body = json.dumps(CHAT_ANSWER).encode()
    assert plain_answer(CHAT, body, headers) is None and plain_answer(CHAT, body, {"x-request-id": "r"}) is not None


@pytest.mark.parametrize("surface", [Surface.RESPONSES, Surface.COUNT_TOKENS])
def test_surfaces_that_are_not_read_in_c(surface: Surface) -> None:
    assert plain_answer(surface, json.dumps(CHAT_ANSWER).encode(), {}) is None


def test_an_answer_of_many_numbers() -> None:
    """An embedding of 3,000 numbers: more than are noted of an answer of one kind."""
    body = {"object": "list", "data": [{"embedding": [n / 7 - 200 for n in range(3000)]}], "model": "e",
            "usage": {"prompt_tokens": 8, "total_tokens": 8}}  # fmt: skip
    for _ in range(2):
        found = plain_answer(Surface.EMBEDDINGS, json.dumps(body).encode(), {})
        assert found == Served(quantities={"input": 8}, model="e")


def test_what_an_answer_says_is_its_own() -> None:
    """What is made of one answer stays as it is while others are read, and is freed once."""
    kept = []
    for number in range(2000):
        body = CHAT_ANSWER | {"id": f"id-{number}", "model": f"model-{number % 3}"}
        kept.append(plain_answer(CHAT, json.dumps(body).encode(), {}))
    assert [(one.id, one.model, one.finish) for one in kept if one] == [
        (f"id-{number}", f"model-{number % 3}", "stop") for number in range(2000)
    ]
    assert all(
        dict(one.quantities) == {"input": 4, "cache_read": 3, "output": 2, "reasoning": 1} for one in kept if one
    )
