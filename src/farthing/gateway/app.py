"""The gateway as an ASGI application: raw, one callable, no framework."""

import asyncio
import sys
import time
import traceback
from pathlib import Path

from farthing.gateway.attempts import serve
from farthing.gateway.call import Call
from farthing.gateway.config.values import Config
from farthing.gateway.http import (
    BrokenOff,
    ClientGone,
    Receive,
    Scope,
    Send,
    body_at_once,
    client_left,
    hung_up,
    own_cycle,
    read_body,
    send_whole,
    wanted_headers,
)
from farthing.gateway.metering import SURFACES, Asked, Surface, read_request
from farthing.gateway.own import own_answer
from farthing.gateway.passthrough import is_passed, pass_through
from farthing.gateway.problem import Problem, error_body, error_headers
from farthing.gateway.shared import Shared
from farthing.gateway.state import State
from farthing.gateway.watch import watched
from farthing.ledger.ledger import attempt_id

TICK_S = 1.0


class Gateway:
    """One worker's gateway on a data folder. `start` before the first request, `stop` after the last."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._shared: Shared | None = None
        self._state: State | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.draining = False

    async def start(self) -> None:
        """Open the ledger and what is shared with other workers. Raises `FarthingError` where that cannot be."""
        self._shared = Shared.open(self._config, self._folder)
        self._state = State(self._config, self._shared)
        self._state.preload()
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self, grace_s: float) -> None:
        """Take no more work, wait for what is in flight up to `grace_s`, then write everything down.

        Again, after it was cancelled: what is in flight is waited for no longer.
        """
        self.draining = True
        until = time.monotonic() + grace_s
        while self.in_flight and time.monotonic() < until:
            await asyncio.sleep(0.02)
        if self._ended is None:
            self._ended = asyncio.ensure_future(self._end())
        await asyncio.shield(self._ended)

    async def _end(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        if self._state is not None:
            await self._state.close()
        if self._shared is not None:
            await self._shared.close()

    def reload(self, config: Config) -> None:
        """Serve new requests under `config`; those in flight end under the one they began with.

        The data folder, the address and the number of workers stay as they are until a restart. Raises
        `FarthingError` for what cannot be used (a proxy), and serves on as before.
        """
        assert self._shared is not None
        old = self._state
        self._state = State(config, self._shared, old)
        self._config = config
        self._shared.metrics.count("reloads", "taken")
        self._shared.purses.on_failure = config.rules.on_bank_failure
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _retire(self, old: State) -> None:
        while old.in_flight:
            await asyncio.sleep(0.1)
        await old.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._shared is not None and self._state is not None:
                try:
                    await self._shared.tick(self._state, self.in_flight, self.draining)
                except Exception:  # housekeeping must not end with its first fault
                    traceback.print_exc()

    # --- requests -------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        surface = SURFACES.get(path)
        request = attempt_id()
        started = [False]
        state = self._state
        self.in_flight += 1
        if state is not None:
            state.in_flight += 1
        try:
            if state is None:
                raise Problem(503, "the gateway is starting", retry_after_s=1)
            if surface is not None:
                if scope["method"] != "POST":
                    raise Problem(405, f"{path} takes POST", headers=[(b"allow", b"POST")])
                await self._metered(state, request, surface, scope, receive, send, started)
            elif is_passed(path):
                self._admit_work(state)
                await pass_through(state, request, scope, receive, send, started)
            else:
                await own_answer(self, state, request, scope, send)
        except Problem as problem:
            if not started[0]:
                headers = [*error_headers(problem), (b"x-farthing-request-id", request.encode())]
                await send_whole(send, problem.status, headers, error_body(_protocol(path), problem))
                if state is not None:
                    state.shared.metrics_refused(problem)
        except (ClientGone, BrokenOff):
            pass  # what has no end by now is closed
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, RuntimeError) and hung_up(receive):
                return  # uvloop's word for a connection that was cut off while something was sent
            traceback.print_exc(file=sys.stderr)
            if started[0] or client_left(receive):
                return  # told already; the connection is closed
            fault = Problem(500, "the gateway failed; its log tells more", code="internal", again=True)
            headers = [*error_headers(fault), (b"x-farthing-request-id", request.encode())]
            await send_whole(send, 500, headers, error_body(_protocol(path), fault))
        finally:
            self.in_flight -= 1
            if state is not None:
                state.in_flight -= 1

    def _admit_work(self, state: State) -> None:
        """Refuse work that could not be served, or not be recorded."""
        if self.draining:
            raise Problem(503, "the gateway is stopping", retry_after_s=1)
        if self.in_flight > state.config.bounds.in_flight:
            raise Problem(503, "too many requests are in flight (bounds.in_flight)", code="overloaded", retry_after_s=1)
        if not state.shared.recording():
            raise Problem(
                503, "the ledger cannot take more rows, so nothing can be metered: see /readyz", retry_after_s=5
            )

    async def _metered(
        self, state: State, request: str, surface: Surface, scope: Scope, receive: Receive, send: Send,
        started: list[bool],
    ) -> None:  # fmt: skip
        self._admit_work(state)
        config, gate, held = state.config, state.gate, state.held
        headers = wanted_headers(scope)
        watch = watched(config.timeouts.total_s)
        held_bytes = 0
        try:
            caller = gate.caller(headers)
            cycle = own_cycle(receive)
            body = body_at_once(cycle, headers, config.bounds.body_bytes, held)
            if body is None:
                body = await read_body(receive, headers, config.bounds.body_bytes, config.timeouts.body_s, watch, held)
            held_bytes = len(body)
            asked: Asked = read_request(surface, body)
            if asked.problem:
                raise Problem(400, asked.problem, code="bad_request")
            by, party = caller.by, caller.party
            if asked.metadata or asked.user or asked.session:
                by, party = gate.who(caller.key, headers, asked)
            if party.scoped:
                gate.check_scope(party.key, (asked.model, *asked.other_models), by.feature)
            started_us = time.time_ns() // 1000
            call = Call(
                request, surface, headers, body, asked, party, by, watch, send, cycle, started_us,
                started_us - time.monotonic_ns() // 1000,
            )  # fmt: skip
            if state.tracer is not None:
                call.trace = state.tracer.begin(request, headers)
            tokens = asked.prompt_tokens_estimate + (asked.max_output_tokens or 0) * asked.choices
            call.admission = admission = gate.admit(party, tokens)
            try:
                await serve(state, call)
            except Problem as problem:
                call.status = call.status or problem.status
                raise
            finally:
                started[0] = call.answered
                if state.tracer is not None and call.trace is not None:
                    state.tracer.request(
                        call.trace, request, method="POST", path=f"/v1/{surface.path}", status=call.status,
                        started_us=call.started_us, ended_us=call.now_us(),
                    )  # fmt: skip
                # (It has ended already where the answer went out, and mostly with as many tokens.)
                if admission is not None and (admission.in_flight or admission.tokens != call.tokens):
                    admission.end(call.tokens)
        finally:
            held.drop(held_bytes)
            watch.end()


def _protocol(path: str) -> str:
    """What errors are told in."""
    surface = SURFACES.get(path)
    return surface.protocol if surface else "anthropic" if path.startswith("/v1/messages") else "openai"
