"""The library of devices: find one by its id, by an alias, or by the name that its driver reports."""

import difflib
import re
from functools import cache

from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table
from farthing.serving.device import Device
from farthing.serving.tables import open_table

FORMS = ("sxm", "pcie", "oam", "superchip", "nvl72", "pod", "inf2", "trn2", "trn3", "soc", "cpu")
FORMATS = ("fp32", "tf32", "bf16", "fp8", "fp6", "fp4", "int8", "int4")
FIGURES = ("memory", "bandwidth", "flops", "link", "network", "tdp", "idle")

# What drivers and shops put before a name; it tells devices apart nowhere.
_BRANDS = re.compile(r"^(?:nvidia|geforce|tesla|amd|instinct|radeon|googlecloud|google|cloud|aws|amazon|apple|intel)+")
_MEMORY = {"memory_mib": 2**20, "memory_gib": 2**30, "memory_gb": 10**9}


def key(name: str) -> str:
    """`name` as it is compared: "NVIDIA H100-SXM" and "h100_sxm" are the same."""
    plain = re.sub(r"[^a-z0-9]+", "", name.lower())
    return _BRANDS.sub("", plain) or plain


def names() -> tuple[str, ...]:
    """The ids of all devices, in the order of the file."""
    return tuple(_devices())


def everything() -> tuple[Device, ...]:
    """All devices, in the order of the file."""
    return tuple(_devices().values())


def ambiguous() -> dict[str, tuple[str, ...]]:
    """Names that stand for several devices, with the ids they may mean ("h100": SXM, PCIe, NVL)."""
    return dict(_library()[1])


def find(name: str) -> Device:
    """The device called `name`: its id, an alias, its title, or the name a driver reports; case and signs are free.

    Raises `FarthingError` for a name that stands for several form factors (they differ in power, bandwidth
    and links, so none is guessed) and for an unknown one, with what would work.
    """
    wanted = key(name)
    found = _index().get(wanted)
    if found is not None:
        return _devices()[found]
    for bare, means in ambiguous().items():
        if key(bare) == wanted:
            raise FarthingError(f"device {name!r} stands for {len(means)} devices; name one: {', '.join(means)}")
    raise FarthingError(f"unknown device {name!r} ({_near(wanted)})")


def _near(wanted: str) -> str:
    """What a user may have meant: ids whose names resemble `wanted`, else what there is."""
    index = _index() | {key(bare): bare for bare in ambiguous()}
    ids: list[str] = []
    for close in difflib.get_close_matches(wanted, index, 8, 0.7):
        means = ambiguous().get(index[close], (index[close],))
        ids.extend(one for one in means if one not in ids)
    if not ids and len(wanted) >= 2:
        ids = [one for one in names() if wanted in key(one)][:5]
    if ids:
        return "did you mean " + " or ".join(ids[:3]) + "?"
    return "known: " + ", ".join(names())


@cache
def _library() -> tuple[dict[str, Device], dict[str, tuple[str, ...]]]:
    table, sources = open_table("devices")
    devices: dict[str, Device] = {}
    for entry in table.subs("device"):
        device = _read(entry, sources)
        if device.id in devices:
            entry.fail("id", f"device {device.id!r} is there twice")
        devices[device.id] = device
    several: dict[str, tuple[str, ...]] = {}
    for entry in table.subs("ambiguous"):
        means = entry.texts("means")
        for one in means:
            if one not in devices:
                entry.fail("means", f"no device {one!r}")
        several[entry.needed_text("name")] = means
        entry.finish()
    table.finish()
    return devices, several


def _devices() -> dict[str, Device]:
    return _library()[0]


@cache
def _index() -> dict[str, str]:
    """Id by every name as it is compared. Raises `FarthingError` where two devices share a name."""
    index: dict[str, str] = {}
    for device in everything():
        for name in (device.id, device.title, *device.aliases):
            other = index.setdefault(key(name), device.id)
            if other != device.id:
                raise FarthingError(f"data/serving/devices.toml: {name!r} names both {other} and {device.id}")
    return index


def _read(entry: Table, sources: Sources) -> Device:
    source = read_source(entry, sources)
    rates = entry.sub("tflops")
    if rates is None:
        entry.fail(None, "'tflops' is missing", "write tflops = { bf16 = … }")
    flops = {name: _needed(rates, name) * 1e12 for name in FORMATS if name in rates}
    rates.finish()
    if "bf16" not in flops:
        rates.fail(None, "'bf16' is missing", "formats without a rate of their own compute at this one")
    figures = {}
    others = entry.sub("figures")
    if others is not None:
        for name in FIGURES:
            if name in others:
                stated = others.needed_text(name)
                if stated not in sources:
                    others.fail(name, f"no [source.{stated}]", "known: " + ", ".join(sources))
                figures[name] = sources[stated]
        others.finish()
    idle = entry.number("idle_w")
    device = Device(
        id=entry.needed_text("id"),
        title=entry.needed_text("title"),
        vendor=entry.needed_text("vendor"),
        form=entry.choice("form", FORMS) or entry.needed_text("form"),
        memory_bytes=_memory(entry),
        bandwidth_bytes_s=_needed(entry, "bandwidth_gb_s") * 1e9,
        flops=flops,
        link_bytes_s=_needed(entry, "link_gb_s") * 1e9,
        link_devices=entry.whole("link_devices") or 1,
        network_bytes_s=_needed(entry, "network_gb_s") * 1e9,
        tdp_w=_needed(entry, "tdp_w"),
        source=source,
        idle_w=None if idle is None else float(idle),
        aliases=entry.texts("aliases"),
        note=entry.text("note") or "",
        figures=figures,
    )
    entry.finish()
    return device


def _needed(table: Table, name: str) -> float:
    table.need(name, f"write {name} = a number")
    return float(table.number(name, positive=True) or 0)


def _memory(entry: Table) -> int:
    """The memory in bytes, stated in exactly one unit."""
    stated = [name for name in _MEMORY if name in entry]
    if len(stated) != 1:
        entry.fail(None, "the memory is not stated in exactly one unit", "one of " + ", ".join(_MEMORY))
    return int(_needed(entry, stated[0]) * _MEMORY[stated[0]])
