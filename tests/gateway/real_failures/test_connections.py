"""Connections: closed between requests, half-closed, asked to continue; answers that are not what was asked for."""

import json
import random
import socket
import socketserver
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import CHAT, CLAUDE, DONE, MESSAGES, ask, chat, chunk, data, fresh, said
from tests.gateway.running import UPSTREAMS, Running

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


class Hasty(socketserver.BaseRequestHandler):
    """A server that closes a connection on which nothing came for 0.1 s, as vLLM's does after 5 s."""

    def handle(self) -> None:
        self.request.settimeout(0.1)
        body = chat(usage=USAGE)
        answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
            len(body),
            body,
        )
        read = b""
        try:
            while part := self.request.recv(65536):
                read += part
                head, blank, rest = read.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                if blank and len(rest) >= length:
                    read = b""
                    self.request.sendall(answer)
        except OSError:
            return


def test_a_server_that_closes_idle_connections_loses_no_request(tmp_path: Path) -> None:
    """LiteLLM and others in front of vLLM: "server disconnected" for requests sent on a connection that the engine's
    server was just closing (its keep-alive is five seconds)."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hasty) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        statuses: list[int] = []
        with Running(tmp_path, UPSTREAMS, f"http://127.0.0.1:{server.server_address[1]}") as own:

            def run() -> None:
                for _ in range(12):
                    statuses.append(ask(own, CHAT, said()).status)
                    time.sleep(0.1 + random.uniform(-0.003, 0.003))

            threads = [threading.Thread(target=run) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        server.shutdown()
    assert statuses == [200] * 48


def raw(gateway: Running, *parts: bytes) -> bytes:
    """What comes back for `parts`, sent one after another, within half a second of the last."""
    with closing(socket.create_connection(("127.0.0.1", gateway.port), 5)) as link:
        link.settimeout(0.5)
        for part in parts:
            link.sendall(part)
            time.sleep(0.05)
        told = b""
        try:
            while got := link.recv(65536):
                told += got
        except TimeoutError:
            pass
        return told


def test_clients_that_ask_to_continue_or_send_in_chunks(gateway: Running, upstream: Upstream) -> None:
    """curl asks before it sends a long body, others send in chunks: both waited for ever behind some gateways."""
    body = json.dumps(said("[[words=1]]")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    told = raw(gateway, head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body), body)
    assert told.startswith(b"HTTP/1.1 100 ") and b"HTTP/1.1 200 " in told
    half = len(body) // 2
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])]
    told = raw(gateway, head + b"transfer-encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 ")


def test_addresses_as_clients_write_them(gateway: Running, upstream: Upstream) -> None:
    """Claude Code asks for /v1/messages?beta=true; a base URL without /v1 is a common mistake, and was a bare 404."""
    assert ask(gateway, "/v1/messages?beta=true", said("[[words=1]]", CLAUDE)).status == 200
    told = ask(gateway, "/chat/completions", said())
    assert told.status == 404 and "/v1" in told.error["message"]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_stream_that_was_not_asked_for_and_an_answer_that_is_no_stream(
    gateway: Running, upstream: Upstream, path: str
) -> None:
    """Servers that stream always, or never, were metered as nothing: what came decides, not what was asked for."""
    pieces = [chunk({"content": "x"}), chunk(finish="stop"), chunk(usage=USAGE)]
    fresh(upstream).reply(*map(data, pieces), DONE)
    row = ask(gateway, path, said()).row
    assert row.quantities == {"input": 3, "output": 1} and not row.estimated
    fresh(upstream).reply(chat(usage=USAGE))
    row = ask(gateway, path, said(stream=True)).row
    assert row.quantities == {"input": 3, "output": 1} and not row.estimated


def test_what_the_provider_says_of_a_request_reaches_the_client(gateway: Running, upstream: Upstream) -> None:
    """Request ids and rate-limit headers of the provider were swallowed, so that nobody could ask about a request."""
    headers = [("x-request-id", "req_up"), ("x-ratelimit-remaining-requests", "7"), ("openai-version", "2020-10-01")]
    fresh(upstream).reply(chat(usage=USAGE), headers=[*headers, ("set-cookie", "a=b"), ("server", "x")])
    told = ask(gateway, CHAT, said())
    assert {name: told.headers[name] for name, _ in headers} == dict(headers)
    assert told.headers["set-cookie"] is None and told.headers["x-farthing-request-id"]
