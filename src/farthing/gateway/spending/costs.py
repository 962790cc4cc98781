"""What requests cost, as the gateway asks it: the offer of a target, the most a request can cost, what an answer did.

What was served decides the price. A model without a price is unknown, never free; a price of 0 is a price.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from farthing.charges.quick import Conditions, Plan, Pricer
from farthing.gateway.metering.values import Asked, Served
from farthing.gateway.spending.selling import Priced as Priced
from farthing.gateway.spending.selling import Sales, Sold
from farthing.gateway.spending.worst import Ceilings, Worst
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.select import Unknown
from farthing.usage.record import tier_name

if TYPE_CHECKING:
    from farthing.gateway.config.values import Rules

_MOST = 4096  # names of models come from clients and upstreams: what is remembered of them is bounded
_VERSION = re.compile(
    r"(?:[-_@:.](?:20\d{2}-?[01]\d-?[0-3]\d|(?:0[1-9]|1[0-2])[0-3]\d|2[3-9](?:0[1-9]|1[0-2])|\d{3}|v\d+(?:[.:]\d+)*|latest))+"
)
"""What a provider adds to a model's name to say which version of it: -2024-11-20, @20250929, -0613, -2411, -001,
-v1:0."""
_LATEST = re.compile(r"[-_:]latest$")
_MOST_TERMS = 64  # names, tiers and regions that the answers to one model state
_NOTHING = Plan(known=True)


class Terms(msgspec.Struct, frozen=True):
    """What the answers of one served name, tier and region are priced by. `offer`: None where there is none, and
    `reason` says why. `note`: what else should be known of it (priced under the name that was asked for)."""

    offer: Offer | None
    pricer: Pricer | None
    conditions: Conditions
    reason: str = ""
    note: str = ""


class Costs:
    """Prices of one price book, ready for use. For the event loop's thread alone."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._offers: dict[tuple[str, str, str], Offer | Unknown] = {}
        self._named: dict[str, Offer | Unknown] = {}
        self._pricers: dict[int, Pricer] = {}
        self._ceilings: dict[int, Ceilings] = {}

    def offer(self, provider: str, model: str, region: str = "") -> Offer | Unknown:
        """The offer of `model` at `provider` (an id or name of the price book), or why there is none."""
        key = (provider, model, region)
        found = self._offers.get(key)
        if found is None:
            if len(self._offers) >= _MOST:
                self._offers.clear()
            found = self._offers[key] = self.book.lookup(provider or None, model, region or None)
        return found

    def named(self, text: str) -> Offer | Unknown:
        """The offer that a configuration calls `text` ("provider/model"), or why there is none."""
        if text not in self._named:
            try:
                self._named[text] = self.book.find(text)
            except FarthingError as error:
                self._named[text] = Unknown(str(error))
        return self._named[text]

    def preload(self, targets: Iterable[tuple[str, str]]) -> list[str]:
        """Look up each (provider, model) now, so that no request waits for it; those without a price, with the reason.

        A model of "*" reads the provider's whole price list.
        """
        missing = []
        for provider, model in targets:
            if model == "*":
                known = self.book.provider(provider)
                if known is not None:
                    self.book.layers(known)
            elif isinstance(found := self.offer(provider, model), Unknown):
                missing.append(f"{provider}/{model}: {found.reason}")
        return missing

    def price(
        self,
        served: Served,
        *,
        provider: str,
        model_asked: str,
        started_us: int,
        ended_us: int,
        tier_asked: str = "",
        region: str = "",
        offer: Offer | Unknown | None = None,
    ) -> Priced:
        """The charge of an answer: see `Seller`, which prices many."""
        return Seller(self, provider, model_asked, region, offer).price(served, tier_asked, started_us, ended_us)

    def as_served(self, provider: str, served: str, asked: str, region: str = "") -> tuple[Offer | Unknown, str]:
        """The offer of the model that was `served`, and a note where it was found under the name `asked`.

        Only where the served name is the asked one with a date or version (the vendor's way to say which snapshot
        a name stands for) and has no price of its own, it has the asked one's. Another model without one is unknown.
        """
        if not served:
            return self.offer(provider, asked, region), "the answer names no model: priced as the one asked for"
        own = self.offer(provider, served, region)
        if isinstance(own, Offer) or served == asked:
            return own, ""
        if is_version_of(served, asked) and isinstance(other := self.offer(provider, asked, region), Offer):
            return other, f"{served} is priced as {asked}, of which it is a version"
        return Unknown(f"{own.reason} (asked for: {asked})"), ""

    def pricer(self, offer: Offer) -> Pricer:
        """The pricer of `offer`."""
        found = self._pricers.get(id(offer))
        if found is None or found.offer is not offer:
            if len(self._pricers) >= _MOST:
                self._pricers.clear()
            found = self._pricers[id(offer)] = Pricer(offer)
        return found

    def worst(
        self,
        asked: Asked,
        offer: Offer | Unknown,
        rules: "Rules",
        *,
        started_us: int,
        hard: bool = False,
        remaining: int | None = None,
        region: str = "",
    ) -> Worst:
        """The most that `asked` can cost at `offer` if it starts at `started_us`: see `worst.Ceilings.worst`."""
        if isinstance(offer, Unknown):
            return Worst(None, None, offer.reason)
        return self.ceilings(offer).worst(
            asked, rules, started_us=started_us, hard=hard, remaining=remaining, region=region or None
        )

    def ceilings(self, offer: Offer) -> Ceilings:
        """The bounds of `offer`."""
        found = self._ceilings.get(id(offer))
        if found is None or found.offer is not offer:
            if len(self._ceilings) >= _MOST:
                self._ceilings.clear()
            found = self._ceilings[id(offer)] = Ceilings(offer)
        return found


class Seller(Sales):
    """A model at a provider, as its answers are priced.

    `model`: as it is called upstream. `region`: holds where an answer states none. `offer`: what the configuration
    says this model is priced as; it goes before the name served.
    """

    def __init__(self, costs: Costs, provider: str, model: str, region: str, offer: Offer | Unknown | None) -> None:
        self._costs = costs
        self._provider, self._model, self._region = provider, model, region
        self._offer = offer
        self._terms: dict[tuple[str, str, str], Terms] = {}

    def _price(self, served: Served, tier_asked: str, started_us: int, ended_us: int) -> Priced:
        """What `price` says, where such an answer was not priced before, or needs a closer look."""
        quantities = served.quantities
        if served.unknown and not served.estimated:
            return Priced(Plan(known=False, reason=served.unknown))
        if not quantities:
            return Priced(_NOTHING, estimated=served.estimated)
        key = (served.model, served.tier or tier_asked, served.region)
        terms = self._terms.get(key)
        if terms is None:
            terms = self._find(key)
        pricer = terms.pricer
        if pricer is None:
            return Priced(Plan(known=False, reason=terms.reason), 0, terms, served.estimated)
        plan, top = pricer.under(terms.conditions, quantities, started_us, ended_us)
        if pricer.only_starts and (lasting := pricer.lasting(terms.conditions, quantities, started_us)) is not None:
            with suppress(OverflowError, ValueError):  # (such prices are looked up each time)
                self.remember(Sold(*lasting, terms, *key, tuple(quantities)))
        return Priced(plan, top, terms, served.estimated)

    def _find(self, key: tuple[str, str, str]) -> Terms:
        served, tier, where = key
        costs, region, offer, note = self._costs, where or self._region, self._offer, ""
        conditions = tier_name(tier), region or None, ()
        if offer is None:
            offer, note = costs.as_served(self._provider, served, self._model, region)
        if isinstance(offer, Unknown):
            made = Terms(None, None, conditions, reason=offer.reason)
        else:
            made = Terms(offer, costs.pricer(offer), conditions, note=note)
        if len(self._terms) >= _MOST_TERMS:
            self._terms.clear()
        self._terms[key] = made
        return made


def is_version_of(served: str, asked: str) -> bool:
    """Whether `served` is the name `asked` with a date or a version added ("…-latest" is the name without it)."""
    name, base = served.casefold(), _LATEST.sub("", asked.casefold())
    if not name.startswith(base) or not base:
        return False
    rest = name[len(base) :]
    return rest == "" or _VERSION.fullmatch(rest) is not None
