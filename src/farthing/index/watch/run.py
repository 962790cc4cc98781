"""What changed since a day, in dollars on one's own traffic: the same usage at the rates of then and of now.

    usage × rates of then → charges     usage × rates of now → charges     the difference is the news

Three things are kept apart. A *change*: what providers charged then and charge now, as far as it is known today. A
*correction*: what the sources learned since about the prices of then (the second clock, `recorded`). And what was
never dated: a price that no source says since when it holds is taken as unchanged, which is said.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill, Rewrite, total
from farthing.index.line import Line
from farthing.index.watch.best import Candidates, OfferOn, Scores, best_of, part
from farthing.index.watch.changes import (
    Group,
    bill_of,
    bills_of,
    change_of,
    cost_of,
    difference,
    endings_of,
    groups_of,
    learned_of,
    unpriced_of,
    upcoming_of,
)
from farthing.index.watch.disagree import disagreements
from farthing.index.watch.ends import Retirements
from farthing.index.watch.news import alerts_of
from farthing.index.watch.then import DATED, HISTORY, UNCLEAR, UNDATED, Dated, alone, first_known, price_on, stated
from farthing.index.watch.values import Best, Watch, WatchQuestion
from farthing.money import ZERO, Usd
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.family import family
from farthing.rates.select import Unknown
from farthing.usage.table import UsageTable, from_micro

History = Callable[[str], Iterable[Line]]
"""The price lines of a provider."""
MONTH_DAYS = Fraction(36525, 1200)
_POINTER = re.compile(r"^~|[-/_.]latest$")
_SHORTEST = Fraction(5, 6)  # of a day: from the first to the last request of one day's log it is never quite one
_LONG_AGO = timedelta(days=30)
_MOST_GROUPS = 40  # offers of the usage, by cost, that are compared with other hosts


def watch(
    table: UsageTable,
    book: Book,
    known: Book,
    question: WatchQuestion,
    carry: Rewrite,
    lines: History = lambda provider: (),
    scores: Scores | None = None,
    retirements: Retirements | None = None,
) -> Watch:
    """What changed for the usage in `table` between the two instants of `question`.

    `book` is what is known today, `known` the same as of the first instant. `carry` is what a request becomes at
    another host. `lines` is the history of a provider's prices, `scores` published capability, `retirements`
    announced ends.
    """
    since, until = question.since, question.until
    past: dict[str, dict[str, Line]] = {}
    groups, notes = groups_of(table, book)

    def line_of(offer: Offer, name: str | None) -> Line | None:
        if offer.provider not in past:  # a long history: read only of whom it is needed
            past[offer.provider] = {line.model.casefold(): line for line in lines(offer.provider)}
        names = (name, offer.model, *offer.aliases)
        return next((found for n in names if n and (found := past[offer.provider].get(n.casefold()))), None)

    def on(offer: Offer, moment: datetime, name: str | None = None) -> Dated:
        said = stated(book, offer, moment)
        line = line_of(offer, name) if said is None or said.valid_from is None else None
        return price_on(book, offer, moment, question.present, line)

    def offer_on(offer: Offer, moment: datetime) -> Offer | Unknown:
        made = on(offer, moment)
        return alone(offer, made.price) if made.basis in (HISTORY, UNCLEAR) else offer

    early: list[tuple[str, date]] = []
    for group in groups:
        if isinstance(group.offer, Offer):
            only = next(iter(group.names)) if len(group.names) == 1 else None
            group.then, group.now = on(group.offer, since, only), on(group.offer, until, only)
            said = stated(book, group.offer, since)
            if said is not None and said.valid_from is None and group.then.basis in (DATED, UNDATED):
                begun = first_known(group.offer, line_of(group.offer, only))
                early += [(group.name, begun.date())] if begun is not None and begun > since else []
    now_bills = bills_of(
        table, groups, until, lambda g: alone(g.offer, g.now.price) if isinstance(g.offer, Offer) else g.offer
    )
    then_bills = bills_of(
        table, groups, since, lambda g: alone(g.offer, g.then.price) if isinstance(g.offer, Offer) else g.offer
    )
    offers = tuple(change_of(table, book, g, then_bills, now_bills, question) for g in groups)
    then, now = (cost_of(total(bills.values())) for bills in (then_bills, now_bills))
    change, partial = difference(then, now, offers)
    span = table.span()
    first, last = (from_micro(span[0]), from_micro(span[1])) if span else (None, None)
    days = Fraction(span[1] - span[0], 86_400_000_000) if span else Fraction(0)
    ended = tuple(endings_of(groups, now_bills, question, retirements or {}))
    upcoming = tuple(upcoming_of(table, groups, now_bills, until))
    learned = tuple(learned_of(table, groups, known, then_bills, since, until))
    best = tuple(
        _best(table, book, groups, then_bills, now_bills, question, carry, offer_on, scores or {}, retirements or {})
    )
    made = Watch(
        question=question,
        rows=table.rows,
        requests=sum(bill.requests for bill in now_bills.values()),
        first=first,
        last=last,
        days=days if days >= _SHORTEST else None,
        then=then,
        now=now,
        change=change,
        partial=partial,
        offers=tuple(sorted(offers, key=lambda o: (-abs(o.change or ZERO), -o.now.known_usd, o.offer))),
        best=best,
        ending=ended,
        upcoming=upcoming,
        disagreements=tuple(disagreements(table, book, _dated(groups), now_bills, until)),
        unpriced=tuple(unpriced_of(groups, then_bills, now_bills)),
        learned=learned,
        alerts=(),
        notes=(*notes, *_early(early, since), *_notes(groups, days, question)),
    )
    return msgspec.structs.replace(made, alerts=alerts_of(made))


def _best(
    table: UsageTable, book: Book, groups: Sequence[Group], then_bills: Mapping[int, Bill],
    now_bills: Mapping[int, Bill], question: WatchQuestion, carry: Rewrite, offer_on: OfferOn,
    scores: Scores, retirements: Retirements,
) -> Iterable[Best]:  # fmt: skip
    def ends(offer: Offer) -> date | None:
        stated = [one.day for one in retirements.get((offer.provider, offer.model.casefold()), ())]
        return min([*stated, *([offer.retires] if offer.retires is not None else [])], default=None)

    candidates = Candidates(book, question.constraints, scores, ends)

    ranked = sorted(groups, key=lambda g: -bill_of(g, now_bills).usd)[:_MOST_GROUPS]
    for number, group in enumerate(ranked):
        own = group.offer if isinstance(group.offer, Offer) else None
        if own is None and not any(group.names):
            continue
        model = own.model if own else next(iter(group.names))
        now, then = cost_of(bill_of(group, now_bills)), cost_of(bill_of(group, then_bills))
        rows = part(table, group.subjects, f"watched_{number}")
        made = best_of(
            rows, own, family(model), now, then, candidates, (question.since, question.until), offer_on, carry
        )  # fmt: skip
        yield made if own else msgspec.structs.replace(made, offer=group.name)


def _early(early: Sequence[tuple[str, date]], since: datetime) -> Iterable[str]:
    if early:
        some = ", ".join(f"{name} (from {day})" for name, day in early[:3])
        more = f" and {len(early) - 3} more" if len(early) > 3 else ""
        yield f"no price of {since.date()} is known of {some}{more}: the oldest known one stands for it"


def _dated(groups: Iterable[Group]) -> list[tuple[Offer | Unknown, Sequence[int]]]:
    """The offers whose price now is the book's own, which other sources can be set against."""
    return [(g.offer, g.subjects) for g in groups if g.now.basis not in (HISTORY, UNCLEAR)]


def _notes(groups: Sequence[Group], days: Fraction, question: WatchQuestion) -> Iterable[str]:
    undated = [g.name for g in groups if g.then.basis == UNDATED]
    if undated:
        some = ", ".join(undated[:3]) + (f" and {len(undated) - 3} more" if len(undated) > 3 else "")
        yield f"no source dates the price of {some}: taken as unchanged, which is not known"
    if question.until < question.present - _LONG_AGO:
        yield "offers without a dated price are proposed as if they had been there at the end of this span"
    for group in groups:
        if UNCLEAR in (group.then.basis, group.now.basis):
            yield f"history does not say surely when {group.name} changed its price, or whether a list was corrected"
        if isinstance(group.offer, Offer) and _POINTER.search(group.offer.model):
            yield f"the name {group.name} is a pointer: where its price changed, so may have the model behind it"
    if days < _SHORTEST:
        yield "the usage spans less than a day: no amount a month is given"
    if len(groups) > _MOST_GROUPS:
        yield f"the {_MOST_GROUPS} dearest of {len(groups)} offers are compared with other hosts"


def month_of(usd: Usd | None, days: Fraction | None) -> float | None:
    """What `usd` on a usage of `days` is a month of 365.25/12 days; None where either is unknown."""
    return None if usd is None or days is None else float(usd * MONTH_DAYS / days)
