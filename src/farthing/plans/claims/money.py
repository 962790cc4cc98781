"""Checks of money: cost per token, bills, blends, hardware by the hour, break-even volumes."""

from fractions import Fraction

from farthing.plans.claims.given import Given
from farthing.plans.claims.verdict import LEAST_SLACK, Finding, Span, Verdict, agree, number, point, show, term

HOURS_PER_YEAR = 8760
MTOK = 10**6
_HOUR_S = 3600


def cost_per_mtok(given: Given) -> Finding:
    """Dollars an hour by tokens a second: $/h / (tokens/s × 3600 / 10⁶) = $ per million tokens."""
    stated, usd, speed = given.stated(), given.quantity("usd_per_hour"), given.quantity("tokens_s")
    per_hour = Span(speed.low * _HOUR_S / MTOK, speed.high * _HOUR_S / MTOK)
    found = usd / per_hour
    return agree(stated, found, f"{term(usd)} $/h / {term(per_hour)} M tokens/h = {show(found)} $/M")


def bill(given: Given) -> Finding:
    """Million tokens of input and output at their prices, so many `times` (days, requests)."""
    stated = given.stated()
    found, parts = point(0), []
    for kind in ("input", "output"):
        tokens, usd = given.perhaps(f"{kind}_mtok"), given.perhaps(f"{kind}_usd_per_mtok")
        if (tokens is None) != (usd is None):
            given.fail(None, f"{kind}_mtok and {kind}_usd_per_mtok go together", "state both, or neither")
        if tokens is not None and usd is not None:
            found += tokens * usd
            parts.append(f"{term(tokens)} M × {term(usd)} $/M")
    if not parts:
        given.fail(None, "there are no tokens to price", "state input_mtok and input_usd_per_mtok, or output_…")
    text = " + ".join(parts)
    times = given.perhaps("times")
    if times is not None:
        found *= times
        text = f"{term(times)} × ({text})"
    return agree(stated, found, f"{text} = ${show(found)}")


def blend(given: Given) -> Finding:
    """A blended price of input and output. Without `input_share` (per cent) it lies between the two."""
    stated, read, written = given.stated(), given.quantity("input_usd"), given.quantity("output_usd")
    share = given.perhaps("input_share")
    if share is not None:
        part = Span(share.low / 100, share.high / 100)
        ends = [
            part.low * read.low + (1 - part.low) * written.low,
            part.high * read.high + (1 - part.high) * written.high,
        ]
        found = Span(min(ends), max(ends))
        return agree(stated, found, f"{term(part)} × {term(read)} + rest × {term(written)} = {show(found)} $/M")
    found = Span(min(read.low, written.low), max(read.high, written.high))
    middle = (stated.span.low + stated.span.high) / 2
    note = ""
    if read.point and written.point and read.low < middle < written.low:
        note = f"that is {number((written.low - middle) / (written.low - read.low) * 100)} % input"
    return agree(stated, found, f"between {show(read)} (input) and {show(written)} (output)", note)


def amortisation(given: Given) -> Finding:
    """A purchase by the hour: $ / (years × 8,760 h)."""
    stated, usd, years = given.stated(), given.quantity("usd"), given.quantity("years")
    found = usd / (years * point(HOURS_PER_YEAR))
    return agree(stated, found, f"{term(usd)} / ({term(years)} × 8,760 h) = {show(found)} $/h")


def energy(given: Given) -> Finding:
    """Electricity by the hour: W / 1000 × $/kWh, times what the host and the cooling add."""
    stated, watts, price = given.stated(), given.quantity("watts"), given.quantity("usd_per_kwh")
    found = watts * price / point(1000)
    text = f"{term(watts)} W / 1000 × {term(price)} $/kWh"
    factor = given.perhaps("overhead")
    if factor is not None:
        found *= factor
        text += f" × {term(factor)}"
    return agree(stated, found, f"{text} = {show(found)} $/h")


def depreciation(given: Given) -> Finding:
    """What is left of a price that loses so many per cent a year: $ × (1 − rate)^years."""
    stated, usd = given.stated(), given.quantity("usd")
    rate, years = given.quantity("percent_per_year"), given.quantity("years")
    if rate.high >= 100:
        given.fail("percent_per_year", f"{term(rate)} per cent a year leaves nothing")
    found = Span(
        usd.low * Fraction((1 - float(rate.high) / 100) ** float(years.high)),
        usd.high * Fraction((1 - float(rate.low) / 100) ** float(years.low)),
    )
    return agree(stated, found, f"{term(usd)} × (1 − {term(rate)} %)^{term(years)} = {show(found)}")


def break_even(given: Given) -> Finding:
    """The volume in million tokens at which a fixed cost equals an API's price: $ / ($/M − own $/M).

    With `capacity_mtok`, what the fixed cost can serve: a volume beyond it is impossible.
    """
    stated, usd, api = given.stated(), given.quantity("usd"), given.quantity("api_usd_per_mtok")
    own, capacity = given.perhaps("own_usd_per_mtok"), given.perhaps("capacity_mtok")
    gain = api
    if own is not None:
        gain = Span(api.low - own.high, api.high - own.low)
        if gain.low <= 0:
            return Finding(verdict=Verdict.IMPOSSIBLE,
                           computation=f"each token costs {term(own)} $/M and saves {term(api)}: never")  # fmt: skip
    found = usd / gain
    text = f"{term(usd)} / {term(gain)} $/M = {show(found)} M tokens"
    if capacity is not None:
        text += f"; capacity {term(capacity)} M"
        for volume, whose in ((stated.span.low, "the stated volume"), (found.low, "the break-even")):
            if volume > capacity.high * (1 + LEAST_SLACK):
                return Finding(verdict=Verdict.IMPOSSIBLE, computation=text, computed=found, too="high",
                               factor=volume / capacity.high, note=f"{whose} is more than it can serve")  # fmt: skip
    return agree(stated, found, text)


def cheaper(given: Given) -> Finding:
    """Which is cheaper for `mtok` million tokens: the API, or whole machines of `machine_usd` for the period.

    `machine_mtok`: what one machine serves in the period; without it one machine serves all.
    """
    winner = given.choice("winner", ("api", "own", "equal"))
    volume, api, machine = given.quantity("mtok"), given.quantity("api_usd_per_mtok"), given.quantity("machine_usd")
    each = given.perhaps("machine_mtok")
    machines = -(-volume.high // each.high) if each is not None else 1
    api_usd, own_usd = volume.high * api.high, machines * machine.high
    text = f"API {term(volume)} M × {term(api)} = ${number(api_usd)}; own "
    if each is not None:
        text += f"⌈{term(volume)} / {term(each)}⌉ × "
    text += f"{term(machine)} = ${number(own_usd)}"
    quotient = max(api_usd / own_usd, own_usd / api_usd)
    found = "equal" if quotient <= Fraction(11, 10) else "api" if api_usd < own_usd else "own"
    if found == winner or (quotient <= 1 + LEAST_SLACK):
        return Finding(verdict=Verdict.HOLDS, computation=text)
    said = {"api": "the API is cheaper", "own": "the machines are cheaper", "equal": "they are within 10 %"}[found]
    return Finding(verdict=Verdict.OFF, computation=text, factor=quotient, note=said)


CHECKS = {
    "cost-per-mtok": cost_per_mtok, "bill": bill, "blend": blend, "amortisation": amortisation, "energy": energy,
    "depreciation": depreciation, "break-even": break_even, "cheaper": cheaper,
}  # fmt: skip
