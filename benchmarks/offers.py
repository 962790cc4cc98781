"""After one pass over the usage: 1,000 candidate offers, dated, with batch and context steps."""

from datetime import UTC, datetime

from benchmarks.common import cards, seconds, table
from farthing.charges.bill import Counterfactual
from farthing.charges.columns import Cuts, cuts_of
from farthing.policies.rewrite import carry_over
from farthing.rates.book import Book

ROWS, CANDIDATES = 2_000_000, 1000


def main() -> None:
    usage = table(ROWS, 50)
    made = cards(CANDIDATES, 1, seed=3)
    cuts = Cuts()
    for offer in made:
        cuts |= cuts_of(offer.prices)
    took = seconds(lambda: Counterfactual(usage, cuts), 3)
    asked = Counterfactual(usage, cuts)
    print(f"one pass over {ROWS:,} rows: {took * 1e3:.0f} ms, {len(asked.tally.cells):,} cells")
    took = seconds(lambda: [asked.bill(offer, carry_over) for offer in made])
    print(f"{CANDIDATES:,} made-up offers with batch and a context step: {took * 1e3:.0f} ms")

    book = [offer for offer in Book().offers() if offer.prices][:CANDIDATES]
    now = datetime(2026, 11, 21, tzinfo=UTC)
    cuts = Cuts()
    for offer in book:
        cuts |= cuts_of(offer.prices)
    again = Counterfactual(usage, cuts)
    print(f"with the cuts of the real book: {len(again.tally.cells):,} cells")
    took = seconds(lambda: [again.bill(offer, carry_over, at=now) for offer in book])
    print(f"{len(book):,} offers of the price book at one instant: {took * 1e3:.0f} ms")
    took = seconds(lambda: [again.bill(offer, carry_over) for offer in book])
    print(f"{len(book):,} offers of the price book at the usage's own times: {took * 1e3:.0f} ms")
