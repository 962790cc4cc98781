"""What was billed: the lines of an invoice or cost export, in every format told by their fields.

OpenAI's costs (JSON pages, dashboard CSV), Anthropic's cost report (JSON pages, console CSV), FOCUS,
and a plain CSV or JSONL. Amounts are exact: text or JSON digits, never a binary float.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from farthing.charges.reconciliation.invoice_words import KINDS, Item, line_item, tier_word
from farthing.money import parse_decimal
from farthing.problems import FarthingError, Problems
from farthing.units import METERS
from farthing.usage.readers.rows import rows
from farthing.usage.readers.values import YEARS, BadRow, Row, instant, items, pick, text
from farthing.usage.streams import open_source

_DAY = timedelta(days=1)
_BARE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
# A comma groups thousands only where a point follows it or it groups twice: "0,041" and "1,234" may be decimals.
_GROUPED = re.compile(r"-?[1-9]\d{0,2}(,\d{3})+\.\d+|-?[1-9]\d{0,2}(,\d{3}){2,}")
_BINARY_DIGITS = 15  # this many significant digits or more: the writer printed a binary float
_LARGEST_EXPONENT = 40
_STRANGE = 100  # rows that are no lines of an invoice, before any that is one: the file is none
_STARTS = ("date", "day", "start", "start_time", "starting_at", "start_date", "period_start", "usage_date", "month")
_ENDS = ("end", "end_time", "ending_at", "end_date", "period_end")
_DOLLARS = ("amount", "cost", "usd", "amount_usd", "cost_usd", "total_usd", "billed_usd", "total")
_CENTS = ("cents", "amount_cents", "cost_cents")
_FOCUS_PROVIDERS = {"microsoft": "azure", "amazon web services": "aws", "google cloud": "google"}
_UNITS = {"tokens": 1, "1k tokens": 1000, "1000 tokens": 1000, "thousand tokens": 1000, "1m tokens": 10**6,
          "1000000 tokens": 10**6, "million tokens": 10**6, "calls": 1, "requests": 1, "searches": 1}  # fmt: skip


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One amount billed for the half-open span from `start` to `end` (UTC; mostly one day).

    `usd` is exact. `places` is the number of decimals of a dollar that the line was printed with;
    `binary` marks digits that came from a binary float. `kind` is a meter's name where the line says
    which, `quantity` a count of that meter's units where it is stated. What the line does not say is None.
    """

    start: datetime
    end: datetime
    usd: Fraction
    places: int
    place: str
    binary: bool = False
    provider: str | None = None
    model: str | None = None
    kind: str | None = None
    tier: str | None = None
    quantity: Fraction | None = None
    project: str | None = None
    description: str = ""


def read_invoice(path: Path | str, problems: Problems) -> list[InvoiceLine]:
    """Every line of the invoice at `path` (plain, gzip or zstd; "-" is standard input), in its order.

    A line that cannot be read goes to `problems` with its place. Raises `FarthingError` where the file
    holds no invoice: nothing in it, usage without money, or no column for the day or the amount.
    """
    found: list[InvoiceLine] = []
    strange, why = 0, ""
    with open_source(path, problems) as opened:
        if not opened.head.strip():
            raise FarthingError(f"{opened.place}: the invoice is empty")
        if opened.head.startswith((b"PK\x03\x04", b"%PDF", b"PAR1")):
            raise FarthingError(f"{opened.place}: a workbook, archive, PDF or Parquet file; save it as CSV")
        for place, row in _flat(rows(opened.stream, opened.place, problems), problems):
            if why := _strange(row):
                strange += 1
                if not found and strange == _STRANGE:
                    raise FarthingError(f"{opened.place}: {why}")
                problems.add(place, why, "correct or remove the row", "not a line of an invoice")
                continue
            try:
                line = _line(place, row)
            except BadRow as bad:
                problems.add(place, str(bad), bad.repair, bad.kind)
                continue
            if line is not None:
                found.append(line)
        if not found:
            if why:
                raise FarthingError(f"{opened.place}: {why}")
            first = f": {problems.kept[0]}" if problems.kept else ""
            raise FarthingError(f"{opened.place}: no line of an invoice could be read{first}")
    return found


def _flat(found: Iterator[tuple[str, Row]], problems: Problems) -> Iterator[tuple[str, Row]]:
    """Rows; pages and buckets give one row for each result, with the bucket's times."""
    for place, row in found:
        if "data" not in row and "results" not in row:
            yield place, row
            continue
        try:
            buckets = items(row, "data") if "data" in row else [row]
            for number, bucket in enumerate(buckets, 1):
                where = f"{place} bucket {number}" if "data" in row else place
                if "results" not in bucket:
                    yield where, bucket
                    continue
                times = {key: bucket[key] for key in ("start_time", "end_time", "starting_at", "ending_at")
                         if bucket.get(key) is not None}  # fmt: skip
                if "starting_at" in times:
                    times["cost_type"] = None  # says that these are Anthropic's, whose amounts are cents
                for index, result in enumerate(items(bucket, "results"), 1):
                    yield f"{where} result {index}", {**times, **result}
        except BadRow as bad:
            problems.add(place, str(bad), bad.repair, bad.kind)


def _strange(row: Row) -> str:
    """Why `row` is no line of an invoice; nothing where it has an amount and a time."""
    names = {key.casefold() for key in row}
    if names & {*_DOLLARS, *_CENTS, "amount_value", "billedcost"} and names & {
        *_STARTS,
        "start_time_iso",
        "usage_date_utc",
        "chargeperiodstart",
    }:
        return ""
    if any("tokens" in key for key in names):
        return "holds usage, not money; an invoice has an amount for each day and model"
    return (
        "not an invoice that is known: it needs a day (date, day or start) and an amount "
        "(amount, cost or usd in dollars, or cents)"
    )


def _line(place: str, row: Row) -> InvoiceLine | None:
    if "BilledCost" in row:
        return _focus(place, row)
    if "amount_value" in row or isinstance(row.get("amount"), dict):
        return _openai(place, row)
    if "usage_date_utc" in row:
        return _anthropic_console(place, row)
    if "starting_at" in row and "cost_type" in row:
        return _anthropic(place, row)
    return _plain(place, {key.strip().casefold(): value for key, value in row.items()})


# --- amounts and times ------------------------------------------------------------------------


def _money(value: object, currency: object, cents: bool = False) -> dict[str, Any]:
    """`usd`, `places` and `binary` of a stated amount. Raises `BadRow`."""
    stated = (text(currency) or "usd").lower()
    if stated not in ("usd", "us$", "$"):
        raise BadRow(f"the amount is in {stated.upper()}", "convert the invoice to USD", "not in USD")
    if isinstance(value, str):
        value = value.strip().replace("$", "", 1).strip()
        value = value.replace(",", "") if _GROUPED.fullmatch(value) else value
    try:
        number = parse_decimal(value)
    except ValueError as fault:
        raise BadRow(f"the amount: {str(fault)[:80]}", "write it as 12.34", "bad amount") from None
    if _absurd(number):
        raise BadRow(f"the amount {str(number)[:60]} is absurd", "correct the row", "bad amount")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    digits = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    return {
        "usd": Fraction(number) / (100 if cents else 1),
        "places": max(0, -exponent) + (2 if cents else 0),
        "binary": digits >= _BINARY_DIGITS,
    }


def _absurd(number: Decimal) -> bool:
    """Whether no invoice can mean `number`: also a zero such as 0e999999999, which takes forever to write out."""
    return abs(number.adjusted()) >= _LARGEST_EXPONENT or len(number.as_tuple().digits) > 2 * _LARGEST_EXPONENT


def _span(start: object, end: object, *, utc: bool = False) -> dict[str, Any]:
    """`start` and `end`: as stated, or the UTC day that `start` is in; "2026-11" is its whole month."""
    if isinstance(start, str) and (month := _MONTH.fullmatch(start.strip())):
        year, number = int(month[1]), int(month[2])
        if not (1 <= number <= 12 and year in YEARS):
            raise BadRow(f"{start!r} is not a month", kind="bad time")
        first = datetime(year, number, 1, tzinfo=UTC)
        return {"start": first, "end": datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)}
    begin = instant(start, utc=utc)
    if end is None or end == "":
        begin = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        return {"start": begin, "end": begin + _DAY}
    until = instant(end, utc=utc)
    if until == begin and isinstance(end, str) and _BARE.fullmatch(end.strip()):
        until = begin + _DAY
    if until <= begin:
        raise BadRow(f"the line ends at {end}, before it starts at {start}", kind="bad time")
    return {"start": begin, "end": until}


def _quantity(value: object, unit: object) -> Fraction | None:
    if value is None or value == "":
        return None
    try:
        number = parse_decimal(value)
    except ValueError as fault:
        raise BadRow(f"the quantity: {str(fault)[:80]}", kind="bad count") from None
    if _absurd(number):
        raise BadRow(f"the quantity {str(number)[:60]} is absurd", kind="bad count")
    factor = _UNITS.get((text(unit) or "tokens").lower().replace("_", " "))
    return Fraction(number) * factor if factor else None


# --- formats ----------------------------------------------------------------------------------


def _openai(place: str, row: Row) -> InvoiceLine | None:
    """OpenAI costs: `amount` is {value, currency} in JSON and two columns in the CSV; amounts are dollars."""
    amount = row.get("amount")
    value, currency = (
        (amount.get("value"), amount.get("currency"))
        if isinstance(amount, dict)
        else (row.get("amount_value"), row.get("amount_currency"))
    )
    if value is None or value == "":
        return None  # the export writes a row for a day on which nothing was billed
    what = text(row.get("line_item"))
    item = line_item(what) if what else Item()
    return InvoiceLine(
        **_money(value, currency),
        **_span(pick(row, "start_time", "start_time_iso"), pick(row, "end_time", "end_time_iso"), utc=True),
        place=place,
        provider="openai",
        model=item.model,
        kind=item.kind,
        tier=item.tier,
        quantity=_quantity(row.get("quantity"), row.get("quantity_unit")),
        project=text(row.get("project_id")),
        description=what or "",
    )


def _anthropic(place: str, row: Row) -> InvoiceLine:
    """Anthropic cost report: `amount` is a decimal string in cents."""
    kind = KINDS.get((text(pick(row, "token_type", "cost_type")) or "").lower())
    return InvoiceLine(
        **_money(row["amount"], row.get("currency"), cents=True),
        **_span(row["starting_at"], row.get("ending_at")),
        place=place,
        provider="anthropic",
        model=text(row.get("model")),
        kind=kind,
        tier=tier_word(row.get("service_tier")),
        project=text(row.get("workspace_id")),
        description=text(pick(row, "description", "cost_type")) or "",
    )


def _anthropic_console(place: str, row: Row) -> InvoiceLine | None:
    """The console's cost CSV: dollars, a display name for the model, the day in UTC."""
    if pick(row, "cost_usd") is None:
        return None
    kind = KINDS.get((text(pick(row, "token_type", "cost_type")) or "").lower())
    return InvoiceLine(
        **_money(row["cost_usd"], None),
        **_span(row["usage_date_utc"], None),
        place=place,
        provider="anthropic",
        model=text(row.get("model")),
        kind=kind,
        tier="fast" if text(row.get("speed")) == "fast" else tier_word(row.get("usage_type")),
        project=text(row.get("workspace")),
        description=" ".join(filter(None, (text(row.get("model")), text(pick(row, "token_type", "cost_type"))))),
    )


def _focus(place: str, row: Row) -> InvoiceLine:
    """FOCUS: `BilledCost` in `BillingCurrency` for [ChargePeriodStart, ChargePeriodEnd)."""
    provider = (text(pick(row, "ServiceProviderName", "ProviderName", "PublisherName")) or "").lower()
    custom = next((value for key, value in row.items() if key.lower() in ("x_model", "x_modelname")), None)
    stated = text(custom) or text(pick(row, "SkuId", "ResourceName")) or ""
    usage = (text(row.get("ChargeCategory")) or "Usage").lower() == "usage"
    item = line_item(stated.removeprefix(f"{provider}/")) if stated and usage else Item()
    meter = (text(row.get("SkuMeter")) or "").lower()
    description = text(pick(row, "ChargeDescription", "SkuId", "ServiceName", "ChargeCategory")) or ""
    return InvoiceLine(
        **_money(row["BilledCost"], row.get("BillingCurrency")),
        **_span(row.get("ChargePeriodStart"), row.get("ChargePeriodEnd"), utc=True),
        place=place,
        provider=_FOCUS_PROVIDERS.get(provider, provider) or None,
        model=item.model or (text(custom) if usage and not item.kind else None),
        kind=KINDS.get(meter, item.kind) if usage else None,
        tier=item.tier,
        quantity=_quantity(row.get("ConsumedQuantity"), row.get("ConsumedUnit")) if usage else None,
        project=text(row.get("SubAccountId")),
        description=description if usage else f"{text(row.get('ChargeCategory'))}: {description}",
    )


def _plain(place: str, row: Row) -> InvoiceLine | None:
    """A table with a day, an amount, and what else it says; "provider/model" is split."""
    in_cents = pick(row, *_DOLLARS) is None
    value = pick(row, *(_CENTS if in_cents else _DOLLARS))
    if value is None:
        if all(cell is None or cell == "" for cell in row.values()):
            return None
        raise BadRow("the row has no amount", "write the dollars in a column `amount`", "no amount")
    kind = (text(pick(row, "kind", "meter", "token_type", "type")) or "").lower()
    stated = text(pick(row, "model", "line_item", "sku"))
    item = line_item(stated) if stated else Item()
    model, provider = item.model or (stated if row.get("model") and not item.kind else None), text(row.get("provider"))
    if model and provider is None and "/" in model:
        provider, _, model = model.partition("/")
    return InvoiceLine(
        **_money(value, row.get("currency"), cents=in_cents),
        **_span(pick(row, *_STARTS), pick(row, *_ENDS)),
        place=place,
        provider=provider.lower() if provider else None,
        model=model,
        kind=kind if kind in METERS else KINDS.get(kind, item.kind),
        tier=tier_word(pick(row, "tier", "service_tier")) or item.tier,
        quantity=_quantity(pick(row, "quantity", "tokens"), pick(row, "unit", "quantity_unit")),
        project=text(pick(row, "project", "project_id", "workspace", "workspace_id")),
        description=text(row.get("description")) or stated or kind,
    )


def half_unit(line: InvoiceLine, places: int) -> Fraction:
    """By how many dollars `line` can differ from the exact amount where the invoice prints `places` decimals.

    Half a unit of the last decimal, or a binary float's relative step of 2**-52 where that is coarser.
    """
    printed = Fraction(1, 2 * 10**places)
    return max(printed, abs(line.usd) / 2**52) if line.binary else printed


def places_of(invoice: Sequence[InvoiceLine]) -> int:
    """The decimals of a dollar that the invoice is printed with: the most that any line shows."""
    return max((line.places for line in invoice), default=0)
