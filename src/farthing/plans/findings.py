"""A stated figure beside the computed one: what somebody said, what follows from the inputs, and a verdict."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from farthing.evidence import Source
from farthing.plans.interval import Interval, Outcome
from farthing.plans.read_parts import read_interval
from farthing.rates.toml_sources import Sources, read_source
from farthing.rates.toml_table import Table

HOLDS, HIGH, LOW = "holds", "too high", "too low"
NEVER, WITHIN, IMPOSSIBLE = "never reached", "within the interval", "impossible"
TOLERANCE = Fraction(115, 100)
"""A stated figure holds if it is within this factor of the computed one: documents round, and say "about"."""


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that a document states: a number, or a range. `ceiling`: what is computed cannot lie above it."""

    key: str
    what: str
    value: Interval
    source: Source
    ceiling: bool = False


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A computed figure: its value, its unit ("usd", "ratio", …) and its arithmetic in words."""

    value: Outcome
    unit: str
    how: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A stated figure against the computed one. `factor`: stated over computed (or computed over a ceiling)."""

    stated: Stated
    figure: Figure
    factor: Fraction | None
    verdict: str


def judge(stated: Stated, figure: Figure) -> Finding:
    """The verdict on one figure: it holds within the tolerance, or is too high or too low by the factor.

    One that fails, but lies in the interval of what is computed, is said to be within it.
    """
    value = figure.value
    if value.mid is None:
        return Finding(stated=stated, figure=figure, factor=None, verdict=NEVER)
    if stated.ceiling:
        over = value.mid > stated.value.high
        return Finding(
            stated=stated,
            figure=figure,
            factor=value.mid / stated.value.high,
            verdict=IMPOSSIBLE if over else HOLDS,
        )
    near = stated.value.low if value.mid < stated.value.low else min(value.mid, stated.value.high)
    factor = near / value.mid if value.mid else None
    if near == value.mid or (factor is not None and 1 / TOLERANCE <= factor <= TOLERANCE):
        verdict = HOLDS
    elif value.low is not None and value.low <= near and (value.high is None or near <= value.high):
        verdict = WITHIN
    else:
        verdict = HIGH if near > value.mid else LOW
    return Finding(stated=stated, figure=figure, factor=factor, verdict=verdict)


def judged(stated: Sequence[Stated], figures: Mapping[str, Figure]) -> tuple[Finding, ...]:
    """The findings on `stated`, each of whose keys is among `figures` (checked when they were read)."""
    return tuple(judge(one, figures[one.key]) for one in stated)


def read_stated(table: Table, sources: Sources, key: str = "stated") -> tuple[Stated, ...]:
    """The [[stated]] tables: key, what, value and source."""
    found = []
    for one in table.subs(key):
        value = read_interval(one, "value")
        if value is None:
            one.need("value", "write value = a number, or { low = …, high = … }")
        assert value is not None
        found.append(
            Stated(
                key=one.needed_text("key"),
                what=one.needed_text("what"),
                value=value,
                source=read_source(one, sources),
                ceiling=one.flag("ceiling") or False,
            )
        )
        one.finish()
    return tuple(found)
