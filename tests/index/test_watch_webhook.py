"""Posting to a webhook: what is sent, what is tried again, and what no message may hold."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from farthing.index.watch.webhook import host_of, post
from farthing.problems import FarthingError


class Received:
    """A server on this machine that answers with `statuses`, one after the other, and keeps what it was sent."""

    def __init__(self, *statuses: int, location: str = "", slow_s: float = 0) -> None:
        self.statuses, self.location = list(statuses), location
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.wait = threading.Event()
        self.slow_s = slow_s
        self.url = ""


@contextmanager
def server(*statuses: int, location: str = "", slow_s: float = 0) -> Iterator[Received]:
    got = Received(*statuses, location=location, slow_s=slow_s)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            got.headers.append(dict(self.headers))
            got.paths.append(self.path)
            if got.slow_s:
                got.wait.wait(got.slow_s)
                return
            status = got.statuses.pop(0) if len(got.statuses) > 1 else got.statuses[0]
            self.send_response(status)
            if got.location:
                self.send_header("Location", got.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    got.url = f"http://127.0.0.1:{httpd.server_address[1]}/hook/T0KEN"
    try:
        yield got
    finally:
        got.wait.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def test_the_body_is_posted_as_json() -> None:
    with server(204) as got:
        made = post(got.url, {"text": "dearer: €1", "usd": "0.10"})
    assert (made.status, made.attempts, made.problem) == (204, 1, "")
    assert got.bodies == [{"text": "dearer: €1", "usd": "0.10"}] and got.paths == ["/hook/T0KEN"]
    assert got.headers[0]["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("statuses", "attempts", "status", "problem"),
    [
        ((503, 200), 2, 200, ""),
        ((429, 200), 2, 200, ""),
        ((500, 502), 2, 502, "answered 502"),
        ((404, 200), 1, 404, "answered 404"),  # it will not be there a second later either
        ((400,), 1, 400, "answered 400"),
    ],
)
def test_what_is_tried_again(statuses: tuple[int, ...], attempts: int, status: int, problem: str) -> None:
    with server(*statuses) as got:
        made = post(got.url, {}, pause_s=0)
    assert (made.attempts, made.status, made.problem, len(got.bodies)) == (attempts, status, problem, attempts)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with server(200) as elsewhere, server(status, location=elsewhere.url) as got:
        made = post(got.url, {"a": 1}, pause_s=0)
    assert elsewhere.bodies == [] and len(got.bodies) == 1
    assert made.problem == f"answered {status}, a redirect, which is not followed"


def test_a_server_that_says_nothing() -> None:
    with server(200, slow_s=5) as got:
        made = post(got.url, {}, timeout_s=0.2, pause_s=0)
    assert (made.attempts, made.status, made.problem) == (2, None, "no answer within 0.2 s")


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = post(f"http://127.0.0.1:{port}/T0KEN", {}, pause_s=0)
    assert (made.attempts, made.status) == (2, None)
    assert made.problem.startswith("cannot be reached") and "T0KEN" not in made.problem


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/x", "file:///etc/passwd", "example.com/x", "https://", "http://h:port/x", "http://u:p@h/x",
     "http://h/a b", "", "http://[::1/x"],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(FarthingError) as refused:
        post(url, {})
    assert "--webhook" in str(refused.value)
    assert len(url) < 9 or url not in str(refused.value)


def test_the_host_alone_is_named() -> None:
    assert host_of("https://hooks.example.com/services/T0KEN") == "hooks.example.com"
    assert host_of("http://127.0.0.1:8080/x?secret=1") == "127.0.0.1:8080"
