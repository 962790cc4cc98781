"""The connections to one upstream: the one that rested last goes first, one that rests too long is closed."""

import asyncio
import select
import ssl
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from farthing.gateway.client.connection import Connection
from farthing.gateway.client.dial import dial
from farthing.gateway.client.origin import Origin
from farthing.gateway.client.plain_wire import Kept
from farthing.gateway.client.request import Request
from farthing.gateway.client.secure import Secured
from farthing.gateway.client.tls import context

IDLE_S = 20.0
"""A server that closes an idle connection just as it is used again fails a request that cannot safely be repeated;
most wait for a minute, so we let go first."""
MOST_IDLE = 256
_QUIET_S = 1.0
"""After so long without a request a connection is looked at before it is used: its end may have come just now."""
_AFTER_S = 0.01
"""Timers may be early by a turn of the loop, whose clock counts milliseconds."""


class Pool(Kept):
    """Kept connections to `origin`. All that is done with it is done on one loop."""

    __slots__ = ("_connect_s", "origin", "session")

    def __init__(self, origin: Origin, connect_s: float) -> None:
        super().__init__(_QUIET_S, MOST_IDLE, Request)
        self.origin = origin
        self.session: ssl.SSLSession | None = None
        """Of TLS, for the next new connection."""
        self._connect_s = connect_s
        if origin.tls:
            context()  # now, rather than while a request waits

    if TYPE_CHECKING:

        def post(self, start: bytes, lines: bytes, body: bytes, last: str = "") -> Request: ...

    def request(self, head: bytes, body: bytes = b"", *, bare: bool = False) -> Request:
        """A request, for `async with`, which gives its `Response`. `head`: up to and with the empty line.

        `bare`: the answer has no body, as that to HEAD.
        """
        return Request(self, head, body, bare)

    def upload(self, head: bytes, body: AsyncGenerator[bytes, None], length: int | None) -> Request:
        """A request whose body is sent as it comes: `length` bytes as `head` says, or (None) in chunks, which it must
        say. The request raises `ConnectionError` where another length comes, and what `body` raises."""
        return Request(self, head, None, False, body, length)

    def is_good(self, connection: Connection, rested_s: float) -> bool:
        if connection.closed or connection.transport.is_closing():
            return False
        if rested_s < IDLE_S and not _has_news(connection):
            return True
        connection.close()
        return False

    async def connect(self) -> Connection:
        """A new connection. Raises `NotConnected`."""
        return await dial(self, self._connect_s)

    def sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def lost(self, connection: Connection) -> None:
        if isinstance(secured := connection.transport, Secured):
            self.session = secured.session or self.session
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what rests, and from now on every connection when its answer is whole."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        idle = self._idle
        while idle:
            idle.pop().close()

    def _sweep(self) -> None:
        idle, since = self._idle, time.monotonic() - IDLE_S
        while idle and (idle[0].closed or idle[0].idle_since <= since):
            idle.pop(0).close()
        self._sweeper = None
        if idle:
            later_s = idle[0].idle_since - since + _AFTER_S
            self._sweeper = asyncio.get_running_loop().call_later(later_s, self._sweep)


def _has_news(connection: Connection) -> bool:
    """Whether something waits to be read, which on a connection at rest is its end."""
    number = connection.transport.get_extra_info("socket").fileno()
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
