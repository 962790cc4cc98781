"""`farthing config check` as a user runs it."""

import json
from pathlib import Path

import pytest

from farthing.cli import app as wiring
from farthing.cli import config as verbs
from tests.cli import run

if "config" not in {group.name for group in wiring.app.registered_groups}:
    wiring.app.add_typer(verbs.app, name="config")

TEXT = """
[[upstream]]
preset = "openai"
[[upstream]]
preset = "vllm"
name = "ours"
url = "http://a-very-long-name-of-a-machine.of-a-cluster.svc.cluster.local:8000/some/path/before/v1"
offer = "groq/llama-3.3-70b-versatile"
[[model]]
name = "fast"
targets = ["ours/*", "openai/gpt-4o-mini"]
[[policy]]
kind = "split"
name = "try"
weights = { "ours/llama" = 1, asked = 9 }
when = { feature = ["search", "chat*"], prompt_tokens = { under = 1000 }, tags = { env = "prod" }, stream = true }
[[policy]]
kind = "fallback"
[[budget]]
per = "user"
who = "alice"
usd = 2.50
period = "day"
hard = false
[[limit]]
per = "key"
requests_per_minute = 600
"""


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that names no keys and no files, in an empty folder."""
    import os

    for name in os.environ:
        if name.endswith(("_API_KEY", "_BASE_URL", "_TOKEN")) or name.startswith(("FARTHING_", "AWS_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_it_says_what_a_file_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    file = tmp_path / "f.toml"
    file.write_text(TEXT)
    ran = run("config", "check", file)
    assert ran.code == 0 and "very-secret" not in ran.out
    for part in (
        "http://127.0.0.1:4141, 1 worker", "$OPENAI_API_KEY: set", "priced as groq/llama-3.3-70b-versatile",
        "ours/*, openai/gpt-4o-mini", "ours/llama (1), asked (9)", "user alice  $2.50 a day  told", "each key  600",
    ):  # fmt: skip
        assert part in " ".join(ran.out.split()) or part in ran.out, part
    assert all(len(line) <= 100 for line in ran.out.splitlines())
    assert ran.out.endswith("in order\n")


def test_it_is_json_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    (tmp_path / "farthing.toml").write_text(TEXT)
    ran = run("config", "check", "--json")  # ./farthing.toml
    found = ran.json
    assert "very-secret" not in ran.out and found["ok"] is True and found["config"] == "farthing.toml"
    assert found["upstreams"][0]["key"] == {"from": "$OPENAI_API_KEY", "set": True}
    assert found["budgets"][0]["usd"] == "2.50" and found["policies"][0]["kind"] == "split"


def test_a_key_that_is_not_set_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(TEXT)
    ran = run("config", "check")
    assert ran.code == 1 and "$OPENAI_API_KEY: not set" in ran.out and "not ready: a key is not set" in ran.out


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("[gateway]\nprot = 1\n")
    assert run("config", "check", "f.toml").refusal == "f.toml:2: unknown key 'prot' (did you mean 'port'?)"
    assert "none.toml: cannot be read" in run("config", "check", "none.toml").refusal


def test_without_a_file_it_is_about_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "note: no upstream" in run("config", "check").out
    monkeypatch.setenv("GROQ_API_KEY", "g")
    assert "https://api.groq.com/openai/v1" in run("config", "check").out


def test_a_database_that_is_not_set_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text('[gateway]\ndatabase_env = "PGX"\n')
    ran = run("config", "check")
    assert ran.code == 1 and "not ready: farthing.toml: database_env: $PGX is not set" in " ".join(ran.out.split())
    assert json.loads(run("config", "check", "--json").out)["ok"] is False


def test_an_offer_that_is_misspelt_is_a_mistake_at_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    file = tmp_path / "f.toml"
    file.write_text('[[upstream]]\npreset = "openai"\n[[upstream.model]]\nname = "a"\noffer = "openai/gpt-4o-minni"\n')
    assert run("config", "check", "f.toml").refusal.startswith(
        "f.toml:5: no offer 'openai/gpt-4o-minni' in the price book (did you mean 'openai/gpt-4o-mini'?"
    )
    (tmp_path / "card.toml").write_text(
        '[[offer]]\nprovider = "openai"\nmodel = "gpt-4o-minni"\n[[offer.price]]\n'
        'source = { url = "https://example.com", grade = "assumed" }\n[offer.price.usd_per_mtok]\ninput = 1\n'
    )
    file.write_text('[gateway]\ncards = ["card.toml"]\n' + file.read_text())
    assert "in the price book" not in run("config", "check", "f.toml").err


def test_a_mistake_is_json_on_request(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("[gateway]\nprot = 1\n")
    ran = run("config", "check", "f.toml", "--json")
    told = ["f.toml:2: unknown key 'prot' (did you mean 'port'?)"]
    assert ran.code == 2 and json.loads(ran.out) == {"ok": False, "problems": told}
