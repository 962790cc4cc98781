"""What limits, budgets and metrics take, each alone (best of five): `python -m benchmarks.gateway.parts`."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from farthing.gateway.limits import Admission, Limit, Limits
from farthing.gateway.observe.metrics import Metrics
from farthing.gateway.spending.purses import Hold, Purses
from farthing.ledger.bank import SqliteBank
from farthing.ledger.budgets import NANO, BudgetRef
from farthing.ledger.changes import Changes
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import Attempt

_TIMES = 20_000


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(_measure(Path(name)))


async def _measure(folder: Path) -> None:
    limits = Limits.open(folder)
    two = [
        Limit(id=id, requests_per_minute=10**8, tokens_per_minute=10**9, concurrent=10**4) for id in ("all", "key:k")
    ]
    none = [Limit(id="nobody", requests_per_minute=0)]

    def admitted() -> None:
        admission = limits.admit(two, 100)
        assert isinstance(admission, Admission)
        admission.settle(60)
        admission.release()

    _show("admit, settle and release under two limits", admitted)
    admission = limits.admit(two, 100)
    assert isinstance(admission, Admission)
    _show("the headers of an answer", lambda: admission.headers)
    _show("a refusal", lambda: limits.admit(none, 1))
    metrics = Metrics(folder)
    row = Attempt(
        attempt=attempt_id(), request="r", state="done", started_us=1, ended_us=2_000, first_us=1_000, status=200,
        upstream="openai", model_asked="m", model_served="m", quantities={"input": 10, "output": 5}, usd="1/1000",
    )  # fmt: skip
    _show("counting an attempt", lambda: metrics.observe(row))
    with Ledger.open(folder) as ledger:
        purses = Purses(SqliteBank(folder), ledger.worker, Changes(folder))
        budgets = tuple(BudgetRef(id, 10**6 * NANO) for id in ("all", "key:k", "user:u"))
        first = await purses.reserve(budgets, 1_000, time.time())
        assert isinstance(first, Hold)
        purses.settle(first, 0)
        now = time.time()

        def reserved() -> None:
            hold = purses.try_reserve(budgets, 1_000, now)
            assert hold is not None
            purses.settle(hold, 0)

        _show("reserving under three budgets and settling, from memory", reserved)
        await purses.close()
    limits.close()


def _show(what: str, work: Callable[[], object]) -> None:
    best = float("inf")
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(_TIMES):
            work()
        best = min(best, (time.thread_time() - begun) / _TIMES)
    print(f"{what}: {best * 1e6:.1f} µs")


if __name__ == "__main__":
    main()
