"""Waits that take too long are ended, whatever is waited for: one timer a worker looks at all requests in flight."""

import asyncio
from asyncio import current_task, get_running_loop

SWEEP_S = 0.05
"""How often the timer looks, while there are requests in flight: a wait ends so much late at most."""


class Sweep:
    """The watches of one event loop. A timer for each request would be made and cancelled with it, mostly in vain."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.time = loop.time
        self.watches: set[Watch] = set()
        self.ticking = False

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


def _of(loop: asyncio.AbstractEventLoop) -> Sweep:
    """The running loop's: a worker has one loop."""
    global _sweep
    _sweep = Sweep(loop)
    return _sweep


class Watch:
    """Cancels its task when what is expected does not come in time.

    watch.expect("the first byte", 60)
    try:
        await …                      # in a loop call `watch.alive()` on each sign of life
    except asyncio.CancelledError:
        if watch.late: …             # it was us: what was expected, as text; `watch.late` also takes the
        raise                        # cancellation back. Else somebody else cancelled the task.
    finally:
        watch.rest()                 # and `watch.end()` when the request is over
    """

    __slots__ = ("_deadline", "_fired", "_last", "_seconds", "_sweep", "_task", "_time", "_what", "paused")

    def __init__(self, deadline_s: float) -> None:
        """`deadline_s`: what the whole request may take; no wait is longer than what is left of it."""
        loop, sweep = get_running_loop(), _sweep
        if sweep is None or sweep.loop is not loop:
            sweep = _of(loop)
        self._sweep = sweep
        self._time = sweep.time
        self._task = current_task(loop)
        self._last = sweep.time()
        self._deadline = self._last + deadline_s
        self._seconds = 0.0
        self._what = self._fired = ""
        self.paused = False
        """Something else is waited for (a slow client): only the deadline counts."""
        sweep.watches.add(self)
        if not sweep.ticking:
            sweep.begin()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - self._time()

    def expect(self, what: str, seconds: float) -> None:
        """From now on, wait at most `seconds` between two signs of life, and not beyond the deadline."""
        self._what, self._seconds, self._fired = what, seconds, ""
        self._last = self._time()

    def alive(self) -> None:
        """Something came."""
        self._last = self._time()

    def rest(self) -> None:
        """Nothing is expected for now."""
        self._what = ""

    def end(self) -> None:
        """The request is over."""
        self._what = ""
        self._sweep.watches.discard(self)

    def extend(self, seconds: float) -> None:
        """Let the request go on for `seconds` from now, whatever its deadline was: to drain what was paid for."""
        self._deadline = self._time() + seconds

    def is_late(self, now: float) -> bool:
        """Whether what is expected should have come by `now`, by the loop's clock."""
        return bool(self._what) and (now >= self._deadline or (not self.paused and now >= self._last + self._seconds))

    def ring(self) -> None:
        """End the wait."""
        self._fired = self._what
        if self.paused or self._deadline < self._last + self._seconds:
            self._fired += " (within the request's time)"
        self._what = ""  # once
        if self._task is not None:
            self._task.cancel()

    @property
    def late(self) -> str:
        """What did not come in time, "" where the cancellation was not this watch's. Ask once, where it is caught."""
        fired, self._fired = self._fired, ""
        if fired and self._task is not None:
            self._task.uncancel()
        return fired
