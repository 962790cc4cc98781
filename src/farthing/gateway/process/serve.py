"""One worker: the gateway's application on uvloop, until it is told to stop.

A worker is forked by the supervisor with its sockets bound and its modules imported, and talks to it by a channel
(a pair of sockets), in lines:

    to the supervisor   ready | failed REASON | alive | draining HOW_MANY_IN_FLIGHT | reloaded | kept REASON
    from it             reload          its end of the channel closed: the supervisor is gone

SIGTERM ends it when the requests in flight have ended, or after `timeouts.shutdown_s`; a second one at once. Either
way the application is stopped, which closes the ledger.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Protocol

from farthing.gateway.config.values import Config
from farthing.gateway.process.connection import Connection
from farthing.gateway.process.listen import BACKLOG, Sockets
from farthing.gateway.process.processes import framed
from farthing.gateway.process.served import Served, most_connections, sweep
from farthing.problems import FarthingError

SWEEP_S = 1.0
ALIVE_S = 5.0
_STEP_S = 0.02
_LAST_S = 5.0
REFUSED = 2
"""The exit status of a worker that says what a person must mend."""
_SWITCH_S = 0.0005

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class App(Protocol):
    """What is served: an ASGI application that starts, stops and takes another configuration."""

    draining: bool

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...
    async def start(self) -> None: ...
    async def stop(self, grace_s: float) -> None: ...
    def reload(self, config: Config) -> None: ...


Load = Callable[[], Config]
"""Reads the configuration again. Raises `FarthingError`."""
Make = Callable[[Config, Path], App]
"""Makes the application of a worker for a configuration and a data folder."""


def work(make: Make, load: Load, config: Config, sockets: Sockets, channel: socket.socket) -> int:
    """Serve `sockets` until told to stop; the exit status. What keeps it from starting is told by the channel."""
    import uvloop

    # The ledger's thread would hold the event loop up for 5 ms at a time, Python's default.
    sys.setswitchinterval(_SWITCH_S)
    channel.setblocking(False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Worker(make, load, config, sockets, channel).run())


class _Worker:
    def __init__(self, make: Make, load: Load, config: Config, sockets: Sockets, channel: socket.socket) -> None:
        self._make, self._load, self._config = make, load, config
        self._sockets, self._channel = sockets, channel
        self._stopping, self._at_once = asyncio.Event(), asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._ticks = 0

    async def run(self) -> int:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told_to_stop)
        loop.add_reader(self._channel.fileno(), self._heard)
        try:
            app = self._make(self._config, self._config.data)
            await app.start()
        except FarthingError as error:
            self._tell(f"failed {error}")
            return REFUSED
        until = 0.0
        try:
            until = await self._serve(app)
        finally:
            await self._stop(app, max(until - loop.time(), 0.0))
        return 0

    async def _serve(self, app: App) -> float:
        """Until told to stop and nothing is in flight; when the time for that ends, by the loop's clock."""
        loop, served = asyncio.get_running_loop(), Served(app, most_connections())
        served.at_once = getattr(app, "at_once", None)
        servers = [
            await loop.create_server(lambda: Connection(served, loop), sock=one, backlog=BACKLOG)
            for one in self._sockets
        ]
        gc.collect()
        gc.freeze()  # what start made lives as long as the worker: not to be looked through again and again
        gc.set_threshold(10_000, 20, 50)
        self._app = app
        self._tick(loop, served)
        self._tell("ready")
        await self._stopping.wait()
        self._tell(f"draining {len(served.tasks) + len(served.waiting())}")
        app.draining = True
        for server in servers:
            server.close()
        until = loop.time() + self._config.timeouts.shutdown_s
        await self._drained(served, until)
        return until

    async def _drained(self, served: Served, until: float) -> None:
        """Let the requests in flight end by `until`, then end them; send what is left to send."""
        loop = asyncio.get_running_loop()
        for connection in list(served.connections):
            connection.shutdown()
        while (served.tasks or served.waiting()) and loop.time() < until and not self._at_once.is_set():
            await asyncio.sleep(_STEP_S)
        for cycle in served.waiting():
            if cycle.take_up is not None:
                cycle.take_up()
        await asyncio.sleep(0)  # a task that is cancelled before it has begun would not end what it is to end
        if served.tasks:
            for task in served.tasks:
                task.cancel()
            await asyncio.wait(served.tasks, timeout=_LAST_S)
        for connection in list(served.connections):
            connection.transport.close()
        last = loop.time() + _LAST_S
        while served.connections and loop.time() < last and not self._at_once.is_set():
            await asyncio.sleep(_STEP_S)

    async def _stop(self, app: App, grace_s: float) -> None:
        """Stop the application, which closes the ledger; a second signal takes its time away, not its end."""
        if self._at_once.is_set():
            grace_s = 0.0
        stopping = asyncio.ensure_future(app.stop(grace_s))
        hurry = asyncio.ensure_future(self._at_once.wait())
        await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not stopping.done() and grace_s > 0:
            stopping.cancel()
            await asyncio.wait((stopping,))
            await app.stop(0.0)
        else:
            await stopping

    def _tick(self, loop: asyncio.AbstractEventLoop, served: Served) -> None:
        loop.call_later(SWEEP_S, self._tick, loop, served)
        now = loop.time()
        sweep(served.connections, now)
        if self._ticks % int(ALIVE_S / SWEEP_S) == 0:
            self._tell("alive")
        self._ticks += 1

    def _told_to_stop(self) -> None:
        if self._stopping.is_set():
            self._at_once.set()
        self._stopping.set()

    def _heard(self) -> None:
        try:
            said = self._channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._stopping.set()
        elif b"reload\n" in said and not self._stopping.is_set():
            self._reloading = asyncio.ensure_future(self._reload(self._reloading))

    async def _reload(self, before: "asyncio.Task[None] | None") -> None:
        """Read the configuration beside the requests, and change over between two of them."""
        if before is not None:
            await before
        try:
            config = await asyncio.to_thread(self._load)
            self._app.reload(config)
        except Exception as error:
            # Whatever is wrong with the new one, the old one serves on.
            self._tell(f"kept {error if isinstance(error, FarthingError) else f'{type(error).__name__}: {error}'}")
            return
        self._config = config
        self._tell("reloaded")

    def _tell(self, said: str) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone, or does not listen
            self._channel.send(framed(said))
