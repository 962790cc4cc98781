"""A request and its answer between a connection and an ASGI application, on a transport that only takes notes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.process.connection import Connection, Served, _address
from farthing.gateway.process.cycle import Cycle

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
App = Callable[[Any, Any, Any], Awaitable[None]]


class Notes(asyncio.Transport):
    """What was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0


class Talk:
    """A connection to `app`."""

    def __init__(self, app: App) -> None:
        self.transport = Notes()
        self.served = Served(app, 10)
        self.connection = Connection(self.served, asyncio.get_running_loop())
        self.connection.connection_made(self.transport)

    async def say(self, *pieces: bytes) -> bytes:
        """What is written from now on, once each piece has been heard."""
        before = len(self.transport.writes)
        for piece in pieces:
            self.connection.data_received(piece)
            await self.rest()
        return b"".join(self.transport.writes[before:])

    async def rest(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


def answering(*bodies: bytes, status: int = 200, headers: Any = ()) -> App:
    """Answers with `bodies`, one piece each."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [*headers]})
        for body in bodies[:-1]:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": bodies[-1]})

    return app


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    told = b"%s %s %s %s" % (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
    await answering(told, headers=[(b"content-length", b"%d" % len(told))])(scope, receive, send)


def run(app: App, test: Callable[[Talk], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(Talk(app)), 5)

    asyncio.run(main())


def test_a_whole_answer_is_one_write_unless_it_is_large() -> None:
    async def test(talk: Talk) -> None:
        told = await talk.say(GET)
        assert told == b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nGET /  "
        assert len(talk.transport.writes) == 1
        assert (await talk.say(POST % 100_000 + b"a" * 100_000)).endswith(b"a" * 100_000)
        assert len(talk.transport.writes) == 3  # its body is not copied to stand behind its head

    run(echo, test)


def test_an_answer_of_unknown_length_comes_in_chunks_to_who_knows_them() -> None:
    app = answering(b"ab", b"", b"c" * 17, b"")

    async def test(talk: Talk) -> None:
        head, _, body = (await talk.say(GET)).partition(b"\r\n\r\n")
        assert head == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"
        assert body == b"2\r\nab\r\n11\r\n" + b"c" * 17 + b"\r\n0\r\n\r\n" and not talk.transport.closed
        old = await talk.say(GET.replace(b"1.1", b"1.0"))  # it ends with its connection
        assert old == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab" + b"c" * 17
        assert talk.transport.closed

    run(app, test)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_what_has_no_body_sends_none(method: bytes, status: int) -> None:
    async def test(talk: Talk) -> None:
        told = await talk.say(GET.replace(b"GET", method))
        assert told.startswith(b"HTTP/1.1 %d " % status) and told.endswith(b"content-length: 3\r\n\r\n")
        assert not talk.transport.closed

    run(answering(b"abc", status=status, headers=[(b"content-length", b"3")]), test)


@pytest.mark.parametrize("closing", [b"connection: close\r\n", b""])
def test_it_closes_where_one_of_both_wants_it(closing: bytes) -> None:
    headers = [(b"Content-Length", b"1")] + ([] if closing else [(b"connection", b"close")])

    async def test(talk: Talk) -> None:
        told = await talk.say(GET[:-2] + closing + b"\r\n")
        assert told == b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na"
        assert talk.transport.closed

    run(answering(b"a", headers=headers), test)


@pytest.mark.parametrize(
    "header",
    [(b"x", b"a\r\nset-cookie: b"), (b"x", b"a\nb"), (b"x", b"\0"), (b"x\r\ny", b"a"), (b"", b"a"), (b"x y", b"a"),
     (b"x:", b"a"), (b"transfer-encoding", b"chunked")],
)  # fmt: skip
def test_a_header_that_would_forge_another_is_not_sent(header: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(talk: Talk) -> None:
        told = await talk.say(GET)
        assert told.startswith(b"HTTP/1.1 500 ") and told.endswith(b"\r\n\r\nInternal Server Error")
        assert b"cookie" not in told and talk.transport.closed

    run(answering(b"", headers=[header]), test)
    assert "RuntimeError" in capsys.readouterr().err


@pytest.mark.parametrize("length", [b"2", b"4"])
def test_an_answer_of_another_length_than_it_says_ends_the_connection(
    length: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test(talk: Talk) -> None:
        assert await talk.say(GET) == b"" and talk.transport.closed

    run(answering(b"abc", headers=[(b"content-length", length)]), test)
    assert "another length" in capsys.readouterr().err


def test_what_the_application_leaves_unfinished_ends_the_connection(capsys: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/nothing":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if scope["path"] == "/wait":
            await asyncio.Event().wait()
        if scope["path"] == "/raise":
            raise ValueError("boom")

    async def test(talk: Talk) -> None:
        async def ask(path: bytes, cancel: bool = False) -> tuple[bytes, bool]:
            one = Talk(app)
            told = await one.say(GET.replace(b"/ ", path + b" "))
            for task in one.served.tasks if cancel else ():
                task.cancel()
            await one.rest()
            return told, one.transport.closed and not one.served.tasks

        started = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"
        assert await ask(b"/return") == (started, True)
        assert await ask(b"/raise") == (started, True)
        assert await ask(b"/wait", cancel=True) == (started, True)
        told, closed = await ask(b"/nothing")
        assert told.startswith(b"HTTP/1.1 500 ") and closed

    run(app, test)
    said = capsys.readouterr().err
    assert said.count("Traceback") == 1 and "boom" in said  # a cancelled one is no fault
    assert said.count("gave no answer") == 1


def test_word_to_go_on_is_given_once_and_only_to_who_waits_for_it() -> None:
    ask = (POST % 3).replace(b"\r\n\r\n", b"\r\nexpect: 100-Continue\r\n\r\n")
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"

    async def test(talk: Talk) -> None:
        assert await talk.say(ask) == go_on
        assert await talk.say(b"a") == b""
        assert (await talk.say(b"bc")).endswith(b"\r\n\r\nPOST /  abc")
        assert (await talk.say(ask + b"abc")).startswith(b"HTTP/1.1 200 OK")  # it did not wait
        assert await talk.say(POST % 3) == b""

    run(echo, test)


def test_a_client_that_does_not_read_is_waited_for() -> None:
    async def test(talk: Talk) -> None:
        talk.connection.pause_writing()
        assert await talk.say(GET) == b"" and talk.served.tasks
        talk.connection.resume_writing()
        await talk.rest()
        assert talk.transport.writes and not talk.served.tasks
        talk.connection.pause_writing()
        before = len(talk.transport.writes)
        assert await talk.say(GET) == b""
        talk.connection.connection_lost(None)
        await talk.rest()
        assert len(talk.transport.writes) == before and not talk.served.tasks and not talk.served.connections

    run(answering(b"a", b"b"), test)


def test_a_body_that_nobody_takes_is_not_read_on() -> None:
    taking = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await taking.wait()
        await echo(scope, receive, send)

    async def test(talk: Talk) -> None:
        await talk.say(POST % 200_000, b"a" * 60_000)
        assert talk.transport.reading
        await talk.say(b"b" * 60_000)
        assert not talk.transport.reading
        taking.set()
        await talk.rest()
        assert talk.transport.reading
        told = await talk.say(b"c" * 80_000)
        assert told.endswith(b"a" * 60_000 + b"b" * 60_000 + b"c" * 80_000)

    run(app, test)


def test_whoever_waits_is_told_that_the_client_has_left() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = receive.__self__
        assert isinstance(cycle, Cycle) and not cycle.disconnected
        while (message := await receive())["type"] != "http.disconnect":
            heard.append((message["body"], message["more_body"]))
        assert cycle.disconnected
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200})  # goes nowhere
        await send({"type": "http.response.body"})
        heard.append("left")

    async def test(talk: Talk) -> None:
        await talk.say(POST % 2, b"a", b"b")
        assert heard == [(b"", True), (b"a", True), (b"b", False)] or heard == [(b"a", True), (b"b", False)]
        talk.connection.connection_lost(ConnectionResetError())
        await talk.rest()
        assert heard[-1] == "left" and not talk.transport.writes and not talk.served.tasks

    run(app, test)


def test_after_its_answer_a_request_receives_no_more() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(b"a")(scope, receive, send)
        heard.append((await receive())["type"])
        with pytest.raises(RuntimeError):
            await send({"type": "http.response.body"})

    async def test(talk: Talk) -> None:
        told = await talk.say(POST % 3, b"abc" + GET)  # nor does what is left of its body get into the next one
        assert told.count(b"HTTP/1.1 200") == 2 and heard == ["http.disconnect"] * 2

    run(app, test)


REQUESTS = [
    (GET, b"GET /  "),
    (b"GET /a%20b?c=%20&d HTTP/1.1\r\n\r\n", b"GET /a b c=%20&d "),
    (POST % 5 + b"abcde", b"POST /  abcde"),
    (POST % 0, b"POST /  "),
    (
        b"PUT /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\na: b\r\n\r\n",
        b"PUT /x  abcde",
    ),
    (b"POST /h2 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nab", b"POST /h2  ab"),
]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6),
    st.lists(st.integers(1, 60), max_size=60),
)
def test_however_requests_are_cut_and_joined_each_gets_its_own_answer_in_order(
    requests: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    sent = b"".join(ask for ask, _ in requests)
    pieces = []
    for cut in cuts:
        pieces.append(sent[:cut])
        sent = sent[cut:]
    pieces = [piece for piece in (*pieces, sent) if piece]
    due = b"".join(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body) for _, body in requests)

    async def test(talk: Talk) -> None:
        told = await talk.say(*pieces)
        for _ in requests:
            await talk.rest()
        told = b"".join(talk.transport.writes)
        assert told == due and not talk.transport.closed and not talk.served.tasks

    run(echo, test)


@given(st.text("ab/?#%.:;@[]&=*\\\"<>{}|^`~!$'()+,-_", max_size=30))
def test_an_address_is_read_as_the_parser_reads_it(rest: str) -> None:
    url = b"/" + rest.encode()
    parsed = httptools.parse_url(url)
    path, query = _address.__wrapped__(url.replace(b"%", b"$"))  # escapes are a matter of their own
    assert path.encode() == parsed.path.replace(b"%", b"$")
    assert query == (parsed.query or b"").replace(b"%", b"$")
