"""OpenAI requests to Anthropic: what is carried, what is refused, what is noted."""

import base64
import json
from typing import Any

import pytest

from farthing.gateway.translation import AnthropicTarget, Refused, to_anthropic
from tests.gateway.translation.making import ANTHROPIC_TOOL, OPENAI_TOOL, WEATHER, noted, openai_asks, sent


def test_a_plain_request() -> None:
    made = sent(openai_asks(AnthropicTarget(model="claude-x"), temperature=0.5, top_p=0.9, stop="END", user="u1"))
    assert made == {
        "model": "claude-x",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
    }


def test_max_tokens_has_a_documented_default_and_the_newer_field_wins() -> None:
    without = to_anthropic(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
    assert sent(without)["max_tokens"] == 16_384
    assert noted(without) == ["max_tokens"]
    assert sent(openai_asks(max_tokens=5, max_completion_tokens=6))["max_tokens"] == 6


def test_leading_system_messages_become_the_system_prompt() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Now in French."},
    ]
    moved = openai_asks(messages=messages)
    assert [block["text"] for block in sent(moved)["system"]] == ["Be brief.", "Be kind.", "Now in French."]
    assert noted(moved) == ["messages[3].role"]
    kept = sent(openai_asks(AnthropicTarget(system_messages=True), messages=messages))
    assert [message["role"] for message in kept["messages"]] == ["user", "system"]


def test_a_system_prompt_alone_is_sent_as_the_users_message() -> None:
    # OpenAI takes such a request; Anthropic needs at least one message.
    alone = openai_asks(messages=[{"role": "system", "content": "Say hi."}])
    assert sent(alone)["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]
    assert "system" not in sent(alone)
    assert noted(alone) == ["messages"]


def test_images_by_base64_and_by_address_and_documents() -> None:
    text64 = base64.b64encode(b"plain words").decode()
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA", "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": f"data:text/plain;charset=utf-8;base64,{text64}"}},
    ]
    translated = openai_asks(messages=[{"role": "user", "content": parts}])
    assert sent(translated)["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}},
    ]
    assert noted(translated) == ["messages[0].content[2].image_url.detail"]


def test_parallel_tool_calls_and_their_results_in_one_user_turn() -> None:
    # pydantic/pydantic-ai#653: results in several user messages are "tool_use ids without tool_result".
    messages = [
        {"role": "user", "content": "Paris and Rome?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "sun"}]},
        {"role": "user", "content": "And now?"},
    ]
    made = sent(openai_asks(messages=messages, tools=[OPENAI_TOOL]))
    assert made["tools"] == [ANTHROPIC_TOOL]
    assert made["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "call_2", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "sun"}]},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]


def test_results_stand_before_words_that_came_between_them() -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [_call("call_1"), _call("call_2")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a"},
        {"role": "user", "content": "Hurry"},
        {"role": "tool", "tool_call_id": "call_2", "content": "b"},
    ]
    last = sent(openai_asks(messages=messages))["messages"][2]["content"]
    assert [part.get("tool_use_id", "words") for part in last] == ["call_1", "call_2", "words"]


def test_empty_text_never_becomes_a_block() -> None:
    # NousResearch/hermes-agent#11929, aliasrobotics/cai#182: "text content blocks must be non-empty".
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": " ", "tool_calls": [_call("call_1")]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    ]
    translated = openai_asks(messages=messages)
    made = sent(translated)
    assert "system" not in made
    assert [[block["type"] for block in message["content"]] for message in made["messages"]] == [
        ["text"],
        ["tool_use"],
        ["tool_result"],
    ]
    assert "content" not in made["messages"][2]["content"][0]
    assert noted(translated) == ["messages[2].content"]


def test_ids_that_anthropic_does_not_take_still_meet_and_stay_apart() -> None:
    # maximhq/bifrost#5097, BerriAI/litellm#21114: ids such as functions.Bash:0 break the whole conversation.
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [_call("functions.a:0"), _call("functions:a.0"), _call("call_ok-1")]},
        *(
            {"role": "tool", "tool_call_id": one, "content": "x"}
            for one in ("functions.a:0", "functions:a.0", "call_ok-1")
        ),
    ]
    made = sent(openai_asks(messages=messages))["messages"]
    calls = [block["id"] for block in made[1]["content"]]
    assert calls == [block["tool_use_id"] for block in made[2]["content"]]
    assert len(set(calls)) == 3
    assert calls[2] == "call_ok-1"
    assert all(one.replace("_", "").replace("-", "").isalnum() for one in calls)


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "weather"}}, False, "forced"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [OPENAI_TOOL]}},
            None,
            {"type": "any"},
        ),
    ],
)
def test_tool_choice(choice: Any, parallel: bool | None, expected: Any) -> None:
    made = sent(openai_asks(tools=[OPENAI_TOOL], tool_choice=choice, parallel_tool_calls=parallel))
    forced = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    assert made["tool_choice"] == (forced if expected == "forced" else expected)


def test_allowed_tools_are_the_only_ones_sent() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [OPENAI_TOOL]}}
    assert [tool["name"] for tool in sent(openai_asks(tools=[other, OPENAI_TOOL], tool_choice=allowed))["tools"]] == [
        "weather"
    ]


def test_a_tool_without_parameters_gets_an_object_schema() -> None:
    bare = {"type": "function", "function": {"name": "now", "strict": True}}
    assert sent(openai_asks(tools=[bare]))["tools"] == [
        {"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True}
    ]


def test_structured_output_by_format_and_by_tool() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}}
    by_format = openai_asks(response_format=schema)
    assert sent(by_format)["output_config"] == {"format": {"type": "json_schema", "schema": WEATHER}}
    assert by_format.reply.json_tool is None
    by_tool = openai_asks(AnthropicTarget(structured="tool"), response_format=schema)
    assert sent(by_tool)["tools"][0]["input_schema"] == WEATHER
    assert sent(by_tool)["tool_choice"]["name"] == by_tool.reply.json_tool == "json_response"
    free = openai_asks(response_format={"type": "json_object"})
    assert sent(free)["tools"][0]["input_schema"] == {"type": "object"}
    assert "tools" not in sent(openai_asks(response_format={"type": "text"}))


def test_reasoning_effort_adaptive_and_as_a_budget() -> None:
    adaptive = sent(openai_asks(reasoning_effort="high"))
    assert (adaptive["thinking"], adaptive["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})
    assert sent(openai_asks(reasoning_effort="none"))["thinking"] == {"type": "disabled"}
    # medium is half of max_tokens: 0.5 x 8000 = 4000
    budget = openai_asks(AnthropicTarget(thinking="budget"), reasoning_effort="medium", max_tokens=8000)
    assert sent(budget)["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    # 0.2 x 2000 = 400 is under Anthropic's least, 1024
    least = openai_asks(AnthropicTarget(thinking="budget"), reasoning_effort="low", max_tokens=2000)
    assert sent(least)["thinking"]["budget_tokens"] == 1024


def test_signed_thinking_goes_back_and_unsigned_is_left_out() -> None:
    signed = {"type": "thinking", "thinking": "hm", "signature": "s"}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes", "reasoning_content": "hm", "thinking_blocks": [signed]},
        {"role": "user", "content": "Why?"},
    ]
    translated = openai_asks(messages=messages)
    assert sent(translated)["messages"][1]["content"] == [signed, {"type": "text", "text": "Yes"}]
    assert noted(translated) == []
    del messages[1]["thinking_blocks"]
    translated = openai_asks(messages=messages)
    assert sent(translated)["messages"][1]["content"] == [{"type": "text", "text": "Yes"}]
    assert noted(translated) == ["messages[1].reasoning_content"]


def test_cache_marks_of_either_kind_are_kept() -> None:
    parts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "text", "text": "c", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
    ]
    translated = openai_asks(messages=[{"role": "user", "content": parts}])
    assert [part["cache_control"] for part in sent(translated)["messages"][0]["content"]] == [
        {"type": "ephemeral", "ttl": "1h"},
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "1h"},
    ]
    assert noted(translated) == ["messages[0].content[2].prompt_cache_breakpoint.ttl"]


def test_what_an_answer_leaves_in_a_history_is_no_obstacle() -> None:
    history = {
        "role": "assistant",
        "content": "Yes",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    messages = [{"role": "user", "content": "Hi"}, history, {"role": "user", "content": "So?"}]
    assert noted(openai_asks(messages=messages)) == []


def test_harmless_fields_are_left_out_with_a_note_and_defaults_without() -> None:
    translated = openai_asks(seed=1, store=True, metadata={"a": "b"}, prompt_cache_key="k")
    assert noted(translated) == ["seed", "store", "metadata", "prompt_cache_key"]
    silent = openai_asks(n=1, presence_penalty=0, frequency_penalty=0.0, logprobs=False, store=False, logit_bias={})
    assert noted(silent) == []
    assert set(sent(silent)) == {"model", "messages", "max_tokens"}


def test_streaming_is_carried_and_the_wish_for_usage_remembered() -> None:
    translated = openai_asks(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
    assert sent(translated)["stream"] is True
    assert (translated.reply.stream, translated.reply.include_usage) == (True, True)
    assert openai_asks(stream=True).reply.include_usage is False


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"n": 2}, "n"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": -100}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"stop": "\n\n"}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"verbosity": "low"}, "verbosity"),
        ({"min_p": 0.1}, "min_p"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "messages[0].mood"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
        ({"tools": [OPENAI_TOOL], "response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "low", "response_format": {"type": "json_object"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "w"}}},
            "response_format.json_schema.schema",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "low"}, "thinking"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(request_: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        openai_asks(**request_)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(field + ": ")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("data:image/tiff;base64,AA", "tiff"),
        ("data:image/png,AA", "base64"),
        ("file:///etc/passwd", "https"),
        ("x", "https"),
    ],
)
def test_addresses_of_images_that_cannot_be_carried(url: str, word: str) -> None:
    with pytest.raises(Refused, match=word) as caught:
        openai_asks(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert caught.value.field == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize("arguments", ['{"city": ', "[1]", '"x"', "null"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(Refused) as caught:
        openai_asks(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}])
    assert caught.value.field == "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"\xff"', b"[" * 5000, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}", b'{"model":NaN}'],
)
def test_bodies_that_are_no_request(body: bytes) -> None:
    with pytest.raises(Refused):
        to_anthropic(body)


def _call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": json.dumps({})}}
