"""Selection: which price record, rate and modifiers apply to a request. The one definition of it.

A condition (`When`) is a set of requests. Among the rates of a meter whose condition holds, the one
inside all the others wins: the most specific. A card in which two rates can hold together and
neither is inside the other is ambiguous and is refused when it is read, unless a third rate states
the price of exactly their overlap. A modifier multiplies the winning rate, unless that rate's own
condition already names everything that the modifier's does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from farthing.rates.card import NO_LIMIT, Band, Modifier, Offer, Period, Price, Rate, When, Window
from farthing.units import METERS
from farthing.usage.record import STANDARD


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What conditions look at: a request's times, tier, region, attributes and measured quantities.

    `priced_at`: the instant at whose rates it is priced, where that is not its own time; its promotions and
    holidays count then, while the time of the week stays the request's. `measures` maps "prompt" and
    meter names to the quantity of one request; an absent one is 0.
    """

    at: datetime
    completed: datetime
    tier: str = STANDARD
    region: str | None = None
    attrs: frozenset[tuple[str, str]] = frozenset()
    measures: Mapping[str, int | Fraction] = msgspec.field(default_factory=dict)
    priced_at: datetime | None = None

    @property
    def dated(self) -> datetime:
        """The instant that dated conditions look at."""
        return self.priced_at or self.at


class Unknown(msgspec.Struct, frozen=True):
    """Why something has no price. Never a zero."""

    reason: str


class Resolved(msgspec.Struct, frozen=True):
    """The rate that applies, the modifiers on it, and dollars per stored count (1/scale of a unit) with
    the modifiers in it; `unit_usd` is None for brackets, where `factor_usd` (dollars per unit of the
    record's currency, times the modifiers) multiplies what they give."""

    rate: Rate
    modifiers: tuple[Modifier, ...]
    unit_usd: Fraction | None
    factor_usd: Fraction


# --- conditions as sets of requests -----------------------------------------------------------


def _region_inside(name: str, names: frozenset[str]) -> bool:
    return any(
        name == other or (other.endswith("*") and name.removesuffix("*").startswith(other[:-1])) for other in names
    )


def holds(when: When, facts: Facts) -> bool:
    """Whether the request that `facts` describe is in the set `when`."""
    if when.tier is not None and when.tier != facts.tier:
        return False
    if when.regions is not None and (facts.region is None or not _region_inside(facts.region, when.regions)):
        return False
    for band in when.bands:
        if not band.low <= facts.measures.get(band.of, 0) < band.high:
            return False
    if when.window is not None and not _in_window(when.window, facts):
        return False
    if when.period is not None and not when.period.covers(facts.dated):
        return False
    return not when.attrs or when.attrs <= facts.attrs


def _in_window(window: Window, facts: Facts) -> bool:
    moment = facts.completed if window.decides == "completion" else facts.at
    if facts.priced_at is None:
        return window.covers(moment)
    day = facts.priced_at.date()
    if day in window.dates or day in window.not_dates:
        return day in window.dates
    return Window(minutes=window.minutes).covers(moment)


def _bands(when: When) -> dict[str, tuple[int, int]]:
    ranges: dict[str, tuple[int, int]] = {}
    for band in when.bands:
        low, high = ranges.get(band.of, (0, NO_LIMIT))
        ranges[band.of] = (max(low, band.low), min(high, band.high))
    return ranges


def _window_inside(inner: Window, outer: Window) -> bool:
    return (
        inner.decides == outer.decides
        and inner.minutes & ~outer.minutes == 0
        and inner.dates <= outer.dates
        and outer.not_dates <= inner.not_dates
    )


def _starts(period: Period) -> float:
    return period.start.timestamp() if period.start else float("-inf")


def _ends(period: Period) -> float:
    return period.end.timestamp() if period.end else float("inf")


def inside(inner: When, outer: When) -> bool:
    """Whether every request in `inner` is in `outer` (by comparing each part that `outer` states)."""
    if outer.tier is not None and inner.tier != outer.tier:
        return False
    if outer.regions is not None and not (
        inner.regions is not None and all(_region_inside(name, outer.regions) for name in inner.regions)
    ):
        return False
    inner_bands = _bands(inner)
    for of, (low, high) in _bands(outer).items():
        inner_low, inner_high = inner_bands.get(of, (0, NO_LIMIT))
        if inner_low < low or inner_high > high:
            return False
    if outer.window is not None and not (inner.window is not None and _window_inside(inner.window, outer.window)):
        return False
    if outer.period is not None and not (
        inner.period is not None
        and _starts(inner.period) >= _starts(outer.period)
        and _ends(inner.period) <= _ends(outer.period)
    ):
        return False
    return outer.attrs <= inner.attrs


def disjoint(one: When, other: When) -> bool:
    """Whether no request can be in both sets."""
    if one.tier is not None and other.tier is not None and one.tier != other.tier:
        return True
    if one.regions is not None and other.regions is not None and not _common_regions(one.regions, other.regions):
        return True
    bands = _bands(other)
    for of, (low, high) in _bands(one).items():
        other_low, other_high = bands.get(of, (0, NO_LIMIT))
        if max(low, other_low) >= min(high, other_high):
            return True
    if (
        one.window is not None
        and other.window is not None
        and one.window.decides == other.window.decides
        and not one.window.minutes & other.window.minutes
        and not (one.window.dates or other.window.dates)
    ):
        return True
    if (
        one.period is not None
        and other.period is not None
        and (_ends(one.period) <= _starts(other.period) or _ends(other.period) <= _starts(one.period))
    ):
        return True
    mine, theirs = dict(one.attrs), dict(other.attrs)
    return any(theirs.get(key, value) != value for key, value in mine.items())


def _common_regions(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    return frozenset(
        {name for name in one if _region_inside(name, other)} | {name for name in other if _region_inside(name, one)}
    )


def _common_window(one: Window, other: Window) -> Window | None:
    """The window of what is in both, or None where no single window says it: they look at different
    moments, or a day that counts whole in one counts by the minute in the other."""
    if one.decides != other.decides:
        return None
    if not (one.dates - other.dates <= other.not_dates and other.dates - one.dates <= one.not_dates):
        return None
    return Window(
        minutes=one.minutes & other.minutes,
        decides=one.decides,
        dates=one.dates & other.dates,
        not_dates=one.not_dates | other.not_dates,
    )


def meet(one: When, other: When) -> When:
    """The requests that are in both sets (which are not disjoint).

    Raises `ValueError` where no one condition says it: see `_common_window`.
    """
    ranges = _bands(one)
    for of, (low, high) in _bands(other).items():
        mine_low, mine_high = ranges.get(of, (0, NO_LIMIT))
        ranges[of] = (max(low, mine_low), min(high, mine_high))
    regions = one.regions if other.regions is None else other.regions
    if one.regions is not None and other.regions is not None:
        regions = _common_regions(one.regions, other.regions)
    window = one.window or other.window
    if one.window is not None and other.window is not None:
        window = _common_window(one.window, other.window)
        if window is None:
            raise ValueError("two windows of time whose overlap is no window")
    period = one.period or other.period
    if one.period is not None and other.period is not None:
        period = Period(
            start=max((p.start for p in (one.period, other.period) if p.start), default=None),
            end=min((p.end for p in (one.period, other.period) if p.end), default=None),
        )
    return When(
        tier=one.tier if other.tier is None else other.tier,
        regions=regions,
        bands=tuple(Band(low=low, high=high, of=of) for of, (low, high) in sorted(ranges.items())),
        window=window,
        period=period,
        attrs=one.attrs | other.attrs,
    )


def same(one: When, other: When) -> bool:
    """Whether the two conditions are the same set."""
    return inside(one, other) and inside(other, one)


def ambiguous(rates: Sequence[Rate]) -> tuple[Rate, Rate] | None:
    """The first two rates of one meter between which a request could not choose, or None.

    Two rates are in doubt when they can hold together, neither is inside the other, and no third
    rate of the meter states the price of exactly their overlap; or when they are the same set.
    """
    by_meter: dict[str, list[Rate]] = {}
    for rate in rates:
        by_meter.setdefault(rate.meter, []).append(rate)
    for group in by_meter.values():
        for position, one in enumerate(group):
            for other in group[position + 1 :]:
                if disjoint(one.when, other.when):
                    continue
                first, second = inside(one.when, other.when), inside(other.when, one.when)
                if first and second:
                    return one, other
                if first or second:
                    continue
                try:
                    overlap = meet(one.when, other.when)
                except ValueError:
                    return one, other
                if not any(same(third.when, overlap) for third in group):
                    return one, other
    return None


def clashing(modifiers: Sequence[Modifier]) -> tuple[Modifier, Modifier] | None:
    """The first two factors of one kind of condition, on one meter, of which neither is the narrower, or None.

    Factors of different conditions multiply, and of one kind the narrowest counts; for these two
    nobody said which is meant: the same factor twice, or two that overlap in part.
    """
    for position, one in enumerate(modifiers):
        for other in modifiers[position + 1 :]:
            apart = one.meters and other.meters and not one.meters & other.meters
            if apart or one.when.keys != other.when.keys or disjoint(one.when, other.when):
                continue
            if inside(one.when, other.when) == inside(other.when, one.when):
                return one, other
    return None


# --- what applies to a request ----------------------------------------------------------------


class Index:
    """A price record made ready for selection: its rates by meter, the most specific first."""

    def __init__(self, price: Price) -> None:
        self.price = price
        self._units: dict[object, Resolved] = {}
        self._possible: dict[tuple[int, str], list[tuple[Modifier, frozenset[str]]]] = {}
        self.tiers: dict[str, list[Period | None]] = {}
        for when in (*(rate.when for rate in price.rates), *(modifier.when for modifier in price.modifiers)):
            if when.tier is not None:
                self.tiers.setdefault(when.tier, []).append(when.period)
        self.rates: dict[str, tuple[Rate, ...]] = {}
        for rate in price.rates:
            self.rates[rate.meter] = (*self.rates.get(rate.meter, ()), rate)
        for name, group in self.rates.items():
            if len(group) > 1:
                # If A is strictly inside B, everything that contains B contains A too: A has more containers.
                depth = {id(r): sum(inside(r.when, other.when) for other in group) for r in group}
                self.rates[name] = tuple(sorted(group, key=lambda r: -depth[id(r)]))

    def resolve(self, meter: str, facts: Facts) -> Resolved | Unknown:
        """The rate and modifiers of `meter` for this request, or why there is none."""
        if facts.tier != STANDARD and not self.states_tier(facts.tier, facts.dated):
            return Unknown(f"no price stated for service tier {facts.tier!r}")
        name = meter
        while name:
            for rate in self.rates.get(name, ()):
                if holds(rate.when, facts):
                    if rate.amount is None and not rate.brackets:
                        return Unknown(f"only a range is stated for {name}: {rate.low} to {rate.high}")
                    return self._resolved(rate, self._modifiers(rate, meter, facts))
            name = METERS[name].covered_by
        if meter in self.rates:
            return Unknown(f"no price of {meter} under these conditions")
        return Unknown(f"no price stated for {meter}")

    def _resolved(self, rate: Rate, modifiers: tuple[Modifier, ...]) -> Resolved:
        key = (id(rate), tuple(id(modifier) for modifier in modifiers))
        found = self._units.get(key)
        if found is None:
            factor = currency_factor(self.price)
            for modifier in modifiers:
                factor *= Fraction(modifier.factor)
            unit = None if rate.brackets or rate.per_count is None else rate.per_count * factor
            found = self._units[key] = Resolved(rate, modifiers, unit, factor)
        return found

    def depends_on_length(self, meter: str, longest: int | Fraction) -> bool:
        """Whether requests of at most `longest` prompt tokens can meet different prices of `meter`."""
        whens = [rate.when for rate in self.rates.get(meter, ())] + [m.when for m in self.price.modifiers]
        return any(0 < edge <= longest for when in whens for band in when.bands for edge in (band.low, band.high))

    def states_tier(self, tier: str, at: datetime) -> bool:
        """Whether the record says anything of service tier `tier` at `at`. One that it does not is unknown."""
        periods = self.tiers.get(tier, ())
        return None in periods or any(period is not None and period.covers(at) for period in periods)

    def _modifiers(self, rate: Rate, meter: str, facts: Facts) -> tuple[Modifier, ...]:
        if not self.price.modifiers:
            return ()
        key = (id(rate), meter)
        possible = self._possible.get(key)
        if possible is None:
            token, named = METERS[meter].unit == "token", rate.when.keys
            possible = self._possible[key] = [
                (m, m.when.keys)
                for m in self.price.modifiers
                if (meter in m.meters or rate.meter in m.meters if m.meters else token)
                and not (m.when.keys - _DATES and m.when.keys - _DATES <= named)
            ]
        holding = [pair for pair in possible if holds(pair[0].when, facts)]
        # Factors of different conditions multiply; of one condition ("over 100k", "over 200k") the
        # narrowest counts, as it does among rates.
        return tuple(
            m
            for m, keys in holding
            if not any(
                other is not m and k == keys and inside(other.when, m.when) and not inside(m.when, other.when)
                for other, k in holding
            )
        )


_DATES = frozenset({"period"})  # when a discount began is no reason to take it off a price that is net of it
WITHDRAWN = "withdrawn on"
_INDEXES: dict[int, Index] = {}


def index(price: Price) -> Index:
    """The `Index` of `price`, made once for each record object."""
    found = _INDEXES.get(id(price))
    if found is None or found.price is not price:
        found = _INDEXES[id(price)] = Index(price)
    return found


def price_at(offer: Offer, at: datetime, as_of: datetime | None = None) -> Price | Unknown:
    """The record of `offer` that was in force at `at`, as it was known at `as_of` (None: now).

    A record lasts from its `valid_from` until the next record's, or its own `valid_to`. Of several
    with one `valid_from` the one recorded last counts.
    """
    known = [p for p in offer.prices if as_of is None or p.recorded is None or p.recorded <= as_of]
    started = [p for p in known if p.valid_from is None or p.valid_from <= at]
    if not known:
        return Unknown("no price was known then" if offer.prices else "no price stated")
    if not started:
        first = min(p.valid_from for p in known if p.valid_from)
        return Unknown(f"no price before {first.date().isoformat()}")
    latest = max(started, key=lambda p: (p.valid_from is not None, p.valid_from or at, *_recorded(p)))
    if latest.valid_to is not None and at >= latest.valid_to:
        return Unknown(f"{WITHDRAWN} {latest.valid_to.date().isoformat()}")
    return latest


def _recorded(price: Price) -> tuple[bool, float]:
    return (price.recorded is not None, price.recorded.timestamp() if price.recorded else 0.0)


def currency_factor(price: Price) -> Fraction:
    """Dollars per unit of the record's currency."""
    return Fraction(price.usd) if price.usd != Decimal(1) else Fraction(1)
