"""Whole answers in the client's protocol: content, calls, reasons, usage."""

import json
from typing import Any

import pytest

from farthing.gateway.translation import BadAnswer, Reply, anthropic_response, openai_response
from tests.gateway.translation.making import CREATED_S

ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
        "service_tier": "standard",
    },
}
OPENAI = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                    }
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 240,
        "completion_tokens": 50,
        "total_tokens": 290,
        "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}


def test_an_anthropic_answer_for_an_openai_client() -> None:
    made = to_openai(ANTHROPIC)
    assert made == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": "claude-x",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "I look.",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}],
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                        },
                        {"id": "toolu_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                    ],
                },
            }
        ],
        # 10 fresh + 200 read + 30 written = 240 of prompt; 240 + 50 = 290
        "usage": OPENAI["usage"],
    }


def test_an_openai_answer_for_an_anthropic_client() -> None:
    assert to_anthropic(OPENAI) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        # 240 of prompt - 200 read - 30 written = 10 fresh
        "usage": {
            "input_tokens": 10,
            "output_tokens": 50,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 200,
            "output_tokens_details": {"thinking_tokens": 20},
        },
    }


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # DeepSeek says the hits beside the details: 100 - 60 = 40
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 60}, (40, 60, 0, 5)),
        # an upstream that counts cached tokens beside the prompt: never below 0
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60}}, (0, 60, 0, 5)),
        # xAI counts reasoning beside the completion, and its total shows it: 10 + 5 + 7 = 22, so 12 of output
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            (10, 0, 0, 12),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None}, (10, 0, 0, 5)),
    ],
)
def test_usage_of_several_upstreams(usage: dict[str, Any], expected: tuple[int, ...]) -> None:
    made = to_anthropic(OPENAI | {"usage": usage})["usage"]
    keys = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    assert tuple(made[key] for key in keys) == expected


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "many"}, {"prompt_tokens": -1, "completion_tokens": 2}, []]
)
def test_unknown_usage_is_left_out_for_openai_and_noted_for_anthropic(usage: Any) -> None:
    body = json.dumps(ANTHROPIC | {"usage": usage}).encode()
    assert "usage" not in json.loads(openai_response(body, Reply(), CREATED_S).body)
    answer = anthropic_response(json.dumps(OPENAI | {"usage": usage}).encode(), Reply())
    assert [note.field for note in answer.notes] == ["usage"]


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "content_filter"),
        ("a_new_reason", "stop"),
        (None, "stop"),
    ],
)
def test_stop_reasons_for_openai(stop_reason: str | None, finish: str) -> None:
    answer = ANTHROPIC | {"content": [{"type": "text", "text": "x"}], "stop_reason": stop_reason}
    assert to_openai(answer)["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"finish_reason": "stop"}, ("end_turn", None)),
        ({"finish_reason": "length"}, ("max_tokens", None)),
        ({"finish_reason": "content_filter"}, ("refusal", None)),
        ({"finish_reason": "stop", "stop_reason": "END"}, ("stop_sequence", "END")),  # vLLM
        ({"finish_reason": "stop", "stop_reason": 128001}, ("end_turn", None)),  # vLLM: a token, not a sequence
        ({"finish_reason": "stop", "matched_stop": "END"}, ("stop_sequence", "END")),  # SGLang
        ({"finish_reason": "model_length"}, ("model_context_window_exceeded", None)),  # Mistral
        ({"finish_reason": "surprise"}, ("end_turn", None)),
        ({"finish_reason": "stop", "tools": True}, ("tool_use", None)),  # Ollama, Gemini say stop after tool calls
        ({"finish_reason": "length", "tools": True}, ("max_tokens", None)),
    ],
)
def test_finish_reasons_for_anthropic(choice: dict[str, Any], expected: tuple[str, str | None]) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": "x"}
    if choice.pop("tools", False):
        message["tool_calls"] = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    made = to_anthropic(OPENAI | {"choices": [{"index": 0, "message": message} | choice]})
    assert (made["stop_reason"], made["stop_sequence"]) == expected


def test_refusals_both_ways() -> None:
    refused = OPENAI | {"choices": [{"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}]}
    made = to_anthropic(refused)
    assert (made["stop_reason"], made["content"]) == ("refusal", [{"type": "text", "text": "I cannot."}])
    details = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "Unsafe."}, "content": []}
    message = to_openai(ANTHROPIC | details)["choices"][0]["message"]
    assert (message["refusal"], message["content"]) == ("Unsafe.", "")


def test_reasoning_of_several_upstreams_becomes_thinking() -> None:
    mistral = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Yes"}]
    for message in (
        {"content": "Yes", "reasoning_content": "hm"},
        {"content": "Yes", "reasoning": "hm"},
        {"content": mistral},
    ):
        made = to_anthropic(OPENAI | {"choices": [{"message": message, "finish_reason": "stop"}]})
        assert made["content"] == [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Yes"},
        ]


@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1]", "nonsense"])
def test_arguments_that_are_no_object_are_not_hidden(arguments: str) -> None:
    # An empty input would let a tool without required arguments run (BerriAI/litellm#15322 shows blank arguments).
    calls = [{"id": "c", "function": {"name": "f", "arguments": arguments}}]
    body = OPENAI | {"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "length"}]}
    answer = anthropic_response(json.dumps(body).encode(), Reply())
    assert json.loads(answer.body)["content"][0]["input"] == {"__unparsed_arguments": arguments}
    assert [note.field for note in answer.notes] == ["tool_calls"]


def test_a_call_without_an_id_gets_one_and_names_are_told_whole() -> None:
    # praxis-proxy/ai#941: an empty id is no id.
    calls = [{"function": {"name": "short", "arguments": {"a": 1}}}, {"id": "", "function": {"name": "g"}}]
    body = OPENAI | {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    made = json.loads(anthropic_response(json.dumps(body).encode(), Reply(tool_names={"short": "the_whole_name"})).body)
    ids = [block["id"] for block in made["content"]]
    assert len(set(ids)) == 2 and all(one.startswith("toolu_chatcmpl_1_") for one in ids)
    assert [block["name"] for block in made["content"]] == ["the_whole_name", "g"]
    assert made["content"][0]["input"] == {"a": 1}


def test_the_answer_of_a_forced_json_tool_is_text() -> None:
    answer = ANTHROPIC | {"content": [{"type": "tool_use", "id": "t", "name": "json_response", "input": {"a": 1}}]}
    body = json.dumps(answer).encode()
    choice = json.loads(openai_response(body, Reply(json_tool="json_response"), CREATED_S).body)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert json.loads(choice["message"]["content"]) == {"a": 1}
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"\xff", b"{}", b'{"content":"x","choices":"y"}', b'{"choices":[]}']
)
def test_answers_that_are_none(body: bytes) -> None:
    with pytest.raises(BadAnswer, match=r"^answer: "):
        openai_response(body, Reply(), CREATED_S)
    with pytest.raises(BadAnswer, match=r"^answer: "):
        anthropic_response(body, Reply())


def test_an_error_in_an_answer_with_status_200_is_told() -> None:
    with pytest.raises(BadAnswer, match="provider is down"):
        anthropic_response(b'{"error":{"code":502,"message":"provider is down"}}', Reply())  # as OpenRouter does


def test_odd_answers_are_no_traceback() -> None:
    odd = {"id": 5, "model": None, "content": [None, 3, {}], "choices": [{"message": "x"}], "usage": 5}
    assert to_anthropic(odd)["id"] == "msg_farthing"
    assert to_openai(odd)["choices"][0]["message"]["content"] == ""


def to_openai(answer: dict[str, Any]) -> Any:
    return json.loads(openai_response(json.dumps(answer).encode(), Reply(), CREATED_S).body)


def to_anthropic(answer: dict[str, Any]) -> Any:
    return json.loads(anthropic_response(json.dumps(answer).encode(), Reply()).body)
