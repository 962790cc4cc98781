"""Subscriptions: limits, users and the worst case; the note's statements recomputed from its own inputs."""

from datetime import datetime
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.plans.breakeven import ApiPrice
from farthing.plans.findings import HIGH, HOLDS, LOW, WITHIN, Finding
from farthing.plans.interval import between, exactly
from farthing.plans.margin import TokenCost
from farthing.plans.plan_cases import plan_names, run_plan, scaled_cost
from farthing.plans.prices import api_price
from farthing.plans.subscription import Month, Plan, User, Window, allowed, month_of, monthly_limit, plan_margin
from farthing.problems import FarthingError
from farthing.rates.book import Book

API = ApiPrice(name="api", input_usd=Fraction(5), output_usd=Fraction(25), cached_usd=Fraction(1, 2))
COST = TokenCost(name="c", input_usd=exactly(Fraction("0.1")), output_usd=exactly(1), cached_usd=exactly(0))
WEEK = Window(hours=Fraction(168), budget=exactly(70), unit="usd")
PLAN = Plan(name="p", title="P", usd_per_month=Fraction(20), windows=(WEEK,))
USER = User(name="u", share=Fraction(1), days=Fraction(20), messages=exactly(10), input_tokens=exactly(1_000_000),
            output_tokens=exactly(10_000), thinking=exactly(0))  # fmt: skip


@pytest.fixture(scope="module")
def book() -> Book:
    return Book()


def findings(book: Book, plan: str, case: str) -> dict[str, Finding]:
    def price(offer: str, at: datetime) -> ApiPrice:
        return api_price(book, offer, at)

    (found,) = (one for one in run_plan(plan, price).cases if one.name == case)
    return {one.stated.key: one for one in found.findings}


def test_the_notes_max_plan(book: Book) -> None:
    found = findings(book, "claude-max-20x", "as the note has it")
    assert found["limit:168h"].figure.value.mid == Fraction(625 * 30, 7)  # 2,678.57 a month of 30 days
    assert found["limit:168h"].verdict == HOLDS and found["limit:5h"].verdict == HOLDS  # 83 × 7.5 = 622.50 a week
    assert found["input_usd:heavy"].figure.value.mid == Fraction("0.9")  # 300M × 0.003
    assert found["input_usd:heavy"].verdict == LOW
    assert found["output_usd:heavy"].figure.value.mid == Fraction("9.24")  # 3M × 3.08
    assert found["output_usd:heavy"].verdict == HOLDS
    assert found["cost_usd:heavy"].figure.value.mid == Fraction("10.14")
    assert found["cost_usd:heavy"].verdict == HIGH  # not 17
    assert found["markup:heavy"].verdict == LOW  # 200 / 10.14 = 19.7, not 11.8
    # 2,667.86 / 25 per million = 106.7M tokens × 3.08
    assert found["worst_usd"].verdict == HOLDS
    assert float(found["worst_usd"].figure.value.mid or 0) == pytest.approx(328.68, abs=0.01)


def test_the_notes_worst_case_at_the_price_that_it_states(book: Book) -> None:
    found = findings(book, "claude-max-20x", "as the note has it, Opus at its own price")
    assert float(found["worst_usd"].figure.value.mid or 0) == pytest.approx(109.56, abs=0.01)  # a third, at $75
    assert found["worst_usd"].verdict == HIGH


def test_corrected_plans_say_their_interval(book: Book) -> None:
    assert findings(book, "claude-max-20x", "corrected")["worst_usd"].verdict == WITHIN
    pro = findings(book, "claude-pro", "as the note has it")
    assert pro["cost_usd:lighter"].verdict == HOLDS  # 2.1M × 0.003 + 0.9M × 3.08 = 2.78
    assert pro["markup:lighter"].verdict == LOW  # 7.2, not 6


def test_a_months_limit_is_the_least_of_its_windows() -> None:
    assert monthly_limit(WEEK, Fraction(30)) == 300  # 70 × 30 / 7
    assert (
        monthly_limit(Window(hours=Fraction(5), budget=exactly(10), unit="usd", most=Fraction(50)), Fraction(30)) == 500
    )
    both = msgspec.structs.replace(PLAN, windows=(WEEK, Window(hours=Fraction(24), budget=exactly(5), unit="messages")))
    asked = month_of(USER)  # 20M read, 0.2M written: $105 at the API; 200 messages against 150
    assert allowed(PLAN, asked, API) == 1
    assert allowed(both, asked, API) == Fraction(3, 4)


def test_thinking_is_output_that_nobody_sees() -> None:
    thoughtful = msgspec.structs.replace(USER, thinking=exactly(3))
    assert month_of(thoughtful).output == 4 * month_of(USER).output


def test_a_user_beyond_the_limits_is_held_to_them() -> None:
    greedy = msgspec.structs.replace(USER, input_tokens=exactly(10_000_000))
    (one,) = plan_margin(PLAN, API, COST, [greedy]).users
    assert one.api_usd == 300  # exactly what the limits allow
    assert one.limited == Fraction(300, 1005)  # of 200M × 5 + 0.2M × 25


def test_the_worst_case_is_the_kind_whose_cost_is_the_larger_share_of_its_price() -> None:
    found = plan_margin(PLAN, API, COST, [])
    assert found.worst is not None and found.mean is None
    assert found.worst.kind == "output"  # 1 / 25 against 0.1 / 5
    assert found.worst.tokens == 12_000_000  # 300 / 25 per million
    assert found.worst.margin.cost_usd.mid == 12
    assert found.worst.limit_share == Fraction(20, 12)
    messages = msgspec.structs.replace(PLAN, windows=(Window(hours=Fraction(5), budget=exactly(5), unit="messages"),))
    assert plan_margin(messages, API, COST, []).worst is None


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**8), min_size=3, max_size=3), st.integers(1, 10**6))
def test_no_month_within_the_limits_costs_more_than_the_worst(counts: list[int], budget: int) -> None:
    plan = msgspec.structs.replace(PLAN, windows=(msgspec.structs.replace(WEEK, budget=exactly(budget)),))
    month = Month(
        uncached=Fraction(counts[0]), cached=Fraction(counts[1]), output=Fraction(counts[2]), messages=Fraction(0)
    )
    held = month.scaled(allowed(plan, month, API))
    found = plan_margin(plan, API, COST, []).worst
    assert found is not None
    assert held.usd(Fraction("0.1"), Fraction(0), Fraction(1)) <= (found.margin.cost_usd.mid or 0)


def test_shares_must_make_one_whole() -> None:
    with pytest.raises(FarthingError, match=r"add up to 0\.5"):
        plan_margin(PLAN, API, COST, [msgspec.structs.replace(USER, share=Fraction(1, 2))])


def test_a_cost_scaled_by_a_guess_is_wider_and_says_so() -> None:
    plain = scaled_cost("deepseek-open-infra", exactly(1))
    wide = scaled_cost("deepseek-open-infra", between(Fraction(1, 2), 2, 8))
    assert wide.output_usd.mid == 2 * plain.output_usd.mid
    assert wide.output_usd.low < plain.output_usd.mid < wide.output_usd.high
    assert "0.5 to 8" in wide.name and plain.name == "deepseek-open-infra"


def test_plans_of_your_own_are_read_strictly(tmp_path: Path, book: Book) -> None:
    text = """
[source.me]
title = "t"
where = "w"
seen = 2026-11-01
grade = "assumed"
[[plan]]
name = "mine"
title = "Mine"
usd_per_month = 30
source = "me"
[[plan.window]]
hours = 24
budget = 1_000_000
unit = "tokens"
source = "me"
[[plan.case]]
name = "one"
basis = "corrected"
offer = "openai/gpt-4.1"
at = 2026-11-01
cost = { input_usd = 0.1, output_usd = { low = 0.5, high = 1.5 }, source = "me" }
"""
    file = tmp_path / "plans.toml"
    file.write_text(text)

    def price(offer: str, at: datetime) -> ApiPrice:
        return api_price(book, offer, at)

    assert plan_names(file) == ["mine"]
    (case,) = run_plan("mine", price, file).cases
    assert case.margin.worst is not None
    assert case.margin.worst.tokens == 30_000_000
    assert case.margin.worst.margin.cost_usd.mid == 30  # at $1 a million
    for old, new, said in (
        ("budget", "budgett", r"plans\.toml:12: 'budget' is missing"),
        ('unit = "tokens"', 'unit = "words"', "'unit' is 'words'"),
        ("hours = 24", "hours = 0", "more than 0 hours"),
        ("{ low = 0.5, high = 1.5 }", "{ low = 2.5, high = 1.5 }", "out of order"),
        (', source = "me" }', " }", "every number has a source"),
        ('basis = "corrected"', 'basis = "guess"', "'basis' is 'guess'"),
        ("[[plan]]", "[[plam]]\nx = 1\n[[plan]]", "unknown key 'plam'"),
    ):
        file.write_text(text.replace(old, new))
        with pytest.raises(FarthingError, match=said):
            run_plan("mine", price, file)
