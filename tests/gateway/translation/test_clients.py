"""Real client objects of both vendors read what the translators make of the other vendor's answers."""

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.translation.clients import Upstream, anthropic_client, openai_client
from tests.gateway.translation.making import (
    ANTHROPIC_TOOL,
    OPENAI_TOOL,
    anthropic_bytes,
    block,
    call_delta,
    chunk,
    message_end,
    message_start,
    openai_bytes,
)
from tests.gateway.translation.test_responses import ANTHROPIC, OPENAI
from tests.gateway.translation.test_stream_to_anthropic import ROLE, USAGE_CHUNK
from tests.gateway.translation.test_stream_to_openai import TOOLS

ASK: Any = [{"role": "user", "content": "Paris?"}]


def test_openai_client_reads_an_anthropic_answer_and_sends_its_tool_turn_back() -> None:
    upstream = Upstream(json.dumps(ANTHROPIC).encode())
    client = openai_client(upstream)
    tools: Any = [OPENAI_TOOL]
    answer = client.chat.completions.create(model="claude-x", messages=ASK, tools=tools, max_completion_tokens=50)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None and len(message.tool_calls) == 2
    assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 200
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls]
    # model_dump keeps the thinking block and its signature, which Anthropic wants back beside a tool call.
    history: Any = [*ASK, message.model_dump(), *results]
    client.chat.completions.create(model="claude-x", messages=history, tools=tools, max_completion_tokens=50)
    assert upstream.got["messages"][1]["content"] == ANTHROPIC["content"]
    assert [part["tool_use_id"] for part in upstream.got["messages"][2]["content"]] == ["toolu_1", "toolu_2"]


def test_openai_client_streams_from_anthropic() -> None:
    upstream = Upstream(anthropic_bytes(message_start(), *TOOLS, *message_end("tool_use")))
    with openai_client(upstream).chat.completions.stream(
        model="claude-x", messages=ASK, max_tokens=50, stream_options={"include_usage": True}
    ) as stream:
        final = list(stream)[-1] and stream.get_final_completion()
    message = final.choices[0].message
    assert message.content == "I look."
    calls: Any = message.tool_calls
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("toolu_1", "weather", {"city": "Paris"}),
        ("toolu_2", "now", {}),
    ]
    assert final.usage is not None and final.usage.total_tokens == 17  # 10 of input, 7 of output


def test_openai_client_keeps_several_thoughts_of_a_stream_and_sends_them_back() -> None:
    def thought(index: int, word: str) -> list[dict[str, Any]]:
        deltas = {"type": "thinking_delta", "thinking": word}, {"type": "signature_delta", "signature": f"sig{index}"}
        return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)

    hidden = block(2, {"type": "redacted_thinking", "data": "secret"})
    said = block(3, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Yes."})
    upstream = Upstream(
        anthropic_bytes(message_start(), *thought(0, "a"), *thought(1, "b"), *hidden, *said, *message_end())
    )
    client = openai_client(upstream)
    with client.chat.completions.stream(model="m", messages=ASK) as stream:
        message = list(stream)[-1] and stream.get_final_completion().choices[0].message
    history: Any = [*ASK, message.model_dump(exclude={"parsed"}), {"role": "user", "content": "So?"}]
    with client.chat.completions.stream(model="m", messages=history) as stream:
        list(stream)
    assert upstream.got["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "sig0"},
        {"type": "thinking", "thinking": "b", "signature": "sig1"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "Yes."},
    ]


def test_openai_client_parses_structured_output_from_anthropic() -> None:
    upstream = Upstream(json.dumps(ANTHROPIC | {"content": [{"type": "text", "text": '{"city":"Paris"}'}]}).encode())
    schema: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": ANTHROPIC_TOOL["input_schema"]}}
    answer = openai_client(upstream).chat.completions.create(model="m", messages=ASK, response_format=schema)
    assert json.loads(answer.choices[0].message.content or "") == {"city": "Paris"}
    assert upstream.got["output_config"]["format"]["type"] == "json_schema"


def test_openai_client_raises_its_own_errors() -> None:
    body = json.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}).encode()
    with pytest.raises(openai.RateLimitError, match="slow down") as limited:
        openai_client(Upstream(body, 429, {"Retry-After": "7"})).chat.completions.create(model="m", messages=ASK)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError) as overloaded:
        openai_client(Upstream(b"", 529)).chat.completions.create(model="m", messages=ASK)
    assert overloaded.value.status_code == 503
    with pytest.raises(openai.BadRequestError, match="send n = 1") as refused:
        openai_client(Upstream(b"")).chat.completions.create(model="m", messages=ASK, n=2)
    assert refused.value.param == "n"
    broken = anthropic_bytes(
        message_start(), {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}
    )
    with pytest.raises(openai.APIError, match="Busy"):
        list(openai_client(Upstream(broken)).chat.completions.create(model="m", messages=ASK, stream=True))


def test_anthropic_client_reads_an_openai_answer_and_sends_its_tool_turn_back() -> None:
    upstream = Upstream(json.dumps(OPENAI).encode())
    client = anthropic_client(upstream)
    tools: Any = [ANTHROPIC_TOOL]
    answer = client.messages.create(model="gpt-x", messages=ASK, tools=tools, max_tokens=50)
    assert answer.stop_reason == "tool_use"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (
        10,
        200,
        50,
    )
    result: Any = {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}
    history: Any = [*ASK, answer.to_param(), {"role": "user", "content": [result]}]
    client.messages.create(model="gpt-x", messages=history, tools=tools, max_tokens=50)
    assert upstream.got["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]


def test_anthropic_client_streams_from_openai() -> None:
    upstream = Upstream(
        openai_bytes(
            ROLE,
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "I look."}),
            chunk(call_delta(0, "", id="call_1", name="weather")),
            chunk(call_delta(0, '{"city":"Paris"}')),
            chunk(call_delta(1, "", id="call_2", name="now")),
            chunk({}, "tool_calls"),
            USAGE_CHUNK,
            "[DONE]",
        )
    )
    with anthropic_client(upstream).messages.stream(model="gpt-x", messages=ASK, max_tokens=50) as stream:
        final = list(stream) and stream.get_final_message()
    assert upstream.got["stream_options"] == {"include_usage": True}
    assert [part.type for part in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [part.input for part in final.content if part.type == "tool_use"] == [{"city": "Paris"}, {}]
    assert final.stop_reason == "tool_use"
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (30, 60, 9)


def test_anthropic_client_raises_its_own_errors() -> None:
    limited = json.dumps(
        {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    ).encode()
    with pytest.raises(anthropic.RateLimitError, match="slow down") as caught:
        anthropic_client(Upstream(limited, 429, {"retry-after": "7", "x-request-id": "req_9"})).messages.create(
            model="m", messages=ASK, max_tokens=5
        )
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.request_id == "req_9"
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error") as overloaded:
        anthropic_client(Upstream(b"<html>busy</html>", 503)).messages.create(model="m", messages=ASK, max_tokens=5)
    assert overloaded.value.status_code == 529
    with pytest.raises(anthropic.BadRequestError, match="container"):
        anthropic_client(Upstream(b"")).messages.create(model="m", messages=ASK, max_tokens=5, container="c")
    broken = openai_bytes(ROLE, chunk({"content": "x"}), {"error": {"message": "Gone", "code": 502}})
    with pytest.raises(anthropic.APIStatusError, match="Gone"):
        list(anthropic_client(Upstream(broken)).messages.create(model="m", messages=ASK, max_tokens=5, stream=True))


@pytest.mark.parametrize("text", ["", "x"])
def test_a_stream_of_one_block_is_whole_for_both(text: str) -> None:
    said = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": text})
    upstream = Upstream(anthropic_bytes(message_start(), *said, *message_end()), step=1)
    chunks = list(openai_client(upstream).chat.completions.create(model="m", messages=ASK, stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"
