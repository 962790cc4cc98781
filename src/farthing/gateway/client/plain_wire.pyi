"""The upstream's side of a request: what stands once, in C, and is extended in Python (connection, pool, request).

See plain_wire.pyx; everything is used on one loop.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from farthing.gateway.client.response import Response
from farthing.gateway.client.secure import Secured

MOST_WAITING_BYTES: int
"""What may wait to be read before the upstream is made to wait."""
MOST_HEAD_BYTES: int
"""The most that the head of an answer may have, with the heads of the interim answers before it: much, since the answer
is paid for."""

class Wire:
    """One connection: requests go out, plain answers (head.pyx) come in. What else comes, `parse` is for."""

    transport: asyncio.Transport | Secured
    closed: bool
    paused: bool
    idle_since: float
    """Since when it has been without a request, by the loop's clock; with one, when it was taken for it."""
    unread: bool
    """It ended just after it was taken for a request, which its peer did not read (`Closing`)."""
    on_body: Callable[[bytes], None]
    """The parser's: what came of a body in what is read now."""
    _pool: Any
    _answer: Response | None
    _whole: bool
    """The answer is."""
    _last: bool
    """There is no other answer after this one."""
    _bare: bool
    """Its answers have no body, whatever their headers say (HEAD): for good, it is used for no other request then."""
    _until_end: bool
    """The end of the connection is the end of the answer."""
    _writing: bool
    """A body is being sent: the connection cannot be used again before its end."""
    def __init__(self, pool: Kept) -> None: ...
    def send(self, data: bytes | tuple[bytes, bytes], bare: bool = False) -> Response | None:
        """Send a request, or its head; None where the connection turned out to be closed, and nothing went out.

        `bare`: its answer has no body, whatever its headers say (HEAD).
        """
    def data_received(self, data: bytes) -> None: ...
    def parse(self, data: bytes) -> bool:
        """Give the parser `data`. Whether it is an answer so far."""
    def begun(self, status: int, headers: list[tuple[str, str]]) -> None:
        """The head of the answer, as the parser read it."""
    @property
    def untouched(self) -> bool:
        """Nothing of the answer has come."""
    def _finish(self) -> None:
        """The answer is whole: the connection is free for another request, or has had its time."""
    def _break(self, what: str) -> None:
        """The answer has failed, and the connection with it."""
    def resume(self) -> None:
        """Read on."""
    def resume_writing(self) -> None: ...
    def close(self) -> None:
        """Close it; nothing is left in it."""
    def abort(self) -> None:
        """Cut it off, whatever is in it."""

class Kept:
    """The connections to one upstream that rest. `quiet_s`: after so long without a request a connection is looked at
    before it is used (`is_good`). `most`: no more than so many rest."""

    _idle: list[Any]
    """Those that have rested longest first."""
    _closed: bool
    _sweeper: asyncio.TimerHandle | None
    def __init__(self, quiet_s: float, most: int, kind: type[Asked]) -> None:
        """`kind`: what `post` makes."""
    def post(self, start: bytes, lines: bytes, body: bytes, last: str = "") -> Any:
        """A request with JSON in it: a POST that sends `start` (`Origin.start`'s), `lines` (its header lines, but for
        those that tell of the body; each ends with its CRLF), and the body. A large body is not copied.

        `last`: the value of another header, whose name and colon `lines` ends with. Raises `ValueError` for one that is
        not ASCII, or has control characters but tabs.
        """
    def give(self, connection: Any) -> None:
        """`connection` is free."""
    def lost(self, connection: Any) -> None:
        """`connection` ended."""
    def is_good(self, connection: Any, rested_s: float) -> bool:
        """Whether a connection that has rested so long can be used; it is closed where not."""
    def sweep_later(self) -> None:
        """See to it that what rests too long is closed."""

class Asked:
    """One request: what is sent, and the answer to it once it is."""

    _pool: Any
    _bare: bool
    _upload: AsyncGenerator[bytes] | None
    _length: int | None
    _connection: Any
    """The one it was sent on."""
    _answer: Response | None
    _data: bytes | tuple[bytes, bytes]
    def __init__(
        self,
        pool: Kept,
        data: bytes | tuple[bytes, bytes],
        body: bytes | None = None,
        bare: bool = False,
        upload: AsyncGenerator[bytes] | None = None,
        length: int | None = None,
    ) -> None:
        """`data`: all that is sent at once; or the head, up to and with the empty line, which `body` follows.

        `bare`: the answer has no body, as that to HEAD. `upload`, `length`: as `Pool.upload` has them.
        """
    def begin(self, done: Callable[[], None] | None) -> Response | None:
        """Send it at once on a kept connection, without waiting. None where there is none, and nothing was sent: then
        `answer` is left, which makes one.

        `done` is called once, from the connection: when the answer is whole, or has failed, or anything has come that
        is not all of it. The answer then is one of:

        - whole: it is `over`, `status` and `head` are there, `whole()` gives the body (its connection already serves
          others);
        - failed: it is `over`, `whole()` is None; `await answer()` raises what befell it (where its head had come,
          only the reading does);
        - begun: `status` is there, it is not `over`: `await answer()` does not wait, and reading goes on as ever;
        - hardly that: `status` is 0, it is not `over`: `await answer()` waits for the rest of the head.

        `done` must not raise. It is not called after `close`, nor once `answer` is awaited.
        """
    def close(self) -> None:
        """Nothing more of the answer is read."""
