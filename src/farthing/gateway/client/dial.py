"""A new connection: the name looked up, addresses tried beside each other, the proxy asked, TLS begun."""

import asyncio
import itertools
import socket
import ssl
from typing import TYPE_CHECKING, Any

from farthing.gateway.client.connection import Connection
from farthing.gateway.client.errors import NotConnected
from farthing.gateway.client.secure import Secured
from farthing.gateway.client.tls import context

if TYPE_CHECKING:
    from farthing.gateway.client.pool import Pool

HEAD_START_S = 0.25
"""How long an address is tried before the next one is tried beside it (RFC 8305, 8: "Connection Attempt Delay")."""
_KEEP_ALIVE_S = 30
"""An answer may take minutes of silence, which a network's address translation forgets without a sign of life."""
_MOST_PROXY_HEAD = 16 << 10
Address = tuple[Any, ...]


async def dial(pool: "Pool", connect_s: float) -> Connection:
    """A connection to the pool's origin within `connect_s`, the look-up of its name included. Raises `NotConnected`."""
    try:
        async with asyncio.timeout(connect_s):
            return await _dial(pool)
    except TimeoutError as late:
        if late.errno is None:
            raise NotConnected(f"it cannot be reached (no connection within {connect_s:g} s)") from None
        raise NotConnected(f"it cannot be reached ({_said(late)})") from None
    except ssl.SSLCertVerificationError as error:
        raise NotConnected(f"it cannot be reached (its certificate is refused: {error.verify_message})") from None
    except (OSError, UnicodeError) as error:
        raise NotConnected(f"it cannot be reached ({_said(error)})") from None


def _said(error: Exception) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "its name is not found"
    if isinstance(error, ssl.SSLError):
        return "TLS: " + (error.reason or "failed").replace("_", " ").lower()
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (getattr(error, "strerror", None) or "no connection").lower()


async def _dial(pool: "Pool") -> Connection:
    loop, origin = asyncio.get_running_loop(), pool.origin
    proxy = origin.proxy
    host, port = (proxy.host, proxy.port) if proxy is not None else (origin.host, origin.port)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await _first_to_connect(_in_turns(found))
    try:
        if proxy is not None and origin.tls:
            await _tunnel(sock, f"{_bracketed(origin.host)}:{origin.port}", proxy.credentials)
        connection = Connection(pool)
        if not origin.tls:
            await loop.create_connection(lambda: connection, sock=sock)
            return connection
        secured = Secured(connection, context(), origin.host, pool.session)
        transport, _ = await loop.create_connection(lambda: secured, sock=sock)
    except BaseException:
        sock.close()
        raise
    try:
        await secured.ready
    except BaseException:
        transport.abort()
        raise
    return connection


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _in_turns(found: list[Any]) -> list[Address]:
    """The addresses with the families in turns, the first one's first: one whose way leads nowhere delays little."""
    first = [one for one in found if one[0] == found[0][0]]
    others = [one for one in found if one[0] != found[0][0]]
    turns = itertools.zip_longest(first, others)
    return [one for turn in turns for one in turn if one is not None]


async def _first_to_connect(addresses: list[Address]) -> socket.socket:
    """The first connection that is made; each address has a head start on the next. Raises the first one's error."""
    if len(addresses) == 1:
        return await _connected(addresses[0])
    left = list(addresses)
    trying: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while left or trying:
            if left:
                trying.add(asyncio.create_task(_connected(left.pop(0))))
            done, trying = await asyncio.wait(
                trying, timeout=HEAD_START_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            made = []
            for task in done:
                error = task.exception()
                if error is None:
                    made.append(task.result())
                else:
                    errors.append(error)
            for spare in made[1:]:
                spare.close()
            if made:
                return made[0]
        raise errors[0]
    finally:
        for task in trying:
            task.cancel()
        for one in await asyncio.gather(*trying, return_exceptions=True):
            if isinstance(one, socket.socket):
                one.close()


async def _connected(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEP_ALIVE_S)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(sock: socket.socket, authority: str, credentials: bytes) -> None:
    """Ask the proxy at the other end of `sock` for a way to `authority`. Raises `NotConnected`."""
    loop = asyncio.get_running_loop()
    asked = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n".encode()
    if credentials:
        asked += b"proxy-authorization: " + credentials + b"\r\n"
    await loop.sock_sendall(sock, asked + b"\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        came = await loop.sock_recv(sock, 4096)
        head += came
        if not came or len(head) > _MOST_PROXY_HEAD:
            raise NotConnected("it cannot be reached (the proxy gave no answer that can be read)")
    status = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if not head.startswith(b"HTTP/1.") or not status or not (len(status[0]) == 3 and status[0].startswith(b"2")):
        said = status[0][:3].decode("ascii", "replace") if status else "nothing that can be read"
        raise NotConnected(f"it cannot be reached (the proxy answered {said})")
    if not head.endswith(b"\r\n\r\n"):
        raise NotConnected("it cannot be reached (the proxy sent more than its answer)")
