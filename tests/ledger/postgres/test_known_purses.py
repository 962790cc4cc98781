"""The purses of a shared database, for those who look at it from outside."""

from pathlib import Path

import pytest

from farthing.ledger.bank import BankUnavailable, Want
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.standings import known_purses


def test_purses_of_a_shared_database_are_listed(url: str, tmp_path: Path) -> None:
    bank = PostgresBank(url)
    bank.acquire("w", [Want("all/total@ever", 10, 5, 5)])
    bank.close()
    assert known_purses(tmp_path, url) == ["all/total@ever"]
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(BankUnavailable):
        known_purses(tmp_path, "postgresql://127.0.0.1:1/none?connect_timeout=1")
