"""A worker for tests: `python -m tests.gateway.spender FOLDER ACKS LIMIT SEED` spends one budget as fast as it can.

It reserves, writes the open row, "sends", and writes the final row, many at once, until nothing is left. ACKS gets a
line before each final row is written: "end ATTEMPT CHARGED"; at the end "refused" and "over".
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from farthing.gateway.spending.purses import BudgetRef, Hold, Purses
from farthing.ledger.bank import SqliteBank
from farthing.ledger.changes import Changes
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import Attempt

MOST = 1000
"""The most that one request reserves, in nanodollars."""


async def spend(folder: Path, acks: int, limit: int, choose: random.Random) -> None:
    ledger = Ledger.open(folder)
    purses = Purses(SqliteBank(folder), ledger.worker, Changes(folder))
    purses.start()
    budgets = [BudgetRef("all", limit, "total"), BudgetRef(f"user:{os.getpid()}", 10**15, "day")]

    def say(word: str) -> None:
        os.write(acks, f"{word}\n".encode())

    async def client() -> None:
        while True:
            amount = choose.randrange(1, MOST + 1)
            hold = await purses.reserve(budgets, amount, time.time())
            if not isinstance(hold, Hold):
                if hold.why == "exhausted":
                    say(f"refused {amount} {hold.remaining}")
                    return
                await asyncio.sleep(0.05)
                continue
            name, now_us = attempt_id(), time.time_ns() // 1000
            ledger.write([Attempt(attempt=name, request=name, started_us=now_us, worker=ledger.worker,
                                  holds=hold.amounts)])  # fmt: skip
            await asyncio.sleep(choose.random() * 0.02)
            charged = choose.choice([0, amount // 3, amount])
            holds = purses.settle(hold, charged)
            say(f"end {name} {charged}")
            ledger.write([Attempt(attempt=name, request=name, started_us=now_us, ended_us=now_us + 1, state="done",
                                  worker=ledger.worker, holds=holds, usd="0")])  # fmt: skip

    say("up")
    await asyncio.gather(*(client() for _ in range(20)))
    await purses.close()
    ledger.close()
    say("over")


if __name__ == "__main__":
    where, told, most, seed = sys.argv[1:]
    handle = os.open(told, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    asyncio.run(spend(Path(where), handle, int(most), random.Random(int(seed))))
