"""Routing policies replayed: for each recorded request the decision, and what its tokens cost where it leads.

What stays where it went costs what it cost. What is moved keeps its tokens, carried to the other offer's meters
(`rewrite.carry_over`), and its answer is taken to be as long: that is an assumption.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill, Counterfactual, bill_as_served, total
from farthing.money import Usd
from farthing.policies.asker import Asker, cuts_at
from farthing.policies.question import AS_IS, AS_SERVED, Question, Row, make_row
from farthing.policies.routing.file import PolicyFile
from farthing.policies.routing.offers import Offers
from farthing.policies.routing.recorded import Outcome, Recorded, Seen, decided
from farthing.policies.routing.values import Decision
from farthing.policies.staged import Progress, Staged
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.select import Unknown
from farthing.units import TOKEN_METERS
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable

_ROUTING = "routing"  # what the policies of a file are called beside "batch" and the like
_EVERY = 65_536
Told = Callable[[Recorded, Outcome], None]


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One target: how many requests ended there as they were and under the policies, and what they cost there.

    `requests` counts those that were answered there or failed there last; dollars are of all attempts. `unpriced`:
    attempts without a known charge under the policies, which `usd` leaves out; `served_unpriced`: as they were, which
    `served_usd` leaves out. `share`: of the cost under the policies; None where that is not known.
    """

    target: str
    offer: str
    requests_served: int
    requests: int
    served_usd: Usd
    usd: Usd
    unpriced: int
    served_unpriced: int
    share: Fraction | None


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `saved_usd`: what the policies would have spared (negative: they cost more); None where a charge
    of a moved request is unknown. `differ`: requests that the policies lead elsewhere, `refused` of them nowhere.
    `unanswered`: requests that would have gone elsewhere, of which nothing tells what an answer would have consumed:
    they are taken as they were. `policies`: requests by whose word decided.
    """

    name: str
    as_served: Row
    under: Row
    saved_usd: Usd | None
    requests: int
    attempts: int
    differ: int
    refused: int
    unanswered: int
    policies: Mapping[str, int]
    targets: tuple[TargetRow, ...]
    notes: tuple[str, ...]


def replay_routing(
    requests: Iterable[Recorded],
    book: Book,
    file: PolicyFile,
    question: Question,
    deployments: Mapping[str, str] | None = None,
    told: Told = lambda recorded, outcome: None,
    progress: Progress = lambda rows: None,
) -> Routed:
    """What the requests cost, and what they would have cost under the policies of `file`.

    `deployments`: the offer that each "host:NAME" stands for in `book`. `told` hears of each request. Raises
    `FarthingError` for an unknown offer, or where there is no request or none that names a model.
    """
    served = book.find(question.served) if question.served else None
    run = _Run(Staged(question, served, None), Offers(book, file, deployments or {}), file)
    for number, recorded in enumerate(requests, 1):
        told(recorded, run.add(recorded))
        if number % _EVERY == 0:
            progress(number)
    if not run.requests:
        raise FarthingError("no usable row of usage; `farthing usage FILE` says what was rejected and why")
    if run.staged.nameless and served is None:
        raise FarthingError(
            "the usage names no model, so no policy can be asked: --from OFFER says where it was served"
        )
    return run.answer()


class _Run:
    """The requests of one replay: decided as they come, their attempts staged in columns by what becomes of them."""

    def __init__(self, staged: Staged, offers: Offers, file: PolicyFile) -> None:
        self.staged = staged
        self.offers = offers
        self.file = file
        self.kept = _Went(UsageTable(staged.connection, "kept"))
        self.left = _Went(UsageTable(staged.connection, "went"))
        self.moved: dict[str, UsageTable] = {}
        self.requests = self.attempts = self.differ = self.refused = self.unanswered = self.unnamed = 0
        self.policies: Counter[str] = Counter()
        self.served_at: Counter[str] = Counter()
        self.ends_at: Counter[str] = Counter()

    def add(self, recorded: Recorded) -> Outcome:
        """Decide one request and stage its attempts."""
        attempts = [msgspec.structs.replace(seen, usage=self._usage(seen)) for seen in recorded.attempts]
        outcome = decided(recorded, self.file, str.__eq__ if recorded.located else self._same_offer)
        last, target = attempts[-1], outcome.decision.target
        self.requests += 1
        self.attempts += len(attempts)
        self.unnamed += not recorded.named
        self.policies[outcome.decision.policy] += 1
        self.served_at[last.target] += 1
        answer = next((seen.usage for seen in reversed(attempts) if seen.answered and not seen.unmeasured), None)
        stand = outcome.stand
        if outcome.moved:
            self.differ += 1
            if target is not None and answer is None:
                self.unanswered += 1
                stand, target = len(attempts), last.target
            elif target is None:
                self.refused += 1
            elif answer is not None:
                self._move(answer, target)
        else:
            target = last.target
        if target is not None:
            self.ends_at[target] += 1
        for place, seen in enumerate(attempts):
            (self.kept if place < stand else self.left).add(seen)
        return outcome

    def _same_offer(self, target: str, recorded: str) -> bool:
        if target == recorded:
            return True
        one, other = self.offers.of(target), self.offers.of(recorded)
        return isinstance(one, Offer) and isinstance(other, Offer) and one.id == other.id

    def _usage(self, seen: Seen) -> Usage:
        """The attempt on the question's clock; its target stands in the place of the channel, which no price asks."""
        self.offers.saw(seen.target, seen.usage.provider, seen.usage.priced)
        return msgspec.structs.replace(self.staged.normal(seen.usage), channel=seen.target)

    def _move(self, usage: Usage, target: str) -> None:
        table = self.moved.get(target)
        if table is None:
            table = self.moved[target] = UsageTable(self.staged.connection, f"moved_{len(self.moved)}")
        offer = self.offers.of(target)
        elsewhere = not isinstance(offer, Offer) or offer.provider != usage.provider
        table.add(
            msgspec.structs.replace(usage, channel=target, region=None if elsewhere else usage.region, priced=None)
        )

    def answer(self) -> Routed:
        """The bills, once everything is staged."""
        question = self.staged.question
        if question.at is None and (self.staged.relative or self.staged.nameless):
            question = msgspec.structs.replace(question, at=question.now)
        kept, left = (went.bills(self.offers, question) for went in (self.kept, self.left))
        moved, assumptions, longer = self._moved(question)
        served, under = _joined(kept, left), _joined(kept, moved)
        was, then = _sum(served.values()), _sum(under.values())
        tokens = sum(n for name, n in was.quantity_by_meter.items() if name in TOKEN_METERS)
        before, after = _sum(left.values()), _sum(moved.values())
        as_served = make_row(AS_SERVED, AS_IS, was, None, was.total_usd, int(tokens), ())
        return Routed(
            name=self.file.name,
            as_served=as_served,
            under=make_row(self.file.name, _ROUTING, then, None, was.total_usd, int(tokens), assumptions),
            saved_usd=None if before.unpriced or after.unpriced else before.usd - after.usd,
            requests=self.requests,
            attempts=self.attempts,
            differ=self.differ,
            refused=self.refused,
            unanswered=self.unanswered,
            policies=dict(self.policies.most_common()),
            targets=self._targets(served, under, then.total_usd),
            notes=tuple(self._notes(longer)),
        )

    def _moved(self, question: Question) -> tuple[dict[str, Bill], list[str], dict[str, int]]:
        """The bill of what was moved to each target, what that assumes, and how many requests are too long there."""
        bills: dict[str, Bill] = {}
        assumptions: list[str] = []
        longer: dict[str, int] = {}
        for target, table in self.moved.items():
            table.flush()
            offer = self.offers.of(target)
            if isinstance(offer, Unknown):
                bills[target] = bill = Bill()
                bill.add_unknown(offer.reason, table.rows, table.rows, {})
                continue
            asker = Asker(Counterfactual(table, cuts_at(offer, question)), question, set())
            bills[target] = asker.bill(offer, None)[0]
            assumptions += (f"{offer.id}: {text}" for text in asker.assumptions(offer))
            longer[target] = asker.too_long(offer)
        return bills, list(dict.fromkeys(assumptions)), longer

    def _targets(
        self, served: Mapping[str, Bill], under: Mapping[str, Bill], whole: Usd | None
    ) -> tuple[TargetRow, ...]:
        nothing = Bill()
        rows = []
        for target in dict.fromkeys((*self.served_at, *self.ends_at, *served, *under)):
            offer, bill = self.offers.of(target), under.get(target, nothing)
            rows.append(
                TargetRow(
                    target=target,
                    offer=offer.id if isinstance(offer, Offer) else "",
                    requests_served=self.served_at[target],
                    requests=self.ends_at[target],
                    served_usd=served.get(target, nothing).usd,
                    usd=bill.usd,
                    unpriced=bill.unpriced,
                    served_unpriced=served.get(target, nothing).unpriced,
                    share=bill.usd / whole if whole else None,
                )
            )
        return tuple(sorted(rows, key=lambda row: (-row.usd, -row.served_usd, row.target)))

    def _notes(self, longer: Mapping[str, int]) -> Iterable[str]:
        if self.unnamed:
            yield f"{self.unnamed:,} requests have no id: a draw by request rests on their place in the usage"
        if self.unanswered:
            yield (
                f"{self.unanswered:,} requests would have gone elsewhere, but nothing tells what an answer would have "
                "consumed: they are taken as they were"
            )
        if self.refused:
            yield f"{self.refused:,} requests would have gone nowhere, and cost nothing further"
        for target, requests in longer.items():
            if requests:
                yield f"{requests:,} requests are longer than the context of {target}"
        if self.staged.relative:
            yield "the usage gives only offsets in time"


class _Went:
    """Attempts as they went: measured ones in columns, the others counted by why nobody knows what they consumed, and
    those that consumed nothing."""

    def __init__(self, table: UsageTable) -> None:
        self.table = table
        self.unknown: Counter[tuple[str, str]] = Counter()
        self.nothing: Counter[str] = Counter()

    def add(self, seen: Seen) -> None:
        if seen.unmeasured:
            self.unknown[seen.target, seen.unmeasured] += 1
        elif seen.nothing:
            self.nothing[seen.target] += 1
        else:
            self.table.add(seen.usage)

    def bills(self, offers: Offers, question: Question) -> dict[str, Bill]:
        """What they cost where they went, by target."""
        table, found = self.table, dict[str, list[Bill]]()
        table.flush()
        if table.rows:
            subjects = list(enumerate(table.subjects))
            at = {n: offers.served(s.channel or "", s.provider, s.model, s.region, s.priced) for n, s in subjects}
            bills = bill_as_served(table, at, question.at).by_subject
            for number, subject in subjects:
                found.setdefault(subject.channel or "", []).append(bills[number])
        for (target, reason), attempts in self.unknown.items():
            blind = Bill()
            blind.add_unknown(reason, attempts, attempts, {})
            found.setdefault(target, []).append(blind)
        for target, attempts in self.nothing.items():
            free = Bill()
            free.add([], attempts, attempts)
            found.setdefault(target, []).append(free)
        return {target: _sum(several) for target, several in found.items()}


def _sum(bills: Iterable[Bill]) -> Bill:
    several = list(bills)
    for bill in several:
        bill.lower_grade(bill.grade)  # settles it: only then are its sources and notes known
    return total(several)


def _joined(one: Mapping[str, Bill], other: Mapping[str, Bill]) -> dict[str, Bill]:
    names = dict.fromkeys((*one, *other))
    return {name: _sum([bills[name] for bills in (one, other) if name in bills]) for name in names}


def decision_line(recorded: Recorded, outcome: Outcome) -> dict[str, object]:
    """One request for `--decisions`: who decided what with which probability, and where it had gone."""
    decision: Decision = outcome.decision
    return {
        "request": recorded.ask.request_id,
        "target": decision.target,
        "probability": str(decision.probability),
        "policy": decision.policy,
        "reason": decision.reason,
        "attempt": decision.context.attempt,
        "served": recorded.attempts[-1].target,
        "differs": outcome.moved,
    }
