"""Usage in columns: records (or Parquet) staged in a DuckDB table, for work on millions of rows.

What a price depends on besides time and quantity (provider, model, tier, region, attributes) takes
few distinct values: each distinct combination is a `Subject`, and a row holds its number.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError, Problems
from farthing.time import EPOCH, microseconds
from farthing.units import METERS, PROMPT_METERS
from farthing.usage.readers.values import YEARS, provider_name
from farthing.usage.record import LARGEST_COUNT, PriceRecord, Usage, tier_name

if TYPE_CHECKING:
    import duckdb

BATCH = 65_536
MEMORY = "1GB"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is constant over many rows and decides their price. `bucket`: rows sum several requests.

    `unmeasured`, `priced`: as in `Usage`.
    """

    provider: str | None = None
    model: str | None = None
    tier: str = "standard"
    region: str | None = None
    channel: str | None = None
    attrs: tuple[tuple[str, str], ...] = ()
    bucket: bool = False
    unmeasured: str = ""
    priced: PriceRecord | None = None


def subject_of(usage: Usage) -> Subject:
    return Subject(
        provider=usage.provider,
        model=usage.model,
        tier=usage.tier,
        region=usage.region,
        channel=usage.channel,
        attrs=tuple(sorted(usage.attrs.items())),
        bucket=usage.requests != 1,
        unmeasured=usage.unmeasured,
        priced=usage.priced,
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
        self._raw: dict[tuple[object, ...], int] = {}
        self._pending: list[tuple[int, int, int, int, Any]] = []
        self._made = False

    def add(self, usage: Usage) -> None:
        """Stage one record; call `flush` after the last."""
        raw = (
            usage.provider, usage.model_served, usage.model_asked, usage.tier_served, usage.tier_asked, usage.region,
            usage.channel, usage.requests != 1, tuple(usage.attrs.items()) if usage.attrs else (), usage.unmeasured,
            usage.priced,
        )  # fmt: skip
        number = self._raw.get(raw)
        if number is None:  # making a Subject costs more than looking its parts up
            subject = subject_of(usage)
            number = self._raw[raw] = self._numbers.setdefault(subject, len(self.subjects))
            if number == len(self.subjects):
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
        for meter in sorted(
            {name for row in rows for name in row[4]} - {*self.meters, "requests"}, key=list(METERS).index
        ):
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
                        unmeasured=subject.unmeasured,
                        priced=subject.priced,
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


_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
_ZONED = "TIMESTAMP WITH TIME ZONE"
_TEXTS = {
    "provider": ("provider",),
    "model": ("model_served", "model", "model_asked"),
    "tier": ("tier_served", "tier", "service_tier", "tier_asked"),
    "region": ("region",),
    "channel": ("channel",),
}
"""What the columns of a subject are called in a file, the first that has a text deciding, as in the table's reader."""
_IDS = ("id", "request_id")
_BY_ROW = frozenset({"input_total", "relative", "estimated", "latency_s", "attrs"})  # only the reader knows these
_FIRST, _LAST = (microseconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (YEARS.start, YEARS.stop))


def view_parquet(
    paths: Sequence[Path], problems: Problems, connection: "duckdb.DuckDBPyConnection | None" = None
) -> UsageTable | None:
    """Usage over Parquet files that stay where they are, read in columns: nothing is copied.

    The files need `at` (a timestamp with time zone) and whole-number columns of meters. None where
    columns alone would not give what the table's reader gives (counts that are fractions or text, another
    column that changes a row's meaning, an id that repeats): read those by row. A null count is none;
    bad rows are left out, counted in `problems` and the first of them listed. Raises `FarthingError`
    where a needed column is missing or the time is naive.
    """
    connection = connection or connect()
    kinds = [columns_of([path], connection) for path in paths]
    for path, types in zip(paths, kinds, strict=True):
        if "at" not in types:
            raise FarthingError(f"{path}: no column 'at'; name the one that has the time with --map at=COLUMN")
        if types["at"].startswith("TIMESTAMP") and types["at"] != _ZONED:
            raise FarthingError(f"{path}: column 'at' has no time zone; store it as a timestamp with time zone")
        if not any(name in types for name in METERS if name != "requests") and "input_total" not in types:
            raise FarthingError(f"{path}: no column is a meter (input, output, cache_read, …)")
        if not _plain(types):
            return None
    here = {name for types in kinds for name in types}
    names = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    files = f"read_parquet({names}, union_by_name = true)"
    table = UsageTable(connection)
    table.meters = [name for name in METERS if name in here and name != "requests"]
    ids = [f"nullif(trim(\"{name}\"), '')" for name in _IDS if name in here]
    if ids:
        key = f"coalesce({', '.join(ids)})"
        sql = f"SELECT count({key}), count(DISTINCT hash({key})) FILTER ({key} IS NOT NULL) FROM {files}"
        [(stated_ids, distinct)] = connection.execute(sql).fetchall()
        if stated_ids != distinct:
            return None
    texts = [name for columns in _TEXTS.values() for name in columns if name in here]
    requests = 'coalesce(try_cast("requests" AS BIGINT), 1)' if "requests" in here else "1::BIGINT"
    started = 'epoch_us("at")'
    completed = f'coalesce(epoch_us("completed"), {started})' if "completed" in here else started
    tests = [f"{time} BETWEEN {_FIRST} AND {_LAST - 1}" for time in dict.fromkeys((started, completed))]
    tests += [f'coalesce("{name}", 0) BETWEEN 0 AND {LARGEST_COUNT}' for name in table.meters]
    if "requests" in here:
        tests.append(f'coalesce("requests", 1) BETWEEN 1 AND {LARGEST_COUNT}')
    if "reasoning" in here:
        tests.append('coalesce("reasoning", 0) <= ' + ('coalesce("output", 0)' if "output" in here else "0"))
    good = f"({' AND '.join(tests)})"
    bucket = f"({requests} <> 1)"
    raw = {name: f"coalesce(\"{name}\", '')" for name in texts}
    keys = ", ".join([*(f'{sql} AS "s_{name}"' for name, sql in raw.items()), f"{bucket} AS s_bucket"])
    rows = connection.execute(f"SELECT {keys}, count(*) FROM {files} WHERE {good} GROUP BY ALL").fetchall()
    held = ", ".join([*(f'"s_{name}" VARCHAR' for name in texts), "s_bucket BOOLEAN", "subject INTEGER"])
    connection.execute(f"CREATE TABLE subjects ({held})")
    marks = ", ".join("?" * (len(texts) + 2))
    for number, (*values, _) in enumerate(rows):
        stated = dict(zip(texts, values, strict=False))
        named = {
            part: next((found for name in columns if (found := stated.get(name, "").strip())), None)
            for part, columns in _TEXTS.items()
        }
        table.subjects.append(
            Subject(provider=provider_name(named["provider"]), model=named["model"], tier=tier_name(named["tier"]),
                    region=named["region"], channel=named["channel"], bucket=values[-1])
        )  # fmt: skip
        connection.execute(f"INSERT INTO subjects VALUES ({marks})", [*values, number]).fetchall()
    counts = ", ".join(
        f'try_cast(coalesce("{meter}", 0) AS BIGINT) * {METERS[meter].scale} AS "{meter}"' for meter in table.meters
    )
    on = " AND ".join([*(f'{sql} = "s_{name}"' for name, sql in raw.items()), f"{bucket} = s_bucket"])
    connection.execute(
        f"CREATE VIEW {table.name} AS SELECT subject, {started} AS started, {completed} AS completed, "
        f"{requests} AS requests, {counts} FROM {files} JOIN subjects ON {on} WHERE {good}"
    )
    table.rows = sum(row[-1] for row in rows)
    [(everything,)] = connection.execute(f"SELECT count(*) FROM {files}").fetchall()
    if bad := everything - table.rows:
        _list_bad(bad, f"{names}, union_by_name = true, filename = true, file_row_number = true", good, problems,
                  connection)  # fmt: skip
    return table


def _plain(types: Mapping[str, str]) -> bool:
    """Whether columns of these types mean what the table's reader would make of each row."""
    if not _BY_ROW.isdisjoint(types):
        return False
    texts = (*(name for columns in _TEXTS.values() for name in columns), *_IDS)
    return (
        types["at"] == _ZONED
        and types.get("completed", _ZONED) == _ZONED
        and all(types.get(name, "VARCHAR") == "VARCHAR" for name in texts)
        and all(types.get(name, "BIGINT") in _WHOLE for name in (*METERS, "requests"))
    )


def _list_bad(bad: int, files: str, good: str, problems: Problems, connection: "duckdb.DuckDBPyConnection") -> None:
    """Count `bad` rows of Parquet as problems, and list the first by file and row."""
    kind, repair = "no time, or a bad count", "mend them at their source"
    listed = connection.execute(
        f"SELECT filename, file_row_number + 1 FROM read_parquet({files}) WHERE {good} IS NOT TRUE "
        f"ORDER BY filename, file_row_number LIMIT {max(problems.keep, 1)}"
    ).fetchall()
    for path, number in listed:
        problems.add(f"{path} row {number}", "no time, or a count that is negative or absurd", repair, kind)
    problems.total += bad - len(listed)
    problems.reasons[kind] += bad - len(listed)


def columns_of(paths: Sequence[Path], connection: "duckdb.DuckDBPyConnection | None" = None) -> dict[str, str]:
    """The columns of Parquet files with their SQL types. Raises `FarthingError` for what is not Parquet."""
    import duckdb

    names = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    try:
        found = (connection or connect()).execute(f"DESCRIBE SELECT * FROM read_parquet({names}, union_by_name = true)")
        return {row[0]: row[1] for row in found.fetchall()}
    except duckdb.Error as error:
        raise FarthingError(f"{paths[0]}: {str(error).splitlines()[0]}") from None
