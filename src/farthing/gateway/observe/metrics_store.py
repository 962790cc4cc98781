"""What workers measured, on disk: a snapshot each, merged when asked for; what the dead measured is kept.

metrics/WORKER.snap     one a worker, written whole every second
metrics/retired.snap    the sum of those whose workers are gone, and which they were
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from farthing.ledger.workers import Worker, file_stem, id_of

BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
            655.36)  # fmt: skip
"""Upper bounds of histograms of time: those of OpenTelemetry's `gen_ai.client.operation.duration`, and three more."""
BOUNDS_US = [round(bound * 1_000_000) for bound in BOUNDS_S]
OTHER = "other"
MOST_SERIES = 2_000
"""Kept apart by labels; what comes beyond is counted under the model "other"."""


def _buckets() -> list[int]:
    return [0] * (len(BOUNDS_S) + 1)


class Series(msgspec.Struct, array_like=True, gc=False):
    """Sums of attempts that share their labels. Money in picodollars, times in microseconds; buckets not cumulative.

    `requests`: those among the attempts that were the first of their request. `unpriced`: metered, but without a
    price; `unmetered`: what was consumed is not known. `reported`: attempts with the provider's own charge beside
    ours, and the two sums of these; `drifted`: the two differ by more than a hundredth.
    """

    attempts: int = 0
    requests: int = 0
    streams: int = 0
    estimated: int = 0
    unpriced: int = 0
    unmetered: int = 0
    usd: int = 0
    reported: int = 0
    reported_usd: int = 0
    ours_usd: int = 0
    drifted: int = 0
    duration_us: int = 0
    first_us: int = 0
    quantities: dict[str, int] = msgspec.field(default_factory=dict)
    durations: list[int] = msgspec.field(default_factory=_buckets)
    firsts: list[int] = msgspec.field(default_factory=_buckets)

    def add(self, other: "Series") -> None:
        """Add what `other` counted."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for meter, count in other.quantities.items():
            self.quantities[meter] = self.quantities.get(meter, 0) + count
        for mine, others in ((self.durations, other.durations), (self.firsts, other.firsts)):
            for at, count in enumerate(others[: len(mine)]):
                mine[at] += count


_SUMS = tuple(name for name, kind in Series.__annotations__.items() if kind is int)


class Labels(NamedTuple):
    """Which attempts: `status` in digits, "" where none came."""

    upstream: str
    model: str
    state: str
    status: str


Event = tuple[str, str]
"""A counter or gauge by name, and the value of its label ("" where it has none)."""


class Snapshot(msgspec.Struct, array_like=True):
    """All that one worker (or all that are gone) counted. Gauges say how things are now: the dead have none.

    `folded`: in the sum of the retired, whose snapshots it holds and which may not be deleted yet.
    """

    series: dict[Labels, Series] = msgspec.field(default_factory=dict)
    errors: dict[Event, int] = msgspec.field(default_factory=dict)
    counters: dict[Event, float] = msgspec.field(default_factory=dict)
    gauges: dict[Event, float] = msgspec.field(default_factory=dict)
    folded: list[str] = msgspec.field(default_factory=list)

    def add(self, other: "Snapshot") -> None:
        """Add the counts of `other`; not its gauges."""
        for labels, series in other.series.items():
            if labels not in self.series and len(self.series) >= MOST_SERIES:
                labels = labels._replace(model=OTHER)
            self.series.setdefault(labels, Series()).add(series)
        for event, count in other.errors.items():
            self.errors[event] = self.errors.get(event, 0) + count
        for event, value in other.counters.items():
            self.counters[event] = self.counters.get(event, 0) + value


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


class MetricsStore:
    """The folder of snapshots, and this worker's place in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "metrics"
        self._worker = Worker(self._folder)
        self._path = self._folder / f"{file_stem(self._worker.id)}.snap"

    def write(self, snapshot: Snapshot) -> bool:
        """Keep this worker's snapshot; whether that was possible."""
        return _write(self._path, snapshot)

    def read(self) -> tuple[Snapshot, list[Snapshot]]:
        """What the gone counted, and the living's snapshots. Who died since the last time is moved to the first."""
        with self._locked() as alone:
            try:
                retired = _read(self._folder / "retired.snap") or Snapshot()
            except OSError:
                retired, alone = Snapshot(), False  # it is there, but not now: must not be written anew
            living, dead = [], []
            for path in sorted(self._folder.glob("*.snap")):
                if path.name == "retired.snap" or path.stem in retired.folded:
                    continue
                try:
                    found = _read(path)
                except OSError:
                    continue
                if found is not None and self._worker.is_alive(id_of(path.stem)):
                    living.append(found)
                else:
                    retired.add(found or Snapshot())
                    dead.append(path.stem)
            if alone:
                self._retire(retired, dead)
        return retired, living

    def close(self) -> None:
        """This worker is gone: its last snapshot stays, and is moved to the retired by who reads next."""
        self._worker.close()

    def _retire(self, retired: Snapshot, dead: Iterable[str]) -> None:
        """Keep the sum first, with the names of what it holds: whoever reads skips these, so nothing counts twice."""
        # What was folded and is not there any more needs no name.
        retired.folded = [stem for stem in retired.folded if (self._folder / f"{stem}.snap").exists()] + [*dead]
        if not retired.folded:
            return
        if _write(self._folder / "retired.snap", retired):
            for stem in retired.folded:
                for path in (self._folder / f"{stem}.snap", self._folder / f"{stem}.new"):
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
            self._worker.bury()

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Alone with the folder; False where that is not possible (nothing is moved then)."""
        try:
            file = os.open(self._folder / "retired.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield True
        finally:
            os.close(file)


def _write(path: Path, snapshot: Snapshot) -> bool:
    """Whole or not at all, but without waiting for the disk: after a power cut the ledger has what is missing here."""
    beside = path.with_suffix(".new")
    try:
        file = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            data = _encoder.encode(snapshot)
            if os.write(file, data) != len(data):
                return False
        finally:
            os.close(file)
        beside.replace(path)
    except OSError:
        return False
    return True


def _read(path: Path) -> Snapshot | None:
    """The snapshot; None where there is none, or one of another version. Raises `OSError`."""
    try:
        return _decoder.decode(path.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
