import sqlite3
from collections.abc import Sequence

from farthing.ledger.pack import Row
from farthing.ledger.row import Attempt

class Packer:
    """Packs attempts inside a write transaction of `connection`, which makes the numbers that it needs.

    Call `renew` at the start of each transaction: numbers are forgotten where texts were pruned meanwhile,
    and after a transaction that was rolled back, call `forget`.
    """

    def __init__(self, connection: sqlite3.Connection, worker: str = "") -> None: ...
    def renew(self, epoch: int, /) -> None:
        """Forget all numbers if `epoch` is another than when they were learned."""

    def forget(self) -> None:
        """Forget all numbers: the transaction that made some of them is gone."""

    def expect(self, attempts: Sequence[Attempt], /) -> None:
        """`attempts` are about to be packed: if one has a new word, those of all are numbered at once."""

    def text(self, value: str, /) -> int | float:
        """The number of `value`; `NULL` for the empty text."""

    def row(self, a: Attempt, batch: int, /) -> Row:
        """The row of `a`: the columns of `PLAIN`, and those of `RARE` if it has any. Raises one of `BAD_ROW` where it
        cannot be one."""

def flat(rows: list[Row], /) -> list[object]:
    """The values of all `rows`, one row after the other."""
