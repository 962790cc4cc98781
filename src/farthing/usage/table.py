"""Usage in columns: records (or Parquet) staged in a DuckDB table, for work on millions of rows.

What a price depends on besides time and quantity (provider, model, tier, region, attributes) takes
few distinct values: each distinct combination is a `Subject`, and a row holds its number.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError
from farthing.time import EPOCH, microseconds
from farthing.units import METERS, PROMPT_METERS
from farthing.usage.record import Usage, tier_name

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


def view_parquet(paths: list[Path], connection: "duckdb.DuckDBPyConnection | None" = None) -> UsageTable:
    """Usage over Parquet files that stay where they are, read in columns: nothing is copied.

    The files need a column `at` (a timestamp with time zone), `model`, and meter columns of whole
    counts; `provider`, `tier`, `region`, `requests` and `completed` where they have them. Bad counts
    (negative, null) are not looked for: read such files with `read_usage` instead.

    Raises `FarthingError` when a needed column is missing or the time has no zone.
    """
    connection = connection or connect()
    names = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    files = f"read_parquet({names}, union_by_name = true)"
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()}
    missing = [name for name in ("at", "model") if name not in types]
    if missing:
        raise FarthingError(f"{paths[0]}: no column {missing[0]!r}; map one with --map {missing[0]}=COLUMN")
    if "WITH TIME ZONE" not in types["at"]:
        raise FarthingError(f"{paths[0]}: column 'at' has no time zone; store it as a timestamp with time zone")
    table = UsageTable(connection)
    table._made = True
    table.meters = [name for name in METERS if name in types and name != "requests"]
    text = {name: f"coalesce(\"{name}\", '')" if name in types else "''" for name in PARQUET_TEXT}
    bucket = '"requests" <> 1' if "requests" in types else "false"
    keys = ", ".join([*(f"{sql} AS s_{name}" for name, sql in text.items()), f"{bucket} AS s_bucket"])
    rows = connection.execute(f"SELECT DISTINCT {keys} FROM {files}").fetchall()
    text_columns = ", ".join(f"s_{name} VARCHAR" for name in PARQUET_TEXT)
    connection.execute(f"CREATE TABLE subjects (subject INTEGER, {text_columns}, s_bucket BOOLEAN)")
    for number, (provider, model, tier, region, is_bucket) in enumerate(rows):
        subject = Subject(provider=provider or None, model=model or None, tier=tier_name(tier), region=region or None,
                          bucket=is_bucket)  # fmt: skip
        table.subjects.append(subject)
        connection.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?)", [number, provider, model, tier, region, is_bucket]
        )
    counts = ", ".join(f'"{meter}"::BIGINT AS "{meter}"' for meter in table.meters)
    completed = 'epoch_us("completed")' if "completed" in types else 'epoch_us("at")'
    requests = '"requests"::BIGINT' if "requests" in types else "1::BIGINT"
    on = " AND ".join([*(f"{sql} = s_{name}" for name, sql in text.items()), f"({bucket}) = s_bucket"])
    connection.execute(
        f'CREATE VIEW {table.name} AS SELECT subject, epoch_us("at") AS started, {completed} AS completed, '
        f"{requests} AS requests, {counts} FROM {files} JOIN subjects ON {on}"
    )
    [(table.rows,)] = connection.execute(f"SELECT count(*) FROM {files}").fetchall()
    return table
