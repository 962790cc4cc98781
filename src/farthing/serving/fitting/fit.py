"""The fit: coefficients that make the formulas' TPOT, then TTFT, agree with measured rows.

Least squares on logarithms, robust (pseudo-Huber), with each coefficient held near its prior: rows of one
group (engine, device, model, format) share errors that no coefficient explains, so many rows of few groups
say less than their number. A group counts by the square root of its size, and the prior for `STRENGTH` rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from farthing.serving.coefficients import Fit
from farthing.serving.fitting.rows import Row
from farthing.serving.fitting.table import Floats, Table, predict
from farthing.serving.physics import Terms

STRENGTH = 10.0
_TPOT_SPREAD, _TTFT_SPREAD = 0.08, 0.15  # beyond this error (in logarithms) a row counts linearly
FIRST = (
    "front", "front_s", "eager_layer_s", "eager_moe_layer_s", "eager_latent_layer_s", "front_power", "own_prompt",
    "first_step", "queue", "capacity_wait",
)  # fmt: skip
"""Coefficients of the first token alone: fitted to TTFT with the others held."""


def group_weights(rows: Sequence[Row]) -> Floats:
    """The weight of each row: a group counts by the square root of its size; the mean is 1."""
    sizes = Counter(row.group for row in rows)
    weights: Floats = np.array([sizes[row.group] ** -0.5 for row in rows])
    return np.asarray(weights / weights.mean())


def fit_values(
    table: Table, weights: Floats, fit: Fit, start: dict[str, float] | None = None, strength: float = STRENGTH,
    change: Callable[[Terms], Terms] | None = None,
) -> dict[str, float]:  # fmt: skip
    """The coefficients' values fitted to `table`, starting from `start` (else the priors). `change`: see `predict`."""
    values = dict(start or {name: one.prior for name, one in fit.coefficients.items()})
    first = [name for name in fit.coefficients if name.split("@")[0] in FIRST]
    steps = [name for name in fit.coefficients if name not in first]
    values = _solve(
        table,
        weights,
        fit,
        values,
        steps,
        lambda v: predict(table, fit, v, change)[0],
        table.tpot_s,
        _TPOT_SPREAD,
        strength,
    )
    return _solve(
        table,
        weights,
        fit,
        values,
        first,
        lambda v: predict(table, fit, v, change)[1],
        table.ttft_s,
        _TTFT_SPREAD,
        strength,
    )


def _solve(
    table: Table, weights: Floats, fit: Fit, values: dict[str, float], names: list[str],
    model: Callable[[dict[str, float]], Floats], measured: Floats, spread: float, strength: float,
) -> dict[str, float]:  # fmt: skip
    from scipy.optimize import least_squares

    chosen = [fit.coefficients[name] for name in names]
    linear = np.array([one.linear for one in chosen])
    prior = np.array([one.prior if one.linear else np.log(one.prior) for one in chosen])
    sd = np.array([one.sd for one in chosen])
    start = np.array([values[one.name] if one.linear else np.log(values[one.name]) for one in chosen])
    root = np.sqrt(weights)
    target = np.log(measured)

    def named(x: Floats) -> dict[str, float]:
        natural = np.where(linear, x, np.exp(np.where(linear, 0.0, x)))
        return {**values, **dict(zip(names, natural.tolist(), strict=True))}

    def residuals(x: Floats) -> Floats:
        error = np.log(model(named(x))) - target
        robust = np.sign(error) * spread * np.sqrt(2 * (np.sqrt(1 + (error / spread) ** 2) - 1))
        return np.concatenate([root * robust, strength * spread * 1.25 * (x - prior) / sd])

    return named(least_squares(residuals, start, max_nfev=60).x)
