"""`farthing replay`: files in, table, JSON, CSV and page out; every refusal in one line."""

import csv
import gzip
import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.cli import run

CARD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 4
cache_read = 0.4
output = 20
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5
[[offer]]
provider = "acme"
model = "plain"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 1
output = 2
"""
ROWS: list[dict[str, Any]] = [
    {"at": "2026-11-04T12:00:00Z", "provider": "acme", "model": "m", "input": 100, "output": 10},
    {"at": "2026-11-04T12:01:00Z", "provider": "acme", "model": "m", "input": 100, "cache_read": 50, "output": 20},
    {"at": "2026-11-04T12:02:00Z", "provider": "acme", "model": "m", "input": 200, "output": 30},
]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    return path


def jsonl(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "usage.jsonl")


def told(*args: object) -> Any:
    return run("replay", *args, "--json").json


def by_name(rows: list[Any]) -> dict[tuple[str, str], str | None]:
    return {(row["offer"], row["policy"]): row["total_usd"] for row in rows}


# --- the answer -------------------------------------------------------------------------------


def test_the_golden_example_in_json(usage: Path, card: Path) -> None:
    """400 x 4 + 50 x 0.4 + 60 x 20 = 2,820 micro-dollars; 450 x 1 + 60 x 2 = 570."""
    made = told(usage, "--card", card, "--to", "acme/*", "--policy", "as-is", "--policy", "batch")
    assert made["total_usd"] == "0.00282"
    assert made["lines"] == [
        {"meter": "input", "quantity": "400", "usd": "0.0016"},
        {"meter": "cache_read", "quantity": "50", "usd": "0.00002"},
        {"meter": "output", "quantity": "60", "usd": "0.0012"},
    ]
    assert made["unknown"] == []
    assert by_name(made["candidates"]) == {
        ("acme/m", "as-is"): "0.00282",
        ("acme/m", "batch"): "0.00141",
        ("acme/plain", "as-is"): "0.00057",
        ("acme/plain", "batch"): None,
    }
    assert made["as_is"]["per_request_usd"] == {"mean": "0.00094", "p50": "0.00082", "p95": "0.0014", "p99": "0.0014"}
    assert sum(Decimal(line["usd"]) for line in made["lines"]) == Decimal(made["total_usd"])
    assert (made["usage"]["rows"], made["usage"]["first"]) == (3, "2026-11-04T12:00:00Z")
    [last] = made["candidates"][-1]["unknown"]
    assert last == {"reason": "no price stated for service tier 'batch'", "rows": 3}
    assert {source["id"] for source in made["sources"]} == {"acme"}


def test_the_table(usage: Path, card: Path) -> None:
    ran = run("replay", usage, "--card", card, "--to", "acme/plain")
    lines = ran.out.splitlines()
    assert lines[0] == "$0.00282 (exactly 0.00282) at acme/m, vendor-stated"
    assert lines[1].startswith("3 requests, 2026-11-04T12:00 to 2026-11-04T12:02: ")
    assert any(line.split()[:3] == ["input", "400", "0.0016"] for line in lines)
    assert any(line.startswith("acme/plain") and " 0.202 " in line for line in lines)  # 570 / 2,820
    assert "Quality is not compared." in ran.out
    assert (ran.code, ran.err) == (0, "")


def test_what_has_no_price_is_counted_and_not_zero(tmp_path: Path, card: Path) -> None:
    file = jsonl(tmp_path / "u.jsonl", [*ROWS, {**ROWS[0], "model": "unheard-of"}, {**ROWS[0], "page": 2}])
    made = told(file, "--card", card, "--to", "acme/plain")
    assert (made["total_usd"], made["as_is"]["known_usd"], made["as_is"]["unpriced_rows"]) == (None, "0.00342", 2)
    assert {entry["reason"]: entry["rows"] for entry in made["unknown"]} == {
        "no offer acme/unheard-of in the price book": 1, "no price stated for page": 1,
    }  # fmt: skip
    shown = run("replay", file, "--card", card, "--to", "acme/plain").out
    assert shown.startswith("at least $0.00342 at 2 offers: 2 of 5 rows have a part without a price")


def test_a_dearer_cache_says_so(tmp_path: Path) -> None:
    rows = [
        {"at": f"2026-11-04T12:0{n}:00Z", "provider": "anthropic", "model": "claude-opus-4-8", "input": 8192,
         "prefix_hashes": [n * 16 + k for k in range(16)], "block_tokens": 512}
        for n in range(5)
    ]  # fmt: skip
    file = jsonl(tmp_path / "u.jsonl", rows)
    opus = ("--to", "anthropic/claude-opus-4-8", "--policy", "prompt-cache")
    [one] = told(file, *opus)["candidates"]
    assert (one["ratio"], one["dearer"]) == (1.25, True)
    assert "prompt-cache at anthropic/claude-opus-4-8 comes out 1.25 times as dear as it was." in run(
        "replay", file, *opus
    ).out.replace("\n", " ")


def test_from_and_at(usage: Path, card: Path) -> None:
    made = told(usage, "--card", card, "--from", "acme/plain", "--to", "acme/m", "--at", "2026-11-10")
    assert (made["as_is"]["offer"], made["total_usd"], made["as_is"]["unpriced_rows"]) == ("acme/plain", None, 1)
    assert "priced at the rates of 2026-11-10" in made["notes"]


def test_ratios(usage: Path, card: Path) -> None:
    made = told(usage, "--card", card, "--to", "acme/plain", "--policy", "as-is", "--token-ratio", "acme/*=1.5",
                "--answer-ratio", "acme/plain=0.5")  # fmt: skip
    # the batch of the usage itself is not asked for; 450 x 1.5 x 1 + 60 x 1.5 x 0.5 x 2
    assert by_name(made["candidates"]) == {("acme/plain", "as-is"): "0.000765"}


# --- where usage comes from -------------------------------------------------------------------


def test_several_files_of_several_formats(tmp_path: Path, card: Path) -> None:
    table = tmp_path / "u.csv"
    table.write_text("at,provider,model,input,output\n2026-11-04T13:00:00Z,acme,m,100,10\n")
    packed = tmp_path / "more.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(ROWS[0]).encode() + b"\n"))
    spans = {
        "resourceSpans": [{"scopeSpans": [{"spans": [{
            "name": "chat m", "spanId": "1", "traceId": "2", "startTimeUnixNano": "1793797200000000000",
            "endTimeUnixNano": "1793797201000000000",
            "attributes": [
                {"key": "gen_ai.provider.name", "value": {"stringValue": "acme"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "150"}},
                {"key": "gen_ai.usage.cache_read.input_tokens", "value": {"intValue": "50"}},
                {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "20"}},
            ],
        }]}]}]
    }  # fmt: skip
    traced = tmp_path / "spans.json"
    traced.write_text(json.dumps(spans))
    made = told(table, packed, traced, "--card", card, "--to", "acme/m", "--policy", "as-is")
    assert made["rejected"]["rows"] == 0, made["rejected"]
    assert made["usage"]["rows"] == 3
    assert made["total_usd"] == "0.00202"  # 600 + 600 + 820


def test_standard_input(card: Path, tmp_path: Path) -> None:
    class Piped:
        buffer = io.BytesIO("".join(json.dumps(row) + "\n" for row in ROWS).encode())

        def isatty(self) -> bool:
            return False

    with patch.object(sys, "stdin", Piped()):
        made = told("-", "--card", card, "--to", "acme/m", "--policy", "prompt-cache")
    assert made["total_usd"] == "0.00282"  # read once, though a cache wants a second pass


def test_rejected_rows_are_counted_once(tmp_path: Path) -> None:
    """Simulating a cache reads the file again: the same bad row is not two."""
    rows = [{**row, "session": "s", "provider": "anthropic", "model": "claude-opus-4-8"} for row in ROWS]
    file = jsonl(tmp_path / "u.jsonl", [*rows, {**rows[0], "input": -1}, {**rows[0], "at": "2026-11-04T12:00:00"}])
    made = told(file, "--to", "anthropic/claude-opus-4-8")
    assert {one["policy"] for one in made["candidates"]} == {"as-is", "batch", "prompt-cache", "batch+prompt-cache"}
    assert made["rejected"]["rows"] == 2 == sum(made["rejected"]["reasons"].values())
    assert [entry["place"] for entry in made["rejected"]["first"]] == [f"{file}:4", f"{file}:5"]
    assert "2 rows rejected, for example:" in run("replay", file, "--to", "anthropic/claude-opus-4-8").out


def parquet(select: str, path: Path) -> Path:
    import duckdb

    duckdb.connect().execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def test_parquet_in_place_is_the_same_as_the_rows_one_by_one(tmp_path: Path) -> None:
    """Tiers, regions, nulls, sums of requests, completion and time of day: the view in columns against the records."""
    rows = [
        {"at": f"2026-09-0{1 + n % 7}T0{3 + n % 2}:{n:02}:00Z", "completed": f"2026-09-0{1 + n % 7}T04:{n:02}:30Z",
         "provider": "deepseek" if n % 3 else "openai", "model": "deepseek-v4-pro" if n % 3 else "gpt-5.5",
         "tier": ["standard", None, "batch", "default"][n % 4], "region": [None, "eu-1"][n % 2],
         "input": 1000 * n, "cache_read": 290_000 if n % 5 == 0 else None, "output": 7 * n, "reasoning": n,
         "requests": 4 if n == 9 else 1}
        for n in range(1, 24)
    ]  # fmt: skip
    lines = jsonl(tmp_path / "u.jsonl", rows)
    texts = dict.fromkeys(("at", "completed", "provider", "model", "tier", "region"), "VARCHAR")
    kinds = {**texts, **dict.fromkeys(("input", "cache_read", "output", "reasoning", "requests"), "BIGINT")}
    stored = parquet(
        'SELECT * REPLACE ("at"::TIMESTAMPTZ AS "at", completed::TIMESTAMPTZ AS completed) '
        f"FROM read_json('{lines}', columns = {kinds})",
        tmp_path / "u.parquet",
    )
    args = ("--to", "openai/gpt-5.5", "--to", "deepseek/*", "--policy", "as-is", "--policy", "batch")
    one, other = told(lines, *args), told(stored, *args)
    assert one["usage"]["rows"] == 23 and one["as_is"]["known_usd"] != "0"
    for made in (one, other):
        del made["source"]
        for row in (made["as_is"], *made["models"], *made["candidates"]):
            for key in ("lines", "unknown", "notes", "sources"):
                row[key] = sorted(row[key], key=str)
            row["shares"] = dict(sorted(row["shares"].items()))
        made["lines"], made["unknown"] = made["as_is"]["lines"], made["as_is"]["unknown"]
        made["sources"] = sorted(made["sources"], key=str)
        made["usage"]["quantities"] = dict(sorted(made["usage"]["quantities"].items()))
    assert one == other


def test_bad_rows_of_parquet_are_counted(tmp_path: Path, card: Path) -> None:
    stored = parquet(
        "SELECT * FROM (VALUES (TIMESTAMPTZ '2026-11-04 12:00:00+00', 'acme', 'm', 100), (NULL, 'acme', 'm', 100), "
        "(TIMESTAMPTZ '2026-11-04 12:00:00+00', 'acme', 'm', -1)) AS t(\"at\", provider, model, input)",
        tmp_path / "u.parquet",
    )
    made = told(stored, "--card", card, "--to", "acme/m")
    assert (made["total_usd"], made["usage"]["rows"]) == ("0.0004", 1)
    assert made["rejected"]["rows"] == 2
    assert {entry["reason"] for entry in made["rejected"]["first"]} == {
        "no time, or a count that is negative or absurd"
    }


def test_a_built_in_workload_is_the_same_every_time_but_for_its_day() -> None:
    args = ("--profile", "coding-agent", "--requests", 50, "--to", "openai/gpt-5-mini", "--at", "2026-11-01")
    one, again = told(*args), told(*args)
    assert one["candidates"] == again["candidates"] and one["usage"]["requests"] == 50
    assert "50 requests of the built-in workload 'coding-agent'" in one["source"]


def test_without_a_file_and_without_logs_it_says_what_it_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    made = told("--to", "openai/gpt-5-mini", "--requests", 20)
    assert made["source"].startswith("no agent logs of your own were found; 20 requests of the built-in workload")


# --- outputs ----------------------------------------------------------------------------------


def test_the_csv_has_every_row(usage: Path, card: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    ran = run("replay", usage, "--card", card, "--to", "acme/*", "--policy", "as-is", "--policy", "batch", "--csv", out)
    assert ran.code == 0
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["offer"], row["policy"], row["total_usd"]) for row in rows] == [
        ("acme/m", "as-served", "0.00282"), ("acme/m", "as-is", "0.00282"), ("acme/m", "batch", "0.00141"),
        ("acme/plain", "as-is", "0.00057"), ("acme/plain", "batch", ""),
    ]  # fmt: skip
    assert [row["unpriced_rows"] for row in rows] == ["0", "0", "0", "0", "3"]
    assert rows[3]["known_usd"] == "0.00057" and rows[3]["ratio"] == "0.202128"


def test_a_page_is_written_whole(usage: Path, card: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    assert run("replay", usage, "--card", card, "--to", "acme/*", "--html", out).code == 0
    page = out.read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "acme/plain" in page and "0.00282" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "card.toml",
        "out.html",
        "usage.jsonl",
    ]  # nothing left over


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_what_cannot_be_written_is_one_line(usage: Path, card: Path, tmp_path: Path, option: str) -> None:
    refusal = run("replay", usage, "--card", card, "--to", "acme/m", option, tmp_path / "nowhere" / "out").refusal
    assert "nowhere/out" in refusal and refusal.endswith(": No such file or directory")


def test_the_same_question_twice_gives_the_same_bytes(usage: Path, card: Path) -> None:
    args = ("replay", usage, "--card", card, "--to", "acme/*", "--json")
    assert run(*args).out == run(*args).out


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--to", "acme/none"], "no price for acme/none"),
        (["--to", "nobody/*"], "no offer matches --to 'nobody/*'"),
        (["--from", "nobody/x"], "unknown provider 'nobody'"),
        (["--policy", "magic"], "unknown policy 'magic'"),
        (["--policy", "batch+magic"], "unknown policy 'magic'"),
        (["--token-ratio", "acme/m"], "--token-ratio 'acme/m' is not OFFER=RATIO"),
        (["--answer-ratio", "acme/m=0"], "is not OFFER=RATIO"),
        (["--answer-ratio", "acme/m=-1"], "is not OFFER=RATIO"),
        (["--token-ratio", "acme/m=much"], "is not OFFER=RATIO"),
        (["--token-ratio", "acme/m=1e999999999"], "is not OFFER=RATIO"),
        (["--at", "2026-11-01T09:00:00"], "has no time zone"),
        (["--profile", "coding-agent"], "state files or --profile, not both"),
        (["--format", "nothing"], "nothing"),
    ],
)
def test_a_mistake_ends_in_one_line(usage: Path, card: Path, args: list[str], says: str) -> None:
    ran = run("replay", usage, "--card", card, *args)
    assert says in ran.refusal
    assert ran.out == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jsonl", ""),
        ("bad.jsonl", '{"at": "2026-11-04T12:00:00Z", "provider": "acme", "input": -1}\n'),
        ("gone.parquet", None),
    ],
)
def test_a_file_without_a_usable_row(tmp_path: Path, name: str, content: str | None) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    assert run("replay", file, "--to", "openai/gpt-4o").refusal
