"""Comparing offers: one model across hosts, and cloud platforms with the makers' own prices."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import resources
from statistics import median

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.problems import FarthingError
from farthing.rates import catalogue
from farthing.rates.book import Book, channel
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.family import family
from farthing.rates.select import Facts, Unknown, index, price_at
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document
from farthing.units import METERS
from farthing.usage.record import STANDARD

BLEND = (3, 1)
"""Parts of input and output in the blended price, as market reports have it."""
_ABROAD = {"zhipuai": "zai"}
"""Makers with a domestic and an international price list: cloud platforms are compared with the latter."""
_SHOWN = ("", "free")
_VARIANT = re.compile(r":(batch|free)$")


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The price of one meter, in dollars per published unit (a million tokens); None: `why` says why not."""

    usd: Fraction | None
    grade: Grade | None = None
    why: str = ""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of a model: its prices for a short standard request, and how they compare.

    `blended`: per million tokens, three of input to one of output. `ratio`: to the cheapest host that
    charges. `variant`: what an id names besides its model: "batch" or "free", or "latest" for
    OpenRouter's moving pointers ("~maker/…"); only free ones are shown beside the others.
    """

    offer: Offer
    platform: str
    input: Quote
    cached: Quote
    output: Quote
    blended: Fraction | None
    grade: Grade
    variant: str = ""
    ratio: Fraction | None = None


class Markup(msgspec.Struct, frozen=True, kw_only=True):
    """What a cloud platform adds to the maker's own price, as a share of it: 1/10 is 10 %."""

    platform: str
    host: Host
    direct: Host
    input: Fraction | None
    output: Fraction | None
    blended: Fraction


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says of a platform's mark-up."""

    platform: str
    low: Decimal
    high: Decimal
    source: Source


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """One cloud platform's mark-ups (blended 3:1) over all models that it and their makers offer, lowest first.

    `doubtful`: offers left out because a price on either side is only assumed.
    """

    platform: str
    markups: tuple[Markup, ...]
    claims: tuple[Claim, ...] = ()
    doubtful: int = 0

    @property
    def median(self) -> Fraction | None:
        return median(m.blended for m in self.markups) if self.markups else None

    @property
    def equal(self) -> int:
        """How many cost exactly the maker's price."""
        return sum(m.blended == 0 for m in self.markups)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One model at every host. `variants`: batch offers and pointers left out; `unpriced`: those without a
    token price at that instant."""

    family: str
    at: datetime
    hosts: tuple[Host, ...]
    markups: tuple[Markup, ...]
    maker: str | None
    variants: int
    unpriced: int


def quote(price: Price, meter: str, at: datetime, tier: str = STANDARD) -> Quote:
    """What `meter` costs a short request of `tier` at `at`. Of a marginal price, the first step."""
    found = index(price).resolve(meter, Facts(at=at, completed=at, tier=tier))
    if isinstance(found, Unknown):
        return Quote(usd=None, why=found.reason)
    scale = METERS[meter].per * METERS[meter].scale
    rate = found.rate
    usd = found.unit_usd if found.unit_usd is not None else _first_step(rate) * found.factor_usd
    grades = [(source or price.source).grade for source in (rate.source, *(m.source for m in found.modifiers))]
    return Quote(usd=usd * scale, grade=worst(grades))


def _first_step(rate: Rate) -> Fraction:
    return Fraction(rate.brackets[0].amount) / (rate.per * METERS[rate.meter].scale)


def host(offer: Offer, at: datetime) -> Host | None:
    """`offer` as a host of its model at `at`; None where it has no price then, or none of tokens."""
    price = price_at(offer, at)
    if isinstance(price, Unknown):
        return None
    quotes = [quote(price, meter, at) for meter in ("input", "cache_read", "output")]
    read, cached, written = quotes
    if read.usd is None and written.usd is None:
        return None
    blended = None
    if read.usd is not None and written.usd is not None:
        blended = (BLEND[0] * read.usd + BLEND[1] * written.usd) / sum(BLEND)
    return Host(
        offer=offer,
        platform=platform(offer),
        input=read,
        cached=cached,
        output=written,
        blended=blended,
        grade=worst(q.grade for q in quotes if q.grade is not None),
        variant=_variant(offer.model),
    )


def _variant(model: str) -> str:
    found = _VARIANT.search(model.lower())
    return "latest" if model.startswith("~") else found[1] if found else ""


def platform(offer: Offer) -> str:
    """How `offer` reaches its model: "direct", or the cloud platform, with Bedrock's kind of endpoint.

    A maker's own cloud sells other makers' models too: at Google that is Vertex AI.
    """
    way = offer.channel if offer.channel != "direct" else channel(offer.provider)
    if way == "bedrock":
        kind = re.match(r"(global|regional)\.", offer.model)
        return f"bedrock {kind[1]}" if kind else way
    if way == "direct" and offer.provider == "google" and maker(family(offer.model)) not in (None, "google"):
        return "vertex"
    return way


def maker(key: str) -> str | None:
    """The provider that makes the models of the family `key`, as the catalogue knows it; None: not known."""
    found = next((id for id, pattern in _makers() if re.search(pattern, key)), None)
    return _ABROAD.get(found, found) if found else None


@cache
def _makers() -> list[tuple[str, str]]:
    """The catalogue's providers that make models, with the pattern of their models' names."""
    return [(one.id, one.model_pattern) for one in catalogue.provider_names() if one.model_pattern]


def compare(book: Book, model: str, at: datetime) -> Comparison:
    """`model` (any host's id of it) at every host at `at`, the cheapest first.

    Raises `FarthingError` with the nearest families where no host has it.
    """
    key = family(model)
    known: dict[str, list[Offer]] = {}
    for offer in book.offers():
        known.setdefault(family(offer.model), []).append(offer)
    if key not in known:
        import difflib

        near = difflib.get_close_matches(key, known, 3, 0.6)
        hint = f"; near it: {', '.join(near)}" if near else "; `farthing prices list --model GLOB` finds ids"
        raise FarthingError(f"no offer of a model called {key!r}{hint}")
    all_hosts = [host(offer, at) for offer in known[key]]
    found = [h for h in all_hosts if h is not None and h.variant in _SHOWN]
    paid = [h.blended for h in found if h.blended]
    hosts = [
        msgspec.structs.replace(h, ratio=h.blended / min(paid) if h.blended and paid else None)
        for h in sorted(found, key=lambda h: (h.blended is None, h.blended or Fraction(0), h.offer.id))
    ]
    return Comparison(
        family=key,
        at=at,
        hosts=tuple(hosts),
        markups=tuple(_markups(hosts, maker(key), book)),
        maker=maker(key),
        variants=sum(h is not None and h.variant not in _SHOWN for h in all_hosts),
        unpriced=sum(h is None for h in all_hosts),
    )


def _markups(hosts: Iterable[Host], made_by: str | None, book: Book) -> Iterable[Markup]:
    """The mark-up of each cloud offer among the hosts of one family over its maker's own offer."""
    if made_by is None:
        return
    own = [h for h in hosts if h.offer.provider == made_by and h.platform == "direct" and h.blended and not h.variant]
    for one in hosts:
        if one.platform == "direct" or one.variant or not one.blended or not own:
            continue
        direct = _same_snapshot(one, own, made_by, book)
        assert direct.blended
        yield Markup(
            platform=one.platform,
            host=one,
            direct=direct,
            input=_share(one.input.usd, direct.input.usd),
            output=_share(one.output.usd, direct.output.usd),
            blended=one.blended / direct.blended - 1,
        )


def _same_snapshot(one: Host, own: list[Host], made_by: str, book: Book) -> Host:
    """Which of the maker's offers `one` resells: the one that the maker knows by that name, else its plainest."""
    name = re.sub(r"^(?:[a-z-]+\.)+(?=[a-z])", "", one.offer.model.rsplit("/", 1)[-1])
    named = book.lookup(made_by, name)
    found = next(
        (h for h in own if isinstance(named, Offer) and named.model in (h.offer.model, *h.offer.aliases)), None
    )
    return found or min(own, key=lambda h: (len(h.offer.model), h.offer.model))


def _share(cloud: Fraction | None, direct: Fraction | None) -> Fraction | None:
    return cloud / direct - 1 if cloud is not None and direct else None


def clouds(book: Book, at: datetime) -> list[Platform]:
    """Every cloud platform's mark-up over the makers' own prices at `at`, over all models that both offer.

    Left out: batch and free variants, models without an input and an output price, assumed prices, and what
    the book itself prices as the maker's offer (that would compare a price with itself). One observation
    for each model and mark-up. A platform of which a document claims a mark-up is listed in any case.
    """
    found: dict[str, dict[tuple[str, Fraction], Markup]] = {}
    doubtful: Counter[str] = Counter()
    for markup in all_markups(book, at):
        if min(markup.host.grade, markup.direct.grade) <= Grade.ASSUMED:
            doubtful[markup.platform] += 1
        else:
            observed = found.setdefault(markup.platform, {})
            observed.setdefault((family(markup.host.offer.model), markup.blended), markup)
    stated = claims()
    absent = {c.platform for c in stated} - {name.split()[0] for name in (*found, *doubtful)}
    return [
        Platform(
            platform=name,
            markups=tuple(sorted(found.get(name, {}).values(), key=lambda m: m.blended)),
            claims=tuple(c for c in stated if c.platform == name.split()[0]),
            doubtful=doubtful[name],
        )
        for name in sorted({*found, *doubtful, *absent})
    ]


def all_markups(book: Book, at: datetime) -> Iterable[Markup]:
    """Each cloud offer of a model that its maker sells too, with the mark-up."""
    known: dict[str, list[Host]] = {}
    for offer in book.offers():
        found = host(offer, at)
        if found is not None:
            known.setdefault(family(offer.model), []).append(found)
    for key, hosts in known.items():
        if any(h.platform != "direct" for h in hosts):
            yield from _markups(hosts, maker(key), book)


def claims() -> list[Claim]:
    """What documents claim about platforms' mark-ups (data/markups.toml)."""
    text = (resources.files("farthing") / "data" / "markups.toml").read_text("utf-8")
    root = Document(text, "data/markups.toml").table()
    sources = read_sources(root)
    found = []
    for table in root.subs("claim"):
        table.need("low")
        table.need("high")
        low, high = table.number("low"), table.number("high")
        assert low is not None and high is not None
        name = table.needed_text("platform")
        found.append(Claim(platform=name, low=low, high=high, source=read_source(table, sources)))
        table.finish()
    root.finish()
    return found
