"""Results as the tools write them (field names of their late-2026 versions; the figures are ours and consistent).

The run behind all of them: 200 requests of 900 + 200 tokens in 50 s with 16 in flight, so 4 requests/s and
800 output tokens/s; end-to-end 4,000 ms = TTFT 218 + TPOT 19.0050... × 199 (16 / 4 = 4 s: Little's law).
"""

from typing import Any

REQUESTS, DURATION_S, INPUT, OUTPUT, CONCURRENCY = 200, 50.0, 900, 200, 16
TTFT_MS = 218.0
TPOT_MS = (4000.0 - 218.0) / 199  # 19.005 ms
E2E_MS = 4000.0


def vllm(**changes: Any) -> dict[str, Any]:
    """One result of `vllm bench serve --save-result`."""
    return {
        "date": "20261101-120000", "endpoint_type": "openai", "backend": "vllm", "label": None,
        "model_id": "Qwen/Qwen3-32B", "tokenizer_id": "Qwen/Qwen3-32B", "num_prompts": REQUESTS,
        "request_rate": "inf", "burstiness": 1.0, "max_concurrency": CONCURRENCY, "duration": DURATION_S,
        "completed": REQUESTS, "failed": 0, "total_input_tokens": INPUT * REQUESTS,
        "total_output_tokens": OUTPUT * REQUESTS, "request_throughput": 4.0, "request_goodput": None,
        "output_throughput": 800.0, "total_token_throughput": 4400.0, "max_output_tokens_per_s": 900.0,
        "max_concurrent_requests": 20, "rtfx": 0.0, "mean_ttft_ms": TTFT_MS, "median_ttft_ms": 200.0,
        "std_ttft_ms": 30.0, "p99_ttft_ms": 400.0, "mean_tpot_ms": TPOT_MS, "median_tpot_ms": 19.0,
        "std_tpot_ms": 1.0, "p99_tpot_ms": 22.0, "mean_itl_ms": 19.1, "median_itl_ms": 18.0, "std_itl_ms": 5.0,
        "p99_itl_ms": 60.0, **changes,
    }  # fmt: skip


def sglang(**changes: Any) -> dict[str, Any]:
    """One line of SGLang's bench_serving; `concurrency` is what it observed."""
    return {
        "tag": None, "backend": "sglang", "dataset_name": "random", "request_rate": "inf",
        "max_concurrency": CONCURRENCY, "random_input_len": 1000, "random_output_len": 222,
        "random_range_ratio": 0.8, "duration": DURATION_S, "completed": REQUESTS,
        "server_info": {"model_path": "deepseek-ai/DeepSeek-R1", "tp_size": 8, "dp_size": 1, "ep_size": 8,
                        "version": "0.5.10", "kv_cache_dtype": "fp8_e4m3"},
        "total_input_tokens": INPUT * REQUESTS, "total_output_tokens": OUTPUT * REQUESTS,
        "total_output_tokens_retokenized": OUTPUT * REQUESTS - 7, "request_throughput": 4.0,
        "input_throughput": 3600.0, "output_throughput": 800.0, "mean_e2e_latency_ms": E2E_MS,
        "median_e2e_latency_ms": 3990.0, "mean_ttft_ms": TTFT_MS, "median_ttft_ms": 200.0, "p99_ttft_ms": 400.0,
        "mean_tpot_ms": TPOT_MS, "median_tpot_ms": 19.0, "p99_tpot_ms": 22.0, "mean_itl_ms": 19.1,
        "median_itl_ms": 18.0, "p95_itl_ms": 40.0, "p99_itl_ms": 60.0, "concurrency": 15.9, "accept_length": None,
        **changes,
    }  # fmt: skip


def inferencex(**changes: Any) -> dict[str, Any]:
    """The aggregate of an InferenceX run on 8 GPUs: seconds, per GPU, nominal lengths."""
    return {
        "hw": "h200", "conc": CONCURRENCY, "image": "vllm/vllm-openai:v0.19.0", "model": "openai/gpt-oss-120b",
        "infmax_model_prefix": "gptoss", "framework": "vllm", "precision": "fp4", "spec_decoding": "none",
        "disagg": False, "isl": 1000, "osl": 200 / 0.9, "is_multinode": False, "tp": 8, "pp": 1, "ep": 1,
        "dp_attention": "false", "tput_per_gpu": 550.0, "output_tput_per_gpu": 100.0, "input_tput_per_gpu": 450.0,
        "mean_ttft": TTFT_MS / 1000, "median_ttft": 0.2, "p99_ttft": 0.4, "mean_tpot": TPOT_MS / 1000,
        "median_tpot": 0.019, "p99_tpot": 0.022, "mean_intvty": 1000 / TPOT_MS, "median_intvty": 1 / 0.019,
        "mean_e2el": E2E_MS / 1000, "median_e2el": 3.99, **changes,
    }  # fmt: skip


def aiperf(**changes: Any) -> dict[str, Any]:
    """The export of aiperf."""
    return {
        "schema_version": "1.3", "aiperf_version": "0.10.0", "benchmark_id": "f43c",
        "request_throughput": {"unit": "requests/sec", "avg": 4.0},
        "request_latency": {"unit": "ms", "avg": E2E_MS, "p50": 3990.0, "p90": 4100.0, "p99": 4400.0, "std": 90.0},
        "request_count": {"unit": "requests", "avg": 200.0},
        "time_to_first_token": {"unit": "ms", "avg": TTFT_MS, "p50": 200.0, "p90": 300.0, "p99": 400.0},
        "inter_token_latency": {"unit": "ms", "avg": TPOT_MS, "p50": 19.0, "p90": 20.0, "p99": 22.0},
        "output_token_throughput": {"unit": "tokens/sec", "avg": 800.0},
        "output_sequence_length": {"unit": "tokens", "avg": 200.0, "p50": 200.0},
        "input_sequence_length": {"unit": "tokens", "avg": 900.0, "p50": 900.0},
        "benchmark_duration": {"unit": "sec", "avg": DURATION_S}, "was_cancelled": False,
        "start_time": "2026-11-01T12:00:00", "error_summary": [],
        "input_config": {
            "endpoint": {"model_names": ["Qwen/Qwen3-32B"], "urls": ["localhost:8000"]},
            "input": {"prompt": {"input_tokens": {"mean": 900}, "output_tokens": {"mean": 200}}},
            "loadgen": {"concurrency": CONCURRENCY},
        }, **changes,
    }  # fmt: skip


def guidellm() -> dict[str, Any]:
    """A report of guidellm with one closed-loop and one open-loop benchmark."""

    def spread(mean: float, **more: Any) -> dict[str, Any]:
        shares = {"p50": mean * 0.99, "p90": mean * 1.1, "p99": mean * 1.2, "p999": mean * 1.5}
        inner: dict[str, Any] = {
            "mean": mean,
            "median": mean * 0.99,
            "std_dev": 1.0,
            "min": mean * 0.5,
            "max": mean * 2,
            "count": 200,
        }
        inner["percentiles"] = shares
        return {"successful": {**inner, **more}, "errored": {"mean": 0.0}, "incomplete": {"mean": 0.0}}

    def benchmark(strategy: dict[str, Any]) -> dict[str, Any]:
        return {
            "type_": "generative_benchmark", "config": {"strategy": strategy, "backend": {"model": "org/m"}},
            "start_time": 1000.0, "end_time": 1050.0, "duration": DURATION_S,
            "metrics": {
                "request_totals": {"successful": 200, "incomplete": 3, "errored": 1, "total": 204},
                "requests_per_second": spread(4.0), "request_concurrency": spread(15.8),
                "request_latency": spread(E2E_MS / 1000), "prompt_token_count": spread(900.0),
                "output_token_count": spread(200.0), "time_to_first_token_ms": spread(TTFT_MS),
                "time_per_output_token_ms": spread(20.0), "inter_token_latency_ms": spread(TPOT_MS),
                "output_tokens_per_second": spread(800.0),
            },
        }  # fmt: skip

    return {
        "metadata": {"version": 2, "guidellm_version": "0.7.0"},
        "args": {"data": ["prompt_tokens=1000,output_tokens=222"]},
        "benchmarks": [
            benchmark({"type_": "concurrent", "streams": 16}),
            benchmark({"type_": "poisson", "rate": 4.2}),
        ],
    }
