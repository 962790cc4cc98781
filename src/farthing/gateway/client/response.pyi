import asyncio
from collections.abc import Callable

from farthing.gateway.client.head import Head

class Response:
    """One answer as it comes: `status`, `headers` (names in lower case), and the body, to be read once. The connection
    writes into it."""

    done: Callable[[], None] | None
    """Called once, and gone with that: see `Request.begin`."""
    @property
    def status(self) -> int:
        """0 until the head has come."""
    @property
    def head(self) -> Head | None:
        """There when `status` is."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """Those of `head`, in a list of the caller's own."""
    @property
    def over(self) -> bool:
        """Whether it came whole, or failed."""
    @property
    def waiting_bytes(self) -> int:
        """Of the body, not yet read."""
    def more(self) -> asyncio.Future[None]:
        """Done when more has come, or nothing will. Raises `Broken` where that is so already."""
    async def read_chunk(self) -> bytes | None:
        """All of the body that came since the last call, at least a byte; None at its end. Raises `Broken`.

        What came before a fault is given first. Where something is there already, nothing is waited for.
        """
    def whole(self) -> bytes | None:
        """The rest of the body, where all of it has come; else None."""
    async def read(self) -> bytes:
        """The rest of the body, whole. Raises `Broken`."""
    def close(self) -> None:
        """Nothing more is read: a connection with something left in it is given up."""
