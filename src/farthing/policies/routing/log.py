"""A decision's log: compact JSON from which, with the request's facts, the decision can be made again.

What is usual is left out: one alternative, probability 1, the first attempt, nothing failed. Probabilities are exact
fractions in text ("9/10").
"""

from collections.abc import Mapping
from fractions import Fraction

import msgspec

from farthing.policies.routing.chain import Chain
from farthing.policies.routing.values import ONE, Ask, Context, Decision, Draw, Failure
from farthing.policies.routing.when import FACTS
from farthing.problems import FarthingError

_USUAL_RETRIES = 2
_CERTAIN = "1"  # one object: a default is left out where it is the very same


class _Log(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`of`: the alternatives, where there are others than `target`. `targets`: where they are others than it."""

    target: str | None
    chain: str = ""
    policy: str = "passthrough"
    p: str = _CERTAIN
    of: tuple[tuple[str | None, str], ...] = ()
    reason: str = ""
    draws: tuple[Draw, ...] = ()
    targets: tuple[str, ...] | None = None
    attempt: int = 1
    failed: tuple[Failure, ...] = ()
    unavailable: tuple[str, ...] = ()
    retries: int = _USUAL_RETRIES
    facts: Mapping[str, int] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Log).decode


def write_log(decision: Decision) -> str:
    """The log of `decision`."""
    context, alternatives = decision.context, decision.alternatives
    alone = alternatives == ((decision.target, ONE),)
    usual = decision.target is not None and context.targets == (decision.target,)
    made = _Log(
        chain=decision.chain,
        policy=decision.policy,
        target=decision.target,
        p=_CERTAIN if decision.probability == 1 else str(decision.probability),
        of=() if alone else tuple((target, str(probability)) for target, probability in alternatives),
        reason=decision.reason,
        draws=decision.draws,
        targets=None if usual else context.targets,
        attempt=context.attempt,
        failed=context.failed,
        unavailable=tuple(sorted(context.unavailable)) if context.unavailable else (),
        retries=context.retries,
        facts=decision.facts,
    )
    return _encode(made).decode()


def read_log(text: str) -> Decision:
    """The decision that `write_log` wrote. Raises `FarthingError` for anything else."""
    try:
        log = _decode(text)
        probability = Fraction(log.p)
        of = tuple((target, Fraction(part)) for target, part in log.of) or ((log.target, ONE),)
    except (ValueError, ZeroDivisionError, msgspec.MsgspecError, RecursionError) as error:
        raise FarthingError(f"not the log of a decision: {error}") from None
    targets = log.targets if log.targets is not None else (log.target,) if log.target is not None else ()
    context = Context(
        attempt=log.attempt,
        failed=log.failed,
        unavailable=frozenset(log.unavailable),
        targets=targets,
        retries=log.retries,
    )
    return Decision(
        target=log.target,
        policy=log.policy,
        probability=probability,
        alternatives=of,
        reason=log.reason,
        draws=log.draws,
        context=context,
        chain=log.chain,
        facts=log.facts,
    )


def recompute(chain: Chain, ask: Ask, log: str | Decision) -> Decision:
    """What `chain` decides for `ask` in the context that `log` saw. Of what a row does not keep, the log's word counts.

    Raises `FarthingError` for a text that is no log.
    """
    logged = read_log(log) if isinstance(log, str) else log
    seen = {name: logged.facts.get(name) for name in FACTS}
    return chain.decide(msgspec.structs.replace(ask, **seen), logged.context)
