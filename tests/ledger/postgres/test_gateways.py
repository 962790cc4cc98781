"""Two gateways as they are run, each with a data folder of its own, on one PostgreSQL database; and the commands beside
them."""

import threading
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path

import pytest

from farthing.cli.up_run import _close_days, _recover
from farthing.gateway.config import load
from farthing.ledger.bank import Want
from farthing.ledger.ledger import Ledger
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.postgres.store import shared_store
from tests.cli import run
from tests.gateway.faulty import Upstream
from tests.gateway.running import UPSTREAMS, Running
from tests.ledger.made import done, now_us
from tests.ledger.postgres.test_store import rows

CONFIG = f'{UPSTREAMS}\n[gateway]\nkeys = "required"\ndatabase_env = "TEST_DATABASE"\n'
LIMIT = 5_000_000
"""Nanodollars of the key's budget: $0.005."""
COST = 100 * 150 + 20 * 600
"""Nanodollars of a request: 100 tokens read and 20 made, by gpt-4o-mini."""


def ask(gateway: Running, token: str) -> str:
    """The status of a request; what broke it, where there is none."""
    message = {"role": "user", "content": "[[words=20 prompt=100]]" + " word" * 100}
    body = {"model": "gpt-4o-mini", "max_tokens": 20, "messages": [message]}
    try:
        answer, _ = gateway.post("/v1/chat/completions", body, {"authorization": f"Bearer {token}"})
    except (OSError, HTTPException) as error:
        return type(error).__name__
    return str(answer.status)


def test_two_gateways_share_keys_budgets_and_rows(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE", url)
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    shared = ("--database-env", "TEST_DATABASE")
    with (
        Upstream() as upstream,
        Running(here, CONFIG, upstream.url) as one,
        Running(there, CONFIG, upstream.url) as two,
    ):
        budget = ("--budget-usd", "0.005", "--period", "total")
        made = run("keys", "create", "--name", "both", *budget, "--data", one.data, *shared, "--json").json
        token = made["token"]
        two.wait(lambda: ask(two, "fk-" + "x" * 43) == "401", "word of the key")  # the first key closes the door
        seen: Counter[tuple[int, str]] = Counter()

        def spend(number: int, gateway: Running) -> None:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                status = ask(gateway, token)
                seen[number, status] += 1
                if status == "429" and seen[number, status] > 3:
                    return

        crowd = [threading.Thread(target=spend, args=(n % 2, (one, two)[n % 2])) for n in range(6)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(30)
        assert {status for _, status in seen} == {"200", "429"}, seen
        served = len([record for record in upstream.records() if record.status == 200])
        assert served == seen[0, "200"] + seen[1, "200"] and min(seen[0, "200"], seen[1, "200"]) > 0
        # It was never passed, and used up but for less than one worst case (about 800 bytes at $0.15 a million tokens).
        assert served * COST <= LIMIT and LIMIT - served * COST < 400_000
        [key] = run("keys", "list", "--data", two.data, *shared, "--json").json
        assert key["budgets"][0]["spent_usd"] == f"{served * COST / 1e9:.9f}".rstrip("0")

        assert ask(two, token) == "429"
        assert run("keys", "revoke", "both", "--data", one.data, *shared).code == 0
        begin = time.monotonic()
        while ask(two, token) != "401":
            assert time.monotonic() - begin < 3
            time.sleep(0.05)

        monkeypatch.setenv("FARTHING_DATABASE", url)  # what `farthing usage` and `replay` know of
        for data in (one.data, two.data):
            until = time.monotonic() + 5
            while True:
                whole = run("ledger", "summary", "--data", data, "--json").json["whole"]
                if whole["attempts"] == served and not whole["open"]:
                    break
                assert time.monotonic() < until, whole
            assert float(whole["known_usd"]) == pytest.approx(served * COST / 1e9, abs=1e-12) and not whole["unknown"]
            assert run("usage", data, "--json").json["rows"] == served
            assert run("ledger", "verify", "--data", data).code == 0
        assert one.stop() == 0 and two.stop() == 0
    assert rows(url, "SELECT * FROM lease WHERE amount <> 0") == []


def test_after_a_death_the_supervisor_recovers_the_database_and_its_chore_archives_there(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "farthing.toml").write_text(
        '[gateway]\ndata = "data"\ndatabase_env = "TEST_DATABASE"\n[rules]\nhold_s = 60\n'
    )
    config = load(tmp_path / "farthing.toml", {"TEST_DATABASE": url})
    begun, bank = now_us(), PostgresBank(url)
    dead = Ledger.open(config.data, store=shared_store(url, config.data))
    bank.acquire(dead.worker, [Want("all", 100, 50, 50)])
    dead.write([done(1, state="open", usd=None, worker=dead.worker, started_us=begun, holds={"all": 50})])
    assert dead.flush(timeout_s=10)
    dead._worker.close()  # as the system does when the process ends
    _recover(config)
    assert rows(url, "SELECT state FROM attempt") == [(1,)]
    assert rows(url, "SELECT amount, expires_us FROM hold") == [(50, begun + 60_000_000)]
    assert rows(url, "SELECT * FROM lease") == []
    dead.close()
    bank.close()
    assert _close_days(config)[3:] == [
        "ledger",
        "close-days",
        "--data",
        str(config.data),
        "--database-env",
        "TEST_DATABASE",
    ]


def test_days_are_closed_in_the_archive_alone(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARTHING_DATABASE", url)
    first, second = tmp_path / "first", tmp_path / "second"
    with Ledger.open(first, store=shared_store(url, first)) as ledger:
        ledger.write([done(n, ledger=ledger, started_us=now_us() - 3 * 86_400_000_000) for n in range(3)])
    ran = run("ledger", "close-days", "--data", first)
    assert ran.code == 0 and "3 rows in" in ran.out
    assert rows(url, "SELECT count(*) FROM attempt") == [(0,)]
    assert "another data folder is the archive" in run("ledger", "close-days", "--data", second).out
    # Retention: what was spent in periods that are over goes, too.
    bank = PostgresBank(url)
    bank.acquire("w", [Want("all/day@2020-01-02", 10, 1, 1), Want("all/month@2020-02-01", 10, 1, 1)])
    bank.give_back("w", {"all/month@2020-02-01": 1})
    bank.forget("w", ["all/month@2020-02-01"])
    bank.close()
    assert run("ledger", "drop-days", "--before", "2020-03-01", "--data", first).code == 0
    assert rows(url, "SELECT id FROM purse") == [("all/day@2020-01-02",)]  # the other is leased
    monkeypatch.delenv("FARTHING_DATABASE")
    ran = run("ledger", "close-days", "--data", first)
    assert ran.code == 2 and "belongs to a gateway that shares a database; set FARTHING_DATABASE" in ran.err


def test_a_folder_of_its_own_is_not_mixed_with_the_database(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    assert run("keys", "create", "--name", "mine", "--data", own).code == 0
    monkeypatch.setenv("FARTHING_DATABASE", url)
    listed = run("keys", "list", "--data", own)
    assert "mine" in listed.out and "a ledger of its own" in listed.err
    assert run("ledger", "summary", "--data", own, "--json").json["whole"]["attempts"] == 0
    new = tmp_path / "new"  # nothing in it yet: the variable says where its keys belong
    assert run("keys", "create", "--name", "theirs", "--data", new).code == 0
    assert rows(url, "SELECT name FROM virtual_key") == [("theirs",)]
    monkeypatch.delenv("FARTHING_DATABASE")
    ran = run("keys", "revoke", "theirs", "--data", new)
    assert ran.code == 2 and "shares a database" in ran.err and len(ran.err.splitlines()) == 1
    shown = run("ledger", "summary", "--data", new)
    assert shown.code == 0 and "what was last brought over" in shown.err
    ran = run("keys", "list", "--data", new, "--database-env", "NOBODY_SET_THIS")
    assert ran.code == 2 and "--database-env NOBODY_SET_THIS: the variable is not set" in ran.err
