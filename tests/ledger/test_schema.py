"""Schemas: every released one opens and is brought up to date with its rows; a newer one is refused."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from farthing.ledger.days import close_days
from farthing.ledger.export import export
from farthing.ledger.ledger import Ledger
from farthing.ledger.schema import FILE, MIGRATIONS, connect, migrate, version_of
from farthing.ledger.summary import summarise_ledger
from farthing.ledger.verify import verify
from farthing.ledger.view import DAYS, open_view, parquet_sql
from farthing.problems import FarthingError, Problems
from farthing.usage.read import read_usage
from tests.ledger.made import DAY_US, NOON_US, done
from tests.ledger.test_store import states

FROZEN = sorted((Path(__file__).parent / "schemas").glob("schema*.sql"))


def restored(frozen: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    made = sqlite3.connect(folder / FILE)
    made.executescript(frozen.read_text())
    made.close()
    return folder


def test_every_released_schema_is_frozen_here() -> None:
    assert [path.stem for path in FROZEN] == [f"schema{number + 1}" for number in range(len(MIGRATIONS))]


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.stem)
def test_rows_of_a_released_schema_are_all_there(frozen: Path, tmp_path: Path) -> None:
    folder = restored(frozen, tmp_path)
    with Ledger.open(folder) as ledger:
        ledger.write([done(9, ledger=ledger, attempt="new")])
    assert states(folder) == {
        "a1": "done", "a2": "done", "a3": "done", "a4": "failed", "a5": "lost", "a6": "cancelled", "new": "done"
    }  # fmt: skip
    hot = connect(folder)
    assert version_of(hot) == len(MIGRATIONS)
    hot.close()
    with open_view(folder) as view:
        found = view.query("SELECT id, tags, session, audio_second, usd_exact, reported_usd, unknown, attrs, streamed, "
                           "estimated, tier_served FROM attempts WHERE id < 'b' ORDER BY id")  # fmt: skip
    shown = [[str(part) for part in row] for row in found]
    none = "None"
    assert shown[0] == ["a1", '{"team":"x"}', "s1", none, none, none, none, none, "False", "False", none]
    assert shown[1] == ["a2", none, none, "1.500000", "193/600000", none, none, none, "False", "False", none]
    assert shown[2][5:7] == ["0.010000000000000", "no offer openai/new"]
    assert shown[4][6] == "the worker died before the end was recorded"
    assert shown[5][7:] == ['{"size":"1024"}', "True", "True", "batch"]
    checked = verify(folder)
    # a1, a2, a6 and the new one under the kept record; a4 consumed nothing; a3 has no charge, a5 no end
    assert (checked.agree, checked.differ, checked.unpriced, checked.lost) == (5, 0, 2, 1)


def test_a_day_that_an_older_release_closed_is_read_merged_and_exported(tmp_path: Path) -> None:
    """Files of schema 1 have no column `answer`. Who only reads brings the database up to date, too."""
    folder = restored(FROZEN[0], tmp_path / "old")
    day = NOON_US - DAY_US
    with Ledger.open(tmp_path / "scratch") as ledger:
        ledger.write([done(number, ledger=ledger, started_us=day + number) for number in range(3)])
    [closed] = close_days(tmp_path / "scratch", NOON_US + DAY_US)
    target = folder / DAYS / closed.file
    target.parent.mkdir(parents=True)
    written = parquet_sql([tmp_path / "scratch" / DAYS / closed.file])
    duckdb.connect().execute(f"COPY (SELECT * EXCLUDE (answer) FROM {written}) TO '{target}'")
    hot, other = sqlite3.connect(folder / FILE), sqlite3.connect(tmp_path / "scratch" / FILE)
    with hot:
        hot.execute(
            "INSERT INTO day SELECT ?, ?, ?, 0, 1, ?, ?",
            other.execute("SELECT day, file, rows, sums, closed_us FROM day").fetchone(),
        )
        hot.executemany("INSERT OR IGNORE INTO price VALUES (?, ?, ?)", other.execute("SELECT * FROM price").fetchall())
    assert version_of(hot) == 1
    hot.close()
    other.close()

    assert summarise_ledger(folder).whole.attempts == 9  # 6 hot ones and 3 of that day
    found = {usage.id: usage.tags.get("answer") for usage in read_usage([folder], Problems())}
    assert len(found) == 7 and set(found.values()) == {None}  # one in progress, one that failed at no cost
    with Ledger.open(folder) as ledger:
        late = done(9, ledger=ledger, started_us=day + 9, attempt="late", answer="chatcmpl-9")
        ledger.write([late])
    for _ in range(2):
        with open_view(folder) as view:
            answers = view.query("SELECT answer, count(*) FROM attempts GROUP BY answer ORDER BY answer")
        assert answers == [("chatcmpl-9", 1), (None, 9)]
        assert export(folder, tmp_path / "out.csv") == 10
        assert "chatcmpl-9" in (tmp_path / "out.csv").read_text()
        found = {usage.id: usage.tags.get("answer") for usage in read_usage([folder], Problems())}
        assert len(found) == 9 and found["late"] == "chatcmpl-9"
        checked = verify(folder)
        assert checked.ok and checked.rows == 10, checked
        close_days(folder, NOON_US)  # merges the late row with the old file
    merged = parquet_sql([target.with_name("2.parquet")])
    assert duckdb.connect().execute(f"SELECT count(*), count(answer) FROM {merged}").fetchall() == [(4, 1)]


def test_steps_are_taken_whole_and_once(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    steps = (*MIGRATIONS, "ALTER TABLE attempt ADD COLUMN weather TEXT;\nUPDATE attempt SET weather = 'fine';\n")
    broken = (*MIGRATIONS, "ALTER TABLE attempt ADD COLUMN weather TEXT;\nINSERT INTO nowhere VALUES (1);\n")
    hot = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(hot, tmp_path / FILE, broken)
    assert version_of(hot) == len(MIGRATIONS)
    assert "weather" not in [row[1] for row in hot.execute("PRAGMA table_info(attempt)")]
    assert migrate(hot, tmp_path / FILE, steps) == migrate(hot, tmp_path / FILE, steps) == len(steps)
    assert "weather" in [row[1] for row in hot.execute("PRAGMA table_info(attempt)")]
    hot.close()
    with pytest.raises(FarthingError, match=f"its schema is {len(steps)}, this Farthing knows up to {len(MIGRATIONS)}"):
        Ledger.open(tmp_path)
    with pytest.raises(FarthingError, match="use the newer Farthing"):
        summarise_ledger(tmp_path)


def test_two_processes_may_make_it_at_once(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = "import sys; from farthing.ledger.ledger import Ledger; Ledger.open(sys.argv[1]).close()"
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "data")]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert summarise_ledger(tmp_path / "data").whole.attempts == 0


def test_a_migration_between_two_looks_of_another_process_is_seen_whole(tmp_path: Path) -> None:
    path = tmp_path / FILE
    slow, fast = (sqlite3.connect(path, isolation_level=None) for _ in range(2))
    slow.execute("PRAGMA journal_mode = WAL")
    begun: list[str] = []

    def traced(sql: str) -> None:
        if "application_id" in sql and not begun:
            begun.append(sql)
            migrate(fast, path)

    slow.set_trace_callback(traced)
    assert migrate(slow, path) == len(MIGRATIONS) and begun
    slow.close()
    fast.close()


def test_many_processes_open_a_new_folder_at_once(tmp_path: Path) -> None:
    script = """
import os, sys, time
from pathlib import Path
from farthing.ledger.bank import SqliteBank
from farthing.ledger.key_store import SqliteKeys
from farthing.ledger.ledger import Ledger
for round in range(5):
    folder, at, children = Path(sys.argv[1]) / str(round), time.monotonic() + 0.1, []
    for n in range(12):
        if not (pid := os.fork()):
            while time.monotonic() < at:
                pass
            [Ledger.open, SqliteBank, lambda at: SqliteKeys(at, create=True)][n % 3](folder).close()
            os._exit(0)
        children.append(pid)
    failed = [pid for pid in children if os.waitpid(pid, 0)[1]]
    assert not failed, failed
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
