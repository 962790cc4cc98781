"""The gateway as an ASGI application: raw, one callable, no framework."""

import asyncio
import sys
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from farthing.gateway.config.values import Config
from farthing.gateway.http import (
    BrokenOff,
    ClientGone,
    Receive,
    Scope,
    Send,
    client_left,
    hung_up,
    send_whole,
    wanted_headers,
)
from farthing.gateway.metering import SURFACES
from farthing.gateway.own import own_answer
from farthing.gateway.passthrough import is_passed, pass_through
from farthing.gateway.problem import Problem, error_body, error_headers
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.shared import Shared
from farthing.gateway.state import State
from farthing.gateway.visit import Metered, Visit
from farthing.gateway.watch import Sweep, sweep_of

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
        self.sweep: Sweep
        self._closing: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.draining = False

    async def start(self) -> None:
        """Open the ledger and what is shared with other workers. Raises `FarthingError` where that cannot be."""
        self._shared = Shared.open(self._config, self._folder)
        self._state = State(self._config, self._shared)
        self._state.preload()
        self.sweep = sweep_of(asyncio.get_running_loop())
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
        surface, state = SURFACES.get(path), self._state
        visit: Visit
        if surface is not None and state is not None and scope["method"] == "POST":
            visit = metered = Metered(self, state, path, surface, wanted_headers(scope), receive, send)
            work = metered.serve()
        else:
            visit = Visit(path, receive, send)
            work = self._unmetered(visit, state, scope)
        self._came(state)
        await self.guarded(visit, state, work)

    def at_once(self, cycle: Cycle) -> bool:
        """Serve a request without a task, as long as nothing is waited for (`Served.at_once`); whether it is taken."""
        state, surface = self._state, SURFACES.get(cycle.path)
        if surface is None or state is None or cycle.meaning is None or cycle.method != "POST":
            return False
        visit = Metered(self, state, cycle.path, surface, cycle.meaning.headers, cycle.receive, cycle.send)
        self._came(state)
        visit.at_once()
        return True

    async def guarded(self, visit: Visit, state: State | None, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` serve the request, and tell its client what went wrong."""
        try:
            await work
        except Problem as problem:
            if not visit.answered:
                headers = [*error_headers(problem), (b"x-farthing-request-id", visit.id.encode())]
                await send_whole(visit.send, problem.status, headers, error_body(_protocol(visit.path), problem))
                if state is not None:
                    state.shared.metrics_refused(problem)
        except (ClientGone, BrokenOff):
            pass  # what has no end by now is closed
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, RuntimeError) and hung_up(visit.receive):
                return  # uvloop's word for a connection that was cut off while something was sent
            traceback.print_exc(file=sys.stderr)
            if visit.answered or client_left(visit.receive):
                return  # told already; the connection is closed
            fault = Problem(500, "the gateway failed; its log tells more", code="internal", again=True)
            headers = [*error_headers(fault), (b"x-farthing-request-id", visit.id.encode())]
            await send_whole(visit.send, 500, headers, error_body(_protocol(visit.path), fault))
        finally:
            self.gone(state)

    def _came(self, state: State | None) -> None:
        """A request is in flight."""
        self.in_flight += 1
        if state is not None:
            state.in_flight += 1

    def gone(self, state: State | None) -> None:
        """It is over."""
        self.in_flight -= 1
        if state is not None:
            state.in_flight -= 1

    async def _unmetered(self, visit: Visit, state: State | None, scope: Scope) -> None:
        """Answer what is not metered. Raises `Problem`."""
        if state is None:
            raise Problem(503, "the gateway is starting", retry_after_s=1)
        path = visit.path
        if path in SURFACES:
            raise Problem(405, f"{path} takes POST", headers=[(b"allow", b"POST")])
        if is_passed(path):
            self.admit_work(state)
            await pass_through(state, visit, scope)
        else:
            await own_answer(self, state, visit.id, scope, visit.send)

    def admit_work(self, state: State) -> None:
        """Raise `Problem` (503) for work that could not be served, or not be recorded."""
        if self.draining:
            raise Problem(503, "the gateway is stopping", retry_after_s=1)
        if self.in_flight > state.config.bounds.in_flight:
            raise Problem(503, "too many requests are in flight (bounds.in_flight)", code="overloaded", retry_after_s=1)
        if not state.shared.recording():
            raise Problem(
                503, "the ledger cannot take more rows, so nothing can be metered: see /readyz", retry_after_s=5
            )


def _protocol(path: str) -> str:
    """What errors are told in."""
    surface = SURFACES.get(path)
    return surface.protocol if surface else "anthropic" if path.startswith("/v1/messages") else "openai"
