"""Rate cards: what an offer's units cost, when, and under which conditions.

An `Offer` is one model at one provider over one channel. It holds dated `Price` records; each
holds `Rate`s (a meter's price, under a condition) and `Modifier`s (a factor on the rates of some
meters, under a condition). `When` is a condition. `select` decides which rate applies.
"""

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import msgspec

from farthing.evidence import Source
from farthing.units import METERS

NO_LIMIT = 1 << 62
MINUTES_OF_WEEK = 7 * 24 * 60
ALL_WEEK = (1 << MINUTES_OF_WEEK) - 1


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A range of a request's measured quantity, half-open: low <= quantity < high.

    `of` is "prompt" (input, cache reads and writes together), or a meter's name, whose counts (1/scale
    units, see `units`) the ends are. "over 200000" is low=200001; "at least 200000" is low=200000.
    """

    low: int = 0
    high: int = NO_LIMIT
    of: str = "prompt"

    def covers(self, quantity: int) -> bool:
        return self.low <= quantity < self.high


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the week in UTC as a bit per minute (bit 0 is Monday 00:00), with excepted dates.

    `decides` says whether the request's "start" or "completion" is tested. On `dates` the whole day
    is inside; on `not_dates` none of it.
    """

    minutes: int
    decides: str = "start"
    dates: frozenset[date] = frozenset()
    not_dates: frozenset[date] = frozenset()

    def covers(self, moment: datetime) -> bool:
        day = moment.date()
        if day in self.dates:
            return True
        if day in self.not_dates:
            return False
        return bool(self.minutes >> (moment.weekday() * 1440 + moment.hour * 60 + moment.minute) & 1)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A half-open interval of instants, for promotions: start <= at < end; None is unbounded."""

    start: datetime | None = None
    end: datetime | None = None

    def covers(self, moment: datetime) -> bool:
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)


class When(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on a request: every part that is stated must hold. An empty one always holds.

    `tier` is the service tier served; `regions` are names, or prefixes ending in "*"; `attrs` are
    further selectors (size, quality, resolution, route, …), compared exactly.
    """

    tier: str | None = None
    regions: frozenset[str] | None = None
    bands: tuple[Band, ...] = ()
    window: Window | None = None
    period: Period | None = None
    attrs: frozenset[tuple[str, str]] = frozenset()

    @property
    def keys(self) -> frozenset[str]:
        """The names of the parts that are stated: "tier", "region", "context", "time", "period", or an attribute."""
        names = {key for key, _ in self.attrs}
        for name, part in (("tier", self.tier), ("region", self.regions), ("time", self.window),
                           ("period", self.period)):  # fmt: skip
            if part is not None:
                names.add(name)
        names.update("context" for _ in self.bands[:1])
        return frozenset(names)


ALWAYS = When()


class Free(msgspec.Struct, frozen=True, kw_only=True):
    """A quota that costs nothing: `quantity` units per UTC "day", "month", or "ever", shared by `group`."""

    quantity: int
    per: str
    group: str = ""


class Bracket(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a marginal price: the units from the last bracket's end up to `up_to`."""

    up_to: int | None
    amount: Decimal


class Rate(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The price of one meter: `amount` of the record's currency per `per` units, under `when`.

    `minimum` and `step`: a request's quantity is raised to the minimum (if it is not zero), then up
    to a multiple of the step; both in whole units. `brackets` replace `amount` by marginal steps over
    what one "request" consumed, or all requests of a UTC "day" or "month", or "ever" (`brackets_per`),
    shared by `group` as a free quota is. `low`/`high` are a stated range: known, shown, not a rate.
    `source` is set where it is not the record's own.
    """

    meter: str
    amount: Decimal | None
    per: int
    when: When = ALWAYS
    minimum: Decimal | None = None
    step: Decimal | None = None
    free: Free | None = None
    brackets: tuple[Bracket, ...] = ()
    brackets_per: str = "request"
    group: str = ""
    low: Decimal | None = None
    high: Decimal | None = None
    note: str = ""
    source: Source | None = None

    @property
    def linear(self) -> bool:
        """Whether the charge of a sum of requests is the sum of their charges."""
        return not (self.minimum or self.step or self.free or self.brackets)

    @cached_property
    def per_count(self) -> Fraction | None:
        """Currency per stored count (1/scale of a unit); None for a range or brackets."""
        if self.amount is None:
            return None
        return Fraction(self.amount) / (self.per * METERS[self.meter].scale)


class Modifier(msgspec.Struct, frozen=True, kw_only=True):
    """A factor on the rates of `meters` (empty: all token meters) under `when`.

    It does not apply to a rate whose own condition already names all of the modifier's keys (its
    period apart): an explicit price for "batch" is the batch price, and is not discounted again.
    """

    when: When
    factor: Decimal
    meters: frozenset[str] = frozenset()
    note: str = ""
    source: Source | None = None


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """An offer's rates from `valid_from` (None: undated) until `valid_to` (None: the next record).

    `recorded`: when we learned of it, the second clock; a bill as of an earlier day ignores it.
    `usd`: dollars per unit of `currency`, stated with the record. `minimum_usd`: the least that one
    request costs.
    """

    source: Source
    rates: tuple[Rate, ...]
    modifiers: tuple[Modifier, ...] = ()
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    recorded: datetime | None = None
    currency: str = "USD"
    usd: Decimal = Decimal(1)
    minimum_usd: Decimal | None = None
    note: str = ""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider over one channel, with its dated prices from one source.

    `pattern` is a regular expression (searched, case folded) for further names of the model;
    `aliases` are exact further names. `via`: the offer whose prices this provider charges, where the
    catalogue states none of its own. `prices` are in the order of `valid_from`, undated first.
    """

    provider: str
    model: str
    prices: tuple[Price, ...]
    channel: str = "direct"
    region: str | None = None
    aliases: tuple[str, ...] = ()
    pattern: str = ""
    title: str = ""
    mode: str = ""
    context_window: int | None = None
    retires: date | None = None
    via: str = ""
    note: str = ""

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.model}"
