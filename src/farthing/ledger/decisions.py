"""The ledger's requests as policies see them: replayed under other policies, or their decisions made again.

Each attempt's row holds the facts of its request, and the log of its decision what the row does not
(`farthing.policies.routing.log`), so that a decision can be made again from the two.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from farthing.ledger.kept import kept_prices
from farthing.ledger.view import open_view
from farthing.policies.routing import Ask, Chain, Decision, model_of, read_log, recompute
from farthing.policies.routing.recorded import Recorded, Seen, failure_of
from farthing.problems import FarthingError
from farthing.time import microseconds
from farthing.units import METERS
from farthing.usage.readers.ledger import LOST, NO_REASON
from farthing.usage.readers.values import provider_name
from farthing.usage.record import PriceRecord, Usage
from farthing.usage.table import from_micro

_BATCH = 10_000
_KEPT = 20  # differences that are told one by one
_FACTS = (
    "id", "request", "number", "state", "surface", "protocol", "upstream", "provider", "model_asked", "key", "feature",
    "request_type", "user", "segment", "session", "tags", "streamed", "decision",
)  # fmt: skip
_SERVED = (
    "model_served",
    "tier_asked",
    "tier_served",
    "region",
    "http_status",
    "error",
    "estimated",
    "attrs",
    "unknown",
    "price",
)
_words = msgspec.json.Decoder(dict[str, str]).decode
_COUNTING = "messages/count_tokens"


class Different(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that comes out otherwise than it was logged."""

    attempt: str
    request: str
    logged: str | None
    now: str | None
    reason: str


class Checked(msgspec.Struct, kw_only=True):
    """Decisions of a ledger made again by one chain.

    `agree`: the same in everything; of one that another chain made, in target, probability and alternatives.
    `differ`: not so; the first are in `first`. `other`: how many another chain made. `unlogged`: attempts whose row
    has no decision; `unreadable`: one that is no log.
    """

    attempts: int = 0
    agree: int = 0
    differ: int = 0
    other: int = 0
    unlogged: int = 0
    unreadable: int = 0
    first: list[Different] = msgspec.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every logged decision could be read, and came out the same."""
        return not (self.differ or self.unreadable)


def check_decisions(
    folder: Path, chain: Chain, since: datetime | None = None, until: datetime | None = None
) -> Checked:
    """Make every logged decision of the ledger in `folder` again with `chain`, and count how many agree.

    Raises `FarthingError` where there is no ledger.
    """
    checked = Checked()
    for row in _rows(folder, since, until, (), ""):
        checked.attempts += 1
        if not row["decision"]:
            checked.unlogged += 1
            continue
        try:
            logged = read_log(row["decision"])
        except FarthingError:
            checked.unreadable += 1
            continue
        now = recompute(chain, ask_of(row), logged)
        other = logged.chain != chain.id
        checked.other += other
        if now == logged or (other and _same_choice(now, logged)):
            checked.agree += 1
            continue
        checked.differ += 1
        if len(checked.first) < _KEPT:
            checked.first.append(_different(row, logged, now))
    return checked


def _same_choice(one: Decision, other: Decision) -> bool:
    return one.target == other.target and one.alternatives == other.alternatives


def _different(row: Mapping[str, Any], logged: Decision, now: Decision) -> Different:
    fields = (name for name in Decision.__struct_fields__ if getattr(now, name) != getattr(logged, name))
    return Different(
        attempt=row["id"], request=row["request"], logged=logged.target, now=now.target, reason=", ".join(fields)
    )


def requests_in(folder: Path, since: datetime | None = None, until: datetime | None = None) -> Iterator[Recorded]:
    """The requests of the ledger in `folder` of which an attempt started in [since, until), each with its attempts
    in order; those in progress are left out, and those that counted tokens, at no cost.

    Raises `FarthingError` where there is no ledger.
    """
    rows = _rows(folder, since, until, _SERVED, 'ORDER BY request, number, attempts."at", id')
    prices = kept_prices(folder)
    for _, group in groupby(rows, key=lambda row: row["request"]):
        attempts = list(group)
        if any(row["state"] == "open" or row["surface"] == _COUNTING for row in attempts):
            continue
        seen = tuple(_seen(row, prices.get(row["price"] or "")) for row in attempts)
        read = max(one.usage.prompt_tokens for one in seen)  # attempts that failed early were not counted
        yield Recorded(ask=msgspec.structs.replace(ask_of(attempts[0]), prompt_tokens=read or None), attempts=seen)


def ask_of(row: Mapping[str, Any]) -> Ask:
    """The facts of a request as a row of `attempts` keeps them."""
    return Ask(
        request_id=row["request"],
        at=from_micro(row["started_us"]),
        model=row["model_asked"] or "",
        surface=row["surface"] or "",
        protocol=row["protocol"] or "",
        key=row["key"] or "",
        feature=row["feature"] or "",
        request_type=row["request_type"] or "",
        user=row["user"] or "",
        segment=row["segment"] or "",
        session=row["session"] or "",
        tags=_words(row["tags"]) if row["tags"] else {},
        stream=bool(row["streamed"]),
    )


def _seen(row: Mapping[str, Any], priced: PriceRecord | None) -> Seen:
    state = row["state"]
    logged = _logged(row["decision"])
    target = logged.target if logged is not None and logged.target is not None else _target(row)
    usage = _usage(row, target, priced)
    unmeasured = ""
    if not usage.quantities and not row["known"]:
        unmeasured = row["unknown"] or (LOST if state == "lost" else NO_REASON)
    failure = failure_of(target, row["http_status"], row["error"] or "") if state == "failed" else None
    return Seen(
        usage=usage,
        target=target,
        answered=state in ("done", "cancelled"),
        unmeasured=unmeasured,
        nothing=bool(state == "failed" and row["known"] and not usage.quantities),
        failure=failure,
        logged=logged,
    )


def _logged(text: str | None) -> Decision | None:
    try:
        return read_log(text) if text else None
    except FarthingError:
        return None


def _target(row: Mapping[str, Any]) -> str:
    """Where an attempt went, as far as the row tells: an alias of the configuration is not told."""
    upstream, model = row["upstream"] or row["provider"] or "unknown", row["model_asked"] or row["model_served"] or ""
    return f"{upstream}/{model_of(model) if model.startswith(f'{upstream}/') else model}"


def _usage(row: Mapping[str, Any], target: str, priced: PriceRecord | None) -> Usage:
    return Usage(
        at=from_micro(row["started_us"]),
        completed=None if row["completed_us"] is None else from_micro(row["completed_us"]),
        quantities=row["quantities"],
        provider=provider_name(row["provider"] or None),
        model_asked=row["model_asked"] or None,
        model_served=row["model_served"] or model_of(target) or None,
        tier_asked=row["tier_asked"] or None,
        tier_served=row["tier_served"] or None,
        region=row["region"] or None,
        attrs=_words(row["attrs"]) if row["attrs"] else {},
        status="ok" if row["state"] == "done" else row["state"],
        id=row["id"],
        estimated=bool(row["estimated"]),
        priced=priced,
    )


def _rows(
    folder: Path, since: datetime | None, until: datetime | None, more: tuple[str, ...], order: str
) -> Iterator[dict[str, Any]]:
    """Rows of `attempts` by name, with `started_us`, and where more is wanted `completed_us`, `quantities` and whether
    the charge is `known`."""
    low, high = (None if moment is None else microseconds(moment) for moment in (since, until))
    names = (*_FACTS, *more)
    with open_view(folder, low, high, {*names, "at", "completed"}) as view:
        chosen = [f'"{name}"' for name in names] + ['epoch_us("at")']
        meters = [name for name in view.meters if name in METERS] if more else []
        if more:
            chosen += ['epoch_us("completed")', "usd IS NOT NULL OR usd_exact IS NOT NULL"]
            chosen += [f'CAST("{name}" * {METERS[name].scale} AS BIGINT)' for name in meters]
        where = "" if more else "WHERE state <> 'open'"
        found = view.connection.cursor().execute(f"SELECT {', '.join(chosen)} FROM attempts {where} {order}")
        while batch := found.fetchmany(_BATCH):
            for values in batch:
                row: dict[str, Any] = dict(zip((*names, "started_us"), values, strict=False))
                if more:
                    rest = values[len(names) + 1 :]
                    row["completed_us"], row["known"] = rest[:2]
                    row["quantities"] = {name: n for name, n in zip(meters, rest[2:], strict=True) if n}
                yield row
