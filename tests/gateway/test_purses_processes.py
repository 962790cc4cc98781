"""Real processes on one budget, some of them killed: the limit is never passed, and all of it can be used."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from farthing.ledger.bank import SqliteBank
from farthing.ledger.ledger import Ledger
from farthing.ledger.schema import connect
from tests.gateway.spender import MOST

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 2_500_000
PURSE = "all/total@ever"


def start(folder: Path, acks: Path, seed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.spender", str(folder), str(acks), str(LIMIT), str(seed)],
        cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.slow
def test_processes_that_are_killed_pass_no_limit_and_strand_no_money(tmp_path: Path) -> None:
    choose = random.Random(7)
    folder = tmp_path / "data"
    Ledger.open(folder).close()
    bank = SqliteBank(folder)
    running: list[subprocess.Popen[bytes]] = []
    logs: list[Path] = []

    def another() -> None:
        logs.append(tmp_path / f"acks{len(logs)}")
        running.append(start(folder, logs[-1], len(logs)))

    for _ in range(4):
        another()
    kills = 0
    until = time.monotonic() + 120
    while any(process.poll() is None for process in running):
        assert time.monotonic() < until, "still spending after two minutes"
        state = bank.states([PURSE])[PURSE]
        assert state.free(LIMIT) >= 0, state
        victim = choose.choice(running)
        up = logs[running.index(victim)]
        if kills < 3 and state.spent > LIMIT * (kills + 1) // 5 and victim.poll() is None and up.exists():
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            kills += 1
            another()  # as the supervisor does; it takes up what the dead one left
        time.sleep(0.01)
    Ledger.open(folder).close()
    assert kills == 3 and [process.returncode for process in running].count(0) == 4

    charged = {}
    for log in logs:
        for line in log.read_text().splitlines():
            word, *rest = line.split()
            if word == "end":
                charged[rest[0]] = int(rest[1])
    look = connect(folder)
    states = dict(look.execute("SELECT attempt, state FROM attempt").fetchall())
    lost = [name for name, state in states.items() if state == 1]
    [(held,)] = look.execute("SELECT coalesce(sum(amount), 0) FROM hold WHERE purse = ?", (PURSE,)).fetchall()
    leases = look.execute("SELECT amount FROM lease WHERE purse = ?", (PURSE,)).fetchall()
    look.close()
    state = bank.states([PURSE])[PURSE]
    bank.close()
    assert len(states) > 1000 and set(states.values()) <= {1, 2}
    # Exactly what ended was charged, once; what was killed in flight is held, and nothing else is.
    assert state.spent == sum(charged[name] for name, end in states.items() if end == 2)
    assert lost and state.held == held > 0
    assert not any(amount for (amount,) in leases)
    assert state.spent + held <= LIMIT
    # No money is stranded: what is left is less than what was refused for want of it.
    assert 0 <= LIMIT - state.spent - held < MOST
