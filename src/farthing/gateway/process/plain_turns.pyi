import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from farthing.gateway.process.connection import Connection
from farthing.gateway.process.cycle import Cycle
from farthing.gateway.process.request_head import Heads, Meaning
from farthing.gateway.process.served import Served

KEEP_ALIVE_S: float
"""How long a connection may be without a request: longer than the clients', which then hang up first."""
MOST_WAITING_BYTES: int
"""What of a body may wait for the application, beyond one read."""
LARGE_BYTES: int
"""From here on a body is not copied to stand behind its head."""

class Turn:
    transport: Any
    meaning: Meaning | None
    """The plain head that it came with."""
    digits: bytes
    """The length of its body, as its plain head said it; b"" where it said none."""
    body: bytes | bytearray
    """What of the request's body came, and is not yet received."""
    task: asyncio.Task[None] | None
    """Its own, of those that are served."""
    on_lost: Callable[[], None] | None
    """Called once where the connection is lost before the answer is whole."""
    take_up: Callable[[], None] | None
    """Makes a task (`go_on`) of a request that was taken at once: called where it is to be cancelled, at a shutdown."""
    keep_alive: bool
    more_body: bool
    disconnected: bool
    answered: bool
    """The answer is whole."""
    _connection: Connection
    _scope: dict[str, Any] | None
    _waiting: asyncio.Event | None
    _news: bool
    """Something came that is not yet received."""
    _silent: bool
    """Nothing of the body came: the client may wait for word before it sends it."""
    _started: bool
    _chunking: bool
    """The head of an answer in chunks is out, and its end is not."""
    _head: bytes
    _bare: bool
    _chunked: bool
    _left_bytes: int | None
    def __init__(self, connection: Connection, scope: dict[str, Any], transport: Any, keep_alive: bool) -> None: ...
    @property
    def scope(self) -> dict[str, Any]:
        """ASGI's; made when it is first asked for, where the head is plain."""
    @property
    def method(self) -> str:
        """As the request has it."""
    @property
    def path(self) -> str:
        """Without its escapes."""
    def whole(self) -> bytes | None: ...
    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, lines: bytes = b"") -> bool: ...
    def piece(self, body: bytes) -> bool: ...

class Wire:
    transport: asyncio.Transport
    taken: asyncio.Event | None
    """While the client is behind in taking what is sent: set when it has caught up."""
    due: float
    """By when something is to have happened, by the loop's clock."""
    _makes: type[Cycle]
    _served: Served
    _heads: Heads
    _loop: asyncio.AbstractEventLoop
    _cycle: Cycle | None
    """Of the request that was read last, which may wait behind the one that is served."""
    running: Cycle | None
    _pipeline: deque[Cycle]
    _body_left: int
    """What is to come of the body of a request that the parser has not seen, since its head is plain."""
    _resting: bool
    """Nothing is asked that is not answered, nothing half read, and the connection stays open."""
    _reading_head: bool
    _reading_paused: bool
    _in_body: bool
    def data_received(self, data: bytes) -> None: ...
    def start(self, turn: Cycle) -> None: ...
    def on_answered(self) -> None: ...
