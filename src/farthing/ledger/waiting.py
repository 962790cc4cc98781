"""Open rows that wait for their end, so that an attempt that ends soon is written to the store once."""

from collections.abc import Iterable, Sequence

from farthing.ledger.row import Attempt


class OpenRows:
    """Open rows in the order of their coming; one writer's thread changes them."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Attempt, int, float]] = {}
        """By attempt: the row; the ticket up to which all is durable as soon as older rows are; how long it waits."""

    def sort(self, rows: Sequence[Attempt], before: int, due: float) -> list[Attempt]:
        """Of `rows`, which came after ticket `before`, keep the open ones, which wait until `due`; the ended ones,
        whose open rows are not needed any more."""
        waiting = self._waiting
        ended = []
        for row in rows:
            if row.state == "open":
                waiting.setdefault(row.attempt, (row, before, due))
            else:
                waiting.pop(row.attempt, None)
                ended.append(row)
        return ended

    def due(self, now: float, wanted: int) -> list[Attempt]:
        """The rows that have waited long enough, and those that came before ticket `wanted`."""
        found = []
        for row, before, due in self._waiting.values():
            if due > now and before >= wanted:
                break
            found.append(row)
        return found

    def stored(self, rows: Iterable[Attempt]) -> None:
        """The store has `rows`."""
        for row in rows:
            self._waiting.pop(row.attempt, None)

    def reached(self, through: int) -> int:
        """Up to which ticket everything is in the store, where all but these rows is, up to ticket `through`."""
        first = next(iter(self._waiting.values()), None)
        return through if first is None else first[1]

    def rows(self) -> list[Attempt]:
        """All of them."""
        return [row for row, _, _ in self._waiting.values()]

    def clear(self) -> None:
        """They are safe elsewhere."""
        self._waiting = {}

    def __len__(self) -> int:
        return len(self._waiting)
