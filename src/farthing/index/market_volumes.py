"""The volumes of a market that publishes some: the most used models of OpenRouter by week (data/index_volumes.toml).

They weigh the indices that need quantities where the user brings no usage. The basket of a date is the last published
week's; what is below its last place was not published, and counts as not bought.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources

import msgspec

from farthing.evidence import Source, worst
from farthing.index.panel import Panel
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """The billions of tokens of the most used models in the week that ended at `ended`, by model family."""

    ended: datetime
    tokens_bn: Mapping[str, float]
    source: Source


@cache
def weeks() -> tuple[Week, ...]:
    """The published weeks, in order."""
    return read(
        resources.files("farthing").joinpath("data/index_volumes.toml").read_text("utf-8"), "data/index_volumes.toml"
    )


def read(text: str, place: str) -> tuple[Week, ...]:
    """The weeks in `text`. Raises `FarthingError` with FILE:LINE for what is wrong in it."""
    root = Document(text, place).table()
    sources = read_sources(root)
    found: list[Week] = []
    for table in root.subs("week"):
        table.need("ended", "write ended = 2025-02-16, the last day of the week")
        ended = table.instant("ended")
        assert ended is not None
        if found and ended <= found[-1].ended:
            table.fail("ended", f"{ended:%Y-%m-%d} is not after the week before it", "order the weeks by day")
        tokens = table.sub("tokens_bn")
        if tokens is None or not tokens.values:
            table.fail("tokens_bn", "a week without tokens", 'write tokens_bn = { "gpt-4o" = 12.5 }')
        volumes = {name: float(tokens.number(name, positive=True) or 0) for name in tokens.values}
        table.text("note")
        found.append(Week(ended=ended, tokens_bn=volumes, source=read_source(table, sources)))
        table.finish()
    root.finish()
    return tuple(found)


def weighed_by_market(made: Panel) -> Panel:
    """`made` (an item being a model family) with the market's volumes; other families are left out."""
    every = weeks()
    ends = [week.ended for week in every]
    at = [every[max(0, bisect_right(ends, moment) - 1)] for moment in made.dates]
    named = {family for week in every for family in week.tokens_bn}
    rows = tuple(
        msgspec.structs.replace(row, quantities=tuple(week.tokens_bn.get(row.item, 0.0) for week in at))
        for row in made.rows
        if row.item in named
    )
    grade = worst(week.source.grade for week in at)
    rows = tuple(msgspec.structs.replace(row, grade=min(row.grade, grade)) for row in rows)
    first, last = ends[0], ends[-1]
    note = (
        f"volumes: the most used models of OpenRouter in {len(every)} weeks of {first:%Y-%m-%d} to {last:%Y-%m-%d} "
        "(before and after them the nearest week's): one marketplace, not the market; --usage FILE weighs by yours"
    )
    return msgspec.structs.replace(made, rows=rows, shared=True, notes=(*made.notes, note))
