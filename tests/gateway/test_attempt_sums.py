"""Attempts added up in C: the sums are those of a plain loop, money that of fractions, and nothing odd does harm."""

from bisect import bisect_left
from fractions import Fraction
from math import floor
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.observe.attempt_sums import AttemptSums, pico
from farthing.gateway.observe.metrics_store import BOUNDS_US, Series
from farthing.ledger.row import Attempt


class Sums(AttemptSums):
    """Takes what is too much to be kept apart."""

    def __init__(self) -> None:
        self.taken_before: list[Any] = []

    def _count_ended(self) -> None:
        self.taken_before += self.taken()


def attempt(**fields: Any) -> Attempt:
    values: dict[str, Any] = {"attempt": "a", "request": "r", "state": "done", "started_us": 10**15}
    return Attempt(**{**values, **fields})


# --- money ------------------------------------------------------------------------------------


def rounded(amount: Fraction) -> int:
    return floor(amount * 10**12 + Fraction(1, 2))


@settings(deadline=None, max_examples=500)
@given(
    top=st.integers(0, 10**6) | st.integers(0, 10**18) | st.integers(0, 10**25),
    bottom=st.integers(1, 10**4) | st.integers(1, 10**13) | st.integers(1, 10**25) | st.sampled_from([10**13, 10**18]),
)
def test_an_amount_is_rounded_half_up(top: int, bottom: int) -> None:
    assert pico(f"{top}/{bottom}") == rounded(Fraction(top, bottom))
    assert pico(str(top)) == top * 10**12


@pytest.mark.parametrize(
    ("usd", "amount"),
    [
        ("0", 0),
        ("23/5000", 4_600_000_000),  # 0.0046 x 10^12
        ("1/2000000000000", 1),  # half a picodollar
        ("1/2000000000001", 0),
        ("8999999", 8_999_999 * 10**12),  # the largest plain one
        ("9000000", 9 * 10**18),
        ("9999999999999999999/10000000000000", 10**18),  # 19 digits: 999,999.9999999999999
        ("007/0010", 700_000_000_000),
        ("-1/2", -500_000_000_000),
        ("0.25", 250_000_000_000),
        ("1e-3", 1_000_000_000),
        *[(odd, 0) for odd in ("", "/", "1/", "/1", "1/0", "1/2/3", "x", "1x", "1/2x", "nan", "१/२x", "\0", "1\0")],
    ],
)
def test_amounts_written_in_odd_ways(usd: str, amount: int) -> None:
    assert pico(usd) == amount


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet="0123456789/ .-+e_x\0é१", max_size=30))
def test_any_text_is_an_amount_or_none(usd: str) -> None:
    if "e" in usd:
        return  # of "1e99999999" a fraction has as many digits
    try:
        expected = rounded(Fraction(usd))
    except (ValueError, ZeroDivisionError):
        expected = 0
    assert pico(usd) == expected


# --- sums -------------------------------------------------------------------------------------


def added(attempts: list[Attempt]) -> Series:
    """The sums by a plain loop."""
    sums = Series()
    for one in attempts:
        sums.attempts += 1
        sums.requests += one.number == 1
        sums.streams += one.streamed
        sums.estimated += one.estimated
        for meter, count in one.quantities.items():
            sums.quantities[meter] = sums.quantities.get(meter, 0) + count
        if one.usd is None:
            sums.unpriced += bool(one.quantities)
            sums.unmetered += bool(not one.quantities and one.unknown)
        else:
            sums.usd += pico(one.usd)
            if one.reported_usd is not None:
                ours, theirs = pico(one.usd), pico(one.reported_usd)
                sums.reported += 1
                sums.ours_usd += ours
                sums.reported_usd += theirs
                sums.drifted += abs(theirs - ours) * 100 > max(theirs, ours)
        if one.state == "done" and one.ended_us is not None:
            sums.durations[bisect_left(BOUNDS_US, one.ended_us - one.started_us)] += 1
            sums.duration_us += one.ended_us - one.started_us
        if one.first_us is not None:
            sums.firsts[bisect_left(BOUNDS_US, one.first_us - one.started_us)] += 1
            sums.first_us += one.first_us - one.started_us
    return sums


METERS = ["input", "output", "cache_read", "reasoning", "image", "".join(["in", "put"]), "audio_second", "a", "b", "c"]
QUANTITIES = st.dictionaries(st.sampled_from(METERS), st.integers(0, 9) | st.integers(-(10**25), 10**25), max_size=10)
MICROSECONDS = st.sampled_from([b + off for b in BOUNDS_US for off in (-1, 0, 1)]) | st.integers(-5, 10**10)
ENDED = st.builds(
    attempt,
    upstream=st.sampled_from(["main", "other"]),
    model_served=st.sampled_from(["", "é", "gpt-test"]).map(lambda name: "".join(name)),
    model_asked=st.sampled_from(["gpt-test", "x"]),
    state=st.sampled_from(["done", "failed"]),
    status=st.sampled_from([None, 200, 429, 500]),
    error=st.sampled_from(["", "timeout"]),
    number=st.integers(1, 3) | st.just(10**30),
    streamed=st.booleans(),
    estimated=st.booleans(),
    unknown=st.sampled_from(["", "no price"]),
    usd=st.sampled_from([None, "0", "3", "1/3", "0.25", "x", "8999999", "-1/7", "9" * 30, "1/" + "9" * 30]),
    reported_usd=st.sampled_from([None, "1/3", "0.0046", "9" * 30]),
    quantities=QUANTITIES | QUANTITIES.map(MappingProxyType),
    ended_us=st.none() | MICROSECONDS.map(lambda us: 10**15 + us),
    first_us=st.none() | MICROSECONDS.map(lambda us: 10**15 + us),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(ENDED, max_size=30))
def test_the_sums_are_those_of_a_plain_loop(attempts: list[Attempt]) -> None:
    sums = Sums()
    for one in attempts:
        sums.observe(one)
    found = sums.taken()
    kinds: dict[tuple[Any, ...], list[Attempt]] = {}
    for one in attempts:
        key = one.upstream, one.model_served, one.model_asked, one.state, one.status, one.error
        kinds.setdefault(key, []).append(one)
    assert {
        (kind.upstream, kind.served, kind.asked, kind.state, kind.status, kind.error): kind.series() for kind in found
    } == {key: added(alike) for key, alike in kinds.items()}
    assert [kind.attempts for kind in found] == [len(alike) for alike in kinds.values()]
    assert sums.taken() == []


def test_sums_beyond_64_bits() -> None:
    sums = Sums()
    for _ in range(5):
        sums.observe(attempt(usd="8999999", quantities={"input": 2**62 - 1, "output": 2**63}))
    [kind] = sums.taken()
    assert kind.series().usd == 5 * 8_999_999 * 10**12
    assert kind.series().quantities == {"input": 5 * (2**62 - 1), "output": 5 * 2**63}


def test_many_kinds_are_taken_before_they_are_too_many() -> None:
    sums = Sums()
    for number in range(1000):
        sums.observe(attempt(model_served=f"m{number}"))
    last = sums.taken()
    assert 0 < len(last) <= 256
    assert [kind.served for kind in (*sums.taken_before, *last)] == [f"m{number}" for number in range(1000)]


def test_times_that_no_clock_says() -> None:
    sums = Sums()
    sums.observe(attempt(started_us=-(10**30), ended_us=10**30, first_us=10**30))
    sums.observe(attempt(started_us=10**30, ended_us=0))
    [kind] = sums.taken()
    found = kind.series()
    assert (found.durations[0], found.durations[-1], found.firsts[-1]) == (1, 1, 1)


@pytest.mark.parametrize("odd", [None, 5, "x", object(), Attempt])
def test_what_is_no_attempt_is_not_read(odd: Any) -> None:
    with pytest.raises(TypeError):
        AttemptSums().observe(odd)


@pytest.mark.parametrize(
    "fields",
    [
        {"number": "x"},
        {"started_us": None},
        {"ended_us": 1.5},
        {"usd": 5},
        {"quantities": 7},
        {"quantities": {"a": "b"}},
    ],
)
def test_fields_of_another_type_are_said(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        AttemptSums().observe(attempt(**fields))
