"""Writing offers as a rate card (TOML) that `load_card` reads back as the same offers.

`prepare` puts offers into the form that a card has (every source with an id of its own and a day, every record
with the day we learned of it, rates grouped by condition); `write_card` writes that form without loss.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError, Problem
from farthing.rates.card import ALWAYS, NO_LIMIT, Band, Modifier, Offer, Price, Rate, When, Window
from farthing.rates.check import Account
from farthing.rates.describe import clock, edge, spans
from farthing.rates.toml import load_card
from farthing.rates.toml_rates import DAYS
from farthing.time import show_instant
from farthing.units import METERS
from farthing.usage.record import tier_name

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BEGINNING = datetime.min.replace(tzinfo=UTC)


# --- into the form of a card -------------------------------------------------------------------


def prepare(offers: Iterable[Offer], seen: date) -> tuple[list[Offer], list[Problem]]:
    """`offers` as a card can hold them, and those that it cannot hold, each with the reason.

    `seen`: the day on which sources were read that state none. An offer without any rate has no
    price to write. A second offer of one name is written under the next of its own names.
    """
    kept: list[Offer] = []
    left: list[Problem] = []
    sources: dict[Source, Source] = {}
    listed = list(offers)
    names = _names(listed)
    for position, offer in enumerate(listed):
        prices = [_price(price, seen, sources) for price in offer.prices if price.rates]
        prices = [price for price in prices if price.rates]
        if len(prices) < len(offer.prices):
            left.append(Problem(offer.id, "no price", "it stays unknown"))
        if prices and not names[position]:
            left.append(Problem(offer.id, "another offer of that name came before", "keep one of the two"))
        elif prices:
            kept.append(
                msgspec.structs.replace(
                    offer,
                    model=names[position][0],
                    aliases=tuple(names[position][1:]),
                    prices=tuple(sorted(prices, key=lambda p: (p.valid_from or _BEGINNING, p.recorded or _BEGINNING))),
                    context_window=offer.context_window or None,  # feeds write 0 for "not stated"
                )
            )
    return kept, left


def _names(offers: Sequence[Offer]) -> dict[int, list[str]]:
    """The names of each offer (by position) that are its alone; those with fewer names choose first."""
    taken: set[tuple[str | None, ...]] = set()
    names: dict[int, list[str]] = {}
    for position in sorted(range(len(offers)), key=lambda p: len(offers[p].aliases)):
        offer = offers[position]
        names[position] = []
        for name in (offer.model, *offer.aliases) if any(price.rates for price in offer.prices) else ():
            key = (offer.provider, offer.channel, offer.region, name.casefold())
            if key not in taken:
                taken.add(key)
                names[position].append(name)
    return names


def _price(price: Price, seen: date, sources: dict[Source, Source]) -> Price:
    def named(source: Source) -> Source:
        if source not in sources:
            taken = {known.id for known in sources.values()}
            name, number = source.id or "source", 1
            while name in taken:
                number += 1
                name = f"{source.id or 'source'}-{number}"
            sources[source] = msgspec.structs.replace(
                source, id=name, seen=source.seen or seen, title=source.title or name, where=source.where or "unstated"
            )
        return sources[source]

    source = named(price.source)
    day = source.seen or seen
    groups: dict[When, list[Rate]] = {ALWAYS: []}
    for rate in price.rates:
        if _never(rate.when):
            continue
        when = _when(rate.when)
        own = named(rate.source) if rate.source else None
        free = rate.free if rate.free and rate.free.quantity else None
        amount = None if rate.brackets else rate.amount
        groups.setdefault(when, []).append(
            msgspec.structs.replace(rate, when=when, source=own, free=free, amount=amount, note=rate.note.strip())
        )
    modifiers = [
        msgspec.structs.replace(m, when=_when(m.when), source=named(m.source) if m.source else None)
        for m in price.modifiers
        if not _never(m.when)
    ]
    return msgspec.structs.replace(
        price,
        source=source,
        rates=tuple(rate for group in groups.values() for rate in group),
        modifiers=tuple(modifiers),
        recorded=price.recorded or datetime(day.year, day.month, day.day, tzinfo=UTC),
    )


def _never(when: When) -> bool:
    """Whether no request can be in `when`: a period without length, which a card cannot state and need not."""
    period = when.period
    return period is not None and period.start is not None and period.end is not None and period.start >= period.end


def _when(when: When) -> When:
    window = when.window
    if window is not None and window.dates & window.not_dates:  # a day in both is inside, so its exception says nothing
        window = msgspec.structs.replace(window, not_dates=window.not_dates - window.dates)
    tier = tier_name(when.tier) if when.tier else when.tier
    return msgspec.structs.replace(when, window=window, tier=tier)


# --- into text ----------------------------------------------------------------------------------


def write_card(offers: Sequence[Offer], heading: Sequence[str] = (), footer: Sequence[str] = ()) -> str:
    """The rate card of `offers` (as `prepare` gives them) as TOML text; `heading` and `footer` become comments.

    The text is read back before it is returned. Raises `FarthingError` for what the format cannot hold.
    """
    if not offers:
        raise FarthingError("no offer with a price to write")
    sources = {s.id: s for offer in offers for price in offer.prices for s in _sources(price)}
    lines = [f"# {_comment(line)}" for line in heading]
    for source in sources.values():
        lines += ["", f"[source.{_key(source.id)}]", f"title = {_text(source.title)}", f"where = {_text(source.where)}"]
        lines += [f"seen = {source.seen}", f"grade = {_text(str(source.grade))}"]
    for offer in offers:
        lines += ["", "[[offer]]", *_offer(offer)]
        for price in offer.prices:
            lines += ["[[offer.price]]", *_record(price)]
    lines += [""] * bool(footer) + [f"# {_comment(line)}" for line in footer]
    text = "\n".join(lines).lstrip("\n") + "\n"
    if load_card(text, "the card to be written").offers != tuple(offers):
        raise FarthingError("the card would not say the same as its source; please report this")
    return text


def card_of(accounts: Sequence[Account], seen: date, heading: str) -> tuple[str, int]:
    """The rate card of all offers of `accounts`, read on the day `seen`, and the number of offers in it.

    What the card does not hold (no price, not expressed) is listed in comments at its end.
    """
    offers, left = prepare((offer for account in accounts for offer in account.offers), seen)
    missing = [problem for account in accounts for problem in account.not_expressed]
    footer = [f"left out: {problem}" for problem in left] + [f"not expressed: {problem}" for problem in missing]
    return write_card(offers, [heading.removeprefix("# ")], footer), len(offers)


def _sources(price: Price) -> list[Source]:
    found = [price.source, *(rate.source for rate in price.rates), *(m.source for m in price.modifiers)]
    return [source for source in found if source is not None]


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _offer(offer: Offer) -> list[str]:
    lines = [f"provider = {_text(offer.provider)}", f"model = {_text(offer.model)}"]
    if offer.aliases:
        lines.append(f"aliases = {_texts(offer.aliases)}")
    stated = {"pattern": offer.pattern, "channel": offer.channel if offer.channel != "direct" else "",
              "region": offer.region, "title": offer.title, "mode": offer.mode}  # fmt: skip
    lines += [f"{key} = {_text(value)}" for key, value in stated.items() if value]
    if offer.context_window is not None:
        lines.append(f"context_window = {offer.context_window}")
    if offer.retires is not None:
        lines.append(f"retires = {offer.retires}")
    return [*lines, *_note(offer.note)]


def _record(price: Price) -> list[str]:
    lines = [f"source = {_text(price.source.id)}"]
    for key in ("valid_from", "valid_to", "recorded"):
        moment: datetime | None = getattr(price, key)
        if moment is not None:
            lines.append(f"{key} = {show_instant(moment)}")
    if price.currency != "USD":
        lines += [f"currency = {_text(price.currency)}", f"usd = {_number(price.usd)}"]
    elif price.usd != 1:
        raise FarthingError(f"a dollar is not {price.usd} dollars")
    if price.minimum_usd is not None:
        lines.append(f"minimum_usd = {_number(price.minimum_usd)}")
    lines += _note(price.note)
    groups: dict[When, list[Rate]] = {}
    for rate in price.rates:
        groups.setdefault(rate.when, []).append(rate)
    if ALWAYS in groups:
        lines += ["[offer.price.rates]", *(f"{rate.meter} = {_rate(rate)}" for rate in groups.pop(ALWAYS))]
    for when, rates in groups.items():
        inner = ", ".join(f"{rate.meter} = {_rate(rate)}" for rate in rates)
        lines += ["[[offer.price.rule]]", f"when = {_condition(when)}", f"rates = {{ {inner} }}"]
    for modifier in price.modifiers:
        lines += ["[[offer.price.rule]]", *_modifier(modifier)]
    return lines


def _modifier(modifier: Modifier) -> list[str]:
    lines = [f"when = {_condition(modifier.when)}", f"multiply = {_number(modifier.factor)}"]
    if modifier.meters:
        lines.append(f"meters = {_texts(sorted(modifier.meters))}")
    if modifier.source is not None:
        lines.append(f"source = {_text(modifier.source.id)}")
    return [*lines, *_note(modifier.note)]


def _rate(rate: Rate) -> str:
    parts = []
    for key in ("amount", "low", "high", "minimum", "step"):
        value: Decimal | None = getattr(rate, key)
        if value is not None:
            parts.append(f"{key} = {_number(value)}")
    if rate.per != METERS[rate.meter].per:
        parts.append(f"per = {rate.per}")
    if rate.brackets:
        steps = [
            f"up_to = {b.up_to}, " * (b.up_to is not None) + f"amount = {_number(b.amount)}" for b in rate.brackets
        ]
        parts.append("brackets = [" + ", ".join(f"{{ {step} }}" for step in steps) + "]")
    if rate.brackets_per != "request":
        parts.append(f"brackets_per = {_text(rate.brackets_per)}")
    if rate.group:
        parts.append(f"group = {_text(rate.group)}")
    if rate.free is not None:
        group = f", group = {_text(rate.free.group)}" if rate.free.group else ""
        parts.append(f"free = {{ quantity = {rate.free.quantity}, per = {_text(rate.free.per)}{group} }}")
    parts += _note(rate.note)
    if rate.source is not None:
        parts.append(f"source = {_text(rate.source.id)}")
    if len(parts) == 1 and rate.amount is not None:
        return _number(rate.amount)
    return f"{{ {', '.join(parts)} }}"


def _condition(when: When) -> str:
    parts = [f"tier = {_text(when.tier)}"] if when.tier is not None else []
    if when.regions is not None:
        parts.append(f"regions = {_texts(sorted(when.regions))}")
    if when.bands:
        parts.append(f"context = [{', '.join(map(_band, when.bands))}]")
    if when.window is not None:
        parts.append(f"time = [{', '.join(_windows(when.window))}]")
    if when.period is not None:
        ends = [("from", when.period.start), ("to", when.period.end)]
        parts.append(f"period = {{ {', '.join(f'{key} = {show_instant(m)}' for key, m in ends if m is not None)} }}")
    parts += [f"{_key(key)} = {_text(value)}" for key, value in sorted(when.attrs)]
    return f"{{ {', '.join(parts)} }}"


def _band(band: Band) -> str:
    parts = []
    if band.low or band.high >= NO_LIMIT:
        low, over = edge(band, band.low)
        parts.append(f"over = {low}" if over else f"at_least = {low}")
    if band.high < NO_LIMIT:
        high, included = edge(band, band.high)
        parts.append(f"up_to = {high}" if included else f"under = {high}")
    if band.of != "prompt":
        parts.append(f"of = {_text(band.of)}")
    return f"{{ {', '.join(parts)} }}"


def _windows(window: Window) -> list[str]:
    if not window.minutes:
        raise FarthingError("a rate card cannot state a window of whole dates only")
    tables: list[str] = []
    for start, end, days in spans(window.minutes):
        parts = [f'from = "{clock(start)}", to = "{clock(end)}"']
        if len(days) < 7:
            parts.append(f"days = {_texts([DAYS[day] for day in days])}")
        if window.decides != "start":
            parts.append(f"decides = {_text(window.decides)}")
        if not tables:
            for key, dates in (("dates", window.dates), ("not_dates", window.not_dates)):
                if dates:
                    parts.append(f"{key} = [{', '.join(map(str, sorted(dates)))}]")
        tables.append(f"{{ {', '.join(parts)} }}")
    return tables


def _note(note: str) -> list[str]:
    return [f"note = {_text(note)}"] if note.strip() else []


def _number(number: Decimal) -> str:
    return format(number, "f")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)
