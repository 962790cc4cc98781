"""Requests that the application takes at once: whole ones with a plain head, or whose turn came; no task is made."""

import asyncio
import contextlib
import gc
import io
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.process.connection import Connection
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.process.request_head import BY_NAME
from farthing.gateway.process.served import Served
from tests.gateway.test_cycle import GET, POST, Notes, Talk, answering, echo, parsing, run

LINES = b"content-type: a/b\r\nx-id: 1\r\n"


def taking(talk: Talk, take: Callable[[Cycle], bool]) -> list[Cycle]:
    """From now on what is whole is offered to `take`; what it was offered."""
    offered: list[Cycle] = []

    def at_once(cycle: Cycle) -> bool:
        offered.append(cycle)
        return take(cycle)

    talk.served.at_once = at_once
    return offered


async def known(talk: Talk, *asks: bytes) -> None:
    """The heads of `asks` are known from here on."""
    for ask in asks:
        await talk.say(ask, ask)
    assert len(talk.served.heads.known) == len(asks)


def say(cycle: Cycle) -> bool:
    body = cycle.whole()
    assert body is not None
    return cycle.answer(200, (), b"%s %s %s" % (cycle.method.encode(), cycle.path.encode(), body), LINES)


def said(what: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (LINES, len(what), what)


def test_a_whole_request_with_a_known_head_is_answered_without_a_task() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc", GET)
        offered = taking(talk, say)
        talk.connection.data_received(POST % 5 + b"abcde")
        assert talk.transport.writes[-1] == said(b"POST / abcde") and not talk.served.tasks
        talk.connection.data_received(GET)
        assert talk.transport.writes[-1] == said(b"GET / ")
        # Of what comes behind it, which is the parser's, the first is served before its body is seen, the others later.
        talk.connection.data_received((POST % 1 + b"x") * 3 + GET)
        await talk.rest()
        second = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nPOST /  x"
        due = [said(b"POST / x"), second, said(b"POST / x"), said(b"GET / ")]
        assert talk.transport.writes[-4:] == due and len(offered) == 5
        assert all(not cycle.more_body and cycle.answered and cycle.task is None for cycle in offered)

    run(echo, test)


def test_what_is_not_taken_is_the_applications() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")
        offered = taking(talk, lambda cycle: False)
        assert (await talk.say(POST % 2 + b"ab")).endswith(b"POST /  ab") and len(offered) == 1
        assert (await talk.say(POST % 2, b"ab")).endswith(b"POST /  ab") and len(offered) == 1  # it did not come whole
        assert (await talk.say(POST % 0)).endswith(b"POST /  ") and len(offered) == 2
        assert not talk.served.tasks

    run(echo, test)


def test_what_it_came_with_is_read_without_a_scope() -> None:
    ask = b"POST /a%%20b?c HTTP/1.1\r\nHost: x\r\nX-A: caf\xe9\r\nContent-Length: %d\r\n\r\n"
    seen: list[Cycle] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(receive.__self__)
        await answering(b"")(scope, receive, send)

    async def test(talk: Talk) -> None:
        await parsing(talk).say(ask % 1 + b"x")
        await known(talk, ask % 1 + b"x")
        offered = taking(talk, lambda cycle: False)
        await talk.say(ask % 2 + b"xy")
        first, last = seen[0], offered[0]
        assert seen[-1] is last and first.meaning is None and first.digits == b""
        assert last.meaning is next(iter(talk.served.heads.known.values())) and last.digits == b"2"
        for cycle in (first, last):
            assert (cycle.method, cycle.path) == ("POST", "/a b")
            assert cycle.scope["query_string"] == b"c" and cycle.scope["http_version"] == "1.1"
        assert last.headers == {b"host": b"x", b"x-a": b"caf\xe9", b"content-length": b"2"}
        assert first.headers == {**last.headers, b"content-length": b"1"} and first.headers is first.headers
        assert last.meaning.headers == {**last.headers, b"content-length": b""}
        assert dict(last.scope["headers"]) == last.scope[BY_NAME] == last.headers

    run(app, test)


def test_of_a_repeated_header_the_first_is_read() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert send.__self__.headers == {b"a": b"1", b"b": b"3"}
        await answering(b"")(scope, receive, send)

    async def test(talk: Talk) -> None:
        assert b" 200 " in await talk.say(b"GET / HTTP/1.1\r\na: 1\r\nA: 2\r\nb: 3\r\n\r\n")

    run(app, test)


def test_a_memo_is_kept_with_the_head_it_is_for() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc", GET)

        def count(cycle: Cycle) -> bool:
            assert cycle.meaning is not None
            memo = cycle.meaning.memo
            cycle.meaning.memo = 1 + (memo if isinstance(memo, int) else 0)
            return say(cycle)

        taking(talk, count)
        for ask in (GET, POST % 1 + b"a", GET, GET):
            await talk.say(ask)
        assert sorted(one.memo for one in talk.served.heads.known.values()) == [1, 3]  # type: ignore[type-var]

    run(echo, test)


def test_one_that_is_taken_may_be_answered_later_and_others_wait_behind_it() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")
        offered = taking(talk, lambda cycle: True)
        assert await talk.say(POST % 2 + b"ab", POST % 2 + b"cd", POST % 2 + b"ef") == b""
        assert len(offered) == 1 and talk.served.waiting() == [offered[0]]
        assert say(offered[0])
        assert len(offered) == 2 and talk.served.waiting() == [offered[1]]  # its body came while it waited
        assert talk.transport.writes[-1] == said(b"POST / ab")
        assert say(offered[1]) and talk.transport.writes[-1] == said(b"POST / cd")
        assert say(offered[2]) and talk.transport.writes[-1] == said(b"POST / ef")
        assert not talk.served.waiting() and not talk.served.tasks
        assert not offered[2].answer(200, (), b"again")
        taking(talk, say)
        assert await talk.say(POST % 2 + b"gh") == said(b"POST / gh")

    run(echo, test)


def test_many_that_are_answered_at_once_one_behind_another() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")
        offered = taking(talk, lambda cycle: len(offered) == 1 or say(cycle))
        assert await talk.say(b"".join(POST % 1 + b"%d" % n for n in range(10))) == b""
        assert say(offered[0])
        assert b"".join(talk.transport.writes[-10:]) == b"".join(said(b"POST / %d" % n) for n in range(10))

    run(echo, test)


def test_one_goes_on_in_a_task_with_the_same_ends() -> None:
    async def good(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        assert cycle.answer(200, (), b"late", LINES)

    async def sends(cycle: Cycle) -> None:
        message = await cycle.receive()
        await answering(message["body"])(cycle.scope, cycle.receive, cycle.send)

    async def bad(cycle: Cycle) -> None:
        raise ValueError("boom")

    async def silent(cycle: Cycle) -> None:
        return

    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")
        works: list[Callable[[Cycle], Any]] = [good, sends, bad, good, silent]

        def go_on(cycle: Cycle) -> bool:
            task = cycle.go_on(works.pop(0)(cycle))
            assert task in talk.served.tasks and cycle.task is task and not talk.served.waiting()
            return True

        taking(talk, go_on)
        ask = POST % 2 + b"ab"
        assert await talk.say(ask) == said(b"late")
        assert (await talk.say(ask)).endswith(b"2\r\nab\r\n0\r\n\r\n")
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            assert (await talk.say(ask)).startswith(b"HTTP/1.1 500 ")
        assert "boom" in told.getvalue() and talk.transport.closed and not talk.served.tasks

    run(echo, test)


def test_an_application_that_fails_to_take_one_ends_its_connection() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")

        def fail(cycle: Cycle) -> bool:
            raise ValueError("boom")

        taking(talk, fail)
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            assert (await talk.say(POST % 2 + b"ab")).startswith(b"HTTP/1.1 500 ")
        assert "boom" in told.getvalue() and talk.transport.closed and not talk.served.tasks

    run(echo, test)


@pytest.mark.parametrize("answered", [False, True])
def test_who_took_one_is_told_once_that_its_client_has_left(answered: bool) -> None:
    told: list[bool] = []

    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")

        def take(cycle: Cycle) -> bool:
            cycle.on_lost = lambda: told.append(cycle.disconnected)
            cycle.take_up = lambda: None
            return True

        offered = taking(talk, take)
        await talk.say(POST % 2 + b"ab")
        (cycle,) = offered
        if answered:
            assert say(cycle)
            assert cycle.on_lost is None and cycle.take_up is None
        talk.connection.connection_lost(None)
        assert told == ([] if answered else [True]) and cycle.on_lost is None
        assert not talk.served.waiting() and not cycle.answer(200, (), b"")

    run(echo, test)


def test_lines_stand_behind_headers_and_say_nothing_else() -> None:
    async def test(talk: Talk) -> None:
        await known(talk, GET)
        taking(talk, lambda cycle: cycle.answer(404, [(b"x", b"y")], b"a" * 70_000, LINES))
        head = b"HTTP/1.1 404 Not Found\r\nx: y\r\n%bcontent-length: 70000\r\n\r\n" % LINES
        assert await talk.say(GET) == head + b"a" * 70_000
        assert len(talk.transport.writes) == 4  # its body is not copied to stand behind its head

    run(echo, test)


@pytest.mark.parametrize("status", [0, -1, 100, 199, 204, 304, 600, 2**31 - 1])
def test_no_answer_at_once_has_a_status_without_a_body_or_a_line(status: int) -> None:
    async def test(talk: Talk) -> None:
        await known(talk, GET)
        offered = taking(talk, lambda cycle: True)
        await talk.say(GET)
        assert not offered[0].answer(status, (), b"") and not offered[0].answered
        assert offered[0].answer(200, (), b"")

    run(echo, test)


@pytest.mark.parametrize(
    "odd", [[(b"a",)], [(b"a", b"b", b"c")], [[b"a", b"b"]], [("a", b"b")], [(b"a", "b")], [b"ab"]]
)
def test_headers_that_are_no_pairs_of_bytes_are_not_sent(odd: Any) -> None:
    async def test(talk: Talk) -> None:
        await known(talk, GET)
        offered = taking(talk, lambda cycle: True)
        await talk.say(GET)
        assert not offered[0].answer(200, odd, b"") and not offered[0].answered
        with pytest.raises(TypeError):
            offered[0].answer(200, 5, b"")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            offered[0].answer(200, (), "a")  # type: ignore[arg-type]
        assert offered[0].answer(200, iter([(b"a", b"b")]), b"")  # type: ignore[arg-type]

    run(echo, test)


@pytest.mark.slow
def test_nothing_keeps_a_connection_alive_that_is_gone() -> None:
    async def main() -> None:
        served = Served(echo, 10)
        kept = []

        class Seen(Connection):
            __slots__ = ("__weakref__",)

        for _ in range(3):
            connection, notes = Seen(served, asyncio.get_running_loop()), Notes()
            connection.connection_made(notes)
            served.at_once = say
            for _ in range(4):
                connection.data_received(POST % 2 + b"ab")
                for _ in range(5):
                    await asyncio.sleep(0)
            assert notes.writes[-1] == said(b"POST / ab")
            connection.connection_lost(None)
            kept.append(weakref.ref(connection))
            del connection, notes
        gc.collect()
        assert [one() for one in kept] == [None] * 3

    asyncio.run(main())


def test_what_is_no_request_is_refused() -> None:
    async def test(talk: Talk) -> None:
        with pytest.raises(TypeError):
            talk.connection.data_received(bytearray(b"GET"))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            talk.connection.data_received(None)  # type: ignore[arg-type]
        assert not talk.transport.writes and talk.served.waiting() == []

    run(echo, test)


def test_a_request_that_came_but_once_is_offered_at_once() -> None:
    async def test(talk: Talk) -> None:
        offered = taking(talk, say)
        for n in range(9):
            ask = b"POST /%d HTTP/1.1\r\nHost: x\r\ntraceparent: 00-%d\r\nContent-Length: 2\r\n\r\nab" % (n // 3, n)
            talk.connection.data_received(ask)
            assert talk.transport.writes[-1] == said(b"POST /%d ab" % (n // 3)) and not talk.served.tasks
            assert offered[n].headers == {b"host": b"x", b"traceparent": b"00-%d" % n, b"content-length": b"2"}
        assert not talk.served.heads.known

    run(echo, test)


TRACED = b"PUT /a%%20?b=%d HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\nX: \r\nT: %d\r\nCONTENT-LENGTH: 2\r\n\r\nab"
PLAIN = [
    *(POST % n + b"a" * n for n in (0, 1, 12)), GET, (POST % 3).replace(b"/ ", b"/other ") + b"abc",
    *(TRACED % (n // 2, n) for n in range(4)),
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(PLAIN), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from(["cut", "drop", "put", "twice"]), st.integers(0, 255)),
        max_size=4,
    ),
)
def test_whatever_comes_is_heard_as_by_a_server_that_knows_no_heads(
    asks: list[bytes], faults: list[tuple[int, str, int]]
) -> None:
    pieces = [b"".join(asks)]
    for where, fault, byte in faults:
        n = where % len(pieces)
        piece = pieces[n]
        at = where % (len(piece) + 1)
        if fault == "cut":
            pieces[n : n + 1] = [part for part in (piece[:at], piece[at:]) if part]
        elif fault == "drop":
            pieces[n] = piece[:at] + piece[at + 1 :]
        elif fault == "put":
            pieces[n] = piece[:at] + bytes([byte]) + piece[at:]
        else:
            pieces.insert(n, piece)
        pieces = [piece for piece in pieces if piece] or [GET]

    async def heard(knows: bool, once: bool) -> tuple[bytes, bool]:
        talk = Talk(echo)
        for ask in PLAIN:
            await talk.say(ask, ask)
        if not knows:
            talk = parsing(talk)
        if once:
            taking(talk, lambda cycle: bool(cycle.go_on(echo(cycle.scope, cycle.receive, cycle.send))))
        before = len(talk.transport.writes)
        for piece in pieces:
            if not talk.transport.closed:
                await talk.say(piece)
                await talk.rest()
        return b"".join(talk.transport.writes[before:]), talk.transport.closed

    async def all_alike() -> None:
        expected = await heard(False, False)
        assert await heard(True, False) == expected
        assert await heard(True, True) == expected

    asyncio.run(all_alike())


def test_a_shutdown_ends_what_was_taken_at_once() -> None:
    """By `_Worker._drained`, on a worker's own terms."""
    from types import SimpleNamespace

    from farthing.gateway.process.serve import _Worker

    async def draining(talk: Talk, seconds: float) -> Awaitable[None]:
        worker = SimpleNamespace(_at_once=asyncio.Event())
        until = asyncio.get_running_loop().time() + seconds
        return asyncio.ensure_future(_Worker._drained(worker, talk.served, until))  # type: ignore[arg-type]

    async def test(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")
        ended: list[str] = []

        async def waits() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        def take(cycle: Cycle) -> bool:
            def take_up() -> None:
                cycle.go_on(waits())

            cycle.take_up = take_up
            return True

        offered = taking(talk, take)
        await talk.say(POST % 2 + b"ab")
        drained = await draining(talk, 0.1)
        await asyncio.sleep(0.03)
        assert not ended and not talk.transport.closed and talk.served.waiting()
        await asyncio.sleep(0.2)
        assert ended == ["cancelled"] and talk.transport.closed and not talk.served.tasks
        assert (
            talk.transport.writes[-1].startswith(b"HTTP/1.1 500")
            or talk.transport.writes[-1] == b"Internal Server Error"
        )
        talk.connection.connection_lost(None)
        await drained
        assert offered[0].answered

    async def answered(talk: Talk) -> None:
        await known(talk, POST % 3 + b"abc")
        offered = taking(talk, lambda cycle: True)
        await talk.say(POST % 2 + b"ab")
        drained = await draining(talk, 5)
        await asyncio.sleep(0.03)
        assert not talk.transport.closed
        assert not offered[0].answer(200, (), b"ok")  # its connection is to close: that is told by messages
        offered[0].go_on(answering(b"ok")(offered[0].scope, offered[0].receive, offered[0].send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert talk.transport.closed and b"connection: close" in talk.transport.writes[-1]
        talk.connection.connection_lost(None)
        await asyncio.wait_for(drained, 1)

    run(echo, test)
    run(echo, answered)
