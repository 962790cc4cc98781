"""Reading the structures of plans from TOML: a key for each field, an interval as a number or { low, mid, high }."""

from decimal import Decimal
from fractions import Fraction
from types import NoneType
from typing import TypeVar, get_args

import msgspec

from farthing.evidence import Source
from farthing.plans.breakeven import Host
from farthing.plans.fleet import Load
from farthing.plans.hosting import Capacity, Hosting, Owned, Power, Rented
from farthing.plans.interval import Interval, exactly
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table

Part = TypeVar("Part", bound=msgspec.Struct)
_KINDS = ("rented", "owned")


def read_interval(table: Table, key: str) -> Interval | None:
    """A number, { low, high } (the middle is half-way) or { low, mid, high }; None where the key is absent."""
    if key not in table:
        return None
    if not isinstance(table.values[key], dict):
        return exactly(_needed(table, key))
    ends = table.sub(key)
    assert ends is not None
    low, high = _needed(ends, "low"), _needed(ends, "high")
    middle = ends.number("mid")
    ends.finish()
    try:
        return Interval(low, (low + high) / 2 if middle is None else Fraction(middle), high)
    except ValueError:
        table.fail(key, "the ends are out of order", "low <= mid <= high")


def _needed(table: Table, key: str) -> Fraction:
    table.need(key, f"write {key} = a number")
    number = table.number(key)
    assert number is not None
    return Fraction(number)


def read_part(table: Table, kind: type[Part], sources: Sources, **fixed: object) -> Part:
    """A `kind` from the keys that are its fields, with the source that "source" names; `fixed` fields are not read.

    The caller finishes the table. Raises `FarthingError` at the line of what is missing or not a number.
    """
    made: dict[str, object] = dict(fixed)
    for field in msgspec.structs.fields(kind):
        if field.name in made:
            continue
        if field.name == "sources":
            made["sources"] = (read_source(table, sources),)
            continue
        value = _value(table, field.name, field.type)
        if value is not None:
            made[field.name] = value
        elif field.required:
            table.need(field.name, f"write {field.name} = a number")
    return kind(**made)


def _value(table: Table, key: str, kind: object) -> object:
    kinds = [one for one in get_args(kind) or (kind,) if one is not NoneType]
    if Interval in kinds:
        return read_interval(table, key)
    if str in kinds:
        return table.text(key)
    if int in kinds:
        return table.whole(key, least=0)
    number: Decimal | None = table.number(key)
    return None if number is None else Fraction(number)


def read_load(table: Table | None) -> Load:
    """A load; the usual one where the table is absent."""
    if table is None:
        return Load()
    made = read_part(table, Load, {})
    table.finish()
    made.check()
    return made


def read_host(table: Table, sources: Sources) -> Host:
    """A way of hosting: its machines (kind = "rented" or "owned"), [capacity] and, for owned ones, [power]."""
    kind = table.needed_text("kind", "rented or owned")
    if kind not in _KINDS:
        table.fail("kind", f"kind is {kind!r}", "rented or owned")
    hosting: Hosting = read_part(table, Rented, sources) if kind == "rented" else read_part(table, Owned, sources)
    table.need("capacity", "write a table of what one replica does: input_tokens_s, output_tokens_s, gpus")
    capacity = table.sub("capacity")
    power = table.sub("power")
    assert capacity is not None
    made = Host(
        hosting=hosting,
        capacity=read_part(capacity, Capacity, sources),
        power=None if power is None else read_part(power, Power, sources),
    )
    for one in (capacity, power, table):
        if one is not None:
            one.finish()
    return made


def sources_of(host: Host) -> tuple[Source, ...]:
    """Every source that a way of hosting rests on, once."""
    parts = (host.hosting, host.capacity, host.power)
    return tuple({s.id: s for part in parts if part is not None for s in part.sources}.values())
