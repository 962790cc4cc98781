"""The price book: every offer of every source, one answer for each instant, and where sources disagree.

Sources are layers in order of trust: the user's cards, our own records of what vendors stated, the
genai-prices catalogue, and second-hand statements. For an instant the first layer that has a price
in force answers; what the others say instead is a conflict, which is kept and shown.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property

import msgspec

from farthing.evidence import Grade
from farthing.money import decimal_text
from farthing.problems import FarthingError
from farthing.rates import catalogue
from farthing.rates.card import ALWAYS, Offer, Price
from farthing.rates.derive import with_rules
from farthing.rates.kept import as_priced
from farthing.rates.rules import provider_names, providers
from farthing.rates.select import WITHDRAWN, Unknown, ambiguous, currency_factor, price_at
from farthing.rates.toml import Card, packaged_cards
from farthing.units import METERS
from farthing.usage.record import Usage

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_PATH = re.compile(r"^.*?\b(?:models|foundation-model|inference-profile)/(?=[^/]+$)")
_BEDROCK = re.compile(
    r"(?:(?:us|eu|apac|ap|jp|au|ca|sa|us-gov|global)\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral)\."
)
_COMPACT_DATE = re.compile(r"-(20\d{2})(\d{2})(\d{2})(?=$|[-:@])")


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two sources that state different prices of one meter of one offer at one instant.

    Both amounts are for the units that the one in use is stated for."""

    offer: str
    meter: str
    at: datetime
    used: str
    used_source: str
    other: str
    other_source: str
    other_grade: Grade


class Layer:
    """The offers of one source, found by name. `feed` marks catalogues, which our provider rules complete."""

    def __init__(self, name: str, offers: Iterable[Offer], feed: bool = False) -> None:
        self.name = name
        self.feed = feed
        self.offers = [with_rules(offer) if feed else offer for offer in offers]
        self._exact: dict[str, Offer] = {}
        self._regional: dict[tuple[str, str], Offer] = {}
        for offer in sorted(self.offers, key=lambda o: o.region is not None):  # one without a region stands for all
            for alias in (offer.model, *offer.aliases):
                self._exact.setdefault(alias.casefold(), offer)
                if offer.region is not None:
                    self._regional.setdefault((alias.casefold(), offer.region.casefold()), offer)

    def find(self, model: str, region: str | None = None) -> Offer | None:
        """The offer called `model` (in `region`, where one is for that region alone): by id or alias, else the
        first whose pattern is found in it."""
        name = model.casefold()
        if region is not None and (name, region.casefold()) in self._regional:
            return self._regional[name, region.casefold()]
        if name in self._exact:
            offer = self._exact[name]
            elsewhere = region is not None and offer.region is not None
            return None if elsewhere and str(region).casefold() != str(offer.region).casefold() else offer
        return next((o for o in self.offers if o.pattern and re.search(o.pattern, name, re.IGNORECASE)), None)


class Book:
    """All known prices. `cards` are the user's own, the first one trusted most; `as_of` hides what was
    recorded later (the second clock), so that a bill can be repeated."""

    def __init__(self, cards: Sequence[Card] = (), as_of: datetime | None = None) -> None:
        self.as_of = as_of
        self._cards = [
            (f"card {number}", tuple(_under_its_id(offer) for offer in card.offers))
            for number, card in enumerate(cards, 1)
        ]
        self._stated = tuple(cards)
        self._layers: dict[str, list[Layer]] = {}
        self._found: dict[tuple[str | None, str, str | None], Offer | Unknown] = {}

    def with_cards(self, cards: Sequence[Card]) -> "Book":
        """This book with further cards, which are trusted after the user's own."""
        return Book([*self._stated, *cards], self.as_of)

    # --- providers ----------------------------------------------------------------------------

    @cached_property
    def _catalogue(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        return {one.id: (one.pattern, one.model_pattern, one.fallbacks) for one in catalogue.provider_names()}

    @cached_property
    def providers(self) -> list[str]:
        """The ids of all providers that have offers."""
        own = {offer.provider for _, offers in self._packaged for offer in offers}
        carded = {offer.provider for _, offers in self._cards for offer in offers}
        return sorted({*self._catalogue, *own, *carded})

    def provider(self, name: str) -> str | None:
        """The id of the provider that is called `name`, or None."""
        name = name.strip().casefold()
        if any(offer.provider.casefold() == name for _, offers in self._cards for offer in offers):
            return name
        if name in provider_names():
            return provider_names()[name]
        if name in self._catalogue:
            return name
        if any(offer.provider == name for _, offers in self._packaged for offer in offers):
            return name
        for known, (pattern, _, _) in self._catalogue.items():
            if pattern and re.search(pattern, name, re.IGNORECASE):
                return known
        return None

    @cached_property
    def _packaged(self) -> list[tuple[str, tuple[Offer, ...]]]:
        return [(name, card.offers) for name, card in packaged_cards().items()]

    def layers(self, provider: str) -> list[Layer]:
        """The sources that have offers of `provider` (an id), the most trusted first."""
        if provider not in self._layers:
            stated: list[Layer] = []
            doubtful: list[Layer] = []
            for name, offers in self._packaged:
                for good, into in ((True, stated), (False, doubtful)):
                    chosen = [o for o in (_graded(offer, good) for offer in offers if offer.provider == provider) if o]
                    if chosen:
                        into.append(Layer(name, chosen, feed=True))
            made = [
                Layer(name, [o for o in offers if o.provider.casefold() == provider.casefold()])
                for name, offers in self._cards
            ]
            made += stated
            if provider in self._catalogue:
                made.append(Layer("genai-prices", catalogue.offers(provider), feed=True))
            self._layers[provider] = [layer for layer in [*made, *doubtful] if layer.offers]
        return self._layers[provider]

    # --- offers -------------------------------------------------------------------------------

    def lookup(self, provider: str | None, model: str, region: str | None = None) -> Offer | Unknown:
        """The offer of `model` at `provider` (in `region`) with one price for each instant, or why there is none."""
        key = (provider, model, region)
        if key not in self._found:
            self._found[key] = self._lookup(provider, model, region)
        return self._found[key]

    def _lookup(self, provider: str | None, model: str, region: str | None) -> Offer | Unknown:
        if provider is None:
            try:
                return self.find(model, region)
            except FarthingError as error:
                return Unknown(str(error))
        known = self.provider(provider)
        if known is None:
            return Unknown(f"no provider {provider!r} in the price book")
        bare = _PATH.sub("", model)  # "models/gemini-…", "arn:aws:bedrock:…:foundation-model/…"
        for name in dict.fromkeys((model, _COMPACT_DATE.sub(r"-\1-\2-\3", model), bare)):
            found = [(layer, offer) for layer in self.layers(known) if (offer := layer.find(name, region))]
            if found and found[0][0].feed:
                # A card that names the model which the catalogue means by this name is meant as well.
                model_id = found[0][1].model
                cards = [(x, o) for x in self.layers(known) if not x.feed and (o := x.find(model_id, region))]
                found = [*cards, *found]
            if found:
                return combine([offer for _, offer in found], self.as_of, sum(not layer.feed for layer, _ in found))
        for other in self._catalogue.get(known, ("", "", ()))[2]:
            theirs = [offer for layer in self.layers(other) if (offer := layer.find(model, region))]
            if theirs:
                # The catalogue says that this provider charges the other's prices; so it is its offer.
                offer = msgspec.structs.replace(combine(theirs, self.as_of), provider=known, channel=channel(known))
                return msgspec.structs.replace(offer, via=f"{other}/{offer.model}")
        return Unknown(f"no offer {known}/{model} in the price book")

    def find(self, text: str, region: str | None = None) -> Offer:
        """The offer that a person calls `text`: "provider/model", or a model alone where that is clear.

        Raises `FarthingError` with the nearest names, or with the providers to choose from.
        """
        head, _, rest = text.strip().partition("/")
        if rest and self.provider(head) is not None:
            found = self.lookup(head, rest, region)
            if isinstance(found, Offer):
                return found
            self._refuse(head, rest)
        holders = self._holders(text)
        if len(holders) == 1:
            found = self.lookup(holders[0], text, region)
            if isinstance(found, Offer):
                return found
        if holders:
            choices = ", ".join(f"{name}/{text}" for name in holders[:6])
            raise FarthingError(f"{text!r} is offered by {len(holders)} providers; name one: {choices}")
        if rest:
            near = difflib.get_close_matches(head, self.providers, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise FarthingError(
                f"unknown provider {head!r}; {hint}`farthing prices list` shows the {len(self.providers)}"
            )
        self._refuse(None, text)
        raise AssertionError

    def _holders(self, model: str) -> list[str]:
        """The providers that a bare model name can mean: its maker if known, else all that list it."""
        for _, offers in self._cards:
            for offer in offers:
                if model in (offer.model, *offer.aliases):
                    return [offer.provider]
        if _BEDROCK.match(model) and isinstance(self.lookup("aws", model), Offer):
            return ["aws"]
        for known, (_, pattern, _) in self._catalogue.items():
            if pattern and re.search(pattern, model, re.IGNORECASE) and isinstance(self.lookup(known, model), Offer):
                return [known]
        holders = [
            name for name in self.providers if any(model.casefold() in layer._exact for layer in self.layers(name))
        ]
        direct = [name for name in holders if channel(name) == "direct" and "_" not in name]
        return direct if len(direct) == 1 else holders

    def _refuse(self, provider: str | None, model: str) -> None:
        known = self.provider(provider) if provider else None
        names = (
            [o.model for layer in self.layers(known) for o in layer.offers]
            if known
            else [o.model for o in self.offers()]
        )
        near = list(dict.fromkeys(difflib.get_close_matches(model, names, 3, 0.5)))
        listing = " ".join(filter(None, ("farthing prices list", known)))
        hint = f"; near it: {', '.join(near)}" if near else f"; `{listing}` shows them"
        raise FarthingError(f"no price for {f'{known}/' if known else ''}{model}{hint}")

    def offers(self, provider: str | None = None) -> Iterator[Offer]:
        """Every offer (of one provider), each with one price for each instant."""
        for name in [provider] if provider else self.providers:
            for group, closed in self._groups(name):
                yield combine(group, self.as_of, closed)

    def _groups(self, provider: str) -> Iterator[tuple[list[Offer], int]]:
        """The offers of all layers that are one, and how many of them are the user's cards."""
        layers = self.layers(provider)
        seen: set[tuple[str, str | None]] = set()
        for position, layer in enumerate(layers):
            for offer in layer.offers:
                names = {(name.casefold(), offer.region) for name in (offer.model, *offer.aliases)}
                if names & seen:
                    continue
                group = [offer]
                for other in layers[position + 1 :]:
                    found = (other.find(name, offer.region) for name in (offer.model, *offer.aliases))
                    match = next((one for one in found if one is not None and one.region == offer.region), None)
                    if match is not None and match not in group:
                        group.append(match)
                        theirs = {(name.casefold(), match.region) for name in (match.model, *match.aliases)}
                        if names & theirs:  # found by a pattern only, it is also an offer of its own
                            seen |= theirs
                seen |= names
                yield group, sum(not one.feed for one in layers if any(o in group for o in one.offers))

    def offer_of(self, usage: Usage) -> Offer | Unknown:
        """The offer at which `usage` was served, or why none is known."""
        if usage.unmeasured:
            return Unknown(usage.unmeasured)
        return as_priced(self, usage.provider, usage.model, usage.region, usage.priced)[0]

    def conflicts(self, provider: str | None = None, at: datetime | None = None) -> Iterator[Conflict]:
        """Where a less trusted source states another price than the one used, when it said so (or at `at`)."""
        for name in [provider] if provider else self.providers:
            for group, closed in self._groups(name):
                used = combine(group, self.as_of, closed)
                for offer in group:
                    for price in offer.prices:
                        moment = at or price.valid_from or price.recorded or datetime.now(UTC)
                        now = price_at(used, moment)
                        if isinstance(now, Price) and price_at(offer, moment) is price and now.source != price.source:
                            yield from _differences(used, now, price, moment)


def channel(provider: str) -> str:
    """How offers of `provider` reach a model: "direct", or "bedrock", "azure", "openrouter", …"""
    known = providers().get(provider)
    return known.channel if known else "direct"


def _under_its_id(offer: Offer) -> Offer:
    """A card's offer under the id of its provider: a card may say "bedrock", usage and book say "aws"."""
    known = provider_names().get(offer.provider.casefold(), offer.provider)
    return offer if known == offer.provider else msgspec.structs.replace(offer, provider=known)


def _graded(offer: Offer, good: bool) -> Offer | None:
    """The offer, if a vendor stated (or somebody measured) any of its prices, or else if not.

    A series is kept whole: a second-hand record between two of the vendor's own ends the one before it.
    """
    stated = any(price.source.grade >= Grade.VENDOR_STATED for price in offer.prices)
    return offer if stated == good else None


def _differences(used: Offer, now: Price, price: Price, at: datetime) -> Iterator[Conflict]:
    mine = {r.meter: r for r in now.rates if r.when == ALWAYS and r.per_count is not None}
    for rate in price.rates:
        ours = mine.get(rate.meter)
        if rate.when != ALWAYS or ours is None or rate.source is not None or ours.source is not None:
            continue
        if rate.per_count is None:
            inside = rate.low is not None and rate.high is not None and rate.low <= (ours.amount or 0) <= rate.high
            stated = f"{rate.low} to {rate.high}"
        else:
            assert ours.amount is not None and rate.amount is not None
            inside = rate.per_count * currency_factor(price) == (ours.per_count or 0) * currency_factor(now)
            stated = decimal_text(Fraction(rate.amount) * ours.per / rate.per)
        if not inside:
            yield Conflict(offer=used.id, meter=rate.meter, at=at, used=str(ours.amount), used_source=now.source.id,
                           other=stated, other_source=price.source.id, other_grade=price.source.grade)  # fmt: skip


def combine(offers: Sequence[Offer], as_of: datetime | None = None, closed: int = 0) -> Offer:
    """One offer from several layers' (the most trusted first): at each instant the first that has a price.

    What that price leaves out (a meter, a condition of a meter whose plain price both state alike) is
    taken from the next, with its source; not for the first `closed` offers, which are whole as they
    are: what a user's card does not state is unknown. The records of the result follow one another
    without overlaps, as `price_at` expects.
    """
    first = offers[0]
    if len(offers) == 1 and as_of is None:
        return first
    edges = sorted({m for o in offers for p in o.prices for m in (p.valid_from, p.valid_to) if m is not None})
    spans: list[tuple[datetime | None, tuple[Price, ...]]] = []
    for start in [None, *edges]:
        answers = [price_at(offer, start or _BEGINNING, as_of) for offer in offers]
        whole = next((a for a in answers[:closed] if isinstance(a, Price)), None)
        found = (whole,) if whole is not None else tuple(_until_withdrawn(answers[closed:]))
        if not spans or [id(p) for p in found] != [id(p) for p in spans[-1][1]]:
            spans.append((start, found))
    prices = []
    for (start, found), after in zip(spans, [*spans[1:], None], strict=True):
        if found:
            # The next record ends this one; where there is none, it was withdrawn.
            end = after[0] if after is not None and not after[1] else None
            prices.append(msgspec.structs.replace(_supplemented(found), valid_from=start, valid_to=end))
    mine = {first.model, *first.aliases}
    alike = [o for o in offers if mine & {o.model, *o.aliases}]
    aliases = dict.fromkeys(name for o in alike for name in (o.model, *o.aliases) if name != first.model)
    titles = [o.title for o in offers if o.title]
    return msgspec.structs.replace(
        first,
        prices=tuple(prices),
        aliases=tuple(aliases),
        title=titles[0] if titles else "",
        context_window=next((o.context_window for o in offers if o.context_window), None),
        retires=next((o.retires for o in offers if o.retires), None),
    )


def _until_withdrawn(answers: Sequence[Price | Unknown]) -> Iterator[Price]:
    """The prices up to the first layer that says the offer is withdrawn: less trusted ones may not know yet."""
    for answer in answers:
        if isinstance(answer, Price):
            yield answer
        elif answer.reason.startswith(WITHDRAWN):
            return


def _supplemented(prices: Sequence[Price]) -> Price:
    """The first of `prices` with rates that it lacks from the others, each under its own source."""
    base = prices[0]
    rates = list(base.rates)
    stated = {rate.meter for rate in base.rates if rate.source is None}
    for other in prices[1:]:
        if (other.currency, other.usd) != (base.currency, base.usd):
            continue
        theirs = {rate.meter: rate.per_count for rate in other.rates if rate.when == ALWAYS}
        ours = {rate.meter: rate.per_count for rate in rates if rate.when == ALWAYS}
        # What a source states goes before what our rules derived from a more trusted source's input price.
        new = {rate.meter for rate in other.rates if rate.source is None} - stated
        rates = [r for r in rates if r.source is None or not new & {r.meter, METERS[r.meter].covered_by}]
        present = {rate.meter for rate in rates}
        for rate in other.rates:
            if rate.source is not None:
                continue  # what our rules made of that source's prices is worth less than what is here
            if rate.meter not in new:
                if rate.meter in present and (rate.when == ALWAYS or ours.get(rate.meter) != theirs.get(rate.meter)):
                    continue
                if ambiguous([*(r for r in rates if r.meter == rate.meter), rate]) is not None:
                    continue
            rates.append(msgspec.structs.replace(rate, source=other.source))
        stated |= new
    return base if len(rates) == len(base.rates) else msgspec.structs.replace(base, rates=tuple(rates))
