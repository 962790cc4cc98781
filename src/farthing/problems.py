"""Problems: bad input as data (place, reason, repair), and the one error that a user sees."""

from collections import Counter

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with an input: where it is, why it is wrong, what would mend it."""

    place: str
    reason: str
    repair: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f" ({self.repair})" if self.repair else "")


class FarthingError(Exception):
    """A mistake that the user can mend. Its text is one readable line; commands print it and exit 2."""


class Problems:
    """Collects problems: all are counted (by reason), the first `keep` are kept whole.

    `notes`: what else there is to know of how the input was read; nothing is wrong there.
    """

    def __init__(self, keep: int = 100) -> None:
        self.keep = keep
        self.total = 0
        self.kept: list[Problem] = []
        self.reasons: Counter[str] = Counter()
        self.notes: list[str] = []

    def add(self, place: str, reason: str, repair: str = "", kind: str = "") -> None:
        """Record one problem; `kind` groups it in `reasons` when `reason` carries particular values."""
        self.total += 1
        self.reasons[kind or reason] += 1
        if len(self.kept) < self.keep:
            self.kept.append(Problem(place, reason, repair))
