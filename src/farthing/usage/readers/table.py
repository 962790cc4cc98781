"""Tables of our own shape: CSV, JSONL or Parquet whose columns are the fields of `Usage` and the meters.

A mapping names the columns of any other table: field to column. Besides the fields and meters there
is one more field, `input_total`: input that includes the row's cache reads and writes, which are
subtracted from it. A column written "=VALUE" is no column but that value, for every row.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from farthing.money import parse_decimal
from farthing.problems import FarthingError, Problems
from farthing.time import EPOCH
from farthing.units import METERS, PROMPT_METERS
from farthing.usage.readers.base import Memory, Reader, build, shape
from farthing.usage.readers.rows import rows
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    later,
    meters,
    part,
    pick,
    provider_name,
    rest,
    seconds,
    text,
    usd,
    whole,
)
from farthing.usage.record import Usage

TIME_NAMES = ("at", "timestamp", "time", "created_at", "datetime", "start_time")
_TEXTS = frozenset({
    "model_asked", "model_served", "channel", "tier_asked", "tier_served", "region", "feature", "user", "session",
    "status", "id",
})  # fmt: skip
_ALIASES = {"model": "model_served", "tier": "tier_served", "service_tier": "tier_served", "request_id": "id"}
_FIELDS = {*Usage.__struct_fields__, *METERS, "input_total", *_ALIASES} - {"quantities"}
_BATCH = 10_000


def is_canonical(columns: frozenset[str]) -> bool:
    """Whether `columns` name a time and at least one meter."""
    counted = any((name in METERS and name != "reasoning") or name == "input_total" for name in columns)
    return counted and any(name in columns for name in TIME_NAMES)


def _sniff(path_name: str, head: bytes) -> bool:
    if head.startswith(b"PAR1"):
        return True
    seen = shape(head)
    return is_canonical(seen.columns or seen.keys)


def _truth(value: object) -> bool:
    stated = (text(value) or "").lower()
    if stated in ("", "false", "0", "no"):
        return False
    if stated in ("true", "1", "yes"):
        return True
    raise BadRow(f"{stated!r} is not true or false")


def _hashes(row: Row) -> tuple[int, ...]:
    stated = row.get("prefix_hashes")
    if stated is None or stated == "":
        return ()
    if isinstance(stated, str):
        stated = stated.strip("[]").replace(",", " ").split()
    if not isinstance(stated, (list, tuple)):
        raise BadRow("prefix_hashes is not a list of whole numbers")
    try:
        return tuple(int(value) for value in stated)
    except (TypeError, ValueError):
        raise BadRow("prefix_hashes is not a list of whole numbers") from None


def _counts(row: Row) -> dict[str, int]:
    stated: dict[str, object] = {}
    for name, value in row.items():
        meter = METERS.get(name)
        if meter is None or name == "requests" or value is None or value == "":  # requests are the record's own field
            continue
        if meter.scale == 1:
            stated[name] = whole(row, name)
        else:
            try:
                stated[name] = parse_decimal(value)
            except ValueError:
                raise BadRow(f"{name} is {str(value)[:60]!r}, not a decimal number", kind="bad count") from None
    total = pick(row, "input_total")
    if total is not None:
        if "input" in stated:
            raise BadRow("both input and input_total are given", "keep one", "two inputs")
        inside = sum(int(str(stated.get(name, 0))) for name in PROMPT_METERS)
        stated["input"] = rest(whole(row, "input_total"), "input_total", cached=inside)
    return meters(**stated)


def _requests(row: Row) -> int:
    stated = whole(row, "requests")
    if not stated:
        raise BadRow("requests is 0: a row stands for one request or more", kind="bad count")
    return stated


_PARTS: dict[str, Callable[[Row], object]] = {
    "provider": lambda row: provider_name(row["provider"]),
    "attrs": lambda row: {str(key): str(value) for key, value in part(row, "attrs").items()},
    "tags": lambda row: {str(key): str(value) for key, value in part(row, "tags").items()},
    "completed": lambda row: later(row["completed"]),
    "latency_s": lambda row: seconds(row["latency_s"]),
    "ttft_s": lambda row: seconds(row["ttft_s"]),
    "requests": _requests,
    "prefix_hashes": _hashes,
    "block_tokens": lambda row: whole(row, "block_tokens") or None,
    "reported_usd": lambda row: usd(row["reported_usd"]),
    "estimated": lambda row: _truth(row["estimated"]),
}
"""What each field of a record that is not plain text makes of its column, where the row has a value there."""


def _usage(row: Row) -> Usage | None:
    values: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        if name in _TEXTS:
            values[name] = text(value)
        elif (make := _PARTS.get(name)) is not None:
            values[name] = make(row)
    for alias, name in _ALIASES.items():
        if alias in row:
            values[name] = values.get(name) or text(row[alias])
    values["status"] = values.get("status") or "ok"
    relative = "relative" in row and _truth(row["relative"])
    stated = pick(row, *TIME_NAMES)
    at = _offset(stated) if relative else instant(stated)
    return Usage(at=at, quantities=_counts(row), relative=relative, **values)


def _offset(stated: object) -> datetime:
    offset = seconds(stated)
    if offset is None:
        raise BadRow(f"{stated!r} is not seconds from the start", kind="bad time")
    return EPOCH + timedelta(seconds=offset)


def _renamed(
    found: Iterator[tuple[str, Row]], mapping: Mapping[str, str], problems: Problems
) -> Iterator[tuple[str, Row]]:
    """Rows under our names. A row that has none of the mapped columns is a problem, and so is a column
    that no row has: what was to be read from it is missing from every count."""
    constant = {field: column[1:] for field, column in mapping.items() if column.startswith("=")}
    named = {field: column for field, column in mapping.items() if field not in constant}
    if not mapping:
        yield from found
        return
    unseen, present, place = set(named.values()), "", ""
    for place, row in found:
        if unseen:
            unseen.difference_update(row)
            present = present or ", ".join(str(column) for column in list(row)[:20])
        if named and not any(column in row for column in named.values()):
            reason = f"none of the mapped columns is here: {', '.join(named.values())}"
            problems.add(place, reason, "correct the mapping", "mapped columns are missing")
            continue
        yield place, {**row, **constant, **{field: row.get(column) for field, column in named.items()}}
    for column in sorted(unseen) if unseen != set(named.values()) else ():  # else every row said so
        repair = f"the columns are {present}"
        problems.add(
            place, f"the mapped column {column!r} is in no row up to here", repair, "a mapped column is in no row"
        )


def parquet_rows(path: Path, place: str) -> Iterator[tuple[str, Row]]:
    """The rows of a Parquet file, streamed; times with a zone as UTC instants, fractions as text."""
    import duckdb

    try:
        link = duckdb.connect()
        columns = link.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        chosen = ", ".join(_column(name, kind) for name, kind, *_ in columns)
        zoned = [name for name, kind, *_ in columns if kind == _ZONED]
        found = link.execute(f"SELECT {chosen} FROM read_parquet(?)", [str(path)])
        number = 0
        while batch := found.fetchmany(_BATCH):
            for values in batch:
                number += 1
                row = {column[0]: value for column, value in zip(columns, values, strict=True)}
                for name in zoned:
                    row[name] = _moment(row[name])
                yield f"{place} row {number}", row
    except duckdb.Error as fault:
        raise FarthingError(f"{place}: cannot be read as Parquet: {str(fault).splitlines()[0]}") from None


_ZONED = "TIMESTAMP WITH TIME ZONE"


def _moment(micro: int | None) -> datetime | str | None:
    """The instant `micro` microseconds after 1970: not the bare number, whose unit would be guessed by its size."""
    try:
        return None if micro is None else EPOCH + timedelta(microseconds=micro)
    except OverflowError:
        return f"{micro} microseconds after 1970"  # no year that we know: the row is refused


def _column(name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    if kind == _ZONED:
        return f"epoch_us({quoted})"
    if kind in ("DOUBLE", "FLOAT"):
        return f"CAST({quoted} AS VARCHAR)"  # the shortest digits that name it, never a binary float
    return quoted


def table_reader(mapping: Mapping[str, str] | None = None) -> Reader:
    """The table reader; with `mapping` (field to column) for columns of other names.

    Raises `FarthingError` for a field that is neither a field of `Usage` nor a meter.
    """
    chosen = {name.replace("-", "_"): column for name, column in (mapping or {}).items()}
    unknown = [name for name in chosen if name not in _FIELDS]
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], _FIELDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FarthingError(f"mapping: {unknown[0]!r} is neither a field of a usage record nor a meter{hint}")

    def decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
        yield from build(_renamed(rows(stream, place, problems), chosen, problems), _usage, problems, memory)

    return Reader(name="table", title=_TITLE, containment=_CONTAINMENT, sniff=_sniff, decode=decode)


def read_parquet(
    path: Path, place: str, problems: Problems, memory: Memory, mapping: Mapping[str, str] | None = None
) -> Iterator[Usage]:
    """The usage records of a Parquet table; see `table_reader` for `mapping` and errors."""
    table_reader(mapping)
    chosen = {name.replace("-", "_"): column for name, column in (mapping or {}).items()}
    yield from build(_renamed(parquet_rows(path, place), chosen, problems), _usage, problems, memory)


_TITLE = "a table (CSV, JSONL or Parquet) with our column names, or with a mapping"
_CONTAINMENT = (
    "Every meter's column is disjoint from the others (reasoning alone is part of output); a column mapped to "
    "input_total includes the row's cache reads and writes, which are subtracted. Times carry their zone."
)
READER = table_reader()
