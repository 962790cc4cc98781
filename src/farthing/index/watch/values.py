"""What a price watch is asked, and what it answers. Amounts are exact dollars; unknown is None, never 0."""

from datetime import date, datetime
from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source
from farthing.money import Usd
from farthing.rates.card import Offer

DEARER, CHEAPER, SAME, UNKNOWN = "dearer", "cheaper", "same", "unknown"


class Constraints(msgspec.Struct, frozen=True, kw_only=True):
    """What an offer must be to be proposed instead of the one in use.

    `providers`: only these (ids; empty: any); `avoid`: none of these. `models`: globs of offer or model ids which the
    user says would do too, beside the same model elsewhere. `min_context`: tokens that its context must hold; an offer
    whose context nobody states does not meet it. `grade`: the worst evidence that its price may rest on.
    """

    providers: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    min_context: int | None = None
    grade: Grade | None = None


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """From when on a change is worth an alarm: more than `share` of what the usage cost at the rates of the first
    day, or more than `usd` dollars on this usage. Exactly one of them is set."""

    share: Fraction | None = None
    usd: Usd | None = None

    def passed(self, change: Usd, of: Usd) -> bool:
        """Whether `change` (either way) of a usage that cost `of` is beyond the threshold."""
        limit = self.usd if self.usd is not None else (self.share or Fraction(0)) * of
        return abs(change) > limit


class WatchQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask. `since`, `until`: the two instants at whose rates the usage is priced, as they are known at
    `present`. `horizon_days`: how far ahead of `until` a retirement is an alarm."""

    since: datetime
    until: datetime
    present: datetime
    threshold: Threshold
    constraints: Constraints = Constraints()
    horizon_days: int = 90


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What some usage costs at one instant's rates. `usd` is None while `unpriced` of its `rows` have a part without
    a price (`reasons`, with rows); `known_usd` is then a lower bound."""

    usd: Usd | None
    known_usd: Usd
    rows: int
    unpriced: int
    reasons: dict[str, int]
    grade: Grade | None
    by_meter: dict[str, Usd]


class MeterChange(msgspec.Struct, frozen=True, kw_only=True):
    """One meter of one offer: `quantity` in stored counts (1/scale units); the list price of a short standard request
    in dollars per published unit, and dollars on this usage, then and now. `change` is of the rows that have a price at
    both instants: where others have none at one of them, it is not the difference of the two."""

    meter: str
    quantity: int | Fraction
    then_price: Fraction | None
    now_price: Fraction | None
    then_usd: Usd | None
    now_usd: Usd | None
    change: Usd | None


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition under which `meter` has a price of its own, in words; `is_new`: it was not there before.

    `tier_usd`: for a new service tier, what this usage would cost in it; None where that is unknown.
    """

    words: str
    meters: tuple[str, ...]
    is_new: bool
    tier: str | None = None
    tier_usd: Usd | None = None


class OfferChange(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of the usage, then and now.

    `change` is None where the two cannot be compared. `partial`: it is that of the rows, or of the meters of all
    rows, that have a price at both instants. `stated_from`: since when the price in force now is stated.
    `basis` says what the price of then rests on: "dated" (a record with a date), "undated" (no source says since when:
    taken as unchanged, which nobody stated), "history" (our own history of public lists), "unclear" (the same, which
    does not say whether the price changed or a list was corrected, or whether it had changed by then), "unknown".
    """

    offer: str
    family: str
    requests: int
    then: Cost
    now: Cost
    change: Usd | None
    partial: bool
    basis: str
    stated_from: datetime | None
    meters: tuple[MeterChange, ...]
    conditions: tuple[Condition, ...]
    source: Source | None
    then_source: Source | None

    @property
    def direction(self) -> str:
        if self.change is None:
            return UNKNOWN
        return DEARER if self.change > 0 else CHEAPER if self.change < 0 else SAME


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Published scores of another model beside those of the one in use, on one benchmark."""

    benchmark: str
    used: float
    other: float
    sources: tuple[str, ...]


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that meets the constraints, and what this usage costs there at the rates of now.

    `kind`: "host" (the same model at another host), "named" (another model that the user says would do), "scored"
    (another model whose published scores on two benchmarks or more are nowhere below those of the model in use).
    `saving` is against the offer in use; None where that has no known cost.
    """

    offer: Offer
    kind: str
    usd: Usd
    then_usd: Usd | None
    saving: Usd | None
    grade: Grade
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """Where the usage of one offer is best placed now. `hosts` (cheapest first) are the same model elsewhere.

    `best` is the cheapest of them and of the offer in use (its id; None where none has a price), `best_then` the one
    of the first day. `saving`, `saving_then`: what it saves against the offer in use. `left_out`: candidates by the
    reason why they are none.
    """

    offer: str
    family: str
    usd: Usd | None
    best: str | None
    best_then: str | None
    saving: Usd | None
    saving_then: Usd | None
    hosts: tuple[Alternative, ...]
    others: tuple[Alternative, ...]
    left_out: dict[str, int]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the usage that is withdrawn, or will be. `days_left` from the instant asked about; below 0: gone."""

    offer: str
    day: date | None
    days_left: int | None
    usd: Usd | None
    source: Source | None
    why: str


class Upcoming(msgspec.Struct, frozen=True, kw_only=True):
    """A price that is stated to begin after the instant asked about, and what this usage then costs."""

    offer: str
    at: datetime
    usd: Usd | None
    change: Usd | None
    source: Source


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A source that states another price of a meter than the one used, in dollars on this usage.

    `usd_low`, `usd_high`: the cost of the offer's usage if that source is right (alike unless it states a range).
    """

    offer: str
    meter: str
    used: str
    used_source: str
    other: str
    other_source: str
    other_grade: Grade
    usd: Usd | None
    usd_low: Usd | None
    usd_high: Usd | None


class Unpriced(msgspec.Struct, frozen=True, kw_only=True):
    """Usage without a price now. `had`: what it cost at the rates of then, where it had one."""

    model: str
    reason: str
    rows: int
    requests: int
    tokens: int
    had: Usd | None


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What the sources learned since about the price of then: a correction, not a change of price.

    `known_usd`: the usage at the rates of then as they were known then (None: no price was known); `usd`: as they
    are known now.
    """

    offer: str
    known_usd: Usd | None
    usd: Usd | None
    difference: Usd | None
    what: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A reason for the exit status: what `kind` of thing, of which offer, by how many dollars on this usage."""

    kind: str
    offer: str
    usd: Usd | None
    text: str


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `then`, `now`, `change` are of the whole usage (as in `OfferChange`); `days` is its span, None
    where it is too short, or has too few instants, to say what a month of it is."""

    question: WatchQuestion
    rows: int
    requests: int
    first: datetime | None
    last: datetime | None
    days: Fraction | None
    then: Cost
    now: Cost
    change: Usd | None
    partial: bool
    offers: tuple[OfferChange, ...]
    best: tuple[Best, ...]
    ending: tuple[Ending, ...]
    upcoming: tuple[Upcoming, ...]
    disagreements: tuple[Disagreement, ...]
    unpriced: tuple[Unpriced, ...]
    learned: tuple[Learned, ...]
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
