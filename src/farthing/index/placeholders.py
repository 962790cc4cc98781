"""Prices that a list states of models of any size at one host: placeholders, and nobody's offer.

Lists fill what they do not know with the host's price of another model: 405 billion parameters at the price of three.
Left in, one such entry is the cheapest seller of the largest open models for years. The test is narrow: a statement
that no vendor vouches for, of a model `TIMES` as large as another at the same host, at the same time, at exactly the
same price of input and output. Hosts do sell ten sizes at one price (8 to 70 billion); none sells twenty.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction

import msgspec

from farthing.evidence import Grade
from farthing.index.line import Line, Quote

TIMES = 20
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
_NEVER = datetime.max.replace(tzinfo=UTC)
_Priced = tuple[str, Fraction, Fraction]


def billions(family: str) -> float | None:
    """The parameters that a family's name states, in billions, all experts counted; None where it states none."""
    sizes = [float(many or 1) * float(each) for many, each in _SIZE.findall(family)]
    return max(sizes, default=None)


def without(lines: Iterable[Line]) -> tuple[list[Line], int]:
    """`lines` without placeholders, and how many lines had one."""
    known = list(lines)
    sized = {line.id: size for line in known if (size := billions(line.family)) is not None}
    alike: dict[_Priced, list[tuple[float, Quote]]] = defaultdict(list)
    for line in known:
        if line.id in sized:
            for quote in line.quotes:
                if (key := _priced(line, quote)) is not None:
                    alike[key].append((sized[line.id], quote))
    kept, found = [], 0
    for line in known:
        good = [q for q in line.quotes if line.id not in sized or not _is(line, q, sized[line.id], alike)]
        found += len(good) < len(line.quotes)
        if len(good) == len(line.quotes):
            kept.append(line)
        elif good:
            kept.append(msgspec.structs.replace(line, quotes=tuple(good)))
    return kept, found


def _is(line: Line, quote: Quote, size: float, alike: dict[_Priced, list[tuple[float, Quote]]]) -> bool:
    key = _priced(line, quote)
    if key is None or quote.source.grade >= Grade.VENDOR_STATED:
        return False
    return any(small * TIMES <= size and _together(quote, other) for small, other in alike[key])


def _together(one: Quote, other: Quote) -> bool:
    return one.start < (other.end or _NEVER) and other.start < (one.end or _NEVER)


def _priced(line: Line, quote: Quote) -> _Priced | None:
    read, written = quote.usd_per_mtok.get("input"), quote.usd_per_mtok.get("output")
    return (line.provider, read, written) if read and written else None
