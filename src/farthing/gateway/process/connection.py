"""One client's connection: uvicorn's HTTP/1.1 protocol, within bounds of time and memory that a client cannot pass.

What uvicorn leaves open and this closes: a connection that never sends a request, a head that comes drop by drop or
never ends, requests queued behind each other without end, an answer that is never read after it ended. A request's
body and its answer are the application's to bound: it is given the body in pieces, and waits while a client is slow.
"""

import asyncio
import logging
import math
import resource
from collections.abc import Iterable
from typing import Any

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

KEEP_ALIVE_S = 75.0
"""How long a connection may be without a request: longer than the clients', which then hang up first."""
HEAD_S = 15.0
"""How long the head of a request may take, from its first byte."""
LINGER_S = 30.0
"""How long a client may take nothing of what is left to send on a connection that is being closed."""
MOST_HEAD_BYTES = 65536
MOST_HEADERS = 200
MOST_PIPELINED = 16
MOST_FRAMING = 16
"""Bytes of framing for a byte of a body: a chunk of one byte has six."""


_OFFERS = (b"upgrade", b"http2-settings")
_FILES = 65536
_OWN_FILES = 200


def settings_for(app: Any) -> Config:
    """uvicorn's settings for `app`: what the application does itself (access log, headers, lifespan) is off."""
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.ERROR)  # its warnings are a client's to cause
    if not any(isinstance(one, _NotCancelled) for one in log.filters):
        log.addFilter(_NotCancelled())
    settings = Config(
        app, http=Connection, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, date_header=False,
    )  # fmt: skip
    settings.load()
    return settings


def sweep(connections: Iterable[Any], now: float) -> None:
    """Look at each connection whose time has come, by the loop's clock; to be called about once a second."""
    for one in [one for one in connections if one.due < now]:
        one.sweep(now)


def most_connections() -> int:
    """How many connections this worker takes: each may need a file for the client's and one for the upstream's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = _FILES if soft == resource.RLIM_INFINITY else soft
    return max((files - _OWN_FILES) // 2, 50)


_UNFINISHED = "ASGI callable returned without completing"


class _NotCancelled(logging.Filter):
    """A request that is ended at a shutdown is no fault of the application, nor an answer that is left unfinished: so
    a client sees that the upstream broke off, or does not read."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            return not isinstance(record.exc_info[1], asyncio.CancelledError)
        return not str(record.msg).startswith(_UNFINISHED)


class Connection(HttpToolsProtocol):
    """Made for each connection. `most`: how many this worker takes; those beyond are answered 503."""

    def __init__(self, config: Config, state: ServerState, most: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, state, {}, loop)
        self.due = math.inf
        self._most = most
        self._head_bytes = 0
        self._reading_head = False
        self._left_bytes = 0
        self._body_bytes = 0
        self._framing_bytes = 0
        self._in_body = False
        self._running: RequestResponseCycle | None = None
        self._offered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.due = self.loop.time() + KEEP_ALIVE_S
        if len(self.connections) > self._most:
            self._refuse(503, "this gateway has too many connections", b"retry-after: 1\r\n")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn's own tells the request that was read last, which may wait behind the one that is served.
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        came, body_bytes = len(data), self._body_bytes
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                data = self._declined(data[offer.args[0] :])
            except httptools.HttpParserError:
                self._refuse(400, "this is no valid HTTP/1.1 request")
                return
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(431, f"the head of a request may have {MOST_HEAD_BYTES // 1024} KiB")
        elif self._in_body:
            # Trailers and what is written beside chunks have no end of their own, and the parser keeps them in memory.
            self._framing_bytes += came - (self._body_bytes - body_bytes)
            if self._framing_bytes > 2 * MOST_HEAD_BYTES + MOST_FRAMING * self._body_bytes:
                self._refuse(400, "the body of this request is mostly the framing of its chunks, or trailers")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading_head, self._head_bytes = True, 0
        self._in_body, self._body_bytes, self._framing_bytes = False, 0, 0
        self.due = self.loop.time() + HEAD_S

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self.due = math.inf
        if len(self.headers) > MOST_HEADERS or len(self.url) > MOST_HEAD_BYTES:
            self._refuse(431, f"a request may have {MOST_HEADERS} headers")
            raise httptools.HttpParserError  # ends the parsing of what else there is
        if len(self.pipeline) >= MOST_PIPELINED:
            self.transport.abort()  # no client of ours sends so many without waiting
            raise httptools.HttpParserError
        if self.parser.should_upgrade():
            self._offered = True
        else:
            super().on_headers_complete()
            self.headers = []  # trailers are no headers: a proxy before us has not looked at them
            self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        if not self._offered and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def _declined(self, rest: bytes) -> bytes:
        """The request again, without its offer to change to a protocol that we do not speak, and `rest` behind it.

        A server may pass such an offer over, and must read the body all the same: Java's HttpClient offers h2c with
        every first request. The parser takes what follows such a head for the other protocol, so it begins anew.
        """
        method = self.parser.get_method()
        head = [b"%s %s HTTP/%s\r\n" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                words = [word for word in value.split(b",") if word.strip().lower() not in _OFFERS]
                value = b",".join(words)
            if name not in _OFFERS:
                head.append(b"%s: %s\r\n" % (name, value))
        self._offered = False
        if method == b"CONNECT":
            self._refuse(405, "this is no proxy")
            return b""
        self.parser = httptools.HttpRequestParser(self)
        return b"".join(head) + b"\r\n" + rest

    def on_response_complete(self) -> None:
        # uvicorn's own would make and cancel a timer for each request; here one sweep a second looks at `due`.
        self.server_state.total_requests += 1
        now = self.loop.time()
        if self.transport.is_closing():
            self._linger(now)
            return
        self.due = now + KEEP_ALIVE_S
        self.flow.resume_reading()
        if self.pipeline:
            self.due = math.inf
            self._start_asgi_task(*self.pipeline.pop())

    def sweep(self, now: float) -> None:
        """Look whether the client is late (`due` has passed): refuse it, hang up, or cut it off."""
        if self.transport.is_closing():
            left = self.transport.get_write_buffer_size()
            if left < self._left_bytes:
                self._linger(now)
            else:
                self.transport.abort()
        elif self._reading_head:
            self._refuse(408, f"the head of a request may take {HEAD_S:g} seconds")
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """Close when what is left to send is sent, or the client takes none of it."""
        self.transport.close()
        self._linger(self.loop.time())

    def _linger(self, now: float) -> None:
        self._left_bytes = self.transport.get_write_buffer_size()
        self.due = now + LINGER_S

    def _refuse(self, status: int, why: str, header: bytes = b"") -> None:
        """Answer what is not yet a request, and hang up; with an answer on its way there is no place for another."""
        self._reading_head = False
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        error: dict[str, Any] = {"message": why, "type": "invalid_request_error", "param": None, "code": None}
        body = msgspec.json.encode({"error": error})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
        self.transport.write(b"".join((STATUS_LINE[status], head, header, b"\r\n", body)))
        self.hang_up()
