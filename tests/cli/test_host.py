"""`farthing host estimate` and `search` as a user runs them: JSON, tables, files, and one line for every mistake."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from farthing.serving import devices, market
from tests.cli import Ran, run

BIG = ("llama-3.1-70b", "--device", "h100-sxm", "--count", "4", "--weights", "fp8")
SMALL = ("llama-3.1-8b", "--device", "h100-sxm")
GOAL = ("--ttft-ms", "1000", "--tpot-ms", "30")
UNCERTAIN = ("ttft_ms", "tpot_ms", "output_tokens_per_s", "usd_per_mtok_input", "usd_per_mtok_output",
             "usd_per_mtok_blended", "watts", "joules_per_output_token")  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(*args: object) -> Any:
    return run("host", "estimate", *args, "--json").json


def narrow(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    assert max(len(text.rstrip()) for text in ran.out.splitlines()) <= 100
    return ran.out


def refused(*args: object) -> str:
    return run("host", *args).refusal


# --- estimate -------------------------------------------------------------------------------------


def test_the_interface_that_must_hold() -> None:
    made = told(*BIG, "--engine", "vllm", "--kv", "bf16", "--tp", "4", "--pp", "1", "--ep", "1", "--dp", "1",
                "--input", "2000", "--output", "500", "--concurrency", "32", "--prefix-hit", "0.25",
                "--usd-per-gpu-hour", "2.49", "--utilization", "0.6")  # fmt: skip
    assert made["feasible"] is True and made["max_batch"] > 32
    for name in UNCERTAIN:
        assert made[name]["low"] < made[name]["value"] < made[name]["high"]
    assert made["evidence"]["grade"] == "derived"
    assert (made["count"], made["tp"], made["input"], made["output"], made["concurrency"]) == (4, 4, 2000, 500, 32)
    assert (made["prefix_hit"], made["utilization"], made["usd_per_gpu_hour"]) == (0.25, 0.6, "2.49")
    assert made["rent"] == {"kind": "stated", "usd_per_gpu_hour": "2.49"}


def test_dollars_by_hand() -> None:
    """4 devices at 1.80 an hour, half of the hours in use: 4 × 1.80 / 3600 / 0.5 = 0.004 dollars a second of load."""
    made = told(*BIG, "--input", "2000", "--output", "500", "--usd-per-gpu-hour", "1.80", "--utilization", "0.5")
    rate = made["requests_per_s"]["value"]
    assert made["usd_per_mtok_blended"]["value"] == pytest.approx(0.004 / rate / 2500 * 1e6)
    spent = 2000 * made["usd_per_mtok_input"]["value"] + 500 * made["usd_per_mtok_output"]["value"]
    assert spent / 1e6 * rate == pytest.approx(0.004)


def test_the_rent_is_the_markets_of_the_day() -> None:
    now, then = told(*SMALL), told(*SMALL, "--at", "2024-03-01")
    for made, day in ((now, None), (then, "2024-02-01")):
        stated = market.rent("h100-sxm") if day is None else market.rent("h100-sxm", _day(day))
        assert made["rent"]["usd_per_gpu_hour"] == made["usd_per_gpu_hour"] == str(stated.usd_per_gpu_hour)
        assert made["rent"]["valid_from"] == stated.valid_from.isoformat() and made["rent"]["source"]
    ratio = float(then["usd_per_gpu_hour"]) / float(now["usd_per_gpu_hour"])
    assert then["usd_per_mtok_output"]["value"] == pytest.approx(now["usd_per_mtok_output"]["value"] * ratio)


def _day(text: str) -> Any:
    from datetime import date

    return date.fromisoformat(text)


def test_owned_costs_have_their_own_sources() -> None:
    rented, owned = told(*SMALL), told(*SMALL, "--own", "--region", "us-va")
    rent = owned["rent"]
    assert rent["kind"] == "owned" and rent["grade"] == "assumed" and len(rent["sources"]) > 3
    assert float(rent["low"]) < float(rent["usd_per_gpu_hour"]) < float(rent["high"])
    assert owned["usd_per_mtok_output"]["value"] < rented["usd_per_mtok_output"]["value"]
    assert owned["tpot_ms"] == rented["tpot_ms"]


def test_a_model_that_does_not_fit_is_an_answer() -> None:
    ran = run("host", "estimate", "llama-3.1-405b", "--device", "rtx-4090", "--json")
    made = ran.json
    assert ran.code == 0 and made["feasible"] is False and made["max_batch"] == 0
    assert "GB of weights" in made["why"] and all(made[name] is None for name in UNCERTAIN)
    text = narrow(run("host", "estimate", "llama-3.1-405b", "--device", "rtx-4090", "--save", "x", "--card", "c.toml"))
    assert "does not fit" in text and text.rstrip().endswith("Nothing is written.")
    assert not Path("farthing-hosts.toml").exists() and not Path("c.toml").exists()


def test_a_config_json_is_a_model(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 128256,
        "max_position_embeddings": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    mine, known = told(file, "--device", "h100-sxm"), told(*SMALL)
    assert mine["weight_gb_per_gpu"] == pytest.approx(known["weight_gb_per_gpu"])  # the same shape by another name
    assert mine["max_batch"] == known["max_batch"]
    file.write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert told(file, "--device", "h100-sxm")["weights"] == told(tmp_path, "--device", "h100-sxm")["weights"] == "fp8"
    file.write_text(json.dumps({**config, "architectures": ["OracleForProphecy"], "model_type": "oracle"}))
    said = refused("estimate", file, "--device", "h100-sxm")
    assert said.startswith(f"{file}: model_type 'oracle' is not known (known: ")


@pytest.mark.parametrize(
    "args",
    [
        (*BIG, "--input", "2000", "--output", "500"),
        (*SMALL, "--own"),
        (*SMALL, "--concurrency", "1e9"),
        (*SMALL, "--output", "1"),
        (*SMALL, "--input", "1", "--output", "1", "--concurrency", "1"),
        (*SMALL, "--input", "1e9"),
        (*SMALL, "--count", "7"),
        (*SMALL, "--usd-per-gpu-hour", "0"),
        (*SMALL, "--draft-tokens", "3", "--acceptance", "0.7"),
        (*SMALL, "--disaggregated", "1:3", "--concurrency", "64"),
        ("gpt-oss-120b", "--device", "b200", "--count", "8", "--engine", "trtllm", "--dp", "8", "--ep", "8"),
        ("llama-3.1-8b", "--device", "tpu-v5p"),
        ("llama-3.1-8b", "--device", "mi300x", "--pp", "2", "--count", "4"),
        ("llama-3.1-8b", "--device", "cpu-2x-epyc-9654", "--usd-per-gpu-hour", "1.5", "--input", "200"),
    ],
)
def test_every_table_fits_a_screen(args: tuple[str, ...]) -> None:
    text = narrow(run("host", "estimate", *args))
    assert "nan" not in text and "Traceback" not in text
    assert "1 tokens" not in text and "1 requests" not in text


def test_an_estimate_as_a_table() -> None:
    text = narrow(run("host", "estimate", *BIG, "--input", "2000", "--output", "500", "--concurrency", "32"))
    lines = text.splitlines()
    assert lines[0] == "meta-llama/Llama-3.1-70B on 4 × h100-sxm (vllm, fp8 tp4)"
    assert "80 % interval" in text and "USD per million output tokens" in text
    assert "Dollars: " in text and "market index of " in text and "Evidence: derived; " in text


def test_speculation_and_a_prefix_make_it_faster() -> None:
    plain = told(*SMALL, "--concurrency", "8")
    drafted = told(*SMALL, "--concurrency", "8", "--draft-tokens", "3", "--acceptance", "0.8")
    found = told(*SMALL, "--concurrency", "8", "--prefix-hit", "0.9")
    assert drafted["tpot_ms"]["value"] < plain["tpot_ms"]["value"]
    assert "speculative decoding rests on the stated acceptance rate" in drafted["evidence"]["outside"]
    assert found["ttft_ms"]["value"] < plain["ttft_ms"]["value"]


def test_prompts_and_answers_on_machines_of_their_own() -> None:
    made = told(*SMALL, "--disaggregated", "1:3", "--concurrency", "64")
    assert made["count"] == made["replicas"] == 4 and made["prompt_share"] == 0.25
    assert "disaggregated serving is not in the fit" in made["evidence"]["outside"]
    shared = told(*SMALL, "--disaggregated", "1:3", "--count", "8")  # two devices each
    assert (shared["count"], shared["tp"], shared["replicas"]) == (8, 2, 4)


# --- what it writes -------------------------------------------------------------------------------


def test_a_card_is_priced_like_any_other(tmp_path: Path) -> None:
    card = tmp_path / "host.toml"
    made = told(*BIG, "--input", "2000", "--output", "500", "--save", "ours", "--card", card)
    ran = run("price", "--card", card, "host/ours", "--input", "2000000", "--output", "500000", "--json").json
    expected = 2 * made["usd_per_mtok_input"]["value"] + 0.5 * made["usd_per_mtok_output"]["value"]
    assert float(ran["total_usd"]) == pytest.approx(expected, rel=1e-5)
    rates = tomllib.loads(card.read_text())["offer"][0]["price"][0]["rates"]
    assert rates["cache_read"] == 0 and rates["input"] == pytest.approx(made["usd_per_mtok_input"]["value"], rel=1e-5)
    bare = tmp_path / "bare.toml"
    run("host", "estimate", *SMALL, "--card", bare)
    assert run("price", "--card", bare, "host/llama-3.1-8b@h100-sxm", "--input", "1000").code == 0


def test_what_is_saved_is_what_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    told(*BIG, "--concurrency", "24", "--utilization", "0.5", "--usd-per-gpu-hour", "2.10", "--save", "ours", "--hosts",
         file)  # fmt: skip
    [entry] = tomllib.loads(file.read_text())["host"]
    assert entry == {
        "name": "ours", "model": "llama-3.1-70b", "device": "h100-sxm", "count": "4", "weights": "fp8",
        "concurrency": "24.0", "usd_per_gpu_hour": "2.10", "utilization": "0.5",
    }  # fmt: skip
    told(*SMALL, "--save", 'a "quoted" näme', "--hosts", file)
    assert [one["name"] for one in tomllib.loads(file.read_text())["host"]] == ["ours", 'a "quoted" näme']
    told(*SMALL, "--save", "here")
    assert Path("farthing-hosts.toml").exists()


def test_owning_is_saved_as_its_dollars(tmp_path: Path) -> None:
    made = told(*SMALL, "--own", "--save", "ours")
    [entry] = tomllib.loads(Path("farthing-hosts.toml").read_text())["host"]
    assert entry["usd_per_gpu_hour"] == made["usd_per_gpu_hour"]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("llama-3.1-70b",), "--device is missing; such as --device h100-sxm"),
        ((), "Missing argument 'MODEL'"),
        (("llama-9", "--device", "h100-sxm"), "llama-9"),
        (("", "--device", "h100-sxm"), "no model is stated"),
        (("nowhere/config.json", "--device", "h100-sxm"), "nowhere/config.json: No such file"),
        (("llama-3.1-8b", "--device", "h1000"), "unknown device 'h1000'"),
        (("llama-3.1-8b", "--device", "h100"), "stands for 3 devices; name one: h100-sxm, h100-pcie, h100-nvl"),
        (("llama-3.1-8b", "--device", "a100"), "name one: "),
        (("llama-3.1-8b", "--device", "⚡"), "unknown device"),
        ((*SMALL, "--engine", "ollama"), "one of vllm, sglang, trtllm"),
        ((*SMALL, "--weights", "q4"), "unknown format of weights 'q4'; one of bf16"),
        ((*SMALL, "--kv", "q4"), "unknown format of the KV cache 'q4'; one of bf16, fp8"),
        ((*SMALL, "--tp", "3"), "tp 3 does not divide the 32 attention heads of meta-llama/Llama-3.1-8B; 1, 2, 4"),
        ((*SMALL, "--tp", "0"), "a whole number from 1"),
        ((*SMALL, "--tp", "2", "--count", "5"), "--count 5 is not a multiple of tp × pp × dp = 2; 2, 4, 6"),
        ((*SMALL, "--pp", "33"), "pp 33 is more than the 32 layers"),
        ((*SMALL, "--ep", "2"), "has no experts to spread"),
        (("gpt-oss-120b", "--device", "h100-sxm", "--count", "8", "--ep", "3"), "ep 3 must divide tp × dp = 8"),
        ((*SMALL, "--count", "0"), "Invalid value for '--count'"),
        ((*SMALL, "--count", "x"), "Invalid value for '--count'"),
        ((*SMALL, "--input", "0"), "both must be at least 1"),
        ((*SMALL, "--input", "nan"), "both must be at least 1"),
        ((*SMALL, "--output", "-5"), "both must be at least 1"),
        ((*SMALL, "--output", "inf"), "both must be at least 1"),
        ((*SMALL, "--concurrency", "0"), "concurrency 0; at least 1"),
        ((*SMALL, "--concurrency", "nan"), "a number of at least 0"),
        ((*SMALL, "--prefix-hit", "1"), "a share from 0 to under 1"),
        ((*SMALL, "--prefix-hit", "nan"), "a number of at least 0"),
        ((*SMALL, "--utilization", "0"), "utilization 0: a share over 0, up to 1"),
        ((*SMALL, "--utilization", "1.01"), "a share over 0, up to 1"),
        ((*SMALL, "--own", "--usd-per-gpu-hour", "2"), "state --usd-per-gpu-hour or --own, not both"),
        ((*SMALL, "--own", "--region", "mars"), "unknown grid region 'mars'"),
        ((*SMALL, "--own", "--region", "nzl"), "no price of electricity is known in nzl"),
        (("llama-3.1-8b", "--device", "tpu-v5e", "--own"), "no price of a machine with tpu-v5e is known"),
        ((*SMALL, "--usd-per-gpu-hour", "-1"), "usd_per_gpu_hour is '-1'"),
        ((*SMALL, "--usd-per-gpu-hour", "$2"), "usd_per_gpu_hour is '$2'"),
        ((*SMALL, "--usd-per-gpu-hour", ""), "usd_per_gpu_hour is ''"),
        ((*SMALL, "--usd-per-gpu-hour", "1e400"), "a number of at least 0"),
        ((*SMALL, "--at", "2010-01-01", "--save", "x"), "no on-demand rent of h100-sxm is known by 2010-01-01"),
        ((*SMALL, "--at", "soon"), "'soon' is not an ISO 8601 instant"),
        ((*SMALL, "--draft-tokens", "3"), "--draft-tokens and --acceptance go together"),
        ((*SMALL, "--acceptance", "0.5"), "--draft-tokens and --acceptance go together"),
        ((*SMALL, "--draft-tokens", "3", "--acceptance", "7"), "acceptance 7: a share from 0 to 1"),
        ((*SMALL, "--disaggregated", "1"), "--disaggregated '1' is not P:D, such as 1:3"),
        ((*SMALL, "--disaggregated", "0:1"), "is not P:D"),
        ((*SMALL, "--disaggregated", "²:1"), "is not P:D"),
        ((*SMALL, "--disaggregated", "1:99999999999"), "is not P:D"),
        ((*SMALL, "--disaggregated", "1:3", "--count", "6"), "--count 6 cannot be shared evenly by 1 + 3 replicas"),
        ((*SMALL, "--disaggregated", "1:3", "--save", "x"), "--save keeps a plain deployment"),
        ((*SMALL, "--disaggregated", "1:3", "--calibration", "x"), "not both"),
        ((*SMALL, "--calibration", "none.toml"), "none.toml: cannot be read"),
        ((*SMALL, "--save", " "), "--save needs a name"),
        ((*SMALL, "--save", "x", "--hosts", "no/such/folder.toml"), "cannot be written"),
        ((*SMALL, "--card", "no/such/folder.toml"), "cannot be written"),
    ],
)
def test_estimate_refusals(args: tuple[str, ...], said: str) -> None:
    assert said in refused("estimate", *args)


def test_a_file_of_hosts_that_is_not_ours_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("[tool]\na = 1\n")
    assert f"{file}:1: unknown key 'tool'" in refused("estimate", *SMALL, "--save", "x", "--hosts", file)
    assert file.read_text() == "[tool]\na = 1\n"


def test_a_device_without_a_known_rent() -> None:
    unknown = next(one.id for one in devices.everything() if not market.rents(one.id))
    made = told("llama-3.1-8b", "--device", unknown, "--weights", "int8")
    assert made["feasible"] and made["tpot_ms"]["value"] > 0 and made["usd_per_mtok_output"] is None
    text = run("host", "estimate", "llama-3.1-8b", "--device", unknown).out
    assert f"no on-demand rent of {unknown} is known: state it" in text
    goal = ("--ttft-ms", "9000", "--tpot-ms", "900")
    assert f"no on-demand rent of {unknown}" in refused("search", "llama-3.1-8b", "--device", unknown, *goal)


# --- search ---------------------------------------------------------------------------------------


def searched(*args: object) -> Any:
    return run("host", "search", *args, "--json").json


def test_a_search_in_json() -> None:
    made = searched(*SMALL, "--device", "h200", *GOAL, "--input", "1024", "--output", "512", "--sure")
    assert made["goal"] == {"input": 1024, "output": 512, "ttft_ms": 1000, "tpot_ms": 30, "prefix_hit": 0, "sure": True}
    assert made["meeting"] == len(made["best"]) > 4
    for one in made["best"]:
        assert one["feasible"] and one["ttft_ms"]["high"] <= 1000 and one["tpot_ms"]["high"] <= 30
    costs = [one["usd_per_mtok_blended"]["value"] for one in made["best"]]
    assert costs == sorted(costs)
    assert {one["device"] for one in made["best"]} == {"h100-sxm", "h200-sxm"}


def test_what_a_search_promises_an_estimate_confirms() -> None:
    best = searched("llama-3.1-70b", "--device", "h200", *GOAL, "--usd-per-gpu-hour", "3")["best"][0]
    again = told("llama-3.1-70b", "--device", "h200", "--count", best["count"], "--weights", best["weights"], "--tp",
                 best["tp"], "--concurrency", best["concurrency"], "--usd-per-gpu-hour", "3")  # fmt: skip
    for name in ("ttft_ms", "tpot_ms", "usd_per_mtok_blended"):
        assert again[name] == best[name]


def test_a_search_as_a_table() -> None:
    both = ("--device", "h200", "--device", "b200", "--engine", "sglang", "--engine", "trtllm")
    text = narrow(run("host", "search", "deepseek-v3", *both, *GOAL))
    assert " deployments meet TTFT ≤ 1000 ms and TPOT ≤ 30 ms (1,024 tokens in, 1,024 out)" in text
    assert "… and " in text and "No other is both faster and cheaper:" in text


def test_rents_are_of_the_devices_in_their_order() -> None:
    both = (*SMALL, "--device", "h200", *GOAL)
    rents = searched(*both, "--usd-per-gpu-hour", "2", "--usd-per-gpu-hour", "3")["best"]
    assert {(one["device"], one["usd_per_gpu_hour"]) for one in rents} == {("h100-sxm", "2"), ("h200-sxm", "3")}
    assert {one["usd_per_gpu_hour"] for one in searched(*both, "--usd-per-gpu-hour", "2")["best"]} == {"2"}
    once = searched(*SMALL, *GOAL)
    assert searched(*SMALL, "--device", "h100-sxm", *GOAL)["tried"] == once["tried"]  # named twice, tried once


def test_none_meets_and_none_fits() -> None:
    made = searched(*SMALL, "--ttft-ms", "1", "--tpot-ms", "0.1")
    assert made["best"] == [] and made["nearest"]["tpot_ms"]["value"] > 0.1
    assert "The nearest:" in narrow(run("host", "search", *SMALL, "--ttft-ms", "1", "--tpot-ms", "0.1"))
    nothing = searched("llama-3.1-405b", "--device", "rtx-4090", *GOAL)
    assert (nothing["best"], nothing["frontier"], nothing["nearest"], nothing["fitting"]) == ([], [], None, 0)
    assert "None fits in memory" in narrow(run("host", "search", "llama-3.1-405b", "--device", "rtx-4090", *GOAL))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*SMALL, "--ttft-ms", "1000"), "Missing option '--tpot-ms'"),
        (("llama-3.1-8b", *GOAL), "Missing option '--device'"),
        ((*SMALL, "--ttft-ms", "0", "--tpot-ms", "30"), "a goal is more than 0 ms"),
        ((*SMALL, "--ttft-ms", "nan", "--tpot-ms", "30"), "a goal is more than 0 ms"),
        (("llama-3.1-8b", "--device", "h100", *GOAL), "name one: h100-sxm"),
        (("llama-9", "--device", "h100-sxm", *GOAL), "llama-9"),
        ((*SMALL, *GOAL, "--engine", "x"), "one of vllm, sglang, trtllm"),
        ((*SMALL, *GOAL, "--weights", "x"), "unknown format of weights 'x'"),
        ((*SMALL, *GOAL, "--kv", "x"), "unknown format of the KV cache 'x'"),
        ((*SMALL, *GOAL, "--max-gpus", "0"), "Invalid value for '--max-gpus'"),
        ((*SMALL, *GOAL, "--own", "--usd-per-gpu-hour", "1"), "not both"),
        ((*SMALL, *GOAL, "--usd-per-gpu-hour", "1", "--usd-per-gpu-hour", "2"), "2 rents for 1 device"),
        ((*SMALL, *GOAL, "--usd-per-gpu-hour", "x"), "'x' is not an amount of dollars"),
        ((*SMALL, *GOAL, "--usd-per-gpu-hour", "1e400"), "'1e400' is not an amount of dollars"),
        ((*SMALL, *GOAL, "--utilization", "0"), "utilization 0"),
        ((*SMALL, *GOAL, "--prefix-hit", "1"), "a share from 0 to under 1"),
        ((*SMALL, *GOAL, "--input", "0"), "both must be at least 1"),
    ],
)
def test_search_refusals(args: tuple[str, ...], said: str) -> None:
    assert said in refused("search", *args)


@pytest.mark.parametrize("verb", ["estimate", "search", "simulate"])
def test_help_has_an_example(verb: str) -> None:
    ran = run("host", verb, "--help")
    assert ran.code == 0 and f"Example: farthing host {verb} " in " ".join(ran.out.split())
