"""The columns: the same charges as `reference`, over millions of rows.

Conditions cut time, prompt length and the week into pieces within which every request meets the
same ones. A `Cell` is all rows of one subject in one such piece; because a linear price of a sum is
the sum of the prices, a cell's token sums are priced once, by the reference itself, exactly. One
pass over the rows makes the cells (`tally`); after that a price list costs microseconds a cell.
Rates that are not linear (minimums, steps, free quotas, brackets) are priced row by row.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from farthing.charges.reference import measures
from farthing.rates.card import MINUTES_OF_WEEK, NO_LIMIT, Price
from farthing.rates.select import Facts
from farthing.time import EPOCH, microseconds
from farthing.usage.table import UsageTable, from_micro

if TYPE_CHECKING:
    import duckdb

_THURSDAY = 3 * 1440  # 1970-01-01 was one; weeks are counted from Monday
_SPAN_END = 1 << 62
_DAY = 86_400_000_000  # microseconds
_MOST_COLUMNS = 16  # dates of one subject that are compared one by one; more are found by a range join


class Cuts(msgspec.Struct, frozen=True, kw_only=True):
    """Where conditions change: instants of the start and of the completion (microseconds), quantities
    by measure, weekly windows of the start and of the completion."""

    times: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()
    measures: frozenset[tuple[str, int]] = frozenset()
    starts: frozenset[int] = frozenset()
    completions: frozenset[int] = frozenset()

    def __or__(self, other: "Cuts") -> "Cuts":
        return Cuts(
            times=self.times | other.times,
            ends=self.ends | other.ends,
            measures=self.measures | other.measures,
            starts=self.starts | other.starts,
            completions=self.completions | other.completions,
        )


_CUTS: dict[int, tuple[Price, Cuts]] = {}


def cuts_of(prices: Iterable[Price]) -> Cuts:
    """Every boundary that the conditions and dates of `prices` draw."""
    found: list[Cuts] = []
    for price in prices:
        known = _CUTS.get(id(price))
        if known is None or known[0] is not price:
            known = _CUTS[id(price)] = (price, _cuts(price))
        found.append(known[1])
    if len(found) == 1:
        return found[0]
    whole = Cuts()
    for cuts in found:
        whole |= cuts
    return whole


def _cuts(price: Price) -> Cuts:
    times = {microseconds(moment) for moment in (price.valid_from, price.valid_to) if moment is not None}
    ends: set[int] = set()
    quantities: set[tuple[str, int]] = set()
    windows: dict[str, set[int]] = {"start": set(), "completion": set()}
    for when in (*(r.when for r in price.rates), *(m.when for m in price.modifiers)):
        for band in when.bands:
            quantities.update((band.of, edge) for edge in (band.low, band.high) if 0 < edge < NO_LIMIT)
        if when.period is not None:
            times.update(microseconds(m) for m in (when.period.start, when.period.end) if m is not None)
        if when.window is not None:
            windows[when.window.decides].add(when.window.minutes)
            for day in when.window.dates | when.window.not_dates:
                midnight = (day.toordinal() - EPOCH.toordinal()) * _DAY
                (ends if when.window.decides == "completion" else times).update((midnight, midnight + _DAY))
    return Cuts(
        times=frozenset(times),
        ends=frozenset(ends),
        measures=frozenset(quantities),
        starts=frozenset(windows["start"]),
        completions=frozenset(windows["completion"]),
    )


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over rows of one subject that meet the same conditions. `started`, `completed` and
    `measures` meet the same ones as every row in it, and stand for all of them. `place` is the piece of
    each dimension: (start, completion, start's window, completion's window, measures…)."""

    key: int
    subject: int
    place: tuple[int, ...]
    rows: int
    requests: int
    started: datetime
    completed: datetime
    measures: Mapping[str, int]
    quantities: Mapping[str, int]


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of a usage table, and the SQL that gives a row's cell key. `kinds`: see `tally`.

    `edges`: the boundaries of each dimension of a cell's place, where all subjects share them; None for
    weekly windows. `measured`: the quantities that the last dimensions are pieces of.
    """

    table: UsageTable
    cells: list[Cell]
    edges: tuple[tuple[int, ...] | None, ...]
    kinds: bool
    key_sql: str
    from_sql: str
    measured: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(cell.rows for cell in self.cells)


def tally(table: UsageTable, cuts: Cuts | Mapping[int, Cuts], *, kinds: bool = True) -> Tally:
    """One pass over `table`: the sums of every meter in each cell that `cuts` distinguish.

    `cuts` is one set for all subjects, or one for each (then a subject's rows are cut in time only
    at its own dates, which keeps cells few when many offers are dated). `kinds`: rows that consumed
    different meters are in different cells, so that a meter without a price makes only the rows
    unknown that consumed it; not needed where everything has a price.
    """
    each = cuts if isinstance(cuts, Mapping) else dict.fromkeys(range(len(table.subjects)), cuts)
    whole = Cuts()
    for one in each.values():
        whole |= one
    connection = table.connection
    shared = not isinstance(cuts, Mapping)
    span = table.span()
    inner = {n: _inner(each.get(n, Cuts()), span) for n in range(len(table.subjects))}
    joins, time = _pieces(table, inner, shared)
    dimensions = [time, (_bin_sql("completed", sorted(whole.ends)), len(whole.ends) + 1)]
    for column, masks in (("started", whole.starts), ("completed", whole.completions)):
        if not masks:
            dimensions.append(("0", 1))
            continue
        classes, count = _week_classes(masks)
        name = f"week_{column}"
        _table(connection, name, {f"m_{column}": range(MINUTES_OF_WEEK), f"c_{column}": classes})
        minute = f"({column} // 60000000 + {_THURSDAY}) % {MINUTES_OF_WEEK}"
        joins.append(f"JOIN {name} ON m_{column} = {minute}")
        dimensions.append((f"c_{column}", count))
    measured = _measured(table, whole)
    for sql, edges in measured.values():
        dimensions.append((_bin_sql(sql, sorted(edges)), len(edges) + 1))
    mask = " + ".join(f'(("{name}" > 0)::BIGINT << {bit})' for bit, name in enumerate(table.meters))
    dimensions.append((f"({mask})", 1 << len(table.meters)) if kinds and mask else ("0", 1))

    keys = len(table.subjects) * math.prod(size for _, size in dimensions)
    key = "subject::INTEGER" if keys < 1 << 31 else "subject::BIGINT"  # narrow keys group faster
    for sql, size in dimensions:
        if size > 1:
            key = f"({key}) * {size} + {sql}"
    # Any moment of a cell can stand for all its rows in what conditions look at: where its piece of time
    # begins, or, where the time of the week matters, that of some row. The sums are of all rows.
    ends_matter = bool(whole.ends or whole.completions)
    rows_matter = ends_matter or bool(whole.starts)
    first = (span or (0, 0))[0]
    edges_of = {of: sorted(of_edges) for of, (_, of_edges) in measured.items()}
    buckets = any(subject.bucket for subject in table.subjects)
    sums = ["count(*)", *(["sum(requests)"] if buckets else [])]
    sums += ["any_value(started)"] * rows_matter + ["any_value(completed)"] * ends_matter
    sums += [f'sum("{name}")' for name in table.meters]
    source = f"{table.name} {' '.join(joins)}"
    found = connection.execute(f"SELECT {key} AS key, {', '.join(sums)} FROM {source} GROUP BY 1").fetchall()

    sizes = [size for _, size in dimensions]
    cells = []
    for row in found:
        place, rest = [], row[0]
        for size in reversed(sizes):
            rest, piece = divmod(rest, size)
            place.append(piece)
        values = iter(row[1:])
        rows = next(values)
        requests = next(values) if buckets else rows
        place.reverse()
        began = next(values) if rows_matter else ([first, *inner[rest]][place[0]])
        started = from_micro(began)
        completed = from_micro(next(values)) if ends_matter else started
        cells.append(
            Cell(
                key=row[0],
                subject=rest,
                place=tuple(place[:-1]),  # without the kinds of meters
                rows=rows,
                requests=requests,
                started=started,
                completed=completed,
                measures={
                    of: [0, *edges][piece] for (of, edges), piece in zip(edges_of.items(), place[4:], strict=False)
                },
                quantities={name: n for name, n in zip(table.meters, values, strict=True) if n},
            )
        )
    cells.sort(key=lambda cell: cell.key)
    drawn = (
        tuple(_inner(whole, span)) if shared else None,
        tuple(sorted(whole.ends)),
        None,
        None,
        *(tuple(sorted(of_edges)) for _, of_edges in measured.values()),
    )
    return Tally(
        table=table, cells=cells, edges=drawn, kinds=kinds, key_sql=key, from_sql=source, measured=tuple(measured)
    )


def _pieces(table: UsageTable, inner: Mapping[int, Sequence[int]], shared: bool) -> tuple[list[str], tuple[str, int]]:
    """How a row's piece of time is found: (joins, (SQL, number of pieces)). `inner`: each subject's instants.

    Dates that all subjects share are searched; a few of each subject's own come by an equality join
    as columns to compare with; many by a range join.
    """
    most = max((len(cuts) for cuts in inner.values()), default=0)
    if not most:
        return [], ("0", 1)
    if shared:
        return [], (_bin_sql("started", inner[0]), most + 1)
    if most <= _MOST_COLUMNS:
        columns = {"s": list(inner)} | {
            f"cut{k}": [cuts[k] if k < len(cuts) else _SPAN_END for cuts in inner.values()] for k in range(most)
        }
        _table(table.connection, "cuts", columns)
        piece = " + ".join(f"(started >= cut{k})::INTEGER" for k in range(most))
        return ["JOIN cuts ON subject = s"], (f"({piece})", most + 1)
    rows = [
        (subject, low, high, piece)
        for subject, cuts in inner.items()
        for piece, (low, high) in enumerate(itertools.pairwise([-_SPAN_END, *cuts, _SPAN_END]))
    ]
    _table(table.connection, "cuts", dict(zip(("s", "low", "high", "piece"), zip(*rows, strict=True), strict=True)))
    return ["JOIN cuts ON subject = s AND started >= low AND started < high"], ("piece", most + 1)


def _table(connection: "duckdb.DuckDBPyConnection", name: str, columns: Mapping[str, Sequence[int]]) -> None:
    import numpy as np

    connection.register("made", {key: np.array(values, dtype=np.int64) for key, values in columns.items()})
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM made")
    connection.unregister("made")


def _inner(cuts: Cuts, span: tuple[int, int] | None) -> list[int]:
    """The instants of `cuts` that divide rows between the first and the last start."""
    return sorted(cut for cut in cuts.times if span is not None and span[0] < cut <= span[1])


def _week_classes(masks: Iterable[int]) -> tuple[list[int], int]:
    """For each minute of the week the number of the set of windows that contain it."""
    ordered = sorted(masks)
    bits = [format(mask, f"0{MINUTES_OF_WEEK}b")[::-1] for mask in ordered]
    numbers: dict[tuple[str, ...], int] = {}
    classes = [numbers.setdefault(members, len(numbers)) for members in zip(*bits, strict=True)]
    return classes, len(numbers)


def _measured(table: UsageTable, cuts: Cuts) -> dict[str, tuple[str, set[int]]]:
    """For each measure that is cut: SQL for a row's quantity (of its mean request) and the edges."""
    found: dict[str, tuple[str, set[int]]] = {}
    for of, edge in sorted(cuts.measures):
        if of != "prompt" and of not in table.meters:
            continue
        sql = table.prompt_sql() if of == "prompt" else f'"{of}"'
        if any(subject.bucket for subject in table.subjects):
            sql = f"({sql} // greatest(requests, 1))"
        found.setdefault(of, (sql, set()))[1].add(edge)
    return found


def _bin_sql(sql: str, edges: Sequence[int]) -> str:
    """The number of `edges` that are at or below the quantity, by binary search."""

    def tree(low: int, high: int) -> str:
        if low == high:
            return str(low)
        middle = (low + high) // 2
        return f"CASE WHEN {sql} < {edges[middle]} THEN {tree(low, middle)} ELSE {tree(middle + 1, high)} END"

    return f"({tree(0, len(edges))})"


def facts_of_cell(cell: Cell, table: UsageTable, at: datetime | None = None) -> Facts:
    """What conditions see of the requests in `cell`, priced at the rates of the instant `at` if it is given."""
    subject = table.subjects[cell.subject]
    seen: dict[str, int | Fraction] = dict(cell.measures)
    if window := dict(subject.attrs).get("context_window"):
        seen["prompt"] = measures({}, 1, window)["prompt"]
    return Facts(
        at=cell.started,
        completed=cell.completed,
        tier=subject.tier,
        region=subject.region,
        attrs=frozenset(subject.attrs),
        measures=seen,
        priced_at=at,
    )


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """Several cells as one: their sum, what conditions see of it, and the numbers of the cells in it."""

    cell: Cell
    facts: Facts
    members: tuple[int, ...]


def merge(
    cells: Sequence[Cell], table: UsageTable, maps: Sequence[Sequence[int] | None], at: datetime | None = None
) -> list[Merged]:
    """`cells` summed over subjects that conditions cannot tell apart, and over pieces that `maps` join.

    `maps` gives, for each dimension of a cell's place, the new number of each old piece; None keeps
    the old ones. For pricing at one offer: provider and model of the usage no longer matter there, and
    most offers look at few of the boundaries that all offers together draw.
    """
    groups: dict[object, list[int]] = {}
    for number, cell in enumerate(cells):
        subject = table.subjects[cell.subject]
        place = tuple(
            piece if pieces is None else pieces[piece] for piece, pieces in zip(cell.place, maps, strict=True)
        )
        kinds = frozenset(cell.quantities)
        alike = (subject.tier, subject.region, subject.attrs, subject.bucket, subject.unmeasured, kinds, place)
        groups.setdefault(alike, []).append(number)
    merged = []
    for numbers in groups.values():
        group = [cells[number] for number in numbers]
        totals: dict[str, int] = {}
        for cell in group:
            for name, quantity in cell.quantities.items():
                totals[name] = totals.get(name, 0) + quantity
        whole = msgspec.structs.replace(
            group[0], rows=sum(c.rows for c in group), requests=sum(c.requests for c in group), quantities=totals
        )
        merged.append(Merged(cell=whole, facts=facts_of_cell(whole, table, at), members=tuple(numbers)))
    return merged


def joining(edges: Sequence[int], own: Iterable[int]) -> tuple[tuple[int, ...], list[int]]:
    """The boundaries of `edges` that are in `own`, and for each piece that `edges` make the number of
    the wider piece that holds it where only those boundaries count."""
    kept = tuple(edge for edge in edges if edge in set(own))
    passed, numbers = 0, [0]
    for edge in edges:
        passed += edge in kept
        numbers.append(passed)
    return kept, numbers
