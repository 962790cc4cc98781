"""One client's request, as the gateway holds it while it is served."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from farthing.gateway.caller import Attribution
from farthing.gateway.http import Send
from farthing.gateway.metering import Asked, Surface
from farthing.gateway.problem import Header
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.translation import Protocol
from farthing.gateway.watch import Watch

if TYPE_CHECKING:
    from farthing.gateway.admission import Admission
    from farthing.gateway.gate import Party
    from farthing.gateway.observe.spans import Trace


_time_ns, _monotonic_ns = time.time_ns, time.monotonic_ns


class Call:
    """A request: what was asked, by whom, and how to answer.

    `lines`: by the upstream's name what is passed on of `headers` (`Upstream.lines`), shared by requests with the same
    ones. `answered`: an answer with `status` has begun to go out. `tokens`: consumed by all attempts, for the limits.
    `trace`: where it stands in a trace, if that is recorded. `admission`: under which limits it counts, if any.
    `blamed`: upstreams that failed it (a request counts once in a circuit breaker).
    """

    __slots__ = (
        "_ahead_us", "admission", "answered", "asked", "blamed", "body", "by", "cycle", "headers", "id", "lines",
        "party", "send", "started_us", "status", "surface", "tokens", "trace", "watch",
    )  # fmt: skip

    def __init__(
        self, id: str, surface: Surface, headers: Mapping[bytes, bytes], body: bytes, asked: Asked, party: "Party",
        by: Attribution, watch: Watch, send: Send, cycle: Cycle | None, lines: dict[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        self.id = id
        self.surface = surface
        self.headers = headers
        self.body = body
        self.asked = asked
        self.party = party
        self.by = by
        self.watch = watch
        self.send = send
        self.cycle = cycle
        self.lines = lines
        self.started_us = _time_ns() // 1000
        self._ahead_us = self.started_us - _monotonic_ns() // 1000
        self.tokens = 0
        self.answered = False
        self.status = 0
        self.trace: Trace | None = None
        self.admission: Admission | None = None
        self.blamed: frozenset[str] = frozenset()

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

    def own_lines(self) -> bytes:
        """The header lines that every answer carries."""
        made = b"x-farthing-request-id: %b\r\n" % self.id.encode()
        return made if self.admission is None else made + self.admission.lines

    def own_headers(self) -> list[Header]:
        """The same as pairs."""
        return pairs_of(self.own_lines())


def pairs_of(lines: bytes) -> list[Header]:
    """Header lines ("name: value", each with its end) as pairs."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])]
