"""One client's request, as the gateway holds it while it is served."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from farthing.gateway.caller import Attribution
from farthing.gateway.http import Send
from farthing.gateway.metering import Asked, Surface
from farthing.gateway.problem import Header
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.translation import Protocol
from farthing.gateway.watch import Watch

if TYPE_CHECKING:
    from farthing.gateway.gate import Party
    from farthing.gateway.limits import Admission
    from farthing.gateway.observe.spans import Trace


_monotonic_ns = time.monotonic_ns


class Call(msgspec.Struct, eq=False):
    """A request: what was asked, by whom, and how to answer.

    `answered`: an answer with `status` has begun to go out. `trace`: where it stands in a trace, if that is recorded.
    `admission`: under which limits it counts, if any.
    """

    id: str
    surface: Surface
    headers: Mapping[bytes, bytes]
    body: bytes
    asked: Asked
    party: "Party"
    by: Attribution
    watch: Watch
    send: Send
    cycle: Cycle | None
    started_us: int
    _ahead_us: int
    """Of the clock that does not jump."""
    tokens: int = 0
    """Consumed by all attempts, for the limits."""
    answered: bool = False
    status: int = 0
    trace: "Trace | None" = None
    admission: "Admission | None" = None
    blamed: frozenset[str] = frozenset()
    """Upstreams that failed it: a request counts once in a circuit breaker."""

    @property
    def protocol(self) -> Protocol:
        """The client's."""
        return "anthropic" if self.surface.protocol == "anthropic" else "openai"

    @property
    def key_id(self) -> str:
        """The virtual key's id; "" where none is shown."""
        key = self.party.key
        return key.id if key is not None else ""

    def now_us(self) -> int:
        """The time, by a clock that does not jump, counted from the start's wall clock."""
        return _monotonic_ns() // 1000 + self._ahead_us

    @property
    def left(self) -> bool:
        """Whether the client has closed its connection, as far as that can be told without waiting."""
        return self.cycle is not None and self.cycle.disconnected

    def leave(self) -> None:
        """The last of the answer goes out: who has it may come again at once, to another worker, and find its place
        free."""
        if self.admission is not None:
            self.admission.end(self.tokens)

    def own_headers(self) -> list[Header]:
        """What every answer carries."""
        made = [(b"x-farthing-request-id", self.id.encode())]
        if self.admission is not None:
            made += self.admission.headers
        return made
