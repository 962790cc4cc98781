"""LiteLLM's price keys that hold a structure instead of a number: ranges, off-peak windows, sizes, units."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from farthing.rates.card import ALWAYS, NO_LIMIT, Band, Bracket, When, Window
from farthing.rates.feeds.base import daily
from farthing.units import METERS

_DAYS = {name: day for day, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_HOURS = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")


class Conditional(msgspec.Struct, frozen=True, kw_only=True):
    """A price inside a structure: of the plain price key `key`, or of `meter` (times its scale)."""

    structure: str
    key: str
    value: Any
    when: When = ALWAYS
    meter: str | None = None
    times: int = 1


def tiers(stated: object) -> list[Conditional]:
    """`tiered_pricing`: whole-request prices by prompt length, or by the number of results asked for.

    A range excludes its start and includes its end; prompts above the last range are priced by it.
    """
    found: list[Conditional] = []
    blocks = _blocks(stated)
    last = max((b["range"][1] for b in blocks if "range" in b and _pair(b["range"])), default=0)
    for block in blocks:
        prices = {k: v for k, v in block.items() if k not in ("range", "max_results_range")}
        bounds = block.get("range", block.get("max_results_range"))
        if not _pair(bounds):
            raise ValueError(f"a tier has no range of two numbers: {dict(block)}")
        low, high = int(bounds[0]), int(bounds[1])
        if "range" in block:
            end = NO_LIMIT if bounds[1] == last else high + 1
            when = When(bands=(Band(low=low + 1 if low else 0, high=end),))
        else:
            when = When(attrs=frozenset({("max_results", f"{low}-{high}")}))
        found += [Conditional(structure="tiered_pricing", key=k, value=v, when=when) for k, v in prices.items()]
    return found


def off_peak(stated: object) -> list[Conditional]:
    """`off_peak_pricing`: prices that replace the others in weekly windows (half-open, UTC hours).

    `weekday_timezone` names the calendar that weekdays are read in. Raises `ValueError` for hours that
    cannot be read, and for a calendar whose offset from UTC changes over the year.
    """
    block = _mapping(stated)
    zone = block.get("weekday_timezone")
    offset = _offset_minutes(zone) if isinstance(zone, str) and zone else 0
    minutes = _hours(block["hours_utc"], range(7), 0) if "hours_utc" in block else 0
    for rule in _blocks(block.get("windows", [])):
        days = [_day(day) for day in rule.get("weekdays") or range(1, 8)]
        minutes |= _hours(rule.get("hours_utc"), days, offset)
    if not minutes:
        raise ValueError("states no hours")
    when = When(window=Window(minutes=minutes))
    names = [k for k in block if k not in ("hours_utc", "windows", "weekday_timezone")]
    return [Conditional(structure="off_peak_pricing", key=k, value=block[k], when=when) for k in names]


def search_sizes(stated: object) -> list[Conditional]:
    """`search_context_cost_per_query`: dollars a web search by context size; one price where all are equal."""
    per = METERS["web_search"].per
    structure = "search_context_cost_per_query"
    if not isinstance(stated, Mapping):
        return [Conditional(structure=structure, key="query", value=stated, meter="web_search", times=per)]
    sizes = {str(k).removeprefix("search_context_size_"): v for k, v in stated.items() if v is not None}
    if len(sizes) == 3 and len(set(sizes.values())) == 1:
        return [Conditional(structure=structure, key="all sizes", value=sizes["low"], meter="web_search", times=per)]
    return [
        Conditional(
            structure=structure, key=size, value=value, meter="web_search", times=per,
            when=When(attrs=frozenset({("search_context_size", size)})),
        )
        for size, value in sizes.items()
    ]  # fmt: skip


def unit_prices(stated: object) -> list[Conditional]:
    """`guardrail_cost_per_unit`: dollars per unit, by the kind of unit."""
    return [
        Conditional(
            structure="guardrail_cost_per_unit", key=unit, value=value, meter="guardrail_unit",
            when=When(attrs=frozenset({("unit", unit)})),
        )
        for unit, value in _mapping(stated).items()
    ]  # fmt: skip


def speed_and_region(stated: Mapping[str, Any]) -> list[tuple[str, object, When]]:
    """The factors in `provider_specific_entry`: of data kept in a region, of the fast mode."""
    found: list[tuple[str, object, When]] = []
    for name, value in stated.items():
        if name in ("us", "eu"):
            found.append((f"provider_specific_entry.{name}", value, When(regions=frozenset({name}))))
        elif name == "fast":
            found.append((f"provider_specific_entry.{name}", value, When(tier="fast")))
    return found


def free_images(stated: object, amount: Decimal) -> tuple[Bracket, ...]:
    """The marginal steps of input images of which a request's first ones are free (MiniMax), or none."""
    free = stated.get("minimax_free_input_images") if isinstance(stated, Mapping) else None
    if not isinstance(free, int) or isinstance(free, bool):
        return ()
    return (Bracket(up_to=free, amount=Decimal(0)), Bracket(up_to=None, amount=amount))


# --- reading -----------------------------------------------------------------------------------


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value} is not an object")
    return value


def _blocks(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise ValueError(f"{value} is not a list")
    return [_mapping(item) for item in value]


def _pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(x, (int, Decimal)) and x == int(x) for x in value)
    )


def _day(value: object) -> int:
    """The weekday (Monday is 0) of an ISO number or an English name."""
    if isinstance(value, int) and 1 <= value <= 7:
        return value - 1
    if isinstance(value, str) and value.strip().lower()[:3] in _DAYS:
        return _DAYS[value.strip().lower()[:3]]
    raise ValueError(f"{value!r} is not a weekday")


def _hours(stated: object, days: Any, offset: int) -> int:
    """The minutes of the UTC week in the hours `stated`, on weekdays of a calendar `offset` minutes ahead of UTC."""
    windows = [stated] if isinstance(stated, str) else stated
    if not isinstance(windows, list) or not windows:
        raise ValueError(f"{stated} are not hours such as 16:30-00:30")
    within_day = 0
    for window in windows:
        match = _HOURS.fullmatch(window) if isinstance(window, str) else None
        if match is None:
            raise ValueError(f"{window!r} are not hours such as 16:30-00:30")
        h1, m1, h2, m2 = map(int, match.groups())
        if h1 > 23 or h2 > 24 or m1 > 59 or m2 > 59:
            raise ValueError(f"{window!r} are not hours of a day")
        within_day |= daily(h1 * 60 + m1, (h2 * 60 + m2) % 1440)
    on_days = daily(0, 0, days)
    if offset:
        week = 7 * 1440
        shifted = on_days >> offset if offset > 0 else on_days << -offset
        wrapped = on_days << (week - offset) if offset > 0 else on_days >> (week + offset)
        on_days = (shifted | wrapped) & ((1 << week) - 1)
    return within_day & on_days


def _offset_minutes(zone: str) -> int:
    """The constant offset of `zone` from UTC, in minutes. Raises `ValueError` where it changes."""
    try:
        calendar = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {zone!r}") from None
    offsets = {(datetime(2026, month, 1, tzinfo=UTC)).astimezone(calendar).utcoffset() for month in range(1, 13)}
    offset = offsets.pop()
    if offsets or offset is None:
        raise ValueError(f"weekdays in {zone}, whose offset from UTC changes over the year, are no weekly pattern")
    return offset // timedelta(minutes=1)
