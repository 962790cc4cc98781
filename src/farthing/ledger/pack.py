"""What a row of the hot ledger is, and how an attempt that cannot be one is mended (`packer` makes the others)."""

import math
import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from farthing.ledger.amounts import LARGEST, packed
from farthing.ledger.row import STATES, Attempt
from farthing.ledger.schema import COLUMNS

if TYPE_CHECKING:
    from farthing.ledger.packer import Packer

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
LAST_US = 7_258_118_400_000_000  # 2200-01-01
LONGEST_US = 10 * 366 * 86_400_000_000  # an attempt takes less than ten years
_WHOLE = {"number": LARGEST, "started_us": LAST_US - 1, "ended_us": LAST_US, "first_us": LAST_US, "status": LARGEST}
_LONGEST = 1 << 16  # characters of a text that had to be mended
BAD_ROW = (
    sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError, ValueError,
    OverflowError, TypeError, KeyError, AttributeError,
)  # fmt: skip
"""What a row raises that no table can hold; never the disk's or a lock's fault."""


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


def rows(packer: "Packer", attempts: Sequence[Attempt], batch: int) -> list[Row]:
    """The rows of `attempts`, each mended where it could not be one as it is."""
    packer.expect(attempts)
    made = []
    for attempt in attempts:
        try:
            made.append(packer.row(attempt, batch))
        except BAD_ROW:
            made.append(mended_row(packer, attempt, batch))
    return made


def mended_row(packer: "Packer", attempt: Attempt, batch: int) -> Row:
    """The row of `attempt` after mending, or of what little can be said of it."""
    try:
        return packer.row(mended(attempt), batch)
    except BAD_ROW as fault:
        return packer.row(bare(attempt, fault), batch)


def whole(row: Row) -> Row:
    """`row` with all columns."""
    return row if len(row) > len(PLAIN) else row + _NO_RARE
