"""Price bands: where models' prices lie, on a logarithmic scale, in fixed steps or between natural gaps."""

import math
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

STEPS = (1, 3)
"""Edges within each power of ten: 1, 3, 10, 30, …, nearly even steps of a logarithmic scale."""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """One band of prices: low <= price < high, in dollars per million tokens; `items` are positions in the input.

    Natural bands are closed: their ends are prices that occur.
    """

    low: float
    high: float
    items: tuple[int, ...]


def fixed(prices: Sequence[float]) -> tuple[Band, ...]:
    """Bands with edges at 1 and 3 times powers of ten, from the cheapest price's to the dearest's; some may be empty.

    Raises `ValueError` for a price that is not above zero: it has no place on a logarithmic scale.
    """
    _positive(prices)
    if not prices:
        return ()
    edges = _edges(min(prices), max(prices))
    held: list[list[int]] = [[] for _ in edges[1:]]
    for position, price in enumerate(prices):
        held[bisect_right(edges, price) - 1].append(position)
    return tuple(
        Band(low=low, high=high, items=tuple(items))
        for low, high, items in zip(edges, edges[1:], held, strict=False)
    )  # fmt: skip


def _edges(low: float, high: float) -> list[float]:
    # One power to spare at each end: a logarithm rounds, and 9999.999999999998 has the one of 10000.
    first, last = math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 1
    edges = [float(f"{step}e{power}") for power in range(first, last + 1) for step in STEPS]
    start = bisect_right(edges, low) - 1
    end = bisect_right(edges, high)
    return edges[start : end + 1]


def natural(prices: Sequence[float], bands: int) -> tuple[tuple[Band, ...], float]:
    """At most `bands` bands that split the logarithms where they lie furthest apart, and how well they do.

    Fisher's exact optimisation (1958; "Jenks natural breaks"): of all ways to cut the ordered values into groups
    the one with the least sum of squared distances from the groups' means. The second result is the goodness of
    variance fit, 1 - within/total: 1 where all prices of a band are equal. Fewer bands come back where there are
    fewer different prices. Raises `ValueError` for a price not above zero, or fewer than one band.
    """
    _positive(prices)
    if bands < 1:
        raise ValueError("at least one band")
    if not prices:
        return (), 1.0
    order = sorted(range(len(prices)), key=lambda position: prices[position])
    values = sorted({math.log(price) for price in prices})
    weights = [0] * len(values)
    slot = {value: place for place, value in enumerate(values)}
    for price in prices:
        weights[slot[math.log(price)]] += 1
    cuts, within = _fisher(values, weights, min(bands, len(values)))
    total = _spread(values, weights)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        inside = [p for p in order if values[start] <= math.log(prices[p]) <= values[end - 1]]
        found.append(Band(low=prices[inside[0]], high=prices[inside[-1]], items=tuple(inside)))
    return tuple(found), max(0.0, 1 - within / total) if total else 1.0


def _fisher(values: Sequence[float], weights: Sequence[int], groups: int) -> tuple[list[int], float]:
    """Where to cut ordered weighted values into `groups`, and the sum of squares that is left within them."""
    n = len(values)
    count, total, squares = [0.0], [0.0], [0.0]
    for value, weight in zip(values, weights, strict=True):
        count.append(count[-1] + weight)
        total.append(total[-1] + weight * value)
        squares.append(squares[-1] + weight * value * value)

    def cost(start: int, end: int) -> float:
        mass, moment = count[end] - count[start], total[end] - total[start]
        return max(squares[end] - squares[start] - moment * moment / mass, 0.0)

    best = [cost(0, end) for end in range(1, n + 1)]
    back: list[list[int]] = []
    for group in range(1, groups):
        now, chosen = [math.inf] * n, [0] * n
        for end in range(group + 1, n + 1):
            for start in range(group, end):
                one = best[start - 1] + cost(start, end)
                if one < now[end - 1]:
                    now[end - 1], chosen[end - 1] = one, start
        best = now
        back.append(chosen)
    cuts: list[int] = []
    end = n
    for chosen in reversed(back):
        end = chosen[end - 1]
        cuts.append(end)
    return cuts[::-1], best[n - 1]


def _spread(values: Sequence[float], weights: Sequence[int]) -> float:
    """The sum of squared distances from the mean."""
    mass = sum(weights)
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / mass
    return sum(w * (v - mean) ** 2 for v, w in zip(values, weights, strict=True))


def _positive(prices: Sequence[float]) -> None:
    if any(not price > 0 for price in prices):
        raise ValueError("prices on a logarithmic scale are above zero")
