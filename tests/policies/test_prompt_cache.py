"""The simulated prompt cache: conservation, its invariants at their boundaries, and recorded traces."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.charges.reference import price_usage
from farthing.policies.prompt_cache import Behaviour, PromptCache, behaviour, in_force, tells_what_is_shared
from farthing.problems import Problems
from farthing.rates.card import Offer
from farthing.rates.rules import caching_rule
from farthing.rates.toml import load_card
from farthing.usage.prefix import PrefixCache
from farthing.usage.read import read_usage
from farthing.usage.record import Usage

START = datetime(2026, 11, 4, 12, tzinfo=UTC)
TRACES = Path(__file__).resolve().parents[2] / "../shared/traces"
SECOND = timedelta(seconds=1)
PLAIN = Behaviour(
    min_tokens=1, step=1, ttl=300_000_000, at_most=None, refresh=True, breakpoint=True,
    read_meter="cache_read", write_meter="cache_write",
)  # fmt: skip


def like(**more: object) -> Behaviour:
    return msgspec.structs.replace(PLAIN, **more)


def blocks(at: float, hashes: Iterable[int], prompt: int | None = None, **more: object) -> Usage:
    """A request of 100-token blocks `at` seconds after the start."""
    shared = tuple(hashes)
    quantities = {"input": len(shared) * 100 if prompt is None else prompt, "output": 1}
    return Usage(at=START + at * SECOND, quantities=quantities, prefix_hashes=shared, block_tokens=100, **more)  # type: ignore[arg-type]


def turn(at: float, prompt: int, session: str = "s") -> Usage:
    return Usage(at=START + at * SECOND, quantities={"input": prompt, "output": 1}, session=session)


def run(way: Behaviour, *usages: Usage) -> list[tuple[int, int, int]]:
    """(uncached, read, written) of each request."""
    cache = PromptCache(way)
    made = [cache.apply(usage).quantities for usage in usages]
    return [(q.get("input", 0), q.get("cache_read", 0), q.get("cache_write", 0)) for q in made]


# --- hits, by blocks and by session -----------------------------------------------------------


def test_a_prefix_is_read_once_it_was_written() -> None:
    assert run(PLAIN, blocks(0, [1, 2, 3]), blocks(1, [1, 2, 9]), blocks(2, [1, 2, 9, 10]), blocks(3, [7, 2, 3])) == [
        (0, 0, 300),
        (0, 200, 100),
        (0, 300, 100),
        (0, 0, 300),  # blocks in the middle are no prefix
    ]


def test_each_turn_reads_the_prompt_of_the_last() -> None:
    assert run(PLAIN, turn(0, 1000), turn(10, 1500), turn(20, 1600), turn(21, 1600, "other")) == [
        (0, 0, 1000), (0, 1000, 500), (0, 1500, 100), (0, 0, 1600),
    ]  # fmt: skip


def test_a_shorter_prompt_starts_anew() -> None:
    """A compaction: the prompt is not the last one's continuation."""
    assert run(PLAIN, turn(0, 1000), turn(1, 400), turn(2, 1000)) == [(0, 0, 1000), (0, 0, 400), (0, 400, 600)]


def test_sessions_of_other_models_share_nothing() -> None:
    one, other = turn(0, 1000), turn(1, 1500)
    other = msgspec.structs.replace(other, model_served="n")
    assert run(PLAIN, one, other) == [(0, 0, 1000), (0, 0, 1500)]


def test_what_tells_nothing_is_left_as_it_was_recorded() -> None:
    recorded = {"input": 5, "cache_read": 20, "output": 3}
    lone = Usage(at=START, quantities=recorded)
    summed = Usage(at=START, quantities=recorded, session="s", requests=2)
    cache = PromptCache(PLAIN)
    for usage in (lone, summed):
        assert not tells_what_is_shared(usage)
        assert cache.apply(usage) is usage


def test_recorded_caching_is_replaced_and_audio_left_alone() -> None:
    recorded = {"input": 1, "cache_read": 2, "cache_write_1h": 3, "input_audio": 50, "output": 9}
    usage = Usage(at=START, session="s", quantities=recorded)
    assert PromptCache(PLAIN).apply(usage).quantities == {"input_audio": 50, "output": 9, "cache_write": 6}


# --- boundaries -------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "read"), [(299.999999, 100), (300, 100), (300.000001, 0)])
@pytest.mark.parametrize("by", ["blocks", "session"])
def test_expiry_at_the_time_to_live_exactly(late: float, read: int, by: str) -> None:
    pair = (blocks(0, [1]), blocks(late, [1])) if by == "blocks" else (turn(0, 100), turn(late, 100))
    assert run(PLAIN, *pair)[1][1] == read


@pytest.mark.parametrize(("refresh", "last"), [(True, 100), (False, 0)])
@pytest.mark.parametrize("by", ["blocks", "session"])
def test_a_read_refreshes_or_not(refresh: bool, last: int, by: str) -> None:
    """Used after 200 and 400 seconds, kept for 300: only a refreshed entry is there the second time."""
    rows = [blocks(at, [1]) if by == "blocks" else turn(at, 100) for at in (0, 200, 400)]
    assert [read for _, read, _ in run(like(refresh=refresh), *rows)] == [0, 100, last]


@pytest.mark.parametrize("by", ["blocks", "session"])
def test_never_longer_than_at_most(by: str) -> None:
    """Refreshed every 200 seconds, but gone 500 seconds after it was written; then written again."""
    rows = [blocks(at, [1]) if by == "blocks" else turn(at, 100) for at in (0, 200, 400, 500.000001, 700)]
    assert [read for _, read, _ in run(like(at_most=500_000_000), *rows)] == [0, 100, 100, 0, 100]
    rows[3] = blocks(500, [1]) if by == "blocks" else turn(500, 100)
    assert run(like(at_most=500_000_000), *rows)[3][1] == 100


@pytest.mark.parametrize(("prompt", "written"), [(1023, 0), (1024, 1024), (1025, 1025)])
def test_a_prompt_below_the_minimum_is_not_cached(prompt: int, written: int) -> None:
    first, second = run(like(min_tokens=1024), turn(0, prompt), turn(1, prompt))
    assert first == (prompt - written, 0, written)
    assert second == (prompt - written, written, 0)


def test_a_shared_part_below_the_minimum_is_not_read_and_everything_is_written_anew() -> None:
    way = like(min_tokens=250)
    assert run(way, blocks(0, [1, 2, 3]), blocks(1, [1, 2, 8, 9]), blocks(2, [1, 2, 3])) == [
        (0, 0, 300), (0, 0, 400), (0, 300, 0),
    ]  # fmt: skip


def test_what_was_written_anew_is_kept_from_then() -> None:
    """The shared part was too short to be read, so the second request wrote it again: 300 seconds from there."""
    rows = [blocks(0, [1, 2, 7]), blocks(200, [1, 2, 3]), blocks(400, [1, 2, 3])]
    assert run(like(min_tokens=250), *rows) == [(0, 0, 300), (0, 0, 300), (0, 300, 0)]
    way = like(min_tokens=250, step=200, breakpoint=False, refresh=False)  # 200 of 399 are stored
    assert run(way, turn(0, 399), turn(200, 700), turn(400, 700)) == [(199, 0, 200), (100, 0, 600), (100, 600, 0)]


@pytest.mark.parametrize(("breakpoint", "expected"), [
    (False, [(44, 0, 256), (44, 256, 0), (88, 256, 256)]),  # whole steps of 128
    (True, [(0, 0, 300), (0, 256, 44), (0, 256, 344)]),  # to the end of the prompt; reads are whole steps
])  # fmt: skip
def test_steps_and_breakpoints(breakpoint: bool, expected: list[tuple[int, int, int]]) -> None:
    assert run(like(step=128, breakpoint=breakpoint), turn(0, 300), turn(1, 300), turn(2, 600)) == expected


def test_writes_that_are_not_counted_apart_are_input() -> None:
    cache = PromptCache(like(write_meter="input"))
    assert cache.apply(turn(0, 1000)).quantities == {"input": 1000, "output": 1}
    assert cache.apply(turn(1, 1200)).quantities == {"input": 200, "cache_read": 1000, "output": 1}


def test_memory_follows_the_time_to_live() -> None:
    cache = PromptCache(PLAIN)
    for number in range(200):
        cache.apply(blocks(number * 60, [number]))
    assert len(cache._blocks) <= 2 * 62  # an hour of them between sweeps


# --- invariants -------------------------------------------------------------------------------

ways = st.builds(
    like,
    min_tokens=st.sampled_from([1, 100, 250, 1024]),
    step=st.sampled_from([1, 64, 100, 128]),
    ttl=st.sampled_from([1_000_000, 60_000_000, 300_000_000]),
    at_most=st.sampled_from([None, 300_000_000, 400_000_000]),
    refresh=st.booleans(),
    breakpoint=st.booleans(),
)
sessions = st.sampled_from([None, "a", "b"])
traffic = st.lists(
    st.tuples(st.integers(0, 120), st.lists(st.integers(0, 3), max_size=6), st.integers(0, 99), sessions), max_size=25
)


@settings(deadline=None, max_examples=150)
@given(ways, traffic)
def test_invariants(way: Behaviour, rows: list[tuple[int, list[int], int, str | None]]) -> None:
    """The prompt is conserved; no more is read than was written before; minimum, step and age are kept."""
    cache = PromptCache(way)
    clock, seen, written_before = 0, {}, 0  # type: ignore[var-annotated]
    for gap, path, tail, session in rows:
        clock += gap
        chained = tuple(
            hash(tuple(path[: depth + 1])) for depth in range(len(path))
        )  # a block's hash covers its prefix
        prompt = len(path) * 100 + tail
        usage = Usage(at=START + clock * SECOND, quantities={"input": prompt, "output": 7}, session=session,
                      prefix_hashes=chained, block_tokens=100)  # fmt: skip
        made = cache.apply(usage).quantities
        fresh, read, written = (made.get(name, 0) for name in ("input", "cache_read", "cache_write"))
        assert (fresh + read + written, made["output"]) == (prompt, 7)
        assert min(fresh, read, written) >= 0
        assert read <= written_before
        assert not (read or written) or prompt >= way.min_tokens
        if read:
            assert read >= way.min_tokens - way.step and read % way.step == 0
        if chained:
            age = [clock - seen[block] for block in chained if block in seen]
            if read:
                assert age and min(age) * 1_000_000 <= way.ttl
            seen.update(dict.fromkeys(chained, clock))
        written_before += written


@settings(deadline=None, max_examples=80)
@given(traffic)
def test_an_endless_cache_reads_what_the_ceiling_says(rows: list[tuple[int, list[int], int, str | None]]) -> None:
    cache, ceiling, clock = PromptCache(like(ttl=1 << 60)), PrefixCache(), 0
    for gap, path, tail, _ in rows:
        clock += gap
        chained = tuple(hash(tuple(path[: depth + 1])) for depth in range(len(path)))
        prompt = max(len(path) * 100 - tail, 0)  # a partial last block
        usage = Usage(at=START + clock * SECOND, quantities={"input": prompt}, prefix_hashes=chained, block_tokens=100)
        assert cache.apply(usage).quantities.get("cache_read", 0) == ceiling.add(usage)


# --- rules ------------------------------------------------------------------------------------


def test_behaviour_takes_what_is_not_stated_at_its_least_favourable() -> None:
    now = datetime(2026, 11, 4, tzinfo=UTC)
    opus = caching_rule("anthropic", "claude-opus-4-8", now)
    assert opus is not None
    hour = behaviour(opus, opus.ttls[1])
    assert behaviour(opus) == like(min_tokens=opus.min_tokens, write_meter="cache_write_5m")
    assert hour is not None and (hour.ttl, hour.write_meter) == (3_600_000_000, "cache_write_1h")
    gpt = caching_rule("openai", "gpt-4o", now)
    assert gpt is not None
    assert behaviour(gpt) == like(
        min_tokens=1024, step=128, at_most=3_600_000_000, breakpoint=False, write_meter="input"
    )
    unstated = msgspec.structs.replace(gpt.ttls[0], seconds=None, at_most_s=None)
    silent = msgspec.structs.replace(gpt, refresh_on_read=None, min_tokens=None, ttls=(unstated,))
    assert behaviour(silent) == like(step=128, refresh=False, breakpoint=False, write_meter="input")
    none = caching_rule("openai", "gpt-4-turbo", now)
    assert none is not None and behaviour(none) is None


def test_the_rule_in_force() -> None:
    now = datetime(2026, 11, 4, tzinfo=UTC)
    gpt = caching_rule("openai", "gpt-4o", now)
    assert gpt is not None and gpt.valid_from is not None
    ended = msgspec.structs.replace(gpt, valid_to=now)
    assert in_force([ended, gpt], now) is gpt
    assert in_force([ended, gpt], now - SECOND) is ended
    assert in_force([gpt], gpt.valid_from - SECOND) is None
    assert in_force([gpt], gpt.valid_from) is gpt


# --- money ------------------------------------------------------------------------------------

WRITES = """
source.acme = {{ title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }}
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 4
cache_read = 0.4
cache_write = {write}
output = 20
"""


def offer(write: str) -> Offer:
    return load_card(WRITES.format(write=write)).offers[0]


def cost(usages: Iterable[Usage], at: Offer) -> Fraction:
    usd = [price_usage(usage, at).total_usd for usage in usages]
    return sum((one for one in usd if one is not None), Fraction(0))


def hit(share: Fraction, requests: int = 46) -> list[Usage]:
    """Requests of 4,600 tokens one second apart; `share` of all their tokens repeat an earlier prefix."""
    hits, rows, number = share * requests, [], 0
    assert hits.denominator == 1
    for request in range(requests):
        repeats = request >= requests - hits
        rows.append(blocks(request, range(46) if repeats or request == 0 else range(number, number + 46)))
        number += 46
    return rows


@pytest.mark.parametrize(("write", "break_even"), [("5", Fraction(5, 23)), ("8", Fraction(10, 19))])
def test_break_even_hit_rate(write: str, break_even: Fraction) -> None:
    """(w - 1) / (w - r): 0.25 / 1.15 = 5/23 = 21.7 % at 1.25 and 0.1; 1 / 1.9 = 10/19 = 52.6 % at 2 and 0.1."""
    at, requests = offer(write), 2 * break_even.denominator
    for share, sign in (
        (break_even - Fraction(1, requests), 1),
        (break_even, 0),
        (break_even + Fraction(1, requests), -1),
    ):
        plain = hit(share, requests)
        cache = PromptCache(PLAIN)
        simulated = [cache.apply(usage) for usage in plain]
        read = sum(usage.quantities.get("cache_read", 0) for usage in simulated)
        assert Fraction(read, requests * 4600) == share
        difference = cost(simulated, at) - cost(plain, at)
        assert (difference > 0) - (difference < 0) == sign


def test_a_workload_that_never_repeats_costs_a_quarter_more_on_its_input() -> None:
    rows = [blocks(n, range(n * 10, n * 10 + 10)) for n in range(20)]
    cache, at = PromptCache(PLAIN), offer("5")
    simulated = [cache.apply(usage) for usage in rows]
    output = Fraction(20 * 20, 10**6)
    assert cost(rows, at) - output == Fraction(20 * 1000 * 4, 10**6)
    assert cost(simulated, at) - output == Fraction(5, 4) * (cost(rows, at) - output)


# --- recorded traces --------------------------------------------------------------------------


def trace(name: str) -> list[Usage]:
    if not (TRACES / name).is_file():
        pytest.skip(f"{name} is not here")
    problems = Problems()
    usages = list(read_usage([TRACES / name], problems))
    assert problems.total == 0
    return usages


def test_an_endless_cache_on_the_mooncake_trace_reads_its_published_ceiling() -> None:
    usages = trace("mooncake-synthetic.jsonl")
    cache = PromptCache(like(ttl=1 << 60))
    made = [cache.apply(usage).quantities for usage in usages]
    prompt = sum(usage.prompt_tokens for usage in usages)
    read = sum(q.get("cache_read", 0) for q in made)
    assert round(Fraction(100 * read, prompt), 2) == Fraction("65.12")
    assert sum(q.get("cache_write", 0) for q in made) == prompt - read
    short = PromptCache(PLAIN)
    assert 0 < sum(short.apply(usage).quantities.get("cache_read", 0) for usage in usages) < read


def test_a_coding_session_reads_what_its_log_says_but_for_two_things_nobody_told_it() -> None:
    """The log's own: 3,039 uncached, 21,086 written, 394,068 read.

    The simulation sees only that turns repeat each other. It cannot know of the 27,217 tokens that were warm
    before the first turn; and it takes each turn to repeat the whole last prompt, also the 3,037 tokens of the
    first nine turns that stood after the breakpoint: 394,068 - 27,217 + 3,037 = 369,888.
    """
    usages = sorted(trace("claude-code-session.jsonl"), key=lambda usage: usage.at)
    rule = caching_rule("anthropic", str(usages[0].model), usages[0].at)
    way = behaviour(rule) if rule else None
    assert way is not None
    cache = PromptCache(way)
    made = [cache.apply(usage).quantities for usage in usages]

    def total(name: str, rows: Iterable[Usage]) -> int:
        return sum(usage.quantities.get(name, 0) for usage in rows)

    actual, warm = total("cache_read", usages), total("cache_read", usages[:1])
    assert (actual, warm, total("input", usages[:-1])) == (394_068, 27_217, 3_037)
    assert sum(q.get("cache_read", 0) for q in made) == actual - warm + 3_037
    prompt = sum(q.get("input", 0) + q.get("cache_read", 0) + q.get(way.write_meter, 0) for q in made)
    assert prompt == 3_039 + 21_086 + 394_068
