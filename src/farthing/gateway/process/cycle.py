"""One request and its answer, between a client's connection and an ASGI application.

The head of an answer is held back until the first of its body comes, as ASGI has it: a whole answer is one write.
"""

import asyncio
import http
import re
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from farthing.gateway.process.connection import Connection
    from farthing.gateway.process.served import Served

Message = MutableMapping[str, Any]
BY_NAME = "farthing.headers"
"""Where a scope may have its headers once more, by their names in lower case, of a repeated one the first."""


def _status_line(status: int) -> bytes:
    phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""
    return f"HTTP/1.1 {status} {phrase}".encode("ascii")


STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}
_NO_BODY = (204, 304)
_LARGE_BYTES = 65536
"""From here on a body is not copied to stand behind its head."""

_LENGTH, _CONNECTION = b"\r\ncontent-length: ", b"\r\nconnection: "
_SPECIAL = frozenset({_LENGTH, _CONNECTION})
_NAMES = {b"content-length": _LENGTH, b"connection": _CONNECTION}
_PLAIN: set[bytes] = set()
"""Names in lower case that were found fit, of headers that mean nothing to the server."""
_MOST_NAMES = 1024
_name_of = itemgetter(0)
_FIT_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_CONTROLS = bytes({*range(32), 127} - {9})


class Cycle(msgspec.Struct, eq=False):
    """A request and its answer. What the gateway also uses (`farthing.gateway.http`), where ASGI has only messages:
    `disconnected`, `transport`, `whole`, `answer`, `piece`."""

    _connection: "Connection"
    _scope: dict[str, Any]
    transport: Any
    keep_alive: bool
    body: bytes | bytearray = b""
    """What of the request's body came, and is not yet received."""
    more_body: bool = True
    _news: bool = False
    """Something came that is not yet received."""
    _silent: bool = True
    """Nothing of the body came: the client may wait for word before it sends it."""
    task: "asyncio.Task[None] | None" = None
    """Its own, of those that are served."""
    disconnected: bool = False
    answered: bool = False
    """The answer is whole."""
    _waiting: "asyncio.Event | None" = None
    _started: bool = False
    _chunking: bool = False
    """The head of an answer in chunks is out, and its end is not."""
    _head: bytes = b""
    _bare: bool = False
    _chunked: bool = False
    _left_bytes: int | None = None

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

    def _tell(self) -> None:
        self._news = True
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    # --- the application's side ---------------------------------------------------------------------

    async def run(self, served: "Served") -> None:
        """Let the application serve the request; what it leaves unfinished ends the connection."""
        try:
            try:
                await served.app(self._scope, self.receive, self.send)
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

    def whole(self) -> bytes | None:
        """`receive` without waiting: what is left of the request's body, where all of that has come; else None."""
        if self.more_body or not self._news or self.disconnected or self.answered:
            return None
        self._news = False
        self._connection.resume_reading()
        body, self.body = self.body, b""
        return body if type(body) is bytes else bytes(body)

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
            await taken.wait()
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
            if len(body) < _LARGE_BYTES:
                body = self._head + body
            else:
                self.transport.write(self._head)
            self._head = b""
            self._chunking = self._chunked
        if body:
            self.transport.write(body)
        if not more:
            self.answered, self._chunking = True, False
            self._tell()
            if not self.keep_alive:
                self.transport.close()
            self._connection.on_answered()

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """`send` for a whole answer at once, without waiting; its `headers` have no content-length. Whether it is sent:
        the two messages it consists of say, or do, what is otherwise to be."""
        if (
            self._started or self.disconnected or not self.keep_alive or self._connection.taken is not None
            or status in _NO_BODY or self._scope["method"] == "HEAD" or not _PLAIN.issuperset(map(_name_of, headers))
        ):  # fmt: skip
            return False
        lines = b"\r\n".join(map(b": ".join, headers))
        if len(lines) - len(lines.translate(None, _CONTROLS)) != 2 * len(headers) - 2:  # a line's end between two
            return False
        head = b"%b\r\n%b\r\ncontent-length: %d\r\n\r\n" % (STATUS_LINES[status], lines, len(body))
        self._started = True
        if len(body) < _LARGE_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        self.answered = True
        if self._waiting is not None:
            self._tell()
        self._connection.on_answered()
        return True

    def piece(self, body: bytes) -> bool:
        """`send` for a piece of an answer that has begun, without waiting. Whether it is sent: it is not where `send`
        would wait, or do otherwise."""
        if not self._chunking or self._connection.taken is not None or not body:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def _begin(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"{message['type']} before the answer's head")
        status: int = message["status"]
        method, version = self._scope["method"], self._scope["http_version"]
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
        head = b"".join(parts)
        if len(head) - len(head.translate(None, _CONTROLS)) != len(parts) + 2:  # a line's end each, and two
            raise RuntimeError("a header of the answer has control characters")
        self._started, self._head = True, head

    def _expects(self) -> bool:
        """Whether the client waits for word before it sends its body."""
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._scope["headers"])


def _line(name: bytes) -> bytes:
    """What stands before a header's value; kept, as answers have the same ones again and again."""
    lower = name.lower()
    if not _FIT_NAME(lower) or lower == b"transfer-encoding":
        raise RuntimeError(f"an answer cannot have the header {name!r}")
    line = _NAMES.get(lower) or b"\r\n%b: " % lower
    if len(_NAMES) < _MOST_NAMES:
        _NAMES[name] = line
        if name == lower and line not in _SPECIAL:
            _PLAIN.add(name)
    return line
