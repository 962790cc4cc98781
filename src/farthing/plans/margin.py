"""The margin behind a price: what a token costs its provider, and what is left of what is charged.

Gross margin here is 1 - cost of serving / price. Training, staff, free users and everything else are
not in it. A margin is exact in the price; its interval is that of the cost.
"""

from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.plans.breakeven import ApiPrice, Host
from farthing.plans.fleet import MTOK, Load, option, seconds_each, seconds_per_token
from farthing.plans.hosting import Capacity, Hosting, Owned, Power
from farthing.plans.interval import Interval, Outcome, propagate
from farthing.problems import FarthingError


class TokenCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens cost their provider, by kind. `cached_usd` None: unknown."""

    name: str
    input_usd: Interval
    output_usd: Interval
    cached_usd: Interval | None = None
    sources: tuple[Source, ...] = ()

    @property
    def grade(self) -> Grade:
        return worst(source.grade for source in self.sources) if self.sources else Grade.ASSUMED


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of token: price and cost per million, and the margin (low is where the cost is high).

    A price of 0 has no margin: `margin` is None.
    """

    kind: str
    price_usd: Fraction
    cost_usd: Outcome
    margin: Interval | None
    markup: Interval | None


class ApiMargin(msgspec.Struct, frozen=True, kw_only=True):
    """An API price against a cost: each kind of token, and the mean token of a load."""

    api: ApiPrice
    cost: TokenCost
    load: Load
    kinds: tuple[Margin, ...]
    blended: Margin
    grade: Grade


def margin_of(kind: str, price: Fraction, cost: Outcome) -> Margin:
    """The margin of one price: 1 - cost / price, and the mark-up price / cost (times)."""
    known = cost.interval
    if price == 0:
        return Margin(kind=kind, price_usd=price, cost_usd=cost, margin=None, markup=None)
    return Margin(
        kind=kind,
        price_usd=price,
        cost_usd=cost,
        margin=Interval(1 - known.high / price, 1 - known.mid / price, 1 - known.low / price),
        markup=Interval(price / known.high, price / known.mid, price / known.low) if known.low > 0 else None,
    )


def api_margin(api: ApiPrice, cost: TokenCost, load: Load) -> ApiMargin:
    """What is left of an API's price, by kind of token and for the mean token of `load`."""
    load.check()
    cached_share = load.input_share * load.cached_share
    if cached_share and (api.cached_usd is None or cost.cached_usd is None):
        raise FarthingError("the price or the cost of cached input is unknown; state both, or no cached share")

    def mean(c: TokenCost) -> Fraction:
        cached = c.cached_usd.mid if c.cached_usd is not None else Fraction(0)
        plain = load.input_share * (1 - load.cached_share)
        return plain * c.input_usd.mid + cached_share * cached + (1 - load.input_share) * c.output_usd.mid

    kinds = [margin_of("input", api.input_usd, propagate(lambda c: c.input_usd.mid, cost))]
    if api.cached_usd is not None and cost.cached_usd is not None:
        kinds.append(margin_of("cached input", api.cached_usd, propagate(lambda c: c.cached_usd.mid, cost)))
    kinds.append(margin_of("output", api.output_usd, propagate(lambda c: c.output_usd.mid, cost)))
    return ApiMargin(
        api=api,
        cost=cost,
        load=load,
        kinds=tuple(kinds),
        blended=margin_of("blended", api.usd_per_token(load) * MTOK, propagate(mean, cost)),
        grade=min(api.grade, cost.grade),
    )


def cost_of_host(host: Host, load: Load, utilisation: Fraction) -> TokenCost:
    """What a token costs on a large fleet of `host` at a mean `utilisation`; cached input costs nothing to read there.

    Time that nobody uses is paid by the tokens that are served, in proportion to the time they take.
    """
    if not 0 < utilisation <= 1:
        raise FarthingError(f"utilisation is {float(utilisation):g}; it must be above 0 and at most 1")
    load.check()
    host.option(load)

    def per_mtok(kind: int) -> Interval:
        def price(h: Hosting, c: Capacity, p: Power | None) -> Fraction:
            o = option(h, c, p, load)
            usd_per_second = o.usd_per_mtok(utilisation) / sum(seconds_per_token(load, c))
            return usd_per_second * seconds_each(c)[kind]

        return propagate(price, host.hosting, host.capacity, host.power).interval

    parts = [host.hosting, host.capacity, *([host.power] if host.power and isinstance(host.hosting, Owned) else [])]
    sources = tuple(source for part in parts for source in part.sources)
    stated = all(part.sources for part in parts)
    return TokenCost(
        name=f"{host.name} at {float(utilisation):.0%}",
        input_usd=per_mtok(0),
        output_usd=per_mtok(1),
        cached_usd=Interval(Fraction(0), Fraction(0), Fraction(0)),
        sources=sources if stated else (),
    )
