"""Budgets in the ledger's own transaction: what ended attempts were charged, what open ones hold, what the dead left.

A purse is one budget in one period; all amounts are whole nanodollars. An attempt is settled when its end first comes
into the database, and never again: rows that come twice (a batch tried again, a journal read after a crash) change
nothing. The lease that a worker has of a purse falls by what is charged through it, below zero where it must (which
the bank does not count as free).
"""

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from farthing.ledger.amounts import LARGEST
from farthing.ledger.pack import PLAIN, Row
from farthing.ledger.row import Attempt
from farthing.ledger.schema import DONE, OPEN
from farthing.ledger.sums import summed

HOLD_S = 900
"""How long after its start an attempt that was lost keeps its hold: upstream may yet charge for it."""
TOGETHER = 256  # rows in one statement at most
_ID = PLAIN.index("attempt")
_encode = msgspec.json.Encoder().encode


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch does to purses. spent: charges by purse; leased: by purse and worker; held: attempt, purse, amount;
    ended: attempts that hold nothing any more."""

    spent: Mapping[str, int]
    leased: Mapping[tuple[str, str], int]
    held: Sequence[tuple[str, str, int]]
    ended: Sequence[str]


def settlement(attempts: Sequence[Attempt], made: list[Row], worker: str, ended_before: Collection[str]) -> Settlement:
    """What writing `attempts`, whose rows are `made`, does to purses.

    `worker`: whose leases are meant where an attempt names none. `ended_before`: those that are settled already.
    """
    charged, held, ended = summed(attempts, made, _names(made), worker, ended_before)
    spent: dict[str, int] = {}
    leased: dict[tuple[str, str], int] = {}
    for of, amounts in charged.items():
        for purse, amount in amounts.items():
            leased[purse, of] = min(LARGEST, amount)
            spent[purse] = min(LARGEST, spent.get(purse, 0) + amount)
    return Settlement(spent=spent, leased=leased, held=held, ended=ended)


def _names(made: Sequence[Row]) -> list[str]:
    """The ids of the rows, as they are stored."""
    names = [row[_ID] for row in made]
    try:
        "".join(names).encode()
    except (UnicodeEncodeError, TypeError):
        return [str(name).encode("utf-8", "replace").decode() for name in names]
    return names


def ended_before(connection: sqlite3.Connection, made: Sequence[Row]) -> frozenset[str]:
    """Those of the rows `made` whose end is in the database already. To be asked inside the write transaction, before
    they are written."""
    [(found,)] = connection.execute(
        "SELECT json_group_array(value) FROM json_each(?) "
        f"WHERE (SELECT state FROM attempt WHERE attempt = value) >= {DONE}",
        (_encode(_names(made)).decode(),),
    ).fetchall()
    return frozenset(msgspec.json.decode(found))


def settle(connection: sqlite3.Connection, found: Settlement) -> None:
    """Carry out `found`, after its rows were written, in the same transaction."""
    now_us = time.time_ns() // 1000
    for marks, values in _pieces([(purse, amount, now_us) for purse, amount in found.spent.items()]):
        connection.execute(
            f"INSERT INTO purse (id, spent, changed_us) VALUES {marks} ON CONFLICT (id) DO UPDATE SET "
            # A sum beyond 64 bits would be a float, which the column refuses, and with it the whole batch.
            f"spent = iif(excluded.spent > {LARGEST} - spent, {LARGEST}, spent + excluded.spent), "
            "changed_us = excluded.changed_us",
            values,
        )
    for marks, values in _pieces([(purse, worker, -n) for (purse, worker), n in found.leased.items() if n]):
        connection.execute(
            # Also where there is no lease: what was admitted while the bank was away is added to it afterwards.
            f"INSERT INTO lease (purse, worker, amount) VALUES {marks} ON CONFLICT (purse, worker) DO UPDATE SET "
            f"amount = iif(amount < -{LARGEST} - excluded.amount, -{LARGEST}, amount + excluded.amount)",
            values,
        )
    for marks, values in _pieces(found.held):
        connection.execute(
            "INSERT OR IGNORE INTO hold (attempt, purse, amount) SELECT column1, column2, column3 "
            f"FROM (VALUES {marks}) WHERE (SELECT state FROM attempt WHERE attempt = column1) = {OPEN}",
            values,
        )
    if found.ended and connection.execute("SELECT EXISTS (SELECT 1 FROM hold)").fetchall() == [(1,)]:
        connection.execute(
            "DELETE FROM hold WHERE attempt IN (SELECT value FROM json_each(?))", (_encode(found.ended).decode(),)
        )


def _pieces(listed: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    """`listed` in pieces of 256, 128, … 1: marks for VALUES, and the values. Few lengths, each compiled once.

    (Not by way of JSON: a purse may be named after a user, and JSON functions cut a text at its first zero character.)
    """
    start, size = 0, TOGETHER
    while start < len(listed):
        if len(listed) - start < size:
            size //= 2
            continue
        part = listed[start : start + size]
        one = "(" + ", ".join("?" * len(part[0])) + ")"
        yield ", ".join([one] * size), list(chain.from_iterable(part))
        start += size


def leave_holds(connection: sqlite3.Connection, worker_number: int | None, hold_s: float) -> None:
    """Let the holds of a dead worker's open attempts expire, `hold_s` after each began; call it before those rows are
    marked. Until then they count by themselves, since the worker's leases go."""
    connection.execute(
        "UPDATE hold SET expires_us = a.started_us + ? FROM attempt a "
        f"WHERE a.attempt = hold.attempt AND a.state = {OPEN} AND a.worker IS ?",
        (int(hold_s * 1_000_000), worker_number),
    )


def leasing_workers(connection: sqlite3.Connection) -> list[str]:
    """The workers that have leases."""
    return [worker for (worker,) in connection.execute("SELECT DISTINCT worker FROM lease").fetchall()]


def end_leases(connection: sqlite3.Connection, workers: Sequence[str]) -> None:
    """Delete the leases of dead `workers`, and holds that have expired."""
    connection.executemany("DELETE FROM lease WHERE worker = ?", [(worker,) for worker in workers])
    connection.execute("DELETE FROM hold WHERE expires_us <= ?", (time.time_ns() // 1000,))
