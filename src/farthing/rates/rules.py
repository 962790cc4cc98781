"""Provider rules as dated data: prompt caching, batch discounts, regional uplifts, names of providers.

The numbers are in data/{caching,batch,uplifts,providers}.toml, each with its source.
In a file the first rule that fits counts, so a narrow model pattern stands before a wide one.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Protocol, TypeVar

import msgspec

from farthing.evidence import Source
from farthing.rates.toml_rates import meter_name
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

MODES = ("automatic", "breakpoint", "explicit", "none")
CACHED = ("discounted", "full", "none")


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Another source that states another value of `key`: kept, shown, not used."""

    key: str
    value: str
    source: Source


class CacheTtl(msgspec.Struct, frozen=True, kw_only=True):
    """One time-to-live that a provider offers.

    `seconds`: kept at least this long, `at_most_s`: never longer, both from the last use where reads
    refresh, else from the write; None: not stated. `write`: price of a written token as a multiple of
    the uncached input price (1: no surcharge). `meter`: where the provider counts written tokens;
    "input" where it does not count them apart.
    """

    name: str
    seconds: int | None
    at_most_s: int | None
    write: Decimal
    meter: str


class CachingRule(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider caches prompts of the models that match one of `models` (globs, case folded).

    `mode`: "automatic" (every request), "breakpoint" (up to a point that the caller marks),
    "explicit" (a cache that the caller creates by name), "none" (nothing is cached at a lower price;
    no `ttls`). `min_tokens`: shorter prefixes are not
    cached; `step`: a cached prefix is a multiple of it. `read`: price of a cached token as a
    multiple of the uncached input price; a price in the book for `read_meter` goes before it.
    `refresh_on_read`: a read restarts the time-to-live; None: not stated. `longest_prefix`: the longest common prefix
    is found; where False only prefixes that the provider chose to store. `guaranteed`: whether a
    stored prefix is promised to be found. `storage_usd_per_mtok_hour`: for keeping, explicit caches
    only. None: not stated. What a cached token costs in a batch is `BatchRule.cached`.
    """

    provider: str
    models: tuple[str, ...]
    mode: str
    ttls: tuple[CacheTtl, ...]
    source: Source
    min_tokens: int | None = None
    step: int = 1
    read: Decimal | None = None
    read_meter: str = "cache_read"
    refresh_on_read: bool | None = None
    longest_prefix: bool = True
    guaranteed: bool = False
    max_breakpoints: int | None = None
    storage_usd_per_mtok_hour: Decimal | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    conflicts: tuple[Conflict, ...] = ()
    note: str = ""


class BatchRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider takes off in its batch service: `factor` on `meters` (empty: all token meters).

    `cached`: what a token read from a prompt cache costs in a batch: "discounted" (both discounts),
    "full" (the cache price, no batch discount), "none" (nothing is cached); None: not stated.
    `window_h`: hours within which results are promised.
    """

    provider: str
    models: tuple[str, ...]
    factor: Decimal
    source: Source
    meters: frozenset[str] = frozenset()
    cached: str | None = None
    window_h: int | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    conflicts: tuple[Conflict, ...] = ()
    note: str = ""


class UpliftRule(msgspec.Struct, frozen=True, kw_only=True):
    """The `factor` on all token prices of `models` where inference is kept in one of `regions`."""

    provider: str
    models: tuple[str, ...]
    regions: frozenset[str]
    factor: Decimal
    source: Source


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's names and habits. `time_decides`: which moment of a request picks a time-of-day price."""

    id: str
    source: Source
    aliases: tuple[str, ...] = ()
    channel: str = "direct"
    time_decides: str = "start"
    note: str = ""


class _Rule(Protocol):
    @property
    def provider(self) -> str: ...
    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def valid_from(self) -> datetime | None: ...
    @property
    def valid_to(self) -> datetime | None: ...


R = TypeVar("R", bound=_Rule)


def _open(name: str) -> tuple[Table, Sources]:
    text = (resources.files("farthing") / "data" / name).read_text("utf-8")
    root = Document(text, f"data/{name}").table()
    return root, read_sources(root)


@cache
def caching_rules() -> tuple[CachingRule, ...]:
    """Every prompt-caching rule of data/caching.toml, in its order."""
    return read_caching(*_open("caching.toml"))


@cache
def batch_rules() -> tuple[BatchRule, ...]:
    """Every batch rule of data/batch.toml, in its order."""
    return read_batch(*_open("batch.toml"))


@cache
def uplift_rules() -> tuple[UpliftRule, ...]:
    """Every regional uplift of data/uplifts.toml, in its order."""
    root, sources = _open("uplifts.toml")
    rules = []
    for table in root.subs("rule"):
        rules.append(
            UpliftRule(
                provider=table.needed_text("provider"),
                models=_globs(table),
                regions=frozenset(table.texts("regions")),
                factor=table.number("factor", positive=True) or Decimal(1),
                source=read_source(table, sources),
            )
        )
        table.finish()
    root.finish()
    return tuple(rules)


@cache
def providers() -> dict[str, Provider]:
    """Every provider of data/providers.toml, by id."""
    return read_providers(*_open("providers.toml"))


@cache
def provider_names() -> dict[str, str]:
    """Every known name of a provider (its id among them), lower case, to its id."""
    names: dict[str, str] = {}
    for provider in providers().values():
        for name in (provider.id, *provider.aliases):
            names[name.lower()] = provider.id
    return names


def caching_rule(provider: str, model: str, at: datetime, mode: str | None = None) -> CachingRule | None:
    """The caching rule in force for `model` at `at`, or None: none is known.

    Where a provider caches in several ways the first in the file counts; `mode` picks another.
    """
    return _first(
        (rule for rule in caching_rules() if mode in (None, rule.mode) or rule.mode == "none"), provider, model, at
    )


def batch_rule(provider: str, model: str, at: datetime) -> BatchRule | None:
    """The batch rule in force for `model` at `at`, or None: no discount is known."""
    return _first(batch_rules(), provider, model, at)


def _first(rules: Iterable[R], provider: str, model: str, at: datetime) -> R | None:
    name, known = model.lower(), provider_names().get(provider.lower(), provider.lower())
    for rule in rules:
        if (
            rule.provider == known
            and (rule.valid_from is None or rule.valid_from <= at)
            and (rule.valid_to is None or at < rule.valid_to)
            and any(fnmatchcase(name, glob) for glob in rule.models)
        ):
            return rule
    return None


def read_caching(root: Table, sources: Sources) -> tuple[CachingRule, ...]:
    """The `[[rule]]` tables of a caching file. Raises `FarthingError` with FILE:LINE."""
    rules = []
    for table in root.subs("rule"):
        mode = table.choice("mode", MODES) or table.needed_text("mode", "one of " + ", ".join(MODES))
        if mode != "none":
            table.need("ttl", 'write ttl = [{ name = "5m", seconds = 300, write = 1.25, meter = "cache_write_5m" }]')
        ttls = tuple(_ttl(one) for one in table.subs("ttl"))
        read_meter = table.text("read_meter") or "cache_read"
        rules.append(
            CachingRule(
                provider=table.needed_text("provider"),
                models=_globs(table),
                mode=mode,
                ttls=ttls,
                source=read_source(table, sources),
                min_tokens=table.whole("min_tokens"),
                step=table.whole("step") or 1,
                read=table.number("read"),
                read_meter=meter_name(table, "read_meter", read_meter),
                refresh_on_read=table.flag("refresh_on_read"),
                longest_prefix=table.flag("longest_prefix") is not False,
                guaranteed=bool(table.flag("guaranteed")),
                max_breakpoints=table.whole("max_breakpoints"),
                storage_usd_per_mtok_hour=table.number("storage_usd_per_mtok_hour"),
                valid_from=table.instant("valid_from"),
                valid_to=table.instant("valid_to"),
                conflicts=_conflicts(table, sources),
                note=table.text("note") or "",
            )
        )
        table.finish()
    root.finish()
    return tuple(rules)


def _ttl(table: Table) -> CacheTtl:
    write = table.number("write")
    if write is None:
        table.fail(None, "'write' is missing", "the multiple of the input price; 1 where writing costs nothing extra")
    ttl = CacheTtl(
        name=table.needed_text("name"),
        seconds=table.whole("seconds"),
        at_most_s=table.whole("at_most_s"),
        write=write,
        meter=meter_name(table, "meter", table.needed_text("meter", '"input" where writes are not counted apart')),
    )
    table.finish()
    return ttl


def read_batch(root: Table, sources: Sources) -> tuple[BatchRule, ...]:
    """The `[[rule]]` tables of a batch file. Raises `FarthingError` with FILE:LINE."""
    rules = []
    for table in root.subs("rule"):
        factor = table.number("factor")
        if factor is None:
            table.fail(None, "'factor' is missing", "write factor = 0.5 for half the price")
        rules.append(
            BatchRule(
                provider=table.needed_text("provider"),
                models=_globs(table),
                factor=factor,
                source=read_source(table, sources),
                meters=frozenset(meter_name(table, "meters", name) for name in table.texts("meters")),
                cached=table.choice("cached", CACHED),
                window_h=table.whole("window_h"),
                valid_from=table.instant("valid_from"),
                valid_to=table.instant("valid_to"),
                conflicts=_conflicts(table, sources),
                note=table.text("note") or "",
            )
        )
        table.finish()
    root.finish()
    return tuple(rules)


def read_providers(root: Table, sources: Sources) -> dict[str, Provider]:
    """The `[provider.ID]` tables. A name that two providers share is refused."""
    found: dict[str, Provider] = {}
    owner: dict[str, str] = {}
    tables = root.sub("provider")
    for name in tables.values if tables else ():
        table = tables.sub(name) if tables else None
        assert table is not None
        found[name] = Provider(
            id=name,
            source=read_source(table, sources),
            aliases=table.texts("aliases"),
            channel=table.text("channel") or "direct",
            time_decides=table.choice("time_decides", ("start", "completion")) or "start",
            note=table.text("note") or "",
        )
        table.finish()
        for alias in (name, *found[name].aliases):
            if owner.setdefault(alias.lower(), name) != name:
                table.fail(None, f"{alias!r} is also a name of {owner[alias.lower()]!r}", "keep it in one place")
    root.finish()
    return found


def _globs(table: Table) -> tuple[str, ...]:
    table.need("models", 'write models = ["*"] for all of them')
    return tuple(glob.lower() for glob in table.texts("models"))


def _conflicts(table: Table, sources: Sources) -> tuple[Conflict, ...]:
    found = []
    for one in table.subs("conflict"):
        found.append(
            Conflict(key=one.needed_text("key"), value=one.needed_text("value"), source=read_source(one, sources))
        )
        one.finish()
    return tuple(found)
