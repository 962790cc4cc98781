"""Where a staircase meets a line: closed forms against brute force, and the seeds' first scenario."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.plans.breakeven import ApiPrice, Host, breakeven, cell, crossing, point
from farthing.plans.fleet import Load, Option
from farthing.plans.hosting import Capacity, Owned, Power, Rented
from farthing.plans.interval import between, exactly
from farthing.problems import FarthingError

HALF = Load(input_share=Fraction(1, 2), hours_per_month=Fraction(720))
API = ApiPrice(name="api", input_usd=Fraction("0.30"), output_usd=Fraction("0.30"))
SEED = Host(
    hosting=Rented(usd_per_gpu_hour=exactly(Fraction("2.49"))),
    capacity=Capacity(input_tokens_s=exactly(3000), output_tokens_s=exactly(3000)),
)


def made(fleet: int, block: int, token: Fraction, step: int, load: Load) -> Option:
    return Option(name="x", gpus=1, fleet_usd=Fraction(fleet), block_usd=Fraction(block), token_usd=token,
                  block_tokens=Fraction(step), load=load)  # fmt: skip


def test_the_seeds_break_even_and_what_comes_after() -> None:
    found = crossing(SEED.option(HALF), API.usd_per_token(HALF))
    assert found.first == 5_976_000_000  # 1,792.80 / 0.30 per million
    # The second GPU is due at 7.776B and earned back at 11.952B; the fourth at 23.904B, for good.
    assert found.islands[0] == (7_776_000_000, 11_952_000_000)
    assert found.islands[-1] == (23_328_000_000, 23_904_000_000)
    assert found.settled == 23_904_000_000
    assert len(found.islands) == 3


def test_a_block_that_is_never_earned_back() -> None:
    found = crossing(made(0, 100, Fraction(0), 90, Load()), Fraction(1))
    assert (found.first, found.settled) == (None, None)
    # With two blocks bought in advance the price of the second is sunk: 200 / 1 = 200 > 180, still never.
    assert crossing(made(0, 100, Fraction(0), 90, Load(minimum=2)), Fraction(1)).first is None
    # A price of 2: cheaper from 50 on, and every further block is earned back.
    assert crossing(made(0, 100, Fraction(0), 90, Load()), Fraction(2)).first == 50


def test_free_hosting_and_dear_tokens() -> None:
    assert crossing(made(0, 0, Fraction(0), 10, Load()), Fraction(1)).first == 0
    assert crossing(made(0, 10, Fraction(2), 10, Load()), Fraction(1)).first is None


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 50), st.integers(1, 40), st.integers(0, 2), st.integers(1, 30), st.integers(1, 4),
    st.integers(0, 4), st.integers(0, 2),
)  # fmt: skip
def test_the_closed_form_is_the_brute_force(
    fleet: int, block: int, token: int, step: int, price: int, minimum: int, spare: int
) -> None:
    load = Load(minimum=max(minimum, 0 if spare else 1), spare=spare)
    hosted = made(fleet, block, Fraction(token, 2), step, load)
    found = crossing(hosted, Fraction(price))
    grid = [Fraction(n, 4) for n in range(1, 4 * step * 12)]  # twelve steps, in quarters of a token
    wins = [v for v in grid if hosted.usd(v) <= price * v]
    if found.first is None:
        assert not wins
        return
    assert hosted.usd(found.first) == price * found.first
    assert all(v >= found.first for v in wins)

    def in_island(v: Fraction) -> bool:
        return any(start < v and (end is None or v < end) for start, end in found.islands)

    for v in grid:
        if v >= found.first and hosted.usd(v) != price * v:  # a tie may stand in an island's border
            assert (hosted.usd(v) < price * v) != in_island(v)
    if found.settled is not None:
        assert found.settled >= found.first
        for v in grid:
            if v >= found.settled:
                assert hosted.usd(v) <= price * v


@settings(deadline=None)
@given(st.integers(1, 10**13), st.integers(1, 5), st.integers(0, 3))
def test_capacity_is_respected(volume: int, peak: int, spare: int) -> None:
    load = Load(peak=Fraction(peak), spare=spare)
    hosted = SEED.option(load)
    blocks = hosted.blocks(Fraction(volume))
    assert (blocks - spare) * hosted.block_tokens >= volume * peak
    assert blocks == max(1, ceil(volume * peak / hosted.block_tokens)) + spare


def test_the_comparison_names_the_cheapest() -> None:
    dear = ApiPrice(name="dear", input_usd=Fraction(3), output_usd=Fraction(15))
    owned = Host(
        hosting=Owned(machine_usd=between(25_000, 27_500, 30_000), life_years=exactly(3)),
        capacity=SEED.capacity,
        power=Power(busy_w=exactly(700), idle_w=exactly(100), usd_per_kwh=exactly(Fraction("0.12"))),
    )
    found = breakeven(dear, [SEED, owned], Load())
    assert found.api_usd_per_mtok == 6  # (3 × 3 + 15) / 4
    # At 100M the API costs 600, the machine 27,500 / 36 = 764 and its power; at 200M the API costs 1,200.
    assert [p.winner for p in found.curve[:2]] == ["dear", "owned"]
    assert {one.host.name for one in found.against} == {"rented", "owned"}
    assert len(found.surface) == 30
    assert point(API, [SEED], HALF, Fraction(10**7)).winner == "api"


def test_a_surface_cell_is_a_large_fleet() -> None:
    found = cell(API, [SEED], HALF, Fraction(1, 2), Fraction(1, 4))
    # 2.49 / 10.8M tokens an hour = 0.23056; four times that a quarter busy
    assert found.hosted_usd[0] == 4 * Fraction("2.49") / Fraction("10.8")
    assert found.winner == "api"


def test_the_interval_of_a_break_even_may_be_never() -> None:
    loose = Host(
        hosting=Rented(usd_per_gpu_hour=between(2, Fraction("2.49"), 4)),
        capacity=SEED.capacity,
    )
    (one,) = breakeven(API, [loose], HALF).against
    assert one.first.mid == 5_976_000_000
    assert one.first.low == 4_800_000_000  # 2 × 720 / 0.30 per million
    assert one.first.high is None  # 2,880 a GPU is more than its 7.776B tokens cost


def test_an_unknown_price_of_cached_input_is_not_zero() -> None:
    with pytest.raises(FarthingError, match="cached"):
        API.usd_per_token(Load(cached_share=Fraction(1, 2)))
    with pytest.raises(FarthingError, match="at least one way"):
        breakeven(API, [], HALF)
