"""The ledger as usage: the same records by `read_usage` whatever is hot and what closed, each once."""

from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from farthing.ledger.days import close_days
from farthing.ledger.ledger import Ledger
from farthing.ledger.schema import FILE
from farthing.ledger.view import DAYS
from farthing.problems import FarthingError, Problems
from farthing.time import EPOCH
from farthing.usage.read import detect, read_usage
from farthing.usage.record import Usage
from tests.ledger.made import DAY_US, NOON_US, done, some


def read(*paths: Path) -> list[Usage]:
    problems = Problems()
    found = list(read_usage(paths, problems))
    assert not problems.total, problems.kept
    return sorted(found, key=lambda usage: usage.id or "")


def test_a_row_is_a_record(tmp_path: Path) -> None:
    row = done(
        1, session="s", tier_served="batch", region="eu", attrs={"size": "big"}, tags={"team": "x"}, segment="pro",
        request_type="chat", reported_usd="1/3", estimated=True, quantities={"input": 7, "audio_second": 1_500_000},
    )  # fmt: skip
    with Ledger.open(tmp_path) as ledger:
        ledger.write([row])
    for _ in range(2):
        [usage] = read(tmp_path)
        at = EPOCH + timedelta(microseconds=row.started_us)
        assert usage == Usage(
            at=at, completed=at + timedelta(seconds=1.5), latency_s=1.5, ttft_s=0.2,
            quantities={"input": 7, "audio_second": 1_500_000}, provider="openai", model_asked="gpt-test",
            model_served="gpt-test", tier_served="batch", region="eu", attrs={"size": "big"}, feature="f1", user="u1",
            session="s", id=row.attempt, reported_usd=Fraction(1, 3), estimated=True,
            tags={"team": "x", "segment": "pro", "request_type": "chat", "key": "k1", "upstream": "main",
                  "request": "r1"},
        )  # fmt: skip
        close_days(tmp_path, NOON_US + 2 * DAY_US)


def test_closing_changes_nothing_that_is_read(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        rows = list(some(900, ledger))
        ledger.write(rows)
        ledger.write([done(1, ledger=ledger, state="open", usd=None, quantities={})])
    before = read(tmp_path)
    # Neither what failed before anything was consumed nor what is in progress.
    used = [row for row in rows if row.state == "done"]
    assert [usage.id for usage in before] == sorted(row.attempt for row in used) and len(used) < 900
    close_days(tmp_path, NOON_US + 2 * DAY_US)
    assert read(tmp_path) == before == read(tmp_path / FILE)
    with Ledger.open(tmp_path) as ledger:  # marks the open one as lost
        ledger.write([rows[0]])  # again, after its day was closed
    after = read(tmp_path)
    assert [usage for usage in after if usage.status != "lost"] == before
    assert [(usage.status, bool(usage.unmeasured)) for usage in after if usage not in before] == [("lost", True)]
    # A file that no list of days names (a closing that was cut short) is not read.
    stray = tmp_path / DAYS / "day=2026-11-20" / "9.parquet"
    stray.write_bytes((tmp_path / DAYS / "day=2026-11-20" / "1.parquet").read_bytes())
    assert read(tmp_path) == after


def test_it_is_recognised_and_what_only_looks_like_it_is_refused(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    assert detect(tmp_path / FILE).name == "ledger"
    assert read(tmp_path) == []
    import sqlite3

    other = tmp_path / "other.sqlite"
    made = sqlite3.connect(other)
    made.execute("CREATE TABLE theirs (x)")
    made.close()
    with pytest.raises(FarthingError, match=r"other\.sqlite: not a ledger of Farthing"):
        list(read_usage([other], Problems()))
