"""Electricity by region: how much carbon a kilowatt-hour carries, and what industry pays for it."""

import difflib
import re
from decimal import Decimal
from functools import cache

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table
from farthing.serving.tables import open_table


class Carbon(msgspec.Struct, frozen=True, kw_only=True):
    """A stated carbon intensity: grams of CO2 equivalent per kWh generated in `year` (None: not said)."""

    g_per_kwh: float
    source: Source
    year: int | None = None


class PowerPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What industry was stated to pay for a kWh, in dollars, in `year` (None: not said)."""

    usd_per_kwh: Decimal
    source: Source
    year: int | None = None


class GridRegion(msgspec.Struct, frozen=True, kw_only=True):
    """One region. The first statement of each kind is used; the others are what else was said."""

    id: str
    title: str
    carbon: tuple[Carbon, ...]
    prices: tuple[PowerPrice, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def g_per_kwh(self) -> float:
        """Grams of CO2 equivalent per kWh, location based."""
        return self.carbon[0].g_per_kwh

    @property
    def usd_per_kwh(self) -> Decimal | None:
        """Dollars per kWh for industry; None where nobody stated one (unknown is not zero)."""
        return self.prices[0].usd_per_kwh if self.prices else None

    def price(self) -> PowerPrice:
        """The price used, with its source. Raises `FarthingError` where none is known."""
        if not self.prices:
            raise FarthingError(f"no price of electricity is known for {self.title} ({self.id}): name one per kWh")
        return self.prices[0]


def regions() -> tuple[GridRegion, ...]:
    """All regions, in the order of the file."""
    return _library()


def find(region: str) -> GridRegion:
    """The region called `region`: its id ("deu", "us-va"), a country's or state's name, a cloud region ("us-east-1").

    Raises `FarthingError` with near misses for an unknown one.
    """
    index = _index()
    wanted = _key(region)
    if wanted in index:
        return index[wanted]
    near: list[str] = []
    for close in difflib.get_close_matches(wanted, index, 5, 0.7):
        if index[close].id not in near:
            near.append(index[close].id)
    hint = "did you mean " + " or ".join(near[:3]) + "?" if near else "known: " + ", ".join(one.id for one in regions())
    raise FarthingError(f"unknown grid region {region!r} ({hint})")


def _key(name: str) -> str:
    """`name` as it is compared. Signs count: us-west-2 (AWS) is Oregon, us-west2 (Google) is Los Angeles."""
    return re.sub(r"[\s_,-]+", "-", name.strip().lower())


@cache
def _library() -> tuple[GridRegion, ...]:
    table, sources = open_table("grid")
    read = tuple(_read(entry, sources) for entry in table.subs("region"))
    table.finish()
    return read


@cache
def _index() -> dict[str, GridRegion]:
    index: dict[str, GridRegion] = {}
    for region in regions():
        short = region.title.removesuffix(", United States")
        for name in (region.id, region.title, short, *region.aliases):
            other = index.setdefault(_key(name), region)
            if other.id != region.id:
                raise FarthingError(f"data/serving/grid.toml: {name!r} names both {other.id} and {region.id}")
    return index


def _read(entry: Table, sources: Sources) -> GridRegion:
    carbon, prices = [], []
    for one in entry.subs("carbon"):
        one.need("g_per_kwh")
        grams = one.number("g_per_kwh", positive=True)
        carbon.append(
            Carbon(g_per_kwh=float(grams or 0), year=one.whole("year", least=1990), source=read_source(one, sources))
        )
        one.finish()
    for one in entry.subs("price"):
        one.need("usd_per_kwh")
        usd = one.number("usd_per_kwh", positive=True)
        prices.append(
            PowerPrice(
                usd_per_kwh=usd or Decimal(0), year=one.whole("year", least=1990), source=read_source(one, sources)
            )
        )
        one.finish()
    if not carbon:
        entry.fail(None, "'carbon' is missing", "write carbon = [{ g_per_kwh = …, source = … }]")
    read = GridRegion(
        id=entry.needed_text("id"),
        title=entry.needed_text("title"),
        aliases=entry.texts("aliases"),
        carbon=tuple(carbon),
        prices=tuple(prices),
    )
    entry.finish()
    return read
