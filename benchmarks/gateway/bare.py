"""The floor: uvicorn and pyreqwest passing a request on, and nothing else looked at, kept or counted."""

import os
from typing import Any

URL = os.environ.get("MOCK_URL", "")
_client: Any = None


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application."""
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":
        await _answer(send, 200, b"{}")
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    request = _http().post(URL).header("content-type", "application/json").header("authorization", "Bearer sk-mock")
    async with request.body_bytes(body).streamed_read_buffer_limit(0).build_streamed() as response:
        if response.headers.get("content-length"):
            await _answer(send, response.status, bytes(await response.bytes()))
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while (chunk := await response.body_reader.read_chunk()) is not None:
            await send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _http() -> Any:
    global _client
    if _client is None:
        from pyreqwest.client import ClientBuilder

        _client = ClientBuilder().tcp_nodelay(True).build()
    return _client


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
