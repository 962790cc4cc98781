"""The bank: exact, all or nothing, and never more than is free."""

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.ledger.bank import BankUnavailable, Granted, PurseState, Short, SqliteBank, Want, grant
from farthing.ledger.budgets import BudgetRef, nano_up, purse_id, span_at, usd
from farthing.ledger.row import Attempt
from farthing.ledger.schema import FILE
from farthing.ledger.store import SqliteStore


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[SqliteBank]:
    made = SqliteBank(tmp_path)
    yield made
    made.close()


def test_a_lease_is_the_need_and_a_part_of_what_is_free(bank: SqliteBank) -> None:
    # 1,000 free: 100 are needed, and of the other 900 a sixteenth, 56.
    assert bank.acquire("w1", [Want("p", 1000, 100, 500)]) == {"p": Granted(156, PurseState(leased=156))}
    # Where the wish is smaller than the part, it is the wish.
    assert bank.acquire("w2", [Want("p", 1000, 100, 110)]) == {"p": Granted(110, PurseState(leased=266))}
    # 734 are free, all of them needed.
    assert bank.acquire("w1", [Want("p", 1000, 734, 10_000)]) == {"p": Granted(734, PurseState(leased=1000))}
    assert bank.acquire("w2", [Want("p", 1000, 1, 1)]) == Short("p", 0, PurseState(leased=1000))
    assert bank.acquire("w2", [Want("p", 1000, 0, 5)]) == {"p": Granted(0, PurseState(leased=1000))}


def test_all_or_nothing(bank: SqliteBank) -> None:
    wants = [Want("a", 100, 50, 50), Want("b", 100, 50, 50), Want("c", 10, 50, 50)]
    assert bank.acquire("w1", wants) == Short("c", 10, PurseState())
    assert set(bank.states(["a", "b", "c"]).values()) == {PurseState()}


def test_giving_back_and_taking_what_is_spent(bank: SqliteBank) -> None:
    bank.acquire("w1", [Want("p", 100, 60, 60)])
    bank.give_back("w1", {"p": 20, "q": -500})
    assert bank.states(["p", "q"]) == {"p": PurseState(leased=40), "q": PurseState(leased=500)}
    assert bank.acquire("w2", [Want("q", 100, 1, 1)]) == Short("q", -400, PurseState(leased=500))


def test_a_soft_want_gets_what_it_wants(bank: SqliteBank) -> None:
    assert bank.acquire("w1", [Want("p", 100, 500, 900, hard=False)]) == {"p": Granted(900, PurseState(leased=900))}


def test_a_lease_below_zero_is_no_money(bank: SqliteBank) -> None:
    bank.acquire("w1", [Want("p", 100, 10, 10)])
    bank.give_back("w1", {"p": 30})
    assert bank.states(["p"])["p"].leased == 0
    # The next lease fills the hole first: 20 owed and 5 needed.
    bank.acquire("w1", [Want("p", 100, 25, 25)])
    assert bank.states(["p"])["p"].leased == 5


def test_the_ledger_moves_charges_from_leases_to_spent(tmp_path: Path, bank: SqliteBank) -> None:
    store = SqliteStore(tmp_path)
    bank.acquire("w1", [Want("p", 100, 60, 60)])
    now_us = time.time_ns() // 1000
    row = Attempt(attempt="1", request="r", state="open", started_us=now_us, worker="w1", holds={"p": 60})
    store.write([row], {})
    assert bank.states(["p"])["p"] == PurseState(leased=60)  # held within the lease
    done = Attempt(attempt="1", request="r", state="done", started_us=now_us, worker="w1", holds={"p": 45})
    store.write([done], {})
    store.write([done], {})
    assert bank.states(["p"])["p"] == PurseState(spent=45, leased=15)
    store.close()


def test_the_holds_of_a_dead_worker_expire(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    bank = SqliteBank(tmp_path, lambda: now_us)
    store = SqliteStore(tmp_path)
    bank.acquire("w1", [Want("p", 100, 60, 80)])
    store.write([Attempt(attempt="1", request="r", state="open", started_us=now_us, worker="w1", holds={"p": 60})], {})
    store.recover(lambda worker: False, 900)
    assert bank.states(["p"])["p"] == PurseState(held=60)
    assert bank.acquire("w2", [Want("p", 100, 41, 41)]) == Short("p", 40, PurseState(held=60))
    now_us += 900_000_001
    assert bank.acquire("w2", [Want("p", 100, 100, 100)]) == {"p": Granted(100, PurseState(leased=100))}
    store.close()
    bank.close()


def test_wants_are_forgotten(tmp_path: Path) -> None:
    now_us = 10**15
    bank = SqliteBank(tmp_path, lambda: now_us)
    bank.want("p")
    bank.want("p")
    bank.want("q")
    assert bank.wanted() == {"p", "q"}
    now_us += 6_000_000
    assert bank.wanted() == set()
    now_us -= 10**12  # a clock that was set back
    bank.want("r")
    assert bank.wanted() == {"r"}
    rows = bank._connection.execute("SELECT count(*) FROM wanted").fetchall()
    assert rows == [(1,)]
    bank.close()


def test_only_empty_leases_are_forgotten(bank: SqliteBank) -> None:
    bank.acquire("w1", [Want("p", 100, 10, 10), Want("q", 100, 10, 10)])
    bank.give_back("w1", {"q": 10})
    bank.forget("w1", ["p", "q", "never"])
    assert bank._connection.execute("SELECT purse FROM lease").fetchall() == [("p",)]


def test_a_locked_database_is_unavailable_and_nothing_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farthing.ledger.bank.BUSY_MS", 20)
    bank = SqliteBank(tmp_path)
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(BankUnavailable, match="locked") as told:
        bank.acquire("w1", [Want("p", 100, 10, 10)])
    assert told.value.certain
    with pytest.raises(BankUnavailable):
        bank.give_back("w1", {"p": 10})
    with pytest.raises(BankUnavailable):
        bank.want("p")
    with pytest.raises(BankUnavailable):
        bank.forget("w1", ["p"])
    assert bank.states(["p"]) == {"p": PurseState()}  # who only reads is not in anybody's way
    holder.execute("ROLLBACK")
    holder.close()
    assert isinstance(bank.acquire("w1", [Want("p", 100, 10, 10)]), dict)
    with pytest.raises(BankUnavailable):
        bank.acquire("w1", [Want("p", 100, 2**70, 2**70, hard=False)])
    assert bank.states(["p"]) == {"p": PurseState(leased=10)}
    bank.close()


@settings(deadline=None)
@given(
    free=st.integers(-100, 10**6), need=st.integers(0, 10**6), more=st.integers(0, 10**6), hard=st.booleans()
)  # fmt: skip
def test_a_grant_covers_the_need_and_stays_within_what_is_free(free: int, need: int, more: int, hard: bool) -> None:
    found = grant(Want("p", 0, need, need + more, hard), free)
    if found is None:
        assert hard and need > free
    else:
        assert need <= found <= need + more
        assert not hard or found <= free


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)), st.sampled_from(["day", "week", "month"]))
def test_periods_hold_their_instants_and_touch(moment: datetime, period: str) -> None:
    moment = moment.replace(tzinfo=UTC)
    span = span_at(period, moment.timestamp())
    start, end = datetime.fromtimestamp(span.start_s, UTC), datetime.fromtimestamp(span.end_s, UTC)
    assert start <= moment < end
    assert start.date() == date.fromisoformat(span.name) and start.time() == end.time() == datetime.min.time()
    assert span_at(period, span.end_s).start_s == span.end_s
    expected = {"day": moment.date(), "week": moment.date() - timedelta(days=moment.isoweekday() - 1),
                "month": moment.date().replace(day=1)}  # fmt: skip
    assert start.date() == expected[period]


def test_periods_by_hand() -> None:
    def at(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    assert span_at("week", at("2027-01-02T10:00")).name == "2026-12-28"  # a Saturday; its ISO week began in 2026
    assert span_at("month", at("2028-02-29T23:59:59.9")).end_s == at("2028-03-01")
    assert (
        purse_id(BudgetRef("key:k_3f", 5, "month"), span_at("month", at("2026-11-30"))) == "key:k_3f/month@2026-11-01"
    )
    assert purse_id(BudgetRef("all", 5, "total"), span_at("total", 0)) == "all/total@ever"
    with pytest.raises(ValueError, match="not one of day, week"):
        span_at("year", 0)


def test_nanodollars_round_up_and_back() -> None:
    assert nano_up(Fraction(1, 3)) == 333_333_334
    assert nano_up(Fraction(0)) == 0 and nano_up(Fraction(1, 10**12)) == 1
    assert nano_up(Fraction("12.5")) == 12_500_000_000 and usd(12_500_000_000) == Fraction("12.5")
