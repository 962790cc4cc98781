"""What machines cost to buy, and how their value is said to fall."""

from datetime import date
from decimal import Decimal
from functools import cache

import msgspec

from farthing.evidence import Source
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table
from farthing.serving import devices
from farthing.serving.tables import open_table

KINDS = ("device", "part", "build", "server")
CONDITIONS = ("new", "used")
METHODS = ("straight-line", "declining")


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """A stated price of one item in dollars, from `low` to `high` (equal where one figure was stated).

    `kind`: "device", "part", "build" (a desktop) or "server". `device`: the id of the devices in it, "" for
    parts; `gpus`: how many. `contradicted`: why the statement is not to be used, "" if it may be.
    """

    item: str
    kind: str
    low: Decimal
    high: Decimal
    condition: str
    valid_from: date
    source: Source
    device: str = ""
    gpus: int = 0
    note: str = ""
    contradicted: str = ""

    @property
    def usd(self) -> Decimal:
        """The stated price, or the middle of the stated range."""
        return (self.low + self.high) / 2


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """Share of its price that `device` keeps after `years` years, from `low` to `high`."""

    device: str
    years: float
    low: float
    high: float
    source: Source


class Depreciation(msgspec.Struct, frozen=True, kw_only=True):
    """A stated way to write off: "straight-line" over `low` to `high` years, "declining" by such a share a year."""

    name: str
    method: str
    low: float
    high: float
    source: Source
    note: str = ""


def purchases(device_id: str = "", kind: str = "", at: date | None = None) -> tuple[Purchase, ...]:
    """All stated prices of `device_id` and of `kind` (all where empty) known by the day `at`, newest first.

    Raises `FarthingError` for an unknown device.
    """
    wanted = devices.find(device_id).id if device_id else ""
    found = [
        one
        for one in _tables()[0]
        if (not wanted or one.device == wanted)
        and (not kind or one.kind == kind)
        and (at is None or one.valid_from <= at)
    ]
    return tuple(sorted(found, key=lambda one: one.valid_from, reverse=True))


def residuals(device_id: str) -> tuple[Residual, ...]:
    """Stated residual values of `device_id` by age; empty where nobody stated one."""
    wanted = devices.find(device_id).id
    return tuple(sorted((one for one in _tables()[1] if one.device == wanted), key=lambda one: one.years))


def depreciations() -> dict[str, Depreciation]:
    """Stated ways to write machines off, by name."""
    return {one.name: one for one in _tables()[2]}


@cache
def _tables() -> tuple[tuple[Purchase, ...], tuple[Residual, ...], tuple[Depreciation, ...]]:
    table, sources = open_table("purchases")
    bought = tuple(_purchase(one, sources) for one in table.subs("purchase"))
    left = tuple(_residual(one, sources) for one in table.subs("residual"))
    ways = tuple(_depreciation(one, sources) for one in table.subs("depreciation"))
    table.finish()
    return bought, left, ways


def _purchase(entry: Table, sources: Sources) -> Purchase:
    low, high = stated_range(entry, "usd")
    device = entry.text("device") or ""
    read = Purchase(
        item=entry.needed_text("item"),
        kind=entry.choice("kind", KINDS) or entry.needed_text("kind"),
        low=low,
        high=high,
        condition=entry.choice("condition", CONDITIONS) or entry.needed_text("condition"),
        valid_from=needed_day(entry, "valid_from"),
        source=read_source(entry, sources),
        device=device and devices.find(device).id,
        gpus=entry.whole("gpus") or (1 if device else 0),
        note=entry.text("note") or "",
        contradicted=entry.text("contradicted") or "",
    )
    entry.finish()
    return read


def _residual(entry: Table, sources: Sources) -> Residual:
    low, high = stated_range(entry, "share")
    if high > 1:
        entry.fail("high", f"a residual share of {high} is above 1")
    entry.need("years")
    read = Residual(
        device=devices.find(entry.needed_text("device")).id,
        years=float(entry.number("years", positive=True) or 0),
        low=float(low),
        high=float(high),
        source=read_source(entry, sources),
    )
    entry.finish()
    return read


def _depreciation(entry: Table, sources: Sources) -> Depreciation:
    method = entry.choice("method", METHODS) or entry.needed_text("method")
    unit = "years" if method == "straight-line" else "rate"
    low, high = entry.number(f"{unit}_low", positive=True), entry.number(f"{unit}_high", positive=True)
    if low is None or high is None or low > high or (unit == "rate" and high >= 1):
        entry.fail(None, f"a {method} depreciation needs {unit}_low and {unit}_high, in order", "a rate is below 1")
    read = Depreciation(
        name=entry.needed_text("name"),
        method=method,
        low=float(low),
        high=float(high),
        source=read_source(entry, sources),
        note=entry.text("note") or "",
    )
    entry.finish()
    return read


def stated_range(entry: Table, single: str) -> tuple[Decimal, Decimal]:
    """The figure stated under `single`, or the range under "low" and "high"; `FarthingError` for both or none."""
    one, low, high = (entry.number(name, positive=True) for name in (single, "low", "high"))
    if one is not None and low is None and high is None:
        return one, one
    if one is not None or low is None or high is None or low > high:
        entry.fail(None, "the figure is neither one number nor a range", f"write {single} = …, or low = … and high = …")
    return low, high


def needed_day(entry: Table, name: str) -> date:
    """The date under `name`. Raises `FarthingError` where it is missing."""
    day = entry.day(name)
    if day is None:
        entry.fail(None, f"{name!r} is missing", f"write {name} = 2026-11-01, without quotes")
    return day
