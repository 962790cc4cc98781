"""Evidence: who says so, when it was seen, and how far it can be trusted."""

from collections.abc import Iterable
from datetime import date
from enum import IntEnum

import msgspec


class Grade(IntEnum):
    """How good a statement is. Higher is better; a result is as good as its worst input."""

    ASSUMED = 0
    DERIVED = 1
    VENDOR_STATED = 2
    MEASURED = 3

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> "Grade":
        """The grade called `text` ("vendor-stated"). Raises `ValueError` naming the four grades."""
        for grade in cls:
            if str(grade) == text:
                return grade
        raise ValueError(f"grade {text!r} is not one of measured, vendor-stated, derived, assumed")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a number was stated: a title, an address or document, the day it was seen, a grade."""

    id: str
    title: str
    where: str
    seen: date | None
    grade: Grade


def worst(grades: Iterable[Grade]) -> Grade:
    """The worst of `grades`; measured when there are none (nothing was relied on)."""
    return min(grades, default=Grade.MEASURED)
