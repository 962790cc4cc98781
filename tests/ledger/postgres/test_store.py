"""The hot rows in PostgreSQL keep what the ledger promises: each attempt once, settled once, the dead found."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farthing.ledger.bank import PurseState
from farthing.ledger.journal import FOLDER as JOURNAL
from farthing.ledger.journal import Journal, packed
from farthing.ledger.ledger import Ledger
from farthing.ledger.postgres import schema
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.postgres.connection import connect
from farthing.ledger.postgres.store import PostgresStore, shared_store
from farthing.ledger.postgres.workers import DEAD_AFTER_S, folder_identity
from farthing.ledger.row import Attempt
from farthing.ledger.store import Mark, StoreUnavailable
from farthing.problems import FarthingError
from tests.ledger.made import NOON_US, done, now_us
from tests.ledger.postgres.server import Server


def opened(number: int, worker: str = "w1", **fields: Any) -> Attempt:
    return Attempt(attempt=f"a{number}", request=f"r{number}", started_us=NOON_US + number, worker=worker, **fields)


def ended(number: int, worker: str = "w1", holds: Mapping[str, int] | None = None, **fields: Any) -> Attempt:
    return done(number, attempt=f"a{number}", worker=worker, holds=holds or {}, **fields)


@contextmanager
def store_of(url: str, folder: Path, worker: str = "w1") -> Iterator[PostgresStore]:
    store = PostgresStore(url, folder, worker)
    yield store
    store.close()


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with schema.opened(url) as connection:
        return connection.execute(sql.encode()).fetchall()


def spent(url: str) -> dict[str, int]:
    return dict(rows(url, "SELECT id, spent FROM purse ORDER BY id"))


def states(url: str) -> dict[str, int]:
    return dict(rows(url, "SELECT attempt, state FROM attempt ORDER BY attempt"))


ALL_ALIVE = lambda worker: True  # noqa: E731
NONE_ALIVE = lambda worker: False  # noqa: E731


def test_a_row_is_kept_once_and_a_final_one_never_changes(url: str, tmp_path: Path) -> None:
    with store_of(url, tmp_path) as store:
        store.write([opened(1), ended(2), ended(2, state="failed")], {"p": ("offer", "{}")})
        store.write([ended(1), ended(2, state="cancelled"), opened(2), opened(3), ended(3)], {"p": ("other", "{}")})
        store.write([ended(1, state="failed")], {})
    assert states(url) == {"a1": 2, "a2": 2, "a3": 2}
    assert rows(url, "SELECT name, offer FROM price") == [("p", "offer")]


def test_charges_are_settled_with_the_row_and_only_once(url: str, tmp_path: Path) -> None:
    bank = PostgresBank(url)
    from farthing.ledger.bank import Want

    bank.acquire("w1", [Want("key/day", 1_000, 500, 500), Want("all/day", 5_000, 500, 500)])
    with store_of(url, tmp_path) as store:
        store.write([opened(1, holds={"key/day": 300, "all/day": 300})], {})
        assert rows(url, "SELECT purse, amount, expires_us FROM hold ORDER BY purse") == [
            ("all/day", 300, None), ("key/day", 300, None),
        ]  # fmt: skip
        for _ in range(3):  # tried again after an answer that was lost, or read from a journal
            store.write([ended(1, holds={"key/day": 120, "all/day": 120})], {})
        store.write([ended(2, holds={"key/day": 7})], {})
        store.write([ended(3, holds={"key/day": 1}), ended(3, holds={"key/day": 1})], {})
    assert spent(url) == {"all/day": 120, "key/day": 128}
    assert rows(url, "SELECT purse, amount FROM lease ORDER BY purse") == [("all/day", 380), ("key/day", 372)]
    assert rows(url, "SELECT * FROM hold") == []
    assert bank.states(["key/day"])["key/day"].free(1_000) == 1_000 - 128 - 372
    # What was admitted without a lease counts once, whether the bank hears of it after the row or before.
    with store_of(url, tmp_path) as store:
        store.write([ended(4, holds={"user/day": 40})], {})
        assert bank.states(["user/day"]) == {"user/day": PurseState(spent=40)}
        bank.give_back("w1", {"user/day": -45})
        assert bank.states(["user/day"]) == {"user/day": PurseState(spent=40, leased=5)}
        store.write([ended(5, holds={"user/day": 5})], {})
    assert bank.states(["user/day"]) == {"user/day": PurseState(spent=45)}
    bank.close()


def test_the_dead_are_found_their_holds_expire_and_their_leases_go(url: str, tmp_path: Path) -> None:
    from farthing.ledger.bank import Want

    bank = PostgresBank(url)
    with store_of(url, tmp_path) as store:
        bank.acquire("w1", [Want("p", 1_000, 500, 500)])
        start = now_us()
        store.write([opened(1, holds={"p": 300}), ended(2, holds={"p": 50})], {})
        store.write([Attempt(attempt="a9", request="r", started_us=start, worker="w1", holds={"p": 40})], {})
        assert store.recover(ALL_ALIVE) == 0
        assert store.recover(NONE_ALIVE, hold_s=600) == 2
        assert store.recover(NONE_ALIVE) == 0
        state = bank.states(["p"])["p"]
        # a1 began in November 2026 at noon, long before: its hold has expired already; a9's counts.
        assert (state.spent, state.leased, state.held) == (50, 0, 40)
        assert states(url) == {"a1": 1, "a2": 2, "a9": 1}
        # The end comes after all, from the journal: it replaces the lost row, and is settled.
        store.write([ended(9, holds={"p": 33})], {})
        state = bank.states(["p"])["p"]
        assert (state.spent, state.leased, state.held) == (83, 0, 0)
    bank.close()


def test_rows_in_a_dead_workers_journal_are_its_own_where_they_name_no_worker(url: str, tmp_path: Path) -> None:
    Ledger.open(tmp_path, store=shared_store(url, tmp_path)).close()
    journal = Journal(tmp_path / JOURNAL, "w1")
    journal.append(packed([opened(1, "", holds={"p": 30}), ended(2, "", holds={"p": 50})]), 2)
    journal.close(remove=False)
    with Ledger.open(tmp_path, store=shared_store(url, tmp_path)):
        # (a1 began long ago: its hold has expired, and is gone)
        assert states(url) == {"a1": 1, "a2": 2} and spent(url) == {"p": 50}
        assert rows(url, "SELECT DISTINCT worker FROM attempt") == [("w1",)]
        assert rows(url, "SELECT * FROM hold") == rows(url, "SELECT * FROM lease") == []


def test_workers_of_another_machine_are_dead_only_after_a_long_silence(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert folder_identity(here) == folder_identity(here) != folder_identity(there)
    with store_of(url, there, "w1") as theirs:
        theirs.write([opened(1)], {})
    with store_of(url, here, "w2") as ours:
        assert ours.recover(NONE_ALIVE) == 0
        with schema.opened(url) as connection:
            connection.execute(
                "UPDATE worker SET seen_us = seen_us - %s WHERE id = 'w1'", (DEAD_AFTER_S * 10**6 - 5 * 10**6,)
            )
            assert ours.recover(NONE_ALIVE) == 0
            connection.execute("UPDATE worker SET seen_us = seen_us - 10000000 WHERE id = 'w1'")
        assert ours.recover(NONE_ALIVE) == 1
    assert rows(url, "SELECT id, dead FROM worker ORDER BY id") == [("w1", True), ("w2", False)]


def test_rows_that_no_database_takes_as_they_are_are_kept(url: str, tmp_path: Path) -> None:
    odd = [
        ended(1, user="zero\0", error="half \ud800"), ended(2, quantities={"input": -1}),
        ended(3, holds={"p\0q": 5, "bad": -1, "far": 1 << 70}), ended(4, started_us=-5), ended(5, state="nonsense"),
    ]  # fmt: skip
    with store_of(url, tmp_path) as store:
        store.write(odd, {})
    assert set(states(url)) == {"a1", "a2", "a3", "a4", "a5"}
    assert spent(url) == {"p\ufffdq": 5}


def test_a_row_comes_back_as_it_was_written(url: str, tmp_path: Path) -> None:
    odd = 'a "quoted" \\ word, {braces}, NULL, \n\t\u2028 and \U0001f600'
    row = ended(1, user=odd, tags={odd: odd}, decision='{"a":"\\"\\\\"}', error="", usd="1/3", quantities={"output": 7})
    with store_of(url, tmp_path) as store:
        store.write([row, ended(2, worker=odd)], {})
    [(record,)] = rows(url, "SELECT record::text FROM attempt WHERE attempt = 'a1'")
    assert msgspec.json.decode(record, type=Attempt) == row
    assert rows(url, "SELECT worker FROM attempt WHERE attempt = 'a2'") == [(odd,)]


def test_amounts_beyond_all_money_do_not_stop_the_ledger(url: str, tmp_path: Path) -> None:
    most = (1 << 63) - 1
    with store_of(url, tmp_path) as store:
        store.write([ended(1, holds={"p": most}), ended(2, holds={"p": most})], {})
        store.write([ended(3, holds={"p": most})], {})
    assert spent(url) == {"p": most}


def test_marks_of_journals(url: str, tmp_path: Path) -> None:
    with store_of(url, tmp_path) as store:
        assert store.marked("w1") == 0
        store.write([], {}, Mark(worker="w1", through=7))
        store.write([ended(1)], {}, Mark(worker="w1", through=9))
        assert store.marked("w1") == 9
        store.forget("w1")
        assert store.marked("w1") == 0


def test_the_schema_is_made_once_and_a_newer_one_is_refused(url: str, tmp_path: Path) -> None:
    with connect(url) as connection:
        assert schema.migrate(connection) == schema.migrate(connection) == len(schema.MIGRATIONS)
        connection.execute("INSERT INTO version VALUES (999)")
    with pytest.raises(FarthingError, match="schema is 999, this Farthing knows up to"):
        PostgresStore(url, tmp_path)


def test_a_database_that_is_away_or_no_address(tmp_path: Path, server: Server) -> None:
    with pytest.raises(StoreUnavailable, match="the database: "):
        PostgresStore("postgresql://nobody:sesame@/x?host=/nowhere", tmp_path)
    try:
        PostgresStore("postgresql://nobody:sesame@/x?host=/nowhere", tmp_path)
    except StoreUnavailable as error:
        assert "sesame" not in str(error) and "\n" not in str(error)
    with pytest.raises(FarthingError, match="postgresql://USER"):
        PostgresStore("nonsense!", tmp_path)


def test_the_ledger_on_it(url: str, tmp_path: Path) -> None:
    with Ledger.open(tmp_path, store=shared_store(url, tmp_path)) as ledger:
        ledger.write([opened(1, worker="", holds={"p": 5}), done(2, ledger=ledger, attempt="a2", holds={"p": 3})])
        assert ledger.flush(timeout_s=10)
        ledger.write([done(1, ledger=ledger, attempt="a1", holds={"p": 4})])
    assert states(url) == {"a1": 2, "a2": 2}
    assert spent(url) == {"p": 7}
    assert rows(url, "SELECT count(*) FROM price") == [(1,)]
    assert rows(url, "SELECT count(*) FROM journal") == [(0,)]
