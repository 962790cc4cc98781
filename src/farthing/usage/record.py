"""The usage record: what one request (or one bucket of requests) consumed, in disjoint meters."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from farthing.units import METERS, PROMPT_METERS, Meter

STANDARD = "standard"
LARGEST_COUNT = 10**12
"""A single record with more than a million million of anything is refused as absurd."""

_DIGITS = 40  # beyond so many digits a number is not even written out
_TIERS = {
    "": STANDARD, "default": STANDARD, "auto": STANDARD, "on_demand": STANDARD, "on-demand": STANDARD,
    "ondemand": STANDARD, "normal": STANDARD, "none": STANDARD, "batches": "batch", "performance": "priority",
}  # fmt: skip


def tier_name(stated: str | None) -> str:
    """The service tier that `stated` names, in one spelling: OpenAI's "default" is "standard"."""
    name = (stated or "").strip().lower()
    return _TIERS.get(name, name)


class PriceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The price under which a source charged a request: its name there, its offer ("provider/model"), and the whole
    record as JSON (`farthing.rates.kept`)."""

    name: str
    offer: str
    record: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One request's consumption, or one bucket's (`requests` > 1).

    `quantities` maps a meter's name to a count in whole 1/scale units of that meter (see `units`);
    a meter that is absent was not consumed. `reasoning` is a part of `output`, every other meter is
    disjoint from the rest. `at` is when the request started; where `relative` is set the source
    gives only offsets from an unstated start, and `at` counts from 1970.
    `estimated` marks a count that its own source calls incomplete. `reported_usd` is what the source
    says it cost; it is compared with our charge and never used as one. `unmeasured`: why nobody knows what was
    consumed; then `quantities` are empty, the charge is unknown, and neither is zero. `priced`: the price record
    under which the source itself charged it.
    """

    at: datetime
    quantities: Mapping[str, int]
    provider: str | None = None
    model_asked: str | None = None
    model_served: str | None = None
    channel: str | None = None
    tier_asked: str | None = None
    tier_served: str | None = None
    region: str | None = None
    attrs: Mapping[str, str] = msgspec.field(default_factory=dict)
    completed: datetime | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    requests: int = 1
    feature: str | None = None
    user: str | None = None
    session: str | None = None
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)
    prefix_hashes: tuple[int, ...] = ()
    block_tokens: int | None = None
    status: str = "ok"
    id: str | None = None
    reported_usd: Fraction | None = None
    relative: bool = False
    estimated: bool = False
    unmeasured: str = ""
    priced: PriceRecord | None = None

    @property
    def model(self) -> str | None:
        """The model that was served, else the one asked for: what was served decides the price."""
        return self.model_served or self.model_asked

    @property
    def tier(self) -> str:
        """The service tier that was served, else the one asked for, else standard."""
        return tier_name(self.tier_served or self.tier_asked)

    @property
    def prompt_tokens(self) -> int:
        """Everything that was read: uncached input, cache reads and cache writes, all modalities."""
        return sum(self.quantities.get(name, 0) for name in PROMPT_METERS)

    @property
    def offer(self) -> str | None:
        """ "provider/model" where both are known, else the model alone, else None."""
        if self.model and self.provider:
            return f"{self.provider}/{self.model}"
        return self.model


def count(meter: Meter, value: object) -> int:
    """`value` as a whole number of 1/scale units of `meter`.

    Raises `ValueError` for a negative, absurd, fractional (beyond the scale) or non-numeric value.
    """
    if type(value) is int:  # nearly always
        number = value * meter.scale
    elif isinstance(value, bool) or value is None:
        raise ValueError(f"{meter.name} is {value!r}, not a number")
    else:
        try:
            scaled = Decimal(str(value).strip()) * meter.scale
        except ArithmeticError:
            raise ValueError(f"{meter.name} is {value!r}, not a number") from None
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            finest = "a whole number" if meter.scale == 1 else f"a number of {meter.unit}s to 1/{meter.scale}"
            raise ValueError(f"{meter.name} is {value!r}, not {finest}")
        if abs(scaled.adjusted()) > _DIGITS:  # even 0e999999999 would be written out, for hours
            raise ValueError(f"{meter.name} is {value!r}: an absurd exponent")
        number = int(scaled)
    if number < 0:
        raise ValueError(f"{meter.name} is {value!r}: a count cannot be negative")
    if number > LARGEST_COUNT * meter.scale:
        raise ValueError(f"{meter.name} is {value!r}: more than {LARGEST_COUNT:,} in one record is absurd")
    return number


def quantities(stated: Mapping[str, object]) -> dict[str, int]:
    """The non-zero counts of `stated` (meter name to number), validated by `count`.

    Absent and None are the same: not consumed. Raises `ValueError` also when reasoning exceeds the
    output that it is a part of.
    """
    found = {}
    for name, value in stated.items():
        if value is None:
            continue
        meter = METERS[name]
        if value == 0 and type(value) is int:  # nearly always
            continue
        if number := count(meter, value):
            found[name] = number
    if found.get("reasoning", 0) > found.get("output", 0):
        raise ValueError(
            f"reasoning ({found['reasoning']}) is part of output and cannot exceed it ({found.get('output', 0)})"
        )
    return found
