"""Anything may happen, in any order, to several workers on one bank; no budget is ever passed and nothing is lost.

The model counts what every attempt holds or was charged. Each reservation that is granted must keep, in each hard
budget's purse, charges + holds + what lost attempts still hold <= the limit of that moment.
"""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from farthing.gateway.spending import purses as module
from farthing.gateway.spending.purses import BudgetRef, Hold, Purses
from farthing.ledger.bank import BankUnavailable, SqliteBank
from farthing.ledger.changes import Changes
from farthing.ledger.row import Attempt
from farthing.ledger.store import SqliteStore
from tests.gateway.test_purses import Clock, Counting

HOLD_S = 900
AMOUNTS = st.integers(0, 400)
WORKERS = st.integers(0, 2)
LIMITS = {"key:a": 2000, "user:b": 500, "all": 3000, "feature:soft": 700}
PERIODS = {"key:a": "day", "user:b": "day", "all": "total", "feature:soft": "week"}


class Worker:
    """One process: its purses, and the rows that its journal has and the database has not."""

    def __init__(self, name: str, purses: Purses, bank: Counting) -> None:
        self.name = name
        self.purses = purses
        self.bank = bank
        self.rows: list[Attempt] = []


class Flight:
    """An attempt: what it holds; `told`: its open row is in the journal, so it may have been sent."""

    def __init__(self, name: str, worker: Worker, hold: Hold, told: bool, started_us: int) -> None:
        self.name = name
        self.worker = worker
        self.hold = hold
        self.told = told
        self.started_us = started_us


class Budgets(RuleBasedStateMachine):
    """Three workers, four budgets."""

    @initialize()
    def begin(self) -> None:
        self.asked: dict[tuple[BudgetRef, ...], tuple[BudgetRef, ...]] = {}
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.loop = asyncio.new_event_loop()
        self.patience = patch.object(module, "PATIENCE_S", 0.0)  # waiting has tests of its own
        self.patience.start()
        self.changes = Changes(self.folder)
        self.clock = Clock()
        self.ahead_us = 0
        self.born = 0
        self.attempts = 0
        self.limits = dict(LIMITS)
        self.store = SqliteStore(self.folder)
        self.look = SqliteBank(self.folder, self.now_us)
        self.workers = [self.birth() for _ in range(3)]
        self.flights: list[Flight] = []
        self.charged: dict[str, int] = defaultdict(int)  # by purse
        self.lost: list[tuple[dict[str, int], int]] = []  # holds of lost attempts, and until when
        self.leaked = False

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self.ahead_us

    def birth(self) -> Worker:
        self.born += 1
        bank = Counting(SqliteBank(self.folder, self.now_us))
        name = f"w{self.born}"
        purses = self.do(self.made(bank, name))
        return Worker(name, purses, bank)

    async def made(self, bank: Counting, name: str) -> Purses:
        return Purses(bank, name, self.changes, clock=self.clock, most_purses=3)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def held(self, purse: str) -> int:
        """What requests in flight, and lost ones, hold of a purse."""
        now_us = self.now_us()
        return sum(flight.hold.amounts.get(purse, 0) for flight in self.flights) + sum(
            holds.get(purse, 0) for holds, until_us in self.lost if until_us > now_us
        )

    # --- what happens -------------------------------------------------------------------------

    @rule(
        worker=WORKERS, names=st.sets(st.sampled_from(sorted(LIMITS)), min_size=1), amount=AMOUNTS, told=st.booleans()
    )
    def reserve(self, worker: int, names: set[str], amount: int, told: bool) -> None:
        at = self.workers[worker]
        made = tuple(
            BudgetRef(name, self.limits[name], PERIODS[name], name != "feature:soft") for name in sorted(names)
        )
        budgets = self.asked.setdefault(made, made)  # the same tuple each time, as of a key that is used again
        now_us = self.now_us()
        found = self.do(at.purses.reserve(budgets, amount, now_us / 1e6))
        self.clock.now += 0.3
        if not isinstance(found, Hold):
            return
        self.attempts += 1
        flight = Flight(f"a{self.attempts}", at, found, told, now_us)
        self.flights.append(flight)
        if told:
            at.rows.append(self.row(flight, "open", found.amounts))
        assert set(found.amounts.values()) == {amount} and len(found.amounts) == len(budgets)
        for purse in found.amounts:
            name = purse.partition("/")[0]
            if name != "feature:soft" and amount:
                assert self.charged[purse] + self.held(purse) <= self.limits[name], purse

    @rule(worker=WORKERS, amount=st.integers(1, 400), steps=st.integers(0, 3))
    def leave(self, worker: int, amount: int, steps: int) -> None:
        """A client that goes away while its reservation is made."""
        at = self.workers[worker]

        async def leaving() -> None:
            budgets = [BudgetRef("all", self.limits["all"], "total")]
            asked = asyncio.ensure_future(at.purses.reserve(budgets, amount, self.now_us() / 1e6))
            for _ in range(steps):
                await asyncio.sleep(0)
            asked.cancel()
            [found] = await asyncio.gather(asked, return_exceptions=True)
            if isinstance(found, Hold):
                at.purses.release(found)
            await at.purses._teller._call(lambda: None, {})  # until the thread is done with it
            await asyncio.sleep(0)

        self.do(leaving())

    @precondition(lambda self: self.flights)
    @rule(which=st.integers(0, 10**6), share=st.sampled_from([0, 0.3, 1]), again=st.booleans())
    def settle(self, which: int, share: float, again: bool) -> None:
        flight = self.flights.pop(which % len(self.flights))
        amount = int(flight.hold.amount * share)
        charged = flight.worker.purses.settle(flight.hold, amount)
        if again:
            assert flight.worker.purses.release(flight.hold) == charged
        for purse, part in charged.items():
            assert part == amount
            self.charged[purse] += part
        if not flight.told:
            flight.worker.rows.append(self.row(flight, "open", flight.hold.amounts))
        flight.worker.rows.append(self.row(flight, "done", charged))

    @precondition(lambda self: self.flights)
    @rule(which=st.integers(0, 10**6), more=st.integers(1, 300))
    def settle_for_more(self, which: int, more: int) -> None:
        """The charge was underestimated; it is counted, and nothing is granted until it is made good."""
        flight = self.flights.pop(which % len(self.flights))
        charged = flight.worker.purses.settle(flight.hold, flight.hold.amount + more)
        for purse, part in charged.items():
            self.charged[purse] += part
        flight.worker.rows.append(self.row(flight, "done", charged))
        self.do(flight.worker.purses.tick())

    def row(self, flight: Flight, state: str, holds: dict[str, int]) -> Attempt:
        return Attempt(
            attempt=flight.name, request="r", state=state, started_us=flight.started_us, worker=flight.worker.name,
            holds=dict(holds),
        )  # fmt: skip

    @rule(worker=WORKERS, twice=st.booleans())
    def write(self, worker: int, twice: bool) -> None:
        """The ledger's writer gets to its rows, perhaps the same ones again."""
        at = self.workers[worker]
        self.store.write(at.rows, {})
        if twice:
            self.store.write(at.rows, {})
        at.rows = []

    @rule(worker=WORKERS, ticks=st.sampled_from([1, 1, 30, 1300]))
    def tick(self, worker: int, ticks: int) -> None:
        for _ in range(ticks):
            self.do(self.workers[worker].purses.tick())
        self.clock.now += 1

    @rule(worker=WORKERS)
    def die(self, worker: int) -> None:
        """kill -9: its journal is replayed, what it had open is lost, its leases go; another takes its place."""
        dead = self.workers[worker]
        self.store.write(dead.rows, {})
        self.store.recover(lambda name: name in {w.name for w in self.workers if w is not dead}, HOLD_S)
        for flight in [flight for flight in self.flights if flight.worker is dead]:
            self.flights.remove(flight)
            if flight.told:
                self.lost.append((flight.hold.amounts, flight.started_us + HOLD_S * 1_000_000))
        dead.purses._teller.close()
        dead.bank.close()
        self.workers[worker] = self.birth()

    @rule(worker=WORKERS)
    def leave_in_order(self, worker: int) -> None:
        """SIGTERM after its requests are done: leases go back, rows are written."""
        at = self.workers[worker]
        if any(flight.worker is at for flight in self.flights):
            return
        self.do(at.purses.close())
        self.store.write(at.rows, {})
        at.bank.close()
        self.workers[worker] = self.birth()

    @rule(days=st.sampled_from([1, -1]))
    def another_day(self, days: int) -> None:
        """Time passes, or the clock is set back; holds of lost attempts expire (never twice)."""
        self.ahead_us = max(self.ahead_us + days * 86_400_000_000, 0)
        self.lost = [(holds, until_us) for holds, until_us in self.lost if until_us > self.now_us()]

    @rule(name=st.sampled_from(sorted(LIMITS)), limit=st.integers(0, 4000))
    def another_limit(self, name: str, limit: int) -> None:
        self.limits[name] = limit

    @rule(worker=WORKERS, certain=st.booleans(), ticks=st.sampled_from([0, 1, 30]))
    def bank_away(self, worker: int, certain: bool, ticks: int) -> None:
        """For a moment the bank does not answer; where that is not certain, it may have done as it was told."""
        at = self.workers[worker]
        at.bank.fault = BankUnavailable("away", certain=certain)
        for _ in range(ticks):
            self.do(at.purses.tick())
        budget = BudgetRef("all", self.limits["all"], "total")
        found = self.do(at.purses.reserve([budget], 10, self.now_us() / 1e6))
        if isinstance(found, Hold):
            at.purses.release(found)
        elif not certain:
            self.leaked = True  # a lease that was granted and not heard of: nobody's until its worker ends
        at.bank.fault = None
        self.clock.now += 1

    # --- what must hold -----------------------------------------------------------------------

    @invariant()
    def the_database_never_says_more_than_is_true(self) -> None:
        """What is durable, leased and held covers everything that the model knows of each purse."""
        if not hasattr(self, "workers"):
            return
        owed: dict[str, int] = defaultdict(int)
        for worker in self.workers:
            for name, amount in worker.purses._teller.outbox.items():
                owed[name] += max(-amount, 0)
        purses = set(self.charged) | {purse for flight in self.flights for purse in flight.hold.amounts}
        for purse, state in self.look.states(sorted(purses)).items():
            booked = state.spent + state.leased + state.held + owed[purse]
            assert booked >= self.charged[purse] + self.held(purse), (purse, state, owed[purse])

    @invariant()
    def a_worker_knows_what_its_requests_hold(self) -> None:
        """Of each purse: what is leased is free or held, and nothing free is owed while requests hold of it."""
        for worker in getattr(self, "workers", ()):
            held: dict[str, int] = defaultdict(int)
            for flight in self.flights:
                for purse in flight.hold.amounts if flight.worker is worker else ():
                    held[purse] += flight.hold.amount
            for one in worker.purses._shelf.purses.values():
                assert one.held == held[one.id], one.id
                assert one.free >= 0 or one.id not in held, one.id

    def teardown(self) -> None:
        if not hasattr(self, "workers"):
            return
        try:
            for flight in list(self.flights):
                self.flights = [flight, *(one for one in self.flights if one is not flight)]
                self.settle(0, 1, False)
            for number, worker in enumerate(self.workers):
                self.write(number, True)
                self.do(worker.purses.close())
            for purse, state in self.look.states(sorted(self.charged)).items():
                assert state.spent == self.charged[purse], purse
                assert state.leased == 0 or self.leaked, (purse, state)
        finally:
            self.patience.stop()
            for worker in self.workers:
                worker.bank.close()
            self.store.close()
            self.look.close()
            self.changes.close()
            self.loop.close()
            self._folder.cleanup()


Budgets.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestBudgets = Budgets.TestCase
