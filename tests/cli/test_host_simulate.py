"""`farthing host simulate`: usage files, built-in workloads and drawn requests on a deployment; its refusals."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farthing.serving.market import rent
from tests.cli import Ran, run

SMALL = ("llama-3.1-8b", "--device", "h100-sxm")
FEW = ("--rate", "5", "--requests", "40", "--input", "400", "--output", "60")
START = datetime(2026, 11, 4, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    """60 requests, one every half second, of 1,000 tokens in and 50 out; and two that cannot be used."""
    path = tmp_path / "usage.jsonl"
    row = {"at": START.isoformat(), "provider": "a", "model": "m"}
    rows: list[dict[str, Any]] = [
        {**row, "at": (START + timedelta(seconds=n / 2)).isoformat(), "input": 1000, "output": 50} for n in range(60)
    ]
    rows.append({**row, "output": 50})  # no prompt
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    return path


def told(*args: object) -> Any:
    return run("host", "simulate", *args, "--json").json


def narrow(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    assert max(len(text.rstrip()) for text in ran.out.splitlines()) <= 100
    return ran.out


def test_a_usage_file_is_replayed_at_its_own_times(usage: Path) -> None:
    made = told(*SMALL, "--usage", usage)
    assert made["requests"] == 60 and made["prompt_tokens"] == 60_000 and made["output_tokens"] == 3000
    assert made["left_out"] + made["rejected"] == 2
    assert made["duration_s"] == pytest.approx(29.5, abs=2)  # the last arrives after 29.5 s
    assert made["usage"] == str(usage) and made["goodput_per_s"] is None
    for name in ("ttft_s", "tpot_s", "end_to_end_s", "queueing_s"):
        assert made[name]["p50"] <= made[name]["p90"] <= made[name]["p99"]


def test_dollars_are_the_hours_of_all_devices(usage: Path) -> None:
    made = told(*SMALL, "--count", "3", "--tp", "1", "--usage", usage, "--usd-per-gpu-hour", "3.60")
    assert made["usd"] == pytest.approx(3 * 3.60 / 3600 * made["duration_s"])
    assert made["usd_per_mtok_output"] == pytest.approx(made["usd"] / 3000 * 1e6)
    assert len(made["replicas"]) == 3 and sum(one["requests"] for one in made["replicas"]) == 60
    wide = told(*SMALL, "--count", "2", "--tp", "2", "--usage", usage)  # one replica of two devices
    assert [one["gpus"] for one in wide["replicas"]] == [2]
    assert wide["usd"] == pytest.approx(2 * float(rent("h100-sxm").usd_per_gpu_hour) / 3600 * wide["duration_s"])


def test_speed_and_closed_loop(usage: Path) -> None:
    slow, fast = told(*SMALL, "--usage", usage), told(*SMALL, "--usage", usage, "--speed", "4")
    assert fast["duration_s"] == pytest.approx(slow["duration_s"] / 4, abs=1)
    assert fast["busy_share"] > slow["busy_share"]
    kept = told(*SMALL, "--usage", usage, "--concurrency", "8")
    assert kept["usage"] == f"{usage}, 8 kept in flight"
    # Little's law: eight in flight for all of the time, less the last that end without another.
    in_flight = kept["requests_per_s"] * kept["end_to_end_s"]["mean"]
    assert 7 < in_flight <= 8.0001


def test_an_objective_counts_goodput(usage: Path) -> None:
    made = told(*SMALL, "--usage", usage, "--ttft-ms", "10000", "--tpot-ms", "1000")
    assert made["good_share"] == 1 and made["goodput_per_s"] == made["requests_per_s"]
    assert told(*SMALL, "--usage", usage, "--ttft-ms", "0.001")["good_share"] == 0
    assert told(*SMALL, "--usage", usage, "--tpot-ms", "0.001")["good_share"] == 0


def test_a_built_in_workload() -> None:
    made = told(*SMALL, "--profile", "chat", "--requests", "80")
    assert made["requests"] == 80 and made["usage"] == "the built-in workload 'chat'"
    assert made["duration_s"] > 0 and made["busy_share"] > 0
    agent = (*SMALL, "--profile", "coding-agent", "--requests", "60", "--count", "2", "--tp", "1", "--router", "prefix")
    cached, plain = told(*agent), told(*agent, "--no-prefix-cache")
    assert cached["cached_tokens"] > 0 == plain["cached_tokens"]
    assert cached["ttft_s"]["mean"] < plain["ttft_s"]["mean"]


def test_drawn_requests_come_at_a_rate_or_are_kept_in_flight() -> None:
    made = told(*SMALL, *FEW)
    assert (made["requests"], made["prompt_tokens"], made["output_tokens"]) == (40, 16_000, 2400)
    assert made["usage"] == "400 tokens in, 60 out, 5 a second"
    kept = told(*SMALL, "--requests", "100", "--input", "400", "--output", "60")
    assert kept["usage"] == "400 tokens in, 60 out, 32 kept in flight"  # a usual load where none is stated
    assert told(*SMALL, *FEW) == made  # drawn alike each time


def test_a_measured_group_is_corrected() -> None:
    made = told("llama-3.1-70b", "--device", "h100-sxm", "--count", "4", "--weights", "fp8", *FEW)
    assert made["measured_correction"] != 1
    assert told("llama-3.1-8b", "--device", "a10g", *FEW)["measured_correction"] == 1


@pytest.mark.parametrize(
    "more",
    [
        (), ("--ttft-ms", "300"), ("--concurrency", "4"), ("--own",), ("--requests", "1"), ("--output", "1"),
        ("--count", "4", "--tp", "1", "--router", "round-robin"),
    ],
)  # fmt: skip
def test_every_table_fits_a_screen(more: tuple[str, ...]) -> None:
    text = narrow(run("host", "simulate", *SMALL, *FEW, *more))
    assert "time to first token, ms" in text and "nan" not in text and " 1 requests" not in text
    assert ("goodput" in text) is ("--ttft-ms" in more)


def test_the_table_of_a_usage_file_says_what_is_not_in_it(usage: Path) -> None:
    text = narrow(run("host", "simulate", *SMALL, "--usage", usage))
    assert "60 requests in " in text
    assert "2 records are not in it: no prompt, sums, or unreadable." in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("llama-3.1-8b", *FEW), "--device is missing"),
        (("llama-9", "--device", "h100-sxm", *FEW), "llama-9"),
        (("llama-3.1-8b", "--device", "h100", *FEW), "name one: h100-sxm"),
        (("llama-3.1-70b", "--device", "rtx-4090", "--tp", "1", *FEW), "it does not fit: 141.1 GB of weights"),
        ((*SMALL, "--tp", "3", *FEW), "tp 3 does not divide"),
        ((*SMALL, "--profile", "nope"), "unknown profile 'nope'; there are: chat"),
        ((*SMALL, "--profile", "chat", "--usage", "x"), "state --usage or --profile, not both"),
        ((*SMALL, "--usage", "none.jsonl"), "none.jsonl: there is no such file"),
        ((*SMALL, *FEW, "--rate", "0"), "--rate 0; more than 0 a second"),
        ((*SMALL, *FEW, "--rate", "nan"), "--rate nan; more than 0 a second"),
        ((*SMALL, *FEW, "--rate", "inf"), "--rate inf; more than 0 a second"),
        ((*SMALL, *FEW, "--input", "0"), "both must be at least 1"),
        ((*SMALL, *FEW, "--input", "nan"), "both must be at least 1"),
        ((*SMALL, *FEW, "--output", "inf"), "both must be at least 1"),
        ((*SMALL, *FEW, "--input", "1e30"), "at most 1e+09"),
        ((*SMALL, *FEW, "--input", "1e9"), "it does not fit"),
        ((*SMALL, *FEW, "--speed", "0"), "--speed 0; more than 0"),
        ((*SMALL, *FEW, "--speed", "nan"), "--speed nan; more than 0"),
        ((*SMALL, *FEW, "--concurrency", "0"), "Invalid value for '--concurrency'"),
        ((*SMALL, *FEW, "--requests", "0"), "Invalid value for '--requests'"),
        ((*SMALL, *FEW, "--router", "x"), "unknown router 'x'; there are: round-robin, least, prefix"),
        ((*SMALL, *FEW, "--ttft-ms", "-1"), "--ttft-ms -1; an objective is more than 0 ms"),
        ((*SMALL, *FEW, "--tpot-ms", "nan"), "--tpot-ms nan; an objective is more than 0 ms"),
        ((*SMALL, *FEW, "--usd-per-gpu-hour", "x"), "usd_per_gpu_hour is 'x'"),
        ((*SMALL, *FEW, "--own", "--usd-per-gpu-hour", "2"), "not both"),
        (("llama-3.1-8b", "--device", "cpu-2x-epyc-9654", *FEW), "no on-demand rent of cpu-2x-epyc-9654 is known"),
    ],
)
def test_refusals(args: tuple[str, ...], said: str) -> None:
    assert said in run("host", "simulate", *args).refusal


def test_a_file_without_a_usable_request(tmp_path: Path) -> None:
    file = tmp_path / "u.jsonl"
    file.write_text(json.dumps({"at": START.isoformat(), "provider": "a", "model": "m", "output": 5}) + "\n")
    assert "no request to simulate" in run("host", "simulate", *SMALL, "--usage", file).refusal
    file.write_text("")
    assert "no request to simulate" in run("host", "simulate", *SMALL, "--usage", file).refusal
