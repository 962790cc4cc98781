"""One reader of everything: the hot rows in SQLite and the closed days in Parquet, as one DuckDB relation.

Hot rows are brought over (`hot`), closed days are read where they lie.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farthing.ledger.hot import COLUMNS, ClosedDay, closed_days, load_hot
from farthing.ledger.schema import DAY_US, connect
from farthing.problems import FarthingError
from farthing.units import METERS
from farthing.usage.table import connect as duck

if TYPE_CHECKING:
    import duckdb

DAYS = "days"
MODEL_COLUMNS = ("model_served", "model_asked", "decision")
_TARGET = "CASE WHEN model_served IS NULL AND json_valid(decision) THEN json_extract_string(decision, '$.target') END"
MODEL = f"coalesce(model_served, nullif(regexp_replace({_TARGET}, '^[^/]*/?', ''), ''), model_asked)"
"""SQL for the model of an attempt: served, else sent (the decision's target), else asked for (perhaps an alias)."""
MEMORY = "2GB"


class View:
    """What `open_view` gives: DuckDB with the relation `attempts`, the meters that are columns of it, what was read."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", meters: list[str], hot: int, days: list[ClosedDay]):
        self.connection = connection
        self.meters = meters
        self.hot_rows = hot
        self.days = days

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql, list(parameters)).fetchall()

    def count_sql(self, meter: str) -> str:
        """SQL for the exact count of a meter in 1/scale units, summed over a group; 0 of nothing."""
        scale = METERS[meter].scale if meter in METERS else 1
        return f'coalesce(sum("{meter}"), 0) * {scale}'


@contextmanager
def open_view(
    folder: Path, since_us: int | None = None, until_us: int | None = None, only: Collection[str] | None = None
) -> Iterator[View]:
    """`attempts` of the ledger in `folder` that started in [since, until), each once, as of one moment.

    Its columns are `hot.COLUMNS`, one for each meter, and `model` (`MODEL`). `only`: the columns that are needed
    besides meters, times, state and money; others may be null (`model` rests on `MODEL_COLUMNS`).
    Raises `FarthingError` where there is no ledger, or a day's file is missing.
    """
    connection = duck(MEMORY)
    try:
        hot = connect(folder, read_only=True)
        try:
            for again in (True, False):
                hot.execute("BEGIN")  # one snapshot for rows, words and the list of closed days
                try:
                    days = closed_days(hot)
                    chosen = [d for d in days if _meets(d.day, since_us, until_us)]
                    missing = [d.file for d in chosen if not (folder / DAYS / d.file).is_file()]
                    if missing and again:
                        continue  # closed again between the two looks
                    if missing:
                        raise FarthingError(f"{folder / DAYS / missing[0]}: a closed day is missing; restore it")
                    rows = load_hot(connection, hot, days, since_us, until_us, only)
                    break
                finally:
                    hot.execute("COMMIT")
        finally:
            hot.close()
        files = [folder / DAYS / d.file for d in chosen]
        yield _view(connection, rows, chosen, files, since_us, until_us)
    finally:
        connection.close()


def _meets(day: int, since_us: int | None, until_us: int | None) -> bool:
    return (until_us is None or day * DAY_US < until_us) and (since_us is None or (day + 1) * DAY_US > since_us)


def parquet_sql(files: Sequence[Path]) -> str:
    """SQL that reads the files of closed days."""
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"


def _view(
    connection: "duckdb.DuckDBPyConnection", rows: int, days: list[ClosedDay], files: list[Path], since_us: int | None,
    until_us: int | None,
) -> View:  # fmt: skip
    hot_columns = columns_in(connection, "hot")
    cold_columns = columns_in(connection, parquet_sql(files)) if files else []
    meters = ordered_meters({*hot_columns[len(COLUMNS) :], *(c for c in cold_columns if c not in COLUMNS)})
    parts = [_part("hot", hot_columns, meters)]
    if files:
        where = _superseded(connection, days, files)
        if since_us is not None:
            where.append(f'"at" >= make_timestamptz({since_us}::BIGINT)')
        if until_us is not None:
            where.append(f'"at" < make_timestamptz({until_us}::BIGINT)')
        parts.append(_part(parquet_sql(files), cold_columns, meters) + (f" WHERE {' AND '.join(where)}" * bool(where)))
    connection.execute(f"CREATE VIEW attempts AS SELECT *, {MODEL} AS model FROM ({' UNION ALL '.join(parts)})")
    return View(connection, meters, rows, days)


def columns_in(connection: "duckdb.DuckDBPyConnection", source: str) -> list[str]:
    """The names of the columns of a table, a view or what `parquet_sql` gives."""
    return [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]


def ordered_meters(names: Collection[str]) -> list[str]:
    """Meters in the order of the registry, then those that it does not know."""
    return [*(name for name in METERS if name in names), *sorted(name for name in names if name not in METERS)]


def _part(source: str, present: Collection[str], meters: Sequence[str]) -> str:
    chosen = [f'"{name}"' if name in present else f'NULL AS "{name}"' for name in COLUMNS]
    chosen += [f'"{name}"' if name in present else f'NULL AS "{name}"' for name in meters]
    return f"SELECT {', '.join(chosen)} FROM {source}"


def _superseded(connection: "duckdb.DuckDBPyConnection", days: Sequence[ClosedDay], files: Sequence[Path]) -> list[str]:
    """Tell rows apart that are both hot and in a closed day: a late end replaces "lost", all else was there first."""
    late = f'epoch_us("at") // {DAY_US} IN ({", ".join(str(d.day) for d in days)})'
    [(count,)] = connection.execute(f"SELECT count(*) FROM hot WHERE {late}").fetchall()
    if not count:
        return []
    connection.execute(
        f"CREATE TABLE twice AS SELECT h.id, (d.state = 'lost' AND h.state NOT IN ('open', 'lost')) AS newer "
        f"FROM (SELECT id, state FROM hot WHERE {late}) h JOIN {parquet_sql(files)} d ON d.id = h.id"
    )
    connection.execute("DELETE FROM hot WHERE id IN (SELECT id FROM twice WHERE NOT newer)")
    [(newer,)] = connection.execute("SELECT count(*) FROM twice WHERE newer").fetchall()
    return ["id NOT IN (SELECT id FROM twice WHERE newer)"] if newer else []


def day_sums(connection: "duckdb.DuckDBPyConnection", source: str, meters: Sequence[str]) -> dict[str, Any]:
    """Rows, exact dollars and counts of `source`: what a day's file is checked against."""
    counts = "".join(f', CAST(coalesce(sum("{name}"), 0) AS VARCHAR)' for name in meters)
    [row] = connection.execute(
        "SELECT count(*), CAST(coalesce(sum(usd), 0) AS VARCHAR), count(usd), count(usd_exact), "
        f"count(DISTINCT id){counts} FROM {source}"
    ).fetchall()
    names = ("rows", "usd", "priced", "fractions", "distinct")
    return {**dict(zip(names, row, strict=False)), "meters": dict(zip(meters, row[5:], strict=True))}
