"""The models.dev catalogue (`api.json`): dollars per million tokens, by provider and model.

Context tiers are read as strictly above their size, as the name of the older `context_over_200k` has
it; where `tiers` are stated that older field only repeats them for old readers and is not a price.
A mode (`experimental.modes`) is a service tier with prices of its own, at any prompt length.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from farthing.evidence import Grade, Source
from farthing.problems import Problem
from farthing.rates.card import ALWAYS, Offer, Price, Rate, When
from farthing.rates.feeds.base import (
    CHANNELS,
    Imported,
    Numbers,
    Stated,
    above,
    both,
    note_zeros,
    object_of,
    rates_of,
    read_json,
)
from farthing.units import METERS
from farthing.usage.record import tier_name

FEED = "models.dev"

METER_OF_KEY = {
    "input": "input", "output": "output", "reasoning": "reasoning", "cache_read": "cache_read",
    "cache_write": "cache_write", "input_audio": "input_audio", "output_audio": "output_audio",
    "per_minute": "audio_second",
}  # fmt: skip
"""Price key to meter. Prices are per million tokens, and `per_minute` per sixty seconds of audio."""

PROVIDERS = {
    "amazon-bedrock": "aws", "xai": "x-ai", "fireworks-ai": "fireworks", "togetherai": "together",
    "google-vertex": "google", "google-vertex-anthropic": "google", "zhipuai": "zhipuai", "voyage": "voyageai",
    "azure-cognitive-services": "azure",
}  # fmt: skip
"""models.dev's provider to our provider id where they differ."""

_CHANNELS = {"google-vertex": "vertex", "google-vertex-anthropic": "vertex", "azure-cognitive-services": "azure-ai"}
_MODE_RANK = 10
_ZERO = "models.dev writes 0 for free and for included in a plan"


def read(content: bytes, where: str) -> Imported:
    """The catalogue in `content`; `where` names it in problems and sources.

    Raises `FarthingError` for what is not JSON or not an object.
    """
    data, repeated = read_json(content, where)
    source = Source(id=FEED, title="models.dev catalogue", where=where, seen=None, grade=Grade.ASSUMED)
    imported = Imported(feed=FEED, source=source, offers=[])
    imported.notes += [Problem(where, f"{key!r} is stated twice", "the last one was read") for key in repeated]
    for provider, stated in object_of(data, where).items():
        models = stated.get("models") if isinstance(stated, dict) else None
        if not isinstance(models, dict):
            imported.count(priced=False, problems=[Problem(f"{where}: {provider}", "holds no models")])
            continue
        page, grade = stated.get("doc"), Grade.VENDOR_STATED
        if not isinstance(page, str):
            page, grade = where, Grade.ASSUMED
        seen = Source(id=FEED, title=source.title, where=page, seen=None, grade=grade)
        for model, entry in models.items():
            _read_entry(imported, provider, model, entry, seen)
    return imported


def _read_entry(imported: Imported, provider: str, model: str, entry: Any, source: Source) -> None:
    reader = _Reader(f"{imported.source.where}: {provider}/{model}")
    if not isinstance(entry, dict):
        imported.count(priced=False, problems=[Problem(reader.place, "is not an object")])
        return
    rates, zero = note_zeros(reader.rates(entry), _ZERO)
    limit = entry.get("limit")
    context = limit.get("context") if isinstance(limit, dict) else None
    ours = PROVIDERS.get(provider, provider)
    imported.offers.append(
        Offer(
            provider=ours, model=model, prices=(Price(source=source, rates=rates),),
            channel=_CHANNELS.get(provider) or CHANNELS.get(ours, "direct"), title=str(entry.get("name") or ""),
            aliases=(f"{provider}/{model}",) if ours != provider else (),
            context_window=context if isinstance(context, int) else None,
            retires=_day(entry.get("deprecation_date")),
            note="deprecated by the provider" if entry.get("status") == "deprecated" else "",
        )
    )  # fmt: skip
    imported.count(priced=bool(rates), problems=reader.problems)
    imported.zero_rows += zero
    imported.repaired += reader.numbers.repaired


class _Reader:
    """Reads one model's costs, collecting what cannot be expressed."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.numbers = Numbers(place)
        self.problems: list[Problem] = []
        self.stated: dict[str, list[Stated]] = {}

    def problem(self, key: str, reason: str) -> None:
        self.problems.append(Problem(self.place, f"{key}: {reason}"))

    def rates(self, entry: Mapping[str, Any]) -> tuple[Rate, ...]:
        self.cost("cost", entry.get("cost"), ALWAYS, 0)
        experimental = entry.get("experimental")
        modes = experimental.get("modes") if isinstance(experimental, dict) else None
        for name, mode in (modes if isinstance(modes, dict) else {}).items():
            if isinstance(mode, dict):
                self.cost(f"modes.{name}", mode.get("cost"), When(tier=_tier(name, mode)), _MODE_RANK)
        return tuple(rate for meter, stated in self.stated.items() for rate in rates_of(meter, stated))

    def cost(self, name: str, cost: object, when: When, rank: int) -> None:
        if cost is None:
            return
        if not isinstance(cost, dict):
            self.problem(name, "is not an object")
            return
        tiers = cost.get("tiers")
        if tiers:
            for tier in tiers if isinstance(tiers, list) else [tiers]:
                self.tier(name, tier, when, rank)
        elif cost.get("context_over_200k") is not None:
            self.prices(f"{name}.context_over_200k", cost["context_over_200k"], above(200_000), when, rank)
        self.prices(
            name, {k: v for k, v in cost.items() if k not in ("tiers", "context_over_200k")}, ALWAYS, when, rank
        )

    def tier(self, name: str, tier: object, when: When, rank: int) -> None:
        match tier:
            case {"tier": {"size": int(size), **rest}} if size >= 0 and rest.get("type", "context") == "context":
                prices = {k: v for k, v in tier.items() if k != "tier"}  # type: ignore[attr-defined]
                self.prices(f"{name}.tiers", prices, above(size), when, rank)
            case _:
                self.problem(f"{name}.tiers", f"{tier} is not a context tier with a size")

    def prices(self, name: str, prices: object, narrow: When, when: When, rank: int) -> None:
        if not isinstance(prices, dict):
            self.problem(name, "is not an object")
            return
        condition = both(when, narrow) or when
        for key, value in prices.items():
            meter = METER_OF_KEY.get(key)
            if value is None:
                continue
            if meter is None:
                self.problem(f"{name}.{key}", f"a price key that no meter stands for, with the value {value}")
                continue
            try:
                amount, note = self.numbers.price(
                    f"{name}.{key}", value, METERS[meter].per // _UNITS.get(key, 1_000_000)
                )
            except ValueError as error:
                self.problem(f"{name}.{key}", str(error))
                continue
            self.stated.setdefault(meter, []).append(Stated(amount=amount, when=condition, rank=rank, note=note))


_UNITS = {"per_minute": 60}  # every other price is for a million tokens


def _tier(name: str, mode: Mapping[str, Any]) -> str:
    """The service tier of a mode: what its request asks for, else its name."""
    provider = mode.get("provider")
    for body in (mode.get("body"), provider.get("body") if isinstance(provider, dict) else None):
        if isinstance(body, dict):
            for key in ("service_tier", "speed"):
                if isinstance(body.get(key), str):
                    return tier_name(body[key])
    return tier_name(name)


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def looks_like(data: object) -> bool:
    """Whether `data` has the shape of this catalogue: providers that hold `models`."""
    return isinstance(data, dict) and any(
        isinstance(v, dict) and isinstance(v.get("models"), dict) for v in data.values()
    )
