"""A circuit breaker: an upstream that keeps failing is left alone for a while, then tried by one request."""

from collections import deque

from farthing.gateway.config.values import Breaker as Rule


class Breaker:
    """One upstream's, in one worker. `failures` within `window_s` open it for `open_s`; then one request probes."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._failed: deque[float] = deque(maxlen=max(rule.failures, 1))
        self._open_until = 0.0
        self._probing_until = 0.0
        self.tripped = False
        """Whether it is open, or waits for its probe."""

    def blocked(self, now_s: float) -> bool:
        """Whether no request may be sent now (`now_s`: a monotonic clock)."""
        return self.tripped and (now_s < self._open_until or now_s < self._probing_until)

    def sent(self, now_s: float) -> None:
        """A request is sent: with the circuit open it is the probe, and others wait until it ends (or `open_s`)."""
        if self.tripped:
            self._probing_until = now_s + self._rule.open_s

    def succeeded(self) -> None:
        """The upstream answered."""
        if self._failed or self.tripped:
            self._failed.clear()
            self.tripped = False

    def failed(self, now_s: float) -> None:
        """The upstream failed: unreachable, silent, broken off, or a 5xx."""
        self._failed.append(now_s)
        full = len(self._failed) == self._failed.maxlen
        if self.tripped or (full and now_s - self._failed[0] <= self._rule.window_s):
            self.tripped = True
            self._open_until = now_s + self._rule.open_s
            self._probing_until = 0.0

    def forget_probe(self) -> None:
        """The request ended in a way that says nothing of the upstream (the client left, a 4xx)."""
        self._probing_until = 0.0
