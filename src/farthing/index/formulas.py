"""Price index formulas: pure functions of matched prices and quantities.

`p0`, `p1` are the prices of the same items at two dates, `q0`, `q1` their quantities. Prices are above zero; quantities
may be zero, but not all of them. A result of 1.1 says that prices rose by a tenth. `w` says how often each item counts
(once where it is left out); of shape (replicates, items) it gives one result a replicate, as a bootstrap needs, and NaN
for a replicate without anything to compare.

Formulas and names as in the Consumer Price Index Manual: Theory (ILO, IMF, OECD and others, 2004 and 2020), and in
B. M. Balk, Price and Quantity Index Numbers (2008), chapter 3. All raise `ValueError` for lengths that differ, no
items, a price that is not above zero, and quantities of nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = Sequence[float] | NDArray[np.float64]

ELEMENTARY = ("jevons", "carli", "dutot")
"""Formulas of prices alone."""
WEIGHTED = ("laspeyres", "paasche", "fisher", "tornqvist", "walsh")
"""Formulas that need quantities."""
REVERSIBLE = ("jevons", "fisher", "tornqvist", "walsh")
"""Those of which the index from 1 to 0 is one over that from 0 to 1, as GEKS needs."""


def jevons(p0: "Numbers", p1: "Numbers", w: Any = None) -> Any:
    """exp(mean ln p1/p0): the geometric mean of the price relatives."""
    import numpy as np

    before, now, weight = _prices(p0, p1, w)
    return _result(np.exp(_ratio(weight @ np.log(now / before), weight.sum(axis=-1))))


def carli(p0: "Numbers", p1: "Numbers", w: Any = None) -> Any:
    """mean p1/p0: the arithmetic mean of the price relatives. Biased upwards: it fails time reversal."""
    before, now, weight = _prices(p0, p1, w)
    return _result(_ratio(weight @ (now / before), weight.sum(axis=-1)))


def dutot(p0: "Numbers", p1: "Numbers", w: Any = None) -> Any:
    """Σ p1 / Σ p0: the ratio of mean prices. Dear items dominate, and so does the choice of units."""
    before, now, weight = _prices(p0, p1, w)
    return _result(_ratio(weight @ now, weight @ before))


def laspeyres(p0: "Numbers", p1: "Numbers", q0: "Numbers", w: Any = None) -> Any:
    """Σ p1 q0 / Σ p0 q0: what the first date's basket costs at the second."""
    before, now, weight = _prices(p0, p1, w)
    basket = _quantities(q0, before, "q0")
    return _result(_ratio(weight @ (now * basket), weight @ (before * basket)))


def paasche(p0: "Numbers", p1: "Numbers", q1: "Numbers", w: Any = None) -> Any:
    """Σ p1 q1 / Σ p0 q1: what the second date's basket had cost at the first."""
    before, now, weight = _prices(p0, p1, w)
    basket = _quantities(q1, before, "q1")
    return _result(_ratio(weight @ (now * basket), weight @ (before * basket)))


def fisher(p0: "Numbers", p1: "Numbers", q0: "Numbers", q1: "Numbers", w: Any = None) -> Any:
    """√(Laspeyres x Paasche)."""
    import numpy as np

    return _result(np.sqrt(np.asarray(laspeyres(p0, p1, q0, w)) * np.asarray(paasche(p0, p1, q1, w))))


def tornqvist(p0: "Numbers", p1: "Numbers", q0: "Numbers", q1: "Numbers", w: Any = None) -> Any:
    """exp Σ ½(s0 + s1) ln(p1/p0), where s is an item's share of what was spent at a date."""
    import numpy as np

    before, now, weight = _prices(p0, p1, w)
    spent0, spent1 = before * _quantities(q0, before, "q0"), now * _quantities(q1, before, "q1")
    relatives = np.log(now / before)
    first = _ratio(weight @ (spent0 * relatives), weight @ spent0)
    second = _ratio(weight @ (spent1 * relatives), weight @ spent1)
    return _result(np.exp((first + second) / 2))


def walsh(p0: "Numbers", p1: "Numbers", q0: "Numbers", q1: "Numbers", w: Any = None) -> Any:
    """Σ p1 √(q0 q1) / Σ p0 √(q0 q1)."""
    import numpy as np

    before, now, weight = _prices(p0, p1, w)
    basket = np.sqrt(_quantities(q0, before, "q0") * _quantities(q1, before, "q1"))
    return _result(_ratio(weight @ (now * basket), weight @ (before * basket)))


def index(method: str, p0: "Numbers", p1: "Numbers", q0: Any = None, q1: Any = None, w: Any = None) -> Any:
    """The index by the formula called `method` (one of `ELEMENTARY` or `WEIGHTED`)."""
    if method in ELEMENTARY:
        return {"jevons": jevons, "carli": carli, "dutot": dutot}[method](p0, p1, w)
    if method not in WEIGHTED:
        raise ValueError(f"{method!r} is none of {', '.join((*ELEMENTARY, *WEIGHTED))}")
    if q0 is None or q1 is None:
        raise ValueError(f"{method} needs quantities at both dates")
    if method == "laspeyres":
        return laspeyres(p0, p1, q0, w)
    if method == "paasche":
        return paasche(p0, p1, q1, w)
    return {"fisher": fisher, "tornqvist": tornqvist, "walsh": walsh}[method](p0, p1, q0, q1, w)


# --- many dates ----------------------------------------------------------------------------------


def chained(links: "Numbers") -> list[float]:
    """Levels from the indices between neighbouring dates: 1, then the product of the links so far."""
    levels = [1.0]
    for link in links:
        levels.append(levels[-1] * float(link))
    return levels


def geks(pairs: Any) -> Any:
    """Levels of which the ratios come nearest to all of `pairs`, in least squares of logarithms; the first known is 1.

    pairs[..., s, t] is the index from date s to date t by a reversible formula; NaN where the two dates have nothing in
    common. Where every pair is known that is GEKS, Π_k [P(0,k) P(k,t)]^(1/T) (Gini 1931, Eltetö, Köves and Szulc 1964),
    which is circular: no chain drifts. A date that nothing links to the first one is NaN.
    """
    import numpy as np

    logs = np.log(np.asarray(pairs, dtype=float))
    if logs.ndim < 2 or logs.shape[-1] != logs.shape[-2] or not logs.shape[-1]:
        raise ValueError(f"pairs are of shape {logs.shape}, not dates x dates")
    if np.isfinite(logs).all():
        return np.exp((logs[..., 0, :, None] + logs).mean(axis=-2))
    levels = [_least_squares(one) for one in logs.reshape(-1, *logs.shape[-2:])]
    return np.stack(levels).reshape(logs.shape[:-1])


def rolling_geks(pairs: Any, window: int) -> Any:
    """GEKS over the first `window` dates, then over each window that is one date further on, spliced by movement:
    a new date's level is the last one's times what the new window says happened since. Published levels stand.

    `pairs` is dates x dates. Raises `ValueError` for a window under 2 dates.
    """
    import numpy as np

    table = np.asarray(pairs, dtype=float)
    if window < 2:
        raise ValueError(f"a window of {window} dates has no change in it; 2 at least")
    levels = list(geks(table[:window, :window]))
    for last in range(window, len(table)):
        first = last - window + 1
        newest = geks(table[first : last + 1, first : last + 1])
        levels.append(levels[-1] * newest[-1] / newest[-2])
    return np.array(levels)


def _least_squares(logs: Any) -> Any:
    """Levels of one table of logarithms with gaps: the normal equations of Σ (x_t - x_s - ln P_st)², first x = 0."""
    import numpy as np

    known = np.isfinite(logs)
    either = known | known.T
    np.fill_diagonal(either, False)
    levels = np.full(len(logs), np.nan)
    linked = either.any(axis=0)
    linked[np.flatnonzero(linked)[1:]] = False  # the first date that has a link, then all that it leads to
    for _ in range(len(logs)):
        linked |= either[linked].any(axis=0)
    places = np.flatnonzero(linked)
    if len(places) > 1:
        levels[places[0]] = 1.0
        part, there = np.nan_to_num(logs[np.ix_(places, places)], nan=0.0), known[np.ix_(places, places)].astype(float)
        np.fill_diagonal(there, 0.0)
        np.fill_diagonal(part, 0.0)
        both = there + there.T
        matrix = np.diag(both.sum(axis=1)) - both
        change = part.sum(axis=0) - part.sum(axis=1)
        levels[places[1:]] = np.exp(np.linalg.solve(matrix[1:, 1:], change[1:]))
    return levels


# --- arrays --------------------------------------------------------------------------------------


def _prices(p0: "Numbers", p1: "Numbers", w: Any) -> "tuple[Any, Any, Any]":
    import numpy as np

    before, now = np.asarray(p0, dtype=float), np.asarray(p1, dtype=float)
    weight = np.ones(before.shape) if w is None else np.asarray(w, dtype=float)
    if before.ndim != 1 or before.shape != now.shape or weight.shape[-1:] != before.shape:
        raise ValueError(f"prices of {before.size} and {now.size} items do not match")
    if not before.size:
        raise ValueError("no items: an index of nothing has no value")
    for name, prices in (("p0", before), ("p1", now)):
        if not (np.isfinite(prices) & (prices > 0)).all():
            raise ValueError(f"{name} has a price that is not above zero")
    return before, now, weight


def _quantities(q: Any, like: Any, name: str) -> Any:
    import numpy as np

    found = np.asarray(q, dtype=float)
    if found.shape != like.shape:
        raise ValueError(f"{name} has {found.size} quantities for {like.size} items")
    if not (np.isfinite(found) & (found >= 0)).all() or not found.any():
        raise ValueError(f"{name} is no basket: quantities are at least zero, and not all zero")
    return found


def _ratio(above: Any, below: Any) -> Any:
    """`above` / `below`; NaN for a replicate in which nothing is compared."""
    import numpy as np

    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def _result(value: Any) -> Any:
    return float(value) if value.ndim == 0 else value
