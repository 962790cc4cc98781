"""Hot rows on their way into DuckDB: numbers as arrays, texts by their number, joined there.

DuckDB's own SQLite reader is an extension that may not be at hand, so they come through Python, in columns.
"""

import sqlite3
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.ledger.amounts import FEMTO, PLACES
from farthing.ledger.schema import CALLER, COUNTS, DAY_US, OPEN, ROUTE, STATE_NAMES, TEXTS
from farthing.units import METERS

if TYPE_CHECKING:
    import duckdb

BATCH = 65_536
_NONE = -(1 << 63)  # stands for NULL on the way through arrays
USD_TYPE = f"DECIMAL(38, {PLACES})"

COLUMNS = (
    "id", "request", "number", "state", "at", "completed", "first_byte", "worker", *ROUTE[:-1], "streamed",
    "http_status", "error", "estimated", "usd", "usd_exact", "unknown", "price", "reported_usd", "reported_exact",
    "key", "feature", "request_type", "user", "segment", "session", "tags", "attrs", "decision", "answer",
)  # fmt: skip
"""The columns of `attempts` and of a day's file, before one column for each meter (in units of the meter).

`usd` is exact in 15 decimals; a charge that has no such form is the fraction `usd_exact` ("1/3"), and `usd` is null.
Both null: unknown (or not ended yet). Empty texts are null. `tags` and `attrs` are JSON objects."""


class ClosedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day whose rows are in Parquet: `day` counts from 1970-01-01; rows of batches up to `through` were moved."""

    day: int
    file: str
    rows: int
    through: int
    removed: bool
    sums: str


def closed_days(hot: sqlite3.Connection) -> list[ClosedDay]:
    """The days in Parquet, oldest first."""
    return [
        ClosedDay(day=day, file=file, rows=rows, through=through, removed=bool(removed), sums=sums)
        for day, file, rows, through, removed, sums in hot.execute(
            "SELECT day, file, rows, through, removed, sums FROM day ORDER BY day"
        )
    ]


def moved_sql(days: Sequence[ClosedDay]) -> str:
    """SQL for the hot rows that are in Parquet already and only wait for their removal; "" where none are."""
    tests = [
        f"(started_us >= {d.day * DAY_US} AND started_us < {(d.day + 1) * DAY_US} AND batch <= {d.through})"
        for d in days
        if not d.removed
    ]
    return f"(state <> {OPEN} AND ({' OR '.join(tests)}))" if tests else ""


def load_hot(
    connection: "duckdb.DuckDBPyConnection",
    hot: sqlite3.Connection,
    days: Sequence[ClosedDay],
    since_us: int | None = None,
    until_us: int | None = None,
    only: Collection[str] | None = None,
    where: str = "",
) -> int:
    """Stage the hot rows as the DuckDB table `hot` (columns as `COLUMNS`, then meters); how many there are.

    `only`: the columns that are needed besides meters, times, state and money; others may be null.
    """
    tests = [where] if where else []
    if since_us is not None:
        tests.append(f"started_us >= {since_us}")
    if until_us is not None:
        tests.append(f"started_us < {until_us}")
    if moved := moved_sql(days):
        tests.append(f"NOT {moved}")
    whole, texts = _sources(hot, days, only)
    selected = [f"ifnull({sql}, {_NONE})" for sql in whole.values()] + list(texts.values())
    connection.execute(f"CREATE TABLE hot_raw ({_RAW})")
    found = hot.execute(
        f"SELECT {', '.join(selected)} FROM attempt" + (f" WHERE {' AND '.join(tests)}" if tests else "")
    )
    rows = 0
    while batch := found.fetchmany(BATCH):
        rows += len(batch)
        _stage(connection, "hot_raw", [*whole, *texts], len(whole), batch)
    for table, columns in (("text", ("value",)), ("route", ROUTE), ("caller", CALLER)):
        _dictionary(connection, hot, table, columns)
    _join(connection)
    return rows


_ALWAYS = ("number", "state", "started_us", "took_us", *COUNTS, "unknown")
_AMOUNTS = ("usd", "reported_usd")
_OWN = {
    "attempt": "id", "request": "request", "session": "session", "error": "error", "decision": "decision",
    "answer": "answer",
}  # fmt: skip
"""Texts of a row that are its own, and what they are called in `COLUMNS`; they cost the most to bring over."""
_FOR = {
    "first_us": "first_byte", "worker": "worker", "user": "user", "streamed": "streamed", "status": "http_status",
    "estimated": "estimated", "tags": "tags", "attrs": "attrs",
}  # fmt: skip
_RAW = ", ".join(
    [
        *(f'"{name}" BIGINT' for name in (*_ALWAYS, *_FOR, "route", "caller", *_AMOUNTS)),
        *(f'"{name}" VARCHAR' for name in (*_OWN, "more", "usd_exact", "reported_exact")),
    ]
)


def _sources(
    hot: sqlite3.Connection, days: Sequence[ClosedDay], only: Collection[str] | None
) -> tuple[dict[str, str], dict[str, str]]:
    """SQL for the columns of `hot_raw` that are needed: whole numbers, and texts."""

    def needed(*names: str) -> bool:
        return only is None or not set(only).isdisjoint(names)

    def any_row(test: str) -> bool:
        return hot.execute(f"SELECT 1 FROM attempt WHERE {test} LIMIT 1").fetchone() is not None

    whole = {name: f'"{name}"' for name in _ALWAYS}
    whole |= {name: f'"{name}"' for name, column in _FOR.items() if needed(column)}
    whole |= {name: name for name, columns in (("route", ROUTE), ("caller", CALLER)) if needed(*columns)}
    texts = {name: f'"{name}"' for name, column in _OWN.items() if needed(column)}
    if "decision" in texts and only is not None and "model" in only:  # what was served needs none for its model
        texts["decision"] = "iif(route IN (SELECT id FROM route WHERE model_served = ''), decision, NULL)"
    late = [f"started_us BETWEEN {d.day * DAY_US} AND {(d.day + 1) * DAY_US - 1}" for d in days]
    if late and "attempt" not in texts and any_row(" OR ".join(late)):
        texts["attempt"] = "attempt"  # to tell which of them are in the day's file as well
    if any_row("more IS NOT NULL"):
        texts["more"] = "more"
    for name, exactly in zip(_AMOUNTS, ("usd_exact", "reported_exact"), strict=True):
        if any_row(f"typeof({name}) = 'text'"):
            whole[name] = f"iif(typeof({name}) = 'integer', {name}, NULL)"
            texts[exactly] = f"iif(typeof({name}) = 'text', {name}, NULL)"
        else:
            whole[name] = name
    return whole, texts


def _stage(
    connection: "duckdb.DuckDBPyConnection", table: str, names: Sequence[str], whole: int, batch: list[tuple[Any, ...]]
) -> None:
    import numpy as np

    columns: dict[str, Any] = {}
    for number, (name, values) in enumerate(zip(names, zip(*batch, strict=True), strict=True)):
        if number < whole:
            columns[name] = np.array(values, dtype=np.int64)
        else:
            made = np.empty(len(values), dtype=object)
            made[:] = values
            columns[name] = made
    casts = ", ".join(
        f'nullif("{name}", {_NONE}) AS "{name}"' if n < whole else f'"{name}"::VARCHAR AS "{name}"'
        for n, name in enumerate(names)
    )
    connection.register("staged", columns)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT {casts} FROM staged").fetchall()
    connection.unregister("staged")


def _dictionary(
    connection: "duckdb.DuckDBPyConnection", hot: sqlite3.Connection, table: str, columns: Sequence[str]
) -> None:
    names = ["id", *columns]
    listed = ", ".join(f'"{name}"' for name in names)
    types = ", ".join(f'"{name}" {"BIGINT" if name == "id" else "VARCHAR"}' for name in names)
    connection.execute(f"CREATE TABLE hot_{table} ({types})")
    found = hot.execute(f"SELECT {listed} FROM {table}")
    while batch := found.fetchmany(BATCH):
        _stage(connection, f"hot_{table}", names, 1, batch)


def _join(connection: "duckdb.DuckDBPyConnection") -> None:
    """`hot_raw` with its words, as `hot`."""
    from_words = {name: f"{name}_t.value" for name in TEXTS}
    states = " ".join(f"WHEN {number} THEN '{name}'" for number, name in STATE_NAMES.items())
    special = {
        "id": "h.attempt",
        "state": f"CASE h.state {states} END",
        "at": "make_timestamptz(h.started_us)",
        "completed": "make_timestamptz(h.started_us + h.took_us)",
        "first_byte": "make_timestamptz(h.started_us + h.first_us)",
        "streamed": "h.streamed = 1",
        "http_status": "h.status",
        "estimated": "h.estimated = 1",
        "usd": _dollars("usd"),
        "reported_usd": _dollars("reported_usd"),
        **{name: f"nullif(r.\"{name}\", '')" for name in ROUTE},
        **{name: f"nullif(c.\"{name}\", '')" for name in CALLER},
        **from_words,
    }
    chosen = [f'{special.get(name, f"""h."{name}" """)} AS "{name}"' for name in COLUMNS]
    more = [row[0] for row in connection.execute(
        "SELECT DISTINCT unnest(json_keys(more)) FROM hot_raw WHERE more IS NOT NULL ORDER BY 1"
    ).fetchall()]  # fmt: skip
    chosen += [count_column(name, f'h."{name}"') for name in COUNTS]
    for name in more:
        path = '$."' + name.replace("'", "''").replace('"', "") + '"'
        chosen.append(count_column(name, f"CAST(json_extract(h.more, '{path}') AS BIGINT)"))
    joins = " ".join(f'LEFT JOIN hot_text {name}_t ON {name}_t.id = h."{name}"' for name in TEXTS)
    connection.execute(
        f"CREATE TABLE hot AS SELECT {', '.join(chosen)} FROM hot_raw h LEFT JOIN hot_route r ON r.id = h.route "
        f"LEFT JOIN hot_caller c ON c.id = h.caller {joins}"
    ).fetchall()
    for table in ("raw", "text", "route", "caller"):
        connection.execute(f"DROP TABLE hot_{table}")


def _dollars(name: str) -> str:
    # A product of decimals is exact; a quotient would be a float.
    unit = f"CAST('0.{'0' * (PLACES - 1)}1' AS DECIMAL({PLACES}, {PLACES}))"
    return f"CAST(CAST(h.{name} AS DECIMAL(19, 0)) * {unit} AS {USD_TYPE})"


assert FEMTO == 10**PLACES


def count_column(name: str, sql: str) -> str:
    """SQL for a meter's column in whole units (exact decimals where it is kept finer), from its stored count."""
    if places := _places(name):
        unit = f"CAST('0.{'0' * (places - 1)}1' AS DECIMAL({places}, {places}))"
        sql = f"CAST(CAST({sql} AS DECIMAL(19, 0)) * {unit} AS {count_column_type(name)})"
    return f'{sql} AS "{name}"'


def count_column_type(name: str) -> str:
    """The SQL type of a meter's column."""
    return f"DECIMAL(38, {places})" if (places := _places(name)) else "BIGINT"


def _places(name: str) -> int:
    """Decimals in which a meter is kept."""
    return len(str(METERS[name].scale)) - 1 if name in METERS else 0
