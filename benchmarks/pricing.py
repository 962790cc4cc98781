"""Pricing 10 million rows x 50 models x 4 dated versions x 2 tiers x a context step, exactly.

Side by side in one run: our columns, our itemised reference, and `genai_prices`' `calc_price`, on the
same rows and prices. Totals must be equal to the last digit.
"""

import random
from decimal import Decimal
from fractions import Fraction

from benchmarks.common import THRESHOLD, cards, seconds, table
from farthing.charges.bill import bill_as_served, price_records
from farthing.money import decimal_text
from farthing.rates.card import ALWAYS, Offer, When

ROWS, MODELS, VERSIONS, SAMPLE = 10_000_000, 50, 4, 20_000


def main() -> None:
    offers = cards(MODELS, VERSIONS)
    usage = table(ROWS, MODELS)
    known: dict[int, Offer] = {n: offers[n // 2] for n in range(2 * MODELS)}
    took = seconds(lambda: bill_as_served(usage, known), 3)
    print(f"columns      {ROWS / took / 1e6:8.1f} M rows/s   ({ROWS:,} rows in {took:.2f} s)")

    # The same columns, the reference and genai-prices on one sample of rows: totals, then speed.
    small = table(SAMPLE, MODELS, seed=2)
    records = [record for _, record in small.records(range(2 * MODELS))]
    ours = bill_as_served(small, known).bill
    by_model = {offer.model: offer for offer in offers}
    reference = price_records(records, lambda u: by_model[str(u.model)])
    theirs = _genai(offers)
    total = sum((Fraction(theirs(u)) for u in records), Fraction(0))
    assert ours.usd == reference.usd == total, "the totals differ"
    print(f"exact totals of {SAMPLE:,} rows are equal: ${decimal_text(ours.usd)}")
    one = seconds(lambda: price_records(records, lambda u: by_model[str(u.model)]), 3) / SAMPLE
    peer = seconds(lambda: [theirs(u) for u in random.sample(records, 5000)], 3) / 5000
    print(f"reference    {1 / one / 1e3:8.1f} k rows/s, itemised")
    print(f"calc_price   {1 / peer / 1e3:8.1f} k rows/s   (genai-prices)")
    print(f"columns / calc_price = {peer / (took / ROWS):,.0f} times; reference / calc_price = {peer / one:.1f} times")


def _genai(offers: list[Offer]):  # type: ignore[no-untyped-def]
    """The same prices in genai-prices' own objects, priced by its own `calc_price`."""
    from genai_prices import types

    def price_set(price, tier):  # type: ignore[no-untyped-def]
        found = {}
        for rate in price.rates:
            if rate.when == (When(tier=tier) if tier else ALWAYS):
                over = next(r for r in price.rates if r.meter == rate.meter and r.when.bands and r.when.tier == tier)
                step = types.Tier(start=THRESHOLD, price=Decimal(over.amount))
                found[f"{rate.meter}_mtok"] = types.TieredPrices(base=rate.amount, tiers=[step])
        return types.ModelPrice(**found)

    models = {}
    for offer in offers:
        variants, conditional = [], []
        for price in offer.prices:
            start = types.StartDateConstraint(start_date=price.valid_from.date()) if price.valid_from else None
            conditional.append(types.ConditionalPrice(constraint=start, prices=price_set(price, None)))
            variants.insert(
                0, types.PriceVariant(when={"processing": "batch"}, prices=price_set(price, "batch"), constraint=start)
            )
        models[offer.model] = types.ModelInfo(
            id=offer.model, match=types.ClauseEquals(equals=offer.model), prices=conditional, price_variants=variants
        )
    provider = types.Provider(id="bench", name="bench", api_pattern="", models=list(models.values()))

    def calc(usage) -> Decimal:  # type: ignore[no-untyped-def]
        counts = usage.quantities
        theirs = types.Usage(
            input_tokens=counts.get("input", 0) + counts.get("cache_read", 0),
            cache_read_tokens=counts.get("cache_read", 0),
            output_tokens=counts.get("output", 0),
        )
        context = {"processing": "batch"} if usage.tier == "batch" else None
        return (
            models[usage.model]
            .calc_price(theirs, provider, genai_request_timestamp=usage.at, price_context=context)
            .total_price
        )

    return calc
