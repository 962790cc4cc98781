"""Usage as `reconcile` needs it: summed by half-hour, model and tier, and priced again under other suppositions.

A pile is the sum of rows that no condition of their price record tells apart, so the charge of the sum
is the sum of the charges. Rows with a rate that is not linear (minimum, step, quota, brackets) are
piles of their own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import NamedTuple

import msgspec

from farthing.charges.reference import Line, facts_of, lines
from farthing.money import ZERO
from farthing.problems import FarthingError
from farthing.rates.card import Offer, Price
from farthing.rates.select import Facts, Unknown, index, price_at
from farthing.time import EPOCH
from farthing.units import METERS
from farthing.usage.record import Usage

SLOT = timedelta(minutes=30)
"""Time zones differ by half-hours (a few by quarters, which is not tried)."""
_HOUR, _DAY, _NONE = timedelta(hours=1), timedelta(days=1), timedelta(0)
_SUFFIXES = ("", "_audio", "_image", "_video")

CACHE = {
    "also": "cache reads billed a second time, as uncached input",
    "full": "cache reads billed at the price of uncached input",
    "inside": "the usage counts cache reads a second time, inside its input",
    "inside_all": "the usage counts cache reads and writes a second time, inside its input",
}
"""How cached tokens can be counted twice, or without their discount, by one of the two sides."""


class Variant(NamedTuple):
    """A supposition about rows: their cached tokens were counted otherwise (`cache`, a key of `CACHE`),
    or they were charged at another tier (`tier`, for the rows of tier `of`, None: all of them)."""

    cache: str = ""
    tier: str | None = None
    of: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        parts = [CACHE[self.cache]] if self.cache else []
        if self.tier:
            rows = f"rows of tier {self.of}" if self.of else "all rows"
            parts.append(f"{rows} billed at tier {self.tier}")
        return " and ".join(parts) + (f" ({self.model} only)" if self.model else "")


class Sums(NamedTuple):
    """Dollars and quantities (in whole units) by meter; a meter without a price has no dollars."""

    usd: Mapping[str, Fraction]
    quantity: Mapping[str, Fraction]
    unknown: Mapping[str, str]


@dataclass(slots=True)
class Pile:
    """Rows of one half-hour (counted from 1970) that meet the same conditions of one price record.

    `same` is what piles have in common whose sums can be added (`merged`); None for one that stands alone.
    """

    slot: int
    same: tuple[object, ...] | None
    provider: str | None
    model: str
    facts: Facts
    price: Price | None
    reason: str
    bucket: bool
    quotas: dict[tuple[str, str], int] | None = None
    rows: int = 0
    requests: int = 0
    quantities: dict[str, int] = field(default_factory=dict)
    _made: dict[tuple[str, str | None], Sums | None] = field(default_factory=dict)

    def add(self, rows: int, requests: int, counts: Mapping[str, int]) -> None:
        """Put further rows of the same kind on this pile."""
        self.rows += rows
        self.requests += requests
        for name, n in counts.items():
            self.quantities[name] = self.quantities.get(name, 0) + n

    def sums(self, cache: str = "", tier: str | None = None) -> Sums | None:
        """What this pile costs, as it is or under a supposition; None where the supposition cannot be."""
        counts = rewrite(self.quantities, cache)
        key = (cache if counts != self.quantities else "", tier)
        if key not in self._made:
            self._made[key] = None if counts is None else self._sums(counts, tier)
        return self._made[key]

    def _sums(self, counts: Mapping[str, int], tier: str | None) -> Sums | None:
        quantity = {name: Fraction(n, METERS[name].scale) for name, n in counts.items() if name != "reasoning"}
        if self.price is None:
            return Sums({}, quantity, dict.fromkeys(quantity, self.reason)) if not tier else None
        facts = msgspec.structs.replace(self.facts, tier=tier) if tier else self.facts
        quotas = dict(self.quotas) if self.quotas is not None else None
        made = lines(self.price, counts, self.requests, facts, bucket=self.bucket, quotas=quotas)
        return _sums_of(made, quantity)


def _sums_of(made: Iterable[Line], quantity: dict[str, Fraction]) -> Sums:
    usd: dict[str, Fraction] = {}
    unknown: dict[str, str] = {}
    for line in made:
        if line.usd is None:
            unknown[line.meter] = line.reason
        else:
            usd[line.meter] = usd.get(line.meter, ZERO) + line.usd
        if line.meter == "reasoning":  # then the output line is what is left of the output
            quantity["reasoning"] = Fraction(line.quantity)
            quantity["output"] = quantity.get("output", ZERO) - Fraction(line.quantity)
    return Sums(usd, quantity, unknown)


def rewrite(counts: Mapping[str, int], cache: str) -> dict[str, int] | None:
    """`counts` as they would be under `cache` (a key of `CACHE`, or ""); None where they cannot be so."""
    made = dict(counts)
    if not cache:
        return made
    for suffix in _SUFFIXES:
        fresh, kept = f"input{suffix}", [f"cache_read{suffix}"] + (["cache_read_explicit"] if not suffix else [])
        read = sum(counts.get(name, 0) for name in kept)
        if cache == "inside_all":
            read += sum(n for name, n in counts.items() if _is_write(name, suffix))
        left = counts.get(fresh, 0) + (-read if cache.startswith("inside") else read)
        if left < 0:
            return None
        if read:
            made[fresh] = left
        if cache == "full":
            for name in kept:
                made.pop(name, None)
    return made


def _is_write(name: str, suffix: str) -> bool:
    return (
        name == f"cache_write{suffix}" if suffix else name.startswith("cache_write") and METERS[name].modality == "text"
    )


def merged(piles: Iterable[Pile]) -> list[Pile]:
    """`piles` with those of different half-hours added together that can be."""
    made: list[Pile] = []
    known: dict[tuple[object, ...], Pile] = {}
    for pile in piles:
        if pile.same is None:
            made.append(pile)
            continue
        if pile.same not in known:
            known[pile.same] = Pile(
                pile.slot, pile.same, pile.provider, pile.model, pile.facts, pile.price, pile.reason, pile.bucket
            )
            made.append(known[pile.same])
        known[pile.same].add(pile.rows, pile.requests, pile.quantities)
    return made


@dataclass
class Collected:
    """All piles, and what is true of the usage as a whole.

    `coarse`: some rows are buckets of whole hours, or all are dated by the day, so their hours are unknown.
    """

    piles: list[Pile] = field(default_factory=list)
    rows: int = 0
    coarse: bool = False


class _Seen:
    """What a price record can tell apart, made once: its conditions other than tier, region and attributes."""

    def __init__(self, price: Price) -> None:
        whens = [r.when for r in price.rates] + [m.when for m in price.modifiers]
        self.bands = sorted({(b.of, b.low, b.high) for when in whens for b in when.bands})
        self.windows = list({id(w.window): w.window for w in whens if w.window is not None}.values())
        self.periods = list({id(w.period): w.period for w in whens if w.period is not None}.values())
        rates = index(price).rates
        self.odd = {name for name, group in rates.items() if any(not rate.linear for rate in group)}
        self.quota = any(rate.free is not None for rate in price.rates)
        self.minimum = price.minimum_usd is not None

    def place(self, facts: Facts) -> tuple[bool, ...]:
        made = [low <= facts.measures.get(of, 0) < high for of, low, high in self.bands]
        made += [w.covers(facts.completed if w.decides == "completion" else facts.at) for w in self.windows]
        made += [p.covers(facts.at) for p in self.periods]
        return tuple(made)

    def alone(self, counts: Mapping[str, int]) -> bool:
        """Whether a request with `counts` is priced by itself and not in a sum."""
        if self.minimum or "requests" in self.odd:
            return True
        for name in counts if self.odd else ():
            while name:
                if name in self.odd:
                    return True
                name = METERS[name].covered_by
        return False


def collect(records: Iterable[Usage], offer_of: Callable[[Usage], Offer | Unknown]) -> Collected:
    """The piles of `records`, in one pass; free quotas are used up in the order of the records.

    Raises `FarthingError` for usage that has no dates.
    """
    found = Collected()
    piles: dict[tuple[int, tuple[object, ...]], Pile] = {}
    seen: dict[int, _Seen] = {}
    used: dict[tuple[str, str], int] = {}
    timed = False
    for usage in records:
        if usage.relative:
            raise FarthingError("the usage has offsets and no dates, so it cannot be compared with an invoice")
        found.rows += 1
        timed = timed or (usage.at - EPOCH) % _DAY > _NONE
        if usage.completed is not None and usage.completed > usage.at:
            hours, rest = divmod(usage.completed - usage.at, _HOUR)
            found.coarse |= hours > 0 and not rest and not (usage.at - EPOCH) % _HOUR
        offer = offer_of(usage)
        price = offer if isinstance(offer, Unknown) else price_at(offer, usage.at)
        reason = price.reason if isinstance(price, Unknown) else ""
        provider = usage.provider or (offer.provider if isinstance(offer, Offer) else None)
        facts = facts_of(usage)
        bucket = usage.requests != 1 and "context_window" not in usage.attrs
        where = (usage.at - EPOCH) // SLOT
        key: tuple[object, ...] = (provider, usage.model, facts.tier, facts.region, facts.attrs, bucket)
        known = None if isinstance(price, Unknown) else price
        alone, held = False, None
        if known is not None:
            if id(known) not in seen:
                seen[id(known)] = _Seen(known)
            here = seen[id(known)]
            key += (id(known), here.place(facts))
            alone = not bucket and here.alone(usage.quantities)
            held = dict(used) if alone and here.quota else None
        else:
            key += (reason,)
        pile = None if alone else piles.get((where, key))
        if pile is None:
            pile = Pile(where, None if alone else key, provider, usage.model or "", facts, known, reason, bucket, held)
            found.piles.append(pile)
            if not alone:
                piles[where, key] = pile
        pile.add(1, usage.requests, usage.quantities)
        if alone and known is not None and seen[id(known)].quota:
            lines(known, usage.quantities, usage.requests, facts, quotas=used)
    found.coarse |= not timed
    return found
