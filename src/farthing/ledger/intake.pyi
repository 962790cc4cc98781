import threading
from collections.abc import Callable, Sequence

from farthing.ledger.frame import Latest
from farthing.ledger.row import Attempt

AWAKE: int
LIGHT: int
DEEP: int
"""The writer's thread: at work; asleep until an attempt ends; asleep until any row comes."""

class Intake:
    """`pending`: the rows, under tickets that end with `accepted`; `last_ticket`: none is accepted beyond it (-1: none
    any more); `asleep`: what the writer's thread does; `fault`: why the journal keeps none. Shared by threads, and
    changed only with the writer's `lock`."""

    pending: list[Attempt]
    accepted: int
    last_ticket: int
    asleep: int
    fault: str
    def __init__(
        self, lock: threading.Lock, journal: Latest, general: Callable[[Sequence[Attempt]], int], last_ticket: int
    ) -> None: ...
    def write(self, attempts: Sequence[Attempt], /) -> int:
        """Accept rows; the ticket that `flush` and `when_durable` take. Raises `LedgerFull`, and accepts none then.

        What the usual way in does not take (or nobody could: the journal fails, the thread has to be woken) goes to
        `general`.
        """
