"""Volumes of a user's own usage: matched to lines, by period where it lasts, and said where they are not found."""

from datetime import timedelta

import pytest

from farthing.index.kinds import list_price
from farthing.index.matched import of_panel
from farthing.index.panel import panel
from farthing.index.volumes import Volumes, volumes, weighed
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.usage.record import Usage
from tests.index.made import day, steps

DATES = [day("2024-01-01"), day("2024-02-01"), day("2024-03-01")]
GPT = steps("gpt-4o", ("2023-01-01", 10), ("2024-01-20", 5), provider="openai")
CLAUDE = steps("claude-3-opus-20240229", ("2023-01-01", 20), provider="anthropic", family="claude-3-opus")


def used(model: str, at: str, tokens: int, provider: str = "openai") -> Usage:
    counts = {"input": tokens * 3 // 4, "output": tokens - tokens * 3 // 4}
    return Usage(at=day(at), quantities=counts, provider=provider, model_served=model)


def of(*records: Usage) -> Volumes:
    return volumes(records, [GPT, CLAUDE], Book())


def test_usage_finds_its_lines_by_name_and_by_family() -> None:
    bought = of(used("gpt-4o", "2024-01-05", 900), used("claude-3-opus", "2024-01-05", 100, "anthropic"))
    assert {name: sum(days.values()) for name, days in bought.tokens.items()} == {
        "openai/gpt-4o": 900, "anthropic/claude-3-opus-20240229": 100,
    }  # fmt: skip
    assert str(bought.mix) == "3:1" and bought.total == 1000 and not bought.unmatched


def test_what_has_no_line_is_named_and_its_share_said() -> None:
    bought = of(used("gpt-4o", "2024-01-05", 900), used("gpt-4.1", "2024-01-05", 100))
    assert bought.unmatched == {"openai/gpt-4.1": 100}
    made = weighed(panel([GPT, CLAUDE], list_price("input"), DATES, lambda one: one.id), bought)
    assert [row.id for row in made.rows] == ["openai/gpt-4o"]
    assert any("the basket has 90.0% of its 1,000 tokens" in note for note in made.notes)
    assert "models of the usage without a dated price: 1 (the most used: openai/gpt-4.1)" in made.notes


def test_a_short_usage_is_a_fixed_basket() -> None:
    """900 million tokens at 10, then 5 dollars, and 100 million at 20: from 11,000 to 6,500 dollars by any formula."""
    bought = of(used("gpt-4o", "2024-01-05", 900), used("claude-3-opus", "2024-01-06", 100, "anthropic"))
    made = weighed(panel([GPT, CLAUDE], list_price("input"), DATES, lambda one: one.id), bought)
    for method in ("laspeyres", "paasche", "fisher", "walsh"):
        assert of_panel(made, method).points[1].index == pytest.approx(100 * 6500 / 11000)


def test_volumes_of_each_period_where_the_usage_lasts() -> None:
    """January buys 100 and 100, February (after the cut) 300 and 50: Laspeyres weighs by the one, Paasche the other."""
    bought = of(
        used("gpt-4o", "2024-01-05", 100), used("claude-3-opus", "2024-01-05", 100, "anthropic"),
        used("gpt-4o", "2024-02-05", 300), used("claude-3-opus", "2024-02-05", 50, "anthropic"),
    )  # fmt: skip
    made = weighed(panel([GPT, CLAUDE], list_price("input"), DATES, lambda one: one.id), bought)
    assert {row.id: row.quantities for row in made.rows} == {
        "openai/gpt-4o": (100.0, 300.0, 400.0), "anthropic/claude-3-opus-20240229": (100.0, 50.0, 150.0),
    }  # fmt: skip
    assert of_panel(made, "laspeyres").points[1].index == pytest.approx(100 * (500 + 2000) / (1000 + 2000))
    assert of_panel(made, "paasche").points[1].index == pytest.approx(100 * (1500 + 1000) / (3000 + 1000))


def test_usage_without_times_counts_in_all() -> None:
    record = Usage(at=day("1970-01-01") + timedelta(hours=1), quantities={"input": 10}, provider="openai",
                   model_served="gpt-4o", relative=True)  # fmt: skip
    assert list(of(record).tokens["openai/gpt-4o"]) == [None]


def test_usage_that_buys_nothing_known_is_refused() -> None:
    with pytest.raises(FarthingError, match=r"buys nothing that has a dated price \(no model named\)"):
        of(Usage(at=day("2024-01-01"), quantities={"input": 10}))
    with pytest.raises(FarthingError, match="it has no tokens"):
        of()
