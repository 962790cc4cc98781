"""An attempt as a row of the hot ledger: texts that repeat become numbers, the rest is a flat tuple."""

import math
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from farthing.ledger.amounts import LARGEST, packed
from farthing.ledger.row import STATES, Attempt
from farthing.ledger.schema import CALLER, COLUMNS, COUNTS, ROUTE, STATE_NUMBERS

Row = tuple[Any, ...]
NULL = math.nan
"""What stands for NULL in a row: SQLite stores this number as NULL. (Python's module looks for an adapter of each None
and each bool that it is given, which takes longer than all else that it does for a row.)"""
PLAIN = (
    "attempt", "request", "number", "state", "batch", "started_us", "took_us", "first_us", "worker", "route", "caller",
    "user", "streamed", "status", "estimated", "input", "cache_read", "output", "reasoning", "usd", "decision",
    "answer",
)  # fmt: skip
"""The columns that most rows have, which many rows have alone: to hand SQLite a NULL takes as long as a value."""
RARE = (
    "session", "error", "cache_write", "cache_write_5m", "cache_write_1h", "more", "unknown", "reported_usd", "tags",
    "attrs",
)  # fmt: skip
assert {*PLAIN, *RARE} == {*COLUMNS}
_NO_RARE = (NULL,) * len(RARE)
_NO_COUNTS = dict.fromkeys((name for name in PLAIN if name in COUNTS), NULL)
_REMEMBERED = 50_000  # numbers of each kind that are kept in memory
LAST_US = 7_258_118_400_000_000  # 2200-01-01
LONGEST_US = 10 * 366 * 86_400_000_000  # an attempt takes less than ten years
_WHOLE = {"number": LARGEST, "started_us": LAST_US - 1, "ended_us": LAST_US, "first_us": LAST_US, "status": LARGEST}
_LONGEST = 1 << 16  # characters of a text that had to be mended
_encode = msgspec.json.Encoder(order="sorted").encode
BAD_ROW = (
    sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError, ValueError,
    OverflowError, TypeError, KeyError, AttributeError,
)  # fmt: skip
"""What a row raises that no table can hold; never the disk's or a lock's fault."""


class Packer:
    """Packs attempts inside a write transaction of `connection`, which makes the numbers that it needs.

    Call `renew` at the start of each transaction: numbers are forgotten where texts were pruned meanwhile,
    and after a transaction that was rolled back, call `forget`.
    """

    def __init__(self, connection: sqlite3.Connection, worker: str = "") -> None:
        self._connection = connection
        self._worker = worker  # of rows that name none: an open row must have one, or it is taken for a dead one's
        self._epoch = -1
        self._texts: dict[str, int | float] = {"": NULL}
        self._routes: dict[tuple[str, ...], int] = {}
        self._callers: dict[tuple[str, ...], int] = {}
        self._coming: Sequence[Attempt] = ()

    def renew(self, epoch: int) -> None:
        """Forget all numbers if `epoch` is another than when they were learned."""
        if epoch != self._epoch or max(len(self._texts), len(self._routes), len(self._callers)) > _REMEMBERED:
            self.forget()
            self._epoch = epoch

    def forget(self) -> None:
        """Forget all numbers: the transaction that made some of them is gone."""
        self._texts.clear()
        self._texts[""] = NULL
        self._routes.clear()
        self._callers.clear()

    def expect(self, attempts: Sequence[Attempt]) -> None:
        """`attempts` are about to be packed: if one has a new word, those of all are numbered at once."""
        self._coming = attempts

    def text(self, value: str) -> int | float:
        """The number of `value`; `NULL` for the empty text."""
        number = self._texts.get(value)
        if number is None and self._coming:
            coming, self._coming = self._coming, ()
            with suppress(*BAD_ROW):  # a word that cannot be one is met again where its row is mended
                self._learn(coming)
            number = self._texts.get(value)
        if number is None:
            number = self._texts[value] = self._number("text", ("value",), (value,))
        return number

    def _learn(self, attempts: Sequence[Attempt]) -> None:
        """Number the words of `attempts` that are new, all in two statements (each lets go of Python's lock once)."""
        known = self._texts
        words = {word for a in attempts for word in (a.user, a.unknown, a.worker) if word not in known}
        words |= {text for a in attempts if a.tags or a.attrs for text in (_words(a.tags), _words(a.attrs)) if text}
        new = words - known.keys()
        if len(new) > 1:
            listed = _encode(list(new)).decode()
            self._connection.execute("INSERT OR IGNORE INTO text (value) SELECT value FROM json_each(?)", (listed,))
            [(found,)] = self._connection.execute(
                "SELECT json_group_object(value, id) FROM text WHERE value IN (SELECT value FROM json_each(?))",
                (listed,),
            ).fetchall()
            known.update(msgspec.json.decode(found, type=dict[str, int]))

    def _number(self, table: str, columns: tuple[str, ...], values: tuple[str, ...]) -> int:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        self._connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", values)
        where = " AND ".join(f'"{name}" = ?' for name in columns)
        return int(self._connection.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()[0])

    def row(self, a: Attempt, batch: int) -> Row:
        """The row of `a`: the columns of `PLAIN`, and those of `RARE` if it has any. Raises one of `BAD_ROW` where it
        cannot be one."""
        route = (
            a.protocol, a.surface, a.provider, a.upstream, a.model_asked, a.model_served, a.tier_asked, a.tier_served,
            a.region, a.price,
        )  # fmt: skip
        route_number = self._routes.get(route)
        if route_number is None:
            route_number = self._routes[route] = self._number("route", ROUTE, route)
        caller = (a.key, a.feature, a.request_type, a.segment)
        caller_number = self._callers.get(caller)
        if caller_number is None:
            caller_number = self._callers[caller] = self._number("caller", CALLER, caller)
        started = a.started_us
        took = NULL if a.ended_us is None else a.ended_us - started
        first = NULL if a.first_us is None else a.first_us - started
        if not 0 <= started < LAST_US or abs(took) >= LONGEST_US or abs(first) >= LONGEST_US:
            raise ValueError("a time outside the years 1970 to 2199")
        counts: dict[str, Any] = _NO_COUNTS | a.quantities  # type: ignore[operator]  # (a dict, or it cannot be a row)
        odd = len(counts) > len(_NO_COUNTS)
        if odd:
            counts = {name: counts[name] for name in _NO_COUNTS}
        worker, user = a.worker or self._worker, a.user
        text, known = self.text, self._texts
        row = (
            a.attempt, a.request, a.number, STATE_NUMBERS[a.state], batch, started, took, first,
            known.get(worker) or text(worker), route_number, caller_number, known.get(user) or text(user),
            1 if a.streamed else 0, NULL if a.status is None else a.status, 1 if a.estimated else 0, *counts.values(),
            NULL if a.usd is None else packed(a.usd), a.decision or NULL, a.answer or NULL,
        )  # fmt: skip
        if odd or a.session or a.error or a.unknown or a.tags or a.attrs or a.reported_usd is not None:
            return row + self._rare(a)
        return row

    def _rare(self, a: Attempt) -> Row:
        """The rest of a row, `RARE`."""
        text, counts = self.text, a.quantities
        more = {name: n for name, n in counts.items() if name not in COUNTS}
        return (
            a.session or NULL, a.error or NULL, counts.get("cache_write", NULL), counts.get("cache_write_5m", NULL),
            counts.get("cache_write_1h", NULL), _encode(more).decode() if more else NULL,
            text(a.unknown) if a.unknown else NULL, NULL if a.reported_usd is None else packed(a.reported_usd),
            text(_words(a.tags)) if a.tags else NULL, text(_words(a.attrs)) if a.attrs else NULL,
        )  # fmt: skip


def _words(words: Any) -> str:
    return _encode(words).decode() if words else ""


def mended(attempt: Attempt) -> Attempt:
    """`attempt` in a form that can be stored, saying in `unknown` what could not: a row is never lost for a bad field.

    Half characters become "?", counts that no column holds are left out (and the charge is then unknown).
    """
    faults: list[str] = []
    found: dict[str, Any] = {}
    for name in attempt.__struct_fields__:
        value = getattr(attempt, name)
        if name in ("usd", "reported_usd"):
            try:
                packed(value)
            except (ValueError, TypeError, AttributeError):
                faults.append(f"{name} is no amount")
                value = None
        elif name == "quantities":
            bad = [meter for meter, n in value.items() if type(n) is not int or not 0 <= n <= LARGEST]
            faults.extend(f"the count of {_clean(meter)} is absurd" for meter in bad)
            value = {_clean(meter): n for meter, n in value.items() if meter not in bad}
        elif name == "holds":
            bad = [purse for purse, n in value.items() if type(n) is not int or not 0 <= n <= LARGEST]
            faults.extend(f"the hold of {_clean(purse)} is absurd" for purse in bad)
            value = {_clean(purse): n for purse, n in value.items() if purse not in bad}
        elif name in ("tags", "attrs"):
            value = {_clean(key): _clean(word) for key, word in value.items()}
        elif name == "state":
            if value not in STATES:
                faults.append("the state is none that is known")
                value = "failed"
        elif name in ("streamed", "estimated"):
            value = bool(value)
        elif name in _WHOLE:
            if value is not None and (type(value) is not int or not 0 <= value <= _WHOLE[name]):
                faults.append(f"{name} is absurd")
                value = {"number": 1, "started_us": time.time_ns() // 1000}.get(name)
        else:
            value = _clean(value)
        found[name] = value
    for name in ("ended_us", "first_us"):
        if found[name] is not None and abs(found[name] - found["started_us"]) >= LONGEST_US:
            faults.append(f"{name} is absurd")
            found[name] = None
    if faults:
        found["usd"] = None
        found["unknown"] = "; ".join(filter(None, (found["unknown"], *faults)))
    return Attempt(**found)


def _clean(text: object) -> str:
    return str(text)[:_LONGEST].encode("utf-8", "replace").decode()


def bare(attempt: Attempt, fault: Exception) -> Attempt:
    """The last resort for a row that cannot even be mended: that it was, and why nothing more of it is kept."""
    return Attempt(
        attempt=_clean(attempt.attempt),
        request=_clean(attempt.request),
        state="failed",
        started_us=time.time_ns() // 1000,
        unknown=f"the row could not be stored: {_clean(type(fault).__name__)}",
    )


def rows(packer: Packer, attempts: Sequence[Attempt], batch: int) -> list[Row]:
    """The rows of `attempts`, each mended where it could not be one as it is."""
    packer.expect(attempts)
    made = []
    for attempt in attempts:
        try:
            made.append(packer.row(attempt, batch))
        except BAD_ROW:
            made.append(mended_row(packer, attempt, batch))
    return made


def mended_row(packer: Packer, attempt: Attempt, batch: int) -> Row:
    """The row of `attempt` after mending, or of what little can be said of it."""
    try:
        return packer.row(mended(attempt), batch)
    except BAD_ROW as fault:
        return packer.row(bare(attempt, fault), batch)


def whole(row: Row) -> Row:
    """`row` with all columns."""
    return row if len(row) > len(PLAIN) else row + _NO_RARE
