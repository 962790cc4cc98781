"""`farthing keys` as a user runs it: a token once, a list without tokens, one line for each mistake."""

import json
import re
import sqlite3
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farthing.cli import app as wiring
from farthing.cli import keys as verbs
from farthing.ledger.bank import SqliteBank
from farthing.ledger.keys import KeyRing
from farthing.ledger.row import Attempt
from farthing.ledger.schema import FILE
from farthing.ledger.store import SqliteStore
from tests.cli import Ran, run

if "keys" not in {group.name for group in wiring.app.registered_groups}:
    wiring.app.add_typer(verbs.app, name="keys")

TOKEN = re.compile(r"fk-[A-Za-z0-9_-]{43}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def keys(data: Path, *args: object) -> Ran:
    return run("keys", *args, "--data", data)


def test_a_key_is_made_shown_once_and_works(data: Path) -> None:
    ran = keys(data, "create", "--name", "search-prod", "--budget-usd", "12.50", "--models", "gpt-4o*,claude-*")
    assert ran.code == 0, ran.err
    tokens = set(TOKEN.findall(ran.out))
    assert len(tokens) == 1 and "base_url" not in ran.out and "OPENAI_BASE_URL=http://127.0.0.1:4141/v1" in ran.out
    [token] = tokens
    ring = KeyRing(data)
    key = ring.find(token)
    assert key is not None and key.name == "search-prod" and key.models == ("gpt-4o*", "claude-*")
    assert re.fullmatch(r"k_[0-9a-f]{12}", key.id)
    listed = keys(data, "list")
    assert "search-prod" in listed.out and key.id in listed.out and f"…{token[-4:]}" in listed.out
    assert "$12.50/month" in listed.out and "active" in listed.out
    assert token not in listed.out + keys(data, "list", "--json").out
    assert all(len(line) <= 100 for line in listed.out.splitlines())
    for path in data.iterdir():  # nor anywhere on the disk, which nobody else may read
        assert token.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ring.close()


def test_everything_that_a_key_can_have(data: Path) -> None:
    made = keys(
        data, "create", "--name", "batch", "--team", "ml", "--features", "search, rank", "--budget-usd", "5",
        "--period", "day", "--budget-usd", "0.000000001", "--period", "total", "--alert-only", "--expires", "30d",
        "--rpm", "60", "--tpm", "100000", "--concurrent", "4", "--feature", "search", "--user", "cron", "--segment",
        "internal", "--request-type", "batch", "--tag", "env=prod", "--tag", "owner=ann=b", "--json",
    ).json  # fmt: skip
    assert TOKEN.fullmatch(made.pop("token"))
    [listed] = keys(data, "list", "--json").json
    assert listed == made
    assert listed["features"] == ["search", "rank"] and listed["team"] == "ml" and listed["state"] == "active"
    assert listed["defaults"] == {
        "feature": "search", "request_type": "batch", "user": "cron", "segment": "internal",
        "tags": {"env": "prod", "owner": "ann=b"},
    }  # fmt: skip
    assert (listed["requests_per_minute"], listed["tokens_per_minute"], listed["concurrent"]) == (60, 100_000, 4)
    day, total = listed["budgets"]
    assert day == {"usd": "5", "period": "day", "hard": False, "spent_usd": "0", "held_usd": "0", "remaining_usd": "5"}
    assert total["usd"] == "0.000000001"
    expires = datetime.fromisoformat(listed["expires"])
    assert 29.9 < (expires - datetime.now(UTC)).total_seconds() / 86_400 < 30.1


def test_what_was_spent_is_listed(data: Path) -> None:
    made = keys(data, "create", "--name", "a", "--budget-usd", "2", "--period", "total", "--json").json
    purse = f"key:{made['id']}/total@ever"
    store = SqliteStore(data)
    row = Attempt(attempt="1", request="r", state="done", started_us=time.time_ns() // 1000, holds={purse: 750_000_001})
    store.write([row], {})
    store.close()
    [listed] = keys(data, "list", "--json").json
    # 750,000,001 nanodollars of two dollars.
    assert listed["budgets"][0]["spent_usd"] == "0.750000001"
    assert listed["budgets"][0]["remaining_usd"] == "1.249999999"
    assert "$1.25" in keys(data, "list").out


def test_revoked_and_rotated(data: Path) -> None:
    first = keys(data, "create", "--name", "a", "--json").json
    ring = KeyRing(data)
    assert ring.find(first["token"]) is not None
    second = keys(data, "rotate", "a", "--json").json
    assert second["id"] == first["id"] and second["token"] != first["token"]
    assert ring.find(first["token"]) is None and ring.find(second["token"]) is not None
    ran = keys(data, "rotate", first["id"], "--grace", "1h")
    assert "goes on for 1h" in ran.out
    [third] = set(TOKEN.findall(ran.out))
    assert ring.find(second["token"]) is not None and ring.find(third) is not None
    assert keys(data, "revoke", "a").out == f"key a ({first['id']}) is revoked\n"
    assert ring.find(second["token"]) is None and ring.find(third) is None
    assert "already" in keys(data, "revoke", first["id"]).refusal
    assert "revoked already" in keys(data, "rotate", "a").refusal
    assert "revoked" in keys(data, "list").out
    ring.close()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("create", "--name", ""), "must not be empty"),
        (("create", "--name", "a\nb"), "printable"),
        (("create", "--name", " a"), "blanks"),
        (("create", "--name", "x" * 201), "at most 200"),
        (("create", "--name", "k_0123456789ab"), "looks like a key's id"),
        (("create", "--name", "a", "--budget-usd", "ten"), "'ten' is not a decimal number"),
        (("create", "--name", "a", "--budget-usd=-1"), "must be 0 to"),
        (("create", "--name", "a", "--budget-usd", "nan"), "finite"),
        (("create", "--name", "a", "--budget-usd", "1e99"), "must be 0 to"),
        (("create", "--name", "a", "--budget-usd", "0.0000000001"), "at most 9 decimals"),
        (("create", "--name", "a", "--budget-usd", "1", "--period", "year"), "'year' is not one of day, week"),
        (("create", "--name", "a", "--period", "day"), "add --budget-usd"),
        (("create", "--name", "a", "--alert-only"), "add --budget-usd"),
        (("create", "--name", "a", "--budget-usd", "1", "--budget-usd", "2"), "one --period for each"),
        (("create", "--name", "a", "--budget-usd", "1", "--period", "day", "--budget-usd", "2", "--period", "day"),
         "each period once"),
        (("create", "--name", "a", "--expires", "soon"), "30d"),
        (("create", "--name", "a", "--expires", "0d"), "30d"),
        (("create", "--name", "a", "--expires", "99999999w"), "hundred years"),
        (("create", "--name", "a", "--expires", "2020-01-01"), "expired already"),
        (("create", "--name", "a", "--expires", "2099-01-01T09:00"), "time zone"),
        (("create", "--name", "a", "--rpm", "0"), "at least 1"),
        (("create", "--name", "a", "--tag", "x"), "NAME=VALUE"),
        (("create", "--name", "taken"), "farthing keys rotate taken"),
        (("revoke", "nobody"), "there is no key 'nobody'"),
        (("rotate", "taken", "--grace", "1 day"), "30d"),
        (("create",), "Missing option '--name'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(data: Path, args: tuple[str, ...], told: str) -> None:
    keys(data, "create", "--name", "taken")
    assert told in keys(data, *args).refusal
    assert len(keys(data, "list", "--json").json) == 1


def test_no_ledger_no_keys(tmp_path: Path) -> None:
    assert "no ledger here" in keys(tmp_path / "none", "list").refusal
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    assert "file" in keys(tmp_path / "file", "create", "--name", "a").refusal


def test_an_empty_list(data: Path) -> None:
    SqliteBank(data).close()
    assert keys(data, "list").out == "no keys; farthing keys create --name NAME makes one\n"
    assert keys(data, "list", "--json").json == []


def test_a_locked_database_is_one_line(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farthing.ledger.key_store.BUSY_MS", 50)
    keys(data, "create", "--name", "a")
    holder = sqlite3.connect(data / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "locked; nothing was changed" in keys(data, "revoke", "a").refusal
    holder.execute("ROLLBACK")
    holder.close()
    assert keys(data, "revoke", "a").code == 0


def test_names_of_ended_keys_can_be_used_again(data: Path) -> None:
    first = keys(data, "create", "--name", "a", "--json").json
    keys(data, "revoke", "a")
    second = keys(data, "create", "--name", "a", "--json").json
    assert first["id"] != second["id"]
    assert json.loads(keys(data, "list", "--json").out)[1]["id"] == second["id"]
    assert keys(data, "revoke", "a").code == 0  # the living one is meant


def test_a_revoked_key_is_told_in_json(data: Path) -> None:
    made = keys(data, "create", "--name", "a", "--json").json
    told = keys(data, "revoke", "a", "--json").json
    assert (told["id"], told["state"]) == (made["id"], "revoked") and told["revoked"] is not None
    assert "token" not in told
