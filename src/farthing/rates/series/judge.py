"""Whether a step in a price list was a change of the price, or a correction of the list.

Each rule looks at one kind of evidence and says nothing (None) where it has none. The first that speaks decides: what
others state comes before what the step looks like, and what cannot be said from evidence is "unclear". The thresholds
of the rules are judgements; docs/price-history.md says how the verdicts did against events that are known.
"""

from collections.abc import Callable

import msgspec

from farthing.rates.series.by_context import alias, floats, lasting, reverted, revised, soon, together
from farthing.rates.series.by_numbers import point, rounding, slip, surcharge, swap, unlike, zero
from farthing.rates.series.by_others import made, others, snapshot, stated
from farthing.rates.series.runs import Step
from farthing.rates.series.snapshot import Key
from farthing.rates.series.verdict import Case, Verdict, close, unclear


def judge(case: Case) -> Verdict:
    """The verdict on a step. Input and output that moved at once share the one that has the better evidence."""
    place, found = _first(case)
    if case.beside is not None and place > _OWN:
        better, theirs = _first(case._replace(step=case.beside))
        if _OWN <= better < place:
            return msgspec.structs.replace(theirs, reason=f"as {case.beside.key.meter}: {theirs.reason}")
    return found


def _first(case: Case) -> tuple[int, Verdict]:
    """The place of the first rule that speaks, and what it says."""
    for place, rule in enumerate(_RULES):
        found = rule(case)
        if found is not None:
            return place, found
    return len(_RULES), unclear("one source alone, and nothing in it says which")


def _follows(case: Case) -> Verdict | None:
    """A price that moved by the factor of the plainer one that it hangs on: a cached token's with input's, …"""
    step = case.step
    plain = step.key._replace(condition="always")
    keys = [plain] if step.key.condition != "always" else []
    if step.key.meter not in ("input", "output"):
        keys += [step.key._replace(meter="input"), plain._replace(meter="input")]
    for key in keys:
        leader = _moved(case, key)
        if leader is None or leader.key == step.key:
            continue
        if close(leader.now.value / leader.before.value, case.factor):
            told = judge(case._replace(step=leader))
            name = key.meter if key.condition == "always" else f"{key.meter} ({key.condition})"
            return msgspec.structs.replace(told, reason=f"as {name}: {told.reason}")
    return None


def _moved(case: Case, key: Key) -> Step | None:
    leader = case.moves.on(case.step, key)
    return leader if leader is not None and leader.before.value and leader.now.value else None


_RULES: tuple[Callable[[Case], Verdict | None], ...] = (
    zero, stated, _follows, rounding, slip, swap, others, snapshot, reverted, surcharge, made, point,
    unlike, together, alias, floats,
    soon, revised, lasting,
)  # fmt: skip
_OWN = _RULES.index(slip)
"""Rules before this one look at one price alone: what they say of input says nothing of output."""
