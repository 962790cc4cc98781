"""The simulator of continuous batching: simulated requests per second of CPU, on one core.

Three loads: a chat-like one (500 tokens in, 200 out, about 100 sequences at once), and, where `../shared`
is there, two public traces: Azure's conversations, ten times over, and Mooncake's, with the prefix cache.
Each with a step model of half a microsecond a call, and with one that takes 15 µs, as a detailed one does.
"""

import csv
import json
import resource
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from farthing.serving.simulator import Requests, Run, simulate

TRACES = Path(__file__).parents[2] / "shared" / "traces"
ASKED = 15_000  # requests per second of CPU


class Roofline:
    """A roofline with the numbers of one H100 and an 8B model: seconds of a step from bytes and operations."""

    kv_tokens, max_sequences, token_budget, gpus = 400_000, 256, 8192, 1

    def step_s(self, prompt_tokens: float, prompt_pairs: float, sequences: float, context: float) -> float:
        tokens = prompt_tokens + sequences
        linear = max(16e9 / 3.35e12, 16e9 * tokens / 990e12)
        attention = 131_072 * context / 3.35e12 + 524_288 * prompt_pairs / 990e12
        return 0.002 + (linear + attention) / 0.8

    def watts(self, prompt_tokens: float, sequences: float) -> float:
        return 100.0 if not prompt_tokens and not sequences else 500.0


class Slow(Roofline):
    """The same times, in 15 µs a call."""

    def step_s(self, prompt_tokens: float, prompt_pairs: float, sequences: float, context: float) -> float:
        until = time.perf_counter() + 15e-6
        while time.perf_counter() < until:
            pass
        return super().step_s(prompt_tokens, prompt_pairs, sequences, context)


def main() -> None:
    loads: list[tuple[str, Requests, int, dict[str, Any]]] = [("chat", chat(100_000), 1, {})]
    if TRACES.is_dir():
        loads.append(("azure-conv x 10", azure(10), 1, {}))
        loads.append(("azure-conv x 10, 4 replicas", azure(10), 4, {}))
        loads.append(("mooncake, prefix cache", mooncake(), 8, {"router": "prefix", "prefix_cache": True}))
    else:
        print("no ../shared/traces: the two traces are left out")
    for name, requests, replicas, settings in loads:
        _report(name, requests, Roofline(), replicas, **settings)
        _report(f"{name}, 15 µs a call", requests, Slow(), replicas, **settings)
    print("a million chat-like requests:", flush=True)
    subprocess.run([sys.executable, "-c", "from benchmarks import simulator; simulator.million()"], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"peak memory of that process: {peak:.2f} GiB")


def million() -> None:
    _report("chat", chat(1_000_000), Roofline())


def chat(count: int) -> Requests:
    """About 100 at once on the roofline below saturation."""
    return Requests.synthetic(count, rate_per_s=33, prompt_tokens=500, output_tokens=200, variation=1.0)


def azure(times: int) -> Requests:
    """The Azure trace, `times` times as many requests a second: its own times, each request so often."""
    with (TRACES / "azure-conv-2023.csv").open() as file:
        rows = list(csv.DictReader(file))
    stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    return Requests.of(
        [stamp - stamps[0] + 0.1 * k for stamp in stamps for k in range(times)],
        [int(row["ContextTokens"]) for row in rows for _ in range(times)],
        [int(row["GeneratedTokens"]) for row in rows for _ in range(times)],
    )


def mooncake() -> Requests:
    with (TRACES / "mooncake-synthetic.jsonl").open() as file:
        rows = [json.loads(line) for line in file]
    return Requests.of(
        [row["timestamp"] / 1000 for row in rows],
        [row["input_length"] for row in rows],
        [row["output_length"] for row in rows],
        prefixes=[[(h, 512) for h in row["hash_ids"]] for row in rows],
    )


def _report(name: str, requests: Requests, model: Roofline, replicas: int = 1, **settings: Any) -> Run:
    began = time.process_time()
    run = simulate(requests, [model] * replicas, **settings)
    took = time.process_time() - began
    summary = run.summary()
    busy = sum(use.busy_share for use in summary.replicas) * summary.duration_s
    batch = (run.finish_s - run.first_s)[run.output_tokens > 1].sum() / busy
    steps = sum(use.steps for use in summary.replicas)
    print(
        f"{name:40}{summary.requests / took:10,.0f} requests/s of CPU = {summary.requests / took / ASKED:5.1f} x asked;"
        f" {steps / took / 1e3:7,.0f} k steps/s; {batch:5.0f} sequences at once, busy {summary.busy_share:.0%},"
        f" KV {summary.kv_share:.0%}, {summary.preemptions:,} preemptions,"
        f" {summary.cached_tokens / summary.prompt_tokens:.1%} cached, {summary.refused} refused"
    )
    return run
