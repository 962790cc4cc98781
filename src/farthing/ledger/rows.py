"""The charge of single rows, many of them: the reference's own answer, made once for all rows that meet the same
conditions and then multiplied in whole numbers.

Where a charge is not a sum of counts times rates (minimums, steps, brackets) the reference prices the row itself.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

import msgspec

from farthing.charges.columns import Cuts, cuts_of
from farthing.charges.reference import Line, lines, measures
from farthing.ledger.view import View
from farthing.money import ZERO, Usd
from farthing.rates.card import MINUTES_OF_WEEK, Price
from farthing.rates.select import Facts, Unknown
from farthing.time import EPOCH
from farthing.units import METERS, PROMPT_METERS
from farthing.usage.readers.ledger import LOST, NO_REASON
from farthing.usage.record import tier_name

_BATCH = 20_000
_THURSDAY = 3 * 1440  # 1970-01-01 was one; weeks are counted from Monday


class Priced(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What of a row decides its charge, and the charge that was recorded (None: unknown, for the reason `unknown`)."""

    id: str
    started_us: int
    completed_us: int
    state: str
    provider: str | None
    model: str | None
    tier: str
    region: str | None
    attrs: tuple[tuple[str, str], ...]
    price: str | None
    recorded_usd: Usd | None
    quantities: Mapping[str, int]
    unknown: str = ""

    @property
    def unmeasured(self) -> str:
        """Why nobody knows what it consumed; "" where it is known."""
        if self.quantities or self.recorded_usd is not None:
            return ""
        return self.unknown or (LOST if self.state == "lost" else NO_REASON)


def priced_rows(view: View) -> Iterator[Priced]:
    """Every attempt of the view that has ended."""
    counts = "".join(
        f', CAST("{name}" * {METERS[name].scale if name in METERS else 1} AS BIGINT)' for name in view.meters
    )
    found = view.connection.cursor().execute(
        'SELECT id, epoch_us("at"), coalesce(epoch_us(completed), epoch_us("at")), state, provider, '
        "model, coalesce(tier_served, tier_asked), region, attrs, price, unknown, "
        f"CAST(usd AS VARCHAR), usd_exact{counts} FROM attempts WHERE state <> 'open'"
    )
    attributes: dict[str | None, tuple[tuple[str, str], ...]] = {None: ()}
    amounts: dict[str, Usd] = {}
    while batch := found.fetchmany(_BATCH):
        for (
            id, started, completed, state, provider, model, tier, region, attrs, price, unknown, usd, fraction, *sums,
        ) in batch:  # fmt: skip
            if attrs not in attributes:
                attributes[attrs] = tuple(sorted(msgspec.json.decode(attrs, type=dict[str, str]).items()))
            stated = usd or fraction
            recorded = None
            if stated is not None and (recorded := amounts.get(stated)) is None:
                recorded = Fraction(stated)
                if len(amounts) < _BATCH:
                    amounts[stated] = recorded
            yield Priced(
                id=id,
                started_us=started,
                completed_us=completed,
                state=state,
                provider=provider,
                model=model,
                tier=tier_name(tier),
                region=region,
                attrs=attributes[attrs],
                price=price,
                recorded_usd=recorded,
                quantities={name: n for name, n in zip(view.meters, sums, strict=True) if n},
                unknown=unknown or "",
            )


class RowPricer:
    """Charges of rows under price records, each as `reference.lines` would have it."""

    def __init__(self) -> None:
        self._terms: dict[int, tuple[Price, _Terms]] = {}

    def charge(self, row: Priced, price: Price) -> Usd | Unknown:
        """The exact charge of `row` under `price`, or why a part of it has none."""
        known = self._terms.get(id(price))
        if known is None or known[0] is not price:
            known = self._terms[id(price)] = (price, _Terms(price))
        return known[1].charge(row)


def depends_on_others(price: Price) -> bool:
    """Whether a charge under `price` depends on other requests too (free quotas, brackets over a period)."""
    return any(rate.free or (rate.brackets and rate.brackets_per != "request") for rate in price.rates)


class _Terms:
    """One record: the units that each set of conditions gives, made when first met."""

    def __init__(self, price: Price) -> None:
        self.price = price
        self.linear = price.minimum_usd is None and all(rate.linear for rate in price.rates)
        cuts: Cuts = cuts_of((price,))
        self.times, self.ends = sorted(cuts.times), sorted(cuts.ends)
        self.windows = (tuple(cuts.starts), tuple(cuts.completions))
        self.edges: dict[str, list[int]] = {}
        for of, edge in sorted(cuts.measures):
            self.edges.setdefault(of, []).append(edge)
        self._units: dict[tuple[Any, ...], _Units] = {}
        self._one_piece = not (self.times or self.ends or any(self.windows) or self.edges)

    def charge(self, row: Priced) -> Usd | Unknown:
        if not self.linear:
            return _sum(lines(self.price, row.quantities, 1, _facts(row)))
        key = (row.tier, row.region, row.attrs, () if self._one_piece else self._piece(row))
        known = self._units.get(key)
        if known is None:
            known = self._units[key] = self._of(row)
        bottom, each, units = known
        if each is None:
            return _sum(lines(self.price, row.quantities, 1, _facts(row)))
        total = each
        for name, quantity in row.quantities.items():
            unit = units.get(name)
            if unit is None:
                unit = self._add(key, row, name)
                if isinstance(unit, int):
                    return self.charge(row)  # on the new common denominator
            if isinstance(unit, str):  # unless it turns out to be none of it: all output was reasoning
                return _sum(lines(self.price, row.quantities, 1, _facts(row)))
            total += unit * quantity
        return Fraction(total, bottom)

    def _piece(self, row: Priced) -> tuple[int, ...]:
        found = [bisect_right(self.times, row.started_us), bisect_right(self.ends, row.completed_us)]
        for masks, moment in zip(self.windows, (row.started_us, row.completed_us), strict=True):
            minute = (moment // 60_000_000 + _THURSDAY) % MINUTES_OF_WEEK
            found += [mask >> minute & 1 for mask in masks]
        for of, edges in self.edges.items():
            if of == "prompt":
                quantity = sum(row.quantities.get(name, 0) for name in PROMPT_METERS)
            else:
                quantity = row.quantities.get(of, 0)
            found.append(bisect_right(edges, quantity))
        return tuple(found)

    def _of(self, row: Priced) -> "_Units":
        """The price of the request itself, and no meter yet."""
        alone = _sum(lines(self.price, {}, 1, _facts(row)))
        if isinstance(alone, Unknown):
            return 1, None, {}
        return alone.denominator, alone.numerator, {}

    def _add(self, key: tuple[Any, ...], row: Priced, name: str) -> int | str:
        """Learn the price of one count of `name` (of reasoning: on top of that of output) under these conditions."""
        bottom, each, units = self._units[key]
        assert each is not None
        facts = _facts(row)
        part = METERS[name].part_of if name in METERS else ""
        base = _sum(lines(self.price, {part: 1} if part else {}, 1, facts))
        whole = _sum(lines(self.price, {part: 1, name: 1} if part else {name: 1}, 1, facts))
        if isinstance(base, Unknown) or isinstance(whole, Unknown):
            reason = whole.reason if isinstance(whole, Unknown) else base.reason if isinstance(base, Unknown) else ""
            units[name] = reason
            return reason
        unit = whole - base
        common = math.lcm(bottom, unit.denominator)
        grown: dict[str, int | str] = {
            meter: value if isinstance(value, str) else value * (common // bottom) for meter, value in units.items()
        }
        grown[name] = made = unit.numerator * (common // unit.denominator)
        self._units[key] = (common, each * (common // bottom), grown)
        return made


_Units = tuple[int, int | None, dict[str, int | str]]
"""Denominator; numerator of the request's own price (None: unknown); numerator of a count of each meter, or why not."""


def _sum(made: Sequence[Line]) -> Usd | Unknown:
    for line in made:
        if line.usd is None:
            return Unknown(line.reason)
    return sum((line.usd for line in made if line.usd is not None), ZERO)


def _facts(row: Priced) -> Facts:
    return Facts(
        at=EPOCH + timedelta(microseconds=row.started_us),
        completed=EPOCH + timedelta(microseconds=row.completed_us),
        tier=row.tier,
        region=row.region,
        attrs=frozenset(row.attrs),
        measures=measures(row.quantities, 1),
    )
