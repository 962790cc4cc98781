"""One connection to an upstream, beyond what each request does (`Wire`): answers that are not plain, uploads, ends."""

import asyncio
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

import httptools

from farthing.gateway.client.errors import Broken
from farthing.gateway.client.plain_wire import Wire

if TYPE_CHECKING:
    from farthing.gateway.client.pool import Pool
    from farthing.gateway.client.secure import Secured

CLOSING_S = 0.3
"""A trip over the network and back, with time to spare."""
_UNACKED = struct.Struct("24xI")
"""Of Linux's `tcp_info`: how many segments are on their way, or lost."""
MOST_HEADERS = 200
_MOST_NAMES, _LONGEST_NAME = 1024, 128
_NO_BODY = (204, 304)
_names: dict[bytes, str] = {}


class Connection(Wire, asyncio.Protocol):
    """Made for each connection."""

    __slots__ = ("_headers", "_interim", "_parser", "_writable")

    def __init__(self, pool: "Pool") -> None:
        self._headers: list[tuple[str, str]] = []
        """Those of the message that is parsed, later its trailers."""
        self._interim = False
        self._writable: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # as some servers pad it

    # --- uploads ----------------------------------------------------------------------------------

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

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.resume_writing()
        self._pool.lost(self)
        self._ended(error)

    def _ended(self, error: Exception | None) -> None:
        answer = self._answer
        if answer is None:
            self.closed = True
        elif self._until_end and error is None:
            self._whole = self._last = True
            self._finish()
        elif answer.status:
            self._break("it broke off its answer")
        else:
            nothing = self.untouched
            self.unread = nothing and self._was_just_taken() and (error is not None or _is_refused(self.transport))
            self._break("it closed the connection " + ("without an answer" if nothing else "in its head"))

    def _was_just_taken(self) -> bool:
        return self.idle_since > 0 and time.monotonic() - self.idle_since < CLOSING_S

    # --- the parser's side ------------------------------------------------------------------------

    def parse(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True

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
        self.begun(status, headers)
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
