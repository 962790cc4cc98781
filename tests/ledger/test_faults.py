"""Real processes and real faults: kill -9 at random, SIGTERM, a disk that is full, a database that another locks."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from farthing.ledger import spill
from farthing.ledger.ledger import SPILL, Ledger
from farthing.ledger.schema import FILE
from farthing.ledger.view import open_view
from tests.ledger.made import done
from tests.ledger.test_store import states

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


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing_that_was_durable(tmp_path: Path) -> None:
    """Upstream's own count is the "sent" words: each of those attempts is in the ledger, once; what was
    acknowledged as durable has its end; what was only begun is lost, and said to be."""
    choose = random.Random(20)
    folder = tmp_path / "data"
    logs = []
    for number in range(6):
        acks = tmp_path / f"acks{number}"
        running = [start("run", folder, acks, 100_000), start("run", folder, tmp_path / f"other{number}", 100_000)]
        logs += [acks, tmp_path / f"other{number}"]
        wait_for(logs[-1], "done")
        wait_for(logs[-2], "done")
        time.sleep(choose.random() * 0.3)
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
    Ledger.open(folder).close()  # a new worker finds what the dead left
    found = states(folder)
    assert len(found) > 1000
    said: dict[str, set[str]] = defaultdict(set)
    for log in logs:
        for word, names in heard(log).items():
            said[word] |= names
    assert said["done"] and said["open"] > said["done"]
    assert said["open"] <= found.keys()
    assert {found[name] for name in said["done"]} == {"done"}
    assert {state for name, state in found.items() if name not in said["done"]} <= {"done", "lost"}
    with open_view(folder) as view:
        [(dead,)] = view.query(
            "SELECT count(*) FROM attempts WHERE state = 'lost' AND usd IS NULL AND unknown IS NOT NULL"
        )
    assert dead == sum(state == "lost" for state in found.values()) > 0
    # What never became durable was in flight: handed over within the last moments before the kill.
    for log in logs:
        sent = heard(log)["sent"]
        missing = [name for name in sent if found.get(name) != "done"]
        if missing:
            ages_us = [int(max(sent)[:14], 16) - int(name[:14], 16) for name in missing]
            assert max(ages_us) < 2_000_000 and len(missing) < len(sent)


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
    assert ledger.flush(timeout_s=20)  # the lock lasts: the emergency file takes them
    health = ledger.health()
    assert health.ok and "locked" in health.reason and health.spilled == 1000 and health.waiting == 0
    ledger.write(rows[1000:])
    holder.communicate(b"\n", timeout=10)
    assert ledger.flush(timeout_s=20)
    until = time.monotonic() + 20
    while ledger.health().spilled and time.monotonic() < until:
        time.sleep(0.05)
    assert not spill.files(tmp_path / SPILL)
    ledger.close()
    assert len(states(tmp_path)) == 2000


def test_the_emergency_file_of_a_dead_worker_is_brought_in(tmp_path: Path) -> None:
    rows = [done(number, worker="host:1:1") for number in range(10)]
    aside = spill.Spill(tmp_path / SPILL, "host:1:1")
    aside.append(rows[:4])
    aside.append(rows[4:])
    with aside.path.open("ab") as file:
        file.write(b"\x90\x00\x00\x00half a fr")  # it died in the middle of a frame
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(99, ledger=ledger, state="open", usd=None)])
    assert not aside.path.exists()
    assert len(states(tmp_path)) == 11


@pytest.mark.slow
def test_a_disk_that_is_full_costs_nothing(tmp_path: Path) -> None:
    """`ulimit -f`: no file may grow beyond 1.5 MB. The database refuses, the emergency file takes over, then it
    is full as well and rows wait in memory; when there is room again all of it comes in."""
    acks = tmp_path / "acks"
    process = start("small-disk", tmp_path / "data", acks, 20_000, tmp_path / "aside", 1_500_000)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints.decode()
    found = states(tmp_path / "data")
    assert heard(acks)["done"] <= found.keys()
    assert len(found) in (20_000, 20_001)


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
        ledger = Ledger.open(small / "data", emergency=tmp_path / "aside")
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
        Ledger.open(small / "data", emergency=tmp_path / "aside").close()
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
