"""What flat records (vLLM, SGLang, InferenceX, tables) have in common: a key a figure."""

from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.fields import DEVICE, engine_of, layout, number, positive, text, whole
from farthing.serving.measured.latency import bare_unit, has_bare, in_ms, stated_latencies

CONCURRENCY = ("max_concurrency", "conc", "concurrency")
OUTPUT_RATE = ("output_throughput", "output_tokens_per_s", "output_token_throughput", "output_tput_tps")
INPUT_LENGTH = ("isl", "random_input_len", "input_len", "nominal_input_tokens")
OUTPUT_LENGTH = ("osl", "random_output_len", "output_len", "nominal_output_tokens")


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """What ran, as a flat record (or its metadata) states it."""
    backend = text(record, "engine", "framework", "backend", "endpoint_type")
    return {
        "label": text(record, "label", "tag", "id"),
        "measured_on": text(record, "measured_on", "date", "timestamp"),
        "engine": engine_of(backend) or text(record, "engine", "framework"),
        "engine_version": text(record, "engine_version", "backend_version", "version", "image"),
        "model": text(record, "model", "model_id", "model_path", "model_name"),
        "device": text(record, *DEVICE),
        "precision": text(record, "precision", "quantization", "dtype"),
        "kv_precision": text(record, "kv_precision", "kv_cache_dtype"),
        **layout(record),
    }


def load(record: Mapping[str, Any]) -> dict[str, Any]:
    """Requests, duration, lengths and rates. Lengths are real where the totals and the count are stated."""
    requests = whole(record, "completed", "requests", "successful_requests", "num_requests_successful")
    found: dict[str, Any] = {
        "concurrency": positive(record, *CONCURRENCY),
        "prefix_hit": number(record, "prefix_hit", "server_gpu_cache_hit_rate"),
        "request_rate": positive(record, "request_rate"),
        "requests": requests,
        "failed": whole(record, "failed", "failed_requests"),
        "duration_s": positive(record, "duration", "duration_s", "benchmark_duration", "duration_seconds"),
        "input_tokens": positive(record, "input_tokens", "mean_input_tokens"),
        "output_tokens": positive(record, "output_tokens", "mean_output_tokens", "mean_output_tokens_actual"),
        "nominal_input_tokens": positive(record, *INPUT_LENGTH),
        "nominal_output_tokens": positive(record, *OUTPUT_LENGTH),
        "output_tokens_per_s": positive(record, *OUTPUT_RATE),
        "input_tokens_per_s": positive(record, "input_throughput", "input_tokens_per_s", "input_tput_tps"),
        "requests_per_s": positive(record, "request_throughput", "requests_per_s"),
        "goodput_requests_per_s": number(record, "request_goodput", "request_goodput:", "goodput_requests_per_s"),
    }
    if requests:
        for field, total in (("input_tokens", "total_input_tokens"), ("output_tokens", "total_output_tokens")):
            if (tokens := positive(record, total)) is not None:
                found[field] = tokens / requests
    return found


def latencies(record: Mapping[str, Any], usual: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """`ttft_ms`, `tpot_ms`, `itl_ms`, `e2e_ms` as far as they are stated.

    `usual`: the unit of names that state none ("" decides from the evidence in `facts` or refuses).
    """
    stated = stated_latencies(record)
    unit = usual or "ms"
    if has_bare(stated):
        per_user = positive(record, "mean_intvty", "intvty_mean") or positive(record, "median_intvty", "intvty_p50")
        ratio = facts.get("nominal_ratio", 1.0)
        output = facts.get("output_tokens") or (facts.get("nominal_output_tokens") or 0) * ratio
        unit = bare_unit(stated, per_user, facts.get("output_tokens_per_s"), facts.get("concurrency"), output, usual)
    return {f"{metric}_ms": latency for metric, latency in in_ms(stated, unit).items()}
