"""The prefix-cache ceiling: sums by hand, a naive oracle, and the published figures of a public trace."""

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.time import from_unix
from farthing.usage.prefix import PrefixCache
from farthing.usage.record import Usage

TRACE = Path(__file__).resolve().parents[2] / "../shared/traces/mooncake-synthetic.jsonl"


def request(prompt: int, *hashes: int, size: int | None = 4) -> Usage:
    return Usage(at=from_unix(0), quantities={"input": prompt}, prefix_hashes=hashes, block_tokens=size)


def mooncake() -> Iterator[Usage]:
    with TRACE.open() as lines:
        for line in lines:
            row = json.loads(line)
            yield request(row["input_length"], *row["hash_ids"], size=512)


def test_three_definitions_by_hand() -> None:
    cache = PrefixCache()
    # Blocks of 4 tokens. 10 tokens are blocks 1, 2 and a partial 3.
    assert cache.add(request(10, 1, 2, 3)) == 0
    assert cache.add(request(10, 1, 2, 3)) == 10  # three hits are 12 tokens of room, but only 10 of prompt
    assert cache.add(request(16, 1, 2, 4, 5)) == 8  # 1 and 2 hit
    assert cache.add(request(3, 9)) == 0
    found = cache.ceiling()
    assert found.share_of_blocks == Fraction(3 + 2, 3 + 3 + 4 + 1)
    assert found.token_weighted == Fraction(10 + 8, 10 + 10 + 16 + 3)
    mean = Fraction(0 + 1 + Fraction(8, 16) + 0, 4)
    assert found.mean_per_request == mean  # 1 and 1/2 are whole numbers of 2**-64


def test_mean_per_request_is_low_by_less_than_2_to_the_minus_64() -> None:
    cache = PrefixCache()
    cache.add(request(12, 1, 2, 3))
    cache.add(request(12, 1, 2, 9))
    found = cache.ceiling().mean_per_request
    assert found is not None
    assert 0 <= Fraction(8, 12) / 2 - found < Fraction(1, 2**64)


def test_a_hit_is_a_leading_run() -> None:
    cache = PrefixCache()
    cache.add(request(12, 1, 2, 3))
    assert cache.add(request(12, 8, 2, 3)) == 0


def test_cached_tokens_are_prompt_tokens_too() -> None:
    cache = PrefixCache()
    usage = Usage(at=from_unix(0), quantities={"input": 2, "cache_read": 6, "output": 50},
                  prefix_hashes=(1, 2), block_tokens=4)  # fmt: skip
    cache.add(usage)
    assert cache.add(usage) == 8


def test_records_without_hashes_are_not_counted() -> None:
    cache = PrefixCache()
    assert cache.add(request(100)) == 0
    found = cache.ceiling()
    assert (found.requests, found.share_of_blocks, found.token_weighted, found.mean_per_request) == (
        0,
        None,
        None,
        None,
    )


def test_without_a_block_size_the_prompt_fills_its_blocks_evenly() -> None:
    cache = PrefixCache()
    cache.add(request(10, 1, 2, 3, size=None))
    assert cache.add(request(10, 1, 2, 4, size=None)) == 8  # ceil(10/3) = 4 a block


def test_lru_evicts_the_deepest_block_of_the_oldest_request() -> None:
    cache = PrefixCache(4)
    cache.add(request(12, 1, 2, 3))
    cache.add(request(8, 11, 12))  # five blocks: 3 goes
    assert cache.add(request(12, 1, 2, 3)) == 8  # and comes back: 12 goes
    assert cache.add(request(8, 11, 12)) == 4


def test_a_hit_refreshes() -> None:
    cache = PrefixCache(2)
    for block in (1, 2, 1, 3):  # 2 is the oldest when 3 comes
        cache.add(request(4, block))
    assert cache.add(request(4, 1)) == 4
    assert cache.add(request(4, 2)) == 0


def test_a_request_larger_than_the_cache_keeps_its_first_blocks() -> None:
    cache = PrefixCache(2)
    cache.add(request(16, 1, 2, 3, 4))
    assert cache.add(request(16, 1, 2, 3, 4)) == 8


def test_a_cache_of_nothing_and_a_negative_one() -> None:
    cache = PrefixCache(0)
    cache.add(request(4, 1))
    assert cache.add(request(4, 1)) == 0
    with pytest.raises(ValueError, match="cannot be negative"):
        PrefixCache(-1)


def chain(path: tuple[int, ...]) -> tuple[int, ...]:
    """Chained hashes of blocks whose contents are `path`: one number a prefix."""
    return tuple(hash(path[: end + 1]) for end in range(len(path)))


paths = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=40)


@given(paths, st.integers(0, 12))
def test_lru_agrees_with_a_naive_list_and_stays_closed(requests: list[tuple[int, ...]], capacity: int) -> None:
    cache = PrefixCache(capacity)
    held: list[int] = []  # least recently used first
    for path in requests:
        hashes = chain(path)
        hits = 0
        while hits < len(hashes) and hashes[hits] in held:
            hits += 1
        assert cache.add(request(4 * len(hashes), *hashes)) == 4 * hits
        # Because the cache is closed, there are no cached blocks after the leading run.
        assert sum(block in held for block in hashes) == hits
        for block in reversed(hashes):
            if block in held:
                held.remove(block)
            held.append(block)
        held = held[-capacity:] if capacity else []


@given(paths)
def test_more_capacity_never_hits_less_and_enough_is_unlimited(requests: list[tuple[int, ...]]) -> None:
    hits = []
    for capacity in (0, 1, 2, 4, 8, 16, 6 * len(requests), None):
        cache = PrefixCache(capacity)
        hits.append([cache.add(request(4 * len(path), *chain(path))) for path in requests])
    assert all(a <= b for low, high in pairwise(hits) for a, b in zip(low, high, strict=True))
    assert hits[-1] == hits[-2]


@pytest.mark.skipif(not TRACE.exists(), reason="../shared/traces is not here")
def test_published_ceilings_of_the_mooncake_synthetic_trace() -> None:
    unlimited, small = PrefixCache(), PrefixCache(10_000)
    for usage in mooncake():
        unlimited.add(usage)
        small.add(usage)
    found = unlimited.ceiling()
    shares = (found.share_of_blocks, found.token_weighted, found.mean_per_request)
    assert [f"{float(share or 0):.2%}" for share in shares] == ["63.96%", "65.12%", "43.15%"]
    assert found.requests == 3993
    assert 0 < small.hit_blocks < unlimited.hit_blocks
