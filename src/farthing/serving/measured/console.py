"""The summary that vLLM's and SGLang's clients print, kept in a log: the same figures as their JSON, rounded."""

import re
from collections.abc import Iterator

TITLE = "Serving Benchmark Result"
_LINE = re.compile(r"^[\s#>|]*(?P<name>[A-Za-z][^:]*?):\s+(?P<value>\S+)\s*$")
_TIME = re.compile(
    r"(?P<statistic>Mean|Median|Std|Max|Min|P\d+(?:\.\d+)?) (?P<metric>TTFT|TPOT|ITL|E2EL|E2E Latency) \(ms\)"
)
_NAMES = {
    "Backend": "backend",
    "Successful requests": "completed",
    "Failed requests": "failed",
    "Maximum request concurrency": "max_concurrency",
    "Max request concurrency": "max_concurrency",
    "Traffic request rate": "request_rate",
    "Request rate configured (RPS)": "request_rate",
    "Benchmark duration (s)": "duration",
    "Total input tokens": "total_input_tokens",
    "Total generated tokens": "total_output_tokens",
    "Total generated tokens (retokenized)": "total_output_tokens_retokenized",
    "Request throughput (req/s)": "request_throughput",
    "Request goodput (req/s)": "request_goodput",
    "Input token throughput (tok/s)": "input_throughput",
    "Output token throughput (tok/s)": "output_throughput",
    "Concurrency": "concurrency",
}


def summaries(content: str) -> Iterator[tuple[dict[str, str], int]]:
    """The summaries in a log as records like those of the tools' JSON, each with the number of its line."""
    record: dict[str, str] | None = None
    begun = 0
    for number, line in enumerate(content.splitlines(), 1):
        if TITLE in line:
            if record:
                yield record, begun
            record, begun = {}, number
        elif record is not None and (match := _LINE.match(line)):
            if (name := _named(match["name"].strip())) is not None:
                record[name] = match["value"]
        elif record and line.strip("#>| \t") and not line.strip("#>| \t=-") and "=" in line:
            yield record, begun  # the rule that closes it
            record = None
    if record:
        yield record, begun


def _named(said: str) -> str | None:
    time = _TIME.fullmatch(said)
    if time is None:
        return _NAMES.get(said)
    metric = time["metric"].lower().replace(" ", "_")
    return f"{time['statistic'].lower()}_{metric}_ms"
