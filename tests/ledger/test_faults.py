"""Real processes and real faults: kill -9 at random, SIGTERM, a disk that is full, a database that another locks."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from farthing.ledger.journal import FOLDER as JOURNAL
from farthing.ledger.journal import segments
from farthing.ledger.ledger import Ledger
from farthing.ledger.schema import FILE, connect
from farthing.ledger.verify import verify
from farthing.ledger.view import open_view
from tests.ledger.made import done
from tests.ledger.test_store import states
from tests.ledger.worker import PURSES, RESERVED

ROOT = Path(__file__).resolve().parents[2]


def start(mode: str, folder: Path, acks: Path, *more: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.worker", mode, str(folder), str(acks), *map(str, more)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def heard(acks: Path) -> dict[str, set[str]]:
    """What was acknowledged, by word."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in acks.read_text().splitlines() if acks.exists() else ():
        word, _, name = line.partition(" ")
        found[word].add(name)
    return found


def wait_for(acks: Path, word: str, count: int = 1) -> None:
    until = time.monotonic() + 30
    while len(heard(acks)[word]) < count:
        assert time.monotonic() < until, f"no {word} in 30 s"
        time.sleep(0.02)


def budgets(folder: Path) -> dict[str, Any]:
    hot = connect(folder, read_only=True)
    try:
        return {
            "spent": dict(hot.execute("SELECT id, spent FROM purse").fetchall()),
            "leases": dict(hot.execute("SELECT purse || ' ' || worker, amount FROM lease").fetchall()),
            "holds": hot.execute("SELECT attempt, purse, amount, expires_us FROM hold ORDER BY attempt").fetchall(),
        }
    finally:
        hot.close()


@pytest.mark.slow
@pytest.mark.parametrize("locked", [False, True], ids=["free", "locked now and then"])
def test_workers_killed_at_random_lose_nothing_that_was_handed_over(tmp_path: Path, locked: bool) -> None:
    """Every attempt for which `write` returned is in the ledger, once, and charged once; what had only begun is lost,
    is said to be, and its hold expires. Also where the database refused rows at the moment of the kill."""
    choose = random.Random(20 + locked)
    folder = tmp_path / "data"
    logs = []
    Ledger.open(folder).close()
    for number in range(5):
        running = []
        for name in ("one", "other"):
            logs.append(tmp_path / f"{name}{number}")
            running.append(start("run", folder, logs[-1], 100_000))
        wait_for(logs[-1], "done")
        wait_for(logs[-2], "done")
        holder = sqlite3.connect(folder / FILE, timeout=30, isolation_level=None)
        if locked:
            holder.execute("BEGIN IMMEDIATE")
        time.sleep(choose.random() * (2.5 if locked or number == 4 else 0.4))
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
        holder.close()
    assert len(segments(folder / JOURNAL)) >= 2
    Ledger.open(folder).close()  # a new worker finds what the dead left
    assert not segments(folder / JOURNAL)
    said: dict[str, set[str]] = defaultdict(set)
    for log in logs:
        for word, names in heard(log).items():
            said[word] |= names
    found = states(folder)
    assert said["done"] and said["done"] < said["open"] <= found.keys()
    assert {found[name] for name in said["done"]} == {"done"}
    # What was handed over in the very moment of the kill may be there without an acknowledgement: one call a worker.
    assert len(found.keys() - said["open"]) <= 20 * len(logs)
    ended = {name for name, state in found.items() if state == "done"}
    assert len(ended - said["done"]) <= 200 * len(logs)
    assert set(found.values()) == {"done", "lost"}
    with open_view(folder) as view:
        charges = view.query(
            f"SELECT 'purse' || input % {PURSES}, sum(input)::BIGINT FROM attempts WHERE state = 'done' GROUP BY 1"
        )
        lost = view.query(
            "SELECT id, epoch_us(\"at\") FROM attempts WHERE state = 'lost' AND usd IS NULL AND unknown IS NOT NULL"
        )
    have = budgets(folder)
    assert have["spent"] == dict(charges)
    assert have["leases"] == {}
    assert len(lost) == len(found) - len(ended) > 0
    assert [(name, amount, expires) for name, _, amount, expires in have["holds"]] == [
        (name, RESERVED, at + 900_000_000) for name, at in sorted(lost)
    ]
    assert verify(folder).ok


def test_the_living_keep_their_open_rows(tmp_path: Path) -> None:
    one = Ledger.open(tmp_path)
    one.write([done(1, ledger=one, state="open", usd=None), done(2, state="open", usd=None)])
    one.flush()
    other = Ledger.open(tmp_path)
    assert other.recover() == 0
    assert set(states(tmp_path).values()) == {"open"}
    one._worker.close()  # as the system does when a process dies
    assert other.recover() == 2
    assert set(states(tmp_path).values()) == {"lost"}
    other.close()


def test_sigterm_flushes(tmp_path: Path) -> None:
    acks = tmp_path / "acks"
    process = start("until-told", tmp_path / "data", acks, 5000)
    wait_for(acks, "sent", 5000)
    process.terminate()
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints
    assert states(tmp_path / "data").keys() == heard(acks)["sent"]


def test_a_locked_database_delays_rows_and_drops_none(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.readline(); c.execute('ROLLBACK')"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / FILE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    rows = [done(number, ledger=ledger) for number in range(2000)]
    ledger.write(rows[:1000])
    assert not ledger.flush(timeout_s=0.3)
    assert ledger.flush(timeout_s=20)  # the lock lasts: the journal takes them
    health = ledger.health()
    assert health.ok and "locked" in health.reason and health.spilled == 1000 and health.waiting == 0
    ledger.write(rows[1000:])
    holder.communicate(b"\n", timeout=10)
    assert ledger.flush(timeout_s=20)
    until = time.monotonic() + 20
    while ledger.health().spilled and time.monotonic() < until:
        time.sleep(0.05)
    assert not ledger.health().reason
    ledger.close()
    assert not segments(tmp_path / JOURNAL)
    assert len(states(tmp_path)) == 2000


@pytest.mark.slow
def test_a_disk_that_is_full_costs_nothing(tmp_path: Path) -> None:
    """`ulimit -f`: no file may grow beyond 1.5 MB. The database refuses, the journal keeps rows; then it is full as
    well and rows wait in memory; when there is room again all of it comes in."""
    acks = tmp_path / "acks"
    process = start("small-disk", tmp_path / "data", acks, 20_000, tmp_path / "aside", 1_500_000)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints.decode()
    found = states(tmp_path / "data")
    assert heard(acks)["done"] <= found.keys()
    assert len(found) == 20_001


@pytest.mark.slow
def test_a_file_system_that_is_full_costs_nothing(tmp_path: Path) -> None:
    """The same on a real file system of 2 MB, where this user may make one."""
    small = tmp_path / "small"
    small.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], capture_output=True)
    if made.returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        ballast = small / "ballast"
        ballast.write_bytes(b"x" * 1_000_000)
        ledger = Ledger.open(small / "data", journal=tmp_path / "aside")
        rows = [done(number, ledger=ledger) for number in range(20_000)]
        for begin in range(0, len(rows), 1000):
            ledger.write(rows[begin : begin + 1000])
            time.sleep(0.02)
        assert ledger.flush(timeout_s=30)
        health = ledger.health()
        assert health.spilled and "full" in health.reason.lower(), health
        left = ledger.close(timeout_s=2)
        assert left == 0
        with open_view(small / "data") as view:
            assert 0 < view.hot_rows < 20_000
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        Ledger.open(small / "data", journal=tmp_path / "aside").close()
        assert len(states(small / "data")) == 20_000
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_rows_survive_a_kill_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    """SQLite's own promise, held to: a transaction that was not committed leaves nothing."""
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger)])
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); c.execute('DELETE FROM attempt'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / FILE)]).returncode == -9
    assert len(states(tmp_path)) == 1
    hot = sqlite3.connect(tmp_path / FILE)
    assert hot.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    hot.close()
