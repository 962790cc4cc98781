"""The catalogue of the installed `genai-prices` package, in full, with its own meaning kept.

In that package: of a list of conditional prices the last active one holds (the first if none is);
a start date is a UTC midnight; a time of day is half-open and wraps; a tier is a cliff, strictly above
its start, on all input tokens, for the whole request; a variant overrides price keys one by one, the
first that matches winning.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.evidence import Grade, Source
from farthing.problems import FarthingError, Problem
from farthing.rates.card import ALL_WEEK, ALWAYS, Offer, Price, Rate, When, Window
from farthing.rates.catalogue import ProviderNames
from farthing.rates.feeds.base import CHANNELS, Imported, Numbers, Stated, above, both, daily, rates_of
from farthing.rates.feeds.genai_match import pattern
from farthing.usage.record import tier_name

if TYPE_CHECKING:
    from genai_prices import types

FEED = "genai-prices"
_HOME = "https://github.com/pydantic/genai-prices"

METER_OF_KEY = {
    "input_mtok": "input", "output_mtok": "output", "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write", "cache_write_5m_mtok": "cache_write_5m", "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio", "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image", "output_image_mtok": "output_image",
    "input_video_mtok": "input_video", "output_video_mtok": "output_video",
    "cache_audio_read_mtok": "cache_read_audio", "cache_audio_write_mtok": "cache_write_audio",
    "cache_image_read_mtok": "cache_read_image", "cache_image_write_mtok": "cache_write_image",
    "cache_video_read_mtok": "cache_read_video", "cache_video_write_mtok": "cache_write_video",
    "input_tool_mtok": "input_tool", "output_reasoning_mtok": "reasoning", "output_citation_mtok": "output_citation",
    "input_mchars": "character", "input_text_messages_kcount": "message",
    "audio_hours": "audio_second", "input_audio_hours": "input_audio_second",
    "output_audio_hours": "output_audio_second", "input_gpixels": "input_pixel",
    "input_document_kpages": "page", "input_annotated_document_kpages": "annotated_page",
    "rerank_searches_kcount": "rerank_search", "web_searches_kcount": "web_search",
    "social_searches_kcount": "social_search", "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution", "requests_kcount": "requests",
}  # fmt: skip
"""Price key to meter; both are published at the same scale (per million, thousand, hour)."""

# Groq bills at least ten seconds of a transcription; the package has it in its code, not in its data.
_MINIMUM_SECONDS = {("groq", "whisper-large-v3"): Decimal(10), ("groq", "whisper-large-v3-turbo"): Decimal(10)}
_VARIANT_RANK = 1000


def provider_names() -> list[ProviderNames]:
    """The catalogue's providers, in its order: the first whose pattern is found is meant."""
    from genai_prices.data import providers

    return [
        ProviderNames(
            id=provider.id,
            title=provider.name,
            pattern=pattern(provider.provider_match) if provider.provider_match else "",
            model_pattern=pattern(provider.model_match) if provider.model_match else "",
            api_pattern=provider.api_pattern,
            fallbacks=tuple(provider.fallback_model_providers or ()),
        )
        for provider in providers
    ]


def load(provider: str | None = None) -> Imported:
    """The installed catalogue, or one provider's part of it (for a quick start).

    A model's first pattern in the order of `offers` is the one that the catalogue would choose.
    Raises `FarthingError` naming the nearest one for an unknown `provider`.
    """
    from importlib.metadata import version

    from genai_prices.data import providers

    chosen = [p for p in providers if provider is None or p.id == provider]
    if not chosen:
        import difflib

        near = difflib.get_close_matches(provider or "", [p.id for p in providers], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FarthingError(f"genai-prices has no provider {provider!r}{hint}")
    return import_providers(chosen, version("genai-prices"))


def import_providers(providers: Sequence["types.Provider"], version: str) -> Imported:
    """`providers`, as the package holds them, as offers; `version` is the package's."""
    title = f"genai-prices {version} (catalogue of provider price pages)"
    source = Source(id=FEED, title=title, where=_HOME, seen=None, grade=Grade.VENDOR_STATED)
    imported = Imported(feed=FEED, source=source, offers=[])
    for provider in providers:
        where = " ".join(provider.pricing_urls or ()) or _HOME
        page = msgspec.structs.replace(source, where=where)
        for model in provider.models:
            entry = _Entry(provider, model, page)
            imported.offers.append(entry.offer())
            imported.repaired.extend(entry.numbers.repaired)
            imported.count(priced=entry.priced, problems=entry.problems)
    return imported


class _Entry:
    """One model of the catalogue on its way to an offer, collecting what cannot be expressed."""

    def __init__(self, provider: "types.Provider", model: "types.ModelInfo", source: Source) -> None:
        self.provider, self.model, self.source = provider, model, source
        self.place = f"genai-prices: {provider.id}/{model.id}"
        self.numbers = Numbers(self.place)
        self.problems: list[Problem] = []
        self.priced = False
        self.seen: set[tuple[str, str]] = set()

    def offer(self) -> Offer:
        provider, model = self.provider, self.model
        prices = self.prices()
        self.numbers.repaired = list(dict.fromkeys(self.numbers.repaired))
        notes = ["deprecated by the provider"] if model.deprecated else []
        notes += [model.price_comments] if model.price_comments else []
        return Offer(
            provider=provider.id,
            model=model.id,
            prices=prices,
            channel=CHANNELS.get(provider.id, "direct"),
            pattern=pattern(model.match),
            title=model.name or "",
            context_window=model.context_window,
            note="; ".join(notes),
        )

    def problem(self, key: str, reason: str, repair: str = "") -> None:
        if (key, reason) not in self.seen:
            self.seen.add((key, reason))
            self.problems.append(Problem(self.place, f"{key}: {reason}", repair))

    def prices(self) -> tuple[Price, ...]:
        """The dated records: one from each day on which a price or a variant starts."""
        from genai_prices import types

        model = self.model
        constraints = [v.constraint for v in model.price_variants or ()]
        if isinstance(model.prices, list):
            constraints += [item.constraint for item in model.prices]
        starts = {c.start_date for c in constraints if isinstance(c, types.StartDateConstraint)}
        records: list[Price] = []
        for start in (None, *sorted(starts)):
            rates = self.rates(start)
            self.priced = self.priced or bool(rates)
            if not records or rates != records[-1].rates:
                records.append(Price(source=self.source, rates=rates, valid_from=_midnight(start)))
        return tuple(records)

    def rates(self, start: date | None) -> tuple[Rate, ...]:
        """The rates in force from `start` (None: before every stated start)."""
        cells = self.cells(start)
        variants = self.variants(start)
        keys: dict[str, None] = {}
        for prices in (*(prices for _, prices in cells), *(prices for _, prices in variants)):
            keys.update((key, None) for key, value in prices.__dict__.items() if value is not None)
        rates: list[Rate] = []
        for key in keys:
            meter = METER_OF_KEY.get(key)
            if meter is None:
                self.problem(key, "a price key that no meter stands for", f"add {key} to METER_OF_KEY")
                continue
            stated = self.stated(key, cells, variants)
            minimum = None
            if meter in ("audio_second", "input_audio_second"):
                minimum = _MINIMUM_SECONDS.get((self.provider.id, self.model.id))
            rates += rates_of(meter, stated, minimum)
        return tuple(rates)

    def cells(self, start: date | None) -> list[tuple[int, "types.ModelPrice"]]:
        """The minutes of the week with the price set that holds in them, the one for the rest last."""
        if not isinstance(self.model.prices, list):
            return [(ALL_WEEK, self.model.prices)]
        cells: list[tuple[int, types.ModelPrice]] = []
        left = ALL_WEEK
        for item in reversed(self.model.prices):
            minutes = self.minutes(item.constraint, start)
            if minutes & left:
                cells.append((minutes & left, item.prices))
                left &= ~minutes
        if left and self.model.prices:
            cells.append((left, self.model.prices[0].prices))
        return cells

    def variants(self, start: date | None) -> list[tuple[When, "types.ModelPrice"]]:
        found = []
        for variant in self.model.price_variants or ():
            minutes = self.minutes(variant.constraint, start)
            when = self.condition(variant.when)
            if minutes and when is not None:
                window = None if minutes == ALL_WEEK else Window(minutes=minutes)
                found.append((msgspec.structs.replace(when, window=window), variant.prices))
        return found

    def minutes(self, constraint: object, start: date | None) -> int:
        """The minutes of the week in which `constraint` holds, for requests from `start` on."""
        from genai_prices import types

        if constraint is None:
            return ALL_WEEK
        if isinstance(constraint, types.StartDateConstraint):
            return ALL_WEEK if start is not None and constraint.start_date <= start else 0
        if isinstance(constraint, types.TimeOfDateConstraint):
            low, high = _minute(constraint.start_time), _minute(constraint.end_time)
            if low is None or high is None:
                self.problem("constraint", f"{constraint} does not fall on whole minutes")
                return 0
            return 0 if low == high else daily(low, high)
        self.problem("constraint", f"unknown kind {type(constraint).__name__}")
        return 0

    def condition(self, when: dict[str, str]) -> When | None:
        """The condition that a variant's `when` states, or None (with a problem) for a contradiction."""
        tiers = {tier_name(v) for k, v in when.items() if k in ("processing", "service_tier", "speed")}
        if len(tiers) > 1:
            self.problem("price_variants", f"{when} names two tiers at once")
            return None
        attrs = {(k, v) for k, v in when.items() if k not in ("processing", "service_tier", "speed")}
        return When(tier=tiers.pop() if tiers else None, attrs=frozenset(attrs))

    def stated(
        self,
        key: str,
        cells: list[tuple[int, "types.ModelPrice"]],
        variants: list[tuple[When, "types.ModelPrice"]],
    ) -> list[Stated]:
        """What is stated of `key`: variants before times of day, those before context tiers."""
        stated = []
        priced = [(minutes, value) for minutes, prices in cells if (value := getattr(prices, key)) is not None]
        for position, (minutes, value) in enumerate(priced):
            # The price for the rest of the week needs no window, unless another cell leaves the key unpriced.
            rest = position == len(priced) - 1 and len(priced) == len(cells)
            when = ALWAYS if rest else When(window=Window(minutes=minutes))
            stated += self.tiers(key, value, when, 0 if rest else 1)
        for position, (when, prices) in enumerate(variants):
            value = getattr(prices, key)
            if value is not None:
                stated += self.tiers(key, value, when, _VARIANT_RANK - position)
        return stated

    def tiers(self, key: str, value: "Decimal | types.TieredPrices", when: When, rank: int) -> list[Stated]:
        steps = [(when, value)] if isinstance(value, Decimal) else [(when, value.base)]
        if not isinstance(value, Decimal):
            steps += [(narrow, t.price) for t in value.tiers if (narrow := both(when, above(t.start))) is not None]
        stated = []
        for condition, price in steps:
            try:
                amount, note = self.numbers.price(key, price)
            except ValueError as error:
                self.problem(key, str(error))
                continue
            stated.append(Stated(amount=amount, when=condition, rank=rank, note=note))
        return stated


def _minute(moment: time) -> int | None:
    """The UTC minute of the day of `moment` (naive is UTC), or None between two minutes."""
    zone = moment.tzinfo or UTC
    utc = datetime.combine(date(1970, 1, 1), moment.replace(tzinfo=zone)).astimezone(UTC)
    return utc.hour * 60 + utc.minute if not (utc.second or utc.microsecond) else None


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
