"""How attempts fail: what the client's faults mean, which answers may be tried again, when."""

import math
from datetime import UTC, datetime

from farthing.gateway.client import Closing, Fault, NotConnected
from farthing.gateway.problem import Header
from farthing.policies.routing import Failure

RETRYABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
"""Statuses that say nothing was produced and that another try may do."""
BROKEN = frozenset({500, 502, 503, 504, 529})
"""Statuses that count against an upstream in its circuit breaker."""


class SendFailed(Exception):
    """No answer came. `kind`: connect, timeout or broken. `sent`: whether the upstream may have worked on it;
    `again`: whether another attempt is safe: it cannot have worked on it for long."""

    def __init__(self, kind: str, what: str, sent: bool, again: bool = False) -> None:
        super().__init__(what)
        self.kind = kind
        self.sent = sent
        self.again = again or not sent


class Failed:
    """An attempt that did not answer: what policies are told, and the answer that the client gets if none follows.

    `again_s`: when the upstream wants to be asked again, where it said so.
    """

    __slots__ = ("again_s", "body", "failure", "headers", "status")

    def __init__(
        self, failure: Failure, status: int, headers: list[Header], body: bytes, again_s: float | None = None
    ) -> None:
        self.failure = failure
        self.status = status
        self.headers = headers
        self.body = body
        self.again_s = again_s


def fault_of(error: Exception) -> SendFailed | None:
    """What a fault of the client means; None where it is a fault of ours."""
    if isinstance(error, SendFailed):
        return error
    if isinstance(error, NotConnected):
        return SendFailed("connect", str(error), sent=False)
    if isinstance(error, Closing):
        return SendFailed("broken", str(error), sent=True, again=True)
    if isinstance(error, Fault):
        return SendFailed("broken", str(error), sent=True)
    if isinstance(error, ValueError):
        return SendFailed("broken", f"its answer is {error}", sent=True)  # what `encoding.unpacker` says
    return None


def again_s(headers: dict[str, str]) -> float | None:
    """The seconds that `retry-after-ms` or `retry-after` state, the latter in seconds or as a date (RFC 9110)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        stated = headers.get(name)
        if stated is None:
            continue
        try:
            found = float(stated) / unit
        except ValueError:
            found = _until(stated)
        if math.isfinite(found):
            return max(found, 0.0)
    return None


def _until(date: str) -> float:
    """The seconds until an HTTP date; not a number where it is none."""
    from email.utils import parsedate_to_datetime

    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # a TypeError: a date without a zone
        return math.nan
