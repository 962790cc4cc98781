"""One client's request, as the gateway holds it while it is served."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from farthing.gateway.caller import Attribution
from farthing.gateway.http import Receive, Send
from farthing.gateway.metering import Asked, Surface
from farthing.gateway.problem import Header
from farthing.gateway.translation import Protocol
from farthing.gateway.watch import Watch

if TYPE_CHECKING:
    from farthing.gateway.gate import Party
    from farthing.gateway.limits import Admission
    from farthing.gateway.observe.spans import Trace


class Call:
    """A request: what was asked, by whom, and how to answer.

    `answered`: an answer with `status` has begun to go out. `trace`: where it stands in a trace, if that is recorded.
    `admission`: under which limits it counts, if any.
    """

    __slots__ = (
        "admission", "answered", "asked", "blamed", "body", "by", "headers", "id", "party", "receive", "send",
        "started_ns", "started_us", "status", "surface", "tokens", "trace", "watch",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        surface: Surface,
        headers: Mapping[bytes, bytes],
        body: bytes,
        asked: Asked,
        party: "Party",
        by: Attribution,
        watch: Watch,
        receive: Receive,
        send: Send,
    ) -> None:
        self.id = id
        self.surface = surface
        self.headers = headers
        self.body = body
        self.asked = asked
        self.party = party
        self.by = by
        self.watch = watch
        self.receive = receive
        self.send = send
        self.started_ns = time.monotonic_ns()
        self.started_us = time.time_ns() // 1000
        self.tokens = 0  # consumed by all attempts, for the limits
        self.answered = False
        self.status = 0
        self.trace: Trace | None = None
        self.admission: Admission | None = None
        self.blamed = frozenset[str]()  # upstreams that failed it: a request counts once in a circuit breaker

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
        return self.started_us + (time.monotonic_ns() - self.started_ns) // 1000

    def leave(self) -> None:
        """The last of the answer goes out: who has it may come again at once, to another worker, and find its place
        free."""
        if self.admission is not None:
            self.admission.release()

    def own_headers(self) -> list[Header]:
        """What every answer carries."""
        made = [(b"x-farthing-request-id", self.id.encode())]
        return made if self.admission is None else made + self.admission.headers
