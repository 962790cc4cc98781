"""The price of an offer at an earlier instant: from a dated record, or from our history where a record has none."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from farthing.index.line import Line, Quote
from farthing.money import to_decimal
from farthing.rates.book import Book
from farthing.rates.card import ALWAYS, Offer, Price, Rate, When
from farthing.rates.select import Unknown, currency_factor, price_at
from farthing.units import METERS

DATED, UNDATED, HISTORY, UNCLEAR, NONE = "dated", "undated", "history", "unclear", "unknown"


class Dated(NamedTuple):
    """A price and what it rests on (see `OfferChange.basis`)."""

    price: Price | Unknown
    basis: str


def price_on(book: Book, offer: Offer, moment: datetime, present: datetime, line: Line | None = None) -> Dated:
    """What `offer` charged at `moment`, as it is known at `present`.

    A record with a date decides. One without holds, as far as is known, since ever: where our history (`line`) had
    another price at `moment`, and has seen it change by `present`, the record's amounts are replaced by it: plain
    rates by the historic ones, those under a condition, and those that rules derive, in proportion.
    """
    price, said = price_at(offer, moment), stated(book, offer, moment)
    if isinstance(price, Price) and said is not None and said.valid_from is not None:
        return Dated(price, DATED)
    quote = line.at(moment) if line is not None else None
    if line is not None and quote is not None and quote.end is not None and quote.end <= present:
        later = line.at(present) or line.quotes[-1]
        made = _of(quote) if isinstance(price, Unknown) else _replaced(price, quote, later)
        if made is not None:
            return Dated(made, HISTORY if _sure(line, quote, moment) else UNCLEAR)
    if isinstance(price, Unknown):
        return Dated(price, NONE)
    # An undated record before a dated one is what held until then; one that still holds has no beginning at all.
    return Dated(price, UNDATED if stated(book, offer, present) is said else DATED)


def stated(book: Book, offer: Offer, moment: datetime) -> Price | None:
    """The record of the source that decides the price of `offer` at `moment`; None where none has a price.

    A record of the offer itself may begin where a less trusted source began to add something (a tier, a meter)."""
    provider = offer.via.partition("/")[0] or offer.provider
    for layer in book.layers(provider):
        theirs = next((o for name in (offer.model, *offer.aliases) if (o := layer.find(name, offer.region))), None)
        found = price_at(theirs, moment, book.as_of) if theirs is not None else None
        if isinstance(found, Price):
            return found
    own = price_at(offer, moment)
    return own if isinstance(own, Price) else None


def first_known(offer: Offer, line: Line | None) -> datetime | None:
    """The first instant of which a record or our history says what `offer` charged; None where nothing has a date."""
    dates = [price.valid_from for price in offer.prices if price.valid_from is not None]
    dates += [line.quotes[0].after or line.quotes[0].start] if line is not None and line.quotes else []
    return min(dates, default=None)


def _sure(line: Line, quote: Quote, moment: datetime) -> bool:
    """Whether what followed `quote` was a change of the price, and one that had not happened by `moment`."""
    later = next((one for one in line.quotes if one.start > quote.start), None)
    return later is None or not (later.unclear or (later.after is not None and later.after < moment))


def alone(offer: Offer, price: Price | Unknown) -> Offer | Unknown:
    """`offer` with `price` alone, at all times: to price usage under that record whatever its own dates."""
    if isinstance(price, Unknown):
        return price
    return msgspec.structs.replace(offer, prices=(msgspec.structs.replace(price, valid_from=None, valid_to=None),))


def _of(quote: Quote) -> Price:
    rates = tuple(
        Rate(meter=meter, amount=to_decimal(usd), per=METERS[meter].per) for meter, usd in quote.usd_per_mtok.items()
    )
    return Price(source=quote.source, rates=rates)


def _replaced(price: Price, quote: Quote, later: Quote) -> Price | None:
    """`price` at those amounts of `quote` that changed by the time of `later`; None where there are none.

    Where history says the same of both instants, a record that says otherwise of the second is no change of price."""
    ours = {r.meter: _published(r, price) for r in price.rates if r.when == ALWAYS and r.per_count is not None}
    changed = {m: usd for m, usd in quote.usd_per_mtok.items() if later.usd_per_mtok.get(m, usd) != usd}
    factors = {m: usd / now for m, usd in changed.items() if (now := ours.get(m)) and usd != now}
    if not factors:
        return None
    rates = (_scaled(rate, factors, quote) for rate in price.rates)
    kept = tuple(r if r.source is not None else msgspec.structs.replace(r, source=price.source) for r in rates)
    return msgspec.structs.replace(price, rates=kept, source=quote.source)


def _published(rate: Rate, price: Price) -> Fraction:
    assert rate.per_count is not None
    return rate.per_count * METERS[rate.meter].per * METERS[rate.meter].scale * currency_factor(price)


def _scaled(rate: Rate, factors: dict[str, Fraction], quote: Quote) -> Rate:
    factor = factors.get(rate.meter)
    if factor is None and rate.source is not None and METERS[rate.meter].direction == "input":
        factor = factors.get("input")  # a rule made it of the input price
    if factor is None or rate.amount is None:
        return rate
    amount = to_decimal(Fraction(rate.amount) * factor)
    return msgspec.structs.replace(rate, amount=Decimal(amount), source=quote.source)


def conditions(price: Price | Unknown) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """The conditions that `price` knows, in words, each with its tier and the meters that it is for.

    The dates of promotions are no condition here: what ends them is a change of price.
    """
    from farthing.rates.describe import describe

    if isinstance(price, Unknown):
        return {}
    found: dict[str, tuple[str | None, dict[str, None]]] = {}
    parts: list[tuple[When, Collection[str]]] = [(r.when, (r.meter,)) for r in price.rates]
    parts += [(m.when, sorted(m.meters) or ("tokens",)) for m in price.modifiers]
    for when, meters in parts:
        bare = msgspec.structs.replace(when, period=None)
        if bare != ALWAYS:
            _, known = found.setdefault(describe(bare), (bare.tier, {}))
            known.update(dict.fromkeys(meters))
    return {words: (tier, tuple(known)) for words, (tier, known) in found.items()}
