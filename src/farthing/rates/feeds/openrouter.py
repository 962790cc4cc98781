"""OpenRouter's lists: its models (`/api/v1/models`) and one model's endpoints (`/api/v1/models/MODEL/endpoints`).

Prices are decimal text in dollars per single unit. They are already net of the `discount` that an
endpoint names. An override applies when all of its conditions hold (a prompt strictly above
`min_prompt_tokens`, a half-open UTC window that may wrap, weekdays); later overrides win key by key.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from farthing.evidence import Grade, Source
from farthing.problems import FarthingError, Problem
from farthing.rates.card import ALWAYS, Offer, Price, Rate, When, Window
from farthing.rates.feeds.base import Imported, Numbers, Stated, above, both, daily, object_of, rates_of, read_json
from farthing.units import METERS

FEED = "openrouter"

METER_OF_KEY = {
    "prompt": "input", "completion": "output", "request": "requests", "image": "input_image_count",
    "image_token": "input_image", "image_output": "image", "audio": "input_audio", "audio_output": "output_audio",
    "input_audio_cache": "cache_read_audio", "web_search": "web_search", "internal_reasoning": "reasoning",
    "input_cache_read": "cache_read", "input_cache_write": "cache_write", "input_cache_write_1h": "cache_write_1h",
}  # fmt: skip
"""Price key to meter. Every price is for one unit of it."""

_CONDITIONS = ("min_prompt_tokens", "utc_start", "utc_end", "utc_days")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MAIN = ("prompt", "completion")
# The list calls `image` and `image_output` prices of an image, and gives prices of a token for models that
# charge images by the token. No image costs less than a twentieth of a cent, and no token as much.
_LEAST_IMAGE = Decimal("0.0005")
_BY_TOKEN = {"image": "input_image", "image_output": "output_image"}


def read(content: bytes, where: str) -> Imported:
    """The models, or the endpoints of one model, in `content`; `where` names it in problems and sources.

    Raises `FarthingError` for what is not JSON or has neither.
    """
    data, repeated = read_json(content, where)
    source = Source(id=FEED, title="OpenRouter's price list", where=where, seen=None, grade=Grade.VENDOR_STATED)
    imported = Imported(feed=FEED, source=source, offers=[])
    imported.notes += [Problem(where, f"{key!r} is stated twice", "the last one was read") for key in repeated]
    inner = object_of(data, where).get("data")
    if isinstance(inner, dict) and isinstance(inner.get("endpoints"), list):
        for position, endpoint in enumerate(inner["endpoints"]):
            _read_entry(imported, endpoint, position, inner)
    elif isinstance(inner, list):
        for position, model in enumerate(inner):
            _read_entry(imported, model, position, None)
    else:
        raise FarthingError(f"{where}: holds neither a list of models nor a model's endpoints under 'data'")
    return imported


def _read_entry(imported: Imported, entry: Any, position: int, model: Mapping[str, Any] | None) -> None:
    """Read one model of the list, or one endpoint of `model`."""
    where = imported.source.where
    identity = (model or entry).get("id") if isinstance(entry, dict) else None
    if not isinstance(identity, str):
        imported.count(priced=False, problems=[Problem(f"{where}: entry {position}", "has no id")])
        return
    tag = str(entry.get("tag") or entry.get("provider_name") or position) if model is not None else ""
    reader = _Reader(f"{where}: entry {position}, {identity}" + (f" at {tag}" if tag else ""))
    rates, note = reader.rates(entry.get("pricing"))
    slug = (model or entry).get("canonical_slug")
    context = entry.get("context_length")
    notes = [note] if note else []
    if quantization := entry.get("quantization"):
        notes.append(f"quantization {quantization}")
    imported.offers.append(
        Offer(
            provider="openrouter", model=identity, channel=tag or "direct",
            prices=(Price(source=imported.source, rates=rates, note="; ".join(notes)),),
            aliases=(slug,) if isinstance(slug, str) and slug != identity else (),
            title=str((model or entry).get("name") or ""),
            context_window=context if isinstance(context, int) else None, note="; ".join(notes),
        )
    )  # fmt: skip
    imported.count(priced=bool(rates), problems=reader.problems)
    imported.repaired += reader.numbers.repaired


class _Reader:
    """Reads one entry's `pricing`, collecting what cannot be expressed."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.numbers = Numbers(place)
        self.problems: list[Problem] = []

    def problem(self, key: str, reason: str) -> None:
        self.problems.append(Problem(self.place, f"{key}: {reason}"))

    def rates(self, pricing: object) -> tuple[tuple[Rate, ...], str]:
        """The rates, and what is to be said of the whole."""
        if pricing is None:
            return (), "states no price"
        if not isinstance(pricing, dict):
            self.problem("pricing", "is not an object")
            return (), ""
        values = {k: v for k, v in pricing.items() if k not in ("discount", "overrides") and v is not None}
        variable = [key for key, value in values.items() if _number(value) == -1]
        notes = [f"the price of {', '.join(variable)} varies (stated as -1)"] if variable else []
        values = {key: value for key, value in values.items() if key not in variable}
        if any(_number(values.get(key)) for key in _MAIN):
            # Beside a price, 0 stands for "has no price of its own"; in a free offer it is the price.
            none = [key for key, value in values.items() if key not in _MAIN and _number(value) == 0]
            values = {key: value for key, value in values.items() if key not in none}
            notes += [f"no price of its own (0) for {', '.join(none)}"] if none else []
        if discount := _number(pricing.get("discount")):
            notes.append(f"net of a discount of {discount}")
        stated: dict[str, list[Stated]] = {}
        self.state(values.items(), ALWAYS, 0, stated)
        overrides = pricing.get("overrides") or []
        for rank, override in enumerate(overrides if isinstance(overrides, list) else [overrides], start=1):
            self.override(override, rank, stated)
        rates = [rate for meter, group in stated.items() for rate in rates_of(meter, group)]
        return tuple(rates), "; ".join(notes)

    def override(self, override: object, rank: int, stated: dict[str, list[Stated]]) -> None:
        if not isinstance(override, dict):
            self.problem("overrides", f"{override} is not an object")
            return
        try:
            when = _condition(override)
        except ValueError as error:
            self.problem("overrides", str(error))
            return
        prices = ((k, v) for k, v in override.items() if k not in _CONDITIONS and v is not None)
        self.state(prices, when, rank, stated)

    def state(
        self, prices: Iterable[tuple[str, object]], when: When, rank: int, stated: dict[str, list[Stated]]
    ) -> None:
        for key, value in prices:
            meter = METER_OF_KEY.get(key)
            if meter is None:
                self.problem(key, f"a price key that no meter stands for, with the value {value}")
                continue
            note = ""
            if key in _BY_TOKEN and 0 < (_number(value) or 0) < _LEAST_IMAGE:
                meter, note = _BY_TOKEN[key], f"stated as {key}: by its size the price of a token"
            try:
                amount, repaired = self.numbers.price(key, value, METERS[meter].per)
            except ValueError as error:
                self.problem(key, str(error))
                continue
            one = Stated(amount=amount, when=when, rank=rank, note="; ".join(n for n in (note, repaired) if n))
            group = stated.setdefault(meter, [])
            if not any(s.when == when and s.rank == rank for s in group):
                group.append(one)  # image and image_token may both state the token's price
            elif all(s.amount != amount for s in group if s.when == when and s.rank == rank):
                self.problem(key, f"another key states another price of {meter}")


def _condition(override: Mapping[str, Any]) -> When:
    """When an override applies. Raises `ValueError` for a condition that cannot be read, or for none."""
    when = ALWAYS
    least = override.get("min_prompt_tokens")
    if least is not None:
        if not isinstance(least, (int, Decimal)) or least != int(least) or least < 0:
            raise ValueError(f"min_prompt_tokens is {least}, not a count")
        when = above(int(least))
    start, end, days = (override.get(key) for key in _CONDITIONS[1:])
    if (start is None) != (end is None):
        raise ValueError("a window needs both utc_start and utc_end")
    if start is not None or days is not None:
        weekdays = range(7) if days is None else [_weekday(day) for day in days]
        minutes = daily(_clock(start), _clock(end), weekdays) if start is not None else daily(0, 0, weekdays)
        when = both(when, When(window=Window(minutes=minutes))) or when
    if when == ALWAYS:
        raise ValueError(f"an override without a condition that is known here: {sorted(override)}")
    return when


def _clock(value: object) -> int:
    """The minute of the day of an HHMM number: 1030 is 10:30."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2400 and value % 100 < 60:
        return (value // 100 * 60 + value % 100) % 1440
    raise ValueError(f"{value} is not a time of day as HHMM")


def _weekday(value: object) -> int:
    if isinstance(value, str) and value.lower() in _DAYS:
        return _DAYS.index(value.lower())
    raise ValueError(f"{value!r} is not a weekday")


def _number(value: object) -> Decimal | None:
    """`value` as a number where it is one, to compare it; prices are read by `Numbers`."""
    try:
        return msgspec.convert(value, Decimal, strict=False) if not isinstance(value, bool) else None
    except msgspec.ValidationError:
        return None


def looks_like(data: object) -> bool:
    """Whether `data` has the shape of these lists: `data` with priced models, or with endpoints."""
    inner = data.get("data") if isinstance(data, dict) else None
    if isinstance(inner, dict):
        return isinstance(inner.get("endpoints"), list)
    return isinstance(inner, list) and any(isinstance(item, dict) and "pricing" in item for item in inner)
