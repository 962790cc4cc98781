from typing import Any

BY_NAME: str
"""Where a scope may have its headers once more, by their names in lower case, of a repeated one the first."""
MOST_KNOWN: int
"""How many heads a worker keeps: they hold the keys that clients show, and the memory of a few pages each."""

class Meaning:
    """What a plain head says: the method, the path without its escapes, the query, and the headers (names in lower
    case, each once), the length of the body left empty."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    memo: object
    """What the application keeps for requests with this head; it is dropped with it."""
    def of(self, digits: bytes) -> dict[str, Any]:
        """The ASGI scope of a request whose body has `digits` as its length (b"": none is stated)."""

class Heads:
    """Reads the plain heads of requests, and keeps those that came twice."""

    known: dict[bytes, Meaning]
    """By their bytes, without the length of the body."""

def plain_head(data: bytes, last: Meaning | None = None) -> tuple[Meaning, bytes, int] | None:
    """What the plain head says that `data` begins with, the digits of its body's length (b"": none is stated), and
    where the body begins; None for any other: see request_head.pyx. `last`: of another head of the same client's,
    which this one is likely to resemble."""
