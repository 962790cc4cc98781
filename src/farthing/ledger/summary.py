"""What a ledger holds, in groups: requests, tokens by kind, exact dollars, what is unknown, errors, latency."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from farthing.ledger.amounts import exact, total
from farthing.ledger.schema import DAY_US
from farthing.ledger.view import MODEL_COLUMNS, View, open_view
from farthing.money import ZERO, Usd
from farthing.problems import FarthingError
from farthing.time import microseconds
from farthing.usage.readers.ledger import LOST, NO_REASON

_HOUR_US = 3_600_000_000
_STARTED = 'epoch_us("at")'
DIMENSIONS = {
    "model": "model",
    "tier": "coalesce(tier_served, tier_asked, 'standard')",
    "offer": "concat_ws('/', provider, model)",
    "day": f"strftime(make_timestamp({_STARTED} // {DAY_US} * {DAY_US}), '%Y-%m-%d')",
    "hour": f"strftime(make_timestamp({_STARTED} // {_HOUR_US} * {_HOUR_US}), '%Y-%m-%dT%H:00Z')",
    "month": f"strftime(make_timestamp({_STARTED}), '%Y-%m')",
    **{
        name: f'"{name}"'
        for name in (
            "feature", "request_type", "user", "segment", "session", "key", "provider", "upstream", "model_asked",
            "model_served", "tier_asked", "tier_served", "region", "protocol", "surface", "state", "worker", "price",
            "error",
        )
    },
    "status": "CAST(http_status AS VARCHAR)",
    "streamed": "CAST(streamed AS VARCHAR)",
    "estimated": "CAST(estimated AS VARCHAR)",
}  # fmt: skip
"""What `--by` can name, besides tag:NAME, and its SQL over `attempts`."""
_COLUMNS_OF = {
    "model": ("model", *MODEL_COLUMNS), "tier": ("tier_served", "tier_asked"), "status": ("http_status",),
    "offer": ("provider", "model", *MODEL_COLUMNS), "day": (), "hour": (), "month": (),
}  # fmt: skip
_BOTH = "(usd IS NOT NULL OR usd_exact IS NOT NULL) AND (reported_usd IS NOT NULL OR reported_exact IS NOT NULL)"
_COUNTED = {
    "requests": "count(*) FILTER (number = 1)",
    "attempts": "count(*)",
    **{state: f"count(*) FILTER (state = '{state}')" for state in ("open", "failed", "cancelled", "lost")},
    "estimated": "count(*) FILTER (estimated)",
    "unknown": "count(*) FILTER (usd IS NULL AND usd_exact IS NULL AND state <> 'open')",
    "reported": "count(reported_usd) + count(reported_exact)",
    "compared": f"count(*) FILTER ({_BOTH})",
    "endless": "count(usd_exact)",
    "reported_endless": "count(reported_exact)",
}
_SUMMED = {
    "known_usd": ("usd", "true"),
    "reported_usd": ("reported_usd", "true"),
    "compared_usd": ("usd", _BOTH),
    "compared_reported_usd": ("reported_usd", _BOTH),
}
"""Sums of amounts: the column, and of which attempts."""
_WHY = f"coalesce(unknown, if(state = 'lost', '{LOST}', '{NO_REASON}'))"
EXACT_ROWS = 20_000_000
"""Up to so many attempts latencies are exact (nearest rank); beyond, within 1 %, which is said: exact ones would
need all of them in memory at once."""
_ERROR = 0.01
_GROWTH = (1 + _ERROR) / (1 - _ERROR)
_TOOK = '(epoch_us(completed) - epoch_us("at"))'
_ANSWERED = "state = 'done' AND completed IS NOT NULL"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that share `key`. `known_usd` sums those with a charge; `unknown` counts those that ended without one
    (`reasons` says why), so that `known_usd` is a lower bound while it is not zero.

    `requests` counts first attempts, so that groups add up: a request that fell back is counted where it began.
    `open`: not ended yet, in no sum. `failed`, `cancelled`, `lost`: attempts by how they ended. `estimated`: whose
    usage the provider did not state. `reported`: attempts of which the provider says what they cost, `reported_usd`;
    `compared`: those that have a charge as well, `compared_usd` by us and `compared_reported_usd` by them.
    Latencies are of attempts that were answered, from start to end, in seconds.
    """

    key: dict[str, str | None]
    requests: int
    attempts: int
    open: int
    failed: int
    cancelled: int
    lost: int
    estimated: int
    quantities: dict[str, int]
    known_usd: Usd
    unknown: int
    reasons: dict[str, int]
    reported: int
    reported_usd: Usd | None
    compared: int
    compared_usd: Usd | None
    compared_reported_usd: Usd | None
    latency_p50_s: float | None
    latency_p95_s: float | None


class LedgerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`groups`, dearest first, and their `whole`. `latency_exact`: see `EXACT_ROWS`."""

    by: list[str]
    since: datetime | None
    until: datetime | None
    whole: Group
    groups: list[Group]
    latency_exact: bool


def dimension_sql(name: str) -> str:
    """SQL for what `--by name` groups by. Raises `FarthingError` naming the choices."""
    if name.startswith("tag:") and name != "tag:":
        path = name.removeprefix("tag:").replace("\\", "\\\\").replace('"', '\\"').replace("'", "''")
        return f"json_extract_string(tags, '$.\"{path}\"')"
    if name not in DIMENSIONS:
        import difflib

        near = difflib.get_close_matches(name, DIMENSIONS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FarthingError(f"--by {name!r} is not known{hint}; there are {', '.join(DIMENSIONS)} and tag:NAME")
    return DIMENSIONS[name]


def columns_for(by: Sequence[str]) -> set[str]:
    """The columns of `attempts` that these dimensions need."""
    return {
        column for name in by for column in (("tags",) if name.startswith("tag:") else _COLUMNS_OF.get(name, (name,)))
    }


def summarise_ledger(
    folder: Path, by: Sequence[str] = (), since: datetime | None = None, until: datetime | None = None
) -> LedgerSummary:
    """The ledger in `folder`, attempts that started in [since, until), grouped by `by` (see `DIMENSIONS`).

    Raises `FarthingError` for an unknown dimension, one that is named twice, or where there is no ledger.
    """
    if len(set(by)) < len(by):
        raise FarthingError(f"--by names {next(name for name in by if list(by).count(name) > 1)!r} twice")
    keys = [dimension_sql(name) for name in by]
    low, high = (None if moment is None else microseconds(moment) for moment in (since, until))
    with open_view(folder, low, high, columns_for(by) | {"estimated"}) as view:
        [(rows,)] = view.query("SELECT count(*) FROM attempts")
        exactly = rows <= EXACT_ROWS
        groups = _groups(view, by, keys, exactly)
        whole = _whole(groups, _latencies(view, (), exactly).get((), (None, None))) if by else groups.pop()
    return LedgerSummary(
        by=list(by),
        since=since,
        until=until,
        whole=whole,
        groups=sorted(groups, key=lambda g: (-g.known_usd, -g.attempts, [v or "" for v in g.key.values()])),
        latency_exact=exactly,
    )


def _groups(view: View, by: Sequence[str], keys: Sequence[str], exactly: bool) -> list[Group]:
    counts = "".join(f", {view.count_sql(name)}" for name in view.meters)
    listed = "".join(f"{sql}, " for sql in keys)
    amounts = [f"coalesce(sum({column}) FILTER ({which}), 0)" for column, which in _SUMMED.values()]
    rows = view.query(
        f"SELECT {listed}{', '.join([*_COUNTED.values(), *amounts])}{counts} "
        f"FROM attempts {'GROUP BY ALL' if keys else ''}"
    )
    figures = [dict(zip(_COUNTED, row[len(by) :], strict=False)) for row in rows]
    endless = {"usd": any(f["endless"] for f in figures), "reported_usd": any(f["reported_endless"] for f in figures)}
    fractions = {
        name: _fractions(view, keys, column.replace("_usd", "") + "_exact", which) if endless[column] else {}
        for name, (column, which) in _SUMMED.items()
    }
    reasons: dict[tuple[Any, ...], dict[str, int]] = {}
    if any(f["unknown"] for f in figures):
        for *words, reason, number in view.query(
            f"SELECT {listed}{_WHY}, count(*) FROM attempts "
            f"WHERE usd IS NULL AND usd_exact IS NULL AND state <> 'open' GROUP BY ALL "
            f"ORDER BY count(*) DESC, {len(keys) + 1}"
        ):
            reasons.setdefault(tuple(words), {})[reason] = number
    latencies = _latencies(view, keys, exactly)
    groups = []
    for row, counted in zip(rows, figures, strict=True):
        key: tuple[Any, ...] = tuple(row[: len(by)])
        told = row[len(by) + len(_COUNTED) :]
        usd = {
            name: Fraction(amount) + fractions[name].get(key, ZERO) for name, amount in zip(_SUMMED, told, strict=False)
        }
        sums = told[len(_SUMMED) :]
        del counted["endless"], counted["reported_endless"]
        p50, p95 = latencies.get(key, (None, None))
        groups.append(
            Group(
                key=dict(zip(by, key, strict=True)),
                quantities={name: int(n) for name, n in zip(view.meters, sums, strict=True) if n},
                known_usd=usd["known_usd"],
                reasons=reasons.get(key, {}),
                reported_usd=usd["reported_usd"] if counted["reported"] else None,
                compared_usd=usd["compared_usd"] if counted["compared"] else None,
                compared_reported_usd=usd["compared_reported_usd"] if counted["compared"] else None,
                latency_p50_s=p50,
                latency_p95_s=p95,
                **counted,
            )
        )
    return groups


def _whole(groups: Sequence[Group], latency: tuple[float | None, float | None]) -> Group:
    """The sum of all groups: each attempt is in one of them."""
    quantities: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for group in groups:
        quantities.update(group.quantities)
        reasons.update(group.reasons)
    return Group(
        key={},
        quantities=dict(quantities),
        known_usd=sum((group.known_usd for group in groups), ZERO),
        reasons=dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        reported_usd=_sum([group.reported_usd for group in groups]),
        compared_usd=_sum([group.compared_usd for group in groups]),
        compared_reported_usd=_sum([group.compared_reported_usd for group in groups]),
        latency_p50_s=latency[0],
        latency_p95_s=latency[1],
        **{name: sum(getattr(group, name) for group in groups) for name in _COUNTED if "endless" not in name},
    )


def _sum(amounts: Sequence[Usd | None]) -> Usd | None:
    """The sum of those that there are; None where there is none."""
    told = [amount for amount in amounts if amount is not None]
    return sum(told, ZERO) if told else None


def _latencies(view: View, keys: Sequence[str], exactly: bool) -> dict[tuple[Any, ...], tuple[float, float]]:
    """The median and the 95th percentile of each group, in seconds.

    Exact ones hold all values at once. Else they are counted in logarithmic buckets, which can spill to the disk: a
    bucket holds (g**(i-1), g**i] and stands for 2 g**i/(g+1), within 1 % of all in it (as in `usage.summary`).
    """
    named = "".join(f"{sql} AS k{n}, " for n, sql in enumerate(keys))
    names = "".join(f"k{n}, " for n in range(len(keys)))
    if exactly:
        found = view.query(
            f"SELECT {named}quantile_disc({_TOOK}, [0.5, 0.95]) FROM attempts WHERE {_ANSWERED} "
            f"{'GROUP BY ALL' if keys else 'HAVING count(*) > 0'}"
        )
        return {tuple(key): (p50 / 1e6, p95 / 1e6) for *key, (p50, p95) in found}
    part = f"PARTITION BY {names.rstrip(', ')} " if keys else ""
    bucket = f"CAST(ceil(ln(greatest({_TOOK}, 1)) / {math.log(_GROWTH)}) AS INTEGER)"
    found = view.query(
        f"WITH counted AS (SELECT {named}{bucket} AS bucket, count(*) AS n FROM attempts WHERE {_ANSWERED} "
        f"GROUP BY ALL), "
        f"summed AS (SELECT *, sum(n) OVER ({part}ORDER BY bucket) AS upto, sum(n) OVER ({part}) AS of FROM counted) "
        f"SELECT {names}min(bucket) FILTER (upto * 2 >= of), min(bucket) FILTER (upto * 100 >= of * 95) FROM summed "
        f"{'GROUP BY ALL' if keys else 'HAVING count(*) > 0'}"
    )
    return {
        tuple(key): (2 * _GROWTH**p50 / (_GROWTH + 1) / 1e6, 2 * _GROWTH**p95 / (_GROWTH + 1) / 1e6)
        for *key, p50, p95 in found
    }


def _fractions(view: View, keys: Sequence[str], column: str, which: str) -> dict[tuple[Any, ...], Usd]:
    """The sums of amounts that have no exact decimals (of attempts that meet `which`), by group: numerators are summed
    by denominator in SQL."""
    listed = "".join(f"{sql}, " for sql in keys)
    top, bottom = f"split_part({column}, '/', 1)", f"split_part({column}, '/', 2)"
    parts: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    # Longer numbers than a HUGEINT sums safely come one by one.
    for *key, below, above in view.query(
        f"SELECT {listed}{bottom}, CAST(sum(CAST({top} AS HUGEINT)) AS VARCHAR) FROM attempts "
        f"WHERE {column} IS NOT NULL AND {which} AND length({top}) <= 27 GROUP BY ALL"
    ):
        parts.setdefault(tuple(key), []).append((int(above), int(below)))
    for *key, text in view.query(
        f"SELECT {listed}{column} FROM attempts WHERE {column} IS NOT NULL AND {which} AND length({top}) > 27"
    ):
        amount = exact(text)
        parts.setdefault(tuple(key), []).append((amount.numerator, amount.denominator))
    return {key: total(pairs) for key, pairs in parts.items()}
