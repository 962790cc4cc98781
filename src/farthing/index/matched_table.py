"""A panel as arrays, and the index between any two of its dates."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from farthing.index import formulas
from farthing.index.panel import Panel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 2
"""Items without which two dates are not compared."""


class Table:
    """The logarithms of a panel's prices, rows x dates (NaN: unknown), and what is matched between two dates."""

    def __init__(self, panel: Panel) -> None:
        import numpy as np

        self.names = panel.items
        places = {name: place for place, name in enumerate(self.names)}
        self.item_of = np.array([places[row.item] for row in panel.rows], dtype=int)
        shape = (len(panel.rows), len(panel.dates))
        prices = np.array([[np.nan if p is None else p for p in row.prices] for row in panel.rows], dtype=float)
        self.logs: Floats = np.log(prices).reshape(shape)
        self.quantities: Floats | None = None
        if panel.weighted:
            self.quantities = np.array([row.quantities for row in panel.rows], dtype=float).reshape(shape)
        self.shared = panel.shared

    @cached_property
    def known(self) -> Any:
        """Which prices are known, rows x dates."""
        import numpy as np

        return np.isfinite(self.logs)

    def priced(self, date: int) -> set[int]:
        """The items priced at a date."""
        return set(self.item_of[self.known[:, date]].tolist())

    def matched(self, one: int, other: int) -> set[int]:
        """The items of which one offer at least is priced at both dates (and bought at one of them)."""
        return set(self.item_of[self._both(one, other)].tolist())

    def _both(self, one: int, other: int) -> Any:
        both = self.known[:, one] & self.known[:, other]
        if self.quantities is not None:
            both &= (self.quantities[:, one] > 0) | (self.quantities[:, other] > 0)
        return both

    def link(self, formula: str, one: int, other: int, w: Any = None) -> Any:
        """The index from date `one` to date `other` over the matched items, NaN where they are fewer than `FEWEST`.

        `w` (replicates x all items) gives one index a replicate.
        """
        import numpy as np

        both = self._both(one, other)
        item = self.item_of[both]
        offers = np.bincount(item, minlength=len(self.names))
        there = np.flatnonzero(offers)
        nothing = np.nan if w is None else np.full(len(w), np.nan)
        if len(there) < FEWEST:
            return nothing
        count = offers[there]
        p0, p1 = (np.exp(np.bincount(item, self.logs[both, date], len(offers))[there] / count) for date in (one, other))
        q0 = q1 = None
        if formula in formulas.WEIGHTED:
            assert self.quantities is not None
            each = count if self.shared else np.ones(len(there))
            q0, q1 = (np.bincount(item, self.quantities[both, d], len(offers))[there] / each for d in (one, other))
            if not (q0.any() and q1.any()):
                return nothing
        return formulas.index(formula, p0, p1, q0, q1, None if w is None else w[:, there])

    def steps(self, formula: str) -> list[tuple[int, int]]:
        """The links of a chain, as pairs of dates: each date is linked to the last one on the chain that has enough in
        common with it. The chain begins at the first date that a later one can be linked to."""
        found: list[tuple[int, int]] = []
        ends: list[int] = []
        for date in range(self.logs.shape[1]):
            before = next((end for end in reversed(ends) if self.link(formula, end, date) > 0), None)
            if before is None and not found:
                ends.append(date)
            elif before is not None:
                ends = [*ends, date] if found else [before, date]
                found.append((before, date))
        return found

    def chain(self, steps: list[tuple[int, int]], formula: str, w: Any = None) -> "Floats":
        """Levels along `steps`, 1 where they begin and NaN at dates in no step. With `w`, replicates x dates."""
        import numpy as np

        shape = (self.logs.shape[1],) if w is None else (len(w), self.logs.shape[1])
        levels = np.full(shape, np.nan)
        if steps:
            levels[..., steps[0][0]] = 1.0
        for before, date in steps:
            levels[..., date] = levels[..., before] * self.link(formula, before, date, w)
        return levels

    def pairs(self, formula: str, w: Any = None) -> "Floats":
        """The index from each date to each, dates x dates (with `w`: replicates x those), NaN where too thin."""
        import numpy as np

        dates = self.logs.shape[1]
        shape = (dates, dates) if w is None else (len(w), dates, dates)
        table = np.ones(shape)
        for one in range(dates):
            for other in range(one + 1, dates):
                found = self.link(formula, one, other, w)
                table[..., one, other] = found
                table[..., other, one] = 1 / found
        return table
