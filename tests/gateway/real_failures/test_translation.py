"""Clients of one protocol, upstreams of the other: what other gateways lost or tore on the way."""

import json
from typing import Any

import pytest

from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import (
    CHAT,
    CLAUDE,
    DONE,
    GPT,
    MESSAGES,
    Json,
    ask,
    block,
    chunk,
    data,
    end,
    events,
    fresh,
    named,
    said,
    start,
)  # fmt: skip
from tests.gateway.running import Running

USAGE = {
    "prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39, "prompt_tokens_details": {"cached_tokens": 10},
}  # fmt: skip
TOOLS = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in ("one", "two")]


def call(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> Json:
    told: Json = {"index": index, "function": {"arguments": arguments}}
    if id is not None:
        told |= {"id": id, "type": "function"}
        told["function"]["name"] = name
    return told


def inputs(body: bytes) -> dict[int, tuple[str, Any]]:
    """The tool calls of an Anthropic stream: name and input by block."""
    names: dict[int, str] = {}
    parts: dict[int, str] = {}
    opened: set[int] = set()
    for one in events(body):
        if one["type"] == "content_block_start":
            assert not opened, "blocks follow each other"
            opened.add(one["index"])
            if one["content_block"]["type"] == "tool_use":
                names[one["index"]] = one["content_block"]["name"]
                parts[one["index"]] = ""
        elif one["type"] == "content_block_delta":
            assert opened == {one["index"]}
            parts[one["index"]] = parts.get(one["index"], "") + one["delta"].get("partial_json", "")
        elif one["type"] == "content_block_stop":
            opened.remove(one["index"])
    return {index: (name, json.loads(parts[index] or "{}")) for index, name in names.items()}


def test_interleaved_calls_keep_their_arguments(gateway: Running, upstream: Upstream) -> None:
    """Praxis #266, zcode-api #23: pieces of parallel calls were put into the block that happened to be open."""
    fresh(upstream).reply(*map(data, [
        chunk({"role": "assistant", "tool_calls": [call(0, "a", "one")]}),
        chunk({"tool_calls": [call(1, "b", "two")]}),
        chunk({"tool_calls": [call(0, arguments='{"x":')]}), chunk({"tool_calls": [call(1, arguments='{"y": [1')]}),
        chunk({"tool_calls": [call(1, arguments=', 2]}'), call(0, arguments=' "é"}')]}),
        chunk(finish="tool_calls"), chunk(usage=USAGE),
    ]), DONE)  # fmt: skip
    told = ask(gateway, MESSAGES, said(tools=TOOLS, stream=True))
    assert sorted(inputs(told.body).values()) == [("one", {"x": "é"}), ("two", {"y": [1, 2]})]
    last = next(one for one in events(told.body) if one["type"] == "message_delta")
    assert last["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_a_call_without_arguments_and_its_reason(gateway: Running, upstream: Upstream, finish: str) -> None:
    """Bifrost #3511, aisix #170: calls with no arguments broke, blocks were dropped; several servers say "stop" where
    a call is the answer (bifrost #6123, LiteLLM #34692: the client then never made the call)."""
    fresh(upstream).reply(
        data(chunk({"role": "assistant", "content": "Let me see."})),
        data(chunk({"content": None, "tool_calls": [call(0, "a", "one")]})),
        data(chunk(finish=finish, usage=USAGE)), DONE,
    )  # fmt: skip
    told = ask(gateway, MESSAGES, said(tools=TOOLS, stream=True))
    assert list(inputs(told.body).values()) == [("one", {})]
    assert [one["delta"]["stop_reason"] for one in events(told.body) if one["type"] == "message_delta"] == ["tool_use"]


def test_calls_count_from_zero_whatever_stands_before_them(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #5231: the index of a call was its block's, so that the first call after a text was the second."""
    block_1 = {"type": "content_block_start", "index": 1, "content_block":
               {"type": "tool_use", "id": "t", "name": "one", "input": {}}}  # fmt: skip
    fresh(upstream).reply(
        start(input_tokens=9, output_tokens=1), *block("Let me see."), named(block_1),
        named({"type": "content_block_stop", "index": 1}), *end("tool_use", output_tokens=20),
    )  # fmt: skip
    tools = [{"type": "function", "function": {"name": "one", "parameters": {"type": "object"}}}]
    told = ask(gateway, CHAT, said(model=CLAUDE, tools=tools, stream=True, stream_options={"include_usage": True}))
    calls = [one["choices"][0]["delta"]["tool_calls"][0] for one in events(told.body)
             if one["choices"] and one["choices"][0]["delta"].get("tool_calls")]  # fmt: skip
    assert {one["index"] for one in calls} == {0} and calls[0]["id"] == "t"
    assert "".join(one["function"].get("arguments", "") for one in calls) == "{}"
    assert events(told.body)[-1]["usage"]["total_tokens"] == 29 and told.body.endswith(DONE)


def test_one_beginning_and_thoughts_in_their_own_block(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #32357, bifrost #4556: two `message_start`, and thoughts inside the block of the text."""
    fresh(upstream).reply(*map(data, [
        chunk({"role": "assistant", "reasoning_content": "Hm. "}), chunk({"reasoning_content": "So."}),
        chunk({"content": "Yes"}), chunk(finish="stop"), chunk(usage=USAGE),
    ]), DONE)  # fmt: skip
    told = ask(gateway, MESSAGES, said(stream=True))
    seen = [one["type"] for one in events(told.body)]
    assert seen.count("message_start") == 1 and seen[-1] == "message_stop"
    blocks = {one["index"]: one["content_block"]["type"] for one in events(told.body) if "content_block" in one}
    assert list(blocks.values()) == ["thinking", "text"]
    for one in events(told.body):
        if one["type"] == "content_block_delta":
            assert (one["delta"]["type"] == "thinking_delta") == (blocks[one["index"]] == "thinking")


def test_an_anthropic_client_is_told_disjoint_counts_at_the_end(gateway: Running, upstream: Upstream) -> None:
    """Vercel #17326, LiteLLM #24176, zcode-api #23: a client of a translated stream saw 0 tokens; OpenAI's counts are
    known at the end only, and stand there, without the cached ones counted twice."""
    fresh(upstream).reply(data(chunk({"content": "x"})), data(chunk(finish="stop")), data(chunk(usage=USAGE)), DONE)
    told = ask(gateway, MESSAGES, said(stream=True))
    (last,) = [one["usage"] for one in events(told.body) if one["type"] == "message_delta"]
    assert (last["input_tokens"], last["cache_read_input_tokens"], last["output_tokens"]) == (20, 10, 9)
    assert told.row.quantities == {"input": 20, "cache_read": 10, "output": 9}


def test_an_openai_client_is_told_the_whole_prompt(gateway: Running, upstream: Upstream) -> None:
    """Portkey #1754 and #876: prompt tokens left out the cached ones, which the total then held."""
    told = ask(gateway, CHAT, said("[[words=6 prompt=7 cached=20 written_5m=3 written_1h=4]]", CLAUDE))
    usage = told.json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (34, 6, 40)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 20
    assert told.row.quantities == {"input": 7, "cache_read": 20, "cache_write_5m": 3, "cache_write_1h": 4, "output": 6}


@pytest.mark.parametrize(("sent", "name", "expected"), [
    ({"stop_sequences": ["END", "###"]}, "stop", ["END", "###"]),  # LiteLLM #33075: sent as it was, and refused
    ({"system": [{"type": "text", "text": "Be brief."}]}, "messages", None),
    ({"temperature": 0.5}, "temperature", 0.5),
    ({"metadata": {"user_id": "u-1"}}, "user", "u-1"),
    ({"tool_choice": {"type": "any"}, "tools": TOOLS}, "tool_choice", "required"),
    ({"tool_choice": {"type": "tool", "name": "two", "disable_parallel_tool_use": True}, "tools": TOOLS},
     "parallel_tool_calls", False),
])  # fmt: skip
def test_fields_that_others_lost(gateway: Running, upstream: Upstream, sent: Json, name: str, expected: Any) -> None:
    fresh(upstream)
    assert ask(gateway, MESSAGES, said(**sent)).status == 200
    got = json.loads(upstream.records()[0].body)
    assert "stop_sequences" not in got and "max_tokens" not in got and got["max_completion_tokens"] == 50
    if name == "messages":
        assert got["messages"][0]["role"] == "system" and "Be brief." in json.dumps(got["messages"][0])
    else:
        assert got[name] == expected


def test_system_messages_and_images_reach_the_other_side(gateway: Running, upstream: Upstream) -> None:
    """System messages after the first were lost, and images became text, in several gateways' conversions."""
    picture = "data:image/png;base64,iVBORw0KGgo="
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": picture}}]
    messages = [
        {"role": "system", "content": "First."},
        {"role": "developer", "content": "Second."},
        {"role": "user", "content": parts},
    ]
    fresh(upstream)
    assert ask(gateway, CHAT, {"model": CLAUDE, "messages": messages}).status == 200
    got = json.loads(upstream.records()[0].body)
    assert "First." in json.dumps(got["system"]) and "Second." in json.dumps(got["system"])
    image = next(part for part in got["messages"][0]["content"] if part["type"] == "image")
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def test_what_has_no_counterpart_is_refused_and_not_dropped(gateway: Running, upstream: Upstream) -> None:
    """`n`, logprobs and the like were dropped without a word, and the client got another answer than it asked for."""
    fresh(upstream)
    for more in ({"n": 2}, {"logprobs": True}, {"logit_bias": {"50256": -100}}, {"frequency_penalty": 1}, {"wat": 1}):
        told = ask(gateway, CHAT, said(model=CLAUDE, **more))
        assert told.status == 400 and next(iter(more)) in told.error["message"]
    assert not upstream.records()


@pytest.mark.parametrize(("reason", "expected"), [("max_tokens", "length"), ("refusal", "content_filter"),
                                                  ("stop_sequence", "stop"), ("pause_turn", "length")])  # fmt: skip
def test_reasons_to_stop(gateway: Running, upstream: Upstream, reason: str, expected: str) -> None:
    """Finish reasons were passed on in the other protocol's words, or were all "stop" (vLLM #45807 and others)."""
    fresh(upstream).reply(start(input_tokens=5, output_tokens=1), *block("x"), *end(reason, output_tokens=2))
    told = ask(gateway, CHAT, said(model=CLAUDE, stream=True))
    reasons = [one["choices"][0]["finish_reason"] for one in events(told.body) if one["choices"]]
    assert [one for one in reasons if one] == [expected]


def test_an_answer_that_was_all_thought_is_an_answer(gateway: Running, upstream: Upstream) -> None:
    """Content of null, with the limit spent on reasoning, broke translations that expected a text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "length"}
    fresh(upstream).reply(json.dumps({"id": "c", "model": GPT, "choices": [choice], "usage": USAGE}).encode())
    told = ask(gateway, MESSAGES, said())
    assert (told.status, told.json["content"], told.json["stop_reason"]) == (200, [], "max_tokens")
    assert told.json["usage"]["output_tokens"] == 9


def test_an_upstreams_own_fields_survive_where_nothing_is_translated(gateway: Running, upstream: Upstream) -> None:
    """Gateways that parse and write anew dropped fields they did not know, and changed numbers on the way."""
    body = (
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x", "custom": 1}], '
        b'"seed": 12345678901234567890, "temperature": 0.10, "x_new": {"a": [1, 2.50]}, "logprobs": null}'
    )
    answer = (
        b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"x","annotations":[]},'
        b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},'
        b'"x_new":{"n":1.50}, "big":12345678901234567890}'
    )
    fresh(upstream).reply(answer)
    told = ask(gateway, CHAT, body)
    assert told.body == answer
    sent = upstream.records()[0].body
    assert sent.startswith(body[:-1]) or body[1:-1] in sent, "every byte of ours, and perhaps a limit on the output"
    assert GPT.encode() in sent
