"""The cost behind a price: DeepSeek's own account reproduced, a note's cluster refuted, margins and their intervals."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.plans.breakeven import ApiPrice, Host
from farthing.plans.findings import HIGH, HOLDS, IMPOSSIBLE, LOW
from farthing.plans.fleet import Load
from farthing.plans.hosting import Capacity, Rented
from farthing.plans.interval import Interval, between, exactly
from farthing.plans.margin import TokenCost, api_margin, cost_of_host
from farthing.plans.margin_scenarios import disclosure, margin_scenario, scenario_names
from farthing.problems import FarthingError

DEEPSEEK = "deepseek-open-infra"


def test_deepseek_day_to_the_dollar() -> None:
    day = disclosure(DEEPSEEK)
    assert day.cost_usd == 87_072  # 226.75 × 8 × 2 × 24
    # 266,000M × 0.55 + 342,000M × 0.14 + 168,000M × 2.19 = 146,300 + 47,880 + 367,920; the account says 562,027,
    # from token counts that it then rounds to billions.
    assert day.revenue_usd() == 562_100
    assert abs(day.revenue_usd() / 562_027 - 1) < Fraction(2, 10_000)
    assert round(100 * (Fraction(562_027) / day.cost_usd - 1)) == 545
    assert round(float(100 * (day.revenue_usd() / day.cost_usd - 1)), 1) == 545.6


def test_deepseek_nodes_follow_from_its_throughput() -> None:
    day = disclosure(DEEPSEEK)
    # 608e9 / (73,700 × 86,400) = 95.48; 168e9 / (14,800 × 86,400) = 131.38; together 226.86 of 226.75
    assert float(day.nodes_reading()) == pytest.approx(95.482, abs=0.001)
    assert float(day.nodes_writing()) == pytest.approx(131.381, abs=0.001)
    assert abs((day.nodes_reading() + day.nodes_writing()) / day.nodes - 1) < Fraction(1, 1000)


def test_deepseek_cost_of_a_token() -> None:
    day = disclosure(DEEPSEEK)
    # 87,072 × 95.482 / 226.864 = 36,647 for 608,000M tokens read; the rest, 50,425, for 168,000M written
    assert float(day.cost_per_mtok("input")) == pytest.approx(0.060274, abs=1e-6)
    assert float(day.cost_per_mtok("uncached")) == pytest.approx(0.137770, abs=1e-6)
    assert float(day.cost_per_mtok("output")) == pytest.approx(0.300150, abs=1e-6)
    whole = day.cost_per_mtok("uncached") * day.uncached_tokens + day.cost_per_mtok("output") * day.output_tokens
    assert whole / 10**6 == day.cost_usd


def test_the_disclosure_holds_and_says_its_grade() -> None:
    found = margin_scenario(DEEPSEEK)
    assert {one.verdict for one in found.findings} == {HOLDS}
    assert found.grade == Grade.VENDOR_STATED
    at_r1, at_v3 = found.margins
    assert at_r1.blended.margin is not None and at_v3.blended.margin is not None
    assert at_r1.blended.margin.mid == 1 - Fraction(87_072) / 562_100
    assert float(at_v3.blended.margin.mid) == pytest.approx(0.690, abs=0.001)  # 1 - 87,072 / 280,560


def test_another_rent_moves_the_cost_and_not_the_revenue() -> None:
    found = margin_scenario(DEEPSEEK, between(1, 2, 4))
    cost = found.figures["cost_usd"].value
    assert (cost.low, cost.mid, cost.high) == (43_536, 87_072, 174_144)
    assert found.figures["revenue_usd"].value.low == found.figures["revenue_usd"].value.high


def test_the_notes_cluster_reproduced_and_refuted() -> None:
    found = {one.stated.key: one for one in margin_scenario("note-h100-cluster").findings}
    assert found["input_usd"].verdict == HOLDS  # 72 × 2 / 46,800 = 0.003077
    assert found["output_usd"].verdict == HOLDS  # 72 × 2 / 46.7 = 3.0835
    assert found["asymmetry"].verdict == HOLDS
    # 2 × 37e9 × 46.8e9 / 3,600 / 72 = 13.36 PFLOPS of 1.979
    assert found["compute_share"].verdict == IMPOSSIBLE
    assert float(found["compute_share"].factor or 0) == pytest.approx(6.751, abs=0.001)
    assert found["disclosed_asymmetry"].verdict == HIGH and found["disclosed_output_usd"].verdict == HIGH
    assert found["disclosed_input_usd"].verdict == LOW
    assert found["margin:Claude Sonnet 4"].verdict == HOLDS


def test_unknown_scenarios_are_named() -> None:
    assert scenario_names() == [DEEPSEEK, "note-h100-cluster"]
    with pytest.raises(FarthingError, match="there are: deepseek-open-infra"):
        margin_scenario("openai")
    with pytest.raises(FarthingError, match="no disclosure"):
        disclosure("openai")


API = ApiPrice(name="api", input_usd=Fraction(3), output_usd=Fraction(15), cached_usd=Fraction("0.3"))
positive = st.fractions(min_value=Fraction(1, 100), max_value=20, max_denominator=100)


@settings(deadline=None)
@given(st.lists(positive, min_size=3, max_size=3), st.lists(positive, min_size=3, max_size=3),
       st.fractions(min_value=0, max_value=1, max_denominator=20))  # fmt: skip
def test_a_margin_is_one_less_cost_over_price(read: list[Fraction], written: list[Fraction], mix: Fraction) -> None:
    cost = TokenCost(name="c", input_usd=Interval(*sorted(read)), output_usd=Interval(*sorted(written)))
    found = api_margin(API, cost, Load(input_share=mix))
    for one in (*found.kinds, found.blended):
        known = one.cost_usd.interval
        assert one.margin is not None
        assert one.margin.mid == 1 - known.mid / one.price_usd
        assert one.margin.low <= one.margin.mid <= one.margin.high < 1
    assert [one.kind for one in found.kinds] == ["input", "output"]  # the cost of cached input was not stated
    inside = sorted(one.margin.mid for one in found.kinds if one.margin)
    assert found.blended.margin is not None
    assert inside[0] <= found.blended.margin.mid <= inside[-1]


def test_cached_input_needs_a_price_and_a_cost() -> None:
    cost = TokenCost(name="c", input_usd=exactly(1), output_usd=exactly(2))
    with pytest.raises(FarthingError, match="unknown"):
        api_margin(API, cost, Load(cached_share=Fraction(1, 2)))


def test_a_price_of_nothing_has_no_margin() -> None:
    free = ApiPrice(name="free", input_usd=Fraction(0), output_usd=Fraction(0))
    found = api_margin(free, TokenCost(name="c", input_usd=exactly(1), output_usd=exactly(2)), Load())
    assert found.blended.margin is None and found.blended.cost_usd.mid == Fraction("1.25")


def test_the_cost_of_gpus_at_a_utilisation() -> None:
    host = Host(
        hosting=Rented(usd_per_gpu_hour=exactly(2)),
        capacity=Capacity(input_tokens_s=exactly(10_000), output_tokens_s=exactly(1000)),
    )
    cost = cost_of_host(host, Load(), Fraction(1, 2))
    assert cost.input_usd.mid == Fraction(2 * 2 * 10**6, 36_000_000)  # $2 / 36M tokens an hour, half busy
    assert cost.output_usd.mid == 10 * cost.input_usd.mid
    with pytest.raises(FarthingError, match="utilisation"):
        cost_of_host(host, Load(), Fraction(2))
