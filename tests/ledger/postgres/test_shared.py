"""What several gateways share beside rows and money: keys, signals, and the ledger that readers ask."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from farthing.ledger.changes import Changes
from farthing.ledger.key_store import KeysUnavailable
from farthing.ledger.keys import KeyRing, Keys
from farthing.ledger.ledger import Ledger
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.postgres.keys import PostgresKeys
from farthing.ledger.postgres.pull import archive, pull
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.store import PostgresStore, shared_store
from farthing.ledger.postgres.watch import Watch
from farthing.ledger.row import Attempt
from farthing.ledger.summary import Group, summarise_ledger
from farthing.ledger.verify import verify
from farthing.problems import FarthingError
from tests.ledger.made import DAY_US, NOON_US, done, some, sum_usd
from tests.ledger.postgres.server import Server
from tests.ledger.postgres.test_store import rows


def soon(test: Callable[[], object], seconds: float = 5.0) -> float:
    """Wait until `test` holds; how long it took."""
    begin = time.monotonic()
    while not test():
        assert time.monotonic() - begin < seconds, "it never came"
        time.sleep(0.005)
    return time.monotonic() - begin


def whole(folder: Path) -> Group:
    return summarise_ledger(folder).whole


def test_a_key_made_on_one_machine_opens_the_other_and_is_revoked_there_at_once(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Keys(here, PostgresKeys(url, here)) as keys:
        key, token = keys.create("before")
        watch = Watch(url, there)
        ring = KeyRing(there)
        try:
            assert ring.find(token) == key  # what there was when it started
            late, other = keys.create("after")
            soon(lambda: ring.find(other) == late)
            assert keys.revoke("before").revoked_us is not None
            assert soon(lambda: ring.find(token) is None) < 0.9  # told, not found at the next look
            renewed, replaced = keys.rotate("after", grace_s=60)
            soon(lambda: ring.find(replaced) == renewed and ring.find(other) == renewed)
            keys.rotate("after")
            soon(lambda: ring.find(replaced) is None and ring.find(other) is None)
            with pytest.raises(FarthingError, match="there is a key 'after' already"):
                keys.create("after")
            with Keys(there, PostgresKeys(url, there)) as theirs:
                assert {one.id for one in theirs.all()} == {key.id, late.id}
                with pytest.raises(FarthingError, match="'after' already"):
                    theirs.create("after")
        finally:
            ring.close()
            watch.close()


def test_a_lost_notification_is_made_good_within_a_second_or_so(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    watch, ring = Watch(url, there), KeyRing(there)
    with Keys(here, PostgresKeys(url, here)) as keys, opened(url) as connection:
        _, token = keys.create("k")
        soon(lambda: ring.find(token))
        connection.execute("UPDATE virtual_key SET revoked_us = 1")  # nobody is told
        connection.execute("UPDATE key_change SET number = number + 1")
        assert soon(lambda: ring.find(token) is None) < 3
    ring.close()
    watch.close()


def test_keys_go_on_while_the_database_is_away(tmp_path: Path) -> None:
    server = Server()
    try:
        url = server.new_database()
        keys = Keys(tmp_path, PostgresKeys(url, tmp_path))
        key, token = keys.create("k")
        watch, ring = Watch(url, tmp_path), KeyRing(tmp_path)
        server.stop()
        soon(lambda: not watch.connected)
        assert watch.why.startswith("the database: ")
        assert ring.find(token) == key
        with pytest.raises(KeysUnavailable):
            keys.revoke("k")
        with pytest.raises(FarthingError, match="keys cannot be read now: the database: "):
            PostgresKeys(url, tmp_path)
        server.start()
        soon(lambda: watch.connected, 10)
        assert ring.find(token) == key
        keys.close()
        with Keys(tmp_path, PostgresKeys(url, tmp_path)) as again:
            again.revoke("k")
        assert ring.find(token) is None
        ring.close()
        watch.close()
    finally:
        server.close()


def test_what_is_wanted_and_returned_is_heard_on_the_other_machine(url: str, tmp_path: Path) -> None:
    watch, changes, bank = Watch(url, tmp_path, "w1"), Changes(tmp_path), PostgresBank(url)
    before = changes.wanted
    bank.want("p")
    assert soon(lambda: changes.wanted != before) < 0.9
    returned = changes.returned
    bank.give_back("w", {"p": 5})
    assert soon(lambda: changes.returned != returned) < 0.9
    returned = changes.returned
    bank.give_back("w", {"q": 5})  # nobody is short of that
    time.sleep(0.1)
    assert changes.returned == returned
    assert rows(url, "SELECT id, dead FROM worker") == [("w1", False)]
    for one in (watch, changes, bank):
        one.close()


def test_a_worker_hears_that_it_was_taken_for_dead(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farthing.ledger.postgres.watch.BEAT_S", 0.05)
    monkeypatch.setattr("farthing.ledger.postgres.watch.LOOK_S", 0.1)
    watch = Watch(url, tmp_path, "w1")
    assert not watch.dead
    with opened(url) as connection:
        [(before,)] = connection.execute("SELECT seen_us FROM worker").fetchall()
        soon(lambda: connection.execute("SELECT seen_us > %s FROM worker", (before,)).fetchall() == [(True,)])
        connection.execute("UPDATE worker SET dead = true")
    soon(lambda: watch.dead)
    watch.close()


def test_readers_see_the_rows_of_all_gateways(url: str, tmp_path: Path) -> None:
    folders, reader = [tmp_path / "one", tmp_path / "two"], tmp_path / "reader"
    written = []
    for number, folder in enumerate(folders):
        with Ledger.open(folder, store=shared_store(url, folder)) as ledger:
            batch = list(some(300, ledger, seed=number))
            ledger.write(batch)
            written += batch
    assert pull(url, reader) == 600
    assert pull(url, reader) <= 600  # what came in the last transactions may come again
    found = whole(reader)
    assert found.attempts == 600 and found.known_usd == sum_usd(written)
    checked = verify(reader)
    assert checked.ok and checked.rows == 600 and checked.agree == sum(row.usd is not None for row in written)


def test_only_what_is_new_is_brought(url: str, tmp_path: Path) -> None:
    with opened(url):
        pass
    store, reader = PostgresStore(url, tmp_path / "one", "w1"), tmp_path / "reader"
    store.write([done(number) for number in range(50)], {})
    assert pull(url, reader) == 50
    open_row = Attempt(attempt="o", request="o", started_us=NOON_US, worker="w1")
    store.write([open_row], {})
    assert pull(url, reader) == 1
    assert whole(reader).open == 1
    store.recover(lambda worker: False)
    assert pull(url, reader) >= 1
    total = whole(reader)
    assert (total.open, total.lost, total.attempts) == (0, 1, 51)
    store.write([done(1, attempt="o")], {})  # its end came after all
    pull(url, reader)
    total = whole(reader)
    assert (total.lost, total.attempts) == (0, 51)
    (reader / "pulled.json").write_text("nonsense")
    assert pull(url, reader) == 51
    assert whole(reader).attempts == 51
    store.close()


def test_closed_days_leave_the_database_and_stay_in_the_archive(url: str, tmp_path: Path) -> None:
    store, keeper, other = PostgresStore(url, tmp_path / "one", "w1"), tmp_path / "keeper", tmp_path / "other"
    store.write([done(number) for number in range(40)], {})
    store.write([done(number, started_us=NOON_US + DAY_US + number) for number in range(7)], {})
    store.write([Attempt(attempt="o", request="o", started_us=NOON_US, worker="w1")], {})
    tomorrow = NOON_US + DAY_US
    closed = archive(url, keeper, tomorrow)
    assert closed is not None and [day.rows for day in closed] == [40]
    assert archive(url, other, tomorrow) is None
    assert rows(url, "SELECT count(*) FROM attempt") == [(8,)]
    assert whole(keeper).attempts == 48
    # A late end of the day that is closed: seen after a pull, merged at the next closing, and then gone here too.
    store.write([done(99, attempt="o")], {})
    pull(url, keeper)
    assert whole(keeper).attempts == 48
    closed = archive(url, keeper, tomorrow)
    assert closed is not None and [day.rows for day in closed] == [41]
    assert rows(url, "SELECT count(*) FROM attempt") == [(7,)]
    assert verify(keeper).problems == []
    store.close()


def test_a_pull_from_a_database_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="rows cannot be brought over now: the database: "):
        pull("postgresql:///x?host=/nowhere", tmp_path)
