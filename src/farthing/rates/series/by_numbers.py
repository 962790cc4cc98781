"""Rules that look at the two numbers: slips of units, swaps, surcharges, other digits."""

from datetime import date
from decimal import Decimal
from itertools import pairwise
from statistics import median

from farthing.rates.series.runs import Step
from farthing.rates.series.verdict import Case, Verdict, close, correction, power_of_ten, unclear
from farthing.rates.series.witness import at

_TOO_FAR = 30
"""No offer is known whose price moved by such a factor at once; the largest known cuts are of five to ten times."""
_DIGITS = Decimal("1.015")
"""Up to here it is the same price: rounded, or in euros at another day's rate."""
_CHARACTERS = 16
"""Google's prices were by the character, of which four are a token; lists took one for the other, and back."""
_UNLIKE, _LIKE, _OTHERS = 8, 3, 2
"""So many times what at least so many others ask is no price that a host stays in business with."""
_SIDES = {"from": "old", "to": "new"}
_SURCHARGES = tuple(Decimal(text) for text in ("1.1", "1.05", "1.2", "1.3"))
"""Regional surcharges of cloud platforms."""


def zero(case: Case) -> Verdict | None:
    """A list writes 0 for "free" and for "not known"."""
    if case.step.before.value == 0:
        return correction("0 stood for a price that was not known")
    if case.step.now.value == 0:
        return unclear("0 may say free, or not known", holds="")
    return None


def rounding(case: Case) -> Verdict | None:
    """The same price in other digits."""
    other = case.beside
    beside = other is not None and other.before.value and other.now.value
    if case.up <= _DIGITS and not (other and beside and case._replace(step=other).up > _DIGITS):
        return correction("the same price with other digits (rounding, or another currency's rate)")
    return None


def slip(case: Case) -> Verdict | None:
    """Powers of ten, and factors that no price moves by at once."""
    step, up = case.step, case.up
    power = power_of_ten(step.now.value, step.before.value)
    word = "rose" if case.factor > 1 else "fell"
    if power is not None and abs(power) >= 2:
        return correction(f"a unit slip: it {word} by exactly 10^{abs(power)}", _likelier(case) or _afterwards(case))
    if power is not None and (told := _likelier(case)):
        which = "right now" if told == "to" else "right before"
        return correction(f"a slip of the point: by exactly 10, and other hosts of the model say it is {which}", told)
    if up > _TOO_FAR:
        told = _likelier(case) or _afterwards(case)
        return correction(f"it {word} by a factor of {float(up):,.0f}, as no price does at once", told)
    if step.key.subject.provider == "google" and _of_characters(step):
        return correction("a price by the character taken for one by the token, which makes 16 when it is done twice")
    return None


def point(case: Case) -> Verdict | None:
    """Both token prices by exactly 10, on a name that leads to one model for ever: a slip of the point."""
    step, other = case.step, case.beside
    ten = power_of_ten(step.now.value, step.before.value)
    if other is None or ten not in (1, -1) or power_of_ten(other.now.value, other.before.value) != ten:
        return None
    name = step.key.subject.model.rsplit("/", 1)[-1]
    if name.endswith("latest") or not any(letter.isdigit() for letter in name):
        return None
    told = _likelier(case) or _likelier(case, date.max)
    if told:
        return correction(
            f"a slip of the point: both by exactly 10, and other hosts have the {_SIDES[told]} price", told
        )
    like = case.moves.still_costs(step)
    if like:
        return correction(f"a slip of the point: both by exactly 10, and {like} still costs the old prices", "from")
    return correction("a slip of the point: input and output by exactly 10, of a model that is the same", "to")


def unlike(case: Case) -> Verdict | None:
    """The old price was many times what all others ask for the model, and the new one is theirs."""
    step = case.step
    near = [run.value for _, runs in case.witness.kin(step.key) if (run := at(runs, step.now.first)) and run.value]
    if len(near) < _OTHERS or step.before.value < step.now.value:
        return None
    usual = median(near)
    if step.before.value >= _UNLIKE * usual and step.now.value <= _LIKE * usual:
        return correction(
            f"it was {step.before.value / usual:.0f} times what {len(near)} other offers of the model cost"
        )
    return None


def _of_characters(step: Step) -> bool:
    """Whether this step, or a later one of the price, is by exactly 16."""
    later = [run.value for run in step.runs[step.position :] if run.value]
    return any(max(one, two) == _CHARACTERS * min(one, two) for one, two in pairwise(later))


def _likelier(case: Case, day: date | None = None) -> str:
    """Which of the two values other hosts of the model charged at the time (or on `day`), within a factor of 2; else
    ""."""
    step = case.step
    when = day or step.now.first
    near = [run.value for _, runs in case.witness.kin(step.key) if (run := at(runs, when)) and run.value]
    told = {
        side
        for value in near
        for side, own in (("from", step.before.value), ("to", step.now.value))
        if own / 2 <= value <= own * 2
    }
    return told.pop() if len(told) == 1 else ""


def _afterwards(case: Case) -> str:
    """ "from" where the list's next value is of the old one's size again; else the new one is right."""
    later = [run.value for run in case.step.runs[case.step.position + 2 :] if run.value]
    before = case.step.before.value
    return "from" if later and 1 / Decimal(_TOO_FAR) <= later[0] / before <= _TOO_FAR else "to"


def swap(case: Case) -> Verdict | None:
    """Input has output's old price, and output has input's."""
    step, other = case.step, case.beside
    if other is None or step.before.value == other.before.value:
        return None
    if (step.before.value, step.now.value) == (other.now.value, other.before.value):
        return correction("input and output were swapped")
    return None


def surcharge(case: Case) -> Verdict | None:
    """A cloud's entry that got, or lost, the surcharge of a region."""
    before, now = case.step.before.value, case.step.now.value
    for factor in () if case.direct else _SURCHARGES:
        if close(before * factor, now) or close(now * factor, before):
            return correction(f"{(factor - 1) * 100:.0f} % is a region's surcharge: the entry was for another one")
    return None
