"""Volumes for the indices that need them: how many tokens the user's own usage bought of each offer, and when.

Nobody publishes who buys how much of which model at which price, so a Laspeyres, Paasche, Fisher, Törnqvist or Walsh
index here is of a user's own basket. Equal weights would be a Jevons index under another name.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from farthing.index.kinds import Mix, mix_of_usage
from farthing.index.line import Line
from farthing.index.panel import Panel, with_quantities
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.family import family
from farthing.units import TOKEN_METERS
from farthing.usage.record import Usage


class Volumes(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by line id, in all and by day of use (None: the usage states no time); the mix of all of them; and the
    tokens of which no line is known, by name."""

    tokens: dict[str, Counter[datetime | None]]
    mix: Mix
    unmatched: dict[str, int]

    @property
    def total(self) -> int:
        return sum(sum(days.values()) for days in self.tokens.values()) + sum(self.unmatched.values())


def volumes(records: Iterable[Usage], lines: Sequence[Line], book: Book) -> Volumes:
    """What `records` bought of `lines`. A name that is no line's own is looked up in the book, then by family.

    Raises `FarthingError` where the usage names no model that has a line.
    """
    by_id = {line.id.casefold(): line.id for line in lines}
    by_family = {(line.provider, line.family): line.id for line in reversed(lines)}
    known: dict[tuple[str | None, str | None, str | None], str | None] = {}
    tokens: dict[str, Counter[datetime | None]] = {}
    unmatched: Counter[str] = Counter()
    quantities: Counter[str] = Counter()
    for usage in records:
        count = sum(usage.quantities.get(meter, 0) for meter in TOKEN_METERS)
        if not count:
            continue
        quantities.update(usage.quantities)
        key = (usage.provider, usage.model, usage.region)
        if key not in known:
            known[key] = _line_of(key, book, by_id, by_family)
        line = known[key]
        if line is None:
            unmatched["/".join(filter(None, key[:2])) or "no model named"] += count
        else:
            day = None if usage.relative else usage.at.replace(hour=0, minute=0, second=0, microsecond=0)
            tokens.setdefault(line, Counter())[day] += count
    if not tokens:
        names = ", ".join(name for name, _ in unmatched.most_common(3)) or "it has no tokens"
        raise FarthingError(f"the usage buys nothing that has a dated price ({names}); volumes need offers in the book")
    return Volumes(tokens=tokens, mix=mix_of_usage(quantities), unmatched=dict(unmatched))


def _line_of(
    key: tuple[str | None, str | None, str | None],
    book: Book,
    by_id: dict[str, str],
    by_family: dict[tuple[str, str], str],
) -> str | None:
    provider, model, region = key
    if model is None:
        return None
    owner = book.provider(provider) if provider else None
    if owner and f"{owner}/{model}".casefold() in by_id:
        return by_id[f"{owner}/{model}".casefold()]
    offer = book.lookup(provider, model, region)
    if not isinstance(offer, Offer):
        return None
    return by_id.get(offer.id.casefold()) or by_family.get((offer.provider, family(model)))


def weighed(made: Panel, bought: Volumes) -> Panel:
    """`made` (one row a line) with the volumes: of each period between two dates where the usage lasted over several
    of them, else its totals at every date. Rows that the usage does not buy are left out."""
    days = sorted({day for counts in bought.tokens.values() for day in counts if day is not None})
    periods = list(zip(made.dates, [*made.dates[1:], None], strict=True))
    covered = [n for n, (start, end) in enumerate(periods) if any(_within(day, start, end) for day in days)]
    quantities = {}
    for line, counts in bought.tokens.items():
        total = float(sum(counts.values()))
        at = [total] * len(made.dates)
        if len(covered) > 1:
            for n in covered:
                start, end = periods[n]
                at[n] = float(sum(count for day, count in counts.items() if day and _within(day, start, end)))
        quantities[line] = at
    rows = with_quantities(made, quantities)
    found = {row.id for row in rows.rows}
    priced = sum(sum(counts.values()) for line, counts in bought.tokens.items() if line in found)
    how = (
        f"of the period at {len(covered)} dates and in all at the others"
        if len(covered) > 1
        else "in all, the same at every date"
    )
    notes = [
        f"volumes are the usage's tokens, {how}; the basket has {priced / bought.total:.1%} of its "
        f"{bought.total:,} tokens"
    ]
    if bought.unmatched:
        most = max(bought.unmatched, key=lambda name: bought.unmatched[name])
        notes.append(f"models of the usage without a dated price: {len(bought.unmatched)} (the most used: {most})")
    return msgspec.structs.replace(rows, notes=(*rows.notes, *notes))


def _within(day: datetime, start: datetime, end: datetime | None) -> bool:
    return start <= day and (end is None or day < end)
