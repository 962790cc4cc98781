"""One answer as it comes: its status and headers, then its body in pieces."""

from asyncio import get_running_loop
from typing import TYPE_CHECKING

import msgspec

from farthing.gateway.client.errors import Broken

if TYPE_CHECKING:
    import asyncio

    from farthing.gateway.client.connection import Connection

MOST_WAITING_BYTES = 256 << 10
"""What may wait to be read before the upstream is made to wait."""


class Response(msgspec.Struct, eq=False):
    """`status`, `headers` (names in lower case), and the body, to be read once. The connection writes into it."""

    _connection: "Connection | None"
    """Until the answer is over."""
    status: int = 0
    headers: list[tuple[str, str]] = []
    """There when `status` is."""
    pieces: list[bytes] = []
    """Of the body, not yet read; the connection adds to them, and to `waiting_bytes`."""
    waiting_bytes: int = 0
    _broke: str = ""
    _waiter: "asyncio.Future[None] | None" = None

    # --- for who reads it -------------------------------------------------------------------------

    def more(self) -> "asyncio.Future[None]":
        """Done when more has come, or nothing will. Raises `Broken` where that is so already."""
        if self._broke:
            raise Broken(self._broke)
        self._waiter = waiter = get_running_loop().create_future()
        return waiter

    async def read_chunk(self) -> bytes | None:
        """All of the body that came since the last call, at least a byte; None at its end. Raises `Broken`.

        What came before a fault is given first. Where something is there already, nothing is waited for.
        """
        pieces = self.pieces
        while not pieces:
            if self._connection is None and not self._broke:
                return None
            await self.more()
        chunk = b"".join(pieces)  # of one piece it is that piece, not a copy
        pieces.clear()
        self.waiting_bytes = 0
        connection = self._connection
        if connection is not None and connection.paused:
            connection.resume()
        return chunk

    def whole(self) -> bytes | None:
        """The rest of the body, where all of it has come; else None."""
        if self._connection is not None or self._broke:
            return None
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self) -> bytes:
        """The rest of the body, whole. Raises `Broken`."""
        if (whole := self.whole()) is not None:
            return whole
        parts = []
        while (chunk := await self.read_chunk()) is not None:
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Nothing more is read: a connection with something left in it is given up."""
        connection = self._connection
        if connection is not None:
            self._connection, self._broke = None, "its answer was given up"
            connection.abort()

    # --- for the connection -----------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether it came whole, or failed."""
        return self._connection is None

    def end(self) -> None:
        """The body is whole."""
        self._connection = None
        if (waiter := self._waiter) is not None and not waiter.done():  # as `wake`
            waiter.set_result(None)

    def fail(self, what: str) -> None:
        """Nothing more comes, though something should."""
        self._broke = what
        self._connection = None
        self.wake()

    def wake(self) -> None:
        """Let the reader look."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
