"""What a request can cost at most at an offer, before it is sent: what its budgets reserve.

The bound holds for every answer that the provider can give: whichever part of the prompt is read, cached or written,
under the dearest context tier that the prompt may reach, at any service tier that may serve it, in any region the
prices name, with every answer as long as allowed. Rates are resolved by `rates.select`, as for the charge itself.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from fractions import Fraction

import msgspec

from farthing.charges.columns import cuts_of
from farthing.charges.reference import lines
from farthing.gateway.config.values import Rules
from farthing.gateway.metering.values import Asked
from farthing.gateway.spending.bounds import Bound, Bounds
from farthing.gateway.spending.output_limits import output_limit
from farthing.ledger.budgets import NANO, nano_up
from farthing.money import ZERO
from farthing.rates.card import NO_LIMIT, Offer, Price
from farthing.rates.select import Facts, Index, Unknown, index, price_at
from farthing.time import EPOCH
from farthing.units import METERS
from farthing.usage.record import STANDARD, tier_name

LEAST_CAP = 1024
"""An answer is not cut below this for want of budget: the request is refused instead."""

_MOST = 512
_MINUTE_US = 60_000_000
_LONGEST_MIN = 15  # minutes that a request may take: the time of its end decides some prices
_BUILT_IN = "built-in tools"
_UPGRADES = ("", "auto")
_OUTPUTS = tuple(
    name for name, meter in METERS.items() if meter.unit == "token" and meter.direction == "output"
)  # fmt: skip
_PROMPTS = tuple(name for name, meter in METERS.items() if meter.prompt)


Where = tuple[str | None, frozenset[tuple[str, str]]]
"""The region that a request is sent to, as far as it is known, and what else prices depend on (`Usage.attrs`)."""


class Worst(msgspec.Struct, frozen=True):
    """The most that a request can cost, in nanodollars, rounded up. None: there is no bound, and `why` says so.

    `cap_output`: the limit that must be written into the request for the bound to hold (see
    `metering.output_cap`); None: it states one itself, or needs none.
    """

    nano: int | None
    cap_output: int | None = None
    why: str = ""

    @property
    def usd(self) -> Fraction | None:
        """The bound in dollars (to the nanodollar)."""
        return None if self.nano is None else Fraction(self.nano, NANO)


class _Rates(msgspec.Struct, frozen=True):
    """The dearest rates under some conditions: (prompt x tokens + output x tokens + each) / bottom nanodollars.

    `why`: there is no bound. `linear`: False there, and where the price of a count is not a multiple of it.
    """

    why: str = ""
    linear: bool = False
    prompt: int = 0
    output: int = 0
    each: int = 0
    bottom: int = 1

    def nano(self, prompt: int, output: int) -> int:
        """What so many tokens cost at these rates, where they are linear: nanodollars, rounded up."""
        return -(-(prompt * self.prompt + output * self.output + self.each) // self.bottom)


class _Case(msgspec.Struct, frozen=True):
    """What of a request decides its dearest rates, beside the offer. `tier`: the one it asks for."""

    started_us: int
    tier: str
    where: Where
    prompt: int
    output: int
    image: bool
    audio: bool
    video: bool


class Ceilings(Bounds):
    """Bounds of requests at one offer; the dearest rates of each set of conditions are found once."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        cuts = cuts_of(offer.prices)
        self._times = sorted(cuts.times)
        self._clocked = bool(cuts.starts or cuts.completions or cuts.ends)
        self._edges: dict[str, list[int]] = {}
        for of, edge in sorted(cuts.measures):
            self._edges.setdefault(of, []).append(edge)
        self._cut = self._clocked or bool(self._edges)
        self._limit = output_limit(offer.provider, offer.model)
        self._known: dict[object, _Rates] = {}

    def _stated(self, asked: Asked, where: Where, started_us: int) -> int | None:
        """What `stated` says, where such a request was not bounded before."""
        prompt, output = asked.prompt_tokens_bound, asked.max_output_tokens
        if prompt is None or output is None:
            return None
        output *= asked.choices
        rates = self._rates(asked, prompt, output, where, started_us)
        if not rates.linear:
            return None
        if not self._clocked:
            with suppress(OverflowError):  # (such rates are looked up each time)
                self.remember(self._bound(rates, asked, prompt, output, where, started_us))
        return rates.nano(prompt, output)

    def _bound(self, rates: _Rates, asked: Asked, prompt: int, output: int, where: Where, started_us: int) -> Bound:
        """`rates`, and which requests they hold for: those that `_rates` gives the same key."""
        of_prompt = sorted(edge for of, edges in self._edges.items() if _is_prompt(of) for edge in edges)
        of_output = sorted(edge for of, edges in self._edges.items() if of in _OUTPUTS for edge in edges)
        return Bound(
            asked.tier, where, asked.images > 0, asked.audio > 0, _piece_of(self._times, started_us, -math.inf),
            _piece_of(of_prompt, prompt, 0), _piece_of(of_output, output, 1) if output else (0, 1), rates.prompt,
            rates.output, rates.each, rates.bottom,
        )  # fmt: skip

    def worst(
        self,
        asked: Asked,
        rules: Rules,
        *,
        started_us: int,
        hard: bool = False,
        remaining: int | None = None,
        region: str | None = None,
        attrs: Mapping[str, str] | None = None,
    ) -> Worst:
        """The most that `asked` can cost if it starts at `started_us` (microseconds since 1970).

        `hard`: a hard budget applies, so the bound must hold even where the request states no limit on its answer.
        `remaining`: nanodollars left in the smallest of those, None: not known yet.
        """
        prompt = asked.prompt_tokens_bound
        if prompt is None:
            prompt, why = self._prompt(asked, rules)
            if prompt is None:
                return Worst(None, None, why)
        output, stated = asked.max_output_tokens, asked.max_output_tokens is not None
        if output is None:
            output = self._most_output(prompt, rules)
        where = region, frozenset(attrs.items() if attrs else ())
        rates = self._rates(asked, prompt, output * asked.choices, where, started_us)
        if rates.why:
            return Worst(None, None, rates.why)
        cap = None
        if not stated and (hard or remaining is not None) and not (rates.linear and not rates.output):
            if remaining is not None and rates.output:
                affordable = remaining * rates.bottom // (8 * rates.output * asked.choices)
                output = min(output, max(affordable, LEAST_CAP))
            cap = output
        output *= asked.choices
        if rates.linear:
            return Worst(rates.nano(prompt, output), cap)
        return Worst(nano_up(self._odd(_case(asked, prompt, output, where, started_us))), cap)

    def _prompt(self, asked: Asked, rules: Rules) -> tuple[int | None, str]:
        """The most tokens of a prompt that its body does not bound, or None and why there is no bound."""
        window = self.offer.context_window
        if window is not None and _BUILT_IN not in asked.prompt_size_from:
            return window, ""
        if rules.on_unbounded_prompt == "estimate":
            # What built-in tools read is billed at each of their turns, so that even the context is no bound.
            return max(window or 0, asked.prompt_tokens_estimate), ""
        return None, f'{asked.prompt_size_from} (on_unbounded_prompt = "estimate" would let it through)'

    def _most_output(self, prompt: int, rules: Rules) -> int:
        """The limit on an answer for which the client states none: what the model takes, within its context."""
        most = rules.unstated_max_output_tokens
        if self._limit is not None:
            most = min(most, self._limit)
        if window := self.offer.context_window:
            most = min(most, max(window - prompt, window // 4))
        return max(most, 1)

    def _rates(self, asked: Asked, prompt: int, output: int, where: Where, started_us: int) -> _Rates:
        key = (
            self._piece(prompt, output, started_us) if self._cut else bisect_right(self._times, started_us),
            asked.tier, where, asked.prompt_tokens_bound is None, not asked.images, not asked.audio, not output,
        )  # fmt: skip
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[key] = self._find(_case(asked, prompt, output, where, started_us))
        return found

    def _piece(self, prompt: int, output: int, started_us: int) -> tuple[int, ...]:
        """Which piece of time and of each measure, as the offer's conditions cut them, a request lies in."""
        times = bisect_right(self._times, started_us), started_us // _MINUTE_US if self._clocked else 0
        return *times, *[bisect_right(edges, _size(of, prompt, output)) for of, edges in self._edges.items()]

    def _find(self, case: _Case) -> _Rates:
        price = self._price(case)
        if isinstance(price, Unknown):
            return _Rates(why=price.reason)
        prices = index(price)
        linear = price.minimum_usd is None
        prompt, output, each = ZERO, ZERO, ZERO
        for facts, needed in self._cases(price, case):
            for meters, least in ((_read(prices, case), "input"), (_made(prices, case), "output")):
                for meter in meters:
                    found = prices.resolve(meter, facts)
                    if isinstance(found, Unknown):
                        if needed and meter == least:
                            return _Rates(why=found.reason)
                    elif not found.rate.linear or found.unit_usd is None:
                        linear = False
                    elif least == "input":
                        prompt = max(prompt, found.unit_usd)
                    else:
                        output = max(output, found.unit_usd)
            if "requests" in prices.rates:
                found = prices.resolve("requests", facts)
                if isinstance(found, Unknown):
                    return _Rates(why=found.reason)
                linear = linear and found.rate.linear
                each = max(each, found.unit_usd or ZERO)
        prompt, output, each = prompt * NANO, output * NANO, each * NANO
        bottom = math.lcm(prompt.denominator, output.denominator, each.denominator)
        return _Rates(
            linear=linear,
            prompt=prompt.numerator * (bottom // prompt.denominator),
            output=output.numerator * (bottom // output.denominator),
            each=each.numerator * (bottom // each.denominator),
            bottom=bottom,
        )

    def _odd(self, case: _Case) -> Fraction:
        """The bound where prices have minimums, steps or brackets: every meter is charged for the whole of it. (Counts
        of two meters that one rate covers begin its steps and brackets twice.)"""
        price = self._price(case)
        assert isinstance(price, Price)
        stated, worst = {"input", "output", *_stated(index(price))}, ZERO
        for facts, _ in self._cases(price, case):
            total = ZERO
            for meters, count in ((_prompts(case), case.prompt), (_OUTPUTS, case.output)):
                for meter in meters if count else ():
                    quantities = {meter: count} if meter != "reasoning" else {"output": count, "reasoning": count}
                    for line in lines(price, quantities, 1, facts):
                        if line.usd is not None and (meter in stated or not (line.rate is None or line.rate.linear)):
                            total += line.usd
            worst = max(worst, total)
        return worst

    def _price(self, case: _Case) -> Price | Unknown:
        return price_at(self.offer, EPOCH + timedelta(microseconds=case.started_us))

    def _cases(self, price: Price, case: _Case) -> Iterator[tuple[Facts, bool]]:
        """Every set of facts that the request may turn out to have, and whether a price is needed for it."""
        start = EPOCH + timedelta(microseconds=case.started_us)
        ends = [start + timedelta(minutes=n) for n in range(_LONGEST_MIN + 1)] if self._clocked else [start]
        edges = self._edges.items()
        sizes = [[(of, size) for size in _sizes(at, _size(of, case.prompt, case.output))] for of, at in edges]
        certain, others = _tiers(case.tier)
        stated = [tier for tier in others if index(price).states_tier(tier, start)]
        tiers = [*((tier, True) for tier in certain), *((tier, False) for tier in stated)]
        region, attrs = case.where
        for (tier, needed), named, end, measures in itertools.product(
            tiers, _regions(price, region), ends, itertools.product(*sizes)
        ):
            yield Facts(at=start, completed=end, tier=tier, region=named, attrs=attrs, measures=dict(measures)), needed


def _tiers(asked: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The service tiers that may serve a request, and those that may where its provider has them."""
    if asked in _UPGRADES:  # a project's settings, or what it has paid for, can raise it
        return (STANDARD,), ("priority",)
    tier = STANDARD if asked == "standard_only" else tier_name(asked)  # Anthropic's word
    return tuple(dict.fromkeys((tier, STANDARD))), ()


def _case(asked: Asked, prompt: int, output: int, where: Where, started_us: int) -> _Case:
    unbounded = asked.prompt_tokens_bound is None
    image, audio = asked.images > 0 or unbounded, asked.audio > 0 or unbounded
    return _Case(started_us, asked.tier, where, prompt, output, image, audio, unbounded)


def _size(of: str, prompt: int, output: int) -> int:
    """The most that the measure `of` can be."""
    return output if of in _OUTPUTS else prompt if _is_prompt(of) else NO_LIMIT - 1


def _is_prompt(of: str) -> bool:
    return of == "prompt" or of in _PROMPTS


def _piece_of(edges: list[int], size: int, least: float) -> tuple[float, float]:
    """The piece that `size` lies in, not below `least`: its first, and the first of the next."""
    at = bisect_right(edges, size)
    return max(edges[at - 1], least) if at else least, edges[at] if at < len(edges) else math.inf


def _sizes(edges: Iterable[int], most: int) -> list[int]:
    """A size in each piece up to `most`."""
    return [0, *(edge for edge in edges if edge <= most)]


def _regions(price: Price, region: str | None) -> list[str | None]:
    """The regions that prices name, the one that is configured, and none of them."""
    named = {
        name.removesuffix("*")
        for when in (*(rate.when for rate in price.rates), *(modifier.when for modifier in price.modifiers))
        for name in when.regions or ()
    }
    return [*dict.fromkeys((None, region)), *sorted(named - {region})]


def _stated(prices: Index) -> set[str]:
    named = {meter for modifier in prices.price.modifiers for meter in modifier.meters}
    return named | set(prices.rates)


def _read(prices: Index, case: _Case) -> list[str]:
    """The meters that tokens of the prompt may be counted under."""
    stated = _stated(prices)
    return [name for name in _prompts(case) if name == "input" or name in stated]


def _prompts(case: _Case) -> list[str]:
    """The meters of what the request can hold."""
    kinds = {"text"} | {kind for kind in ("image", "audio", "video") if getattr(case, kind)}
    return [name for name in _PROMPTS if METERS[name].modality in kinds]


def _made(prices: Index, case: _Case) -> list[str]:
    """The meters that tokens of the answers may be counted under."""
    stated = _stated(prices)
    return [name for name in _OUTPUTS if name == "output" or name in stated] if case.output else []
