"""Checks of plain arithmetic: sums, products, ratios, growth, paces, dates, ranks. One small function each.

Every check reads its inputs, computes, and writes the arithmetic in one line.
"""

import math
from fractions import Fraction

from farthing.plans.claims.given import Given
from farthing.plans.claims.verdict import (
    LEAST_SLACK,
    Finding,
    Span,
    Verdict,
    agree,
    cannot,
    number,
    point,
    show,
    show_percent,
    term,
)

MONTHS = 12
DAYS_PER_MONTH = Fraction(3652425, 120000)  # of the Gregorian calendar


def total(given: Given) -> Finding:
    """The parts add up to the figure."""
    stated, parts = given.stated(), given.parts("parts")
    computed = point(0)
    for part in parts.values():
        computed += part
    return agree(stated, computed, f"{' + '.join(term(p) for p in parts.values())} = {show(computed)}")


def product(given: Given) -> Finding:
    """The factors multiplied (and divided by the divisors) give the figure."""
    stated, times = given.stated(), given.parts("times")
    by = given.parts("by") if "by" in given.table else {}
    computed = point(1)
    for one in times.values():
        computed *= one
    for one in by.values():
        computed /= one
    text = " × ".join(term(one) for one in times.values()) + "".join(f" / {term(one)}" for one in by.values())
    return agree(stated, computed, f"{text} = {show(computed)}")


def ratio(given: Given) -> Finding:
    """`of` is so many times `to` (with unit = "%", so many per cent of it)."""
    stated, of, to = given.stated(), given.quantity("of"), given.quantity("to")
    found = of / to
    if stated.unit == "%":
        found = Span(found.low * 100, found.high * 100)
        return agree(stated, found, f"{term(of)} / {term(to)} = {show(found)} %")
    return agree(stated, found, f"{term(of)} / {term(to)} = {show(found)}")


def saving(given: Given) -> Finding:
    """From `start` to `end` is so many per cent less: a discount, a saving, a gross margin."""
    stated, start, end = given.stated(), given.quantity("start"), given.quantity("end")
    if stated.high > 100:
        return Finding(verdict=Verdict.IMPOSSIBLE, too="high",
                       computation=f"nobody saves {number(Fraction(stated.high))} % of a positive amount")  # fmt: skip
    left = end / start
    found = Span((1 - left.high) * 100, (1 - left.low) * 100)
    return agree(stated, found, f"1 − {term(end)} / {term(start)} = {show(found)} %")


def growth(given: Given) -> Finding:
    """The yearly growth in per cent that the end points give: (end / start)^(1 / years) − 1."""
    stated, start, end, years = given.stated(), given.quantity("start"), given.quantity("end"), given.quantity("years")
    times = end / start
    found = Span(yearly_growth(times.low, years.high), yearly_growth(times.high, years.low))
    text = f"({term(end)} / {term(start)})^(1/{term(years)}) − 1 = {show(found)} %/year"
    finding = agree(stated, found, text)
    if finding.verdict is Verdict.HOLDS or stated.low <= 0 or times.low <= 1:
        return finding
    needed = math.log(times.low) / math.log1p(float(stated.high) / 100)
    return agree(stated, found, text, f"{number(Fraction(stated.low))} % would take {needed:.1f} years")


def yearly_growth(times: Fraction, years: Fraction) -> Fraction:
    """Per cent a year that make `times` in `years` (compound annual growth rate)."""
    return Fraction((float(times) ** (1 / float(years)) - 1) * 100)


def pace(given: Given) -> Finding:
    """A fall from `start` to `end` in `months` as a yearly factor or, with `fold`, as months per `fold` times."""
    stated, start, end, months = (
        given.stated(),
        given.quantity("start"),
        given.quantity("end"),
        given.quantity("months"),
    )
    times = start / end
    if times.low <= 1:
        return cannot(f"{term(start)} to {term(end)} is no fall")
    fold = given.perhaps("fold")
    if fold is not None and fold.low <= 1:
        given.fail("fold", f"{show(fold)} times is no fall", "2 gives the half-life, 10 the months per tenfold")
    head = f"{term(times)} times in {term(months)} months"
    if fold is None:
        found = Span(yearly_factor(times.low, months.high), yearly_factor(times.high, months.low))
        return agree(stated, found, f"{head} = {term(times)}^(12/{term(months)}) = {show(found)} times a year")
    found = Span(months_per_fold(times.high, months.low, fold.low), months_per_fold(times.low, months.high, fold.high))
    text = f"{head}: ln {term(fold)} / ln {term(times)} × {term(months)} = {show(found)} months per {term(fold)} times"
    return agree(stated, found, text)


def yearly_factor(times: Fraction, months: Fraction) -> Fraction:
    """The factor a year of a fall by `times` in `months`."""
    return Fraction(float(times) ** (MONTHS / float(months)))


def months_per_fold(times: Fraction, months: Fraction, fold: Fraction) -> Fraction:
    """Months in which what falls by `times` in `months` falls by `fold` (fold 2: the half-life)."""
    return Fraction(math.log(float(fold)) / math.log(float(times)) * float(months))


def trend(given: Given) -> Finding:
    """Where a fall by `per_year` a year takes `start` in `months`."""
    stated, start = given.stated(), given.quantity("start")
    per_year, months = given.quantity("per_year"), given.quantity("months")
    found = Span(fallen(start.low, per_year.high, months.high), fallen(start.high, per_year.low, months.low))
    return agree(stated, found, f"{term(start)} / {term(per_year)}^({term(months)}/12) = {show(found)}")


def fallen(start: Fraction, per_year: Fraction, months: Fraction) -> Fraction:
    return Fraction(float(start) / float(per_year) ** (float(months) / MONTHS))


def months(given: Given) -> Finding:
    """The months between two days."""
    stated, start, end = given.stated(), given.day("start"), given.day("end")
    if end < start:
        given.fail("end", f"{end} is before {start}")
    found = point(Fraction((end - start).days) / DAYS_PER_MONTH)
    return agree(stated, found, f"{start} to {end} = {(end - start).days} days = {float(found.low):.1f} months")


def published(given: Given) -> Finding:
    """The figure agrees with what another source (or the document elsewhere) says: `value`."""
    stated, value = given.stated(), given.quantity("value")
    name = given.table.values["value"]
    said = f"{name.replace('-', ' ')}: " if isinstance(name, str) else "compare "
    return agree(stated, value, f"{said}{show(value)}")


def rank(given: Given) -> Finding:
    """Of the named `items`, `first` is the largest (or smallest). A tie holds."""
    items, first = given.parts("items"), given.text("first")
    order = given.choice("order", ("largest", "smallest"))
    if first not in items:
        given.fail("first", f"{first!r} is not among the items", "one of " + ", ".join(items))
    mine = items[first]
    largest = order == "largest"
    best = (max if largest else min)(items, key=lambda name: items[name].high if largest else items[name].low)
    ordered = sorted(items, key=lambda name: items[name].low, reverse=largest)
    text = (" > " if largest else " < ").join(f"{name.replace('_', ' ')} {term(items[name])}" for name in ordered)
    other = items[best]
    factor = other.high / mine.high if largest else mine.low / other.low
    if factor <= 1 + LEAST_SLACK:
        return Finding(verdict=Verdict.HOLDS, computation=text)
    return Finding(verdict=Verdict.OFF, computation=text, factor=factor, note=f"{best.replace('_', ' ')} is {order}")


def count(given: Given) -> Finding:
    """So many things are named."""
    stated, things = given.stated(), given.names("things")
    if len(set(things)) != len(things):
        given.fail("things", "one is named twice")
    return agree(stated, point(len(things)), f"{len(things)}: {', '.join(things)}")


def nothing(given: Given) -> Finding:
    """Nothing here can check it; `why` says what would be needed. A figure may be kept beside it."""
    if "stated" in given.table:
        given.stated()
    return cannot(given.text("why"))


def routing(given: Given) -> Finding:
    """Per cent saved by sending `share` per cent of the work from a `dear` price to a `cheap` one."""
    stated, share = given.stated(), given.quantity("share")
    dear, cheap = given.quantity("dear"), given.quantity("cheap")
    if share.high > 100:
        given.fail("share", f"{term(share)} per cent is more than all")
    left = cheap / dear
    found = Span(share.low * (1 - left.high), share.high * (1 - left.low))
    parts = Span(share.low / 100, share.high / 100)
    return agree(stated, found, f"{term(parts)} × (1 − {term(cheap)} / {term(dear)}) = {show(found)} %")


def idle(given: Given) -> Finding:
    """A machine that is used `share` per cent of the time costs so many times more per unit: 1 / share."""
    stated, share = given.stated(), given.quantity("share")
    if share.high > 100:
        given.fail("share", f"{show(share)} per cent is more than all")
    found = point(100) / share
    return agree(stated, found, f"1 / {show_percent(share.low / 100)} = {show(found)}")


CHECKS = {
    "sum": total, "product": product, "ratio": ratio, "saving": saving, "growth": growth, "pace": pace,
    "trend": trend, "months": months, "published": published, "rank": rank, "count": count, "nothing": nothing,
    "routing": routing, "idle": idle,
}  # fmt: skip
