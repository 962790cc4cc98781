"""Prices that sources disagree on, for the offers of a usage, in dollars on it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill, bill_as_served
from farthing.index.watch.ends import sum_of
from farthing.index.watch.then import alone
from farthing.index.watch.values import Disagreement
from farthing.money import Usd, to_decimal
from farthing.rates.book import Book
from farthing.rates.card import ALWAYS, Offer, Price, Rate
from farthing.rates.select import Unknown, currency_factor, price_at
from farthing.usage.table import UsageTable


def disagreements(
    table: UsageTable,
    book: Book,
    groups: Sequence[tuple[Offer | Unknown, Sequence[int]]],
    bills: Mapping[int, Bill],
    at: datetime,
) -> Iterable[Disagreement]:
    """Where another source states another price at `at` of a meter that the usage consumed.

    `groups`: each offer with the numbers of its subjects; `bills`: the bill of each subject at `at`. What the other
    source says replaces the plain rate of that meter alone: prices under a condition stay, factors apply to it.
    """
    for offer, subjects in groups:
        if not isinstance(offer, Offer):
            continue
        price = price_at(offer, at)
        if isinstance(price, Unknown):
            continue
        consumed = {meter for number in subjects for meter in bills[number].quantity_by_meter}
        usd = sum_of(bills[number].total_usd for number in subjects)
        names = {f"{offer.provider}/{name}" for name in (offer.model, *offer.aliases)}
        seen = set()
        for one in book.conflicts(offer.provider, at):
            key = (one.meter, one.other_source, one.other)
            if one.offer not in names or one.meter not in consumed or key in seen:
                continue
            seen.add(key)
            low, high = (
                _cost(table, subjects, offer, price, one.meter, amount, at)
                for amount in _stated(book, offer, price, one.meter, one.other_source, at)
            )
            yield Disagreement(
                offer=offer.id, meter=one.meter, used=one.used, used_source=one.used_source, other=one.other,
                other_source=one.other_source, other_grade=one.other_grade, usd=usd, usd_low=low, usd_high=high,
            )  # fmt: skip


def _stated(
    book: Book, offer: Offer, used: Price, meter: str, source: str, at: datetime
) -> tuple[Decimal | None, Decimal | None]:
    """What `source` states of `meter` in the units and the currency of `used`: the same twice, or a range."""
    ours = _plain(used, meter)
    for layer in book.layers(offer.provider):
        theirs = next((o for name in (offer.model, *offer.aliases) if (o := layer.find(name, offer.region))), None)
        price = price_at(theirs, at) if theirs is not None else None
        if not isinstance(price, Price) or price.source.id != source or ours is None:
            continue
        rate = _plain(price, meter)
        if rate is None:
            continue
        factor = currency_factor(price) / currency_factor(used) * ours.per / rate.per
        ends = (rate.low, rate.high) if rate.amount is None else (rate.amount, rate.amount)
        return ends[0] and to_decimal(Fraction(ends[0]) * factor), ends[1] and to_decimal(Fraction(ends[1]) * factor)
    return None, None


def _plain(price: Price, meter: str) -> Rate | None:
    return next((r for r in price.rates if r.meter == meter and r.when == ALWAYS), None)


def _cost(
    table: UsageTable, subjects: Sequence[int], offer: Offer, price: Price, meter: str, amount: Decimal | None,
    at: datetime,
) -> Usd | None:  # fmt: skip
    if amount is None:
        return None
    ours = _plain(price, meter)
    rates = tuple(msgspec.structs.replace(r, amount=amount) if r is ours else r for r in price.rates)
    other = alone(offer, msgspec.structs.replace(price, rates=rates))
    made = bill_as_served(table, dict.fromkeys(subjects, other), at).by_subject
    return sum_of(made[number].total_usd for number in subjects)
