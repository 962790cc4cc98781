"""Files in the format of LiteLLM's `model_prices_and_context_window.json`.

Read as LiteLLM's own cost code reads them: "above" is strictly above on all prompt tokens (xAI's from
the threshold on), ranges exclude their start and include their end, off-peak prices replace every
tier's, batch prices hold at any length, other tiers take the standard long-context price where they
state none. Unlike it, no price is borrowed: cached tokens without a price are not priced as input.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from farthing.evidence import Grade, Source
from farthing.problems import Problem
from farthing.rates.card import ALWAYS, Free, Modifier, Offer, Price, Rate, When
from farthing.rates.feeds.base import Imported, Numbers, Stated, above, both, note_zeros, object_of, rates_of, read_json
from farthing.rates.feeds.litellm_keys import (
    STRUCTURED,
    UPLIFT,
    Key,
    may_be_a_price,
    meter_of,
    parse_key,
    states_no_price,
)
from farthing.rates.feeds.litellm_names import Named, name_of
from farthing.rates.feeds.litellm_structures import (
    Conditional,
    free_images,
    off_peak,
    search_sizes,
    speed_and_region,
    tiers,
    unit_prices,
)
from farthing.rates.select import ambiguous

FEED = "litellm"
# The file's first entry documents the format; another holds rules for names. Neither is a model.
_NOT_ENTRIES = ("sample_spec", "fallback_generalizations")
_INCLUSIVE = ("xai",)
_BAND, _BATCH, _BOTH, _OFF_PEAK = 1, 2, 3, 4
# Google's prefixes of regions: "regional" is every location but "global".
_GOOGLE_REGIONS = ("us*", "eu*", "asia*", "australia*", "northamerica*", "southamerica*", "me-*", "africa*")
_ZERO = "LiteLLM writes 0 for free and for unknown"


class _Draft(msgspec.Struct):
    """An entry made ready: what it says, before entries of one model are put together."""

    entry: str
    named: Named
    price: Price
    mode: str
    context: int | None
    retires: date | None


def read(content: bytes, where: str, kept: "Kept | None" = None) -> Imported:
    """The price list in `content`; `where` names it in problems and sources.

    `kept` is for reading many lists: an entry that the list before it holds word for word is not read again (its
    source names the list that it was read from). Raises `FarthingError` for what is not JSON or not an object of
    objects.
    """
    data, repeated = read_json(content, where)
    source = Source(id=FEED, title="LiteLLM model prices", where=where, seen=None, grade=Grade.ASSUMED)
    imported = Imported(feed=FEED, source=source, offers=[])
    imported.notes += [Problem(where, f"{key!r} is stated twice", "the last one was read") for key in repeated]
    drafts = []
    for entry, stated in object_of(data, where).items():
        if entry in _NOT_ENTRIES:
            imported.notes.append(Problem(f"{where}: {entry}", "describes the format, not a model"))
            continue
        done = kept.get(entry) if kept is not None else None
        if done is None or done.stated != stated:
            done = _read(entry, stated, source)
            if kept is not None:
                kept[entry] = done
        if done.draft is not None:
            drafts.append(done.draft)
            imported.zero_rows += done.zero
        imported.count(priced=done.priced, problems=done.at(where, done.problems))
        imported.repaired += done.at(where, done.repaired)
        imported.notes += done.at(where, done.notes)
    imported.offers, doubles = _offers(drafts, where)
    imported.notes += doubles
    return imported


class Done(msgspec.Struct, frozen=True):
    """What an entry stated, and what was made of it."""

    entry: str
    stated: object
    where: str
    draft: _Draft | None
    problems: list[Problem]
    repaired: list[Problem]
    notes: list[Problem]
    zero: bool

    @property
    def priced(self) -> bool:
        return self.draft is not None and bool(self.draft.price.rates)

    def at(self, where: str, found: list[Problem]) -> list[Problem]:
        """`found`, as problems of the list `where`."""
        if where == self.where or not found:
            return found
        return [msgspec.structs.replace(problem, place=f"{where}: {self.entry}") for problem in found]


Kept = dict[str, Done]
"""Entries of the lists read so far, by name: each as it stood last."""


def _read(entry: str, stated: object, source: Source) -> Done:
    reader = _Reader(entry, stated, source)
    draft = reader.draft()
    return Done(entry, stated, source.where, draft, reader.problems, reader.numbers.repaired, reader.notes, reader.zero)


class _Reader:
    """Reads one entry, collecting what cannot be expressed."""

    def __init__(self, entry: str, stated: object, source: Source) -> None:
        self.entry, self.source = entry, source
        self.stated: dict[str, Any] = stated if isinstance(stated, dict) else {}
        self.place = f"{source.where}: {entry}"
        self.numbers = Numbers(self.place)
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.zero = False
        if not isinstance(stated, dict):
            self.problem("entry", "is not an object")
        elif not isinstance(stated.get("litellm_provider"), str):
            self.problem("litellm_provider", "is missing, so nobody's prices")

    def problem(self, key: str, reason: str, repair: str = "") -> None:
        self.problems.append(Problem(self.place, f"{key}: {reason}", repair))

    def draft(self) -> _Draft | None:
        if self.problems:
            return None
        self.provider = self.stated["litellm_provider"]
        mode = self.stated.get("mode")
        self.mode = mode if isinstance(mode, str) else ""
        self.named = name_of(self.entry, self.provider, self.mode)
        self.by_meter: dict[str, list[Stated]] = {}
        self.minor: dict[str, list[str]] = {}
        for key, value in self.stated.items():
            self.read_key(key, value)
        self.read_structures()
        rates = self.rates()
        context = self.stated.get("max_input_tokens")
        source = self.source
        if isinstance(page := self.stated.get("source"), str):
            source = msgspec.structs.replace(source, where=page, grade=Grade.VENDOR_STATED)
        return _Draft(
            entry=self.entry,
            named=self.named,
            price=Price(source=source, rates=rates, modifiers=self.modifiers()),
            mode=self.mode,
            context=int(context) if isinstance(context, (int, Decimal)) else None,
            retires=_day(self.stated.get("deprecation_date")),
        )

    # --- plain keys ---

    def read_key(self, key: str, value: object) -> None:
        if key in STRUCTURED or UPLIFT.fullmatch(key) or value is None:
            return
        parsed = parse_key(key)
        if parsed is not None:
            self.state(parsed, key, value)
        elif not states_no_price(key) and may_be_a_price(key, value):
            self.problem(key, f"a key that is not known, with the value {value}", "teach litellm_keys.py what it means")

    def state(self, key: Key, name: str, value: object, extra: When = ALWAYS, rank: int | None = None) -> None:
        """State the price `value` of `key`, under the key's own condition and `extra`."""
        meter, times = meter_of(key, self.mode, self.stated)
        when: When | None = When(tier=key.tier, attrs=key.attrs | self.named.attrs)
        if key.above is not None and when is not None:
            when = both(when, above(key.above, inclusive=self.provider in _INCLUSIVE))
        when = both(when, extra) if when is not None else None
        if when is None:
            self.problem(name, "states conditions that cannot hold together")
            return
        try:
            amount, note = self.numbers.price(name, value, times)
        except ValueError as error:
            self.problem(name, str(error))
            return
        if rank is None:
            rank = _BATCH if key.tier == "batch" else 0
            rank = (_BOTH if key.tier else _BAND) if key.above is not None else rank
        self.by_meter.setdefault(meter, []).append(Stated(amount=amount, when=when, rank=rank, note=note))

    # --- keys that hold a structure ---

    def read_structures(self) -> None:
        found: list[Conditional] = []
        for key, reader in (("tiered_pricing", tiers), ("off_peak_pricing", off_peak),
                            ("guardrail_cost_per_unit", unit_prices),
                            ("search_context_cost_per_query", search_sizes),
                            ("search_queries_cost_per_query", search_sizes)):  # fmt: skip
            if self.stated.get(key) is not None:
                try:
                    found += reader(self.stated[key])
                except ValueError as error:
                    self.problem(key, str(error))
        for one in found:
            if one.meter is None:
                parsed = parse_key(one.key)
                if parsed is None:
                    self.problem(one.structure, f"holds {one.key}, which is not a price key")
                else:
                    rank = _OFF_PEAK if one.structure == "off_peak_pricing" else _BAND
                    self.state(parsed, f"{one.structure}.{one.key}", one.value, one.when, rank)
                continue
            try:
                amount, note = self.numbers.price(one.key, one.value, one.times)
            except ValueError as error:
                self.problem(f"{one.structure}.{one.key}", str(error))
                continue
            when = both(one.when, When(attrs=self.named.attrs)) or one.when
            self.by_meter.setdefault(one.meter, []).append(Stated(amount=amount, when=when, note=note))

    def modifiers(self) -> tuple[Modifier, ...]:
        """Regional and speed factors on every token price."""
        found: list[tuple[str, object, When]] = []
        for key, value in self.stated.items():
            if uplift := UPLIFT.fullmatch(key):
                found.append((key, value, When(regions=frozenset({uplift.group(1)}))))
            elif key == "regional_endpoint_uplift_multiplier":
                found.append((key, value, When(regions=frozenset(_GOOGLE_REGIONS))))
            elif key == "provider_specific_entry" and isinstance(value, Mapping):
                found += speed_and_region(value)
                unknown = [k for k, v in value.items() if isinstance(v, (int, Decimal)) and not isinstance(v, bool)
                           and k not in ("us", "eu", "fast", "minimax_free_input_images")]  # fmt: skip
                for name in unknown:
                    self.problem(f"{key}.{name}", f"a number that is not known: {value[name]}")
        made = []
        for key, value, when in found:
            try:
                factor, note = self.numbers.price(key, value)
            except ValueError as error:
                self.problem(key, str(error))
                continue
            made.append(Modifier(when=when, factor=factor, note=note or key))
        return tuple(made)

    # --- from what is stated to rates ---

    def rates(self) -> tuple[Rate, ...]:
        if self.by_meter.get("image") and self.by_meter.get("pixel"):
            # The same image priced in two ways; LiteLLM charges by the image where both are stated.
            for one in self.by_meter.pop("pixel"):
                if one.amount:
                    self.remark("image", f"also stated as {one.amount} per thousand million pixels")
        for side in ("input", "output"):
            # "db" is what the lists of 2024 and 2025 wrote for output.
            units = self.stated.get(f"{side}_dbu_cost_per_token", self.stated.get(f"{side}_db_cost_per_token"))
            if units is None:
                continue
            if side in self.by_meter:
                self.remark(side, f"also stated as {units} DBU per token")
            else:
                self.problem(
                    f"{side}_dbu_cost_per_token", "is in Databricks units, and no price in dollars stands by it"
                )
        rates: list[Rate] = []
        for meter, stated in self.by_meter.items():
            rates += rates_of(meter, self.one_each(meter, stated))
        noted, self.zero = note_zeros([self.finished(rate) for rate in rates], _ZERO)
        return noted

    def remark(self, meter: str, text: str) -> None:
        self.minor.setdefault(meter, []).append(text)
        self.notes.append(Problem(self.place, f"{meter}: {text}"))

    def one_each(self, meter: str, stated: list[Stated]) -> list[Stated]:
        """`stated` without repetitions: two keys may say the same; a 0 beside a price says nothing."""
        by_condition: dict[When, list[Stated]] = {}
        for one in stated:
            by_condition.setdefault(one.when, []).append(one)
        kept = []
        for group in by_condition.values():
            amounts = {one.amount for one in group}
            if len(amounts) > 1 and Decimal(0) in amounts:
                self.remark(meter, "another key states 0 for it")
                amounts.discard(Decimal(0))
            if len(amounts) > 1:
                self.problem(meter, f"two prices at once: {' and '.join(sorted(map(str, amounts)))}")
            kept.append(next(one for one in group if one.amount in amounts))
        return kept

    def finished(self, rate: Rate) -> Rate:
        """`rate` with its free quota and remarks."""
        notes = [rate.note] if rate.note else []
        if rate.when == ALWAYS:
            notes += self.minor.get(rate.meter, [])
        if rate.meter == "web_search":
            if unit := self.stated.get("web_search_billing_unit"):
                notes.append(f"billed {str(unit).replace('_', ' ')}")
            return msgspec.structs.replace(rate, free=self.quota(), note="; ".join(notes))
        if rate.meter == "input_image_count" and rate.amount is not None:
            specific = self.stated.get("provider_specific_entry")
            rate = msgspec.structs.replace(rate, brackets=free_images(specific, rate.amount))
        return msgspec.structs.replace(rate, note="; ".join(notes))

    def quota(self) -> Free | None:
        stated = self.stated.get("search_free_requests")
        if stated is None:
            return None
        match stated:
            case {"count": int(count), "period": ("day" | "month") as period, **rest}:
                return Free(quantity=count, per=period, group=str(rest.get("shared_group") or ""))
        self.problem("search_free_requests", f"{stated} is not a count per day or month")
        return None


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _offers(drafts: list[_Draft], where: str) -> tuple[list[Offer], list[Problem]]:
    """Offers of `drafts`: entries of one model that differ only in what they select are one offer."""
    groups: dict[tuple[str, str, str | None, str], list[_Draft]] = {}
    for draft in drafts:
        named = draft.named
        groups.setdefault((named.provider, named.channel, named.region, named.model), []).append(draft)
    offers, doubles = [], []
    for group in groups.values():
        made: list[tuple[_Draft, list[str]]] = []
        for draft in group:
            for position, (other, entries) in enumerate(made):
                merged = _merged(other, draft)
                if merged is not None:
                    made[position] = (merged, [*entries, draft.entry])
                    break
            else:
                made.append((draft, [draft.entry]))
        for draft, entries in made:
            note = ""
            if len(made) > 1:
                others = [e for _, es in made for e in es if e not in entries]
                note = f"stated otherwise under {others[0]}"
                doubles.append(Problem(f"{where}: {entries[0]}", note))
            named = draft.named
            offers.append(
                Offer(
                    provider=named.provider, model=named.model, prices=(draft.price,), channel=named.channel,
                    region=named.region, aliases=tuple(e for e in entries if e != named.model), mode=draft.mode,
                    context_window=draft.context, retires=draft.retires, note=note,
                )
            )  # fmt: skip
    return offers, doubles


def _merged(one: _Draft, other: _Draft) -> _Draft | None:
    """Both entries as one, where they say the same or select different things; else None."""
    if one.price.rates == other.price.rates and one.price.modifiers == other.price.modifiers:
        return one
    if not (one.named.attrs or other.named.attrs) or one.price.modifiers != other.price.modifiers:
        return None
    rates = (*one.price.rates, *other.price.rates)
    tokens = {"output", "output_image"} & {rate.meter for rate in rates}
    if ambiguous(rates) or (tokens and "image" in {rate.meter for rate in rates}):
        return None  # images by the piece and by the token are two ways to charge for one thing
    price = msgspec.structs.replace(one.price, rates=rates)
    return msgspec.structs.replace(one, price=price)


def looks_like(data: object) -> bool:
    """Whether `data` has the shape of this format: entries that name a `litellm_provider`."""
    return isinstance(data, dict) and any(isinstance(v, dict) and "litellm_provider" in v for v in data.values())
