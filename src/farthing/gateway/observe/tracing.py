"""OpenTelemetry spans of requests and their attempts, sent from a thread: never blocking the event loop.

A request's span is the child of the client's (W3C trace context), an attempt's of the request's.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from farthing import __version__
from farthing.gateway.observe.spans import Trace, Value, attributes, span_id, trace_of
from farthing.ledger.row import Attempt

if TYPE_CHECKING:
    from farthing.gateway.observe.otlp import Sender, Span

MOST_WAITING = 4_096
_BATCH = 512
_PAUSE_S = 1.0
_TRIES = 4
_BACK_OFF_S = 0.5  # doubled with each try


class _Finished(msgspec.Struct, frozen=True, gc=False):
    """A request that has ended."""

    id: str
    method: str
    path: str
    status: int
    started_us: int
    ended_us: int


_Item = tuple[Trace, Attempt | _Finished]


class Tracer:
    """Sends spans to `endpoint`, an OTLP/HTTP address. To be used from one thread (the event loop's).

    At most `MOST_WAITING` spans wait; more are dropped. `counters`: spans sent, failed (the receiver was out of reach
    or refused them) and dropped. `upstreams`: host and port by name. `ratio`: the share of requests recorded of those
    whose client sends no trace of its own.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        service: str = "farthing",
        worker: str = "",
        upstreams: Mapping[str, tuple[str, int | None]] | None = None,
        ratio: float = 1.0,
    ) -> None:
        self.counters = {"sent": 0, "failed": 0, "dropped": 0}
        self.upstreams = dict(upstreams or {})
        self._endpoint, self._ratio = endpoint, ratio
        self._resource = _resource(service, worker, os.environ)
        self._waiting: deque[_Item] = deque()
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="farthing-spans", daemon=True)
        self._thread.start()

    def begin(self, request: str, headers: Mapping[bytes, bytes]) -> Trace | None:
        """The trace of a request with these headers (names in lower case); None: not to be recorded."""
        parent = headers.get(b"traceparent")
        if parent is None:
            return trace_of(request, ratio=self._ratio)
        state = headers.get(b"tracestate", b"").decode("latin-1")
        return trace_of(request, parent.decode("latin-1"), state, self._ratio)

    def attempt(self, trace: Trace, attempt: Attempt) -> None:
        """Record an attempt that has ended."""
        self._offer((trace, attempt))

    def request(
        self, trace: Trace, id: str, *, method: str, path: str, status: int, started_us: int, ended_us: int
    ) -> None:
        """Record a request that has ended. `path`: one of the gateway's own, not whatever a client sent."""
        self._offer((trace, _Finished(id, method, path, status, started_us, ended_us)))

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, for `timeout_s` at most; the rest is dropped."""
        self._stop.set()
        self._hurry.set()
        self._thread.join(timeout_s)
        self.counters["dropped"] += len(self._take(len(self._waiting)))

    def _offer(self, item: _Item) -> None:
        if len(self._waiting) >= MOST_WAITING or self._stop.is_set():
            self.counters["dropped"] += 1
            return
        self._waiting.append(item)
        if len(self._waiting) == _BATCH:
            self._hurry.set()

    def _take(self, most: int) -> list[_Item]:
        batch: list[_Item] = []
        with suppress(IndexError):
            while len(batch) < most:
                batch.append(self._waiting.popleft())
        return batch

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        from farthing.gateway.observe.otlp import Sender  # http.client takes a while to import

        sender = Sender(self._endpoint)
        while True:
            self._hurry.wait(_PAUSE_S)
            self._hurry.clear()
            while batch := self._take(_BATCH):
                why = self._send(sender, batch)
                self.counters["failed" if why else "sent"] += len(batch)
                if why and not self._failing:
                    print(f"farthing: telemetry.otlp: spans are lost: {why}", file=sys.stderr, flush=True)
                self._failing = bool(why)
            if self._stop.is_set():
                sender.close()
                return

    def _send(self, sender: "Sender", batch: list[_Item]) -> str:
        """Send a batch, more than once where that may help; why it failed."""
        from farthing.gateway.observe.otlp import encode

        try:
            body = encode(self._resource, [self._span(trace, one) for trace, one in batch])
            for number in range(_TRIES):
                why, again = sender.send(body)
                if not why or not again or self._stop.wait(_BACK_OFF_S * 2**number):
                    break
        except Exception as error:  # whatever it is: requests go on
            why = str(error) or type(error).__name__
        return why

    def _span(self, trace: Trace, one: Attempt | _Finished) -> "Span":
        from farthing.gateway.observe.otlp import CLIENT, SERVER, Span

        if isinstance(one, Attempt):
            told = attributes(one, *self.upstreams.get(one.upstream, ("", None)))
            ended_us = one.ended_us if one.ended_us is not None else one.started_us
            return Span(
                f"{told['gen_ai.operation.name']} {one.model_asked}".rstrip(), CLIENT, trace.trace,
                span_id(one.attempt), trace.span, trace.state, one.started_us, ended_us,
                one.state in ("failed", "lost"), told,
            )  # fmt: skip
        told = {
            "http.request.method": one.method, "http.route": one.path, "url.path": one.path,
            "http.response.status_code": one.status, "farthing.request.id": one.id,
        }  # fmt: skip
        if failed := one.status >= 500:
            told["error.type"] = str(one.status)
        return Span(
            f"{one.method} {one.path}", SERVER, trace.trace, trace.span, trace.parent, trace.state, one.started_us,
            one.ended_us, failed, told,
        )  # fmt: skip


def _resource(service: str, worker: str, environ: Mapping[str, str]) -> dict[str, Value]:
    """Who sends: OTEL_RESOURCE_ATTRIBUTES, and what the configuration says over it."""
    stated: dict[str, Value] = {}
    for item in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, equals, value = item.partition("=")
        if equals and key.strip():
            stated[key.strip()] = value.strip()
    more = {"service.instance.id": worker} if worker else {}
    return {**stated, "service.name": service, "service.version": __version__, **more}
