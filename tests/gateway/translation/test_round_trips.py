"""There and back keeps the meaning; whatever comes in, nothing but a refusal or an error event comes out."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.gateway.translation import (
    AnthropicStream,
    BadAnswer,
    OpenAIStream,
    Refused,
    Reply,
    anthropic_response,
    openai_response,
    to_anthropic,
    to_openai,
    translated_error,
)
from tests.gateway.translation.clients import checked_anthropic, checked_openai
from tests.gateway.translation.making import (
    CREATED_S,
    anthropic_bytes,
    block,
    call_delta,
    chunk,
    decoded,
    fed,
    message_end,
    message_start,
    openai_bytes,
    to_openai_stream,
)

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: bool(text.strip())
)
NAME = st.sampled_from(["weather", "now", "a" * 70])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
INPUT = st.dictionaries(TEXT, JSON, max_size=3)
TEXT_BLOCK = st.builds(lambda text: {"type": "text", "text": text}, TEXT)
IMAGE_BLOCK = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ]
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Anthropic turns in the form that our own translation gives: blocks, alternating, each call answered."""
    turns: list[dict[str, Any]] = []
    open_calls: list[str] = []
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        turns.append({"role": "user", "content": draw(_user_blocks(open_calls))})
        calls = []
        for _ in range(draw(st.integers(0, 2))):
            number += 1
            calls.append({"type": "tool_use", "id": f"toolu_{number}", "name": draw(NAME), "input": draw(INPUT)})
        open_calls = [call["id"] for call in calls]
        said = draw(st.lists(TEXT_BLOCK, min_size=0 if calls else 1, max_size=2))
        turns.append({"role": "assistant", "content": said + calls})
    turns.append({"role": "user", "content": draw(_user_blocks(open_calls))})
    return turns


@st.composite
def _user_blocks(draw: st.DrawFn, open_calls: list[str]) -> list[dict[str, Any]]:
    results = [{"type": "tool_result", "tool_use_id": call, "content": draw(TEXT)} for call in open_calls]
    return results + draw(st.lists(TEXT_BLOCK | IMAGE_BLOCK, min_size=0 if results else 1, max_size=3))


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Anthropic requests of which nothing is lost on the way."""
    request: dict[str, Any] = {
        "model": "m",
        "messages": draw(conversations()),
        "max_tokens": draw(st.integers(1, 10**6)),
    }
    share = st.floats(0, 1).map(lambda number: round(number, 3))
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "system": st.lists(TEXT_BLOCK, min_size=1, max_size=2),
        "temperature": share,
        "top_p": share,
        "stop_sequences": st.lists(TEXT, min_size=1, max_size=4),
        "metadata": st.just({"user_id": "u1"}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "stream": st.just(True),
    }
    for key, strategy in optional.items():
        if draw(st.booleans()):
            request[key] = draw(strategy)
    if draw(st.booleans()):
        request["tools"] = [{"name": "weather", "description": draw(TEXT), "input_schema": schema}]
        choice = draw(st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "weather"}]))
        one = draw(st.booleans())
        request["tool_choice"] = choice | ({"disable_parallel_tool_use": True} if one else {})
    if draw(st.booleans()):
        request["thinking"] = {"type": "adaptive"}
        request["output_config"] = {"effort": draw(st.sampled_from(["low", "medium", "high", "xhigh", "max"]))}
    return request


@FEW
@given(requests())
def test_a_request_there_and_back_is_the_same(request_: dict[str, Any]) -> None:
    there = to_openai(json.dumps(request_).encode())
    checked_openai(there.body)
    back = to_anthropic(there.body)
    made = checked_anthropic(back.body)
    for turn in made["messages"]:  # the long name comes back in answers, which the reply knows
        for part in turn["content"]:
            if part["type"] == "tool_use":
                part["name"] = there.reply.tool_names.get(part["name"], part["name"])
    assert made == request_
    assert [note.field for note in back.notes] == []
    assert all(note.field.endswith("name") for note in there.notes)


@FEW
@given(
    st.lists(TEXT_BLOCK, max_size=2),
    st.lists(st.tuples(NAME, INPUT), max_size=3),
    st.integers(0, 500),
    st.integers(0, 500),
)
def test_an_answer_there_and_back_says_the_same(
    texts: list[dict[str, Any]], calls: list[tuple[str, dict[str, Any]]], fresh: int, cached: int
) -> None:
    content = texts + [
        {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": value} for n, (name, value) in enumerate(calls)
    ]
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 3,
        "output_tokens": 9,
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
    there = openai_response(json.dumps(message).encode(), Reply(), CREATED_S)
    back = json.loads(anthropic_response(there.body, Reply()).body)
    text = "".join(part["text"] for part in texts)
    assert back == message | {"content": ([{"type": "text", "text": text}] if texts else []) + content[len(texts) :]}


@FEW
@given(
    st.lists(st.tuples(st.sampled_from(["text", "thinking"]), st.lists(TEXT, min_size=1, max_size=3)), max_size=3),
    st.lists(st.tuples(NAME, INPUT), max_size=3),
    st.integers(1, 40),
)
def test_a_stream_there_and_back_says_the_same(
    said: list[tuple[str, list[str]]], calls: list[tuple[str, dict[str, Any]]], step: int
) -> None:
    events = [message_start()]
    for kind, pieces in said:
        start = {"type": kind, kind: ""}
        events += block(len(events), start, *({"type": f"{kind}_delta", kind: piece} for piece in pieces))
    for number, (name, value) in enumerate(calls):
        start = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
        text = json.dumps(value)
        pieces = [{"type": "input_json_delta", "partial_json": text[at : at + 5]} for at in range(0, len(text), 5)]
        events += block(len(events), start, *pieces)
    events += message_end("tool_use" if calls else "end_turn")
    there = OpenAIStream(Reply(stream=True, include_usage=True), CREATED_S)
    back = AnthropicStream(Reply(stream=True))
    made = decoded(fed(back, fed(there, anthropic_bytes(*events), step), step))
    assert _said(made) == _said(events)
    assert made[-2]["delta"]["stop_reason"] == events[-2]["delta"]["stop_reason"]
    assert made[-2]["usage"]["input_tokens"] == 10
    assert made[-1] == {"type": "message_stop"}


@FEW
@given(st.data())
def test_interleaved_calls_in_any_order_lose_nothing(data: st.DataObject) -> None:
    values = data.draw(st.lists(INPUT, min_size=1, max_size=4))
    pieces = {
        n: [json.dumps(value)[at : at + 3] for at in range(0, len(json.dumps(value)), 3)]
        for n, value in enumerate(values)
    }
    chunks = [chunk(call_delta(n, "", id=f"call_{n}", name=f"f{n}")) for n in pieces]
    while left := [n for n, rest in pieces.items() if rest]:
        number = data.draw(st.sampled_from(left))
        chunks.append(chunk(call_delta(number, pieces[number].pop(0))))
    stream = AnthropicStream(Reply(stream=True))
    made = decoded(fed(stream, openai_bytes(*chunks, chunk({}, "tool_calls"), "[DONE]"), 0))
    assert _said(made) == [("tool_use", f"f{n}", json.dumps(value)) for n, value in enumerate(values)]
    assert stream.notes == [note for note in stream.notes if note.field == "usage"]


@FEW
@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([b"data: ", b"\n\n", b"event: error\n", b'{"type":"message_start"}']),
        max_size=12,
    )
)
def test_no_bytes_make_a_stream_fail_otherwise_than_by_an_error_event(pieces: list[bytes]) -> None:
    for stream in (OpenAIStream(Reply(), CREATED_S), AnthropicStream(Reply())):
        made = b"".join(stream.feed(piece) for piece in pieces) + stream.finish()
        assert stream.closed
        decoded(made)


@FEW
@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_make_a_body_fail_otherwise_than_by_a_refusal(body: bytes) -> None:
    for translate in (to_openai, to_anthropic):
        try:
            translate(body)
        except Refused as refused:
            assert "\n" not in str(refused)
    for answer in (lambda: openai_response(body, Reply(), CREATED_S), lambda: anthropic_response(body, Reply())):
        try:
            answer()
        except BadAnswer as bad:
            assert bad.field == "answer"
    for client in ("openai", "anthropic"):
        json.loads(translated_error(client, 500, body).body)


_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["system", "user", "assistant", "tool", 5, None]),
            "content": JSON
            | st.lists(
                st.dictionaries(st.sampled_from(["type", "text", "source", "id"]), JSON, max_size=3), max_size=2
            ),
            "tool_calls": JSON,
            "tool_call_id": JSON,
        },
    ),
    max_size=3,
)


@FEW
@given(
    _MESSAGES, st.dictionaries(st.sampled_from(["tools", "stop", "thinking", "system", "tool_choice", "stream"]), JSON)
)
def test_no_shape_of_a_request_makes_a_traceback(messages: list[Any], more: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "max_tokens": 5, "messages": messages} | more).encode()
    for translate in (to_openai, to_anthropic):
        try:
            translate(body)
        except Refused as refused:
            assert refused.field


def test_the_judge_of_requests_sees_a_field_that_is_not_in_the_protocol() -> None:
    good = to_openai(b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}]}').body
    bad = good.replace(b'"role"', b'"mood":"x","role"')
    checked_openai(good)
    try:
        checked_openai(bad)
    except AssertionError:
        return
    raise ValueError("an unknown field went through")


def test_both_ends_of_a_stream_agree_on_what_a_chunk_is() -> None:
    chunks, _ = to_openai_stream(anthropic_bytes(message_start(), *message_end()))
    assert chunks[0]["object"] == "chat.completion.chunk"


def _said(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """What the blocks of an Anthropic stream hold; neighbours of one kind are one, as OpenAI has no blocks."""
    found: list[tuple[str, ...]] = []
    for event in events:
        if event["type"] == "content_block_start":
            start = event["content_block"]
            if start["type"] == "tool_use":
                found.append(("tool_use", start["name"], ""))
            elif not found or found[-1][0] != start["type"]:
                found.append((start["type"], ""))
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            piece = delta.get("text", delta.get("thinking", delta.get("partial_json", "")))
            found[-1] = (*found[-1][:-1], found[-1][-1] + piece)
    return found
