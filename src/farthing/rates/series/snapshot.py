"""One dated price list, as prices by key: what a series of them is made of."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import msgspec

from farthing.problems import Problem
from farthing.rates.card import ALWAYS, Offer, Price, When
from farthing.rates.describe import describe
from farthing.rates.feeds.base import Imported
from farthing.units import METERS


class Subject(NamedTuple):
    """An offer as a price list names it. `region` is "" where the list names none."""

    provider: str
    model: str
    channel: str
    region: str


class Key(NamedTuple):
    """One price of an offer: of a meter, under a condition in words ("always", "tier batch", …)."""

    subject: Subject
    meter: str
    condition: str


class Pattern(NamedTuple):
    """What further names of a model a list states: a regular expression, searched in the lower-cased name."""

    provider: str
    channel: str
    model: str
    expression: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What `source` listed on `day`.

    `prices` are dollars per the published scale of the meter (`units.METERS[meter].per`: a million tokens, an
    hour, …). `starts` are days that the list itself states for a price. `label` is a release's name, or the file's.
    """

    source: str
    day: date
    label: str
    place: str
    prices: dict[Key, Decimal]
    starts: dict[Key, date]
    modes: dict[Subject, str]
    patterns: tuple[Pattern, ...]
    read: int = 0
    not_expressed: int = 0


def snapshot_of(imported: Imported, source: str, day: date, label: str, place: str) -> tuple[Snapshot, list[Problem]]:
    """The prices that `imported` states for `day`, and the offers that it states twice with different prices.

    Of dated records the one in force at the end of `day` is taken. Rates without an amount (ranges, marginal
    brackets) and prices in other currencies than dollars are left out; so are factors, which no list states a
    history of.
    """
    prices: dict[Key, Decimal] = {}
    starts: dict[Key, date] = {}
    modes: dict[Subject, str] = {}
    patterns, problems = [], []
    end = datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
    for offer in _in_order(imported.offers):
        subject = _subject(offer)
        if subject in modes:
            problems.append(
                Problem(f"{place}: {subject.provider}/{subject.model}", "is listed twice: the first counts")
            )
            continue
        modes[subject] = offer.mode
        if offer.pattern:
            patterns.append(Pattern(offer.provider, offer.channel, offer.model, offer.pattern))
        price = _in_force(offer.prices, end)
        if price is None or price.currency != "USD":
            continue
        for rate in price.rates:
            if rate.amount is None or rate.brackets:
                continue
            key = Key(subject, rate.meter, _words(rate.when))
            scale = METERS[rate.meter].per
            prices[key] = rate.amount if rate.per == scale else rate.amount * scale / rate.per
            if price.valid_from is not None:
                starts[key] = price.valid_from.date()
    made = Snapshot(
        source=source, day=day, label=label, place=place, prices=prices, starts=starts, modes=modes,
        patterns=tuple(patterns), read=imported.read,
        not_expressed=len({problem.place for problem in imported.not_expressed}),
    )  # fmt: skip
    return made, problems


def _in_order(offers: Iterable[Offer]) -> list[Offer]:
    """Offers in an order that does not hang on the file's: which of two doubles counts must not change by itself."""
    return sorted(offers, key=lambda offer: (offer.provider, offer.model, bool(offer.note), offer.aliases))


def _subject(offer: Offer) -> Subject:
    # Of two entries of one model that say different things, the one under another name keeps that name.
    doubled = offer.note.startswith("stated otherwise under") and offer.aliases
    return Subject(offer.provider, offer.aliases[0] if doubled else offer.model, offer.channel, offer.region or "")


def _in_force(prices: tuple[Price, ...], moment: datetime) -> Price | None:
    held = [p for p in prices if (p.valid_from is None or p.valid_from <= moment)]
    return held[-1] if held and (held[-1].valid_to is None or moment < held[-1].valid_to) else None


@cache
def _described(when: When) -> str:
    return describe(when)


def _words(when: When) -> str:
    return "always" if when == ALWAYS else _described(when)
