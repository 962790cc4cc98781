"""The chain of policies: each sees what the ones before have decided, and may replace it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property

from farthing.policies.routing.kinds import Choice, Step, merged, passthrough, step_of, why
from farthing.policies.routing.specs import ASKED, Fallback, Route, Spec, Split, fingerprint
from farthing.policies.routing.values import ONE, Alternatives, Ask, Context, Decision, Draw, is_usable
from farthing.policies.routing.when import FACTS, Matches, compiled


class Chain:
    """Policies in order. The same ask and context give the same decision, on any machine, at any time.

    It begins with passthrough: the empty chain is that. `id`: a fingerprint of what was written.
    """

    def __init__(self, specs: Sequence[Spec] = ()) -> None:
        self.specs = tuple(specs)
        self.id = fingerprint(self.specs)
        self._steps: list[tuple[Matches | None, Step]] = [(compiled(s.when), step_of(s)) for s in self.specs]
        looked = frozenset[str]().union(*(spec.when.facts for spec in self.specs))
        self._facts = tuple(name for name in FACTS if name in looked)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.specs == other.specs

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Chain({', '.join(spec.name for spec in self.specs) or 'passthrough'})"

    def decide(self, ask: Ask, context: Context) -> Decision:
        """Where this attempt goes. Takes microseconds; raises nothing."""
        draws: list[Draw] = []
        choice = passthrough(context)
        for matches, step in self._steps:
            if matches is None or matches(ask):
                choice = step(ask, context, choice, draws)
        if context.failed or context.unavailable:
            choice = _possible(choice, context)
        target, alternatives = choice.target, choice.alternatives
        return Decision(
            target=target,
            policy=choice.policy,
            probability=ONE if len(alternatives) == 1 else _probability(target, alternatives),
            alternatives=alternatives,
            reason=choice.reason,
            draws=tuple(draws) if draws else (),
            context=context,
            chain=self.id,
            facts=self._seen(ask) if self._facts else {},
        )

    def _seen(self, ask: Ask) -> dict[str, int]:
        found = ((name, getattr(ask, name)) for name in self._facts)
        return {name: value for name, value in found if value is not None}

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Every target that a policy names, each once, in order."""
        return tuple(dict.fromkeys(_targets(self.specs)))


def _targets(specs: Sequence[Spec]) -> Iterator[str]:
    for spec in specs:
        if isinstance(spec, Route):
            yield spec.target
        elif isinstance(spec, Fallback):
            yield from spec.targets
        elif isinstance(spec, Split):
            yield from (arm for arm, _ in spec.weights if arm != ASKED)


def _probability(target: str | None, alternatives: Alternatives) -> Fraction:
    return next(probability for other, probability in alternatives if other == target)


def _possible(choice: Choice, context: Context) -> Choice:
    """`choice` with what cannot be tried as what it is: nowhere. Nothing can be, once the client has output."""
    if any(failure.began for failure in context.failed):
        return Choice(None, choice.policy, ((None, ONE),), "the answer had begun")

    def possible(target: str | None) -> str | None:
        return target if target is not None and is_usable(target, context) else None

    if all(possible(target) == target for target, _ in choice.alternatives):
        return choice
    spread = merged((possible(target), probability) for target, probability in choice.alternatives)
    if (target := possible(choice.target)) == choice.target:
        return Choice(target, choice.policy, spread, choice.reason)
    return Choice(None, choice.policy, spread, f"{why(choice.target, context)}, and no fallback follows")
