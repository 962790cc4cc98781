"""What a hostile client can do to a running gateway's connections, memory, logs and records."""

import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from farthing.gateway.metering import Surface, read_request
from tests.gateway.hostile import STREAM_HEAD, Hostile, answer, chat, event, piece, raw, request, status_of
from tests.gateway.running import IMPATIENT, UPSTREAMS, Running, purses

CONFIG = (
    UPSTREAMS
    + IMPATIENT.replace("total_s = 4", "total_s = 8")
    + """
[retries]
count = 0

[breaker]
failures = 100000

[bounds]
held_mib = 64

[record]
content = true

[[model]]
name = "*a*a*a*a*a*a*a*a*a*a*a*b"
targets = ["openai/gpt-4o-mini"]

[[budget]]
per = "user"
usd = 1000
period = "day"
hard = false
"""
)
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASK).encode()
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Hostile]:
    with Hostile() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Hostile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as running:
        yield running


def memory_mib(gateway: Running, peak: bool = False) -> int:
    [pid] = gateway.workers()
    told = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(rf"Vm{'HWM' if peak else 'RSS'}:\s+(\d+)", told)[0]) >> 10


def fresh_peak(gateway: Running) -> int:
    """Let the peak begin anew; what it is then."""
    [pid] = gateway.workers()
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory_mib(gateway, peak=True)


def quiet(gateway: Running) -> None:
    """Nothing is in flight any more."""
    gateway.wait(lambda: json.loads(gateway.get("/readyz")[1])["in_flight"] == 0, "the end of what is in flight")


# --- framing


@pytest.mark.parametrize(
    "sent",
    [
        CHAT + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        CHAT + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        CHAT + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        CHAT + b"content-length: +5\r\n\r\nhello",
        CHAT + b"x-a: b\0c\r\n\r\n",
        CHAT + b"x-a: b\r\n c\r\n\r\n",
        CHAT.replace(b"\r\n", b"\n") + b"\n",
        CHAT.replace(b"host", b"ho st") + b"\r\n",
        b"POST http://[::1/ HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT evil:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(gateway: Running, upstream: Hostile, sent: bytes) -> None:
    before = len(upstream.seen)
    assert status_of(raw(gateway.port, sent, 3)) in (400, 405)
    assert len(upstream.seen) == before


def test_an_address_in_the_request_line_or_host_leads_nowhere_else(gateway: Running, upstream: Hostile) -> None:
    got = raw(gateway.port, request(BODY, path=b"http://169.254.169.254/v1/chat/completions"))
    assert status_of(got) == 200  # our path, whatever stands before it
    got = raw(gateway.port, request(BODY, b"x-forwarded-host: evil", b"forwarded: host=evil", b"x-original-url: /x"))
    assert status_of(got) == 200
    head = upstream.seen[-1][0].lower()
    assert b"evil" not in head and b"x-original" not in head and b"\r\nhost: 127.0.0.1" in head


@pytest.mark.parametrize(
    "trailer", [b"x-farthing-user: mallory", b"authorization: Bearer fk-x", b"content-encoding: gzip"]
)
def test_trailers_are_no_headers(gateway: Running, trailer: bytes) -> None:
    """A proxy that takes such headers away has not looked at trailers."""
    sent = CHAT + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    sent += b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n" + trailer + b"\r\n\r\n"
    assert status_of(raw(gateway.port, sent)) == 200
    assert not [row for row in gateway.rows() if row.user == "mallory"]


@pytest.mark.parametrize(
    "endless",
    [b"1\r\n{\r\n0\r\n" + b"a: b\r\n" * 3_000_000, b"1\r\n{\r\n0\r\na: " + b"b" * 20_000_000, b"1;" + b"b" * 20_000_000,
     b"00000000001;a\r\n{\r\n" * 1_000_000],
    ids=["trailers", "a trailer", "an extension", "extensions"],
)  # fmt: skip
def test_framing_without_end_is_cut_off(gateway: Running, endless: bytes) -> None:
    before = memory_mib(gateway)
    began = time.monotonic()
    got = raw(gateway.port, CHAT + b"transfer-encoding: chunked\r\n\r\n" + endless)
    assert status_of(got) in (0, 400) and time.monotonic() - began < 2
    assert memory_mib(gateway) - before < 16


def test_a_body_in_chunks_of_one_byte_is_fine(gateway: Running) -> None:
    sent = CHAT + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    long = json.dumps({**ASK, "x": "y" * 100_000}).encode()
    sent += b"".join(b"1\r\n%c\r\n" % byte for byte in long) + b"0\r\n\r\n"
    assert status_of(raw(gateway.port, sent)) == 200


@pytest.mark.parametrize(
    "name", ["user-agent", "idempotency-key", "traceparent", "x-request-id", "openai-beta", "x-title"]
)
def test_headers_beyond_ascii_do_no_harm(gateway: Running, name: str) -> None:
    for value in (b"caf\xe9", "caf\u00e9 \u6f22".encode(), b"\xff\xfe", b"a\tb"):
        assert status_of(raw(gateway.port, request(BODY, name.encode() + b": " + value))) == 200


def test_names_out_of_headers_come_back_in_no_header(gateway: Running, upstream: Hostile) -> None:
    line = b"x-farthing-user: \xff\xfe\xe9\xc2\x85 x-evil: 1"
    got = raw(gateway.port, request(BODY, line, b"x-farthing-feature: " + b"f" * 30_000))
    assert status_of(got) == 200 and b"evil" not in got and b"f" * 40 not in got
    assert b"evil" not in upstream.seen[-1][0] and b"fff" not in upstream.seen[-1][0]


# --- clients that leave


def test_requests_behind_each_other_whose_client_has_left(gateway: Running, upstream: Hostile) -> None:
    """The one that is served was not told, and wrote to a closed connection."""
    upstream.behave = lambda head, body, write: (time.sleep(0.2), write(answer(chat())))
    try:
        for number in (1, 2, 10):
            with closing(socket.create_connection(("127.0.0.1", gateway.port))) as link:
                link.sendall(request(BODY).replace(b"connection: close\r\n", b"") * number)
                time.sleep(0.05)
        quiet(gateway)
    finally:
        upstream.behave = lambda head, body, write: write(answer(chat()))
    assert "Traceback" not in gateway.said()
    gateway.wait(lambda: len([row for row in gateway.rows() if row.state == "cancelled"]) == 3, "their rows")


def test_a_storm_of_clients_that_leave_holds_nothing(gateway: Running, upstream: Hostile) -> None:
    choose = random.Random(7)
    for number in range(300):
        sent = request(json.dumps({**ASK, "stream": number % 2 == 0}).encode())
        with closing(socket.create_connection(("127.0.0.1", gateway.port))) as link:
            link.sendall(sent[: choose.randrange(len(sent) + 1)] if number % 3 else sent)
    quiet(gateway)
    assert all(row.state != "open" and row.error != "internal" for row in gateway.rows())
    assert "Traceback" not in gateway.said()


# --- memory and time


CROWDED = {
    "messages": b'{"model": "gpt-4o-mini", "messages": [' + b"{}," * 3_000_000 + b"{}]}",
    "parts": b'{"model": "gpt-4o-mini", "messages": [{"content": [' + b"[]," * 3_000_000 + b"1]}]}",
    "labels": BODY[:-1] + b', "metadata": {"a": [' + b"[]," * 3_000_000 + b"1]}}",
    "numbers": BODY[:-1] + b', "user": [' + b"1000," * 2_000_000 + b"1]}",
    "words": BODY[:-1] + b', "plugins": [' + b'"ab",' * 2_000_000 + b"1]}",
    "members": BODY[:-1] + b', "\\u0061": 1, ' + b'"a": 1,' * 1_000_000 + b'"z": 1}',
    "tools": BODY[:-1] + b', "tools": [' + b"{}," * 3_000_000 + b"{}]}",
}


@pytest.mark.parametrize("name", CROWDED)
def test_a_crowded_request_takes_neither_memory_nor_time(gateway: Running, name: str) -> None:
    """Ten megabytes of `{},` were 1.4 GB of objects, and many seconds in which nobody else was served."""
    before = fresh_peak(gateway)
    began = time.monotonic()
    got = raw(gateway.port, request(CROWDED[name]))
    assert status_of(got) in (200, 400) and time.monotonic() - began < 2
    assert memory_mib(gateway, peak=True) - before < 80


def test_a_long_program_in_a_prompt_is_no_crowd() -> None:
    code = 'if (a[0]) { b = {"x": [1, 2]}; }\n' * 60_000
    body = json.dumps({**ASK, "messages": [{"role": "user", "content": code}], "input": [[1, 2, 3]] * 2048}).encode()
    assert not read_request(Surface.CHAT, body).problem


@pytest.mark.slow
def test_events_without_end_stay_within_the_bound(gateway: Running, upstream: Hostile) -> None:
    """Eight events of 60 MB each, that never end: what is held of them counts, and 64 MiB are allowed."""

    def behave(head: bytes, body: bytes, write: Any) -> None:
        write(STREAM_HEAD + b'data: {"x": "')
        for _ in range(60):
            write(b"a" * (1 << 20))

    upstream.behave = behave
    before = fresh_peak(gateway)
    try:
        got: list[bytes] = []
        ask = request(json.dumps({**ASK, "stream": True}).encode())
        threads = [threading.Thread(target=lambda: got.append(raw(gateway.port, ask))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 8
        assert memory_mib(gateway, peak=True) - before < 250
        quiet(gateway)
    finally:
        upstream.behave = lambda head, body, write: write(answer(chat()))
    assert status_of(raw(gateway.port, request(BODY))) == 200  # nothing of it counts any more


def test_names_that_never_end_blow_up_no_pattern_and_no_metrics(gateway: Running, upstream: Hostile) -> None:
    began = time.monotonic()
    assert status_of(raw(gateway.port, request(json.dumps({**ASK, "model": "a" * 250}).encode()))) == 404
    assert time.monotonic() - began < 1
    upstream.behave = lambda head, body, write: write(answer(chat(model=json.loads(body)["model"])))
    try:
        sizes = []
        for numbers in (range(600), range(600, 800)):
            for number in numbers:
                body = {**ASK, "model": f"gpt-odd-{number}", "user": f"user-{number}"}
                line = b"x-farthing-feature: f-%d" % number
                assert status_of(raw(gateway.port, request(json.dumps(body).encode(), line))) == 200
            sizes.append(len(gateway.get("/metrics")[1]))
    finally:
        upstream.behave = lambda head, body, write: write(answer(chat()))
    assert sizes[1] - sizes[0] < 5_000 and sizes[1] < 2_000_000


# --- records


def test_a_line_of_what_is_kept_cannot_be_forged(gateway: Running, upstream: Hostile) -> None:
    forged = BODY[:-1] + b', "metadata":\n{"attempt": "forged", "request": "forged"}\r\n}'
    assert status_of(raw(gateway.port, request(forged))) == 200
    upstream.behave = lambda head, body, write: write(STREAM_HEAD + piece("streamed-words") + event(b"[DONE]"))
    try:
        raw(gateway.port, request(json.dumps({**ASK, "stream": True}).encode()))
    finally:
        upstream.behave = lambda head, body, write: write(answer(chat()))

    def lines() -> list[bytes]:
        return b"".join(file.read_bytes() for file in (gateway.data / "content").iterdir()).splitlines()

    gateway.wait(lambda: any(b"streamed-words" in line for line in lines()), "what was streamed")
    with suppress(StopIteration):
        for line in lines():
            assert json.loads(line)["attempt"] != "forged"
    assert any(b'"forged"' in line for line in lines())


def test_nothing_is_left_of_it_all(gateway: Running) -> None:
    quiet(gateway)
    assert "Traceback" not in gateway.said()
    assert gateway.stop() == 0
    _, leased, held = purses(gateway.data)
    assert not any(leased.values()) and not held
