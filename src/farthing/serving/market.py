"""The market for devices: what an hour of one was offered for, when, by whom; and where statements disagree.

Purchases are in `purchases`, and are found here too.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache

import msgspec

from farthing.evidence import Grade, Source
from farthing.money import decimal_text, to_decimal
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table
from farthing.serving import devices
from farthing.serving.purchases import (
    Depreciation,
    Purchase,
    Residual,
    depreciations,
    needed_day,
    purchases,
    residuals,
    stated_range,
)
from farthing.serving.tables import open_table

__all__ = [
    "TERMS", "Conflict", "Depreciation", "Purchase", "Rent", "Residual",
    "conflicts", "depreciations", "purchases", "rent", "rents", "residuals",
]  # fmt: skip

TERMS = ("on-demand", "reserved-1y", "reserved-3y", "spot")
KINDS = ("offer", "index")
_NEAR = timedelta(days=366)  # how far apart two statements may be and still be compared
_SAME_SELLER = Fraction(105, 100)  # one seller, one price: more than 5 % apart is a conflict
_SAME_MARKET = Fraction(130, 100)  # an offer may differ from the market's average by as much


class Rent(msgspec.Struct, frozen=True, kw_only=True):
    """A stated rent of one device for one hour in dollars, from `low` to `high` (equal where one figure was stated).

    `devices`: the ids it may mean (several where the form factor was not stated). `gpus`: how many are
    rented together. `min_hours`: the least that is paid for. `kind`: "offer", or "index" for a market
    average. `valid_from`: the first day it holds. `contradicted`: why it is not to be used, "" if it may be.
    """

    provider: str
    devices: tuple[str, ...]
    term: str
    low: Decimal
    high: Decimal
    valid_from: date
    source: Source
    kind: str = "offer"
    gpus: int = 1
    min_hours: int = 0
    region: str = ""
    note: str = ""
    contradicted: str = ""

    @property
    def usd_per_gpu_hour(self) -> Decimal:
        """The stated rent of one device, or the middle of the stated range."""
        return (self.low + self.high) / 2


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two statements about one thing that cannot both be right, or one that is known to be wrong.

    `factor`: the first over the second. `against`: None where no other statement is recorded.
    """

    stated: Rent | Purchase
    against: Rent | Purchase | None
    factor: float | None
    text: str


def rents(device_id: str = "", at: date | None = None, term: str | None = None) -> tuple[Rent, ...]:
    """All stated rents of a device (of all devices where empty), newest first.

    `at`: those in force on that day, one for each provider, source, term and size of machine; None: of
    all days. Raises `FarthingError` for an unknown device or term.
    """
    wanted = devices.find(device_id).id if device_id else ""
    if term is not None and term not in TERMS:
        raise FarthingError(f"unknown term {term!r} (one of {', '.join(TERMS)})")
    found = [
        one
        for one in _rents()
        if (not wanted or wanted in one.devices)
        and (term is None or one.term == term)
        and (at is None or one.valid_from <= at)
    ]
    found.sort(key=lambda one: one.valid_from, reverse=True)
    if at is None:
        return tuple(found)
    latest: dict[object, Rent] = {}
    for one in found:
        latest.setdefault((one.provider, one.kind, one.devices, one.term, one.gpus, one.source.id), one)
    return tuple(latest.values())


def rent(device_id: str, at: date | None = None, term: str = "on-demand") -> Rent:
    """The rent that an estimate uses where none is given, on the day `at` (None: the latest known).

    The market's average where one was published by then: it is what the hour costs, not what the
    cheapest seller advertises. Else the middle of the latest offer of each provider; of an even number,
    the dearer of the two in the middle, because an estimate of costs should not flatter. Better evidence
    comes first: an assumed offer counts only where there is no other. Statements known to be wrong never
    count. Raises `FarthingError` where nothing is left.
    """
    usable = [one for one in rents(device_id, at or date.max, term) if not one.contradicted]
    averages = [one for one in usable if one.kind == "index"]
    if averages:
        return averages[0]
    if not usable:
        raise FarthingError(_nothing(device_id, at, term))
    best = max(one.source.grade for one in usable)
    offers: dict[str, Rent] = {}
    for one in usable:  # newest first; of one provider's sizes of machine on a day, the cheapest hour
        if one.source.grade != best:
            continue
        held = offers.setdefault(one.provider, one)
        if one.valid_from == held.valid_from and one.usd_per_gpu_hour < held.usd_per_gpu_hour:
            offers[one.provider] = one
    ordered = sorted(offers.values(), key=lambda one: (one.usd_per_gpu_hour, one.provider))
    return ordered[len(ordered) // 2]


def _nothing(device_id: str, at: date | None, term: str) -> str:
    others = sorted({one.term for one in rents(device_id) if not one.contradicted})
    when = f" by {at.isoformat()}" if at else ""
    hint = f"; other terms: {', '.join(others)}" if others and term not in others else ""
    return f"no {term} rent of {devices.find(device_id).id} is known{when}: state it with --usd-per-gpu-hour{hint}"


def conflicts() -> tuple[Conflict, ...]:
    """Every second-hand statement that another contradicts, and those known to be wrong, in the order of the files.

    A rent graded assumed is held against another source's for the same provider, device and term (more
    than 5 % apart) and against the market's average of the device (more than 30 % apart): the one in
    force, or the nearest within a year; a price may have changed in between, so both days are told.
    Purchases are held against other sources' for the same devices (more than 30 % apart).
    """
    found: list[Conflict] = []
    seen: set[frozenset[int]] = set()
    pairs: list[tuple[Rent | Purchase, Rent | Purchase | None]] = [*_rent_rivals(), *_purchase_rivals()]
    for one, other in pairs:
        pair = frozenset((id(one), id(other)))
        if pair not in seen:
            seen.add(pair)
            found.append(_conflict(one, other))
    return tuple(found)


def _rent_rivals() -> Iterator[tuple[Rent, Rent | None]]:
    for one in _rents():
        if one.kind == "index" or one.source.grade > Grade.ASSUMED:
            continue
        seller = _nearest(one, [r for r in _rents() if r.provider == one.provider and r.source.id != one.source.id])
        average = None if one.contradicted else _nearest(one, [r for r in _rents() if r.kind == "index"])
        if one.contradicted and seller is None:
            yield one, None
        if seller is not None and _apart(one, seller, _SAME_SELLER):
            yield one, seller
        if average is not None and _apart(one, average, _SAME_MARKET):
            yield one, average


def _purchase_rivals() -> Iterator[tuple[Purchase, Purchase | None]]:
    stated = purchases()
    for one in stated:
        rivals = [p for p in stated if _like(one, p) and _apart(one, p, _SAME_MARKET)]
        if one.contradicted and not rivals:
            yield one, None
        yield from ((one, p) for p in rivals)


def _like(one: Purchase, other: Purchase) -> bool:
    """Whether two sources state a price of the same devices in the same condition, and `other` may be right."""
    same = (one.device, one.kind, one.gpus, one.condition) == (other.device, other.kind, other.gpus, other.condition)
    return same and bool(one.device) and one.source.id != other.source.id and not other.contradicted


def _conflict(one: Rent | Purchase, other: Rent | Purchase | None) -> Conflict:
    if other is None:
        return Conflict(
            stated=one, against=None, factor=None, text=f"{_who(one)} says {_show(one)}: {one.contradicted}"
        )
    factor = float(_price(one) / _price(other))
    text = (
        f"{_who(one)} says {_show(one)} ({one.valid_from.isoformat()}), "
        f"{_who(other)} {_show(other)} ({other.valid_from.isoformat()}): {factor:.2f} times"
    )
    return Conflict(
        stated=one, against=other, factor=factor, text=text + (f"; {one.contradicted}" if one.contradicted else "")
    )


def _price(one: Rent | Purchase) -> Decimal:
    return one.usd_per_gpu_hour if isinstance(one, Rent) else one.usd


def _who(one: Rent | Purchase) -> str:
    if isinstance(one, Rent):
        return f"{one.source.id} on {one.provider} {'/'.join(one.devices)} {one.term}"
    return f"{one.source.id} on {one.item}"


def _show(one: Rent | Purchase) -> str:
    ends = dict.fromkeys((decimal_text(one.low), decimal_text(one.high)))
    return " to ".join(ends)


def _apart(one: Rent | Purchase, other: Rent | Purchase, bound: Fraction) -> bool:
    return Fraction(one.low) > bound * Fraction(other.high) or Fraction(other.low) > bound * Fraction(one.high)


def _nearest(one: Rent, others: list[Rent]) -> Rent | None:
    """Of `others` for the same device and term, the one that speaks of its day.

    An offer holds until the seller's next, so it is the latest before, however old; an average is of
    its month, so it is the nearest. Neither may come from more than a year after.
    """
    same = [r for r in others if r.term == one.term and set(r.devices) & set(one.devices) and not r.contradicted]
    in_force = [r for r in same if r.kind == "offer" and r.valid_from <= one.valid_from]
    if in_force:
        return max(in_force, key=lambda r: (r.valid_from, r.gpus == one.gpus))
    near = [r for r in same if abs(r.valid_from - one.valid_from) <= _NEAR]
    return min(near, key=lambda r: (abs(r.valid_from - one.valid_from), r.gpus != one.gpus), default=None)


@cache
def _rents() -> tuple[Rent, ...]:
    table, sources = open_table("rents")
    read = tuple(_rent(entry, sources) for entry in table.subs("rent"))
    table.finish()
    return read


def _rent(entry: Table, sources: Sources) -> Rent:
    entry.need("devices", 'write devices = ["…"]')
    gpus = entry.whole("gpus") or 1
    low, high = stated_range(entry, "usd_per_hour")
    read = Rent(
        provider=entry.needed_text("provider"),
        devices=tuple(devices.find(name).id for name in entry.texts("devices")),
        term=entry.choice("term", TERMS) or entry.needed_text("term"),
        low=to_decimal(Fraction(low) / gpus),
        high=to_decimal(Fraction(high) / gpus),
        valid_from=needed_day(entry, "valid_from"),
        source=read_source(entry, sources),
        kind=entry.choice("kind", KINDS) or "offer",
        gpus=gpus,
        min_hours=entry.whole("min_hours") or 0,
        region=entry.text("region") or "",
        note=entry.text("note") or "",
        contradicted=entry.text("contradicted") or "",
    )
    entry.finish()
    return read
