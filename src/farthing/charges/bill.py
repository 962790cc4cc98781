"""A bill: the charges of many rows at one set of offers, summed, with what could not be priced."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction

import msgspec

from farthing.charges.columns import Cell, Cuts, Tally, cuts_of, facts_of_cell, merge, tally
from farthing.charges.reference import Line, facts_of, lines
from farthing.evidence import Grade, Source, worst
from farthing.money import ZERO, Usd
from farthing.rates.card import Offer, Price
from farthing.rates.select import Facts, Unknown, price_at
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable

Quantities = Mapping[str, int | Fraction]
Rewrite = Callable[[Quantities, Facts, Price], tuple[Quantities, Facts]]
"""A policy's life in pricing: the same request as it would be at that price record."""
PriceOf = Callable[[Offer, datetime], Price | Unknown]


class Bill:
    """Sums of charges. `usd` counts every line with a price; `unpriced` the rows with a part that has none.

    While `unpriced` is not zero, `usd` is a lower bound and not a total.
    """

    def __init__(self) -> None:
        self.usd: Usd = ZERO
        self.rows = 0
        self.requests = 0
        self.unpriced = 0
        self.reasons: Counter[str] = Counter()
        self.usd_by_meter: dict[str, Usd] = {}
        self.quantity_by_meter: dict[str, int | Fraction] = {}
        self.grade = Grade.MEASURED
        self.sources: dict[str, Source] = {}
        self.notes: Counter[str] = Counter()

    @property
    def total_usd(self) -> Usd | None:
        return None if self.unpriced or not self.rows else self.usd

    def add(self, made: Sequence[Line], rows: int, requests: int) -> None:
        """Add the lines of `rows` rows."""
        self.rows += rows
        self.requests += requests
        reasons = set()
        for line in made:
            self.quantity_by_meter[line.meter] = self.quantity_by_meter.get(line.meter, 0) + line.quantity
            if line.usd is None:
                reasons.add(line.reason)
                continue
            self.usd += line.usd
            self.usd_by_meter[line.meter] = self.usd_by_meter.get(line.meter, ZERO) + line.usd
            self.grade = worst((self.grade, line.grade))
            if line.source is not None:
                self.sources[line.source.id] = line.source
            if line.note:
                self.notes[line.note] += rows
        self._unpriced(reasons, rows)

    def add_unknown(self, reason: str, rows: int, requests: int, quantities: Quantities) -> None:
        """Count rows that have no price at all."""
        self.rows += rows
        self.requests += requests
        for name, quantity in quantities.items():
            self.quantity_by_meter[name] = self.quantity_by_meter.get(name, 0) + quantity
        self._unpriced({reason}, rows)

    def _unpriced(self, reasons: set[str], rows: int) -> None:
        if reasons:
            self.unpriced += rows
            for reason in reasons:
                self.reasons[reason] += rows


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The bill of usage as it was: by subject (number) and, where rates are linear, what each cell rests on."""

    by_subject: Mapping[int, Bill]
    tally: Tally
    priced: Mapping[int, tuple[Price, Facts]]

    @property
    def bill(self) -> Bill:
        """The sum over all subjects."""
        return total(self.by_subject.values())


def bill_as_served(table: UsageTable, offers: Mapping[int, Offer | Unknown], at: datetime | None = None) -> Served:
    """The bill of the usage as it was: each subject (by number) at its own offer, at its own times (or `at`)."""
    cuts = {n: cuts_of(offer.prices) for n, offer in offers.items() if isinstance(offer, Offer)}
    made = tally(table, cuts)
    by_row: set[int] = set()
    held: list[tuple[Cell, Sequence[Line] | Unknown]] = []
    priced: dict[int, tuple[Price, Facts]] = {}
    for cell in made.cells:
        offer = offers.get(cell.subject, Unknown("no offer is known for this model"))
        facts = facts_of_cell(cell, table, at)
        price = offer if isinstance(offer, Unknown) else price_at(offer, facts.at)
        if isinstance(price, Unknown):
            held.append((cell, price))
        elif (result := _cell_lines(price, cell, table, facts, cell.quantities)) is None:
            by_row.add(cell.subject)
        else:
            held.append((cell, result))
            priced[cell.key] = (price, facts)
    bills = {number: Bill() for number in range(len(table.subjects))}
    for cell, outcome in held:
        if cell.subject in by_row:
            continue
        if isinstance(outcome, Unknown):
            bills[cell.subject].add_unknown(outcome.reason, cell.rows, cell.requests, cell.quantities)
        else:
            bills[cell.subject].add(outcome, cell.rows, cell.requests)
    if by_row:
        _row_by_row(bills, table, {n: offers[n] for n in by_row}, None, at, price_at)
    return Served(by_subject=bills, tally=made, priced={} if by_row else priced)


def _cell_lines(
    price: Price, cell: Cell, table: UsageTable, facts: Facts, quantities: Quantities
) -> tuple[Line, ...] | None:
    """The lines of a whole cell, or None where it must be priced row by row."""
    bucket = _bucket(table, cell.subject)
    made = lines(price, quantities, cell.requests, facts, bucket=bucket)
    if bucket:
        return made
    if price.minimum_usd is not None or any(line.rate is not None and not line.rate.linear for line in made):
        return None
    return made


def _bucket(table: UsageTable, number: int) -> bool:
    subject = table.subjects[number]
    return subject.bucket and "context_window" not in dict(subject.attrs)


def _row_by_row(
    bills: Mapping[int, Bill],
    table: UsageTable,
    offers: Mapping[int, Offer | Unknown],
    rewrite: Rewrite | None,
    at: datetime | None,
    price_of: PriceOf,
) -> None:
    """Add the rows of some subjects one by one, in order of time, consuming free quotas on the way."""
    quotas: dict[tuple[str, str], int] = {}
    for number, usage in table.records(offers):
        offer, bill = offers[number], bills[number]
        facts = facts_of(usage)
        if at is not None:
            facts = msgspec.structs.replace(facts, at=at, completed=at)
        price = offer if isinstance(offer, Unknown) else price_of(offer, facts.at)
        if isinstance(price, Unknown):
            bill.add_unknown(price.reason, 1, usage.requests, usage.quantities)
            continue
        quantities: Quantities = usage.quantities
        if rewrite is not None:
            quantities, facts = rewrite(quantities, facts, price)
        made = lines(price, quantities, usage.requests, facts, bucket=_bucket(table, number), quotas=quotas)
        bill.add(made, 1, usage.requests)


class Counterfactual:
    """A usage table tallied once, to be priced at any number of offers.

    `cuts` must contain the cuts of every offer that will be asked about (`cuts_of`).
    """

    def __init__(self, table: UsageTable, cuts: Cuts) -> None:
        self.tally: Tally = tally(table, cuts)
        self._merged: dict[tuple[bool, ...], list[tuple[Cell, tuple[int, ...]]]] = {}
        self._measures = sorted({of for of, _ in cuts.measures if of == "prompt" or of in table.meters})

    def cells(self, prices: Iterable[Price], by_time: bool) -> list[tuple[Cell, tuple[int, ...]]]:
        """The cells that `prices` can tell apart, merged; those of one signature are made once."""
        cuts = cuts_of(prices)
        used = {of for of, _ in cuts.measures}
        keep = (
            by_time,
            bool(cuts.ends),
            bool(cuts.starts),
            bool(cuts.completions),
            *(of in used for of in self._measures),
        )
        if keep not in self._merged:
            self._merged[keep] = merge(self.tally.cells, self.tally.table, keep)
        return self._merged[keep]

    def bill(
        self,
        offer: Offer,
        rewrite: Rewrite | None = None,
        *,
        at: datetime | None = None,
        price_of: PriceOf = price_at,
        priced: dict[int, tuple[Price, Facts]] | None = None,
    ) -> Bill:
        """The bill of the whole usage at `offer`, each request rewritten by `rewrite` first.

        `at` prices everything at one instant. `price_of` chooses the record for an instant. `priced`,
        if given, receives what each cell (by its key) rests on; it stays empty where rates are not linear.
        """
        bill = Bill()
        table = self.tally.table
        by_time = at is None and (len(offer.prices) > 1 or any(p.valid_from or p.valid_to for p in offer.prices))
        by_time = by_time or any(cut for cut in cuts_of(offer.prices).times)
        for cell, keys in self.cells(offer.prices, by_time):
            facts = facts_of_cell(cell, table, at)
            price = price_of(offer, facts.at)
            if isinstance(price, Unknown):
                bill.add_unknown(price.reason, cell.rows, cell.requests, cell.quantities)
                continue
            quantities: Quantities = cell.quantities
            before = facts
            if rewrite is not None:
                quantities, facts = rewrite(quantities, facts, price)
            made = _cell_lines(price, cell, table, facts, quantities)
            if made is None:
                whole = {number: Bill() for number in range(len(table.subjects))}
                _row_by_row(whole, table, dict.fromkeys(whole, offer), rewrite, at, price_of)
                if priced is not None:
                    priced.clear()
                return total(whole.values())
            bill.add(made, cell.rows, cell.requests)
            if priced is not None:
                priced.update(dict.fromkeys(keys, (price, before)))
        return bill


def total(bills: Iterable[Bill]) -> Bill:
    """The sum of several bills."""
    whole = Bill()
    for bill in bills:
        whole.usd += bill.usd
        whole.rows += bill.rows
        whole.requests += bill.requests
        whole.unpriced += bill.unpriced
        whole.reasons.update(bill.reasons)
        whole.notes.update(bill.notes)
        whole.sources.update(bill.sources)
        whole.grade = worst((whole.grade, bill.grade))
        for name, usd in bill.usd_by_meter.items():
            whole.usd_by_meter[name] = whole.usd_by_meter.get(name, ZERO) + usd
        for name, quantity in bill.quantity_by_meter.items():
            whole.quantity_by_meter[name] = whole.quantity_by_meter.get(name, 0) + quantity
    return whole


def price_records(records: Iterable[Usage], offer_of: Callable[[Usage], Offer | Unknown]) -> Bill:
    """The bill of `records` one by one: the definition that `bill_as_served` must equal to the last digit."""
    bill = Bill()
    quotas: dict[tuple[str, str], int] = {}
    for usage in records:
        offer = offer_of(usage)
        price = offer if isinstance(offer, Unknown) else price_at(offer, usage.at)
        if isinstance(price, Unknown):
            bill.add_unknown(price.reason, 1, usage.requests, usage.quantities)
            continue
        bucket = usage.requests != 1 and "context_window" not in usage.attrs
        made = lines(price, usage.quantities, usage.requests, facts_of(usage), bucket=bucket, quotas=quotas)
        bill.add(made, 1, usage.requests)
    return bill
