"""The spread of request costs: nearest-rank percentiles, each the exact cost of a real request."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from farthing.charges.bill import Counterfactual, bill_as_served
from farthing.charges.columns import cuts_of
from farthing.charges.reference import price_usage
from farthing.charges.spread import RANKS, Requests, Spread
from farthing.policies.rewrite import uncached
from farthing.rates.card import Offer
from farthing.rates.toml import load_card
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable, connect, stage

AT = datetime(2026, 11, 4, 12, tzinfo=UTC)
CARD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 3
cache_read = 0.3
output = 15
reasoning = 7
requests = 0.001
[[offer.price.rule]]
when = { context = { over = 100 } }
rates = { input = 6 }
"""
OFFER = load_card(CARD).offers[0]
CONNECTION = connect()


def staged(rows: Iterable[Usage]) -> UsageTable:
    CONNECTION.execute("DROP TABLE IF EXISTS usage")
    return stage(rows, CONNECTION)


def spread(rows: list[Usage], offer: Offer = OFFER) -> Spread | None:
    table = staged(rows)
    served = bill_as_served(table, dict.fromkeys(range(len(table.subjects)), offer))
    return Requests(served.tally).spread(served.priced)


def row(number: int = 0, **counts: int) -> Usage:
    return Usage(at=AT + timedelta(seconds=number), quantities=counts)


def nearest_rank(costs: list[Fraction], rank: Fraction) -> Fraction:
    return sorted(costs)[math.ceil(rank * len(costs)) - 1]


def test_a_hundred_requests() -> None:
    """Requests of 1 to 100 output tokens at 15 a million (and 0.001 a thousand requests)."""
    found = spread([row(n, output=n) for n in range(1, 101)])
    assert found is not None
    each = Fraction(1, 10**6)  # 0.001 / 1,000
    assert (found.p50, found.p95, found.p99) == tuple(Fraction(15 * n, 10**6) + each for n in (50, 95, 99))
    assert (found.rows, found.sampled) == (100, False)


def test_one_request_is_every_percentile() -> None:
    found = spread([row(input=1000, output=1)])
    assert found is not None
    usd = price_usage(row(input=1000, output=1), OFFER).total_usd
    assert found.p50 == found.p95 == found.p99 == usd == Fraction(6015 + 1, 10**6)  # over 100: 1,000 x 6, 1 x 15


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], deadline=None, max_examples=60,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(
    st.lists(
        st.builds(
            lambda fresh, cached, plain, thought: row(
                input=fresh, cache_read=cached, output=plain + thought, reasoning=thought
            ),
            st.integers(0, 200), st.integers(0, 200), st.integers(0, 50), st.integers(0, 50),
        ),
        min_size=1, max_size=60,
    )
)  # fmt: skip
def test_percentiles_are_those_of_the_reference(rows: list[Usage]) -> None:
    found = spread(rows)
    costs = [price_usage(usage, OFFER).total_usd for usage in rows]
    known = [usd for usd in costs if usd is not None]
    assert found is not None and len(known) == len(rows)
    for name, rank in RANKS.items():
        assert getattr(found, name) == nearest_rank(known, Fraction(str(rank)))


def test_rows_with_an_unknown_part_are_left_out() -> None:
    rows = [row(1, output=1), row(2, output=3), row(3, output=2, page=1)]
    found = spread(rows)
    assert found is not None
    assert (found.rows, found.p99) == (2, Fraction(46, 10**6))  # 3 x 15 + 1
    assert spread([row(page=1)]) is None


def test_none_for_sums_of_requests_and_for_rates_that_are_not_linear() -> None:
    assert spread([Usage(at=AT, quantities={"output": 10}, requests=2)]) is None
    stepped = load_card(CARD.replace("output = 15", "output = { amount = 15, step = 10 }")).offers[0]
    assert spread([row(output=1)], stepped) is None
    least = load_card(CARD.replace("[offer.price.rates]", "minimum_usd = 1\n[offer.price.rates]", 1)).offers[0]
    assert spread([row(output=1)], least) is None


def test_a_rewrite_is_spread_too() -> None:
    rows = [row(n, cache_read=10 * n, output=1) for n in range(1, 9)]
    asked = Counterfactual(staged(rows), cuts_of(OFFER.prices))
    priced: dict[int, object] = {}
    asked.bill(OFFER, uncached, priced=priced)  # type: ignore[arg-type]
    found = Requests(asked.tally).spread(priced, uncached)  # type: ignore[arg-type]
    assert found is not None
    assert found.p50 == Fraction(40 * 3 + 15 + 1, 10**6)  # the fourth of eight: 40 tokens at 3, not at 0.3


def test_a_sample_says_so_and_repeats() -> None:
    rows = [row(n, output=1 + n % 50) for n in range(500)]
    with patch("farthing.charges.spread.SAMPLE", 100):
        one, again = spread(rows), spread(rows)
    assert one is not None and one.sampled and one.rows == 100
    assert one == again
    assert 15 * 15 < one.p50 * 10**6 < 15 * 36


@pytest.mark.parametrize("count", [1, 2, 3, 19, 20, 21, 99, 100, 101])
def test_nearest_rank_at_every_size(count: int) -> None:
    found = spread([row(n, output=n) for n in range(1, count + 1)])
    assert found is not None
    for name, rank in RANKS.items():
        nth = math.ceil(Fraction(str(rank)) * count)
        assert getattr(found, name) == Fraction(15 * nth + 1, 10**6)
