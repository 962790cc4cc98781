"""Straight lines: ordinary least squares, and the resampling of models that gives its slope an interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

SEED = 20_250_312
"""Every resampling starts here, so that the same points give the same interval."""


class Slope(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted line y = intercept + slope x, with the slope's standard error and the share of variance explained."""

    intercept: float
    slope: float
    error: float
    r2: float


def line(x: "Floats", y: "Floats") -> Slope:
    """Ordinary least squares of `y` on `x`; at least three points, not all at one `x`."""
    import numpy as np

    away = x - x.mean()
    spread = float(away @ away)
    slope = float(away @ y) / spread
    rest = y - y.mean() - slope * away
    total = float(((y - y.mean()) ** 2).sum())
    left = float(rest @ rest)
    return Slope(
        intercept=float(y.mean() - slope * x.mean()),
        slope=slope,
        error=float(np.sqrt(left / (len(x) - 2) / spread)),
        r2=1 - left / total if total else 1.0,
    )


def t_quantile(level: float, freedom: int) -> float:
    """How many standard errors each side of an estimate holds `level` of a Student's t of `freedom` degrees."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def running_lows(prices: "Floats") -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Along the last axis, which prices are strictly below all before them (the first is)."""
    import numpy as np

    lows = np.minimum.accumulate(prices, axis=-1)
    new = np.ones(prices.shape, dtype=bool)
    new[..., 1:] = prices[..., 1:] < lows[..., :-1]
    return new


def resampled_slopes(
    x: "Floats", y: "Floats", units: Sequence[str], own: Slope, least: int, resamples: int
) -> "Floats":
    """Slopes of the running minimum of `y` over `x` (in order of x, cheapest first) if the market had been another one.

    Two sources of chance are drawn for each: which `units` there were (models: a draw with replacement leaves some out,
    with all their points, and the running minimum and its line are found again), and the line's own sampling error (its
    standard error times a Student's t). Draws with fewer than `least` lows, or whose lows span less than half of the
    time, say as little of a rate as such points would, and are left out.
    """
    import numpy as np

    random = np.random.default_rng(SEED)
    lows = running_lows(y)
    long_enough = (x[lows][-1] - x[lows][0]) / 2
    names = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    unit = np.array([names[one] for one in units])
    kept = _own_lows(y, unit)  # what its own model already undercut is a low in no draw
    x, y, unit = x[kept], y[kept], unit[kept]
    drawn = random.integers(0, len(names), (resamples, len(names)))
    there = np.zeros((resamples, len(names)), dtype=bool)
    there[np.arange(resamples)[:, None], drawn] = True
    prices = np.where(there[:, unit], y, np.inf)
    new = running_lows(prices) & np.isfinite(prices)
    weight = new.astype(float)
    count = np.maximum(weight.sum(axis=1), 1.0)
    away = (x - ((weight @ x) / count)[:, None]) * weight
    spread = away @ x
    first = np.where(new, x, np.inf).min(axis=1)
    last = np.where(new, x, -np.inf).max(axis=1)
    usable = (count >= least) & (last - first >= long_enough) & (spread > 1e-12)
    slopes = (away @ y)[usable] / spread[usable]
    result: Floats = slopes + own.error * random.standard_t(int(lows.sum()) - 2, len(slopes))
    return result


def _own_lows(y: "Floats", unit: "np.ndarray[tuple[int, ...], np.dtype[np.int_]]") -> list[int]:
    """The points (in order) that are strictly below all earlier ones of their own unit."""
    lowest: dict[int, float] = {}
    kept = []
    for at, (price, of) in enumerate(zip(y.tolist(), unit.tolist(), strict=True)):
        if price < lowest.get(of, float("inf")):
            lowest[of] = price
            kept.append(at)
    return kept
