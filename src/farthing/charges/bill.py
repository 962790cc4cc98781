"""A bill: the charges of many rows at one set of offers, summed, with what could not be priced."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction

import msgspec

from farthing.charges.columns import Cell, Cuts, Merged, Tally, cuts_of, facts_of_cell, joining, merge, tally
from farthing.charges.reference import Line, billable, facts_of, grade_of, lines
from farthing.evidence import Grade, Source
from farthing.money import ZERO, Usd
from farthing.rates.card import MINUTES_OF_WEEK, Offer, Price
from farthing.rates.select import Facts, Resolved, Unknown, index, price_at
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
        self.rows = 0
        self.requests = 0
        self.unpriced = 0
        self.reasons: Counter[str] = Counter()
        self.quantity_by_meter: dict[str, int | Fraction] = {}
        self.sources: dict[str, Source] = {}
        self.notes: Counter[str] = Counter()
        self._usd: dict[str, Usd] = {}
        self._grade = Grade.MEASURED
        # Linear rates are multiplied once, after all quantities at one rate are summed.
        self._pending: dict[tuple[str, int], tuple[Resolved, Source, int | Fraction, int]] = {}

    def _settle(self) -> None:
        pending, self._pending = self._pending, {}
        for (meter, _), (resolved, source, quantity, rows) in pending.items():
            assert resolved.unit_usd is not None
            usd = resolved.unit_usd * quantity
            grade, note = grade_of(resolved, source), resolved.rate.note
            self._count(Line(meter=meter, quantity=quantity, usd=usd, source=source, grade=grade, note=note), rows)

    def _count(self, line: Line, rows: int) -> None:
        assert line.usd is not None
        before = self._usd.get(line.meter)
        self._usd[line.meter] = line.usd if before is None else before + line.usd
        self._grade = min(self._grade, line.grade)
        if line.source is not None:
            self.sources[line.source.id] = line.source
        if line.note:
            self.notes[line.note] += rows

    @property
    def usd_by_meter(self) -> dict[str, Usd]:
        self._settle()
        return self._usd

    @property
    def grade(self) -> Grade:
        self._settle()
        return self._grade

    def lower_grade(self, grade: Grade) -> None:
        """Rest the bill on something graded `grade` as well."""
        self._settle()
        self._grade = min(self._grade, grade)

    @property
    def usd(self) -> Usd:
        return sum(self.usd_by_meter.values(), ZERO)

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
            else:
                self._count(line, rows)
        self._unpriced(reasons, rows)

    def add_cell(self, price: Price, cell: Cell, quantities: Quantities, facts: Facts) -> bool | None:
        """Add a whole cell under `price`. False, and nothing is added, where its rows must be priced one
        by one; None where it was added and a part of it has no price."""
        if price.minimum_usd is not None:
            return False
        prices = index(price)
        found, reasons = [], set()
        for meter, quantity in billable(quantities, cell.requests, prices).items():
            resolved = prices.resolve(meter, facts)
            if isinstance(resolved, Unknown):
                reasons.add(resolved.reason)
            elif not resolved.rate.linear:
                return False
            found.append((meter, quantity, resolved))
        for meter, quantity, resolved in found:
            self.quantity_by_meter[meter] = self.quantity_by_meter.get(meter, 0) + quantity
            if isinstance(resolved, Resolved):
                key = (meter, id(resolved))
                known = self._pending.get(key)
                if known is None:
                    source = resolved.rate.source or price.source
                    self._pending[key] = (resolved, source, quantity, cell.rows)
                else:
                    self._pending[key] = (resolved, known[1], known[2] + quantity, known[3] + cell.rows)
        self.rows += cell.rows
        self.requests += cell.requests
        self._unpriced(reasons, cell.rows)
        return None if reasons else True

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


def bill_as_served(
    table: UsageTable,
    offers: Mapping[int, Offer | Unknown],
    at: datetime | None = None,
    rewrites: Mapping[int, Rewrite] | None = None,
) -> Served:
    """The bill of the usage as it was: each subject (by number) at its own offer, at its own times.

    `at` prices everything under the record of that instant instead; the time of the week stays.
    `rewrites` are applied to the requests of some subjects first."""
    cuts = {n: cuts_of(offer.prices) for n, offer in offers.items() if isinstance(offer, Offer)}
    try:
        return _bill_as_served(table, offers, at, rewrites or {}, tally(table, cuts, kinds=False))
    except _SomeUnknown:
        return _bill_as_served(table, offers, at, rewrites or {}, tally(table, cuts))


class _SomeUnknown(Exception):
    """A meter without a price in cells that do not say which rows consumed it."""


def _bill_as_served(
    table: UsageTable,
    offers: Mapping[int, Offer | Unknown],
    at: datetime | None,
    rewrites: Mapping[int, Rewrite],
    made: Tally,
) -> Served:
    bills = {number: Bill() for number in range(len(table.subjects))}
    by_row: set[int] = set()
    priced: dict[int, tuple[Price, Facts]] = {}
    for cell in made.cells:
        offer = offers.get(cell.subject, Unknown("no offer is known for this model"))
        facts = facts_of_cell(cell, table, at)
        bill = bills[cell.subject]
        if why := table.subjects[cell.subject].unmeasured:
            bill.add_unknown(why, cell.rows, cell.requests, {})
            continue
        price = offer if isinstance(offer, Unknown) else price_at(offer, at or facts.at)
        if isinstance(price, Unknown):
            bill.add_unknown(price.reason, cell.rows, cell.requests, cell.quantities)
            continue
        rewrite = rewrites.get(cell.subject)
        quantities, seen = rewrite(cell.quantities, facts, price) if rewrite else (cell.quantities, facts)
        added = _add(bill, table, price, cell, quantities, seen)
        if added is False:
            by_row.add(cell.subject)
        elif added is None and not made.kinds:
            raise _SomeUnknown
        priced[cell.key] = (price, facts)
    if by_row:
        bills |= {number: Bill() for number in by_row}
        _row_by_row(bills, table, {n: offers[n] for n in by_row}, rewrites, at, price_at)
    return Served(by_subject=bills, tally=made, priced={} if by_row else priced)


def _add(bill: Bill, table: UsageTable, price: Price, cell: Cell, quantities: Quantities, facts: Facts) -> bool | None:
    """`Bill.add_cell`, also for cells of rows that sum several requests each."""
    if not _bucket(table, cell.subject):
        return bill.add_cell(price, cell, quantities, facts)
    made = lines(price, quantities, cell.requests, facts, bucket=True)
    bill.add(made, cell.rows, cell.requests)
    return None if any(line.usd is None for line in made) else True


def _bucket(table: UsageTable, number: int) -> bool:
    subject = table.subjects[number]
    return subject.bucket and "context_window" not in dict(subject.attrs)


def _row_by_row(
    bills: Mapping[int, Bill],
    table: UsageTable,
    offers: Mapping[int, Offer | Unknown],
    rewrites: Mapping[int, Rewrite],
    at: datetime | None,
    price_of: PriceOf,
) -> None:
    """Add the rows of some subjects one by one, in order of time, consuming free quotas on the way."""
    quotas: dict[tuple[str, str], int] = {}
    for number, usage in table.records(offers):
        offer, bill = offers[number], bills[number]
        if usage.unmeasured:
            bill.add_unknown(usage.unmeasured, 1, usage.requests, {})
            continue
        facts = msgspec.structs.replace(facts_of(usage), priced_at=at)
        price = offer if isinstance(offer, Unknown) else price_of(offer, at or facts.at)
        if isinstance(price, Unknown):
            bill.add_unknown(price.reason, 1, usage.requests, usage.quantities)
            continue
        quantities: Quantities = usage.quantities
        if rewrite := rewrites.get(number):
            quantities, facts = rewrite(quantities, facts, price)
        made = lines(price, quantities, usage.requests, facts, bucket=_bucket(table, number), quotas=quotas)
        bill.add(made, 1, usage.requests)


class Counterfactual:
    """A usage table tallied once, to be priced at any number of offers.

    `cuts` must contain the cuts of every offer that will be asked about (`cuts_of`).
    """

    def __init__(self, table: UsageTable, cuts: Cuts) -> None:
        self.tally: Tally = tally(table, cuts)
        self._cells: list[Merged] | None = None
        self._merged: dict[object, list[Merged]] = {}

    def _pieces(self, cuts: Cuts, at: datetime | None) -> list[Merged]:
        """The cells that conditions with these cuts tell apart; made once for all offers that have them."""
        made = self.tally
        if self._cells is None:  # first over subjects alone, once: they are many
            self._cells = merge(made.cells, made.table, [None] * len(made.edges))
        own: list[Collection[int] | None] = [cuts.times if at is None else (), cuts.ends, None, None]
        own += [[edge for of, edge in cuts.measures if of == measure] for measure in made.measured]
        kept: list[object] = [bool(cuts.starts), bool(cuts.completions), at]
        maps: list[list[int] | None] = []
        for position, edges in enumerate(made.edges):
            wanted = own[position]
            if edges is None or wanted is None:
                windows = cuts.starts if position == 2 else cuts.completions
                maps.append(None if windows else [0] * MINUTES_OF_WEEK)
                continue
            few, numbers = joining(edges, wanted)
            kept.append(few)
            maps.append(numbers)
        key = tuple(kept)
        if key not in self._merged:
            self._merged[key] = merge([m.cell for m in self._cells], made.table, maps, at)
        return self._merged[key]

    def _keys(self, merged: Merged) -> Iterator[int]:
        """The keys of the tally's cells that a merged cell sums."""
        assert self._cells is not None
        for member in merged.members:
            yield from (self.tally.cells[number].key for number in self._cells[member].members)

    def bill(
        self,
        offer: Offer,
        rewrite: Rewrite | None = None,
        *,
        at: datetime | None = None,
        price_of: PriceOf = price_at,
        cuts: Cuts | None = None,
        priced: dict[int, tuple[Price, Facts]] | None = None,
    ) -> Bill:
        """The bill of the whole usage at `offer`, each request rewritten by `rewrite` first.

        `at` prices everything under the record of that instant (the time of the week stays). `price_of`
        chooses the record for an instant. `cuts` are those of the offer, where `rewrite` changes the
        quantities that its conditions measure. `priced`, if given, receives what each cell (by its key)
        rests on; it stays empty where rates are not linear.
        """
        bill = Bill()
        table = self.tally.table
        for merged in self._pieces(cuts or cuts_of(offer.prices), at):
            cell, facts = merged.cell, merged.facts
            if why := table.subjects[cell.subject].unmeasured:
                bill.add_unknown(why, cell.rows, cell.requests, {})
                continue
            price = price_of(offer, at or facts.at)
            if isinstance(price, Unknown):
                bill.add_unknown(price.reason, cell.rows, cell.requests, cell.quantities)
                continue
            quantities: Quantities = cell.quantities
            before = facts
            if rewrite is not None:
                quantities, facts = rewrite(quantities, facts, price)
            if _add(bill, table, price, cell, quantities, facts) is False:
                whole = {number: Bill() for number in range(len(table.subjects))}
                _row_by_row(
                    whole,
                    table,
                    dict.fromkeys(whole, offer),
                    dict.fromkeys(whole, rewrite) if rewrite else {},
                    at,
                    price_of,
                )
                if priced is not None:
                    priced.clear()
                return total(whole.values())
            if priced is not None:
                priced.update(dict.fromkeys(self._keys(merged), (price, before)))
        return bill


def total(bills: Iterable[Bill]) -> Bill:
    """The sum of several bills."""
    whole = Bill()
    for bill in bills:
        whole.lower_grade(bill.grade)  # first: it settles the bill, and with that come its notes and sources
        whole.rows += bill.rows
        whole.requests += bill.requests
        whole.unpriced += bill.unpriced
        whole.reasons.update(bill.reasons)
        whole.notes.update(bill.notes)
        whole.sources.update(bill.sources)
        for name, usd in bill.usd_by_meter.items():
            whole._usd[name] = whole._usd.get(name, ZERO) + usd
        for name, quantity in bill.quantity_by_meter.items():
            whole.quantity_by_meter[name] = whole.quantity_by_meter.get(name, 0) + quantity
    return whole


def price_records(records: Iterable[Usage], offer_of: Callable[[Usage], Offer | Unknown]) -> Bill:
    """The bill of `records` one by one: the definition that `bill_as_served` must equal to the last digit."""
    bill = Bill()
    quotas: dict[tuple[str, str], int] = {}
    for usage in records:
        if usage.unmeasured:
            bill.add_unknown(usage.unmeasured, 1, usage.requests, {})
            continue
        offer = offer_of(usage)
        price = offer if isinstance(offer, Unknown) else price_at(offer, usage.at)
        if isinstance(price, Unknown):
            bill.add_unknown(price.reason, 1, usage.requests, usage.quantities)
            continue
        bucket = usage.requests != 1 and "context_window" not in usage.attrs
        made = lines(price, usage.quantities, usage.requests, facts_of(usage), bucket=bucket, quotas=quotas)
        bill.add(made, 1, usage.requests)
    return bill
