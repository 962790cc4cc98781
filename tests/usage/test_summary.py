"""The summary: every figure by hand on a few records; the sketches against exact answers."""

import csv
import json
import math
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.problems import Problems
from farthing.time import EPOCH, from_unix, parse_instant
from farthing.usage.record import Usage
from farthing.usage.summary import QUANTILES, DistinctCounter, LengthCounter, Slice, summarise

TRACE = Path(__file__).resolve().parents[2] / "../shared/traces/azure-conv-2023.csv"


def test_every_figure_by_hand() -> None:
    records = [
        Usage(at=from_unix(100), quantities={"input": 10, "cache_read": 30, "output": 5, "reasoning": 4},
              provider="acme", model_served="one", session="a", reported_usd=Fraction(1, 10),
              prefix_hashes=(1, 2, 3), block_tokens=16),
        Usage(at=from_unix(90), quantities={"input": 40, "output": 7}, provider="acme", model_asked="one",
              tier_served="batch", session="b", estimated=True, prefix_hashes=(1, 2, 4), block_tokens=16),
        Usage(at=from_unix(110), quantities={"input": 1000, "output_audio": 100}, requests=8, model_served="two",
              session="a", reported_usd=Fraction(2, 10)),
        Usage(at=from_unix(109), quantities={"image": 1}, status="error"),
    ]  # fmt: skip
    problems = Problems()

    def reader() -> Iterator[Usage]:
        yield from records
        problems.add("log.csv:7", "'x' is not a number", "write digits", kind="not a number")

    found = summarise(reader(), problems, cache_blocks=2)
    assert (found.rows, found.requests) == (4, 1 + 1 + 8 + 1)
    assert found.quantities == {
        "input": 10 + 40 + 1000, "cache_read": 30, "output": 5 + 7, "reasoning": 4, "output_audio": 100, "image": 1,
    }  # fmt: skip
    assert found.prompt_tokens == 10 + 30 + 40 + 1000
    assert found.output_tokens == 5 + 7 + 100  # reasoning is inside output
    assert (found.clock, found.first, found.last) == ("absolute", from_unix(90), from_unix(110))
    assert (found.span_s, found.requests_per_second) == (20, 11 / 20)
    assert found.out_of_order == 2
    assert list(found.by_offer.items()) == [
        ("two", Slice(requests=8, prompt_tokens=1000, output_tokens=100)),
        ("acme/one", Slice(requests=2, prompt_tokens=80, output_tokens=12)),
        ("unknown", Slice(requests=1)),
    ]
    assert {name: part.requests for name, part in found.by_provider.items()} == {"unknown": 9, "acme": 2}
    assert {name: part.requests for name, part in found.by_tier.items()} == {"standard": 10, "batch": 1}
    assert {name: part.requests for name, part in found.by_status.items()} == {"ok": 10, "error": 1}
    assert (found.sessions, found.sessions_exact) == (2, True)
    assert (found.prompt.count, found.prompt.total, found.prompt.min, found.prompt.max) == (2, 80, 40, 40)
    assert (found.output.mean, found.output.p50, found.output.p99) == (6, 5, 7)
    assert found.prompt.quantile_error == "0"
    assert (found.buckets, found.without_tokens, found.estimated) == (1, 1, 1)
    assert (found.reported_rows, found.reported_usd) == (2, Fraction(3, 10))
    assert [ceiling.capacity for ceiling in found.prefix] == [None, 2]
    assert [ceiling.hit_tokens for ceiling in found.prefix] == [32, 32]
    assert (found.rejected, found.reasons) == (1, {"not a number": 1})
    assert str(found.problems[0]) == "log.csv:7: 'x' is not a number (write digits)"

    plain = json.loads(json.dumps(found.to_json()))
    assert plain["reported_usd"] == "0.3"
    assert plain["first"] == "1970-01-01T00:01:30Z"
    assert plain["output"]["mean"] == 6.0
    assert plain["prefix"][0]["share_of_blocks"] == 2 / 6
    assert plain["problems"] == [{"place": "log.csv:7", "reason": "'x' is not a number", "repair": "write digits"}]
    assert plain["by_offer"]["two"] == {"requests": 8, "prompt_tokens": 1000, "output_tokens": 100}


def test_nothing_is_unknown_and_not_zero() -> None:
    found = summarise([], Problems())
    assert (found.rows, found.clock, found.first, found.span_s, found.requests_per_second) == (
        0,
        "none",
        None,
        None,
        None,
    )
    assert (found.prompt.mean, found.prompt.p50, found.reported_usd, found.prefix) == (None, None, None, [])
    assert json.loads(json.dumps(found.to_json()))["reported_usd"] is None


def test_one_instant_has_no_rate() -> None:
    found = summarise([Usage(at=EPOCH, quantities={"input": 1})] * 2, Problems())
    assert (found.span_s, found.requests_per_second) == (0, None)


def test_offsets_and_instants_are_not_compared() -> None:
    offset = Usage(at=from_unix(5), quantities={"input": 1}, relative=True)
    assert summarise([offset], Problems()).clock == "relative"
    found = summarise([offset, Usage(at=from_unix(10**9), quantities={"input": 1})], Problems())
    assert (found.clock, found.first, found.last, found.span_s) == ("mixed", None, None, None)


def nearest_rank(values: list[int], p: Fraction) -> int:
    return sorted(values)[max(1, math.ceil(p * len(values))) - 1]


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=60), st.integers(0, 30))
def test_quantiles_are_exact_or_within_the_stated_error(values: list[int], distinct: int) -> None:
    counter = LengthCounter(distinct)
    for value in values:
        counter.add(value)
    found = counter.result()
    assert (found.count, found.total, found.min, found.max) == (len(values), sum(values), min(values), max(values))
    assert found.mean == Fraction(sum(values), len(values))
    assert (found.quantile_error == "0") == (len(set(values)) <= distinct)
    for name, p in QUANTILES.items():
        true = nearest_rank(values, p)
        # Rounding to a whole token adds at most half a token to the stated error.
        allowed = (
            0 if counter.exact else Fraction(found.quantile_error) * true * (1 + Fraction(1, 10**9)) + Fraction(1, 2)
        )
        assert abs(getattr(found, name) - true) <= allowed


def test_memory_of_lengths_is_bounded() -> None:
    counter = LengthCounter(100)
    for length in range(50_000):
        counter.add(length)
    assert len(counter._counts) < 1_100  # ln(50,000) / ln((1 + .005) / (1 - .005)) = 1,082 buckets


def test_distinct_names() -> None:
    exact, bounded = DistinctCounter(), DistinctCounter(4096)
    for name in range(40_000):
        for counter in (exact, bounded):
            counter.add(f"session-{name % 20_000}")
    assert (exact.result(), exact.exact) == (20_000, True)
    assert not bounded.exact
    assert len(bounded._held) == len(bounded._largest) == 4096
    # Four standard errors of 1/sqrt(4,094) = 1.6 %; the hashes are fixed, so this cannot flicker.
    assert bounded.result() == pytest.approx(20_000, rel=0.063)


@pytest.mark.skipif(not TRACE.exists(), reason="../shared/traces is not here")
def test_published_sums_of_the_azure_conversation_trace() -> None:
    def read() -> Iterator[Usage]:
        with TRACE.open(newline="") as lines:
            for row in csv.DictReader(lines):
                quantities = {"input": int(row["ContextTokens"]), "output": int(row["GeneratedTokens"])}
                yield Usage(at=parse_instant(row["TIMESTAMP"] + "Z"), quantities=quantities)

    found = summarise(read(), Problems())
    assert (found.requests, found.prompt.total, found.output.total) == (19_366, 22_361_870, 4_088_665)
    assert found.span_s is not None
    assert timedelta(seconds=found.span_s) // timedelta(seconds=1) == 3501
    assert found.prompt.p50 == 1020
