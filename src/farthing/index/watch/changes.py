"""How the charges of each offer of a usage changed between two instants, by meter and by condition."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill, Quantities, bill_as_served, total
from farthing.index.watch.ends import Retirements, endings, sum_of
from farthing.index.watch.then import HISTORY, NONE, UNCLEAR, Dated, conditions, stated
from farthing.index.watch.values import (
    Condition,
    Cost,
    Ending,
    Learned,
    MeterChange,
    OfferChange,
    Unpriced,
    Upcoming,
    WatchQuestion,
)
from farthing.money import ZERO, Usd
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price
from farthing.rates.compare import quote
from farthing.rates.family import family
from farthing.rates.kept import as_priced
from farthing.rates.select import Facts, Unknown, index, price_at
from farthing.units import ORDER, TOKEN_METERS
from farthing.usage.table import UsageTable


class Group(msgspec.Struct, kw_only=True):
    """The subjects (numbers) of the usage that one offer served."""

    offer: Offer | Unknown
    name: str
    subjects: list[int] = []
    names: dict[str, list[int]] = {}
    then: Dated = Dated(Unknown(""), NONE)
    now: Dated = Dated(Unknown(""), NONE)


def groups_of(table: UsageTable, book: Book) -> tuple[list[Group], list[str]]:
    """The usage by the offer that served it, and notes on what was charged in a way of its own."""
    found: dict[object, Group] = {}
    notes: dict[str, None] = {}
    for number, one in enumerate(table.subjects):
        name = "/".join(part for part in (one.provider, one.model) if part) or "unknown"
        offer: Offer | Unknown = Unknown("the usage names no model; --from OFFER says where it was served")
        if one.model is not None:
            offer, note = as_priced(book, one.provider, one.model, one.region, one.priced)
            if note:
                notes[note] = None
        key = (offer.id, offer.region) if isinstance(offer, Offer) else name
        if key not in found:
            label = offer.id if isinstance(offer, Offer) else name
            found[key] = Group(offer=offer, name=label)
        found[key].subjects.append(number)
        found[key].names.setdefault((one.model or "").rsplit("/", 1)[-1], []).append(number)
    return list(found.values()), list(notes)


def bills_of(
    table: UsageTable, groups: Iterable[Group], at: datetime, offer_of: Callable[[Group], Offer | Unknown]
) -> dict[int, Bill]:
    """The bill of each subject (by number) at the offer that `offer_of` gives for its group, at the rates of `at`."""
    offers: dict[int, Offer | Unknown] = {}
    for group in groups:
        offer = offer_of(group)
        offers.update(dict.fromkeys(group.subjects, offer))
    return dict(bill_as_served(table, offers, at).by_subject)


def cost_of(bill: Bill) -> Cost:
    return Cost(
        usd=bill.total_usd,
        known_usd=bill.usd,
        rows=bill.rows,
        unpriced=bill.unpriced,
        reasons=dict(sorted(bill.reasons.items(), key=lambda one: (-one[1], one[0]))),
        grade=bill.grade if bill.usd_by_meter else None,
        by_meter=dict(bill.usd_by_meter),
    )


def bill_of(group: Group, bills: Mapping[int, Bill]) -> Bill:
    return total(bills[number] for number in group.subjects)


def change_of(
    table: UsageTable, book: Book, group: Group, then_bills: Mapping[int, Bill], now_bills: Mapping[int, Bill],
    question: WatchQuestion,
) -> OfferChange:  # fmt: skip
    before, after = bill_of(group, then_bills), bill_of(group, now_bills)
    then, now = cost_of(before), cost_of(after)
    old, price = group.then.price, group.now.price
    said = stated(book, group.offer, question.until) if isinstance(group.offer, Offer) else None
    both = [n for n in group.subjects if _comparable(then_bills[n], now_bills[n])]
    change = sum((now_bills[n].usd - then_bills[n].usd for n in both), ZERO) if both else None
    partial = bool(both) and (then.usd is None or now.usd is None)
    meters = sorted({*before.quantity_by_meter, *after.quantity_by_meter}, key=ORDER.__getitem__)
    return OfferChange(
        offer=group.name,
        family=family(group.offer.model if isinstance(group.offer, Offer) else group.name),
        requests=after.requests,
        then=then,
        now=now,
        change=change,
        partial=partial,
        basis=group.then.basis,
        stated_from=said.valid_from if said is not None else None,
        meters=tuple(
            MeterChange(
                meter=meter,
                quantity=after.quantity_by_meter.get(meter, before.quantity_by_meter.get(meter, 0)),
                then_price=_listed(old, meter, question.since),
                now_price=_listed(price, meter, question.until),
                then_usd=then.by_meter.get(meter),
                now_usd=now.by_meter.get(meter),
                change=_meter_change(meter, [(then_bills[n], now_bills[n]) for n in both]),
            )
            for meter in meters
        ),
        conditions=tuple(_conditions(table, group, old, price, question.until)),
        source=price.source if isinstance(price, Price) else None,
        then_source=old.source if isinstance(old, Price) else None,
    )


def _comparable(then: Bill, now: Bill) -> bool:
    """Whether a subject's two bills are of the same consumption: what has no price at one has none at the other."""
    if then.total_usd is not None and now.total_usd is not None:
        return True
    same = then.reasons == now.reasons and then.usd_by_meter.keys() == now.usd_by_meter.keys()
    return same and bool(then.usd_by_meter)


def _meter_change(meter: str, bills: Iterable[tuple[Bill, Bill]]) -> Usd | None:
    """The change of one meter's dollars over bills that can be compared; None where none of them has it."""
    pairs = [(then.usd_by_meter.get(meter), now.usd_by_meter.get(meter)) for then, now in bills]
    found = [(now or ZERO) - (then or ZERO) for then, now in pairs if then is not None or now is not None]
    return sum(found, ZERO) if found else None


def _listed(price: Price | Unknown, meter: str, at: datetime) -> Fraction | None:
    return None if isinstance(price, Unknown) else quote(price, meter, at).usd


def _conditions(
    table: UsageTable, group: Group, old: Price | Unknown, price: Price | Unknown, until: datetime
) -> Iterable[Condition]:
    """What became, or ceased to be, a condition of the price; for a new service tier, this usage's cost in it."""
    if isinstance(old, Unknown) or isinstance(price, Unknown) or old is price:
        return
    before, after = conditions(old), conditions(price)
    new_tiers = set(index(price).tiers) - set(index(old).tiers)
    for words, (tier, meters) in after.items():
        if words not in before:
            alone_new = tier in new_tiers and words == f"tier {tier}"
            usd = _in_tier(table, group, tier, until) if tier is not None and alone_new else None
            yield Condition(words=words, meters=meters, is_new=True, tier=tier if alone_new else None, tier_usd=usd)
    for words, (_, meters) in before.items():
        if words not in after:
            yield Condition(words=words, meters=meters, is_new=False)


def _in_tier(table: UsageTable, group: Group, tier: str, at: datetime) -> Usd | None:
    def rewrite(quantities: Quantities, facts: Facts, price: Price) -> tuple[Quantities, Facts]:
        return quantities, msgspec.structs.replace(facts, tier=tier)

    made = bill_as_served(
        table, dict.fromkeys(group.subjects, group.offer), at, dict.fromkeys(group.subjects, rewrite)
    )  # fmt: skip
    return sum_of(made.by_subject[number].total_usd for number in group.subjects)


def difference(then: Cost, now: Cost, offers: Sequence[OfferChange]) -> tuple[Usd | None, bool]:
    """The change of the whole: exact where all has a price at both instants, else of what can be compared."""
    if then.usd is not None and now.usd is not None:
        return now.usd - then.usd, False
    known = [one.change for one in offers if one.change is not None]
    return (sum(known, ZERO), True) if known else (None, False)


def unpriced_of(
    groups: Iterable[Group], then_bills: Mapping[int, Bill], now_bills: Mapping[int, Bill]
) -> Iterable[Unpriced]:
    for group in groups:
        bill = bill_of(group, now_bills)
        if not bill.unpriced:
            continue
        had = bill_of(group, then_bills).total_usd
        tokens = sum(n for meter, n in bill.quantity_by_meter.items() if meter in TOKEN_METERS)
        for reason, rows in sorted(bill.reasons.items(), key=lambda one: (-one[1], one[0])):
            yield Unpriced(
                model=group.name, reason=reason, rows=rows, requests=bill.requests, tokens=int(tokens), had=had
            )  # fmt: skip


def endings_of(
    groups: Iterable[Group], now_bills: Mapping[int, Bill], question: WatchQuestion,
    known: Retirements,
) -> Iterable[Ending]:  # fmt: skip
    found: list[Ending] = []
    for group in groups:
        if isinstance(group.offer, Offer):
            names = {n: total(now_bills[number] for number in numbers).total_usd for n, numbers in group.names.items()}
            found += endings(group.offer, names, question.until, question.since, known)
    return sorted(found, key=lambda one: (one.day is None, one.day or question.until.date(), one.offer))


def upcoming_of(
    table: UsageTable, groups: Iterable[Group], now_bills: Mapping[int, Bill], until: datetime
) -> Iterable[Upcoming]:
    """Prices that are stated to begin later."""
    for group in groups:
        if not isinstance(group.offer, Offer):
            continue
        last = now = bill_of(group, now_bills).total_usd
        for price in group.offer.prices:
            if price.valid_from is not None and price.valid_from > until:
                made = bill_as_served(table, dict.fromkeys(group.subjects, group.offer), price.valid_from)
                usd = sum_of(made.by_subject[number].total_usd for number in group.subjects)
                if usd == last:
                    continue  # a record of other things, a tier or a meter that this usage has none of
                last = usd
                yield Upcoming(offer=group.name, at=price.valid_from, usd=usd, source=price.source,
                               change=usd - now if usd is not None and now is not None else None)  # fmt: skip


def learned_of(
    table: UsageTable, groups: Sequence[Group], known: Book, then_bills: Mapping[int, Bill], since: datetime,
    until: datetime,
) -> Iterable[Learned]:  # fmt: skip
    """Where the price of then is another as it is known now than as it was known then."""
    before: dict[int, Offer | Unknown] = {}
    for group in groups:
        if isinstance(group.offer, Offer):
            found = known.lookup(group.offer.provider, group.offer.model, group.offer.region)
            before.update(dict.fromkeys(group.subjects, found))
    if not before:
        return
    bills = bill_as_served(table, before, since).by_subject
    for group in groups:
        if not isinstance(group.offer, Offer) or group.then.basis in (HISTORY, UNCLEAR):
            continue  # what history says of then is not the book's record of it
        record = price_at(group.offer, since)
        old = before[group.subjects[0]]
        earlier = price_at(old, since) if isinstance(old, Offer) else old
        if not isinstance(record, Price) or record.recorded is None or not since < record.recorded <= until:
            continue
        then, now = bill_of(group, bills).total_usd, bill_of(group, then_bills).total_usd
        if then == now and isinstance(earlier, Price):
            continue
        day = record.recorded.date().isoformat()
        if isinstance(earlier, Unknown):
            what = f"recorded on {day}: no price of {since.date()} was known before"
        else:
            what = f"recorded on {day} ({record.source.id}): another price of {since.date()} than was known before"
        yield Learned(offer=group.name, known_usd=then, usd=now, what=what,
                      difference=now - then if now is not None and then is not None else None)  # fmt: skip
