"""Part of a cell: hours of a day that the bill lacks or has at another tier, and whole numbers of tokens."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from farthing.charges.reconciliation.cells import Cell, Group
from farthing.charges.reconciliation.findings import NOT_BILLED, NOT_IN_USAGE, TIER, Entry, Found, Open
from farthing.charges.reconciliation.piles import SLOT, Pile
from farthing.money import ZERO
from farthing.rates.select import index
from farthing.time import EPOCH
from farthing.units import METERS

_MOST_HOURS = 200  # half-hours (by tier) of one cell whose runs are tried
_CHANCE = Fraction(1, 20)  # a match is accepted where fewer than this many were to be expected by chance
_CONFIRMED = 2  # days on which a price must meet the bill before another day's difference is put down to rows
Dollars = dict[str | None, Fraction]


def explain_parts(found: Found) -> None:
    """Explain open cells of which a run of hours, or a whole number of tokens, makes the difference."""
    cells: dict[int, list[Open]] = {}
    for one in found.open:
        if one.both:
            cells.setdefault(id(one.cell), []).append(one)
    closed: set[int] = set()
    for opened in cells.values():
        entries = _run_of_hours(opened) or _whole_tokens(opened)
        if not entries:
            continue
        found.entries += entries
        for one, entry in zip(opened, entries, strict=True):
            found.round_off(one.group, one.usd - entry.usd)
            closed.add(id(one))
    found.open = [one for one in found.open if id(one) not in closed]


def explain_by_elimination(found: Found) -> None:
    """Where the price is confirmed by other days and no tier or cache fits, the number of rows differs.

    Only for cells whose open kinds all differ in one direction, and of which each is confirmed, by more
    days than differ.
    """
    cells: dict[int, list[Open]] = {}
    for one in found.open:
        cells.setdefault(id(one.cell), []).append(one)
    closed: set[int] = set()
    differ = Counter((one.cell.family, one.kind) for one in found.open)
    for opened in cells.values():
        up = opened[0].usd > 0
        days = min(found.met[one.cell.family, one.kind] for one in opened)
        if days < _CONFIRMED or any(differ[k] > found.met[k] for k in ((o.cell.family, o.kind) for o in opened)):
            continue
        if any((one.usd > 0) != up or not one.both for one in opened):
            continue
        for one in opened:
            what = f"{one.cell.family}, {one.kind}" if one.kind else one.cell.family
            more = "more rows than the usage" if up else "fewer rows than the usage (not billed, or twice in the usage)"
            why = f"{what}: the price is confirmed by {days} other days that meet, so the bill has {more}"
            found.entries.append(Entry(NOT_IN_USAGE if up else NOT_BILLED, why, one.group, one.usd))
            closed.add(id(one))
    found.open = [one for one in found.open if id(one) not in closed]


def _run_of_hours(opened: Sequence[Open]) -> list[Entry]:
    """Entries for `opened` (of one cell) where the hours from one to another were left out, or had another tier."""
    cell = opened[0].cell
    piles = cell.apart
    if not 2 <= len(piles) <= _MOST_HOURS:
        return []
    moves = list(_moves(cell, piles))
    tried = len(moves) * len(piles) * (len(piles) + 1) // 2
    if any(2 * one.tolerance * tried > one.charged * _CHANCE for one in opened):
        return []
    wanted = {one.kind: one for one in opened}
    for tier, deltas in moves:
        kinds = {kind for delta in deltas for kind in delta}
        if not kinds <= wanted.keys():
            continue
        for first in range(len(piles)):
            sums: Dollars = dict.fromkeys(wanted, ZERO)
            for last in range(first, len(piles)):
                for kind, usd in deltas[last].items():
                    sums[kind] += usd
                if all(abs(one.usd - sums[kind]) <= one.tolerance for kind, one in wanted.items()):
                    code = TIER if tier else NOT_BILLED
                    why = _hours_text(piles[first : last + 1], tier)
                    return [Entry(code, why, one.group, sums[one.kind]) for one in opened]
    return []


def _moves(cell: Cell, piles: Sequence[Pile]) -> Iterator[tuple[str | None, list[Dollars]]]:
    """What leaving out each pile (None), and charging each at each other tier, would change."""
    yield None, [{kind: -usd for kind, usd in _by_kind(cell, pile, None).items()} for pile in piles]
    known = sorted({tier for pile in piles if pile.price for tier in index(pile.price).tiers if tier} | {"standard"})
    for tier in known:
        deltas: list[Dollars] = []
        for pile in piles:
            before = _by_kind(cell, pile, None)
            sums = pile.sums("", tier) if pile.facts.tier != tier else pile.sums()
            if sums is None or len(sums.usd) < len(before):
                break
            after = before if pile.facts.tier == tier else _by_kind(cell, pile, tier)
            deltas.append({kind: usd - before.get(kind, ZERO) for kind, usd in after.items()})
        if len(deltas) == len(piles) and any(usd for delta in deltas for usd in delta.values()):
            yield tier, deltas


def _by_kind(cell: Cell, pile: Pile, tier: str | None) -> Dollars:
    made: Dollars = {}
    sums = pile.sums("", tier)
    for meter, usd in (sums.usd if sums else {}).items():
        if cell.belongs(meter):
            kind = cell.kind_of(meter)
            made[kind] = made.get(kind, ZERO) + usd
    return made


def _hours_text(run: Sequence[Pile], tier: str | None) -> str:
    rows = sum(pile.rows for pile in run)
    count = f"{rows:,} row{'s' if rows != 1 else ''}"
    first, last = EPOCH + run[0].slot * SLOT, EPOCH + (run[-1].slot + 1) * SLOT
    when = f"of {first:%Y-%m-%d %H:%M} to {last:%H:%M} UTC"
    return f"{count} {when} billed at tier {tier}" if tier else f"{count} {when} not billed (or twice in the usage)"


def _whole_tokens(opened: Sequence[Open]) -> list[Entry]:
    """Entries where each difference is a whole number of units at the price of the usage, all in one direction."""
    if any((one.usd > 0) != (other.usd > 0) for one, other in pairwise(opened)):
        return []
    entries = []
    for one in opened:
        priced = one.cell.ours.get(one.kind)
        if one.kind is None or priced is None or priced.usd != one.charged or not priced.quantity:
            return []
        each = priced.usd / priced.quantity
        units = round(one.usd / each)
        if one.tolerance > each * _CHANCE or not units or abs(one.usd - units * each) > one.tolerance:
            return []
        name = f"{one.kind} {METERS[one.kind].unit}s"
        if units > 0:
            code, why = NOT_IN_USAGE, f"the difference is exactly {units:,} {name} more at the usage's price"
        else:
            code, why = NOT_BILLED, f"the difference is exactly {-units:,} {name} fewer at the usage's price"
        entries.append(Entry(code, why, Group(one.cell.span, one.cell.family, one.kind), units * each))
    return entries
