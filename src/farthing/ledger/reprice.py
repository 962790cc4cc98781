"""The ledger priced again under another book, as of any day: what would differ, by offer and row by row.

Repeatable: the same rows under the same book as of the same day give the same answer, and nothing is overwritten.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from farthing.ledger.kept import kept_prices
from farthing.ledger.pricing import price_name
from farthing.ledger.rows import Priced, RowPricer, depends_on_others, priced_rows
from farthing.ledger.verify import KEPT, Difference, difference
from farthing.ledger.view import MODEL_COLUMNS, open_view
from farthing.money import ZERO, Usd
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price
from farthing.rates.kept import as_priced
from farthing.rates.select import Unknown, price_at
from farthing.time import EPOCH, microseconds
from farthing.usage.record import PriceRecord

_PRICE_COLUMNS = {"id", "price", "attrs", "provider", "model", *MODEL_COLUMNS, "tier_served", "tier_asked", "region"}


class RepricedOffer(msgspec.Struct, kw_only=True):
    """The rows of one offer: recorded and new sums over the rows that have a charge (each on its own side).

    `unknown_before`, `unknown_now`: rows without. `differ`: rows whose charge is another, known or not.
    `records`: rows by the price record that the new charge rests on; `notes`: where that is another offer's than the
    row names, or the recorded one because the book has none.
    """

    offer: str
    rows: int = 0
    differ: int = 0
    recorded_usd: Usd = ZERO
    repriced_usd: Usd = ZERO
    unknown_before: int = 0
    unknown_now: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    records: Counter[str] = msgspec.field(default_factory=Counter)
    notes: Counter[str] = msgspec.field(default_factory=Counter)


class Repriced(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger under the book as of `as_of` (None: all that it knows now). `differences`: the first `KEPT`.

    `alone`: rows whose price has free quotas or brackets over a period, priced as if they were the only request.
    """

    as_of: datetime | None
    since: datetime | None
    until: datetime | None
    offers: list[RepricedOffer]
    differences: list[Difference]
    alone: int

    @property
    def differ(self) -> int:
        return sum(offer.differ for offer in self.offers)


def reprice(
    folder: Path,
    book: Book,
    as_of: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Repriced:
    """Price every ended attempt again under `book` (made as of `as_of`), at its own time.

    What nobody knows the consumption of stays unknown (lost attempts, broken connections); what failed before
    anything was consumed stays nothing. The offer is found as `rates.kept.as_priced` says.

    Raises `FarthingError` where there is no ledger.
    """
    low, high = (None if moment is None else microseconds(moment) for moment in (since, until))
    pricer, prices = RowPricer(), _Prices(book, kept_prices(folder))
    offers: dict[str, RepricedOffer] = {}
    differences: list[Difference] = []
    alone = 0
    with open_view(folder, low, high, _PRICE_COLUMNS) as view:
        for row in priced_rows(view):
            name = "/".join(filter(None, (row.provider, row.model))) or "unknown"
            of = offers.get(name)
            if of is None:
                of = offers[name] = RepricedOffer(offer=name)
            price, record, note = prices.of(row)
            found: Usd | Unknown
            if row.unmeasured:
                found, record = Unknown(row.unmeasured), ""
            elif not row.quantities and not row.recorded_usd and row.recorded_usd is not None:
                found = ZERO  # failed before anything was consumed
            elif isinstance(price, Unknown):
                found = price
            else:
                alone += depends_on_others(price)
                of.records[record] += 1
                if note:
                    of.notes[note] += 1
                found = pricer.charge(row, price)
            _count(of, row, found)
            if (None if isinstance(found, Unknown) else found) != row.recorded_usd:
                of.differ += 1
                if len(differences) < KEPT:
                    differences.append(msgspec.structs.replace(difference(row, found), price=record or row.price or ""))
    ordered = sorted(offers.values(), key=lambda o: (-o.recorded_usd, o.offer))
    return Repriced(as_of=as_of, since=since, until=until, offers=ordered, differences=differences, alone=alone)


def _count(of: RepricedOffer, row: Priced, found: Usd | Unknown) -> None:
    of.rows += 1
    if row.recorded_usd is None:
        of.unknown_before += 1
    else:
        of.recorded_usd += row.recorded_usd
    if isinstance(found, Unknown):
        of.unknown_now += 1
        of.reasons[found.reason] += 1
    else:
        of.repriced_usd += found


_Key = tuple[str | None, str | None, str | None, str | None]
"""Provider, model, region, and the name of the price record."""


class _Prices:
    """The record of the book for a row, looked up once for each offer and piece of time."""

    def __init__(self, book: Book, kept: Mapping[str, PriceRecord]) -> None:
        self._book = book
        self._kept = kept
        self._offers: dict[_Key, tuple[Offer | Unknown, str, list[int]]] = {}
        self._found: dict[tuple[_Key, int], tuple[Price | Unknown, str, str]] = {}

    def of(self, row: Priced) -> tuple[Price | Unknown, str, str]:
        """The price for `row`, its name, and a note where it is another offer's than the row names."""
        key = (row.provider, row.model, row.region, row.price)
        known = self._offers.get(key)
        if known is None:
            known = self._offers[key] = self._offer(row)
        offer, note, edges = known
        piece = (key, bisect_right(edges, row.started_us))
        found = self._found.get(piece)
        if found is None:
            at = EPOCH + timedelta(microseconds=row.started_us)
            price = offer if isinstance(offer, Unknown) else price_at(offer, at, self._book.as_of)
            name = price_name(offer, price) if isinstance(offer, Offer) and isinstance(price, Price) else ""
            found = self._found[piece] = (price, name, note)
        return found

    def _offer(self, row: Priced) -> tuple[Offer | Unknown, str, list[int]]:
        offer, note = as_priced(self._book, row.provider, row.model, row.region, self._kept.get(row.price or ""))
        if isinstance(offer, Unknown):
            return offer, note, []
        moments = {m for price in offer.prices for m in (price.valid_from, price.valid_to) if m is not None}
        return offer, note, sorted(microseconds(moment) for moment in moments)
