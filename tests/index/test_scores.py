"""The capability data: read strictly, chosen by evidence, dated by release."""

from datetime import date

import pytest

from farthing.evidence import Grade
from farthing.index import scores
from farthing.problems import FarthingError

HEAD = """
[source.lab]
title = "A lab"
where = "https://example.org"
seen = 2026-11-22
grade = "measured"
[source.maker]
title = "Its maker"
where = "https://example.org/maker"
seen = 2026-11-22
grade = "vendor-stated"
[published]
lab = 2025-03-12
[[benchmark]]
id = "gpqa-diamond"
title = "GPQA Diamond"
"""
MODEL = """
[[model]]
model = "gpt-4o-2024-05-13"
released = 2024-05-13
scores = [{ source = "maker", gpqa-diamond = 49.9 }, { source = "lab", gpqa-diamond = 53 }]
"""


def test_the_packaged_file_has_sixty_models_and_more_on_the_two_oldest_benchmarks() -> None:
    for name in ("MMLU", "gpqa"):
        assert len({score.model for score in scores.scores(name)}) >= 60
    found = scores.scores()
    assert len(found) > 500
    assert min(s.released for s in found).year <= 2022 and max(s.released for s in found).year == 2026
    assert all(s.released <= date(2026, 11, 22) and s.date >= date(2021, 1, 1) for s in found)


def test_no_spelling_means_two_benchmarks() -> None:
    for one in scores.benchmarks():
        for name in (one.id, one.title, *one.names):
            assert scores.find(name) == one, name


def test_percentages_are_percentages_and_ratings_are_ratings() -> None:
    units = {one.id: one.unit for one in scores.benchmarks()}
    for score in scores.scores():
        low, high = (0, 100) if units[score.benchmark] == "percent" else (900, 1600)
        assert low < score.value <= high, score


def test_no_release_has_two_scores_of_one_source() -> None:
    seen = set()
    for s in scores.scores():
        key = (s.model, s.benchmark, s.source.id, s.reasoning)
        assert key not in seen, key
        seen.add(key)


@pytest.mark.parametrize("name", ["GPQA Diamond", "gpqa_diamond", "gpqa", "GPQA-D"])
def test_a_benchmark_is_found_in_any_spelling(name: str) -> None:
    assert scores.find(name).id == "gpqa-diamond"


def test_an_unknown_benchmark_is_named_with_the_nearest() -> None:
    with pytest.raises(FarthingError, match="did you mean humaneval"):
        scores.find("humanevil")
    assert scores.title_of("humanevil") is None


def test_measured_goes_before_stated_and_the_conflict_is_kept() -> None:
    found = scores.read(HEAD + MODEL, "here").scores
    (used,) = scores.chosen(found)
    assert (used.value, used.source.grade, used.date) == (53, Grade.MEASURED, date(2025, 3, 12))
    assert [s.date for s in found if s.source.id == "maker"] == [date(2024, 5, 13)]  # its maker's: that of the release
    assert scores.conflicts(found, apart=3) == ["sources disagree on gpt-4o-2024-05-13: 49.9 (maker), 53 (lab)"]
    assert scores.conflicts(found) == []


def test_an_id_has_the_score_of_the_release_that_it_was_then() -> None:
    releases = scores.by_key("gpqa-diamond")["gpt-4o"]
    assert [scores.on(releases, day).value for day in (date(2024, 6, 1), date(2024, 9, 1), date(2025, 1, 1))] == [  # type: ignore[union-attr]
        53, 52, 54,
    ]  # fmt: skip


def test_an_alias_has_no_score_before_the_first_release_that_we_know() -> None:
    releases = scores.by_key("gpqa-diamond")["deepseek/deepseek-chat"]
    assert scores.on(releases, date(2024, 1, 1)) is None
    first, later = scores.on(releases, date(2024, 6, 1)), scores.on(releases, date(2025, 1, 1))
    assert first is not None and later is not None
    assert (first.model, later.model) == ("deepseek-v2", "deepseek-v3")
    with_one = scores.by_key("math-5")["deepseek/deepseek-chat"]
    assert len(with_one) == 1 and scores.on(with_one, date(2024, 6, 1)) is None
    preview = scores.by_key("gpqa-diamond")["phi-4"]
    assert scores.on(preview, date(2024, 1, 1)) == preview[0]  # one release only: the id is that model


def test_what_guessing_gets_is_no_milestone() -> None:
    """Four choices are 25 on GPQA; models that know nothing are measured at 4 to 6.4 on Humanity's Last Exam."""
    for one in scores.benchmarks():
        values = [score.value for releases in scores.by_key(one.id, reasoning=True).values() for score in releases]
        assert min(values) > one.floor
    assert scores.find("hle").floor > 6.4 and scores.find("gpqa").floor > 25


def test_the_market_is_scored_into_this_year() -> None:
    """A benchmark whose newest score is old freezes its frontier: no cheaper model is known to reach it."""
    for name in ("gpqa", "arena-text"):
        assert max(score.released for score in scores.scores(name) if not score.reasoning) >= date(2026, 3, 1)


def test_reasoning_counts_only_where_it_is_let() -> None:
    assert "o1" not in scores.by_key("gpqa-diamond")
    assert "o1" in scores.by_key("gpqa-diamond", reasoning=True)
    both = scores.by_key("gpqa-diamond", reasoning=True)["claude-opus-4"]
    assert both[-1].value > scores.by_key("gpqa-diamond")["claude-opus-4"][-1].value
    assert scores.best()["gpt-4"]["mmlu"] == (86, "epoch-2025")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MODEL.replace("gpqa-diamond = 53", "gpqo = 53"), "no \\[\\[benchmark\\]\\] has the id 'gpqo'"),
        (MODEL.replace('"lab"', '"labs"'), "no \\[source.labs\\]"),
        (MODEL.replace("= 53", '= "53"'), "write it without quotes"),
        (MODEL.replace("released = 2024-05-13\n", ""), "has no 'released', and \\[published\\] has no maker"),
        (MODEL.replace("released", "relased", 1), "has no 'released'"),
        (MODEL + "\n[published2]\nx = 1\n", "unknown key 'published2'"),
    ],
)
def test_a_mistake_is_located(text: str, reason: str) -> None:
    with pytest.raises(FarthingError, match=r"^here:\d+: .*" + reason):
        scores.read(HEAD + text, "here")
