"""Which candidate, and how wide: the back-test's errors turned into a choice and an interval that held.

With three clusters or series or more, the interval at a horizon holds the quantiles of the errors there, around what
is expected, and those of the moves themselves, whatever was expected: a bias of a few windows is no law. It is
stretched until outcomes are held of which nothing was known: of the cluster left out, and of the third of the time
left out (clusters fall together, so the second is the harder test); for each fold the model was chosen and the
interval made on the others alone (nested). Errors are not scaled by each series' own volatility: prices fall by
steps, and the calm before a step is no promise.

A series that stands alone has too few windows side by side for any of that: its interval is Student's t, the choice is
between its mean rate and no change, and the rolling errors, none of which knew its future, say how much to stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from farthing.index import forecast_models as models
from farthing.index.backtest import HORIZONS, LEAST_FOLDS, Errors, errors
from farthing.index.regression import t_quantile

if TYPE_CHECKING:
    from farthing.index.tracks import Floats, Grid, Labels

BETTER = 0.95  # a model must err at least 5 % less than "no change" to be used instead of it
FAR_BETTER = 1.5  # and a lone series' mean rate half as much again as "no change", to be given up for it
ALIKE = 0.02  # of the error of "no change": models that err no more than this beyond the best are as good
FAR_MONTHS = 6
WIDEST = 3.0
ALONE = "period"
_NOTHING = 1e-9
_THIRDS = 3


class HorizonScore(msgspec.Struct, frozen=True, kw_only=True):
    """How the chosen model did `months` ahead. Factors: 1.5 is a price half as high again (or as low) as said.

    `windows`: how many of them fit side by side into the time that the origins span: the rest overlap. `used`: whether
    the choice of the model and the interval rest on it: more than one window is needed for that.
    `factor_error`: median; `factor_error_no_change` likewise of "no change"; `bias`: median actual over expected
    (below 1: prices fell faster than said). `coverage`: share of outcomes within the interval as it was before it was
    stretched, where their cluster (or series) was left out; `coverage_other_times`: where their third of the time was
    (None: of a series alone). `stretched`: how many times wider it then became, so that it `covered` that much of both.
    `low`, `high`: its ends around what is expected, in natural logs; of a series alone in standard deviations of its
    walk (`forecast_models.scale`). `least`, `most`: its ends around the price at the start, if those lie further out.
    """

    months: int
    origins: int
    windows: int
    used: bool
    forecasts: int
    tracks: int
    clusters: int
    factor_error: float
    factor_error_no_change: float
    bias: float
    coverage: float
    coverage_other_times: float | None
    stretched: float
    covered: float
    low: float
    high: float
    least: float
    most: float


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """What the past says of the candidates. `relative`: the error of each by that of "no change" (see `choose`).
    `folds`: what was left out in turn beside times: "cluster" (a benchmark, a provider), "series", or ALONE."""

    model: str
    level: float
    horizons: tuple[HorizonScore, ...]
    relative: dict[str, float]
    folds: str

    @property
    def used(self) -> list[HorizonScore]:
        """The horizons that the choice and the interval rest on."""
        return [one for one in self.horizons if one.used]

    @property
    def covered(self) -> float:
        """The least share of outcomes, over horizons, that the stretched interval held of what was left out."""
        return min(one.covered for one in self.used)


def backtest(past: Grid, level: float, own: bool, horizons: Sequence[int] = HORIZONS) -> Backtest | None:
    """Try every candidate on `past` and choose; None where no horizon has errors enough to judge by.

    `level`: of the interval; `own`: whether a track's own past may be used (see `forecast_models`).
    """
    found = [one for one in errors(past, own, horizons) if one.enough]
    tried = [one for one in found if one.telling]
    if not tried:
        return None
    folds, what = _folds(found)
    if what == ALONE:
        chosen, relative = _choose_alone(tried)
        scores = _alone(found, chosen, level, past.tracks[0].changes)
    else:
        chosen, relative = choose(tried, own)
        left_out = _left_out(found, folds, level, own)
        other_times = _left_out(found, [_times(one) for one in found], level, own)
        scores = [
            _pooled(one, chosen, level, *excess) for one, *excess in zip(found, left_out, other_times, strict=True)
        ]
    return Backtest(model=chosen, level=level, horizons=tuple(scores), relative=relative, folds=what)


def students_t(level: float, changes: int) -> float:
    """How many deviations an interval at `level` reaches to each side, of a rate known from `changes` (>= 2) moves."""
    return t_quantile(level, max(changes - 1, 1))


def _folds(tried: Sequence[Errors]) -> tuple[list[Labels], str]:
    """What is left out in turn: clusters, or tracks where there are at least three of them."""
    import numpy as np

    if len(np.unique(np.concatenate([found.cluster for found in tried]))) >= LEAST_FOLDS:
        return [found.cluster for found in tried], "cluster"
    tracks = [found.track for found in tried]
    return tracks, "series" if len(np.unique(np.concatenate(tracks))) >= LEAST_FOLDS else ALONE


def choose(tried: Sequence[Errors], own: bool, keep: Sequence[Labels] | None = None) -> tuple[str, dict[str, float]]:
    """The candidate that errs least, and each one's error by that of "no change".

    The error is the mean absolute log error, clusters equally, summed over the horizons of half a year and more (all,
    where there is none): within a quarter most prices stay, and the model that says so would win questions of years.
    "no change" is used unless another errs at least 5 % less. `keep`: which errors of each horizon count.
    """
    import numpy as np

    erred = dict.fromkeys(models.candidates(own), 0.0)
    far = any(found.horizon >= FAR_MONTHS and found.telling for found in tried)
    for place, found in enumerate(tried):
        if not found.telling or (far and found.horizon < FAR_MONTHS):
            continue
        use = np.ones(found.scales.size, dtype=bool) if keep is None else keep[place]
        if use.any():
            weights = models.cluster_weights(found.cluster[use])
            for name in erred:
                erred[name] += float(np.average(np.abs(found.errors[name][use]), weights=weights))
    still = erred["no change"]
    if still < _NOTHING:  # nothing ever moved
        return "no change", {name: 1.0 if error < _NOTHING else float("inf") for name, error in erred.items()}
    relative = {name: error / still for name, error in erred.items()}
    least = min(relative.values())
    best = next(name for name, error in relative.items() if error <= least + ALIKE)  # the most cautious of equals
    return (best if relative[best] <= BETTER else "no change"), relative


def _choose_alone(tried: Sequence[Errors]) -> tuple[str, dict[str, float]]:
    """Of a lone series: its mean rate, unless that erred half as much again as "no change"."""
    _, relative = choose(tried, own=True)
    both = {name: relative[name] for name in ("no change", "drift")}
    return ("no change" if both["drift"] >= FAR_BETTER else "drift"), both


class _Ends(NamedTuple):
    """An interval in natural logs: around what is expected, and around no change; `size`: of the mean error."""

    low: float
    high: float
    least: float
    most: float
    size: float

    def stretched(self, more: float) -> _Ends:
        by = more * self.size
        return _Ends(self.low - by, self.high + by, self.least - by, self.most + by, self.size)

    def excess(self, moved: Floats, error: Floats) -> Floats:
        """How far outside it outcomes lie, in mean errors (below 0: inside): log moves, and what they missed by."""
        import numpy as np

        said = moved - error
        bottom = np.minimum(said + self.low, self.least)
        top = np.maximum(said + self.high, self.most)
        return np.asarray(np.maximum(bottom - moved, moved - top) / self.size)


def _ends(found: Errors, model: str, level: float, keep: Labels) -> _Ends:
    """The quantiles of the log errors, around 0 at least, and of the moves; clusters equally."""
    import numpy as np

    error, moved = found.errors[model][keep], found.errors["no change"][keep]
    weights = models.cluster_weights(found.cluster[keep])

    def ends(values: Floats) -> tuple[float, float]:
        tail = (1 - level) / 2
        return models.weighted_quantile(values, weights, tail), -models.weighted_quantile(-values, weights, tail)

    low, high = ends(error)
    size = max(float(np.average(np.abs(error), weights=weights)), _NOTHING)
    return _Ends(min(low, 0.0), max(high, 0.0), *ends(moved), size)


def _times(found: Errors) -> Labels:
    """The third of the time that each origin lies in."""
    import numpy as np

    first, last = found.origin.min(), found.origin.max()
    return np.asarray(np.minimum((found.origin - first) * _THIRDS // (last - first + 1), _THIRDS - 1))


def _left_out(tried: Sequence[Errors], folds: Sequence[Labels], level: float, own: bool) -> list[Floats]:
    """How far outside the interval each outcome lies (below 0: inside), in mean errors, had its fold been left out of
    everything. Infinite where the other folds have no such horizon."""
    import numpy as np

    excess: list[Floats] = [np.full(found.scales.size, np.inf) for found in tried]
    for fold in sorted({one for labels in folds for one in labels.tolist()}):
        others = [labels != fold for labels in folds]
        model, _ = choose(tried, own, others)
        for place, found in enumerate(tried):
            held = ~others[place]
            if held.any() and others[place].any():
                ends = _ends(found, model, level, others[place])
                excess[place][held] = ends.excess(found.errors["no change"][held], found.errors[model][held])
    return excess


def _pooled(found: Errors, model: str, level: float, left_out: Floats, other_times: Floats) -> HorizonScore:
    """The score of a horizon, its interval stretched until both what was left out and other times are held."""
    import numpy as np

    weights = models.cluster_weights(found.cluster)
    ends = _ends(found, model, level, np.ones(found.scales.size, dtype=bool))
    both = (left_out, other_times)
    more = min(max(0.0, *(models.weighted_quantile(one, weights, level) for one in both)), WIDEST)
    wide = ends.stretched(more)
    return _score(
        found, model, wide, coverage=_held(left_out, weights, 0.0), other_times=_held(other_times, weights, 0.0),
        stretched=(wide.high - wide.low) / (ends.high - ends.low) if ends.high > ends.low else 1.0,
        covered=min(_held(one, weights, more) for one in both),
    )  # fmt: skip


def _alone(tried: Sequence[Errors], model: str, level: float, changes: int) -> list[HorizonScore]:
    """The scores of a lone series: Student's t, stretched alike at all horizons until the rolling outcomes are held."""
    import numpy as np

    reach = students_t(level, changes)
    excess = [np.abs(found.errors[model]) / found.scales / reach - 1 for found in tried]
    told = [one for one, found in zip(excess, tried, strict=True) if found.telling]
    sizes = np.concatenate([np.full(one.size, 1 / one.size) for one in told])
    more = min(max(0.0, models.weighted_quantile(np.concatenate(told), sizes, level)), WIDEST)
    end = reach * (1 + more)
    ends = _Ends(-end, end, 0.0, 0.0, 0.0)
    return [
        _score(
            found, model, ends, coverage=_held(one, np.ones(one.size), 0.0), other_times=None,
            stretched=1 + more, covered=_held(one, np.ones(one.size), more),
        )
        for found, one in zip(tried, excess, strict=True)
    ]  # fmt: skip


def _held(excess: Floats, weights: Floats, more: float) -> float:
    import numpy as np

    return float(np.average(excess <= more + 1e-9, weights=weights))


def _score(
    found: Errors,
    model: str,
    ends: _Ends,
    *,
    coverage: float,
    other_times: float | None,
    stretched: float,
    covered: float,
) -> HorizonScore:
    import numpy as np

    weights = models.cluster_weights(found.cluster)

    def middle(values: Floats) -> float:
        return exp(models.weighted_quantile(values, weights, 0.5))

    return HorizonScore(
        months=found.horizon,
        origins=int(np.unique(found.origin).size),
        windows=found.windows,
        used=found.telling,
        forecasts=int(found.scales.size),
        tracks=int(np.unique(found.track).size),
        clusters=int(np.unique(found.cluster).size),
        factor_error=middle(np.abs(found.errors[model])),
        factor_error_no_change=middle(np.abs(found.errors["no change"])),
        bias=middle(found.errors[model]),
        coverage=coverage,
        coverage_other_times=other_times,
        stretched=stretched,
        covered=covered,
        low=ends.low,
        high=ends.high,
        least=ends.least,
        most=ends.most,
    )
