"""What each source said of each price through time: runs of one value, and the steps between them."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from farthing.rates.series.snapshot import Key, Snapshot, Subject


class Run(msgspec.Struct, kw_only=True):
    """A source's statements of one value, in snapshots from day `first` to day `last` without another between them.

    `stated` is the day from which the source itself says that it holds; `label` names the first such snapshot,
    `last_label` the last.
    """

    value: Decimal
    first: date
    last: date
    label: str
    last_label: str
    stated: date | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A source's change of a value: `runs[position]` to the next one."""

    source: str
    key: Key
    runs: Sequence[Run]
    position: int

    @property
    def before(self) -> Run:
        return self.runs[self.position]

    @property
    def now(self) -> Run:
        return self.runs[self.position + 1]


class Seen(msgspec.Struct, kw_only=True):
    """When a source listed an offer: the days of its first and last list with it, and the day before and after.

    `before` is None where it is in the source's first list, `gone` where it is in the last one. `vanished` counts
    the spells in between without it.
    """

    first: date
    last: date
    label: str
    last_label: str
    before: date | None
    gone: date | None = None
    gone_label: str = ""
    vanished: int = 0


class History(msgspec.Struct, kw_only=True):
    """All that one source said."""

    source: str
    days: list[date]
    runs: dict[Key, list[Run]]
    seen: dict[Subject, Seen]
    modes: dict[Subject, str]

    def steps(self) -> Iterator[Step]:
        for key, runs in self.runs.items():
            for position in range(len(runs) - 1):
                yield Step(source=self.source, key=key, runs=runs, position=position)

    def days_before(self, day: date, count: int) -> list[date]:
        """The days of the last `count` lists before that of `day`."""
        end = bisect_left(self.days, day)
        return self.days[max(end - count, 0) : end]


def history(snapshots: Sequence[Snapshot]) -> History:
    """The runs of one source's `snapshots`, which are in order of days."""
    made = History(source=snapshots[0].source, days=[s.day for s in snapshots], runs={}, seen={}, modes={})
    before: date | None = None
    for snapshot in snapshots:
        day, label = snapshot.day, snapshot.label
        for key, value in snapshot.prices.items():
            runs = made.runs.setdefault(key, [])
            if runs and runs[-1].value == value:
                runs[-1].last, runs[-1].last_label = day, label
            else:
                runs.append(
                    Run(
                        value=value, first=day, last=day, label=label, last_label=label, stated=snapshot.starts.get(key)
                    )
                )
        for subject, mode in snapshot.modes.items():
            seen = made.seen.get(subject)
            if seen is None:
                made.seen[subject] = Seen(first=day, last=day, label=label, last_label=label, before=before)
            else:
                if seen.last != before:
                    seen.vanished += 1
                seen.last, seen.last_label, seen.gone, seen.gone_label = day, label, None, ""
            if mode:
                made.modes.setdefault(subject, mode)
        for seen in made.seen.values():
            if seen.last != day and seen.gone is None:
                seen.gone, seen.gone_label = day, label
        before = day
    return made
