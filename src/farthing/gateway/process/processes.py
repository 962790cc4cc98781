"""Forked processes with a channel to them: what the supervisor knows of each, and how one is made."""

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable

_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_MOST_SAID = 4096


class Child:
    """A forked process. `heard`: when it last said something (a monotonic clock), `failure`: why it could not
    start, as it said."""

    def __init__(self, pid: int, channel: socket.socket, now: float) -> None:
        self.pid = pid
        self.channel = channel
        self.born = self.heard = now
        self.ready = False
        self.failure = ""
        self.open = True
        self._status: int | None = None
        self._said = b""

    def send(self, word: str) -> None:
        """Say a word to it; one that is gone does not hear it."""
        with contextlib.suppress(OSError):
            self.channel.send(framed(word))

    def receive(self) -> list[str]:
        """What it said since the last time; `open` is False once its end is closed."""
        while self.open:
            try:
                said = self.channel.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                said = b""
            self.open = bool(said)
            self._said += said
        *lines, self._said = self._said.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended: its number may be another process's by then."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, wait: bool = False) -> int | None:
        """Its exit status as `os.waitstatus_to_exitcode` gives it (minus the signal's number), None: it runs."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            except ChildProcessError:
                self._status = 1
            else:
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status


def framed(said: str) -> bytes:
    """One line for a channel."""
    return said.replace("\n", " ").encode("utf-8", "replace")[:_MOST_SAID] + b"\n"


def ended_how(status: int) -> str:
    """In words: "was killed by SIGKILL", "ended with status 1"."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def fork(work: Callable[[socket.socket], int], now: float) -> Child:
    """A process that does `work`, given its end of the channel, and ends with its status. Only from one thread.

    It ignores SIGINT and SIGHUP, which a terminal sends to all its processes: the one above decides.
    """
    ours, theirs = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # what waits in a buffer would be written twice
    # Held back until each side has its own handlers: one that came between would be taken by the wrong ones.
    signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    try:
        pid = os.fork()
        if not pid:
            _child(work, ours, theirs)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
    theirs.close()
    ours.setblocking(False)
    return Child(pid, ours, now)


def _child(work: Callable[[socket.socket], int], ours: socket.socket, theirs: socket.socket) -> None:
    """The forked side; never returns, so that nothing of the parent's (its exit handlers, its stack) runs twice."""
    status = 1
    try:
        ours.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        status = work(theirs)
    except BaseException as error:
        traceback.print_exc()
        with contextlib.suppress(OSError):
            theirs.send(framed(f"failed {type(error).__name__}: {error}"))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
