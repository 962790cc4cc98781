"""`farthing replay --policy FILE`: a table, JSON, the decisions; every refusal in one line."""

import json
from pathlib import Path

import pytest

from farthing.ledger.ledger import Ledger
from farthing.policies.routing import Ask, Context
from tests.cli import run
from tests.cli.test_replay import CARD, jsonl
from tests.ledger.made import NOON_US, done
from tests.policies.routing.cases import chain

PLAIN = '[[policy]]\nkind = "route"\ntarget = "acme/plain"\n'


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(PLAIN)
    return path


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "usage.jsonl")


def test_both_costs_and_the_difference(card: Path, policy: Path, usage: Path) -> None:
    shown = run("replay", usage, "--policy", policy, "--card", card)
    assert shown.code == 0, shown.err
    # acme/m: 600 + 820 + 1400 millionths; acme/plain: 120 + 190 + 260
    assert "$0.00282 as served, $0.00057 under policy.toml: $0.00225 (79.8%) less" in shown.out
    assert "3 of them (100.0%) would have gone elsewhere" in shown.out
    assert "acme/plain" in shown.out
    assert "3 requests have no id" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 100


def test_json_and_decisions(card: Path, policy: Path, usage: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    shown = run("replay", usage, "--policy", policy, "--card", card, "--json", "--decisions", out)
    found = shown.json
    assert found["as_served"]["total_usd"] == "0.00282"
    assert found["under_policy"]["total_usd"] == "0.00057"
    assert found["saved_usd"] == "0.00225"
    assert (found["requests"], found["differ"], found["decided_by"]) == (3, 3, {"route": 3})
    assert found["targets"][0] == {
        "target": "acme/plain", "offer": "acme/plain", "requests_as_served": 0, "requests": 3, "as_served_usd": "0",
        "known_as_served_usd": "0", "usd": "0.00057", "known_usd": "0.00057", "unpriced_attempts": 0,
        "unpriced_attempts_as_served": 0, "share": 1.0,
    }  # fmt: skip
    assert [source["id"] for source in found["sources"]] == ["acme"]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0] == {
        "request": "row 1", "target": "acme/plain", "probability": "1", "policy": "route", "reason": "", "attempt": 1,
        "served": "acme/m", "differs": True,
    }  # fmt: skip
    assert len(lines) == 3


def test_a_ledger_with_its_decisions(tmp_path: Path, policy: Path, card: Path) -> None:
    folder, text = tmp_path / "data", policy.read_text()
    with Ledger.open(folder) as ledger:
        for n in range(5):
            ask = Ask(request_id=f"r{n}", model="m")
            decision = chain(text).decide(ask, Context(targets=("acme/m",), retries=2))
            ledger.write([
                done(request=f"r{n}", started_us=NOON_US + n, provider="acme", upstream="acme", model_asked="m",
                     model_served="plain", quantities={"input": 100, "output": 10}, decision=decision.log())
            ])  # fmt: skip
    shown = run("replay", folder, "--policy", policy, "--card", card, "--json")
    found = shown.json
    assert (found["requests"], found["differ"], found["saved_usd"]) == (5, 0, "0")
    assert found["as_served"]["total_usd"] == "0.0006"  # five times 100x1 + 10x2
    policy.write_text('[[policy]]\nkind = "passthrough"\n')
    found = run("replay", folder / "ledger.sqlite", "--policy", policy, "--card", card, "--json").json
    assert (found["differ"], found["under_policy"]["total_usd"]) == (5, "0.003")  # five times 100x4 + 10x20
    both = run("replay", folder, policy, "--policy", policy)
    assert "a ledger and other files cannot be replayed together" in both.refusal


def test_an_upstream_of_a_preset(tmp_path: Path, usage: Path, card: Path) -> None:
    policy = tmp_path / "farthing.toml"
    policy.write_text(
        'port = 1\n[[upstream]]\nname = "main"\npreset = "openai"\n' + PLAIN.replace("acme/plain", "main/gpt-5-mini")
    )
    found = run("replay", usage, "--policy", policy, "--card", card, "--json").json
    assert {row["target"]: row["offer"] for row in found["targets"]}["main/gpt-5-mini"] == "openai/gpt-5-mini"
    assert found["saved_usd"] is not None


def test_a_workload_of_its_own_machines(tmp_path: Path, usage: Path) -> None:
    policy = tmp_path / "own.toml"
    policy.write_text(
        '[[upstream]]\nname = "own"\nprice = "host:llama-3.1-70b@h100-sxm*4,weights=fp8"\n'
        + PLAIN.replace("acme/plain", "own/llama")
    )
    shown = run("replay", usage, "--policy", policy, "--from", "openai/gpt-5", "--json")
    found = shown.json
    own = next(row for row in found["targets"] if row["target"] == "own/llama")
    assert own["offer"].startswith("host/")
    assert float(own["usd"]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "{policy}", "--policy", "batch"], "stands alone"),
        (["--policy", "{policy}", "--to", "groq/*"], "--to is not for a policy file"),
        (["--policy", "{policy}", "--html", "x.html"], "--html is not for a policy file"),
        (["--policy", "batch", "--decisions", "x.jsonl"], "--decisions needs --policy FILE"),
        (["--policy", "none.toml"], "none.toml: cannot be read"),
        (["--policy", "bath"], "unknown policy 'bath'"),
        (["--policy", "{policy}", "--decisions", "{folder}/none/x.jsonl"], "cannot be written"),
        (["--policy", "{broken}"], "broken.toml:2: 'kind' is 'rout' (one of"),
        (["--policy", "{usage}"], "usage.jsonl:1: "),
    ],
)
def test_what_cannot_be(arguments: list[str], message: str, usage: Path, policy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('[[policy]]\nkind = "rout"\n')
    names = {"policy": str(policy), "folder": str(tmp_path), "broken": str(broken), "usage": str(usage)}
    shown = run("replay", usage, *(argument.format(**names) for argument in arguments))
    assert message in shown.refusal
