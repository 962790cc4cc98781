"""Values out of a row: each is what it states, absent, or a `BadRow` that says why it cannot be usage."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from farthing.money import parse_decimal
from farthing.time import EPOCH, aware, parse_instant
from farthing.usage.record import LARGEST_COUNT, quantities
from farthing.usage.streams import decode_json

Row = dict[str, Any]
YEARS = range(1970, 9000)
"""Years that a time can be in: its day, its zone and its latency then never leave the calendar."""
_INT_DIGITS = 40  # beyond so many digits a number is not even written out
_EPOCH_UNITS = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))
_YEAR = 366 * 86400.0
_COST_DIGITS = 40


class BadRow(ValueError):
    """A row that cannot become usage: why, what would mend it, and the kind it is counted under."""

    def __init__(self, reason: str, repair: str = "correct or remove the row", kind: str = "bad value") -> None:
        super().__init__(reason)
        self.repair, self.kind = repair, kind


def part(row: Row, *path: str) -> Row:
    """The object at `path` in `row`, from its JSON text if it is text; empty when absent. A `BadRow` otherwise."""
    value: Any = row
    for name in path:
        value = value.get(name)
        if isinstance(value, str) and value.strip():
            try:
                value = decode_json(value)
            except (msgspec.DecodeError, RecursionError):
                raise BadRow(f"{name} is not a JSON object", kind="unexpected shape") from None
        if value is None or value == "":
            return {}
        if not isinstance(value, dict):
            raise BadRow(f"{name} is not an object", kind="unexpected shape")
    return value  # type: ignore[no-any-return]


def items(row: Row, name: str) -> list[Row]:
    """The list of objects called `name` in `row`; empty when absent. Raises `BadRow` for anything else."""
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRow(f"{name} is not a list of objects", kind="unexpected shape")
    return value


def pick(row: Row, *names: str) -> Any:
    """The first of `names` that `row` holds with a value (not None, not blank), else None."""
    for name in names:
        value = row.get(name)
        if value is not None and value != "":
            return value
    return None


def text(value: object) -> str | None:
    """`value` as text, None when blank or absent."""
    if type(value) is str:
        return value.strip() or None
    if value is None or isinstance(value, (dict, list)):
        return None
    return str(value).strip() or None


def whole(row: Row, *names: str) -> int:
    """The count under the first of `names` that has a value; 0 when none has. Raises `BadRow` for no count."""
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        if type(value) is int and 0 <= value <= LARGEST_COUNT:
            return value
        return _whole(name, value)
    return 0


def _whole(name: str, value: object) -> int:
    try:
        number = Decimal(str(value).strip()) if not isinstance(value, (bool, dict, list)) else Decimal("NaN")
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > _INT_DIGITS or number != number.to_integral_value():
        raise BadRow(f"{name} is {str(value)[:60]!r}, not a whole number", kind="bad count")
    if not 0 <= number <= LARGEST_COUNT:
        fault = "a count cannot be negative" if number < 0 else f"more than {LARGEST_COUNT:,} in one row is absurd"
        raise BadRow(f"{name} is {value}: {fault}", kind="bad count")
    return int(number)


def rest(total: int, name: str, **parts: int) -> int:
    """`total` less the parts that it includes. Raises `BadRow` where they exceed it."""
    left = total - sum(parts.values())
    if left < 0:
        stated = " + ".join(f"{key} {value}" for key, value in parts.items() if value)
        raise BadRow(f"{stated} exceed {name} {total}, which should include them", kind="parts exceed their total")
    return left


def meters(**counts: object) -> dict[str, int]:
    """The non-zero, validated counts by meter. Raises `BadRow`."""
    try:
        return quantities(counts)
    except ValueError as fault:
        raise BadRow(str(fault), kind="bad count") from None


def instant(value: object, *, utc: bool = False) -> datetime:
    """The UTC instant that `value` names: ISO 8601 with a zone, or a number since 1970.

    A number is in seconds, milliseconds, microseconds or nanoseconds, told by its size. With `utc`
    (the source's own statement) a time without a zone is UTC. Raises `BadRow`, also for a year outside `YEARS`.
    """
    moment = _instant(value, utc)
    if moment.year not in YEARS:
        raise BadRow(f"{str(value)[:60]!r} is not a plausible time", kind="bad time")
    return moment


def _instant(value: object, utc: bool) -> datetime:
    if value is None or value == "":
        raise BadRow("the row has no time", "give the row a time with its zone", "no time")
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if utc and value.tzinfo is None else aware(value)
        except (ValueError, OverflowError) as fault:
            raise BadRow(str(fault), "write the zone", "bad time") from None
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return _epoch(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, str):
        raise BadRow(f"{str(value)[:60]!r} is not a time", kind="bad time")
    stated = value.strip()
    if stated.replace(".", "", 1).isdecimal() and stated.isascii():
        return _epoch(Decimal(stated))
    stated = stated[:-4] + "Z" if stated.endswith(" UTC") else stated
    try:
        if utc:
            moment = datetime.fromisoformat(stated)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return parse_instant(stated)
    except (ValueError, OverflowError) as fault:
        raise BadRow(str(fault)[:200], "write the time with its zone: 2026-11-21T09:30:00Z", "bad time") from None


def _epoch(number: int | Decimal) -> datetime:
    for limit, scale in _EPOCH_UNITS:
        if 10**8 <= number < limit:
            return EPOCH + timedelta(microseconds=int(number * scale))
        if number < 10**8:
            break
    if 10**17 <= number < 10**20:
        return EPOCH + timedelta(microseconds=int(number) // 1000)
    raise BadRow(f"{number} is not a plausible time since 1970", kind="bad time")


def later(value: object, *, utc: bool = False) -> datetime | None:
    """`instant` of an optional time: None when absent."""
    return None if value is None or value == "" else instant(value, utc=utc)


def between(start: datetime, end: datetime | None) -> float | None:
    """Seconds from `start` to `end`; None when unknown or backwards."""
    if end is None or end < start:
        return None
    return (end - start).total_seconds()


def seconds(value: object, per: int = 1) -> float | None:
    """A duration in seconds from `value` in 1/`per` of a second; None when absent or not a sensible duration."""
    try:
        found = float(str(value)) / per
    except ValueError:
        return None
    return found if 0 <= found < _YEAR else None


def usd(value: object) -> Fraction | None:
    """The exact dollars that `value` states, None when absent. Raises `BadRow`."""
    if value is None or value == "":
        return None
    try:
        amount = parse_decimal(value.strip().lstrip("$") if isinstance(value, str) else value)
    except ValueError as fault:
        raise BadRow(f"the stated cost: {str(fault)[:80]}", kind="bad cost") from None
    # A zero, too: 0e999999999 takes forever to write out.
    if abs(amount.adjusted()) >= _COST_DIGITS or len(amount.as_tuple().digits) > 2 * _COST_DIGITS:
        raise BadRow(f"the stated cost {str(amount)[:60]} is absurd", kind="bad cost")
    return Fraction(amount)


def labels(**named: object) -> dict[str, str]:
    """The `named` values that have a text, as text: for tags and attributes."""
    return {name: found for name, value in named.items() if (found := text(value)) is not None}


PROVIDERS = {
    "azure_openai": "azure", "azureopenai": "azure", "azure.ai.openai": "azure", "az.ai.openai": "azure",
    "azure.ai.inference": "azure", "az.ai.inference": "azure", "azure_ai": "azure",
    "aws.bedrock": "aws", "aws_bedrock": "aws", "bedrock": "aws", "bedrock_converse": "aws", "amazon": "aws",
    "amazon-bedrock": "aws", "amazon bedrock": "aws", "gcp.gemini": "google", "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google", "vertex_ai": "google", "vertex_ai_beta": "google", "vertexai": "google",
    "gemini": "google", "google-ai-studio": "google", "google ai studio": "google", "google-vertex": "google",
    "google vertex": "google", "vertex": "google", "mistral_ai": "mistral", "mistralai": "mistral",
    "x_ai": "xai", "x-ai": "xai", "together_ai": "together", "togetherai": "together", "fireworks_ai": "fireworks",
}  # fmt: skip
"""Other spellings of a provider's name, lower case."""


def channel_name(stated: object) -> str | None:
    """The cloud platform that a provider's stated name points at ("vertex_ai" at "vertex"); None for a direct one."""
    name = (text(stated) or "").lower()
    if "vertex" in name:
        return "vertex"
    return "bedrock" if PROVIDERS.get(name) == "aws" else None


def provider_name(stated: object) -> str | None:
    """One lower-case spelling of a provider: "aws.bedrock" is "aws", "vertex_ai" is "google"."""
    name = (text(stated) or "").lower()
    return PROVIDERS.get(name, name) or None


_FINE = frozenset({"", "ok", "success", "succeeded", "200", "unset", "default"})


def status_name(value: object) -> str:
    """ "ok", or a failure in the source's own word."""
    stated = (text(value) or "").lower()
    return "ok" if stated in _FINE else stated
