"""The parts of a plan from the libraries of devices, rents, purchases, power and grids, each with its sources."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from farthing.evidence import Source
from farthing.plans.depreciation import DECLINING
from farthing.plans.hosting import ON_DEMAND, RESERVED, SPOT, Owned, Power, Rented
from farthing.plans.interval import Interval, between, exactly, from_physics
from farthing.plans.scenarios import packaged
from farthing.problems import FarthingError
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document
from farthing.serving import devices, grid, hosts, market
from farthing.serving.purchases import depreciations, purchases

FEW, SOME, MANY = 1, 64, 256
"""Sequences at once at which a busy board's draw is taken: the ends and the middle of its interval."""
_TERMS = {"on-demand": ON_DEMAND, "spot": SPOT, "reserved-1y": RESERVED, "reserved-3y": RESERVED}
_MINIMUM_MONTHS = {"reserved-1y": 12, "reserved-3y": 36}
TERMS = tuple(_TERMS)


def rented(device: str, term: str = "on-demand", at: date | None = None) -> Rented:
    """Renting `device` at the market's rent of the day (`farthing.serving.market.rent`)."""
    found = market.rent(device, at, term)
    middle = found.usd_per_gpu_hour
    return Rented(
        usd_per_gpu_hour=between(found.low, middle, found.high),
        term=_TERMS[term],
        minimum_months=Fraction(_MINIMUM_MONTHS.get(term, 0)),
        name=f"rented {device}, {term}",
        sources=(found.source,),
    )


def machine(device: str) -> tuple[Interval, int, Source]:
    """What a machine with `device` costs, how many it holds, and who says so: a server or build before a bare board.

    The newest statement that nothing contradicts is the middle; the others of its kind widen the interval.
    Raises `FarthingError` where nobody stated one.
    """
    for kind in ("server", "build", "device"):
        stated = [one for one in purchases(device, kind) if not one.contradicted and one.condition == "new"]
        stated = [one for one in stated if one.gpus == stated[0].gpus]
        if stated:
            low, high = min(one.low for one in stated), max(one.high for one in stated)
            return between(low, stated[0].usd, high), max(1, stated[0].gpus), stated[0].source
    raise FarthingError(f"no price of a machine with {devices.find(device).id} is known: state it with --buy DOLLARS")


def owned(device: str) -> Owned:
    """Owning machines with `device`: the stated price, and the stated yearly loss of value (declining)."""
    price, gpus, source = machine(device)
    found = devices.find(device)
    loss = next(way for way in depreciations().values() if way.method == "declining")
    wall = hosts.host(found)
    return Owned(
        machine_usd=price,
        unit_gpus=gpus,
        method=DECLINING,
        yearly_decline=_ends(loss.low, (loss.low + loss.high) / 2, loss.high),
        rated_w=_ends(wall.low * found.tdp_w, wall.factor * found.tdp_w, wall.high * found.tdp_w),
        name=f"owned {device}",
        sources=(source, loss.source, wall.source),
    )


def power(device: str, region: str | None = None, pue: str = "typical") -> Power:
    """What one `device` draws with its part of the server; with a `region`, its electricity's price and carbon.

    Busy is the draw with one to 256 sequences at once. The server's rest: its factor of the TDP, less what boards draw.
    """
    found = devices.find(device)
    site = hosts.pues().get(pue)
    if site is None:
        raise FarthingError(f"no PUE is called {pue!r}; there are: {', '.join(hosts.pues())}")
    busy = [hosts.draw_w(found, count) for count in (FEW, SOME, MANY)]
    rest = hosts.wall_w(found, MANY) - busy[2]
    sources = [found.source_of("tdp"), hosts.draw().source, hosts.host(found).source, site.source]
    where = grid.find(region) if region is not None else None
    if where is not None:
        sources.append(where.carbon[0].source)
        if where.prices:
            sources.append(where.prices[0].source)
    made, life, source = embodied()
    return Power(
        busy_w=_ends(*busy),
        idle_w=exactly(from_physics(hosts.draw_w(found, 0))),
        host_w=exactly(from_physics(rest)),
        pue=_ends(site.low, site.value, site.high),
        usd_per_kwh=exactly(where.prices[0].usd_per_kwh) if where is not None and where.prices else None,
        g_per_kwh=exactly(from_physics(where.g_per_kwh)) if where is not None else None,
        embodied_kg=made,
        life_years=life,
        sources=(*sources, source),
    )


def region(name: str) -> tuple[Decimal | None, float, tuple[Source, ...]]:
    """A grid region's price (None: unknown) and carbon of a kilowatt-hour, and who says so."""
    found = grid.find(name)
    sources = (found.carbon[0].source, *(one.source for one in found.prices[:1]))
    return found.usd_per_kwh, found.g_per_kwh, sources


def embodied() -> tuple[Interval, Interval, Source]:
    """Kilograms of CO2e of making one GPU with its part of a server, and the years that they are spread over."""
    text, place = packaged("embodied.toml")
    root = Document(text, place).table()
    sources = read_sources(root)
    table = root.sub("embodied")
    if table is None:
        root.fail(None, "'embodied' is missing")
    gpu, server, gpus = table.number("gpu_kg"), table.number("server_kg"), table.whole("server_gpus")
    life = table.number("life_years", positive=True)
    source = read_source(table, sources)
    table.finish()
    root.finish()
    if gpu is None or server is None or gpus is None or life is None:
        root.fail(None, "gpu_kg, server_kg, server_gpus and life_years are needed")
    return exactly(Fraction(gpu) + Fraction(server) / gpus), exactly(life), source


def _ends(low: float, mid: float, high: float) -> Interval:
    return Interval(from_physics(low), from_physics(mid), from_physics(high))
