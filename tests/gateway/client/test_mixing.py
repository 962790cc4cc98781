"""Answers never reach another request, whatever servers do and whenever requests are given up."""

import asyncio
import random

from farthing.gateway.client import Fault
from tests.gateway.client.serving import head, heard, run, serving


def test_under_load_with_faults_and_cancellations_each_request_gets_its_own_answer() -> None:
    rng = random.Random(7)
    seen: set[bytes] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await heard(reader):
            name = request.partition(b"\r\n\r\n")[2]
            assert name not in seen, "a request was sent twice"
            seen.add(name)
            body = name * rng.choice([1, 40, 3000])
            how = rng.random()
            if how < 0.5:
                answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            else:
                cut = len(body) // 2
                answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                answer += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]))
                answer += b"0\r\n\r\n"
            at = rng.randrange(len(answer))
            fate = rng.random()
            if fate < 0.05:  # what nobody asked for, with the answer: later, no client could tell what it answers
                answer += b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"
            for piece in (answer[:at], answer[at:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(rng.choice([0, 0, 0.002]))
            if 0.05 < fate < 0.1:
                return
            if 0.1 < fate < 0.12:
                writer.transport.abort()

    async def work() -> None:
        whole = 0
        async with serving(echo) as server:

            async def lane(lane: int) -> None:
                nonlocal whole
                for n in range(60):
                    name = b"<%d.%d>" % (lane, n)
                    task = asyncio.create_task(one(name))
                    if rng.random() < 0.15:
                        await asyncio.sleep(rng.choice([0, 0.001, 0.003]))
                        task.cancel()
                    try:
                        body = await task
                    except (asyncio.CancelledError, Fault):
                        continue
                    assert body.replace(name, b"") == b"" and body, (name, body[:100])
                    whole += 1

            async def one(name: bytes) -> bytes:
                async with server.pool.request(head(server.pool, length=len(name)), name) as answer:
                    parts = []
                    while (chunk := await answer.read_chunk()) is not None:
                        parts.append(chunk)
                    return b"".join(parts)

            await asyncio.gather(*(lane(n) for n in range(16)))
            assert 1 < server.connections < 500
        assert whole > 700

    run(work())
