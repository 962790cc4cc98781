"""One answer as it comes: its status and headers, then its body in pieces."""

import asyncio
from typing import TYPE_CHECKING

from farthing.gateway.client.errors import Broken

if TYPE_CHECKING:
    from farthing.gateway.client.connection import Connection

MOST_WAITING_BYTES = 256 << 10
"""What may wait to be read before the upstream is made to wait."""


class Response:
    """`status`, `headers` (names in lower case), and the body, to be read once. The connection writes into it."""

    __slots__ = ("_broke", "_connection", "_ended", "_pieces", "_waiter", "headers", "status", "waiting_bytes")

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.waiting_bytes = 0
        self._connection: Connection | None = connection
        self._pieces: list[bytes] = []
        self._ended = False
        self._broke = ""
        self._waiter: asyncio.Future[None] | None = None

    # --- for who reads it -------------------------------------------------------------------------

    async def begun(self) -> None:
        """Wait for status and headers. Raises `Broken`."""
        while not self.status:
            if self._broke:
                raise Broken(self._broke)
            await self._more()

    async def read_chunk(self) -> bytes | None:
        """All of the body that came since the last call, at least a byte; None at its end. Raises `Broken`.

        What came before a fault is given first. Where something is there already, nothing is waited for.
        """
        pieces = self._pieces
        while not pieces:
            if self._broke:
                raise Broken(self._broke)
            if self._ended:
                return None
            await self._more()
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.waiting_bytes = 0
        connection = self._connection
        if connection is not None and connection.paused:
            connection.resume()
        return chunk

    async def read(self) -> bytes:
        """The rest of the body, whole. Raises `Broken`."""
        if self._ended:
            whole = b"".join(self._pieces)
            self._pieces.clear()
            return whole
        parts = []
        while (chunk := await self.read_chunk()) is not None:
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Nothing more is read: a connection with something left in it is given up."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.abort()

    async def _more(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    # --- for the connection -----------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether it came whole, or failed."""
        return self._connection is None

    def add(self, piece: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(piece)
        self.waiting_bytes += len(piece)

    def end(self) -> None:
        """The body is whole."""
        self._ended = True
        self._connection = None

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
