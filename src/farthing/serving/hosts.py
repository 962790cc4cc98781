"""What devices draw: the boards while they serve, their servers at the wall, and the site around them."""

import math
from functools import cache

import msgspec

from farthing.evidence import Grade, Source
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table
from farthing.serving import devices
from farthing.serving.device import Device
from farthing.serving.tables import open_table


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """Two measured points of mean board power: `few` sequences at `few_w` watts, `many` at `many_w`, of `device`."""

    device: str
    few: float
    few_w: float
    many: float
    many_w: float
    source: Source


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Wall power of a loaded server over the TDP of its devices, for devices of `forms` (and those named).

    `also`: other sources that say so, within `low` and `high`. `nameplate`: the same by the vendor's
    largest stated power, which is for cabling and not what is drawn; None where nobody states one.
    """

    forms: tuple[str, ...]
    devices: tuple[str, ...]
    factor: float
    low: float
    high: float
    source: Source
    also: tuple[Source, ...] = ()
    nameplate: float | None = None
    nameplate_source: Source | None = None


class Pue(msgspec.Struct, frozen=True, kw_only=True):
    """Energy of a site over the energy its servers draw."""

    name: str
    value: float
    low: float
    high: float
    source: Source
    note: str = ""


def draw() -> Draw:
    """The measured points that `draw_w` runs through."""
    return _tables()[0]


def hosts() -> tuple[Host, ...]:
    """All host factors, in the order of the file."""
    return _tables()[1]


def host(device: Device) -> Host:
    """The host factor for `device`: one that names it, else that of its form. Raises `FarthingError` if none."""
    for one in hosts():
        if device.id in one.devices:
            return one
    for one in hosts():
        if device.form in one.forms:
            return one
    raise FarthingError(f"no host factor is known for devices of the form {device.form!r} ({device.id})")


def pues() -> dict[str, Pue]:
    """Stated PUEs by name; "typical" is the default."""
    return {one.name: one for one in _tables()[2]}


def draw_w(device: Device, sequences: float) -> float:
    """Mean draw of one board in watts while it serves `sequences` sequences at once.

    Log-linear in `sequences` between the two measured points of an H100 SXM, held outside them; other
    devices draw the same share of their TDP (derived: see `draw_grade`). At rest (0) it is the
    device's stated idle draw; where none is stated, the share of its TDP that the measured device idles at.
    """
    points = draw()
    if sequences <= 0:
        known = devices.find(points.device)
        return device.idle_w if device.idle_w is not None else (known.idle_w or 0.0) / known.tdp_w * device.tdp_w
    at = min(max(sequences, points.few), points.many)
    share = math.log(at / points.few) / math.log(points.many / points.few)
    watts = points.few_w + share * (points.many_w - points.few_w)
    return watts * device.tdp_w / devices.find(points.device).tdp_w


def draw_grade(device: Device) -> Grade:
    """How good `draw_w` is: measured for the device measured; else derived, or the grade of its TDP if worse."""
    points = draw()
    if device.id == points.device:
        return points.source.grade
    return min(Grade.DERIVED, device.source_of("tdp").grade)


def wall_w(device: Device, sequences: float, count: int = 1) -> float:
    """Draw at the wall in watts of the servers of `count` devices, PUE not included.

    The host factor times TDP is what a fully loaded server draws; what of that the boards do not draw
    (processors, memory, fans, conversion) is taken to be constant, and the boards' draw is `draw_w`.
    """
    full_w = draw_w(device, draw().many)
    rest_w = max(0.0, host(device).factor * device.tdp_w - full_w) if host(device).factor > 1 else 0.0
    return count * (draw_w(device, sequences) + rest_w)


@cache
def _tables() -> tuple[Draw, tuple[Host, ...], tuple[Pue, ...]]:
    table, sources = open_table("hosts")
    measured = table.sub("draw")
    if measured is None:
        table.fail(None, "'draw' is missing")
    points = _draw(measured, sources)
    every = tuple(_host(one, sources) for one in table.subs("host"))
    stated = tuple(_pue(one, sources) for one in table.subs("pue"))
    table.finish()
    return points, every, stated


def _draw(table: Table, sources: Sources) -> Draw:
    ends = []
    for name in ("few", "many"):
        end = table.sub(name)
        if end is None:
            table.fail(None, f"{name!r} is missing", f"write {name} = {{ sequences = …, watts = … }}")
        ends.append((_number(end, "sequences"), _number(end, "watts")))
        end.finish()
    (few, few_w), (many, many_w) = ends
    source = read_source(table, sources)
    read = Draw(device=table.needed_text("device"), few=few, few_w=few_w, many=many, many_w=many_w, source=source)
    table.finish()
    return read


def _host(table: Table, sources: Sources) -> Host:
    factor = _number(table, "factor")
    nameplate = table.number("nameplate", positive=True)
    stated = table.text("nameplate_source")
    read = Host(
        forms=table.texts("forms"),
        devices=table.texts("devices"),
        factor=factor,
        low=float(table.number("low") or factor),
        high=float(table.number("high") or factor),
        source=read_source(table, sources),
        also=tuple(sources[one] for one in table.texts("also")),
        nameplate=None if nameplate is None else float(nameplate),
        nameplate_source=None if stated is None else sources[stated],
    )
    table.finish()
    return read


def _pue(table: Table, sources: Sources) -> Pue:
    value = _number(table, "value")
    read = Pue(
        name=table.needed_text("name"),
        value=value,
        low=float(table.number("low") or value),
        high=float(table.number("high") or value),
        source=read_source(table, sources),
        note=table.text("note") or "",
    )
    table.finish()
    return read


def _number(table: Table, name: str) -> float:
    table.need(name, f"write {name} = a number")
    return float(table.number(name, positive=True) or 0)
