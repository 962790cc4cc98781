"""One request on its way, for `async with`; or sent at once, where a connection is there (`begin`)."""

from typing import TYPE_CHECKING

from farthing.gateway.client.errors import Broken, Closing, NotConnected
from farthing.gateway.client.plain_wire import Asked
from farthing.gateway.client.response import Response

if TYPE_CHECKING:
    from farthing.gateway.client.connection import Connection

_REFUSED = 300


class Request(Asked):
    """Sent when it is entered, or by `answer` or `begin`; what is left of the answer is given up when it is left, or by
    `close`, with its connection."""

    __slots__ = ()

    async def __aenter__(self) -> Response:
        return await self.answer()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def answer(self) -> Response:
        """The answer, of which status and headers have come. Raises `NotConnected` where nothing was sent, `Broken`
        where the upstream may have worked on it (`Closing`: hardly)."""
        answer = self._answer
        if answer is None:
            answer = await self._sent()
        answer.done = None
        try:
            if self._upload is not None:
                await self._send_body(self._connection, answer)
            while not answer.status:
                await answer.more()
        except BaseException as error:
            answer.close()
            if isinstance(error, Broken) and self._connection.unread:
                raise Closing(str(error)) from None
            raise
        return answer

    async def _sent(self) -> Response:
        """Send it, on a new connection where none is kept."""
        answer = self.begin(None)
        if answer is None:
            connection: Connection = await self._pool.connect()
            answer = connection.send(self._data, self._bare)
            if answer is None:
                raise NotConnected("it closed the connection at once")
            self._connection, self._answer = connection, answer
        return answer

    async def _send_body(self, connection: "Connection", answer: Response) -> None:
        """Send the body as it comes; no more of it once it is refused."""
        body, left = self._upload, self._length
        assert body is not None
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
