"""A request and its answer between a connection and an ASGI application, on a transport that only takes notes."""

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.process.connection import Connection
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.process.heads import address
from farthing.gateway.process.served import Served

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

    def __init__(self, app: App, served: Served | None = None, kind: type[Connection] = Connection) -> None:
        self.transport = Notes()
        self.served = Served(app, 10) if served is None else served
        self.connection = kind(self.served, asyncio.get_running_loop())
        self.connection.connection_made(self.transport)

    def another(self) -> "Talk":
        """A connection to the same worker."""
        return Talk(self.served.app, self.served)

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


class Parsing(Connection):
    """All of what comes on it is the parser's."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        self._more(data)


def parsing(talk: Talk) -> Talk:
    """A connection to the same worker, all of which is the parser's."""
    return Talk(talk.served.app, talk.served, Parsing)


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
    path, query = address.__wrapped__(url.replace(b"%", b"$"))  # escapes are a matter of their own
    assert path.encode() == parsed.path.replace(b"%", b"$")
    assert query == (parsed.query or b"").replace(b"%", b"$")


HEADERS = [
    (b"content-type", b"a/b"), (b"x-farthing-request-id", b"r" * 32), (b"x", b""), (b"x", b"caf\xe9\ta"),
    (b"Content-Type", b"a/b"), (b"connection", b"close"), (b"transfer-encoding", b"chunked"), (b"x y", b"a"),
    (b"x", b"a\r\nb: c"), (b"x", b"a\nb"), (b"x", b"a\0"), (b"x\r\ny", b"a"),
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(HEADERS[:4]) | st.sampled_from(HEADERS), max_size=5),
    st.sampled_from([200, 200, 200, 204, 304, 404, 599]),
    st.sampled_from([GET, GET, GET.replace(b"GET", b"HEAD"), GET.replace(b"1.1", b"1.0")]),
    st.sampled_from([b"", b"abc", b"a" * 70_000]),
)
def test_a_whole_answer_at_once_is_what_two_messages_make(
    headers: list[tuple[bytes, bytes]], status: int, ask: bytes, body: bytes
) -> None:
    at_once = []

    async def once(scope: Any, receive: Any, send: Any) -> None:
        at_once.append(send.__self__.answer(status, headers, body))
        if not at_once[-1]:
            await two(scope, receive, send)

    two = answering(body, status=status, headers=[*headers, (b"content-length", b"%d" % len(body))])

    async def answers(app: App) -> tuple[list[bytes], bool]:
        talk = Talk(app)
        await talk.say(ask)
        await talk.rest()
        assert not talk.served.tasks
        return talk.transport.writes, talk.transport.closed

    async def both() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # what is refused is told
            expected = await answers(two)  # from here on the names are known
            assert await answers(once) == expected
        plain = ask == GET and status not in (204, 304) and all(one in HEADERS[:4] for one in headers)
        assert at_once == [bool(plain)]

    asyncio.run(both())


def test_an_answer_at_once_comes_only_first_and_ends_the_request() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = send.__self__
        waiting = asyncio.create_task(receive()) if scope["method"] == "POST" else None
        await asyncio.sleep(0)
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        heard.append(cycle.answer(200, [(b"content-type", b"a")], b"b"))
        if not heard[-1]:
            await send({"type": "http.response.body", "body": b"b"})
        assert not cycle.answer(200, [(b"content-type", b"a")], b"b")
        heard.append((await (waiting or receive()))["type"])

    async def test(talk: Talk) -> None:
        await talk.say(GET)
        heard.clear()
        assert (await talk.say(GET)).endswith(b"\r\n\r\nb") and heard == [True, "http.disconnect"]
        assert (await talk.say(POST % 3)).endswith(b"\r\n\r\nb") and heard[2:] == [True, "http.disconnect"]
        assert (await talk.say(b"abc" + GET)).count(b"HTTP/1.1") == 1 and heard[4:] == [True, "http.disconnect"]
        told = await talk.say(GET.replace(b"/ ", b"/late "))
        assert told.endswith(b"\r\n\r\nb") and heard[6:] == [False, "http.disconnect"]
        talk.connection.pause_writing()  # a client that does not read is waited for, which `send` does
        assert await talk.say(GET) == b"" and heard[8:] == [False]
        talk.connection.connection_lost(None)
        await talk.rest()

    run(app, test)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_piece_at_once_is_what_a_message_makes(version: bytes) -> None:
    pieces, sent = [b"a", b"bc", b"", b"d" * 20, b"e" * 255, b"f" * 256, b"g" * 70_000], list[bool]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = send.__self__
        sent.append(cycle.piece(b"no"))
        await send({"type": "http.response.start", "status": 200})
        sent.append(cycle.piece(b"no"))
        for piece in pieces:
            sent.append(cycle.piece(piece))
            if not sent[-1]:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        sent.append(cycle.piece(b"no"))

    async def test(talk: Talk) -> None:
        ask = GET.replace(b"1.1", version)
        told = await talk.say(ask)
        other = Talk(answering(*pieces, b""))
        assert told == await other.say(ask)
        # Not before the head and the first piece went out, not an empty one, which would end it, not after its end.
        at_once = version == b"1.1"
        assert sent == [False, False, False, at_once, False, *([at_once] * 4), False]

    run(app, test)


def test_no_piece_is_sent_at_once_to_who_does_not_read_or_has_left() -> None:
    going = asyncio.Event()
    sent: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = send.__self__
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        for _ in range(3):
            await going.wait()
            going.clear()
            sent.append(cycle.piece(b"b"))

    async def test(talk: Talk) -> None:
        async def go() -> None:
            going.set()
            await talk.rest()

        await talk.say(GET)
        await go()
        talk.connection.pause_writing()
        await go()
        talk.connection.resume_writing()
        talk.connection.connection_lost(None)
        await go()
        assert sent == [True, False, False] and talk.transport.writes[1:] == [b"1\r\nb\r\n"]

    run(app, test)


def test_a_body_is_whole_only_when_all_of_it_has_come() -> None:
    heard: list[bytes | None] = []
    going = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = receive.__self__
        while not heard or heard[-1] is None:
            await going.wait()
            going.clear()
            heard.append(cycle.whole())
        assert cycle.whole() is None  # once
        await answering(b"")(scope, receive, send)

    async def test(talk: Talk) -> None:
        for piece in (POST % 3 + b"a", b"b", b"c"):
            await talk.say(piece)
            going.set()
            await talk.rest()
        assert heard == [None, None, b"abc"] and not talk.served.tasks

    run(app, test)
