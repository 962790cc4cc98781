"""The quick price of one request after the other, at one offer: the reference's own answer, made once for all requests
that meet the same conditions, then multiplied in whole numbers.

There is no second definition of a charge here. For a set of conditions and of meters the reference prices the first
request; where every line is a count times a rate, its lines divided by their counts price the next ones. What is not
linear (minimums, steps, free quotas, brackets) the reference prices each time.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from operator import mul

import msgspec

from farthing.charges.columns import cuts_of
from farthing.charges.reference import Charge, price_usage
from farthing.evidence import Grade
from farthing.money import Usd
from farthing.rates.card import MINUTES_OF_WEEK, Offer, Price
from farthing.time import EPOCH
from farthing.units import PROMPT_METERS
from farthing.usage.record import STANDARD, Usage

_MOST = 1024  # sets of conditions and meters that an offer's pricer remembers; beyond it starts anew
_MINUTE_US = 60_000_000
_THURSDAY = 3 * 1440  # 1970-01-01 was one; weeks are counted from Monday
_PROMPT = frozenset(PROMPT_METERS)
_NOTHING: Mapping[str, str] = {}

Conditions = tuple[str, str | None, tuple[tuple[str, str], ...]]
"""What a price depends on beside time and counts: service tier, region, attributes, as in `Usage`."""


class Plan(msgspec.Struct):
    """How requests of one set of conditions and meters are priced: (each + counts x units) / bottom dollars.

    `known`: False where a part has no price, and then `reason` says why. `price`: the record it rests on; `grade`: the
    worst grade of what is known of it, None where nothing is. `price_name`: what the record is called by who keeps
    it; set by whom asks for it.
    """

    known: bool
    each: int = 0
    units: tuple[int, ...] = ()
    bottom: int = 1
    reason: str = ""
    price: Price | None = None
    grade: Grade | None = None
    price_name: str = ""


class Quick(msgspec.Struct, frozen=True):
    """A charge without its lines: `top` / `plan.bottom` dollars, where `plan.known`."""

    plan: Plan
    top: int

    @property
    def usd(self) -> Usd | None:
        """The charge, exact; None: unknown."""
        return Fraction(self.top, self.plan.bottom) if self.plan.known else None


class Pricer:
    """Prices requests at `offer`, one by one, as `reference.price_usage` does. Not for several threads at once."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        cuts = cuts_of(offer.prices)
        self._times, self._ends = sorted(cuts.times), sorted(cuts.ends)
        self._starts, self._completions = tuple(cuts.starts), tuple(cuts.completions)
        edges: dict[str, list[int]] = {}
        for of, edge in sorted(cuts.measures):
            edges.setdefault(of, []).append(edge)
        self._edges = tuple(edges.items())
        self.only_starts = not (self._ends or self._starts or self._completions or edges)
        """Of times and sizes, only when a request starts decides its price."""
        self._reasoning_apart = any(rate.meter == "reasoning" for price in offer.prices for rate in price.rates)
        self._plans: dict[tuple[object, ...], Plan] = {}

    def charge(
        self,
        quantities: Mapping[str, int],
        *,
        started_us: int,
        ended_us: int | None = None,
        tier: str = STANDARD,
        region: str | None = None,
        attrs: Mapping[str, str] = _NOTHING,
    ) -> Quick:
        """The charge of one request that consumed `quantities`.

        Times are microseconds since 1970 (`ended_us` None: at once); the other arguments as in `Usage`. A meter
        that is not in the registry raises `KeyError`.
        """
        conditions = tier, region, tuple(attrs.items())
        return Quick(*self.under(conditions, quantities, started_us, started_us if ended_us is None else ended_us))

    def under(
        self, conditions: Conditions, quantities: Mapping[str, int], started_us: int, ended_us: int
    ) -> tuple[Plan, int]:
        """The same as `charge`, for who asks under the same conditions again and again: the fields of a `Quick`."""
        key: tuple[object, ...]
        if self.only_starts:
            key = conditions, bisect_right(self._times, started_us), tuple(quantities)
        else:
            key = conditions, self._piece(quantities, started_us, ended_us), tuple(quantities)
        plan = self._plans.get(key)
        counts = quantities.values()
        if plan is None or 0 in counts:
            return self._learn(key, conditions, quantities, started_us, ended_us)
        return plan, sum(map(mul, counts, plan.units), plan.each)

    def lasting(
        self, conditions: Conditions, quantities: Mapping[str, int], started_us: int
    ) -> tuple[Plan, float, float] | None:
        """Where starts alone decide: the known plan of all requests that count these meters, and start at or after the
        first and before the second time. None: they have no price, or none that lasts."""
        times, at = self._times, bisect_right(self._times, started_us)
        plan = self._plans.get((conditions, at, tuple(quantities)))
        if plan is None or not plan.known:
            return None
        return plan, times[at - 1] if at else -math.inf, times[at] if at < len(times) else math.inf

    def _piece(self, quantities: Mapping[str, int], started_us: int, ended_us: int) -> tuple[int, ...]:
        """Which piece of each dimension that the offer's conditions cut the request lies in."""
        found = [bisect_right(self._times, started_us)]
        if self._ends:
            found.append(bisect_right(self._ends, ended_us))
        for masks, moment in ((self._starts, started_us), (self._completions, ended_us)):
            if masks:
                minute = (moment // _MINUTE_US + _THURSDAY) % MINUTES_OF_WEEK
                found += [mask >> minute & 1 for mask in masks]
        for of, edges in self._edges:
            size = quantities.get(of, 0)
            if of == "prompt":
                size = sum([count for name, count in quantities.items() if name in _PROMPT])
            found.append(bisect_right(edges, size))
        return tuple(found)

    def _learn(
        self,
        key: tuple[object, ...],
        conditions: Conditions,
        quantities: Mapping[str, int],
        started_us: int,
        ended_us: int,
    ) -> tuple[Plan, int]:
        """The reference's answer; kept as a plan where it holds for other counts too."""
        tier, region, attrs = conditions
        usage = Usage(
            at=EPOCH + timedelta(microseconds=started_us),
            completed=EPOCH + timedelta(microseconds=ended_us),
            quantities=quantities,
            tier_served=tier,
            region=region,
            attrs=dict(attrs),
        )
        charge = price_usage(usage, self.offer)
        reason = _reason(charge)
        if 0 not in quantities.values() and self._is_linear(charge):
            if len(self._plans) >= _MOST:
                self._plans.clear()
            self._plans[key] = _plan(charge, reason)
        usd = charge.total_usd
        top, bottom = usd.as_integer_ratio() if usd is not None else (0, 1)
        known = usd is not None
        return Plan(known=known, bottom=bottom, reason=reason, price=charge.price, grade=charge.grade), top

    def _is_linear(self, charge: Charge) -> bool:
        """Whether every line is a count times a rate, whatever the counts."""
        quantities, price = charge.usage.quantities, charge.price
        return price is None or not (
            price.minimum_usd is not None
            or any(line.rate is not None and not line.rate.linear for line in charge.lines)
            or ("reasoning" in quantities and self._reasoning_apart)  # how much output is left decides its lines
            or "context_window" in charge.usage.attrs
        )


def _plan(charge: Charge, reason: str) -> Plan:
    if reason:
        return Plan(known=False, reason=reason, price=charge.price, grade=charge.grade)
    units = {line.meter: (line.usd or Fraction(0)) / line.quantity for line in charge.lines}
    each = units.pop("requests", Fraction(0))
    bottom = math.lcm(each.denominator, *(unit.denominator for unit in units.values()))
    return Plan(
        known=True,
        each=each.numerator * (bottom // each.denominator),
        units=tuple(
            unit.numerator * (bottom // unit.denominator)
            for unit in (units.get(name, Fraction(0)) for name in charge.usage.quantities)
        ),
        bottom=bottom,
        price=charge.price,
        grade=charge.grade,
    )


def _reason(charge: Charge) -> str:
    """Why the charge is unknown, each reason once; "" where it is known."""
    return charge.reason or "; ".join(dict.fromkeys(line.reason for line in charge.lines if line.usd is None))
