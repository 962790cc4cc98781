"""Budgets on the path of a request: reserve before it is sent, settle when its charge is known.

Reservations are taken from leases that this worker has from the bank, in memory, on the event loop's thread: a few
microseconds. Only a lease that does not suffice asks the bank, in a thread. A lease is small against what is free, what
lies idle goes back, and a worker that is refused calls the idle leases of others back before it says no.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from farthing.gateway.spending.purse import Purse
from farthing.gateway.spending.shelf import MOST_PURSES, Shelf
from farthing.gateway.spending.teller import Teller, Turned
from farthing.gateway.spending.till import MOST, Account, Till, held, tightest
from farthing.gateway.spending.till import Hold as Hold
from farthing.ledger.bank import Bank, Granted, Want
from farthing.ledger.budgets import BudgetRef as BudgetRef
from farthing.ledger.changes import Changes

MOST_WAITING = 256
"""Requests that wait for money to come back, in one worker; beyond, a refusal comes at once."""
PATIENCE_S = 0.5
"""How long a refusal waits for the leases of others."""
TICK_S = 0.05
"""How often recalls are heeded; `shelf` counts time in it."""
TIGHT_S = 1.0
"""How long a purse that others were short of is leased to the need only, and what is settled of it goes back."""
_POLL_S = 0.01

Why = Literal["exhausted", "held", "unavailable"]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request may not be sent. `budget`: which has too little; None where the bank is away.

    exhausted: it is spent. held: what is left is held by other requests, and some may come back. unavailable: the
    bank cannot be asked. `remaining`: nanodollars that are left. `retry_after_s`: None where waiting does not help.
    """

    budget: BudgetRef | None
    remaining: int
    retry_after_s: int | None
    why: Why


class Purses(Till):
    """The purses of one worker. Everything but the bank's calls runs on the event loop's thread.

    `worker`: the ledger's id of it, which its leases are known by. `on_failure`: "refuse" or "admit" what the bank
    cannot be asked about; what is admitted counts all the same (it may be set anew). `on_alert(budget, spent)` is
    called once a period for a budget that only warns, when it is spent. `counters` are for metrics.
    """

    def __init__(
        self, bank: Bank, worker: str, changes: Changes, *, on_failure: Literal["refuse", "admit"] = "refuse",
        on_alert: Callable[[BudgetRef, int], object] | None = None, most_purses: int = MOST_PURSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._changes = changes
        self.on_failure = on_failure
        self._on_alert = on_alert
        self._clock = clock
        self._waiting = 0
        self._seen_wanted = changes.wanted
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._teller = Teller(bank, worker, changes, clock)
        self._shelf = Shelf(self._teller, self, most_purses)
        self._account = self._shelf.account
        self.counters = self._teller.counters

    # --- a request ----------------------------------------------------------------------------

    async def reserve(self, budgets: Sequence[BudgetRef], amount: int, now: float) -> Hold | Refused:
        """Reserve `amount` nanodollars of every budget or of none; asks the bank where leases do not suffice.

        A refusal waits half a second at most for what other workers or requests may give back.
        Raises `ValueError` for a negative amount.
        """
        if amount < 0:
            raise ValueError(f"a reservation of {amount} nanodollars")
        if (hold := self.try_reserve(budgets, amount, now)) is not None:
            return hold
        purses = self._shelf.pinned(budgets, now)
        try:
            return await self._reserve(purses, amount, now)
        finally:
            for purse in purses:
                purse.pins -= 1

    async def _reserve(self, purses: list[Purse], amount: int, now: float) -> Hold | Refused:
        give_up = self._clock() + PATIENCE_S
        if amount > MOST and not any(purse.ref.hard for purse in purses):
            return self._blind(purses, amount)  # (no bank has so much; a hard budget says why)
        while True:
            if (hold := self._take(purses, amount)) is not None:
                return hold
            short = self._short_one(purses, amount)
            if short is None:
                outcome = await self._fetch_in_turn(purses, amount)
                if isinstance(outcome, Hold):
                    return outcome
                if outcome is None:
                    return self._blind(purses, amount)
                short = outcome
            hopeful = short.may_come_back(amount) and self._clock() < min(give_up, short.wait_until)
            if not hopeful or self._waiting >= MOST_WAITING:
                return self._refuse(short, amount, now)
            self._waiting += 1
            try:
                await asyncio.sleep(_POLL_S)
            finally:
                self._waiting -= 1

    def release(self, hold: Hold) -> dict[str, int]:
        """The request cost nothing (it was not sent, or failed without a charge)."""
        return self.settle(hold, 0)

    def remaining(self, budgets: Sequence[BudgetRef]) -> int | None:
        """Nanodollars left of the tightest budget, as far as this worker knows (hard ones count before others)."""
        account = self._account(budgets)
        purses = account.tightest if account is not None else tightest(self._shelf.known(budgets))
        return max(min(purse.left for purse in purses), 0) if purses else None

    def _take(self, purses: list[Purse], amount: int) -> Hold | None:
        for purse in purses:
            if purse.free < amount or not purse.known:
                return None
        for purse in purses:
            purse.take(amount)
        return self._held(purses, amount)

    def _held(self, purses: list[Purse], amount: int) -> Hold:
        for purse in purses:
            purse.used = self.ticks
        return held(Account((), purses), amount)

    def _refuse(self, purse: Purse, amount: int, now: float) -> Refused:
        self.counters["refusals"] += 1
        why: Why = "held" if amount <= purse.unspent() else "exhausted"
        after = 1.0 if why == "held" else purse.end_s - now
        never = math.isinf(after) or amount > purse.ref.limit
        return Refused(
            budget=purse.ref, remaining=max(purse.left, 0), why=why,
            retry_after_s=None if never else max(math.ceil(after), 1),
        )  # fmt: skip

    def _blind(self, purses: list[Purse], amount: int) -> Hold | Refused:
        """The bank is away: refuse, or let it pass and count it as owed."""
        if self.on_failure != "admit" or amount > MOST:
            self.counters["refusals"] += 1
            return Refused(budget=None, remaining=0, retry_after_s=1, why="unavailable")
        self.counters["admitted_blind"] += 1
        self.blindly = True
        for purse in purses:
            purse.take(amount)
            if purse.free < 0:
                purse.blind -= purse.free
                self._shelf.put_back(purse)
        return self._held(purses, amount)

    def _square(self, purse: Purse) -> None:
        """What was spent beyond the lease is owed; what was held blindly goes back where it was not spent: nobody has
        said that it is there."""
        if purse.free < 0:
            self._shelf.put_back(purse)
        elif back := min(purse.blind, purse.free):
            purse.blind -= back
            purse.give_back(back)
            self._teller.put_back(purse.id, back)

    # --- asking the bank ----------------------------------------------------------------------

    def _short_one(self, purses: list[Purse], amount: int) -> Purse | None:
        """The first purse that is known to have too little."""
        now, returned = self._clock(), self._changes.returned
        return next((purse for purse in purses if purse.ref.hard and purse.is_short(amount, now, returned)), None)

    async def _fetch_in_turn(self, purses: list[Purse], amount: int) -> Hold | Purse | None:
        """A hold, the purse that has too little, or None where the bank cannot be asked. One call at a time: the
        lease that one request fetches is often enough for those that wait behind it."""
        async with self._turn:
            if (hold := self._take(purses, amount)) is not None:
                return hold
            if (short := self._short_one(purses, amount)) is not None:
                return short
            if self._teller.down:
                return None
            # A client that leaves must not take the answer with it: the lease would be nobody's.
            fetch = asyncio.ensure_future(self._fetch(purses, amount))
            try:
                return await asyncio.shield(fetch)
            except asyncio.CancelledError:
                fetch.add_done_callback(self._unclaimed)
                raise

    def _unclaimed(self, fetch: "asyncio.Future[Hold | Purse | None]") -> None:
        if not fetch.cancelled() and fetch.exception() is None and isinstance(hold := fetch.result(), Hold):
            self.release(hold)

    async def _fetch(self, purses: list[Purse], amount: int) -> Hold | Purse | None:
        """`_lease`, and what it was told by a rule that is another by now is not relied on."""
        rules = [purse.ref for purse in purses]
        try:
            return await self._lease(purses, amount)
        finally:
            for purse, rule in zip(purses, rules, strict=True):
                if purse.ref is not rule:
                    self._shelf.distrust(purse)

    async def _lease(self, purses: list[Purse], amount: int) -> Hold | Purse | None:
        """Lease what `purses` lack. What they have free is set aside meanwhile, so that no other request takes it."""
        now = self._clock()
        asides: list[int] = []
        wants: dict[str, Want] = {}
        ours: dict[str, int] = {}
        for purse in purses:
            aside = min(purse.free, amount)
            asides.append(aside)
            ours[purse.id] = purse.leased
            purse.lease(-aside)
            purse.pins += 1
            if (need := amount - aside) or not purse.known:
                want = need + purse.wish(amount, now)
                wants[purse.id] = Want(purse.id, purse.ref.limit, need, want, purse.ref.hard)
        answer = None
        try:
            answer = await self._teller.acquire(list(wants.values()), ours)
        finally:
            for purse, aside in zip(purses, asides, strict=True):
                purse.pins -= 1
                if not isinstance(answer, dict):
                    purse.lease(aside)
        if isinstance(answer, Turned):
            purse = next(purse for purse in purses if purse.id == answer.short.purse)
            purse.note_short(answer.short, answer.returned, self._clock(), PATIENCE_S)
            return purse
        if answer is None:
            return None
        for purse in purses:
            purse.lease_held(amount)  # what was set aside and what was needed
            if purse.id in wants:
                self._credit(purse, wants[purse.id], answer[purse.id])
        return self._held(purses, amount)

    def _credit(self, purse: Purse, want: Want, granted: Granted) -> None:
        purse.lease(granted.amount - want.need)
        purse.known = True
        purse.short = None
        purse.fetched_at = self._clock()
        purse.tell(granted.state.free(want.limit))
        if not want.hard and not purse.alerted and granted.state.spent >= want.limit:
            purse.alerted = True
            self.counters["alerts"] += 1
            if self._on_alert is not None:
                self._on_alert(purse.ref, granted.state.spent)

    # --- the background -----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to return idle leases and to heed the calls of others, on the running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="farthing-purses")

    async def _run(self) -> None:
        while not self._closing:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick()
            except Exception as error:  # one bad tick must not end the returning of leases
                self.counters["faults"] += 1
                asyncio.get_running_loop().call_exception_handler({"message": "a tick failed", "exception": error})

    async def tick(self) -> None:
        """What is done every `TICK_S`: heed recalls, return what is idle, tell the bank."""
        shelf, teller = self._shelf, self._teller
        if (word := self._changes.wanted) != self._seen_wanted and not teller.down:
            self._seen_wanted = word
            wanted = await teller.wanted()
            self.counters["recalls"] += shelf.tighten(wanted, self._clock() + TIGHT_S)
        gone = shelf.turn(self._clock())
        if not teller.down:
            await teller.deliver(gone)

    async def close(self) -> None:
        """Return every lease, end, and close the bank. What requests in flight hold stays leased; the ledger's recovery
        frees it."""
        self._closing = True
        if self._task is not None:
            await self._task
        async with self._turn:
            self._shelf.clear()
            await self._teller.deliver()
        self._teller.close()
