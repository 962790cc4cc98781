# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, nonecheck=True
"""One answer as it comes: its head, then its body in pieces, or (as most) all of it at once. See response.pyi."""

from asyncio import get_running_loop

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from farthing.gateway.client.errors import Broken


@cython.final
@cython.freelist(64)
cdef class Response:
    @property
    def headers(self):
        return [] if self.head is None else list(self.head._pairs)

    @property
    def over(self):
        return self.connection is None

    def more(self):
        if self._broke is not None:
            raise Broken(self._broke)
        self._waiter = waiter = get_running_loop().create_future()
        return waiter

    async def read_chunk(self):
        while (chunk := self._taken()) is None:
            if self.connection is None and self._broke is None:
                return None
            await self.more()
        connection = self.connection
        if connection is not None and connection.paused:
            connection.resume()
        return chunk

    def whole(self):
        if self.connection is not None or self._broke is not None:
            return None
        body = self._taken()
        return b"" if body is None else body

    async def read(self):
        if (whole := self.whole()) is not None:
            return whole
        parts = []
        while (chunk := await self.read_chunk()) is not None:
            parts.append(chunk)
        return b"".join(parts)

    def close(self):
        connection = self.connection
        self.done = None
        if connection is not None:
            self.connection, self._broke = None, "its answer was given up"
            connection.abort()

    cdef bytes _taken(self):
        """All that can be read, at least a byte; None where that is nothing."""
        body, pieces = self.body, self._pieces
        if body is not None:
            self.body = None
            return body if PyBytes_GET_SIZE(body) else None
        if pieces is None or not pieces:
            return None
        self._pieces, self.waiting_bytes = None, 0
        return <bytes>pieces[0] if len(pieces) == 1 else b"".join(pieces)

    cdef void add(self, bytes piece) except *:
        """A piece of the body came, at least a byte."""
        if self._pieces is None:
            self._pieces = [piece]
        else:
            self._pieces.append(piece)
        self.waiting_bytes += PyBytes_GET_SIZE(piece)

    cdef void fail(self, str what) noexcept:
        """Nothing more comes, though something should."""
        self._broke, self.connection = what, None

    cdef void tell(self) except *:
        """Let the reader look."""
        waiter, done = self._waiter, self.done
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if done is not None:
            self.done = None
            done()
