"""Clients that leave, do not read, send nonsense or too much; and a gateway that is told to stop meanwhile."""

import json
import signal
import socket
import threading
import time
from contextlib import closing
from http.client import HTTPConnection

import pytest

from tests.gateway.asking import (
    CONFIG,
    EXACT,
    GPT,
    PROTOCOLS,
    STREAMS,
    SURFACES,
)
from tests.gateway.faulty import Upstream
from tests.gateway.running import IMPATIENT, UPSTREAMS, Running

# --- clients that leave


def leave(gateway: Running, protocol: str, stream: bool, orders: str, after_s: float) -> None:
    """Send a request, read for a while, and close the connection."""
    path, model = SURFACES[protocol]
    message = {"role": "user", "content": f"hello [[words=6 prompt=7 cached=2 {orders}]]"}
    body = {"model": model, "stream": stream, "max_tokens": 50, "messages": [message]}
    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=5)) as link:
        link.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        if stream:
            link.getresponse().read1(10)
        time.sleep(after_s)


@PROTOCOLS
@STREAMS
def test_a_client_that_leaves_is_billed_what_the_upstream_bills(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool
) -> None:
    """The stream is drained to its usage; a whole answer is paid for anyway."""
    before = gateway.count()
    leave(gateway, protocol, stream, "gap_ms=60 first_ms=0" if stream else "first_ms=400", 0.1)
    row = gateway.rows(before + 1)[-1]
    assert row.state == "cancelled"
    assert row.quantities == EXACT and not row.estimated


@PROTOCOLS
def test_a_client_that_leaves_a_stream_that_hangs(gateway: Running, upstream: Upstream, protocol: str) -> None:
    before = gateway.count()
    leave(gateway, protocol, True, "fault=hang_mid at=5 gap_ms=20", 0.05)
    row = gateway.rows(before + 1)[-1]
    assert row.state in ("cancelled", "failed") and row.estimated and row.usd


def test_a_client_that_does_not_read_holds_back_the_upstream(gateway: Running, upstream: Upstream) -> None:
    """40 MB are ordered, nobody reads them: the gateway may hold a few, and ends it at the request's deadline."""
    before = gateway.count()
    upstream.clear()
    message = {"role": "user", "content": "[[words=10000 fault=padded size=4000]]"}
    body = json.dumps({"model": GPT, "stream": True, "messages": [message]})
    with closing(socket.create_connection(("127.0.0.1", gateway.port))) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body.encode())
        gateway.wait(lambda: any(record.output for record in upstream.records()), "the first of the answer")
        time.sleep(1.5)
        (record,) = upstream.records()
        assert 0 < record.output < 8_000, "back-pressure"
        row = gateway.rows(before + 1, timeout_s=10)[-1]
    assert row.state == "cancelled" and row.estimated


# --- what clients may send


BAD_BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "not JSON": (b"{", {}),
    "nothing": (b"", {}),
    "a list": (b"[1]", {}),
    "no model": (b'{"messages": []}', {}),
    "a number for a model": (b'{"model": 7, "messages": []}', {}),
    "text for a number": (b'{"model": "gpt-4o-mini", "messages": [], "max_tokens": "many"}', {}),
    "a negative limit": (b'{"model": "gpt-4o-mini", "messages": [], "max_tokens": -5}', {}),
    "invalid UTF-8": (b'{"model": "gpt-\xff\xfe", "messages": []}', {}),
    "deep nesting": (b'{"model": "gpt-4o-mini", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}),
    "compressed": (b"\x1f\x8b\x08", {"content-encoding": "gzip"}),
    "an address for a model": (b'{"model": "http://169.254.169.254/x", "messages": []}', {}),
    "a path for a model": (b'{"model": "openai/../../etc", "messages": []}', {}),
    "two models": (b'{"model": "gpt-4o-mini", "model": "gpt-4o", "messages": "x"}', {}),
}


@PROTOCOLS
@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_request_is_told_so_and_costs_nothing(
    gateway: Running, upstream: Upstream, protocol: str, name: str
) -> None:
    body, headers = BAD_BODIES[name]
    answer, said = gateway.post(SURFACES[protocol][0], body, headers)
    assert 400 <= answer.status < 500
    told = json.loads(said)
    assert told["error"]["message"] and "Traceback" not in said.decode()
    assert gateway.is_ready()


def test_header_injection_does_not_pass(gateway: Running, upstream: Upstream) -> None:
    upstream.clear()
    message = [{"role": "user", "content": "x"}]
    body = json.dumps({"model": GPT, "messages": message, "user": "a\r\nx-evil: 1"}).encode()
    answer, _ = gateway.post(
        "/v1/chat/completions", body, {"x-farthing-feature": "caf\xe9 \x01", "x-request-id": "a\tb"}
    )
    assert answer.status in (200, 400)
    for record in upstream.records():
        assert not any(name == "x-evil" for name, _ in record.headers)


def test_a_body_that_is_too_large_or_too_slow(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = UPSTREAMS + IMPATIENT + "[bounds]\nbody_mib = 1\n"
    with Running(tmp_path_factory.mktemp("gateway"), config, upstream.url) as gateway:
        body = json.dumps({"model": GPT, "messages": [{"role": "user", "content": "x" * 2_000_000}]}).encode()
        assert gateway.post("/v1/chat/completions", body)[0].status == 413
        with closing(socket.create_connection(("127.0.0.1", gateway.port), 10)) as slow:
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            began = time.monotonic()
            assert b" 408 " in slow.recv(200)
            assert time.monotonic() - began < 3
        with closing(socket.create_connection(("127.0.0.1", gateway.port), 10)) as chunked:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            chunked.sendall(head)
            try:
                for _ in range(40):
                    chunked.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            except OSError:
                return  # it was closed on us, which is an answer
            assert b" 413 " in chunked.recv(200)


def test_a_stopping_gateway_ends_its_streams_first(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as gateway:
        told: list[bytes] = []

        def read() -> None:
            message = [{"role": "user", "content": "[[words=10 gap_ms=100]]"}]
            told.append(gateway.post("/v1/chat/completions", {"model": GPT, "stream": True, "messages": message})[1])

        thread = threading.Thread(target=read)
        thread.start()
        gateway.wait(upstream.records, "the request")
        time.sleep(0.3)
        gateway.signal(signal.SIGTERM)
        thread.join(10)
        assert gateway.stop() == 0
        assert told and told[0].rstrip().endswith(b"[DONE]")
        (row,) = gateway.rows(1)
        assert row.state == "done" and row.quantities["output"] == 10
