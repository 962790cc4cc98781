"""Asking a running gateway for the faulty upstream's answers: what client, ledger and upstream say of it."""

import json
import math
import time
from typing import Any

import pytest

from tests.gateway.faulty import Record, Upstream
from tests.gateway.running import IMPATIENT, UPSTREAMS, Row, Running, purses

GPT, CLAUDE = "gpt-4o-mini", "claude-sonnet-4-6"
CONFIG = (
    UPSTREAMS
    + IMPATIENT
    + """
[retries]
count = 0

[breaker]
failures = 100000

[[budget]]
per = "all"
usd = 1000
period = "total"
"""
)
SURFACES = {"openai": ("/v1/chat/completions", GPT), "anthropic": ("/v1/messages", CLAUDE)}
EXACT = {"input": 7, "cache_read": 2, "output": 6}


class Told:
    """What a client was told, and what the ledger and the upstream say of it."""

    def __init__(self, status: int, kind: str, body: bytes, seconds: float, rows: list[Row], records: list[Record]):
        self.status = status
        self.kind = kind
        self.body = body
        self.seconds = seconds
        self.rows = rows
        self.records = records

    @property
    def row(self) -> Row:
        (row,) = self.rows
        (record,) = self.records
        assert record.attempt == row.id
        return row


def ask(gateway: Running, upstream: Upstream, protocol: str, stream: bool, orders: str) -> Told:
    """One request with these orders, until its rows are written."""
    upstream.clear()
    before = gateway.count()
    path, model = SURFACES[protocol]
    message = {"role": "user", "content": f"hello [[words=6 prompt=7 cached=2 {orders}]]"}
    began = time.monotonic()
    answer, body = gateway.post(
        path, {"model": model, "stream": stream, "max_tokens": 50, "messages": [message]}, {"x-farthing-feature": "f"}
    )
    seconds = time.monotonic() - began
    records = upstream.records()
    rows = gateway.rows(before + len(records))[before:]
    assert all(row.feature == "f" for row in rows)
    return Told(answer.status, answer.getheader("content-type") or "", body, seconds, rows, records)


def spent_is_what_the_rows_say(gateway: Running) -> None:
    """The budget's counter is the sum of the known charges, each rounded up to a nanodollar; an answer that never came
    is counted by its prompt at least."""
    rows = gateway.rows()
    known = sum(math.ceil(row.usd * 10**9) for row in rows if row.usd is not None)
    silent = sum(row.usd is None and row.http_status is None for row in rows)
    spent, _, held = (sum(part.values()) for part in purses(gateway.data))
    assert held == 0
    assert spent >= known and (spent > known) == (silent > 0)


def nothing_is_held(gateway: Running) -> None:
    """After its end: what its workers had on lease has gone back."""
    assert gateway.stop() == 0
    _, leased, held = purses(gateway.data)
    assert not any(leased.values()) and not held


def error_of(told: Told, protocol: str) -> dict[str, Any]:
    """The error in a whole answer, in the protocol's form."""
    assert told.kind.startswith("application/json"), told.body[:200]
    read = json.loads(told.body)
    if protocol == "anthropic":
        assert read["type"] == "error"
    error: dict[str, Any] = read["error"]
    assert error["message"] and error["type"]
    return error


def events_of(body: bytes) -> list[bytes]:
    return [event for event in body.replace(b"\r\n", b"\n").split(b"\n\n") if event.strip()]


PROTOCOLS = pytest.mark.parametrize("protocol", SURFACES)
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
