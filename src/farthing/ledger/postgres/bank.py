"""The bank in PostgreSQL: one for all workers of all gateways."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from farthing.ledger.bank import WANTED_S, BankUnavailable, Granted, PurseState, Short, Want, grant
from farthing.ledger.postgres.connection import NOW_US, driver, reason
from farthing.ledger.postgres.schema import opened

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

T = TypeVar("T")
CHANNEL = "farthing"
"""Where gateways tell each other that something changed: "keys", "wanted" or "returned"."""

_STATES = f"""
SELECT x.p, (SELECT spent FROM purse WHERE id = x.p),
  (SELECT sum(amount) FROM lease WHERE purse = x.p AND amount > 0),
  (SELECT sum(amount) FROM hold WHERE purse = x.p AND expires_us > {NOW_US})
FROM unnest(%s::text[]) AS x (p)"""
_ADD = """
INSERT INTO lease AS l (purse, worker, amount) SELECT p, %s, n FROM unnest(%s::text[], %s::bigint[]) AS x (p, n)
ORDER BY p ON CONFLICT (purse, worker) DO UPDATE SET amount = l.amount + excluded.amount"""
# Not in one statement with the lock: each sees what was committed when it began, and the lock may have waited.
_LOCK = "SELECT 1 FROM purse WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_MAKE = f"INSERT INTO purse SELECT p, 0, {NOW_US} FROM unnest(%s::text[]) AS x (p) ORDER BY p ON CONFLICT DO NOTHING"
_RETURNED = f"""
SELECT pg_notify(%s, 'returned') WHERE EXISTS (
  SELECT 1 FROM wanted WHERE purse = ANY(%s) AND abs(at_us - {NOW_US}) <= {WANTED_S * 1_000_000})"""


class PostgresBank:
    """`Bank` on a PostgreSQL database. One connection, made when it is needed, used by one thread at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._errors = (driver().Error, OverflowError)
        self._connection: Connection | None = None

    def acquire(self, worker: str, wants: Sequence[Want]) -> dict[str, Granted] | Short:
        purses = [want.purse for want in wants]

        def work(connection: "Connection") -> dict[str, Granted] | Short:
            if connection.execute("SELECT dead FROM worker WHERE id = %s", (worker,)).fetchall() == [(True,)]:
                raise BankUnavailable("this worker was taken for dead while the database was away: it must start anew")
            connection.execute(_MAKE.encode(), (purses,))
            connection.execute(_LOCK, (purses,)).fetchall()
            states = _states(connection, purses)
            granted: dict[str, Granted] = {}
            for want in wants:
                state = states[want.purse]
                amount = grant(want, state.free(want.limit))
                if amount is None:
                    return Short(want.purse, state.free(want.limit), state)
                granted[want.purse] = Granted(amount, PurseState(state.spent, state.leased + amount, state.held))
            connection.execute(_ADD, (worker, list(granted), [one.amount for one in granted.values()]))
            return granted

        return self._do(work)

    def give_back(self, worker: str, amounts: Mapping[str, int]) -> None:
        purses = list(amounts)

        def work(connection: "Connection") -> None:
            connection.execute(_LOCK, (purses,)).fetchall()
            connection.execute(_ADD, (worker, purses, [-amount for amount in amounts.values()]))
            connection.execute(_RETURNED.encode(), (CHANNEL, purses))

        self._do(work)

    def forget(self, worker: str, purses: Sequence[str]) -> None:
        listed = list(purses)
        self._do(
            lambda connection: connection.execute(
                "DELETE FROM lease WHERE worker = %s AND purse = ANY(%s) AND amount = 0", (worker, listed)
            )
        )

    def states(self, purses: Sequence[str]) -> dict[str, PurseState]:
        return self._do(lambda connection: _states(connection, list(purses)))

    def want(self, purse: str) -> None:
        def work(connection: "Connection") -> None:
            connection.execute(
                f"INSERT INTO wanted VALUES (%s, {NOW_US}) ON CONFLICT (purse) DO UPDATE SET at_us = excluded.at_us",
                (purse,),
            )
            connection.execute(f"DELETE FROM wanted WHERE abs(at_us - {NOW_US}) > {WANTED_S * 1_000_000}".encode())
            connection.execute("SELECT pg_notify(%s, 'wanted')", (CHANNEL,))

        self._do(work)

    def wanted(self) -> set[str]:
        found = self._do(
            lambda connection: connection.execute(
                f"SELECT purse FROM wanted WHERE abs(at_us - {NOW_US}) <= {WANTED_S * 1_000_000}".encode()
            ).fetchall()
        )
        return {purse for (purse,) in found}

    def _do(self, work: "Callable[[Connection], T]") -> T:
        """`work` in one transaction. Raises `BankUnavailable`, not `certain` where the commit's answer was lost."""
        committing = False
        try:
            connection = self._connection
            if connection is None or connection.closed:
                connection = self._connection = opened(self._url)
            connection.execute("BEGIN")
            found = work(connection)
            if isinstance(found, Short):
                connection.execute("ROLLBACK")
                return found
            committing = True
            connection.execute("COMMIT")
            return found
        except BankUnavailable:
            self.close()
            raise
        except self._errors as error:
            lost = committing and (self._connection is None or self._connection.broken)
            self.close()
            raise BankUnavailable(reason(error), certain=not lost) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _states(connection: "Connection", purses: list[str]) -> dict[str, PurseState]:
    return {
        purse: PurseState(*(int(part or 0) for part in parts))
        for purse, *parts in connection.execute(_STATES.encode(), (purses,)).fetchall()
    }
