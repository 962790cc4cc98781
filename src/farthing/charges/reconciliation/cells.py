"""Usage and invoice side by side: a cell is one span of the invoice (mostly a day) of one model family.

Inside a cell the amounts stand by kind: the meter, where the invoice says which, else all together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from farthing.charges.reconciliation.invoice import InvoiceLine, half_unit, places_of
from farthing.charges.reconciliation.names import Name, families, provider_id
from farthing.charges.reconciliation.piles import SLOT, Collected, Pile, Variant, merged
from farthing.money import ZERO
from farthing.rates.card import Offer
from farthing.rates.select import Unknown
from farthing.time import EPOCH
from farthing.units import METERS
from farthing.usage.record import Usage

ALL = "all models"
_DAY = timedelta(days=1)
_TTL = {"cache_write": "cache_write_5m"}  # the default time-to-live, for an invoice that names it


class Span(NamedTuple):
    """A half-open span of time."""

    start: datetime
    end: datetime


class Group(NamedTuple):
    """What a difference belongs to: a span, a model family, and a kind (None: all kinds together)."""

    span: Span
    family: str
    kind: str | None


@dataclass
class Billed:
    """What the invoice says of one kind in one cell. `quantity` is None unless every line states one."""

    usd: Fraction = ZERO
    tolerance: Fraction = ZERO
    quantity: Fraction | None = ZERO
    lines: list[InvoiceLine] = field(default_factory=list)


@dataclass
class Priced:
    """What we charge for one kind in one cell."""

    usd: Fraction = ZERO
    quantity: Fraction = ZERO


@dataclass
class Cell:
    """One span of one family: what was billed by kind, and the piles of the usage.

    `kinds` are those that the invoice bills this family by, anywhere. `only` restricts the cell to one
    meter, `without` excludes the meters that the invoice bills apart from any model. `apart` are the
    piles by half-hour, in order of time.
    """

    span: Span
    family: str
    kinds: frozenset[str]
    without: frozenset[str] = frozenset()
    only: str | None = None
    billed: dict[str | None, Billed] = field(default_factory=dict)
    piles: list[Pile] = field(default_factory=list)
    apart: list[Pile] = field(default_factory=list)

    def kind_of(self, meter: str) -> str | None:
        """The kind that `meter` is billed under."""
        if self.only:
            return self.only
        if None in self.billed or not self.kinds:
            return None
        name = meter
        while name:
            if name in self.kinds:
                return name
            name = METERS[name].covered_by
        other = _TTL.get(meter)
        return other if other in self.kinds else meter

    def belongs(self, meter: str) -> bool:
        """Whether this cell counts `meter`."""
        return meter == self.only if self.only else meter not in self.without

    @cached_property
    def ours(self) -> dict[str | None, Priced]:
        """What the usage costs, by kind; only what has a price."""
        found = self.priced(Variant())
        assert found is not None
        return found

    @cached_property
    def unpriced(self) -> frozenset[str | None]:
        """The kinds of which some usage has no price."""
        found: set[str | None] = set()
        for pile in self.piles:
            sums = pile.sums()
            assert sums is not None
            found |= {self.kind_of(meter) for meter in sums.unknown if self.belongs(meter)}
        return frozenset(found)

    def priced(self, variant: Variant) -> dict[str | None, Priced] | None:
        """What the usage would cost under `variant`; None where it changes nothing or cannot be priced."""
        made: dict[str | None, Priced] = {}
        changed = variant == Variant()
        for pile in self.piles:
            mine = variant.model in (None, pile.model)
            retier = variant.tier if mine and variant.of in (None, pile.facts.tier) else None
            retier = None if retier == pile.facts.tier else retier
            plain = pile.sums()
            sums = pile.sums(variant.cache, retier) if mine else plain
            if sums is None or plain is None:
                return None
            if sums is not plain:
                changed = True
                if any(meter in plain.usd for meter in sums.unknown):
                    return None
            for meter, usd in sums.usd.items():
                if self.belongs(meter):
                    made.setdefault(self.kind_of(meter), Priced()).usd += usd
            for meter, quantity in sums.quantity.items():
                if self.belongs(meter):
                    made.setdefault(self.kind_of(meter), Priced()).quantity += quantity
        return made if changed else None


@dataclass
class Sides:
    """Both sides, matched by model. `cells(shift)` puts the usage on days that begin `shift` half-hours early."""

    usage: Collected
    invoice: Sequence[InvoiceLine]
    family_of_line: list[str]
    family_of_pile: list[str]
    kinds: dict[str, frozenset[str]]
    loose: frozenset[str]
    _spans: dict[tuple[str, int], Span] = field(default_factory=dict)

    @cached_property
    def span(self) -> Span:
        """From the invoice's first instant to its last."""
        return Span(min(line.start for line in self.invoice), max(line.end for line in self.invoice))

    @cached_property
    def used(self) -> Span | None:
        """From the usage's first half-hour to its last."""
        slots = [pile.slot for pile in self.usage.piles]
        return Span(EPOCH + min(slots) * SLOT, EPOCH + (max(slots) + 1) * SLOT) if slots else None

    @cached_property
    def providers(self) -> frozenset[str]:
        """The providers that the invoice bills; empty where some line does not say."""
        found = {provider_id(line.provider) for line in self.invoice}
        return frozenset() if None in found else frozenset(name for name in found if name)

    @cached_property
    def buckets(self) -> dict[str, list[Span]]:
        """The spans that each family is billed by, the shortest first; "" holds those of all families."""
        found: dict[str, set[Span]] = {"": set()}
        for line, family in zip(self.invoice, self.family_of_line, strict=True):
            for name in ("", family):
                found.setdefault(name, set()).add(Span(line.start, line.end))
        return {name: sorted(spans, key=lambda s: (s.end - s.start, s.start)) for name, spans in found.items()}

    def span_of(self, family: str, slot: int) -> Span:
        """The span in which usage of `family` at `slot` is billed: the invoice's own, else the UTC day."""
        key = (family, slot)
        if key not in self._spans:
            moment = EPOCH + slot * SLOT
            spans = [*self.buckets.get(family, ()), *self.buckets[""]]
            midnight = moment.replace(hour=0, minute=0)
            own = next((span for span in spans if span.start <= moment < span.end), None)
            self._spans[key] = own or Span(midnight, midnight + _DAY)
        return self._spans[key]

    @cached_property
    def utc(self) -> list[Cell]:
        """The cells with the usage on its UTC days."""
        return self.cells(0)

    def cells(self, shift: int) -> list[Cell]:
        """The cells in order of time and family."""
        made: dict[tuple[Span, str], Cell] = {}

        def cell(span: Span, family: str) -> Cell:
            if (span, family) not in made:
                only = family if family in self.loose else None
                without = frozenset() if only else self.loose
                made[span, family] = Cell(span, family, self.kinds.get(family, frozenset()), without, only)
            return made[span, family]

        places = places_of(self.invoice)
        for line, family in zip(self.invoice, self.family_of_line, strict=True):
            _bill(cell(Span(line.start, line.end), family), line, half_unit(line, places))
        for pile, family in zip(self.usage.piles, self.family_of_pile, strict=True):
            names = {meter for meter in pile.quantities if meter in self.loose} if self.loose else set()
            for name in names:
                cell(self.span_of(name, pile.slot + shift), name).piles.append(pile)
            if len(names) < len(pile.quantities):
                cell(self.span_of(family, pile.slot + shift), family).piles.append(pile)
        for one in made.values():
            one.apart = sorted(one.piles, key=lambda pile: pile.slot)
            one.piles = merged(one.apart)
        return [made[key] for key in sorted(made)]


def _bill(cell: Cell, line: InvoiceLine, half: Fraction) -> None:
    kind = cell.only or line.kind
    if None in cell.billed or (kind is None and cell.billed):  # one line of all kinds: then all go together
        whole = Billed(quantity=None)
        for one in cell.billed.values():
            whole.usd += one.usd
            whole.tolerance += one.tolerance
            whole.lines += one.lines
        cell.billed = {None: whole}
        kind = None
    one = cell.billed.setdefault(kind, Billed())
    one.usd += line.usd
    one.tolerance += half
    one.lines.append(line)
    one.quantity = None if line.quantity is None or one.quantity is None else one.quantity + line.quantity


def match(usage: Collected, offer_of: Callable[[Usage], Offer | Unknown], invoice: Sequence[InvoiceLine]) -> Sides:
    """Put every line and every pile into a family of models.

    An invoice that names no model is compared as a whole. A line without a model is matched by its
    meter where that is no token ("web search tool calls"), else it is a family of its own.
    """
    named = any(line.model for line in invoice)
    loose = frozenset(
        line.kind for line in invoice if named and line.kind and not line.model and METERS[line.kind].unit != "token"
    ) - {line.kind for line in invoice if line.model}
    billed = [Name(line.provider, line.model) for line in invoice if line.model]
    used = [Name(pile.provider, pile.model) for pile in usage.piles]
    names = families(used, billed, _offer_ids(used, offer_of))
    of_line = []
    for line in invoice:
        if line.model:
            of_line.append(names["billed", Name(line.provider, line.model)])
        elif line.kind in loose:
            of_line.append(line.kind or "")
        elif named:
            of_line.append(line.description or line.kind or "no model named")
        else:
            of_line.append(ALL)
    foreign = {provider_id(line.provider) for line in invoice}
    of_pile = []
    for name in used:
        outside = None not in foreign and provider_id(name.provider) not in {*foreign, None}
        of_pile.append(names["used", name] if named or outside else ALL)
    kinds: dict[str, set[str]] = {}
    for line, family in zip(invoice, of_line, strict=True):
        if line.kind and family not in loose:
            kinds.setdefault(family, set()).add(line.kind)
    return Sides(
        usage=usage,
        invoice=invoice,
        family_of_line=of_line,
        family_of_pile=of_pile,
        kinds={family: frozenset(found) for family, found in kinds.items()},
        loose=loose,
    )


def _offer_ids(used: Iterable[Name], offer_of: Callable[[Usage], Offer | Unknown]) -> Callable[[Name], str | None]:
    providers = sorted({name.provider for name in used if name.provider})

    def offer_id(name: Name) -> str | None:
        for provider in [name.provider] if name.provider else [None, *providers]:
            found = offer_of(Usage(at=EPOCH, quantities={}, provider=provider, model_served=name.model))
            if isinstance(found, Offer):
                return found.id
        return None

    held: dict[Name, str | None] = {}

    def remembered(name: Name) -> str | None:
        if name not in held:
            held[name] = offer_id(name)
        return held[name]

    return remembered
