"""Budgets: each attempt is charged exactly once, whatever comes twice or late; what the dead held expires."""

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.ledger.amounts import LARGEST
from farthing.ledger.bank import PurseState, SqliteBank
from farthing.ledger.journal import FOLDER as JOURNAL
from farthing.ledger.journal import Journal, packed, segments
from farthing.ledger.ledger import Ledger
from farthing.ledger.row import Attempt
from farthing.ledger.schema import connect
from farthing.ledger.store import Mark, SqliteStore, StoreUnavailable
from farthing.ledger.verify import verify
from tests.ledger.made import done, now_us
from tests.ledger.test_faults import budgets
from tests.ledger.test_store import states

MINE, OTHER = "host:1:1", "host:2:2"


def lease(folder: Path, *leases: tuple[str, str, int]) -> None:
    hot = connect(folder)
    hot.executemany("INSERT INTO lease VALUES (?, ?, ?)", leases)
    hot.close()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = SqliteStore(tmp_path, MINE)
    yield made
    made.close()


def test_an_end_charges_its_purses_and_its_workers_lease(tmp_path: Path, store: SqliteStore) -> None:
    lease(tmp_path, ("key", MINE, 10_000), ("all", MINE, 9_000), ("all", OTHER, 500))
    end = done(1, worker=MINE, holds={"key": 3_000, "all": 3_000})
    begun = msgspec.structs.replace(end, state="open", usd=None, holds={"key": 4_000, "all": 4_000})
    store.write([begun], {})
    assert budgets(tmp_path) == {
        "spent": {},
        "leases": {f"key {MINE}": 10_000, f"all {MINE}": 9_000, f"all {OTHER}": 500},
        "holds": [(end.attempt, "all", 4_000, None), (end.attempt, "key", 4_000, None)],
    }
    after = {
        "spent": {"key": 3_000, "all": 3_000},
        "leases": {f"key {MINE}": 7_000, f"all {MINE}": 6_000, f"all {OTHER}": 500},
        "holds": [],
    }
    for again in ([end], [end], [begun, end], [msgspec.structs.replace(end, state="failed", holds={"key": 9})]):
        store.write(again, {})
        assert budgets(tmp_path) == after
    # Named twice in one batch, before it is in the database: once. Without a worker it is this one's.
    two = done(2, worker="", holds={"all": 1})
    store.write([two, msgspec.structs.replace(two, state="failed", holds={"all": 8}), two], {})
    assert budgets(tmp_path)["spent"] == {"key": 3_000, "all": 3_001}
    assert budgets(tmp_path)["leases"][f"all {MINE}"] == 5_999
    assert verify(tmp_path).ok


def test_nothing_is_charged_by_a_transaction_that_failed(tmp_path: Path, store: SqliteStore) -> None:
    import sqlite3

    end = done(1, holds={"all": 5})
    blocker = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store._connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(StoreUnavailable):
        store.write([end], {}, Mark(worker=MINE, through=4))
    blocker.close()
    assert budgets(tmp_path)["spent"] == {} and store.marked(MINE) == 0
    store.write([end], {}, Mark(worker=MINE, through=4))
    assert budgets(tmp_path)["spent"] == {"all": 5} and store.marked(MINE) == 4
    store.forget(MINE)
    assert store.marked(MINE) == 0


def test_what_the_dead_held_expires_and_their_leases_go(tmp_path: Path, store: SqliteStore) -> None:
    lease(tmp_path, ("all", MINE, 1_000), ("all", OTHER, 2_000), ("key", "host:3:3", 70))
    at = now_us()
    mine, theirs, old = (
        done(n, worker=worker, state="open", usd=None, started_us=at - age_us, holds={"all": 100 + n})
        for n, worker, age_us in ((1, MINE, 0), (2, OTHER, 5_000_000), (3, OTHER, 901_000_000))
    )
    store.write([mine, theirs, old], {})
    assert store.recover(lambda worker: worker == MINE) == 2
    assert budgets(tmp_path) == {
        "spent": {},
        "leases": {f"all {MINE}": 1_000},
        # 2 expires 900 s after its start, which was 5 s ago; 3 had expired a second ago and is removed
        "holds": [
            (name, "all", amount, expires)
            for name, amount, expires in sorted(
                [(mine.attempt, 101, None), (theirs.attempt, 102, at - 5_000_000 + 900_000_000)]
            )
        ],
    }
    # The end of a lost attempt comes after all: charged, once, and its hold is gone.
    end = msgspec.structs.replace(theirs, state="done", usd="1/1000", holds={"all": 40})
    for _ in range(2):
        store.write([end], {})
        have = budgets(tmp_path)
        # (its worker's lease ended with it: what is missing from it now counts for nothing, and goes with the next)
        assert have["spent"] == {"all": 40} and have["leases"] == {f"all {MINE}": 1_000, f"all {OTHER}": -40}
        assert [name for name, *_ in have["holds"]] == [mine.attempt]
    store.write([theirs], {})  # its beginning, late: it holds nothing any more
    assert len(budgets(tmp_path)["holds"]) == 1
    assert store.recover(lambda worker: False, hold_s=10) == 1
    assert budgets(tmp_path)["holds"] == [(mine.attempt, "all", 101, at + 10_000_000)]
    assert budgets(tmp_path)["leases"] == {}


def test_rows_in_a_dead_workers_journal_are_its_own_where_they_name_no_worker(tmp_path: Path) -> None:
    """The next worker brings them in. It lives: a row taken for its own would stay open, and charge it."""
    Ledger.open(tmp_path).close()
    lease(tmp_path, ("all", MINE, 1_000))
    at = now_us()
    begun = done(1, state="open", usd=None, started_us=at, holds={"all": 100})
    end = done(2, holds={"all": 40})
    journal = Journal(tmp_path / JOURNAL, MINE)
    journal.append(packed([begun, end]), 2)
    journal.close(remove=False)
    with Ledger.open(tmp_path):
        assert states(tmp_path) == {begun.attempt: "lost", end.attempt: "done"}
        assert budgets(tmp_path) == {
            "spent": {"all": 40}, "leases": {}, "holds": [(begun.attempt, "all", 100, at + 900_000_000)],
        }  # fmt: skip
        assert not segments(tmp_path / JOURNAL) and verify(tmp_path).ok
    hot = connect(tmp_path, read_only=True)
    assert hot.execute("SELECT DISTINCT value FROM attempt JOIN text ON text.id = attempt.worker").fetchall() == [
        (MINE,)
    ]
    hot.close()


@pytest.mark.parametrize("told_first", [True, False])
def test_what_was_admitted_without_a_lease_counts_once(tmp_path: Path, store: SqliteStore, told_first: bool) -> None:
    """While the bank is away the worker admits by itself; the bank hears of it before the row is durable, or after."""
    bank = SqliteBank(tmp_path)
    end = done(1, worker=MINE, holds={"all": 40})
    if told_first:
        bank.give_back(MINE, {"all": -40})
        assert bank.states(["all"])["all"] == PurseState(leased=40)
        store.write([end], {})
    else:
        store.write([end], {})
        assert bank.states(["all"])["all"] == PurseState(spent=40)
        bank.give_back(MINE, {"all": -40})
    assert bank.states(["all"])["all"] == PurseState(spent=40)
    bank.forget(MINE, ["all"])
    assert budgets(tmp_path)["leases"] == {}
    bank.close()


BAD_HOLDS: dict[str, Any] = {
    "half a character": {"user:\ud800": 5, "all": 7},
    "beyond 64 bits": {"all": 7, "key": 1 << 64},
    "less than nothing": {"all": 7, "key": -1},
    "no number": {"all": 7, "key": "5", "team": None, "day": 1.5, "week": True},
    "no name": {None: 5, "all": 7},
    "none at all": None,
    "a list": [1, 2],
}


@pytest.mark.parametrize("what", BAD_HOLDS)
def test_absurd_holds_stop_neither_their_row_nor_the_others(tmp_path: Path, what: str) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, holds={"all": 1}), done(2, holds=BAD_HOLDS[what]), done(3, holds={"all": 1})])
        ledger.write([done(4, state="open", usd=None, holds=BAD_HOLDS[what])])
        assert ledger.flush(timeout_s=10) and not ledger.health().reason
    assert sorted(states(tmp_path).values()) == ["done", "done", "done", "open"]
    assert budgets(tmp_path)["spent"].get("all") in (2, 9)


def test_an_attempt_without_a_proper_name_is_charged_too(tmp_path: Path, store: SqliteStore) -> None:
    store.write([done(1, attempt="a\ud800", holds={"all": 3}), done(2, holds={"all": 4})], {})
    store.write([done(1, attempt="a\ud800", holds={"all": 3})], {})
    assert budgets(tmp_path)["spent"] == {"all": 7}
    assert len(states(tmp_path)) == 2


def test_purses_of_all_names_and_of_any_number(tmp_path: Path, store: SqliteStore) -> None:
    names = ["user:a\0b", "user:a", "😀", 'say "hi"', "back\\slash", "ä", "a\u0308", *(f"user:{n}" for n in range(700))]
    lease(tmp_path, *((name, MINE, 100) for name in names))
    store.write([done(n, worker=MINE, holds={name: 2 + n % 3, "all": 1}) for n, name in enumerate(names)], {})
    have = budgets(tmp_path)
    assert have["spent"] == {"all": len(names), **{name: 2 + n % 3 for n, name in enumerate(names)}}
    leases = {f"{name} {MINE}": 98 - n % 3 for n, name in enumerate(names)}
    assert have["leases"] == {**leases, f"all {MINE}": -len(names)}  # which had no lease
    opens = [done(1000 + n, state="open", usd=None, holds={name: 5}) for n, name in enumerate(names)]
    store.write(opens, {})
    assert {purse for _, purse, *_ in budgets(tmp_path)["holds"]} == set(names)
    store.write([msgspec.structs.replace(row, state="cancelled") for row in opens], {})
    assert budgets(tmp_path)["holds"] == []


def test_a_purse_that_is_full_to_the_brim_stays_whole(tmp_path: Path, store: SqliteStore) -> None:
    """A sum beyond 64 bits (nine thousand million dollars) must not become a float, nor stop the ledger."""
    store.write([done(1, holds={"all": LARGEST - 5}), done(2, holds={"all": 3})], {})
    assert budgets(tmp_path)["spent"] == {"all": LARGEST - 2}
    store.write([done(3, holds={"all": 10})], {})
    assert budgets(tmp_path)["leases"] == {f"all {MINE}": -LARGEST}
    hot = connect(tmp_path)
    hot.execute("UPDATE lease SET amount = 5")
    hot.close()
    store.write([done(4, holds={"all": LARGEST}, worker=MINE), done(5, holds={"all": LARGEST}, worker=MINE)], {})
    store.write([done(6, holds={"all": LARGEST}, worker=MINE)], {})
    assert budgets(tmp_path)["spent"] == {"all": LARGEST}
    assert budgets(tmp_path)["leases"] == {f"all {MINE}": -LARGEST}
    assert len(states(tmp_path)) == 6


Step = tuple[str, str, dict[str, int], str]
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["open", "open", "done", "failed", "cancelled", "recover"]),
        st.dictionaries(st.sampled_from(["p", "q"]), st.integers(0, 50)),
        st.sampled_from([MINE, OTHER]),
    ),
    max_size=14,
)


@given(STEPS, st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_any_order_of_writes_and_deaths_settles_as_one_by_one(steps: list[Step], size: int) -> None:
    """Against a model that takes one write after the other; the store gets them in batches of `size`."""
    spent: dict[str, int] = defaultdict(int)
    leases = {(purse, worker): 1_000 for purse in "pq" for worker in (MINE, OTHER)}
    rows: dict[str, tuple[str, str]] = {}
    holds: dict[tuple[str, str], tuple[int, bool]] = {}
    at = now_us()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = SqliteStore(folder, MINE)
        lease(folder, *((purse, worker, amount) for (purse, worker), amount in leases.items()))
        batch: list[Attempt] = []
        for attempt, state, amounts, worker in steps:
            if state == "recover":  # OTHER is dead
                store.write(batch, {})
                batch = []
                store.recover(lambda worker: worker == MINE)
                for found, (before, of) in rows.items():
                    if before == "open" and of == OTHER:
                        rows[found] = ("lost", of)
                        holds |= {key: (n, True) for key, (n, _) in holds.items() if key[0] == found}
                leases = {key: amount for key, amount in leases.items() if key[1] == MINE}
                continue
            batch.append(done(1, attempt=attempt, state=state, started_us=at, worker=worker, holds=amounts))
            if len(batch) == size:
                store.write(batch, {})
                batch = []
            before, of = rows.get(attempt, ("", worker))
            if state == "open":
                if before in ("", "open"):
                    rows[attempt] = ("open", of)
                    for purse, amount in amounts.items():
                        holds.setdefault((attempt, purse), (amount, False))
            elif before in ("", "open", "lost"):
                rows[attempt] = (state, worker)
                holds = {key: value for key, value in holds.items() if key[0] != attempt}
                for purse, amount in amounts.items():
                    spent[purse] += amount
                    if amount:  # of a lease that is not there, too
                        leases[purse, worker] = leases.get((purse, worker), 0) - amount
        store.write(batch, {})
        store.close()
        have = budgets(folder)
        assert {purse: n for purse, n in have["spent"].items() if n} == {purse: n for purse, n in spent.items() if n}
        assert have["leases"] == {f"{purse} {worker}": n for (purse, worker), n in leases.items()}
        ended = {attempt for attempt, (state, _) in rows.items() if state not in ("open", "lost")}
        expected = {
            (attempt, purse, n, at + 900_000_000 if expiring else None)
            for (attempt, purse), (n, expiring) in holds.items()
            if attempt not in ended
        }
        # In one batch with its end an attempt never held anything, nor is that noted.
        assert set(have["holds"]) == expected
        assert states(folder) == {attempt: state for attempt, (state, _) in rows.items()}


def test_settling_is_cheap(tmp_path: Path, store: SqliteStore) -> None:
    """A few microseconds a row: 2,000 rows with three purses each in well under a second."""
    rows = [done(n, holds={"all": 1, f"key:{n % 20}": 1, f"user:{n % 50}": 1}) for n in range(2_000)]
    began = time.process_time()
    store.write(rows, {})
    assert time.process_time() - began < 0.5
    assert budgets(tmp_path)["spent"]["all"] == 2_000
