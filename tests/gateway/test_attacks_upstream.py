"""What a hostile or broken upstream can do to a running gateway: its key in answers, odd statuses and headers, lies."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.gateway.hostile import STREAM_HEAD, Behave, Hostile, answer, chat, event, piece, raw, request, status_of
from tests.gateway.running import IMPATIENT, OPENAI_KEY, UPSTREAMS, Row, Running

CONFIG = (
    UPSTREAMS
    + IMPATIENT
    + """
[retries]
count = 0

[breaker]
failures = 100000

[record]
content = true
"""
)
KEY = OPENAI_KEY
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Hostile]:
    with Hostile() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Hostile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as running:
        yield running


def ask(gateway: Running, upstream: Hostile, behave: Behave, stream: bool = False) -> tuple[bytes, Row]:
    """What the client got, and the row of it."""
    seen = {row.id for row in gateway.rows()}
    upstream.behave = behave
    got = raw(gateway.port, request(json.dumps({**ASK, "stream": stream}).encode()))
    until = time.monotonic() + 5
    while not (new := [row for row in gateway.rows() if row.id not in seen and row.state != "open"]):
        assert time.monotonic() < until, got[:300]
        time.sleep(0.02)
    assert len(new) == 1
    return got, new[0]


def whole(body: Any, status: int = 200, **headers: str) -> Behave:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda head, asked, write: write(answer(body, status, pairs))


def stream(*pieces: bytes) -> Behave:
    def behave(head: bytes, body: bytes, write: Callable[[bytes], None]) -> None:
        write(STREAM_HEAD)
        for part in pieces:
            write(part)
            time.sleep(0.02)

    return behave


ERROR = {"error": {"message": f"key {KEY} is wrong", "type": KEY, "code": KEY, "param": KEY}}
DONE = b"data: [DONE]\n\n"
LEAKS: dict[str, tuple[bool, Behave]] = {
    "header": (False, whole(chat(), x_debug=f"Bearer {KEY}", x_two=KEY)),
    "body": (False, whole(chat(f"your key is {KEY}"))),
    "model": (False, whole(chat(model=KEY))),
    "id": (False, whole(chat(id=KEY))),
    **{f"status {status}": (False, whole(ERROR, status, x_a=KEY)) for status in (200, 302, 400, 401, 403, 429, 500)},
    "page": (False, whole(f"<html>{KEY}</html>".encode(), 502)),
    "location": (False, whole(b"", 302, location=f"http://x/?{KEY}")),
    "stream": (True, stream(piece("a"), piece(KEY), DONE)),
    "stream's model": (True, stream(piece("a").replace(b"gpt-4o-mini", KEY.encode()), DONE)),
    "stream's error": (True, stream(event(ERROR))),
    "stream's late error": (True, stream(piece("a"), event(ERROR))),
    "two pieces": (True, stream(piece("a"), piece(KEY)[:-60], piece(KEY)[-60:], DONE)),
    "letter by letter": (True, stream(*(bytes([byte]) for byte in piece(KEY)), DONE)),
    "cut off": (True, stream(piece("a"), b"data: " + KEY.encode())),
    "no event": (True, stream(KEY.encode())),
}


@pytest.mark.parametrize("name", LEAKS)
def test_an_upstreams_key_is_nowhere(gateway: Running, upstream: Hostile, name: str) -> None:
    """Not in answers, whatever the upstream says; nor in rows, metrics, logs, or what is kept of answers."""
    assert len(piece(KEY)[:-60].partition(KEY[:4].encode())[2]) < len(KEY), "the key is cut in two"
    got, row = ask(gateway, upstream, LEAKS[name][1], LEAKS[name][0])
    assert status_of(got) in (200, 400, 403, 429, 500, 502)
    assert KEY.encode() not in got and KEY not in repr(row)
    assert KEY[:14] not in repr(row)
    time.sleep(0.05)
    assert KEY.encode() not in gateway.get("/metrics")[1]
    assert KEY not in gateway.said()
    for file in gateway.data.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("status", [100, 101, 199, 204, 205, 299, 304, 399, 418, 451, 599, 600, 799, 999, 1000, 0])
def test_any_status_is_answered(gateway: Running, upstream: Hostile, status: int) -> None:
    got, row = ask(gateway, upstream, whole({"error": {"message": "odd"}} if status > 299 else chat(), status))
    assert 200 <= status_of(got) <= 599, got[:100]
    assert row.error != "internal"


@pytest.mark.parametrize("value", ["caf\xe9", "\xff\xfe\x80", "a\tb"])
def test_a_header_beyond_ascii_costs_no_answer(gateway: Running, upstream: Hostile, value: str) -> None:
    """HTTP allows it; the answer is paid for."""
    got, row = ask(gateway, upstream, whole(chat(), x_odd=value, x_fine="yes"))
    assert status_of(got) == 200 and b"x-fine: yes" in got
    assert row.state == "done" and row.usd


def test_our_own_headers_cannot_be_forged(gateway: Running, upstream: Hostile) -> None:
    got, row = ask(gateway, upstream, whole(chat(), x_farthing_cost_usd="0", X_Farthing_Request_Id="evil"))
    assert got.lower().count(b"x-farthing-request-id") == 1 and row.request.encode() in got
    assert got.lower().count(b"x-farthing-cost-usd") == 1


NUMBERS = [
    "1e999999999", "-1e999999999", "1e-999999999", "NaN", "Infinity", "-0", "1.5", "9" * 5000, f'"{"9" * 99999}"',
    '"\\ud83d"', "[[1]]", '{"a": 1}', "true", '"1e40"',
]  # fmt: skip


@pytest.mark.parametrize("field", ["prompt_tokens", "cost", "total_tokens", "cost_in_usd_ticks", "created"])
def test_numbers_that_are_none_cost_no_answer(gateway: Running, upstream: Hostile, field: str) -> None:
    for number in NUMBERS:
        body = json.dumps(chat()).replace('"prompt_tokens": 7', f'"prompt_tokens": 7, "{field}": {number}', 1).encode()
        began = time.monotonic()
        got, row = ask(gateway, upstream, whole(body))
        assert status_of(got) in (200, 502) and time.monotonic() - began < 2, number
        assert row.error != "internal" and (row.usd is None or 0 <= row.usd < 1), number


@pytest.mark.parametrize("length", ["-1", "18446744073709551615", "9" * 30, "0x10", "1e3", "5, 5", "\xb2", "7"])
def test_lengths_that_are_none(gateway: Running, upstream: Hostile, length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{}}"
    got, row = ask(gateway, upstream, lambda h, b, write: write(head.encode("latin-1")))
    assert status_of(got) == 502 and row.state == "failed" and row.error != "internal"


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": NaN, "choices": [{"\\ud83d": 1}]}',
        b'{"id": NaN, "choices": ["\\ud83d"]}',
        b'{"id": "\\ud83d", "choices": "\\ud83d"}',
        b'{"usage": {"prompt_tokens_details": "\\ud83d", "prompt_tokens": 5}}',
        b'{"choices": [{"finish_reason": "stop", "message": {"tool_calls": "\\ud83d"}}]}',
    ],
)
def test_half_an_emoji_where_none_should_be(gateway: Running, upstream: Hostile, body: bytes) -> None:
    """Half of a surrogate pair is JSON, and no UTF-8: reading it must not end the request."""
    assert status_of(ask(gateway, upstream, whole(body))[0]) == 200
    got, row = ask(gateway, upstream, stream(piece("a"), event(body), DONE), stream=True)
    assert status_of(got) == 200 and row.error != "internal"


def test_what_breaks_off_is_one_line_at_most(gateway: Running, upstream: Hostile) -> None:
    """An answer that is passed through and breaks: the client sees that it is not whole; the log is not filled."""
    upstream.behave = lambda h, b, write: write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
    before = len(gateway.said())
    got = raw(gateway.port, request(b"", method=b"GET", path=b"/v1/files/x"))
    assert b"abc" in got and not got.endswith(b"0\r\n\r\n")
    upstream.behave = whole({}, 600)
    assert status_of(raw(gateway.port, request(b"", method=b"GET", path=b"/v1/files/x"))) == 502
    time.sleep(0.1)
    assert len(gateway.said()) - before < 200
    assert not [row for row in gateway.rows() if row.error == "internal"]


def test_the_log_has_no_traceback(gateway: Running) -> None:
    """At the end of all of the above."""
    assert "Traceback" not in gateway.said()
    assert all(row.state != "open" and row.error != "internal" for row in gateway.rows())
