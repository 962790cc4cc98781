"""One client's connection: HTTP/1.1 within bounds of time and memory that a client cannot pass.

What ends here: a connection that never sends a request, a head that comes drop by drop or never ends, requests queued
behind each other without end, an answer that is never read after it ended. A request's body and its answer are the
application's to bound: it is given the body in pieces, and waits while a client is slow.
"""

import asyncio
import math
from collections import deque
from typing import Any

import httptools
import msgspec

from farthing.gateway.process.cycle import STATUS_LINES, Cycle
from farthing.gateway.process.heads import MOST_DIGITS, Meaning, address, parts, without_offer
from farthing.gateway.process.served import Served

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

_MOST_WAITING_BYTES = 65536
"""What of a body may wait for the application, beyond one read."""
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Connection(asyncio.Protocol):
    """Made for each connection; those beyond the most are answered 503."""

    __slots__ = (
        "_body_bytes", "_body_left", "_cycle", "_framing_bytes", "_head_bytes", "_headers", "_in_body", "_last_head",
        "_left_bytes", "_loop", "_new_head", "_offered", "_parser", "_pipeline", "_reading_head",
        "_reading_paused", "_resting", "_running", "_seen_head", "_served", "_url", "due", "taken", "transport",
    )  # fmt: skip

    def __init__(self, served: Served, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: asyncio.Transport
        self.due = math.inf
        self.taken: asyncio.Event | None = None
        """While the client is behind in taking what is sent: set when it has caught up."""
        self._served = served
        self._loop = loop
        self._cycle: Cycle | None = None
        """Of the request that was read last, which may wait behind the one that is served."""
        self._running: Cycle | None = None
        self._pipeline: deque[Cycle] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._reading_head = False
        self._reading_paused = False
        self._left_bytes = 0
        self._body_left = 0
        """What is to come of the body of a request that the parser has not seen, since its head is known."""
        self._seen_head = b""
        """The last one that was not known."""
        self._last_head: tuple[bytes, bytes, Meaning | None] = (b"", b"", None)
        """The last one that was known and has a length: what is before the number and behind it, and its meaning."""
        self._resting = True
        """Nothing is asked that is not answered, nothing half read, and the connection stays open."""
        self._new_head: tuple[bytes, bytes] | None = None
        """One that came twice, and its number: to be kept, if the parser finds it plain."""
        self._body_bytes = 0
        self._framing_bytes = 0
        self._in_body = False
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
        running, self._running, self._cycle = self._running, None, None
        if running is not None and not running.answered:
            running.lost()
        self.resume_writing()
        del self._parser  # which holds us, as we hold it

    def pause_writing(self) -> None:
        if self.taken is None:
            self.taken = asyncio.Event()

    def resume_writing(self) -> None:
        if self.taken is not None:
            self.taken.set()
            self.taken = None

    def data_received(self, data: bytes) -> None:
        if self._resting:
            self._known(data)
        elif not self.transport.is_closing():
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

    def _known(self, data: bytes) -> None:
        """Begin the request that `data` begins with, where its head is known; the parser gets what is left."""
        before, behind, found = self._last_head
        first = len(before)
        last = data.find(b"\r", first, first + MOST_DIGITS + 1)
        digits = data[first:last]
        if found is not None and digits.isdigit() and data.startswith(before) and data.startswith(behind, last):
            start = last + len(behind)
        else:
            first, last, start = parts(data)
            digits = data[first:last]
            found = self._look_up(data[:first], digits, data[last:start]) if start else None
            if found is None:
                self._parse(data)
                return
        body = data[start:]
        left = int(digits or 0) - len(body)
        rest = b""
        if left < 0:
            body, rest = body[:left], body[left:]
        self._resting = False
        self.due = math.inf
        news = left <= 0 or body != b""
        cycle = Cycle(self, found.of(digits), self.transport, True, body, left > 0, news, not news)
        self._cycle = cycle
        if left > 0:
            self._body_left = left
            if len(body) > _MOST_WAITING_BYTES:
                self.pause_reading()
        self._start(cycle)
        if rest:
            self._parse(rest)

    def _look_up(self, before: bytes, digits: bytes, behind: bytes) -> Meaning | None:
        """What the head of these `parts` means, if it is known."""
        head = before + behind
        found = self._served.heads.get(head)
        if found is None:
            self._new_head = (head, digits) if head == self._seen_head else None
            self._seen_head = head
        elif digits:
            self._last_head = before, behind, found
        return found

    def _body(self, data: bytes) -> bytes:
        """Take what is of the body; what is left for the parser."""
        body = data[: self._body_left]
        self._body_left -= len(body)
        cycle = self._cycle
        if cycle is not None and not cycle.answered:
            cycle.came(body)
            if not self._body_left:
                cycle.ended()
            elif len(cycle.body) > _MOST_WAITING_BYTES:
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
        path, query = address(self._url)
        version = parser.get_http_version()
        scope = {
            "type": "http", "asgi": _ASGI, "http_version": version, "method": parser.get_method().decode("ascii"),
            "path": path, "query_string": query, "headers": headers,
        }  # fmt: skip
        before, keep_alive = self._cycle, version != "1.0" and parser.should_keep_alive()
        if keep_alive and self._new_head is not None:
            self._served.keep(*self._new_head, self._url, scope)
        self._new_head = None
        self._cycle = cycle = Cycle(self, scope, self.transport, keep_alive)
        if before is None or before.answered:
            self._start(cycle)
        else:
            self.pause_reading()
            self._pipeline.append(cycle)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self._cycle
        if cycle is not None and not cycle.answered:
            cycle.came(body)
            if len(cycle.body) > _MOST_WAITING_BYTES:
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

    def _start(self, cycle: Cycle) -> None:
        self._running = cycle
        served = self._served
        # Of one name for all: a task without is given one of its own, at a price.
        cycle.task = task = asyncio.Task(cycle.run(served), loop=self._loop, name="request")
        served.tasks.add(task)

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

    def on_answered(self) -> None:
        """The answer to the request that is served is whole: the next one may be."""
        # A timer for each request would be made and cancelled; one sweep a second looks at `due`.
        now = self._loop.time()
        if self.transport.is_closing():
            self._linger(now)
            return
        if self._reading_paused:
            self.resume_reading()
        if self._pipeline:
            self.due = math.inf
            self._start(self._pipeline.popleft())
        else:
            self.due = now + KEEP_ALIVE_S
            self._resting = not (self._reading_head or self._in_body or self._body_left)

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
