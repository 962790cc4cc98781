"""One request and its answer, between a client's connection and an ASGI application.

The head of an answer is held back until the first of its body comes, as ASGI has it: a whole answer is one write.
"""

import asyncio
import sys
import traceback
from collections.abc import Coroutine, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from farthing.gateway.process.head_lines import STATUS_LINES, fit_name, fit_value
from farthing.gateway.process.plain_turns import LARGE_BYTES, Turn
from farthing.gateway.process.request_head import BY_NAME

if TYPE_CHECKING:
    from farthing.gateway.process.served import Served

Message = MutableMapping[str, Any]
_NO_BODY = (204, 304)
_LENGTH, _CONNECTION = b"\r\ncontent-length: ", b"\r\nconnection: "
_SPECIAL = frozenset({_LENGTH, _CONNECTION})
_NAMES = {b"content-length": _LENGTH, b"connection": _CONNECTION}
_MOST_NAMES = 1024


class Cycle(Turn):
    """A request and its answer. What the gateway also uses (`farthing.gateway.http`), where ASGI has only messages:
    `disconnected`, `transport`, `whole`, `answer`, `piece`; and where it takes a request at once (`Served.at_once`),
    `meaning`, `digits`, `method`, `path`, `headers`, `on_lost`, `take_up`, `go_on`."""

    __slots__ = ()

    # --- the connection's side ----------------------------------------------------------------------

    def came(self, piece: bytes) -> None:
        """A piece of the request's body."""
        self._silent = False
        if not self.body:
            self.body = piece
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += piece
        self._tell()

    def ended(self) -> None:
        """The request is whole."""
        self.more_body = False
        self._tell()

    def lost(self) -> None:
        """The connection is closed."""
        self.disconnected, self._chunking = True, False
        self._tell()
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    def _tell(self) -> None:
        self._news = True
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    # --- the application's side ---------------------------------------------------------------------

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By their names in lower case, of a repeated one the first. (`meaning.headers` are the same, not copied, with
        the content-length left empty.)"""
        scope = self.scope
        found: dict[bytes, bytes] | None = scope.get(BY_NAME)
        if found is None:
            found = scope[BY_NAME] = {}
            for name, value in scope["headers"]:
                found.setdefault(name, value)
        return found

    def go_on(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let `work` serve the request from here on, in a task, as the application would be by `run`."""
        return self._connection.serve(self, work)

    async def run(self, served: "Served", work: Coroutine[Any, Any, None] | None = None) -> None:
        """Let the application (or `work`, in its place) serve the request; what it leaves unfinished ends the
        connection."""
        try:
            try:
                await (served.app(self.scope, self.receive, self.send) if work is None else work)
            except asyncio.CancelledError:
                pass  # a request that is ended at a shutdown: no fault of the application
            except Exception:
                traceback.print_exc(file=sys.stderr)
            else:
                if not self._started and not self.disconnected:
                    print("the application gave no answer to a request", file=sys.stderr)
            if not self.answered:
                await self._end()
        finally:
            served.tasks.discard(self.task)

    async def _end(self) -> None:
        """End what has no end, so that the client sees it: the upstream broke off, or the application failed."""
        if self.disconnected or self.transport.is_closing():
            return
        if self._started:
            self.transport.close()
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"21"),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"Internal Server Error"})

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        if not self._news and not self.disconnected and not self.answered:
            if self._silent and self.more_body and not self._started and not self.transport.is_closing():
                self._silent = False
                if self._expects():
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._waiting is None:
                self._waiting = asyncio.Event()
            self._connection.resume_reading()
            await self._waiting.wait()
        if self.disconnected or self.answered:
            return {"type": "http.disconnect"}
        self._news = False
        self._connection.resume_reading()
        body, self.body = bytes(self.body), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """ASGI's `send`: waits while the client does not take what is sent. Raises `RuntimeError` for what is no
        answer, so that none is taken for another."""
        if (taken := self._connection.taken) is not None and not self.disconnected:
            await (taken.wait() if self._started else self._connection.emptied(taken))
        if self.disconnected:
            return
        if not self._started:
            self._begin(message)
            return
        if self.answered or message["type"] != "http.response.body":
            raise RuntimeError(f"{message['type']} has no place here")
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self._bare:
            body = b""
        elif self._chunked:
            last = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last
        elif self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise RuntimeError("the answer's body has another length than its head says")
        if self._head:
            if len(body) < LARGE_BYTES:
                body = self._head + body
            else:
                self.transport.write(self._head)
            self._head = b""
            self._chunking = self._chunked
        if body:
            self.transport.write(body)
        if not more:
            self.answered, self._chunking, self.on_lost, self.take_up = True, False, None, None
            self._tell()
            if not self.keep_alive:
                self.transport.close()
            self._connection.on_answered()

    def _begin(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"{message['type']} before the answer's head")
        status: int = message["status"]
        method, version = self.method, "1.1" if self.meaning is not None else self.scope["http_version"]
        parts = [STATUS_LINES[status]]
        length: int | None = None
        closes = False
        for name, value in message.get("headers", ()):
            line = _NAMES.get(name) or _line(name)
            if line in _SPECIAL:
                if line is _LENGTH:
                    length = int(value)
                else:
                    closes = b"close" in value.lower()
            if not fit_value(value):
                raise RuntimeError("a header of the answer has control characters")
            parts += (line, value)
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            parts += (_CONNECTION, b"close")
        self._bare = method == "HEAD" or status in _NO_BODY
        self._left_bytes = length
        self._chunked = length is None and not self._bare and version != "1.0"  # which ends with its connection
        if self._chunked:
            parts += (b"\r\ntransfer-encoding: ", b"chunked")
        parts.append(b"\r\n\r\n")
        self._started, self._head = True, b"".join(parts)

    def _expects(self) -> bool:
        """Whether the client waits for word before it sends its body."""
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in self.scope["headers"])


def _line(name: bytes) -> bytes:
    """What stands before a header's value; kept, as answers have the same ones again and again."""
    lower = name.lower()
    if not fit_name(lower) or lower == b"transfer-encoding":
        raise RuntimeError(f"an answer cannot have the header {name!r}")
    line = _NAMES.get(lower) or b"\r\n%b: " % lower
    if len(_NAMES) < _MOST_NAMES:
        _NAMES[name] = line
    return line
