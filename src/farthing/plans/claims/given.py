"""What a statement gives to its check, read strictly: every key is known, every wrong one has a line and a repair.

A quantity is a number, a range `[low, high]`, the name of a `[fact.NAME]`, a price that the book holds
(`{ offer = "openai/gpt-4o", meter = "output", at = 2026-01-01 }`), a figure of a device
(`{ device = "h100-sxm", what = "bandwidth-gb-s" }`), or a ratio of two quantities (`{ of = 75, to = 0.80 }`).
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NoReturn, TypeVar

import msgspec

from farthing.evidence import Source
from farthing.plans.claims.verdict import HOWS, Span, Stated, point
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.toml_table import Table
from farthing.serving.device import Device
from farthing.serving.shape import ModelShape

T = TypeVar("T")
_FORMS = 'a number, a range [low, high], the name of a fact, or { offer = "…", meter = "…", at = 2026-01-01 }'


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A number that somebody else states, for checks to compare with or to compute with."""

    name: str
    value: Span
    unit: str
    source: Source
    note: str = ""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Where checks look things up: the price book, the library of models and of devices, the facts."""

    book: Book
    model: Callable[[str], tuple[ModelShape, Source | None]]
    device: Callable[[str], Device]
    facts: Mapping[str, Fact]


class NoPrice(Exception):
    """A price that a quantity names is not known; the statement then cannot be judged."""


class Given:
    """One statement's table. `grounds` collects the sources that its check relied on."""

    def __init__(self, table: Table, world: World) -> None:
        self.table = table
        self.world = world
        self.grounds: list[Source] = []

    def fail(self, key: str | None, reason: str, repair: str = "") -> NoReturn:
        self.table.fail(key, reason, repair)

    def rely(self, *sources: Source) -> None:
        """Remember that the result rests on `sources`."""
        self.grounds += [source for source in sources if source not in self.grounds]

    def text(self, key: str) -> str:
        return self.table.needed_text(key)

    def maybe(self, key: str) -> str | None:
        return self.table.text(key)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        self.table.need(key, "one of " + ", ".join(choices))
        return self.table.choice(key, choices) or ""

    def day(self, key: str) -> date:
        self.table.need(key, f"write {key} = 2026-01-01, without quotes")
        found = self.table.day(key)
        assert found is not None
        return found

    def names(self, key: str) -> tuple[str, ...]:
        """One text, or a list of them."""
        self.table.need(key, f'write {key} = "…" or ["…", "…"]')
        if isinstance(self.table.values[key], str):
            return (self.text(key),)
        return self.table.texts(key)

    def quantity(self, key: str) -> Span:
        """The quantity under `key`, above 0."""
        self.table.need(key, f"{key} is {_FORMS}")
        return self._quantity(self.table, key)

    def perhaps(self, key: str) -> Span | None:
        """The quantity under `key`; None where it is not stated."""
        return self._quantity(self.table, key) if key in self.table else None

    def parts(self, key: str) -> dict[str, Span]:
        """The named quantities of the table under `key`: `times = { hours = 720, usd_per_hour = 2.49 }`."""
        self.table.need(key, f"write {key} = {{ name = 1, other = 2 }}")
        table = self.table.sub(key)
        if table is None or not table.values:
            self.fail(key, f"{key!r} names nothing", f"write {key} = {{ name = 1, other = 2 }}")
        found = {name: self._quantity(table, name) for name in table.values}
        table.finish()
        return found

    def stated(self) -> Stated:
        """The figure that the document states."""
        self.table.need("stated", "write the figure that the document states: stated = 45, or stated = [30, 60]")
        low, high = read_span(self.table, "stated")
        how = self.table.choice("as", HOWS) or "rounded"
        return Stated(low=low, high=high, how=how, unit=self.table.text("unit") or "")

    # --- quantities ---------------------------------------------------------------------------

    def _quantity(self, table: Table, key: str) -> Span:
        assert key in table
        value = table.values[key]
        if isinstance(value, str):
            return self._fact(table, key, value)
        if isinstance(value, dict):
            return self._table(table, key)
        low, high = read_span(table, key)
        if not low:
            table.fail(key, f"{key!r} is {low}; it must be above 0")
        return Span(Fraction(low), Fraction(high))

    def _fact(self, table: Table, key: str, name: str) -> Span:
        fact = self.world.facts.get(name)
        if fact is None:
            import difflib

            near = difflib.get_close_matches(name, self.world.facts, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"add [fact.{name}], or write {_FORMS}"
            table.fail(key, f"no fact {name!r}", hint)
        self.rely(fact.source)
        return fact.value

    def _table(self, table: Table, key: str) -> Span:
        entry = table.sub(key)
        assert entry is not None
        if "of" in entry:
            entry.need("to", "a ratio is { of = 75, to = 0.80 }")
            found = self._quantity(entry, "of") / self._quantity(entry, "to")
        elif "device" in entry:
            found = self._figure(entry)
        else:
            found = self._price(entry)
        entry.finish()
        return found

    def _figure(self, entry: Table) -> Span:
        from farthing.plans.claims.physics import ATTRIBUTES, attribute

        what = entry.needed_text("what", "one of " + ", ".join(ATTRIBUTES))
        if what not in ATTRIBUTES:
            entry.fail("what", f"no figure {what!r}", "one of " + ", ".join(ATTRIBUTES))
        try:
            device = self.world.device(entry.needed_text("device"))
        except FarthingError as error:
            entry.fail("device", str(error))
        values = attribute(device, what)
        if not values:
            entry.fail("what", f"{device.title} has no {what} of its own")
        self.rely(device.source_of(ATTRIBUTES[what]))
        return point(values[0])

    def _price(self, entry: Table) -> Span:
        from farthing.plans.claims.prices import Asked, look_up, read_asked

        asked: Asked = read_asked(entry)
        found = look_up(self.world.book, asked)
        if isinstance(found, str):
            raise NoPrice(found)
        self.rely(found.source)
        return Span(found.usd, found.usd)

    # --- things -------------------------------------------------------------------------------

    def device(self, key: str = "device") -> Device:
        return self._found(key, self.text(key), self.world.device)

    def devices(self) -> list[Device]:
        return [self._found("device", name, self.world.device) for name in self.names("device")]

    def model(self) -> ModelShape:
        shape, source = self._found("model", self.text("model"), self.world.model)
        if source is not None:
            self.rely(source)
        return shape

    def _found(self, key: str, name: str, find: Callable[[str], T]) -> T:
        try:
            return find(name)
        except FarthingError as error:
            self.fail(key, str(error))


def read_span(table: Table, key: str) -> tuple[Decimal, Decimal]:
    """A number, or a range of two, at least 0: as written, so that its digits tell how exact it is."""
    assert key in table
    value = table.values[key]
    if not isinstance(value, list):
        number = table.number(key)
        assert number is not None
        return number, number
    ends: list[Decimal] = []
    for end in value:
        holder = Table(table.document, table.path, {key: end})
        number = holder.number(key)
        assert number is not None
        ends.append(number)
    if len(ends) != 2 or ends[0] > ends[1]:
        table.fail(key, f"{key!r} is a list of {len(ends)} numbers, not a range", f"write {key} = [low, high]")
    return ends[0], ends[1]
