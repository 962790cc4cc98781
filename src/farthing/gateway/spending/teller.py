"""A worker's way to the bank: one call at a time, in a thread; what is to go back waits here until it is delivered."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from farthing.ledger.bank import Bank, BankUnavailable, Granted, Short, Want
from farthing.ledger.changes import Changes

DOWN_S = 0.2
"""How long a bank that failed is not asked again: who waits behind a failed call does not wait for one of his own."""
COUNTERS = ("acquires", "refusals", "recalls", "returns", "bank_failures", "admitted_blind", "alerts", "faults")
T = TypeVar("T")


class Turned(msgspec.Struct, frozen=True):
    """A refusal of the bank, and the word of `Changes.returned` before it: another word means that money came back."""

    short: Short
    returned: int


class Teller:
    """The calls of one worker. `outbox`: by purse what the bank is to get back; below zero, what it must add to the
    lease, because it is spent already. All methods are called on the event loop's thread."""

    def __init__(self, bank: Bank, worker: str, changes: Changes, clock: Callable[[], float] = time.monotonic) -> None:
        self._bank = bank
        self._worker = worker
        self._changes = changes
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "farthing-bank")
        self._down_until = float("-inf")
        self.outbox: dict[str, int] = {}
        self.counters = dict.fromkeys(COUNTERS, 0)

    @property
    def down(self) -> bool:
        """Whether the bank failed a moment ago."""
        return self._clock() < self._down_until

    def put_back(self, purse: str, amount: int) -> None:
        """Leave `amount` for the bank's next call."""
        self.outbox[purse] = self.outbox.get(purse, 0) + amount

    async def acquire(self, wants: Sequence[Want], ours: dict[str, int]) -> dict[str, Granted] | Turned | None:
        """The bank's answer; None where it cannot be asked. What `outbox` has of the same purses goes back before.

        `ours`: what this worker has of each purse. Where others have more, they are told that it is wanted.
        """
        back = self._taken({want.purse for want in wants})

        def ask() -> dict[str, Granted] | Turned:
            self._deliver(back)
            returned = self._changes.returned
            answer = self._bank.acquire(self._worker, wants)
            if not isinstance(answer, Short):
                return answer
            if answer.state.leased > ours[answer.purse]:
                self._bank.want(answer.purse)
                self._changes.tell_wanted()
            return Turned(answer, returned)

        self.counters["acquires"] += 1
        return await self._call(ask, back)

    async def wanted(self) -> set[str]:
        """The purses that someone is short of; none where the bank cannot be asked."""
        return await self._call(self._bank.wanted, {}) or set()

    async def deliver(self, gone: Sequence[str] = ()) -> None:
        """Empty the outbox; tell the bank that the worker has nothing left of the purses `gone`."""
        back = self._taken(list(self.outbox))

        def tell() -> None:
            self._deliver(back)
            if gone:
                self._bank.forget(self._worker, gone)

        if back or gone:
            await self._call(tell, back)

    def _taken(self, purses: Collection[str]) -> dict[str, int]:
        return {purse: amount for purse in purses if (amount := self.outbox.pop(purse, 0))}

    def _deliver(self, back: dict[str, int]) -> None:
        """In the thread: return money; what is delivered is no longer in `back`."""
        if back:
            self._bank.give_back(self._worker, back)
            back.clear()
            self.counters["returns"] += 1
            self._changes.tell_returned()

    async def _call(self, ask: Callable[[], T], back: dict[str, int]) -> T | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except BankUnavailable as error:
            self.counters["bank_failures"] += 1
            self._down_until = self._clock() + DOWN_S
            if error.certain:
                # (What may have been delivered is not said again: kept in our lease it harms least.)
                for purse, amount in back.items():
                    self.put_back(purse, amount)
            return None

    def close(self) -> None:
        """Wait for the call under way, end the thread, and close the bank."""
        self._thread.shutdown()
        self._bank.close()
