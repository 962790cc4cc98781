"""The journal: what was handed over survives, torn ends are found, nothing is brought in twice, files go again."""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.ledger import journal as journals
from farthing.ledger import ledger as ledgers
from farthing.ledger import writer as writers
from farthing.ledger.days import close_days
from farthing.ledger.intake import LIGHT
from farthing.ledger.journal import FOLDER, Frame, Journal, frames, missing, packed, segments
from farthing.ledger.ledger import Ledger
from farthing.ledger.row import Attempt
from farthing.ledger.schema import FILE, connect
from farthing.ledger.store import Mark, SqliteStore, StoreUnavailable
from farthing.ledger.verify import verify
from farthing.ledger.writer import LedgerFull
from tests.ledger.made import DAY_US, NOON_US, done
from tests.ledger.test_faults import budgets
from tests.ledger.test_store import BAD, states

PURSE = "all@ever"


def start(end: Attempt, hold: int = 700) -> Attempt:
    return msgspec.structs.replace(
        end, state="open", usd=None, quantities={}, ended_us=None, holds={PURSE: hold} if hold else {}
    )


def in_database(folder: Path) -> dict[str, int]:
    hot = connect(folder, read_only=True)
    try:
        return dict(hot.execute("SELECT attempt, state FROM attempt").fetchall())
    finally:
        hot.close()


def killed(ledger: Ledger) -> None:
    """What is left of a worker after `kill -9`: its files as they are now, but neither its lock nor its thread."""

    def gone(*_: Any) -> None:
        raise StoreUnavailable("this process is dead")

    writer: Any = ledger._writer
    with writer._lock:
        writer._journal.append = writer._journal.empty = writer._journal.unsynced = writer._store.write = gone
        writer._journal.release = lambda through: []
        writer._closing = True
        writer._deadline = 0.0
        writer._work.notify()
    writer._thread.join(10)
    assert writer._ended
    ledger._worker.close()
    ledger._store.close()
    ledger._closed = True


def test_frames_come_back_whole_up_to_a_torn_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "host:1:1")
    rows = [[done(1), done(2, tags={"team": "ä😀"})], [done(3, answer="chatcmpl-1", holds={PURSE: 5})], [done(4)]]
    ends = []
    for number, part in enumerate(rows):
        journal.append(packed(part), number * 10 + 10)
        ends.append(journal.bytes)
    [path] = journal.paths()
    assert list(frames(path)) == [Frame(10, rows[0], {}), Frame(20, rows[1], {}), Frame(30, rows[2], {})]
    assert segments(tmp_path) == {"host:1:1": [path]}
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert [frame.rows for frame in frames(path)] == rows[: sum(end <= cut for end in ends)]
    path.write_bytes(whole + bytes(4096))  # zeros, as a file system may leave them after a power loss
    assert len(list(frames(path))) == 3
    path.write_bytes(whole[: ends[0] + 40] + b"?" + whole[ends[0] + 41 :])
    assert [frame.through for frame in frames(path)] == [10]
    path.write_bytes(whole[:8] + b"\x63" + whole[9:])  # another ticket than was written
    assert list(frames(path)) == []
    journal.close(remove=True)
    assert not segments(tmp_path)


@pytest.mark.parametrize("what", BAD)
def test_a_bad_field_is_journaled_too(tmp_path: Path, what: str) -> None:
    good = done(1)
    fields = {name: getattr(good, name) for name in good.__struct_fields__}
    bad = Attempt(**{**fields, "attempt": "bad", **BAD[what]})
    journal = Journal(tmp_path, "w")
    journal.append(packed([good, bad, done(2)]), 3)
    [(_, found, _)] = frames(journal.paths()[0])
    assert [row.attempt for row in found][:2] == [good.attempt, "bad"] and len(found) == 3
    assert found[0] == good
    journal.close(remove=True)
    store = SqliteStore(tmp_path)
    store.write(found, {})
    store.close()
    assert states(tmp_path)["bad"] in ("done", "failed")


def test_segments_are_numbered_and_go_when_the_store_has_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "a.b-c:7:1", segment_bytes=1)  # each frame in a segment of its own
    for ticket in range(1, 13):
        journal.append(packed([done(ticket)]), ticket)
    [(worker, paths)] = segments(tmp_path).items()
    assert worker == "a.b-c:7:1"
    assert [frame.through for path in paths for frame in frames(path)] == list(range(1, 13))
    assert paths == journal.paths()
    assert journal.release(5) == paths[:5]
    handles = journal.unsynced()
    assert len(handles) == 7
    journal.synced(handles)
    assert len(journal.unsynced()) == 1  # full and synced ones are closed
    assert journal.release(99) == paths[5:11]  # but for the one that is written now
    journal.empty(11)
    assert journal.bytes
    journal.empty(12)
    assert not journal.bytes and paths[-1].stat().st_size == 0
    journal.append(packed([done(0)]), 13)
    assert [frame.through for frame in frames(journal.paths()[-1])] == [13]
    journal.close(remove=False)


def test_half_a_frame_is_taken_off_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, "w")
    journal.append(packed([done(1)]), 1)
    real = os.write
    monkeypatch.setattr("farthing.ledger.journal._write", lambda handle, data: real(handle, data[:50]))
    with pytest.raises(OSError, match="No space left"):
        journal.append(packed([done(2)]), 2)
    monkeypatch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="No space left"):
        journal.append(packed([done(3)]), 3)  # it stays there, torn: the next goes to another segment
    monkeypatch.undo()
    journal.append(packed([done(4)]), 4)
    assert [frame.through for path in segments(tmp_path)["w"] for frame in frames(path)] == [1, 4]
    journal.close(remove=True)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(1, 3)), max_size=20), st.integers(0, 20)
)
@settings(deadline=None)
def test_what_the_store_may_miss(calls: list[tuple[str, bool, int]], known: int) -> None:
    """Of random calls, each with some rows: all ends after the mark once, no end before it, opens without an end."""
    found: list[Frame] = []
    ended: dict[str, int] = {}
    for name, final, times in calls:
        final = final or name in ended  # an open row never follows its end
        row = done(attempt=name, state="done" if final else "open")
        found.append(Frame(len(found) + 1, [row] * times, {name: ("o", "r")}))
        if final:
            ended.setdefault(name, len(found))
    before = journals.TOGETHER
    journals.TOGETHER = 2
    try:
        given_frames = list(missing(iter(found), known))
    finally:
        journals.TOGETHER = before
    rows = [row for frame in given_frames for row in frame.rows]
    marks = [frame.through for frame in given_frames]
    assert {name for frame in given_frames for name in frame.prices} == {name for name, *_ in calls}
    assert marks == sorted(marks) and marks[0] >= known and marks[-1] == max(known, len(found))
    assert [row.attempt for row in rows if row.state == "done"] == [
        row.attempt for through, part, _ in found for row in part if row.state == "done" and through > known
    ]
    begun = {name for name, final, _ in calls} - ended.keys()
    assert sorted(row.attempt for row in rows if row.state == "open") == sorted(begun)
    # A mark never runs ahead of what came with it or before.
    given_so_far = 0
    for mark, part, _ in given_frames:
        given_so_far += sum(row.state == "done" for row in part)
        assert given_so_far >= sum(
            row.state == "done" for through, some, _ in found if known < through <= mark for row in some
        )


def test_a_request_that_ends_at_once_is_one_row_for_the_store(tmp_path: Path) -> None:
    written: list[str] = []

    class Spy(SqliteStore):
        def write(self, attempts: Sequence[Attempt], prices: Any, mark: Mark | None = None) -> None:
            written.extend(row.state for row in attempts)
            super().write(attempts, prices, mark)

    with Ledger.open(tmp_path, store=lambda worker: Spy(tmp_path, worker)) as ledger:
        ends = [done(number, ledger=ledger, holds={PURSE: 3}) for number in range(50)]
        for end in ends:
            ledger.write([start(end)])
        time.sleep(0.05)
        assert not in_database(tmp_path)
        for end in ends:
            ledger.write([end])
        assert ledger.flush(timeout_s=10)
        assert written == ["done"] * 50
        long = done(99, ledger=ledger)
        began = time.monotonic()
        ticket = ledger.write([start(long)])
        told = threading.Event()
        ledger.when_durable(ticket, told.set)
        assert told.wait(5)
        assert 0.9 < time.monotonic() - began < 2
        assert in_database(tmp_path)[long.attempt] == 0
        assert budgets(tmp_path)["holds"] == [(long.attempt, PURSE, 700, None)]
        ledger.write([long])
    assert written == ["done"] * 50 + ["open", "done"]
    have = budgets(tmp_path)
    assert have["spent"] == {PURSE: 150} and have["holds"] == []  # the last row charged no purse
    assert not segments(tmp_path / FOLDER), "all is in the database: the journal is gone"
    hot = connect(tmp_path, read_only=True)
    assert hot.execute("SELECT count(*) FROM journal").fetchone() == (0,)
    hot.close()


def test_an_end_wakes_the_writer_and_an_open_row_lets_it_sleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While open rows wait for their ends the thread sleeps lightly: an end is stored at once, whatever came before."""
    monkeypatch.setattr(writers, "_LOOK_S", 60.0)
    monkeypatch.setattr(writers, "OPEN_AFTER_S", 60.0)
    with Ledger.open(tmp_path) as ledger:
        ends = [done(number, ledger=ledger) for number in range(4)]
        ledger.write([start(ends[0])])  # from a deep sleep
        for end in ends[1:]:
            ledger.write([start(end)])
            time.sleep(0.05)
        assert not in_database(tmp_path) and ledger._writer._intake.asleep == LIGHT
        for batch in ([ends[2]], [start(done(9, ledger=ledger)), ends[0]]):
            ledger.write(batch)
            until = time.monotonic() + 10
            while batch[-1].attempt not in in_database(tmp_path):
                assert time.monotonic() < until, "the end was not noticed"
                time.sleep(0.01)
        assert len(in_database(tmp_path)) == 2


def test_a_flush_waits_for_open_rows_too(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        for number in range(3):
            ticket = ledger.write([start(done(number, ledger=ledger))])
        assert ledger.flush(ticket - 2, timeout_s=0.9)
        assert ledger.flush(timeout_s=0.9)
        assert len(in_database(tmp_path)) == 3
        assert ledger.flush(ticket + 100, timeout_s=0.1)  # no such ticket yet: all that there is


def test_files_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_EMPTY_S", 0.1)
    ledger = Ledger.open(tmp_path)
    ledger._journal._limit = 20_000
    most = 0
    for number in range(3000):
        end = done(number, ledger=ledger, started_us=time.time_ns() // 1000)
        ledger.write([start(end)])
        ledger.write([end])
        if number % 50 == 0:
            ledger.flush(timeout_s=10)
            most = max(most, len(segments(tmp_path / FOLDER)[ledger.worker]))
    assert most <= 4
    until = time.monotonic() + 5
    while sum(path.stat().st_size for path in (tmp_path / FOLDER).iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    [left] = (tmp_path / FOLDER).iterdir()
    assert left.stat().st_size == 0, "names do not stay in the journal of an idle worker"
    ledger.close()
    assert len(in_database(tmp_path)) == 3000


def test_a_day_that_was_closed_meanwhile_is_not_charged_again(tmp_path: Path) -> None:
    """The journal of a worker that died holds rows that left the hot ledger long ago: their ends are known by the mark,
    and are neither written nor charged again."""
    ledger = Ledger.open(tmp_path)
    ends = [done(number, ledger=ledger, holds={PURSE: 10}) for number in range(5)]
    for end in ends:
        ledger.write([start(end), end])
    ledger.flush(timeout_s=10)
    lost = done(7, ledger=ledger)
    ledger.write([start(lost)])
    ledger.flush(timeout_s=10)
    assert [each.rows for each in close_days(tmp_path, NOON_US + 2 * DAY_US)] == [5]
    assert in_database(tmp_path) == {lost.attempt: 0}
    killed(ledger)
    assert sum(len(frame.rows) for path in (tmp_path / FOLDER).iterdir() for frame in frames(path)) == 11
    for _ in range(2):
        Ledger.open(tmp_path).close()
        assert in_database(tmp_path) == {lost.attempt: 1}
        have = budgets(tmp_path)
        assert have["spent"] == {PURSE: 50}
        assert have["holds"] == [], "its hold expired 15 minutes after that noon, and was removed"
    assert sorted(states(tmp_path).values()) == ["done"] * 5 + ["lost"]


class Cut(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("where", ["write", "marked", "recover", "forget", "unlink", "bury"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_recovery_that_is_cut_short_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, after: bool
) -> None:
    dead = Ledger.open(tmp_path)
    hot = connect(tmp_path)
    hot.execute("INSERT INTO lease VALUES (?, ?, 1000)", (PURSE, dead.worker))
    hot.close()
    now_us = time.time_ns() // 1000
    ends = [done(number, ledger=dead, started_us=now_us + number, holds={PURSE: 10}) for number in range(6)]
    dead.write([start(end) for end in ends[:4]])
    dead.flush(timeout_s=10)
    dead.write(ends[:2])
    dead.flush(timeout_s=10)
    with dead._writer._lock:  # what follows is in the journal only
        dead._writer._batch = []
        dead._journal.append(packed([ends[2], start(ends[5])]), dead._writer._intake.accepted + 2)
        dead._journal.append(packed([ends[4]]), dead._writer._intake.accepted + 3)
    killed(dead)

    owner: Any = {"unlink": Path, "bury": ledgers.Worker}.get(where, SqliteStore)
    real = getattr(owner, where)

    def cut(*arguments: Any, **more: Any) -> Any:
        if where == "unlink" and not str(arguments[0]).endswith(journals.SUFFIX):
            return real(*arguments, **more)
        if after:
            real(*arguments, **more)
        raise Cut

    monkeypatch.setattr(owner, where, cut)
    with pytest.raises(Cut):
        Ledger.open(tmp_path)
    monkeypatch.undo()
    Ledger.open(tmp_path).close()
    names = [end.attempt for end in ends]
    assert states(tmp_path) == {
        names[0]: "done", names[1]: "done", names[2]: "done", names[3]: "lost", names[4]: "done", names[5]: "lost"
    }  # fmt: skip
    have = budgets(tmp_path)
    assert have["spent"] == {PURSE: 40} and have["leases"] == {}
    assert have["holds"] == [
        (names[3], PURSE, 700, now_us + 3 + 900_000_000),
        (names[5], PURSE, 700, now_us + 5 + 900_000_000),
    ]
    assert not segments(tmp_path / FOLDER)


def test_two_that_recover_at_once(tmp_path: Path) -> None:
    dead = Ledger.open(tmp_path)
    ends = [done(number, ledger=dead, holds={PURSE: 1}) for number in range(3000)]
    with dead._writer._lock:
        for number, end in enumerate(ends):
            dead._journal.append(packed([start(end), end]), 2 * number + 2)
    killed(dead)
    faults: list[BaseException] = []

    def recover() -> None:
        try:
            Ledger.open(tmp_path).close()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=recover) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert budgets(tmp_path)["spent"] == {PURSE: 3000}
    assert len(in_database(tmp_path)) == 3000


def test_rows_that_only_the_journal_has_outlive_the_process(tmp_path: Path) -> None:
    """The database is locked for long, rows leave memory for the journal, then the worker is killed."""
    ledger = Ledger.open(tmp_path)
    ended = [done(number, ledger=ledger, holds={PURSE: 2}) for number in range(100)]
    begun = [start(done(1000 + number, ledger=ledger), hold=0) for number in range(10)]
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ledger.write([*ended[:50], *begun])
    assert ledger.flush(timeout_s=20)
    health = ledger.health()
    assert health.ok and health.spilled == 60 and health.waiting == 0
    ledger.write(ended[50:])  # in memory and in the journal
    killed(ledger)
    holder.close()
    assert not in_database(tmp_path)
    Ledger.open(tmp_path).close()
    assert sorted(in_database(tmp_path).values()) == [1] * 10 + [2] * 100
    assert budgets(tmp_path)["spent"] == {PURSE: 200}


def test_ends_of_rows_that_only_the_journal_has(tmp_path: Path) -> None:
    """An open row left memory for the journal; its end comes in memory, before and after the journal is read again."""
    with Ledger.open(tmp_path) as ledger:
        ends = [done(number, ledger=ledger, holds={PURSE: 2}) for number in range(4)]
        holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        ledger.write([start(end) for end in ends])
        assert ledger.flush(timeout_s=20)
        ledger.write(ends[:2])
        assert ledger.flush(timeout_s=20)
        ledger.write(ends[2:3])
        holder.close()
        assert ledger.flush(timeout_s=20)
        ledger.write(ends[3:])
    assert list(in_database(tmp_path).values()) == [2] * 4
    have = budgets(tmp_path)
    assert have["spent"] == {PURSE: 8} and have["holds"] == []
    assert not segments(tmp_path / FOLDER)


def test_a_journal_that_takes_nothing_is_said_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., None] = Journal.append
    full = True

    def append(self: Journal, body: bytes, through: int) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(self, body, through)

    monkeypatch.setattr(Journal, "append", append)
    ledger = Ledger.open(tmp_path)
    ledger.write([done(1, ledger=ledger)])
    assert ledger.flush(timeout_s=10)  # the database takes it
    assert ledger.health().ok and ledger.health().reason == "the journal: No space left on device"
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ledger.write([done(2, ledger=ledger), start(done(3, ledger=ledger))])
    assert not ledger.flush(timeout_s=1.5)
    health = ledger.health()
    assert health.unjournaled and health.waiting == 2 and "locked" in health.reason and "journal" in health.reason
    full = False  # there is room again: what waits is written down after all
    assert ledger.flush(timeout_s=10)
    health = ledger.health()
    assert not health.unjournaled and health.waiting == 0 and health.spilled == 2
    holder.close()
    assert ledger.close() == 0
    assert len(in_database(tmp_path)) == 3


def test_a_price_record_is_journaled_before_rows_name_it(tmp_path: Path) -> None:
    """A worker killed with its first rows leaves them checkable: the record that they name comes in with them."""
    ledger = Ledger.open(tmp_path)
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ledger.write([done(number, ledger=ledger) for number in range(3)])
    killed(ledger)
    holder.close()
    Ledger.open(tmp_path).close()
    found = verify(tmp_path)
    assert found.ok and (found.checked, found.agree, found.unchecked) == (3, 3, 0)


def test_a_child_that_is_forked_off_leaves_its_parents_ledger_alone(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    child = os.fork()
    if not child:
        code = 1
        with suppress(BaseException):
            try:
                ledger.write([done(1)])
            except LedgerFull as error:
                code = 0 if "forked" in str(error) and ledger.close() == 0 else 1
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    ledger.write([done(2, ledger=ledger)])
    assert len(segments(tmp_path / FOLDER)) == 1
    assert ledger.close() == 0
    assert len(in_database(tmp_path)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_random_faults_of_database_and_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Several lives of a worker whose database refuses batches (or commits them and says that it did not) and whose
    journal refuses frames, at random; each life ends by `close` or a kill. A kill may take only what the journal
    refused; all else is there, once, and charged once."""
    choose = random.Random(seed)
    for name, value in {"_RETRY_S": (0.001, 0.004), "_PATIENCE_S": 0.01, "OPEN_AFTER_S": 0.02, "_LOOK_S": 0.005,
                        "GATHER_S": 0.001, "_EMPTY_BYTES": 2_000}.items():  # fmt: skip
        monkeypatch.setattr(writers, name, value)
    trouble = {"store": 0.0, "journal": 0.0}

    class Moody(SqliteStore):
        def write(self, attempts: Sequence[Attempt], prices: Any, mark: Mark | None = None) -> None:
            if choose.random() < trouble["store"]:
                raise StoreUnavailable(choose.choice(["database is locked", "disk I/O error"]))
            super().write(attempts, prices, mark)
            if choose.random() < trouble["store"] / 4:
                raise StoreUnavailable("the answer was lost")

    real: Callable[..., None] = Journal.append

    def append(self: Journal, body: bytes, through: int) -> None:
        if choose.random() < trouble["journal"]:
            raise OSError(28, "No space left on device")
        real(self, body, through)

    monkeypatch.setattr(Journal, "append", append)
    expected: dict[str, str] = {}  # what must be there
    unsure: set[str] = set()  # what a kill may have taken
    charges: dict[str, int] = {}
    for life in range(3):
        trouble |= {"store": 0.0, "journal": 0.0}
        ledger = Ledger.open(tmp_path, store=lambda worker: Moody(tmp_path, worker))
        ledger._journal._limit = 8_000
        running: list[Attempt] = []
        for _ in range(120):
            if choose.random() < 0.1:
                trouble["store"] = choose.choice([0, 0, 0.5, 0.95])
                trouble["journal"] = choose.choice([0, 0, 0, 0.3])
            batch = [done(choose.randrange(5000), ledger=ledger, started_us=time.time_ns() // 1000) for _ in range(3)]
            batch = [msgspec.structs.replace(row, holds={PURSE: row.quantities["input"]}) for row in batch]
            running += batch
            ledger.write([start(row) for row in batch])
            choose.shuffle(running)
            ends = [running.pop() for _ in range(choose.randrange(len(running) + 1))][: choose.randrange(1, 9)]
            ledger.write(ends)
            expected |= {row.attempt: "lost" for row in batch}
            expected |= {row.attempt: "done" for row in ends}
            charges |= {row.attempt: row.quantities["input"] for row in ends}
            time.sleep(choose.random() * 0.004)
        trouble["journal"] = 0.0
        if life % 2:
            trouble["store"] = choose.choice([0.0, 1.0])
            assert ledger.close(timeout_s=10) == 0
        else:
            with ledger._writer._lock:
                if ledger._writer._unjournaled:
                    unsure |= {row.attempt for row in (*ledger._writer._intake.pending, *ledger._writer._batch)}
                    unsure |= {row.attempt for row in ledger._writer._opens.rows()}
                    unsure |= {name for name in expected if name not in in_database(tmp_path)}
            killed(ledger)
        trouble["store"] = 0.0
    Ledger.open(tmp_path).close()
    found = states(tmp_path)
    assert {name: state for name, state in expected.items() if name not in unsure} == {
        name: state for name, state in found.items() if name not in unsure
    }
    assert budgets(tmp_path)["spent"] == {PURSE: sum(charges[name] for name, state in found.items() if state == "done")}
    assert not segments(tmp_path / FOLDER) and verify(tmp_path).ok
