"""Market averages of GPU rents as their publishers state them: those of the serving model's book, and further ones."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources

import msgspec

from farthing.evidence import Source
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document
from farthing.serving import devices, market
from farthing.serving.purchases import needed_day, stated_range

BASES = ("list", "trades", "contracts")
"""What an average is of: published prices, prices at which hours were let, or contracts of a year."""
_NEAR_DAYS = 45
_APART = 1.3


class Average(msgspec.Struct, frozen=True, kw_only=True):
    """What `publisher` said an hour of one device cost on `day`, in dollars, from `low` to `high` (equal: one figure).

    `basis`: one of `BASES`, "" where the publisher's method is not known.
    """

    publisher: str
    basis: str
    device: str
    term: str
    low: Decimal
    high: Decimal
    day: date
    source: Source
    note: str = ""

    @property
    def usd_per_gpu_hour(self) -> Decimal:
        """The figure, or the middle of the range."""
        return (self.low + self.high) / 2


def averages(device: str, term: str) -> list[Average]:
    """All averages of a device (its id) for a term, oldest first."""
    found = [one for one in (*_of_rents(device, term), *_packaged()) if (one.device, one.term) == (device, term)]
    return sorted(found, key=lambda one: (one.day, one.publisher))


def _of_rents(device: str, term: str) -> Iterator[Average]:
    for rent in market.rents(device, term=term):
        if rent.kind == "index" and not rent.contradicted:
            yield Average(
                publisher=rent.source.id, basis="", device=device, term=term, low=rent.low, high=rent.high,
                day=rent.valid_from, source=rent.source, note=rent.note,
            )  # fmt: skip


@cache
def _packaged() -> tuple[Average, ...]:
    text = (resources.files("farthing") / "data" / "index_gpu.toml").read_text("utf-8")
    return read(text, "data/index_gpu.toml")


def read(text: str, place: str) -> tuple[Average, ...]:
    """The averages of a document. Raises `FarthingError` with file and line for one that is not as it should be."""
    root = Document(text, place).table()
    sources = read_sources(root)
    found = []
    for table in root.subs("average"):
        low, high = stated_range(table, "usd_per_hour")
        found.append(
            Average(
                publisher=table.needed_text("publisher"),
                basis=table.choice("basis", BASES) or table.needed_text("basis", f"one of {', '.join(BASES)}"),
                device=devices.find(table.needed_text("device")).id,
                term=table.choice("term", market.TERMS) or table.needed_text("term"),
                low=low, high=high, day=needed_day(table, "day"), source=read_source(table, sources),
                note=table.text("note") or "",
            )
        )  # fmt: skip
        table.finish()
    root.finish()
    return tuple(found)


def disagreements(found: list[Average]) -> list[str]:
    """Which two publishers' figures of about one time (45 days) lie furthest apart, if by more than 30 %: in words."""
    pairs = [
        (float(dear.usd_per_gpu_hour / cheap.usd_per_gpu_hour), dear, cheap)
        for dear in found
        for cheap in found
        if dear.publisher != cheap.publisher and abs((dear.day - cheap.day).days) <= _NEAR_DAYS
    ]
    if not pairs:
        return []
    times, dear, cheap = max(pairs, key=lambda pair: pair[0])
    if times <= _APART:
        return []
    return [
        f"publishers disagree: {dear.publisher} says {float(dear.usd_per_gpu_hour):.2f} ({dear.day:%Y-%m}), "
        f"{cheap.publisher} {float(cheap.usd_per_gpu_hour):.2f} ({cheap.day:%Y-%m}), {times:.2f} times; "
        "each is a series of its own"
    ]
