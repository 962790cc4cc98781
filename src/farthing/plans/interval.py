"""A number with its interval, and how an interval passes through a computation.

`low` and `high` are the ends of an interval that a source states, or that somebody assumed; where every
input's is an 80 % interval, so is the result's. Amounts stay exact: an interval holds fractions, and
`from_physics` is the one place where a float becomes one.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import msgspec

from farthing.money import parse_decimal

_DIGITS = 12  # significant digits kept of a float: far more than any measurement has
_MOST_DIGITS = 18  # before or after the point
_SIZES = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
Number = Fraction | Decimal | int
Part = TypeVar("Part", bound=msgspec.Struct)


class Interval(msgspec.Struct, frozen=True):
    """`mid`, the best estimate, within `low` to `high`. All three are equal where the number is exact."""

    low: Fraction
    mid: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"{self.low} <= {self.mid} <= {self.high} does not hold")

    @property
    def exact(self) -> bool:
        return self.low == self.high

    def times(self, factor: Number) -> "Interval":
        """The interval of this number times an exact factor of at least 0."""
        by = Fraction(factor)
        return Interval(self.low * by, self.mid * by, self.high * by)


def exactly(value: Number) -> Interval:
    """An exact number as an interval of no width."""
    number = Fraction(value)
    return Interval(number, number, number)


def between(low: Number, mid: Number, high: Number) -> Interval:
    """`mid` within `low` to `high`. Raises `ValueError` where they are out of order."""
    return Interval(Fraction(low), Fraction(mid), Fraction(high))


def from_physics(value: float) -> Fraction:
    """A float that physics or a root gave, as an amount: its first 12 significant digits.

    The one function by which a float enters the arithmetic of money here. Raises `ValueError` for
    an infinity or a NaN.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return Fraction(f"{value:.{_DIGITS}g}")


def parse_number(text: str) -> Fraction:
    """A number of at least 0 as a person writes it: "2.49", "1,500", "3B", "250M". Raises `ValueError`."""
    body = text.strip().replace(",", "").replace("_", "").removeprefix("$")
    size = _SIZES.get(body[-1:].lower(), 1)
    stated = parse_decimal(body[:-1] if size > 1 else body)
    if stated < 0:
        raise ValueError(f"{text!r} is below 0")
    if stated and not -_MOST_DIGITS <= stated.adjusted() <= _MOST_DIGITS:  # 1e999999 would never be computed
        raise ValueError(f"{text!r} is absurd")
    return Fraction(stated) * size


def parse_interval(text: str) -> Interval:
    """ "2.49", "2..4" (its middle is 3) or "2..2.49..4". Raises `ValueError` naming the three forms."""
    try:
        ends = [parse_number(part) for part in text.split("..")]
        if len(ends) == 1:
            return exactly(ends[0])
        if len(ends) == 2:
            return Interval(ends[0], (ends[0] + ends[1]) / 2, ends[1])
        low, mid, high = ends
        return Interval(low, mid, high)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a number, LOW..HIGH or LOW..MID..HIGH ({error})") from None


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """What one uncertain input alone makes of a result: its value with the input at its low and its high end."""

    name: str
    at_low: Fraction | None
    at_high: Fraction | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A result with its interval. None is "never" (a break-even that is not reached); the drivers come widest first."""

    low: Fraction | None
    mid: Fraction | None
    high: Fraction | None
    drivers: tuple[Driver, ...] = ()

    @property
    def interval(self) -> Interval:
        """The result as an interval. Raises `ValueError` where one of its ends is "never"."""
        if self.low is None or self.mid is None or self.high is None:
            raise ValueError("never reached")
        return Interval(self.low, self.mid, self.high)


def uncertain(*parts: msgspec.Struct | None) -> Iterator[tuple[int, str, Interval]]:
    """The fields of `parts` that are intervals with a width: which part, which field, and the interval."""
    for position, part in enumerate(parts):
        for name in part.__struct_fields__ if part is not None else ():
            value = getattr(part, name)
            if isinstance(value, Interval) and not value.exact:
                yield position, name, value


def pinned(part: Part, **values: Fraction) -> Part:
    """`part` with every interval at its middle, or at the value that `values` gives the field."""
    found = {name: getattr(part, name) for name in part.__struct_fields__}
    at = {name: values.get(name, value.mid) for name, value in found.items() if isinstance(value, Interval)}
    return msgspec.structs.replace(part, **{name: exactly(value) for name, value in at.items()})


def propagate(function: Callable[..., Fraction | None], *parts: msgspec.Struct | None) -> Outcome:
    """`function` of `parts` (structures with fields that are intervals), with the interval of its result.

    Gaussian propagation of independent errors: each uncertain field goes to its low and its high end
    alone, the others at their middles, and the deviations on a side add in quadrature; in logarithms,
    since costs, rates and volumes are positive and err by factors (plainly, where a value is not
    positive). `function` sees exact fields only. Its None is "never", a value above all others.
    """
    middle = [None if part is None else pinned(part) for part in parts]
    mid = function(*middle)
    drivers: list[Driver] = []
    for position, name, interval in uncertain(*parts):
        moved: list[Any] = list(middle)
        ends = []
        for end in (interval.low, interval.high):
            part = parts[position]
            assert part is not None
            moved[position] = pinned(part, **{name: end})
            ends.append(function(*moved))
        drivers.append(Driver(name=name, at_low=ends[0], at_high=ends[1]))
    reached = [end for d in drivers for end in (d.at_low, d.at_high) if end is not None]
    if mid is None:  # one input may still bring it about
        return Outcome(low=min(reached, default=None), mid=None, high=None, drivers=tuple(drivers))
    low, high = _quadrature(mid, drivers)
    known = mid
    drivers.sort(key=lambda d: -_width(d, known))
    return Outcome(low=low, mid=mid, high=high, drivers=tuple(drivers))


def _quadrature(mid: Fraction, drivers: list[Driver]) -> tuple[Fraction, Fraction | None]:
    """The ends of a result from the ends that each driver gives it alone."""
    pairs = [(d.at_low, d.at_high) for d in drivers]
    ends = [end for pair in pairs for end in pair]
    known = [end for end in ends if end is not None]
    never = len(known) < len(ends)
    if mid > 0 and all(end > 0 for end in known):

        def away(end: Fraction) -> float:
            return math.log(end / mid)
    else:

        def away(end: Fraction) -> float:
            return float(end - mid)

    down = math.hypot(*(min(0.0, *(away(e) for e in pair if e is not None), 0.0) for pair in pairs))
    up = math.hypot(*(max(0.0, *(away(e) for e in pair if e is not None), 0.0) for pair in pairs))
    if mid > 0 and all(end > 0 for end in known):
        low = mid if down == 0 else from_physics(float(mid) * math.exp(-down))
        high = mid if up == 0 else from_physics(float(mid) * math.exp(up))
    else:
        low = mid if down == 0 else from_physics(float(mid) - down)
        high = mid if up == 0 else from_physics(float(mid) + up)
    return min(low, mid), None if never else max(high, mid)


def _width(driver: Driver, mid: Fraction) -> float:
    """How far a driver alone moves the result, for ordering."""
    if driver.at_low is None or driver.at_high is None:
        return math.inf
    return float(abs(driver.at_high - driver.at_low) / mid) if mid else float(abs(driver.at_high - driver.at_low))
