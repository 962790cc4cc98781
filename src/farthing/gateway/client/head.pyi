from typing import Any

class Head:
    """The head of an answer: its status and its headers (names in lower case, values as Latin-1), never changed.

    One and the same for answers of an upstream whose heads are the same, byte for byte: `memo` (None at first) is for
    who has read it, to keep what it came to. `length`: of the body, where a plain head states it; else -1.
    """

    memo: Any
    def __init__(self, status: int, pairs: list[tuple[str, str]]) -> None: ...
    @property
    def status(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All headers, in their order."""
    @property
    def named(self) -> dict[str, str]:
        """Them by name, of a repeated one the last: to be read, not changed."""

def plain_head(data: bytes, known: Head | None = None) -> Head | None:
    """The head that `data` begins with, where it is a plain one of an answer whose body has a stated length: see
    head.pyx. Else None. `known`: an earlier head of the same upstream's, which this one is likely to resemble."""
