"""Rules that hear others: vendors' dated statements, other sources, the maker of a model that a cloud sells."""

from itertools import pairwise

import msgspec

from farthing.rates.compare import maker
from farthing.rates.family import family
from farthing.rates.series.runs import Run, Step
from farthing.rates.series.verdict import (
    CHANGE,
    CORRECTION,
    REVERTED_DAYS,
    SOON_DAYS,
    Case,
    Verdict,
    change,
    close,
    correction,
    dated,
    unclear,
)

_GREAT = 6
_LATE_DAYS = 45
"""How much later than others a list may follow before its step counts as a correction of the list."""


def stated(case: Case) -> Verdict | None:
    """The vendor, or the list itself, states the day."""
    step = case.step
    began = step.before.stated or step.before.first
    dates_it = step.now.stated is not None and began < step.now.stated <= step.now.first
    if dates_it and not _flickers(case):
        told = change(f"{step.source} dates it")
        return msgspec.structs.replace(
            told, since=step.now.stated, since_source=step.source, since_label=step.now.label
        )
    known = case.witness.stated(step.key)
    for position, one in enumerate(known):
        if one.value != step.now.value or one.start > step.now.first:
            continue
        later = next((s.start for s in known[position + 1 :] if s.value != one.value), None)
        if later is not None and later <= step.before.last:
            continue
        if one.start > step.before.first:
            days = (step.now.first - one.start).days
            late = f", {days} days before this list had it" if one.start <= step.before.last else ""
            told = change(f"stated by {one.who}{late}")
        else:
            told = correction(f"{one.who} stated it from {one.start} on")
        return msgspec.structs.replace(told, since=one.start, since_source=one.who, since_label=one.who)
    return None


def _flickers(case: Case) -> bool:
    """Whether a great step was taken back, or takes one back, soon: that a list dates it proves nothing then."""
    runs, position = case.step.runs, case.step.position
    beside = case.beside
    zero = beside is not None and not (beside.before.value and beside.now.value)
    if max(case.up, case._replace(step=beside).up if beside and not zero else case.up) <= _GREAT:
        return False
    back = [later for later in runs[position + 2 : position + 3] if later.value == case.step.before.value]
    before = [earlier for earlier in runs[max(position - 1, 0) : position] if earlier.value == case.step.now.value]
    days = [(later.first - case.step.now.first).days for later in back]
    days += [(case.step.now.first - earlier.last).days for earlier in before]
    return any(one <= REVERTED_DAYS for one in days)


def others(case: Case) -> Verdict | None:
    """Another source made the same step, or had the new value before."""
    step = case.step
    had: Verdict | None = None
    for source, runs in case.witness.elsewhere(step):
        for one, two in pairwise(runs):
            if (one.value, two.value) == (step.before.value, step.now.value) and step.before.first <= two.first:
                told = change(f"two sources moved alike: {source} by {two.first}")
                return dated(told, two, source, one.last) if two.first < step.now.first else told
        found = at_time(runs, step)
        if found is not None and all(run.value != step.before.value for run in runs):
            had = _known_elsewhere(step, source, runs[0], found)
    return had


def at_time(runs: list[Run], step: Step) -> Run | None:
    """The run with the new value that another source had while this one still had the old."""
    held = [run for run in runs if run.first <= step.before.last]
    return held[-1] if held and held[-1].value == step.now.value else None


def _known_elsewhere(step: Step, source: str, first: Run, found: Run) -> Verdict:
    late = (step.now.first - found.first).days
    if first.first < step.before.first or (found.first - step.before.first).days <= SOON_DAYS < late:
        return correction(f"wrong since it stood there: {source} never said so, and had the new value by {found.first}")
    # Of the time before its own first list the other source knows nothing: the old value may have been right.
    after = step.before.first if step.before.first < found.first else None
    if first is not found:  # it had a third value before: the two never agreed on the old one
        return dated(
            unclear(f"{source} had the new value by {found.first}, and another one before"), found, source, after
        )
    verdict = CORRECTION if late > _LATE_DAYS else CHANGE
    told = Verdict(verdict=verdict, reason=f"the list was late: {source} had the new value by {found.first}")
    return dated(told, found, source, after)


def snapshot(case: Case) -> Verdict | None:
    """Another name of the same model moved alike in the same list, and others say that it did."""
    for other in case.moves.same_model(case.step):
        theirs = case._replace(step=other)
        told = stated(theirs) or others(theirs)
        if told is not None:
            return msgspec.structs.replace(told, reason=f"as {other.key.subject.model}: {told.reason}")
    return None


def made(case: Case) -> Verdict | None:
    """A cloud's entry that follows the model's maker: at once, or long after."""
    step = case.step
    if case.direct:
        return None
    own = maker(family(step.key.subject.model))
    for subject, runs in case.witness.kin(step.key):
        if subject.channel != "direct" or subject.provider != own:
            continue
        for one, two in pairwise(runs):
            alike = one.value and two.value and close(two.value / one.value, case.factor)
            if alike and step.before.first <= two.first <= step.now.first:
                if (step.now.first - two.first).days <= _LATE_DAYS:
                    return change(f"{own} moved alike by {two.first}")
                return dated(correction(f"the list was late: {own} moved alike by {two.first}"), two, own, one.last)
    return None
