"""What compiled parts of the ledger replaced, in Python: oracles for them."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from farthing.ledger.amounts import LARGEST, packed
from farthing.ledger.pack import BAD_ROW, LAST_US, LONGEST_US, NULL, PLAIN, Row
from farthing.ledger.row import Attempt
from farthing.ledger.schema import CALLER, COUNTS, DONE, OPEN, ROUTE, STATE_NUMBERS
from farthing.ledger.settle import Settlement, _names

_NO_COUNTS = dict.fromkeys((name for name in PLAIN if name in COUNTS), NULL)
_REMEMBERED = 50_000
_STATE = PLAIN.index("state")
_encode = msgspec.json.Encoder(order="sorted").encode


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


def settlement(
    attempts: Sequence[Attempt], made: Sequence[Row], worker: str, ended_before: Collection[str]
) -> Settlement:
    """What writing `attempts`, whose rows are `made`, does to purses.

    `worker`: whose leases are meant where an attempt names none. `ended_before`: those that are settled already.
    """
    names = _names(made)
    ended = [name for name, row in zip(names, made, strict=True) if row[_STATE] >= DONE]
    charged: dict[str, list[tuple[str, int]]] = {}  # by worker: purses and amounts
    held: list[tuple[str, str, int]] = []
    if any(attempt.holds for attempt in attempts):
        settled = set(ended_before)
        for name, attempt, row in zip(names, attempts, made, strict=True):
            state = row[_STATE]
            if state >= DONE:
                if name in settled:
                    continue
                settled.add(name)  # of several ends in one batch the first counts, as it does for the row
                of = attempt.worker or worker
                if (listed := charged.get(of)) is None:
                    listed = charged[of] = []
                try:  # noqa: SIM105 (`suppress` would cost as much as the rest of it)
                    listed += attempt.holds.items()
                except (AttributeError, TypeError):
                    pass  # a fault of the caller's must not stop the ledger
            elif state == OPEN:
                with suppress(AttributeError, TypeError):
                    held += [(name, purse, n) for purse, n in _sums(attempt.holds.items()).items()]
    spent: dict[str, int] = {}
    leased: dict[tuple[str, str], int] = {}
    for of, listed in charged.items():
        for purse, amount in _sums(listed).items():
            leased[purse, of] = min(LARGEST, amount)
            spent[purse] = min(LARGEST, spent.get(purse, 0) + amount)
    return Settlement(spent=spent, leased=leased, held=held, ended=ended)


def _sums(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The amounts by purse, those that can be counted; a purse is called as it is stored."""
    found: dict[str, int] = {}
    for purse, n in amounts:
        if type(n) is int and 0 <= n <= LARGEST:
            found[purse] = found.get(purse, 0) + n
    sums: dict[str, int] = {}
    for purse, n in found.items():
        if isinstance(purse, str):
            name = purse if purse.isascii() else purse.encode("utf-8", "replace").decode()
            sums[name] = sums.get(name, 0) + n
    return sums
