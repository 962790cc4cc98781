"""Time: aware UTC instants or a refusal; half-open intervals."""

import re
from datetime import UTC, datetime, timedelta

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")  # some traces write 100 ns ticks; Python holds microseconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> datetime:
    """The UTC instant that `text` (ISO 8601 with a zone, or a bare date: its UTC midnight) names.

    Raises `ValueError`, with the repair, for a time of day without a zone.
    """
    text = text.strip()
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        moment = datetime.fromisoformat(_LONG_FRACTION.sub(r"\1", text))
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO 8601 instant such as 2026-11-21T09:30:00Z") from None
    return aware(moment, text)


def aware(moment: datetime, shown: str | None = None) -> datetime:
    """`moment` in UTC; raises `ValueError` when it has no zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{shown or moment.isoformat()!r} has no time zone; write {moment.isoformat()}Z if it is UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{shown or moment.isoformat()!r} is outside the years 1 to 9999 in UTC") from None


def from_unix(seconds: float) -> datetime:
    """The instant `seconds` after 1970-01-01T00:00:00Z. Raises `ValueError` outside years 1-9999."""
    try:
        return EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise ValueError(f"{seconds!r} is not a time in seconds since 1970") from None


def microseconds(moment: datetime) -> int:
    """Whole microseconds from 1970-01-01T00:00:00Z to `moment`, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def show_instant(moment: datetime) -> str:
    """ISO 8601 with `Z`, without a zero time of day: "2026-11-21" or "2026-11-21T09:30:00Z"."""
    text = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return text.removesuffix("T00:00:00Z")
