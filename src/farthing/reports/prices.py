"""Views of the price book: rows for tables, and the same in JSON's types. `price_tables` prints them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from statistics import median
from typing import Any

import msgspec

from farthing.evidence import Grade, Source
from farthing.money import decimal_text
from farthing.rates import history as past_lists
from farthing.rates.book import Book, Conflict, channel
from farthing.rates.card import ALWAYS, Offer, Price, Rate, When
from farthing.rates.check import Checked
from farthing.rates.compare import Comparison, Host, Markup, Platform, Quote, platform, quote
from farthing.rates.describe import describe, describe_terms, describe_unit
from farthing.rates.rules import batch_rule, caching_rule
from farthing.rates.select import Unknown, currency_factor, price_at
from farthing.reports.past_lists import said_then
from farthing.time import show_instant
from farthing.units import METERS

_LISTS = "price lists"
"""The layer of our history: it is shown beside the book's, which does not price by it."""
_MAIN = ("input", "cache_read", "output")
_MODES = (
    ("audio", {"audio_second", "input_audio_second", "output_audio_second", "character"}),
    ("video", {"video_second", "video"}),
    ("chat", {"output"}),
    ("embedding", {"input"}),
    ("gpu", {"gpu_hour"}),
    ("ocr", {"page", "annotated_page"}),
    ("rerank", {"rerank_search"}),
)
"""Modes by the meters that show them; the first that fits."""


class OfferRow(msgspec.Struct, frozen=True, kw_only=True):
    """One offer now: token prices per million, or the first price of another meter (`otherwise`)."""

    offer: Offer
    mode: str
    input: Quote
    cached: Quote
    output: Quote
    otherwise: str
    grade: Grade | None
    why: str = ""

    @property
    def priced(self) -> bool:
        return self.grade is not None


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One provider now. The output prices are of its offers that charge for output."""

    provider: str
    channel: str
    offers: int
    priced: int
    free: int
    lowest: Fraction | None
    median: Fraction | None
    highest: Fraction | None


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rate of one dated record; `change` is to the same source's record before, 1/10 is 10 % more."""

    layer: str
    valid_from: datetime | None
    valid_to: datetime | None
    recorded: datetime | None
    meter: str
    when: When
    usd: Fraction | None
    change: Fraction | None
    source: Source
    note: str
    after: datetime | None = None
    """The last list with another price: it began between this and `valid_from`."""
    unclear: bool = False
    """The lists do not say whether the price moved then, or was put right."""


# --- list -----------------------------------------------------------------------------------------


def offer_rows(book: Book, at: datetime, provider: str | None, glob: str | None, mode: str | None) -> list[OfferRow]:
    """The offers (of one provider; whose id or last part fits `glob`; of one mode) with their prices at `at`."""
    rows = []
    for offer in book.offers(provider):
        if glob is None or any(fnmatchcase(name, glob.lower()) for name in _globbed(offer)):
            row = _offer_row(offer, at)
            if mode is None or row.mode == mode:
                rows.append(row)
    return sorted(rows, key=lambda row: (row.offer.provider, row.offer.model.lower()))


def _globbed(offer: Offer) -> tuple[str, ...]:
    name = offer.model.lower()
    return name, name.rsplit("/", 1)[-1], offer.id.lower()


def _offer_row(offer: Offer, at: datetime) -> OfferRow:
    price = price_at(offer, at)
    if isinstance(price, Unknown) or not price.rates:
        why = price.reason if isinstance(price, Unknown) else "no price stated"
        none = Quote(usd=None, why=why)
        return OfferRow(offer=offer, mode=offer.mode, input=none, cached=none, output=none, otherwise="", grade=None,
                        why=why)  # fmt: skip
    quotes = [quote(price, meter, at) for meter in _MAIN]
    grades = [q.grade for q in quotes if q.grade is not None]
    other = next((rate for rate in price.rates if rate.meter not in _MAIN), price.rates[0])
    return OfferRow(
        offer=offer,
        mode=offer.mode or mode_of(price),
        input=quotes[0],
        cached=quotes[1],
        output=quotes[2],
        otherwise="" if grades else f"{rate_text(other, price)} / {describe_unit(other.meter, other.per)}",
        grade=min(grades, default=(other.source or price.source).grade),
    )


def mode_of(price: Price) -> str:
    """What an offer is for, as its meters show where no source says so: "chat", "embedding", "image", …"""
    meters = {rate.meter for rate in price.rates}
    if meters & {"image", "output_image", "pixel"} and not meters & {"output"}:
        return "image"
    return next((mode for mode, signs in _MODES if meters & signs), "other")


def provider_rows(book: Book, at: datetime) -> list[ProviderRow]:
    """Every provider with the number of its offers and the range of its output prices at `at`."""
    rows = []
    for name in book.providers:
        offers = [_offer_row(offer, at) for offer in book.offers(name)]
        outputs = [row.output.usd for row in offers if row.output.usd]
        rows.append(
            ProviderRow(
                provider=name,
                channel=channel(name),
                offers=len(offers),
                priced=sum(row.priced for row in offers),
                free=sum(row.input.usd == 0 and row.output.usd == 0 for row in offers),
                lowest=min(outputs, default=None),
                median=median(outputs) if outputs else None,
                highest=max(outputs, default=None),
            )
        )
    return rows


# --- show and history -----------------------------------------------------------------------------


def offer_view(book: Book, offer: Offer, at: datetime) -> dict[str, Any]:
    """Everything known of one offer at `at`, in JSON's types."""
    price = price_at(offer, at, book.as_of)
    caching, batch = caching_rule(offer.provider, offer.model, at), batch_rule(offer.provider, offer.model, at)
    return {
        **plain({k: getattr(offer, k) for k in ("id", "provider", "model", "title", "region", "mode", "aliases",
                                                "pattern", "context_window", "retires", "note")}),
        "channel": platform(offer),
        "at": show_instant(at),
        "price": price_view(price) if isinstance(price, Price) else None,
        "unknown": price.reason if isinstance(price, Unknown) else "",
        "lists_of_that_day": said_then(offer, price, at) if isinstance(price, Price) else None,
        "sources": [
            {"layer": layer, "prices": {m: _text(usd) for m in _MAIN if (usd := quote(p, m, at).usd) is not None},
             "note": p.note, "source": plain(p.source)}
            for layer, p in statements(book, offer, at)
        ],
        "conflicts": [conflict_view(c) for c in conflicts_of(book, offer, at)],
        "caching": plain(caching),
        "batch": plain(batch),
    }  # fmt: skip


def statements(book: Book, offer: Offer, at: datetime) -> list[tuple[str, Price]]:
    """What each source says of `offer` at `at`, the most trusted first."""
    found = []
    for layer in book.layers(offer.provider):
        theirs = next((o for name in (offer.model, *offer.aliases) if (o := layer.find(name))), None)
        price = price_at(theirs, at, book.as_of) if theirs else None
        if isinstance(price, Price):
            found.append((layer.name, price))
    return found


def conflicts_of(book: Book, offer: Offer, at: datetime) -> list[Conflict]:
    """Where another source says otherwise of `offer` at `at`."""
    names = {f"{offer.provider}/{name}" for name in (offer.model, *offer.aliases)}
    return [c for c in book.conflicts(offer.provider, at) if c.offer in names]


def price_view(price: Price) -> dict[str, Any]:
    """One dated record in JSON's types: each rate with its condition in words."""
    view: dict[str, Any] = plain(
        {k: getattr(price, k) for k in ("valid_from", "valid_to", "recorded", "currency", "usd", "minimum_usd", "note",
                                        "source")}
    )  # fmt: skip
    view["rates"] = [
        {"meter": r.meter, "amount": None if r.amount is None else decimal_text(r.amount), "per": r.per,
         "unit": METERS[r.meter].unit, "when": describe(r.when), "conditions": condition_view(r.when),
         "terms": describe_terms(r), "source": plain(r.source)}
        for r in ordered(price.rates)
    ]  # fmt: skip
    view["modifiers"] = [
        {"factor": decimal_text(m.factor), "meters": sorted(m.meters), "when": describe(m.when),
         "conditions": condition_view(m.when), "note": m.note, "source": plain(m.source)}
        for m in price.modifiers
    ]  # fmt: skip
    return view


def ordered(rates: Iterable[Rate]) -> list[Rate]:
    """Rates in the order in which meters are listed, the unconditional one first."""
    rank = {name: position for position, name in enumerate(METERS)}
    return sorted(rates, key=lambda r: (rank[r.meter], len(r.when.keys), describe(r.when)))


def condition_view(when: When) -> dict[str, Any]:
    """A condition's parts in JSON's types, without the bit mask of a window (its words are in `when`)."""
    view: dict[str, Any] = plain({k: getattr(when, k) for k in ("tier", "regions", "bands", "period")})
    view["attrs"] = dict(sorted(when.attrs))
    view["time"] = describe(When(window=when.window)) if when.window else None
    return {key: value for key, value in view.items() if value not in (None, [], {})}


def history(book: Book, offer: Offer, meters: Iterable[str], conditional: bool) -> list[HistoryRow]:
    """The dated records of every source, in order of time, undated first; all rates of `meters` with `conditional`."""
    rows: list[HistoryRow] = []
    for layer in book.layers(offer.provider):
        theirs = next((o for name in (offer.model, *offer.aliases) if (o := layer.find(name))), None)
        before: dict[tuple[str, When], Fraction] = {}
        for price in theirs.prices if theirs else ():
            for rate in ordered(r for r in price.rates if r.meter in meters and (conditional or r.when == ALWAYS)):
                usd = _usd(rate, price)
                last = before.get((rate.meter, rate.when))
                rows.append(
                    HistoryRow(
                        layer=layer.name, valid_from=price.valid_from, valid_to=price.valid_to,
                        recorded=price.recorded, meter=rate.meter, when=rate.when, usd=usd,
                        change=usd / last - 1 if usd is not None and last else None,
                        source=rate.source or price.source, note=rate.note or price.note,
                    )
                )  # fmt: skip
                if usd is not None:
                    before[rate.meter, rate.when] = usd
    known = {(row.meter, row.when, row.usd, row.valid_from.date()) for row in rows if row.valid_from}
    for row in _listed(offer, meters, conditional):
        # Where a vendor stated the day, the history has that statement, which is in the book as well.
        if row.valid_from is not None and (row.meter, row.when, row.usd, row.valid_from.date()) not in known:
            rows.append(row)
    return sorted(rows, key=lambda row: (row.valid_from is not None, row.valid_from or datetime.min))


def _listed(offer: Offer, meters: Iterable[str], conditional: bool) -> Iterator[HistoryRow]:
    """What dated price lists said of the offer (data/history): each time that a price began."""
    past = past_lists.find(offer.provider, (offer.model, *offer.aliases), offer.channel)
    before: dict[tuple[str, When], Fraction] = {}
    for price in past.prices if past else ():
        tiers = [(ALWAYS, price.usd_per_mtok)]
        tiers += [(When(tier="batch"), price.batch_usd_per_mtok)] if conditional else []
        for when, usd_per_mtok in tiers:
            for meter in (one for one in meters if one in usd_per_mtok):
                usd, last = Fraction(usd_per_mtok[meter]), before.get((meter, when))
                if usd != last:
                    yield HistoryRow(
                        layer=_LISTS, valid_from=price.start, valid_to=None, recorded=None, meter=meter,
                        when=when, usd=usd, change=usd / last - 1 if last else None, source=price.source, note="",
                        after=price.after, unclear=not price.sure,
                    )  # fmt: skip
                before[meter, when] = usd


def _usd(rate: Rate, price: Price) -> Fraction | None:
    """Dollars per published unit of the meter; None for a range or marginal steps."""
    if rate.per_count is None:
        return None
    return rate.per_count * METERS[rate.meter].per * METERS[rate.meter].scale * currency_factor(price)


# --- JSON -----------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """`value` in JSON's types: amounts as decimal text, instants as ISO 8601, structs as objects."""
    if isinstance(value, Grade):
        return str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (Decimal, Fraction)):
        return decimal_text(value)
    if isinstance(value, datetime):
        return show_instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(map(plain, value))
    return [plain(one) for one in value]


def _text(amount: Fraction | None) -> str | None:
    return None if amount is None else decimal_text(amount)


def rate_text(rate: Rate, price: Price) -> str:
    """A rate's amount as published, with its currency where that is not the dollar; a range or steps in words."""
    if rate.amount is None:
        return "; ".join(describe_terms(rate))
    sign = "$" if price.currency == "USD" else f"{price.currency} "
    return f"{sign}{decimal_text(rate.amount)}"


def offer_row_view(row: OfferRow) -> dict[str, Any]:
    """One line of `prices list`."""
    return {"id": row.offer.id, "channel": platform(row.offer), "mode": row.mode, **_quotes(row),
            "otherwise": row.otherwise, "grade": plain(row.grade), "unknown": row.why}  # fmt: skip


def _quotes(row: OfferRow | Host) -> dict[str, Any]:
    return {"input_usd_per_mtok": _text(row.input.usd), "cache_read_usd_per_mtok": _text(row.cached.usd),
            "output_usd_per_mtok": _text(row.output.usd)}  # fmt: skip


def comparison_view(found: Comparison) -> dict[str, Any]:
    """`prices compare MODEL`."""
    return {
        "family": found.family,
        "at": show_instant(found.at),
        "hosts": [
            {"id": h.offer.id, "provider": h.offer.provider, "model": h.offer.model, "platform": h.platform,
             **_quotes(h), "blended_usd_per_mtok": _text(h.blended), "ratio": _text(h.ratio), "variant": h.variant,
             "grade": str(h.grade)}
            for h in found.hosts
        ],
        "maker": found.maker,
        "markups": [markup_view(m) for m in found.markups],
        "left_out": {"variants": found.variants, "unpriced": found.unpriced},
    }  # fmt: skip


def markup_view(markup: Markup) -> dict[str, Any]:
    """One cloud offer's mark-up over the maker's; shares of the maker's price."""
    return {"platform": markup.platform, "id": markup.host.offer.id, "direct": markup.direct.offer.id,
            "input": _text(markup.input), "output": _text(markup.output), "blended": _text(markup.blended)}  # fmt: skip


def platform_view(row: Platform) -> dict[str, Any]:
    """One cloud platform's mark-ups, and what documents claim of them; shares of the makers' prices."""
    shares = [m.blended for m in row.markups]
    return {"platform": row.platform, "count": len(shares), "equal": row.equal, "median": _text(row.median),
            "min": _text(min(shares, default=None)), "max": _text(max(shares, default=None)),
            "assumed_left_out": row.doubtful, "claims": plain(row.claims),
            "markups": [markup_view(m) for m in row.markups]}  # fmt: skip


def history_view(offer: Offer, rows: Iterable[HistoryRow]) -> dict[str, Any]:
    """`prices history`: `usd` is dollars per `per` units of the meter, `change` a share of the price before."""
    records = []
    for row in rows:
        record = plain(row)
        record.update(when=describe(row.when), per=METERS[row.meter].per, unit=METERS[row.meter].unit)
        records.append(record)
    return {"id": offer.id, "records": records}


def conflict_view(conflict: Conflict) -> dict[str, Any]:
    """Two sources that disagree."""
    return dict(plain(conflict))


def checked_view(checked: Checked) -> dict[str, Any]:
    """`prices check`: every source's account, all conflicts, all problems."""
    accounts = []
    for account in checked.accounts:
        view = plain({k: getattr(account, k) for k in account.__struct_fields__ if k != "offers"})
        accounts.append({**view, "offers": len(account.offers)})
    pairs: Counter[tuple[str, str]] = checked.pairs
    return {
        "at": show_instant(checked.at),
        "clean": checked.clean,
        "sources": accounts,
        "conflicts": [conflict_view(c) for c in checked.conflicts],
        "conflict_pairs": [{"used": used, "other": other, "count": n} for (used, other), n in pairs.most_common()],
        "not_seen_lately": plain(checked.stale),
    }
