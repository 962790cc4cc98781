"""Break-even scenarios: what a document computed, recomputed from its own inputs, and corrected.

A scenario is data (`data/plans/breakeven.toml`, or a file of yours): cases, each with API prices, ways
of hosting, a load, and what the document says of them (`row`, `stated`, `decision`).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from fractions import Fraction
from importlib import resources
from pathlib import Path

import msgspec

from farthing.evidence import Grade
from farthing.plans.breakeven import ApiPrice, Host
from farthing.plans.findings import Stated, read_stated
from farthing.plans.fleet import Load
from farthing.plans.read_parts import read_host, read_load
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

STATED, CORRECTED = "stated", "corrected"
PriceOf = Callable[[str, datetime], ApiPrice]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One volume of a document's table; None and "" where it says nothing. `winner`: a name of the case, or "equal"."""

    volume: Fraction
    api: str
    host: str
    api_usd: Fraction | None = None
    hosted_usd: Fraction | None = None
    winner: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a decision matrix: the volumes to look at, the names to choose among, and the advice given."""

    situation: str
    volumes: tuple[Fraction, ...]
    among: tuple[str, ...]
    advice: tuple[str, ...]
    said: str


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One set of inputs. `basis`: "stated" (the document's own) or "corrected"; `note` says what and why."""

    name: str
    basis: str
    note: str
    apis: tuple[ApiPrice, ...]
    hosts: tuple[Host, ...]
    load: Load
    rows: tuple[Row, ...]
    stated: tuple[Stated, ...]
    decisions: tuple[Decision, ...]

    def api(self, name: str) -> ApiPrice:
        return next(api for api in self.apis if api.name == name)

    def host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A named question with its cases."""

    name: str
    title: str
    cases: tuple[Case, ...]


def packaged(name: str) -> tuple[str, str]:
    """The text and the place of a file of ours in data/plans."""
    file = resources.files("farthing") / "data" / "plans" / name
    return file.read_text("utf-8"), f"data/plans/{name}"


def load_scenarios(price_of: PriceOf, path: Path | None = None, only: str | None = None) -> dict[str, Scenario]:
    """The scenarios of a file (None: ours) by name; with `only`, no other's prices are looked up.

    Raises `FarthingError` with the line of what is wrong.
    """
    if path is None:
        text, place = packaged("breakeven.toml")
    else:
        try:
            text, place = path.read_text("utf-8"), str(path)
        except UnicodeDecodeError:
            raise FarthingError(f"{path}: not a text file; a scenario is TOML") from None
    root = Document(text, place).table()
    sources = read_sources(root)
    found: dict[str, Scenario] = {}
    tables = root.subs("scenario")
    root.finish()
    for table in tables:
        name = table.needed_text("name")
        if name in found:
            table.fail("name", f"two scenarios are called {name!r}")
        if only is None or name == only:
            found[name] = _scenario(table, name, sources, price_of)
    return found


def names(path: Path | None = None) -> list[str]:
    """The names of the scenarios in a file (None: ours)."""
    text, place = packaged("breakeven.toml") if path is None else (path.read_text("utf-8"), str(path))
    return [table.needed_text("name") for table in Document(text, place).table().subs("scenario")]


def _scenario(table: Table, name: str, sources: Sources, price_of: PriceOf) -> Scenario:
    title = table.needed_text("title")
    table.need("case", "write at least one [[scenario.case]]")
    cases = tuple(_case(one, sources, price_of) for one in table.subs("case"))
    table.finish()
    return Scenario(name=name, title=title, cases=cases)


def _case(table: Table, sources: Sources, price_of: PriceOf) -> Case:
    name = table.needed_text("name")
    table.need("basis", f'write basis = "{STATED}" or "{CORRECTED}"')
    basis = table.choice("basis", (STATED, CORRECTED)) or ""
    note = table.text("note") or ""
    apis = tuple(_api(one, sources, price_of) for one in table.subs("api"))
    hosts = tuple(read_host(one, sources) for one in table.subs("host"))
    if not apis or not hosts:
        table.fail(None, "a case needs at least one [[…api]] and one [[…host]]")
    load = read_load(table.sub("load"))
    known = [api.name for api in apis] + [host.name for host in hosts]
    if len(set(known)) < len(known):
        table.fail(None, "two of its APIs and hosts have the same name")
    defaults = (apis[0].name, hosts[0].name)
    made = Case(
        name=name,
        basis=basis,
        note=note,
        apis=apis,
        hosts=hosts,
        load=load,
        rows=tuple(_row(one, known, defaults) for one in table.subs("row")),
        stated=read_stated(table, sources),
        decisions=tuple(_decision(one, known) for one in table.subs("decision")),
    )
    table.finish()
    return made


def _api(table: Table, sources: Sources, price_of: PriceOf) -> ApiPrice:
    """Prices written here (`usd`: one for every token), or those of an `offer` of the book on the day `at`."""
    offer, name = table.text("offer"), table.text("name")
    if offer is not None:
        table.need("at", "write at = 2026-11-01, the day of the price")
        day = table.day("at") or date.today()
        table.finish()
        found = price_of(offer, datetime(day.year, day.month, day.day, tzinfo=UTC))
        return msgspec.structs.replace(found, name=name) if name else found
    flat = table.number("usd")
    read, written = table.number("input_usd"), table.number("output_usd")
    cached = table.number("cached_usd")
    if flat is None and (read is None or written is None):
        table.fail(None, "no price", "write offer = …, or usd = …, or input_usd and output_usd")
    source = read_source(table, sources)
    made = ApiPrice(
        name=table.needed_text("name"),
        input_usd=Fraction(flat if read is None else read),  # type: ignore[arg-type]
        output_usd=Fraction(flat if written is None else written),  # type: ignore[arg-type]
        cached_usd=None if cached is None else Fraction(cached),
        grade=source.grade,
        sources=(source,),
    )
    table.finish()
    return made


def _named(table: Table, key: str, known: list[str], default: str) -> str:
    name = table.text(key)
    if name is not None and name not in known:
        table.fail(key, f"no API or host of this case is called {name!r}", "one of " + ", ".join(known))
    return name or default


def _row(table: Table, known: list[str], defaults: tuple[str, str]) -> Row:
    table.need("volume", "write volume = tokens a month")
    volume = table.number("volume", positive=True)
    api, hosted = table.number("api_usd"), table.number("hosted_usd")
    assert volume is not None
    made = Row(
        volume=Fraction(volume),
        api=_named(table, "api", known, defaults[0]),
        host=_named(table, "host", known, defaults[1]),
        api_usd=None if api is None else Fraction(api),
        hosted_usd=None if hosted is None else Fraction(hosted),
        winner=_named(table, "winner", [*known, "equal"], ""),
    )
    table.finish()
    return made


def _decision(table: Table, known: list[str]) -> Decision:
    volumes = []
    for text in table.texts("volumes"):
        try:
            volumes.append(Fraction(text))
        except ValueError:
            table.fail("volumes", f"{text!r} is not a number of tokens", 'write volumes = ["1e9", "5e9"]')
    among, advice = table.texts("among"), table.texts("advice")
    for name in (*among, *advice):
        if name not in known:
            table.fail(None, f"no API or host of this case is called {name!r}", "one of " + ", ".join(known))
    if not volumes or not among or not advice:
        table.fail(None, "a decision needs volumes, among and advice")
    made = Decision(
        situation=table.needed_text("situation"),
        volumes=tuple(volumes),
        among=among,
        advice=advice,
        said=table.needed_text("said"),
    )
    table.finish()
    return made


def grade_of_case(case: Case) -> Grade:
    """The worst grade that a case rests on."""
    return min(*(api.grade for api in case.apis), *(host.grade for host in case.hosts))
