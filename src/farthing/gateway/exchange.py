"""One attempt at a call on the wire: sent, answered whole or as a stream, or failed. Its account is an `Entry`."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from farthing.gateway.call import Call, pairs_of
from farthing.gateway.client import Request, Response
from farthing.gateway.encoding import unpacker
from farthing.gateway.entry import Entry
from farthing.gateway.failing import BROKEN, RETRYABLE, Failed, SendFailed, again_s, fault_of
from farthing.gateway.hiding import Pairs
from farthing.gateway.http import (
    ClientGone,
    passed_headers,
    passed_lines,
    passed_status,
    send_whole,
)
from farthing.gateway.metering import Served, Surface, is_event_stream, read_response
from farthing.gateway.metering.response import NO_OBJECT
from farthing.gateway.outgoing import Outgoing, outgoing
from farthing.gateway.problem import Header, Problem, error_body, error_headers
from farthing.gateway.relay import Relay
from farthing.gateway.routes import split_target
from farthing.gateway.stated import Stated, stated_error
from farthing.gateway.translation import (
    Refused,
    anthropic_response,
    openai_response,
    refused_error,
    translated_error,
)
from farthing.gateway.upstream import Upstream
from farthing.ledger.row import Attempt
from farthing.policies.routing import Failure

if TYPE_CHECKING:
    from farthing.gateway.state import Place, State


_NOTHING: Any = None
"""Until there is something."""
_JSON = "application/json"
_SMALL = 1 << 20  # an answer of a stated length up to this is read in one go


class Exchange:
    """One attempt at `place` (or why there is none). Whatever happens in it, its entry ends: the hold is settled, the
    row final.

    `run` is all of it. `at_once`, and then `came`, do what can be done without waiting before `run`, to which nothing
    may be left.
    """

    __slots__ = (
        "_begun", "_call", "_early", "_entry", "_failed", "_fault", "_held", "_log", "_out", "_place", "_request",
        "_state", "_target", "_unsent", "_upstream", "_why",
    )  # fmt: skip

    def __init__(self, state: "State", call: Call, target: str, log: str, entry: Entry, place: "Place | str") -> None:
        self._state = state
        self._call = call
        self._target = target
        self._log = log
        self._entry = entry
        self._why = place if isinstance(place, str) else ""
        self._place: Place = _NOTHING if isinstance(place, str) else place
        self._held = 0  # bytes of a long answer, while it is in memory
        # Known before anything is sent:
        self._upstream: Upstream = _NOTHING
        self._out: Outgoing = _NOTHING
        self._request: Request | None = None  # on its way; None again when it is over
        self._early: Response | None = None  # what `at_once` sent the request for
        # What `run` is to go on from:
        self._begun = False
        self._fault: Exception | None = None
        self._failed: Failed | None = None
        self._unsent: tuple[int, bytes, bytes] | None = None  # the client's answer, where that is to be waited for

    async def run(self) -> Failed | None:
        """The attempt, or what is left of it; None where the client has its answer.

        Raises `Problem` where the request cannot be sent.
        """
        state, call, entry = self._state, self._call, self._entry
        if self._why:
            name, _ = split_target(self._target)
            return self._fail(f"upstream {name!r} {self._why}", 502, error="connect", retryable=False)
        try:
            if self._failed is None and self._unsent is None:
                if self._request is None:
                    self._raise_fault()
                    whole = not self._begun and entry.begin(self._place)
                    self._open(None if whole else await entry.reserve())
                self._failed = await self._send()
            if self._unsent is not None:
                status, lines, body = self._unsent
                await send_whole(call.send, status, pairs_of(lines), body)
            return self._failed
        except Refused as refused:
            told = refused_error(call.protocol, refused)
            entry.end("failed", error="untranslatable") if entry.opened else entry.release()
            failure = Failure(target=self._target, status=told.status)
            return Failed(failure, told.status, [(b"content-type", b"application/json")], told.body)
        except asyncio.CancelledError:
            if not entry.done and entry.opened:
                entry.end("cancelled", error="stopped", unknown="the gateway stopped before the answer came")
            raise
        finally:
            if self._held:
                state.held.drop(self._held)
            if not entry.done:  # whatever happened: nothing stays reserved, and a row that was opened ends
                if entry.opened:
                    entry.end("failed", error="internal", unknown="the gateway failed while the answer came")
                else:
                    entry.release()

    # --- without waiting --------------------------------------------------------------------------

    def at_once(self, done: Callable[[], None]) -> bool:
        """Begin the attempt; whether its request is sent, and `done` will be called when `came` is to be asked."""
        try:
            self._begun = True
            if not self._entry.begin(self._place):
                return False
            self._open(None)
            if self._request is not None:
                self._early = self._request.begin(done)
        except Exception as fault:
            self._fault = fault
        return self._early is not None

    def came(self) -> bool:
        """Take the answer, if it came whole and is a plain one; whether the client has it, and all is done."""
        response, upstream = self._early, self._upstream
        if response is None or response.status != 200:
            return False
        try:
            head = response.head
            assert head is not None
            named = head.named
            if "content-encoding" in named or named.get("content-type") != _JSON:
                return False
            pairs = upstream.hiding.pairs(head.pairs)
            if pairs is not head.pairs:
                named = dict(pairs)
            body = response.whole()
            if body is None:
                return False
            self._failed = self._whole(200, pairs, named, body)
        except Exception as fault:
            self._fault = fault
            return False
        self._over()
        return self._failed is None and self._unsent is None

    def _raise_fault(self) -> None:
        """Raise what went wrong before `run`. (Kept, it would hold the frames it passes through, which hold us.)"""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    # --- the exchange -----------------------------------------------------------------------------

    def _open(self, cap: int | None) -> None:
        """Write the open row, and make the request ready. `cap`: the most output to ask for, where there is one.

        Raises `Refused` for what the upstream's protocol cannot carry, `Problem`, and `ClientGone`.
        """
        call, entry, place = self._call, self._entry, self._place
        if (cycle := call.cycle) is not None and cycle.disconnected:
            raise ClientGone  # nothing was sent, and nobody waits for it
        self._upstream = upstream = place.upstream
        self._out = out = outgoing(
            upstream, call.surface, place.surface, call.body, call.asked, place.sent, cap, call.id
        )
        entry.open(upstream, self._log)
        trace, kept, lines = call.trace, call.lines, None
        if kept is not None and trace is None and out.reply is None:
            lines = kept.get(upstream.name)
            if lines is None:
                lines = kept[upstream.name] = upstream.lines(call.headers)
        if lines is None:
            lines = upstream.lines(call.headers, translated=out.reply is not None, traced=trace is not None)
        self._request = upstream.post(out.surface.path, lines, entry.attempt, out.body, trace)
        timeouts, breaker = upstream.settings.timeouts, upstream.breaker
        if breaker.tripped:
            breaker.sent(time.monotonic())
        upstream.in_flight += 1
        # An answer that is not streamed comes whole, after minutes: only the request's own deadline bounds it.
        first_s = timeouts.first_byte_s if call.asked.stream else timeouts.total_s
        call.watch.expect("the answer's first byte", first_s)

    def _over(self) -> None:
        """Nothing more is expected of the upstream."""
        if self._request is not None:
            self._request.close()
            self._request = None
            self._call.watch.rest()
            self._upstream.in_flight -= 1

    async def _send(self) -> Failed | None:
        call, upstream, request = self._call, self._upstream, self._request
        watch, breaker = call.watch, upstream.breaker
        try:
            self._raise_fault()
            assert request is not None
            response = await request.answer()
            status = response.status
            pairs = upstream.hiding.pairs(response.headers)
            named = dict(pairs)
            unpack = None
            if status != 200 or "content-encoding" in named or named.get("content-type") != _JSON:
                if status >= 300:
                    self._blame() if status in BROKEN else breaker.succeeded()
                unpack = unpacker(named, self._state.config.bounds.answer_bytes)
                if unpack is not None:
                    pairs = [(name, value) for name, value in pairs if name.lower() != "content-encoding"]
                if 200 <= status < 300 and _is_stream(named, call.asked.stream):
                    return await self._relay(response, status, pairs, named, unpack)
            body = response.whole()
            if body is None:
                watch.expect("the rest of the answer", upstream.settings.timeouts.idle_s)
                body = await self._read(response, named)
            return self._whole(status, pairs, named, unpack(body) if unpack is not None else body)
        except asyncio.CancelledError:
            late = watch.late
            if not late:
                breaker.forget_probe()
                raise
            self._blame()
            return self._silent(SendFailed("timeout", f"{late} did not come in time", sent=True))
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            self._blame()
            return self._silent(fault)
        finally:
            self._over()

    def _whole(self, status: int, pairs: Pairs, named: dict[str, str], body: bytes) -> Failed | None:
        """The answer is there, whole."""
        body = self._upstream.hiding.body(body)
        self._entry.first_us = self._call.now_us()
        self._call.watch.rest()
        if 200 <= status < 300:
            return self._answer(status, pairs, named, body)
        return self._refused(status, pairs, named, body)

    def _blame(self) -> None:
        """The upstream failed this request: once, however often it is tried again."""
        if self._upstream.name not in self._call.blamed:
            self._call.blamed |= {self._upstream.name}
            self._upstream.breaker.failed(time.monotonic())
        else:
            self._upstream.breaker.forget_probe()

    async def _read(self, response: Response, headers: dict[str, str]) -> bytes:
        """The whole body, within the bound."""
        most = self._state.config.bounds.answer_bytes
        stated = headers.get("content-length", "")
        if stated.isdigit() and int(stated) <= _SMALL:
            return await response.read()
        parts, size = list[bytes](), 0
        while (chunk := await response.read_chunk()) is not None:
            self._call.watch.alive()
            parts.append(chunk)
            size += len(parts[-1])
            if size > most:
                raise SendFailed("broken", f"its answer is larger than {most >> 20} MiB (bounds.answer_mib)", sent=True)
            self._held += len(parts[-1])
            try:
                self._state.held.add(len(parts[-1]))
            except Problem as full:
                raise SendFailed("broken", full.message, sent=True) from None
        return b"".join(parts)

    def _answer(self, status: int, pairs: Pairs, named: dict[str, str], body: bytes) -> Failed | None:
        """A whole answer: metered, priced, recorded, then passed on."""
        call, out = self._call, self._out
        served = read_response(out.surface, self._place.provider, body, named, status=status, asked=call.asked)
        notes, answered = out.notes, body
        if served.unknown == NO_OBJECT:
            self._blame()
            self._entry.end("failed", served=served, status=status, error="broken")
            failure = Failure(target=self._target, status=status, error="broken")
            return self._fail(f"upstream {self._upstream.name!r} sent an answer that is none", 502, failure=failure)
        if served.error and not served.quantities and out.surface is not Surface.RESPONSES:
            # (A response of OpenAI's that failed is an answer of its own form.)
            stated = stated_error(body)
            if stated is not None:
                self._blame() if stated.status in BROKEN else self._upstream.breaker.succeeded()
                self._end_stated("failed", stated, served, status)
                return self._told(stated.status, served.error, pairs, named, body)
        self._upstream.breaker.succeeded()
        if out.reply is not None:
            try:
                if call.protocol == "openai":
                    answer = openai_response(body, out.reply, call.started_us // 1_000_000)
                else:
                    answer = anthropic_response(body, out.reply)
            except Refused as refused:
                self._entry.end("failed", served=served, status=status, error=served.error or "bad_answer")
                told = refused_error(call.protocol, refused)
                failure = Failure(target=self._target, status=status, error="broken")
                return Failed(failure, told.status, [(b"content-type", b"application/json")], told.body)
            body, notes = answer.body, (*notes, *map(str, answer.notes))
            lines = b"content-type: application/json\r\n"
        else:
            lines = passed_lines(pairs, call.admission is not None)
        cycle = call.cycle
        left = cycle is not None and cycle.disconnected
        row = self._entry.end("cancelled" if left else "done", served=served, status=status, error=served.error)
        if self._state.content is not None:
            self._state.content.keep(row, out.body, answered)
        lines += call.own_lines() + self._state.priced_lines(call, self._entry.priced, self._entry.left)
        if notes:
            lines += b"%b: %b\r\n" % _noted(notes)
        call.answered, call.status = True, status
        if not left:
            call.leave()
            if cycle is None or not cycle.answer(status, (), body, lines):
                self._unsent = status, lines, body
        return None

    def _refused(self, status: int, pairs: Pairs, named: dict[str, str], body: bytes) -> Failed:
        """The upstream answered with an error (or a redirection, which is never followed with a key)."""
        call, out = self._call, self._out
        served = read_response(out.surface, self._place.provider, body, named, status=status, asked=call.asked)
        if status < 400:
            self._entry.end("failed", status=status, error="redirect")
            return self._fail(f"upstream {self._upstream.name!r} answered {status}, a redirection", 502, error="broken")
        self._entry.end("failed", served=served, status=status, error=served.error or str(status))
        return self._told(status, served.error or str(status), pairs, named, body)

    def _told(self, status: int, error: str, pairs: Pairs, named: dict[str, str], body: bytes) -> Failed:
        """What the policies and the client are told of an error of the upstream's, whose row has ended."""
        call, out = self._call, self._out
        wait_s = again_s(named)
        retryable = status in RETRYABLE and named.get("x-should-retry") != "false"
        if wait_s is not None and wait_s > self._state.config.retries.most_s:
            retryable = False  # it wants to be left alone for longer than we wait: elsewhere, or the client is told
        failure = Failure(target=self._target, status=status, error=error, retryable=retryable)
        if status == 401:  # its message is about the gateway's key, and may quote it
            return self._fail(
                f"upstream {self._upstream.name!r} refused the gateway's credentials", 502, failure=failure,
                code="upstream_credentials",
            )  # fmt: skip
        page = body.lstrip()[:1] != b"{"  # of a proxy, mostly: no client of the protocol could read it
        if out.reply is not None or page or (call.protocol == "openai" and status == 529):
            told = translated_error(call.protocol, status, body, pairs)
            headers = [(b"content-type", b"application/json")]
            headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in told.headers]
            return Failed(failure, told.status, headers, told.body, wait_s)
        headers = passed_headers(pairs, call.admission is not None)
        return Failed(failure, passed_status(status), headers, body, wait_s)

    def _silent(self, failed: SendFailed) -> Failed | None:
        """No answer, or half of one."""
        if self._entry.done:
            return None
        unknown = "" if not failed.sent else f"no answer came ({failed.kind}): what was consumed is not known"
        self._entry.end("failed", error=failed.kind, unknown=unknown)
        status = 504 if failed.kind == "timeout" else 502
        failure = Failure(target=self._target, error=failed.kind, retryable=failed.again)
        return self._fail(f"upstream {self._upstream.name!r}: {failed}", status, failure=failure)

    def _fail(
        self, message: str, status: int, *, error: str = "", retryable: bool = False, failure: Failure | None = None,
        code: str = "upstream_failed",
    ) -> Failed:  # fmt: skip
        """A failure that is told in our own words."""
        self._entry.done = True
        problem = Problem(status, message, code=code, again=True)
        failure = failure or Failure(target=self._target, error=error, retryable=retryable)
        return Failed(failure, status, error_headers(problem), error_body(self._call.protocol, problem))

    # --- streams ----------------------------------------------------------------------------------

    async def _relay(
        self, response: Response, status: int, pairs: Pairs, named: dict[str, str],
        unpack: Callable[[bytes], bytes] | None,
    ) -> Failed | None:  # fmt: skip
        """A streamed answer, passed on as it comes."""
        call, state = self._call, self._state
        relay = Relay(
            call,
            self._upstream,
            self._out,
            named,
            self._upstream.settings.timeouts.drain_s,
            state.held,
            state.content is not None,
        )
        headers = (
            passed_headers(pairs, call.admission is not None)
            if self._out.reply is None
            else [(b"content-type", b"text/event-stream")]
        )
        headers += call.own_headers()
        headers += state.stream_headers(call, self._place)
        if self._out.notes:
            headers.append(_noted(self._out.notes))
        try:
            await relay.run(response, status, headers, unpack)
        finally:
            if not self._entry.done:
                self._end_stream(relay, status)
        await relay.finish()
        if relay.retry is not None:  # broken before anything was passed on: another attempt is not seen
            if (stated := relay.stated) is not None:
                kept = [("content-type", "application/json"), *(pair for pair in pairs if pair[0] != "content-type")]
                return self._told(stated.status, relay.served().error, kept, named, stated.body)
            failure = Failure(target=self._target, error=relay.retry, retryable=relay.refused)
            return self._fail(f"upstream {self._upstream.name!r} broke off its answer", 502, failure=failure)
        return None

    def _end_stream(self, relay: Relay, status: int) -> None:
        served = relay.served()
        self._entry.first_us = relay.first_us
        if relay.left:
            self._upstream.breaker.forget_probe()
        elif relay.broke and (relay.stated is None or relay.stated.status in BROKEN):
            self._blame()
        else:
            self._upstream.breaker.succeeded()
        name = "cancelled" if relay.left else "failed" if relay.broke or served.error else "done"
        if relay.left:
            self._state.shared.metrics.count("drains", "settled" if not served.estimated else "estimated")
        if relay.stated is not None:
            row = self._end_stated(name, relay.stated, served, status)
        else:
            row = self._entry.end(name, served=served, status=status, error=served.error or relay.broke)
        if self._state.content is not None:
            self._state.content.keep(row, self._out.body, bytes(relay.kept or b""))

    def _end_stated(self, name: str, stated: Stated, served: Served, status: int) -> Attempt:
        """End the attempt by an error behind a status of 200: it costs what an answer of the status it means would."""
        error = served.error
        if not served.quantities:
            body, asked = stated.body, self._call.asked
            served = read_response(self._out.surface, self._place.provider, body, status=stated.status, asked=asked)
        return self._entry.end(name, served=served, status=status, error=error, meant=stated.status)


def _noted(notes: tuple[str, ...]) -> Header:
    return b"x-farthing-notes", "; ".join(notes)[:1000].encode("ascii", "replace")


def _is_stream(headers: dict[str, str], asked: bool) -> bool:
    """Whether an answer is a stream: where one was asked for, all that is not JSON."""
    return is_event_stream(headers) or (asked and "json" not in headers.get("content-type", "").lower())
