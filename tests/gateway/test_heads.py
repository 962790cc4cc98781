"""Heads that are plain, those known from before among them, and what is the parser's each time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.http import wanted_headers
from farthing.gateway.process.request_head import BY_NAME, MOST_KNOWN
from farthing.gateway.process.request_lines import MOST_PLAIN_BYTES
from tests.gateway.test_cycle import App, Talk, answering, echo, parsing

LINES = b"Host: x\r\nAuthorization: Bearer k\r\nContent-Length: %d\r\nUser-Agent: caf\xe9\r\nX-Empty: \r\n\r\n"
POST = b"POST /v1/x%%20y?q=1 HTTP/1.1\r\n" + LINES
GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n"


def run(app: App, test: Callable[[Talk], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(Talk(app)), 5)

    asyncio.run(main())


def post(body: bytes) -> bytes:
    return POST % len(body) + body


def told(body: bytes) -> bytes:
    """What `echo` answers to `post`."""
    body = b"POST /v1/x y q=1 " + body
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def test_a_head_that_came_twice_is_known_whatever_the_length_of_its_body() -> None:
    async def test(talk: Talk) -> None:
        for n, known in ((1, 0), (2, 1), (30, 1), (0, 1), (12345, 1)):
            assert await talk.say(post(b"a" * n)) == told(b"a" * n)
            assert len(talk.served.heads.known) == known
        del talk.connection._parser  # it is not asked any more
        for n in (0, 7, 1000):
            assert await talk.say(post(b"b" * n)) == told(b"b" * n)
        assert not talk.served.tasks and not talk.transport.closed

    run(echo, test)


def test_the_body_of_a_known_head_may_come_in_pieces_and_with_the_next_request() -> None:
    async def test(talk: Talk) -> None:
        await talk.say(post(b"a"), post(b"a"))
        assert talk.served.heads.known
        assert await talk.say(POST % 5, b"ab", b"cde") == told(b"abcde")
        assert await talk.say(POST % 5 + b"a", b"bcde" + GET) == told(b"abcde") + (
            b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nGET /  "
        )
        assert await talk.say(post(b"one") + post(b"two") + post(b"3")) == told(b"one") + told(b"two") + told(b"3")
        assert await talk.say(post(b"last")) == told(b"last")

    run(echo, test)


def test_what_is_known_is_what_the_parser_read() -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append({**scope, "headers": list(scope["headers"]), BY_NAME: dict(wanted_headers(scope))})
        scope["path"], wanted_headers(scope)[b"x"] = "/changed", b"changed"  # is of no consequence to the next
        await answering(b"a")(scope, receive, send)

    async def test(talk: Talk) -> None:
        await parsing(talk).say(post(b"abc"))
        for _ in range(3):
            await talk.say(post(b"abc"))
        assert talk.served.heads.known and len(scopes) == 4

    run(app, test)
    assert scopes[0] == scopes[1] == scopes[2] == scopes[3]
    assert scopes[0]["path"] == "/v1/x y" and dict(scopes[3]["headers"])[b"content-length"] == b"3"


def test_whoever_answers_early_leaves_nothing_of_the_body_to_the_next_request() -> None:
    async def test(talk: Talk) -> None:
        await talk.say(post(b"a"), post(b"a"), GET, GET)
        assert len(talk.served.heads.known) == 2
        for head in (POST % len(GET), b"POST /new HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(GET)):
            assert (await talk.say(head, GET)).count(b"HTTP/1.1 200") == 1
            assert (await talk.say(head, GET[:9], GET[9:] + GET)).count(b"HTTP/1.1 200") == 2

    run(answering(b"early"), test)


ODD = [
    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\nhost: y\r\ncontent-length: 1\r\n\r\na",
    b"POST / HTTP/1.1\r\ncontent-length:1\r\n\r\na",
    b"POST / HTTP/1.1\r\ncontent-length:  1\r\n\r\na",
    b"POST / HTTP/1.1\r\ncontent-length: 1 \r\n\r\na",
    b"POST / HTTP/1.1\r\ncontent-length: 0000000000000001\r\n\r\na",
    b"POST / HTTP/1.1\r\nx:\ty\r\ncontent-length: 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nx: " + b"y" * MOST_PLAIN_BYTES + b"\r\ncontent-length: 1\r\n\r\na",
    b"\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\n\r\na",
    b"\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\n\r\na",
    b"\r\ncontent-length: 1\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\n\r\na",
]


@pytest.mark.parametrize("request_", ODD)
def test_what_is_not_plain_is_the_parsers_each_time(request_: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert receive.__self__.meaning is None
        await echo(scope, receive, send)

    async def test(talk: Talk) -> None:
        for _ in range(4):
            if not talk.transport.closed:
                assert b" 500 " not in await talk.say(request_)
        assert talk.served.heads.known == {}

    run(app, test)


@pytest.mark.parametrize("line", [b"connection: close\r\n", b""])
def test_a_request_that_ends_its_connection_is_not_kept(line: bytes) -> None:
    ask = b"GET / HTTP/1.%d\r\nhost: x\r\n%b\r\n" % (1 if line else 0, line)

    async def test(talk: Talk) -> None:
        for _ in range(3):  # each on its connection
            other = talk.another()
            assert (await other.say(ask + GET)).count(b"HTTP/1.1") == 1
            assert other.transport.closed and not talk.served.heads.known

    run(echo, test)


def test_a_request_that_begins_with_a_number_is_refused() -> None:
    async def test(talk: Talk) -> None:
        assert (await talk.say(b"5\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

    run(echo, test)


def test_a_head_that_comes_once_is_no_ones_but_the_connections() -> None:
    head = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTraceparent: %d\r\nContent-Length: %d\r\n\r\n"

    async def test(talk: Talk) -> None:
        del talk.connection._parser  # it is not asked
        for n in range(50):
            assert (await talk.say(head % (n, 2) + b"ab")).endswith(b"POST /v1/x  ab")
        assert not talk.served.heads.known and not talk.served.tasks
        await talk.say(head % (7, 2) + b"ab")
        assert len(talk.served.heads.known) == 1  # which was the second time

    run(echo, test)


def test_a_head_is_known_to_all_connections_of_a_worker() -> None:
    met: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        met.append(receive.__self__.meaning)
        await echo(scope, receive, send)

    async def test(talk: Talk) -> None:
        for n in range(5):
            other = talk.another()
            assert await other.say(post(b"a" * n)) == told(b"a" * n)
        assert met[0] is not met[1] and met[1] is met[2] is met[3] is met[4]  # it was kept when it came again

    run(app, test)


def test_two_heads_in_turn_on_one_connection_are_told_apart() -> None:
    other = (POST % 2).replace(b"/v1/x", b"/v1/z")

    async def test(talk: Talk) -> None:
        await talk.say(post(b"a"), post(b"a"), other + b"ab", other + b"ab")
        assert len(talk.served.heads.known) == 2
        del talk.connection._parser
        for _ in range(3):
            assert await talk.say(post(b"abc")) == told(b"abc")
            assert await talk.say(other + b"ab") == told(b"ab").replace(b"/v1/x", b"/v1/z")
            assert await talk.say(post(b"abcd"), post(b"")) == told(b"abcd") + told(b"")

    run(echo, test)


FORGED = [
    (POST % 1)[:-2] + b"content-length: 1\r\n\r\na",
    (POST % 1)[:-2] + b"content-length: 2\r\n\r\na",
    (POST % 1)[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    (POST % 1)[:-2] + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    (POST % 1)[:-2] + b" folded\r\n\r\na",
    (POST % 1)[:-2] + b"x: a\rb\r\n\r\na",
    (POST % 1)[:-2] + b"x: a\nb: c\r\n\r\na",
    (POST % 1).replace(b": 1", b": +1") + b"a",
    (POST % 1).replace(b": 1", b": 1,1") + b"a",
    (POST % 1).replace(b": 1", b": 0x1") + b"a",
    (POST % 1).replace(b": 1", b": \xb2") + b"a",
    (POST % 1).replace(b": 1", b": 1\r\n\t") + b"a",
    (POST % 1).replace(b"Length: 1\r", b"Length: 1\r\ncontent-length: \r") + b"a",
    (POST % 1).replace(b"Host: x", b"content-length: 1\r\nHost: x") + b"a",
    (POST % 1).replace(b": 1", b": 99999999999999999999") + b"a",
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_head_that_is_nearly_known_is_refused_as_before(forged: bytes) -> None:
    async def test(talk: Talk) -> None:
        await talk.say(post(b"a"), post(b"a"), post(b"a"))
        assert len(talk.served.heads.known) == 1
        said = await talk.say(forged + post(b"other"))
        assert said.startswith(b"HTTP/1.1 400 ") and talk.transport.closed

    run(echo, test)


def test_what_is_kept_has_a_bound() -> None:
    async def test(talk: Talk) -> None:
        most = 0
        for n in range(MOST_KNOWN * 2):
            ask = b"GET /%d HTTP/1.1\r\n\r\n" % n
            await talk.say(ask, ask)
            most = max(most, len(talk.served.heads.known))
        assert most == MOST_KNOWN
        for n in range(50):  # what never comes twice is not kept
            await talk.say(b"GET / HTTP/1.1\r\ntraceparent: %d\r\n\r\n" % n)
        assert not any(b"traceparent" in head for head in talk.served.heads.known)

    run(answering(b""), test)


def test_a_large_body_of_a_known_head_waits_for_who_takes_it() -> None:
    taking = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await taking.wait()
        await echo(scope, receive, send)

    async def test(talk: Talk) -> None:
        taking.set()
        await talk.say(post(b"a"), post(b"a"))
        taking.clear()
        await talk.say(POST % 200_000 + b"a" * 70_000)
        assert not talk.transport.reading
        taking.set()
        await talk.rest()
        assert talk.transport.reading
        assert (await talk.say(b"b" * 130_000)).endswith(b"a" * 70_000 + b"b" * 130_000)

    run(app, test)


ASKS = [
    *(b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (n % 2, n, b"a" * n) for n in (0, 1, 5, 12)),
    GET,
    *(b"POST / HTTP/1.1\r\nHOST: x\r\ntraceparent: %d\r\nContent-Length: 2\r\n\r\nab" % n for n in range(4)),
    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /c HTTP/1.1\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
    b"POST /bad HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
    b"\r\nGET / HTTP/1.1\r\n\r\n",
]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.sampled_from(ASKS), min_size=1, max_size=3).map(b"".join), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(1, 90)), max_size=6),
)
def test_a_server_that_knows_heads_answers_as_one_that_knows_none(
    sent: list[bytes], cuts: list[tuple[int, int]]
) -> None:
    pieces = list(sent)
    for at, cut in cuts:
        if at < len(pieces):
            pieces[at : at + 1] = [part for part in (pieces[at][:cut], pieces[at][cut:]) if part]

    async def answers(known: bool) -> tuple[list[bytes], bool]:
        talk = Talk(echo) if known else parsing(Talk(echo))
        said = []
        for piece in pieces:
            if not talk.transport.closed:
                said.append(await talk.say(piece))
                await talk.rest()
        return said, talk.transport.closed

    async def both() -> None:
        assert await answers(True) == await answers(False)

    asyncio.run(both())
