"""Views of one charge: JSON and a table."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.charges.reference import Charge, Line
from farthing.evidence import Source
from farthing.money import decimal_text, is_finite_decimal, show_usd
from farthing.rates.card import ALWAYS
from farthing.reports.past_lists import said_then, told
from farthing.time import show_instant
from farthing.units import METERS

if TYPE_CHECKING:
    from rich.console import Group


def quantity_text(meter: str, count: int | Fraction) -> str:
    """A stored count (1/scale units) in whole units of the meter, as plain decimal digits."""
    return decimal_text(Fraction(count, METERS[meter].scale) if isinstance(count, int) else count / METERS[meter].scale)


def source_json(source: Source) -> dict[str, Any]:
    return {
        "id": source.id,
        "title": source.title,
        "where": source.where,
        "seen": source.seen.isoformat() if source.seen else None,
        "grade": str(source.grade),
    }


def line_json(line: Line, currency: str) -> dict[str, Any]:
    """One line: quantities and amounts as decimal strings, `usd` null with a `reason` where unknown."""
    made: dict[str, Any] = {
        "meter": line.meter,
        "quantity": quantity_text(line.meter, line.quantity),
        "unit": METERS[line.meter].unit,
    }
    if line.usd is None:
        return {**made, "usd": None, "reason": line.reason}
    from farthing.rates.describe import describe

    rate = line.rate
    made["billed"] = quantity_text(line.meter, line.billed)
    if rate is not None:
        made["rate"] = decimal_text(rate.amount) if rate.amount is not None else None
        made["per"] = rate.per
        made["currency"] = currency
        if rate.brackets:
            made["brackets"] = [
                {"up_to": bracket.up_to, "rate": decimal_text(bracket.amount)} for bracket in rate.brackets
            ]
        made["when"] = describe(rate.when)
    made["factors"] = [{"factor": decimal_text(m.factor), "when": describe(m.when)} for m in line.modifiers]
    made["usd"] = decimal_text(line.usd)
    if not is_finite_decimal(line.usd):
        made["usd_fraction"] = str(line.usd)  # the decimal above is cut off; this is the exact amount
    made["source"] = line.source.id if line.source else None
    made["grade"] = str(line.grade)
    if line.note:
        made["note"] = line.note
    return made


def charge_json(charge: Charge) -> dict[str, Any]:
    """The charge as JSON types. `total_usd` is null while anything in it is unknown; `currency_usd`, the dollars
    for one unit of the currency that the rates are in, is there where that is not the dollar."""
    price, usage, total = charge.price, charge.usage, charge.total_usd
    currency = price.currency if price else "USD"
    sources = {line.source.id: line.source for line in charge.lines if line.source}
    exchange = {"currency_usd": decimal_text(price.usd)} if price and currency != "USD" else {}
    return {
        "offer": charge.offer.id if charge.offer else None,
        "at": show_instant(usage.at),
        "tier": usage.tier,
        "region": usage.region,
        "requests": usage.requests,
        "total_usd": None if total is None else decimal_text(total),
        "known_usd": decimal_text(charge.known_usd),
        "grade": None if charge.grade is None else str(charge.grade),
        "valid_from": show_instant(price.valid_from) if price and price.valid_from else None,
        **exchange,
        "lines": [line_json(line, currency) for line in charge.lines if line.usd is not None],
        "unknown": [line_json(line, currency) for line in charge.unknown]
        + ([{"meter": None, "usd": None, "reason": charge.reason}] if charge.reason else []),
        "sources": [source_json(source) for source in sources.values()],
        "via": charge.offer.via if charge.offer else "",
        "note": charge.offer.note if charge.offer else "",
        **({"lists_of_that_day": said} if (said := said_then(charge.offer, price, usage.at)) else {}),
    }


def charge_table(charge: Charge) -> "Group":
    """The charge for a terminal: the total first, then its lines, then what is unknown and who says so."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from farthing.rates.describe import describe, describe_terms

    price, total = charge.price, charge.total_usd
    assert charge.offer is not None
    currency = price.currency if price else "USD"
    exact = f" (exactly {decimal_text(total)})" if total else ""
    head = Text()
    head.append(show_usd(total) if total is not None else "unknown", style="bold")
    if total is None and charge.known_usd:
        head.append(f": at least {show_usd(charge.known_usd)}")
    head.append(f"{exact}  {charge.offer.id}, {show_instant(charge.usage.at)}, {charge.usage.tier}")
    parts: list[Any] = [head, Text("")]
    if charge.lines:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("meter", no_wrap=True)
        for name in ("quantity", "rate", "USD"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("conditions", style="dim")
        for line in charge.lines:
            rate = line.rate
            shown = "-"
            if rate is not None and (rate.amount is not None or rate.brackets):
                sign = "$" if currency == "USD" else f"{currency} "
                per = "" if rate.per == 1 else f"/{_per(rate.per)}"
                shown = ("in steps" if rate.amount is None else f"{sign}{decimal_text(rate.amount)}") + per
            conditions = [] if rate is None or line.usd is None or rate.when == ALWAYS else [describe(rate.when)]
            conditions += [f"x{decimal_text(m.factor)} {describe(m.when)}" for m in line.modifiers]
            if rate is not None and rate.brackets and line.usd is not None:
                conditions.append(describe_terms(rate)[0].removeprefix("in steps: ").removeprefix("in steps "))
            conditions += [text for text in (line.note,) if text]
            if line.billed != line.quantity and line.usd is not None:
                conditions.append(f"billed as {quantity_text(line.meter, line.billed)}")
            table.add_row(
                line.meter,
                f"{quantity_text(line.meter, line.quantity)}",
                shown,
                "unknown" if line.usd is None else decimal_text(line.usd),
                line.reason if line.usd is None else "; ".join(conditions),
            )
        parts.append(table)
    if charge.reason:
        parts.append(Text(f"No part of it has a price: {charge.reason}."))
    if charge.lines:
        parts.append(Text(""))
    for source in {line.source.id: line.source for line in charge.lines if line.source}.values():
        seen = f", seen {source.seen.isoformat()}" if source.seen else ""
        parts.append(Text(f"source: {source.title}{seen}, {source.grade}", style="dim"))
    if price is not None and currency != "USD":
        parts.append(Text(f"currency: 1 {currency} is ${decimal_text(price.usd)}, as the source of the price states it",
                          style="dim"))  # fmt: skip
    if price is not None:
        since = f"since {show_instant(price.valid_from)}" if price.valid_from else "undated: the source gives no start"
        parts.append(
            Text(f"record: {since}" + (f"; priced as {charge.offer.via}" if charge.offer.via else ""), style="dim")
        )
        said = said_then(charge.offer, price, charge.usage.at)
        parts += [Text(f"\n{told(said, charge.offer.id)}")] if said and charge.offer else []
    return Group(*parts)


def _per(per: int) -> str:
    for size, name in ((10**9, "G"), (10**6, "M"), (1000, "K")):
        if per % size == 0:
            return f"{per // size if per != size else ''}{name}"
    return f"{per:,}"
