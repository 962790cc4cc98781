"""The JSON export of aiperf, and of its ancestor genai-perf: a metric an object, with its unit.

`inter_token_latency` is (latency - TTFT) / (output - 1) of a request: TPOT in our words; the gaps between
chunks are `inter_chunk_latency`. Lengths are real. The configuration moves between versions, so that model,
concurrency and rate are looked for by name.
"""

from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import DEVICE, Refused, engine_of, find, layout, number, positive, text, whole
from farthing.serving.measured.measurement import Latency, Measurement

NAME = "aiperf"
_TIMES = ("time_to_first_token", "inter_token_latency", "request_latency", "inter_chunk_latency")
_TO_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1000.0, "sec": 1000.0, "seconds": 1000.0}


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` holds metrics as objects with an average."""
    return any(
        isinstance(record.get(name), Mapping) and "avg" in record[name] for name in (*_TIMES, "request_throughput")
    )


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The one measurement of `record`. Raises `Refused`."""
    setup = record.get("input_config")
    config: Mapping[str, Any] = _counted(setup) if isinstance(setup, Mapping) else {}
    flat = {name: find(config, name) for name in ("concurrency", "request_rate", "model_names", "model")}
    flat["items"] = [find(find(config, "models"), "name")]
    doubts = ("the run was cancelled",) if record.get("was_cancelled") else ()
    return finished(
        Measurement(
            format=NAME,
            source=source,
            doubts=doubts,
            label=text(record, "benchmark_id"),
            measured_on=text(record, "start_time")[:10],
            engine=engine_of(text(config, "backend"), text({"n": find(config, "backend")}, "n")),
            model=text(flat, "model_names", "model", "items") or text(record, "model"),
            device=text(record, *DEVICE) or _gpu(record),
            **layout(record),
            input_tokens=_of(record, "input_sequence_length"),
            output_tokens=_of(record, "output_sequence_length"),
            nominal_input_tokens=_asked(config, "input_tokens", "synthetic_input_tokens_mean", "synthetic_tokens"),
            nominal_output_tokens=_asked(config, "output_tokens", "output_tokens_mean"),
            concurrency=positive(flat, "concurrency"),
            request_rate=positive(flat, "request_rate"),
            observed_concurrency=_of(record, "effective_concurrency"),
            requests=whole({"requests": _of(record, "request_count")}, "requests"),
            failed=whole({"failed": _of(record, "error_request_count")}, "failed"),
            duration_s=_duration_s(record),
            ttft_ms=_latency(record, "time_to_first_token"),
            tpot_ms=_latency(record, "inter_token_latency"),
            itl_ms=_latency(record, "inter_chunk_latency"),
            e2e_ms=_latency(record, "request_latency"),
            output_tokens_per_s=_of(record, "output_token_throughput"),
            requests_per_s=_of(record, "request_throughput"),
            goodput_requests_per_s=_of(record, "goodput"),
        )
    )


def _counted(setup: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration without the phases that do not count: a warm-up has a load of its own."""
    phases = setup.get("phases")
    if not isinstance(phases, list):
        return setup
    return {**setup, "phases": [p for p in phases if isinstance(p, Mapping) and not p.get("exclude_from_results")]}


def _of(record: Mapping[str, Any], name: str) -> float | None:
    metric = record.get(name)
    return positive(metric, "avg") if isinstance(metric, Mapping) else None


def _factor(metric: Mapping[str, Any], name: str) -> float:
    unit = text(metric, "unit") or "ms"  # both tools write times in ms where they name no unit
    if unit not in _TO_MS:
        raise Refused(f"{name} is in {unit!r}", f"known units: {', '.join(_TO_MS)}", "unknown unit")
    return _TO_MS[unit]


def _latency(record: Mapping[str, Any], name: str) -> Latency | None:
    metric = record.get(name)
    if not isinstance(metric, Mapping) or not positive(metric, "avg", "p50"):
        return None
    factor = _factor(metric, name)

    def ms(field: str) -> float | None:
        value = number(metric, field)
        return None if value is None else value * factor

    shares = {field: ms(field) for field in metric if field.startswith("p") and field[1:].isdigit() and field != "p50"}
    return Latency(
        mean=ms("avg"), median=ms("p50"), std=ms("std"), min=ms("min"), max=ms("max"),
        percentiles={field: value for field, value in shares.items() if value is not None},
    )  # fmt: skip


def _duration_s(record: Mapping[str, Any]) -> float | None:
    metric = record.get("benchmark_duration")
    if not isinstance(metric, Mapping) or (value := positive(metric, "avg")) is None:
        return None
    return value * _factor({"unit": text(metric, "unit") or "sec"}, "benchmark_duration") / 1000


def _asked(config: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        found = find(config, name)
        value = positive(found, "mean") if isinstance(found, Mapping) else positive({name: found}, name)
        if value is not None:
            return value
    return None


def _gpu(record: Mapping[str, Any]) -> str:
    """The GPU's name, where telemetry was recorded."""
    return text({"name": find(record.get("telemetry_data"), "gpu_name")}, "name")


READER = Reader(NAME, "metrics such as {'time_to_first_token': {'avg': …, 'unit': 'ms'}}", fits, read)
