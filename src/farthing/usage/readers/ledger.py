"""The gateway's ledger: a data folder's SQLite file, and the closed days in Parquet that it names, each row once."""

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import msgspec

from farthing.problems import FarthingError, Problems
from farthing.time import EPOCH
from farthing.units import METERS
from farthing.usage.readers.base import Memory, Reader
from farthing.usage.readers.table import parquet_rows
from farthing.usage.readers.values import Row, provider_name
from farthing.usage.record import Usage
from farthing.usage.streams import Opened

FILE = "ledger.sqlite"
_MAGIC = b"SQLite format 3\0"
_DAYS = "days"
_FEMTO = 10**15
_BATCH = 10_000
_TAGS = ("key", "request_type", "segment", "upstream", "request", "answer")
_words = msgspec.json.Decoder(dict[str, str]).decode
_counts = msgspec.json.Decoder(dict[str, int]).decode


def read_ledger(opened: Opened, problems: Problems) -> Iterator[Usage]:
    """The attempts of the ledger whose SQLite file is `opened`, those in progress too (status "open", no counts).

    Raises `FarthingError` where it is no ledger of Farthing, or a closed day is missing.
    """
    path = opened.path
    if path is None or not _is_sqlite(path):
        raise FarthingError(f"{opened.place}: a ledger is read from its folder or its {FILE}; name that")
    try:
        hot = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        raise FarthingError(f"{opened.place}: cannot be opened: {error}") from None
    try:
        hot.execute("PRAGMA query_only = ON")
        hot.execute("BEGIN")  # one moment for rows and days
        try:
            days = hot.execute("SELECT file FROM day ORDER BY day").fetchall()
            late = {}
            for row in _hot_rows(hot):
                if row["late"]:
                    late[row["id"]] = row  # perhaps in its day's file as well
                else:
                    yield _usage(row)
        finally:
            hot.execute("COMMIT")
    except sqlite3.Error as error:
        raise FarthingError(f"{opened.place}: not a ledger of Farthing: {error}") from None
    finally:
        hot.close()
    for (file,) in days:
        target = path.parent / _DAYS / file
        if not target.is_file():
            raise FarthingError(f"{target}: a closed day is missing; restore it, or read again if it was just closed")
        for _, row in parquet_rows(target, str(target)):
            twin = late.get(row["id"])
            if twin is None:
                yield _usage(row)
            elif row["state"] != "lost" or twin["state"] in ("open", "lost"):
                del late[row["id"]]
                yield _usage(row)
    for row in late.values():
        yield _usage(row)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as raw:
        return raw.read(len(_MAGIC)) == _MAGIC


def _hot_rows(hot: sqlite3.Connection) -> Iterator[Row]:
    """The rows of the database in the form that a day's file has, with `late`."""
    found = hot.execute("SELECT * FROM usage")
    names = [column[0] for column in found.description]
    while batch := found.fetchmany(_BATCH):
        for values in batch:
            row: Row = dict(zip(names, values, strict=True))
            started = row["started_us"]
            row["at"] = _moment(started)
            for name, after in (("completed", "took_us"), ("first_byte", "first_us")):
                row[name] = None if row[after] is None else _moment(started + row[after])
            if row["more"]:
                row.update(_counts(row["more"]))
            for name in METERS.keys() & row.keys():
                if (scale := METERS[name].scale) != 1 and row[name] is not None:
                    row[name] = Fraction(row[name], scale)
            reported = row["reported_usd"]
            if reported is not None:
                row["reported_usd"] = Fraction(reported, _FEMTO) if isinstance(reported, int) else Fraction(reported)
            yield row


def _moment(micro: int) -> datetime:
    return EPOCH + timedelta(microseconds=micro)


def _usage(row: Row) -> Usage:
    at, end, first = row["at"], row["completed"], row["first_byte"]
    reported = row["reported_usd"] if row["reported_usd"] is not None else row.get("reported_exact")
    tags = _words(row["tags"]) if row["tags"] else {}
    tags.update({name: row[name] for name in _TAGS if row.get(name)})
    return Usage(
        at=at,
        completed=end,
        latency_s=None if end is None else max(0.0, (end - at).total_seconds()),
        ttft_s=None if first is None else max(0.0, (first - at).total_seconds()),
        quantities={
            name: int(row[name] * METERS[name].scale) for name in METERS if name != "requests" and row.get(name)
        },
        provider=provider_name(row["provider"] or None),
        model_asked=row["model_asked"] or None,
        model_served=row["model_served"] or None,
        tier_asked=row["tier_asked"] or None,
        tier_served=row["tier_served"] or None,
        region=row["region"] or None,
        attrs=_words(row["attrs"]) if row["attrs"] else {},
        feature=row["feature"] or None,
        user=row["user"],
        session=row["session"],
        tags=tags,
        status="ok" if row["state"] == "done" else row["state"],
        id=row["id"],
        reported_usd=None if reported is None else Fraction(reported),
        estimated=bool(row["estimated"]),
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    raise FarthingError(f"{place}: a ledger is read from its folder or its {FILE}; name that")


READER = Reader(
    name="ledger",
    title="Farthing's own ledger (the data folder, or its ledger.sqlite)",
    containment="Kept as disjoint meters. A row is an attempt: retries and fallbacks are rows of their own. Attempts "
    "in progress have no counts yet (status open), those of a worker that died never will (lost).",
    sniff=lambda name, head: head.startswith(_MAGIC),
    decode=_decode,
)
