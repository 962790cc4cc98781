"""Rules that look at what stands around a step: before and after it, and what else moved on the day."""

from farthing.rates.series.verdict import (
    OTHER,
    REVERTED_DAYS,
    SOON_DAYS,
    Case,
    Verdict,
    change,
    correction,
    power_of_ten,
    unclear,
)

_ALIKE, _MOST = 3, 0.4
"""How many models must move alike on one day, and which share of all of the provider's that moved on it."""
_OFFERS, _FACTORS, _UNTOUCHED_DAYS = 5, 4, 60
"""So many offers of one provider altered in one list by so many factors, after so many days without any alteration,
are a list that was brought up to date: when each price moved is not known."""
_LITTLE, _OFTEN = 3, 3
"""By how much at most, and in how many of the six lists before it, the prices of a host that moves often move."""
_GREAT, _GREATEST = 6, 12
"""By more, a step that nobody else has seen is more often a mistake; the second is for names that lead elsewhere."""
_UNCHECKED_DAYS = 365


def reverted(case: Case) -> Verdict | None:
    """A to B and back to A: the edit, and its reversal."""
    step = case.step
    slipped = power_of_ten(step.now.value, step.before.value) is not None
    for later in step.runs[step.position + 2 :]:
        if later.value == step.before.value:
            days = (later.first - step.now.first).days
            if days > REVERTED_DAYS and not slipped:
                return None
            return correction(f"a wrong edit: reverted by {later.first}, after {days} days", holds="from")
    for earlier in step.runs[: step.position]:
        if earlier.value == step.now.value:
            if (step.now.first - earlier.last).days > REVERTED_DAYS and not slipped:
                return None
            return correction(f"reverts a wrong edit: the list said so until {earlier.last}")
    return None


def together(case: Case) -> Verdict | None:
    """Several models of one provider by one factor, or to one price, on one day."""
    least = max(_ALIKE, _MOST * case.moves.offers(case.step))
    same = case.moves.alike(case.step)
    if len(same) >= least:
        names = ", ".join(sorted(same)[:3])
        return change(f"{len(same)} models moved by the factor {float(case.factor):.3g} on one day: {names}")
    led = case.moves.to_one_price(case.step)
    if len(led) >= least:
        return change(f"{len(led)} names went to one price on one day: they now lead to one model")
    return None


def alias(case: Case) -> Verdict | None:
    """A name that began to lead to another model."""
    name = case.moves.now_leads_to(case.step)
    if name:
        return change(f"the name now leads to {name}, which costs that")
    same_way = case.beside is not None and (case.beside.now.value > case.beside.before.value) == (case.factor > 1)
    if case.step.key.subject.model.endswith("latest") and same_way and case.up <= _GREATEST:
        return change("the name leads to the newest model of its line, which is another one now")
    return None


def floats(case: Case) -> Verdict | None:
    """A host whose prices move often, and by a little."""
    revision = case.moves.revision(case.step)
    if revision is None or not case.direct or case.up > _LITTLE:
        return None
    few = revision.offers < _OFFERS or revision.factors < _FACTORS
    if few or revision.earlier < _OFTEN or revision.untouched_days >= _UNTOUCHED_DAYS:
        return None
    host = case.step.key.subject.provider
    return change(
        f"prices of {host} move often: {revision.offers} offers by {revision.factors} factors in this list, others in "
        f"{revision.earlier} of the lists before it"
    )


def soon(case: Case) -> Verdict | None:
    """A first mistake put right."""
    step = case.step
    seen = case.moves.histories[step.source].seen[step.key.subject]
    days = (step.now.first - step.before.first).days
    if step.position == 0 and seen.before is not None and step.before.first == seen.first and days <= SOON_DAYS:
        return correction(f"put right within {days} days of its first appearance")
    return None


def revised(case: Case) -> Verdict | None:
    """A list that was brought up to date after a long time."""
    revision = case.moves.revision(case.step)
    if revision is None or revision.offers < _OFFERS or revision.factors < _FACTORS:
        return None
    if revision.untouched_days < _UNTOUCHED_DAYS:
        return None
    host = case.step.key.subject.provider
    return unclear(
        f"{revision.offers} offers of {host} were revised at once, by {revision.factors} factors, after "
        f"{revision.untouched_days} days without any: the price moved at some time in between, or was wrong"
    )


def lasting(case: Case) -> Verdict | None:
    """Both token prices moved the same way, from values that had stood to values that stood."""
    step, other, history = case.step, case.beside, case.moves.histories[case.step.source]
    held = (step.now.first - step.before.first).days
    old = step.position == 0 and history.seen[step.key.subject].before is None  # older than the first list
    stood = (step.now.last - step.now.first).days
    newest = step.now.last == history.days[-1]
    new = step.position == 0 and held < SOON_DAYS and not old
    if new or not (stood >= SOON_DAYS or newest) or case.up > _GREAT:
        return None
    if held > _UNCHECKED_DAYS and not case.direct:
        return unclear(f"the list had said the same for {held} days: when it moved is not known")
    if other is None:
        if step.key.meter not in OTHER or case.moves.has(step, OTHER[step.key.meter]):
            return None
        return change(f"its only price, {held} days after the old one came")
    if (other.now.value > other.before.value) != (step.now.value > step.before.value):
        return None
    return change(f"input and output moved the same way, {held} days after the old prices came")
