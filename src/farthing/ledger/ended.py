"""Purses of periods that are over: forgotten with the days that they were charged in."""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from farthing.ledger.budgets import EVER, PERIODS, span_at
from farthing.ledger.schema import DAY_US

_TOGETHER = 500


def end_us(purse: str) -> int | None:
    """When the period of a purse ends ("key:k_3f…/month@2026-11-01": 2026-12-01), in microseconds since 1970; None
    where it never does, or its name tells of no period."""
    rest, _, name = purse.rpartition("@")
    period = rest.rpartition("/")[2]
    if name == EVER or period not in PERIODS:
        return None
    try:
        start = datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    span = span_at(period, start.timestamp())
    return int(span.end_s * 1_000_000) if span.name == name else None


def ended(purses: Iterable[str], before_us: int) -> Iterator[str]:
    """Those of `purses` whose period ended at `before_us` or earlier."""
    for purse in purses:
        end = end_us(purse)
        if end is not None and end <= before_us:
            yield purse


def newest_us(hot: sqlite3.Connection) -> int:
    """A moment that has certainly come: the newest attempt's start, or the first instant of the newest closed day."""
    [(row, day, dropped)] = hot.execute(
        "SELECT (SELECT max(started_us) FROM attempt), (SELECT max(day) FROM day), (SELECT max(day) FROM dropped_day)"
    ).fetchall()
    return max(row or 0, (day or 0) * DAY_US, (dropped or 0) * DAY_US)


def forget_purses(hot: sqlite3.Connection, before_us: int, newest: int) -> int:
    """Delete the purses of periods that ended before `before_us`, and on whose money nobody has a claim; how many.

    `newest`: see `newest_us`, from before rows were deleted. A clock that is ahead must not end a period that lasts:
    then a budget could be spent twice.
    """
    limit = min(before_us, newest, time.time_ns() // 1000)
    listed = hot.execute("SELECT id FROM purse").fetchall()
    old = list(ended((purse for (purse,) in listed), limit))
    gone = 0
    for start in range(0, len(old), _TOGETHER):
        part = old[start : start + _TOGETHER]
        gone += hot.execute(
            f"DELETE FROM purse WHERE id IN ({', '.join('?' * len(part))}) "
            "AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.purse = id) "
            "AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.purse = id)",
            part,
        ).rowcount
    return gone
