"""Virtual keys: found by hash only, revoked at once, rotated with and without grace."""

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from farthing.ledger import keys as module
from farthing.ledger.changes import Changes
from farthing.ledger.key_store import KeyRow, SqliteKeys
from farthing.ledger.keys import KeyBudget, KeyDefaults, KeyLimits, KeyRing, Keys, KeysUnavailable
from farthing.ledger.ledger import Ledger
from farthing.ledger.schema import FILE, connect
from farthing.problems import FarthingError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    made = Keys(tmp_path, create=True)
    yield made
    made.close()


@pytest.fixture
def ring(keys: Keys, tmp_path: Path) -> Iterator[KeyRing]:
    made = KeyRing(tmp_path)
    yield made
    made.close()


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.us = time.time_ns() // 1000
        self.s = time.monotonic()
        monkeypatch.setattr(module, "_now_us", lambda: self.us)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.s)

    def pass_s(self, seconds: float) -> None:
        self.us += int(seconds * 1e6)
        self.s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_was_made_is_found(keys: Keys, ring: KeyRing) -> None:
    budgets = (KeyBudget(usd=Decimal("0.1"), period="day"), KeyBudget(usd=Decimal("3"), hard=False))
    key, token = keys.create(
        "a", team="ml", models=["gpt-*"], features=["search"], budgets=budgets, limits=KeyLimits(concurrent=3),
        defaults=KeyDefaults(user="cron", tags={"a": "b"}),
    )  # fmt: skip
    assert ring.find(token) == key
    assert key.budgets == budgets and key.budgets[0].usd == Decimal("0.1")  # digit for digit
    assert key.limits == KeyLimits(concurrent=3) and key.defaults.tags == {"a": "b"} and key.tail == token[-4:]
    assert keys.all() == [key]


@pytest.mark.parametrize(
    "token", ["", "fk-", "fk-wrong", "sk-" + "a" * 43, "fk-" + "a" * 43, "fk-" + "a" * 10_000, "fk-\ud800", "fk-\0"]
)
def test_what_was_not_made_is_not_found(ring: KeyRing, token: str) -> None:
    assert ring.find(token) is None


def test_tokens_are_long_random_and_hashed(keys: Keys, tmp_path: Path) -> None:
    made = [keys.create(f"k{number}")[1] for number in range(20)]
    assert len(set(made)) == 20 and {len(token) for token in made} == {46}
    # What is stored says nothing of a token but its last characters.
    rows = connect(tmp_path).execute("SELECT hash, record FROM virtual_key").fetchall()
    assert {len(digest) for digest, _ in rows} == {32}
    assert not any(token[3:-4] in record for token in made for _, record in rows)
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", "changes"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_ledger_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    (tmp_path / FILE).chmod(0o644)
    Keys(tmp_path).close()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_revocation_holds_at_the_next_look_up(keys: Keys, ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing(tmp_path)
    for number in range(20):
        key, token = keys.create(f"k{number}")
        assert ring.find(token) == other.find(token) == key
        keys.revoke(key.id)
        assert ring.find(token) is None and other.find(token) is None
    other.close()


def test_revocation_by_another_process(keys: Keys, ring: KeyRing, tmp_path: Path) -> None:
    _, token = keys.create("a")
    assert ring.find(token) is not None
    script = "import sys; from farthing.ledger.keys import Keys; Keys(sys.argv[1]).revoke('a')"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT, timeout=60)
    assert ring.find(token) is None


def test_a_change_whose_signal_was_lost_is_seen_within_seconds(keys: Keys, ring: KeyRing, clock: Clock) -> None:
    key, token = keys.create("a")
    assert ring.find(token) is not None
    keys._changes.tell_keys = lambda: None  # type: ignore[method-assign]  # killed between its commit and its signal
    keys.revoke(key.id)
    assert ring.find(token) is not None
    clock.pass_s(5)
    assert ring.find(token) is None


def test_expiry_needs_no_look(keys: Keys, ring: KeyRing, clock: Clock) -> None:
    _, token = keys.create("a", expires_us=clock.us + 2_000_000)
    assert ring.find(token) is not None
    clock.pass_s(2)
    assert ring.find(token) is None
    assert keys.all()[0].state(clock.us) == "expired"
    clock.pass_s(-1)
    assert ring.find(token) is not None  # the clock was set back: it has not expired yet
    keys_now = keys.create("b")
    assert keys_now[0].name == "b"


def test_rotation_with_grace(keys: Keys, ring: KeyRing, clock: Clock) -> None:
    key, first = keys.create("a", expires_us=clock.us + 10_000_000_000)
    renewed, second = keys.rotate("a", grace_s=60)
    assert renewed.id == key.id and renewed.tail == second[-4:] and first != second
    assert ring.find(first) == ring.find(second) == renewed
    third = keys.rotate("a", grace_s=600)[1]
    clock.pass_s(61)
    assert ring.find(first) is None and ring.find(second) is not None and ring.find(third) is not None
    assert [one.id for one in keys.all()] == [key.id]
    keys.rotate("a", grace_s=60)
    assert len(keys._store.rows()) == 3  # the first token's row went when it had ended
    fifth = keys.rotate("a")[1]
    assert [ring.find(token) for token in (first, second, third)] == [None] * 3 and ring.find(fifth) is not None
    assert len(keys._store.rows()) == 1


def test_a_grace_does_not_outlive_its_key(keys: Keys, ring: KeyRing, clock: Clock) -> None:
    _, first = keys.create("a", expires_us=clock.us + 10_000_000)
    second = keys.rotate("a", grace_s=600)[1]
    clock.pass_s(11)
    assert ring.find(first) is None and ring.find(second) is None
    with pytest.raises(FarthingError, match="'a' is expired already"):
        keys.rotate("a")


def test_revoking_ends_the_token_in_grace(keys: Keys, ring: KeyRing) -> None:
    _, first = keys.create("a")
    second = keys.rotate("a", grace_s=600)[1]
    keys.revoke("a")
    assert ring.find(first) is None and ring.find(second) is None


def test_any_stays_true(keys: Keys, ring: KeyRing) -> None:
    assert not ring.any()
    keys.create("a")
    assert ring.any()
    keys.revoke("a")
    assert ring.any()  # revoking the last key opens no door


def test_names_are_unique_among_the_living(keys: Keys, clock: Clock) -> None:
    keys.create("a", expires_us=clock.us + 1_000_000)
    with pytest.raises(FarthingError, match="there is a key 'a' already"):
        keys.create("a")
    clock.pass_s(1)
    again, _ = keys.create("a")
    assert keys.revoke("a").id == again.id


def test_two_processes_make_one_name_once(tmp_path: Path) -> None:
    Keys(tmp_path, create=True).close()
    script = (
        "import sys; from farthing.ledger.keys import Keys; from farthing.problems import FarthingError\n"
        "try: Keys(sys.argv[1]).create('same')\n"
        "except FarthingError: sys.exit(3)"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert sorted(process.wait(timeout=60) for process in running) == [0, 3, 3, 3]


def test_a_store_that_is_away_lets_nobody_new_in(keys: Keys, tmp_path: Path, clock: Clock) -> None:
    class Away(SqliteKeys):
        away = False

        def by_hash(self, digest: bytes) -> KeyRow | None:
            if self.away:
                raise KeysUnavailable("disk I/O error")
            return super().by_hash(digest)

    store = Away(tmp_path)
    ring = KeyRing(tmp_path, store, Changes(tmp_path))
    _, token = keys.create("a")
    _, unseen = keys.create("b")
    assert ring.find(token) is not None
    Away.away = True
    with pytest.raises(KeysUnavailable):
        ring.find(unseen)
    clock.pass_s(60)
    assert ring.find(token) is not None  # nobody has told of a change
    keys.revoke("a")
    with pytest.raises(KeysUnavailable):
        ring.find(token)
    Away.away = False
    assert ring.find(token) is None
    ring.close()


def test_what_is_remembered_is_bounded(keys: Keys, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KNOWN", 100)
    _, token = keys.create("a")
    for _ in range(500):
        assert ring.find("fk-" + os.urandom(22).hex()[:43]) is None
        assert ring.find(token) is not None
    assert len(ring._known) <= 100


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(FarthingError, match="not a ledger"):
        Keys(tmp_path)


def test_an_edit_that_fails_changes_nothing(keys: Keys) -> None:
    key, _ = keys.create("a")
    with pytest.raises(KeysUnavailable), keys._store.editing():
        keys._store.remove(key.id)
        raise sqlite3.OperationalError("database or disk is full")
    assert keys.all() == [key]
