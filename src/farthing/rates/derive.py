"""What provider rules add to a catalogue's offers: batch discounts, cache prices, regional uplifts.

Each addition says so: it carries the rule's own source and is graded "derived" at best. A price that
the catalogue states always goes before one that a rule implies.
"""

from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from farthing.evidence import Grade, Source
from farthing.rates.card import Modifier, Offer, Period, Price, Rate, When
from farthing.rates.rules import (
    BatchRule,
    CachingRule,
    UpliftRule,
    batch_rules,
    caching_rules,
    providers,
    uplift_rules,
)
from farthing.rates.select import index
from farthing.units import CACHE_READS, CACHE_WRITES, METERS

_CACHED = frozenset(CACHE_READS) | frozenset(CACHE_WRITES)
_UNCACHED_TOKENS = frozenset(n for n, m in METERS.items() if m.unit == "token" and not n.startswith("cache_"))


def with_rules(offer: Offer) -> Offer:
    """`offer` with what the provider's rules imply where the offer itself states nothing."""
    batch = [rule for rule in batch_rules() if _fits(rule, offer.provider, offer.model)]
    caching = [rule for rule in caching_rules() if _fits(rule, offer.provider, offer.model)]
    uplifts = [rule for rule in uplift_rules() if _fits(rule, offer.provider, offer.model)]
    known = providers().get(offer.provider)
    by_completion = known is not None and known.time_decides == "completion"
    if not (batch or caching or uplifts or by_completion):
        return offer
    prices = []
    for price in offer.prices:
        if by_completion:
            price = _decided_by_completion(price)
        moment = price.valid_from or price.recorded or datetime.now(UTC)
        price = _with_cache_prices(price, caching, moment)
        prices.append(_with_uplifts(_with_batch(price, batch), uplifts))
    return msgspec.structs.replace(offer, prices=tuple(prices))


def _with_uplifts(price: Price, rules: list[UpliftRule]) -> Price:
    """`price` with a factor for each regional uplift, unless it says something of regions itself."""
    if not any(METERS[rate.meter].unit == "token" for rate in price.rates):
        return price
    if any(when.regions is not None for when in (*(r.when for r in price.rates), *(m.when for m in price.modifiers))):
        return price
    note = "inference kept in a region, by the provider's rule"
    added = tuple(
        Modifier(when=When(regions=rule.regions), factor=rule.factor, note=note, source=_derived(rule.source))
        for rule in rules
    )
    return msgspec.structs.replace(price, modifiers=(*price.modifiers, *added)) if added else price


def _fits(rule: BatchRule | CachingRule | UpliftRule, provider: str, model: str) -> bool:
    return rule.provider == provider and any(fnmatchcase(model.lower(), glob) for glob in rule.models)


def _derived(source: Source) -> Source:
    return msgspec.structs.replace(source, grade=min(source.grade, Grade.DERIVED))


def _decided_by_completion(price: Price) -> Price:
    def turned(when: When) -> When:
        if when.window is None:
            return when
        return msgspec.structs.replace(when, window=msgspec.structs.replace(when.window, decides="completion"))

    rates = tuple(msgspec.structs.replace(rate, when=turned(rate.when)) for rate in price.rates)
    modifiers = tuple(msgspec.structs.replace(m, when=turned(m.when)) for m in price.modifiers)
    return msgspec.structs.replace(price, rates=rates, modifiers=modifiers)


def _with_batch(price: Price, rules: list[BatchRule]) -> Price:
    """`price` with a factor for tier "batch" from the first rule of each period, unless it states that tier."""
    if "batch" in index(price).tiers or not any(METERS[rate.meter].unit == "token" for rate in price.rates):
        return price
    added: list[Modifier] = []
    for rule in rules:
        period = Period(start=rule.valid_from, end=rule.valid_to) if rule.valid_from or rule.valid_to else None
        if any(m.when.period is None or m.when.period == period for m in added):
            continue
        meters = rule.meters or (frozenset() if rule.cached == "discounted" else _UNCACHED_TOKENS)
        added.append(
            Modifier(when=When(tier="batch", period=period), factor=rule.factor, meters=meters,
                     note="batch discount by the provider's rule", source=_derived(rule.source))
        )  # fmt: skip
    return msgspec.structs.replace(price, modifiers=(*price.modifiers, *added)) if added else price


def _with_cache_prices(price: Price, rules: list[CachingRule], at: datetime) -> Price:
    """`price` with cache prices as multiples of each of its input prices, where it states none at all."""
    stated = {rate.meter for rate in price.rates}
    rule = next((r for r in rules if (r.valid_from is None or r.valid_from <= at)
                 and (r.valid_to is None or at < r.valid_to)), None)  # fmt: skip
    if rule is None or "input" not in stated or rule.mode == "none":
        return price
    wanted = [(ttl.meter, ttl.write) for ttl in rule.ttls if ttl.meter in _CACHED]
    if rule.read is not None:
        wanted.append((rule.read_meter, rule.read))
    added: list[Rate] = []
    for meter, factor in wanted:
        if meter in stated or METERS[meter].covered_by in stated:
            continue
        for rate in price.rates:
            if rate.meter == "input" and rate.amount is not None and rate.linear:
                note = f"{factor} x the input price, by the provider's caching rule"
                amount, source = rate.amount * factor, _derived(rule.source)
                added.append(msgspec.structs.replace(rate, meter=meter, amount=amount, source=source, note=note))
        stated.add(meter)
    return msgspec.structs.replace(price, rates=(*price.rates, *added)) if added else price
