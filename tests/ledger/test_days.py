"""Closing days: no row lost and none twice, wherever it is cut short; late rows; retention."""

import os
import subprocess
import sys
from contextlib import suppress
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from farthing.ledger import days
from farthing.ledger.days import close_days, drop_days
from farthing.ledger.ledger import Ledger
from farthing.ledger.schema import connect
from farthing.ledger.summary import summarise_ledger
from farthing.ledger.view import DAYS, open_view
from farthing.problems import FarthingError
from tests.ledger.made import DAY, DAY_US, NOON_US, done, some, sum_usd
from tests.ledger.test_store import states

LATER = NOON_US + 5 * DAY_US


def hot_count(folder: Path) -> int:
    hot = connect(folder, read_only=True)
    try:
        return int(hot.execute("SELECT count(*) FROM attempt").fetchone()[0])
    finally:
        hot.close()


def test_closed_days_and_hot_rows_are_one_ledger(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        rows = list(some(3000, ledger))
        ledger.write(rows)
        waiting = done(1, ledger=ledger, state="open", usd=None, quantities={}, ended_us=None)
        ledger.write([waiting])
    before = summarise_ledger(tmp_path, ["model", "day"])
    assert before.whole.known_usd == sum_usd(rows)
    closed = close_days(tmp_path, NOON_US + 2 * DAY_US)  # the third day is not over
    assert [each.day for each in closed] == [DAY, DAY + timedelta(1)]
    assert sum(each.rows for each in closed) + hot_count(tmp_path) == 3001
    after = summarise_ledger(tmp_path, ["model", "day"])
    assert after == before
    assert close_days(tmp_path, NOON_US + 2 * DAY_US) == []
    assert states(tmp_path)[waiting.attempt] == "open"  # open rows stay hot, whatever their day
    one = duckdb.connect().execute(f"SELECT count(*) FROM '{tmp_path / DAYS / closed[0].file}'").fetchone()
    assert one == (closed[0].rows,)


def test_the_grace_decides_when_a_day_is_over(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger)])
    midnight = NOON_US + DAY_US // 2
    assert close_days(tmp_path, midnight + 3_599_000_000) == []
    assert len(close_days(tmp_path, midnight + 3_600_000_000)) == 1


def test_late_rows_are_merged_and_never_doubled(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        first, orphan = done(1, ledger=ledger), done(2, ledger=ledger, state="lost", usd=None, quantities={})
        ledger.write([first, orphan])
        ledger.flush()
        assert [each.rows for each in close_days(tmp_path, LATER)] == [2]
        late = done(3, ledger=ledger)
        ended = done(2, ledger=ledger, attempt=orphan.attempt)
        ledger.write([first, late, ended])  # `first` again, as a retried batch would; `ended` was thought to be lost
        ledger.flush()
        wanted = {first.attempt: "done", late.attempt: "done", orphan.attempt: "done"}
        assert states(tmp_path) == wanted
        assert summarise_ledger(tmp_path).whole.known_usd == sum_usd([first, late, ended])
        [again] = close_days(tmp_path, LATER)
        assert (again.rows, again.file) == (3, f"day={DAY}/2.parquet")
        assert states(tmp_path) == wanted
        assert hot_count(tmp_path) == 0
        ledger.write([first])
        ledger.flush()
        assert states(tmp_path) == wanted
        assert [each.rows for each in close_days(tmp_path, LATER)] == [3]
        assert states(tmp_path) == wanted
    # What no list names any more goes once no reader can still hold an older list.
    for path in (tmp_path / DAYS).glob("*/*"):
        os.utime(path, (0, 0))
    close_days(tmp_path, LATER)
    assert [path.name for path in (tmp_path / DAYS).glob("*/*")] == ["3.parquet"]


class Cut(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("step", ["_sync", "_delete_moved", "_delete", "_prune", "_sweep"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_closing_that_is_cut_short_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    with Ledger.open(tmp_path) as ledger:
        rows = list(some(400, ledger))
        ledger.write(rows)
    wanted = {row.attempt: row.state for row in rows}
    real, calls = getattr(days, step), 0

    def cut(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Cut
        return real(*arguments)

    monkeypatch.setattr(days, step, cut)
    with suppress(Cut):
        close_days(tmp_path, LATER)
    monkeypatch.undo()
    assert states(tmp_path) == wanted
    assert summarise_ledger(tmp_path).whole.known_usd == sum_usd(rows)
    close_days(tmp_path, LATER)
    assert states(tmp_path) == wanted
    assert summarise_ledger(tmp_path).whole.known_usd == sum_usd(rows)
    assert hot_count(tmp_path) == 0
    assert close_days(tmp_path, LATER) == []


@pytest.mark.slow
def test_a_closer_killed_at_random_beside_a_writer(tmp_path: Path) -> None:
    import random
    import time

    choose = random.Random(4)
    script = (
        "import sys; from pathlib import Path; from farthing.ledger.days import close_days; "
        f"print(len(close_days(Path(sys.argv[1]), {LATER})))"
    )
    sent = []
    with Ledger.open(tmp_path) as ledger:
        for _ in range(6):
            rows = list(some(3000, ledger, seed=choose.randrange(10**6)))
            ledger.write(rows)
            sent += rows
            closer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.DEVNULL)
            time.sleep(0.3 + choose.random() * 0.5)
            closer.kill()
            closer.wait()
            ledger.flush()
            assert len(states(tmp_path)) == len(sent)
        close_days(tmp_path, LATER)
    assert states(tmp_path) == {row.attempt: row.state for row in sent}
    assert summarise_ledger(tmp_path).whole.known_usd == sum_usd(sent)
    assert hot_count(tmp_path) == 0


def test_retention_drops_whole_days(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        rows = list(some(900, ledger))
        ledger.write(rows)
        ledger.flush()
        close_days(tmp_path, LATER)
        late = done(5, ledger=ledger, user="forget me")
        ledger.write([late])
    dropped = drop_days(tmp_path, DAY + timedelta(1))
    assert [each.day for each in dropped] == [DAY]
    left = [row for row in rows if row.started_us >= NOON_US + DAY_US // 2]
    assert states(tmp_path) == {row.attempt: row.state for row in left}
    hot = connect(tmp_path, read_only=True)
    assert hot.execute("SELECT value FROM text WHERE value = 'forget me'").fetchall() == []
    assert hot.execute("SELECT rows FROM dropped_day").fetchall() == [(len(rows) - len(left),)]
    hot.close()
    assert not (tmp_path / DAYS / dropped[0].file).exists()
    assert drop_days(tmp_path, date(2020, 1, 1)) == []


PURSES = {
    "all/day@2026-11-19": True,
    "user:a@b/c/day@2026-11-19": True,  # a scope may hold any character
    "team:ml/week@2026-11-09": True,  # ended on the 16th
    "key:k_1/month@2026-10-01": True,
    "key:leased/day@2026-11-18": False,
    "key:held/day@2026-11-18": False,
    "all/day@2026-11-20": False,
    "team:ml/week@2026-11-16": False,
    "key:k_1/month@2026-11-01": False,
    "all/total@ever": False,
    "odd": False, "odd/day@yesterday": False, "odd/day@2026-13-01": False, "odd/week@2026-11-10": False,
    "odd/year@2020-01-01": False,
}  # fmt: skip
"""Whether the purse goes when the days before 2026-11-20 do."""


def kept_purses(folder: Path) -> set[str]:
    hot = connect(folder)
    found = {purse for (purse,) in hot.execute("SELECT id FROM purse")}
    hot.close()
    return found


def with_purses(folder: Path, newest: int) -> None:
    with Ledger.open(folder) as ledger:
        ledger.write([done(1, ledger=ledger, started_us=newest)])
    hot = connect(folder)
    hot.executemany("INSERT INTO purse VALUES (?, 5, 0)", [(purse,) for purse in PURSES])
    hot.execute("INSERT INTO lease VALUES ('key:leased/day@2026-11-18', 'w', 0)")
    hot.execute("INSERT INTO hold VALUES ('a', 'key:held/day@2026-11-18', 7, 1)")
    hot.close()


def test_purses_of_ended_periods_go_with_their_days(tmp_path: Path) -> None:
    with_purses(tmp_path, NOON_US + DAY_US)
    drop_days(tmp_path, DAY)
    assert kept_purses(tmp_path) == {purse for purse, gone in PURSES.items() if not gone}


@pytest.mark.parametrize("known", ["a row", "a closed day", "nothing"])
def test_a_period_ends_by_the_rows_and_not_by_a_clock_that_is_ahead(tmp_path: Path, known: str) -> None:
    """Whoever drops "everything before next year" must not give a month's budget out anew."""
    with_purses(tmp_path, NOON_US - DAY_US)  # the 19th
    if known == "a closed day":
        close_days(tmp_path, LATER)
    elif known == "nothing":
        hot = connect(tmp_path)
        hot.execute("DELETE FROM attempt")
        hot.close()
    drop_days(tmp_path, date(2028, 1, 1))
    gone = {"team:ml/week@2026-11-09", "key:k_1/month@2026-10-01"} if known != "nothing" else set()
    assert kept_purses(tmp_path) == PURSES.keys() - gone
    drop_days(tmp_path, date(2028, 1, 1))  # the row itself is gone by now; the day that was dropped is remembered
    assert kept_purses(tmp_path) == PURSES.keys() - gone


def test_a_missing_day_is_said(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger)])
    [closed] = close_days(tmp_path, LATER)
    (tmp_path / DAYS / closed.file).unlink()
    with pytest.raises(FarthingError, match=r"1\.parquet: a closed day is missing; restore it"), open_view(tmp_path):
        pass


def test_meters_that_few_rows_have_keep_their_exact_counts(tmp_path: Path) -> None:
    rows = [
        done(1, quantities={"audio_second": 1_234_567, "output": 1}),
        done(2, quantities={"web_search": 3, "input": 5}, usd="1/7"),
        done(3, quantities={"made_up": 4}, usd="2/7"),
    ]
    with Ledger.open(tmp_path) as ledger:
        ledger.write(rows)
    for _ in range(2):
        whole = summarise_ledger(tmp_path).whole
        assert whole.quantities == {
            "input": 5, "output": 1, "web_search": 3, "audio_second": 1_234_567, "made_up": 4
        }  # fmt: skip
        # 1.234567 s × 0.7 / 3600 + 1 × 10 / 10⁶ + 3/7
        assert whole.known_usd == Fraction(1_234_567 * 7, 10 * 3600 * 10**6) + Fraction(1, 10**5) + Fraction(3, 7)
        close_days(tmp_path, LATER)
