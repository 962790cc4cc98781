"""Workers are killed at random under load; then the upstream's own log is compared with the ledger, attempt by attempt:
nothing lost, nothing twice, no budget passed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from farthing.ledger.ledger import Ledger
from tests.gateway.faulty import Record, UpstreamProcess
from tests.gateway.running import UPSTREAMS, Row, Running, purses, read_rows

GPT, CLAUDE = "gpt-4o-mini", "claude-sonnet-4-6"
NANO = {GPT: (150, 75, 600), CLAUDE: (3000, 300, 15000)}
"""Nanodollars a token: input, cache read, output (gpt-4o-mini $0.15, $0.075, $0.60; Sonnet 4.6 $3, $0.30, $15)."""
FAULTS = ("status=500", "status=429 retry_after=1", "fault=die at=4", "fault=die at=4 how=rst", "fault=refuse",
          "fault=no_usage", "fault=hang_mid at=3")  # fmt: skip
CONFIG = (
    UPSTREAMS
    + """
[timeouts]
first_byte_s = 3
idle_s = 1
total_s = 6
shutdown_s = 8

[retries]
count = 1
first_s = 0.05

[breaker]
failures = 100000
"""
)


class Client(threading.Thread):
    """Sends requests one after another until told to stop. `whole`: ids of requests whose answer came whole."""

    def __init__(self, gateway: Running, tokens: list[str], seed: int, until: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.gateway = gateway
        self.tokens = tokens
        self.random = random.Random(seed)
        self.until = until
        self.statuses: Counter[str] = Counter()
        self.whole: dict[str, bool] = {}  # by request id: whether it was streamed

    def run(self) -> None:
        while not self.until():
            self.one()

    def one(self) -> None:
        model = self.random.choice((GPT, CLAUDE))
        stream = self.random.random() < 0.5
        chance = self.random.random()
        orders = f"words={self.random.randint(1, 30)} prompt={self.random.randint(1, 500)} cached=11"
        orders += f" gap_ms={self.random.choice((0, 1, 8))} first_ms={self.random.choice((0, 0, 20, 90))}"
        if chance < 0.15:
            orders += f" {self.random.choice(FAULTS)}"
        # A prompt that is as long as the tokens it is billed for, so that no reservation can be too small.
        message = {"role": "user", "content": f"[[{orders}]]" + " word" * 600}
        body: dict[str, Any] = {"model": model, "stream": stream, "max_tokens": 40, "messages": [message]}
        path = "/v1/chat/completions" if model == GPT else "/v1/messages"
        headers = {"authorization": f"Bearer {self.random.choice(self.tokens)}"}
        try:
            answer, said = self.gateway.post(path, body, headers, timeout_s=15)
        except (OSError, HTTPException) as error:
            self.statuses[type(error).__name__] += 1
            time.sleep(0.02)
            return
        self.statuses[str(answer.status)] += 1
        if answer.status == 429:
            time.sleep(0.05)
        ends = (b"[DONE]", b'"message_stop"}') if stream else (b"}",)
        if answer.status == 200 and said.rstrip().endswith(ends):
            self.whole[answer.headers["x-farthing-request-id"]] = stream


def disturb(gateway: Running, chosen: random.Random, done: threading.Event, told: Counter[str]) -> None:
    """Kill, stop and reload, at random."""
    while not done.wait(chosen.uniform(0.2, 1.0)):
        what = chosen.choices(("kill", "stop", "reload"), (6, 2, 2))[0]
        try:
            if what == "reload":
                gateway.signal(signal.SIGHUP)
            elif workers := gateway.workers():
                os.kill(chosen.choice(workers), signal.SIGKILL if what == "kill" else signal.SIGTERM)
            told[what] += 1
        except OSError:
            continue


def bill(record: Record) -> int:
    """What the upstream bills, in nanodollars."""
    if record.status != 200 or record.model not in NANO:
        return 0
    read, cached, made = NANO[record.model]
    return (record.input - record.cached) * read + record.cached * cached + record.output * made


def run(folder: Path, seconds: float, seed: int, clients: int, usd: str) -> None:
    log = folder / "upstream.log"
    budget = f'\n[[budget]]\nper = "all"\nusd = {usd}\nperiod = "total"\n'
    told: Counter[str] = Counter()
    done = threading.Event()
    with UpstreamProcess(log) as upstream:
        with Running(folder, CONFIG + budget, upstream.url, workers=3) as gateway:
            tokens = [gateway.key(f"client {n}")[1] for n in range(3)]
            crowd = [Client(gateway, tokens, seed * 1000 + n, done.is_set) for n in range(clients)]
            chaos = threading.Thread(target=disturb, args=(gateway, random.Random(seed), done, told))
            for thread in (*crowd, chaos):
                thread.start()
            time.sleep(seconds)
            done.set()
            for thread in (*crowd, chaos):
                thread.join(30)
            assert not any(thread.is_alive() for thread in (*crowd, chaos))
            gateway.wait(gateway.is_ready, "a worker that serves, after all that")
            assert gateway.stop(timeout_s=20) == 0
            said = gateway.said()
        records = upstream.records()
    Ledger.open(folder / "data").close()
    rows = read_rows(folder / "data")
    statuses = sum((client.statuses for client in crowd), Counter[str]())
    whole = {request: stream for client in crowd for request, stream in client.whole.items()}
    states = Counter(row.state for row in rows)
    print(f"{told} {statuses} {states} {len(records)} reached the upstream, {len(whole)} whole answers")
    assert told["kill"] >= 3 and statuses["200"] > 50
    assert statuses["429"] > 100 or Fraction(usd) > 1, "the budget was not felt"
    assert "Traceback" not in said
    reconcile(records, rows, whole)
    within_budget(records, rows, folder / "data", Fraction(usd))
    verified = subprocess.run(
        [sys.executable, "-m", "farthing", "ledger", "verify", "--json", "--data", str(folder / "data")],
        capture_output=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout.decode() + verified.stderr.decode()


def reconcile(records: list[Record], rows: list[Row], whole: dict[str, bool]) -> None:
    """Each request that reached the upstream has one row, and the row is true."""
    ids = Counter(row.id for row in rows)
    assert not [name for name, count in ids.items() if count > 1], "rows twice"
    attempts = Counter(record.attempt for record in records)
    assert not [name for name, count in attempts.items() if count > 1], "sent twice under one id"
    by_id = {row.id: row for row in rows}
    missing = [record for record in records if record.attempt not in by_id]
    assert not missing, f"{len(missing)} requests reached the upstream and have no row"
    assert not [row for row in rows if row.state == "open"]
    reached = {record.attempt for record in records}
    for row in rows:
        if row.id not in reached:  # killed, or refused a connection, between the row and the request
            assert row.state in ("lost", "failed", "cancelled"), row
    for record in records:
        row = by_id[record.attempt]
        if row.state == "done" and not row.estimated:
            assert record.ended in ("whole", "cut") and record.status == 200  # cut: after its usage came
            counts = row.quantities
            assert counts.get("input", 0) == record.input - record.cached
            assert (counts.get("cache_read", 0), counts.get("output", 0)) == (record.cached, record.output)
            assert row.usd == Fraction(bill(record), 10**9)
        elif row.state == "lost":
            assert row.usd is None
    ended = {row.request: row.state for row in sorted(rows, key=lambda row: row.number)}
    for request, streamed in whole.items():
        # A whole answer is sent after its row; a stream's last byte may overtake it by an instant.
        assert ended[request] == "done" or (streamed and ended[request] in ("lost", "cancelled")), request


def within_budget(records: list[Record], rows: list[Row], data: Path, usd: Fraction) -> None:
    """All that the upstream bills, known to the ledger or not, is within the budget."""
    billed = sum(map(bill, records))
    spent, leased, held = (sum(part.values()) for part in purses(data))
    known = sum(-(-row.usd * 10**9 // 1) for row in rows if row.usd is not None)
    print(f"billed {billed}, known {known}, spent {spent}, leased {leased}, held {held}, limit {usd * 10**9}")
    assert billed <= usd * 10**9
    assert leased == 0
    assert spent >= known
    assert spent + held <= usd * 10**9


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_workers_killed_under_load(tmp_path: Path, seed: int) -> None:
    """Ample budget: everything is compared."""
    run(tmp_path, 15, seed, clients=16, usd="1000")


@pytest.mark.slow
def test_workers_killed_while_the_budget_runs_out(tmp_path: Path) -> None:
    run(tmp_path, 15, 3, clients=16, usd="0.4")


def test_a_killed_worker_loses_no_row(tmp_path: Path) -> None:
    """The short form: one worker, killed while it has requests in every stage."""
    log = tmp_path / "upstream.log"
    with UpstreamProcess(log) as upstream, Running(tmp_path, CONFIG, upstream.url, workers=1) as gateway:
        crowd = [
            threading.Thread(target=_quietly, args=(gateway, f"[[words=20 gap_ms={gap} first_ms={first}]]"))
            for gap in (0, 10, 60)
            for first in (0, 10, 200)
        ]
        for thread in crowd:
            thread.start()
        gateway.wait(lambda: len(upstream.records()) == len(crowd), "all requests upstream")
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        for thread in crowd:
            thread.join(10)
        gateway.wait(lambda: gateway.workers() not in ([], [worker]) and gateway.is_ready(), "another worker")
        rows = gateway.rows(len(crowd))
        records = upstream.records()
    reconcile(records, rows, {})
    assert {row.state for row in rows} <= {"done", "lost"} and any(row.state == "lost" for row in rows)


def _quietly(gateway: Running, text: str) -> None:
    body = json.dumps({"model": GPT, "stream": True, "messages": [{"role": "user", "content": text}]}).encode()
    try:
        gateway.post("/v1/chat/completions", body)
    except (OSError, HTTPException):
        return
