"""Views of estimates, searches and simulations: every figure with its interval, and nothing wider than 100 columns."""

import io
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from farthing.reports.host import (
    UNCERTAIN,
    basis_json,
    estimate_json,
    estimate_view,
    ranged_json,
    search_json,
    search_view,
    show,
)
from farthing.reports.simulation import simulation_json, simulation_view
from farthing.serving import devices, models
from farthing.serving.deployment import Speculation, plan
from farthing.serving.estimate import Estimate, Load, estimate, priced
from farthing.serving.evidence import Ranged
from farthing.serving.search import Goal, Search, search
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import Slo, Summary
from farthing.serving.simulator.simulate import simulate


def of(model: str, device: str, load: Load, **layout: Any) -> Estimate:
    return estimate(plan(models.find(model), devices.find(device), **layout), load, usd_per_gpu_hour=Decimal("3.79"))


def printed(view: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=100, highlight=False, markup=False, emoji=False).print(view)
    text = out.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    return text


PLAIN = of("llama-3.1-70b", "h100-sxm", Load(input=2000, output=500, concurrency=32), count=4, weights="fp8")
TOO_LARGE = of("llama-3.1-405b", "rtx-4090", Load(input=2000, output=500))
FAR = of("llama-3.1-8b", "mi300x", Load(input=2000, output=500, concurrency=5000, prefix_hit=0.5), pp=2, count=4,
         speculation=Speculation(tokens=3, acceptance=0.7))  # fmt: skip


# --- estimates ------------------------------------------------------------------------------------


def test_the_json_has_what_was_agreed() -> None:
    made = json.loads(json.dumps(estimate_json(PLAIN, {"kind": "stated"})))
    assert made["feasible"] is True
    assert made["max_batch"] == PLAIN.max_batch > 0
    for name in ("ttft_ms", "tpot_ms", "output_tokens_per_s", "usd_per_mtok_input", "usd_per_mtok_output",
                 "usd_per_mtok_blended", "watts", "joules_per_output_token"):  # fmt: skip
        assert set(made[name]) == {"value", "low", "high"}
        assert 0 < made[name]["low"] < made[name]["value"] < made[name]["high"]
    evidence = made["evidence"]
    assert evidence["grade"] == "derived" and evidence["level"] == "group" and evidence["measured_rows"] > 0
    assert evidence["interval"] == 0.8 and evidence["outside"] == []
    assert set(evidence["held_out_median_error"]) == {"tpot", "ttft", "throughput"}
    assert made["rent"] == {"kind": "stated"} and made["usd_per_gpu_hour"] == "3.79"
    assert (made["model"], made["device"], made["count"], made["tp"]) == (
        "meta-llama/Llama-3.1-70B", "h100-sxm", 4, 4,
    )  # fmt: skip


def test_figures_of_the_json_agree_with_each_other() -> None:
    made = estimate_json(PLAIN)
    requests = made["requests_per_s"]["value"]
    assert made["output_tokens_per_s"]["value"] == pytest.approx(500 * requests)
    assert made["output_tokens_per_s_per_gpu"]["value"] == pytest.approx(500 * requests / 4)
    assert made["joules_per_output_token"]["value"] == pytest.approx(made["watts"]["value"] / (500 * requests))
    dollars = 4 * 3.79 / 3600 / requests
    parts = 2000 * made["usd_per_mtok_input"]["value"] + 500 * made["usd_per_mtok_output"]["value"]
    assert parts / 1e6 == pytest.approx(dollars)
    assert made["usd_per_mtok_blended"]["value"] * 2500 / 1e6 == pytest.approx(dollars)


def test_what_does_not_fit_has_no_figures() -> None:
    made = json.loads(json.dumps(estimate_json(TOO_LARGE)))
    assert made["feasible"] is False and made["max_batch"] == 0 and made["evidence"] is None
    assert "GB of weights" in made["why"]
    assert all(made[name] is None for name in UNCERTAIN)
    text = printed(estimate_view(TOO_LARGE))
    assert "does not fit: " in text and "None" not in text and "0 ms" not in text


def test_dollars_are_unknown_until_they_are_stated() -> None:
    bare = estimate(PLAIN.deployment, PLAIN.load)
    made = estimate_json(bare)
    assert made["usd_per_mtok_output"] is None and made["usd_per_gpu_hour"] is None and made["tpot_ms"]
    text = printed(estimate_view(bare))
    assert "USD" not in text and "time per output token, ms" in text
    assert printed(estimate_view(priced(bare, Decimal("3.79")))) == printed(estimate_view(PLAIN))


def test_a_table_says_deployment_load_figures_memory_and_evidence() -> None:
    lines = printed(estimate_view(PLAIN, "stated")).splitlines()
    assert lines[0] == "meta-llama/Llama-3.1-70B on 4 × h100-sxm (vllm, fp8 tp4)"
    assert lines[1].startswith("2,000 tokens in, 500 out; 32 requests at once, room for ")
    value = PLAIN.usd_per_mtok_output
    assert value is not None
    [row] = [line for line in lines if line.startswith("USD per million output tokens")]
    assert row.split()[5:] == [show(value.value), show(value.low), "to", show(value.high)]
    assert any(line.startswith("Dollars: 3.79 a device-hour (stated).") for line in lines)
    assert any(line.startswith("Evidence: derived; ") for line in lines)
    assert not any(line.startswith("Outside it") for line in lines)


def test_a_table_says_what_is_outside_the_evidence() -> None:
    text = " ".join(printed(estimate_view(FAR)).split())
    assert "2,000 tokens in, 500 out, 50% of the prompt cached;" in text
    assert "Evidence: assumed; " in text and "Outside it, so wider: " in text
    assert "pipeline parallelism was not measured" in text


def test_one_is_not_plural_and_what_waits_is_said() -> None:
    one = of("llama-3.1-8b", "h100-sxm", Load(input=1, output=1, concurrency=1))
    assert "1 token in, 1 out; 1 request at once, room for" in printed(estimate_view(one))
    waiting = of("llama-3.1-8b", "h100-sxm", Load(input=1024, output=1024, concurrency=5000))
    assert waiting.batch > waiting.max_batch  # half written on the mean
    line = printed(estimate_view(waiting)).splitlines()[1]
    assert f"{waiting.batch:,.0f} requests at once of 5,000 asked" in line
    assert line.endswith(f"room for {waiting.max_batch:,} of full length")


def test_hours_not_in_use_are_said() -> None:
    half = estimate(PLAIN.deployment, PLAIN.load, usd_per_gpu_hour=Decimal(2), utilization=0.5)
    assert "2 a device-hour, 50% of the hours in use" in printed(estimate_view(half))


@pytest.mark.parametrize("device", [one.id for one in devices.everything()])
def test_every_device_has_a_table(device: str) -> None:
    found = of("llama-3.1-8b", device, Load(input=500, output=100, concurrency=4))
    text = printed(estimate_view(found, "stated"))
    assert ("does not fit" in text) is not found.feasible
    assert "nan" not in text and "inf" not in text.replace("inference", "").replace("infer", "")


def test_absurd_figures_do_not_break_the_table() -> None:
    huge = estimate(PLAIN.deployment, PLAIN.load, usd_per_gpu_hour=Decimal("1e18"), utilization=1e-9)
    assert "…" not in printed(estimate_view(huge))


def test_no_basis_is_no_evidence() -> None:
    assert basis_json(None) is None and ranged_json(None) is None
    assert ranged_json(Ranged(2.0, 1.0, 3.0)) == {"value": 2.0, "low": 1.0, "high": 3.0}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.000123, "1.23e-04"), (0.0123456, "0.0123"), (1.0, "1"), (1.005, "1"), (12.34, "12.3"), (99.96, "100"),
     (999.4, "999"), (999.6, "1,000"), (1000, "1,000"), (1234, "1,230"), (123456, "123,000"), (9.999e6, "10,000,000"),
     (1e15, "1.00e+15"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert show(value) == text


@given(st.floats(1e-12, 1e30))
def test_a_shown_number_is_the_number_to_half_a_percent(value: float) -> None:
    assert float(show(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


# --- searches -------------------------------------------------------------------------------------


def looked(model: str, *names: str, ttft_ms: float = 1000, tpot_ms: float = 30, **more: Any) -> tuple[Search, Goal]:
    goal = Goal(input=1024, output=1024, ttft_ms=ttft_ms, tpot_ms=tpot_ms)
    offers = [(devices.find(name), Decimal("3.79")) for name in names]
    return search(models.find(model), offers, goal, **more), goal


def test_a_search_in_json() -> None:
    found, goal = looked("llama-3.1-8b", "h100-sxm")
    made = json.loads(json.dumps(search_json(found, goal)))
    assert made["goal"]["ttft_ms"] == 1000 and made["tried"] >= made["fitting"] >= made["meeting"] == len(made["best"])
    assert made["best"][0]["usd_per_mtok_blended"]["value"] <= made["best"][1]["usd_per_mtok_blended"]["value"]
    assert made["frontier"] and made["nearest"] is None
    none, goal = looked("llama-3.1-8b", "h100-sxm", tpot_ms=0.1)
    assert search_json(none, goal)["nearest"]["tpot_ms"]["value"] > 0.1


def test_a_search_as_a_table() -> None:
    found, goal = looked("deepseek-v3", "h200", "b200", "gb200", engines=("vllm", "sglang", "trtllm"), tpot_ms=60)
    text = printed(search_view(found, goal))
    assert text.startswith(f"{len(found.best)} of {found.tried} deployments meet TTFT ≤ 1000 ms and TPOT ≤ 60 ms")
    assert f"… and {len(found.best) - 10} more; --json has all." in text
    assert "No other is both faster and cheaper:" in text
    rows = [line for line in text.splitlines() if line.lstrip()[:1].isdigit() and " × " in line]
    assert len(rows) == 10 + min(10, len(found.frontier))
    assert not any(line.strip() and line.startswith(" ") for line in text.splitlines())  # no wrapped cells


def test_a_search_that_finds_nothing_says_so() -> None:
    near, goal = looked("llama-3.1-8b", "h100-sxm", ttft_ms=1, tpot_ms=0.1)
    assert "0 of " in printed(search_view(near, goal)) and "The nearest:" in printed(search_view(near, goal))
    nothing, goal = looked("llama-3.1-405b", "rtx-4090")
    text = printed(search_view(nothing, goal))
    assert "None fits in memory" in text and "No other is both" not in text


# --- simulations ----------------------------------------------------------------------------------


def ran(count: int, slo: Slo | None = None, rate: float | None = 2.0, usd: float | None = 3.0) -> Summary:
    from farthing.serving.replica import Replica

    asked = Requests.synthetic(count, rate_per_s=rate, prompt_tokens=500, output_tokens=50)
    run = simulate(asked, [Replica(plan(models.find("llama-3.1-8b"), devices.find("h100-sxm")))], slo=slo)
    return run.summary(usd_per_replica_hour=usd)


def test_a_simulation_in_json() -> None:
    summary = ran(50, Slo(ttft_s=1.0))
    made = json.loads(json.dumps(simulation_json("here", summary, "made", "3", 0.9)))
    assert (made["deployment"], made["usage"], made["usd_per_gpu_hour"], made["measured_correction"]) == (
        "here", "made", "3", 0.9,
    )  # fmt: skip
    assert made["requests"] == 50 and made["good_share"] == 1 and made["goodput_per_s"] == made["requests_per_s"]
    assert made["ttft_s"]["p50"] <= made["ttft_s"]["p99"]
    assert made["usd"] == pytest.approx(3.0 * made["duration_s"] / 3600)


def test_a_simulation_as_a_table() -> None:
    text = printed(simulation_view("here", ran(50, Slo(ttft_s=1.0)), "made", "3 a device-hour: stated"))
    assert "made: 50 requests in " in text
    assert "meet the objective" in text and "100.0%" in text and "(3 a device-hour: stated)" in text
    plain = printed(simulation_view("here", ran(50, usd=None), "made", ""))
    assert "goodput" not in plain and "$" not in plain and "preemption" not in plain


def test_one_request_is_not_plural_and_small_sums_are_not_nothing() -> None:
    text = printed(simulation_view("here", ran(1), "made", "3 a device-hour: stated"))
    assert "made: 1 request in " in text
    assert "$0.00 " not in text  # half a second of three dollars an hour is not nothing
