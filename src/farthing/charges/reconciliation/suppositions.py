"""One cell: does its usage meet the bill if cached tokens, tiers or quantities were counted otherwise?"""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from farthing.charges.reconciliation.cells import Cell, Group, Priced
from farthing.charges.reconciliation.findings import (
    FACTOR,
    NOT_BILLED,
    NOT_IN_USAGE,
    TIER,
    TOKENS,
    UNPRICED,
    Entry,
    Found,
    Open,
    factor_text,
)
from farthing.charges.reconciliation.piles import CACHE, Variant
from farthing.money import ZERO
from farthing.rates.select import index

_CLEAR = 20  # a group confirms a price where its amount is this many times the rounding


def settle(cell: Cell, factor: Fraction, found: Found) -> None:
    """Unpriced usage, rounding, the factor, and suppositions about cached tokens, tiers and quantities."""
    kinds = sorted({*cell.billed, *cell.ours}, key=str)
    now = {kind: cell.ours.get(kind, Priced()) for kind in kinds}
    settled = {kind for kind in kinds if _unpriced(cell, kind, now[kind].usd * factor, found)}
    if cell.billed and cell.piles and not all(_meets(cell, k, now[k].usd * factor) for k in kinds if k not in settled):
        for supposition in suppositions(cell):
            if accepted := _accept(cell, supposition, factor, now, settled):
                for kind in accepted:
                    _enter(cell, kind, supposition, now[kind].usd, accepted[kind], found)
                    now[kind] = Priced(accepted[kind], now[kind].quantity)
                break
        else:
            _quantities(cell, factor, now, settled, found)
    for kind in kinds:
        if kind in settled:
            continue
        billed = cell.billed.get(kind)
        usd = now[kind].usd
        rest = (billed.usd if billed else ZERO) - usd
        if billed and usd:
            found.compared += 1
            if factor != 1 and abs(rest - (factor - 1) * usd) < abs(rest) and abs(rest) > billed.tolerance:
                group = Group(cell.span, cell.family, kind)
                found.entries.append(Entry(FACTOR, factor_text(factor), group, (factor - 1) * usd))
                rest -= (factor - 1) * usd
                found.by_factor += abs(rest) <= billed.tolerance
        tolerance = billed.tolerance if billed else ZERO
        if abs(rest) <= tolerance:
            if billed and usd == cell.ours.get(kind, Priced()).usd and abs(billed.usd) >= _CLEAR * tolerance:
                found.met[cell.family, kind] += 1
            found.round_off(Group(cell.span, cell.family, kind), rest)
        else:
            found.open.append(Open(cell, kind, rest, usd, tolerance))


def _quantities(
    cell: Cell, factor: Fraction, now: dict[str | None, Priced], settled: set[str | None], found: Found
) -> None:
    """Quantities on the invoice are evidence by themselves: they need not make the cell meet, only come nearer."""
    for kind, one in now.items():
        billed = cell.billed.get(kind)
        if kind is None or kind in settled or billed is None or not billed.quantity or not one.quantity:
            continue
        usd = one.usd * billed.quantity / one.quantity
        if usd != one.usd and abs(billed.usd - usd * factor) < abs(billed.usd - one.usd * factor):
            found.entries.append(_by_quantity(Group(cell.span, cell.family, kind), usd - one.usd))
            now[kind] = Priced(usd, billed.quantity)


def _meets(cell: Cell, kind: str | None, usd: Fraction) -> bool:
    billed = cell.billed.get(kind)
    return abs((billed.usd if billed else ZERO) - usd) <= (billed.tolerance if billed else ZERO)


def _unpriced(cell: Cell, kind: str | None, usd: Fraction, found: Found) -> bool:
    """Whether the bill is higher than what is priced, where part of the usage has no price: then that is why."""
    billed = cell.billed.get(kind)
    if billed is None or kind not in cell.unpriced or billed.usd - usd <= billed.tolerance:
        return False
    reasons = set()
    for pile in cell.piles:
        sums = pile.sums()
        for meter, reason in (sums.unknown if sums else {}).items():
            if cell.belongs(meter) and cell.kind_of(meter) == kind:
                reasons.add((pile.model, reason))
    what = "; ".join(sorted({f"{model}: {reason}" for model, reason in reasons})[:3])
    known = cell.ours.get(kind, Priced()).usd
    found.entries.append(Entry(UNPRICED, what, Group(cell.span, cell.family, kind), billed.usd - known))
    return True


class Supposition(NamedTuple):
    """A variant of the usage, and whether it is scaled to the quantities that the invoice states."""

    variant: Variant
    scaled: bool = False


def suppositions(cell: Cell) -> Iterator[Supposition]:
    """What is tried on a cell, the simplest first."""
    singles = list(_singles(cell))
    pairs = [
        Variant(cache=c.cache, tier=t.tier, of=t.of, model=t.model)
        for c in singles
        if c.cache and not c.model
        for t in singles
        if t.tier
    ]
    yield from (Supposition(variant) for variant in singles)
    yield from (Supposition(variant) for variant in pairs)
    if any(billed.quantity is not None for kind, billed in cell.billed.items() if kind):
        yield Supposition(Variant(), True)
        yield from (Supposition(variant, True) for variant in (*singles, *pairs))


def _singles(cell: Cell) -> Iterator[Variant]:
    models = sorted({pile.model for pile in cell.piles})
    used = sorted({pile.facts.tier for pile in cell.piles})
    known = {tier for pile in cell.piles if pile.price for tier in index(pile.price).tiers if tier}
    stated = {line.tier for billed in cell.billed.values() for line in billed.lines if line.tier}
    scopes: list[str | None] = [None, *(models if len(models) > 1 else ())]
    for model in scopes:
        for cache in CACHE:
            yield Variant(cache=cache, model=model)
        for tier in sorted({*known, *used, "standard"}, key=lambda name: (name not in stated, name)):
            if used != [tier]:
                yield Variant(tier=tier, model=model)
            yield from (Variant(tier=tier, of=of, model=model) for of in used if of != tier and len(used) > 1)


def _accept(
    cell: Cell, supposition: Supposition, factor: Fraction, now: dict[str | None, Priced], settled: set[str | None]
) -> dict[str | None, Fraction]:
    """The charges by kind under `supposition`, where every kind that it changes then meets the bill."""
    priced = cell.priced(supposition.variant)
    if priced is None:
        return {}
    made: dict[str | None, Fraction] = {}
    for kind in {*now, *priced} - settled:
        one = priced.get(kind, Priced())
        usd = one.usd
        if supposition.scaled and kind and (billed := cell.billed.get(kind)) and billed.quantity and one.quantity:
            usd = usd * billed.quantity / one.quantity
        if usd != now.get(kind, Priced()).usd:
            if not _meets(cell, kind, usd * factor):
                return {}
            made[kind] = usd
        now.setdefault(kind, Priced())
    closer = any(not _meets(cell, kind, now[kind].usd * factor) for kind in made)
    return made if closer else {}


def _enter(cell: Cell, kind: str | None, what: Supposition, before: Fraction, after: Fraction, found: Found) -> None:
    """Entries for what a supposition changes: its cached tokens, then its tier, then the quantities."""
    group = Group(cell.span, cell.family, kind)
    variant = what.variant
    steps = []
    if variant.cache:
        steps.append((TOKENS, variant._replace(tier=None, of=None)))
    if variant.tier:
        steps.append((TIER, variant))
    at = before
    for code, step in steps:
        priced = cell.priced(step)
        usd = priced.get(kind, Priced()).usd if priced else at
        found.entries.append(Entry(code, str(step if code == TOKENS else step._replace(cache="")), group, usd - at))
        at = usd
    if what.scaled:
        found.entries.append(_by_quantity(group, after - at))


def _by_quantity(group: Group, usd: Fraction) -> Entry:
    more = usd > 0
    side = "more" if more else "fewer"
    why = f"the invoice states {side} {group.kind} than the usage, at the same price for each"
    return Entry(NOT_IN_USAGE if more else NOT_BILLED, why, group, usd)
