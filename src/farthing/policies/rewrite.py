"""Policies that rewrite one request at a time: carry it to another offer, put it in a batch.

A rewrite takes a request's quantities, what conditions see of it, and the price record it would meet;
it gives the request as it would be there. It keeps sums: what is read stays read, what is written
stays written.
"""

from collections.abc import Mapping
from fractions import Fraction

import msgspec

from farthing.charges.bill import Quantities, Rewrite
from farthing.rates.card import Price
from farthing.rates.select import Facts, Resolved, index
from farthing.units import CACHE_READS, CACHE_WRITES, METERS
from farthing.usage.record import STANDARD

BATCH = "batch"
_CACHED = frozenset(CACHE_READS) | frozenset(CACHE_WRITES)  # tokens; a cache's storage is no part of the prompt
_DEFAULT_WRITES = ("cache_write", "cache_write_5m", "cache_write_30m")


def carry_over(quantities: Quantities, facts: Facts, price: Price) -> tuple[Quantities, Facts]:
    """The same request at another provider: its cached tokens under that provider's meters.

    Cache reads stay reads where that offer has a price for them, and are plain input where it has none.
    Cache writes go to the nearest write meter with a price (same time-to-live, else the default one),
    else to plain input: that provider charges nothing extra for storing. A service tier that the offer
    does not state becomes the standard one. That the other cache would hit as often is an assumption;
    the policy "prompt-cache" simulates it instead.
    """
    prices = index(price)
    if facts.tier != STANDARD and not prices.states_tier(facts.tier, facts.dated):
        facts = msgspec.structs.replace(facts, tier=STANDARD)
    if _CACHED.isdisjoint(quantities):
        return quantities, facts
    moved: dict[str, int | Fraction] = {}
    for name, quantity in quantities.items():
        goal = name
        if name in _CACHED and not isinstance(prices.resolve(name, facts), Resolved):
            options = _DEFAULT_WRITES if name in CACHE_WRITES else ("cache_read",)
            plain = _plain(name)
            text = plain == "input"
            goal = next((o for o in options if text and isinstance(prices.resolve(o, facts), Resolved)), plain)
        moved[goal] = moved.get(goal, 0) + quantity
    return moved, facts


def in_batch(quantities: Quantities, facts: Facts, price: Price) -> tuple[Quantities, Facts]:
    """The same request in the provider's batch service: tier "batch"; nothing else changes."""
    return quantities, msgspec.structs.replace(facts, tier=BATCH)


def uncached(quantities: Quantities, facts: Facts, price: Price) -> tuple[Quantities, Facts]:
    """The same request where nothing is cached: all that was read or written through a cache is plain input."""
    moved: dict[str, int | Fraction] = {}
    for name, quantity in quantities.items():
        goal = _plain(name) if name in _CACHED else name
        moved[goal] = moved.get(goal, 0) + quantity
    return moved, facts


def _plain(cached: str) -> str:
    """The uncached meter of a cached kind."""
    modality = METERS[cached].modality
    return "input" if modality == "text" else f"input_{modality}"


def stretched(token_ratio: Fraction, answer_ratio: Fraction) -> Rewrite:
    """The same request in another tokenizer (`token_ratio` tokens for each token) and with answers
    `answer_ratio` times as long. Expected counts: they are not rounded."""

    def rewrite(quantities: Quantities, facts: Facts, price: Price) -> tuple[Quantities, Facts]:
        def scaled(counts: Mapping[str, int | Fraction]) -> dict[str, int | Fraction]:
            return {name: count * _ratio(name) for name, count in counts.items()}

        return scaled(quantities), msgspec.structs.replace(facts, measures=scaled(facts.measures))

    def _ratio(name: str) -> Fraction | int:
        if name != "prompt" and METERS[name].unit != "token":
            return 1
        return token_ratio if name == "prompt" or METERS[name].direction == "input" else token_ratio * answer_ratio

    return rewrite


def chain(*rewrites: Rewrite | None) -> Rewrite:
    """One rewrite after the other."""
    steps = [rewrite for rewrite in rewrites if rewrite is not None]

    def rewrite(quantities: Quantities, facts: Facts, price: Price) -> tuple[Quantities, Facts]:
        for step in steps:
            quantities, facts = step(quantities, facts, price)
        return quantities, facts

    return rewrite
