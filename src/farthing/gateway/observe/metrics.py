"""Counting what the gateway does, for Prometheus: each attempt when it ends, events, and how things are now."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

from farthing.gateway.observe.attempt_sums import AttemptSums
from farthing.gateway.observe.metrics_store import MOST_SERIES, OTHER, Labels, MetricsStore, Series, Snapshot
from farthing.gateway.observe.metrics_text import COUNTERS, GAUGES, render

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_MODELS = 200  # names that no configuration and no price book knows, by worker
_MOST_ERRORS = 500
_MOST_EVENTS = 200  # values of one counter's label
_MOST_KEYS = 8_192
_LONGEST = 128
_IDLE_TICKS = 15  # an idle gateway does not write every second
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Metrics(AttemptSums):
    """What this worker counts, and the answer to `GET /metrics` for all workers on `folder`. For one thread.

    `known`: whether a model's name may be a label: names that clients make up must not fill the memory. Other names
    are "other", except that an upstream's answer may name a few hundred.
    """

    def __init__(self, folder: Path, *, known: Callable[[str], bool] | None = None) -> None:
        self._store = MetricsStore(folder)
        self._known = known or (lambda _: False)
        self._now = Snapshot()
        self._series: dict[tuple[str, str, str, str, int | None], Series] = {}
        self._models: set[str] = set()
        self._per_counter: dict[str, int] = {}
        self.write_failures = 0
        self._changed = True
        self._idle = 0

    def knows(self, known: Callable[[str], bool]) -> None:
        """Ask this which models may be labels, from now on (a new configuration)."""
        self._count_ended()
        self._known = known
        self._series.clear()
        self._now.gauges.clear()  # of upstreams that are not configured any more

    # --- counting -----------------------------------------------------------------------------

    # (`observe` counts an attempt that has ended: with others of its kind, and before anybody reads.)

    def _count_ended(self) -> None:
        """Count the attempts that ended since the last time, in the series that they belong to."""
        for kind in self.taken():
            self._changed = True
            key = kind.upstream, kind.served, kind.asked, kind.state, kind.status
            series = self._series.get(key)
            if series is None:
                series = self._find(key)
            series.add(kind.series())
            if kind.error:
                self._error(kind.upstream, kind.error, kind.attempts)

    def count(self, name: str, label: str = "", n: float = 1) -> None:
        """Count an event, one of `metrics_text.COUNTERS`."""
        event = self._event(name, label)
        self._now.counters[event] = self._now.counters.get(event, 0) + n
        self._changed = True

    def total(self, name: str, label: str, value: float) -> None:
        """Say how often an event has been, where something else of this worker counts it."""
        event = self._event(name, label)
        if self._now.counters.get(event) != value:
            self._now.counters[event] = value
            self._changed = True

    def gauge(self, name: str, value: float, label: str = "") -> None:
        """Say how something is now, one of `metrics_text.GAUGES`."""
        if name not in GAUGES:
            raise KeyError(name)
        event = name, label[:_LONGEST]
        if self._now.gauges.get(event) != value:
            self._now.gauges[event] = value
            self._changed = True

    # --- answering ----------------------------------------------------------------------------

    def tick(self) -> None:
        """Write the snapshot that other workers read, if there is news; to be called every second."""
        self._count_ended()
        self._idle += 1
        if not self._changed and self._idle < _IDLE_TICKS:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.total("cpu_seconds", "", round(used.ru_utime + used.ru_stime, 3))
        self.total("snapshot_failures", "", self.write_failures)
        self.gauge("resident_memory_bytes", _resident_bytes())
        self._changed, self._idle = False, 0
        if not self._store.write(self._now):
            self.write_failures += 1
            self._changed = True

    def text(self) -> str:
        """The answer to `GET /metrics`, all workers together, the dead's counts included (`CONTENT_TYPE`)."""
        self.tick()
        return self.merged()

    def merged(self) -> str:
        """The same from what was last written. Any thread may call it."""
        retired, living = self._store.read()
        return render(retired, living)

    def close(self) -> None:
        """Leave the counts to those who go on."""
        self._count_ended()
        self._now.gauges.clear()
        self._store.write(self._now)
        self._store.close()

    # --- bounded names ------------------------------------------------------------------------

    def _find(self, key: tuple[str, str, str, str, int | None]) -> Series:
        upstream, served, asked, state, status = key
        if len(self._series) >= _MOST_KEYS:
            self._series.clear()
        labels = Labels(upstream, self._model(served, asked), state, "" if status is None else str(status))
        if labels not in self._now.series and len(self._now.series) >= MOST_SERIES:
            labels = labels._replace(model=OTHER)
        found = self._series[key] = self._now.series.setdefault(labels, Series())
        return found

    def _model(self, served: str, asked: str) -> str:
        for name in (served, asked):
            if name and self._known(name):
                return name[:_LONGEST]
        name = served[:_LONGEST]
        if name and (name in self._models or len(self._models) < _MOST_MODELS):
            self._models.add(name)
            return name
        return OTHER

    def _error(self, upstream: str, error: str, count: int) -> None:
        errors, event = self._now.errors, (upstream, error[:_LONGEST])
        if event not in errors and len(errors) >= _MOST_ERRORS:
            event = upstream, OTHER
        errors[event] = errors.get(event, 0) + count

    def _event(self, name: str, label: str) -> tuple[str, str]:
        event = name, label[:_LONGEST]
        if event not in self._now.counters:
            if name not in COUNTERS:
                raise KeyError(name)
            seen = self._per_counter[name] = self._per_counter.get(name, 0) + 1
            if seen > _MOST_EVENTS:
                return name, OTHER
        return event


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (once a second: without a Path)
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
