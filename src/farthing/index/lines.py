"""Price lines: what every offer charged through time, from the dated book and from our history.

Three kinds of statement say when a price began, and `quotes.joined` makes one series of them:

* A card of the user's or our own dated record of what a vendor stated (`data/prices`) goes before everything else from
  its first date on, as it does in the book.
* A record that the catalogue dates, and our history (`data/history`: a change lies between two snapshots), answer
  together: of the two the one that began later. So a stated date inside (after, start] is the change, and the snapshot
  that first saw the same price adds nothing.
* An undated record says nothing of when its price began. It makes no quote: no date is invented for it. Offers that
  have nothing else are counted (`Survey.undated`), and are in no index.

A line is a text model's: priced by input and by output token. Left out and counted: batch variants (":batch"), moving
pointers ("~…", "mistral-large-latest": the model behind the name changes, which is no change of a price), and models
whose output costs nothing while their input does (embeddings). Documents that claim prices (`data/prices/seed-*`) are
no source here.
"""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from fractions import Fraction
from functools import cache

import msgspec

from farthing.index import placeholders
from farthing.index.line import Line, Quote
from farthing.index.quotes import before, joined, of_history, of_offer
from farthing.problems import FarthingError
from farthing.rates import history
from farthing.rates.book import Book, Layer
from farthing.rates.card import Offer
from farthing.rates.compare import maker, platform
from farthing.rates.family import family
from farthing.rates.history import HistoryOffer

_TEXT_MODES = {"", "chat", "completion", "responses"}
_SEED = "seed-"
_POINTER = re.compile(r"[-/_.]latest$")
POINTER, BATCH, NO_TEXT = "moving pointer", "batch variant", "not a text model"
PLACEHOLDER = "placeholder"


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """The lines, and how many offers have none: `undated` (of no price is it known when it began), and `left_out` by
    reason ("moving pointer", "batch variant", "not a text model", "placeholder": see `placeholders`). `differing`: the
    ids of lines of which the sources state different prices now; the line has that of the rule above, `farthing prices
    check` shows them all."""

    lines: tuple[Line, ...]
    undated: int = 0
    left_out: dict[str, int] = {}
    differing: tuple[str, ...] = ()


class _Stated(msgspec.Struct, kw_only=True):
    """What the layers of the book say of one offer: `own` are cards' and vendors' statements. `past`: our history."""

    own: list[Offer] = []
    catalogue: list[Offer] = []
    past: HistoryOffer | None = None

    @property
    def offers(self) -> list[Offer]:
        return [*self.own, *self.catalogue]


def lines(
    book: Book, since: datetime | None = None, providers: Collection[str] | None = None, at: datetime | None = None
) -> list[Line]:
    """Every text model's dated prices at every provider (of `providers`), as known at `at` (None: now).

    Quotes that ended by `since`, or begin after `at`, are left out; so are offers without any dated price.
    Raises `FarthingError` for a provider that has no offers.
    """
    return list(survey(book, since, providers, at).lines)


def survey(
    book: Book, since: datetime | None = None, providers: Collection[str] | None = None, at: datetime | None = None
) -> Survey:
    """`lines`, with an account of the offers that have none."""
    now = at or datetime.now(UTC)
    past = _history()
    found: list[Line] = []
    left_out: Counter[str] = Counter()
    differing: list[str] = []
    undated = 0
    for provider in _asked(book, providers, past):
        known = provider in book.providers
        for model, stated in _stated(book.layers(provider) if known else [], past.get(provider, [])):
            reason = _unfit(model, stated)
            if reason:
                left_out[reason] += 1
                continue
            sources = _sources(stated)
            quotes = _until(joined(*sources), stated)
            kept = tuple(q for q in quotes if q.start <= now and (since is None or q.end is None or q.end > since))
            if not quotes:
                undated += 1
            elif not _is_text(quotes):
                left_out[NO_TEXT] += 1
            elif kept:
                found.append(_line(provider, model, stated, kept))
                if _differ(sources, now):
                    differing.append(found[-1].id)
    found, wrong = placeholders.without(found)
    if wrong:
        left_out[PLACEHOLDER] = wrong
    return Survey(lines=tuple(renewed(found)), undated=undated, left_out=dict(left_out), differing=tuple(differing))


def renewed(lines: Sequence[Line]) -> list[Line]:
    """`lines` with the quotes marked from which a name serves another model.

    A maker that gives several of its models one and the same price on one day, some of them dearer and some cheaper
    than before, has put a newer model behind their names (deepseek-chat and -reasoner in September 2025, grok-3 and
    grok-4 in September 2026): whoever asks for them gets another model, and no price was changed.
    """
    steps: dict[tuple[object, ...], list[tuple[Line, Quote, Quote]]] = {}
    for line in lines:
        if line.first_party:
            for one, other in itertools.pairwise(line.quotes):
                if one.end == other.start and _charged(one) != _charged(other):
                    steps.setdefault((line.provider, other.start, _charged(other)), []).append((line, one, other))
    marked: set[int] = set()
    for group in steps.values():
        moves = [
            other.usd_per_mtok[meter] - one.usd_per_mtok[meter]
            for _, one, other in group
            for meter in ("input", "output")
            if meter in one.usd_per_mtok and meter in other.usd_per_mtok
        ]
        several = len({line.family for line, _, _ in group}) > 1 and len({_charged(one) for _, one, _ in group}) > 1
        if several and any(move > 0 for move in moves) and any(move < 0 for move in moves):
            marked |= {id(other) for _, _, other in group}
    if not marked:
        return list(lines)
    return [
        msgspec.structs.replace(
            line,
            quotes=tuple(msgspec.structs.replace(q, renewed=True) if id(q) in marked else q for q in line.quotes),
        )
        for line in lines
    ]


def _charged(quote: Quote) -> tuple[Fraction | None, Fraction | None]:
    return quote.usd_per_mtok.get("input"), quote.usd_per_mtok.get("output")


def _asked(book: Book, providers: Collection[str] | None, past: Collection[str]) -> list[str]:
    everyone = sorted({*book.providers, *past})
    if providers is None:
        return everyone
    asked = []
    for name in providers:
        known = name if name in past else book.provider(name)
        if known is None or known not in everyone:
            import difflib

            near = difflib.get_close_matches(name, everyone, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise FarthingError(f"unknown provider {name!r}; {hint}`farthing prices list` shows them")
        asked.append(known)
    return list(dict.fromkeys(asked))


def _stated(layers: Sequence[Layer], past: Sequence[HistoryOffer]) -> Iterator[tuple[str, _Stated]]:
    """Each offer by the name that its line bears, with what everybody says of it.

    Our history names snapshots and pointers apart, where a layer may know one by the other's alias: each of them
    takes the layers' statements that bear its name.
    """
    groups: list[tuple[str, set[str], _Stated]] = []
    called: dict[str, int] = {}
    for layer in layers:
        if layer.name.startswith(_SEED):
            continue
        for offer in layer.offers:
            names = [name.casefold() for name in (offer.model, *offer.aliases)]
            place = next((called[name] for name in names if name in called), len(groups))
            if place == len(groups):
                groups.append((offer.model, set(), _Stated()))
            for name in names:
                called.setdefault(name, place)
            own = not layer.feed or layer.name != "genai-prices"
            (groups[place][2].own if own else groups[place][2].catalogue).append(offer)
    done = set()
    for old in past:
        place = called.get(old.model.casefold(), -1)
        done.add(place)
        stated = groups[place][2] if place >= 0 else _Stated()
        yield old.model, msgspec.structs.replace(stated, past=old)
    for place, (model, _, stated) in enumerate(groups):
        if place not in done:
            yield model, stated


def _unfit(model: str, stated: _Stated) -> str:
    """Why the offer can have no line; empty where it can."""
    name = model.lower()
    if name.startswith("~") or (name.endswith("latest") and _POINTER.search(_family(model))):
        return POINTER
    if name.endswith(":batch"):
        return BATCH
    modes = {offer.mode for offer in stated.offers} | ({stated.past.mode} if stated.past else set())
    if modes - _TEXT_MODES:
        return NO_TEXT
    meters = {rate.meter for offer in stated.offers for price in offer.prices for rate in price.rates}
    meters |= {meter for price in stated.past.prices for meter in price.usd_per_mtok} if stated.past else set()
    return "" if {"input", "output"} <= meters else NO_TEXT


def _is_text(quotes: Sequence[Quote]) -> bool:
    """Whether input and output have a price, and not (as with embeddings) output one of 0 and input another."""
    priced = [q.usd_per_mtok for q in quotes if {"input", "output"} <= q.usd_per_mtok.keys()]
    return bool(priced) and any(usd["output"] > 0 or usd["input"] == 0 for usd in priced)


def _sources(stated: _Stated) -> tuple[list[Quote], list[Quote], list[Quote]]:
    """The quotes of cards and vendors, of the catalogue, and of our history."""
    own: list[Quote] = []
    for offer in stated.own:  # the first one trusted most; a further one says what was before
        found = of_offer(offer)
        own = [*(before(found, own[0].start) if own else found), *own]
    catalogue = of_offer(stated.catalogue[0]) if stated.catalogue else []
    return own, catalogue, of_history(stated.past) if stated.past else []


def _until(quotes: list[Quote], stated: _Stated) -> list[Quote]:
    """`quotes` until the day on which the offer retires, where one is stated."""
    retires = min((offer.retires for offer in stated.offers if offer.retires), default=None)
    return before(quotes, datetime.combine(retires, time(), UTC)) if retires else quotes


def _differ(sources: Iterable[Sequence[Quote]], moment: datetime) -> bool:
    """Whether the sources that have a price at `moment` state different ones of input or output."""
    stated = set()
    for quotes in sources:
        q = next((q for q in quotes if q.start <= moment and (q.end is None or moment < q.end)), None)
        if q is not None:
            stated.add(_charged(q))
    return len(stated) > 1


def _line(provider: str, model: str, stated: _Stated, quotes: tuple[Quote, ...]) -> Line:
    key = _family(model)
    made_by = _maker(key)
    way = next((offer.channel for offer in (*stated.own, *stated.catalogue)), "direct")
    if stated.past is not None:
        way = stated.past.channel
    return Line(
        provider=provider,
        model=model,
        family=key,
        quotes=quotes,
        maker=made_by,
        first_party=made_by == provider,
        channel=platform(Offer(provider=provider, model=model, prices=(), channel=way)),
        mode=next((offer.mode for offer in stated.offers if offer.mode), stated.past.mode if stated.past else ""),
    )


@cache
def _family(model: str) -> str:
    return family(model)


@cache
def _maker(key: str) -> str | None:
    return maker(key)


def _history() -> dict[str, list[HistoryOffer]]:
    """Our history by provider: of a model that one provider sells over several channels, the direct one."""
    found: dict[str, dict[str, HistoryOffer]] = {}
    for one in history.offers():
        models = found.setdefault(one.provider, {})
        if one.model.casefold() not in models or one.channel == "direct":
            models[one.model.casefold()] = one
    return {provider: list(models.values()) for provider, models in found.items()}
