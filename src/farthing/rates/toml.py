"""Our rate-card format: a TOML file that a person writes by hand, read into `Offer`s.

The format, with an example of every dimension, is in docs/rate-cards.md. Decimals are exact, every
price names its source, and whatever is not understood is an error with its line and repair.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError
from farthing.rates.card import Modifier, Offer, Price, Rate
from farthing.rates.select import ambiguous, clashing
from farthing.rates.toml_rates import read_rates, read_rule
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A rate card: its offers in the order written, and its sources by id."""

    offers: tuple[Offer, ...]
    sources: dict[str, Source]


def load_card(card: Path | str, place: str | None = None) -> Card:
    """Read a rate card from a file (`Path`) or from TOML text (`str`).

    `place` is what errors call the file. Raises `FarthingError`, one line with FILE:LINE, for the
    first thing that is wrong.
    """
    if isinstance(card, Path):
        place = place or str(card)
        try:
            text = card.read_text("utf-8-sig")  # some editors write a mark before the first byte
        except OSError as error:
            raise FarthingError(f"{place}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise FarthingError(f"{place}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    else:
        text = card
    root = Document(text, place or "card").table()
    sources = read_sources(root)
    offers = tuple(_offer(table, sources) for table in root.subs("offer"))
    root.finish()
    if not offers:
        root.fail(None, "no [[offer]]", "a rate card states at least one offer")
    _refuse_duplicates(root, offers)
    return Card(offers=offers, sources=sources)


@cache
def packaged_cards() -> dict[str, Card]:
    """The cards that Farthing carries (data/prices/*.toml), by file name without its ending."""
    folder = resources.files("farthing") / "data" / "prices"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {
        file.name.removesuffix(".toml"): load_card(file.read_text("utf-8"), f"data/prices/{file.name}")
        for file in files
    }


def _offer(table: Table, sources: Sources) -> Offer:
    provider, model = table.needed_text("provider"), table.needed_text("model")
    pattern = table.text("pattern") or ""
    try:
        re.compile(pattern)
    except re.error as error:
        table.fail("pattern", f"not a regular expression: {error}")
    table.need("price", "write [[offer.price]] below it")
    price_tables = table.subs("price")
    prices = [_price(one, sources) for one in price_tables]
    offer = Offer(
        provider=provider,
        model=model,
        prices=tuple(sorted(prices, key=_order)),
        channel=table.text("channel") or "direct",
        region=table.text("region"),
        aliases=table.texts("aliases"),
        pattern=pattern,
        title=table.text("title") or "",
        mode=table.text("mode") or "",
        context_window=table.whole("context_window"),
        retires=table.day("retires"),
        note=table.text("note") or "",
    )
    table.finish()
    _refuse_overlaps(price_tables, prices)
    return offer


def _order(price: Price) -> tuple[datetime, datetime]:
    return price.valid_from or _BEGINNING, price.recorded or _BEGINNING


def _price(table: Table, sources: Sources) -> Price:
    source = read_source(table, sources)
    rates: list[Rate] = []
    modifiers: list[Modifier] = []
    base = table.sub("rates")
    if base is not None:
        rates += read_rates(base, sources)
    for rule in table.subs("rule"):
        more, factors = read_rule(rule, sources)
        for rate in more:
            if any(rate.meter == other.meter and rate.when == other.when for other in rates):
                rule.fail(None, f"{rate.meter!r} is priced twice under one condition", "remove one of the two")
        rates += more
        modifiers += factors
    seen = source.seen
    currency, usd = table.text("currency") or "USD", table.number("usd", positive=True)
    price = Price(
        source=source,
        rates=tuple(rates),
        modifiers=tuple(modifiers),
        valid_from=table.instant("valid_from"),
        valid_to=table.instant("valid_to"),
        recorded=table.instant("recorded") or (datetime(seen.year, seen.month, seen.day, tzinfo=UTC) if seen else None),
        currency=currency,
        usd=Decimal(1) if usd is None else usd,
        minimum_usd=table.number("minimum_usd", positive=True),
        note=table.text("note") or "",
    )
    table.finish()
    if not rates:
        table.fail(None, "a price without rates", "write [offer.price.rates]; a free model states a rate of 0")
    if not re.fullmatch("[A-Z]{3,12}", currency):
        table.fail("currency", f"currency {currency!r}", "write its code, such as EUR, CNY or CREDIT")
    if currency != "USD" and usd is None:
        table.fail("currency", f"no rate for {currency}", f"state the dollars for one {currency}: usd = …")
    if currency == "USD" and usd not in (None, 1):
        table.fail("usd", f"a dollar is not {usd} dollars", "state the currency, or remove usd")
    if price.valid_from and price.valid_to and price.valid_from >= price.valid_to:
        table.fail("valid_to", "the price ends before it starts", "exchange valid_from and valid_to")
    _refuse_ambiguous(table, rates)
    pair = clashing(modifiers)
    if pair is not None:
        table.fail(
            None,
            f"two factors by {' and '.join(sorted(pair[0].when.keys))} can hold for one request, neither the narrower: "
            f"{pair[0].factor} and {pair[1].factor}",
            "keep one, or narrow one of them: factors of one kind do not multiply",
        )
    return price


def _refuse_ambiguous(table: Table, rates: list[Rate]) -> None:
    """Refuse two rates of one meter that can hold together where neither condition is inside the other."""
    pair = ambiguous(rates)
    if pair is not None:
        first, second = pair
        table.fail(
            None,
            f"two prices of {first.meter!r} can hold for one request: {_keys(first)} and {_keys(second)}",
            "add a rule for the case that both hold, or narrow one of them",
        )


def _keys(rate: Rate) -> str:
    return "the one by " + " and ".join(sorted(rate.when.keys)) if rate.when.keys else "the unconditional one"


def _refuse_overlaps(tables: tuple[Table, ...], prices: list[Price]) -> None:
    """Refuse records of one offer that claim the same instant, as recorded on the same day."""
    order = sorted(range(len(prices)), key=lambda index: (prices[index].recorded or _BEGINNING, _order(prices[index])))
    for first, second in pairwise(order):
        before, after = prices[first], prices[second]
        if before.recorded != after.recorded:
            continue
        if before.valid_from == after.valid_from:
            tables[max(first, second)].fail(
                None,
                "two prices of one offer with the same valid_from",
                "change one, or state when each was recorded",
            )
        if before.valid_to and after.valid_from and before.valid_to > after.valid_from:
            tables[first].fail("valid_to", "this price overlaps the next", "the next price ends it: remove valid_to")


def _names(offer: Offer) -> Iterator[tuple[str | None, ...]]:
    for name in (offer.model, *offer.aliases):
        yield offer.provider, name.casefold(), offer.channel, offer.region


def _refuse_duplicates(root: Table, offers: tuple[Offer, ...]) -> None:
    """Refuse a name that two offers of one provider, channel and region share."""
    taken: set[tuple[str | None, ...]] = set()
    for index, offer in enumerate(offers):
        for name in _names(offer):
            if name in taken:
                root.document.fail(
                    ("offer", index),
                    f"{offer.provider}/{name[1]} is offered twice",
                    "put all its prices under one",
                )
            taken.add(name)
