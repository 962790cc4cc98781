"""How connections are made, kept, given up; how requests are sent and cancelled."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from farthing.gateway.client import Broken, NotConnected, Origin, Pool, dial, pool
from farthing.gateway.client.dial import _first_to_connect, _in_turns
from tests.gateway.client.serving import OK, Server, ask, head, heard, run, says, serving, until


def test_connections_are_kept_and_the_last_to_rest_goes_first() -> None:
    async def work() -> None:
        async with serving(says(OK)) as server:
            for _ in range(5):
                assert await ask(server.pool) == (200, b"ok")
            assert server.connections == 1
            assert await asyncio.gather(*(ask(server.pool) for _ in range(3))) == [(200, b"ok")] * 3
            assert server.connections == 3
            last = server.pool._idle[-1]
            assert await ask(server.pool) == (200, b"ok")
            assert server.pool._idle[-1] is last and server.connections == 3

    run(work())


def test_no_more_than_a_bound_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_IDLE", 2)

    async def work() -> None:
        async with serving(says(OK)) as server:
            await asyncio.gather(*(ask(server.pool) for _ in range(6)))
            assert server.connections == 6 and len(server.pool._idle) == 2

    run(work())


def test_a_connection_that_rests_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_S", 0.1)

    async def work() -> None:
        async with serving(says(OK)) as server:
            await ask(server.pool)
            assert len(server.pool._idle) == 1
            await until(lambda: not server.pool._idle)
            assert server.pool._sweeper is None
            await ask(server.pool)
            assert server.connections == 2

    run(work())


def test_the_end_of_a_resting_connection_is_noticed() -> None:
    async def work() -> None:
        async with serving(says(OK, close=True)) as server:
            for n in range(1, 4):
                assert await ask(server.pool) == (200, b"ok")
                await until(lambda: not server.pool._idle)
                assert server.connections == n

    run(work())


def test_an_end_that_the_loop_has_not_seen_yet_is_found_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_QUIET_S", 0.0)
    listener = socket.create_server(("127.0.0.1", 0))

    async def work() -> None:
        loop = asyncio.get_running_loop()
        own = Pool(Origin(f"http://127.0.0.1:{listener.getsockname()[1]}"), 5)
        listener.setblocking(False)

        async def serve_one(then: Any) -> Any:
            theirs, _ = await loop.sock_accept(listener)
            await loop.sock_recv(theirs, 1000)
            await loop.sock_sendall(theirs, OK)
            return then(theirs)

        task = asyncio.create_task(serve_one(lambda theirs: theirs))
        assert await ask(own) == (200, b"ok")
        theirs = await task
        task = asyncio.create_task(serve_one(lambda theirs: theirs.close()))
        theirs.close()  # and no turn of the loop until the next request
        assert await ask(own) == (200, b"ok")
        own.close()
        await task

    with listener:
        run(work())


@pytest.mark.parametrize("reset", [False, True])
def test_a_request_that_got_no_answer_on_a_kept_connection_may_have_been_worked_on(reset: bool) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK)
        await heard(reader)
        if reset:
            writer.transport.abort()

    async def work() -> None:
        async with serving(once) as server:
            assert await ask(server.pool) == (200, b"ok")
            with pytest.raises(Broken, match="without an answer"):
                await ask(server.pool)
            assert server.connections == 1  # it was not sent a second time

    run(work())


def test_nobody_there_is_told_as_never_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def work() -> None:
        with pytest.raises(NotConnected, match="refused"):
            await ask(Pool(Origin(f"http://127.0.0.1:{port}"), 2))
        with pytest.raises(NotConnected, match="its name is not found"):
            await ask(Pool(Origin("http://no-such-host.invalid"), 2))
        with pytest.raises(NotConnected, match="its name is not found"):
            await ask(Pool(Origin(f"http://{'a' * 70}.invalid"), 2))

    run(work())


def test_a_connection_takes_as_long_as_it_may_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> socket.socket:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(dial, "_connected", never)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(NotConnected, match=r"no connection within 0\.1 s"):
            await ask(Pool(Origin("http://127.0.0.1:9"), 0.1))
        assert loop.time() - began < 1

    run(work())


def _where(port: int) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))


def test_an_address_that_leads_nowhere_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = dial._connected
    cancelled = []

    async def one(address: Any) -> socket.socket:
        if address[4][1] == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(address)
                raise
        return await connected(address)

    monkeypatch.setattr(dial, "_connected", one)
    monkeypatch.setattr(dial, "HEAD_START_S", 0.02)

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            sock = await _first_to_connect([_where(1), _where(port)])
            assert sock.getpeername()[1] == port and len(cancelled) == 1
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            await _first_to_connect([_where(port), _where(port)])

    run(work())


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, 1), (six, 2), (six, 3), (four, 4)]
    assert _in_turns(found) == [(six, 1), (four, 4), (six, 2), (six, 3)]


@pytest.mark.parametrize("when", ["in the head", "in the body", "before the end"])
def test_a_cancelled_request_gives_its_connection_up(when: str) -> None:
    begun = {"in the head": b"HTTP/1.1 20", "in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel"}

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(begun.get(when, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"))
        await reader.read()

    async def work() -> None:
        async with serving(stuck) as server:
            task = asyncio.create_task(ask(server.pool))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not server.pool._idle

    run(work())


def test_an_answer_that_is_left_half_read_gives_its_connection_up_and_a_whole_one_does_not() -> None:
    async def work() -> None:
        async with serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel", OK)) as server:
            async with server.pool.request(head(server.pool), b"{}") as answer:
                assert await answer.read_chunk() == b"hel"
            assert not server.pool._idle
            async with server.pool.request(head(server.pool), b"{}") as answer:
                pass  # it came whole, if unread
            assert len(server.pool._idle) == 1 and answer.status == 200

    run(work())


def test_a_closed_pool_keeps_nothing() -> None:
    async def work() -> None:
        async with serving(says(OK)) as server:
            await ask(server.pool)
            async with server.pool.request(head(server.pool), b"{}") as answer:
                server.pool.close()
                assert await answer.read() == b"ok"
            assert not server.pool._idle
            assert await ask(server.pool) == (200, b"ok")  # a request that began under the old configuration
            assert not server.pool._idle

    run(work())


# --- what is sent -------------------------------------------------------------------------------------


def test_the_bytes_of_a_request() -> None:
    came = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await heard(reader))
        writer.write(OK)

    async def work() -> None:
        async with serving(listen) as server:
            await ask(server.pool, b'{"a":1}')
            told = b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-length: 7\r\n\r\n" % server.port
            assert came == [told + b'{"a":1}']

    run(work())


@pytest.mark.parametrize(
    ("url", "authority"),
    [("http://a.example", "a.example"), ("https://a.example:443/v1/", "a.example"), ("http://[::1]:80", "[::1]"),
     ("https://a.example:80/v1", "a.example:80"), ("http://[::1]:8000/v1", "[::1]:8000")],
)  # fmt: skip
def test_the_host_has_its_port_where_it_is_not_the_usual_one(url: str, authority: str) -> None:
    origin = Origin(url)
    assert origin.authority == authority and not origin.base.endswith("/")


def test_a_large_body_arrives_whole() -> None:
    sizes = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while came := await heard(reader):
            sizes.append(len(came.partition(b"\r\n\r\n")[2]))
            writer.write(OK)

    async def work() -> None:
        async with serving(count) as server:
            for size in (0, 1, 16 << 10, 3 << 20):
                assert await ask(server.pool, b"x" * size) == (200, b"ok")
        assert sizes == [0, 1, 16 << 10, 3 << 20]

    run(work())


async def _pieces(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def _upload(server: Server, length: int | None, *pieces: bytes) -> tuple[int, bytes]:
    told = b"content-length: %d\r\n\r\n" % length if length is not None else b"transfer-encoding: chunked\r\n\r\n"
    start = server.pool.origin.start("POST", b"/v1/files") + told
    async with server.pool.upload(start, _pieces(*pieces), length) as answer:
        return answer.status, await answer.read()


def test_an_upload_goes_as_it_comes() -> None:
    came = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while one := await heard(reader):
            came.append(one.partition(b"\r\n\r\n")[2])
            writer.write(OK)

    async def work() -> None:
        async with serving(listen) as server:
            assert await _upload(server, 4, b"ab", b"", b"cd") == (200, b"ok")
            assert await _upload(server, None, b"ab", b"", b"c") == (200, b"ok")
            assert await _upload(server, None) == (200, b"ok")
            assert server.connections == 1
        assert came == [b"abcd", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"0\r\n\r\n"]

    run(work())


@pytest.mark.parametrize("pieces", [[b"abc"], [b"abc", b"de", b"f"]])
def test_an_upload_of_another_length_than_stated_is_never_whole(pieces: list[bytes]) -> None:
    answered = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answered.append(await reader.readexactly(100 + 5))
        except asyncio.IncompleteReadError as short:
            answered.append(short.partial)

    async def work() -> None:
        async with serving(listen) as server:
            with pytest.raises(ConnectionError, match="stated"):
                await _upload(server, 5, *pieces)
            await until(lambda: bool(answered))
            assert not server.pool._idle
        assert not answered[0].endswith(b"f")

    run(work())


def test_an_upload_that_is_refused_goes_no_further() -> None:
    sent = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.sleep(5)

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        while True:
            await asyncio.sleep(0.001)
            sent += 1
            yield b"x" * 1024

    async def work() -> None:
        async with serving(refuse) as server:
            start = server.pool.origin.start("POST", b"/v1/files") + b"transfer-encoding: chunked\r\n\r\n"
            async with server.pool.upload(start, endless(), None) as answer:
                assert (answer.status, await answer.read()) == (413, b"no")
            assert not server.pool._idle  # half a request is in it

    run(work())
    assert sent < 2000


def test_an_upload_waits_for_a_slow_upstream() -> None:
    ahead = []
    made = read = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal read
        await reader.readuntil(b"\r\n\r\n")
        while read < 40 << 20:
            read += len(await reader.read(1 << 20))
            ahead.append(made - read)
            await asyncio.sleep(0.001)
        writer.write(OK)

    async def body() -> AsyncGenerator[bytes, None]:
        nonlocal made
        for _ in range(40 * 16):
            made += 1 << 16
            yield b"x" * (1 << 16)

    async def work() -> None:
        async with serving(slow) as server:
            start = server.pool.origin.start("POST", b"/v1/files") + b"content-length: %d\r\n\r\n" % (40 << 20)
            async with server.pool.upload(start, body(), 40 << 20) as answer:
                assert await answer.read() == b"ok"
            assert len(server.pool._idle) == 1

    run(work())
    assert max(ahead) < 20 << 20  # what the system's buffers hold; without waiting it were all 40 MiB
