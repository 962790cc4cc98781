"""What `reconcile` finds: dollars with a reason, differences still open, and factors that several groups share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from farthing.charges.reconciliation.cells import Cell, Group
from farthing.money import ZERO, decimal_text

UNPRICED = "unpriced"
NOT_IN_USAGE = "missing from the usage"
NOT_BILLED = "missing from the invoice"
TOKENS = "cache tokens counted twice"
TIER = "wrong tier"
DAY = "day boundary"
ROUNDING = "rounding"
FACTOR = "constant factor"
UNEXPLAINED = "unexplained"
ORDER = (UNPRICED, NOT_IN_USAGE, NOT_BILLED, TOKENS, TIER, DAY, ROUNDING, FACTOR, UNEXPLAINED)
"""Every explanation, in the order of the report."""


class Entry(NamedTuple):
    """Some dollars of a group's difference, and why. Entries with one `code` and `why` make one line."""

    code: str
    why: str
    group: Group
    usd: Fraction


@dataclass
class Open:
    """What is still to be explained of a group: billed less charged, after what was accepted."""

    cell: Cell
    kind: str | None
    usd: Fraction
    charged: Fraction
    tolerance: Fraction

    @property
    def group(self) -> Group:
        return Group(self.cell.span, self.cell.family, self.kind)

    @property
    def both(self) -> bool:
        """Whether this kind is on both sides."""
        return self.kind in self.cell.billed and self.charged != 0


@dataclass
class Found:
    """The entries of one attempt, and the differences they leave.

    `compared` groups were on both sides, of which `by_factor` meet the bill by the factor. `met` counts,
    by family and kind, the groups that meet it as they are, and by enough to confirm the price.
    """

    entries: list[Entry] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)
    by_factor: int = 0
    compared: int = 0
    met: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def total(self, *codes: str) -> Fraction:
        """The sum of the sizes of the entries of `codes`."""
        return sum((abs(entry.usd) for entry in self.entries if entry.code in codes), ZERO)

    def round_off(self, group: Group, usd: Fraction) -> None:
        """Enter `usd`, which is within the invoice's rounding."""
        if usd:
            why = "amounts on the invoice are printed with few decimals: within half a unit of the last for each line"
            self.entries.append(Entry(ROUNDING, why, group, usd))


def factor_text(factor: Fraction) -> str:
    """ "billed at 0.9 times our charge"."""
    return f"billed at {decimal_text(factor)} times the charge: a discount, mark-up, tax or another price"


def roundest(low: Fraction, high: Fraction) -> Fraction:
    """The number in [low, high] with the fewest decimals, the nearest to the middle of those."""
    places = 0
    while True:
        scale = 10**places
        first, final = -((-low * scale) // 1), (high * scale) // 1
        if first <= final:
            middle = round((low + high) / 2 * scale)
            return Fraction(min(max(middle, int(first)), int(final)), scale)
        if places > 40:
            return (low + high) / 2
        places += 1


def common_factor(ratios: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, int] | None:
    """The factor that lies in the most of the intervals `ratios`, and in how many."""
    if not ratios:
        return None
    edges = sorted([(low, 0, high) for low, high in ratios])
    best: tuple[int, Fraction, Fraction] | None = None
    for low, _, _ in edges:
        over = [high for start, high in ratios if start <= low <= high]
        if best is None or len(over) > best[0]:
            best = (len(over), low, min(over))
    assert best is not None
    return roundest(best[1], best[2]), best[0]


def ratio_of(billed: Fraction, tolerance: Fraction, charged: Fraction) -> tuple[Fraction, Fraction]:
    """Between which factors `charged` meets `billed`."""
    return (billed - tolerance) / charged, (billed + tolerance) / charged
