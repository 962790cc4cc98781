"""Usage in columns: records (or Parquet) staged in a DuckDB table, for work on millions of rows.

What a price depends on besides time and quantity (provider, model, tier, region, attributes) takes
few distinct values: each distinct combination is a `Subject`, and a row holds its number.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError, Problems
from farthing.time import EPOCH, microseconds
from farthing.units import METERS, PROMPT_METERS
from farthing.usage.record import LARGEST_COUNT, Usage, tier_name

if TYPE_CHECKING:
    import duckdb

BATCH = 65_536
MEMORY = "1GB"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is constant over many rows and decides their price. `bucket`: rows sum several requests."""

    provider: str | None = None
    model: str | None = None
    tier: str = "standard"
    region: str | None = None
    channel: str | None = None
    attrs: tuple[tuple[str, str], ...] = ()
    bucket: bool = False


def subject_of(usage: Usage) -> Subject:
    return Subject(
        provider=usage.provider,
        model=usage.model,
        tier=usage.tier,
        region=usage.region,
        channel=usage.channel,
        attrs=tuple(sorted(usage.attrs.items())),
        bucket=usage.requests != 1,
    )


def connect(memory: str = MEMORY) -> "duckdb.DuckDBPyConnection":
    """An in-memory DuckDB with a bounded memory that spills to a temporary folder."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": memory, "preserve_insertion_order": False})
    connection.execute("SET enable_progress_bar = false")  # it would write to standard output
    connection.execute(f"SET temp_directory = '{tempfile.gettempdir()}'")
    return connection


class UsageTable:
    """Rows of usage as a DuckDB relation named `name`, with its subjects.

    Columns: `subject`, `started` and `completed` (microseconds since 1970), `requests`, and one
    BIGINT column for each meter in `meters` (counts in 1/scale units).
    """

    def __init__(self, connection: "duckdb.DuckDBPyConnection", name: str = "usage") -> None:
        self.connection = connection
        self.name = name
        self.subjects: list[Subject] = []
        self.meters: list[str] = []
        self.rows = 0
        self._numbers: dict[Subject, int] = {}
        self._pending: list[tuple[int, int, int, int, Any]] = []
        self._made = False

    def add(self, usage: Usage) -> None:
        """Stage one record; call `flush` after the last."""
        subject = subject_of(usage)
        number = self._numbers.get(subject)
        if number is None:
            number = self._numbers[subject] = len(self.subjects)
            self.subjects.append(subject)
        started = microseconds(usage.at)
        if usage.completed is not None:
            completed = microseconds(usage.completed)
        else:
            completed = started + int((usage.latency_s or 0) * 1_000_000)
        self._pending.append((number, started, completed, usage.requests, usage.quantities))
        if len(self._pending) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Move what is pending into the table."""
        if not self._made:
            self.connection.execute(
                f"CREATE TABLE {self.name} (subject INTEGER, started BIGINT, completed BIGINT, requests BIGINT)"
            )
            self._made = True
        if not self._pending:
            return
        import numpy as np

        rows, self._pending = self._pending, []
        self.rows += len(rows)
        for meter in sorted({name for row in rows for name in row[4]} - set(self.meters), key=list(METERS).index):
            self.connection.execute(f'ALTER TABLE {self.name} ADD COLUMN "{meter}" BIGINT DEFAULT 0')
            self.meters.append(meter)
        staged = {
            name: np.fromiter((row[position] for row in rows), dtype=np.int64, count=len(rows))
            for position, name in enumerate(("subject", "started", "completed", "requests"))
        }
        for meter in self.meters:
            staged[meter] = np.fromiter((row[4].get(meter, 0) for row in rows), dtype=np.int64, count=len(rows))
        self.connection.register("staged", staged)
        self.connection.execute(f"INSERT INTO {self.name} BY NAME SELECT * FROM staged")
        self.connection.unregister("staged")

    def span(self) -> tuple[int, int] | None:
        """The first and last start in microseconds since 1970, or None without rows."""
        # fetchall, not fetchone: DuckDB refuses further work while a result is unfinished.
        [(first, last)] = self.connection.execute(f"SELECT min(started), max(started) FROM {self.name}").fetchall()
        return None if first is None else (first, last)

    def prompt_sql(self) -> str:
        """SQL for the prompt length of a row: all that was read, cached or not."""
        names = [f'"{name}"' for name in self.meters if name in PROMPT_METERS]
        return "(" + (" + ".join(names) or "0") + ")"

    def records(self, subjects: Iterable[int]) -> Iterator[tuple[int, Usage]]:
        """The rows of some subjects as (subject number, record), in order of their start."""
        wanted = ", ".join(str(number) for number in subjects) or "NULL"
        columns = ["subject", "started", "completed", "requests", *(f'"{m}"' for m in self.meters)]
        found = self.connection.cursor().execute(
            f"SELECT {', '.join(columns)} FROM {self.name} WHERE subject IN ({wanted}) ORDER BY started"
        )
        while rows := found.fetchmany(BATCH):
            for number, started, completed, requests, *counts in rows:
                subject = self.subjects[number]
                yield (
                    number,
                    Usage(
                        at=from_micro(started),
                        completed=from_micro(completed),
                        quantities={m: n for m, n in zip(self.meters, counts, strict=True) if n},
                        provider=subject.provider,
                        model_served=subject.model,
                        tier_served=subject.tier,
                        region=subject.region,
                        channel=subject.channel,
                        attrs=dict(subject.attrs),
                        requests=requests,
                    ),
                )


def from_micro(value: int) -> datetime:
    """The instant `value` microseconds after 1970."""
    return EPOCH + timedelta(microseconds=value)


def stage(
    records: Iterable[Usage],
    connection: "duckdb.DuckDBPyConnection | None" = None,
    progress: Callable[[int], None] | None = None,
) -> UsageTable:
    """Stage `records` as a table; `progress` is called with the number of rows now and then."""
    table = UsageTable(connection or connect())
    for number, usage in enumerate(records, 1):
        table.add(usage)
        if progress and number % BATCH == 0:
            progress(number)
    table.flush()
    return table


PARQUET_TEXT = ("provider", "model", "tier", "region")


def view_parquet(
    paths: Sequence[Path], problems: Problems, connection: "duckdb.DuckDBPyConnection | None" = None
) -> UsageTable:
    """Usage over Parquet files that stay where they are, read in columns: nothing is copied.

    The files need `at` (a timestamp with time zone) and meter columns of whole counts in 1/scale
    units; `provider`, `model`, `tier`, `region`, `requests` and `completed` where they have them. A
    null count is none; rows with a negative or absurd count, or without a time, are left out and
    counted in `problems`. Raises `FarthingError` where a needed column is missing or the time is naive.
    """
    connection = connection or connect()
    names = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    files = f"read_parquet({names}, union_by_name = true)"
    types = columns_of(paths, connection)
    if "at" not in types:
        raise FarthingError(f"{paths[0]}: no column 'at'; name the one that has the time with --map at=COLUMN")
    if "WITH TIME ZONE" not in types["at"]:
        raise FarthingError(f"{paths[0]}: column 'at' has no time zone; store it as a timestamp with time zone")
    table = UsageTable(connection)
    table.meters = [name for name in METERS if name in types and name != "requests"]
    if not table.meters:
        raise FarthingError(f"{paths[0]}: no column is a meter (input, output, cache_read, …)")
    text = {name: f"coalesce(\"{name}\", '')" if name in types else "''" for name in PARQUET_TEXT}
    requests = 'coalesce("requests", 1)::BIGINT' if "requests" in types else "1::BIGINT"
    most = {name: LARGEST_COUNT * METERS[name].scale for name in table.meters}
    good = " AND ".join(
        ['"at" IS NOT NULL', f"{requests} > 0", *(f'coalesce("{n}", 0) BETWEEN 0 AND {most[n]}' for n in table.meters)]
    )
    bucket = f"({requests} <> 1)"
    keys = ", ".join([*(f"{sql} AS s_{name}" for name, sql in text.items()), f"{bucket} AS s_bucket"])
    rows = connection.execute(f"SELECT {keys}, count(*) FROM {files} WHERE {good} GROUP BY ALL").fetchall()
    text_columns = ", ".join(f"s_{name} VARCHAR" for name in PARQUET_TEXT)
    connection.execute(f"CREATE TABLE subjects (subject INTEGER, {text_columns}, s_bucket BOOLEAN)")
    for number, (provider, model, tier, region, is_bucket, _) in enumerate(rows):
        table.subjects.append(
            Subject(provider=provider or None, model=model or None, tier=tier_name(tier), region=region or None,
                    bucket=is_bucket)
        )  # fmt: skip
        connection.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?)", [number, provider, model, tier, region, is_bucket]
        ).fetchall()
    counts = ", ".join(f'coalesce("{meter}", 0)::BIGINT AS "{meter}"' for meter in table.meters)
    completed = 'epoch_us(coalesce("completed", "at"))' if "completed" in types else 'epoch_us("at")'
    on = " AND ".join([*(f"{sql} = s_{name}" for name, sql in text.items()), f"{bucket} = s_bucket"])
    connection.execute(
        f'CREATE VIEW {table.name} AS SELECT subject, epoch_us("at") AS started, {completed} AS completed, '
        f"{requests} AS requests, {counts} FROM {files} JOIN subjects ON {on} WHERE {good}"
    )
    table.rows = sum(row[-1] for row in rows)
    [(everything,)] = connection.execute(f"SELECT count(*) FROM {files}").fetchall()
    if everything > table.rows:
        bad = everything - table.rows
        problems.add(f"{paths[0]}", f"{bad:,} rows have no time, or a count that is negative or absurd",
                     "mend them at their source", kind="no time, or a bad count")  # fmt: skip
    return table


def columns_of(paths: Sequence[Path], connection: "duckdb.DuckDBPyConnection | None" = None) -> dict[str, str]:
    """The columns of Parquet files with their SQL types. Raises `FarthingError` for what is not Parquet."""
    import duckdb

    names = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    try:
        found = (connection or connect()).execute(f"DESCRIBE SELECT * FROM read_parquet({names}, union_by_name = true)")
        return {row[0]: row[1] for row in found.fetchall()}
    except duckdb.Error as error:
        raise FarthingError(f"{paths[0]}: {str(error).splitlines()[0]}") from None
