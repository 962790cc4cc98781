"""Reconcile: what the usage costs against what was billed, and the difference explained line by line.

billed - charged = explained + unexplained, exactly, in every group and in total
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

import msgspec

from farthing.charges.reconciliation.cells import Cell, Group, Sides, match
from farthing.charges.reconciliation.findings import (
    DAY,
    NOT_BILLED,
    NOT_IN_USAGE,
    ORDER,
    UNEXPLAINED,
    Entry,
    Found,
    common_factor,
    ratio_of,
)
from farthing.charges.reconciliation.hypotheses import explain
from farthing.charges.reconciliation.invoice import InvoiceLine
from farthing.charges.reconciliation.piles import SLOT, collect
from farthing.money import ZERO, Usd, decimal_text
from farthing.problems import FarthingError, Problem, Problems
from farthing.rates.card import Offer
from farthing.rates.select import Unknown
from farthing.time import show_instant
from farthing.usage.record import Usage

_DAYS = (-48, 0, 48)  # half-hours: dates that are a day early, as they should be, or a day late
_ZONES = tuple(sorted({*range(-24, 29), *_DAYS}))  # and UTC-12 to UTC+14 in half-hours
_SURE = Fraction(1, 1000)  # one group alone shows a factor only where it is known to this share


class GroupResult(msgspec.Struct, frozen=True, kw_only=True):
    """One span of the invoice, one model family, one meter (None: all together), on both sides.

    `charged_usd` counts only what has a price; `unpriced` says that some of the usage has none.
    """

    group: Group
    billed_usd: Usd
    charged_usd: Usd
    lines: int
    rows: int
    unpriced: bool = False

    @property
    def difference_usd(self) -> Usd:
        return self.billed_usd - self.charged_usd


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars of the difference with one reason: billed less charged, so negative where the bill is lower."""

    explanation: str
    usd: Usd
    evidence: str
    groups: tuple[tuple[Group, Usd], ...]


class UnknownUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage without a price: how much of which meter of which model, and why it has none."""

    provider: str | None
    model: str
    meter: str
    quantity: Fraction
    rows: int
    reason: str


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """Both totals, and explanations whose dollars sum exactly to billed less charged.

    `lines` ends with what is unexplained, if anything is. `unknown` is not in `charged_usd`.
    """

    billed_usd: Usd
    charged_usd: Usd
    groups: tuple[GroupResult, ...]
    lines: tuple[Explanation, ...]
    unknown: tuple[UnknownUsage, ...]
    rows: int
    invoice_lines: int
    rejected: tuple[Problem, ...] = ()
    rejected_total: int = 0

    @property
    def difference_usd(self) -> Usd:
        return self.billed_usd - self.charged_usd

    @property
    def unexplained_usd(self) -> Usd:
        return sum((line.usd for line in self.lines if line.explanation == UNEXPLAINED), ZERO)

    def to_json(self) -> dict[str, Any]:
        """JSON's types; amounts are decimal strings in dollars."""
        return {
            "billed_usd": decimal_text(self.billed_usd),
            "charged_usd": decimal_text(self.charged_usd),
            "difference_usd": decimal_text(self.difference_usd),
            "unexplained_usd": decimal_text(self.unexplained_usd),
            "lines": [
                {
                    "explanation": line.explanation,
                    "usd": decimal_text(line.usd),
                    "evidence": line.evidence,
                    "groups": [{**_named(group), "usd": decimal_text(usd)} for group, usd in line.groups],
                }
                for line in self.lines
            ],
            "groups": [
                {
                    **_named(one.group),
                    "billed_usd": decimal_text(one.billed_usd),
                    "charged_usd": decimal_text(one.charged_usd),
                    "difference_usd": decimal_text(one.difference_usd),
                    "invoice_lines": one.lines,
                    "usage_rows": one.rows,
                    "unpriced": one.unpriced,
                }
                for one in self.groups
            ],
            "unknown": [
                {
                    "provider": one.provider,
                    "model": one.model,
                    "meter": one.meter,
                    "quantity": decimal_text(one.quantity),
                    "rows": one.rows,
                    "reason": one.reason,
                }
                for one in self.unknown
            ],
            "usage_rows": self.rows,
            "invoice_lines": self.invoice_lines,
            "rejected": [{"place": one.place, "reason": one.reason, "repair": one.repair} for one in self.rejected],
            "rejected_total": self.rejected_total,
        }


def _named(group: Group) -> dict[str, Any]:
    return {
        "start": show_instant(group.span.start),
        "end": show_instant(group.span.end),
        "model": group.family,
        "meter": group.kind,
    }


def reconcile(
    records: Iterable[Usage],
    offer_of: Callable[[Usage], Offer | Unknown],
    invoice: Sequence[InvoiceLine],
    problems: Problems | None = None,
) -> Reconciliation:
    """Compare the exact charges of `records` with `invoice` and explain the difference.

    The usage is read once and kept as sums by half-hour, model and tier. `problems` (of both readers)
    is reported in the result. Raises `FarthingError` for an invoice without lines, and for usage
    without dates.
    """
    if not invoice:
        raise FarthingError("the invoice has no lines")
    sides = match(collect(records, offer_of), offer_of, invoice)
    cells = sides.utc
    entries = _best(sides).entries
    billed = sum((line.usd for line in invoice), ZERO)
    charged = sum((one.usd for cell in cells for one in cell.ours.values()), ZERO)
    return Reconciliation(
        billed_usd=billed,
        charged_usd=charged,
        groups=tuple(_groups(cells)),
        lines=tuple(_lines(entries)),
        unknown=tuple(_unknown(cells)),
        rows=sides.usage.rows,
        invoice_lines=len(invoice),
        rejected=tuple(problems.kept) if problems else (),
        rejected_total=problems.total if problems else 0,
    )


# --- the time zone and the factor of the whole invoice --------------------------------------------


def _best(sides: Sides) -> Found:
    """The explanation under the time zone and factor that leave the least; UTC and 1 unless others halve it."""
    least = explain(sides, sides.utc, last=False)
    chosen: tuple[Sequence[Cell], str, Fraction] = (sides.utc, "", Fraction(1))
    if _cost(least):
        views = [(sides.utc, ""), *((sides.cells(shift), zone) for shift, zone in _zones(sides))]
        tries = [(cells, zone, Fraction(1)) for cells, zone in views[1:]]
        tries += [(cells, zone, factor) for cells, zone in views if (factor := _factor(cells)) is not None]
        for cells, zone, factor in tries:
            found = explain(sides, cells, zone, factor, last=False)
            if _better(found, least, factor):
                chosen, least = (cells, zone, factor), found
    return explain(sides, *chosen)


def _cost(found: Found) -> Fraction:
    late = sum((abs(e.usd) for e in found.entries if e.code == DAY and "cancel" in e.why), ZERO)
    return late + found.total(UNEXPLAINED, NOT_BILLED, NOT_IN_USAGE)


def _better(found: Found, least: Found, factor: Fraction) -> bool:
    if factor != 1 and not (found.by_factor and 2 * found.by_factor > found.compared):
        return False
    new, old = found.total(UNEXPLAINED), least.total(UNEXPLAINED)
    return 2 * _cost(found) <= _cost(least) or (2 * new <= old and new < old and _cost(found) < _cost(least))


def _factor(cells: Sequence[Cell]) -> Fraction | None:
    """The factor that most groups on both sides share: two or more, or one that shows a round number clearly."""
    ratios = []
    for cell in cells:
        for kind, billed in cell.billed.items():
            if kind in cell.ours and cell.ours[kind].usd and kind not in cell.unpriced:
                ratios.append(ratio_of(billed.usd, billed.tolerance, cell.ours[kind].usd))
    found = common_factor(ratios)
    if found is None or found[0] == 1 or found[0] <= 0:
        return None
    factor, count = found
    if len(ratios) == 1:
        low, high = ratios[0]
        return factor if high - low < _SURE and (factor * 100).denominator == 1 else None
    return factor if count >= 2 else None


def _zones(sides: Sides) -> list[tuple[int, str]]:
    """The time zone in which the days of the invoice fit the usage best, as billed and as scaled to the bill.

    The search is in floats; what it finds is judged exactly. Rows without an hour of their own are moved by days only.
    """
    shifts = _DAYS if sides.usage.coarse else _ZONES
    billed: dict[tuple[Any, str], float] = defaultdict(float)
    for line, family in zip(sides.invoice, sides.family_of_line, strict=True):
        billed[line.start, family] += float(line.usd)
    slots: dict[tuple[str, int], float] = defaultdict(float)
    for pile, family in zip(sides.usage.piles, sides.family_of_pile, strict=True):
        sums = pile.sums()
        for meter, usd in (sums.usd if sums else {}).items():
            slots[meter if meter in sides.loose else family, pile.slot] += float(usd)
    families = {family for _, family in billed}
    ours = sum(usd for (family, _), usd in slots.items() if family in families)
    scale = sum(billed.values()) / ours if ours else 1.0
    found: list[tuple[int, str]] = []
    for by in (1.0, scale):
        left = {shift: _left(sides, billed, slots, shift, by) for shift in shifts}
        least = min(left.values())
        near = [shift for shift in shifts if left[shift] <= least * (1 + 1e-9) + 1e-12]
        shift = min(near, key=abs)
        if shift and 2 * left[shift] <= left[0] and all(shift != known for known, _ in found):
            found.append((shift, _zone_text(shift, near)))
    return [one for one in found if _moves_days(sides, one[0])]


def _left(
    sides: Sides, billed: dict[tuple[Any, str], float], slots: dict[tuple[str, int], float], shift: int, by: float
) -> float:
    rest = defaultdict(float, billed)
    for (family, slot), usd in slots.items():
        rest[sides.span_of(family, slot + shift).start, family] -= usd * by
    return sum(abs(usd) for usd in rest.values())


def _moves_days(sides: Sides, shift: int) -> bool:
    """Whether the zone moves dollars over two or more of the days' edges: one alone is rather a late row."""
    before = {(c.span, c.family): sum((p.usd for p in c.ours.values()), ZERO) for c in sides.utc}
    after = {(c.span, c.family): sum((p.usd for p in c.ours.values()), ZERO) for c in sides.cells(shift)}
    changed = {key[0] for key in before.keys() | after.keys() if before.get(key, ZERO) != after.get(key, ZERO)}
    return len(changed) > 2


def _zone_text(shift: int, near: Sequence[int]) -> str:
    if shift in _DAYS:
        return f"the dates of the invoice are a day {'late' if shift > 0 else 'early'}"
    near = [one for one in near if one not in _DAYS]
    others = f" ({_offset(min(near))} to {_offset(max(near))} fit equally)" if len(near) > 1 else ""
    begins = (timedelta(days=1) - shift * SLOT) % timedelta(days=1)
    clock = f"{begins.seconds // 3600:02}:{begins.seconds % 3600 // 60:02}"
    return f"the days of the invoice fit {_offset(shift)}{others}: they begin at {clock} UTC"


def _offset(shift: int) -> str:
    hours, half = divmod(abs(shift), 2)
    return f"UTC{'-' if shift < 0 else '+'}{hours}{':30' if half else ''}"


# --- the result -------------------------------------------------------------------------------------


def _groups(cells: Sequence[Cell]) -> Iterable[GroupResult]:
    for cell in cells:
        for kind in sorted({*cell.billed, *cell.ours, *cell.unpriced}, key=str):
            billed, ours = cell.billed.get(kind), cell.ours.get(kind)
            yield GroupResult(
                group=Group(cell.span, cell.family, kind),
                billed_usd=billed.usd if billed else ZERO,
                charged_usd=ours.usd if ours else ZERO,
                lines=len(billed.lines) if billed else 0,
                rows=sum(pile.rows for pile in cell.piles if any(cell.kind_of(m) == kind for m in pile.quantities)),
                unpriced=kind in cell.unpriced,
            )


def _lines(entries: Iterable[Entry]) -> list[Explanation]:
    sums: dict[tuple[str, str], dict[Group, Fraction]] = {}
    for entry in entries:
        groups = sums.setdefault((entry.code, entry.why), {})
        groups[entry.group] = groups.get(entry.group, ZERO) + entry.usd
    made = []
    for (code, why), groups in sums.items():
        evidence = f"{why} [{_where(groups)}]"
        usd = sum(groups.values(), ZERO)
        listed = tuple(sorted(groups.items(), key=lambda item: (item[0].span, item[0].family, str(item[0].kind))))
        made.append(Explanation(explanation=code, usd=usd, evidence=evidence, groups=listed))
    return sorted(made, key=lambda line: (ORDER.index(line.explanation), -abs(line.usd), line.evidence))


def _where(groups: Iterable[Group]) -> str:
    """ "3 days from 2026-11-01, gpt-4o"."""
    spans = sorted({group.span for group in groups})
    families = sorted({group.family for group in groups})
    what = "days" if all(span.end - span.start == timedelta(days=1) for span in spans) else "periods"
    first = show_instant(spans[0].start)
    days = first if len(spans) == 1 else f"{len(spans)} {what} from {first}"
    more = f" and {len(families) - 2} more" if len(families) > 2 else ""
    return f"{days}, {', '.join(families[:2])}{more}"


def _unknown(cells: Sequence[Cell]) -> Iterable[UnknownUsage]:
    found: dict[tuple[str | None, str, str, str], tuple[Fraction, int]] = {}
    for cell in cells:
        for pile in cell.piles:
            sums = pile.sums()
            for meter, reason in (sums.unknown if sums else {}).items():
                if cell.belongs(meter) and sums:
                    quantity, rows = found.get((pile.provider, pile.model, meter, reason), (ZERO, 0))
                    more = sums.quantity.get(meter, ZERO)
                    found[pile.provider, pile.model, meter, reason] = (quantity + more, rows + pile.rows)
    for (provider, model, meter, reason), (quantity, rows) in sorted(found.items(), key=lambda item: str(item[0])):
        yield UnknownUsage(provider=provider, model=model, meter=meter, quantity=quantity, rows=rows, reason=reason)
