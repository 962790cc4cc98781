"""The candidate forecasts of a price that moves in steps: each says how far its logarithm will move in h months.

All see only the months that are given to them (`past`), so the back-test and the forecast run the same code. A track's
own past is shrunk towards the others' by `own_weight`; a forecast for a use case that has no history of its own has
weight 0, and there no track sees its own cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from farthing.index.tracks import Floats, Labels

LEAST_MONTHS = 6  # of history before a track is forecast from its own past
RECENT_MONTHS = 12
DAMPING = 0.95  # a month: what is left of the rate, after Gardner & McKenzie's damped trend
BLOCK_MONTHS = 3
DRAWS = 200
SEED = 20260101
_LONG = 1e9


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of S tracks in the last month of a grid; all arrays are by track.

    `logs`: natural logs by month; `first`: the first month known; `months`: how long ago the first price was, in
    months; `rate`: mean change a month since; `variance`: of a month's change; `pool_rate`: the middle rate of the
    others; `own_weight`: see the module; `weights`: each cluster counts the same. `groups`: tracks that share their
    others, with those others.
    """

    logs: Floats
    first: Labels
    months: Floats
    rate: Floats
    variance: Floats
    pool_rate: Floats
    own_weight: Floats
    weights: Floats
    groups: tuple[tuple[Labels, Labels], ...]


def weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    """The least of `values` with a share of at least `level` of `weights` at or below it. NaN where there are none."""
    import numpy as np

    if values.size == 0:
        return float("nan")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    place = int(np.searchsorted(reached, level - 1e-12))
    return float(values[order][min(place, values.size - 1)])


def cluster_weights(clusters: Labels) -> Floats:
    """Weights that sum to 1, the same for each cluster, and within it for each member."""
    import numpy as np

    _, member, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    return 1.0 / (counts[member] * len(counts)) if clusters.size else np.empty(0)


def past(logs: Floats, began: Floats, starts: Floats, clusters: Labels, own: bool) -> Past:
    """The past of the tracks whose logs are given up to the present (the last column, which must be known); `began`
    and `starts` as a `Grid` has them.

    With `own` the others of a track are all tracks, its own weight is n / (n + k) after n months, and k, the months
    after which its own rate is as good as theirs, is sigma^2 / tau^2: the noise of a month over the variance of true
    rates between tracks (moments, after DerSimonian & Laird), held within 3 and 120. Without `own` its others are
    the other clusters (other tracks where there is one cluster) and its own weight is 0.
    """
    import numpy as np

    size, columns = logs.shape
    known = np.isfinite(logs)
    first = np.argmax(known, axis=1)
    months = columns - 1 - began
    span = np.maximum(months, 1.0)
    rate = (logs[:, -1] - starts) / span
    changes = np.diff(logs, axis=1)
    variance = np.nansum((changes - rate[:, None]) ** 2, axis=1) / span if columns > 1 else np.zeros(size)
    variance = np.where(months > 1, variance * span / np.maximum(span - 1, 1), variance)
    weights = cluster_weights(clusters)
    usable = months >= min(LEAST_MONTHS, months.max(initial=0.0))
    pool_rate, own_weight = np.zeros(size), np.ones(size)
    groups = _groups(clusters, own)
    for members, others in groups:
        others = others[usable[others]]
        if others.size == 0:
            continue
        share = weights[others]
        pool_rate[members] = weighted_quantile(rate[others], share, 0.5)
        mean = float(np.average(variance[others], weights=share))
        if own and others.size > 1:
            between = float(np.average((rate[others] - np.average(rate[others], weights=share)) ** 2, weights=share))
            between -= float(np.average(variance[others] / span[others], weights=share))
            k = float(np.clip(mean / between if between > 0 else _LONG, 3, 120))
            own_weight[members] = months[members] / (months[members] + k)
        elif not own:
            own_weight[members] = 0.0
    return Past(
        logs=logs, first=first, months=months, rate=rate, variance=variance, pool_rate=pool_rate,
        own_weight=own_weight, weights=weights, groups=groups,
    )  # fmt: skip


def _groups(clusters: Labels, own: bool) -> tuple[tuple[Labels, Labels], ...]:
    import numpy as np

    everyone = np.arange(clusters.size)
    if own or everyone.size < 2:
        return ((everyone, everyone),)
    kinds = np.unique(clusters)
    if kinds.size == 1:
        return tuple((everyone[i : i + 1], np.delete(everyone, i)) for i in everyone)
    return tuple((everyone[clusters == kind], everyone[clusters != kind]) for kind in kinds)


def scale(known: Past, horizons: Sequence[int]) -> Floats:
    """The deviation, tracks x horizons, of a random walk h months on whose drift was estimated from n months:
    sigma sqrt(h (1 + h/n)), with the track's own sigma a month."""
    import numpy as np

    h = np.asarray(horizons, dtype=float)
    n = np.maximum(known.months, 1.0)[:, None]
    return np.asarray(np.maximum(np.sqrt(known.variance[:, None] * h * (1 + h / n)), 1e-6))


def _no_change(known: Past, h: Floats) -> Floats:
    import numpy as np

    return np.zeros((known.rate.size, h.size))


def _drift(known: Past, h: Floats) -> Floats:
    return known.rate[:, None] * h


def _recent(known: Past, h: Floats) -> Floats:
    import numpy as np

    last = known.logs.shape[1] - 1
    back = np.minimum(last - known.first, RECENT_MONTHS)
    then = known.logs[np.arange(known.rate.size), last - back]
    return np.asarray(((known.logs[:, -1] - then) / np.maximum(back, 1))[:, None] * h)


def _trend(known: Past, h: Floats) -> Floats:
    """The least-squares slope of the log price on time, from the last price on."""
    import numpy as np

    where = np.isfinite(known.logs)
    time = np.arange(known.logs.shape[1], dtype=float)
    count = where.sum(axis=1)
    centred = np.where(where, time - (where * time).sum(axis=1, keepdims=True) / count[:, None], 0.0)
    below = (centred**2).sum(axis=1)
    slope = (centred * np.nan_to_num(known.logs)).sum(axis=1) / np.where(below > 0, below, 1.0)
    return np.asarray(slope[:, None] * h)


def _shrunk_rate(known: Past) -> Floats:
    return known.own_weight * known.rate + (1 - known.own_weight) * known.pool_rate


def _shrunk(known: Past, h: Floats) -> Floats:
    return _shrunk_rate(known)[:, None] * h


def _damped(known: Past, h: Floats) -> Floats:
    import numpy as np

    return np.asarray(_shrunk_rate(known)[:, None] * (DAMPING * (1 - DAMPING**h) / (1 - DAMPING)))


def _jumps(known: Past, h: Floats) -> Floats:
    """The median of a block bootstrap of monthly changes: jumps and pauses stay what they were (fixed seed)."""
    import numpy as np

    random = np.random.default_rng(SEED)
    size = known.rate.size
    moves = known.logs[:, BLOCK_MONTHS:] - known.logs[:, :-BLOCK_MONTHS]
    blocks = -(-int(h.max()) // BLOCK_MONTHS)
    found = np.zeros((size, h.size))
    for members, others in known.groups:
        row, place = np.nonzero(np.isfinite(moves[others]))
        if row.size == 0:
            continue
        pool = moves[others][row, place]
        chance = known.weights[others][row] / np.bincount(row, minlength=others.size)[row]
        reached = np.cumsum(chance / chance.sum())
        shape = (members.size, DRAWS, blocks)
        drawn = pool[np.minimum(np.searchsorted(reached, random.random(shape)), pool.size - 1)]
        starts = np.maximum(known.logs.shape[1] - known.first[members] - BLOCK_MONTHS, 0)
        mine = known.first[members][:, None, None] + np.floor(random.random(shape) * starts[:, None, None]).astype(int)
        own = moves[members[:, None, None], np.minimum(mine, moves.shape[1] - 1)]
        from_own = (random.random(shape) < known.own_weight[members][:, None, None]) & np.isfinite(own)
        sums = np.cumsum(np.where(from_own, own, drawn), axis=2)
        path = np.concatenate([np.zeros((members.size, 1)), np.median(sums, axis=1)], axis=1)
        ticks = np.arange(blocks + 1) * BLOCK_MONTHS
        found[members] = [np.interp(h, ticks, one) for one in path]
    return found


class Model(msgspec.Struct, frozen=True):
    """A candidate: `words` says what it holds; `needs_own`: it is of a track's own past alone."""

    words: str
    moves: Callable[[Past, Floats], Floats]
    needs_own: bool = False


# From the most cautious to the boldest: of models that err alike the earlier is taken.
MODELS: Mapping[str, Model] = {
    "no change": Model("the price stays as it is", _no_change),
    "damped drift": Model("its mean rate, shrunk towards that of the other series, and fading by 5 % a month", _damped),
    "shrunk drift": Model("its mean rate, shrunk towards that of the other series", _shrunk),
    "drift": Model("it moves on at its mean rate since its first price", _drift, True),
    "jumps": Model("the median of resampled three-month moves, jumps and pauses as they came", _jumps),
    "log-linear trend": Model("the least-squares slope of its log price, from the last price on", _trend, True),
    "recent drift": Model("it moves on at its rate of the last 12 months", _recent, True),
}


def candidates(own: bool) -> list[str]:
    """The models that can be tried: without `own`, those that need no history of the use case itself."""
    return [name for name, model in MODELS.items() if own or not model.needs_own]


def moves(name: str, known: Past, horizons: Sequence[int], falling: Labels) -> Floats:
    """How far model `name` says that log prices will move, tracks x horizons (months).

    A track that is a running minimum (`falling`) is never said to rise: its definition forbids it.
    """
    import numpy as np

    said = MODELS[name].moves(known, np.asarray(horizons, dtype=float))
    return np.where(falling[:, None], np.minimum(said, 0.0), said)
