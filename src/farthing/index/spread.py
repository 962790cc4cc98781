"""The spread of one model's price across hosts: who sells it, for how much, and how far apart they are.

What is counted is sellers. A host that sells one model under several names, or through another's door
(Hugging Face's inference providers), is one seller, at its cheapest offer. A router (OpenRouter) passes a host's
price on: it is shown and not counted. Free offers are shown apart: a price of 0 is no end of a range.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from fractions import Fraction
from statistics import median, quantiles, stdev

import msgspec

from farthing.evidence import Grade, worst
from farthing.index.closed import closed
from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.sold import FAR_OFF, as_quote, retired, slipped
from farthing.problems import FarthingError
from farthing.rates.book import Book, channel
from farthing.rates.compare import Host, compare, host, maker
from farthing.rates.family import family

FEWEST = 3
"""Sellers without which a deviation says nothing; of two, the ratio is all there is to say."""
AHEAD = "that day lies ahead: prices of today, and changes that are announced by now; no expectation"
_ROUTERS = frozenset({"openrouter"})
_DOOR = "huggingface_"
_SELLERS = {"fireworks-ai": "fireworks", "zai-org": "zai"}
"""Sellers whose name at Hugging Face is not the one they have as a provider."""
_PRECISION = re.compile(
    r"(?<![a-z0-9])(nvfp4|mxfp4|fp4|fp8|fp16|bf16|int4|int8|awq|gptq|gguf|w4a16|[48]-?bit)(?![a-z0-9])"
)
_LEVEL = re.compile(r"(?<![a-z0-9])(turbo|lite|fast|specdec|reference)(?![a-z0-9])")


class HostPrice(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of the model, in dollars per million tokens. `blended`: at the mix asked for.

    `seller`: whose machines answer; `counted`: whether it stands for its seller in the figures, `why` not.
    `ratio`: to the cheapest seller. `named`: what the id says of how it is served ("fp8", "turbo").
    """

    provider: str
    model: str
    seller: str
    channel: str
    input: Fraction | None
    cached: Fraction | None
    output: Fraction | None
    blended: Fraction | None
    grade: Grade
    named: str = ""
    context: int | None = None
    ratio: float | None = None
    counted: bool = False
    why: str = ""

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.model}"


class Dispersion(msgspec.Struct, frozen=True, kw_only=True):
    """How far apart sellers are, in dollars per million tokens.

    `ratio`: dearest over cheapest. `cv`: the standard deviation (n-1) over the mean, None below three sellers.
    `shares`: the 10th, 25th, 75th and 90th percentile, None below five. `near`: sellers within a tenth of the
    cheapest, itself included.
    """

    count: int
    low: float
    median: float
    high: float
    ratio: float
    cv: float | None
    shares: tuple[float, float, float, float] | None
    near: int


class DatedDispersion(msgspec.Struct, frozen=True, kw_only=True):
    """A dispersion on a day, of the sellers whose price that day is known."""

    day: date
    of: Dispersion


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One model at all hosts at an instant, the cheapest first. `of`: None where nobody charges for it."""

    family: str
    at: datetime
    maker: str | None
    hosts: tuple[HostPrice, ...]
    free: tuple[HostPrice, ...]
    unblended: tuple[HostPrice, ...]
    of: Dispersion | None
    cheapest: HostPrice | None
    dearest: HostPrice | None
    over_time: tuple[DatedDispersion, ...]
    notes: tuple[str, ...]

    @property
    def grade(self) -> Grade:
        return worst(host.grade for host in self.hosts if host.counted)


def seller(provider: str) -> str:
    """Whose machines answer at `provider`: "huggingface_groq" is Groq's."""
    name = provider.removeprefix(_DOOR)
    return _SELLERS.get(name, name)


def spread(book: Book, model: str, at: datetime, kind: Kind, lines: Sequence[Line]) -> Spread:
    """The spread of `model` (any host's id of it) at `at`, by the price that `kind` makes of a quote.

    `lines`: the dated history of all offers. It has hosts that the book lacks, answers alone for a past `at`, at which
    the book's undated prices say nothing, and gives the dispersion over time.
    Raises `FarthingError` where no host is known by that name.
    """
    notes: list[str] = []
    known = compare(book, model, at)
    key = known.family
    own = [line for line in lines if line.family == key]
    if at >= newest_date(book, at):
        serving = [one for one in known.hosts if not retired(one.offer.provider, one.offer.model, at)]
        named = {one.offer.id.casefold() for one in known.hosts}
        dated = [line for line in own if line.id.casefold() not in named]
        priced = [_of_host(one, kind) for one in serving]
        priced += [found for line in dated if (found := _of_line(line, at, kind)) is not None]
        if len(serving) < len(known.hosts):
            notes.append(f"{_offers(len(known.hosts) - len(serving))} left out that had ended by then")
        if known.variants:
            notes.append(f"left out as batch offers or moving pointers: {known.variants}")
        if known.unpriced:
            notes.append(f"{known.unpriced} without a token price at that date")
    else:
        priced = [found for line in own if (found := _of_line(line, at, kind)) is not None]
        missing = len({host.offer.provider for host in known.hosts} - {one.provider for one in priced})
        if missing:
            notes.append(f"hosts of today left out, as their price at that date is not known: {missing}")
    return _spread(key, at, known.maker, priced, own, kind, notes)


def of_lines(lines: Sequence[Line], key: str, at: datetime, kind: Kind) -> Spread:
    """The spread of the family `key` from dated lines alone. Raises `FarthingError` where no line has it."""
    own = [line for line in lines if line.family == key]
    if not own:
        raise FarthingError(f"no dated price of a model called {key!r}")
    priced = [found for line in own if (found := _of_line(line, at, kind)) is not None]
    return _spread(key, at, maker(key), priced, own, kind, [])


def _spread(
    key: str, at: datetime, made_by: str | None, priced: Sequence[HostPrice], own: Sequence[Line], kind: Kind,
    notes: list[str],
) -> Spread:  # fmt: skip
    free = tuple(one for one in priced if one.blended == 0)
    unblended = tuple(one for one in priced if one.blended is None)
    hosts = _counted([one for one in priced if one.blended])
    counted = [one for one in hosts if one.counted]
    of = dispersion([float(one.blended or 0) for one in counted])
    notes += _remarks(hosts, free, unblended, of)
    if counted and closed(key):
        notes.append("its weights are not published: sellers other than its maker resell it, and host nothing")
    if at > datetime.now(UTC):
        notes.append(AHEAD)
    history = over_time(own, kind, min(at, datetime.now(UTC)))
    if of is not None and of.count >= FEWEST and at <= datetime.now(UTC):  # today's hosts are more than the dated ones
        history = (*(one for one in history if one.day < at.date()), DatedDispersion(day=at.date(), of=of))
    if len(history) < 2:
        notes.append(f"too few dated prices for a history: {FEWEST} sellers at two dates are the least")
    return Spread(
        family=key, at=at, maker=made_by, hosts=tuple(hosts), free=free, unblended=unblended, of=of,
        cheapest=counted[0] if counted else None, dearest=counted[-1] if counted else None,
        over_time=history if len(history) >= 2 else (), notes=tuple(notes),
    )  # fmt: skip


def newest_date(book: Book, at: datetime) -> datetime:
    """The newest dated record of the book until `at`: undated prices held then, and say nothing of before."""
    dates = (price.valid_from for offer in book.offers() for price in offer.prices if price.valid_from is not None)
    return max((moment for moment in dates if moment <= datetime.now(UTC)), default=at)


def _of_host(host: Host, kind: Kind) -> HostPrice:
    return HostPrice(
        provider=host.offer.provider, model=host.offer.model, seller=seller(host.offer.provider),
        channel=host.platform, input=host.input.usd, cached=host.cached.usd, output=host.output.usd,
        blended=kind(as_quote(host)), grade=host.grade, named=served_as(host.offer.model),
        context=host.offer.context_window,
    )  # fmt: skip


def _of_line(line: Line, at: datetime, kind: Kind) -> HostPrice | None:
    held = line.at(at)
    if held is None or retired(line.provider, line.model, at):
        return None
    return HostPrice(
        provider=line.provider, model=line.model, seller=seller(line.provider), channel=line.channel,
        input=held.usd_per_mtok.get("input"), cached=held.usd_per_mtok.get("cache_read"),
        output=held.usd_per_mtok.get("output"), blended=kind(held), grade=held.source.grade,
        named=served_as(line.model),
    )  # fmt: skip


def served_as(model: str) -> str:
    """What an id says of how the weights are served: a precision, a level of service, both, or ""."""
    name = model.lower()
    words = [found[1] for pattern in (_PRECISION, _LEVEL) if (found := pattern.search(name))]
    return " ".join(words)


def _counted(priced: Iterable[HostPrice]) -> list[HostPrice]:
    """The offers, cheapest first, with the ones that stand for their seller marked, and ratios to the cheapest."""
    ordered = sorted(priced, key=lambda one: (one.blended or 0, one.provider.startswith(_DOOR), one.id))
    marked: list[HostPrice] = []
    seen: set[str] = set()
    off = slipped([float(one.blended or 0) for one in ordered])
    for one, far in zip(ordered, off, strict=True):
        why = "slip of units?" if far else ""
        if one.channel in _ROUTERS or channel(one.provider) in _ROUTERS:
            why = why or "router"
        elif not why and one.seller in seen:
            why = "same seller"
        elif not why:
            seen.add(one.seller)
        marked.append(msgspec.structs.replace(one, counted=not why, why=why))
    low = next((one.blended for one in marked if one.counted), None)
    if low is None:
        return marked
    return [msgspec.structs.replace(one, ratio=float((one.blended or 0) / low)) for one in marked]


def dispersion(prices: Sequence[float]) -> Dispersion | None:
    """How far apart `prices` (above zero) lie; None where there are none."""
    if not prices:
        return None
    low, high = min(prices), max(prices)
    deciles = quantiles(prices, n=20, method="inclusive") if len(prices) >= 5 else None
    return Dispersion(
        count=len(prices), low=low, median=median(prices), high=high, ratio=high / low,
        cv=stdev(prices) * len(prices) / math.fsum(prices) if len(prices) >= FEWEST else None,
        shares=(deciles[1], deciles[4], deciles[14], deciles[17]) if deciles else None,
        near=sum(price <= low * 1.1 for price in prices),
    )  # fmt: skip


def over_time(lines: Sequence[Line], kind: Kind, end: datetime) -> tuple[DatedDispersion, ...]:
    """The dispersion at each first of a quarter and at `end`, on days when three sellers' prices are known."""
    starts = [quote.start for line in lines for quote in line.quotes]
    if not starts:
        return ()
    found = []
    for day in [*_quarters(min(starts).date(), end.date()), end.date()]:
        moment = min(datetime.combine(day, time(), UTC), end)
        lowest: dict[str, float] = {}
        for line in lines:
            held = line.at(moment)
            price = kind(held) if held is not None else None
            if price and channel(line.provider) not in _ROUTERS:
                who = seller(line.provider)
                lowest[who] = min(lowest.get(who, math.inf), float(price))
        prices = list(lowest.values())
        of = dispersion([price for price, far in zip(prices, slipped(prices), strict=True) if not far])
        if of is not None and of.count >= FEWEST:
            found.append(DatedDispersion(day=day, of=of))
    return tuple(found)


def _quarters(start: date, end: date) -> list[date]:
    """The first days of the quarters after `start` and before `end`."""
    days = []
    year, month = start.year, 1 + 3 * ((start.month - 1) // 3)
    while (day := date(year, month, 1)) < end:
        if day >= start:
            days.append(day)
        year, month = (year + 1, 1) if month == 10 else (year, month + 3)
    return days


def _remarks(
    hosts: Sequence[HostPrice], free: Sequence[HostPrice], unblended: Sequence[HostPrice], of: Dispersion | None
) -> list[str]:
    notes = []
    reasons: Mapping[str, str] = {
        "router": "offered through a router, whose price is a host's: shown, not counted",
        "slip of units?": f"{FAR_OFF} times off the median of the others: taken for a slip of units, not counted",
        "same seller": "more of sellers that are there already: the cheapest counts (--json has all)",
    }
    for why, words in reasons.items():
        number = sum(one.why == why for one in hosts)
        if number:
            notes.append(f"{number} {words}")
    if free:
        notes.append(f"{_offers(len(free))} free, and apart: a promotional price is no end of a range")
    if unblended:
        notes.append(f"{_offers(len(unblended))} without a price for every meter of the mix")
    if of is None:
        notes.append("no price by the token is known at that date: there is no spread")
    elif of.count == 1:
        notes.append("one seller only: there is no spread")
    elif of.count < FEWEST:
        notes.append("two sellers only: the ratio is all there is to say")
    named = sorted({one.named for one in hosts if one.named})
    if named:
        notes.append(f"what ids say of how it is served: {', '.join(named)}; the others do not say")
    contexts = sorted({one.context for one in hosts if one.context})
    if len(contexts) > 1:
        notes.append(f"context windows from {contexts[0]:,} to {contexts[-1]:,} tokens, where stated")
    return notes


def _offers(count: int) -> str:
    return f"{count:,} offer{'' if count == 1 else 's'}"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One open model's dispersion, in the list of those with most hosts."""

    family: str
    of: Dispersion
    cheapest: str
    dearest: str


def most_hosted(book: Book, at: datetime, kind: Kind, lines: Iterable[Line], fewest: int = FEWEST) -> list[Family]:
    """The open models (whose weights are not known to be unpublished, sold by `fewest` sellers or more that neither
    made them nor are cloud platforms), the most widely sold first, with the dispersion over all who sell them: as
    `spread` counts them."""
    known: dict[str, list[HostPrice]] = {}
    named: set[str] = set()
    for offer in book.offers() if at >= newest_date(book, at) else ():
        found_host = host(offer, at)
        if found_host is not None and not found_host.variant and not retired(offer.provider, offer.model, at):
            named.add(offer.id.casefold())
            known.setdefault(family(offer.model), []).append(_of_host(found_host, kind))
    for line in lines:
        if line.id.casefold() not in named and (dated := _of_line(line, at, kind)) is not None:
            known.setdefault(line.family, []).append(dated)
    found = []
    for key, priced in known.items():
        if closed(key):
            continue
        made_by = maker(key)
        counted = [one for one in _counted([one for one in priced if one.blended]) if one.counted]
        others = [one for one in counted if one.channel == "direct" and one.seller != made_by]
        of = dispersion([float(one.blended or 0) for one in counted])
        if of is not None and len(others) >= fewest:
            found.append(Family(family=key, of=of, cheapest=counted[0].id, dearest=counted[-1].id))
    return sorted(found, key=lambda one: (-one.of.count, -one.of.ratio, one.family))
