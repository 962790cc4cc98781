"""The fan of a forecast: what is expected month by month, and the interval around it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import exp, sqrt
from typing import TYPE_CHECKING

import msgspec

from farthing.index.calibration import Backtest, students_t
from farthing.index.tracks import after

if TYPE_CHECKING:
    from farthing.index.tracks import Floats


ENOUGH_WINDOWS = 4
"""Fewer windows side by side cannot rule out that nothing gets cheaper. With two of them, in which prices fell a
hundredfold, our own prices of March 2025 were forecast to fall by half at least within a year: 8 of 11 did not."""


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """A price `months` ahead: expected (the median), and the interval's ends; None where nothing supports them."""

    months: int
    date: date
    expected: float
    low: float | None
    high: float | None


def fan(
    price: float, start: date, moved: Floats, tested: Backtest | None, level: float, falling: bool, history: float
) -> tuple[Ahead, ...]:
    """The points of a forecast that a pool was tested on: around `moved` (log changes by month) the errors of the
    back-test, and around the price at the start its moves (see `calibration`).

    Between its horizons by linear interpolation, from none today; beyond the last one as the errors of a random walk
    grow whose drift was estimated from `history` months, sqrt(h (1 + h/n)). Without a test: no interval. That a running
    minimum stays where it is can only be ruled out by windows enough: two years in which it fell are two years.
    """
    import numpy as np

    ahead = np.arange(1, moved.size + 1)
    if tested is None:
        return _points(price, start, moved, np.full(moved.size, np.nan), np.full(moved.size, np.nan), falling)
    used = tested.used
    last = used[-1].months
    months = [0, *(one.months for one in used)]
    beyond = np.sqrt(ahead * (1 + ahead / history)) / sqrt(last * (1 + last / history))
    grows = np.where(ahead > last, beyond, 1.0)

    def end(name: str) -> Floats:
        return np.asarray(np.interp(ahead, months, [0.0, *(getattr(one, name) for one in used)]) * grows)

    bottom = np.minimum(moved + end("low"), end("least"))
    top = np.maximum(moved + end("high"), end("most"))
    if falling:
        sure = [one.windows >= ENOUGH_WINDOWS for one in used]
        place = np.minimum(np.searchsorted(months[1:], ahead), len(used) - 1)
        top = np.where(np.array(sure)[place], top, np.maximum(top, 0.0))
    return _points(price, start, moved, bottom, top, falling)


def fan_alone(
    price: float, start: date, centres: Sequence[Floats], deviation: Floats, level: float, falling: bool, changes: int
) -> tuple[Ahead, ...]:
    """The points of a series that stands alone: the first of `centres`, and around all of them Student's t with as many
    degrees of freedom as the price has moved `changes` times, less one. Fewer than two moves: no interval."""
    import numpy as np

    reach = students_t(level, changes) * deviation if changes > 1 else np.full(deviation.size, np.nan)
    return _points(price, start, centres[0], np.min(centres, axis=0) - reach, np.max(centres, axis=0) + reach, falling)


def _points(price: float, start: date, moved: Floats, bottom: Floats, top: Floats, falling: bool) -> tuple[Ahead, ...]:
    """The first of them is today. A running minimum cannot rise, nor can its interval."""
    import numpy as np

    if falling:
        moved = np.minimum.accumulate(moved)
        bottom = np.minimum.accumulate(bottom)
        top = np.minimum.accumulate(np.minimum(top, 0.0))
    points = [Ahead(months=0, date=start, expected=price, low=price, high=price)]
    rows = zip(moved.tolist(), bottom.tolist(), top.tolist(), strict=True)
    for h, (middle, lower, upper) in enumerate(rows, 1):
        ends = (price * _exp(lower), price * _exp(upper)) if lower == lower else (None, None)  # NaN: unknown
        day = after(start, h)
        points.append(Ahead(months=h, date=day, expected=price * _exp(middle), low=ends[0], high=ends[1]))
    return tuple(points)


def _exp(value: float) -> float:
    """exp, held within what a float and a reader can use."""
    return exp(min(max(value, -60.0), 60.0))
