"""Somebody takes the ledger's files away while they are in use: it is noticed, said, and nothing is lost."""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from farthing.ledger import ground, schema
from farthing.ledger.bank import BankUnavailable, PurseState, SqliteBank, Want
from farthing.ledger.journal import FOLDER as JOURNAL
from farthing.ledger.key_store import KeysUnavailable
from farthing.ledger.keys import KeyRing, Keys
from farthing.ledger.ledger import Ledger
from farthing.ledger.place import REMOVED, REPLACED
from farthing.ledger.row import Attempt
from farthing.ledger.schema import FILE, connect
from farthing.ledger.store import Mark, Prices, SqliteStore
from farthing.ledger.verify import verify
from farthing.ledger.writer import LedgerFull
from tests.ledger.made import done
from tests.ledger.test_faults import ROOT, budgets
from tests.ledger.test_store import states


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "LOOK_S", 0.02)


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def well(ledger: Ledger) -> bool:
    return ledger.health().ok


def settled(ledger: Ledger) -> bool:
    """Whether it is well, and the database has every row: those of the time without one were left to the journal, which
    is durable too, and come to the file that was put back a moment after the ledger is well again."""
    return ledger.health().ok and not ledger.health().spilled


def amiss(ledger: Ledger) -> bool:
    return not ledger.health().ok


def spilled(ledger: Ledger, rows: int) -> bool:
    return ledger.health().spilled == rows


def removed(folder: Path, names: str) -> None:
    for path in folder.glob(names):
        path.unlink()


@pytest.mark.parametrize("names", [FILE, f"{FILE}*", f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-*"])
def test_a_database_that_was_removed_is_there_again_with_all_that_was_in_it(tmp_path: Path, names: str) -> None:
    folder = tmp_path / "data"
    with Ledger.open(folder) as ledger, Ledger.open(folder) as other, Keys(folder) as keys:
        ring = KeyRing(folder)
        made, token = keys.create("mine")
        bank = SqliteBank(folder)
        bank.acquire("w", [Want("all", 1_000, 500, 500)])
        ledger.write([done(n, ledger=ledger, holds={"all": 10}, worker="w") for n in range(30)])
        other.write([done(100, ledger=other)])
        assert ledger.flush(timeout_s=10) and other.flush(timeout_s=10)
        removed(folder, names)
        # Both write on: what went into the nameless file in the last moment counts only once it is in the new one.
        for n in range(30, 60):
            ledger.write([done(n, ledger=ledger, holds={"all": 1}, worker="w")])
            other.write([done(100 + n, ledger=other)])
            time.sleep(0.002)
        assert ledger.flush(timeout_s=10) and other.flush(timeout_s=10)
        until(lambda: settled(ledger) and settled(other))
        assert (folder / FILE).exists() and (folder / FILE).stat().st_mode & 0o077 == 0
        # 30 charges of 10, 30 of 1, of a lease of 500
        assert bank.acquire("w", [Want("all", 1_000, 1, 1)]) != {}
        assert bank.states(["all"]) == {"all": PurseState(spent=330, leased=171)}
        assert ring.find(token) == made and ring.any()
        keys.revoke("mine")
        assert ring.find(token) is None
        ring.close()
        bank.close()
    assert len(states(folder)) == 30 + 1 + 30 + 30 and set(states(folder).values()) == {"done"}
    assert verify(folder).ok and budgets(folder)["spent"] == {"all": 330}
    assert not list(folder.glob("*.new*"))


def test_until_the_journal_is_brought_back_the_lease_covers_what_it_charges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is well as soon as it stands on the file that was put back; what it left to the journal meanwhile is
    not in there yet, so the bank must not take it for free."""
    brought, free = threading.Event(), threading.Event()
    real = SqliteStore.write

    def held_up(store: SqliteStore, attempts: Sequence[Attempt], prices: Prices, mark: Mark | None = None) -> None:
        if not store.amiss() and threading.current_thread().name == "farthing-ledger" and attempts:
            brought.set()
            assert free.wait(10)
        real(store, attempts, prices, mark)

    with Ledger.open(tmp_path) as ledger:
        bank = SqliteBank(tmp_path)
        bank.acquire("w", [Want("all", 1_000, 500, 500)])
        ledger.write([done(1, ledger=ledger, holds={"all": 300}, worker="w")])
        assert ledger.flush(timeout_s=10)
        removed(tmp_path, f"{FILE}*")
        monkeypatch.setattr(SqliteStore, "write", held_up)
        ledger.write([done(2, ledger=ledger, holds={"all": 30}, worker="w")])
        assert ledger.flush(timeout_s=10)  # in the journal alone
        assert brought.wait(10)
        until(partial(well, ledger))
        assert ledger.health().spilled == 1
        assert bank.states(["all"]) == {"all": PurseState(spent=300, leased=200)}
        free.set()
        until(partial(settled, ledger))
        assert bank.states(["all"]) == {"all": PurseState(spent=330, leased=170)}
        bank.close()


def test_the_bank_reads_of_the_file_that_was_put_back(tmp_path: Path) -> None:
    """A worker that only asks what others want must hear it: the nameless file would never tell."""
    with Ledger.open(tmp_path) as ledger:
        bank, teller = SqliteBank(tmp_path), SqliteBank(tmp_path)
        removed(tmp_path, f"{FILE}*")
        for ask in (bank.wanted, partial(bank.states, ["all"])):
            with pytest.raises(BankUnavailable, match="was removed while it was in use"):
                ask()
        until(partial(amiss, ledger))
        until(partial(well, ledger))
        teller.want("all")
        teller.acquire("other", [Want("all", 1_000, 70, 70)])
        assert bank.wanted() == {"all"}
        removed(tmp_path, f"{FILE}*")
        until(partial(amiss, ledger))
        until(partial(well, ledger))
        teller.give_back("other", {"all": 10})
        assert bank.states(["all"]) == {"all": PurseState(leased=60)}
        bank.close()
        teller.close()


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
def test_a_database_that_is_taken_away_while_it_is_opened_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    Ledger.open(tmp_path).close()
    shutil.copy(tmp_path / FILE, tmp_path / "copy")
    real = schema._opened

    def robbed(path: Path, read_only: bool) -> sqlite3.Connection:
        connection = real(path, read_only)
        path.unlink()
        if again:
            (tmp_path / "copy").rename(path)
        return connection

    monkeypatch.setattr(schema, "_opened", robbed)
    connection, place = schema.connect_in_place(tmp_path)
    assert place.amiss() == (REPLACED if again else REMOVED)
    connection.close()


def test_it_comes_back_while_nothing_is_written_and_when_the_ledger_is_closed(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger)])
        ledger.flush(timeout_s=10)
        time.sleep(0.1)
        (tmp_path / FILE).unlink()
        time.sleep(0.05)
        health = ledger.health()
        assert not health.ok and health.reason == f"{tmp_path / FILE} was removed while it was in use"
        until(partial(well, ledger))
        assert len(states(tmp_path)) == 1
        removed(tmp_path, f"{FILE}*")
    assert len(states(tmp_path)) == 1 and verify(tmp_path).ok


def test_who_only_reads_the_database_says_that_it_is_gone_until_a_writer_brings_it_back(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    bank, ring, keys = SqliteBank(tmp_path), KeyRing(tmp_path), Keys(tmp_path)
    _, token = keys.create("mine")
    assert ring.find(token) is not None
    removed(tmp_path, f"{FILE}*")
    with pytest.raises(BankUnavailable, match="was removed while it was in use") as away:
        bank.acquire("w", [Want("all", 10, 1, 1)])
    assert away.value.certain
    with pytest.raises(KeysUnavailable, match="was removed while it was in use"):
        keys.create("other")
    assert ring.find(token) is not None  # known before, and nobody told of a change
    with pytest.raises(KeysUnavailable):
        ring.find("fk-" + "x" * 43)
    for one in (bank, ring, keys):
        one.close()


def test_an_older_copy_or_another_ledger_is_not_written_to(tmp_path: Path) -> None:
    """What was written since would be gone from sight: the operator starts the gateway anew if that is meant."""
    folder, copy = tmp_path / "data", tmp_path / "copy"
    Ledger.open(folder).close()
    shutil.copy(folder / FILE, copy)
    Ledger.open(tmp_path / "another").close()
    kept = tmp_path / "kept"
    for theirs in (copy, tmp_path / "another" / FILE):
        with Ledger.open(folder) as ledger:
            first, second = done(1, ledger=ledger), done(2, ledger=ledger)
            ledger.write([first])
            ledger.flush(timeout_s=10)
            (folder / FILE).rename(kept)
            shutil.copy(theirs, folder / FILE)
            ledger.write([second])
            until(partial(amiss, ledger))
            until(partial(spilled, ledger, 1))
            health = ledger.health()
            assert "was replaced by another file" in health.reason and not health.unjournaled
            until(lambda: not (folder / f"{FILE}-wal").exists())  # ours must not be read as theirs
            assert (folder / FILE).read_bytes() == theirs.read_bytes()
            kept.rename(folder / FILE)  # put back: all is well again, by itself
            until(partial(well, ledger))
            assert ledger.flush(timeout_s=10)
        found = states(folder)
        assert {first.attempt, second.attempt} <= found.keys() and verify(folder).ok


def test_rows_that_wait_beside_a_foreign_file_are_found_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Ledger.open(folder) as ledger:
        (folder / FILE).unlink()
        sqlite3.connect(folder / FILE).executescript("CREATE TABLE theirs (x)")
        ledger.write([done(1, ledger=ledger)])
        until(partial(spilled, ledger, 1))
    (folder / FILE).unlink()
    Ledger.open(folder).close()
    assert len(states(folder)) == 1 and verify(folder).ok


@pytest.mark.parametrize("away", ["removed", "moved and put back", "another in its place"])
def test_the_whole_folder_is_gone(tmp_path: Path, away: str) -> None:
    folder, aside = tmp_path / "data", tmp_path / "aside"
    with Ledger.open(folder, most_rows=60) as ledger:
        ledger.write([done(0, ledger=ledger)])
        ledger.flush(timeout_s=10)
        if away == "removed":
            shutil.rmtree(folder)
        else:
            folder.rename(aside)
        if away == "another in its place":
            Ledger.open(folder).close()
        time.sleep(0.05)
        health = ledger.health()
        assert not health.ok and "while it was in use" in health.reason
        for n in range(1, 21):
            ledger.write([done(n, ledger=ledger)])
        time.sleep(0.2)
        in_journal = away == "another in its place"  # whose folder for journals has ours then
        assert not ledger.health().ok and ledger.flush(timeout_s=0.1) == in_journal
        assert ledger.health().unjournaled != in_journal
        if away == "moved and put back":
            aside.rename(folder)
            until(partial(well, ledger))
            assert ledger.flush(timeout_s=10)
        elif away == "removed":
            with pytest.raises(LedgerFull, match=r"while it was in use|folder"):
                for n in range(100):
                    ledger.write([done(100 + n, ledger=ledger)])
            assert not folder.exists()
    Ledger.open(folder).close()
    found = len(states(folder))
    # removed: what memory held (60) was left to a journal at the end, beside row 0, which the journal still had;
    # another in its place: it gets what our journal has at its next start
    assert found == {"removed": 61, "moved and put back": 21, "another in its place": 21}[away]
    assert verify(folder).ok


def test_a_journal_that_was_removed_is_there_again_with_its_rows(tmp_path: Path) -> None:
    """The database is locked, so that only the journal has the rows; then it is removed, and then we are killed."""
    script = f"""
import shutil, sqlite3, sys, os, time
from pathlib import Path
from farthing.ledger import ground, schema
from farthing.ledger.ledger import Ledger
from tests.ledger.made import done
ground.LOOK_S = 0.02
folder = Path(sys.argv[1])
ledger = Ledger.open(folder)
holder = sqlite3.connect(folder / "{FILE}", isolation_level=None)
holder.execute("BEGIN IMMEDIATE")
ledger.write([done(n, ledger=ledger) for n in range(5)])
until = time.monotonic() + 10
while ledger.health().spilled < 5 and time.monotonic() < until:
    time.sleep(0.05)
shutil.rmtree(folder / "{JOURNAL}")
ledger.write([done(5, ledger=ledger)])
time.sleep(0.1)
assert ledger.health().ok, ledger.health()
ledger.write([done(6, ledger=ledger)])
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == -9, ended.stderr.decode()
    Ledger.open(tmp_path).close()
    assert len(states(tmp_path)) == 7 and verify(tmp_path).ok


def test_a_log_of_a_database_that_is_gone_is_not_read_as_a_new_ones(tmp_path: Path) -> None:
    script = (
        "import sys, os; from pathlib import Path; from farthing.ledger.ledger import Ledger; "
        "from tests.ledger.made import done; ledger = Ledger.open(sys.argv[1]); "
        "ledger.write([done(1, ledger=ledger)]); ledger.flush(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    assert (tmp_path / f"{FILE}-wal").stat().st_size > 0
    (tmp_path / FILE).unlink()
    hot = connect(tmp_path, create=True)
    assert hot.execute("SELECT count(*) FROM attempt").fetchall() == [(0,)]
    assert hot.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    hot.close()
