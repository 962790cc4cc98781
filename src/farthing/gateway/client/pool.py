"""The connections to one upstream: the one that rested last goes first, one that rests too long is closed."""

import asyncio
import select
import ssl
import time
from collections.abc import AsyncGenerator

from farthing.gateway.client.connection import Connection
from farthing.gateway.client.dial import dial
from farthing.gateway.client.origin import Origin
from farthing.gateway.client.request import Request
from farthing.gateway.client.secure import Secured
from farthing.gateway.client.tls import context

IDLE_S = 20.0
"""A server that closes an idle connection just as it is used again fails a request that cannot safely be repeated;
most wait for a minute, so we let go first."""
MOST_IDLE = 256
_QUIET_S = 1.0
"""After so long without a request a connection is looked at before it is used: its end may have come just now."""


class Pool:
    """Kept connections to `origin`. All that is done with it is done on one loop."""

    __slots__ = ("_closed", "_connect_s", "_idle", "_sweeper", "_time", "origin", "session")

    def __init__(self, origin: Origin, connect_s: float) -> None:
        self.origin = origin
        self.session: ssl.SSLSession | None = None
        """Of TLS, for the next new connection."""
        self._connect_s = connect_s
        self._idle: list[Connection] = []  # those that have rested longest first
        self._time = time.monotonic
        """The loop's clock, from the first connection on."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        if origin.tls:
            context()  # now, rather than while a request waits

    def request(self, head: bytes, body: bytes = b"", *, bare: bool = False) -> Request:
        """A request, for `async with`, which gives its `Response`. `head`: up to and with the empty line.

        `bare`: the answer has no body, as that to HEAD.
        """
        return Request(self, head, body, bare)

    def upload(self, head: bytes, body: AsyncGenerator[bytes, None], length: int | None) -> Request:
        """A request whose body is sent as it comes: `length` bytes as `head` says, or (None) in chunks, which it must
        say. The request raises `ConnectionError` where another length comes, and what `body` raises."""
        return Request(self, head, b"", False, body, length)

    def take(self) -> Connection | None:
        """A kept connection; None where there is none."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            now = self._time()
            rested_s = now - connection.idle_since
            connection.idle_since = now
            if rested_s < _QUIET_S:
                return connection  # which says when a request is sent whether it is closed
            if not connection.closed and not connection.transport.is_closing():
                if rested_s < IDLE_S and not _has_news(connection):
                    return connection
                connection.close()
        return None

    async def connect(self) -> Connection:
        """A new connection. Raises `NotConnected`."""
        self._time = asyncio.get_running_loop().time
        return await dial(self, self._connect_s)

    def give(self, connection: Connection) -> None:
        """`connection` is free."""
        idle = self._idle
        if self._closed or len(idle) >= MOST_IDLE:
            connection.close()
            return
        connection.idle_since = self._time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def lost(self, connection: Connection) -> None:
        """`connection` ended."""
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
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _sweep(self) -> None:
        loop, idle = asyncio.get_running_loop(), self._idle
        since = loop.time() - IDLE_S
        while idle and (idle[0].closed or idle[0].idle_since <= since):
            idle.pop(0).close()
        self._sweeper = loop.call_at(idle[0].idle_since + IDLE_S, self._sweep) if idle else None


def _has_news(connection: Connection) -> bool:
    """Whether something waits to be read, which on a connection at rest is its end."""
    number = connection.transport.get_extra_info("socket").fileno()
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
