"""What is made of what an upstream sends: framing, faults, memory."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.client import Broken, Pool, Request, Response, connection
from farthing.gateway.client.connection import Connection
from farthing.gateway.client.plain_wire import MOST_HEAD_BYTES, Kept
from tests.gateway.client.serving import OK, ask, head, run, says, serving

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + LENGTH
WHOLE = [
    LENGTH, CHUNKED, INTERIM,
    b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200\r\ncontent-length:5  \r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5  \r\nhello\r\n0\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
]  # fmt: skip


class Transport:
    """Takes what is written, and says what it was told."""

    def __init__(self) -> None:
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Pooled(Kept):
    """A pool that only counts what comes back."""

    def __init__(self) -> None:
        super().__init__(1.0, 1, Request)
        self.given: list[Connection] = []

    def give(self, connection: Connection) -> None:
        self.given.append(connection)

    def lost(self, connection: Connection) -> None: ...


def connected() -> tuple[Connection, Transport, Pooled]:
    pool: Any = Pooled()
    transport: Any = Transport()
    connection = Connection(pool)
    connection.connection_made(transport)
    return connection, transport, pool


def answered(*pieces: bytes, bare: bool = False) -> tuple[Response, Connection, Transport, Pooled]:
    """The answer to one request, of which `pieces` came."""
    connection, transport, pool = connected()
    answer = connection.send(b"GET / HTTP/1.1\r\n\r\n", bare)
    assert answer is not None
    for piece in pieces:
        if not transport.closed:
            connection.data_received(piece)
    return answer, connection, transport, pool


def body_of(answer: Response) -> bytes:
    return asyncio.run(answer.read())


@pytest.mark.parametrize("data", WHOLE)
def test_an_answer_is_read_to_its_end_and_its_connection_goes_back(data: bytes) -> None:
    answer, connection, _, pool = answered(data)
    assert (answer.status, body_of(answer)) == (200, b"hello")
    assert pool.given == [connection]
    assert "x-trailer" not in dict(answer.headers)


@settings(deadline=None)
@given(data=st.sampled_from(WHOLE), cuts=st.lists(st.integers(1, 150), max_size=8))
def test_however_it_is_cut_it_is_the_same(data: bytes, cuts: list[int]) -> None:
    at = sorted({cut for cut in cuts if cut < len(data)})
    pieces = [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]
    once, *_ = answered(data)
    answer, connection, _, pool = answered(*pieces)
    assert (answer.status, answer.headers, body_of(answer)) == (once.status, once.headers, b"hello")
    assert pool.given == [connection]


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_none(status: int) -> None:
    answer, _, _, pool = answered(b"HTTP/1.1 %d X\r\ncontent-length: 5\r\n\r\n" % status)
    assert answer.status == status and body_of(answer) == b"" and len(pool.given) == 1


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    answer, _, transport, pool = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", bare=True)
    assert answer.status == 200 and body_of(answer) == b""
    assert transport.closed and not pool.given  # the parser waits for a body, so the connection is not used again


def test_until_the_end_where_nothing_tells_the_length() -> None:
    answer, connection, transport, pool = answered(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert answer.whole() is None
    connection.eof_received()
    assert answer.over and body_of(answer) == b"hello" and transport.closed and not pool.given


def test_until_the_end_is_broken_where_the_end_is_an_error() -> None:
    answer, connection, *_ = answered(b"HTTP/1.1 200 OK\r\n\r\nhello")
    connection.connection_lost(ConnectionResetError())
    with pytest.raises(Broken):
        body_of(answer)


@pytest.mark.parametrize(
    "data",
    [
        b"220 mail.example ESMTP\r\n\r\n",
        b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(300)) + b"\r\n",
    ],
)
def test_what_cannot_be_read_is_a_fault_and_the_connection_is_cut(data: bytes) -> None:
    answer, _, transport, pool = answered(data)
    with pytest.raises(Broken):
        asyncio.run(_all(answer))
    assert transport.closed and not pool.given


async def begun(answer: Response) -> None:
    while not answer.status:
        await answer.more()


async def _all(answer: Response) -> bytes:
    await begun(answer)
    return await answer.read()


@pytest.mark.parametrize(
    "more", [b"x", LENGTH, b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"]
)
def test_what_follows_an_answer_is_never_the_answer_to_another_request(more: bytes) -> None:
    answer, _, transport, pool = answered(LENGTH + more)
    assert body_of(answer) == b"hello"  # it came whole, and is paid for
    assert transport.closed and not pool.given


def test_what_comes_between_requests_closes_the_connection() -> None:
    answer, connection, transport, pool = answered(LENGTH)
    assert pool.given and answer.over
    connection.data_received(b"HTTP/1.1 200 OK\r\n")
    assert transport.closed and connection.send(b"") is None


@pytest.mark.parametrize("line", [b"connection: close\r\n", b"Connection: Keep-Alive, Close\r\n"])
def test_a_connection_that_says_it_will_close_is_not_kept(line: bytes) -> None:
    answer, _, transport, pool = answered(b"HTTP/1.1 200 OK\r\n" + line + b"content-length: 2\r\n\r\nok")
    assert body_of(answer) == b"ok" and transport.closed and not pool.given


def test_a_premature_end_is_a_fault_after_what_came() -> None:
    answer, connection, *_ = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
    connection.eof_received()

    async def read() -> bytes | None:
        first = await answer.read_chunk()
        with pytest.raises(Broken, match="broke off"):
            await answer.read_chunk()
        return first

    assert asyncio.run(read()) == b"hello"


@pytest.mark.parametrize(("came", "told"), [(b"", "without an answer"), (b"HTTP/1.1 2", "in its head")])
def test_an_end_before_the_answer_says_so(came: bytes, told: str) -> None:
    answer, connection, *_ = answered(*([came] if came else []))
    connection.connection_lost(None)
    with pytest.raises(Broken, match=told):
        asyncio.run(begun(answer))


def test_an_endless_head_has_an_end() -> None:
    line = b"x-more: " + b"v" * 1000 + b"\r\n"
    answer, _, transport, _ = answered(b"HTTP/1.1 200 OK\r\n", *[line] * (MOST_HEAD_BYTES // len(line) + 2))
    assert transport.closed
    with pytest.raises(Broken):
        asyncio.run(begun(answer))


@pytest.mark.parametrize(
    "more", [b"x-more: " + b"v" * 1000 + b"\r\n", b"HTTP/1.1 100 Continue\r\nx: " + b"v" * 1000 + b"\r\n\r\n"]
)
def test_endless_trailers_and_interim_answers_have_an_end(more: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" if more.startswith(b"x-") else b""
    _, _, transport, _ = answered(*([start] if start else []), *[more] * (MOST_HEAD_BYTES // len(more) + 3))
    assert transport.closed


def test_values_beyond_ascii_are_kept_as_they_came() -> None:
    answer, *_ = answered(b"HTTP/1.1 200 OK\r\nX-Name: caf\xc3\xa9\r\ncontent-length: 0\r\n\r\n")
    assert dict(answer.headers)["x-name"].encode("latin-1") == b"caf\xc3\xa9"


def test_repeated_headers_are_all_there() -> None:
    answer, *_ = answered(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\ncontent-length: 0\r\n\r\n")
    assert [pair for pair in answer.headers if pair[0] == "a"] == [("a", "1"), ("a", "2")]


def test_a_slow_reader_makes_the_upstream_wait() -> None:
    piece = b"x" * (64 << 10)
    begin = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (20 * len(piece))
    answer, connection, transport, pool = answered(begin, *[piece] * 5)
    assert not transport.reading

    async def read() -> None:
        assert len(await answer.read_chunk() or b"") == 5 * len(piece)
        assert transport.reading
        for _ in range(15):
            connection.data_received(piece)
            await answer.read_chunk()
        assert await answer.read_chunk() is None

    asyncio.run(read())
    assert pool.given == [connection] and transport.reading


def test_what_is_there_is_given_without_waiting() -> None:
    answer, *_ = answered(LENGTH)
    step = answer.read_chunk()
    with pytest.raises(StopIteration) as given:
        step.send(None)  # a coroutine that does not wait ends at its first step
    assert given.value.value == b"hello"


def test_byte_by_byte_over_a_real_connection() -> None:
    async def work() -> None:
        async with serving(says(CHUNKED, gap_s=0.0005)) as server:
            assert await ask(server.pool) == (200, b"hello")
            assert await ask(server.pool) == (200, b"hello")
            assert server.connections == 1

    run(work())


def test_pieces_come_as_they_are_sent() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for n in range(3):
            writer.write(b"1\r\n%d\r\n" % n)
            await asyncio.sleep(0.03)
        writer.write(b"0\r\n\r\n")

    async def work() -> None:
        async with serving(slowly) as server, _request(server.pool) as answer:
            came = []
            while (chunk := await answer.read_chunk()) is not None:
                came.append(chunk)
            assert came == [b"0", b"1", b"2"]

    run(work())


def test_a_large_answer_arrives_whole() -> None:
    large = bytes(range(256)) * (32 << 10)  # 8 MiB, far beyond what waits at once

    async def work() -> None:
        async with serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(large) + large)) as server:
            assert await ask(server.pool) == (200, large)
            async with _request(server.pool) as answer:
                came = b""
                while (chunk := await answer.read_chunk()) is not None:
                    came += chunk
                    await asyncio.sleep(0)
                assert came == large
            assert server.connections == 1

    run(work())


def test_ok_is_ok() -> None:
    async def work() -> None:
        async with serving(says(OK)) as server:
            assert await ask(server.pool) == (200, b"ok")

    run(work())


def _request(pool: Pool) -> Any:
    return pool.request(head(pool), b"{}")


@settings(deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [LENGTH, CHUNKED, b"HTTP/1.1 ", b"200 OK\r\n", b"content-length: 3\r\n", b"\r\n", b"0\r\n"]
            ),
        ),
        max_size=12,
    )
)
def test_whatever_comes_is_an_answer_or_a_fault(pieces: list[bytes]) -> None:
    answer, connection, transport, pool = answered(*[piece for piece in pieces if piece])
    if not transport.closed:
        connection.eof_received()
    connection.connection_lost(None)
    assert answer.over
    try:
        asyncio.run(_all(answer))
    except Broken:
        assert not pool.given


def test_the_names_that_are_kept_have_a_bound() -> None:
    for n in range(3 * connection._MOST_NAMES):
        name, size = b"X-%d" % n, connection._LONGEST_NAME
        answer, *_ = answered(b"HTTP/1.1 200 OK\r\n%b: a \r\n%b: b\r\n\r\n" % (name, name.ljust(size + 1, b"y")))
        assert answer.headers == [(f"x-{n}", "a"), (f"x-{n}".ljust(size + 1, "y"), "b")]
    assert 0 < len(connection._names) <= connection._MOST_NAMES and max(map(len, connection._names)) <= size
