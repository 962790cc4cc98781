"""The gateway's ledger: a data folder's SQLite file, and the closed days in Parquet that it names, each row once.

The ledger keeps attempts, usage is of requests: what neither consumed nor answered anything is no usage (`_usage`).
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
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
from farthing.usage.record import PriceRecord, Usage
from farthing.usage.streams import Opened

FILE = "ledger.sqlite"
_MAGIC = b"SQLite format 3\0"
_DAYS = "days"
_FEMTO = 10**15
_BATCH = 10_000
_TAGS = ("key", "request_type", "segment", "upstream", "request", "answer")
_words = msgspec.json.Decoder(dict[str, str]).decode
_counts = msgspec.json.Decoder(dict[str, int]).decode
_COUNTING = "messages/count_tokens"
LOST = "lost with its worker: nobody knows what it consumed"
NO_REASON = "no reason was recorded"
_ROWS = """
SELECT u.*, r.surface, r.price, a.decision, w.value AS unknown, iif(typeof(a.usd) = 'text', NULL, a.usd) AS usd,
  iif(typeof(a.usd) = 'text', a.usd, NULL) AS usd_exact
FROM usage u JOIN attempt a ON a.attempt = u.id JOIN route r ON r.id = a.route LEFT JOIN text w ON w.id = a.unknown
"""


class _Aim(msgspec.Struct):
    """Of a decision's log: where the attempt was to go, "upstream/model"."""

    target: str | None = None


_aim = msgspec.json.Decoder(_Aim).decode


def model_aimed_at(decision: str | None) -> str | None:
    """The model of the target of a decision's log: behind an alias, the one that was sent. None where it tells none."""
    if not decision:
        return None
    try:
        target = _aim(decision).target
    except msgspec.MsgspecError:
        return None
    return (target or "").partition("/")[2] or None


def read_ledger(opened: Opened, problems: Problems) -> Iterator[Usage]:
    """The attempts of the ledger whose SQLite file is `opened` that consumed something, brought an answer, or of which
    nobody knows what they consumed (`Usage.unmeasured`). A note in `problems` says how many were left out, and why.

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
            of = _Attempts(hot.execute("SELECT name, offer, record FROM price"))
            days = hot.execute("SELECT file FROM day ORDER BY day").fetchall()
            late = {}
            for row in _hot_rows(hot):
                if row["late"]:
                    late[row["id"]] = row  # perhaps in its day's file as well
                elif (usage := of.usage(row)) is not None:
                    yield usage
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
            if twin is not None:
                if row["state"] == "lost" and twin["state"] not in ("open", "lost"):
                    continue  # it ended after all
                del late[row["id"]]
            if (usage := of.usage(row)) is not None:
                yield usage
    for row in late.values():
        if (usage := of.usage(row)) is not None:
            yield usage
    if note := of.note():
        problems.notes.append(f"{opened.place}: {note}")


class _Attempts:
    """Attempts as usage, and the count of what is none."""

    def __init__(self, prices: Iterable[tuple[str, str, str]]) -> None:
        self._prices = {name: PriceRecord(name=name, offer=offer, record=record) for name, offer, record in prices}
        self._read = self._requests = self._given = 0
        self._left_out: Counter[str] = Counter()

    def usage(self, row: Row) -> Usage | None:
        """`row` as usage; None where it is none."""
        self._read += 1
        self._requests += row["number"] == 1
        known = row["usd"] is not None or row.get("usd_exact") is not None
        consumed = any(row.get(name) for name in METERS)
        if row["state"] == "open":
            self._left_out["in progress"] += 1
        elif row.get("surface") == _COUNTING and known and not consumed:
            self._left_out["only counted tokens"] += 1
        elif row["state"] == "failed" and known and not consumed:
            self._left_out["failed before anything was consumed"] += 1
        else:
            self._given += 1
            unmeasured = "" if known or consumed else row.get("unknown") or _why(row["state"])
            return _usage(row, unmeasured, self._prices.get(row.get("price") or ""))
        return None

    def note(self) -> str:
        """How many attempts at how many requests became rows; "" where each did, one a request."""
        if self._given == self._requests and not self._left_out:
            return ""
        told = "".join(f", {count:,} {why}" for why, count in sorted(self._left_out.items()))
        left_out = f"; left out:{told[1:]}" if told else ""
        attempts = f"{self._read:,} attempt{'s' * (self._read != 1)} at {self._requests:,}"
        return f"{attempts} request{'s' * (self._requests != 1)}, {self._given:,} of them counted here{left_out}"


def _why(state: str) -> str:
    return LOST if state == "lost" else NO_REASON


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as raw:
        return raw.read(len(_MAGIC)) == _MAGIC


def _hot_rows(hot: sqlite3.Connection) -> Iterator[Row]:
    """The rows of the database in the form that a day's file has, with `late`."""
    found = hot.execute(_ROWS)
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


def _usage(row: Row, unmeasured: str, priced: PriceRecord | None) -> Usage:
    """The record of an attempt. Where the answer names no model, it is the one that was sent."""
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
        model_served=row["model_served"] or model_aimed_at(row.get("decision")),
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
        unmeasured=unmeasured,
        priced=priced,
    )


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    raise FarthingError(f"{place}: a ledger is read from its folder or its {FILE}; name that")


READER = Reader(
    name="ledger",
    title="Farthing's own ledger (the data folder, or its ledger.sqlite)",
    containment="Kept as disjoint meters. A row is an attempt that consumed something or was answered; failures that "
    "consumed nothing and counting of tokens are left out. Of lost attempts nobody knows what they consumed.",
    sniff=lambda name, head: head.startswith(_MAGIC),
    decode=_decode,
)
