"""Dated price records as quotes, and the quotes of several sources as one series.

Prices are the standard tier's of a short prompt, and the batch tier's; where they depend on the time of the week, the
price that holds for most of the week.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import msgspec

from farthing.index.line import Quote
from farthing.rates.card import ALWAYS, Offer, Price, Rate, When
from farthing.rates.derive import with_rules
from farthing.rates.history import HistoryOffer
from farthing.rates.select import Facts, Index, Unknown, price_at
from farthing.units import METERS
from farthing.usage.record import STANDARD

TEXT_METERS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
"""The meters of a quote. Others (audio, images, tools) are in no index."""
_WEEK = [timedelta(minutes=30 * n) for n in range(7 * 48)]


def of_offer(offer: Offer) -> list[Quote]:
    """The quotes of the dated records of `offer`, in order. An undated record makes none: it says nothing of when."""
    starts = sorted({price.valid_from for price in offer.prices if price.valid_from is not None})
    quotes = []
    for position, start in enumerate(starts):
        price = price_at(offer, start)
        if isinstance(price, Unknown):
            continue
        ends = [moment for moment in (price.valid_to, *starts[position + 1 : position + 2]) if moment is not None]
        quotes += _parts(price, start, min(ends, default=None))
    return _merged(quotes)


def _parts(price: Price, start: datetime, end: datetime | None) -> list[Quote]:
    """The quotes of one record: several where a discount began or ended meanwhile."""
    whens = [rate.when for rate in price.rates] + [modifier.when for modifier in price.modifiers]
    periods = [when.period for when in whens if when.period is not None]
    inner = {moment for period in periods for moment in (period.start, period.end) if moment is not None}
    edges = [start, *sorted(moment for moment in inner if start < moment and (end is None or moment < end))]
    found = [quote(price, edge) for edge in edges]
    return [
        msgspec.structs.replace(one, end=following)
        for one, following in zip(found, [*edges[1:], end], strict=True)
        if one is not None
    ]


def of_history(past: HistoryOffer) -> list[Quote]:
    """The quotes of our history, with what provider rules of the time add (cache and batch prices)."""
    prices = []
    for one in past.prices:
        tiers = ((ALWAYS, one.usd_per_mtok), (When(tier="batch"), one.batch_usd_per_mtok))
        rates = tuple(
            Rate(meter=meter, amount=usd, per=METERS[meter].per, when=when)
            for when, by_meter in tiers
            for meter, usd in by_meter.items()
        )
        prices.append(Price(source=one.source, rates=rates, valid_from=one.start))
    offer = with_rules(Offer(provider=past.provider, model=past.model, prices=tuple(prices), channel=past.channel))
    seen = {one.start: one for one in past.prices}
    quotes = [
        msgspec.structs.replace(q, after=seen[q.start].after, unclear=not seen[q.start].sure) if q.start in seen else q
        for q in of_offer(offer)
    ]
    return before(quotes, past.gone) if past.gone else quotes


def before(quotes: Sequence[Quote], moment: datetime) -> list[Quote]:
    """`quotes` until `moment`."""
    kept = [q for q in quotes if q.start < moment]
    return [q if q.end and q.end <= moment else msgspec.structs.replace(q, end=moment) for q in kept]


def quote(price: Price, start: datetime) -> Quote | None:
    """What `price` charges from `start` on; None where it states no text token's price."""
    whens = [rate.when for rate in price.rates] + [modifier.when for modifier in price.modifiers]
    moments = [start + part for part in _WEEK] if any(when.window for when in whens) else [start]
    known = Index(price)
    usd = _usd(known, TEXT_METERS, STANDARD, moments)
    if not usd:
        return None
    batch = _usd(known, tuple(usd), "batch", moments) if known.states_tier("batch", start) else {}
    return Quote(start=start, end=None, usd_per_mtok=usd, batch_usd_per_mtok=batch, source=price.source)


def _usd(known: Index, meters: Iterable[str], tier: str, moments: Sequence[datetime]) -> dict[str, Fraction]:
    """Dollars per million tokens by meter: at each the price of most of `moments`. What has none is absent."""
    prices = {}
    for meter in meters:
        if meter not in known.rates and METERS[meter].covered_by not in known.rates:
            continue
        units = [_unit(known, meter, tier, moment) for moment in moments]
        unit = units[0] if len(units) == 1 else Counter(units).most_common(1)[0][0]
        if unit is not None:
            prices[meter] = unit * (METERS[meter].per * METERS[meter].scale)
    return prices


def _unit(known: Index, meter: str, tier: str, moment: datetime) -> Fraction | None:
    found = known.resolve(meter, Facts(at=moment, completed=moment, tier=tier))
    return None if isinstance(found, Unknown) else found.unit_usd


def joined(own: Sequence[Quote], catalogue: Sequence[Quote], history: Sequence[Quote]) -> list[Quote]:
    """One series of the quotes of three sources, each of which is in order and without overlaps.

    From the first of `own` on that source alone answers; before that, of the other two, the quote that began later (a
    stated date before a snapshot's of the same day). A meter that the answer lacks is taken from another quote in force
    that charges the same for input and output. Neighbours with one price are one quote, of the earlier source.
    """
    sources = [one for one in (own, catalogue, history) if one]
    if len(sources) == 1:
        return _merged(sources[0])
    edges = sorted({moment for source in sources for q in source for moment in (q.start, q.end) if moment is not None})
    series = []
    for position, edge in enumerate(edges):
        found = [q for q in (_at(catalogue, edge), _at(history, edge)) if q is not None]
        found.sort(key=lambda q: q.start, reverse=True)  # stable: the catalogue's stays first among equals
        if own and edge >= own[0].start:
            mine = _at(own, edge)
            found = [mine, *found] if mine is not None else []
        if found:
            base = _supplemented(found[0], found[1:])
            after, unclear = (base.after, base.unclear) if base.start == edge else (None, False)
            end = edges[position + 1] if position + 1 < len(edges) else None
            series.append(msgspec.structs.replace(base, start=edge, end=end, after=after, unclear=unclear))
    return _merged(series)


def _at(quotes: Sequence[Quote], moment: datetime) -> Quote | None:
    return next((q for q in reversed(quotes) if q.start <= moment and (q.end is None or moment < q.end)), None)


def _supplemented(base: Quote, others: Sequence[Quote]) -> Quote:
    usd, batch = dict(base.usd_per_mtok), dict(base.batch_usd_per_mtok)
    for other in others:
        if all(usd.get(meter) == other.usd_per_mtok.get(meter) for meter in ("input", "output")):
            usd = {**other.usd_per_mtok, **usd}
            batch = {**other.batch_usd_per_mtok, **batch}
    return msgspec.structs.replace(base, usd_per_mtok=usd, batch_usd_per_mtok=batch)


def _merged(quotes: Sequence[Quote]) -> list[Quote]:
    """`quotes` with neighbours of one price made one."""
    merged: list[Quote] = []
    for q in quotes:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.end == q.start
            and (last.usd_per_mtok, last.batch_usd_per_mtok) == (q.usd_per_mtok, q.batch_usd_per_mtok)
        ):
            merged[-1] = msgspec.structs.replace(last, end=q.end)
        else:
            merged.append(q)
    return merged
