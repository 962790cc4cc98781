"""guidellm's JSON report: a list of benchmarks, each with distributions by the outcome of the request.

`request_latency` is in seconds, the others in ms by their names. `inter_token_latency_ms` is
(last - first token) / (output - 1) of a request, weighted by its tokens: TPOT in our words. Its own
`time_per_output_token_ms` counts the first token as well, and is not used.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import find, number, positive, text, whole
from farthing.serving.measured.measurement import Latency, Measurement

NAME = "guidellm"
_SHARES = {"p75": "p75", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9"}


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` is a report, or one benchmark of it."""
    benchmarks = record.get("benchmarks")
    inside = benchmarks[0] if isinstance(benchmarks, list) and benchmarks else record
    metrics = inside.get("metrics") if isinstance(inside, Mapping) else None
    return isinstance(metrics, Mapping) and ("time_to_first_token_ms" in metrics or "request_latency" in metrics)


def parts(record: Mapping[str, Any], source: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The benchmarks of a report, each with the report it stands in (which may hold the model and the lengths)."""
    benchmarks = record.get("benchmarks")
    if not isinstance(benchmarks, list):
        yield record, source
        return
    around = {name: record[name] for name in ("args", "config") if name in record}
    for position, benchmark in enumerate(benchmarks, 1):
        if isinstance(benchmark, Mapping):
            yield {**benchmark, "report": around}, f"{source}[{position}]"


def read(benchmark: Mapping[str, Any], source: str) -> Measurement:
    """The measurement of one benchmark. Raises `Refused`."""
    report = benchmark.get("report") or {}
    metrics = benchmark.get("metrics", {})
    config = [
        benchmark.get(name) for name in ("config", "args", "worker", "scheduler", "request_loader", "benchmarker")
    ]
    strategy = find(config, "strategy") or find(config, "mode")
    strategy = strategy if isinstance(strategy, Mapping) else {}
    kind = text(strategy, "type_", "kind")
    streams = positive(strategy, "streams", "max_concurrency") if kind == "concurrent" else None
    totals = metrics.get("request_totals") or find(benchmark, "requests_made") or {}
    totals = totals if isinstance(totals, Mapping) else {}
    asked = text({"data": find([*config, report.get("args"), report.get("config")], "data")}, "data")
    return finished(
        Measurement(
            format=NAME,
            source=source,
            model=_model(config, report),
            concurrency=1.0 if kind == "synchronous" else streams,
            request_rate=positive(strategy, "rate") if kind in ("constant", "poisson") else None,
            observed_concurrency=_mean(metrics, "request_concurrency"),
            requests=whole(totals, "successful"),
            failed=whole(totals, "errored"),
            duration_s=_duration_s(benchmark),
            input_tokens=_mean(metrics, "prompt_token_count"),
            output_tokens=_mean(metrics, "output_token_count"),
            nominal_input_tokens=_asked(asked, "prompt_tokens"),
            nominal_output_tokens=_asked(asked, "output_tokens"),
            ttft_ms=_latency(metrics, "time_to_first_token_ms", 1.0),
            tpot_ms=_latency(metrics, "inter_token_latency_ms", 1.0),
            e2e_ms=_latency(metrics, "request_latency", 1000.0),
            output_tokens_per_s=_mean(metrics, "output_tokens_per_second"),
            requests_per_s=_mean(metrics, "requests_per_second"),
        )
    )


def _model(config: list[Any], report: Mapping[str, Any]) -> str:
    for tree in (config, report.get("args"), report.get("config")):
        for name in ("backend_model", "model"):
            if isinstance(found := find(tree, name), str):
                return found
    return ""


def _good(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The distribution over the successful requests."""
    metric = metrics.get(name)
    found = metric.get("successful") if isinstance(metric, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _mean(metrics: Mapping[str, Any], name: str) -> float | None:
    return positive(_good(metrics, name), "mean")


def _latency(metrics: Mapping[str, Any], name: str, factor: float) -> Latency | None:
    found = _good(metrics, name)
    if not positive(found, "mean", "median"):
        return None
    shares = found.get("percentiles")
    shares = shares if isinstance(shares, Mapping) else found

    def ms(record: Mapping[str, Any], field: str) -> float | None:
        value = number(record, field)
        return None if value is None else value * factor

    stated = {ours: ms(shares, theirs) for theirs, ours in _SHARES.items()}
    median = ms(found, "median")
    return Latency(
        mean=ms(found, "mean"), median=median if median is not None else ms(shares, "p50"), std=ms(found, "std_dev"),
        min=ms(found, "min"), max=ms(found, "max"),
        percentiles={share: value for share, value in stated.items() if value is not None},
    )  # fmt: skip


def _duration_s(benchmark: Mapping[str, Any]) -> float | None:
    start, end = number(benchmark, "start_time"), number(benchmark, "end_time")
    return positive(benchmark, "duration") or (end - start if start is not None and end is not None else None)


def _asked(data: str, name: str) -> float | None:
    """A length from a description such as "prompt_tokens=256,output_tokens=128" (or the same as JSON)."""
    import re

    found = re.search(rf'{name}"?\s*[=:]\s*(\d+)', data)
    return float(found[1]) if found else None


READER = Reader(NAME, "benchmarks[].metrics with time_to_first_token_ms", fits, read, parts)
