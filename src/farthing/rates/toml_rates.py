"""From the tables of a TOML rate card to rates, modifiers and conditions."""

import difflib
from datetime import date, timedelta
from decimal import Decimal

from farthing.evidence import Source
from farthing.rates.card import (
    ALL_WEEK,
    ALWAYS,
    MINUTES_OF_WEEK,
    NO_LIMIT,
    Band,
    Bracket,
    Free,
    Modifier,
    Period,
    Rate,
    When,
    Window,
)
from farthing.rates.toml_sources import Sources, own_source
from farthing.rates.toml_table import Table
from farthing.units import METERS, meter
from farthing.usage.record import tier_name

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = int(timedelta(days=1).total_seconds()) // 60
_CONDITIONS = ("tier", "regions", "context", "time", "period")
_MISTAKEN = {"region": "regions", "model": "", "provider": ""}  # conditions that are written elsewhere


def meter_name(table: Table, key: str, name: str) -> str:
    """The registered meter that `name` (found under `key`) means; fails with the nearest one."""
    try:
        return meter(name).name
    except ValueError as error:
        table.fail(key, str(error), "docs/rate-cards.md lists them")


def read_rates(table: Table, sources: Sources, when: When = ALWAYS, source: Source | None = None) -> list[Rate]:
    """The rates of one `rates` table: meter = amount, or meter = { amount, per, … }."""
    rates: dict[str, Rate] = {}
    for key, value in table.values.items():
        name = meter_name(table, key, key)
        if name in rates:
            table.fail(key, f"{name!r} is priced twice in one table", "remove one of the two")
        if isinstance(value, dict):
            sub = table.sub(key)
            assert sub is not None
            rates[name] = _rate(sub, name, sources, when, source)
        else:
            rates[name] = Rate(meter=name, amount=table.number(key), per=METERS[name].per, when=when, source=source)
    return list(rates.values())


def _rate(table: Table, name: str, sources: Sources, when: When, source: Source | None) -> Rate:
    amount, low, high = table.number("amount"), table.number("low"), table.number("high")
    brackets = tuple(_bracket(one) for one in table.subs("brackets"))
    free = table.sub("free")
    rate = Rate(
        meter=name,
        amount=amount,
        per=table.whole("per") or METERS[name].per,
        when=when,
        minimum=table.number("minimum", positive=True),
        step=table.number("step", positive=True),
        free=_free(free) if free else None,
        brackets=brackets,
        brackets_per=(table.choice("brackets_per", ("request", "day", "month", "ever")) or "request"),
        group=table.text("group") or "",
        low=low,
        high=high,
        note=table.text("note") or "",
        source=own_source(table, sources) or source,
    )
    table.finish()
    if (low is None) != (high is None):
        table.fail(None, f"{name!r} states one end of a range", "state both low and high")
    if low is not None and high is not None and low > high:
        table.fail("low", f"{name!r}: low {low} is above high {high}", "exchange them")
    if (amount is not None) + bool(brackets) + (low is not None) != 1:
        table.fail(None, f"{name!r} needs one of amount, brackets, or low and high", "an unknown price is left out")
    ends = [bracket.up_to for bracket in brackets]
    if brackets and (ends[-1] is not None or None in ends[:-1]):
        table.fail("brackets", "the last bracket, and only it, has no up_to", "write { amount = … } as the last")
    finite = [end for end in ends if end is not None]
    if finite != sorted(set(finite)):
        table.fail("brackets", f"the brackets end at {finite}", "write them in rising order")
    return rate


def _bracket(table: Table) -> Bracket:
    table.need("amount")
    bracket = Bracket(up_to=table.whole("up_to"), amount=table.number("amount") or Decimal(0))
    table.finish()
    return bracket


def _free(table: Table) -> Free:
    table.need("quantity")
    table.need("per", 'write per = "day", "month" or "ever"')
    free = Free(
        quantity=table.whole("quantity") or 0,
        per=table.choice("per", ("day", "month", "ever")) or "",
        group=table.text("group") or "",
    )
    table.finish()
    return free


def read_rule(table: Table, sources: Sources) -> tuple[list[Rate], list[Modifier]]:
    """One `[[offer.price.rule]]`: explicit rates, or a factor, under a condition."""
    condition = table.sub("when")
    if condition is None:
        table.fail(None, "a rule without 'when'", "unconditional prices belong in [offer.price.rates]")
    when = read_when(condition)
    rates, factor = table.sub("rates"), table.number("multiply")
    note, source = table.text("note") or "", own_source(table, sources)
    meters = frozenset(meter_name(table, "meters", name) for name in table.texts("meters"))
    table.finish()
    if (rates is None) == (factor is None):
        table.fail(None, "a rule states either 'rates' or 'multiply'", "write two rules with the same 'when' for both")
    if rates is not None:
        if meters:
            table.fail("meters", "'meters' says what 'multiply' applies to; 'rates' names its own")
        if note:
            table.fail("note", "a note on explicit prices belongs to the price", "or to one rate: { amount, note }")
        return read_rates(rates, sources, when, source), []
    assert factor is not None
    return [], [Modifier(when=when, factor=factor, meters=meters, note=note, source=source)]


def read_when(table: Table) -> When:
    """A condition. Keys that are not one of ours are attributes of the request (size, quality, route, …)."""
    tier, regions = table.text("tier"), table.texts("regions")
    bands = tuple(_band(one) for one in table.subs("context"))
    windows = [(one, _window(one)) for one in table.subs("time")]
    period = table.sub("period")
    attrs = set()
    for key, value in table.values.items():
        if key in _CONDITIONS:
            continue
        near = [_MISTAKEN[key]] if key in _MISTAKEN else difflib.get_close_matches(key, _CONDITIONS, 1, 0.75)
        if near:
            table.fail(key, f"{key!r} cannot be an attribute", f"did you mean {near[0]!r}?" if near[0] else "")
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            table.fail(key, f"the attribute {key!r} is not text or a whole number", f'write {key} = "…"')
        attrs.add((key, str(value)))
    when = When(
        tier=tier_name(tier) if tier else None,
        regions=frozenset(regions) if regions else None,
        bands=bands,
        window=_union(windows),
        period=_period(period) if period else None,
        attrs=frozenset(attrs),
    )
    if when == ALWAYS:
        table.fail(None, "an empty 'when'", "unconditional prices belong in [offer.price.rates]")
    return when


def _band(table: Table) -> Band:
    over, at_least = table.whole("over", least=0), table.whole("at_least", least=0)
    up_to, under = table.whole("up_to", least=0), table.whole("under", least=1)
    of = table.text("of") or "prompt"
    table.finish()
    if over is not None and at_least is not None:
        table.fail("over", "both 'over' and 'at_least'", "'over' excludes the number, 'at_least' includes it: keep one")
    if up_to is not None and under is not None:
        table.fail("under", "both 'up_to' and 'under'", "'up_to' includes the number, 'under' excludes it: keep one")
    if over is at_least is up_to is under is None:
        table.fail(None, "a context condition without a threshold", "write over, at_least, up_to or under")
    of = of if of == "prompt" else meter_name(table, "of", of)
    scale = METERS[of].scale if of in METERS else 1  # seconds are written, and counted in millionths
    low = over * scale + 1 if over is not None else (at_least or 0) * scale
    high = up_to * scale + 1 if up_to is not None else under * scale if under is not None else NO_LIMIT
    if low >= high:
        table.fail(None, "no quantity is in this range", "the lower end comes before the upper one")
    return Band(low=low, high=high, of=of)


def _minute(table: Table, key: str) -> int | None:
    text = table.text(key)
    if text is None:
        return None
    hour, colon, minute = text.partition(":")
    if not (colon and len(hour) == 2 and len(minute) == 2 and (hour + minute).isdecimal()):
        table.fail(key, f"{key!r} is {text!r}, not a time of day", 'write "HH:MM" in UTC')
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _DAY:
        table.fail(key, f"{key!r} is {text!r}, not a time of day", '"00:00" to "24:00", in UTC')
    return found


def _window(table: Table) -> Window:
    """A daily window in UTC. One that ends before it starts runs over midnight; `days` are those it starts on."""
    start, end = _minute(table, "from"), _minute(table, "to")
    days = table.texts("days") or DAYS
    decides = table.choice("decides", ("start", "completion")) or "start"
    dates, not_dates = table.days("dates"), table.days("not_dates")
    table.finish()
    for day in days:
        if day not in DAYS:
            table.fail("days", f"{day!r} is not a day of the week", "one of " + ", ".join(DAYS))
    if (start is None) != (end is None):
        table.fail(None, "a window needs both 'from' and 'to'", "leave out both for whole days")
    begin, stop = (0, _DAY) if start is None or end is None else (start, end)
    if begin == stop:
        table.fail("from", "a window of no length", "leave out from and to for whole days")
    length = (stop - begin) % _DAY or _DAY
    minutes = 0
    for day in days:
        bits = ((1 << length) - 1) << (DAYS.index(day) * _DAY + begin)
        minutes |= (bits & ALL_WEEK) | (bits >> MINUTES_OF_WEEK)  # Sunday night runs into Monday
    return Window(minutes=minutes, decides=decides, dates=dates, not_dates=not_dates)


def _union(windows: list[tuple[Table, Window]]) -> Window | None:
    """One window that holds where any of several does; none of them on a `not_dates` day of any."""
    if not windows:
        return None
    minutes, dates, not_dates = 0, frozenset[date](), frozenset[date]()
    for table, window in windows:
        if window.decides != windows[0][1].decides:
            table.fail("decides", "windows of one rule that look at different moments", "write two rules")
        minutes |= window.minutes
        dates |= window.dates
        not_dates |= window.not_dates
    if dates & not_dates:
        windows[0][0].fail(None, f"{min(dates & not_dates)} is in both dates and not_dates", "remove it from one")
    return Window(minutes=minutes, decides=windows[0][1].decides, dates=dates, not_dates=not_dates)


def _period(table: Table) -> Period:
    period = Period(start=table.instant("from"), end=table.instant("to"))
    table.finish()
    if period.start is None and period.end is None:
        table.fail(None, "a period without 'from' or 'to'")
    if period.start is not None and period.end is not None and period.start >= period.end:
        table.fail("to", "a period that ends before it starts", "exchange from and to")
    return period
