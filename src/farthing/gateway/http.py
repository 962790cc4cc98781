"""The little of HTTP that the gateway handles itself: reading a request within bounds, sending an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from farthing.gateway.problem import Header, Problem
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.process.head_lines import fit_lines, fit_name, fit_pairs
from farthing.gateway.process.request_head import BY_NAME
from farthing.gateway.watch import Watch

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FORWARDED = frozenset(
    {
        b"accept", b"user-agent", b"anthropic-version", b"anthropic-beta", b"openai-beta", b"idempotency-key",
        b"x-request-id", b"x-client-request-id", b"traceparent", b"tracestate", b"http-referer", b"x-title",
        b"x-stainless-retry-count", b"x-grok-conv-id", b"x-session-id", b"x-session-affinity",
    }
)  # fmt: skip
"""Request headers that go upstream. A list of what may pass, not of what may not: an organisation or project that a
client names would be billed with the gateway's key."""

_HELD_BACK = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "content-length", "set-cookie", "server", "date", "alt-svc", "authorization",
        "x-api-key", "api-key", "strict-transport-security", "openai-organization", "openai-project",
        "anthropic-organization-id", "cf-ray", "cf-cache-status", "access-control-allow-origin",
        "access-control-allow-credentials", "access-control-allow-methods", "access-control-allow-headers",
        "access-control-expose-headers",
    }
)  # fmt: skip
_OURS = "x-farthing-"
_LONGEST_BYTES = 8192
"""A longer value of a header is not passed on."""


class ClientGone(Exception):
    """The client closed its connection before its request was whole, or before it was sent on."""


class BrokenOff(Exception):
    """An answer that has begun cannot be brought to its end: its connection is closed, so that the client sees it."""


def wanted_headers(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by their names in lower case; of a repeated one the first."""
    found: dict[bytes, bytes] | None = scope.get(BY_NAME)
    return dict(reversed(list(scope["headers"]))) if found is None else found


class Held:
    """The bytes of bodies and answers that a worker holds, which have a bound."""

    __slots__ = ("bytes", "most")

    def __init__(self, most: int) -> None:
        self.bytes = 0
        self.most = most

    def add(self, size: int) -> None:
        """Hold so many more. Raises `Problem` (503) beyond the bound; they count all the same, until `drop`."""
        self.bytes += size
        if self.bytes > self.most:
            raise self.full()

    def full(self) -> Problem:
        """The answer to a request that would be more."""
        told = f"the gateway holds {self.most >> 20} MiB of requests and answers already (bounds.held_mib)"
        return Problem(503, told, code="overloaded", retry_after_s=1)

    def drop(self, size: int) -> None:
        """They are gone."""
        self.bytes -= size


def body_at_once(cycle: Cycle | None, headers: Mapping[bytes, bytes], most_bytes: int, held: Held) -> bytes | None:
    """`read_body` without waiting: the whole body, if it has come (`cycle`: `own_cycle`'s); else None."""
    if b"content-encoding" in headers and headers[b"content-encoding"].strip().lower() not in (b"", b"identity"):
        raise Problem(415, "the request's body is compressed: send it as it is (no Content-Encoding)")
    if cycle is None or (came := cycle.whole()) is None:
        return None
    size = len(came)
    if size > most_bytes:
        raise too_large(most_bytes)
    if held.bytes + size > held.most:
        raise held.full()
    held.bytes += size
    return came


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], most_bytes: int, timeout_s: float, watch: Watch, held: Held
) -> bytes:
    """The whole body, whose length the caller drops from `held`. Raises `Problem` (4xx, 503) or `ClientGone`."""
    came = body_at_once(own_cycle(receive), headers, most_bytes, held)
    if came is not None:
        return came
    stated = headers.get(b"content-length")
    if stated is not None and stated.isdigit() and int(stated) > most_bytes:
        raise too_large(most_bytes)
    watch.expect("the request's body", timeout_s)
    size, whole = 0, False
    try:
        message = await receive()
        body: bytes = message.get("body", b"")
        size = len(body)
        held.add(size)
        if message.get("more_body"):
            parts = [body]
            while message.get("more_body"):
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                held.add(len(parts[-1]))
                if size > most_bytes:
                    raise too_large(most_bytes)
            body = b"".join(parts)
        if message["type"] != "http.request":
            raise ClientGone
        if size > most_bytes:
            raise too_large(most_bytes)
        whole = True
    except asyncio.CancelledError:
        if watch.late:
            raise Problem(408, f"the request's body did not come within {timeout_s:g} seconds", again=True) from None
        raise
    finally:
        watch.rest()
        if not whole:
            held.drop(size)
    return body


def too_large(most_bytes: int) -> Problem:
    """The answer to a body over the bound."""
    return Problem(413, f"the request's body is larger than {most_bytes / (1 << 20):g} MiB (bounds.body_mib)")


async def send_whole(send: Send, status: int, headers: Sequence[Header], body: bytes) -> None:
    """Send a whole answer."""
    cycle = own_cycle(send)
    if cycle is not None and cycle.answer(status, headers, body):
        return
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


def own_cycle(callable: Receive | Send) -> Cycle | None:
    """What is behind `receive` or `send` where our own server called the application: it can be asked, and told, what
    ASGI only has messages for. None under another server."""
    cycle = getattr(callable, "__self__", None)
    return cycle if type(cycle) is Cycle else None


def client_left(receive: Receive) -> bool:
    """Whether the client has closed its connection, without waiting.

    ASGI can only tell by waiting for the next message, which would cost each request a task.
    """
    cycle = own_cycle(receive)
    return cycle is not None and cycle.disconnected


def hung_up(receive: Receive) -> bool:
    """Whether its connection is closed, or about to be: nothing can be sent any more."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    return transport is not None and bool(transport.is_closing())


def passed_status(status: int) -> int:
    """The status that the client gets for the upstream's: HTTP has none beyond 599."""
    return status if status < 600 else 502


class _Names(dict[str, bytes | None]):
    """The name that a header is passed on under, None where it is held back; kept, as upstreams send the same ones."""

    def __init__(self, limited: bool) -> None:
        super().__init__()
        self._limited = limited

    def __missing__(self, name: str) -> bytes | None:
        if len(self) >= _MOST_NAMES:
            self.clear()
        lower = name.lower()
        held_back = lower in _HELD_BACK or lower.startswith(_OURS) or (self._limited and "ratelimit-" in lower)
        told = lower.encode("latin-1")
        found = self[name] = told if fit_name(told) and not held_back else None
        return found


_MOST_NAMES = 1024
_names, _names_limited = _Names(False), _Names(True)


def passed_headers(upstream: Sequence[tuple[str, str]], limited: bool = False) -> list[Header]:
    """The upstream's answer headers that the client gets: without those of the connection, and none in our name.

    `upstream`: as the client read them, as Latin-1. `limited`: the gateway has limits of its own, so those of its
    account at the upstream are not the client's.
    """
    return fit_pairs(upstream, _names_limited if limited else _names, _LONGEST_BYTES)


def passed_lines(upstream: Sequence[tuple[str, str]], limited: bool = False) -> bytes:
    """`passed_headers` as the lines of a head: "name: value" and a line's end, each."""
    return fit_lines(upstream, _names_limited if limited else _names, _LONGEST_BYTES)
