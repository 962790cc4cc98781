"""What a rule says of a step, and what rules share."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from farthing.rates.series.moves import Moves
from farthing.rates.series.runs import Run, Step
from farthing.rates.series.witness import Witness

CHANGE, CORRECTION, UNCLEAR = "change", "correction", "unclear"
OTHER = {"input": "output", "output": "input"}
SOON_DAYS = 35
"""A price altered so soon after an offer first appeared is more often a first mistake put right than a new price."""

REVERTED_DAYS = 130
"""A value that lasted at most so long between two spells of another was a wrong edit, unless another source had it."""


class Case(NamedTuple):
    """A step to judge, and all that is known around it."""

    step: Step
    moves: Moves
    witness: Witness

    @property
    def factor(self) -> Decimal:
        return self.step.now.value / self.step.before.value

    @property
    def up(self) -> Decimal:
        """The factor, or its inverse where the price fell."""
        return max(self.factor, 1 / self.factor)

    @property
    def beside(self) -> Step | None:
        """The step of output beside input's, and the other way round."""
        return self.moves.beside(self.step, OTHER.get(self.step.key.meter, ""))

    @property
    def direct(self) -> bool:
        """Whether the offer is a provider's own, not a cloud platform's."""
        return self.step.key.subject.channel == "direct"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Was the price changed, or the list corrected?

    `holds` says which value the evidence is for: "to", "from", or "" where it does not say. `since`: a day from which
    the new value held by the word of `since_source`, where that is better than the step's; it began after
    `since_after` (None: the day itself is stated), and `since_label` is the release or statement that has it.
    """

    verdict: str
    reason: str
    holds: str = "to"
    since: date | None = None
    since_source: str = ""
    since_after: date | None = None
    since_label: str = ""


def change(reason: str) -> Verdict:
    return Verdict(verdict=CHANGE, reason=reason)


def correction(reason: str, holds: str = "to") -> Verdict:
    return Verdict(verdict=CORRECTION, reason=reason, holds=holds)


def unclear(reason: str, holds: str = "to") -> Verdict:
    return Verdict(verdict=UNCLEAR, reason=reason, holds=holds)


def dated(verdict: Verdict, run: Run, source: str, after: date | None) -> Verdict:
    """`verdict`, with the day from which `run` of `source` has the new value."""
    return msgspec.structs.replace(
        verdict, since=run.first, since_source=source, since_after=after, since_label=run.label
    )


def close(one: Decimal, other: Decimal) -> bool:
    """Equal, but for rounding in the third digit."""
    return abs(one - other) <= max(one, other) * Decimal("0.004")


def power_of_ten(one: Decimal, other: Decimal) -> int | None:
    """k where `one` = `other` x 10^k but for rounding, and k is not 0; None where there is none."""
    if not (one and other):
        return None
    ratio = one / other
    for shift in (ratio.adjusted(), ratio.adjusted() + 1):
        if shift and close(one, other.scaleb(shift)):
            return shift
    return None
