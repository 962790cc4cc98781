"""Anthropic requests to OpenAI: what is carried, what is refused, what is noted."""

import json
from typing import Any

import pytest

from farthing.gateway.translation import OpenAITarget, Refused, to_openai
from tests.gateway.translation.making import ANTHROPIC_TOOL, OPENAI_TOOL, WEATHER, anthropic_asks, noted, sent

EPHEMERAL = {"type": "ephemeral"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_a_plain_request() -> None:
    made = sent(
        anthropic_asks(
            OpenAITarget(model="gpt-x"),
            system="Be brief.",
            temperature=0.5,
            top_p=0.9,
            stop_sequences=["END"],
            metadata={"user_id": "u1"},
            service_tier="standard_only",
        )
    )
    assert made == {
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "user": "u1",
        "service_tier": "default",
    }


def test_a_stream_is_asked_for_with_its_usage() -> None:
    made = sent(anthropic_asks(stream=True))
    assert (made["stream"], made["stream_options"]) == (True, {"include_usage": True})


def test_tool_results_become_messages_before_the_text_of_their_turn() -> None:
    messages = [
        {"role": "user", "content": "Paris and Rome?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such city", "is_error": True},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    translated = anthropic_asks(messages=messages, tools=[ANTHROPIC_TOOL])
    made = sent(translated)
    assert made["tools"] == [OPENAI_TOOL]
    assert made["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                {"id": "toolu_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "[tool error] no such city"},
        {"role": "user", "content": "And now?"},
    ]
    assert noted(translated) == ["messages[2].content[1].is_error"]


def test_images_of_a_tool_result_follow_in_a_user_message() -> None:
    # vllm-project/vllm#43203, openai/openai-openapi#523: tool messages hold text only.
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "shot"}, IMAGE]}
    empty = {"type": "tool_result", "tool_use_id": "toolu_2"}
    call = {"type": "tool_use", "name": "screen", "input": {}}
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [call | {"id": "toolu_1"}, call | {"id": "toolu_2"}]},
        {"role": "user", "content": [result, empty, {"type": "text", "text": "So?"}]},
    ]
    translated = anthropic_asks(messages=messages)
    assert sent(translated)["messages"][2:] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "shot"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[returned by tool call toolu_1]"},
                IMAGE_PART,
                {"type": "text", "text": "So?"},
            ],
        },
    ]
    assert noted(translated) == ["messages[2].content[0].content"]


def test_images_and_documents() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    content = [
        IMAGE,
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": pdf, "title": "a.pdf", "citations": {"enabled": False}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "T"},
    ]
    assert sent(anthropic_asks(messages=[{"role": "user", "content": content}]))["messages"][0]["content"] == [
        IMAGE_PART,
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "T"},
        {"type": "text", "text": "words"},
    ]


def test_long_tool_names_are_shortened_the_same_everywhere_and_told_whole() -> None:
    name = "mcp__" + "a" * 90
    use = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]},
    ]
    translated = anthropic_asks(
        messages=messages, tools=[ANTHROPIC_TOOL | {"name": name}], tool_choice={"type": "tool", "name": name}
    )
    made = sent(translated)
    short = made["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert made["messages"][1]["tool_calls"][0]["function"]["name"] == short
    assert made["tool_choice"]["function"]["name"] == short
    assert translated.reply.tool_names == {short: name}


def test_long_ids_are_shortened_the_same_on_both_sides() -> None:
    long = "toolu_" + "b" * 60
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": long, "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": long, "content": "x"}]},
    ]
    made = sent(anthropic_asks(messages=messages))["messages"]
    assert made[1]["tool_calls"][0]["id"] == made[2]["tool_call_id"]
    assert len(made[2]["tool_call_id"]) == 40


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "weather"}, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
        (None, {}),
    ],
)
def test_tool_choice(choice: Any, expected: dict[str, Any]) -> None:
    made = sent(anthropic_asks(tools=[ANTHROPIC_TOOL], tool_choice=choice))
    assert {key: made[key] for key in ("tool_choice", "parallel_tool_calls") if key in made} == expected


def test_what_a_coding_agent_sends_is_carried_with_notes_for_what_it_would_not_miss() -> None:
    translated = anthropic_asks(
        system=[{"type": "text", "text": "a", "cache_control": EPHEMERAL}, {"type": "text", "text": "b"}],
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi", "cache_control": EPHEMERAL | {"ttl": "1h", "scope": "global"}}
                ],
            }
        ],
        tools=[ANTHROPIC_TOOL | {"cache_control": EPHEMERAL, "eager_input_streaming": True, "defer_loading": True}],
        metadata={"user_id": "user_" + "x" * 150},
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
    )
    made = sent(translated)
    assert made["reasoning_effort"] == "high"
    assert len(made["user"]) == 64
    assert made["messages"][0]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert noted(translated) == [
        "context_management",
        "tools[0].cache_control",
        "tools[0].defer_loading",
        "system[0].cache_control",
        "messages[0].content[0].cache_control",
        "metadata.user_id",
    ]


def test_cache_marks_where_the_upstream_takes_them() -> None:
    content = [{"type": "text", "text": "Hi", "cache_control": EPHEMERAL}]
    made = sent(anthropic_asks(OpenAITarget(cache_breakpoints=True), messages=[{"role": "user", "content": content}]))
    assert made["messages"][0]["content"] == [
        {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (3000, "low"), (5000, "medium"), (9000, "high")])
def test_a_thinking_budget_is_the_nearest_effort(budget: int, effort: str) -> None:
    # of max_tokens 10,000: low 2,000, medium 5,000, high 8,000
    translated = anthropic_asks(max_tokens=10_000, thinking={"type": "enabled", "budget_tokens": budget})
    assert sent(translated)["reasoning_effort"] == effort
    assert noted(translated) == ["thinking.budget_tokens"]


def test_thinking_where_the_upstream_has_none_and_where_it_is_off() -> None:
    without = anthropic_asks(OpenAITarget(reasoning_effort=False), thinking={"type": "enabled", "budget_tokens": 2000})
    assert "reasoning_effort" not in sent(without)
    assert noted(without) == ["thinking"]
    assert noted(anthropic_asks(thinking={"type": "disabled"})) == ["thinking"]


def test_earlier_thinking_goes_back_only_where_it_is_taken() -> None:
    content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Yes"}]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": "Why?"},
    ]
    without = anthropic_asks(messages=messages)
    assert sent(without)["messages"][1] == {"role": "assistant", "content": "Yes"}
    assert noted(without) == ["messages[1].content"]
    taken = anthropic_asks(OpenAITarget(reasoning_content=True), messages=messages)
    assert sent(taken)["messages"][1]["reasoning_content"] == "hm"
    assert noted(taken) == []


def test_structured_output_is_strict_where_openai_would_take_it() -> None:
    closed = WEATHER | {"additionalProperties": False}
    strict = anthropic_asks(output_config={"format": {"type": "json_schema", "schema": closed}})
    assert sent(strict)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": closed, "strict": True},
    }
    loose = anthropic_asks(output_config={"format": {"type": "json_schema", "schema": WEATHER}})
    assert sent(loose)["response_format"]["json_schema"]["strict"] is False
    assert noted(loose) == ["output_config.format.schema"]


def test_the_field_of_the_limit_and_top_k_depend_on_the_upstream() -> None:
    made = sent(anthropic_asks(OpenAITarget(max_tokens_field="max_tokens", top_k=True), top_k=40))
    assert (made["max_tokens"], made["top_k"]) == (100, 40)
    assert "max_completion_tokens" not in made


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 1.2}, "temperature"),
        ({"top_k": 5}, "top_k"),
        ({"stop_sequences": ["1", "2", "3", "4", "5"]}, "stop_sequences"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"novelty": 1}, "novelty"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [ANTHROPIC_TOOL | {"allowed_callers": ["code_execution_20250825"]}]}, "tools[0].allowed_callers"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [ANTHROPIC_TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"output_config": {"effort": "low", "task_budget": {"total": 5}}}, "output_config.task_budget"),
        ({"system": 5}, "system"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(request_: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        anthropic_asks(**request_)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, ".source.type"),
        ({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}, ".source.type"),
        ({"type": "document", "source": {"type": "base64"}, "citations": {"enabled": True}}, ".citations.enabled"),
        ({"type": "search_result", "source": "s", "title": "t", "content": []}, ".type"),
        ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, ".type"),
        ({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, ".type"),
        ({"type": "text", "text": "x", "tone": "calm"}, ".tone"),
        ({"text": "x"}, ".type"),
        ("x", ""),
    ],
)
def test_blocks_that_cannot_be_carried(block: Any, field: str) -> None:
    with pytest.raises(Refused) as caught:
        anthropic_asks(messages=[{"role": "user", "content": [block]}])
    assert caught.value.field == "messages[0].content[0]" + field


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'{"a":"\xff"}', json.dumps({"model": "m"}).encode()])
def test_bodies_that_are_no_request(body: bytes) -> None:
    with pytest.raises(Refused):
        to_openai(body)
