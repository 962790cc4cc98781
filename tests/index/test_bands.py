"""Price bands: fixed steps of a logarithmic scale, and natural breaks against exhaustive search."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.index.bands import fixed, natural

PRICES = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=30)


def test_edges_are_one_and_three_times_powers_of_ten() -> None:
    found = fixed([0.02, 0.1, 0.3, 0.299, 5, 75])
    assert [(b.low, b.high, b.items) for b in found] == [
        (0.01, 0.03, (0,)), (0.03, 0.1, ()), (0.1, 0.3, (1, 3)), (0.3, 1.0, (2,)), (1.0, 3.0, ()), (3.0, 10.0, (4,)),
        (10.0, 30.0, ()), (30.0, 100.0, (5,)),
    ]  # fmt: skip


def test_a_price_on_an_edge_is_in_the_band_that_it_begins() -> None:
    assert [(b.low, b.high) for b in fixed([0.3])] == [(0.3, 1.0)]
    assert [(b.low, b.high) for b in fixed([1.0, 3.0])] == [(1.0, 3.0), (3.0, 10.0)]


@settings(deadline=None)
@given(PRICES)
def test_every_price_lies_in_one_band_and_bands_join(prices: list[float]) -> None:
    found = fixed(prices)
    assert sorted(i for band in found for i in band.items) == list(range(len(prices)))
    assert all(band.low <= prices[i] < band.high for band in found for i in band.items)
    assert all(a.high == b.low for a, b in itertools.pairwise(found))
    assert found[0].items and found[-1].items


def test_natural_breaks_lie_in_the_gaps() -> None:
    found, fit = natural([1, 100, 1.1, 10, 1.2, 11, 105], 3)
    assert [(b.low, b.high, set(b.items)) for b in found] == [(1, 1.2, {0, 2, 4}), (10, 11, {3, 5}), (100, 105, {1, 6})]
    # Within: 0.01664 + 0.00454 + 0.00119 of 26.3 in squared natural logarithms.
    assert 0.999 < fit < 1


def test_fewer_different_prices_than_bands_give_fewer_bands() -> None:
    found, fit = natural([2.0, 2.0, 8.0], 5)
    assert [(b.low, b.high, len(b.items)) for b in found] == [(2, 2, 2), (8, 8, 1)]
    assert fit == pytest.approx(1)
    assert natural([3.0], 2)[0][0].items == (0,)
    assert natural([], 4) == ((), 1.0)
    assert fixed([]) == ()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=8), st.integers(1, 4))
def test_natural_breaks_are_the_best_of_all_cuts(prices: list[float], bands: int) -> None:
    """No other way to cut the ordered logarithms leaves less within the groups (tried one by one)."""
    ordered = sorted(math.log(price) for price in prices)

    def within(cuts: tuple[int, ...]) -> float:
        groups = [ordered[a:b] for a, b in itertools.pairwise((0, *cuts, len(ordered)))]
        return sum(sum((x - sum(g) / len(g)) ** 2 for x in g) for g in groups)

    most = min(bands, len(ordered)) - 1
    best = min(within(cuts) for n in range(most + 1) for cuts in itertools.combinations(range(1, len(ordered)), n))
    found, fit = natural(prices, bands)
    got = sum(
        sum((math.log(prices[i]) - sum(math.log(prices[j]) for j in b.items) / len(b.items)) ** 2 for i in b.items)
        for b in found
    )
    assert got == pytest.approx(best, abs=1e-9)
    assert sorted(i for b in found for i in b.items) == list(range(len(prices)))
    assert 0 <= fit <= 1 + 1e-9


def test_what_has_no_logarithm_is_refused() -> None:
    for prices in ([0.0], [1.0, -2.0], [math.nan]):
        with pytest.raises(ValueError, match="above zero"):
            fixed(prices)
        with pytest.raises(ValueError, match="above zero"):
            natural(prices, 2)
    with pytest.raises(ValueError, match="at least one band"):
        natural([1.0], 0)
