"""One timer a request: it ends a wait that takes too long, whatever is waited for."""

import asyncio


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

    `alive` costs a clock reading: the timer is not moved, it looks at the time of the last sign of life when it goes
    off, and is kept from one expectation to the next. `asyncio.timeout` would be made anew, or moved, each time.
    """

    __slots__ = ("_deadline", "_due", "_fired", "_handle", "_last", "_loop", "_seconds", "_task", "_what", "paused")

    def __init__(self, deadline_s: float) -> None:
        """`deadline_s`: what the whole request may take; no wait is longer than what is left of it."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._deadline = self._loop.time() + deadline_s
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._what = ""
        self._seconds = 0.0
        self._last = 0.0
        self._fired = ""
        self.paused = False
        """Something else is waited for (a slow client): only the deadline counts."""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - self._loop.time()

    def expect(self, what: str, seconds: float) -> None:
        """From now on, wait at most `seconds` between two signs of life, and not beyond the deadline."""
        self._what, self._seconds, self._fired = what, seconds, ""
        self._last = now = self._loop.time()
        due = now + seconds
        if due > self._deadline:
            due = self._deadline
        if self._handle is not None:
            if self._due <= due:
                return  # the timer goes off before, and looks then
            self._handle.cancel()
        self._due = due
        self._handle = self._loop.call_at(due, self._ring)

    def alive(self) -> None:
        """Something came."""
        self._last = self._loop.time()

    def rest(self) -> None:
        """Nothing is expected for now."""
        self._what = ""

    def end(self) -> None:
        """The request is over."""
        self._what = ""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def extend(self, seconds: float) -> None:
        """Let the request go on for `seconds` from now, whatever its deadline was: to drain what was paid for."""
        self._deadline = self._loop.time() + seconds

    def _ring(self) -> None:
        now = self._loop.time()
        due = min((now if self.paused else self._last) + self._seconds, self._deadline)
        self._handle = None
        if not self._what:
            return  # at rest: the next `expect` sets the timer
        if now < due - 0.001:
            self._due = due
            self._handle = self._loop.call_at(due, self._ring)
            return
        self._fired = self._what if due < self._deadline else f"{self._what} (within the request's time)"
        if self._task is not None:
            self._task.cancel()

    @property
    def late(self) -> str:
        """What did not come in time, "" where the cancellation was not this watch's. Ask once, where it is caught."""
        fired, self._fired = self._fired, ""
        if fired and self._task is not None:
            self._task.uncancel()
        return fired
