"""A client's connection within its bounds: what is slow, endless, malformed or never read is ended."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from farthing.gateway.config.values import Config
from farthing.gateway.process import connection, plain_turns
from farthing.gateway.process.connection import Connection
from farthing.gateway.process.listen import close, listen, port_of
from farthing.gateway.process.served import Served, sweep
from farthing.problems import FarthingError
from tests.gateway.supervised import Small

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"


class Server:
    """Connections in front of the small application; time passes when a test says so."""

    def __init__(self, folder: Path, most: int) -> None:
        self.state = Served(Small(Config(), folder), most)
        self.clients: list[Any] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self.state, loop), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        return reader, writer

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(0.05)
        sweep(self.state.connections, asyncio.get_running_loop().time() + seconds)
        await asyncio.sleep(0.05)

    async def settled(self) -> None:
        for _ in range(100):
            if not self.state.connections:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("a connection stays")


def served(folder: Path, test: Callable[[Server], Awaitable[None]], most: int = 100) -> None:
    async def run() -> None:
        server = Server(folder, most)
        await server.start()
        try:
            await asyncio.wait_for(test(server), 10)
        finally:
            server.server.close()
            for client in server.clients:
                client.transport.abort()
            for one in list(server.state.connections):
                one.transport.abort()
            await asyncio.sleep(0.05)

    uvloop.run(run())


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, body


async def refused(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """The answer and its error, after which the connection is closed."""
    status, headers, body = await answer(reader)
    assert headers["connection"] == "close"
    assert await reader.read() == b""
    return status, json.loads(body)["error"]


def test_a_connection_serves_one_request_after_another(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.open()
        for _ in range(3):
            writer.write(HEAD + b"\r\n")
            status, headers, _ = await answer(reader)
            assert status == 200 and "server" not in headers and "connection" not in headers
            await server.pass_time(plain_turns.KEEP_ALIVE_S - 2)  # not long enough
        writer.write(b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert (await answer(reader))[2].endswith(b" 5")
        writer.close()

    served(tmp_path, test)


def test_a_connection_that_asks_nothing_is_closed(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        fresh, _ = await server.open()
        used, writer = await server.open()
        writer.write(HEAD + b"\r\n")
        await answer(used)
        writer.write(b"\r\n\r\n")  # empty lines between requests are no sign of life
        await server.pass_time(plain_turns.KEEP_ALIVE_S + 1)
        assert await fresh.read() == b"" and await used.read() == b""
        await server.settled()

    served(tmp_path, test)


def test_a_head_that_comes_drop_by_drop_is_refused(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(HEAD)
        await server.pass_time(connection.HEAD_S - 2)
        writer.write(b"x-slow: 1\r\n")  # does not give it more time
        await server.pass_time(connection.HEAD_S + 1)
        status, error = await refused(reader)
        assert status == 408 and "15 seconds" in error["message"]
        await server.settled()

    served(tmp_path, test)


def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(HEAD)
        for number in range(66):
            writer.write(b"x-%d: %s\r\n" % (number, b"a" * 1000))
            await asyncio.sleep(0)
        status, error = await refused(reader)
        assert status == 431 and "64 KiB" in error["message"]
        one, writer = await server.open()
        writer.write(b"GET /" + b"a" * 70_000)  # an address without end
        assert (await refused(one))[0] == 431
        many, writer = await server.open()
        writer.write(HEAD + b"a: b\r\n" * 300 + b"\r\n")
        assert (await refused(many))[0] == 431

    served(tmp_path, test)


def test_what_is_no_http_is_answered_in_json(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        for nonsense in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a port without it
            b"GET / HTTP/9.9\r\n\r\n",
            HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",  # two lengths: smuggling
            HEAD + b"content-length: -1\r\n\r\n",
            HEAD + b"bad header: 1\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
            b"CONNECT api.openai.com:443 HTTP/1.1\r\nhost: api.openai.com:443\r\n\r\n",
        ):
            reader, writer = await server.open()
            writer.write(nonsense)
            status, error = await refused(reader)
            assert (status, error["type"]) == (405 if b"CONNECT" in nonsense else 400, "invalid_request_error")
        await server.settled()

    served(tmp_path, test)


def test_an_offer_to_change_the_protocol_is_passed_over(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        for offer in (b"h2c", b"websocket"):
            reader, writer = await server.open()
            writer.write(HEAD + b"connection: upgrade\r\nupgrade: %s\r\n\r\n" % offer)
            assert (await answer(reader))[0] == 200
            reader, writer = await server.open()
            head = b"POST /body HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: %s\r\n" % offer
            writer.write(head + b"content-length: 5\r\nexpect: 100-continue\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abcde")
            assert (await answer(reader))[2].endswith(b" 5")
            # Drop by drop, and the next request on the connection is one of its own.
            reader, writer = await server.open()
            for byte in head + b"content-length: 3\r\n\r\nabc" + HEAD + b"connection: close\r\n\r\n":
                writer.write(bytes((byte,)))
                await asyncio.sleep(0)
            assert (await answer(reader))[2].endswith(b" 3")
            status, headers, body = await answer(reader)
            assert (status, headers["connection"]) == (200, "close") and body.endswith(b" 0")

    served(tmp_path, test)


def test_garbage_behind_a_request_in_flight_does_not_get_into_its_answer(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(b"GET /stream?30 HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"0\n")
        writer.write(b"\x00\x01garbage\r\n\r\n")
        rest = b""
        with contextlib.suppress(ConnectionError):
            rest = await reader.read()
        assert b"HTTP/1.1 400" not in rest
        await server.settled()

    served(tmp_path, test)


def test_requests_without_end_behind_each_other_are_cut_off(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.open()
        writer.write((HEAD + b"\r\n") * 10)
        for _ in range(10):
            assert (await answer(reader))[0] == 200  # some are served, in order
        writer.write((HEAD + b"\r\n") * 5000)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await server.settled()

    served(tmp_path, test)


def test_an_answer_that_is_never_read_is_given_up_and_a_slow_reader_is_not(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        loop = asyncio.get_running_loop()
        client = socket.create_connection(("127.0.0.1", server.port))
        client.setblocking(False)
        server.clients.append(SimpleNamespace(transport=SimpleNamespace(abort=client.close)))
        await loop.sock_sendall(client, b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        await server.pass_time(plain_turns.KEEP_ALIVE_S + 1)  # 20 MB wait to be sent: it is closed behind them
        assert len(server.state.connections) == 1
        taken = 0
        while taken < 10_000_000:
            taken += len(await loop.sock_recv(client, 1_000_000))
        await server.pass_time(connection.LINGER_S + 1)  # it took some
        assert len(server.state.connections) == 1
        for times in range(2, 8):  # it takes none, once the system's buffers are full again
            await server.pass_time(times * (connection.LINGER_S + 1))
        assert not server.state.connections

    served(tmp_path, test)


def test_an_answer_that_is_never_read_does_not_hold_up_the_next_request_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two requests in one piece has its answer, which cannot be sent; a slow reader gets it at last."""
    monkeypatch.setattr(connection, "LINGER_S", 0.5)

    async def test(server: Server) -> None:
        loop = asyncio.get_running_loop()
        for reads in (True, False):
            client = socket.create_connection(("127.0.0.1", server.port))
            client.setblocking(False)
            server.clients.append(SimpleNamespace(transport=SimpleNamespace(abort=client.close)))
            await loop.sock_sendall(client, b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
            await asyncio.sleep(0.1)
            assert server.state.connections and server.state.tasks
            got = 0
            while reads and got < 40_000_000:
                pause_at = min(got + 8_000_000, 40_000_000)
                while got < pause_at:
                    got += len(piece := await loop.sock_recv(client, 1_000_000))
                    assert piece
                await asyncio.sleep(0.3)
            if reads:
                client.close()
            await server.settled()
            assert not server.state.tasks

    served(tmp_path, test)


def test_connections_beyond_the_most_are_told_to_come_again(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        kept = [await server.open() for _ in range(3)]
        reader, _ = await server.open()
        status, headers, body = await answer(reader)
        assert (status, headers["retry-after"]) == (503, "1") and b"too many connections" in body
        for reader, writer in kept:
            writer.write(HEAD + b"\r\n")
            assert (await answer(reader))[0] == 200
        kept[0][1].close()
        await asyncio.sleep(0.05)
        reader, writer = await server.open()
        writer.write(HEAD + b"\r\n")
        assert (await answer(reader))[0] == 200

    served(tmp_path, test, most=3)


def test_a_client_that_vanishes_mid_request_leaves_nothing(tmp_path: Path) -> None:
    async def test(server: Server) -> None:
        _, half = await server.open()
        half.write(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        _, streaming = await server.open()
        streaming.write(b"GET /stream?3 HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        assert len(server.state.tasks) == 2
        half.close()
        streaming.close()
        await server.settled()
        await asyncio.sleep(0.5)
        assert not server.state.tasks

    served(tmp_path, test)


# --- listening ------------------------------------------------------------------------------------


def test_each_worker_has_its_own_socket_at_the_same_free_port() -> None:
    groups = listen("127.0.0.1", 0, 3)
    try:
        assert {one.getsockname() for group in groups for one in group} == {("127.0.0.1", port_of(groups))}
        assert len({one.fileno() for group in groups for one in group}) == 3
        assert all(one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for group in groups for one in group)
    finally:
        close(groups)


def test_a_name_with_several_addresses_listens_at_all_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(*_: Any, **__: Any) -> list[Any]:
        absent = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))  # TEST-NET-1: no machine has it
        return [absent, *((socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", 0)) for last in (1, 2))]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    groups = listen("several", 0, 1)
    try:
        assert {one.getsockname()[0] for one in groups[0]} == {"127.0.0.1", "127.0.0.2"}
        assert {one.getsockname()[1] for one in groups[0]} == {port_of(groups)}
    finally:
        close(groups)


@pytest.mark.parametrize(
    ("host", "said"),
    [("192.0.2.1", "no such address"), ("no.such.host.invalid", "no address of this machine"), ("a..b", "no address")],
)
def test_a_host_that_is_not_here_is_one_line(host: str, said: str) -> None:
    with pytest.raises(FarthingError, match=said) as caught:
        listen(host, 0, 2)
    assert "\n" not in str(caught.value)
