"""The bank in PostgreSQL: the same answers as the bank in SQLite, and nobody passes a limit together."""

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farthing.gateway.spending.purses import Hold, Purses
from farthing.ledger.bank import Bank, BankUnavailable, Granted, PurseState, Short, SqliteBank, Want
from farthing.ledger.budgets import BudgetRef
from farthing.ledger.changes import Changes
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.store import shared_store
from farthing.ledger.postgres.watch import Watch
from farthing.ledger.postgres.workers import seen
from farthing.ledger.row import Attempt
from tests.ledger.postgres.server import Server
from tests.ledger.postgres.test_store import spent, states


@pytest.fixture
def bank(url: str) -> Iterator[PostgresBank]:
    made = PostgresBank(url)
    yield made
    made.close()


def test_a_lease_is_the_need_and_a_part_of_what_is_free(bank: PostgresBank) -> None:
    assert bank.acquire("w1", [Want("p", 1000, 100, 500)]) == {"p": Granted(156, PurseState(leased=156))}
    assert bank.acquire("w1", [Want("p", 1000, 844, 10_000)]) == {"p": Granted(844, PurseState(leased=1000))}
    assert bank.acquire("w2", [Want("p", 1000, 1, 1)]) == Short("p", 0, PurseState(leased=1000))
    bank.give_back("w1", {"p": 400})
    assert bank.acquire("w2", [Want("p", 1000, 400, 400)]) == {"p": Granted(400, PurseState(leased=1000))}


def test_all_or_nothing(bank: PostgresBank) -> None:
    assert bank.acquire("w", [Want("a", 100, 50, 50), Want("c", 10, 50, 50)]) == Short("c", 10, PurseState())
    assert set(bank.states(["a", "c"]).values()) == {PurseState()}


def test_any_calls_give_the_answers_of_the_other_bank(bank: PostgresBank, tmp_path: Path) -> None:
    other: Bank = SqliteBank(tmp_path)
    choose = random.Random(7)
    purses = ["a", "b", "c/día", "d"]

    def both(name: str, *arguments: Any) -> None:
        assert getattr(bank, name)(*arguments) == getattr(other, name)(*arguments)

    for _ in range(400):
        worker, kind = f"w{choose.randrange(3)}", choose.randrange(5)
        some = choose.sample(purses, choose.randint(1, 3))
        if kind <= 1:
            wants = [Want(p, choose.choice([500, 5000]), n := choose.randrange(200), n + choose.randrange(300),
                          choose.random() < 0.8) for p in some]  # fmt: skip
            both("acquire", worker, wants)
        elif kind == 2:
            both("give_back", worker, {purse: choose.randint(-50, 300) for purse in some})
        elif kind == 3:
            both("forget", worker, some)
        else:
            both("want", some[0])
            both("wanted")
        both("states", purses)
    other.close()


def test_amounts_that_no_database_holds(bank: PostgresBank) -> None:
    with pytest.raises(BankUnavailable):
        bank.acquire("w", [Want("p", 1 << 70, 1 << 69, 1 << 69)])
    assert bank.states(["p"])["p"] == PurseState()


def test_it_is_away_and_comes_back(tmp_path: Path) -> None:
    server = Server()
    try:
        bank = PostgresBank(server.new_database())
        assert isinstance(bank.acquire("w", [Want("p", 100, 60, 60)]), dict)
        server.stop()
        with pytest.raises(BankUnavailable) as caught:
            bank.acquire("w", [Want("p", 100, 10, 10)])
        assert caught.value.certain
        server.start()
        assert bank.states(["p"])["p"] == PurseState(leased=60)
        bank.close()
    finally:
        server.close()


def test_a_worker_that_was_taken_for_dead_gets_no_money(bank: PostgresBank, url: str) -> None:
    assert isinstance(bank.acquire("w", [Want("p", 100, 10, 10)]), dict)
    with opened(url) as connection:
        assert seen(connection, "w", "folder")
        connection.execute("UPDATE worker SET dead = true")
        assert not seen(connection, "w", "folder")
    with pytest.raises(BankUnavailable, match="taken for dead"):
        bank.acquire("w", [Want("p", 100, 10, 10)])


LIMIT = 40_000
ALL = BudgetRef("all", LIMIT, "total")
USERS = [BudgetRef(f"user:{name}", LIMIT // 3, "total") for name in ("ada", "bob", "eve", "joe")]
PURSES = {f"{budget.id}/total@ever": budget.limit for budget in (ALL, *USERS)}


def spender(url: str, folder: str, number: int, seconds: float) -> None:
    """One worker that reserves, charges and records as fast as it can."""

    async def work(ledger: Ledger, choose: random.Random) -> None:
        purses = Purses(PostgresBank(url), ledger.worker, Changes(folder))
        purses.start()
        until = time.monotonic() + seconds

        async def one() -> None:
            while time.monotonic() < until:
                amount = choose.randrange(1, 400)
                hold = await purses.reserve(choose.sample([ALL, *USERS], 3), amount, time.time())
                if not isinstance(hold, Hold):
                    await asyncio.sleep(0.05)
                    continue
                name, begin = attempt_id(), time.time_ns() // 1000
                ledger.write([Attempt(attempt=name, request=name, started_us=begin, holds=hold.amounts)])
                await asyncio.sleep(choose.random() * 0.01)
                spent_now = choose.randrange(amount + 1)
                charged = purses.settle(hold, spent_now)
                ledger.write([Attempt(attempt=name, request=name, started_us=begin, ended_us=begin + 1, state="done",
                                      tags=dict.fromkeys(charged, str(spent_now)), holds=charged)])  # fmt: skip

        await asyncio.gather(*(one() for _ in range(8)))
        await purses.close()

    with Ledger.open(folder, store=shared_store(url, Path(folder))) as ledger:
        watch = Watch(url, Path(folder), ledger.worker)
        asyncio.run(work(ledger, random.Random(number)))
        watch.close()


@pytest.mark.slow
def test_four_workers_on_two_machines_never_pass_a_limit_and_one_is_killed(url: str, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=spender, args=(url, str(folders[number % 2]), number, 5.0)) for number in range(4)
    ]
    watching = PostgresBank(url)
    for process in started:
        process.start()
    killed = False
    begin = time.monotonic()
    while any(process.is_alive() for process in started):
        found = watching.states(list(PURSES))
        for purse, limit in PURSES.items():
            assert found[purse].free(limit) >= 0
        if not killed and time.monotonic() - begin > 3 and any(state.spent for state in found.values()):
            os.kill(started[0].pid or 0, signal.SIGKILL)
            killed = True
        time.sleep(0.02)
    for process in started:
        process.join()
    assert killed and [process.exitcode for process in started] == [-signal.SIGKILL, 0, 0, 0]
    for folder in folders:  # the next worker of each machine takes up what the dead left
        Ledger.open(folder, store=shared_store(url, folder)).close()
    found = watching.states(list(PURSES))
    with opened(url) as connection:
        charged: dict[str, int] = dict(
            connection.execute(
                "SELECT key, sum(value::bigint)::bigint FROM attempt, json_each_text(record->'tags') "
                "WHERE state >= 2 GROUP BY key"
            ).fetchall()
        )
        assert connection.execute("SELECT count(*) FROM attempt WHERE state = 0").fetchall() == [(0,)]
        assert connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchall() == [(0,)]
    for purse, limit in PURSES.items():
        state = found[purse]
        assert state.spent == charged[purse]  # every charge once: those of the dead from its journal
        assert state.leased == 0
        assert state.spent + state.held <= limit
    assert any(found[purse].spent > limit * 0.7 for purse, limit in PURSES.items())
    watching.close()


def test_the_server_restarts_while_rows_are_written(tmp_path: Path) -> None:
    server = Server()
    try:
        url = server.new_database()
        with Ledger.open(tmp_path, store=shared_store(url, tmp_path)) as ledger:
            begin = time.time_ns() // 1000

            def write(first: int) -> None:
                for number in range(first, first + 200):
                    row = Attempt(
                        attempt=f"a{number}", request="r", state="done", started_us=begin, holds={"p": number}
                    )
                    ledger.write([row])
                    if number % 20 == 0:
                        time.sleep(0.01)

            write(0)
            server.stop()
            write(200)
            assert ledger.flush(timeout_s=10)  # the journal is on the disk
            health = ledger.health()
            assert health.reason.startswith("the database: ") and health.ok and health.spilled + health.waiting >= 200
            server.start()
            write(400)
        assert states(url) == {f"a{number}": 2 for number in range(600)}
        assert spent(url) == {"p": sum(range(600))}
    finally:
        server.close()
