"""One request on its way, for `async with`."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import msgspec

from farthing.gateway.client.errors import Broken, Closing, NotConnected
from farthing.gateway.client.response import Response

if TYPE_CHECKING:
    from farthing.gateway.client.connection import Connection
    from farthing.gateway.client.pool import Pool

_LARGE = 16 << 10
"""From here on, head and body are not joined before they are sent."""
_REFUSED = 300


class Request(msgspec.Struct, eq=False):
    """Sent when it is entered, or by `answer`; what is left of the answer is given up when it is left, or by `close`,
    with its connection."""

    _pool: "Pool"
    _head: bytes
    _body: bytes = b""
    _bare: bool = False
    _upload: AsyncGenerator[bytes, None] | None = None
    _length: int | None = None
    _answer: Response | None = None

    async def __aenter__(self) -> Response:
        return await self.answer()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def answer(self) -> Response:
        """The answer, of which status and headers have come. Raises `NotConnected` where nothing was sent, `Broken`
        where the upstream may have worked on it (`Closing`: hardly)."""
        pool, body = self._pool, self._body
        data = self._head + body if len(body) < _LARGE else (self._head, body)
        while (connection := pool.take()) is not None:
            answer = connection.send(data, self._bare)
            if answer is not None:
                break
        else:
            connection = await pool.connect()
            answer = connection.send(data, self._bare)
            if answer is None:
                raise NotConnected("it closed the connection at once")
        self._answer = answer
        try:
            if self._upload is not None:
                await self._send_body(connection, answer, self._upload)
            while not answer.status:
                await answer.more()
        except BaseException as error:
            answer.close()
            if isinstance(error, Broken) and connection.was_closing():
                raise Closing(str(error)) from None
            raise
        return answer

    def close(self) -> None:
        """Nothing more of the answer is read."""
        if self._answer is not None:
            self._answer.close()

    async def _send_body(self, connection: "Connection", answer: Response, body: AsyncGenerator[bytes, None]) -> None:
        """Send the body as it comes; no more of it once it is refused."""
        left = self._length
        connection.begin_body()
        try:
            async for piece in body:
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        raise ConnectionError("the body is longer than was stated")
                elif piece:
                    piece = b"%x\r\n%b\r\n" % (len(piece), piece)
                if not await connection.write(piece) or answer.status >= _REFUSED:
                    return
        finally:
            await body.aclose()
        if left:
            raise ConnectionError("the body ended before the length that was stated")
        if left is None:
            await connection.write(b"0\r\n\r\n")
        connection.end_body()
