"""The floor: the gateway's server and client passing a request on, and nothing else looked at, kept or counted.

`MOCK_URL=… python -m benchmarks.gateway.bare PORT`
"""

import asyncio
import os
import sys
from typing import Any

URL = os.environ.get("MOCK_URL", "")
_JSON = [(b"content-type", b"application/json")]
_client: Any = None


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application."""
    if scope["type"] != "http":
        return
    from farthing.gateway.http import own_cycle, send_whole

    if scope["method"] == "GET":
        await send_whole(send, 200, _JSON, b"{}")
        return
    cycle = own_cycle(receive)
    assert cycle is not None
    whole = cycle.whole()
    body, more = whole or b"", whole is None
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    pool = _http()
    lines = b"content-type: application/json\r\nauthorization: Bearer sk-mock\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with pool.request(pool.origin.start("POST", pool.origin.base.encode()) + lines, body) as response:
        if any(name == "content-length" for name, _ in response.headers):
            await send_whole(send, response.status, _JSON, await response.read())
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while (chunk := await response.read_chunk()) is not None:
            if not cycle.piece(chunk):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _http() -> Any:
    global _client
    if _client is None:
        from farthing.gateway.client import Origin, Pool

        _client = Pool(Origin(URL), 5)
    return _client


async def _serve(port: int) -> None:
    from farthing.gateway.process.connection import Connection
    from farthing.gateway.process.served import Served

    loop, served = asyncio.get_running_loop(), Served(app, 1_000)
    server = await loop.create_server(lambda: Connection(served, loop), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
