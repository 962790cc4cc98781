"""A panel: the prices of items at dates, as the matched-model indices take them.

From price lines an item is a model family: its price between two dates is the geometric mean over the hosts that
charged for it at both, so that a model counts once however many hosts list it. A price that is not known at a date is
absent. Nothing is carried forward beyond what its source says; a price of 0 is a gift, not a price, and is counted.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec

from farthing.evidence import Grade, worst
from farthing.index.kinds import Kind
from farthing.index.line import Line, Quote
from farthing.problems import FarthingError

SLIPS = "steps by exactly a power of ten, taken for slips of units and not compared"
RENEWED = "steps at which a name began to serve another model, not compared"
_SLIPS = {Fraction(10) ** power for power in (-6, -3, -2, -1, 1, 2, 3, 6)}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of an item: its price at each of the panel's dates (above zero; None: unknown), and quantities of any
    one unit, where they are known."""

    id: str
    item: str
    prices: tuple[float | None, ...]
    quantities: tuple[float, ...] | None = None
    grade: Grade = Grade.MEASURED


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Rows over `dates` (in order, each once). `free`: how many offers charged nothing at some date; `unpriced`: how
    many lacked a price of this kind at all of them. `shared`: each row states the quantities of its whole item, not its
    own. `notes` say what else was left out, or assumed."""

    dates: tuple[datetime, ...]
    rows: tuple[Row, ...]
    free: int = 0
    unpriced: int = 0
    shared: bool = False
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> list[str]:
        return sorted({row.item for row in self.rows})

    @property
    def weighted(self) -> bool:
        """Whether quantities are known."""
        return bool(self.rows) and all(row.quantities is not None for row in self.rows)


def panel(
    lines: Sequence[Line],
    kind: Kind,
    dates: Sequence[datetime],
    item: Callable[[Line], str] = lambda line: line.family,
    sure: bool = False,
) -> Panel:
    """The prices of `kind` of `lines` at `dates`.

    Nothing is compared over a step that looks like a slip of units (`is_slip`), or from which a name serves another
    model; with `sure` over no step of which it is unclear whether the price changed or the list was corrected.
    """
    ordered = tuple(sorted(set(dates)))
    rows: list[Row] = []
    free = unpriced = 0
    parted: Counter[str] = Counter()
    for line in lines:
        found = {id(q): kind(q) for q in line.quotes}
        free += any(price == 0 for price in found.values())
        any_price = False
        for quotes in _stretches(line.quotes, sure, parted):
            at = [next((q for q in quotes if _holds(q, moment)), None) for moment in ordered]
            prices = tuple(float(price) if q and (price := found[id(q)]) else None for q in at)
            if any(price is not None for price in prices):
                any_price = True
                grade = worst(q.source.grade for q, price in zip(at, prices, strict=True) if q and price)
                rows.append(Row(id=line.id, item=item(line), prices=prices, grade=grade))
        unpriced += not any_price and all(price is None for price in found.values())
    notes = [f"{what}: {count}" for what, count in parted.items() if count]
    return Panel(dates=ordered, rows=tuple(rows), free=free, unpriced=unpriced, notes=tuple(notes))


def _stretches(quotes: Sequence[Quote], sure: bool, parted: Counter[str]) -> list[Sequence[Quote]]:
    """`quotes` in stretches that may be compared; `parted` counts what parts them."""
    starts = [0]
    for n, (one, other) in enumerate(itertools.pairwise(quotes), 1):
        slip = is_slip(one, other)
        parted[SLIPS] += slip
        parted[RENEWED] += other.renewed
        if slip or other.renewed or (sure and other.unclear):
            starts.append(n)
    return [quotes[one:other] for one, other in itertools.pairwise([*starts, len(quotes)])]


def is_slip(before: Quote, now: Quote) -> bool:
    """Whether the step looks like a slip of units, or its mending: every price of a list that nobody vouches for moved
    by one and the same power of ten."""
    if now.source.grade >= Grade.VENDOR_STATED:
        return False
    common = [meter for meter in before.usd_per_mtok if before.usd_per_mtok[meter] and meter in now.usd_per_mtok]
    factors = {now.usd_per_mtok[meter] / before.usd_per_mtok[meter] for meter in common}
    return len(factors) == 1 and factors <= _SLIPS


def _holds(quote: Quote, moment: datetime) -> bool:
    return quote.start <= moment and (quote.end is None or moment < quote.end)


def with_quantities(made: Panel, quantities: Mapping[str, Sequence[float]]) -> Panel:
    """`made` with the quantities by row id (one a date); rows without any are left out."""
    rows = [
        msgspec.structs.replace(row, quantities=tuple(quantities[row.id])) for row in made.rows if row.id in quantities
    ]
    return msgspec.structs.replace(made, rows=tuple(rows))


def between(made: Panel, since: datetime | None, until: datetime | None) -> Panel:
    """`made` at its dates from `since` to `until`, both included. Raises `FarthingError` where none is left."""
    kept = [n for n, d in enumerate(made.dates) if (since is None or d >= since) and (until is None or d <= until)]
    if not kept:
        raise FarthingError(f"no price between those days; there are prices {span(made)}")
    first, last = kept[0], kept[-1] + 1
    rows = [
        msgspec.structs.replace(
            row,
            prices=row.prices[first:last],
            quantities=row.quantities[first:last] if row.quantities is not None else None,
        )
        for row in made.rows
    ]
    priced = tuple(row for row in rows if any(price is not None for price in row.prices))
    return msgspec.structs.replace(made, dates=made.dates[first:last], rows=priced)


def span(made: Panel) -> str:
    """ "2023-04-01 to 2026-11-22"."""
    return f"{made.dates[0]:%Y-%m-%d} to {made.dates[-1]:%Y-%m-%d}"


# --- dates ---------------------------------------------------------------------------------------


def grid(since: datetime, until: datetime, by: str = "month") -> list[datetime]:
    """`since`, the first day of each month (or quarter, or week's Monday) after it, and `until`.

    Raises `FarthingError` where `until` is not after `since`, or for another `by`.
    """
    if until <= since:
        raise FarthingError(f"the series ends on {until:%Y-%m-%d}, not after its start, {since:%Y-%m-%d}")
    if by not in _STEPS:
        raise FarthingError(f"--by {by!r} is none of {', '.join(_STEPS)}")
    dates, moment = [since], _STEPS[by](since)
    while moment < until:
        dates.append(moment)
        moment = _STEPS[by](moment)
    return [*dates, until]


def _next_month(moment: datetime, months: tuple[int, ...] = tuple(range(1, 13))) -> datetime:
    place = moment.year * 12 + moment.month  # the month after, counted from 0
    while place % 12 + 1 not in months:
        place += 1
    return datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC)


_STEPS: dict[str, Callable[[datetime], datetime]] = {
    "week": lambda moment: (moment + timedelta(days=7 - moment.weekday())).replace(
        hour=0, minute=0, second=0, microsecond=0
    ),
    "month": _next_month,
    "quarter": lambda moment: _next_month(moment, (1, 4, 7, 10)),
}
