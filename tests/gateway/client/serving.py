"""A server whose answers are written by hand, in the loop of the test, and a pool of connections to it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from farthing.gateway.client import Origin, Pool
from farthing.gateway.client.proxy import Proxy

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run it as a worker would, on uvloop, within a bound."""
    uvloop.run(asyncio.wait_for(work, 20))


async def heard(reader: asyncio.StreamReader) -> bytes:
    """The next request, its body by its length or in chunks; b"" at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    if b"chunked" in head:
        body = await reader.readuntil(b"0\r\n\r\n")
    else:
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")), b": 0")
        body = await reader.readexactly(int(length.partition(b": ")[2]))
    return head + body


def says(*answers: bytes, close: bool = False, gap_s: float = 0.0) -> Handler:
    """Answers each request with the next of `answers`, then with the last again; `close`: and ends the connection.

    `gap_s`: byte by byte, so far apart.
    """
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await heard(reader):
            answer = left.pop(0) if len(left) > 1 else left[0]
            for piece in [answer] if not gap_s else [answer[n : n + 1] for n in range(len(answer))]:
                writer.write(piece)
                await writer.drain()
                if gap_s:
                    await asyncio.sleep(gap_s)
            if close:
                return

    return handle


class Server:
    """`pool`: to it. `connections`: how many were made to it."""

    def __init__(self, port: int, pool: Pool) -> None:
        self.port = port
        self.pool = pool
        self.connections = 0


@asynccontextmanager
async def serving(
    handler: Handler, *, tls: ssl.SSLContext | None = None, connect_s: float = 5.0, proxy: Proxy | None = None
) -> AsyncIterator[Server]:
    """A server on a free port."""
    made: list[Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made[0].connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, RuntimeError, asyncio.CancelledError):
            pass  # RuntimeError: uvloop's word for a connection that is closed
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
    made.append(Server(port, Pool(Origin(url, proxy), connect_s)))
    try:
        yield made[0]
    finally:
        made[0].pool.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0.02)


def server_side(folder: Path, name: str = "good", most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """The settings of a server with a certificate of `folder`, which speaks TLS up to `most`."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    made.maximum_version = most
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


def head(pool: Pool, method: str = "POST", path: bytes = b"/v1/x", lines: bytes = b"", length: int = 2) -> bytes:
    """The head of a request for `pool`."""
    return pool.origin.start(method, path) + lines + b"content-length: %d\r\n\r\n" % length


async def ask(pool: Pool, body: bytes = b"{}") -> tuple[int, bytes]:
    """The status and the whole body of the answer to a request."""
    async with pool.request(head(pool, length=len(body)), body) as answer:
        return answer.status, await answer.read()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, a second at most."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")
