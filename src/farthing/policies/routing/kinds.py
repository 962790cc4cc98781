"""What each kind of policy does at an attempt. Pure: no clock, no random source, no memory but of its own answers.

A step gets the choice so far and gives its own. A choice may name a target that cannot be tried just now: a
`fallback` further on replaces it, and what is left of such at the end of the chain goes nowhere.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction

import msgspec

from farthing.policies.routing.draw import arm_of, draw, thresholds
from farthing.policies.routing.specs import ASKED, Fallback, Passthrough, Route, Spec, Split
from farthing.policies.routing.values import (
    ONE,
    Alternatives,
    Ask,
    Context,
    Draw,
    Failure,
    is_requests_fault,
    is_usable,
    model_of,
)

_MOST_KEPT = 1024  # answers remembered of a split: names of models come from clients
_SAME = "/*"  # the model of a target that is the one asked for


class Choice(msgspec.Struct, frozen=True, gc=False):
    """What is decided so far: whereto, by whom, what else it could have been, and why."""

    target: str | None
    policy: str
    alternatives: Alternatives
    reason: str = ""


Step = Callable[[Ask, Context, Choice, list[Draw]], Choice]


def step_of(spec: Spec) -> Step:
    """What `spec` does."""
    if isinstance(spec, Passthrough):
        return lambda ask, context, before, draws: passthrough(context, spec.name)
    if isinstance(spec, Route):
        return _route(spec)
    if isinstance(spec, Split):
        return _split(spec)
    return _fallback(spec)


def passthrough(context: Context, name: str = "passthrough") -> Choice:
    """The first target of the model asked for that can be tried; none after a fault of the request itself."""
    targets, failed = context.targets, context.failed
    if not targets:
        return _nowhere(name, "the model asked for is served nowhere")
    if not failed and not context.unavailable:
        return Choice(targets[0], name, ((targets[0], ONE),))
    if failed and is_requests_fault(failed[-1]):
        return _nowhere(name, f"{failed[-1].target} refused the request itself ({failed[-1].status})")
    for target in targets:
        if is_usable(target, context):
            return Choice(target, name, ((target, ONE),), "" if target == targets[0] else why(targets[0], context))
    return _nowhere(name, "every target has failed or is not available")


def _nowhere(policy: str, reason: str) -> Choice:
    return Choice(None, policy, ((None, ONE),), reason)


def why(target: str | None, context: Context) -> str:
    """Why `target` was left, in a few words."""
    of = (failure for failure in reversed(context.failed) if target is None or failure.target == target)
    if (last := next(of, None)) is not None:
        return f"{last.target} failed ({last.status or last.error or 'no answer'})"
    return f"{target} is not available" if target is not None else "the model asked for is served nowhere just now"


def named(target: str, ask: Ask, context: Context) -> str:
    """`target` with the model asked for in the place of "*"; asked for as "upstream/model", it is the model."""
    if not target.endswith(_SAME):
        return target
    return target[:-1] + (model_of(ask.model) if ask.model in context.targets else ask.model)


def _route(spec: Route) -> Step:
    target = spec.target
    if target.endswith(_SAME):

        def same_model(ask: Ask, context: Context, before: Choice, draws: list[Draw]) -> Choice:
            there = named(target, ask, context)
            return Choice(there, spec.name, ((there, ONE),))

        return same_model
    always = Choice(target, spec.name, ((target, ONE),))
    return lambda ask, context, before, draws: always


def _split(spec: Split) -> Step:
    arms = spec.probabilities
    ends = thresholds([probability for _, probability in arms])
    fixed = not any(arm == ASKED or arm.endswith(_SAME) for arm, _ in arms)
    choices = [Choice(arm, spec.name, merged(arms)) for arm, _ in arms] if fixed else []
    known: dict[tuple[str, bool, str | None], Alternatives] = {}
    unit, salt, name = spec.unit, spec.salt, spec.name

    def step(ask: Ask, context: Context, before: Choice, draws: list[Draw]) -> Choice:
        of, text = unit, _unit(ask, unit)
        if not text:  # everybody whom nobody names would fall into one arm
            of, text = "request", ask.request_id
        number = draw(salt, text)
        place = arm_of(number, ends)
        draws.append(Draw(policy=name, unit=of, number=f"{number:016x}", arm=arms[place][0]))
        if fixed:
            return choices[place]
        arm = arms[place][0]
        others = before.alternatives
        key = (ask.model, ask.model in context.targets, others[0][0]) if len(others) == 1 else None
        spread = known.get(key) if key is not None else None
        if spread is None:
            spread = _spread(arms, ask, context, others)
            if key is not None:
                if len(known) >= _MOST_KEPT:
                    known.clear()
                known[key] = spread
        if arm == ASKED:
            return Choice(before.target, name, spread, before.reason)
        return Choice(named(arm, ask, context), name, spread)

    return step


def _unit(ask: Ask, unit: str) -> str:
    if unit == "request":
        return ask.request_id
    if unit == "user":
        return ask.user
    return ask.session if unit == "session" else ask.key


def _spread(arms: Iterable[tuple[str, Fraction]], ask: Ask, context: Context, before: Alternatives) -> Alternatives:
    """The arms with what was decided before in the place of `ASKED`: draws with other salts are independent."""
    found: list[tuple[str | None, Fraction]] = []
    for arm, probability in arms:
        if arm == ASKED:
            found += ((target, probability * other) for target, other in before)
        else:
            found.append((named(arm, ask, context), probability))
    return merged(found)


def merged(parts: Iterable[tuple[str | None, Fraction]]) -> Alternatives:
    """Each target once, with the sum of its probabilities; those that cannot happen left out."""
    sums: dict[str | None, Fraction] = {}
    for target, probability in parts:
        if probability:
            sums[target] = sums[target] + probability if target in sums else probability
    return tuple(sums.items())


def _fallback(spec: Fallback) -> Step:
    on = frozenset(spec.on)

    def step(ask: Ask, context: Context, before: Choice, draws: list[Draw]) -> Choice:
        if not context.failed and not context.unavailable and _all_somewhere(before.alternatives):
            return before
        retries = context.retries if spec.retries is None else min(spec.retries, context.retries)
        last = context.failed[-1] if context.failed else None
        free = last is None or _matches(last, on)
        goal = None
        for target in spec.targets or context.targets:
            there = named(target, ask, context)
            if (free or (last is not None and there == last.target)) and is_usable(there, context, retries):
                goal = there
                break

        def settled(target: str | None) -> str | None:
            return target if target is not None and is_usable(target, context, retries) else goal

        if before.target is not None and all(settled(target) == target for target, _ in before.alternatives):
            return before
        spread = merged((settled(target), probability) for target, probability in before.alternatives)
        found = settled(before.target)
        if found == before.target is not None:
            return Choice(before.target, before.policy, spread, before.reason)
        if found is not None:
            return Choice(found, spec.name, spread, why(before.target, context))
        end = "and every fallback has failed or is not available" if free else "from which no fallback goes on"
        return Choice(None, spec.name, spread, f"{why(before.target, context)}, {end}")

    return step


def _all_somewhere(alternatives: Alternatives) -> bool:
    if len(alternatives) == 1:  # nearly always
        return alternatives[0][0] is not None
    return all(target is not None for target, _ in alternatives)


def _matches(failure: Failure, on: frozenset[str]) -> bool:
    """Whether `on` names this failure."""
    if "all" in on:
        return True
    if failure.status is not None and failure.status >= 400:
        return str(failure.status) in on or f"{failure.status // 100}xx" in on
    return _first_word(failure.error) in on


def _first_word(error: str) -> str:
    """ "timeout" of "timeout: first byte" or "timeout_idle"."""
    word = 0
    while word < len(error) and error[word].isalnum():
        word += 1
    return error[:word]
