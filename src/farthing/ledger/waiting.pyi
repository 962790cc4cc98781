from collections.abc import Iterable

from farthing.ledger.row import Attempt

class OpenRows:
    """Open rows in the order of their coming; one writer's thread changes them."""

    def sort(self, rows: list[Attempt], before: int, due: float, /) -> list[Attempt]:
        """Of `rows`, which came after ticket `before`, keep the open ones, which wait until `due`; the ended ones,
        whose open rows are not needed any more."""

    def due(self, now: float, wanted: int, /) -> list[Attempt]:
        """The rows that have waited long enough, and those that came before ticket `wanted`."""

    def stored(self, rows: Iterable[Attempt], /) -> None:
        """The store has `rows`."""

    def reached(self, through: int, /) -> int:
        """Up to which ticket everything is in the store, where all but these rows is, up to ticket `through`."""

    def rows(self) -> list[Attempt]:
        """All of them."""

    def clear(self) -> None:
        """They are safe elsewhere."""

    def __len__(self) -> int: ...
