"""`farthing replay --to host:…`: real usage on machines of one's own, beside the API offers; the same as a function."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.rates.book import Book
from farthing.rates.toml import load_card
from farthing.serving.hosted import estimated, parse, to_rate
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
"""
ROWS: list[dict[str, Any]] = [
    {"at": f"2026-11-04T12:00:{n:02}Z", "provider": "acme", "model": "m", "input": 800 + 100 * n, "output": 100}
    for n in range(5)
]  # 1,000 tokens in on the mean, 5,000 in all; 500 out
OURS = "host:llama-3.1-8b@h100-sxm,usd-per-gpu-hour=3.60"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    return path


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    path = tmp_path / "usage.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def told(*args: object) -> Any:
    return run("replay", *args, "--policy", "as-is", "--json").json


def expected(spec: str = OURS, input: float = 1000, output: float = 100) -> Decimal:
    """5,000 tokens in and 500 out at the rates of the mean request."""
    found = estimated(parse(spec.removeprefix("host:")), input, output)
    assert found.usd_per_mtok_input is not None and found.usd_per_mtok_output is not None
    rates = to_rate(found.usd_per_mtok_input.value), to_rate(found.usd_per_mtok_output.value)
    return (5000 * rates[0] + 500 * rates[1]) / 1_000_000


def totals(made: Any) -> dict[str, Decimal]:
    return {row["offer"]: Decimal(row["total_usd"]) for row in made["candidates"]}


def test_usage_is_priced_there_beside_the_offers(usage: Path, card: Path) -> None:
    made = told(usage, "--card", card, "--to", OURS, "--to", "acme/m")
    # 5,000 × 4 + 500 × 20 = 30,000 micro-dollars
    assert totals(made) == {OURS.replace("host:", "host/"): expected(), "acme/m": Decimal("0.03")}
    [ours, _] = made["candidates"]
    assert float(ours["ratio"]) == pytest.approx(float(expected()) / 0.03)
    assert any("Computed by Farthing's serving model" in source["title"] for source in made["sources"])


def test_a_saved_deployment_by_its_name(usage: Path, card: Path, tmp_path: Path) -> None:
    spelt = ("llama-3.1-8b", "--device", "h100-sxm", "--usd-per-gpu-hour", "3.60", "--save", "ours")
    assert run("host", "estimate", *spelt).code == 0
    assert totals(told(usage, "--card", card, "--to", "host:ours")) == {"host/ours": expected()}
    kept = tmp_path / "kept.toml"
    assert run("host", "estimate", *spelt, "--hosts", kept).code == 0
    Path("farthing-hosts.toml").unlink()
    assert totals(told(usage, "--card", card, "--to", "host:ours", "--hosts", kept)) == {"host/ours": expected()}
    assert "host:ours is neither a saved deployment" in run("replay", usage, "--to", "host:ours").refusal


def test_as_a_function(usage: Path, card: Path) -> None:
    answer = farthing.replay([usage], to=[OURS, "acme/m"], policies=["as-is"], book=Book([load_card(card)]))
    ours, theirs = answer.rows
    assert ours.total_usd == expected() and float(theirs.total_usd or 0) == 0.03
    assert ours.offer == OURS.replace("host:", "host/")


def test_parquet_in_columns_costs_the_same(usage: Path, card: Path, tmp_path: Path) -> None:
    import duckdb

    rows = ", ".join(f"(TIMESTAMPTZ '{row['at']}', 'acme', 'm', {row['input']}::BIGINT, {row['output']}::BIGINT)"
                     for row in ROWS)  # fmt: skip
    path, names = tmp_path / "usage.parquet", '"at", provider, model, input, output'
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {rows}) t({names})) TO '{path}' (FORMAT parquet)")
    args = ("--card", card, "--to", OURS, "--to", "acme/m")
    assert totals(told(path, *args)) == totals(told(usage, *args))


def test_a_built_in_workload_and_a_table() -> None:
    args = ("--profile", "chat", "--requests", "50", "--from", "openai/gpt-5-mini")
    made = told(*args, "--to", "host:llama-3.1-70b@h100-sxm*4,weights=fp8")
    [row] = made["candidates"]
    assert row["offer"] == "host/llama-3.1-70b@h100-sxm×4,weights=fp8" and float(row["total_usd"]) > 0
    ran = run("replay", *args, "--to", "host:llama-3.1-70b@h100-sxm*4,weights=fp8")
    assert ran.code == 0 and max(len(line.rstrip()) for line in ran.out.splitlines()) <= 100
    assert "computed for 64 requests at once in 100% of the paid hours" in " ".join(ran.out.split())


def test_all_of_the_market_stays_beside_it(usage: Path, card: Path) -> None:
    made = told(usage, "--card", card, "--to", OURS, "--to", "openai/gpt-5-mini")
    assert set(totals(made)) == {OURS.replace("host:", "host/"), "openai/gpt-5-mini"}


def test_each_deployment_is_a_source_of_its_own(usage: Path, card: Path) -> None:
    made = told(usage, "--card", card, "--to", "host:llama-3.1-8b@h100-sxm", "--to", "host:llama-3.1-8b@h200")
    titles = {source["id"]: source["title"] for source in made["sources"]}
    for row, device in zip(made["candidates"], ("h100-sxm", "h200-sxm"), strict=True):
        [source] = row["sources"]
        assert f"on 1 × {device} " in titles[source]


def test_bad_rows_are_counted_once(usage: Path, card: Path) -> None:
    with usage.open("a") as file:
        file.write("not json\n")
    made = told(usage, "--card", card, "--to", OURS)
    assert made["usage"]["rows"] == 5
    assert made["rejected"]["rows"] == 1
    assert totals(made)[OURS.replace("host:", "host/")] == expected()


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("host:", "is neither a saved deployment nor MODEL@DEVICE"),
        ("host:nobody", "host:nobody is neither"),
        ("host:llama-3.1-8b@h100", "name one: h100-sxm"),
        ("host:llama-3.1-8b@h100-sxm,colour=red", "unknown 'colour'; one of model, device, engine"),
        ("host:llama-3.1-8b@h100-sxm,tp", "'tp' is not KEY=VALUE"),
        ("host:llama-3.1-8b@h100-sxm,tp=3", "tp 3 does not divide"),
        ("host:llama-3.1-8b@h100-sxm,tp=²", "a whole number from 1"),
        ("host:llama-3.1-8b@h100-sxm*0", "a whole number from 1"),
        ("host:llama-3.1-8b@h100-sxm,utilization=0", "utilization 0"),
        ("host:llama-3.1-8b@cpu-2x-epyc-9654", "no on-demand rent of cpu-2x-epyc-9654 is known"),
        ("host:llama-3.1-405b@rtx-4090", "host:llama-3.1-405b@rtx-4090: "),
    ],
)
def test_refusals(usage: Path, to: str, said: str) -> None:
    assert said in run("replay", usage, "--to", to).refusal


def test_a_saved_file_with_a_mistake(usage: Path, tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text('[[host]]\nname = "x"\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\ncolour = "red"\n')
    said = run("replay", usage, "--to", "host:x", "--hosts", file).refusal
    assert said.startswith(f"{file}:5: unknown key 'colour'")
    missing = run("replay", usage, "--to", "host:x", "--hosts", tmp_path / "no.toml").refusal
    assert "no.toml: cannot be read" in missing


def test_usage_without_tokens(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert "no rate of a deployment can be computed" in run("replay", empty, "--to", OURS).refusal
