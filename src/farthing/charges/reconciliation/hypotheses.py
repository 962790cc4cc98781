"""Why a bill differs: suppositions tried in turn, each with the dollars it explains. All sums are exact.

`explain` takes a time zone and a factor for the whole invoice as given; `reconcile` chooses them.
A supposition is accepted where it makes a cell meet the bill to within the invoice's rounding (or, where
stated below, comes near in several cells at once). What is left is "unexplained".
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

from farthing.charges.reconciliation.cells import Cell, Group, Priced, Sides
from farthing.charges.reconciliation.findings import (
    DAY,
    FACTOR,
    NOT_BILLED,
    NOT_IN_USAGE,
    TIER,
    TOKENS,
    UNEXPLAINED,
    Entry,
    Found,
    Open,
    factor_text,
    ratio_of,
    roundest,
)
from farthing.charges.reconciliation.names import provider_id
from farthing.charges.reconciliation.parts import explain_by_elimination, explain_parts
from farthing.charges.reconciliation.piles import Variant
from farthing.charges.reconciliation.suppositions import settle, suppositions
from farthing.money import ZERO

_LATE_SPANS = 4  # a late row is looked for on up to this many spans after one another
_NEAR = Fraction(1, 10)  # an explanation that is only near leaves at most this share of the difference


def explain(
    sides: Sides, cells: Sequence[Cell], zone: str = "", factor: Fraction = Fraction(1), *, last: bool = True
) -> Found:
    """Entries that sum to billed less charged in every group of `cells`.

    `cells` are those of the time zone that `zone` describes. `last` allows the explanations that are
    fitted to single models.
    """
    found = Found()
    for cell in cells:
        settle(cell, factor, found)
    if zone:
        _zone(sides, cells, zone, found)
    _late(found)
    _missing(sides, found)
    if last:
        _rates(found)
        explain_parts(found)
        _near(found)
        explain_by_elimination(found)
    found.entries += [Entry(UNEXPLAINED, _why_unexplained(one), one.group, one.usd) for one in found.open]
    found.entries = [entry for entry in found.entries if entry.usd]
    return found


# --- days ---------------------------------------------------------------------------------------


def _zone(sides: Sides, cells: Iterable[Cell], zone: str, found: Found) -> None:
    """What the time zone moves between the days: charged there less charged in UTC."""
    moved: dict[Group, Fraction] = {}
    for sign, side in ((1, cells), (-1, sides.utc)):
        for cell in side:
            for kind, priced in cell.ours.items():
                group = Group(cell.span, cell.family, kind)
                moved[group] = moved.get(group, ZERO) + sign * priced.usd
    found.entries += [Entry(DAY, zone, group, usd) for group, usd in moved.items() if usd]


def _series(found: Found) -> dict[tuple[str, str | None], list[Open]]:
    made: dict[tuple[str, str | None], list[Open]] = {}
    for one in sorted(found.open, key=lambda o: o.group.span):
        made.setdefault((one.cell.family, one.kind), []).append(one)
    return made


def _late(found: Found) -> None:
    """Differences of near days that cancel: rows billed on a later (or an earlier) day than they were used."""
    closed: set[int] = set()
    for series in _series(found).values():
        first = 0
        while first < len(series):
            size = next((n for n in range(2, _LATE_SPANS + 1) if _cancel(series[first : first + n], n)), 0)
            for one in series[first : first + size]:
                why = "differences of near days cancel: rows are billed on another day than they were used"
                rest = one.usd
                found.entries.append(Entry(DAY, why, one.group, rest))
                closed.add(id(one))
            first += size or 1
    found.open = [one for one in found.open if id(one) not in closed]


def _cancel(run: Sequence[Open], size: int) -> bool:
    if len(run) < size:
        return False
    spans = [one.group.span for one in run]
    reach = sum((span.end - span.start for span in spans), timedelta(0))
    near = spans[-1].start - spans[0].end <= reach and all(a.end <= b.start for a, b in pairwise(spans))
    total = sum((one.usd for one in run), ZERO)
    return near and abs(total) <= sum((one.tolerance for one in run), ZERO)


# --- sides --------------------------------------------------------------------------------------


def _missing(sides: Sides, found: Found) -> None:
    """Groups that only one side has."""
    left = []
    for one in found.open:
        if one.kind not in one.cell.billed:
            found.entries.append(Entry(NOT_BILLED, _why_not_billed(sides, one), one.group, one.usd))
        elif not one.charged and one.kind not in one.cell.unpriced:
            found.entries.append(Entry(NOT_IN_USAGE, _why_not_used(sides, one), one.group, one.usd))
        else:
            left.append(one)
    found.open = left


def _why_not_billed(sides: Sides, one: Open) -> str:
    providers = {provider_id(pile.provider) for pile in one.cell.piles}
    if sides.providers and None not in providers and not providers & sides.providers:
        return f"usage of {', '.join(sorted(map(str, providers)))}, which this invoice does not bill"
    if one.cell.span.end <= sides.span.start or one.cell.span.start >= sides.span.end:
        return "usage outside the period of the invoice"
    what = f"{one.cell.family}, {one.kind}" if one.kind else one.cell.family
    return f"usage of {what} on days for which the invoice has none"


def _why_not_used(sides: Sides, one: Open) -> str:
    lines = one.cell.billed[one.kind].lines
    if not any(line.model or line.kind for line in lines) and sides.buckets.keys() - {"", "all models"}:
        return f"billed without a model or meter: {one.cell.family}"
    if sides.used is None or one.cell.span.end <= sides.used.start or one.cell.span.start >= sides.used.end:
        return "billed outside the period of the usage"
    what = f"{one.cell.family}, {one.kind}" if one.kind and one.kind != one.cell.family else one.cell.family
    return f"{what} billed on days for which the usage has none"


# --- several cells at once ----------------------------------------------------------------------


def _rates(found: Found) -> None:
    """A model, or one meter of it, that is billed at one factor in all of its (two or more) open groups."""
    for whole in (True, False):
        series: dict[tuple[str, str | None], list[Open]] = {}
        for one in found.open:
            if one.both:
                series.setdefault((one.cell.family, None if whole else one.kind), []).append(one)
        closed: set[int] = set()
        for (family, _), run in series.items():
            ratios = [ratio_of(o.cell.billed[o.kind].usd, o.tolerance, o.charged) for o in run]
            low, high = max(r[0] for r in ratios), min(r[1] for r in ratios)
            if len({one.cell.span for one in run}) < 2 or low > high or low <= 0:
                continue
            factor = roundest(low, high)
            kinds = {one.kind for one in run}
            what = f"{family}, {kinds.pop()}" if len(kinds) == 1 and None not in kinds else family
            for one in run:
                usd = (factor - 1) * one.charged
                rest = one.usd - usd
                if abs(rest) > one.tolerance or abs(rest) >= abs(one.usd):
                    continue
                found.entries.append(Entry(FACTOR, f"{what} {factor_text(factor)}", one.group, usd))
                found.round_off(one.group, rest)
                closed.add(id(one))
        found.open = [one for one in found.open if id(one) not in closed]


def _near(found: Found) -> None:
    """A supposition that brings two or more cells of a model near to the bill, all at once."""
    by_family: dict[str, dict[int, Cell]] = {}
    for one in found.open:
        if one.both:
            by_family.setdefault(one.cell.family, {})[id(one.cell)] = one.cell
    for family, cells in by_family.items():
        if len(cells) < 2:
            continue
        opened = [one for one in found.open if one.cell.family == family and one.both]
        before = sum((abs(one.usd) for one in opened), ZERO)
        tried = dict.fromkeys(s.variant for cell in cells.values() for s in suppositions(cell) if not s.scaled)
        best: tuple[Fraction, Variant, dict[Group, Fraction]] | None = None
        for variant in tried:
            moves = _moves(list(cells.values()), opened, variant)
            if moves is None:
                continue
            after = sum((abs(one.usd - moves[one.group]) for one in opened), ZERO)
            if after <= before * _NEAR and (best is None or after < best[0]):
                best = (after, variant, moves)
        if best is not None:
            _, variant, moves = best
            code = TOKENS if variant.cache else TIER
            for one in opened:
                why = f"{variant}: near to the bill on {len(cells)} days, the rest is listed apart"
                found.entries.append(Entry(code, why, one.group, moves[one.group]))
                one.usd -= moves[one.group]


def _moves(cells: Sequence[Cell], opened: Sequence[Open], variant: Variant) -> dict[Group, Fraction] | None:
    """By how much `variant` changes each open group; None where it brings some group no nearer, or changes others."""
    groups = {one.group: one for one in opened}
    moves = {}
    for cell in cells:
        priced = cell.priced(variant)
        if priced is None:
            return None
        for kind in {*priced, *cell.ours}:
            group = Group(cell.span, cell.family, kind)
            move = priced.get(kind, Priced()).usd - cell.ours.get(kind, Priced()).usd
            one = groups.get(group)
            if (one is None and move) or (one is not None and abs(one.usd - move) >= abs(one.usd)):
                return None
            if one is not None:
                moves[group] = move
    return moves


def _why_unexplained(one: Open) -> str:
    what = f"{one.cell.family}, {one.kind}" if one.kind else one.cell.family
    if one.usd > 0:
        return f"{what}: the bill is higher; rows missing from the usage would do that, but nothing here proves it"
    return f"{what}: the bill is lower; rows not billed, or a credit, would do that, but nothing here proves it"
