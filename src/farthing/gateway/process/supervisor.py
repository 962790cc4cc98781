"""The process above the workers: binds, forks, starts again what died, passes signals on. It serves nothing itself.

Workers are forked, not started anew: the modules are imported once (before the fork, while there is one thread), so a
worker is there in milliseconds, shares the memory of the code with the others, and gets sockets and configuration
without a second reading. Everything with threads or open files (the ledger, the HTTP client) begins in the worker.

SIGTERM or SIGINT: end gracefully; a second one: at once. SIGHUP: read the configuration again; only that does.
"""

import gc
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from farthing.gateway.config.values import Config
from farthing.gateway.process.listen import Sockets, close, listen, port_of
from farthing.gateway.process.processes import Child, ended_how, fork
from farthing.gateway.process.serve import ALIVE_S, REFUSED, Load, Make, work
from farthing.problems import FarthingError

QUICK_S = 5.0
"""A worker that dies sooner than this is started again later and later."""
MOST_DELAY_S = 10.0
SILENT_S = 12 * ALIVE_S
"""A worker whose loop stands still for so long is killed."""
LEDGER_S = 15.0
"""Beyond `shutdown_s`, for a worker to close its ledger; then it is killed (the ledger recovers what it wrote)."""
FIRST_CHORE_S, CHORE_S = 60.0, 3600.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_TRIES = 3
_FOREVER = 1e9

Say = Callable[[str], None]


class Slot:
    """The place of one worker: its sockets, the process in it, and how often in a row it died at once."""

    def __init__(self, number: int, sockets: Sockets) -> None:
        self.number = number
        self.sockets = sockets
        self.child: Child | None = None
        self.quick = 0
        self.due = 0.0


class Supervisor:
    """`load` reads the configuration (again, at SIGHUP), `make` makes a worker's application, `started` is called
    with the configuration and the port once the first worker serves, `say` prints one line. `chore`: a command to
    run once an hour (closing the days of the ledger), `recover`: what to do in a process of its own after a worker
    was killed while stopping; `tend`: called about once a second (to look after a process beside the workers)."""

    def __init__(
        self,
        load: Load,
        make: Make,
        *,
        started: Callable[[Config, int], None],
        say: Say,
        chore: Callable[[Config], list[str]] | None = None,
        recover: Callable[[Config], None] | None = None,
        tend: Callable[[], None] | None = None,
    ) -> None:
        self._load, self._make, self._started, self._say = load, make, started, say
        self._chore, self._recover, self._tend = chore, recover, tend
        self._config = load()
        self._slots: list[Slot] = []
        self._leaving: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stops = self._asked = self._port = self._told_to_end = 0
        self._reload = self._serving = False
        self._counts: dict[int, int] = {}  # of each worker that was told to end: requests in flight then
        self._later = ""
        self._kill_at = _FOREVER
        self._failure = ""
        self._status = 0
        self._lost = False
        self._chore_at = time.monotonic() + FIRST_CHORE_S
        self._chore_running: subprocess.Popen[bytes] | None = None
        self._turned = time.monotonic()

    def run(self) -> int:
        """Serve until told to stop; the exit status. Raises `FarthingError` for what keeps it from starting."""
        import uvloop  # noqa: F401 (for the workers)

        config = self._config
        usable(config.data)
        groups = listen(config.host, config.port, config.workers)
        before: dict[signal.Signals, Any] = {}
        try:
            self._port = port_of(groups)
            wake, woken = socket.socketpair()
            for end in (wake, woken):
                end.setblocking(False)
            self._selector.register(woken, selectors.EVENT_READ)
            before = {number: signal.signal(number, self._signalled) for number in SIGNALS}
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            self._slots = [Slot(number, group) for number, group in enumerate(groups, 1)]
            gc.collect()
            gc.freeze()  # else a collection in a worker would write to every page that it shares
            while self._turn(woken):
                pass
        finally:
            close(groups)
            self._end_all()
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._status == REFUSED:
            raise FarthingError(self._failure)
        if self._failure:
            self._say(self._failure)
        return self._status

    def _turn(self, woken: socket.socket) -> bool:
        """One round: what is due, what was said, who died. Whether to go on."""
        now = time.monotonic()
        if now - self._turned > SILENT_S / 2:  # we ourselves stood still (^Z, a machine asleep): the workers, too
            for child in self._children():
                child.heard = now
        self._turned = now
        self._do_due(now)
        for key, _ in self._selector.select(min(1.0, max(self._next_due() - now, 0.0))):
            if key.fileobj is woken:
                self._drain(woken)
            else:
                self._hear(key.data)
        self._reap()
        return not self._stops or bool(self._children())

    def _signalled(self, number: int, _: FrameType | None) -> None:
        # Only noted: a signal comes between any two steps of what is being done.
        if number in (signal.SIGTERM, signal.SIGINT):
            self._asked += 1
        elif number == signal.SIGHUP:
            self._reload = True

    def _stop(self) -> None:
        self._stops += 1
        graceful = self._stops == 1
        self._kill_at = time.monotonic() + LEDGER_S + (self._config.timeouts.shutdown_s if graceful else 0.0)
        for slot in self._slots:
            close([slot.sockets])
        if graceful:
            self._told_to_end = sum(child.ready for child in self._children() if child not in self._leaving)
        for child in self._children():
            child.signal(signal.SIGTERM)

    def _say_waiting(self, number: int) -> None:
        if number:
            many = "1 request" if number == 1 else f"{number} requests"
            self._say(f"waiting for {many} in flight; ^C again ends at once")

    # Workers

    def _children(self) -> list[Child]:
        return [slot.child for slot in self._slots if slot.child] + self._leaving

    def _start(self, slot: Slot, now: float) -> None:
        ends = [child.channel for child in self._children()]
        config, sockets = self._config, slot.sockets
        others = [one for other in self._slots for one in other.sockets if one not in sockets]

        def serve(channel: socket.socket) -> int:
            self._selector.close()
            for end in ends:
                end.close()  # else the worker would keep its sisters from noticing that the supervisor is gone
            close([others])
            return work(self._make, self._load, config, sockets, channel)

        slot.child = fork(serve, now)
        self._selector.register(slot.child.channel, selectors.EVENT_READ, slot.child)

    def _hear(self, child: Child) -> None:
        child.heard = time.monotonic()
        for line in child.receive():
            self._told(child, *line.partition(" ")[::2])
        if not child.open:
            self._selector.unregister(child.channel)

    def _told(self, child: Child, word: str, rest: str) -> None:
        """A worker said something: see `serve`."""
        if word == "ready":
            child.ready = True
            if not self._serving and not self._stops:
                self._started(self._config, self._port)
            self._serving = True
        elif word == "failed":
            child.failure = rest
        elif word == "draining" and self._stops == 1:
            self._counts[child.pid] = int(rest or 0)
            if len(self._counts) == self._told_to_end:
                self._say_waiting(sum(self._counts.values()))
        elif word == "draining" and not self._stops:
            # It was told by somebody else to end: its successor serves while it finishes.
            for slot in self._slots:
                if slot.child is child:
                    slot.child, slot.due = None, 0.0
                    self._leaving.append(child)
        elif word == "reloaded":
            self._say(f"worker {child.pid}: the new configuration is in force{self._later}")
        elif word == "kept":
            self._say(f"worker {child.pid} stays with the configuration it has: {rest}")

    def _reap(self) -> None:
        for child in self._children():
            status = child.ended()
            if status is None:
                continue
            if child.channel in self._selector.get_map():
                self._hear(child)  # its last words
            if child.channel in self._selector.get_map():
                self._selector.unregister(child.channel)
            child.channel.close()
            if self._stops and status:
                self._lost = True
            if child in self._leaving:
                self._leaving.remove(child)
            else:
                self._died(next(slot for slot in self._slots if slot.child is child), child, status)

    def _died(self, slot: Slot, child: Child, status: int) -> None:
        now = time.monotonic()
        slot.child = None
        if self._stops:
            return
        mistake = status == REFUSED and child.failure
        how = child.failure or f"it {ended_how(status)}"
        slot.quick = slot.quick + 1 if not child.ready or now - child.born < QUICK_S else 0
        if not self._serving and (mistake or slot.quick >= _TRIES):
            self._failure = how if mistake else f"no worker starts: {how}"
            self._status = REFUSED if mistake else 1
            self._asked = max(self._asked, 1)
            return
        delay = 0.0 if slot.quick <= 1 else min(0.25 * 2.0 ** (slot.quick - 2), MOST_DELAY_S)
        slot.due = now + delay
        when = f"in {delay:g} s" if delay else "at once"
        self._say(f"worker {slot.number} (process {child.pid}) is gone: {how}; started again {when}")

    # What is due

    def _next_due(self) -> float:
        if self._stops:
            return self._kill_at
        return min([slot.due for slot in self._slots if slot.child is None] + [self._chore_at])

    def _do_due(self, now: float) -> None:
        while self._stops < min(self._asked, 2):
            self._stop()
        if self._stops:
            if now > self._kill_at:
                self._kill_stuck()
            return
        for slot in self._slots:
            if slot.child is None and slot.due <= now:
                self._start(slot, now)
            elif slot.child is not None and slot.child.ready and now - slot.child.heard > SILENT_S:
                self._say(f"worker {slot.number} (process {slot.child.pid}) stands still; it is killed")
                slot.child.heard = now
                slot.child.signal(signal.SIGKILL)
        if self._reload:
            self._reload = False
            self._reload_all()
        if self._tend is not None:
            self._tend()
        if now >= self._chore_at:
            self._chore_at = now + CHORE_S
            self._do_chore()

    def _reload_all(self) -> None:
        """Read the configuration here first: with an error in it, nothing changes anywhere."""
        try:
            config = self._load()
        except FarthingError as error:
            self._say(f"the configuration was read again and is refused; the old one stays in force: {error}")
            return
        fixed = {name: getattr(self._config, name) for name in ("host", "port", "workers", "data", "database")}
        changed = [name for name, value in fixed.items() if getattr(config, name) != value]
        if changed:
            self._say(f"{', '.join(changed)}: changed, but only a restart puts that in force; the rest is taken over")
        self._later = f" ({', '.join(changed)}: after a restart)" if changed else ""
        self._config = msgspec.structs.replace(config, **fixed)
        for child in self._children():
            child.send("reload")

    def _do_chore(self) -> None:
        if self._chore is None or (self._chore_running is not None and self._chore_running.poll() is None):
            return
        self._chore_running = subprocess.Popen(
            self._chore(self._config), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=lambda: os.nice(10),
        )  # fmt: skip

    # The end

    def _kill_stuck(self) -> None:
        stuck = self._children()
        for child in stuck:
            self._say(f"process {child.pid} does not end; it is killed, and the ledger recovers what it wrote")
            child.signal(signal.SIGKILL)
        self._kill_at = _FOREVER

    def _end_all(self) -> None:
        """Leave no process behind, whatever happened."""
        for child in self._children():
            child.signal(signal.SIGKILL)
            child.ended(wait=True)
            self._lost = True
        if self._chore_running is not None and self._chore_running.poll() is None:
            self._chore_running.terminate()
        if self._lost and self._recover is not None:
            config, recover = self._config, self._recover

            def recovered(_: socket.socket) -> int:
                recover(config)
                return 0

            fork(recovered, time.monotonic()).ended(wait=True)

    def _drain(self, woken: socket.socket) -> None:
        try:
            while woken.recv(512):
                pass
        except BlockingIOError:
            pass


def usable(folder: Path) -> None:
    """Refuse a data folder that cannot be written before anything starts. Raises `FarthingError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise FarthingError(
            f"{folder}: the data folder cannot be written: {error.strerror or error} (name another with --data)"
        ) from None
