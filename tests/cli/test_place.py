"""Which data folder the verbs work on: the one that a gateway started here would have."""

import os
import sys
from pathlib import Path

import pytest

from farthing.cli.address import called
from farthing.cli.place import place
from farthing.problems import FarthingError
from tests.cli import run

TEXT = """
[gateway]
data = "data"
port = 4999
[[upstream]]
preset = "openai"
[[model]]
name = "fast"
targets = ["openai/gpt-4o-mini"]
[[budget]]
per = "key"
who = "a"
usd = 3
period = "total"
[[budget]]
per = "user"
who = "alice"
usd = 1
period = "day"
hard = false
"""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("FARTHING_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_keys_are_made_where_the_gateway_looks(tmp_path: Path) -> None:
    Path("farthing.toml").write_text(TEXT)  # whose provider's key is not set
    ran = run("keys", "create", "--name", "a")
    assert ran.code == 0 and "was made in data." in ran.out, ran.err
    assert (tmp_path / "data" / "ledger.sqlite").is_file() and not (tmp_path / "farthing-data").exists()
    assert "curl http://127.0.0.1:4999/v1/chat/completions" in ran.out and '"model": "fast"' in ran.out
    assert "OPENAI_BASE_URL=http://127.0.0.1:4999/v1" in ran.out
    assert [one["name"] for one in run("keys", "list", "--json").json] == ["a"]
    assert run("ledger", "summary", "--json").json["whole"]["attempts"] == 0
    other = run("keys", "create", "--name", "b", "--models", "gpt-4o*")
    assert '"model": "MODEL"' in other.out  # nothing that is known by name here


def test_the_order_of_what_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(None, None, None).data == Path("farthing-data")
    (tmp_path / "etc").mkdir()
    other = tmp_path / "etc" / "other.toml"
    other.write_text('[gateway]\ndata = "theirs"\ndatabase_env = "PGX"\n')
    Path("farthing.toml").write_text(TEXT)
    assert place(None, None, None).data == Path("data")
    monkeypatch.setenv("FARTHING_CONFIG", str(other))
    assert place(None, None, None).data == tmp_path / "etc" / "theirs"
    assert place(None, Path("farthing.toml"), None).data == Path("data")
    monkeypatch.setenv("FARTHING_DATA", "of-the-environment")
    assert place(None, Path("farthing.toml"), None).data == Path("of-the-environment")
    assert place(Path("stated"), Path("farthing.toml"), None) == (Path("stated"), None, "127.0.0.1", 4141, None)


def test_the_database_of_the_configuration_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("farthing.toml").write_text('[gateway]\ndata = "data"\ndatabase_env = "PGX"\n')
    assert place(None, None, None).database_env is None  # reading goes on with what is there
    assert run("keys", "create", "--name", "a").refusal == (
        "farthing.toml: database_env: $PGX is not set; export PGX=postgresql://…"
    )
    assert not Path("data").exists()
    monkeypatch.setenv("PGX", "postgresql://127.0.0.1/x")
    assert place(None, None, None).database_env == "PGX"
    assert place(Path("data"), None, None).database_env == "PGX"
    assert place(Path("another"), None, None).database_env is None


def test_a_broken_configuration_keeps_nobody_from_a_folder_that_is_named() -> None:
    Path("farthing.toml").write_text("[gateway\n")
    with pytest.raises(FarthingError, match=r"farthing\.toml"):
        place(None, None, None)
    assert place(Path("d"), None, None).data == Path("d")
    Path("farthing.toml").write_text('[gateway]\ndata = "d"\n[[upstream]]\npreset = "nobody"\n')
    assert place(None, None, None).data == Path("d")


def test_budgets_are_told_with_what_is_left() -> None:
    from farthing.ledger.ledger import Ledger
    from tests.ledger.made import done

    Path("farthing.toml").write_text(TEXT)
    assert "no ledger here" in run("ledger", "budgets").refusal
    made = run("keys", "create", "--name", "a", "--budget-usd", "2", "--period", "total", "--json").json
    purse = f"key:{made['id']}/total@ever"
    holds = {purse: 750_000_001, "all/total@ever": 5, "all/day@2020-01-01": 7, "team:x/y/total@ever": 1}
    with Ledger.open(Path("data")) as ledger:
        ledger.write([done(1, ledger=ledger, holds=holds)])
    found = {one["purse"]: one for one in run("ledger", "budgets", "--json").json}
    # Of the key's own two dollars and the configuration's three, the lesser counts; a day that is over is left out.
    assert found[purse] == {
        "purse": purse, "scope": f"key:{made['id']}", "key_name": "a", "period": "total", "since": None,
        "limit_usd": "2", "hard": True, "spent_usd": "0.750000001", "held_usd": "0", "left_usd": "1.249999999",
    }  # fmt: skip
    assert found["all/total@ever"]["limit_usd"] is None and found["all/total@ever"]["spent_usd"] == "0.000000005"
    assert found["team:x/y/total@ever"]["scope"] == "team:x/y"
    [alice] = [one for one in found.values() if one["scope"] == "user:alice"]  # stated, and not used yet
    assert (alice["limit_usd"], alice["spent_usd"], alice["hard"]) == ("1", "0", False)
    assert len(found) == 4
    shown = run("ledger", "budgets").out
    assert "$1.25" in shown and "refused" in shown and "told" in shown


def test_lines_say_how_this_program_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "venv" / "bin" / "farthing")])
    assert called() == "venv/bin/farthing"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "farthing").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "farthing").chmod(0o755)
    assert called() == "farthing"


def test_tables_are_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from farthing.cli.common import console

    assert console().width == 100
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns, width in (("140", 140), ("60", 80)):
        monkeypatch.setenv("COLUMNS", columns)
        assert console().width == width
