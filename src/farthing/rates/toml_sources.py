"""The `[source.ID]` tables of a data file: who says so. Every number refers to one."""

from farthing.evidence import Grade, Source
from farthing.rates.toml_table import Table

Sources = dict[str, Source]


def read_sources(root: Table) -> Sources:
    """The `[source.ID]` tables: title, where, seen and grade, all required."""
    sources: Sources = {}
    tables = root.sub("source")
    for name in tables.values if tables else ():
        table = tables.sub(name) if tables else None
        assert table is not None
        title = table.needed_text("title")
        where = table.needed_text("where", "write where = an address, or the document's name")
        table.need("seen", "write seen = 2026-11-01, the day it was read")
        grade = table.needed_text("grade", "one of measured, vendor-stated, derived, assumed")
        try:
            sources[name] = Source(id=name, title=title, where=where, seen=table.day("seen"), grade=Grade.parse(grade))
        except ValueError as error:
            table.fail("grade", str(error))
        table.finish()
    return sources


def read_source(table: Table, sources: Sources) -> Source:
    """The source that `table` names under "source": every number has one."""
    name = table.needed_text("source", "every number has a source: write source = the ID of a [source.ID]")
    if name not in sources:
        known = ", ".join(sources) or "none"
        table.fail("source", f"no [source.{name}]", f"add it, or name one of: {known}")
    return sources[name]


def own_source(table: Table, sources: Sources) -> Source | None:
    """The source of one number, where it is not that of the record around it."""
    return read_source(table, sources) if "source" in table else None
