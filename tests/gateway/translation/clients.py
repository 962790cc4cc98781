"""The official clients in front of the translators, and their own types as the judge of what goes upstream.

A client's transport is a gateway in small: it translates the request, checks it against the other protocol's official
types, answers with the canned upstream bytes, and translates those back.
"""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat import completion_create_params as chat
from pydantic import TypeAdapter

from farthing.gateway.translation import (
    AnthropicStream,
    OpenAIStream,
    Refused,
    anthropic_response,
    openai_response,
    refused_error,
    to_anthropic,
    to_openai,
    translated_error,
)
from tests.gateway.translation.making import CREATED_S

_SAMPLING = ("temperature", "top_p", "top_k")  # gone from the client's types, still in the protocol
_ANTHROPIC: list[TypeAdapter[Any]] = [
    TypeAdapter(MessageCreateParamsNonStreaming),
    TypeAdapter(MessageCreateParamsStreaming),
]
_OPENAI: list[TypeAdapter[Any]] = [
    TypeAdapter(chat.CompletionCreateParamsNonStreaming),
    TypeAdapter(chat.CompletionCreateParamsStreaming),
]


class Upstream:
    """What the upstream answers, and the last request that it got."""

    def __init__(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None, step: int = 17) -> None:
        self.body = body
        self.status = status
        self.headers = headers or {}
        self.step = step
        self.got: dict[str, Any] = {}


def openai_client(upstream: Upstream) -> openai.OpenAI:
    """An OpenAI client whose requests go to an Anthropic upstream."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        try:
            translated = to_anthropic(request.content)
        except Refused as refused:
            error = refused_error("openai", refused)
            return httpx2.Response(error.status, content=error.body)
        upstream.got = checked_anthropic(translated.body)
        if upstream.status != 200:
            error = translated_error("openai", upstream.status, upstream.body, upstream.headers.items())
            return httpx2.Response(error.status, content=error.body, headers=list(error.headers))
        if translated.reply.stream:
            stream = OpenAIStream(translated.reply, CREATED_S)
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_fed(stream, upstream))
        return httpx2.Response(200, content=openai_response(upstream.body, translated.reply, CREATED_S).body)

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    return openai.OpenAI(api_key="k", base_url="http://gateway.test/v1", http_client=http, max_retries=0)


def anthropic_client(upstream: Upstream) -> anthropic.Anthropic:
    """An Anthropic client whose requests go to an OpenAI upstream."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        try:
            translated = to_openai(request.content)
        except Refused as refused:
            error = refused_error("anthropic", refused)
            return httpx2.Response(error.status, content=error.body)
        upstream.got = checked_openai(translated.body)
        if upstream.status != 200:
            error = translated_error("anthropic", upstream.status, upstream.body, upstream.headers.items())
            return httpx2.Response(error.status, content=error.body, headers=list(error.headers))
        if translated.reply.stream:
            stream = AnthropicStream(translated.reply)
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_fed(stream, upstream))
        return httpx2.Response(200, content=anthropic_response(upstream.body, translated.reply).body)

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    return anthropic.Anthropic(api_key="k", base_url="http://gateway.test", http_client=http, max_retries=0)


def checked_anthropic(body: bytes) -> dict[str, Any]:
    """The request, once the official types took all of it."""
    request = json.loads(body)
    typed = {key: value for key, value in request.items() if key not in _SAMPLING}
    assert _plain(_ANTHROPIC["stream" in typed].validate_python(typed)) == typed
    return dict(request)


def checked_openai(body: bytes) -> dict[str, Any]:
    """The request, once the official types took all of it."""
    request = json.loads(body)
    assert _plain(_OPENAI["stream" in request].validate_python(request)) == request
    return dict(request)


def _plain(value: Any) -> Any:
    """A validated value, its lazy lists read, which is when their items are validated; unknown keys are not in it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return value
    return [_plain(item) for item in value]


def _fed(stream: OpenAIStream | AnthropicStream, upstream: Upstream) -> Iterator[bytes]:
    for start in range(0, len(upstream.body), upstream.step):
        yield stream.feed(upstream.body[start : start + upstream.step])
    yield stream.finish()
