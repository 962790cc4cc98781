"""`farthing ledger` as a user runs it: tables and JSON, exports, verification, and mistakes in one line."""

import csv
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from farthing.cli import app as wiring
from farthing.cli import ledger as verbs
from farthing.cli.common import console
from farthing.ledger.days import close_days
from farthing.ledger.ledger import Ledger
from farthing.ledger.verify import verify
from farthing.ledger.workers import Worker, anyone_alive
from farthing.reports.ledger import verification_view
from tests.cli import run
from tests.ledger.made import DAY_US, NOON_US, done, some, sum_usd
from tests.ledger.test_decisions import TEXT, filled

if "ledger" not in {group.name for group in wiring.app.registered_groups}:
    wiring.app.add_typer(verbs.app, name="ledger")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with Ledger.open(tmp_path / "data") as ledger:
        ledger.write(list(some(600, ledger)))
    close_days(tmp_path / "data", NOON_US + 2 * DAY_US)
    return tmp_path / "data"


def test_the_summary_is_exact(data: Path) -> None:
    rows = list(some(600))
    found = run("ledger", "summary", "--by", "feature,model", "--data", data, "--json").json
    whole = found["whole"]
    assert whole["attempts"] == 600 and whole["total_usd"] is None
    assert Fraction(whole.get("known_usd_fraction", whole["known_usd"])) == sum_usd(rows)
    assert sum(group["unknown"] for group in found["groups"]) == whole["unknown"] == sum(r.usd is None for r in rows)
    assert list(found["groups"][0])[:2] == ["feature", "model"]
    one_day = run("ledger", "summary", "--data", data, "--since", "2026-11-21", "--until", "2026-11-22", "--json").json
    assert one_day["whole"]["attempts"] == sum(
        NOON_US + DAY_US // 2 <= r.started_us < NOON_US + DAY_US * 3 // 2 for r in rows
    )


def test_the_summary_for_a_person(data: Path) -> None:
    shown = run("ledger", "summary", "--by", "model", "--data", data).out
    assert shown.startswith("600 attempts at 600 requests, ≥ $")
    assert "without a known charge, in no sum:" in shown and "no offer openai/new" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_what_providers_say_is_compared_with_our_charges(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(n, ledger=ledger, usd="0.10", reported_usd="0.101") for n in range(3)])
        ledger.write([done(9, ledger=ledger, usd=None, unknown="no offer", reported_usd="1/3")])
        ledger.write([done(10, ledger=ledger, usd="5")])
    reported = run("ledger", "summary", "--data", tmp_path, "--json").json["whole"]["reported"]
    assert reported == {
        "attempts": 4, "usd": "0.6363333333333333333333333333", "usd_fraction": "1909/3000", "compared": 3,
        "compared_reported_usd": "0.303", "compared_known_usd": "0.3", "difference_usd": "0.003",
    }  # fmt: skip
    # 0.303 by them, 3 x 0.10 by us: 0.003 more, which is 1 % of ours
    shown = run("ledger", "summary", "--data", tmp_path).out
    assert "providers say what 4 attempts cost: $0.6363" in shown
    assert "3 of them have a charge of ours: $0.303 by them, $0.30 by us: theirs are $0.003 more (1 %)" in shown
    none = tmp_path / "none"
    with Ledger.open(none) as ledger:
        ledger.write([done(1, ledger=ledger)])
    assert run("ledger", "summary", "--data", none, "--json").json["whole"]["reported"] is None
    assert "providers" not in run("ledger", "summary", "--data", none).out


def test_exports_hold_every_row_and_exact_amounts(data: Path, tmp_path: Path) -> None:
    rows = list(some(600))
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        ran = run("ledger", "export", tmp_path / name, "--data", data)
        assert ran.code == 0 and ran.out == f"600 rows written to {tmp_path / name}\n", ran.err
        again = run("usage", tmp_path / name, "--json").json  # it is a table that farthing reads itself
        assert again["rows"] == 600
        assert again["quantities"]["output"] == sum(row.quantities.get("output", 0) for row in rows)
        assert again["quantities"]["audio_second"] == sum(row.quantities.get("audio_second", 0) for row in rows)
    with (tmp_path / "out.csv").open() as file:
        read = list(csv.DictReader(file))
    assert sum(Fraction(row["usd_exact"] or row["usd"] or 0) for row in read) == sum_usd(rows)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert all(line["usd"] is None or isinstance(line["usd"], str) for line in lines)
    assert sum(Fraction(line["usd_exact"] or line["usd"] or 0) for line in lines) == sum_usd(rows)
    assert sorted(tmp_path.glob(".out*")) == []


def test_focus_columns_by_day(data: Path, tmp_path: Path) -> None:
    ran = run("ledger", "export", tmp_path / "focus.csv", "--focus", "--data", data)
    assert ran.code == 0, ran.err
    with (tmp_path / "focus.csv").open() as file:
        read = list(csv.DictReader(file))
    rows = list(some(600))
    total = sum(Decimal(row["BilledCost"]) for row in read)
    assert abs(Fraction(total) - sum_usd(rows)) < Fraction(600, 10**15)  # each charge to 15 decimals
    assert sum(int(row["x_UnknownAttempts"]) for row in read) == sum(row.usd is None for row in rows)
    assert {row["ChargePeriodStart"] for row in read} == {f"2026-11-{day}T00:00:00Z" for day in (20, 21, 22)}


def test_verify_and_its_status(data: Path) -> None:
    ran = run("ledger", "verify", "--data", data)
    assert ran.code == 0 and ran.out.startswith("in order\n600 attempts: ")
    with Ledger.open(data) as ledger:
        ledger.write([done(1, ledger=ledger, usd="7")])
    ran = run("ledger", "verify", "--data", data)
    assert ran.code == 1 and ran.out.startswith("NOT in order\n") and "1 differ" in ran.out
    found = json.loads(run("ledger", "verify", "--data", data, "--json").out)
    assert [one["recorded_usd"] for one in found["differences"]] == ["7"]
    assert found["differences"][0]["repriced_usd"] == "0.0030525"  # 1001 × 2.5 + 200 × 0.25 + 50 × 10 microdollars


def test_priced_again_under_a_card(data: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text(
        """
[source.mine]
title = "mine"
where = "here"
seen = 2026-11-20
grade = "vendor-stated"

[[offer]]
provider = "openai"
model = "gpt-test"

[[offer.price]]
source = "mine"
valid_from = 2026-01-01
[offer.price.rates]
input = 0
cache_read = 0
output = 0
audio_second = 0
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 1
meters = ["input", "cache_read", "output", "audio_second"]
"""
    )
    found = run("ledger", "verify", "--reprice", "--card", card, "--data", data, "--json")
    assert found.code == 0, found.err
    [offer] = [one for one in found.json["offers"] if one["offer"] == "openai/gpt-test"]
    assert offer["repriced_usd"] == "0" and offer["unknown_now"] == 0
    shown = run("ledger", "summary", "--reprice", "--as-of", "2026-11-21", "--data", data).out
    assert "would differ under this book as of 2026-11-21; nothing is changed" in shown


def test_retention_and_closing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(n, ledger=ledger, started_us=NOON_US - (400 - n // 2) * DAY_US) for n in range(4)])
    # 400 and 399 days before 20 November 2026
    assert run("ledger", "close-days", "--data", tmp_path).out == (
        "2025-10-16: 2 rows in day=2025-10-16/1.parquet\n2025-10-17: 2 rows in day=2025-10-17/1.parquet\n"
    )
    again = run("ledger", "close-days", "--data", tmp_path)
    assert again.code == 0 and again.out.startswith("nothing to do: no day in ") and len(again.out.splitlines()) == 1
    assert run("ledger", "close-days", "--data", tmp_path, "--json").json == {"closed": [], "archive_elsewhere": False}
    dropped = run("ledger", "drop-days", "--before", "2025-10-17", "--data", tmp_path)
    assert dropped.out == "2025-10-16: 2 rows deleted\n"
    assert "nothing to do" in run("ledger", "drop-days", "--before", "2025-10-17", "--data", tmp_path).out
    last = ("ledger", "drop-days", "--before", "2025-10-10", "--data", tmp_path, "--json")
    assert run(*last).json == {"dropped": []}
    assert run("ledger", "summary", "--data", tmp_path, "--json").json["whole"]["attempts"] == 2
    assert run("ledger", "drop-days", "--before", "soon", "--data", tmp_path).refusal == (
        "--before 'soon' is not a day such as 2026-01-01"
    )


def test_mistakes_are_one_line(data: Path, tmp_path: Path) -> None:
    assert "no ledger here" in run("ledger", "summary", "--data", tmp_path / "none").refusal
    assert "did you mean 'feature'" in run("ledger", "summary", "--by", "featur", "--data", data).refusal
    assert "the format is not told" in run("ledger", "export", tmp_path / "x.xls", "--data", data).refusal
    assert "cannot be written" in run("ledger", "export", tmp_path / "no" / "x.csv", "--data", data).refusal
    assert "add --reprice" in run("ledger", "verify", "--as-of", "2026-11-21", "--data", data).refusal
    assert "leave --by out" in run("ledger", "summary", "--by", "model", "--reprice", "--data", data).refusal
    wrong = run("ledger", "summary", "--since", "2026-11-22", "--until", "2026-11-21", "--data", data)
    assert wrong.refusal == "--since 2026-11-22 is not before --until 2026-11-21"


def test_decisions_are_made_again_from_their_rows(tmp_path: Path) -> None:
    data, policy, other = tmp_path / "data", tmp_path / "p.toml", tmp_path / "other.toml"
    attempts = filled(data, 60)
    policy.write_text(TEXT)
    ran = run("ledger", "decisions", "--policy", policy, "--data", data, "--json")
    assert ran.json == {
        "policy": "p.toml", "ok": True, "attempts": attempts, "agree": attempts, "differ": 0, "another_chain": 0,
        "unlogged": 0, "unreadable": 0, "first": [],
    }  # fmt: skip
    assert (
        f"{attempts} decisions made again with p.toml: {attempts} agree, 0 differ"
        in run("ledger", "decisions", "--policy", policy, "--data", data).out
    )
    other.write_text(TEXT.replace("asked = 2", "asked = 1"))
    ran = run("ledger", "decisions", "--policy", other, "--data", data)
    assert ran.code == 1 and "were made by other policies" in ran.out and "alternatives" in ran.out
    with Ledger.open(data) as ledger:
        ledger.write([done(1, ledger=ledger, decision="{"), done(2, ledger=ledger)])
    ran = run("ledger", "decisions", "--policy", policy, "--data", data)
    assert ran.code == 1 and "decisions that cannot be read: 1\n" in ran.out
    assert "attempts without a decision in their row: 1\n" in ran.out
    other.write_text("[gateway]\nport = 1\n")
    assert "no [[policy]]" in run("ledger", "decisions", "--policy", other, "--data", data).refusal


def test_days_that_are_closed_and_dropped_are_told_in_json(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger, started_us=NOON_US - 400 * DAY_US)])
    closed = run("ledger", "close-days", "--data", tmp_path, "--json").json
    assert closed["closed"] == [{"day": "2025-10-16", "rows": 1, "file": "day=2025-10-16/1.parquet"}]
    out = tmp_path / "out.csv"
    assert run("ledger", "export", out, "--data", tmp_path, "--json").json == {"rows": 1, "file": str(out)}
    dropped = run("ledger", "drop-days", "--before", "2025-10-17", "--data", tmp_path, "--json").json
    assert dropped == {"dropped": [{"day": "2025-10-16", "rows": 1}]}


def test_a_key_is_summed_under_its_name(tmp_path: Path) -> None:
    made = run("keys", "create", "--name", "search-prod", "--data", tmp_path, "--json").json
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger, key=made["id"]), done(2, ledger=ledger, key="k_0123456789ab")])
    found = run("ledger", "summary", "--by", "key", "--data", tmp_path, "--json").json["groups"]
    assert {(one["key"], one["key_name"]) for one in found} == {(made["id"], "search-prod"), ("k_0123456789ab", None)}
    assert f"search-prod ({made['id']})" in run("ledger", "summary", "--by", "key", "--data", tmp_path).out
    assert "key_name" not in run("ledger", "summary", "--by", "model", "--data", tmp_path, "--json").json["groups"][0]


def test_rows_of_a_running_gateway_are_on_their_way(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger)])
    found = msgspec.structs.replace(verify(tmp_path), spilled=1)

    def said(living: bool) -> str:
        screen = console()
        with screen.capture() as capture:
            screen.print(verification_view(found, living))
        return capture.get()

    assert "1 row is on the way from the journal of a running gateway" in said(True)
    assert "1 row in journals of workers that have ended" in said(False)
    assert not anyone_alive(tmp_path) and not anyone_alive(tmp_path / "none")
    worker = Worker(tmp_path)
    assert anyone_alive(tmp_path)
    worker.close()
