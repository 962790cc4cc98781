"""Draws: the same everywhere, uniform, independent between salts, and exact at the borders of arms."""

from collections import Counter
from fractions import Fraction
from hashlib import blake2b
from math import sqrt

from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.policies.routing.draw import SPAN, arm_of, draw, thresholds


def test_the_number_is_the_documented_hash_and_never_changes() -> None:
    # BLAKE2b-64 of b"try-mini\0r-1", big-endian. An experiment that runs over an upgrade must keep its arms.
    assert draw("try-mini", "r-1") == int.from_bytes(blake2b(b"try-mini\0r-1", digest_size=8).digest(), "big")
    assert f"{draw('try-mini', 'r-1'):016x}" == GOLDEN
    assert draw("", "") == int.from_bytes(blake2b(b"\0", digest_size=8).digest(), "big")
    assert draw("a", "\ud800") == draw("a", "?")  # half a character is not UTF-8


GOLDEN = "d4b8e953eade37bf"


def test_thresholds_are_exact() -> None:
    half = thresholds([Fraction(1, 2), Fraction(1, 2)])
    assert half == [SPAN // 2, SPAN]
    assert arm_of(SPAN // 2 - 1, half) == 0
    assert arm_of(SPAN // 2, half) == 1
    thirds = thresholds([Fraction(1, 3)] * 3)
    # 2^64 / 3 = 6148914691236517205.33…: u = …205 is below it, …206 is not.
    assert thirds == [6148914691236517206, 12297829382473034411, SPAN]
    assert arm_of(6148914691236517205, thirds) == 0
    assert arm_of(6148914691236517206, thirds) == 1
    assert arm_of(SPAN - 1, thirds) == 2


def test_an_arm_without_weight_is_never_drawn() -> None:
    ends = thresholds([Fraction(0), Fraction(1), Fraction(0)])
    assert [arm_of(number, ends) for number in (0, 1, SPAN - 1)] == [1, 1, 1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any), st.integers(0, SPAN - 1))
def test_an_arm_is_drawn_where_the_fraction_lies_in_its_interval(weights: list[int], number: int) -> None:
    whole = sum(weights)
    place = arm_of(number, thresholds([Fraction(weight, whole) for weight in weights]))
    low = Fraction(sum(weights[:place]), whole)
    assert low <= Fraction(number, SPAN) < low + Fraction(weights[place], whole)


def test_draws_are_uniform_and_independent_between_salts() -> None:
    count = 20_000
    ends = thresholds([Fraction(9, 10), Fraction(1, 10)])
    first = [arm_of(draw("one", f"user-{n}"), ends) for n in range(count)]
    second = [arm_of(draw("two", f"user-{n}"), ends) for n in range(count)]
    # Binomial(20000, 0.1): mean 2000, deviation sqrt(20000 x 0.1 x 0.9) = 42.4; five of them never happen by chance.
    assert abs(sum(first) - 2000) < 5 * sqrt(count * 0.09)
    assert abs(sum(second) - 2000) < 5 * sqrt(count * 0.09)
    # Both arms 1: 20000 x 0.01 = 200, deviation 14.1.
    both = Counter(zip(first, second, strict=True))[1, 1]
    assert abs(both - 200) < 5 * sqrt(count * 0.01 * 0.99)
