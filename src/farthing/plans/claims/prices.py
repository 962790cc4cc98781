"""Checks against the price book: was it the price then, and what do cloud platforms add."""

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import cache
from itertools import zip_longest

import msgspec

from farthing.evidence import Grade, Source
from farthing.money import show_usd
from farthing.plans.claims.given import Given
from farthing.plans.claims.verdict import EXACT_SLACK, Finding, Stated, Verdict, agree, cannot, number, point
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price
from farthing.rates.select import Facts, Unknown, index, price_at
from farthing.rates.toml import packaged_cards
from farthing.rates.toml_table import Table
from farthing.units import METERS
from farthing.usage.record import STANDARD

_SECOND_HAND = "none but second-hand documents state its price"
UNDATED_DAYS = 365
"""A record without a date decides for this long before it was last checked: prices rarely stand longer."""
PLATFORMS = ("bedrock", "azure", "vertex")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One price: of a meter of an offer at noon (UTC) of a day, for a request of a tier with a prompt of a length."""

    offer: str
    meter: str
    at: date
    tier: str = STANDARD
    prompt: int = 1

    @property
    def moment(self) -> datetime:
        """Noon: outside the hours of the night in which some providers give a discount."""
        return datetime.combine(self.at, time(12), UTC)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars per published unit (a million tokens, a GPU-hour), of which offer, and who says so."""

    usd: Fraction
    source: Source
    offer: Offer


def read_asked(table: Table) -> Asked:
    """The keys `offer`, `meter`, `at`, `tier` and `prompt` of a table."""
    offer, meter = table.needed_text("offer", 'write offer = "provider/model"'), table.needed_text("meter")
    if meter not in METERS:
        table.fail("meter", f"unknown meter {meter!r}", "input, output, cache_read, gpu_hour, …")
    table.need("at", "write at = 2026-01-01, the day at which it was the price")
    day = table.day("at")
    assert day is not None
    tier, prompt = table.text("tier"), table.whole("prompt")
    return Asked(offer=offer, meter=meter, at=day, tier=tier or STANDARD, prompt=prompt or 1)


def look_up(book: Book, asked: Asked) -> Answer | str:
    """The price that was asked for, or why it is not known."""
    try:
        offer = book.find(asked.offer)
    except FarthingError as error:
        return str(error)
    price = price_at(offer, asked.moment)
    if isinstance(price, Unknown):
        return f"{offer.id}: {price.reason}"
    found = _resolve(price, asked)
    if found is not None:
        why = undated(book, offer, price, found[2], asked.moment)
        if why:
            return f"{offer.id}: {why}"
        return Answer(usd=found[0], source=found[1], offer=offer)
    if price.source.grade <= Grade.ASSUMED:
        return f"{offer.id}: {_SECOND_HAND}"
    return f"{offer.id}: no price of {asked.meter} on {asked.at}"


def undated(book: Book, offer: Offer, price: Price, said: Source, at: datetime) -> str:
    """Why `price`, of which `said` states the rate, decides nothing at `at`: its record is undated, and that is long
    before it was last checked; "" where it does decide.

    The book's one price for each instant takes its dates from all layers, so the record is looked up in its own.
    """
    provider, _, model = offer.via.partition("/") if offer.via else (offer.provider, "", offer.model)
    records: dict[str, Price] = {}
    for layer in book.layers(provider):
        named = (layer.find(name, offer.region) for name in (model, *offer.aliases))
        theirs = next((one for one in named if one is not None), None)
        record = price_at(theirs, at) if theirs is not None else None
        if isinstance(record, Price):
            records.setdefault(record.source.id, record)
    record = records.get(said.id) or records.get(price.source.id) or price
    if record.valid_from is not None:
        return ""
    checked = record.recorded.date() if record.recorded else record.source.seen or _last_read()
    first = checked - timedelta(days=UNDATED_DAYS)
    if at.date() >= first:
        return ""
    return f"the book's record of it has no date, and decides only from {first} (a year before it was checked)"


@cache
def _last_read() -> date:
    """The day on which our own records were last read: the catalogue, which states no day, was checked with them."""
    return max(price.source.seen for card in packaged_cards().values() for offer in card.offers
               for price in offer.prices if price.source.seen is not None)  # fmt: skip


def _resolve(price: Price, asked: Asked) -> tuple[Fraction, Source, Source] | None:
    """Dollars per published unit, the worst source of them, and the source of the rate itself."""
    facts = Facts(at=asked.moment, completed=asked.moment, tier=asked.tier, measures={"prompt": asked.prompt})
    found = index(price).resolve(asked.meter, facts)
    if isinstance(found, Unknown) or found.unit_usd is None:
        return None
    scale = METERS[asked.meter].per * METERS[asked.meter].scale
    said = found.rate.source or price.source
    sources = [said, *(m.source for m in found.modifiers if m.source is not None)]
    return found.unit_usd * scale, min(sources, key=lambda source: source.grade), said


def price(given: Given) -> Finding:
    """It was the price of that offer on that day. `grade = "assumed"` prices (other documents') decide nothing."""
    stated = given.stated()
    asked = read_asked(given.table)
    if stated.how == "rounded":  # a price is published to its last digit
        stated = msgspec.structs.replace(stated, how="exact")
    found = look_up(given.world.book, asked)
    if isinstance(found, str):
        return cannot(found)
    if found.source.grade <= Grade.ASSUMED:
        return cannot(f"{found.offer.id}: {_SECOND_HAND}")
    given.rely(found.source)
    unit = f"{METERS[asked.meter].unit}s" if METERS[asked.meter].per == 1 else f"{METERS[asked.meter].per:,}"
    finding = agree(stated, point(found.usd), f"{found.offer.id}, {asked.meter} on {asked.at}: {show_usd(found.usd)}"
                    + (f" per {unit}" if unit not in ("1,000,000", "GPU-hours") else ""))  # fmt: skip
    if finding.verdict is Verdict.HOLDS:
        return finding
    return msgspec.structs.replace(finding, note=_then(given.world.book, found.offer, asked, stated))


def _then(book: Book, offer: Offer, asked: Asked, stated: Stated) -> str:
    """When the stated figure was the price of the offer, if it ever was by a source that is not second-hand."""
    for layer in book.layers(offer.provider):
        theirs = layer.find(offer.model)
        dated = [p for p in theirs.prices if p.valid_from] if theirs else []
        for record, after in zip_longest(dated, dated[1:]):
            found = _resolve(record, asked)
            if record.source.grade <= Grade.ASSUMED or found is None or record.valid_from is None:
                continue
            if abs(found[0] - stated.span.low) <= EXACT_SLACK * stated.span.low:
                end = record.valid_to or (after.valid_from if after else None)
                until = f" until {end.date()}" if end else ""
                return f"it was the price from {record.valid_from.date()}{until}"
    return ""


def markup(given: Given) -> Finding:
    """The mark-up of a cloud platform over the makers' own prices, in per cent: of eight tenths of its offers."""
    stated = given.stated()
    platform = given.choice("platform", PLATFORMS)
    day = given.day("at")
    from farthing.rates.compare import clouds

    moment = datetime.combine(day, time(12), UTC)
    found = [row for row in clouds(given.world.book, moment) if row.platform.split()[0] == platform]

    def known(offer: Offer) -> bool:
        price = price_at(offer, moment)
        return isinstance(price, Price) and not undated(given.world.book, offer, price, price.source, moment)

    compared = [m for row in found for m in row.markups if known(m.host.offer) and known(m.direct.offer)]
    shares = sorted(m.blended * 100 for m in compared)
    if not shares:
        return cannot(f"the book compares no offer of {platform} with its maker's by prices known for {day}")
    for one in compared:
        given.rely(*(p.source for p in one.host.offer.prices[-1:]))
    inside = [x for x in shares if stated.span.low - 1 <= x <= stated.span.high + 1]
    text = (f"{len(inside)} of {len(shares)} offers lie inside; lowest {number(shares[0])} %, "
            f"median {number(shares[len(shares) // 2])} %, highest {number(shares[-1])} %")  # fmt: skip
    if len(inside) * 10 >= len(shares) * 8:
        return Finding(verdict=Verdict.HOLDS, computation=text)
    middle = shares[len(shares) // 2]
    edge = stated.span.high if middle > stated.span.high else stated.span.low
    factor = (1 + max(middle, edge) / 100) / (1 + min(middle, edge) / 100)
    return Finding(verdict=Verdict.OFF, computation=text, factor=factor, too="high" if edge > middle else "low")


CHECKS = {"price": price, "markup": markup}
