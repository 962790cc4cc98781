"""Verification: is every row there once, is each day's file what was closed, does each charge follow from its record.

Nothing is changed. A charge is checked under the price record that its row names, which the ledger itself keeps.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from farthing.ledger.days import GRACE_S
from farthing.ledger.journal import FOLDER as JOURNAL
from farthing.ledger.journal import frames, segments
from farthing.ledger.pricing import record_of
from farthing.ledger.rows import Priced, RowPricer, depends_on_others, priced_rows
from farthing.ledger.schema import DAY_US, DONE, connect
from farthing.ledger.view import DAYS, View, columns_in, day_sums, open_view, parquet_sql
from farthing.money import Usd
from farthing.problems import Problem, Problems
from farthing.rates.card import Price
from farthing.rates.select import Unknown

KEPT = 100


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose recorded charge is not what its price gives. None: unknown, for `reason`."""

    id: str
    at_us: int
    offer: str
    price: str
    recorded_usd: Usd | None
    repriced_usd: Usd | None
    reason: str = ""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `ok`: no problem and no difference.

    rows: attempts; hot: of them not in Parquet yet; days: closed days. open, lost: attempts by state. checked: rows
    whose charge was computed again; agree: to the last digit; differ: not (the first are `differences`).
    unpriced: ended without a charge (`reasons`); unchecked: with a charge that cannot be repeated (`unchecked_why`).
    spilled: ended attempts that only journals have (of workers that died, or while the database refuses rows).
    problems: what is wrong with files or rows.
    """

    ok: bool
    rows: int
    hot: int
    days: int
    open: int
    lost: int
    checked: int
    agree: int
    differ: int
    unpriced: int
    unchecked: int
    unchecked_why: dict[str, int]
    spilled: int
    differences: list[Difference]
    problems: list[Problem]


def verify(folder: Path) -> Verification:
    """Check the ledger in `folder`, all of it. Raises `FarthingError` where there is none, or a day is missing."""
    problems = Problems(KEPT)
    records = _database(folder, problems)
    with open_view(folder) as view:
        _day_files(folder, view, problems)
        [(rows, waiting, lost, long_open)] = view.query(
            "SELECT count(*), count(*) FILTER (state = 'open'), count(*) FILTER (state = 'lost'), count(*) FILTER "
            "(state = 'open' AND epoch_us(\"at\") < ?) FROM attempts",
            [time.time_ns() // 1000 - DAY_US - GRACE_S * 1_000_000],
        )
        if long_open:
            problems.add("hot rows", f"open for over a day: {long_open:,}", "their worker hangs, or runs no recover")
        for name, number in view.query(
            "SELECT id, count(*) FROM attempts GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT ?", [KEPT]
        ):
            problems.add(f"attempt {name}", f"is there {number} times")
        checked = _charges(view, records)
        hot, days = view.hot_rows, len(view.days)
    spilled = _in_journals(folder)
    return Verification(
        ok=not problems.total and not checked["differ"],
        rows=rows,
        hot=hot,
        days=days,
        open=waiting,
        lost=lost,
        spilled=spilled,
        problems=problems.kept,
        **checked,
    )


def kept_records(folder: Path) -> dict[str, str]:
    """The price records that the ledger keeps, as JSON by name."""
    hot = connect(folder, read_only=True)
    try:
        return dict(hot.execute("SELECT name, record FROM price").fetchall())
    finally:
        hot.close()


def _database(folder: Path, problems: Problems) -> dict[str, str]:
    hot = connect(folder, read_only=True)
    try:
        for (finding,) in hot.execute("PRAGMA quick_check(20)").fetchall():
            if finding != "ok":
                problems.add(str(folder), f"the database is damaged: {finding}", "restore it from a backup")
        [(leaked,)] = hot.execute(
            f"SELECT count(*) FROM hold JOIN attempt USING (attempt) WHERE state >= {DONE}"
        ).fetchall()
        if leaked:
            problems.add("budgets", f"held for attempts that have ended: {leaked:,}", "report this as a bug")
    finally:
        hot.close()
    return kept_records(folder)


def _in_journals(folder: Path) -> int:
    hot = connect(folder, read_only=True)
    try:
        done = dict(hot.execute("SELECT worker, through FROM journal").fetchall())
    finally:
        hot.close()
    return sum(
        row.state != "open"
        for worker, paths in segments(folder / JOURNAL).items()
        for path in paths
        for frame in frames(path)
        for row in frame.rows
        if frame.through > done.get(worker, 0)
    )


def _day_files(folder: Path, view: View, problems: Problems) -> None:
    """Each closed day's file against the sums that were noted when it was closed, and against its day."""
    for day in view.days:
        place = str(Path(DAYS) / day.file)
        noted: dict[str, Any] = msgspec.json.decode(day.sums)
        source = parquet_sql([folder / DAYS / day.file])
        names = columns_in(view.connection, source)
        found = day_sums(view.connection, source, [name for name in noted["meters"] if name in names])
        if found != noted:
            wrong = [name for name in noted if noted[name] != found[name]]
            problems.add(place, f"is not what was closed: {', '.join(wrong)} differ", "restore it from a backup")
        [(strange,)] = view.query(f'SELECT count(*) FROM {source} WHERE epoch_us("at") // {DAY_US} <> {day.day}')
        if strange:
            problems.add(place, f"{strange:,} rows are of another day")


def _charges(view: View, records: dict[str, str]) -> dict[str, Any]:
    pricer = RowPricer()
    prices: dict[str, Price | None] = {}
    why: Counter[str] = Counter()
    differences: list[Difference] = []
    checked = agree = unpriced = 0
    for row in priced_rows(view):
        if row.recorded_usd is None:
            unpriced += 1
            continue
        found = _again(row, records, prices, pricer, why)
        if found is None:
            continue
        checked += 1
        if found == row.recorded_usd:
            agree += 1
        elif len(differences) < KEPT:
            differences.append(difference(row, found))
    return {
        "checked": checked,
        "agree": agree,
        "differ": checked - agree,
        "unpriced": unpriced,
        "unchecked": why.total(),
        "unchecked_why": dict(why.most_common()),
        "differences": differences,
    }


def _again(
    row: Priced, records: dict[str, str], prices: dict[str, Price | None], pricer: RowPricer, why: Counter[str]
) -> Usd | Unknown | None:
    """The row's charge under the record that it names; None where that cannot be told, counted in `why`."""
    name = row.price
    if name is None:
        if not row.quantities and not row.recorded_usd:
            return row.recorded_usd  # nothing consumed, nothing charged
        why["the row names no price record"] += 1
        return None
    if name not in prices:
        prices[name] = record_of(records[name]) if name in records else None
    price = prices[name]
    if price is None:
        why["its price record is not kept in this ledger"] += 1
        return None
    if depends_on_others(price):
        why["its price depends on other requests (a free quota or brackets over a period)"] += 1
        return None
    if not row.quantities and not row.recorded_usd:
        return row.recorded_usd  # failed before anything was consumed
    return pricer.charge(row, price)


def difference(row: Priced, found: Usd | Unknown) -> Difference:
    """The difference between a row's recorded charge and what was `found`."""
    return Difference(
        id=row.id,
        at_us=row.started_us,
        offer="/".join(filter(None, (row.provider, row.model))),
        price=row.price or "",
        recorded_usd=row.recorded_usd,
        repriced_usd=None if isinstance(found, Unknown) else found,
        reason=found.reason if isinstance(found, Unknown) else "",
    )
