"""The gateway beside others, in one run: `python -m benchmarks.gateway [--peers litellm,smg|all|none] [--million]`.

Each gateway is pinned to one core, load and mock upstream to another, and everything that it has is on. CPU a request
is the figure to trust (user and system time of all its processes); times are told as what the gateway adds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.gateway import measure, process
from benchmarks.gateway.contenders import CACHE, CONTENDERS, PEERS, Contender
from benchmarks.gateway.measure import Figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--peers", default="all", help=f"all that are installed, none, or some of {','.join(PEERS)}")
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=1, help="measure everything this often, and show the median run")
    parser.add_argument("--million", action="store_true", help="instead: Farthing's memory over a million requests")
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many, with --million")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("the benchmark needs two cores: one for the gateway, one for the load")
    with tempfile.TemporaryDirectory() as folder:
        port, mock = _mock()
        try:
            if options.million:
                _million(Path(folder), port, options.requests)
            else:
                rows = _all(_chosen(options.peers), Path(folder), port, options.seconds, options.rounds)
                print(msgspec.json.encode(rows).decode() if options.json else table(rows))
        finally:
            process.stop(mock)


def _mock() -> tuple[int, "subprocess.Popen[bytes]"]:
    port = process.free_port()
    command = ["taskset", "-c", str(measure.LOAD_CORE), sys.executable, "-m", "benchmarks.gateway.upstream", str(port)]
    mock = subprocess.Popen(command)
    while not process.answers(port, "/v1/models"):
        time.sleep(0.02)
    return port, mock


def _chosen(peers: str) -> list[Contender]:
    names = {"all": PEERS, "none": ()}.get(peers) or tuple(name for name in peers.split(",") if name != "none")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise SystemExit(f"no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    chosen = [CONTENDERS[0]]
    for contender in CONTENDERS[1:]:
        if contender.name in names and contender.installed:
            chosen.append(contender)
        elif contender.name in names:
            hint = f"python -m benchmarks.gateway.install {contender.name}"
            print(f"{contender.name} is not in {CACHE}: {hint}", file=sys.stderr)
    return chosen


def _all(contenders: list[Contender], folder: Path, mock: int, seconds: float, rounds: int) -> list[Figures]:
    runs: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for n in range(rounds):
        for contender in contenders:
            print(f"measuring {contender.name} …", file=sys.stderr, flush=True)
            own = folder / f"{contender.name}{n}"
            own.mkdir()
            try:
                runs[contender.name].append(measure.measure(contender, own, mock, seconds))
            except (RuntimeError, subprocess.CalledProcessError) as error:
                runs[contender.name].append(Figures(name=contender.name, on=contender.on, failed=str(error)))
    return [_median(each) for each in runs.values()]


def _median(runs: list[Figures]) -> Figures:
    """The run whose CPU a request is in the middle."""
    whole = sorted((run for run in runs if run.cpu_us is not None), key=lambda run: run.cpu_us or 0)
    return whole[len(whole) // 2] if whole else runs[0]


def _million(folder: Path, mock: int, requests: int) -> None:
    print("requests   largest process MiB   all processes MiB")
    for count, memory in measure.flat(CONTENDERS[0], folder, mock, requests):
        print(f"{count:9,d} {memory.rss:18.1f} {memory.all:18.1f}", flush=True)


HEADINGS = (
    "requests/CPU s | µs CPU | times | +p50 ms | +p99 ms | +first p50 | +first p99 | µs/chunk | start ms | MiB | later"
)


def table(rows: list[Figures]) -> str:
    """One line a gateway; `times`: how much CPU it takes where Farthing takes one."""
    ours = rows[0].cpu_us

    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    lines = [f"| gateway | {HEADINGS} |", "|---" * 12 + "|"]
    for row in rows:
        times = row.cpu_us / ours if row.cpu_us and ours else None
        cells = [
            shown(row.per_cpu_second, ",.0f"),
            shown(row.cpu_us, ",.0f"),
            shown(times, ".1f"),
            shown(row.added_p50_ms, ".2f"),
            shown(row.added_p99_ms, ".2f"),
            shown(row.first_p50_ms, ".2f"),
            shown(row.first_p99_ms, ".2f"),
            shown(row.chunk_us, ".0f"),
            shown(row.start_ms, ",.0f"),
            shown(row.memory_start.all if row.memory_start else None, ".0f"),
            shown(row.memory_end.all if row.memory_end else None, ".0f"),
        ]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    lines.append("")
    for row in rows:
        failed = f". FAILED: {' '.join(row.failed.split())[:200]}" if row.failed else ""
        busy = f". Its core was busy with others {row.waited:.0%} of the time" if (row.waited or 0) > 0.02 else ""
        lines.append(f"{row.name}: {row.on}{failed}{busy}")
    return "\n".join(lines)


main()
