"""What is passed through as it is: files, batches and stored responses. Recorded, not metered: their work is billed
when it is done, and their bodies are streamed, never held."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from farthing.gateway.caller import token_of
from farthing.gateway.http import Receive, Scope, Send, client_left, passed_headers, too_large, wanted_headers
from farthing.gateway.problem import Problem
from farthing.gateway.watch import Watch
from farthing.ledger.ledger import attempt_id
from farthing.ledger.row import Attempt

if TYPE_CHECKING:
    from farthing.gateway.state import State
    from farthing.gateway.upstream import Upstream

_PASSED = {
    "/v1/files": "files", "/v1/uploads": "files", "/v1/batches": "batches", "/v1/responses": "responses",
    "/v1/messages/batches": "messages/batches",
}  # fmt: skip
MOST_UPLOAD = 1 << 30


def is_passed(path: str) -> bool:
    """Whether `path` is one of those that are passed through."""
    return surface_of(path) != ""


def surface_of(path: str) -> str:
    """The surface that `path` belongs to, "" where it is not passed through. (/v1/responses itself is metered.)"""
    for start, surface in _PASSED.items():
        if path == start or path.startswith(start + "/"):
            return surface
    return ""


async def pass_through(
    state: "State", request: str, scope: Scope, receive: Receive, send: Send, started: list[bool]
) -> None:
    """Send the request on and its answer back. Raises `Problem`."""
    headers = wanted_headers(scope)
    path: str = scope["path"]
    surface = surface_of(path)
    key = state.key_of(token_of(headers))
    state.check_unbounded(key, surface)
    upstream = _upstream(state, surface, headers)
    if ".." in path or "//" in path:
        raise Problem(400, "the path holds '..' or '//': name the object itself", code="bad_request")
    attempt = Attempt(
        attempt=attempt_id(), request=request, started_us=time.time_ns() // 1000, worker=state.ledger.worker,
        key=key.id if key else "", protocol=upstream.protocol, surface=surface, provider=upstream.provider,
        upstream=upstream.name,
    )  # fmt: skip
    state.write(attempt)
    status, error = None, "internal"
    try:
        status, error = await _exchange(state, upstream, attempt, headers, scope, receive, send, started)
    except asyncio.CancelledError:
        error = "stopped"
        raise
    except Problem as problem:
        error = problem.code or str(problem.status)
        raise
    finally:
        fields = {name: getattr(attempt, name) for name in attempt.__struct_fields__}
        fields |= {
            "state": "done" if not error else "failed", "ended_us": time.time_ns() // 1000, "status": status,
            "error": error, "usd": "0",
        }  # fmt: skip
        state.end(Attempt(**fields))


def _upstream(state: "State", surface: str, headers: dict[bytes, bytes]) -> "Upstream":
    """The one upstream that has `surface`, or of several the one that `x-farthing-upstream` names."""
    able = [one for one in state.upstreams.values() if surface in one.settings.surfaces]
    wanted = headers.get(b"x-farthing-upstream", b"").decode("latin-1")
    if wanted:
        able = [one for one in able if one.name == wanted]
    if len(able) == 1:
        return able[0]
    if not able:
        raise Problem(404, f"no upstream{f' {wanted!r}' if wanted else ''} has /v1/{surface}", code="surface_not_found")
    names = ", ".join(one.name for one in able)
    raise Problem(400, f"several upstreams have /v1/{surface}: name one in x-farthing-upstream ({names})")


async def _exchange(
    state: "State", upstream: "Upstream", attempt: Attempt, headers: dict[bytes, bytes], scope: Scope,
    receive: Receive, send: Send, started: list[bool],
) -> tuple[int, str]:  # fmt: skip
    """The status of the answer, and what went wrong with it."""
    from pyreqwest.exceptions import RequestError

    timeouts = upstream.settings.timeouts
    watch = Watch(timeouts.total_s)
    query = scope["query_string"].decode("latin-1")
    url = upstream.url(scope["path"].removeprefix("/v1/"))
    url += (("&" if "?" in url else "?") + query) if query else ""
    builder = upstream.open().request(scope["method"], url).streamed_read_buffer_limit(0)
    builder = builder.headers(upstream.headers(headers, attempt.attempt, False))
    if scope["method"] in ("POST", "PUT", "PATCH"):
        kind = headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
        builder = builder.header("content-type", kind)
        if (length := headers.get(b"content-length", b"")).isdigit():
            if int(length) > MOST_UPLOAD:
                raise too_large(MOST_UPLOAD)
            builder = builder.header("content-length", length.decode())
        builder = builder.body_stream(_body(receive))
    watch.expect("the answer", timeouts.total_s)
    try:
        async with builder.build_streamed() as response:
            pairs = [(name, value) for name, value in response.headers.items()]
            status = int(response.status)
            made = [*passed_headers(pairs), (b"x-farthing-request-id", attempt.request.encode())]
            if status == 401:
                raise Problem(
                    502, f"upstream {upstream.name!r} refused the gateway's credentials", code="upstream_credentials"
                )
            started[0] = True
            await send({"type": "http.response.start", "status": status, "headers": made})
            while (chunk := await response.body_reader.read_chunk()) is not None:
                watch.alive()
                await send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
                if client_left(receive):
                    return status, "client_left"
            await send({"type": "http.response.body", "body": b""})
            return status, "" if status < 400 else str(status)
    except asyncio.CancelledError:
        if not watch.late:
            raise
        if started[0]:
            return 504, "timeout"
        raise Problem(504, f"upstream {upstream.name!r} did not answer in time", code="upstream_failed") from None
    except RequestError:
        if started[0]:
            raise  # the client must see that the answer is not whole: its connection is closed
        raise Problem(
            502, f"upstream {upstream.name!r} cannot be reached, or broke off", code="upstream_failed", again=True
        ) from None
    finally:
        watch.rest()


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    """The request's body as it comes."""
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client closed its connection")
        if part := message.get("body", b""):
            size += len(part)
            if size > MOST_UPLOAD:
                raise ConnectionError("the upload is too large")
            yield part
        if not message.get("more_body"):
            return
