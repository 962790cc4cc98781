"""When models end: retirements that somebody announced (data/retirements), and what the book says itself."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cache
from importlib import resources

import msgspec

from farthing.evidence import Source
from farthing.index.watch.values import Ending
from farthing.money import Usd
from farthing.rates.card import Offer
from farthing.rates.select import Unknown, price_at
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document

_FOLDER = "retirements"


class Retirement(msgspec.Struct, frozen=True, kw_only=True):
    """The day from which `provider` no longer serves `model`, as `source` has it."""

    provider: str
    model: str
    day: date
    source: Source


Retirements = Mapping[tuple[str, str], tuple[Retirement, ...]]
"""By provider, and model in lower case."""


def read_retirements(text: str, place: str) -> tuple[Retirement, ...]:
    """The `[[retirement]]` tables of a data file. Raises `FarthingError` with file, line and repair."""
    root = Document(text, place).table()
    sources = read_sources(root)
    found: dict[tuple[str, str, str], Retirement] = {}
    for table in root.subs("retirement"):
        provider = table.needed_text("provider")
        table.need("day", "write day = 2026-12-11")
        day = table.day("day")
        assert day is not None
        source = read_source(table, sources)
        table.need("models", 'write models = ["…"]')
        for model in table.texts("models"):
            key = (provider, model.casefold(), source.id)
            if key in found:
                table.fail("models", f"{provider}/{model} is stated twice by {source.id}", "remove one of the two")
            found[key] = Retirement(provider=provider, model=model, day=day, source=source)
        table.finish()
    root.finish()
    return tuple(found.values())


@cache
def retirements() -> Retirements:
    """The packaged retirements by (provider, model in lower case)."""
    made: dict[tuple[str, str], tuple[Retirement, ...]] = {}
    folder = resources.files("farthing") / "data" / _FOLDER
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        for one in read_retirements(file.read_text("utf-8"), f"data/{_FOLDER}/{file.name}"):
            key = (one.provider, one.model.casefold())
            made[key] = (*made.get(key, ()), one)
    return made


def endings(
    offer: Offer, names: Mapping[str, Usd | None], at: datetime, since: datetime,
    known: Retirements,
) -> Iterable[Ending]:  # fmt: skip
    """What is known at `at` of the end of `offer`, which usage calls by `names` (with its cost now).

    A name of its own (a dated snapshot) has its own day; one that nobody states a day of has the offer's. Days that
    lie before `since` are told too: that usage may fail today.
    """
    told: set[date] = set()
    for name, usd in names.items():
        stated = known.get((offer.provider, name.casefold())) or known.get((offer.provider, offer.model.casefold()), ())
        best = sorted(stated, key=lambda one: one.source.grade)  # of several that state one day the best is named
        days: dict[date, Source | None] = {one.day: one.source for one in best}
        if offer.retires is not None:
            days.setdefault(offer.retires, offer.prices[0].source if offer.prices else None)
        told |= days.keys()
        for day, source in sorted(days.items()):
            left = (day - at.date()).days
            yield Ending(offer=f"{offer.provider}/{name}", day=day, days_left=left, usd=usd, source=source,
                         why="retires" if left > 0 else "retired")  # fmt: skip
        if not days and "deprecated by the provider" in offer.note:
            yield Ending(offer=f"{offer.provider}/{name}", day=None, days_left=None, usd=usd, source=None,
                         why="deprecated by its provider; no source states the day")  # fmt: skip
    yield from (one for one in _withdrawn(offer, at, since, sum_of(names.values())) if one.day not in told)


def _withdrawn(offer: Offer, at: datetime, since: datetime, usd: Usd | None) -> Iterable[Ending]:
    """Where the price itself was withdrawn since then, or is stated to be."""
    now = price_at(offer, at)
    ended = [p for p in offer.prices if p.valid_to is not None and since < p.valid_to]
    for price in ended:
        assert price.valid_to is not None
        follows = price_at(offer, price.valid_to)
        gone = price.valid_to <= at
        if not isinstance(follows, Unknown) or (gone and not isinstance(now, Unknown)):
            continue
        day = price.valid_to.date()
        yield Ending(offer=offer.id, day=day, days_left=(day - at.date()).days, usd=None if gone else usd,
                     source=price.source, why="lost its price" if gone else "loses its price")  # fmt: skip


def sum_of(amounts: Iterable[Usd | None]) -> Usd | None:
    """The sum; None where a part is unknown."""
    known = list(amounts)
    return sum((one for one in known if one is not None), Usd(0)) if None not in known else None
