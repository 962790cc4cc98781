"""Open rows that wait for their end, so that an attempt that ends soon is written to the store once."""

from collections.abc import Iterable

import msgspec

from farthing.ledger.row import Attempt


class _Open(msgspec.Struct, frozen=True, gc=False):
    row: Attempt
    before: int
    due: float


class OpenRows:
    """Open rows in the order of their coming; one writer's thread changes them."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Open] = {}

    def add(self, row: Attempt, before: int, due: float) -> None:
        """`row` waits until `due`. `before`: the ticket up to which all is durable as soon as older rows are."""
        self._waiting.setdefault(row.attempt, _Open(row, before, due))

    def ended(self, attempt: str) -> None:
        """The end of `attempt` is here: its open row is not needed any more."""
        self._waiting.pop(attempt, None)

    def due(self, now: float, wanted: int) -> list[Attempt]:
        """The rows that have waited long enough, and those that came before ticket `wanted`."""
        found = []
        for each in self._waiting.values():
            if each.due > now and each.before >= wanted:
                break
            found.append(each.row)
        return found

    def stored(self, rows: Iterable[Attempt]) -> None:
        """The store has `rows`."""
        for row in rows:
            self._waiting.pop(row.attempt, None)

    def reached(self, through: int) -> int:
        """Up to which ticket everything is in the store, where all but these rows is, up to ticket `through`."""
        first = next(iter(self._waiting.values()), None)
        return through if first is None else first.before

    def rows(self) -> list[Attempt]:
        """All of them."""
        return [each.row for each in self._waiting.values()]

    def clear(self) -> None:
        """They are safe elsewhere."""
        self._waiting = {}

    def __len__(self) -> int:
        return len(self._waiting)
