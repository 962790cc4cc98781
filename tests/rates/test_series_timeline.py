"""Prices through time from judged steps: corrections go into the past, sources are woven."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from farthing.rates.series.events import judged
from farthing.rates.series.runs import Run
from farthing.rates.series.snapshot import Subject
from farthing.rates.series.timeline import Segment, corrected, timelines, woven
from farthing.rates.series.verdict import Verdict, change, correction, unclear
from tests.rates.test_series_events import MONTHS, listed, series, stated

DAYS = [date.fromisoformat(day) for day in MONTHS]


def runs(*values: Any) -> list[Run]:
    """One run a month."""
    return [
        Run(value=Decimal(str(v)), first=d, last=d, label=str(d), last_label=str(d))
        for v, d in zip(values, DAYS, strict=False)
    ]


def shown(segments: list[Segment]) -> list[tuple[str, str | None, str, bool]]:
    return [(str(s.start)[5:], s.after and str(s.after)[5:], str(s.value), s.sure) for s in segments]


@pytest.mark.parametrize(
    ("values", "verdicts", "expected"),
    [
        ((4, 2), [change("")], [("01-01", None, "4", True), ("02-01", "01-01", "2", True)]),
        ((4, 2), [unclear("")], [("01-01", None, "4", True), ("02-01", "01-01", "2", False)]),
        ((4, 2), [correction("")], [("01-01", None, "2", True)]),  # the first was wrong since it stood there
        ((4, 2), [correction("", "from")], [("01-01", None, "4", True)]),  # the second is wrong, and stays out
        ((4, 2, 4), [correction("", "from"), correction("")], [("01-01", None, "4", True)]),  # a reverted edit
        ((0, 2), [correction("")], [("02-01", None, "2", True)]),  # 0 is not a price
        ((4, 0, 4), [unclear("", ""), correction("")], [("01-01", None, "4", True)]),
        (
            (4, 400, 2),  # 400 a slip, then corrected to another value: 2 holds since the slip stood there
            [change(""), correction("")],
            [("01-01", None, "4", True), ("02-01", "01-01", "2", True)],
        ),
        (
            (4, 400, 2),  # known at once to be a slip: 4 held until 2 came
            [correction("", "from"), change("")],
            [("01-01", None, "4", True), ("03-01", "02-01", "2", True)],
        ),
    ],
)
def test_corrections_go_into_the_past(values: Any, verdicts: list[Verdict], expected: Any) -> None:
    assert shown(corrected(runs(*values), verdicts, None)) == expected


def test_a_better_day_replaces_the_lists() -> None:
    told = Verdict(verdict="change", reason="", since=date(2024, 1, 20), since_source="v", since_label="The vendor")
    segment = corrected(runs(4, 2), [told], None)[1]
    assert (segment.start, segment.after, segment.ref) == (date(2024, 1, 20), None, "The vendor")


def test_a_late_list_gets_the_other_sources_interval() -> None:
    told = Verdict(
        verdict="correction", reason="", since=date(2024, 1, 20), since_source="b", since_after=date(2024, 1, 10)
    )
    assert shown(corrected(runs(4, 2), [told], None))[1] == ("01-20", "01-10", "2", True)


def segments(*values: tuple[int, int, int | None]) -> list[Segment]:
    """(month, value, value before)."""
    return [
        Segment(start=DAYS[m], after=None, value=Decimal(v), ref="", before=None if b is None else Decimal(b))
        for m, v, b in values
    ]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # Another source knew the first price earlier.
        ([[(2, 4, None)], [(0, 4, None)]], [(0, 4)]),
        # Its change begins from what is in force: taken, although the trusted one never saw it.
        ([[(0, 4, None)], [(1, 4, None), (3, 2, 4)]], [(0, 4), (3, 2)]),
        # It disagrees: not taken.
        ([[(0, 4, None)], [(1, 5, None), (3, 2, 5)]], [(0, 4)]),
        # Both saw the change, the other one first.
        ([[(0, 4, None), (4, 2, 4)], [(0, 4, None), (3, 2, 4)]], [(0, 4), (3, 2)]),
        # The trusted one begins later, with another price: taken, with doubt.
        ([[(3, 5, None)], [(0, 4, None)]], [(0, 4), (3, 5)]),
    ],
)
def test_sources_are_woven(told: Any, expected: Any) -> None:
    made = woven([segments(*one) for one in told])
    assert [(DAYS.index(s.start), int(s.value)) for s in made] == expected
    if expected == [(0, 4), (3, 5)]:
        assert [s.sure for s in made] == [True, False]


def test_timelines_of_offers_hold_all_meters() -> None:
    found = judged(
        series(
            *[
                listed(d, {"m": p})
                for d, p in zip(MONTHS, ((4, 8), (4, 8, 0.4), (4000, 8000, 0.4), (2, 4, 0.2)), strict=False)
            ]
        )
    )
    states = timelines(found, {}, ("litellm",))[Subject("openai", "m", "direct", "")]
    assert [
        (str(s.start), s.after and str(s.after), {m: str(v) for (m, _), v in s.prices.items()}) for s in states
    ] == [
        ("2024-01-01", None, {"input": "4", "output": "8"}),
        ("2024-02-01", "2024-01-01", {"input": "4", "output": "8", "cache_read": "0.4"}),
        ("2024-04-01", "2024-03-01", {"input": "2", "output": "4", "cache_read": "0.2"}),
    ]


def test_a_vendors_launch_comes_before_the_first_list() -> None:
    found = judged(series(listed("2023-04-20", {"gpt-4": (30, 60)}), listed("2023-05-20", {"gpt-4": (30, 60)})))
    launch = [stated("gpt-4", ("2023-03-14", 30, 60))]
    (state,) = timelines(found, {}, ("litellm",), launch)[Subject("openai", "gpt-4", "direct", "")]
    assert (str(state.start), state.after, state.ref, state.sure) == ("2023-03-14", None, "The vendor", True)


def segment(day: int, value: str, before: str | None = None, **more: Any) -> Segment:
    return Segment(
        start=date(2024, 1, day), after=None, value=Decimal(value), ref="", before=before and Decimal(before), **more
    )  # type: ignore[arg-type]


def values(*told: list[Segment]) -> list[tuple[int, str]]:
    return [(one.start.day, str(one.value)) for one in woven(told)]


def test_a_late_list_does_not_bring_back_what_others_have_left() -> None:
    """gpt-5.6-luna: genai-prices had 1 and then 0.2, LiteLLM first listed it two days later, with 1."""
    early = [segment(1, "1"), segment(10, "0.2", "1")]
    late = [segment(12, "1"), segment(20, "0.2", "1")]
    assert values(late, early) == [(1, "1"), (10, "0.2")]  # the late one is the most trusted, and still late
    # It came to the price by a step of its own: then it is news.
    assert values([segment(5, "0.2"), segment(12, "1", "0.2")], early) == [(1, "1"), (5, "0.2"), (12, "1")]
    # Another price than all before: the two disagree, and the most trusted is taken, in doubt.
    assert [(str(s.value), s.sure) for s in woven([[segment(12, "3")], early])][-1] == ("3", False)


def test_a_tenth_of_what_another_source_says_is_not_taken() -> None:
    """text-davinci-003 stood at 2 in LiteLLM and at 20 in LangChain's table."""
    assert values([segment(12, "2")], [segment(1, "20")]) == [(1, "20")]


def test_the_cached_prices_of_a_late_list_are_late_as_well() -> None:
    def lists(source: str, *days: tuple[str, tuple[float, float, float]]) -> list[Any]:
        return [listed(day, {"m-1": prices}, source) for day, prices in days]

    old, new = (1, 6, 0.1), (0.2, 1.2, 0.02)
    early = lists("genai-prices", (MONTHS[0], old), (MONTHS[1], new), (MONTHS[3], new))
    late = lists("litellm", (MONTHS[2], old), (MONTHS[3], new))
    made = timelines(judged(series(*early, *late)), {}, ("litellm", "genai-prices"))
    (states,) = made.values()
    assert [sorted(map(str, s.prices.values())) for s in states] == [["0.1", "1", "6"], ["0.02", "0.2", "1.2"]]
