"""What is passed through as it is: files, batches and stored responses. Recorded, not metered: their work is billed
when it is done, and their bodies are streamed, never held."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from farthing.gateway.caller import Attribution, attribution, token_of
from farthing.gateway.client import Fault, Request
from farthing.gateway.deferred import BatchOutput, Deferred, StoredResponse
from farthing.gateway.http import (
    BrokenOff,
    ClientGone,
    Receive,
    Scope,
    client_left,
    passed_headers,
    passed_status,
    too_large,
    wanted_headers,
)
from farthing.gateway.metering import Asked
from farthing.gateway.problem import Problem
from farthing.gateway.process.head_lines import fit_value
from farthing.gateway.watch import watched
from farthing.ledger.ledger import attempt_id
from farthing.ledger.row import Attempt

if TYPE_CHECKING:
    from farthing.gateway.state import State
    from farthing.gateway.upstream import Upstream
    from farthing.gateway.visit import Visit

_PASSED = {
    "/v1/files": "files", "/v1/uploads": "files", "/v1/batches": "batches", "/v1/responses": "responses",
    "/v1/messages/batches": "messages/batches",
}  # fmt: skip
MOST_UPLOAD = 1 << 30
_SAFE = "/:-_.~@!$&'()*+,;="
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_NOTHING = Asked()


def is_passed(path: str) -> bool:
    """Whether `path` is one of those that are passed through."""
    return surface_of(path) != ""


def surface_of(path: str) -> str:
    """The surface that `path` belongs to, "" where it is not passed through. (/v1/responses itself is metered.)"""
    for start, surface in _PASSED.items():
        if path == start or path.startswith(start + "/"):
            return surface
    return ""


async def pass_through(state: "State", visit: "Visit", scope: Scope) -> None:
    """Send the request on and its answer back. Raises `Problem`."""
    headers = wanted_headers(scope)
    path: str = scope["path"]
    surface = surface_of(path)
    key = state.gate.key_of(token_of(headers))
    state.gate.check_unbounded(key, surface)
    by = attribution(headers, _NOTHING, state.gate.defaults(key))
    state.gate.check_feature(key, by.feature)
    upstream = _upstream(state, surface, headers)
    if ".." in path or "//" in path or "." in path.split("/"):
        raise Problem(400, "the path holds '.', '..' or '//': name the object itself", code="bad_request")
    if scope["method"] not in _METHODS or (surface == "responses" and not _free(scope["method"], path)):
        raise Problem(404, f"{scope['method']} {path} is not passed on: it is not known to be free", code="not_found")
    admission = state.gate.admit(state.gate.party(key, by), 0)
    try:
        passage = Passage(state, upstream, visit.id, surface, key.id if key else "", by)
        await passage.run(headers, scope, visit)
    finally:
        if admission is not None:
            admission.end(0)


def _free(method: str, path: str) -> bool:
    """Whether what is asked of stored responses costs nothing: reading, deleting, cancelling, counting. A path that
    is not known may generate (/v1/responses/, /v1/responses/compact), and that is not metered here."""
    parts = path.removeprefix("/v1/responses/").split("/")
    if method == "POST":
        return parts == ["input_tokens"] or (len(parts) == 2 and bool(parts[0]) and parts[1] == "cancel")
    return bool(parts[0]) and method in ("GET", "HEAD", "DELETE")


class Passage:
    """One request that is passed through: its row, and the rows of the work that its answer tells of."""

    def __init__(
        self, state: "State", upstream: "Upstream", request: str, surface: str, key: str, by: Attribution
    ) -> None:
        self._state = state
        self._upstream = upstream
        self._fields: dict[str, Any] = {
            "request": request, "worker": state.ledger.worker, "key": key, "protocol": upstream.protocol,
            "provider": upstream.provider, "upstream": upstream.name, "feature": by.feature,
            "request_type": by.request_type, "user": by.user, "segment": by.segment, "session": by.session,
            "tags": by.tags,
        }  # fmt: skip
        self._row: dict[str, Any] = self._fields | {
            "attempt": attempt_id(), "surface": surface, "started_us": time.time_ns() // 1000,
        }  # fmt: skip

    async def run(self, headers: dict[bytes, bytes], scope: Scope, visit: "Visit") -> None:
        """Pass it, and record it. The passing itself costs nothing, which is known."""
        self._state.shared.write(Attempt(**self._row))
        status, error = None, "internal"
        try:
            status, error = await self._exchange(headers, scope, visit)
        except asyncio.CancelledError:
            error = "stopped"
            raise
        except Problem as problem:
            error = problem.code or str(problem.status)
            raise
        except ClientGone:
            error = "client_left"
            raise
        except BrokenOff as broken:
            error = str(broken) or "broken"
            raise
        finally:
            ended_us = time.time_ns() // 1000
            name = "cancelled" if error == "client_left" else "failed" if error else "done"
            self._state.end(Attempt(**self._row, state=name, ended_us=ended_us, status=status, error=error, usd="0"))

    async def _exchange(self, headers: dict[bytes, bytes], scope: Scope, visit: "Visit") -> tuple[int, str]:
        """The status of the answer, and what went wrong with it."""
        upstream = self._upstream
        watch = watched(upstream.settings.timeouts.total_s)
        receive, send = visit.receive, visit.send
        request = self._request(headers, scope, receive)
        watch.expect("the answer", upstream.settings.timeouts.total_s)
        try:
            async with request as response:
                pairs = upstream.hiding.pairs(response.headers)
                status = response.status
                if status == 401:
                    told = f"upstream {upstream.name!r} refused the gateway's credentials"
                    raise Problem(502, told, code="upstream_credentials")
                made = [*passed_headers(pairs), (b"x-farthing-request-id", self._row["request"].encode())]
                visit.answered = True
                await send({"type": "http.response.start", "status": passed_status(status), "headers": made})
                hiding = upstream.hiding.stream()
                reader = self._reader(scope, status)
                while (piece := await response.read_chunk()) is not None:
                    watch.alive()
                    chunk = hiding.feed(piece)
                    if reader is not None:
                        self._record(reader.feed(chunk))
                    if not client_left(receive):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    elif reader is None:
                        return status, "client_left"  # what is metered is read to its end all the same
                if reader is not None:
                    self._record(reader.finish())
                await send({"type": "http.response.body", "body": hiding.end()})
                return status, "" if status < 400 else str(status)
        except asyncio.CancelledError:
            if not watch.late:
                raise
            if visit.answered:
                raise BrokenOff("timeout") from None
            raise Problem(504, f"upstream {upstream.name!r} did not answer in time", code="upstream_failed") from None
        except (Fault, ConnectionError):  # the latter: of the client, with its upload half sent
            if visit.answered:
                raise BrokenOff from None
            if client_left(receive):
                raise ClientGone from None
            told = f"upstream {upstream.name!r} cannot be reached, or broke off"
            raise Problem(502, told, code="upstream_failed", again=True) from None
        finally:
            watch.end()

    def _request(self, headers: dict[bytes, bytes], scope: Scope, receive: Receive) -> Request:
        method: str = scope["method"]
        target = self._upstream.target(quote(scope["path"].removeprefix("/v1/"), safe=_SAFE))
        query = quote(scope["query_string"], safe=_SAFE + "?%")
        target += (b"&" if b"?" in target else b"?") + query.encode() if query else b""
        pool = self._upstream.open()
        head = pool.origin.start(method, target) + self._upstream.lines(headers)
        head += b"%b\r\n" % self._row["attempt"].encode()
        if method not in ("POST", "PUT", "PATCH"):
            return pool.request(head + b"\r\n", bare=method == "HEAD")
        kind, length = headers.get(b"content-type", b""), headers.get(b"content-length", b"")
        head += b"content-type: %b\r\n" % (kind if kind and fit_value(kind) else b"application/octet-stream")
        if not length.isdigit():
            return pool.upload(head + b"transfer-encoding: chunked\r\n\r\n", _body(receive), None)
        if int(length) > MOST_UPLOAD:
            raise too_large(MOST_UPLOAD)
        return pool.upload(head + b"content-length: %d\r\n\r\n" % int(length), _body(receive), int(length))

    def _reader(self, scope: Scope, status: int) -> BatchOutput | StoredResponse | None:
        """What reads the answer for work that is paid for; None where it tells of none."""
        path = scope["path"]
        if scope["method"] != "GET" or status != 200:
            return None
        if path.startswith("/v1/responses/") and path.count("/") == 3:
            return StoredResponse(self._upstream.provider)
        if (path.startswith("/v1/files/") and path.endswith("/content")) or path.endswith("/results"):
            return BatchOutput(self._upstream.provider)
        return None

    def _record(self, work: list[Deferred]) -> None:
        """Write the rows of `work`. One that was recorded before stays as it is: its attempt has the same id."""
        for one in work:
            now_us = time.time_ns() // 1000
            at_us = min(one.at_s * 1_000_000, now_us) if one.at_s is not None else now_us
            place = self._state.place_of(self._upstream, one.surface, one.served.model)
            priced = place.seller.price(one.served, one.tier, at_us, at_us)
            reported = one.served.reported_usd
            self._state.end(
                Attempt(
                    **self._fields, attempt=one.attempt(self._upstream.name), state="done", surface=one.surface.value,
                    started_us=at_us, ended_us=at_us, status=200, model_asked=one.served.model,
                    model_served=one.served.model, tier_asked=one.tier, tier_served=one.served.tier or one.tier,
                    quantities=one.served.quantities, usd=str(priced.usd) if priced.usd is not None else None,
                    unknown=priced.unknown, price=self._state.price_name(priced), estimated=one.served.estimated,
                    reported_usd=str(reported) if reported is not None else None, answer=one.served.id,
                )
            )  # fmt: skip


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


async def _body(receive: Receive) -> AsyncGenerator[bytes, None]:
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
