"""The two implementations of the one definition: the columns equal the reference to the last digit."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from farthing.charges.bill import Bill, Counterfactual, bill_as_served, price_records
from farthing.charges.columns import Cuts, cuts_of
from farthing.rates.card import Offer
from farthing.rates.select import Unknown
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable, connect, stage
from tests.charges.cards import logs, offers

SLOWLY = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    max_examples=100,
    suppress_health_check=list(HealthCheck),
)


def assert_same(columns: Bill, reference: Bill) -> None:
    assert columns.usd == reference.usd
    assert columns.usd_by_meter == reference.usd_by_meter
    assert columns.quantity_by_meter == reference.quantity_by_meter
    assert (columns.rows, columns.requests) == (reference.rows, reference.requests)
    assert (columns.unpriced, columns.reasons) == (reference.unpriced, reference.reasons)
    assert columns.grade == reference.grade


CONNECTION = connect()


def staged(rows: list[Usage]) -> UsageTable:
    CONNECTION.execute("DROP TABLE IF EXISTS usage")
    return stage(rows, CONNECTION)


@SLOWLY
@given(offers("m"), offers("n", linear=True), logs())
def test_as_served_over_random_cards_and_random_usage(one: Offer, two: Offer, rows: list[Usage]) -> None:
    cards = {"m": one, "n": two}
    table = staged(rows)
    known: dict[int, Offer | Unknown] = {n: cards[str(s.model)] for n, s in enumerate(table.subjects)}
    assert_same(bill_as_served(table, known).bill, price_records(rows, lambda usage: cards[str(usage.model)]))


@SLOWLY
@given(st.lists(offers("m"), min_size=1, max_size=3), logs())
def test_counterfactuals_of_one_tally(candidates: list[Offer], rows: list[Usage]) -> None:
    cuts = Cuts()
    for offer in candidates:
        cuts |= cuts_of(offer.prices)
    question = Counterfactual(staged(rows), cuts)
    for offer in candidates:
        assert_same(question.bill(offer), price_records(rows, lambda usage, offer=offer: offer))
