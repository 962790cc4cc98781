"""`farthing prices watch`: its exit status, its JSON and table, the webhook, and what it says to mistakes."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import Ran, run
from tests.index.test_watch import CARD
from tests.index.test_watch_webhook import server

ROWS: list[dict[str, Any]] = [
    {"at": "2026-11-04T12:00:00Z", "provider": "acme", "model": "wing-70b", "input": 100, "output": 10},
    {"at": "2026-11-05T12:00:00Z", "provider": "acme", "model": "wing-70b", "input": 100, "cache_read": 50,
     "output": 20},
    {"at": "2026-11-14T12:00:00Z", "provider": "acme", "model": "wing-70b", "input": 200, "output": 30},
]  # fmt: skip
SINCE = ("--since", "2026-09-01", "--until", "2026-11-20")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "card.toml").write_text(CARD)
    return jsonl(tmp_path, ROWS), tmp_path / "card.toml"


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "usage.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def watched(files: tuple[Path, Path], *more: object, since: tuple[str, ...] = SINCE) -> Ran:
    return run("prices", "watch", "--usage", files[0], "--card", files[1], *since, *more)


# --- the answer -------------------------------------------------------------------------------


def test_the_golden_example_in_json(files: tuple[Path, Path]) -> None:
    """2,820 then, 3,225 now (micro-dollars): see tests/index/test_watch.py; 405 in 10 days is 1,232.72 a month."""
    ran = watched(files, "--json")
    assert ran.code == 10 and ran.err == ""
    view = json.loads(ran.out)
    assert (view["then_usd"], view["now_usd"], view["change_usd"]) == ("0.00282", "0.003225", "0.000405")
    assert view["changed"] is True and view["change_share"] == pytest.approx(405 / 2820)
    assert view["change_usd_per_month"] == pytest.approx(0.00123271875)
    [one] = view["offers"]
    assert (one["offer"], one["direction"], one["then_basis"]) == ("acme/wing-70b", "dearer", "dated")
    by_meter = {m["meter"]: m for m in one["meters"]}
    assert by_meter["input"]["then_price_usd"] == "4" and by_meter["input"]["change_usd"] == "0.0004"
    assert one["new_tiers"] == [{"tier": "batch", "usd": "0.0016125"}]
    [best] = view["best"]
    assert (best["best"], best["best_then"], best["saving_usd"]) == (
        "beta/Wing-70B-Instruct", "acme/wing-70b", "0.0003225",
    )  # fmt: skip
    assert {alert["kind"] for alert in view["alerts"]} == {"total", "dearer", "better-offer"}
    assert view["since"] == "2026-09-01" and "webhook" not in view


def test_the_table_says_the_dollars_first(files: tuple[Path, Path]) -> None:
    ran = watched(files)
    lines = ran.out.splitlines()
    assert lines[0].rstrip() == (
        "+$0.000405, +14.4% on this usage, about +$0.001233 a month: $0.00282 → $0.003225 (rates of"
    )
    assert any(line.startswith("! acme/wing-70b is dearer: +$0.000405") for line in lines)
    assert any(line.split()[:2] == ["acme/wing-70b", "beta/Wing-70B-Instruct"] for line in lines)
    assert "acme/wing-70b has a new service tier, batch: this usage in it costs $0.001612." in ran.out  # half-even
    assert all(len(line) <= 100 for line in lines) and ran.code == 10


def test_nothing_beyond_the_threshold_is_status_0(files: tuple[Path, Path]) -> None:
    ran = watched(files, "--threshold", "$1")
    assert ran.code == 0 and "Nothing beyond the threshold." in ran.out
    assert json.loads(watched(files, "--threshold", "$1", "--json").out)["alerts"] == []
    quiet = watched(files, since=("--since", "2026-10-02", "--until", "2026-11-20"))
    assert quiet.code == 0 and quiet.out.startswith("No change: $0.003225 on this usage (rates of")


@pytest.mark.parametrize(
    ("threshold", "code"), [("14%", 10), ("15%", 0), ("0", 10), ("$0.0004", 10), ("$0.000405", 0), ("0%", 10)]
)
def test_thresholds(files: tuple[Path, Path], threshold: str, code: int) -> None:
    assert watched(files, "--threshold", threshold, "--avoid", "beta", "--json").code == code


def test_constraints(files: tuple[Path, Path]) -> None:
    named = json.loads(watched(files, "--model", "other-*", "--min-context", "16000", "--json").out)
    [best] = named["best"]
    assert best["best"] == "beta/Wing-70B-Instruct" and best["others"] == []  # gamma states no context
    named = json.loads(watched(files, "--model", "other-*", "--provider", "gamma", "--json").out)
    [best] = named["best"]
    assert best["best"] is None and [other["offer"] for other in best["others"]] == ["gamma/other-9b"]
    assert named["constraints"] == {"providers": ["gamma"], "avoid": [], "models": ["other-*"], "min_context": None,
                                    "grade": None}  # fmt: skip


def test_the_meters_as_csv(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "meters.csv"
    assert watched(files, "--csv", out).code == 10
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["meter"], row["change_usd"]) for row in rows] == [
        ("input", "0.0004"), ("cache_read", "0.000005"), ("output", "0"),
    ]  # fmt: skip


def test_a_model_of_the_book_that_ends_and_one_without_a_price(tmp_path: Path) -> None:
    """OpenAI's deprecations page: gpt-5-mini ends on 11 December 2026."""
    rows = [{**ROWS[0], "provider": "openai", "model": "gpt-5-mini"}, {**ROWS[0], "model": "unheard-of"}]
    ran = run("prices", "watch", "--usage", jsonl(tmp_path, rows), *SINCE, "--json")
    view = json.loads(ran.out)
    assert ran.code == 10 and view["now_usd"] is None
    [end] = view["ending"]
    assert (end["offer"], end["day"], end["days_left"], end["source"]) == (
        "openai/gpt-5-mini", "2026-12-11", 21, "openai-deprecations",
    )  # fmt: skip
    assert [one["model"] for one in view["unpriced"]] == ["acme/unheard-of"]
    assert run("prices", "watch", "--usage", jsonl(tmp_path, rows[:1]), *SINCE, "--horizon", 20).code == 0


def test_usage_that_names_no_model(tmp_path: Path, files: tuple[Path, Path]) -> None:
    rows = [{key: value for key, value in row.items() if key not in ("provider", "model")} for row in ROWS]
    nameless = (jsonl(tmp_path, rows), files[1])
    unknown = watched(nameless)
    assert unknown.out.startswith("What changed in dollars is unknown") and "--from OFFER" in unknown.out
    assert json.loads(watched(nameless, "--from", "acme/wing-70b", "--json").out)["change_usd"] == "0.000405"


def test_bad_rows_are_counted_beside_the_good_ones(files: tuple[Path, Path]) -> None:
    files[0].write_text(files[0].read_text() + '{"at": "yesterday", "provider": "acme", "model": "wing-70b"}\n')
    view = json.loads(watched(files, "--json").out)
    assert view["rejected"]["rows"] == 1 and view["change_usd"] == "0.000405"
    assert "1 rows rejected" in watched(files).out


# --- the webhook ------------------------------------------------------------------------------


def test_the_result_is_posted(files: tuple[Path, Path]) -> None:
    with server(200) as got:
        ran = watched(files, "--webhook", got.url, "--json")
    view = json.loads(ran.out)
    [body] = got.bodies
    assert ran.code == 10 and view["webhook"] == {
        "posted": True, "host": got.url.split("/")[2], "status": 200, "attempts": 1, "problem": None,
    }  # fmt: skip
    assert body["change_usd"] == "0.000405" and body["alerts"] == view["alerts"]
    assert body["text"].startswith("+$0.000405") and "• acme/wing-70b is dearer" in body["text"]
    assert "T0KEN" not in ran.out + ran.err


def test_a_text_for_a_chat_and_nothing_where_nothing_changed(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(200) as got:
        monkeypatch.setenv("HOOK", got.url)
        assert watched(files, "--webhook-env", "HOOK", "--webhook-text").code == 10
        assert watched(files, "--webhook-env", "HOOK", "--threshold", "$1", "--only-changes").code == 0
        assert watched(files, "--webhook-env", "HOOK", "--threshold", "$1").code == 0
    assert [set(body) == {"text"} for body in got.bodies] == [True, False]


def test_a_failed_post_is_status_2_and_one_line_after_the_result(files: tuple[Path, Path]) -> None:
    with server(404) as got:
        ran = watched(files, "--webhook", got.url, "--json")
    assert json.loads(ran.out)["webhook"]["problem"] == "answered 404"
    assert "answered 404 (tried once); the result is above" in ran.refusal and "T0KEN" not in ran.refusal


# --- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "since", "said"),
    [
        ((), ("--since", "2099-01-01"), "is in the future"),
        ((), ("--since", "2026-11-01", "--until", "2026-10-01"), "is not before --until"),
        ((), ("--since", "last week"), "is not an ISO 8601 instant"),
        ((), ("--since", "2026-11-01T10:00"), "no time zone"),
        (("--threshold", "lots"), SINCE, "neither a share such as 1% nor an amount"),
        (("--threshold", "-1%"), SINCE, "neither a share"),
        (("--threshold", "5"), SINCE, "neither a share"),
        (("--threshold", "$5%"), SINCE, "neither a share"),
        (("--threshold", "1e999%"), SINCE, "neither a share"),
        (("--provider", "acmee"), SINCE, "did you mean 'acme'?"),
        (("--avoid", "nobody-at-all"), SINCE, "no such provider"),
        (("--model", "zzz-*"), SINCE, "fits no offer"),
        (("--grade", "good"), SINCE, "is not one of measured"),
        (("--webhook", "ftp://x/y"), SINCE, "not an http or https address"),
        (("--webhook-env", "NO_SUCH_VARIABLE"), SINCE, "the variable is not set"),
        (("--webhook", "http://a/", "--webhook-env", "B"), SINCE, "not both"),
        (("--from", "nowhere/nothing"), SINCE, "unknown provider 'nowhere'"),
        (("--csv", "-", "--json"), SINCE, "both want the screen"),
    ],
)  # fmt: skip
def test_mistakes(files: tuple[Path, Path], more: tuple[str, ...], since: tuple[str, ...], said: str) -> None:
    assert said in watched(files, *more, since=since).refusal


def test_files_that_are_not_there_or_hold_nothing(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert "no such file" in run("prices", "watch", "--usage", tmp_path / "gone.jsonl", *SINCE).refusal
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert run("prices", "watch", "--usage", empty, *SINCE).code == 2
    assert "--since" in run("prices", "watch", "--usage", files[0]).refusal
