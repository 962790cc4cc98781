"""Counting what the gateway does, for Prometheus: each attempt when it ends, events, and how things are now."""

import os
import resource
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from itertools import repeat
from pathlib import Path

from farthing.gateway.observe.metrics_store import BOUNDS_US, MOST_SERIES, OTHER, Labels, MetricsStore, Series, Snapshot
from farthing.gateway.observe.metrics_text import COUNTERS, GAUGES, render
from farthing.ledger.row import Attempt

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PICO = 10**12
_MOST_MODELS = 200  # names that no configuration and no price book knows, by worker
_MOST_ERRORS = 500
_MOST_EVENTS = 200  # values of one counter's label
_MOST_KEYS = 8_192
_LONGEST = 128
_IDLE_TICKS = 15  # an idle gateway does not write every second
_TOGETHER = 128  # attempts counted in one go: most are of one kind, and one after the other takes a third of the time
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_Kind = tuple[str, str, str, str, int | None, bool, bool, bool, bool, str]
"""What many attempts have in common: labels, whether it was the first of its request, streamed, estimated, whether the
provider stated a charge, and its error."""


class Metrics:
    """What this worker counts, and the answer to `GET /metrics` for all workers on `folder`. For one thread.

    `known`: whether a model's name may be a label: names that clients make up must not fill the memory. Other names
    are "other", except that an upstream's answer may name a few hundred.
    """

    def __init__(self, folder: Path, worker: str = "", *, known: Callable[[str], bool] | None = None) -> None:
        self._store = MetricsStore(folder)
        self._known = known or (lambda _: False)
        self._now = Snapshot()
        self._ended: list[Attempt] = []  # to be counted
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

    def observe(self, attempt: Attempt) -> None:
        """Count an attempt that has ended: with the next ones, and before anybody reads."""
        ended = self._ended
        ended.append(attempt)
        if len(ended) >= _TOGETHER:
            self._count_ended()

    def _count_ended(self) -> None:
        """Count the attempts that ended since the last time."""
        if not self._ended:
            return
        ended, self._ended = self._ended, []
        self._changed = True
        alike: dict[_Kind, list[Attempt]] = {}
        for one in ended:
            kind = (
                one.upstream, one.model_served, one.model_asked, one.state, one.status, one.number == 1, one.streamed,
                one.estimated, one.reported_usd is not None, one.error,
            )  # fmt: skip
            found = alike.get(kind)
            if found is None:
                alike[kind] = [one]
            else:
                found.append(one)
        for kind, attempts in alike.items():
            self._add(kind, attempts)

    def _add(self, kind: _Kind, attempts: list[Attempt]) -> None:
        """Count attempts of one kind: what it says once for all of them, and then the sums of what differs."""
        upstream, served, asked, state, status, is_first, streamed, estimated, is_reported, error = kind
        key, count = (upstream, served, asked, state, status), len(attempts)
        series = self._series.get(key)
        if series is None:
            series = self._find(key)
        series.attempts += count
        if is_first:
            series.requests += count
        if streamed:
            series.streams += count
        if estimated:
            series.estimated += count
        if error:
            self._error(upstream, error, count)
        sums = series.quantities
        for one in attempts:
            for meter, n in one.quantities.items():
                sums[meter] = sums.get(meter, 0) + n
        amounts = _pico([one.usd for one in attempts if one.usd is not None])
        series.usd += sum(amounts)
        if len(amounts) < count:
            for one in attempts:
                if one.usd is None and one.quantities:
                    series.unpriced += 1
                elif one.usd is None and one.unknown:
                    series.unmetered += 1
        if is_reported:
            for one in attempts:
                if one.usd is not None and one.reported_usd is not None:
                    _compare(series, one.usd, one.reported_usd)
        if state == "done":
            series.duration_us += _sort_in(
                series.durations, [one.ended_us - one.started_us for one in attempts if one.ended_us is not None]
            )
        series.first_us += _sort_in(
            series.firsts, [one.first_us - one.started_us for one in attempts if one.first_us is not None]
        )

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


def _pico(texts: list[str]) -> list[int]:
    """Exact amounts in text ("23/5000") in picodollars, rounded: a gauge; the ledger keeps them exact."""
    parts = [text.partition("/") for text in texts]
    try:
        return [(int(over) * PICO + ((divisor := int(under or 1)) >> 1)) // divisor for over, _, under in parts]
    except (ValueError, ZeroDivisionError):
        return [_odd_pico(text) for text in texts]


def _odd_pico(text: str) -> int:
    """The same of an amount that may be written in another way; 0 where it is none."""
    try:
        return round(Fraction(text) * PICO)
    except (ValueError, ZeroDivisionError):
        return 0


def _sort_in(buckets: list[int], times_us: list[int]) -> int:
    """Count each time in its bucket; their sum."""
    for at in map(bisect_left, repeat(BOUNDS_US), times_us):
        buckets[at] += 1
    return sum(times_us)


def _compare(series: Series, usd: str, reported_usd: str) -> None:
    [ours], [theirs] = _pico([usd]), _pico([reported_usd])
    series.reported += 1
    series.reported_usd += theirs
    series.ours_usd += ours
    if abs(theirs - ours) * 100 > max(theirs, ours):
        series.drifted += 1


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (once a second: without a Path)
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
