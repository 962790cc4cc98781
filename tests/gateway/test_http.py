"""The little of HTTP that the gateway handles itself."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.gateway import http
from farthing.gateway.http import (
    Held,
    body_at_once,
    client_left,
    own_cycle,
    passed_headers,
    read_body,
    send_whole,
)
from farthing.gateway.problem import Problem
from farthing.gateway.watch import watched
from tests.gateway.test_cycle import GET, POST, Talk, run


def test_headers_of_the_connection_and_in_our_name_are_not_passed() -> None:
    upstream = [
        ("content-type", "a/b"), ("content-length", "3"), ("set-cookie", "a"), ("x-farthing-cost-usd", "0"),
        ("x-ratelimit-limit", "1"), ("anthropic-ratelimit-x", "1"), ("x-a", "1"), ("x-a", "caf\xe9"),
    ]  # fmt: skip
    passed = [(b"content-type", b"a/b"), (b"x-a", b"1"), (b"x-a", b"caf\xe9")]
    limits = [(b"x-ratelimit-limit", b"1"), (b"anthropic-ratelimit-x", b"1")]
    for _ in range(2):  # the second time the names are known
        assert passed_headers(upstream, limited=True) == passed
        assert passed_headers(upstream) == [passed[0], *limits, *passed[1:]]
    assert passed_headers([]) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["date", "x-a", "X-B"]),
            st.text(st.characters(max_codepoint=255), max_size=5) | st.just("a" * 8192) | st.just("a" * 8193),
        ),
        max_size=4,
    )
)
def test_each_value_is_judged_alone(upstream: list[tuple[str, str]]) -> None:
    def fit(value: str) -> bool:
        return len(value) <= 8192 and all(char == "\t" or (" " <= char != "\x7f") for char in value)

    expected = [(name.lower().encode(), value.encode("latin-1")) for name, value in upstream if name != "date"]
    assert passed_headers(upstream) == [pair for pair in expected if fit(pair[1].decode("latin-1"))]


def test_the_names_that_are_kept_have_a_bound() -> None:
    passed_headers([(f"x-{n}", "") for n in range(3 * http._MOST_NAMES)])
    assert 0 < len(http._names) <= http._MOST_NAMES


async def whole(receive: Any, headers: dict[bytes, bytes], most: int, held: Held) -> bytes:
    watch = watched(5)
    try:
        return await read_body(receive, headers, most, 5, watch, held)
    finally:
        watch.end()


@pytest.mark.parametrize("parts", [[POST % 5 + b"abcde"], [POST % 5 + b"ab", b"cde"], [POST % 5, b"abcde"]])
@pytest.mark.parametrize(
    ("headers", "most", "held_most", "status"),
    [({}, 5, 5, 0), ({}, 4, 5, 413), ({}, 5, 4, 503), ({b"content-encoding": b"gzip"}, 5, 5, 415),
     ({b"content-encoding": b" Identity"}, 5, 5, 0)],
)  # fmt: skip
def test_a_body_is_read_within_the_same_bounds_whether_it_is_there_or_comes(
    parts: list[bytes], headers: dict[bytes, bytes], most: int, held_most: int, status: int
) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = Held(held_most)
        try:
            got.append(await whole(receive, headers, most, held))
        except Problem as problem:
            got.append(problem.status)
        got.append(held.bytes)  # what was refused is held no longer
        await send_whole(send, 200, [(b"x", b"y")], b"ok")

    async def test(talk: Talk) -> None:
        assert (await talk.say(*parts)).endswith(b"ok")
        assert got == ([status, 0] if status else [b"abcde", 5])

    run(app, test)


def test_a_body_that_has_not_come_is_not_there_at_once() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = Held(5)
        got.append(body_at_once(own_cycle(receive), {}, 5, held))
        got.append(await whole(receive, {}, 5, held))
        got.append(body_at_once(own_cycle(receive), {}, 5, held))
        got.append(held.bytes)
        await send_whole(send, 200, [(b"x", b"y")], b"ok")

    async def test(talk: Talk) -> None:
        assert (await talk.say(POST % 5 + b"ab", b"cde")).endswith(b"ok")
        assert got == [None, b"abcde", None, 5]

    run(app, test)
    assert body_at_once(None, {}, 5, Held(5)) is None


def test_who_has_left_is_known_under_our_server_alone() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = own_cycle(receive)
        assert cycle is not None and cycle is own_cycle(send)
        seen.append(client_left(receive))
        await receive()
        await receive()
        seen.append(client_left(receive))

    async def test(talk: Talk) -> None:
        await talk.say(GET)
        talk.connection.connection_lost(None)
        await talk.rest()
        assert seen == [False, True]

    run(app, test)

    class Other:
        disconnected = True

        async def receive(self) -> Any: ...

    async def receive() -> Any: ...

    for other in (Other().receive, receive):
        assert own_cycle(other) is None and not client_left(other)


def test_another_server_gets_the_two_messages() -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(send_whole(send, 201, [(b"a", b"b")], b"abc"))
    assert said == [
        {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b"), (b"content-length", b"3")]},
        {"type": "http.response.body", "body": b"abc"},
    ]
