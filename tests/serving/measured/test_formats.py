"""Each tool's result is read to the same measurement, which `records.py` describes."""

import json
from pathlib import Path
from typing import Any

import pytest

from farthing.serving.measured import own
from farthing.serving.measured.measurement import Measurement
from farthing.serving.measured.read import read_measurements

from . import records


def _one(tmp_path: Path, record: Any) -> Measurement:
    found = _all(tmp_path, record)
    assert len(found) == 1
    return found[0]


def _all(tmp_path: Path, record: Any) -> list[Measurement]:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(record))
    found, problems = read_measurements(file)
    assert problems.kept == []
    return found


@pytest.mark.parametrize("make", [records.vllm, records.sglang, records.inferencex, records.aiperf])
def test_every_tool_tells_the_same_run(tmp_path: Path, make: Any) -> None:
    one = _one(tmp_path, make())
    assert one.format == make.__name__
    assert one.statistic == "mean"
    assert one.ttft == pytest.approx(218.0)
    assert one.tpot == pytest.approx(19.005, abs=0.001)
    assert one.e2e == pytest.approx(4000.0)  # stated, or 218 + 19.005 × 199
    assert one.ttft_ms is not None
    assert one.ttft_ms.median == pytest.approx(200.0)
    assert one.ttft_ms.at("p99") == pytest.approx(400.0)
    assert one.input_length == pytest.approx(900.0)
    assert one.output_length == pytest.approx(200.0)
    assert one.concurrency == 16
    assert one.output_tokens_per_s == pytest.approx(800.0)
    assert one.requests_per_s == pytest.approx(4.0)
    assert one.input_tokens_per_s == pytest.approx(3600.0)  # 4 × 900
    assert one.doubts == ()


def test_vllm_keeps_what_only_it_states(tmp_path: Path) -> None:
    one = _one(tmp_path, records.vllm(tensor_parallel_size="4", gpu="H100", request_goodput=3.5))
    assert (one.engine, one.model, one.tp, one.gpus, one.device) == ("vllm", "Qwen/Qwen3-32B", 4, 4, "H100")
    assert (one.requests, one.failed, one.duration_s, one.goodput_requests_per_s) == (200, None, 50.0, 3.5)
    assert one.itl_ms is not None and one.itl_ms.at("p99") == 60.0


def test_a_protocol_is_not_an_engine(tmp_path: Path) -> None:
    assert _one(tmp_path, records.vllm(backend="openai-chat", endpoint_type="openai-chat")).engine == ""


def test_results_appended_to_one_file_are_each_read(tmp_path: Path) -> None:
    file = tmp_path / "appended.json"
    first, second = records.vllm(), records.vllm(max_concurrency=32, mean_ttft_ms=230.0)
    file.write_text(json.dumps(first) + "\n" + json.dumps(second, indent=1))  # vLLM writes no final line break
    found, problems = read_measurements(file)
    assert [one.concurrency for one in found] == [16, 32]
    assert [one.source for one in found] == [f"{file}:1", f"{file}:2"]
    assert problems.total == 0


def test_sglang_tells_the_limit_from_what_it_observed(tmp_path: Path) -> None:
    one = _one(tmp_path, records.sglang())
    assert (one.concurrency, one.observed_concurrency) == (16, 15.9)
    assert (one.tp, one.ep, one.gpus, one.model, one.engine_version) == (8, 8, 8, "deepseek-ai/DeepSeek-R1", "0.5.10")
    # Asked for 1000 + 222 with ratio .8: the mean of the draw is .9 of it, and 900 + 200 came.
    assert one.nominal_ratio == pytest.approx(0.9)
    assert (one.nominal_input_tokens, one.input_tokens) == (1000, 900)
    other = _one(tmp_path, records.sglang(dataset_name="sharegpt"))
    assert other.nominal_input_tokens is None  # options of a data set that was not used


def test_sglang_with_attention_over_data_has_no_more_gpus(tmp_path: Path) -> None:
    server = {"tp_size": 8, "dp_size": 4, "ep_size": 8, "enable_dp_attention": True}
    one = _one(tmp_path, records.sglang(server_info=server))
    assert (one.gpus, one.tp, one.dp, one.ep) == (8, 2, 4, 8)
    copies = _one(tmp_path, records.sglang(server_info={**server, "enable_dp_attention": False}))
    assert (copies.gpus, copies.tp, copies.dp) == (32, 8, 4)


def test_inferencex_is_in_seconds_per_gpu_and_nominal(tmp_path: Path) -> None:
    one = _one(tmp_path, records.inferencex())
    assert (one.gpus, one.tp, one.dp, one.ep, one.device, one.engine) == (8, 8, 1, 1, "h200", "vllm")
    assert one.input_tokens is None and one.nominal_input_tokens == 1000
    assert one.speculative == ""
    assert "0.9 × 1000" in one.notes[0]


def test_inferencex_attention_over_data(tmp_path: Path) -> None:
    one = _one(tmp_path, records.inferencex(dp_attention="true", ep=8, spec_decoding="mtp"))
    assert (one.gpus, one.tp, one.dp, one.ep, one.speculative) == (8, 1, 8, 8, "mtp")


def test_inferencex_disaggregated_output_is_per_decode_gpu(tmp_path: Path) -> None:
    split = {"disagg": True, "is_multinode": True, "num_prefill_gpu": 4, "num_decode_gpu": 8, "prefill_tp": 4,
             "prefill_num_workers": 1, "decode_tp": 8, "decode_num_workers": 1, "decode_dp_attention": "true",
             "decode_ep": 8, "output_tput_per_gpu": 100.0, "tput_per_gpu": 4400 / 12, "tp": None}  # fmt: skip
    one = _one(tmp_path, records.inferencex(**split))
    assert one.disaggregated and one.gpus == 12
    assert one.decode is not None and (one.decode.dp, one.decode.tp, one.decode.ep) == (8, 1, 8)
    assert one.output_tokens_per_s == pytest.approx(800.0)  # 100 × 8 decode GPUs
    assert one.input_tokens_per_s == pytest.approx(3600.0)  # 4400 - 800


def test_inferencex_of_agents_has_real_lengths_and_a_cache(tmp_path: Path) -> None:
    agents = {"isl": None, "osl": None, "scenario_type": "agentic-coding", "mean_input_tokens": 900.0,
              "mean_output_tokens_actual": 200.0, "num_requests_successful": 200, "duration_seconds": 50.0}  # fmt: skip
    one = _one(tmp_path, records.inferencex(**agents))
    assert (one.input_tokens, one.output_tokens, one.requests, one.duration_s) == (900, 200, 200, 50)
    assert "share that came from the cache is not stated" in one.doubts[0]
    told = _one(tmp_path, records.inferencex(**agents, server_gpu_cache_hit_rate=0.9))
    assert told.doubts == () and told.prefix_hit == 0.9


def test_idle_time_in_the_throughput_is_noted(tmp_path: Path) -> None:
    one = _one(tmp_path, records.vllm(max_concurrency=32))
    assert one.notes == ("throughput × time says 16 of 32 in flight: the throughput has idle time in it",)


def test_inferencex_row_of_the_database(tmp_path: Path) -> None:
    flat = records.inferencex()
    top = ("conc", "framework", "model", "precision", "isl", "osl", "image", "disagg", "is_multinode")
    row = {name: flat.pop(name) for name in top}
    row |= {"hardware": flat.pop("hw"), "prefill_tp": 8, "prefill_ep": 1, "prefill_dp_attention": False,
            "decode_tp": 8, "num_prefill_gpu": 8, "num_decode_gpu": 8, "date": "2026-09-10"}  # fmt: skip
    row["metrics"] = {name: value for name, value in flat.items() if "t" in name and isinstance(value, float)}
    (one,) = _all(tmp_path, [row])
    assert (one.gpus, one.tp, one.device, one.measured_on) == (8, 8, "h200", "2026-09-10")
    assert one.output_tokens_per_s == pytest.approx(800.0)


def test_aiperf_converts_units_and_finds_the_setup_by_name(tmp_path: Path) -> None:
    one = _one(tmp_path, records.aiperf(time_to_first_token={"unit": "s", "avg": 0.218, "p50": 0.2, "p99": 0.4}))
    assert one.ttft == pytest.approx(218.0)
    assert (one.model, one.nominal_input_tokens, one.nominal_output_tokens) == ("Qwen/Qwen3-32B", 900, 200)
    assert one.itl_ms is None  # its "inter_token_latency" is a mean per request: our TPOT
    assert "cancelled" in _one(tmp_path, records.aiperf(was_cancelled=True)).doubts[0]


def test_aiperf_of_late_2026_has_phases(tmp_path: Path) -> None:
    phases = [
        {"name": "warmup", "exclude_from_results": True, "concurrency": 3},
        {"name": "profiling", "type": "concurrency", "concurrency": 16},
    ]
    one = _one(tmp_path, records.aiperf(input_config={"models": {"items": [{"name": "org/m"}]}, "phases": phases}))
    assert (one.model, one.concurrency) == ("org/m", 16)


def test_genai_perf_is_the_same_export(tmp_path: Path) -> None:
    older = {"input_config": {"model": ["m"], "concurrency": 16, "synthetic_input_tokens_mean": 900}}
    one = _one(tmp_path, records.aiperf(schema_version=None, **older))
    assert (one.model, one.concurrency, one.nominal_input_tokens) == ("m", 16, 900)


def test_guidellm_has_a_measurement_a_benchmark(tmp_path: Path) -> None:
    closed, opened = _all(tmp_path, records.guidellm())
    assert (closed.concurrency, closed.request_rate) == (16, None)
    assert (opened.concurrency, opened.request_rate) == (None, 4.2)
    for one in (closed, opened):
        assert one.tpot == pytest.approx(19.005, abs=0.001)  # not its time_per_output_token of 20, which has the TTFT
        assert one.e2e == pytest.approx(4000.0)  # from 4 s
        assert one.ttft_ms is not None and one.ttft_ms.at("p99.9") == pytest.approx(327.0)
        assert (one.model, one.requests, one.failed, one.nominal_input_tokens) == ("org/m", 200, 1, 1000)
    assert opened.source.endswith("result.json:1[2]")


def test_summaries_in_a_log(tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    summary = """INFO starting
============ Serving Benchmark Result ============
Successful requests:                     200
Maximum request concurrency:             16
Benchmark duration (s):                  50.00
Total input tokens:                      180000
Total generated tokens:                  40000
Request throughput (req/s):              4.00
Output token throughput (tok/s):         800.00
---------------Time to First Token----------------
Mean TTFT (ms):                          218.00
Median TTFT (ms):                        200.00
P99 TTFT (ms):                           400.00
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          19.01
==================================================
INFO more: 7
"""
    file.write_text(summary + summary.replace("218.00", "219.00").replace("Successful", "Backend: sglang\nSuccessful"))
    (first, second), problems = read_measurements(file)
    assert problems.total == 0
    assert (first.format, first.concurrency, first.input_tokens, first.ttft, first.tpot) == (
        "vllm",
        16,
        900,
        218,
        19.01,
    )
    assert first.ttft_ms is not None and first.ttft_ms.at("p99") == 400
    assert first.source == f"{file}:2" and first.doubts == ()
    assert (second.engine, second.ttft) == ("sglang", 219)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "engine;model;gpu;tp;isl;osl;concurrency;median_ttft_ms;median_tpot_ms\nvllm;org/m;L40S;2;900;200;16;200;19\n"
    )
    (one,), problems = read_measurements(file)
    assert problems.total == 0
    assert (one.engine, one.device, one.tp, one.gpus, one.statistic) == ("vllm", "L40S", 2, 2, "median")
    # Little's law: 16 / (0.200 + 0.019 × 199 = 3.981 s) = 4.019 requests/s
    assert one.requests_per_s == pytest.approx(16 / 3.981)
    assert set(one.derived) == {"requests_per_s", "output_tokens_per_s", "input_tokens_per_s"}


def test_our_own_file_gives_back_what_was_written(tmp_path: Path) -> None:
    before = [_one(tmp_path, make()) for make in (records.vllm, records.inferencex, records.aiperf)]
    before += [*_all(tmp_path, records.guidellm()), _one(tmp_path, records.vllm(max_concurrency=32))]
    file = tmp_path / "own.json"
    own.write(file, before, {"url": "http://127.0.0.1:1/v1"})
    after, problems = read_measurements(file)
    assert problems.total == 0
    assert [m.source for m in after] == [f"{file}:1[{n}]" for n in range(1, 7)]

    def bare(m: Measurement) -> dict[str, Any]:
        return {name: getattr(m, name) for name in m.__struct_fields__ if name != "source"}

    assert [bare(m) for m in after] == [bare(m) for m in before]


def test_a_folder_is_searched_and_a_file_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(records.vllm()))
    (tmp_path / "notes.json").write_text('{"unrelated": 1}')
    (tmp_path / "b.jsonl").write_text(json.dumps(records.sglang(mean_ttft_ms=219.0)) + "\n")
    found, problems = read_measurements([tmp_path, tmp_path / "a.json"])
    assert [one.format for one in found] == ["vllm", "sglang"]
    assert dict(problems.reasons) == {"record of no known format": 1}  # said, not silent
