"""Built-in workloads: what is generated has the distribution that was fitted, and the same seed repeats it."""

import csv
import doctest
import json
import subprocess
import sys
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean

import pytest

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.usage.prefix import PrefixCache
from farthing.usage.profiles import Table, generate, parse_profiles, profile, profiles
from farthing.usage.record import Usage

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT / "../shared/traces"
DATA = ROOT / "src/farthing/data/profiles.toml"
START = datetime(2026, 11, 21, 9, tzinfo=UTC)
NAMES = ["chat", "long-context-agent", "coding-agent"]

needs_traces = pytest.mark.skipif(not TRACES.exists(), reason="../shared/traces is not here")
each_profile = pytest.mark.parametrize("name", NAMES)


@cache
def sample(name: str) -> tuple[Usage, ...]:
    return tuple(generate(name, 20_000, 7, START))


def by_session(records: Iterable[Usage]) -> dict[str, list[Usage]]:
    found = defaultdict(list)
    for usage in records:
        found[usage.session or ""].append(usage)
    return found


def largest_gap(ours: list[int], theirs: list[int]) -> float:
    """The Kolmogorov-Smirnov distance: how far two distributions' cumulative shares come apart."""
    ours, theirs = sorted(ours), sorted(theirs)
    return max(abs(bisect_right(ours, x) / len(ours) - bisect_right(theirs, x) / len(theirs)) for x in {*ours, *theirs})


def test_there_are_three_and_each_says_what_it_rests_on() -> None:
    assert list(profiles()) == NAMES
    for found in profiles().values():
        assert found.licence
        assert found.attribution
        assert set(found.basis) == {"lengths", "arrivals", "sessions"}
    assert profile("long-context-agent").grade is Grade.DERIVED
    assert profile("coding-agent").grade is profile("chat").grade is Grade.ASSUMED
    assert profile("chat").basis["lengths"].grade is Grade.MEASURED


@needs_traces
def test_the_data_are_what_the_fit_prints() -> None:
    command = [sys.executable, str(ROOT / "tools/fit_profiles.py"), str(TRACES)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == DATA.read_text()


def test_the_example_in_the_documentation_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/workloads.md").read_text()
    example = tmp_path / "workloads.txt"
    example.write_text(text.replace("```", ""))  # doctest takes a fence for output
    assert doctest.testfile(str(example), module_relative=False) == (0, 3)


def test_documented_means_are_those_of_the_fit() -> None:
    text = (ROOT / "docs/workloads.md").read_text()
    for name in ("chat", "long-context-agent"):
        records = list(generate(name, 100_000, 7, START))
        assert f"| {name}, prompt | {fmean(usage.prompt_tokens for usage in records):,.1f} |" in text
        assert f"| {name}, answer | {fmean(usage.quantities['output'] for usage in records):,.1f} |" in text


@each_profile
def test_the_same_seed_repeats_and_more_requests_only_continue(name: str) -> None:
    once = list(generate(name, 300, 1, START))
    assert once == list(generate(name, 300, 1, START))
    assert once == list(islice(generate(name, 500, 1, START), 300))
    other = list(generate(name, 300, 2, START))
    assert [usage.quantities for usage in once] != [usage.quantities for usage in other]
    assert not {usage.session for usage in once} & {usage.session for usage in other}
    assert not {block for usage in once for block in usage.prefix_hashes} & {
        block for usage in other for block in usage.prefix_hashes
    }


@each_profile
def test_records_are_in_order_at_the_stated_rate(name: str) -> None:
    records = sample(name)
    assert len(records) == 20_000
    assert records[0].at >= START
    assert all(a.at <= b.at for a, b in pairwise(records))
    span = (records[-1].at - records[0].at) / timedelta(seconds=1)
    # A coding session is about 50 requests, so 20,000 of them are few sessions and the rate varies.
    assert len(records) / span == pytest.approx(
        profile(name).requests_per_second, rel=0.15 if name == "coding-agent" else 0.04
    )
    assert {usage.tags["profile"] for usage in records} == {name}


@each_profile
def test_hashes_are_chained_and_cover_the_prompt(name: str) -> None:
    parents: dict[int, int | None] = {}
    for usage in sample(name)[:3000]:
        size = usage.block_tokens or 0
        assert len(usage.prefix_hashes) == -(-usage.prompt_tokens // size)
        assert usage.prompt_tokens >= 1
        before = None
        for block in usage.prefix_hashes:
            assert parents.setdefault(block, before) == before
            assert 0 <= block < 1 << 63
            before = block


def test_a_coding_session_repeats_all_that_was_said() -> None:
    sessions = by_session(sample("coding-agent"))
    turns = [pair for records in sessions.values() for pair in pairwise(records)]
    assert len(turns) > 15_000
    for before, after in turns:
        assert after.prompt_tokens >= before.prompt_tokens + before.quantities["output"] + 12  # the least that is added
        whole = before.prompt_tokens // 512
        assert after.prefix_hashes[:whole] == before.prefix_hashes[:whole]
        assert after.prefix_hashes[whole] != before.prefix_hashes[-1]
    shared = 27_217 // 512  # what the first response of the recorded session found in the cache
    assert len({usage.prefix_hashes[:shared] for usage in sample("coding-agent")}) == 1
    assert len({usage.prefix_hashes[: shared + 1] for usage in sample("coding-agent")}) == len(sessions)


def test_a_chat_grows_and_a_document_stays() -> None:
    for records in by_session(sample("chat")).values():
        for before, after in pairwise(records):
            whole = before.prompt_tokens // 128
            assert after.prompt_tokens >= before.prompt_tokens
            assert after.prefix_hashes[:whole] == before.prefix_hashes[:whole]
    for records in by_session(sample("long-context-agent")).values():
        assert len({usage.prompt_tokens for usage in records}) == 1


def test_turns_and_gaps_are_those_of_the_tables() -> None:
    for name, part in [(name, profile(name).parts[-1]) for name in NAMES]:
        gaps = [(b.at - a.at) / timedelta(seconds=1) for records in by_session(sample(name)).values()
                for a, b in pairwise(records)]  # fmt: skip
        assert fmean(gaps) == pytest.approx(part.gap_s.mean, rel=0.05)
    complete = len(by_session(sample("chat"))) / len(sample("chat"))
    assert 1 / complete == pytest.approx(profile("chat").turns, rel=0.05)


@needs_traces
def test_chat_has_the_lengths_of_the_azure_trace() -> None:
    with (TRACES / "azure-conv-2023.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    records = sample("chat")
    for column, ours in (
        ("ContextTokens", [usage.prompt_tokens for usage in records]),
        ("GeneratedTokens", [usage.quantities["output"] for usage in records]),
    ):
        theirs = [int(row[column]) for row in rows]
        assert largest_gap(ours, theirs) < 0.05
        assert fmean(ours) == pytest.approx(fmean(theirs), rel=0.025)


@needs_traces
def test_the_long_context_agent_has_the_lengths_and_the_reuse_of_the_mooncake_trace() -> None:
    rows = [json.loads(line) for line in (TRACES / "mooncake-synthetic.jsonl").read_text().splitlines()]
    records = sample("long-context-agent")
    for column, ours in (
        ("input_length", [usage.prompt_tokens for usage in records]),
        ("output_length", [usage.quantities["output"] for usage in records]),
    ):
        theirs = [row[column] for row in rows]
        assert largest_gap(ours, theirs) < 0.05
        assert fmean(ours) == pytest.approx(fmean(theirs), rel=0.05)
    cache = PrefixCache()
    for usage in records:
        cache.add(usage)
    found = cache.ceiling()
    shares = (found.share_of_blocks, found.token_weighted, found.mean_per_request)
    assert [float(share or 0) for share in shares] == pytest.approx([0.6396, 0.6512, 0.4315], abs=0.03)


@each_profile
def test_a_part_draws_the_quantiles_that_it_states(name: str) -> None:
    from random import Random

    rng = Random(3)
    for part in profile(name).parts:
        for table in (part.turns, part.prompt, part.output, part.new):
            drawn = sorted(table.count(rng) for _ in range(20_000))
            for p, value in zip(table.at, table.values, strict=True):
                # Four standard errors of a share of 20,000 are at most 0.015; ties put p between the two shares.
                # Rounding to whole numbers moves a small count's step, hence the half.
                assert bisect_left(drawn, value - 0.5) / len(drawn) <= p + 0.015
                assert bisect_right(drawn, value + 0.5) / len(drawn) >= p - 0.015


def test_a_table_by_hand() -> None:
    table = Table((0.0, 0.5, 1.0), (0, 10, 1000))
    assert [table.value(u) for u in (0, 0.25, 0.5)] == [0, 5, 10]  # from 0 the value itself runs straight
    assert table.value(0.75) == pytest.approx(100)  # halfway from 10 to 1,000 in the logarithm


def test_nothing_and_mistakes() -> None:
    assert list(generate("chat", 0, 1, START)) == []
    with pytest.raises(
        FarthingError, match="unknown profile 'chatt'; there are: chat, long-context-agent, coding-agent"
    ):
        generate("chatt", 1, 1, START)
    with pytest.raises(FarthingError, match="-1 requests"):
        generate("chat", -1, 1, START)
    with pytest.raises(ValueError, match="no time zone"):
        generate("chat", 1, 1, datetime(2026, 11, 21))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("arrival_cv = 1.094", "arrival_vc = 1.094", "unknown field `arrival_vc`"),
        ("arrival_cv = 1.094", "arrival_cv = 0", "'chat': block size, rate and variation must be positive"),
        ('next = "rising"', 'next = "falling"', "Invalid enum value 'falling'"),
        ("share = 0.8155", "share = 0.5", "'long-context-agent': the shares of its parts must add up to 1"),
        ('lengths = { source = "azure-llm-2023"', 'lengths = { source = "hearsay"', "basis.lengths must name one"),
        ('grade = "derived"', 'grade = "sure"', "grade 'sure' is not one of"),
        ("quantiles = [0, 0.01,", "quantiles = [0, 0.5,", "quantiles must rise from 0 to 1"),
        ("prompt = [2, 29,", "prompt = [29,", "'chat': prompt has 25 values"),
        ("prompt = [2, 29,", "prompt = [29, 2,", "'chat': prompt must not be negative and must not fall"),
        ("turns = [1, 1,", "turns = [0, 1,", "at least one turn"),
        ('name = "coding-agent"', 'name = "chat"', "two profiles have one name"),
        ("[profile.basis]", "[profile.basis", "line"),
    ],
)
def test_a_broken_file_is_one_readable_line(old: str, new: str, message: str) -> None:
    text = DATA.read_text()
    assert old in text
    with pytest.raises(FarthingError, match=r"^mine\.toml: ") as caught:
        parse_profiles(text.replace(old, new, 1), "mine.toml")
    assert message in str(caught.value)
