"""An OpenAI-compatible server that notes when it did what, on the same clock as the client's."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from aiohttp import web

OVERHEAD, PER_WORD = 7, 1.5


class Seen:
    """One request as the server saw it."""

    def __init__(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        self.body, self.headers, self.received = body, headers, perf_counter()
        self.writes: list[float] = []

    @property
    def prompt(self) -> str:
        return self.body.get("prompt") or self.body["messages"][0]["content"]


class Fake:
    """What the server does (`behave`, by name) and what it saw. Delays in seconds."""

    def __init__(self, behave: str, first_s: float, gap_s: float, serial: bool) -> None:
        self.behave, self.first_s, self.gap_s, self.serial = behave, first_s, gap_s, serial
        self.seen: list[Seen] = []
        self.flying = self.most = 0
        self.url = ""

    def prompt_tokens(self, prompt: str) -> int:
        return OVERHEAD + round(PER_WORD * len(prompt.split()))

    def benched(self, words: int = 0) -> list[Seen]:
        """The requests with the output length that the tests ask for (probes ask for two tokens)."""
        return [one for one in self.seen if self._asked(one.body) > 2]

    def _asked(self, body: dict[str, Any]) -> int:
        return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)

    def _refusal(self, path: str, body: dict[str, Any]) -> tuple[int, str] | None:
        rules = {
            "strict": (400, "Unrecognized request argument supplied: ignore_eos", "ignore_eos" in body),
            "new-limit": (400, "use 'max_completion_tokens'", "max_tokens" in body or "ignore_eos" in body),
            "only-old-limit": (422, "extra inputs", "max_completion_tokens" in body or "stream_options" in body),
            "no-usage": (400, "stream_options is not known", "stream_options" in body),
            "completions-only": (404, "no such route", path.endswith("/chat/completions")),
            "needs-key": (401, "Incorrect API key provided", True),
            "busy": (429, "slow down", True),
            "sometimes-busy": (429, "slow down", self._asked(body) > 2 and len(self.seen) % 2 == 0),
            "breaks-down": (500, "out of\nmemory", self._asked(body) > 2),
            "short-context": (400, "the context is 64 tokens", len(json.dumps(body)) > 400),
        }
        status, message, holds = rules.get(self.behave, (0, "", False))
        return (status, message) if holds else None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = Seen(body, dict(request.headers))
        self.seen.append(seen)
        refusal = self._refusal(request.path, body)
        if refusal is not None:
            return web.json_response({"error": {"message": refusal[1]}}, status=refusal[0])
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            if self.serial:
                async with self.lock:
                    return await self._tokens(request, body, seen)
            return await self._tokens(request, body, seen)
        finally:
            self.flying -= 1

    async def _tokens(self, request: web.Request, body: dict[str, Any], seen: Seen) -> web.StreamResponse:
        count, behave = self._asked(body), self.behave
        usage = {
            "prompt_tokens": self.prompt_tokens(seen.prompt), "completion_tokens": count,
            "prompt_tokens_details": {"cached_tokens": 40 if behave == "caches" else 0},
        }  # fmt: skip
        await asyncio.sleep(self.first_s if count > 2 else 0)
        if not body.get("stream"):
            seen.writes.append(perf_counter())
            return web.json_response(
                {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(tree: Any) -> None:
            await response.write(b"data: " + json.dumps(tree).encode() + b"\n\n")

        chat = request.path.endswith("/chat/completions")
        if chat:  # a first chunk with the role and no text is not the first token
            await send({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        await response.write(b": ping\n\n")
        for number in range(count):
            if number and count > 2:
                await asyncio.sleep(self.gap_s)
            if behave == "cut" and count > 2 and number == 3:
                request.transport.close()
                return response
            if behave == "ends-early" and count > 2 and number == 3:
                return response
            if behave == "fault" and count > 2 and number == 3:
                await send({"error": {"message": "engine died"}})
                return response
            if behave == "hangs" and count > 2:
                await asyncio.sleep(60)
            seen.writes.append(perf_counter())
            piece = {"delta": {"content": "w"}} if chat else {"text": "w"}
            extra = {"usage": {**usage, "completion_tokens": number + 1}} if behave == "running-usage" else {}
            await send({"choices": [{**piece, "finish_reason": None}], **extra})
        await send({"choices": [{"delta": {}, "finish_reason": "length"}]})
        if body.get("stream_options") and behave != "silent-usage":
            await send({"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        self.lock = asyncio.Lock()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        app.router.add_post("/v1/completions", self.answer)

        async def models(request: web.Request) -> web.Response:
            return web.json_response({"data": [{"id": "fake/model", "owned_by": "vllm"}]})

        async def version(request: web.Request) -> web.Response:
            return web.json_response({"version": "0.99.0"})

        app.router.add_get("/v1/models", models)
        app.router.add_get("/version", version)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}"
        ready.set()
        await stop.wait()
        await runner.cleanup()


@contextmanager
def fake(behave: str = "fine", *, first_s: float = 0.02, gap_s: float = 0.004, serial: bool = False) -> Iterator[Fake]:
    """A server in a thread of its own, until the block ends."""
    one = Fake(behave, first_s, gap_s, serial)
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(one.serve(ready, stop)))
    thread.start()
    assert ready.wait(10)
    try:
        yield one
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
