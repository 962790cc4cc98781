"""The reference: one request's charge, itemised. Scalar, exact and readable; `columns` must equal it.

    usage x rates -> charges

Every line says how much of which meter, at which rate, under which conditions, from which source.
A meter without a rate gives an unknown line; a charge with one has no total, only what is known.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import datetime, timedelta
from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source
from farthing.money import ZERO, Usd
from farthing.rates.card import Modifier, Offer, Price, Rate
from farthing.rates.select import Facts, Index, Resolved, Unknown, index, price_at
from farthing.units import METERS, ORDER, PROMPT_METERS
from farthing.usage.record import Usage

Quotas = MutableMapping[tuple[str, str], int]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One meter of a charge. `usd` is exact, or None with the `reason` why it is unknown.

    `quantity` counts 1/scale units (see `units`), as consumed; `billed` is what was charged for after
    minimum, step and free quota; `rate` and `factor` give usd = billed x rate x factor (unless `rate`
    has brackets). `source` and `grade` say who stated the rate.
    """

    meter: str
    quantity: int | Fraction
    billed: int | Fraction = 0
    usd: Usd | None = None
    rate: Rate | None = None
    modifiers: tuple[Modifier, ...] = ()
    source: Source | None = None
    grade: Grade = Grade.MEASURED
    reason: str = ""
    note: str = ""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one usage record costs at one offer. `reason` says why the whole of it is unknown, if it is."""

    usage: Usage
    offer: Offer | None
    price: Price | None
    lines: tuple[Line, ...]
    reason: str = ""

    @property
    def known_usd(self) -> Usd:
        """The sum of the lines that have a price."""
        return sum((line.usd for line in self.lines if line.usd is not None), ZERO)

    @property
    def total_usd(self) -> Usd | None:
        """The exact total, or None while any part of it is unknown."""
        return None if self.reason or any(line.usd is None for line in self.lines) else self.known_usd

    @property
    def unknown(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.usd is None)

    @property
    def grade(self) -> Grade | None:
        """The worst grade that the known part rests on; None where nothing has a price."""
        return min((line.grade for line in self.lines if line.usd is not None), default=None)


def facts_of(usage: Usage) -> Facts:
    """What conditions see of `usage`. A bucket of several requests is judged by its mean request."""
    completed = usage.completed
    if completed is None:
        completed = usage.at + timedelta(seconds=usage.latency_s) if usage.latency_s else usage.at
    return Facts(
        at=usage.at,
        completed=completed,
        tier=usage.tier,
        region=usage.region,
        attrs=frozenset(usage.attrs.items()),
        measures=measures(usage.quantities, usage.requests, usage.attrs.get("context_window")),
    )


def measures(quantities: Mapping[str, int], requests: int, window: str | None = None) -> dict[str, int | Fraction]:
    """The quantities of one request that context tiers measure: each meter, and "prompt".

    `window` is a stated range of prompt lengths ("0-200k", "200k-1M"), as aggregated reports give it.
    """
    found: dict[str, int | Fraction] = dict(quantities)
    found["prompt"] = sum(quantities.get(name, 0) for name in PROMPT_METERS)
    if requests != 1:
        found = {name: Fraction(value, max(requests, 1)) for name, value in found.items()}
    if window and (low := _window_low(window)) is not None:
        found["prompt"] = low
    return found


def _window_low(window: str) -> int | None:
    head = window.lower().split("-")[0].strip()
    factor = {"k": 1000, "m": 1_000_000}.get(head[-1:], 1)
    digits = head.rstrip("km")
    return int(digits) * factor + 1 if digits.isdigit() else None


def price_usage(
    usage: Usage,
    offer: Offer,
    *,
    as_of: datetime | None = None,
    quotas: Quotas | None = None,
    at: datetime | None = None,
) -> Charge:
    """The itemised charge of `usage` at `offer`, under the record in force when the request was made.

    `at` prices at another instant instead (time-of-day conditions then look at it too). `quotas`
    holds what was already consumed of free quotas; without it each request finds them untouched.
    """  # fmt: skip
    facts = facts_of(usage)
    if at is not None:
        facts = msgspec.structs.replace(facts, at=at, completed=at + (facts.completed - facts.at))
    price = price_at(offer, facts.at, as_of)
    if isinstance(price, Unknown):
        return Charge(usage=usage, offer=offer, price=None, lines=(), reason=price.reason)
    bucket = usage.requests != 1 and "context_window" not in usage.attrs
    made = lines(price, usage.quantities, usage.requests, facts, bucket=bucket, quotas=quotas)
    return Charge(usage=usage, offer=offer, price=price, lines=made)


def price_all(pairs: Iterable[tuple[Usage, Offer]], *, as_of: datetime | None = None) -> Iterator[Charge]:
    """Charges of records in the order given, with free quotas consumed along the way."""
    quotas: dict[tuple[str, str], int] = {}
    for usage, offer in pairs:
        yield price_usage(usage, offer, as_of=as_of, quotas=quotas)


def billable(quantities: Mapping[str, int | Fraction], requests: int, prices: Index) -> dict[str, int | Fraction]:
    """The quantities that have lines: what was consumed, reasoning apart from the rest of the output
    where it has a price of its own, and the request itself where requests are charged for."""
    found = {name: quantities[name] for name in sorted(quantities, key=ORDER.__getitem__) if quantities[name]}
    found.pop("requests", None)
    reasoning = found.pop("reasoning", 0)
    if reasoning and "reasoning" in prices.rates:
        found["output"] = found["output"] - reasoning
        if not found["output"]:
            del found["output"]
        found["reasoning"] = reasoning
    if "requests" in prices.rates:
        found["requests"] = requests
    return found


def lines(
    price: Price,
    quantities: Mapping[str, int | Fraction],
    requests: int,
    facts: Facts,
    *,
    bucket: bool = False,
    quotas: Quotas | None = None,
) -> tuple[Line, ...]:
    """The lines of `quantities` under the record `price`, in the order of the meter registry.

    `bucket`: the quantities are a source's sum of several requests, whose single lengths nobody knows.
    """
    prices = index(price)
    longest = sum(quantities.get(name, 0) for name in PROMPT_METERS) if bucket else 0
    made = []
    for meter, quantity in billable(quantities, requests, prices).items():
        resolved = prices.resolve(meter, facts)
        if isinstance(resolved, Unknown):
            made.append(Line(meter=meter, quantity=quantity, reason=resolved.reason))
        elif bucket and not resolved.rate.linear:
            why = f"{meter} is charged request by request, and this row sums several"
            made.append(Line(meter=meter, quantity=quantity, rate=resolved.rate, source=price.source, reason=why))
        else:
            by_mean = bucket and prices.depends_on_length(resolved.rate.meter, longest)
            made.append(_line(meter, quantity, resolved, price, facts, by_mean, quotas))
    if price.minimum_usd is not None and bucket:
        made.append(Line(meter="requests", quantity=requests, reason="each request has a minimum charge of its own"))
    elif price.minimum_usd is not None and made and all(line.usd is not None for line in made):
        least = Fraction(price.minimum_usd) * requests  # in dollars, whatever the currency of the rates
        short = least - sum((line.usd or ZERO for line in made), ZERO)
        if short > 0:
            note = "raised to the minimum charge"
            made.append(
                Line(meter="requests", quantity=requests, billed=requests, usd=short, source=price.source,
                     grade=price.source.grade, note=note)
            )  # fmt: skip
    return tuple(made)


def _line(
    meter: str,
    quantity: int | Fraction,
    resolved: Resolved,
    price: Price,
    facts: Facts,
    by_mean: bool,
    quotas: Quotas | None,
) -> Line:
    rate = resolved.rate
    scale = METERS[meter].scale
    source = rate.source or price.source
    grade = grade_of(resolved, source)
    note = rate.note
    if by_mean:
        grade = Grade.ASSUMED
        note = "; ".join(filter(None, (note, "context tier judged by the mean request")))
    billed: int | Fraction = quantity
    if not rate.linear:
        billed = _billed(quantity, rate, scale, price, facts.at, quotas)
    if resolved.unit_usd is not None:
        # A covered meter has the scale of the meter that covers it, so the unit price holds for both.
        usd = resolved.unit_usd * billed
    else:
        units, before = Fraction(billed) / scale, Fraction(0)
        if rate.brackets_per != "request":
            used = _used_before("brackets", rate.group, rate.brackets_per, rate, price, facts.at, quotas, int(billed))
            before = Fraction(used, scale)
        usd = (_brackets(rate, before + units) - _brackets(rate, before)) * resolved.factor_usd
    return Line(meter=meter, quantity=quantity, billed=billed, usd=usd, rate=rate, modifiers=resolved.modifiers,
                source=source, grade=grade, note=note)  # fmt: skip


def grade_of(resolved: Resolved, source: Source) -> Grade:
    """The worst grade that a resolved rate rests on: its source's and its modifiers'."""
    return min((source.grade, *(m.source.grade for m in resolved.modifiers if m.source is not None)))


def _billed(
    quantity: int | Fraction,
    rate: Rate,
    scale: int,
    price: Price,
    at: datetime,
    quotas: Quotas | None,
) -> int | Fraction:
    """What one request is charged for: raised to the minimum, up to a whole step, less what is free."""
    billed = quantity
    if rate.minimum is not None:
        billed = max(billed, Fraction(rate.minimum) * scale)
    if rate.step is not None:
        step = Fraction(rate.step) * scale
        billed = -(-billed // step) * step
    if rate.free is not None:
        billed = _after_quota(billed, rate, price, at, quotas)
    return billed


def _brackets(rate: Rate, units: Fraction) -> Fraction:
    """The marginal price of the first `units`: each bracket's amount for the units that lie in it."""
    total, start = ZERO, Fraction(0)
    for bracket in rate.brackets:
        end = units if bracket.up_to is None else min(units, Fraction(bracket.up_to))
        if end > start:
            total += (end - start) * Fraction(bracket.amount) / rate.per
            start = end
    return total


def _used_before(
    what: str, group: str, per: str, rate: Rate, price: Price, at: datetime, quotas: Quotas | None, billed: int
) -> int:
    """What `group` had consumed of `what` in the period of `at` before this request, which is added to it.

    Without a group it is the rate's own meter: what it covers beside that (audio charged as input)
    uses up the same quota.
    """
    span = {"day": at.date().isoformat(), "month": at.strftime("%Y-%m")}.get(per, "ever")
    key = (f"{what} {group or f'{price.source.id}/{rate.meter}/{id(price)}'}", span)
    used = quotas.get(key, 0) if quotas is not None else 0
    if quotas is not None:
        quotas[key] = used + billed
    return used


def _after_quota(
    billed: int | Fraction, rate: Rate, price: Price, at: datetime, quotas: Quotas | None
) -> int | Fraction:
    free = rate.free
    assert free is not None
    used = _used_before("free", free.group, free.per, rate, price, at, quotas, int(billed))
    return max(billed - max(0, free.quantity * METERS[rate.meter].scale - used), 0)
