"""A streamed answer on its way to the client: passed on as it comes, metered, translated, drained when nobody reads."""

import asyncio
from collections.abc import Callable

import msgspec

from farthing.gateway.call import Call
from farthing.gateway.client import Fault, Response
from farthing.gateway.http import Held, Message
from farthing.gateway.metering import Served, StreamMeter, Surface
from farthing.gateway.outgoing import Outgoing
from farthing.gateway.problem import Header, Problem, error_body
from farthing.gateway.stated import Stated, first_error
from farthing.gateway.translation import AnthropicStream, OpenAIStream
from farthing.gateway.translation.stream_base import StreamTranslator
from farthing.gateway.upstream import Upstream

_HELD = 64 << 10
"""What is held back of an unfinished event; beyond it is passed on as it comes."""
_KEPT = 16 << 20
"""What is kept of an answer where answers are kept."""
_BROKE = "the upstream broke off its answer"


class Relay:
    """One stream. `broke`: why it ended before its end ("" if it did not); `left`: the client did not wait for it;
    `retry`: set where it broke before a byte was passed on; `refused`: since the upstream said an error at once."""

    def __init__(
        self,
        call: Call,
        upstream: Upstream,
        out: Outgoing,
        headers: dict[str, str],
        drain_s: float,
        held: Held,
        keep: bool = False,
    ) -> None:
        self._bound = held
        self._counted = 0
        self._call = call
        self._breaker = upstream.breaker
        self._idle_s = upstream.settings.timeouts.idle_s
        self._drain_s = drain_s
        self._meter = StreamMeter(
            out.surface, upstream.provider, hide_usage=out.hide_usage, asked=call.asked, headers=headers
        )
        self._translator: StreamTranslator | None = None
        if out.reply is not None:
            created_s = call.started_us // 1_000_000
            self._translator = (
                OpenAIStream(out.reply, created_s) if call.protocol == "openai" else AnthropicStream(out.reply)
            )
        self._hide = out.hide_usage
        self._hiding = upstream.hiding.stream()
        self.kept: bytearray | None = bytearray() if keep else None
        """What came, where it is to be kept, up to a bound."""
        self._begun = b""
        """What came before anything was passed on."""
        self.stated: Stated | None = None
        """The error that the upstream said at once."""
        self._held = b""
        self._served: Served | None = None
        self._tail = b""
        self.broke = ""
        self.left = False
        self.retry: str | None = None
        self.refused = False
        self.first_us: int | None = None

    def served(self) -> Served:
        """What was served, as far as it came."""
        if self._served is None:
            self._served = self._meter.finish()
        return self._served

    async def run(
        self, reader: Response, status: int, headers: list[Header], unpack: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Pass the stream on, up to what comes last. Does not raise for what upstream or client do."""
        call, meter, watch, cycle = self._call, self._meter, self._call.watch, self._call.cycle
        watch.expect("the next piece of the answer", self._idle_s)
        started = False
        try:
            while (chunk := await reader.read_chunk()) is not None:
                watch.alive()
                if unpack is not None:
                    chunk = unpack(chunk)
                chunk = self._hiding.feed(chunk)
                if self.first_us is None:
                    self.first_us = call.now_us()
                if self.kept is not None and len(self.kept) < _KEPT:
                    self.kept += chunk
                if not started and len(self._begun) < _HELD:
                    self._begun += chunk
                out = self._through(chunk)
                size = meter.pending + (len(self.kept) if self.kept is not None else 0)
                if size > _HELD or self._counted:
                    self._count(size)
                if self.left:
                    if meter.settled:
                        break
                    continue
                if out and not started and meter.error and not meter.began:
                    self.broke, self.refused = "broken", True  # an error is all there is: others may do better
                    self.stated = first_error(self._begun)
                    break
                if not out:
                    continue
                if not started:
                    started = call.answered = True
                    if self._breaker.tripped:
                        self._breaker.succeeded()  # it was the probe: others need not wait for the stream's end
                    call.status = status
                    await self._send({"type": "http.response.start", "status": status, "headers": headers})
                if cycle is None or not cycle.piece(out):
                    await self._send({"type": "http.response.body", "body": out, "more_body": True})
                if cycle is not None and cycle.disconnected:
                    self._leave()
        except asyncio.CancelledError:
            late = watch.late
            if not late:
                self.broke = "stopped"
                raise
            if watch.paused:
                self.left = True  # it has not read for as long as a request may take
            elif not self.left:
                self.broke = "timeout"
        except Exception as error:
            if not isinstance(error, (Fault, ValueError, Problem)):
                raise
            if not self.left:
                self.broke = "broken"
        finally:
            self._count(0)
            watch.paused = False
            watch.rest()
        if self.left:
            return
        self._tail = self._last()
        if not started and self.broke and not meter.began:
            self.retry = self.broke
            return
        if not started:
            call.answered, call.status = True, status
            await call.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _send(self, message: Message) -> None:
        watch = self._call.watch
        watch.paused = True  # a slow client is waited for: back-pressure, up to the request's deadline
        await self._call.send(message)
        watch.paused = False
        watch.alive()

    async def finish(self) -> None:
        """End the client's stream; by then the row is written."""
        if not self.left and self.retry is None:
            watch = self._call.watch
            watch.extend(self._idle_s)
            watch.expect("the client", self._idle_s)
            self._call.leave()
            try:
                await self._call.send({"type": "http.response.body", "body": self._tail})
            except asyncio.CancelledError:
                if not watch.late:
                    raise
            finally:
                watch.rest()

    def _through(self, chunk: bytes) -> bytes:
        """What the client gets for `chunk`: whole events only, so that an error event can follow at any time."""
        passed = self._meter.feed(chunk)
        if self._translator is not None:
            return self._translator.feed(chunk)
        if self._hide:
            return passed
        pending = self._meter.pending
        if not pending and not self._held:
            return passed
        whole = self._held + passed
        if pending > _HELD or pending > len(whole):
            self._held = b""
            return whole
        cut = len(whole) - pending
        self._held = whole[cut:]
        return whole[:cut]

    def _count(self, size: int) -> None:
        """Count what is held of the answer, where that is much, among what the worker holds. Raises `Problem` beyond
        the bound."""
        counted, self._counted = self._counted, size
        if size > counted:
            self._bound.add(size - counted)
        else:
            self._bound.drop(counted - size)

    def _leave(self) -> None:
        """The client has gone: read on for the usage that is paid for anyway, for a while."""
        self.left = True
        self._call.watch.extend(self._drain_s)
        self._call.watch.expect("the rest of the answer", min(self._idle_s, self._drain_s))

    def _last(self) -> bytes:
        """What comes after the last chunk: what was held back, or an error event where the stream broke."""
        late = self._through(tail) if (tail := self._hiding.end()) else b""
        rest = self._meter.close()
        held = b"" if self.broke else late + self._held + rest
        whole = not self.refused and self._whole()  # an error may come with its farewell in one piece
        if whole:
            self.broke = ""
        if self._translator is not None:
            if self.broke:
                return self._translator.fail("timeout_error" if self.broke == "timeout" else "api_error", _BROKE)
            last = late + self._translator.finish()
            if self._translator.failed:
                self.broke = "broken"
            return last
        if not self.broke and not whole and not self.served().error:
            self.broke, held = "broken", b""
        return held + error_event(self._call.surface, self.broke) if self.broke else held

    def _whole(self) -> bool:
        """Whether the answer came to its end. A farewell that is missing (`[DONE]`, `message_stop`, how the connection
        ended) is forgiven: the clients do without it, and some servers never send it."""
        served = self.served()
        one = self._call.asked.choices == 1  # the end of one of several is not the end
        return served.complete or (one and not served.error and (self._meter.settled or bool(served.finish)))


def error_event(surface: Surface, kind: str) -> bytes:
    """The event that ends a stream that broke, in the protocol of `surface`."""
    problem = Problem(504 if kind == "timeout" else 502, _BROKE, code="upstream_failed")
    body = error_body(surface.protocol, problem)
    if surface.protocol == "anthropic":
        return b"event: error\ndata: " + body + b"\n\n"
    if surface is Surface.RESPONSES:
        told = {"type": "error", "code": "upstream_failed", "message": _BROKE, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n"
    return b"data: " + body + b"\n\n"
