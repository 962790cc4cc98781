"""Prices joined to scores, and the index of constant capability."""

from datetime import UTC, date, datetime
from fractions import Fraction

import pytest

from farthing.evidence import Grade, Source
from farthing.index.capability import lowest_in_force, market
from farthing.index.constant import constant_capability
from farthing.index.decline import frontier
from farthing.index.kinds import Mix, blended
from farthing.index.line import Line, Quote
from farthing.index.panel import grid
from farthing.problems import FarthingError

STATED = Source(id="x", title="x", where="x", seen=None, grade=Grade.VENDOR_STATED)
KIND = blended(Mix.parse("1:1"))


def line(model: str, *prices: tuple[str, str | None], provider: str = "p", family: str | None = None) -> Line:
    """A line priced as PRICE from DAY on ("2024-06-01=5"), each until the next; None ends it."""
    days = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day, _ in prices]
    quotes = tuple(
        Quote(start=day, end=end, usd_per_mtok={"input": Fraction(usd), "output": Fraction(usd)}, source=STATED)
        for (day, end), usd in zip(zip(days, [*days[1:], None], strict=True), (usd for _, usd in prices), strict=True)
        if usd is not None
    )
    return Line(provider=provider, model=model, family=family or model, quotes=quotes)


# MMLU, as the packaged file has it: gpt-4 86, gpt-4-turbo 87, gpt-4o 87, gpt-4o-mini 82, phi-4 85, gemini-2-flash 88.
LINES = [
    line("gpt-4", ("2023-04-01", "40")),
    line("gpt-4-turbo", ("2024-04-09", "20"), ("2024-06-01", "16")),
    line("gpt-4o", ("2024-05-13", "8"), ("2024-10-01", None)),
    line("gpt-4o-mini", ("2024-07-18", "0.5")),
    line("gemini-2-flash", ("2025-02-05", "1"), ("2025-06-01", "0.4")),
    line("nobody-knows-1b", ("2024-01-01", "0.01")),
    line("phi-4", ("2025-01-01", "0")),
]


def test_every_price_of_a_scored_line_is_a_point_on_the_day_it_began() -> None:
    found = market(LINES, KIND, "mmlu")
    assert [(str(p.date), p.price, p.model) for p in found.points] == [
        ("2023-04-01", 40, "gpt-4"), ("2024-04-09", 20, "gpt-4-turbo"), ("2024-05-13", 8, "gpt-4o"),
        ("2024-06-01", 16, "gpt-4-turbo"), ("2024-07-18", 0.5, "gpt-4o-mini"), ("2025-02-05", 1, "gemini-2-flash"),
        ("2025-06-01", 0.4, "gemini-2-flash"),
    ]  # fmt: skip
    assert found.dropped == {"unscored": 1, "free": 1}
    assert found.grade == Grade.VENDOR_STATED
    assert [p.price for p in frontier(found.points, 86)] == [40, 20, 8, 1, 0.4]


def test_the_running_minimum_and_what_is_in_force_differ_where_the_cheapest_was_withdrawn() -> None:
    low = lowest_in_force(LINES, KIND, "mmlu", 86, date(2024, 12, 1))
    assert low is not None and (low.model, low.price) == ("gpt-4-turbo", 16)  # gpt-4o, at 8, is no longer sold
    assert lowest_in_force(LINES, KIND, "mmlu", 86, date(2022, 1, 1)) is None


def test_the_index_is_the_running_minimum_against_the_base() -> None:
    dates = grid(datetime(2023, 1, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC), "quarter")
    made = constant_capability(LINES, KIND, "mmlu", 86, dates)
    levels = {str(p.date.date()): p.index for p in made.points}
    assert levels["2023-01-01"] is None  # nobody had reached it
    assert made.base == datetime(2023, 4, 1, tzinfo=UTC)
    assert levels["2023-04-01"] == 100 and levels["2024-04-01"] == 100
    assert levels["2024-07-01"] == 20 and levels["2025-01-01"] == 20  # 8 / 40, kept when gpt-4o left
    assert levels["2025-04-01"] == 2.5 and levels["2025-07-01"] == pytest.approx(1)
    assert made.basket == ("gemini-2-flash", "gpt-4", "gpt-4-turbo", "gpt-4o")
    assert made.yearly_factor is not None and made.yearly_low is not None and made.yearly_high is not None
    assert made.yearly_low <= made.yearly_factor <= made.yearly_high
    assert made.points[-1].count == 4 and made.points[-1].entered == 0
    # 100 on 2023-04-01 to 1 on 2025-07-01, 822 days: 100^(365.25 / 822) = 7.74, whatever a line through the lows says
    assert made.yearly_factor == pytest.approx(100 ** (365.25 / 822))
    assert any(note.startswith("the line through its ") and "new lows, 2023-" in note for note in made.notes)


def test_the_yearly_factor_counts_the_time_after_the_last_low() -> None:
    """The same prices looked at two years later fell the same in sum, so less a year."""
    dates = grid(datetime(2023, 4, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC), "quarter")
    made = constant_capability(LINES, KIND, "mmlu", 86, dates)
    assert made.yearly_factor == pytest.approx(100 ** (365.25 / 1552))


def test_another_base_rescales_it() -> None:
    dates = grid(datetime(2023, 4, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC), "quarter")
    made = constant_capability(LINES, KIND, "mmlu", 86, dates, base=datetime(2024, 7, 1, tzinfo=UTC))
    assert made.points[0].index == 500
    with pytest.raises(FarthingError, match="not one of the series' dates"):
        constant_capability(LINES, KIND, "mmlu", 86, dates, base=datetime(2024, 7, 2, tzinfo=UTC))


def test_without_a_benchmark_the_milestone_with_most_new_lows_is_taken() -> None:
    dates = grid(datetime(2023, 4, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC), "quarter")
    made = constant_capability(LINES, KIND, None, None, dates)
    assert made.yearly_factor is not None
    assert "or better" in made.notes[0]


def test_what_cannot_be_computed_is_one_line() -> None:
    dates = grid(datetime(2023, 4, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC), "quarter")
    with pytest.raises(FarthingError, match="no model with a dated price has the score"):
        constant_capability(LINES, KIND, "mmlu", 99.5, dates)
    with pytest.raises(FarthingError, match="without its benchmark"):
        constant_capability(LINES, KIND, None, 80, dates)
    with pytest.raises(FarthingError, match="two dates"):
        constant_capability(LINES, KIND, "mmlu", 80, dates[:1])
    with pytest.raises(FarthingError, match="no scores on a benchmark called"):
        constant_capability(LINES, KIND, "vibes", 80, dates)
    too_early = grid(datetime(2020, 4, 1, tzinfo=UTC), datetime(2021, 7, 1, tzinfo=UTC), "quarter")
    made = constant_capability(LINES, KIND, "mmlu", 86, too_early)
    assert all(p.index is None for p in made.points) and made.yearly_factor is None
