"""Waits that take too long are ended, whatever is waited for: one timer a worker looks at all requests in flight."""

import asyncio
from asyncio import current_task, get_running_loop
from collections.abc import Callable

SWEEP_S = 0.05
"""How often the timer looks, while there are requests in flight: a wait ends twice so much late at most."""


class Sweep:
    """The watches of one event loop. A timer for each request would be made and cancelled with it, mostly in vain."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.time = loop.time
        self.watches: set[Watch] = set()
        self.ticking = False

    def watch(
        self, task: "asyncio.Task[object] | None", deadline_s: float, take_up: Callable[[], None] | None = None
    ) -> "Watch":
        """A watch over `task`, or over a request that is no task's until `take_up` is called; both for `deadline_s`."""
        watch = Watch(self, task, self.time() + deadline_s, take_up)
        self.watches.add(watch)
        if not self.ticking:
            self.begin()
        return watch

    def begin(self) -> None:
        """Look from now on, until there is nothing to look at."""
        self.ticking = True
        self.loop.call_later(SWEEP_S, self._look)

    def _look(self) -> None:
        now = self.time()
        for late in [one for one in self.watches if one.is_late(now)]:
            late.ring()
        if self.watches:
            self.begin()
        else:
            self.ticking = False


_sweep: Sweep | None = None


def sweep_of(loop: asyncio.AbstractEventLoop) -> Sweep:
    """The loop's, which is asked to do nothing else: a worker has one loop."""
    global _sweep
    if _sweep is None or _sweep.loop is not loop:
        _sweep = Sweep(loop)
    return _sweep


class Watch:
    """Cancels its task when what is expected does not come in time.

    watch = watched(600)
    watch.expect("the first byte", 60)
    try:
        await …                      # in a loop call `watch.alive()` on each sign of life
    except asyncio.CancelledError:
        if watch.late: …             # it was us: what was expected, as text; `watch.late` also takes the
        raise                        # cancellation back. Else somebody else cancelled the task.
    finally:
        watch.rest()                 # and `watch.end()` when the request is over

    `task`: what waits; None as long as nothing does. `take_up`: makes a task of what waits without one. `paused`:
    something else is waited for (a slow client), so that only the deadline counts.
    """

    __slots__ = ("_alive_at", "_deadline", "_fired", "_seconds", "_sweep", "_what", "paused", "take_up", "task")

    def __init__(
        self,
        sweep: Sweep,
        task: "asyncio.Task[object] | None",
        deadline: float,
        take_up: Callable[[], None] | None = None,
    ) -> None:
        self.task = task
        self.take_up = take_up
        self.paused = False
        self._sweep = sweep
        self._deadline = deadline
        self._alive_at = 0.0
        """When a look found that there had been a sign of life; 0 where none has looked since. (Signs of life are many,
        and looks are few: so none of the former asks for the time.)"""
        self._seconds = 0.0
        self._what = ""
        self._fired = ""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - self._sweep.time()

    def expect(self, what: str, seconds: float) -> None:
        """From now on, wait at most `seconds` between two signs of life, and not beyond the deadline."""
        self._what = what
        self._seconds = seconds
        self._fired = ""
        self._alive_at = 0.0

    def alive(self) -> None:
        """Something came."""
        self._alive_at = 0.0

    def rest(self) -> None:
        """Nothing is expected for now."""
        self._what = ""

    def end(self) -> None:
        """The request is over."""
        self.take_up = None
        self._sweep.watches.discard(self)

    def extend(self, seconds: float) -> None:
        """Let the request go on for `seconds` from now, whatever its deadline was: to drain what was paid for."""
        self._deadline = self._sweep.time() + seconds

    def is_late(self, now: float) -> bool:
        """Whether what is expected should have come by `now`, by the loop's clock: a look, from which waits count."""
        if not self._what:
            return False
        if not self._alive_at:
            self._alive_at = now
        return now >= self._deadline or (not self.paused and now >= self._alive_at + self._seconds)

    def ring(self) -> None:
        """End the wait. Where that is no task's yet, it becomes one's: the next look ends it."""
        if self.task is None:
            if self.take_up is not None:
                self.take_up()
            return
        self._fired = self._what
        if self.paused or self._deadline < self._alive_at + self._seconds:
            self._fired += " (within the request's time)"
        self._what = ""  # once
        self.task.cancel()

    @property
    def late(self) -> str:
        """What did not come in time, "" where the cancellation was not this watch's. Ask once, where it is caught."""
        fired, self._fired = self._fired, ""
        if fired and self.task is not None:
            self.task.uncancel()
        return fired


def watched(deadline_s: float) -> Watch:
    """A watch over this task, of which the whole request may take `deadline_s`: no wait is longer than what is left."""
    loop = get_running_loop()
    return sweep_of(loop).watch(current_task(loop), deadline_s)
