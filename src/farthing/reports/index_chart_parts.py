"""What the charts of the index share: colours, axes with set limits, layers, the look of all.

Specifications are plain Vega-Lite. Each axis knows the pixel of a value, so that labels can be placed here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from math import ceil, floor, log10
from typing import Any

import msgspec

from farthing.reports.index_chart_words import sentence
from farthing.reports.vega import INK

COLOURS = ("#2f7fc1", "#d0602a", "#1f9271", "#8d67cf", "#b0801c", "#c75a8e", "#4f9fb5", "#7d8795")
"""Middle tones, legible on white and on black; told apart with each of the common colour blindnesses."""
GREY = "#8a94a3"
PAGE = "var(--page)"
"""The colour of the page, whichever it is; a picture's is white."""
WIDTH = 720  # of the plot itself, in pixels
GAP = 13  # between the middles of two lines of labels
FONT = 11
_DAY_MS = 86_400_000

Spec = dict[str, Any]
Rows = list[dict[str, Any]]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A chart, and the finding in words. `spec` is None where there is nothing to draw: the title says why."""

    title: str
    subtitle: str
    spec: Spec | None
    alt: str = ""


def ms(day: str | date | datetime | None) -> int | None:
    """The instant as milliseconds of the epoch, which is what Vega counts in. A day is its midnight in UTC."""
    if day is None:
        return None
    if isinstance(day, str):
        day = datetime.fromisoformat(day.replace("Z", "+00:00"))
    if not isinstance(day, datetime):
        day = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp() * 1000)


def day_text(instant_ms: float) -> str:
    return datetime.fromtimestamp(instant_ms / 1000, UTC).date().isoformat()


class Axis:
    """One axis with set limits: its encoding for Vega-Lite, and the pixel of each value."""

    def __init__(self, low: float, high: float, length: float, scale: str, axis: Mapping[str, Any] | None) -> None:
        self.low, self.high, self.length = low, high, length
        self._scale, self._axis = scale, axis

    def encoding(self, field: str, **more: Any) -> Spec:
        kind = "temporal" if self._scale == "utc" else "quantitative"
        scale = {"type": self._scale, "domain": [self.low, self.high], "nice": False, "zero": False}
        if self._scale != "linear":
            del scale["zero"]
        return {"field": field, "type": kind, "scale": scale, "axis": None if self._axis is None else dict(self._axis),
                **more}  # fmt: skip

    def pixel(self, value: float) -> float:
        """From the start of the axis: the left, or the bottom."""
        if self._scale == "log":
            return self.length * log10(value / self.low) / log10(self.high / self.low)
        return self.length * (value - self.low) / (self.high - self.low)


class Across(Axis):
    """A horizontal axis."""


class Up(Axis):
    """A vertical axis: pixels are counted from the top, as the browser does."""

    def pixel(self, value: float) -> float:
        return self.length - super().pixel(value)


def time_axis(instants: Iterable[float], length: float = WIDTH, room: float = 0.02) -> Across:
    """An axis over the instants (milliseconds), a mark at each year or at quarters, months or days of it."""
    found = list(instants)
    low, high = min(found), max(found)
    if high - low < 20 * _DAY_MS:
        low, high = low - 15 * _DAY_MS, high + 15 * _DAY_MS
    span = high - low
    low, high = low - span * room, high + span * room
    months = 12 if span > 4.5 * 366 * _DAY_MS else 6 if span > 2.6 * 366 * _DAY_MS else 3 if span > 300 * _DAY_MS else 1
    if length < 400:
        months = 12 if span > 700 * _DAY_MS else 6 if span > 400 * _DAY_MS else 3
    first = datetime.fromtimestamp(low / 1000, UTC)
    marks = [
        instant
        for month in range(0, 12 * (int(span / (365 * _DAY_MS)) + 3), months)
        if low <= (instant := ms(date(first.year + month // 12, month % 12 + 1, 1)) or 0) <= high
    ]
    label = "utcmonth(datum.value) == 0 ? utcFormat(datum.value, '%Y') : utcFormat(datum.value, '%b')"
    if len(marks) < 2 or not any(day_text(mark)[5:7] == "01" for mark in marks):
        label = "utcFormat(datum.value, '%b %Y')"
    axis = {"values": marks, "labelExpr": label, "title": None, "grid": False, "labelFlush": False}
    return Across(low, high, length, "utc", axis)


def log_marks(low: float, high: float) -> list[float]:
    """Values for a logarithmic axis from `low` to `high`: powers of ten, with 2 and 5 of each where they are few."""
    decades = log10(high / low)
    digits: Sequence[float] = (1,) if decades > 2.5 else (1, 2, 5) if decades > 0.9 else ()
    if not digits:  # a narrow range: even steps
        step = 10.0 ** floor(log10((high - low) / 3))
        step *= 5 if (high - low) / step > 15 else 2 if (high - low) / step > 6 else 1
        return [round(step * n, 10) for n in range(ceil(low / step), floor(high / step) + 1)]
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    found = [digit * 10.0**power for power in powers for digit in digits]
    return [float(f"{mark:.6g}") for mark in found if low <= mark * 1.0001 and mark <= high * 1.0001]


_DOLLARS = "datum.value >= 1 ? '$' + format(datum.value, ',~f') : datum.value >= 0.01 ? '$' + format(datum.value, '.2f') : '$' + format(datum.value, '.8~f')"  # noqa: E501


_PLAIN = "datum.value >= 0.00001 ? format(datum.value, ',.6~f') : format(datum.value, '~e')"
_REACH = 1e8  # a logarithmic axis shows so much at most: what is less is cut, and written beside it


def log_axis(
    values: Iterable[float], length: float, title: str | None, up: bool = True, dollars: bool = True, room: float = 0.05
) -> Axis:
    """A logarithmic axis over the values (all above zero), labelled $0.10, $1, $10, or with plain numbers."""
    found = list(values)
    low, high = max(min(found), max(found) / _REACH), max(found)
    if high / low < 1.25:
        low, high = low / 1.12, high * 1.12
    more = (high / low) ** room
    low, high = low / more, high * more
    axis = {
        "values": log_marks(low, high), "title": title, "grid": True,
        "labelExpr": _DOLLARS if dollars else _PLAIN,
        **({"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleY": -10, "titleX": -38} if up else {}),
    }  # fmt: skip
    return (Up if up else Across)(low, high, length, "log", axis)


def linear_axis(values: Iterable[float], length: float, title: str | None, dollars: bool) -> Up:
    """A vertical axis from zero."""
    high = max(values) * 1.06
    axis = {
        "title": title, "grid": True, "tickCount": 5, "labelExpr": _DOLLARS if dollars else "format(datum.value, ',')",
        "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleY": -10, "titleX": -38,
    }  # fmt: skip
    return Up(0, high, length, "linear", axis)


def raw(field: str) -> Spec:
    """A channel whose values are pixels."""
    return {"field": field, "type": "quantitative", "scale": None, "axis": None}


def layer(rows: Rows, mark: Mapping[str, Any], **encoding: Any) -> Spec:
    """One layer: its data, its mark, its channels."""
    return {"data": {"values": rows}, "mark": dict(mark), "encoding": encoding}


def colour(field: str = "ink") -> Spec:
    """A colour that each row names itself."""
    return {"field": field, "type": "nominal", "scale": None}


def tip(*fields: tuple[str, str]) -> list[Spec]:
    """What a pointer is told: (field, its name)."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in fields]


def layered(layers: Sequence[Spec], height: float, width: float = WIDTH) -> Spec:
    """A chart of layers, in pixels; what stands outside the plot makes the picture larger."""
    return {"width": width, "height": height, "layer": list(layers)}


def configured(spec: Spec) -> Spec:
    """`spec` with the look that every chart has."""
    return {
        **spec,
        "padding": 6,
        "background": "transparent",
        "autosize": {"type": "pad", "contains": "padding"},
        "config": {
            "font": "Liberation Sans, Arial, Helvetica, sans-serif",
            "view": {"stroke": None},
            "axis": {**INK, "gridOpacity": 0.13, "domainOpacity": 0.3, "tickOpacity": 0.3, "labelFontSize": 12,
                     "titleFontSize": 12, "titleFontWeight": "normal"},
            "text": {"color": "currentColor"},
            "rule": {"color": "currentColor"},
            "title": {"color": "currentColor", "subtitleColor": "currentColor", "anchor": "start"},
        },
    }  # fmt: skip


def nothing(why: str, notes: Sequence[str] = ()) -> Drawing:
    """A statement instead of an empty picture."""
    return Drawing(title=why, subtitle=sentence(*notes[:3]), spec=None, alt=why)
