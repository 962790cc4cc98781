"""The columns: the same charges as `reference`, over millions of rows.

Conditions cut time, prompt length and the week into pieces within which every request meets the
same ones. A `Cell` is all rows of one subject in one such piece; because a linear price of a sum is
the sum of the prices, a cell's token sums are priced once, by the reference itself, exactly. One
pass over the rows makes the cells (`tally`); after that a price list costs microseconds a cell.
Rates that are not linear (minimums, steps, free quotas, brackets) are priced row by row.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
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


def cuts_of(prices: Iterable[Price]) -> Cuts:
    """Every boundary that the conditions and dates of `prices` draw."""
    times: set[int] = set()
    ends: set[int] = set()
    quantities: set[tuple[str, int]] = set()
    windows: dict[str, set[int]] = {"start": set(), "completion": set()}

    def add(moment: datetime | None) -> None:
        if moment is not None:
            times.add(microseconds(moment))

    for price in prices:
        add(price.valid_from)
        add(price.valid_to)
        for when in (*(r.when for r in price.rates), *(m.when for m in price.modifiers)):
            for band in when.bands:
                quantities.update((band.of, edge) for edge in (band.low, band.high) if 0 < edge < NO_LIMIT)
            if when.period is not None:
                add(when.period.start)
                add(when.period.end)
            if when.window is not None:
                windows[when.window.decides].add(when.window.minutes)
                for day in when.window.dates | when.window.not_dates:
                    midnight = EPOCH + timedelta(days=day.toordinal() - EPOCH.toordinal())
                    edges = {microseconds(midnight), microseconds(midnight + timedelta(days=1))}
                    (ends if when.window.decides == "completion" else times).update(edges)
    return Cuts(
        times=frozenset(times),
        ends=frozenset(ends),
        measures=frozenset(quantities),
        starts=frozenset(windows["start"]),
        completions=frozenset(windows["completion"]),
    )


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over rows of one subject that meet the same conditions. `started`, `completed` and
    `measures` are those of some row in it, which stand for all of them. `place` is the piece of
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
    """The cells of a usage table, and the SQL that gives a row's cell key."""

    table: UsageTable
    cells: list[Cell]
    cuts: Cuts
    key_sql: str
    from_sql: str

    @property
    def rows(self) -> int:
        return sum(cell.rows for cell in self.cells)


def tally(table: UsageTable, cuts: Cuts | Mapping[int, Cuts]) -> Tally:
    """One pass over `table`: the sums of every meter in each cell that `cuts` distinguish.

    `cuts` is one set for all subjects, or one for each (then a subject's rows are cut in time only
    at its own dates, which keeps cells few when many offers are dated).
    """
    each = cuts if isinstance(cuts, Mapping) else dict.fromkeys(range(len(table.subjects)), cuts)
    whole = Cuts()
    for one in each.values():
        whole |= one
    connection, joins, dimensions = table.connection, [], []
    segments = _segments(table, each)
    if segments:
        _table(
            connection, "segments", dict(zip(("s", "low", "high", "piece"), zip(*segments, strict=True), strict=True))
        )
        joins.append("JOIN segments ON subject = s AND started >= low AND started < high")
        dimensions.append(("piece", 1 + max(row[3] for row in segments)))
    else:
        dimensions.append(("0", 1))
    dimensions.append((_bin_sql("completed", sorted(whole.ends)), len(whole.ends) + 1))
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
    # Which meters a row has at all: one without a price must not make its neighbours unknown.
    mask = " + ".join(f'(("{name}" > 0)::BIGINT << {bit})' for bit, name in enumerate(table.meters)) or "0"
    dimensions.append((f"({mask})", 1 << len(table.meters)))

    key = "subject::BIGINT"
    for sql, size in dimensions:
        key = f"({key}) * {size} + {sql}"
    sums = ["count(*)", "sum(requests)", "min(started)", "min(completed)"]
    sums += [f"min({sql})" for sql, _ in measured.values()]
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
        ends = 5 + len(measured)
        cells.append(
            Cell(
                key=row[0],
                subject=rest,
                place=tuple(reversed(place[1:])),  # without the mask of meters
                rows=row[1],
                requests=row[2],
                started=from_micro(row[3]),
                completed=from_micro(row[4]),
                measures=dict(zip(measured, row[5:ends], strict=True)),
                quantities={name: n for name, n in zip(table.meters, row[ends:], strict=True) if n},
            )
        )
    cells.sort(key=lambda cell: cell.key)
    return Tally(table=table, cells=cells, cuts=whole, key_sql=key, from_sql=source)


def _table(connection: "duckdb.DuckDBPyConnection", name: str, columns: Mapping[str, Sequence[int]]) -> None:
    import numpy as np

    connection.register("made", {key: np.array(values, dtype=np.int64) for key, values in columns.items()})
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM made")
    connection.unregister("made")


def _segments(table: UsageTable, each: Mapping[int, Cuts]) -> list[tuple[int, int, int, int]]:
    """(subject, from, to, piece) over the span of the data; empty when nothing is cut in it."""
    span = table.span()
    if span is None:
        return []
    first, last = span
    rows, any_cut = [], False
    for subject in range(len(table.subjects)):
        inner = sorted(cut for cut in each.get(subject, Cuts()).times if first < cut <= last)
        any_cut = any_cut or bool(inner)
        edges = [-_SPAN_END, *inner, _SPAN_END]
        rows += [(subject, low, high, piece) for piece, (low, high) in enumerate(itertools.pairwise(edges))]
    return rows if any_cut else []


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
    """What conditions see of the requests in `cell`, all moved to the instant `at` if it is given."""
    subject = table.subjects[cell.subject]
    seen: dict[str, int | Fraction] = dict(cell.measures)
    if window := dict(subject.attrs).get("context_window"):
        seen["prompt"] = measures({}, 1, window)["prompt"]
    return Facts(
        at=cell.started if at is None else at,
        completed=cell.completed if at is None else at,
        tier=subject.tier,
        region=subject.region,
        attrs=frozenset(subject.attrs),
        measures=seen,
    )


def merge(cells: Iterable[Cell], table: UsageTable, keep: Sequence[bool]) -> list[tuple[Cell, tuple[int, ...]]]:
    """Cells summed over subjects that conditions cannot tell apart and over dimensions not in `keep`.

    Returns (sum, keys of the cells in it). For pricing at one offer, where provider and model of the
    usage no longer matter and most offers look at few dimensions.
    """
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        subject = table.subjects[cell.subject]
        place = tuple(piece for piece, kept in zip(cell.place, keep, strict=True) if kept)
        kinds = frozenset(cell.quantities)
        groups.setdefault((subject.tier, subject.region, subject.attrs, subject.bucket, kinds, place), []).append(cell)
    merged = []
    for group in groups.values():
        first = group[0]
        totals: dict[str, int] = {}
        for cell in group:
            for name, quantity in cell.quantities.items():
                totals[name] = totals.get(name, 0) + quantity
        whole = msgspec.structs.replace(
            first, rows=sum(c.rows for c in group), requests=sum(c.requests for c in group), quantities=totals
        )
        merged.append((whole, tuple(cell.key for cell in group)))
    return merged
