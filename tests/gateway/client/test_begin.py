"""Requests that are sent at once on a kept connection, and what their caller is told (`Request.begin`)."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.client import Broken, Closing, Pool, Request, Response
from tests.gateway.client.serving import OK, Server, ask, heard, run, says, serving, until
from tests.gateway.client.test_answers import CHUNKED, INTERIM, LENGTH, WHOLE, answered

Work = Callable[[Server], Awaitable[None]]


def post(pool: Pool, body: bytes = b"{}") -> Request:
    return pool.post(pool.origin.start("POST", b"/v1/x"), b"a: b\r\n", body)


class Begun:
    """A request that was sent on a kept connection, and what its caller is told."""

    def __init__(self, pool: Pool, body: bytes = b"{}") -> None:
        self.calls = 0
        self.states: list[tuple[int, bool]] = []
        self.request = post(pool, body)
        response = self.request.begin(self.done)
        assert response is not None
        self.response: Response = response

    def done(self) -> None:
        self.calls += 1
        self.states.append((self.response.status, self.response.over))


def kept(*answers: bytes, close: bool = False) -> Callable[[Work], None]:
    """Run it with a server, of whose pool one connection is kept; the answers are to what is sent on that."""

    def go(work: Work) -> None:
        async def all_of_it() -> None:
            async with serving(says(OK, *answers, close=False) if not close else _closing(*answers)) as server:
                await ask(server.pool)
                await work(server)

        run(all_of_it())

    return go


def _closing(*answers: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK)
        await heard(reader)
        for answer in answers:
            writer.write(answer)
            await writer.drain()

    return handle


def test_nothing_is_sent_where_no_connection_is_kept() -> None:
    async def work() -> None:
        async with serving(says(OK)) as server:
            told: list[int] = []
            request = post(server.pool)
            assert request.begin(lambda: told.append(1)) is None
            request.close()
            await asyncio.sleep(0.02)
            assert server.connections == 0 and not told
            answer = await request.answer()  # which makes one
            assert (answer.status, await answer.read(), server.connections) == (200, b"ok", 1)

    run(work())


def test_a_whole_answer_is_told_of_once_and_its_connection_is_free() -> None:
    async def work(server: Server) -> None:
        begun = Begun(server.pool)
        assert not server.pool._idle and begun.response.status == 0 and begun.response.headers == []
        await until(lambda: begun.calls > 0)
        assert begun.states == [(200, True)] and len(server.pool._idle) == 1
        assert begun.response.headers == [("content-length", "5"), ("x-a", "1")]
        assert begun.response.whole() == b"hello" and begun.response.whole() == b""
        begun.request.close()
        assert len(server.pool._idle) == 1 and begun.calls == 1

    kept(LENGTH)(work)


def test_the_bytes_of_a_post() -> None:
    came = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while one := await heard(reader):
            came.append(one)
            writer.write(OK)

    async def work() -> None:
        async with serving(listen) as server:
            for body in (b"", b"{}", b"x" * (16 << 10), b"y" * 3_000_001):
                async with post(server.pool, body) as answer:
                    assert await answer.read() == b"ok"
                told = b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\na: b\r\ncontent-type: application/json\r\n"
                assert came.pop() == told % server.port + b"content-length: %d\r\n\r\n" % len(body) + body

    run(work())


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 40_000), st.text("ab-_ 09~", max_size=30))
def test_a_post_is_its_parts(start: bytes, lines: bytes, size: int, last: str) -> None:
    _, _, _, pool = answered()
    sent = pool.post(start, lines, b"z" * size, last)._data
    joined = sent if isinstance(sent, bytes) else b"".join(sent)
    own = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
    assert joined == start + lines + (last.encode() + b"\r\n" if last else b"") + own + b"z" * size


@pytest.mark.parametrize("last", ["a\r\nb: c", "a\n", "\0", "\x7f", "\xe9", "\u20ac", "a\u20ac", "\U0001f600"])
def test_a_value_that_could_end_its_line_is_refused(last: str) -> None:
    _, _, _, pool = answered()
    with pytest.raises(ValueError, match="header's value"):
        pool.post(b"", b"a: ", b"", last)


@pytest.mark.parametrize("answer", [CHUNKED, LENGTH[:-2], INTERIM])
def test_an_answer_that_is_not_whole_yet_is_read_on(answer: bytes) -> None:
    """Told once, though it comes byte by byte."""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK)
        await heard(reader)
        for n in range(len(answer)):
            writer.write(answer[n : n + 1])
            await writer.drain()
            await asyncio.sleep(0.0005)

    async def work() -> None:
        async with serving(slowly) as server:
            await ask(server.pool)
            begun = Begun(server.pool)
            await until(lambda: begun.calls > 0)
            assert begun.states == [(0, False)]
            response = await begun.request.answer()
            assert response is begun.response and response.status == 200
            if answer.endswith(b"hel"):
                with pytest.raises(Broken, match="broke off"):
                    await response.read()
            else:
                assert await response.read() == b"hello"
            assert begun.calls == 1

    run(work())


def test_a_head_that_came_before_its_body_is_told_of() -> None:
    async def work(server: Server) -> None:
        begun = Begun(server.pool)
        await until(lambda: begun.calls > 0)
        assert begun.states == [(200, False)] and begun.response.whole() is None
        response = await begun.request.answer()
        assert await response.read_chunk() == b"hel"
        begun.request.close()
        assert not server.pool._idle and response.over

    kept(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel")(work)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((), "without an answer"),
        ((b"HTTP/1.1 2",), "in its head"),
        ((b"SMTP\r\n\r\n",), "no HTTP"),
    ],
)
def test_a_failure_is_told_of_and_raised_by_answer(answers: tuple[bytes, ...], told: str) -> None:
    async def work(server: Server) -> None:
        begun = Begun(server.pool)
        await until(lambda: begun.response.over)
        assert begun.calls == 1 and begun.response.whole() is None
        with pytest.raises(Broken, match=told):
            await begun.request.answer()
        assert begun.calls == 1 and not server.pool._idle

    kept(*answers, close=True)(work)


def test_a_connection_that_was_closing_says_so() -> None:
    """The peer closes it without having read the request, as its system tells by a reset."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK)
        await writer.drain()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async def work() -> None:
        async with serving(once) as server:
            await ask(server.pool)
            begun = Begun(server.pool)
            await until(lambda: begun.calls > 0)
            await asyncio.sleep(0.4)  # it is the end that was just after, not the question
            with pytest.raises(Closing):
                await begun.request.answer()

    run(work())


def test_a_closed_connection_is_passed_over() -> None:
    async def work(server: Server) -> None:
        assert await asyncio.gather(*(ask(server.pool) for _ in range(2))) == [(200, b"ok")] * 2
        assert len(server.pool._idle) == 2
        server.pool._idle[-1].transport.close()
        begun = Begun(server.pool)
        await until(lambda: begun.calls > 0)
        assert begun.response.whole() == b"ok" and server.connections == 2
        for connection in server.pool._idle:
            connection.transport.close()
        assert post(server.pool).begin(lambda: None) is None

    kept(OK)(work)


def test_nothing_is_told_after_close_or_once_it_is_awaited() -> None:
    async def work(server: Server) -> None:
        begun = Begun(server.pool)
        begun.request.close()
        assert begun.response.over
        await asyncio.sleep(0.02)
        assert begun.calls == 0 and not server.pool._idle
        await ask(server.pool)
        begun = Begun(server.pool)
        answer = await begun.request.answer()
        assert await answer.read() == b"ok" and begun.calls == 0

    kept(OK)(work)


def test_who_is_told_may_ask_again_at_once_or_give_it_up() -> None:
    async def work(server: Server) -> None:
        bodies: list[bytes | None] = []
        asked: list[Request] = []

        def next_one() -> None:
            if asked:
                answer = asked[-1]._answer
                assert answer is not None
                bodies.append(answer.whole())
            if len(bodies) < 50:
                asked.append(post(server.pool))
                assert asked[-1].begin(next_one) is not None

        next_one()
        await until(lambda: len(bodies) == 50)
        assert bodies == [b"ok"] * 50 and server.connections == 1

    kept(OK)(work)

    async def gives_up(server: Server) -> None:
        request = post(server.pool)
        calls: list[int] = []

        def done() -> None:
            calls.append(1)
            request.close()

        assert request.begin(done) is not None
        await until(lambda: bool(calls))
        await asyncio.sleep(0.02)
        assert calls == [1] and not server.pool._idle

    kept(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel")(gives_up)


def test_a_request_is_sent_once() -> None:
    async def work(server: Server) -> None:
        begun = Begun(server.pool)
        with pytest.raises(RuntimeError, match="once"):
            begun.request.begin(None)
        await until(lambda: begun.calls > 0)
        with pytest.raises(RuntimeError, match="once"):
            begun.request.begin(None)

    kept(OK)(work)


# --- read here and by the parser ----------------------------------------------------------------------

EMPTY = b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"
TAILS = [b"", b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n", LENGTH, CHUNKED]
PIECES = [
    LENGTH, CHUNKED, OK, b"HTTP/1.1 ", b"200 OK\r\n", b"content-length: 3\r\n", b"content-length: 0\r\n\r\n", b"\r\n",
    b"abc", b"HTTP/1.1 200 OK\r\n", b"connection: close\r\n", b"connection: keep-alive\r\n", b"x-a: \xe9 \r\n",
    b"transfer-encoding: chunked\r\n",
    b"0\r\n\r\n", b"HTTP/1.1 429 No\r\nretry-after: 1\r\n",
]  # fmt: skip


async def _told(data: list[bytes]) -> tuple[object, ...]:
    """All that can be told of an answer of which this came, and then the end."""
    answer, connection, transport, pool = answered(*data)
    early = (answer.status, answer.headers, answer.over, transport.closed, len(pool.given))
    if not transport.closed:
        connection.eof_received()
    connection.connection_lost(None)
    body, fault = b"", ""
    try:
        while not answer.status:
            await answer.more()
        while (chunk := await answer.read_chunk()) is not None:
            body += chunk
    except Broken as error:
        fault = str(error)
    return (*early, answer.status, answer.headers, answer.over, body, fault)


@settings(deadline=None, max_examples=300)
@given(
    data=st.one_of(
        st.tuples(st.sampled_from([*WHOLE, OK]), st.sampled_from(TAILS)).map(b"".join),
        st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), min_size=1, max_size=9).map(b"".join),
    )
)
def test_what_comes_in_one_piece_is_what_the_parser_makes_of_it(data: bytes) -> None:
    """The parser has it from its first byte where that comes alone: then the head is none yet."""
    if data:
        assert asyncio.run(_told([data])) == asyncio.run(_told([data[:1], data[1:]] if data[1:] else [data]))


@settings(deadline=None, max_examples=200)
@given(
    data=st.sampled_from([LENGTH, OK, b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"]), cuts=st.sets(st.integers(1, 60))
)
def test_a_plain_body_in_pieces_is_the_same(data: bytes, cuts: set[int]) -> None:
    at = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(at)]
    assert asyncio.run(_told(pieces)) == asyncio.run(_told([data]))


@pytest.mark.parametrize("more", TAILS[1:])
def test_what_follows_a_body_in_pieces_closes_the_connection(more: bytes) -> None:
    answer, _, transport, pool = answered(LENGTH[:-2], LENGTH[-2:] + more)
    assert answer.whole() == b"hello" and transport.closed and not pool.given
