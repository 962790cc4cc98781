"""What `attempt_sums.pyx` offers."""

from typing import Final, final

from farthing.gateway.observe.metrics_store import Series
from farthing.ledger.row import Attempt

PICO: Final[int]

@final
class Kind:
    upstream: Final[str]
    served: Final[str]
    asked: Final[str]
    state: Final[str]
    status: Final[int | None]
    error: Final[str]
    attempts: Final[int]
    def series(self) -> Series: ...

class AttemptSums:
    def observe(self, attempt: Attempt) -> None: ...
    def taken(self) -> list[Kind]: ...

def pico(usd: str) -> int: ...
