"""One connection to an upstream: requests go out, answers are parsed as they come, one at a time."""

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING

import httptools

from farthing.gateway.client.errors import Broken
from farthing.gateway.client.response import MOST_WAITING_BYTES, Response

if TYPE_CHECKING:
    from farthing.gateway.client.pool import Pool
    from farthing.gateway.client.secure import Secured

MOST_HEAD_BYTES = 256 << 10
"""The most that the head of an answer may have, with the heads of the interim answers before it: much, since the answer
is paid for."""
CLOSING_S = 0.3
"""A trip over the network and back, with time to spare."""
_UNACKED = struct.Struct("24xI")
"""Of Linux's `tcp_info`: how many segments are on their way, or lost."""
MOST_HEADERS = 200
MOST_FRAMING = 16
"""Bytes of framing for a byte of a body: a chunk of one byte has six."""
_ROOM = 1 + MOST_FRAMING
_MOST_NAMES, _LONGEST_NAME = 1024, 128
_NO_BODY = (204, 304)
_names: dict[bytes, str] = {}


class Connection(asyncio.Protocol):
    """Made for each connection. `idle_since`: since when it has been without a request, by the loop's clock; with one,
    when it was taken for it."""

    __slots__ = (
        "_answer", "_bare", "_headers", "_interim", "_last", "_parser", "_pieces", "_pool", "_room_bytes", "_unread",
        "_until_end", "_whole", "_writable", "_writing", "closed", "idle_since", "on_body", "paused", "transport",
    )  # fmt: skip

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.transport: asyncio.Transport | Secured
        self.closed = False
        self.paused = False
        self.idle_since = 0.0
        self._answer: Response | None = None
        self._headers: list[tuple[str, str]] = []
        """Those of the message that is read, later its trailers."""
        self._room_bytes = MOST_HEAD_BYTES
        """How much more may come that is no body: the parser keeps heads, trailers and what is written beside chunks in
        memory, without an end."""
        self._whole = False
        """The answer is."""
        self._interim = self._until_end = self._bare = False
        self._writable: asyncio.Future[None] | None = None
        self._writing = False
        """A body is being sent: the connection cannot be used again before its end."""
        self._unread = False
        """The peer closed it before it read the request: then its system answers with a reset."""
        self._last = False
        """There is no other answer after this one."""
        self._pieces: list[bytes] = []
        """What came of the body in what is read now."""
        self.on_body = self._pieces.append
        """The parser's, like the methods of that name."""
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # as some servers pad it

    # --- requests ---------------------------------------------------------------------------------

    def send(self, data: "bytes | tuple[bytes, bytes]", bare: bool = False) -> Response | None:
        """Send a request, or its head; None where the connection turned out to be closed, and nothing went out.

        `bare`: its answer has no body, whatever its headers say (HEAD).
        """
        if self.closed:
            return None
        transport = self.transport
        self._answer = answer = Response(self)
        self._whole = False
        self._room_bytes = MOST_HEAD_BYTES
        if bare:
            self._bare = True  # for good: it is used for no other request then
        try:
            if isinstance(data, bytes):
                transport.write(data)
            else:
                transport.writelines(data)
        except RuntimeError:  # uvloop's word for a handle that is closed
            self.closed = True
        if transport.is_closing() or self.closed:  # before the write, or it failed at once: the peer had closed it
            self._answer = None
            return None
        return answer

    def was_closing(self) -> bool:
        """Whether it ended just after it was taken for a request, which its peer did not read (`Closing`)."""
        return self._unread and asyncio.get_running_loop().time() - self.idle_since < CLOSING_S

    def begin_body(self) -> None:
        """The body follows the head in pieces."""
        self._writing = True

    async def write(self, data: bytes) -> bool:
        """Send a piece of the body, and wait until there is room for more. Whether the rest is wanted: not where the
        answer came first, or the connection ended."""
        if not self._writing:
            return False
        try:
            self.transport.write(data)
        except RuntimeError:
            return False
        if self._writable is not None:
            await self._writable
        return self._writing

    def end_body(self) -> None:
        """The body is sent."""
        self._writing = False

    # --- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: "asyncio.Transport | Secured") -> None:  # type: ignore[override]
        self.transport = transport

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.abort()  # nobody asked: what comes next could be taken for the answer to another request
            return
        room_bytes = self._room_bytes = self._room_bytes - len(data)
        pieces, valid = self._pieces, True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            valid = False
        if pieces:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            answer.pieces.append(body)
            answer.waiting_bytes += len(body)
            room_bytes = self._room_bytes = room_bytes + _ROOM * len(body)
        if self._whole:
            if not valid:
                self._last = True  # what follows the end of the answer
            self._finish(answer)
            return
        if not valid:
            self._break("it sent what is no HTTP/1.1 answer that can be read")
            return
        if room_bytes < 0:
            self._break("the head of its answer is too large, or its body is mostly framing")
            return
        if answer.waiting_bytes > MOST_WAITING_BYTES and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        answer.wake()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._ended(error)
        self.resume_writing()
        self._pool.lost(self)

    def _ended(self, error: Exception | None) -> None:
        answer = self._answer
        if answer is None:
            self.closed = True
        elif self._until_end and error is None:
            self._whole = self._last = True
            self._finish(answer)
        elif answer.status:
            self._break("it broke off its answer")
        else:
            nothing = self._room_bytes == MOST_HEAD_BYTES
            self._unread = nothing and self.idle_since > 0 and (error is not None or _is_refused(self.transport))
            self._break("it closed the connection " + ("without an answer" if nothing else "in its head"))

    # --- the parser's side ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._whole:
            raise Broken  # a second answer to one request
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((_names.get(name) or _lower(name), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:  # we offer no other protocol
                raise Broken
            self._interim = True
            return
        headers, self._headers = self._headers, []
        if len(headers) > MOST_HEADERS:
            raise Broken  # more than clients take
        answer = self._answer
        assert answer is not None
        answer.status = status
        answer.headers = headers
        if self._bare:
            self._whole = self._last = True  # its parser waits for the body that the headers tell of
            raise Broken
        if not parser.should_keep_alive():
            self._last = True
            self._until_end = status not in _NO_BODY and not _is_framed(headers)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._whole = True

    # --- ends -------------------------------------------------------------------------------------

    def _finish(self, answer: Response) -> None:
        """The answer is whole: the connection is free for another request, or has had its time."""
        self._answer = None
        answer.end()
        if self._last or self._writing:
            self._writing = False
            self.resume_writing()
            self.close()
            return
        if self.paused:
            self.resume()
        self._pool.give(self)

    def _break(self, what: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(what)
        self.abort()

    def resume(self) -> None:
        """Read on."""
        self.paused = False
        self.transport.resume_reading()

    def close(self) -> None:
        """Close it; nothing is left in it."""
        self.closed = True
        self.transport.close()

    def abort(self) -> None:
        """Cut it off, whatever is in it."""
        self._answer = None
        self.closed, self._writing = True, False
        self.resume_writing()
        self.transport.abort()


def _is_refused(transport: "asyncio.Transport | Secured") -> bool:
    """Whether what was sent last was met with a reset, or has not arrived, though the peer has ended the connection."""
    kept = transport.get_extra_info("socket")
    if kept is None or kept.fileno() < 0:
        return False
    with socket.socket(fileno=os.dup(kept.fileno())) as own:
        if own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return True
        info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
        return len(info) == _UNACKED.size and _UNACKED.unpack(info)[0] > 0


def _lower(name: bytes) -> str:
    """A header's name in lower case; kept, as upstreams send the same ones."""
    lower = name.decode("latin-1").lower()
    if len(_names) >= _MOST_NAMES:
        _names.clear()
    if len(name) <= _LONGEST_NAME:
        _names[name] = lower
    return lower


def _is_framed(headers: list[tuple[str, str]]) -> bool:
    """Whether the headers tell where the body ends (RFC 9112, 6.3)."""
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if codings:
        return codings[-1].rpartition(",")[2].strip().lower() == "chunked"
    return any(name == "content-length" for name, _ in headers)
