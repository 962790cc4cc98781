"""Conditions, units and quotas in words, for people."""

from collections.abc import Iterable
from datetime import date, datetime

from farthing.rates.card import ALL_WEEK, MINUTES_OF_WEEK, NO_LIMIT, Band, Rate, When, Window
from farthing.time import show_instant
from farthing.units import METERS

_DAY = 1440
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DATES_SHOWN = 4


def spans(minutes: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """The minutes of a `Window` as (start, end, days): daily spans and the days that they start on.

    Start and end are minutes of the UTC day; an end that is not after the start is on the next day,
    1440 is midnight. Every minute of the mask is in exactly one span.
    """
    if minutes == ALL_WEEK:
        return [(0, _DAY, tuple(range(7)))]
    days: dict[tuple[int, int], list[int]] = {}
    for start, end in _runs(minutes):
        if end - start < _DAY:
            days.setdefault((start % _DAY, end % _DAY or _DAY), []).append(start // _DAY % 7)
            continue
        while start < end:
            stop = min(end, start // _DAY * _DAY + _DAY)
            days.setdefault((start % _DAY, stop % _DAY or _DAY), []).append(start // _DAY % 7)
            start = stop
    return [(start, end, tuple(sorted(on))) for (start, end), on in days.items()]


def _runs(minutes: int) -> list[tuple[int, int]]:
    """The runs of set bits of a week that is a circle: one that goes over Sunday midnight is one run."""
    runs: list[tuple[int, int]] = []
    at = 0
    while minutes >> at:
        rest = minutes >> at
        start = at + (rest & -rest).bit_length() - 1
        ones = minutes >> start
        end = start + (~ones & (ones + 1)).bit_length() - 1
        runs.append((start, end))
        at = end
    if len(runs) > 1 and runs[0][0] == 0 and runs[-1][1] == MINUTES_OF_WEEK:
        runs[-1] = (runs[-1][0], MINUTES_OF_WEEK + runs.pop(0)[1])
    return runs


def describe(when: When) -> str:
    """A condition in words: "tier batch, prompt over 200,000 tokens"; "always" for one that always holds."""
    parts = [f"tier {when.tier}"] if when.tier is not None else []
    parts += [_band(band) for band in when.bands]
    parts += [f"{key} {value}" for key, value in sorted(when.attrs)]
    if when.regions is not None:
        parts.append("region " + " or ".join(sorted(when.regions)))
    if when.window is not None:
        parts.append(_window(when.window))
    if when.period is not None:
        parts.append(between(when.period.start, when.period.end))
    return ", ".join(parts) or "always"


def between(start: datetime | None, end: datetime | None) -> str:
    """A half-open interval in words: "from X until Y"."""
    named = [f"{word} {show_instant(moment)}" for word, moment in (("from", start), ("until", end)) if moment]
    return " ".join(named) or "at any time"


def edge(band: Band, count: int) -> tuple[int, bool]:
    """An end of `band` in whole units as it is published, and whether it is one count beyond that number:
    from 200,001 on is "over 200,000"; from 8,000,001 millionths of a second on is "over 8"."""
    scale = METERS[band.of].scale if band.of in METERS else 1
    beyond = count % max(scale, 100) == 1 and count > 1
    return (count - beyond) // scale, beyond


def _band(band: Band) -> str:
    unit = METERS[band.of].unit + "s" if band.of in METERS else "tokens"
    parts = []
    if band.low:
        low, over = edge(band, band.low)
        parts.append(f"over {low:,}" if over else f"of at least {low:,}")
    if band.high < NO_LIMIT:
        high, included = edge(band, band.high)
        parts.append(f"up to {high:,}" if included else f"under {high:,}")
    return f"{band.of} {' and '.join(parts) or 'of any length'} {unit}"


def _window(window: Window) -> str:
    texts = []
    for start, end, days in spans(window.minutes):
        hours = "all day" if (start, end) == (0, _DAY) else f"{clock(start)}-{clock(end)}"
        texts.append(f"{_days(days)} {hours}".strip())
    text = " and ".join(texts) + " UTC" if texts else "at no time"
    if window.dates:
        text += f", all of {_dates(window.dates)}"
    if window.not_dates:
        text += f", not on {_dates(window.not_dates)}"
    return text + (", decided by completion" if window.decides == "completion" else "")


def clock(minute: int) -> str:
    """A minute of the day as "HH:MM"; 1440 is "24:00"."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _days(days: tuple[int, ...]) -> str:
    if len(days) == 7:
        return "daily"
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{_DAY_NAMES[days[0]]}-{_DAY_NAMES[days[-1]]}"
    return ", ".join(_DAY_NAMES[day] for day in days)


def _dates(dates: Iterable[date]) -> str:
    ordered = sorted(dates)
    if len(ordered) <= _DATES_SHOWN:
        return ", ".join(day.isoformat() for day in ordered)
    return f"{len(ordered)} dates ({ordered[0]} to {ordered[-1]})"


def describe_unit(meter: str, per: int) -> str:
    """What a price is for: "1M tokens", "1,000 calls", "hour", "image"."""
    unit = METERS[meter].unit
    if unit == "second" and per in (60, 3600):
        return "minute" if per == 60 else "hour"
    if per == 1:
        return unit
    count = f"{per // 10**9}G" if per % 10**9 == 0 else f"{per // 10**6}M" if per % 10**6 == 0 else f"{per:,}"
    plural = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{count} {plural}"


def describe_terms(rate: Rate) -> list[str]:
    """What else holds for a rate: its steps, minimum, free quota, range and note."""
    unit = METERS[rate.meter].unit
    terms = []
    if rate.brackets:
        steps = [f"{b.amount:f} {f'up to {b.up_to:,}' if b.up_to is not None else 'beyond'}" for b in rate.brackets]
        over = "" if rate.brackets_per == "request" else f" of all requests, per {rate.brackets_per}"
        terms.append(f"in steps{over}: " + ", ".join(steps))
    if rate.low is not None and rate.high is not None:
        terms.append(f"stated as a range: {rate.low:f} to {rate.high:f}")
    if rate.minimum is not None:
        terms.append(f"at least {rate.minimum:f} {unit}s a request")
    if rate.step is not None:
        terms.append(f"in steps of {rate.step:f} {unit}s")
    if rate.free is not None:
        shared = f", shared by {rate.free.group}" if rate.free.group else ""
        per = "in all" if rate.free.per == "ever" else f"a {rate.free.per}"
        terms.append(f"first {rate.free.quantity:,} {per} free{shared}")
    return [*terms, rate.note] if rate.note else terms
