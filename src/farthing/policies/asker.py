"""One tally of usage priced at any offer, with the assumptions that the question states."""

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill, Counterfactual, Rewrite
from farthing.charges.columns import Cuts, cuts_of
from farthing.charges.spread import Requests, Spread
from farthing.evidence import Grade
from farthing.policies.question import Question, Ratio
from farthing.policies.rewrite import carry_over, chain, stretched
from farthing.rates.card import Offer, Price
from farthing.rates.select import Facts, Unknown, price_at
from farthing.time import show_instant
from farthing.units import METERS
from farthing.usage.table import from_micro

_ONE = Fraction(1)


class Asker:
    """Prices one tally at any offer, with the assumptions that the question states."""

    def __init__(self, counterfactual: Counterfactual, question: Question, own: set[str]) -> None:
        self.counterfactual = counterfactual
        self.question = question
        self.own = own
        self.requests: Requests | None = None
        self._too_long: dict[int, int] = {}

    def ratios(self, offer: Offer) -> tuple[Fraction, Fraction]:
        return ratios_at(offer, self.question)

    def assumptions(self, offer: Offer) -> list[str]:
        if self.own == {offer.id}:
            return []
        tokens, answers = self.ratios(offer)
        return [f"tokens x{float(tokens):g} (another tokenizer)", f"answers x{float(answers):g} as long"]

    def bill(self, offer: Offer, rewrite: Rewrite | None, spread: bool = False) -> tuple[Bill, Spread | None]:
        tokens, answers = self.ratios(offer)
        stretch = stretched(tokens, answers) if (tokens, answers) != (_ONE, _ONE) else None
        whole = chain(stretch, carry_over, rewrite)
        priced: dict[int, tuple[Price, Facts]] = {}
        bill = self.counterfactual.bill(
            offer,
            whole,
            at=self.question.at,
            price_of=price_then_or_first,
            cuts=cuts_at(offer, self.question),
            priced=priced if spread else None,
        )
        first = offer.prices[0].valid_from if offer.prices else None
        if first is not None and bill.usd and self.question.at is None and self._starts_before(first):
            bill.notes[f"not yet offered then: priced at its first rates, of {show_instant(first)}"] += 1
            bill.lower_grade(Grade.DERIVED)
        if not spread:
            return bill, None
        if self.requests is None:
            self.requests = Requests(self.counterfactual.tally)
        return bill, self.requests.spread(priced, whole)

    def too_long(self, offer: Offer) -> int:
        """How many requests that offer could not have read at all, as far as its context length is known."""
        window = offer.context_window
        if window is None:
            return 0
        limit = int(window / self.ratios(offer)[0])
        if limit not in self._too_long:
            table = self.counterfactual.tally.table
            sql = f"SELECT count(*) FROM {table.name} WHERE requests = 1 AND {table.prompt_sql()} > {limit}"
            [(self._too_long[limit],)] = table.connection.execute(sql).fetchall()
        return self._too_long[limit]

    def _starts_before(self, moment: datetime) -> bool:
        span = self.counterfactual.tally.table.span()
        return span is not None and from_micro(span[0]) < moment


def price_then_or_first(offer: Offer, at: datetime) -> Price | Unknown:
    """The record in force at `at`; where the offer did not exist yet, its first."""
    price = price_at(offer, at)
    if isinstance(price, Unknown) and offer.prices:
        first = offer.prices[0]
        if first.valid_from is not None and at < first.valid_from:
            return first
    return price


def ratios_at(offer: Offer, question: Question) -> tuple[Fraction, Fraction]:
    def first(ratios: Sequence[Ratio]) -> Fraction:
        return next((r.ratio for r in ratios if fnmatchcase(offer.id.casefold(), r.offers.casefold())), _ONE)

    return first(question.token_ratios), first(question.answer_ratios)


def cuts_at(offer: Offer, question: Question) -> Cuts:
    """The cuts of `offer`; where its tokens are stretched by r, a threshold at t is one at ceil(t / r)."""
    cuts = cuts_of(offer.prices)
    tokens, answers = ratios_at(offer, question)
    if (tokens, answers) == (_ONE, _ONE):
        return cuts
    edges = set()
    for of, edge in cuts.measures:
        output = of != "prompt" and METERS[of].direction == "output"
        ratio = tokens * answers if output else tokens
        edges.add((of, -(-edge // ratio)))
    return msgspec.structs.replace(cuts, measures=frozenset(edges))
