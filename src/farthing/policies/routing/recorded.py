"""A request as it was recorded, and what a chain of policies would have decided in its place."""

from collections.abc import Callable, Iterable

import msgspec

from farthing.policies.routing.chain import Chain
from farthing.policies.routing.file import PolicyFile, asked_of
from farthing.policies.routing.values import Ask, Context, Decision, Failure, model_of
from farthing.policies.routing.when import FACTS
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.usage.record import Usage

_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_ENDED = frozenset({"ok", "done", "cancelled"})
_UNKNOWN = "unknown"  # in the place of a provider that nobody stated


Same = Callable[[str, str], bool]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as recorded: what it consumed, where it went, how it failed (None: it did not, or nobody says).

    `answered`: it brought an answer, at least a part of one. `unmeasured`: why nobody knows what it consumed.
    `nothing`: it failed before anything was consumed, and cost nothing whatever the prices are.
    `logged`: the decision that the gateway made then.
    """

    usage: Usage
    target: str
    answered: bool = True
    unmeasured: str = ""
    nothing: bool = False
    failure: Failure | None = None
    logged: Decision | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its attempts in order, one at least. `named`: it has an id of its own, that draws rest on.

    `located`: its targets name the upstreams; else they are offers, and upstreams at the same offer are no others.
    """

    ask: Ask
    attempts: tuple[Seen, ...]
    named: bool = True
    located: bool = True


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request under a chain: the first `stand` attempts are as recorded, then `decision` leads
    elsewhere (`moved`), or the request ended as it did. `decision`: the last one that was made."""

    stand: int
    moved: bool
    decision: Decision


def failure_of(target: str, status: int | None, error: str, began: bool = False) -> Failure:
    """A recorded failure. Where no log tells whether it could be tried again, it could where nothing was produced."""
    again = status in _AGAIN or (status is None and error.startswith("connect"))
    return Failure(target=target, status=status, error=error, retryable=again and not began, began=began)


def decided(recorded: Recorded, file: PolicyFile, same: Same = str.__eq__) -> Outcome:
    """What the chain of `file` decides, attempt by attempt, for as long as it leads where the request went.

    `same`: whether a target that was decided is the one recorded.
    """
    chain, ask = file.chain, recorded.ask
    failed: tuple[Failure, ...] = ()
    decision: Decision | None = None
    for number, seen in enumerate(recorded.attempts):
        logged = seen.logged
        if logged is not None:
            ask = _as_known(ask, logged, chain)
            known = logged.context.targets
            context = msgspec.structs.replace(logged.context, targets=asked_of(ask, file, known))
        else:
            targets = asked_of(ask, file, (recorded.attempts[0].target,))
            context = Context(attempt=number + 1, failed=failed, targets=targets, retries=file.retries)
        decision = chain.decide(ask, context)
        if decision.target is None or not same(decision.target, seen.target):
            return Outcome(stand=number, moved=True, decision=decision)
        failed = context.failed
        if seen.failure is not None:
            failed += (seen.failure,)
    assert decision is not None
    last = recorded.attempts[-1]
    if last.failure is None or last.answered or (last.logged is not None and last.logged.chain == chain.id):
        return Outcome(stand=len(recorded.attempts), moved=False, decision=decision)
    context = msgspec.structs.replace(decision.context, attempt=len(recorded.attempts) + 1, failed=failed)
    after = chain.decide(ask, context)
    if after.target is None:
        return Outcome(stand=len(recorded.attempts), moved=False, decision=decision)
    return Outcome(stand=len(recorded.attempts), moved=True, decision=after)


def _as_known(ask: Ask, logged: Decision, chain: Chain) -> Ask:
    """`ask` with what the log kept of it. What the same chain did not find then, it does not know now, either."""
    same = logged.chain == chain.id
    facts = {name: logged.facts.get(name, None if same else getattr(ask, name)) for name in FACTS}
    return msgspec.structs.replace(ask, **facts)


def recorded_of(usage: Usage, number: int, target: str) -> Recorded:
    """One record as a request of one attempt. A record without an id is named by its place, `number`."""
    tags = usage.tags
    named = usage.id is not None
    ask = Ask(
        request_id=tags.get("request") or usage.id or f"row {number}",
        at=usage.at,
        model=usage.model_asked or usage.model_served or model_of(target),
        feature=usage.feature or "",
        user=usage.user or "",
        session=usage.session or "",
        tags=tags,
        prompt_tokens=usage.prompt_tokens,
        key=tags.get("key", ""),
        request_type=tags.get("request_type", ""),
        segment=tags.get("segment", ""),
    )
    answered = usage.status in _ENDED or bool(usage.quantities.get("output"))
    return Recorded(
        ask=ask,
        attempts=(Seen(usage=usage, target=target, answered=answered, unmeasured=usage.unmeasured),),
        named=named,
        located=False,
    )


def requests_of(records: Iterable[Usage], book: Book, served: str | None) -> Iterable[Recorded]:
    """Usage records as requests of one attempt each; `served`: the offer at which they ran, if the files do not say."""
    homes: dict[tuple[str | None, str | None], str] = {}
    for number, usage in enumerate(records, 1):
        model = usage.model_asked or usage.model_served
        key = (usage.provider, model)
        target = homes.get(key)
        if target is None:
            provider = usage.provider
            if provider is None and model is not None:
                found = book.lookup(None, model)
                provider = found.provider if isinstance(found, Offer) else None
            target = served or f"{provider or _UNKNOWN}/{model or _UNKNOWN}"
            homes[key] = target
        yield recorded_of(usage, number, target)
