from collections.abc import Mapping

from farthing.ledger.row import Attempt

def opened(
    blank: Attempt,
    attempt: str,
    request: str,
    number: int,
    started_us: int,
    feature: str,
    request_type: str,
    user: str,
    segment: str,
    session: str,
    tags: Mapping[str, str],
    decision: str,
    holds: Mapping[str, int],
    /,
) -> Attempt:
    """The open row of an attempt: `blank`, what it has in common with many, with what is its own."""

def ended(
    opened: Attempt,
    state: str,
    ended_us: int | None,
    first_us: int | None,
    model_served: str,
    tier_served: str,
    status: int | None,
    error: str,
    quantities: Mapping[str, int],
    usd: str | None,
    unknown: str,
    price: str,
    estimated: bool,
    answer: str,
    holds: Mapping[str, int],
    /,
) -> Attempt:
    """The final row of the attempt whose open row is `opened`."""

def attempt_id(now_us: int | None = None, /) -> str:
    """A new id, unique everywhere: 32 hexadecimal digits that begin with the time, so that rows are appended.

    (Random ids would be kept just as safely, but each would touch a page of the database of its own.) The time in
    microseconds, ten digits that are this process's, drawn once, and a count.
    """
