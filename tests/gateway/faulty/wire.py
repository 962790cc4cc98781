"""One connection, as raw as the faults need it: requests are read, bytes are written, and it can be cut in two ways."""

import asyncio
import socket
import struct
from typing import NamedTuple

from tests.gateway.faulty.log import Record

MOST_HEAD = 1 << 20
REASONS = {200: "OK", 204: "No Content", 307: "Temporary Redirect", 400: "Bad Request", 429: "Too Many Requests"}


class Left(Exception):
    """The caller went away."""


class Head(NamedTuple):
    """The head of a request; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


class Reply(NamedTuple):
    """An answer before it is sent: `chunks` with the output tokens that each carries; a length, or chunked."""

    status: int
    headers: list[tuple[str, str]]
    chunks: list[bytes]
    tokens: list[int]
    chunked: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def whole(self, body: bytes, status: int = 0) -> "Reply":
        """The same with another body in one piece."""
        return self._replace(status=status or self.status, chunks=[body], tokens=[sum(self.tokens)])

    def typed(self, kind: str) -> "Reply":
        rest = [header for header in self.headers if header[0] != "content-type"]
        return self._replace(headers=[("content-type", kind), *rest])

    def head(self, length: int | None = None) -> bytes:
        """The status line and the headers, `length` in the place of the true one."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        elif self.status != 204:
            lines.append(f"content-length: {len(self.body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> Head | None:
        """The next request's head; None at the end of the connection."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return Head(method, target, headers)

    async def body(self, head: Head) -> bytes:
        if head.get("expect").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.get("transfer-encoding").lower() == "chunked":
            parts = []
            while size := int(await self.reader.readline(), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readline()
            await self.reader.readline()
            return b"".join(parts)
        return await self.reader.readexactly(int(head.get("content-length") or 0))

    async def send(self, data: bytes) -> None:
        if self.gone():
            raise Left
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            raise Left from None

    async def send_chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def send_reply(self, reply: Reply, record: Record, gap_s: float = 0.0, upto: int | None = None) -> None:
        """The reply as it should be: head, chunks (the first `upto`, then without its end), end."""
        head = reply.head()
        if not reply.chunked:
            record.output += sum(reply.tokens) if reply.status == 200 else 0
            await self.send(head + reply.body)
            return
        await self.send(head)
        for chunk, tokens in zip(reply.chunks[:upto], reply.tokens, strict=False):
            if gap_s:
                await self.pause(gap_s)
            record.output += tokens
            await self.send_chunk(chunk)
        if upto is None:
            await self.send(b"0\r\n\r\n")

    async def pause(self, seconds: float) -> None:
        """Wait, unless the caller goes away meanwhile."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            if self.gone():
                raise Left
            await asyncio.sleep(min(left, 0.02))

    async def hang(self) -> None:
        """Say nothing more, until the caller goes away."""
        while not self.gone():
            await asyncio.sleep(0.02)
        raise Left

    def gone(self) -> bool:
        return self.reader.at_eof() or self.writer.transport.is_closing()

    def cut(self, how: str) -> None:
        """End the connection: by a reset (`rst`), or as if all was said (`fin`)."""
        if how == "rst":
            raw: socket.socket | None = self.writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()
