"""A worker process for tests: `python -m tests.ledger.worker MODE FOLDER ACKS …`; ACKS tells what was handed over."""

import os
import resource
import signal
import sqlite3
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from farthing.ledger.ledger import Ledger
from farthing.ledger.row import Attempt
from farthing.ledger.schema import FILE
from tests.ledger.made import done, now_us

RESERVED = 5_000
PURSES = 3


def opened(attempt: Attempt) -> Attempt:
    return Attempt(
        attempt=attempt.attempt, request=attempt.request, started_us=attempt.started_us, worker=attempt.worker,
        provider="openai", model_asked="gpt-test", holds=dict.fromkeys(attempt.holds, RESERVED),
    )  # fmt: skip


def charged(number: int, ledger: Ledger) -> Attempt:
    """A finished attempt that charges as many nanodollars as it has input tokens, to the purse that they name."""
    made = done(number, ledger=ledger, started_us=now_us())
    tokens = made.quantities["input"]
    return msgspec.structs.replace(made, holds={f"purse{tokens % PURSES}": tokens})


def lease(folder: Path, worker: str) -> None:
    """What the bank does when a worker first needs money of the purses."""
    hot = sqlite3.connect(folder / FILE, timeout=30)
    with hot:
        hot.executemany(
            "INSERT INTO lease VALUES (?, ?, 1000000000000)", [(f"purse{n}", worker) for n in range(PURSES)]
        )
    hot.close()


class Acks:
    """Words that survive a kill: each line is one write to the file."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def say(self, word: str, attempts: list[Attempt]) -> None:
        os.write(self._file, "".join(f"{word} {a.attempt}\n" for a in attempts).encode())


def run(folder: Path, acks: Acks, rows: int) -> None:
    """Open and finish attempts, as fast as the ledger takes them; acknowledge what `write` has returned for."""
    ledger = Ledger.open(folder)
    lease(folder, ledger.worker)
    slow: deque[tuple[float, Attempt]] = deque()
    for number in range(rows):
        batch = [charged(number * 20 + i, ledger) for i in range(20)]
        starts = [opened(attempt) for attempt in batch]
        ledger.write(starts)
        acks.say("open", starts)
        # Most end at once, some after a second, when their open row is in the database, and one in twenty never.
        slow += [(time.monotonic() + 1.5, attempt) for attempt in batch[1:5]]
        ready = batch[5:]
        while slow and slow[0][0] < time.monotonic():
            ready.append(slow.popleft()[1])
        ledger.write(ready)
        acks.say("done", ready)
        time.sleep(0.002)
    ledger.close()


def until_told(folder: Path, acks: Acks, rows: int) -> None:
    """Write rows and wait for SIGTERM, which ends the process by `sys.exit`: nothing is flushed by hand."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ledger = Ledger.open(folder)
    batch = [done(number, ledger=ledger, started_us=now_us()) for number in range(rows)]
    ledger.write(batch)
    acks.say("sent", batch)
    while True:
        time.sleep(1)


def small_disk(folder: Path, acks: Acks, rows: int, aside: Path, limit: int) -> None:
    """No file may grow beyond `limit` bytes: the database refuses, the journal keeps rows. Then none may grow at all
    and rows wait in memory. Then there is room again."""
    ledger = Ledger.open(folder, journal=aside)
    ledger._journal._limit = limit // 2  # its segments are shorter than the limit
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    sent: list[Attempt] = []
    spilled = 0
    for phase, allowed in enumerate((limit, 1000)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, most))
        for start in range(0, rows // 2, 500):
            batch = [done(phase * rows + n, ledger=ledger, started_us=now_us()) for n in range(start, start + 500)]
            ledger.write(batch)
            sent += batch
            time.sleep(0.03)
        health = ledger.health()
        assert health.ok and health.reason, health
        assert health.unjournaled == (allowed == 1000), health
        if allowed == limit:
            assert ledger.flush(timeout_s=20)  # synced, in the journal alone
            spilled = ledger.health().spilled
            assert spilled and not ledger.health().waiting
        else:
            assert not ledger.flush(timeout_s=0.1) and ledger.health().waiting == rows // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert ledger.flush(timeout_s=20)
    until = time.monotonic() + 20
    while ledger.health().spilled and time.monotonic() < until:
        time.sleep(0.05)
    ledger.write([done(0, ledger=ledger, started_us=now_us(), attempt="last")])
    assert ledger.flush(timeout_s=20)
    health = ledger.health()
    assert health.ok and not (health.reason or health.unjournaled or health.spilled), health
    acks.say("done", sent)
    ledger.close()


if __name__ == "__main__":
    mode, where, told, count, *more = sys.argv[1:]
    if mode == "run":
        run(Path(where), Acks(told), int(count))
    elif mode == "until-told":
        until_told(Path(where), Acks(told), int(count))
    else:
        small_disk(Path(where), Acks(told), int(count), Path(more[0]), int(more[1]))
