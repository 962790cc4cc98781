"""How the cost of single requests is spread: mean and percentiles, each the exact cost of a real request."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec

from farthing.charges.bill import Rewrite
from farthing.charges.columns import Tally
from farthing.charges.reference import lines
from farthing.money import ZERO, Usd
from farthing.rates.card import Price
from farthing.rates.select import Facts
from farthing.units import METERS

SAMPLE = 200_000
RANKS = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles of the cost of a request, in exact dollars, over `rows` rows.

    `sampled`: the rows are a uniform sample (fixed seed) of all, because there are more than `SAMPLE`.
    """

    rows: int
    sampled: bool
    p50: Usd
    p95: Usd
    p99: Usd


class Requests:
    """Single rows of a tally (all, or a uniform sample), as arrays, for costing one by one."""

    def __init__(self, tally: Tally) -> None:
        table = tally.table
        self.meters = table.meters
        self.sampled = table.rows > SAMPLE
        self.one_each = not any(subject.bucket for subject in table.subjects)
        counts = ", ".join(f'"{name}"' for name in self.meters)
        sql = f"SELECT {tally.key_sql} AS key{', ' if counts else ''}{counts} FROM {tally.from_sql}"
        if self.sampled:
            sql = f"SELECT * FROM ({sql}) USING SAMPLE reservoir({SAMPLE} ROWS) REPEATABLE (1)"
        found = table.connection.execute(sql).fetchnumpy()
        self.keys: Any = found["key"]
        self.counts: list[Any] = [found[name] for name in self.meters]

    def spread(self, priced: Mapping[int, tuple[Price, Facts]], rewrite: Rewrite | None = None) -> Spread | None:
        """The spread under what each cell (by key) rests on; None where rows sum several requests, rates
        are not linear, or no row has a price."""
        import numpy as np

        if not self.one_each or not priced or not len(self.keys):
            return None
        units: dict[object, tuple[Usd | None, ...]] = {}
        by_key: dict[int, tuple[Usd | None, ...]] = {}
        for key, (price, facts) in priced.items():
            same = (id(price), id(facts))  # merged cells share the object
            by_key[key] = units[same] if same in units else units.setdefault(same, self._units(price, facts, rewrite))
        keys = np.array(sorted(by_key), dtype=np.int64)
        exact = [by_key[int(key)] for key in keys]
        matrix = np.array([[math.nan if u is None else float(u) for u in row] for row in exact])
        position = np.minimum(np.searchsorted(keys, self.keys), len(keys) - 1)
        known = keys[position] == self.keys
        amounts = matrix[position, -1].copy()
        for number, counts in enumerate(self.counts):
            # An unknown rate (nan) makes only those requests unknown that consumed something at it.
            amounts += np.where(counts > 0, matrix[position, number] * counts, 0.0)
        known &= ~np.isnan(amounts)
        rows = np.flatnonzero(known)
        if not len(rows):
            return None
        order = rows[np.argsort(amounts[rows], kind="stable")]
        chosen = {name: int(order[max(0, math.ceil(rank * len(order)) - 1)]) for name, rank in RANKS.items()}
        exactly = {name: self._exact(row, exact[int(position[row])]) for name, row in chosen.items()}
        return Spread(rows=len(rows), sampled=self.sampled, **exactly)

    def _units(self, price: Price, facts: Facts, rewrite: Rewrite | None) -> tuple[Usd | None, ...]:
        """Dollars per stored count of each meter (reasoning: on top of output), and per request."""

        def cost(quantities: Mapping[str, int]) -> Usd | None:
            asked: Mapping[str, int | Fraction] = quantities
            seen = facts
            if rewrite is not None:
                asked, seen = rewrite(quantities, facts, price)
            made = lines(price, asked, 1, seen)
            if any(line.usd is None for line in made):
                return None
            return sum((line.usd for line in made if line.usd is not None), ZERO)

        alone = cost({})
        found: list[Usd | None] = []
        for name in self.meters:
            part = METERS[name].part_of
            base = cost({part: 1}) if part else alone
            whole = cost({part: 1, name: 1} if part else {name: 1})
            found.append(None if whole is None or base is None else whole - base)
        return (*found, alone)

    def _exact(self, row: int, units: tuple[Usd | None, ...]) -> Usd:
        total = units[-1] or ZERO
        for unit, counts in zip(units, self.counts, strict=False):
            if unit is not None and int(counts[row]):
                total += unit * int(counts[row])
        return total
