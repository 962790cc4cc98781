"""Where the usage of one offer is best placed: the same model at other hosts first; other models only as such."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from fnmatch import fnmatchcase

from farthing.charges.bill import Bill, Counterfactual, Rewrite
from farthing.charges.columns import Cuts, cuts_of
from farthing.evidence import Grade, worst
from farthing.index.watch.values import Alternative, Best, Constraints, Cost, Evidence
from farthing.money import Usd
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.compare import platform
from farthing.rates.family import family
from farthing.rates.select import Unknown
from farthing.usage.table import UsageTable

Scores = Mapping[str, Mapping[str, tuple[float, str]]]
"""Family, or provider/model → benchmark → (score, source); more is better."""
OfferOn = Callable[[Offer, datetime], Offer | Unknown]
"""The offer as it was at an instant: with the price that history has of it, where the book has no dated one."""
Ends = Callable[[Offer], date | None]
"""The day from which an offer is no longer served, where somebody announced it."""

OTHERS = 5
LEAST_EVIDENCE = 2
"""Benchmarks on which another model must have been compared before it is shown unasked."""
_VARIANT = re.compile(r"^~|:(batch|free)$")
_SNAPSHOT = re.compile(r"20\d\d-?\d\d-?\d\d")


class Candidates:
    """The offers of the book that may be proposed, by family."""

    def __init__(self, book: Book, constraints: Constraints, scores: Scores, ends: Ends) -> None:
        self.constraints = constraints
        self.scores = scores
        self.ends = ends
        self.by_family: dict[str, list[Offer]] = {}
        for offer in book.offers():
            if not _VARIANT.search(offer.model):
                self.by_family.setdefault(family(offer.model), []).append(offer)
        self._offers = [(key, offer) for key, offers in self.by_family.items() for offer in offers]

    def of(self, own: Offer | None, key: str) -> list[tuple[Offer, str, tuple[Evidence, ...]]]:
        """What may stand for a model of family `key` (in use at `own`): offer, kind, evidence."""
        found = [(offer, "host", ()) for offer in self.by_family.get(key, ()) if own is None or offer.id != own.id]
        made: list[tuple[Offer, str, tuple[Evidence, ...]]] = [*found]
        mine = self._scores_of(own, key)
        for other, offer in self._offers:
            if other == key:
                continue
            evidence = compared(mine, self._scores_of(offer, other))
            if any(fits(offer, glob) for glob in self.constraints.models):
                made.append((offer, "named", evidence))
            elif len(evidence) >= LEAST_EVIDENCE and all(one.other >= one.used for one in evidence):
                made.append((offer, "scored", evidence))
        return made

    def _scores_of(self, offer: Offer | None, key: str) -> Mapping[str, tuple[float, str]]:
        """The scores of the id itself, where it has some (a pointer that moved on), else of its family."""
        return (self.scores.get(offer.id) if offer is not None else None) or self.scores.get(key, {})


def published_scores(by: date) -> Scores:
    """What was published of each model by a day, as `Candidates` compares it: the newest release of each id; scores
    of a model that reasoned first are a benchmark of their own: its tokens are not those of one that did not."""
    from farthing.index.scores import chosen, scores

    found: dict[str, dict[str, tuple[float, str]]] = {}
    known = [one for one in scores() if max(one.released, one.date) <= by]
    for score in sorted(chosen(known), key=lambda one: one.released):
        name = score.benchmark + (" with reasoning" if score.reasoning else "")
        for key in score.keys:
            found.setdefault(key, {})[name] = (score.value, score.source.id)
    return found


def fits(offer: Offer, glob: str) -> bool:
    """Whether `glob` is meant for `offer`: "provider/model", or a model alone."""
    glob = glob.casefold()
    return fnmatchcase(offer.id.casefold(), glob) or fnmatchcase(offer.model.casefold(), glob)


def compared(mine: Mapping[str, tuple[float, str]], theirs: Mapping[str, tuple[float, str]]) -> tuple[Evidence, ...]:
    """The scores of two models on the benchmarks that both have."""
    return tuple(
        Evidence(benchmark=name, used=mine[name][0], other=theirs[name][0],
                 sources=tuple(dict.fromkeys((mine[name][1], theirs[name][1]))))
        for name in mine if name in theirs
    )  # fmt: skip


def refused(offer: Offer, constraints: Constraints) -> str:
    """Why `offer` does not meet the constraints; "" where it does, as far as the book can tell."""
    if constraints.providers and offer.provider not in constraints.providers:
        return "at a provider that is not wanted"
    if offer.provider in constraints.avoid:
        return "at a provider that is not wanted"
    if constraints.min_context is not None:
        if offer.context_window is None:
            return "of a context length that nobody states"
        if offer.context_window < constraints.min_context:
            return f"with a context under {constraints.min_context:,} tokens"
    return ""


def best_of(
    table: UsageTable,
    own: Offer | None,
    key: str,
    now: Cost,
    then: Cost,
    candidates: Candidates,
    moments: tuple[datetime, datetime],
    offer_on: OfferOn,
    carry: Rewrite,
) -> Best:
    """Where the usage in `table`, all of which is of one model (family `key`), is best placed.

    `own`: where it is served (None: nobody knows), at the cost `now` and `then`. `moments`: the two instants.
    `carry` makes a request what it would be at another host.
    """
    left: Counter[str] = Counter()
    able = list(_able(own, key, candidates, moments[1], left))
    asked = _Asked(table, [offer for offer, _, _ in able], moments, offer_on, carry)
    usd, usd_then = asked.comparable(now), asked.comparable(then)
    made: list[Alternative] = []
    for offer, kind, evidence in able:
        bill = asked.now(offer)
        if why := asked.unfit(offer, bill, candidates.constraints):
            left[why] += kind == "host"
            continue
        made.append(
            Alternative(
                offer=offer,
                kind=kind,
                usd=bill.usd,
                then_usd=asked.then(offer) if kind == "host" else None,
                saving=None if usd is None else usd - bill.usd,
                grade=bill.grade if kind == "host" else worst((bill.grade, Grade.ASSUMED)),
                notes=tuple(_notes(own, offer, candidates.ends(offer))),
                evidence=evidence,
            )
        )
    made.sort(key=lambda one: (one.usd, platform(one.offer) != "direct", one.offer.id))
    hosts = [one for one in made if one.kind == "host"]
    mine = own if own is not None and not refused(own, candidates.constraints) else None
    choice = _cheapest(mine, usd, [(one.offer.id, one.usd) for one in hosts])
    before = [(one.offer.id, one.then_usd) for one in hosts if one.then_usd is not None]
    choice_then = _cheapest(mine, usd_then, before)
    others = [one for one in made if one.kind != "host" and (one.saving is None or one.saving > 0)]
    return Best(
        offer=own.id if own else "",
        family=key,
        usd=now.usd,
        best=choice[0] if choice else None,
        best_then=choice_then[0] if choice_then else None,
        saving=usd - choice[1] if choice and usd is not None else None,
        saving_then=usd_then - choice_then[1] if choice_then and usd_then is not None else None,
        hosts=tuple(hosts),
        others=(*_one_each(others, "named"), *_one_each(others, "scored")[:OTHERS]),
        left_out={why: count for why, count in left.items() if count},
    )


def _able(
    own: Offer | None, key: str, candidates: Candidates, until: datetime, left: Counter[str]
) -> Iterable[tuple[Offer, str, tuple[Evidence, ...]]]:
    """What meets the constraints and is still served; hosts that do not are counted in `left`."""
    for offer, kind, evidence in candidates.of(own, key):
        end = candidates.ends(offer)
        why = refused(offer, candidates.constraints)
        if not why and end is not None and end <= until.date():
            why = "that is retired"
        if not why:
            yield offer, kind, evidence
        elif kind == "host":
            left[why] += 1


class _Asked:
    """One usage priced at any of `offers`, at two instants. Rows of which nobody knows what they consumed have a price
    nowhere: the rest is compared."""

    def __init__(
        self, table: UsageTable, offers: Iterable[Offer], moments: tuple[datetime, datetime], offer_on: OfferOn,
        carry: Rewrite,
    ) -> None:  # fmt: skip
        whole = Cuts()
        for offer in offers:
            whole |= cuts_of(offer.prices)
        self.table, self.moments, self.offer_on, self.carry = table, moments, offer_on, carry
        self.counterfactual = Counterfactual(table, whole)
        cells = self.counterfactual.tally.cells
        self.unmeasured = sum(cell.rows for cell in cells if table.subjects[cell.subject].unmeasured)
        self._longest: int | None = None

    def now(self, offer: Offer) -> Bill:
        return self._bill(offer, self.moments[1])

    def then(self, offer: Offer) -> Usd | None:
        bill = self._bill(offer, self.moments[0])
        return bill.usd if bill.rows and bill.unpriced == self.unmeasured else None

    def _bill(self, offer: Offer, at: datetime) -> Bill:
        known = self.offer_on(offer, at)
        return Bill() if isinstance(known, Unknown) else self.counterfactual.bill(known, self.carry, at=at)

    def comparable(self, cost: Cost) -> Usd | None:
        """What the usage cost where it was served, if that can be compared with its cost elsewhere."""
        return cost.known_usd if cost.rows and cost.unpriced == self.unmeasured else None

    def unfit(self, offer: Offer, bill: Bill, constraints: Constraints) -> str:
        """Why an offer with this bill is no candidate."""
        if not bill.rows or bill.unpriced > self.unmeasured:
            return "without a price for all of this usage"
        if bill.usd == 0:
            return "free of charge (promotions are no price)"
        if constraints.grade is not None and bill.grade < constraints.grade:
            return f"priced on worse evidence than {constraints.grade}"
        if offer.context_window is not None and self.longest() > offer.context_window:
            return "with a context too short for some of these requests"
        return ""

    def longest(self) -> int:
        """The longest prompt, in tokens; of rows that sum several requests it is not known."""
        if self._longest is None:
            sql = f"SELECT coalesce(max({self.table.prompt_sql()}), 0) FROM {self.table.name} WHERE requests = 1"
            [(found,)] = self.table.connection.execute(sql).fetchall()
            self._longest = int(found)
        return self._longest


def _cheapest(own: Offer | None, usd: Usd | None, hosts: Sequence[tuple[str, Usd]]) -> tuple[str, Usd] | None:
    """The cheapest of the offer in use and `hosts`; of two as cheap the one in use, then by name."""
    mine = [(own.id, usd)] if own is not None and usd is not None else []
    return min([*mine, *hosts], key=lambda one: one[1], default=None)


def _one_each(found: Iterable[Alternative], kind: str) -> list[Alternative]:
    """The cheapest offer of each model among those of `kind`."""
    kept: dict[str, Alternative] = {}
    for one in found:
        if one.kind == kind:
            kept.setdefault(family(one.offer.model), one)
    return list(kept.values())


def _notes(own: Offer | None, offer: Offer, end: date | None) -> Iterable[str]:
    if own is not None and own.provider == offer.provider:
        yield "another id at the same provider"
        if set(_SNAPSHOT.findall(own.model)) != set(_SNAPSHOT.findall(offer.model)):
            yield "another snapshot of the model"
    if end is not None:
        yield f"retires on {end.isoformat()}"


def part(table: UsageTable, subjects: Iterable[int], name: str) -> UsageTable:
    """The rows of some `subjects` (by number) as a table of their own, called `name`; nothing is copied."""
    wanted = ", ".join(str(number) for number in subjects) or "NULL"
    table.connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {table.name} WHERE subject IN ({wanted})"
    )
    made = UsageTable(table.connection, name)
    made.subjects, made.meters = table.subjects, table.meters
    [(made.rows,)] = table.connection.execute(f"SELECT count(*) FROM {name}").fetchall()
    return made
