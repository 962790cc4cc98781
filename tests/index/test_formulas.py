"""Index formulas against economists' published example, against independent GEKS values, and by their properties.

The example: six commodities over five periods, Tables 19.1 and 19.2 of the Consumer and of the Producer Price Index
Manual (ILO, IMF and others, 2004); with a fixed base its values are also Tables 3.4, 3.6 and 3.12 of Balk, Price and
Quantity Index Numbers (2008), where 1.38235 is printed as 1.3823.
"""

from collections.abc import Callable
from math import isclose, isnan, nan, prod, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from farthing.index import formulas
from farthing.index.formulas import carli, chained, dutot, fisher, geks, jevons, laspeyres, paasche, tornqvist, walsh

PRICES = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    [1.2, 3.0, 1.3, 0.7, 1.4, 0.8],
    [1.0, 1.0, 1.5, 0.5, 1.7, 0.6],
    [0.8, 0.5, 1.6, 0.3, 1.9, 0.4],
    [1.0, 1.0, 1.6, 0.1, 2.0, 0.2],
]
QUANTITIES = [
    [1.0, 1.0, 2.0, 1.0, 4.5, 0.5],
    [0.8, 0.9, 1.9, 1.3, 4.7, 0.6],
    [1.0, 1.1, 1.8, 3.0, 5.0, 0.8],
    [1.2, 1.2, 1.9, 6.0, 5.6, 1.3],
    [0.9, 1.2, 2.0, 12.0, 6.5, 2.5],
]
FIXED_BASE = {
    "carli": [1.0000, 1.4000, 1.0500, 0.9167, 0.9833],
    "dutot": [1.0000, 1.4000, 1.0500, 0.9167, 0.9833],  # base prices are all 1, so Dutot is Carli
    "jevons": [1.0000, 1.2419, 0.9563, 0.7256, 0.6325],
    "laspeyres": [1.0000, 1.4200, 1.3450, 1.3550, 1.4400],
    "paasche": [1.0000, 1.3824, 1.2031, 1.0209, 0.7968],
    "fisher": [1.0000, 1.4011, 1.2721, 1.1762, 1.0712],
    "tornqvist": [1.0000, 1.4052, 1.2890, 1.2268, 1.2477],
    "walsh": [1.0000, 1.4017, 1.2850, 1.2193, 1.1850],
}
CHAINED = {
    "jevons": [1.0000, 1.2419, 0.9563, 0.7256, 0.6325],
    "laspeyres": [1.0000, 1.4200, 1.3646, 1.3351, 1.3306],
    "paasche": [1.0000, 1.3824, 1.2740, 1.2060, 1.1234],
    "fisher": [1.0000, 1.4011, 1.3185, 1.2689, 1.2226],
    "tornqvist": [1.0000, 1.4052, 1.3112, 1.2624, 1.2224],
}
EVERY = (*formulas.ELEMENTARY, *formulas.WEIGHTED)


@pytest.mark.parametrize("method", FIXED_BASE)
def test_the_manuals_example_with_a_fixed_base(method: str) -> None:
    found = [formulas.index(method, PRICES[0], PRICES[t], QUANTITIES[0], QUANTITIES[t]) for t in range(5)]
    assert found == pytest.approx(FIXED_BASE[method], abs=0.00005)


@pytest.mark.parametrize("method", CHAINED)
def test_the_manuals_example_chained(method: str) -> None:
    links = [formulas.index(method, PRICES[t], PRICES[t + 1], QUANTITIES[t], QUANTITIES[t + 1]) for t in range(4)]
    assert chained(links) == pytest.approx(CHAINED[method], abs=0.00005)


def test_by_hand() -> None:
    p0, p1, q0, q1 = [1.0, 4.0], [2.0, 2.0], [10.0, 5.0], [4.0, 10.0]
    assert jevons(p0, p1) == pytest.approx(1.0)  # √(2 x ½)
    assert carli(p0, p1) == pytest.approx(1.25)  # (2 + ½) / 2
    assert dutot(p0, p1) == pytest.approx(0.8)  # 4 / 5
    assert laspeyres(p0, p1, q0) == pytest.approx(1.0)  # (20 + 10) / (10 + 20)
    assert paasche(p0, p1, q1) == pytest.approx(28 / 44)  # (8 + 20) / (4 + 40)
    assert fisher(p0, p1, q0, q1) == pytest.approx(sqrt(28 / 44))
    # Shares 1/3, 2/3 before; 8/28, 20/28 after: exp ½[(1/3 + 2/7) ln 2 - (2/3 + 5/7) ln 2] = 2^(-8/21)
    assert tornqvist(p0, p1, q0, q1) == pytest.approx(2 ** (-8 / 21))
    a, b = sqrt(40), sqrt(50)
    assert walsh(p0, p1, q0, q1) == pytest.approx((2 * a + 2 * b) / (a + 4 * b))


# --- GEKS ---------------------------------------------------------------------------------------------


def _pairs(method: str, prices: Any, quantities: Any) -> list[list[float]]:
    dates = range(len(prices))
    return [[formulas.index(method, prices[s], prices[t], quantities[s], quantities[t]) for t in dates] for s in dates]


# Five products over 13 periods: prices 1 to 65, quantities 65 to 1, product by product. The values are those on which
# the R packages IndexNumR and gpindex agree (gpindex, tests/testthat/test-geks.R).
THIRTEEN = np.arange(1, 66).reshape(5, 13).T, np.arange(65, 0, -1).reshape(5, 13).T
AGREED = {
    "tornqvist": (1.07334245809641, 1.13758500234551, 1.38478458426165, 1.78741712742392),
    "jevons": (1.18338442313092, 1.32033674805411, 1.73334427991861, 2.23364458259815),
    "walsh": (1.0566699129383, 1.11378295838144, 1.34795095779689, 1.7335492978583),
}


@pytest.mark.parametrize("method", AGREED)
def test_geks_agrees_with_other_implementations(method: str) -> None:
    levels = geks(_pairs(method, *THIRTEEN))
    assert levels[[1, 2, 6, 12]] == pytest.approx(AGREED[method], rel=1e-12)


def test_a_rolling_window_spliced_by_movement_agrees_with_other_implementations() -> None:
    levels = formulas.rolling_geks(_pairs("fisher", *THIRTEEN), 11)
    assert levels[[1, 2, 10, 11, 12]] == pytest.approx(
        (1.05584109330239, 1.11216779883715, 1.59051132643364, 1.65525192178965, 1.721202953357), rel=1e-12
    )


def test_geks_of_all_pairs_is_their_geometric_mean() -> None:
    pairs = _pairs("fisher", PRICES, QUANTITIES)
    by_hand = [prod(pairs[0][k] * pairs[k][t] for k in range(5)) ** (1 / 5) for t in range(5)]
    assert geks(pairs) == pytest.approx(by_hand)


def test_geks_over_gaps_keeps_what_is_known_and_says_what_is_not() -> None:
    levels = [1.0, 0.8, 0.5, 0.4]
    pairs = [[b / a for b in levels] for a in levels]
    pairs[0][2] = pairs[2][0] = pairs[0][3] = pairs[3][0] = nan
    assert geks(pairs) == pytest.approx(levels)  # consistent pairs give their levels back, with or without gaps
    for other in range(3):
        pairs[3][other] = pairs[other][3] = nan
    assert geks(pairs)[:3] == pytest.approx(levels[:3])
    assert isnan(geks(pairs)[3])  # nothing links the last date
    turned = [row[::-1] for row in pairs[::-1]]
    assert isnan(geks(turned)[0]) and geks(turned)[1:] == pytest.approx([1, 1.6, 2])  # 0.5 to 0.8 to 1
    assert all(isnan(level) for level in geks([[1.0, nan], [nan, 1.0]]))


def test_geks_is_free_of_drift_when_prices_bounce() -> None:
    """A sale: the price halves and comes back, and people stock up. A chain drifts, GEKS does not."""
    prices = [[1.0, 1.0], [0.5, 1.0], [1.0, 1.0]]
    quantities = [[10.0, 10.0], [100.0, 10.0], [1.0, 10.0]]
    links = [formulas.fisher(prices[t], prices[t + 1], quantities[t], quantities[t + 1]) for t in range(2)]
    assert abs(chained(links)[-1] - 1) > 0.1
    levels = geks(_pairs("fisher", prices, quantities))
    assert abs(levels[2] - 1) < abs(chained(links)[-1] - 1)


# --- properties -----------------------------------------------------------------------------------------

_price = st.floats(0.01, 1000)
_quantity = st.floats(0.1, 1e6)
_panel = st.integers(1, 8).flatmap(
    lambda n: st.tuples(*(st.lists(one, min_size=n, max_size=n) for one in (_price, _price, _quantity, _quantity)))
)
Panel = tuple[list[float], list[float], list[float], list[float]]
fast = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize("method", EVERY)
@given(panel=_panel)
@fast
def test_identity_and_proportionality(method: str, panel: Panel) -> None:
    p0, _, q0, q1 = panel
    assert isclose(formulas.index(method, p0, p0, q0, q1), 1, rel_tol=1e-9)
    assert isclose(formulas.index(method, p0, [3 * p for p in p0], q0, q1), 3, rel_tol=1e-9)


@pytest.mark.parametrize("method", formulas.REVERSIBLE)
@given(panel=_panel)
@fast
def test_time_reversal(method: str, panel: Panel) -> None:
    p0, p1, q0, q1 = panel
    there, back = formulas.index(method, p0, p1, q0, q1), formulas.index(method, p1, p0, q1, q0)
    assert isclose(there * back, 1, rel_tol=1e-9)


@pytest.mark.parametrize("method", [m for m in EVERY if m != "dutot"])
@given(panel=_panel, scale=st.floats(0.001, 1000))
@fast
def test_commensurability(method: str, panel: Panel, scale: float) -> None:
    """Stating the first item per thousand tokens instead of per million changes nothing (but Dutot's)."""
    p0, p1, q0, q1 = panel
    before = formulas.index(method, p0, p1, q0, q1)

    def scaled(values: list[float], by: float) -> list[float]:
        return [values[0] * by, *values[1:]]

    after = formulas.index(method, scaled(p0, scale), scaled(p1, scale), scaled(q0, 1 / scale), scaled(q1, 1 / scale))
    assert isclose(before, after, rel_tol=1e-9)


def test_dutot_depends_on_units() -> None:
    assert dutot([1.0, 1.0], [2.0, 1.0]) != pytest.approx(dutot([10.0, 1.0], [20.0, 1.0]))


@given(panel=_panel)
@fast
def test_the_means_are_ordered(panel: Panel) -> None:
    p0, p1, q0, q1 = panel
    assert carli(p0, p1) >= jevons(p0, p1) * (1 - 1e-12)  # arithmetic over geometric mean
    low, high = sorted((laspeyres(p0, p1, q0), paasche(p0, p1, q1)))
    assert low * (1 - 1e-12) <= fisher(p0, p1, q0, q1) <= high * (1 + 1e-12)
    relatives = [b / a for a, b in zip(p0, p1, strict=True)]
    for method in EVERY:
        assert min(relatives) * (1 - 1e-9) <= formulas.index(method, p0, p1, q0, q1) <= max(relatives) * (1 + 1e-9)


@given(panel=_panel)
@fast
def test_factor_reversal_of_fisher(panel: Panel) -> None:
    """Its price index times its quantity index is what spending did."""
    p0, p1, q0, q1 = panel
    spent = sum(p * q for p, q in zip(p1, q1, strict=True)) / sum(p * q for p, q in zip(p0, q0, strict=True))
    assert isclose(fisher(p0, p1, q0, q1) * fisher(q0, q1, p0, p1), spent, rel_tol=1e-9)


@given(st.lists(st.lists(_price, min_size=3, max_size=3), min_size=2, max_size=6), st.data())
@fast
def test_geks_is_circular(prices: list[list[float]], data: st.DataObject) -> None:
    quantities = [data.draw(st.lists(_quantity, min_size=3, max_size=3)) for _ in prices]
    pairs = _pairs("tornqvist", prices, quantities)
    from_first, from_last = geks(pairs), geks([row[::-1] for row in pairs[::-1]])[::-1]
    # Measured from the other end, the same movements.
    assert from_first / from_first[-1] == pytest.approx(from_last / from_last[-1], rel=1e-9)


@given(panel=_panel, seed=st.integers(0, 1000))
@fast
def test_weights_are_repetitions(panel: Panel, seed: int) -> None:
    """An item with weight 3 counts as if it stood there three times; replicates are computed apart."""
    p0, p1, q0, q1 = panel
    w = np.random.default_rng(seed).integers(0, 4, size=(3, len(p0)))
    assume((w.sum(axis=1) > 0).all())
    for method in EVERY:
        together = formulas.index(method, p0, p1, q0, q1, w)
        for one, weights in zip(together, w, strict=True):
            p0s, p1s, q0s, q1s = (np.repeat(part, weights) for part in panel)
            assert isclose(one, formulas.index(method, p0s, p1s, q0s, q1s), rel_tol=1e-9)


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: jevons([1.0], [1.0, 2.0]), "do not match"),
        (lambda: jevons([], []), "no items"),
        (lambda: jevons([1.0, 0.0], [1.0, 1.0]), "p0 has a price that is not above zero"),
        (lambda: carli([1.0], [-1.0]), "p1 has a price that is not above zero"),
        (lambda: carli([1.0], [nan]), "p1 has a price"),
        (lambda: laspeyres([1.0], [1.0], [0.0]), "q0 is no basket"),
        (lambda: paasche([1.0], [1.0], [-2.0]), "q1 is no basket"),
        (lambda: fisher([1.0], [1.0], [1.0, 2.0], [1.0]), "q0 has 2 quantities for 1 items"),
        (lambda: formulas.index("fisher", [1.0], [1.0]), "fisher needs quantities at both dates"),
        (lambda: formulas.index("median", [1.0], [1.0]), "'median' is none of jevons"),
        (lambda: geks([[1.0, 2.0]]), "not dates x dates"),
        (lambda: formulas.rolling_geks([[1.0]], 1), "a window of 1 dates"),
    ],
)
def test_refusals(call: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()


def test_a_replicate_of_nothing_is_unknown() -> None:
    found = jevons([1.0, 2.0], [2.0, 2.0], np.array([[0, 0], [1, 1]]))
    assert isnan(found[0]) and found[1] == pytest.approx(sqrt(2))
