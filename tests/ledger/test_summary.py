"""Summaries: equal to a naive sum in Python, whatever is hot and what closed; unknown is counted and never zero."""

import io
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.ledger import summary as module
from farthing.ledger.days import close_days
from farthing.ledger.ledger import Ledger
from farthing.ledger.summary import DIMENSIONS, summarise_ledger
from farthing.problems import FarthingError
from farthing.reports.ledger import summary_json, summary_view
from tests.ledger.made import DAY_US, NOON_US, done, some, sum_usd

AMOUNTS = st.one_of(
    st.fractions(min_value=0, max_value=10**6, max_denominator=10**6),
    st.decimals(min_value=0, max_value=10**5, places=12).map(Fraction),
    st.fractions(max_denominator=10**30),
    st.none(),
)


ROWS = st.lists(st.tuples(AMOUNTS, st.sampled_from(["a", "b", ""]), st.booleans(), AMOUNTS), max_size=30)


@given(ROWS)
@settings(deadline=None, max_examples=25)
def test_sums_are_exact(rows: list[tuple[Fraction | None, str, bool, Fraction | None]]) -> None:
    import tempfile

    expected: dict[str | None, Fraction] = defaultdict(Fraction)
    with tempfile.TemporaryDirectory() as folder:
        with Ledger.open(folder) as ledger:
            for number, (usd, feature, old, theirs) in enumerate(rows):
                expected[feature or None] += usd or 0
                text, told = (None if amount is None else str(amount) for amount in (usd, theirs))
                started_us = NOON_US if old else NOON_US + 3 * DAY_US
                ledger.write([done(number, usd=text, feature=feature, started_us=started_us, reported_usd=told)])
        close_days(Path(folder), NOON_US + 2 * DAY_US)
        found = summarise_ledger(Path(folder), ["feature"])
    assert {group.key["feature"]: group.known_usd for group in found.groups} == expected
    assert found.whole.known_usd == sum(expected.values())
    assert found.whole.unknown == sum(usd is None for usd, *_ in rows)
    reported = [theirs for *_, theirs in rows if theirs is not None]
    assert (found.whole.reported, found.whole.reported_usd) == (len(reported), sum(reported) if reported else None)
    for group in [found.whole, *found.groups]:
        key = group.key.get("feature", "whole")
        both = [(us, them) for us, feature, _, them in rows if us is not None and them is not None
                and key in ("whole", feature or None)]  # fmt: skip
        assert group.compared == len(both)
        assert group.compared_usd == (sum(us for us, _ in both) if both else None)
        assert group.compared_reported_usd == (sum(them for _, them in both) if both else None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Ledger.open(tmp_path) as ledger:
        ledger.write(list(some(2000, ledger)))
    return tmp_path


def test_groups_are_what_python_finds(folder: Path) -> None:
    rows = list(some(2000))
    found = {
        (g.key["feature"], g.key["model"]): g for g in summarise_ledger(folder, ["feature", "model"]).groups
    }  # fmt: skip
    assert found.keys() == {(row.feature, row.model_served) for row in rows}
    for (feature, model), group in found.items():
        mine = [row for row in rows if (row.feature, row.model_served) == (feature, model)]
        assert group.attempts == group.requests == len(mine)
        assert group.known_usd == sum_usd(mine)
        assert group.failed == sum(row.state == "failed" for row in mine)
        assert group.unknown == sum(row.usd is None for row in mine)
        assert group.quantities == {
            name: total
            for name in ("input", "cache_read", "output", "reasoning", "audio_second")
            if (total := sum(row.quantities.get(name, 0) for row in mine))
        }
        if model == "new":
            assert group.reasons == {"no offer openai/new": len(mine)}


def test_latency_is_the_nearest_rank_of_answered_attempts(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(n, started_us=NOON_US, ended_us=NOON_US + n * 1_000_000) for n in range(1, 101)])
        ledger.write([done(0, state="failed", usd="0", ended_us=NOON_US + 10**10)])
    whole = summarise_ledger(tmp_path).whole
    assert (whole.latency_p50_s, whole.latency_p95_s) == (50.0, 95.0)  # of 1 … 100 s


def test_many_rows_have_estimated_latencies_and_it_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(folder) as ledger:
        spread = [int(1.01**n) for n in range(2000)]  # from a microsecond to seven minutes
        ledger.write([done(n, ledger=ledger, ended_us=NOON_US + n * 1000 + took) for n, took in enumerate(spread)])
    exact = summarise_ledger(folder, ["feature"])
    monkeypatch.setattr(module, "EXACT_ROWS", 100)
    about = summarise_ledger(folder, ["feature"])
    assert exact.latency_exact and not about.latency_exact
    for one, other in zip([exact.whole, *exact.groups], [about.whole, *about.groups], strict=True):
        assert other.latency_p50_s == pytest.approx(one.latency_p50_s, rel=0.0101)
        assert other.latency_p95_s == pytest.approx(one.latency_p95_s, rel=0.0101)


def test_a_request_that_fell_back_is_one_request(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([
            done(1, request="r", state="failed", usd="0", quantities={}, upstream="main"),
            done(2, request="r", number=2, upstream="other"),
        ])  # fmt: skip
    found = summarise_ledger(tmp_path, ["upstream"])
    assert (found.whole.requests, found.whole.attempts, found.whole.failed) == (1, 2, 1)
    assert {g.key["upstream"]: g.requests for g in found.groups} == {"main": 1, "other": 0}


def test_since_and_until_are_half_open(tmp_path: Path) -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(n, started_us=NOON_US + n * DAY_US) for n in range(4)])
    for _ in range(2):
        assert summarise_ledger(tmp_path, since=at).whole.attempts == 4
        assert summarise_ledger(tmp_path, since=at.replace(microsecond=1)).whole.attempts == 3
        assert summarise_ledger(tmp_path, until=at.replace(day=21)).whole.attempts == 1
        assert summarise_ledger(tmp_path, since=at, until=at).whole.attempts == 0
        close_days(tmp_path, NOON_US + 2 * DAY_US)


@pytest.mark.parametrize("name", [*DIMENSIONS, "tag:team", 'tag:it\'s "odd"'])
def test_every_dimension_adds_up(folder: Path, name: str) -> None:
    found = summarise_ledger(folder, [name])
    assert sum(group.attempts for group in found.groups) == 2000
    assert sum((group.known_usd for group in found.groups), Fraction(0)) == found.whole.known_usd
    close_days(folder, NOON_US + 2 * DAY_US)
    assert summarise_ledger(folder, [name]) == found


def test_tags_group(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, tags={"it's": "a"}), done(2, tags={"it's": "b", "x": "y"}), done(3)])
    assert {group.key["tag:it's"] for group in summarise_ledger(tmp_path, ["tag:it's"]).groups} == {"a", "b", None}


def test_an_empty_ledger_has_a_summary(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    found = summarise_ledger(tmp_path, ["model"])
    assert (found.whole.attempts, found.whole.known_usd, found.groups) == (0, 0, [])
    assert summary_json(found)["whole"]["total_usd"] == "0"


def test_unknown_is_no_zero(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, usd=None, unknown="no offer openai/new", model_served="new"), done(2)])
    found = summarise_ledger(tmp_path, ["model"])
    made = {group["model"]: group for group in summary_json(found)["groups"]}
    assert made["new"]["total_usd"] is None and made["new"]["unknown"] == 1
    assert made["gpt-test"]["total_usd"] == "0.003055"  # 1002 × 2.5 + 200 × 0.25 + 50 × 10 microdollars
    assert summary_json(found)["whole"]["total_usd"] is None
    shown = text(summary_view(found))
    assert "$0 " not in shown and "unknown" in shown and "≥ $0.003055" in shown


def text(view: object) -> str:
    from rich.console import Console

    screen = Console(width=100, record=True, file=io.StringIO())
    screen.print(view)
    return screen.export_text()


def test_bad_questions_are_answered_in_a_line(folder: Path) -> None:
    with pytest.raises(FarthingError, match="--by 'modle' is not known; did you mean 'model'"):
        summarise_ledger(folder, ["modle"])
    with pytest.raises(FarthingError, match="names 'model' twice"):
        summarise_ledger(folder, ["model", "model"])
    with pytest.raises(FarthingError, match="no ledger here"):
        summarise_ledger(folder / "none")
