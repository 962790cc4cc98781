"""Price tracks: a price that moves in steps, and many of them on one grid of months, in natural logarithms."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from math import ceil, log
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[Any]  # of whole numbers, truth values or names

MONTH_DAYS = 365.25 / 12


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From `date` on the price is `price` (over 0; any one unit), by `model` where that is known."""

    date: date
    price: float
    model: str = ""


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """A price through time. `steps` are in order, one a day; each holds until the next, the last until `until`.

    `cluster`: tracks of one cluster share causes (thresholds of one benchmark, models of one provider) and are not
    independent evidence. `falling`: a running minimum, which cannot rise. `until`: the price is unknown after it.
    """

    name: str
    cluster: str
    steps: tuple[Step, ...]
    falling: bool = False
    until: date | None = None

    @property
    def changes(self) -> int:
        """How many times the price changed."""
        return sum(a.price != b.price for a, b in zip(self.steps, self.steps[1:], strict=False))

    def at(self, day: date) -> Step | None:
        """The step in force on `day`; None before the first one and after `until`."""
        place = bisect_right(self.steps, day, key=lambda step: step.date)
        if place == 0 or (self.until is not None and day > self.until):
            return None
        return self.steps[place - 1]

    def months(self, end: date) -> float:
        """How long its history is at `end`, in months of 365.25/12 days."""
        return (end - self.steps[0].date).days / MONTH_DAYS


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Tracks by month: `logs[s, j]` is the natural log of the price of track s, NaN where it is unknown.

    The last column is the day `end`, and each column before it lies one month of 365.25/12 days earlier. `began` is
    where in these columns each track's first price stands (2.5: halfway between two), `starts` that price's log.
    """

    tracks: tuple[Track, ...]
    end: date
    logs: Floats
    began: Floats
    starts: Floats


def grid(tracks: Sequence[Track], end: date) -> Grid:
    """`tracks` as they were known month by month until `end`. Tracks without a price on any of those days drop out."""
    import numpy as np

    known = [track for track in tracks if track.steps and track.steps[0].date <= end]
    columns = 1 + max((ceil(track.months(end)) for track in known), default=0)
    back = np.arange(columns - 1, -1, -1) * MONTH_DAYS
    days = np.floor(end.toordinal() - back + 1e-9)
    logs = np.full((len(known), columns), np.nan)
    for row, track in enumerate(known):
        dates = [step.date.toordinal() for step in track.steps]
        values = np.array([np.nan, *(log(step.price) for step in track.steps)])
        logs[row] = values[np.searchsorted(dates, days, side="right")]
        if track.until is not None:
            logs[row, days > track.until.toordinal()] = np.nan
    some = np.isfinite(logs).any(axis=1)
    kept = tuple(track for track, keep in zip(known, some, strict=True) if keep)
    began = np.array([columns - 1 - track.months(end) for track in kept])
    starts = np.array([log(track.steps[0].price) for track in kept])
    return Grid(tracks=kept, end=end, logs=logs[some], began=began, starts=starts)


def at_their_ends(made: Grid) -> Grid:
    """The same tracks, each moved so that its own last month stands in the last column: what was known of those that
    ended, beside what is known of those that go on."""
    import numpy as np

    columns = made.logs.shape[1]
    late = np.argmax(np.isfinite(made.logs[:, ::-1]), axis=1)
    logs = np.full_like(made.logs, np.nan)
    for row, back in enumerate(late.tolist()):
        logs[row, back:] = made.logs[row, : columns - back]
    return Grid(tracks=made.tracks, end=made.end, logs=logs, began=made.began + late, starts=made.starts)


def after(start: date, months: float) -> date:
    """The day `months` (of 365.25/12 days) after `start`."""
    return start + timedelta(days=round(months * MONTH_DAYS))
