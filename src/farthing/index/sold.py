"""The priced offers of text models at an instant: what is compared, and what is left out of it and why.

An offer counts with an input and an output price above zero. Free offers, batch variants, moving pointers, offers that
have ended and slips of units are left out and counted.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from statistics import median

import msgspec

from farthing.evidence import Grade
from farthing.index.kinds import Kind
from farthing.index.line import Line, Quote
from farthing.index.watch.ends import retirements
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.compare import Host, host, maker
from farthing.rates.family import family

_TEXT = frozenset({"", "chat", "completion", "responses"})
_EVER = datetime.min.replace(tzinfo=UTC)
_FEWEST = 3
FAR_OFF = 100
"""Times off the median of a model's sellers from which a price is taken for a slip of units (per 1K, per token)."""


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """One priced offer of a text model, in dollars per million tokens. `made`: by the provider itself."""

    provider: str
    model: str
    family: str
    maker: str | None
    channel: str
    input: Fraction
    output: Fraction
    blended: Fraction
    grade: Grade

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def made(self) -> bool:
        return self.maker == self.provider

    @property
    def ratio(self) -> float:
        """The output price over the input price."""
        return float(self.output / self.input)


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """All priced offers at an instant, and how many were left out, by reason."""

    at: datetime
    sold: tuple[Sold, ...]
    left_out: dict[str, int]


def market(book: Book, at: datetime, kind: Kind, providers: Collection[str] = ()) -> Market:
    """The priced text models of `providers` (none named: of all) at `at`. Raises `FarthingError` for an unknown one."""
    names = [known_provider(book, name) for name in providers] or book.providers
    left: dict[str, int] = {}
    sold = []
    for name in names:
        for offer in book.offers(name):
            found = host(offer, at)
            if retired(offer.provider, offer.model, at):
                why, one = "ended by then", None
            else:
                why, one = ("no token price", None) if found is None else _sold(found, kind)
            if one is not None:
                sold.append(one)
            else:
                left[why] = left.get(why, 0) + 1
    return _without_slips(Market(at=at, sold=tuple(sold), left_out=left))


def _without_slips(found: Market) -> Market:
    by_family: dict[str, list[Sold]] = {}
    for one in found.sold:
        by_family.setdefault(one.family, []).append(one)
    wrong: set[str] = set()
    for offers in by_family.values():
        off = slipped([float(one.blended) for one in offers])
        wrong |= {one.id for one, far in zip(offers, off, strict=True) if far}
    if not wrong:
        return found
    left = {**found.left_out, f"{FAR_OFF} times off the model's other offers: slips of units": len(wrong)}
    return Market(at=found.at, sold=tuple(one for one in found.sold if one.id not in wrong), left_out=left)


def of_lines(lines: Iterable[Line], at: datetime, kind: Kind) -> Market:
    """The market at a past instant, from dated lines: only offers whose price that day is known."""
    left: dict[str, int] = {}
    sold = []
    for line in lines:
        held = line.at(at)
        if held is None or retired(line.provider, line.model, at):
            continue
        price = kind(held)
        rates = held.usd_per_mtok
        if not price or not rates.get("input") or not rates.get("output"):
            left["free or not priced by input and output"] = left.get("free or not priced by input and output", 0) + 1
            continue
        sold.append(
            Sold(provider=line.provider, model=line.model, family=line.family, maker=line.maker, channel=line.channel,
                 input=rates["input"], output=rates["output"], blended=price, grade=held.source.grade)
        )  # fmt: skip
    return _without_slips(Market(at=at, sold=tuple(sold), left_out=left))


def retired(provider: str, model: str, at: datetime) -> bool:
    """Whether everybody who states a day says that `provider` has stopped serving `model` by `at`."""
    stated = retirements().get((provider, model.casefold()), ())
    return bool(stated) and all(one.day <= at.date() for one in stated)


def slipped(prices: Sequence[float]) -> list[bool]:
    """Which of several sellers' prices of one model are a hundred times off their median: slips of units, not prices.

    Of fewer than three none can be told.
    """
    if len(prices) < _FEWEST:
        return [False] * len(prices)
    middle = median(prices)
    return [not middle / FAR_OFF <= price <= middle * FAR_OFF for price in prices]


def known_provider(book: Book, name: str) -> str:
    """The id of the provider called `name`. Raises `FarthingError` with the nearest names."""
    found = book.provider(name)
    if found is None or found not in book.providers:
        import difflib

        near = difflib.get_close_matches(name, book.providers, 3, 0.5)
        hint = f"; near it: {', '.join(near)}" if near else "; `farthing prices list` shows them"
        raise FarthingError(f"unknown provider {name!r}{hint}")
    return found


def _sold(found: Host, kind: Kind) -> tuple[str, Sold | None]:
    if found.variant:
        return "free, batch or moving pointer", None
    if found.offer.mode not in _TEXT:
        return "not a text model", None
    read, written = found.input.usd, found.output.usd
    if not read or not written:
        free = read == 0 and written == 0
        return ("free, batch or moving pointer" if free else "not priced by input and output"), None
    price = kind(as_quote(found))
    if not price:
        return "a meter of the mix is unknown", None
    key = family(found.offer.model)
    return "", Sold(
        provider=found.offer.provider, model=found.offer.model, family=key, maker=maker(key),
        channel=found.platform, input=read, output=written, blended=price, grade=found.grade,
    )  # fmt: skip


def as_quote(found: Host) -> Quote:
    """What a host charges, as the quote that a kind of price is made of."""
    rates = {"input": found.input.usd, "cache_read": found.cached.usd, "output": found.output.usd}
    known = {meter: usd for meter, usd in rates.items() if usd is not None}
    return Quote(start=_EVER, end=None, usd_per_mtok=known, source=found.offer.prices[-1].source)
