from pathlib import Path

from farthing.ledger.row import Attempt

def framed(body: bytes, through: int, /) -> bytes:
    """The frame of `body`, packed rows or price records, up to ticket `through`."""

def pack(rows: list[Attempt], /) -> bytes | None:
    """The body of a frame of `rows`; None where they are not plain, or more than 4 KiB."""

class Segment:
    """A file of the journal that is written now or was. `handle`: -1 once it is closed, and then synced; `through`: the
    last ticket in it; `limit`: it is full with so many bytes; `torn`: half a frame stands behind its `size`, which must
    be cut off before anything is written behind that."""

    path: Path
    handle: int
    limit: int
    size: int
    through: int
    torn: bool
    def __init__(self, path: Path, handle: int, limit: int) -> None: ...

class Latest:
    """What of a journal the usual way in knows: the segment that is written `now`."""

    now: Segment | None
