"""Reading statements from TOML and judging them: the documents we ship, or a user's own file.

One file is one document's statements:

    document = "paper"
    [source.paper]                    # title, where, seen, grade
    [fact.rent]                       # what somebody else states: value, unit, source
    [[claim]]                         # lines, says, check, and what that check needs
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.plans.claims import arithmetic, money, physics, prices
from farthing.plans.claims.given import Fact, Given, NoPrice, World, read_span
from farthing.plans.claims.verdict import Finding, Judgement, Span, Verdict, cannot
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table
from farthing.serving.device import Device
from farthing.serving.shape import ModelShape

Check = Callable[[Given], Finding]
CHECKS: dict[str, Check] = {**arithmetic.CHECKS, **money.CHECKS, **prices.CHECKS, **physics.CHECKS}
"""Every check by the name that a file uses. Its docstring says what it takes."""

FACTS = "facts.toml"


def packaged(book: Book | None = None) -> list[Judgement]:
    """Every figure of the documents that Farthing answers to, judged (data/claims/)."""
    judged: list[Judgement] = []
    for file in sorted(resources.files("farthing").joinpath("data/claims").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml") and file.name != FACTS:
            judged += judge_text(file.read_text("utf-8"), f"data/claims/{file.name}", book)
    return judged


def judge_file(path: Path, book: Book | None = None) -> list[Judgement]:
    """The statements of a user's file, judged. Raises `FarthingError` with file, line and repair for a bad one."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise FarthingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FarthingError(f"{path}: not a text in UTF-8") from None
    return judge_text(text, str(path), book)


def judge_text(text: str, place: str, book: Book | None = None) -> list[Judgement]:
    """The statements of a TOML text, judged. `place` is what errors call it.

    Raises `FarthingError` with place, line and repair: unknown keys, checks, facts, devices and models.
    """
    root = Document(text, place).table()
    sources = read_sources(root)
    name = root.needed_text("document", "write document = the ID of the [source.ID] that says all this")
    if name not in sources:
        root.fail("document", f"no [source.{name}]", "add it with title, where, seen and grade")
    file = root.text("file") or ""
    world = World(book=book or _book(), model=_model, device=_device, facts={**_facts(), **read_facts(root, sources)})
    root.need("claim", "write [[claim]] tables")
    judged = list(_judge_all(root.subs("claim"), sources[name], file, world))
    root.finish()
    return judged


def read_facts(root: Table, sources: Sources) -> dict[str, Fact]:
    """The `[fact.NAME]` tables: value (a number or a range), unit, source, note."""
    facts: dict[str, Fact] = {}
    tables = root.sub("fact")
    for name in tables.values if tables else ():
        table = tables.sub(name) if tables else None
        assert table is not None
        table.need("value", "write value = 4, or value = [2, 4]")
        low, high = read_span(table, "value")
        if not low:
            table.fail("value", f"'value' is {low}; it must be above 0")
        facts[name] = Fact(name=name, value=Span(Fraction(low), Fraction(high)), unit=table.needed_text("unit"),
                           source=read_source(table, sources), note=table.text("note") or "")  # fmt: skip
        table.finish()
    return facts


# --- one statement --------------------------------------------------------------------------------


def _judge_all(tables: tuple[Table, ...], document: Source, file: str, world: World) -> Iterator[Judgement]:
    first = [_lines(table) for table in tables]
    seen: dict[int, int] = {}
    for table, lines in zip(tables, first, strict=True):
        head = lines[0]
        seen[head] = seen.get(head, 0) + 1
        many = sum(other[0] == head for other in first) > 1
        yield _judge(table, f"{document.id}:{head}{_letter(seen[head]) if many else ''}", document, file, lines, world)


def _letter(number: int) -> str:
    """a, b, … z, aa: which of a line's statements."""
    number -= 1
    return (chr(ord("a") + number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _judge(table: Table, id: str, document: Source, file: str, lines: tuple[int, ...], world: World) -> Judgement:
    says, check = table.needed_text("says", "say in your own words what is stated"), _check(table)
    given = Given(table, world)
    unknown = None
    try:
        finding = CHECKS[check](given)
    except NoPrice as error:
        finding, unknown = cannot(str(error)), error
    except (OverflowError, ZeroDivisionError):
        table.fail(None, "its numbers are too large or too small to compute with", "check their units")
    stated = given.stated() if "stated" in table else None
    note = table.text("note")
    if note:
        finding = msgspec.structs.replace(finding, note="; ".join(filter(None, (finding.note, note))))
    if unknown is None:  # a check that stopped half-way has not asked for all its keys
        table.finish()
    grade = None if finding.verdict is Verdict.CANNOT_TELL else Grade.DERIVED
    if grade is not None and given.grounds:
        grade = worst(source.grade for source in given.grounds)
    return Judgement(id=id, document=document, file=file, lines=lines, says=says, check=check, stated=stated,
                     finding=finding, grade=grade, grounds=tuple(given.grounds))  # fmt: skip


def _check(table: Table) -> str:
    name = table.needed_text("check", "one of " + ", ".join(CHECKS))
    if name not in CHECKS:
        import difflib

        near = difflib.get_close_matches(name, CHECKS, 1)
        table.fail(
            "check", f"no check {name!r}", f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(CHECKS)
        )
    return name


def _lines(table: Table) -> tuple[int, ...]:
    """Where in the document it is said: `lines = [73, 79]`."""
    table.need("lines", "write lines = [73], where the document says it")
    value = table.values["lines"]
    lines = value if isinstance(value, list) else [value]
    if not lines or any(isinstance(line, bool) or not isinstance(line, int) or line < 1 for line in lines):
        table.fail("lines", f"'lines' is {value!r}, not a list of line numbers", "write lines = [73]")
    return tuple(lines)


# --- where checks look things up ------------------------------------------------------------------


@cache
def _facts() -> dict[str, Fact]:
    """The facts that we ship (data/claims/facts.toml)."""
    text = resources.files("farthing").joinpath(f"data/claims/{FACTS}").read_text("utf-8")
    root = Document(text, f"data/claims/{FACTS}").table()
    found = read_facts(root, read_sources(root))
    root.finish()
    return found


@cache
def _book() -> Book:
    return Book()


def _model(name: str) -> tuple[ModelShape, Source | None]:
    """The shape and who states it; None for a config.json of the user's own."""
    from farthing.serving import models

    shape = models.find(name)
    return shape, models.source_of(name) if shape.id in models.names() else None


def _device(name: str) -> Device:
    from farthing.serving import devices

    return devices.find(name)
