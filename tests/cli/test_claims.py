"""`farthing claims`: counts, the wrong ones with their computation, filters, JSON, and one line for a mistake."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli import run

FILE = """
document = "memo"
[source.memo]
title = "A memo"
where = "a drawer"
seen = 2026-11-01
grade = "assumed"
[[claim]]
lines = [3]
says = "From 4.2 to 18.5 in three years is 45 % a year"
check = "growth"
stated = 45
unit = "%/year"
start = 4.2
end = 18.5
years = 3
[[claim]]
lines = [4]
says = "Two and two are four"
check = "sum"
stated = 4.0
parts = { a = 2, b = 2 }
[[claim]]
lines = [5]
says = "A 70B model in 16 bits runs on one H100 [red]"
check = "fits"
model = "Llama-3.3-70B"
device = "h100-sxm"
bits = 16
[[claim]]
lines = [6]
says = "Everybody does it"
check = "nothing"
why = "a survey without a source"
"""


@pytest.fixture
def memo(tmp_path: Path) -> Path:
    path = tmp_path / "memo.toml"
    path.write_text(FILE, "utf-8")
    return path


def test_the_wrong_ones_come_with_their_computation(memo: Path) -> None:
    ran = run("claims", memo)
    assert ran.code == 0, ran.err
    assert "4 statements: 1 hold, 1 off by a factor, 1 impossible, 1 cannot be told." in ran.out
    assert "(18.5 / 4.2)^(1/3) − 1 = 63.92 %/year" in ran.out
    assert "45 % would take 4.0 years" in ran.out
    assert "too low" in ran.out
    assert "[red]" in ran.out  # text of a file is no markup
    assert "Two and two" not in ran.out
    assert "2 more not shown" in ran.out
    assert ran.out.index("memo:5") < ran.out.index("memo:3")  # impossible first
    assert max(map(len, ran.out.splitlines())) <= 100


def test_all_and_one_verdict(memo: Path) -> None:
    everything = run("claims", memo, "--all").out
    assert "Two and two" in everything and "a survey without a source" in everything and "not shown" not in everything
    held = run("claims", memo, "--verdict", "holds").out
    assert "Two and two" in held and "63.92" not in held


def test_json_has_all_of_it(memo: Path) -> None:
    told: Any = run("claims", memo, "--json").json
    assert told["summary"] == {
        "statements": 4, "holds": 1, "off by a factor": 1, "impossible": 1, "cannot tell": 1,
    }  # fmt: skip
    growth = told["claims"][0]
    assert growth["id"] == "memo:3" and growth["lines"] == [3] and growth["check"] == "growth"
    assert growth["stated"] == {"low": "45", "high": "45", "as": "rounded", "unit": "%/year"}
    assert growth["factor"] == pytest.approx(63.9247 / 45, rel=1e-4)
    assert growth["too"] == "low" and growth["grade"] == "derived" and growth["sources"] == []
    assert told["claims"][1]["stated"]["low"] == "4.0"  # digit for digit
    assert told["claims"][2]["sources"][0]["grade"] in ("vendor-stated", "measured")
    assert told["claims"][3]["grade"] is None and told["claims"][3]["computed"] is None
    assert len(run("claims", memo, "--json", "--verdict", "off").json["claims"]) == 1


def test_the_documents_that_we_ship() -> None:
    ran = run("claims")
    assert ran.code == 0, ran.err
    for id in ("accel4", "ainews-index", "glossary", "guide", "note"):
        assert id in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100
    told = run("claims", "--document", "note", "--json").json
    assert {claim["document"] for claim in told["claims"]} == {"note"}
    assert run("claims", "--seed", "003", "--json").json == told


def test_mistakes(memo: Path, tmp_path: Path) -> None:
    assert (
        "--verdict 'wrong' is not one of holds, off, impossible, cannot-tell"
        in run("claims", "--verdict", "wrong").refusal
    )
    assert "no such document; there are memo" in run("claims", memo, "--document", "x").refusal
    assert "no.toml: cannot be read" in run("claims", tmp_path / "no.toml").refusal
    memo.write_text(FILE.replace("years = 3", "yeers = 3"), "utf-8")
    assert "'years' is missing" in run("claims", memo).refusal
    memo.write_text(FILE.replace("years = 3", "years = 3\nyeers = 3"), "utf-8")
    assert "unknown key 'yeers' (did you mean 'years'?)" in run("claims", memo).refusal
