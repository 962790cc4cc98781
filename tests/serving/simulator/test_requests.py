import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving.simulator import Requests, simulate
from farthing.serving.simulator.chains import chains
from farthing.usage.profiles import generate
from farthing.usage.record import Usage
from tests.serving.simulator.models import Affine

START = datetime(2026, 1, 1, tzinfo=UTC)


def usage(seconds, prompt, output=5, **more):
    return Usage(at=START + timedelta(seconds=seconds), quantities={"input": prompt, "output": output}, **more)


def test_columns_are_put_in_the_order_of_arrival():
    made = Requests.of(
        [3, 1, 2], [30, 10, 20], [3, 1, 2], priority=[9, 7, 8], prefixes=[[(5, 16)], [], [(6, 8), (7, 8)]]
    )
    assert made.arrival_s.tolist() == [1, 2, 3]
    assert made.prompt_tokens.tolist() == [10, 20, 30]
    assert made.priority.tolist() == [7, 8, 9]
    assert made.prefix_starts.tolist() == [0, 0, 2, 3]
    assert made.prefix_ids.tolist() == [6, 7, 5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([0, 1], [5], [5, 5]), "2 arrivals and 1 prompt_tokens"),
        (([0, 1], [5, 0], [5, 5]), "request 2: prompt_tokens is 0, not 1 or more"),
        (([0, 1], [5, 5], [5, -1]), "request 2: output_tokens is -1"),
        (([0, float("nan")], [5, 5], [5, 5]), "not a finite number"),
    ],
)
def test_columns_that_cannot_be(arguments, said):
    with pytest.raises(FarthingError, match=said):
        Requests.of(*arguments)


def test_usage_without_a_prompt_or_of_several_requests_is_left_out_and_counted():
    made = Requests.from_usage([usage(5, 10), usage(0, 20), usage(1, 0), usage(2, 7, requests=3)])
    assert (len(made), made.left_out) == (2, 2)
    assert made.arrival_s.tolist() == [0, 5]
    assert made.prompt_tokens.tolist() == [20, 10]
    with pytest.raises(FarthingError, match="no request to simulate: 1 records"):
        Requests.from_usage([usage(1, 0)])


def test_cached_and_uncached_input_are_one_prompt():
    record = Usage(at=START, quantities={"input": 10, "cache_read": 90, "output": 3})
    assert Requests.from_usage([record]).cached_tokens is None
    made = Requests.from_usage([record], recorded_cache=True)
    assert (made.prompt_tokens.tolist(), made.cached_tokens.tolist()) == ([100], [90])


def test_turns_of_a_session_repeat_the_prompt_before():
    """160 tokens, then 160 + 80 of which 160 were there, then a compaction to 100: nothing."""
    records = [usage(n * 100, prompt, session="s") for n, prompt in enumerate((160, 240, 100, 132))]
    run = simulate(Requests.from_usage(records), [Affine()], prefix_cache=True)
    assert run.cached_tokens.tolist() == [0, 160, 0, 96]  # 100 tokens are 6 whole blocks


def test_hashes_of_blocks():
    """Blocks of 512: the second prompt shares two of its three."""
    records = [
        usage(0, 1500, prefix_hashes=(1, 2, 3), block_tokens=512),
        usage(100, 1400, prefix_hashes=(1, 2, 4), block_tokens=512),
    ]
    run = simulate(Requests.from_usage(records), [Affine()], prefix_cache=True)
    assert run.cached_tokens.tolist() == [0, 1024]


def test_a_profile_can_be_simulated():
    records = list(generate("chat" if "chat" in _profiles() else _profiles()[0], 300, seed=1, start=START))
    made = Requests.from_usage(records)
    run = simulate(made, [Affine(constant_s=0.01)], prefix_cache=True)
    assert run.summary().requests + run.summary().refused == len(made) == 300
    assert run.cached_tokens.sum() > 0


def _profiles():
    from farthing.usage.profiles import profiles

    return list(profiles())


def test_pieces_that_always_come_together_are_one():
    """1-2-3 come together, then 4 or 5; blocks of 16 tokens: 3 x 32 tokens are 6 blocks."""
    prefixes = [[(1, 32), (2, 32), (3, 32), (4, 32)], [(1, 32), (2, 32), (3, 32), (5, 32)], []]
    made = Requests.of([0, 1, 2], [128, 200, 50], [1, 1, 1], prefixes=prefixes)
    first, second, third = chains(made, 16)
    assert [size for _, size in first] == [6, 2]
    assert [size for _, size in second] == [6, 2]
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert third == ()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.lists(st.integers(0, 2), max_size=4).map(tuple), min_size=1, max_size=12),
    st.lists(st.integers(1, 70), min_size=4, max_size=4),
    st.sampled_from([1, 4, 16]),
)
def test_chains_share_what_the_trace_shares(paths, sizes, block_size):
    """For each pair of prompts: the blocks of their common pieces = those of their common start, in tokens."""
    prefixes = [[(hash(path[: n + 1]) & 0xFFFFFF, sizes[n]) for n in range(len(path))] for path in paths]
    totals = [sum(tokens for _, tokens in prefix) for prefix in prefixes]
    made = Requests.of([0] * len(paths), [total + 1 for total in totals], [1] * len(paths), prefixes=prefixes)
    found = chains(made, block_size)
    for a, path_a in enumerate(paths):
        assert sum(size for _, size in found[a]) == totals[a] // block_size
        for b, path_b in enumerate(paths):
            same = 0
            while same < min(len(path_a), len(path_b)) and path_a[same] == path_b[same]:
                same += 1
            shared = 0
            for one, other in zip(found[a], found[b], strict=False):
                if one != other:
                    break
                shared += one[1]
            assert shared == sum(sizes[:same]) // block_size


def test_synthetic_requests_have_the_stated_means():
    made = Requests.synthetic(200_000, rate_per_s=4, prompt_tokens=500, output_tokens=200, variation=1.0, seed=1)
    assert made.prompt_tokens.mean() == pytest.approx(500, rel=0.02)
    assert made.output_tokens.std() / made.output_tokens.mean() == pytest.approx(1.0, rel=0.03)
    assert np.diff(made.arrival_s).mean() == pytest.approx(0.25, rel=0.02)
    same = Requests.synthetic(3, rate_per_s=None, prompt_tokens=7, output_tokens=2)
    assert (same.arrival_s.tolist(), same.prompt_tokens.tolist()) == ([0, 0, 0], [7, 7, 7])
    with pytest.raises(FarthingError, match="a rate above 0"):
        Requests.synthetic(3, rate_per_s=0, prompt_tokens=7, output_tokens=2)


TRACE = Path(__file__).parents[4] / "shared" / "traces" / "mooncake-synthetic.jsonl"


@pytest.mark.skipif(not TRACE.is_file(), reason="../shared/traces is not there")
def test_mooncake_trace_in_a_cache_without_end():
    """The trace's README: 65.12 % of tokens, 43.15 % as a mean per request. The mean is lower here: hits are
    whole blocks of 16, and the last token of a prompt is always computed, which counts for the short ones."""
    rows = [json.loads(line) for line in TRACE.read_text().splitlines()]
    requests = Requests.of(
        [row["timestamp"] / 1000 for row in rows],
        [row["input_length"] for row in rows],
        [row["output_length"] for row in rows],
        prefixes=[[(h, 512) for h in row["hash_ids"]] for row in rows],
    )
    run = simulate(requests, [Affine(constant_s=1e-4)], prefix_cache=True)
    assert run.cached_tokens.sum() / requests.prompt_tokens.sum() == pytest.approx(0.6512, abs=0.0002)
    assert 0.42 < (run.cached_tokens / requests.prompt_tokens).mean() < 0.4315
