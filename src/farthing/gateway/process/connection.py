"""One client's connection: HTTP/1.1 within bounds of time and memory that a client cannot pass.

What ends here: a connection that never sends a request, a head that comes drop by drop or never ends, requests queued
behind each other without end, an answer that is never read after it ended. A request's body and its answer are the
application's to bound: it is given the body in pieces, and waits while a client is slow.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Coroutine
from typing import Any

import httptools
import msgspec

from farthing.gateway.process.cycle import Cycle
from farthing.gateway.process.head_lines import STATUS_LINES
from farthing.gateway.process.heads import address, scope_of, without_offer
from farthing.gateway.process.plain_turns import KEEP_ALIVE_S, MOST_WAITING_BYTES, Wire
from farthing.gateway.process.served import Served

HEAD_S = 15.0
"""How long the head of a request may take, from its first byte."""
LINGER_S = 30.0
"""How long a client may take nothing of what is left to send on a connection that is being closed."""
MOST_HEAD_BYTES = 65536
MOST_HEADERS = 200
MOST_PIPELINED = 16
MOST_FRAMING = 16
"""Bytes of framing for a byte of a body: a chunk of one byte has six."""


class Connection(Wire, asyncio.Protocol):
    """Made for each connection; those beyond the most are answered 503."""

    __slots__ = (
        "_body_bytes", "_framing_bytes", "_head_bytes", "_headers", "_left_bytes", "_offered", "_parser", "_url",
    )  # fmt: skip

    def __init__(self, served: Served, loop: asyncio.AbstractEventLoop) -> None:
        self.due = math.inf
        self._makes = Cycle
        self._served = served
        self._heads = served.heads
        self._loop = loop
        self._pipeline: deque[Cycle] = deque()
        self._resting = True
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._left_bytes = 0
        self._body_bytes = 0
        self._framing_bytes = 0
        self._offered = False
        self._begin_parsing()

    def _begin_parsing(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        # So that the first of several requests is answered where a later one, behind a `close`, is none.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    # --- the transport's side -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        served = self._served
        served.connections.add(self)
        self.transport = transport
        self.due = self._loop.time() + KEEP_ALIVE_S
        if len(served.connections) > served.most:
            self._refuse(503, "this gateway has too many connections", b"retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._served.connections.discard(self)
        self._pipeline.clear()
        running, self.running, self._cycle = self.running, None, None
        self.resume_writing()
        del self._parser  # which holds us, as we hold it
        if running is not None and not running.answered:
            running.lost()

    def pause_writing(self) -> None:
        if self.taken is None:
            self.taken = asyncio.Event()

    def resume_writing(self) -> None:
        if self.taken is not None:
            self.taken.set()
            self.taken = None

    def _more(self, data: bytes) -> None:
        """`data` comes while a request is read or served."""
        if not self.transport.is_closing():
            if self._body_left:
                data = self._body(data)
            if data:
                self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._resting = False
        came, body_bytes = len(data), self._body_bytes
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                data = self._declined(data[offer.args[0] :])
            except httptools.HttpParserError:
                self._refuse(400, "this is no valid HTTP/1.1 request")
                return
        if self._reading_head:
            if not self._head_bytes:
                self.due = self._loop.time() + HEAD_S
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(431, f"the head of a request may have {MOST_HEAD_BYTES // 1024} KiB")
        elif self._in_body:
            # Trailers and what is written beside chunks have no end of their own, and the parser keeps them in memory.
            self._framing_bytes += came - (self._body_bytes - body_bytes)
            if self._framing_bytes > 2 * MOST_HEAD_BYTES + MOST_FRAMING * self._body_bytes:
                self._refuse(400, "the body of this request is mostly the framing of its chunks, or trailers")

    # --- around the parser ----------------------------------------------------------------------------

    def _body(self, data: bytes) -> bytes:
        """Take what is of the body; what is left for the parser."""
        body = data[: self._body_left]
        self._body_left -= len(body)
        cycle = self._cycle
        if cycle is not None and not cycle.answered:
            cycle.came(body)
            if not self._body_left:
                cycle.ended()
            elif len(cycle.body) > MOST_WAITING_BYTES:
                self.pause_reading()
        return data[len(body) :]

    # --- the parser's side ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []
        self._reading_head, self._head_bytes = True, 0
        self._in_body, self._body_bytes, self._framing_bytes = False, 0, 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self.due = math.inf
        headers, parser = self._headers, self._parser
        if len(headers) > MOST_HEADERS or len(self._url) > MOST_HEAD_BYTES:
            self._refuse(431, f"a request may have {MOST_HEADERS} headers")
            raise httptools.HttpParserError  # ends the parsing of what else there is
        if len(self._pipeline) >= MOST_PIPELINED:
            self.transport.abort()  # no client of ours sends so many without waiting
            raise httptools.HttpParserError
        if parser.should_upgrade():
            self._offered = True
            return
        self._headers = []  # trailers are no headers: a proxy before us has not looked at them
        self._in_body = True
        version = parser.get_http_version()
        scope = scope_of(version, parser.get_method().decode("ascii"), address(self._url), headers)
        before, keep_alive = self._cycle, version != "1.0" and parser.should_keep_alive()
        self._cycle = cycle = Cycle(self, scope, self.transport, keep_alive)
        if before is None or before.answered:
            self.start(cycle)
        else:
            self.pause_reading()
            self._pipeline.append(cycle)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self._cycle
        if cycle is not None and not cycle.answered:
            cycle.came(body)
            if len(cycle.body) > MOST_WAITING_BYTES:
                self.pause_reading()

    def on_message_complete(self) -> None:
        self._in_body = False
        cycle = self._cycle
        if not self._offered and cycle is not None and not cycle.answered:
            cycle.ended()

    def _declined(self, rest: bytes) -> bytes:
        """The request again, without its offer to change to a protocol that we do not speak, and `rest` behind it.

        A server may pass such an offer over, and must read the body all the same: Java's HttpClient offers h2c with
        every first request. The parser takes what follows such a head for the other protocol, so it begins anew.
        """
        method = self._parser.get_method()
        head = b"%s %s HTTP/%s\r\n" % (method, self._url, self._parser.get_http_version().encode())
        head += without_offer(self._headers)
        self._offered = False
        if method == b"CONNECT":
            self._refuse(405, "this is no proxy")
            return b""
        self._begin_parsing()
        return head + rest

    # --- the cycle's side -----------------------------------------------------------------------------

    def _failed(self, cycle: Cycle, fault: Exception) -> None:
        """The application failed while it was to take the request at once."""
        self.serve(cycle, _raising(fault))

    def serve(self, cycle: Cycle, work: Coroutine[Any, Any, None] | None) -> asyncio.Task[None]:
        """Serve `cycle` by the application, or by `work` in its place."""
        served = self._served
        # Of one name for all: a task without is given one of its own, at a price.
        cycle.task = task = asyncio.Task(cycle.run(served, work), loop=self._loop, name="request")
        served.tasks.add(task)
        return task

    def pause_reading(self) -> None:
        """Take no more from the client for now."""
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more from the client again."""
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()

    async def emptied(self, taken: asyncio.Event) -> None:
        """Wait until the client has taken the answer before (`taken`); it is cut off where it takes nothing of that."""
        left = math.inf
        while not taken.is_set():
            if (now_left := self.transport.get_write_buffer_size()) >= left:
                self.transport.abort()
            left = now_left
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await taken.wait()

    # --- the worker's side ----------------------------------------------------------------------------

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

    def shutdown(self) -> None:
        """Take no other request: close when what was asked is answered."""
        if self._cycle is None or self._cycle.answered:
            self._resting = False
            self.transport.close()
        else:
            self._cycle.keep_alive = False

    def hang_up(self) -> None:
        """Close when what is left to send is sent, or the client takes none of it."""
        self._resting = False
        self.transport.close()
        self._linger(self._loop.time())

    def _linger(self, now: float) -> None:
        self._left_bytes = self.transport.get_write_buffer_size()
        self.due = now + LINGER_S

    def _refuse(self, status: int, why: str, header: bytes = b"") -> None:
        """Answer what is not yet a request, and hang up; with an answer on its way there is no place for another."""
        self._reading_head = False
        if self.transport.is_closing():
            return
        if self._cycle is not None and not self._cycle.answered:
            self.transport.abort()
            return
        error: dict[str, Any] = {"message": why, "type": "invalid_request_error", "param": None, "code": None}
        body = msgspec.json.encode({"error": error})
        head = b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
        self.transport.write(b"".join((STATUS_LINES[status], head, header, b"\r\n", body)))
        self.hang_up()


async def _raising(fault: Exception) -> None:
    raise fault
