"""Closing days: the rows of a day that is over become one Parquet file, and leave the hot ledger.

Order matters. The file is written whole beside its place, checked and moved there; one transaction then names it in
the list of days and so takes its rows out of the hot ledger's sight; the rows are deleted at leisure, in pieces that
hold the lock for moments. Whatever is cut short in between loses no row and shows none twice.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.ledger.ended import forget_purses, newest_us
from farthing.ledger.hot import COLUMNS, ClosedDay, closed_days, count_column_type, load_hot
from farthing.ledger.schema import DAY_US, OPEN, connect
from farthing.ledger.view import DAYS, MEMORY, columns_in, day_sums, ordered_meters, parquet_sql
from farthing.problems import FarthingError
from farthing.usage.table import connect as duck

if TYPE_CHECKING:
    import duckdb

GRACE_S = 3_600
"""How long after its end a day is closed: attempts that began in it have usually ended then."""
_PIECE = 20_000  # rows deleted in one transaction
_MOST_PRUNED = 2_000_000  # unused words are looked for only in a hot ledger up to so many rows
_ORPHAN_S = 3_600
_PATIENCE_MS = 30_000  # beside busy writers
_EPOCH = date(1970, 1, 1)


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """One day that was closed: its file, and the rows in it."""

    day: date
    file: str
    rows: int


def close_days(folder: Path, now_us: int | None = None, grace_s: float = GRACE_S) -> list[Closed]:
    """Close every day that is over (and `grace_s` longer): final rows to Parquet; open rows stay hot.

    Rows that came late for a closed day are merged into its file. Safe beside writers, readers and another
    closer, which waits. Raises `FarthingError` where there is no ledger or a file cannot be written.
    """
    moment = time.time_ns() // 1000 if now_us is None else now_us
    hot = _connect(folder)
    try:
        with _alone(folder):
            made = []
            for day in _days_to_close(hot, (moment - int(grace_s * 1_000_000)) // DAY_US):
                made.append(_close(folder, hot, day))
            for known in closed_days(hot):
                if not known.removed:
                    _delete_moved(hot, known)
            if made:
                _prune(hot)
            _sweep(folder, hot)
            return made
    except sqlite3.Error as error:
        raise FarthingError(f"{folder}: days cannot be closed now: {error}") from None
    except OSError as error:
        raise FarthingError(f"{folder}: days cannot be closed: {error.strerror or error}") from None
    finally:
        hot.close()


def drop_days(folder: Path, before: date) -> list[Closed]:
    """Delete whole days before `before`, without reading their rows; those that were deleted.

    What is still hot of those days goes too, but for open rows, and what budgets spent in periods that ended before
    `before`. Raises `FarthingError` as `close_days` does.
    """
    hot = _connect(folder)
    end = (before - _EPOCH).days
    try:
        with _alone(folder):
            dropped = []
            newest = newest_us(hot)
            for known in closed_days(hot):
                if known.day < end:
                    hot.execute("BEGIN IMMEDIATE")
                    hot.execute("DELETE FROM day WHERE day = ?", (known.day,))
                    now_us = time.time_ns() // 1000
                    hot.execute("INSERT OR REPLACE INTO dropped_day VALUES (?, ?, ?)", (known.day, known.rows, now_us))
                    hot.execute("COMMIT")
                    (folder / DAYS / known.file).unlink(missing_ok=True)
                    dropped.append(Closed(day=_EPOCH + timedelta(known.day), file=known.file, rows=known.rows))
            _delete(hot, f"started_us < {end * DAY_US} AND state <> {OPEN}")
            forget_purses(hot, end * DAY_US, newest)
            _prune(hot)
            return dropped
    except sqlite3.Error as error:
        raise FarthingError(f"{folder}: days cannot be dropped now: {error}") from None
    except OSError as error:
        raise FarthingError(f"{folder}: days cannot be dropped: {error.strerror or error}") from None
    finally:
        hot.close()


def _connect(folder: Path) -> sqlite3.Connection:
    hot = connect(folder)
    hot.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    return hot


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process closes or drops days at a time."""
    handle = os.open(folder / "days.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _days_to_close(hot: sqlite3.Connection, before: int) -> list[int]:
    """Days before `before` with final hot rows that are not in Parquet."""
    known = {d.day: d for d in closed_days(hot)}
    found = hot.execute(
        f"SELECT started_us / {DAY_US}, max(batch) FROM attempt WHERE state <> {OPEN} AND started_us < ? GROUP BY 1",
        (before * DAY_US,),
    ).fetchall()
    return sorted(
        day
        for day, newest in found
        if day not in known or newest > known[day].through
    )  # fmt: skip


def _close(folder: Path, hot: sqlite3.Connection, day: int) -> Closed:
    connection = duck(MEMORY)
    try:
        hot.execute("BEGIN")
        try:
            known = {d.day: d for d in closed_days(hot)}.get(day)
            [(through,)] = hot.execute("SELECT batch FROM clock").fetchall()
            within = f"started_us >= {day * DAY_US} AND started_us < {(day + 1) * DAY_US} AND state <> {OPEN}"
            load_hot(connection, hot, [known] if known else [], where=within)
        finally:
            hot.execute("COMMIT")
        name = (_EPOCH + timedelta(day)).isoformat()
        generation = int(known.file.rpartition("/")[2].removesuffix(".parquet")) + 1 if known else 1
        file = f"day={name}/{generation}.parquet"
        target = folder / DAYS / file
        sums = _write(connection, target, folder / DAYS / known.file if known else None)
    finally:
        connection.close()
    rows = int(sums["rows"])
    hot.execute("BEGIN IMMEDIATE")
    try:
        hot.execute(
            "INSERT OR REPLACE INTO day VALUES (?, ?, ?, ?, 0, ?, ?)",
            (day, file, rows, through, msgspec.json.encode(sums).decode(), time.time_ns() // 1000),
        )
        hot.execute("COMMIT")
    except BaseException:
        if hot.in_transaction:
            hot.execute("ROLLBACK")
        raise
    return Closed(day=_EPOCH + timedelta(day), file=file, rows=rows)


def _write(connection: "duckdb.DuckDBPyConnection", target: Path, before: Path | None) -> dict[str, Any]:
    """Write the table `hot`, merged with the day's file before it, to `target`; its sums, read back from it."""
    import duckdb

    sources = ["hot"]
    if before is not None:
        # A row that came twice: a late end replaces "lost", all else was there first.
        old = parquet_sql([before])
        connection.execute(
            f"CREATE TABLE twice AS SELECT h.id, (d.state = 'lost' AND h.state <> 'lost') AS newer "
            f"FROM hot h JOIN {old} d ON d.id = h.id"
        )
        connection.execute("DELETE FROM hot WHERE id IN (SELECT id FROM twice WHERE NOT newer)")
        connection.execute(f"CREATE VIEW old AS SELECT * FROM {old} WHERE id NOT IN (SELECT id FROM twice WHERE newer)")
        sources.append("old")
    present = {source: columns_in(connection, source) for source in sources}
    meters = ordered_meters({c for names in present.values() for c in names if c not in COLUMNS})
    used = _used(connection, present, meters)
    parts = []
    for source, names in present.items():
        # Files of older releases lack columns that were added later.
        listed = [f'"{name}"' if name in names else f'NULL::VARCHAR AS "{name}"' for name in COLUMNS]
        listed += [(f'"{m}"' if m in names else f"NULL::{count_column_type(m)}") + f' AS "{m}"' for m in used]
        parts.append(f"SELECT {', '.join(listed)} FROM {source}")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}.new")
    try:
        connection.execute(
            f"COPY (SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY \"at\", id) TO '{_quoted(beside)}' "
            "(FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        meant = [day_sums(connection, f"({' UNION ALL '.join(parts)})", used)]
        found = [day_sums(connection, parquet_sql([beside]), used)]
        if meant != found:
            raise FarthingError(f"{beside}: what was written is not what was meant; nothing was moved")
        _sync(beside)
        beside.replace(target)
        for parent in (target.parent, target.parent.parent):
            _sync(parent)
    except duckdb.Error as error:
        raise FarthingError(f"{target}: cannot be written: {str(error).splitlines()[0]}") from None
    finally:
        beside.unlink(missing_ok=True)
    return found[0]


def _used(connection: "duckdb.DuckDBPyConnection", present: dict[str, list[str]], meters: Sequence[str]) -> list[str]:
    """The meters that any row consumed."""
    used = set()
    for source, names in present.items():
        here = [m for m in meters if m in names]
        if here:
            tests = ", ".join(f'coalesce(bool_or("{m}" <> 0), false)' for m in here)
            [row] = connection.execute(f"SELECT {tests} FROM {source}").fetchall()
            used |= {m for m, any_row in zip(here, row, strict=True) if any_row}
    return [m for m in meters if m in used]


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _delete_moved(hot: sqlite3.Connection, known: ClosedDay) -> None:
    start = known.day * DAY_US
    _delete(
        hot,
        f"started_us >= {start} AND started_us < {start + DAY_US} AND state <> {OPEN} AND batch <= {known.through}",
    )
    hot.execute("UPDATE day SET removed = 1 WHERE day = ? AND through = ?", (known.day, known.through))


def _delete(hot: sqlite3.Connection, test: str) -> None:
    """Delete the rows that meet `test`, in pieces, in the order of their ids."""
    last = ""
    while ids := hot.execute(
        f"SELECT attempt FROM attempt WHERE attempt > ? AND {test} ORDER BY attempt LIMIT {_PIECE}", (last,)
    ).fetchall():
        # Rows may have changed since they were looked up; the test decides again.
        hot.execute(f"DELETE FROM attempt WHERE attempt > ? AND attempt <= ? AND {test}", (last, ids[-1][0]))
        last = ids[-1][0]


def _prune(hot: sqlite3.Connection) -> None:
    """Forget words (users among them) that no hot row uses any more, and let every writer learn numbers anew."""
    if hot.execute("SELECT count(*) FROM attempt").fetchone()[0] > _MOST_PRUNED:
        return
    hot.execute("BEGIN IMMEDIATE")
    hot.execute("UPDATE clock SET epoch = epoch + 1")
    hot.execute(
        "DELETE FROM text WHERE id NOT IN (SELECT worker FROM attempt WHERE worker IS NOT NULL "
        + "".join(
            f"UNION SELECT {name} FROM attempt WHERE {name} IS NOT NULL "
            for name in ("user", "unknown", "tags", "attrs")
        )
        + ")"
    )
    hot.execute("DELETE FROM route WHERE id NOT IN (SELECT route FROM attempt)")
    hot.execute("DELETE FROM caller WHERE id NOT IN (SELECT caller FROM attempt)")
    hot.execute("COMMIT")


def _sweep(folder: Path, hot: sqlite3.Connection) -> None:
    """Remove files that no list of days names, once no reader can still hold an older list."""
    named = {d.file for d in closed_days(hot)}
    for path in (folder / DAYS).glob("day=*/*"):
        if str(path.relative_to(folder / DAYS)) not in named and time.time() - path.stat().st_mtime > _ORPHAN_S:
            path.unlink(missing_ok=True)
    for empty in (folder / DAYS).glob("day=*"):
        if not any(empty.iterdir()):
            empty.rmdir()
