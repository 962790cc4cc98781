"""A worker process for tests: `python -m tests.ledger.worker MODE FOLDER ACKS …`; what is durable is told in ACKS."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

from farthing.ledger.ledger import Ledger
from farthing.ledger.row import Attempt
from tests.ledger.made import done, now_us


def opened(attempt: Attempt) -> Attempt:
    return Attempt(
        attempt=attempt.attempt, request=attempt.request, started_us=attempt.started_us, worker=attempt.worker,
        provider="openai", model_asked="gpt-test",
    )  # fmt: skip


class Acks:
    """Words that survive a kill: each line is one write to the file."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def say(self, word: str, attempts: list[Attempt]) -> None:
        os.write(self._file, "".join(f"{word} {a.attempt}\n" for a in attempts).encode())


def run(folder: Path, acks: Acks, rows: int) -> None:
    """Open and finish attempts, as fast as the ledger takes them; acknowledge only what it says is durable."""
    ledger = Ledger.open(folder)
    acks.say("up", [])
    waiting: list[Attempt] = []
    for number in range(rows):
        batch = [done(number * 20 + i, ledger=ledger, started_us=now_us()) for i in range(20)]
        starts = [opened(attempt) for attempt in batch]
        ticket = ledger.write(starts)
        ledger.when_durable(ticket, lambda starts=starts: acks.say("open", starts))  # type: ignore[misc]
        waiting += batch
        if len(waiting) >= 60:
            ready, waiting = waiting[:40], waiting[40:]
            acks.say("sent", ready)
            ticket = ledger.write(ready)
            ledger.when_durable(ticket, lambda ready=ready: acks.say("done", ready))  # type: ignore[misc]
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
    """No file may grow beyond `limit` bytes for a while: the database refuses, the emergency folder takes its part."""
    ledger = Ledger.open(folder, emergency=aside)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    troubled = False
    sent: list[Attempt] = []
    for start in range(0, rows, 500):
        batch = [done(number, ledger=ledger, started_us=now_us()) for number in range(start, start + 500)]
        ledger.write(batch)
        sent += batch
        time.sleep(0.03)
        health = ledger.health()
        troubled = troubled or bool(health.reason)
    assert troubled, "the limit was never felt"
    spilled = ledger.health().spilled
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert ledger.flush(timeout_s=20)
    while ledger.health().spilled:
        time.sleep(0.05)
        ledger.write([done(0, ledger=ledger, started_us=now_us(), attempt="last")])  # a write makes it look again
    assert ledger.healthy and not ledger.health().reason, ledger.health()
    acks.say(f"spilled{spilled}", sent[:1])
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
