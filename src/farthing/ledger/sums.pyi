from collections.abc import Collection, Sequence

from farthing.ledger.pack import Row
from farthing.ledger.row import Attempt

def summed(
    attempts: Sequence[Attempt], made: list[Row], names: list[str], worker: str, ended_before: Collection[str], /
) -> tuple[dict[str, dict[str, int]], list[tuple[str, str, int]], list[str]]:
    """Of `attempts`, whose rows are `made` and stored under `names`: what those that end are charged, by worker and
    purse; what open ones hold, by attempt and purse; which of them end. `worker`: whose leases are meant where an
    attempt names none; `ended_before`: those that have been charged already."""
