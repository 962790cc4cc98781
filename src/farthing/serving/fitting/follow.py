"""The knots of a calibration: the errors that its smooth factors leave at points, as far as they are no noise."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from farthing.serving.calibration import layout_text
from farthing.serving.calibration_knots import Knot, followed
from farthing.serving.fitting.points import Taken
from farthing.serving.fitting.table import Floats

FEWEST = 4
REPEATS = 0.05
"""sd in logarithms of one run repeated on the same machine (assumed; over machines and versions it is more)."""
LEFT = 0.15
"""Least sd in logarithms of what formulas leave from load to load (assumed): a measured load is then believed to some
2 % of itself, whatever its neighbours say."""


def loads(points: Sequence[Taken]) -> list[Knot]:
    """The loads of `points`, without weights."""
    return [
        Knot(
            layout=layout_text(point.row.deployment), input=point.row.input, output=point.row.output,
            concurrency=max(point.row.concurrency / point.row.deployment.replicas, 1.0),
        )
        for point in points
    ]  # fmt: skip


def knots(at: Sequence[Knot], tpot: Floats, ttft: Floats) -> tuple[Knot, ...]:
    """Knots at the loads `at` for log errors (measured / said); NaN: not measured. None of fewer than `FEWEST`."""
    if len(at) < FEWEST:
        return ()
    like = np.array([[one.near(o.layout, o.concurrency, o.input, o.output) for o in at] for one in at])
    both = zip(at, _weights(like, tpot), _weights(like, ttft), strict=True)
    return tuple(msgspec.structs.replace(one, tpot=_factor(a), ttft=_factor(b)) for one, a, b in both)


def factors(knots: Sequence[Knot], at: Sequence[Knot]) -> tuple[Floats, Floats]:
    """What `knots` bring to TPOT and TTFT at the loads `at`."""
    found = [followed(knots, one.layout, one.concurrency, one.input, one.output) for one in at]
    return np.array([tpot for tpot, _ in found]), np.array([ttft for _, ttft in found])


def _factor(log: float) -> float:
    return float(f"{math.exp(log):.8g}")


def _weights(like: Floats, errors: Floats) -> Floats:
    """variance × (K + noise)^-1 errors: the variance is the errors', at least that of `LEFT`; the noise of repeats."""
    weights = np.zeros(len(errors))
    seen = np.flatnonzero(np.isfinite(errors))
    if len(seen) < FEWEST:
        return weights
    variance = max(float((errors[seen] ** 2).mean()), LEFT**2)
    covariance = variance * like[np.ix_(seen, seen)] + REPEATS**2 * np.eye(len(seen))
    weights[seen] = variance * np.linalg.solve(covariance, errors[seen])
    return weights
