"""The measurements of one gateway: what a request and a streamed chunk cost it, what they cost the caller in time."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.gateway import process
from benchmarks.gateway.contenders import MODEL, Contender, Setup
from benchmarks.gateway.load import Result, Side, Work
from benchmarks.gateway.process import Memory, Target

GATEWAY_CORE, LOAD_CORE = 0, 1
PROMPT = "Explain to a new colleague, in a few plain sentences, how the month's bill came about. " * 14
SHORT, LONG, GAP_MS = 4, 204, 5


class Figures(msgspec.Struct, kw_only=True):
    """Microseconds of CPU, milliseconds of time, MiB. `added`: against the same requests sent straight to the mock,
    in the same run, in turn. `waited`: the share of the latency run's time that the gateway waited for its core, which
    others used: over a few percent, its times tell more of them than of it. None: not measured, `failed` says why."""

    name: str
    on: str
    start_ms: float | None = None
    cpu_us: float | None = None
    rps: float | None = None
    added_p50_ms: float | None = None
    added_p99_ms: float | None = None
    first_p50_ms: float | None = None
    first_p99_ms: float | None = None
    chunk_us: float | None = None
    memory_start: Memory | None = None
    memory_end: Memory | None = None
    rate: float | None = None
    waited: float | None = None
    failed: str = ""

    @property
    def per_cpu_second(self) -> float | None:
        return 1e6 / self.cpu_us if self.cpu_us else None


def request(port: int, path: str, headers: Mapping[str, str], stream: int = 0) -> bytes:
    """The bytes of one chat request; `stream`: of how many chunks, 0 for a whole answer."""
    ask = f" n_chunks={stream} gap_ms={GAP_MS}" if stream else ""
    body: dict[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT + ask}]}
    body |= {"max_tokens": 300}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    data = json.dumps(body, separators=(",", ":")).encode()
    lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(data)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def load(work: Work) -> Result:
    """Run the load generator on its core."""
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "benchmarks.gateway.load"]
    ran = subprocess.run(command, input=msgspec.json.encode(work), stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(ran.stdout, type=Result)


class Refused(Exception):
    """The gateway did not answer as it should."""


def at(sorted_values: list[float], share: float) -> float:
    """The nearest rank, in milliseconds."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))] * 1e3


def _checked(result: Result) -> Result:
    bad = sum(result.bad)
    if bad:
        said = next(answer for answer in result.answer if answer).decode("utf-8", "replace")
        raise Refused(f"{bad} answers were not 200, one of them: {said[:300]}")
    return result


class Bench:
    """One gateway under measurement. `seconds`: about how long each measurement takes."""

    def __init__(self, setup: Setup, target: Target, upstream: int, seconds: float) -> None:
        self.setup = setup
        self.target = target
        self.upstream = upstream
        self.seconds = seconds

    def side(self, stream: int = 0) -> Side:
        port = self.target.port
        bytes_ = request(port, self.setup.path, self.setup.headers, stream)
        return Side(port=port, request=bytes_, pid=self.target.process.pid)

    def direct(self, stream: int = 0) -> Side:
        return Side(port=self.upstream, request=request(self.upstream, "/v1/chat/completions", {}, stream))

    def throughput(self, figures: Figures) -> None:
        """CPU a request in a closed loop of 16 connections, as many requests as take about `seconds`."""
        trial = _checked(load(Work(sides=[self.side()], requests=160, connections=16, warm=160)))
        many = max(320, int(160 / trial.wall_s * self.seconds) // 16 * 16)
        result = _checked(load(Work(sides=[self.side()], requests=many, connections=16)))
        figures.cpu_us = result.cpu_s / many * 1e6
        figures.rps = many / result.wall_s

    def latency(self, figures: Figures) -> None:
        """Added time at a modest rate: a fifth of what it can do, 200 a second at most."""
        rate = min(200.0, (figures.rps or 100) / 5)
        work = Work(sides=[self.direct(), self.side()], requests=int(rate * self.seconds * 2), rate=rate, connections=4)
        result = _checked(load(work))
        direct, through = result.total_s
        figures.rate = rate
        figures.waited = result.waited_s / result.wall_s
        figures.added_p50_ms = at(through, 0.5) - at(direct, 0.5)
        figures.added_p99_ms = at(through, 0.99) - at(direct, 0.99)

    def streams(self, figures: Figures) -> None:
        """Added time to the first byte of streams, and CPU a chunk: long streams less short ones."""
        rate = min(50.0, (figures.rps or 100) / 10)
        sides = [self.direct(SHORT), self.side(SHORT)]
        work = Work(sides=sides, requests=int(rate * self.seconds), rate=rate, connections=4, warm=20)
        direct, through = _checked(load(work)).first_s
        figures.first_p50_ms = at(through, 0.5) - at(direct, 0.5)
        figures.first_p99_ms = at(through, 0.99) - at(direct, 0.99)
        lanes = 16 if (figures.cpu_us or 0) < 1_000 else 2
        each = max(1, int(self.seconds / (LONG * GAP_MS / 1e3)))
        cpu = []
        for chunks in (SHORT, LONG):
            work = Work(sides=[self.side(chunks)], requests=lanes * each, connections=lanes, warm=lanes)
            cpu.append(_checked(load(work)).cpu_s / (lanes * each))
        figures.chunk_us = (cpu[1] - cpu[0]) / (LONG - SHORT) * 1e6


def measure(contender: Contender, folder: Path, upstream: int, seconds: float) -> Figures:
    """All figures of one gateway, started anew in `folder`."""
    figures = Figures(name=contender.name, on=contender.on)
    port = process.free_port()
    setup = contender.setup(folder, port, upstream)
    target = process.start(setup.command, port, setup.ready, GATEWAY_CORE, setup.environ, folder)
    figures.start_ms = target.start_s * 1e3
    try:
        bench = Bench(setup, target, upstream, seconds)
        figures.memory_start = target.memory()
        bench.throughput(figures)
        bench.latency(figures)
        bench.streams(figures)
    except Refused as error:
        figures.failed = str(error)
    finally:
        figures.memory_end = target.memory()
        process.stop(target.process)
    return figures


def flat(contender: Contender, folder: Path, upstream: int, requests: int) -> list[tuple[int, Memory]]:
    """Memory after each tenth of `requests`: it should not grow."""
    port = process.free_port()
    setup = contender.setup(folder, port, upstream)
    target = process.start(setup.command, port, setup.ready, GATEWAY_CORE, setup.environ, folder)
    try:
        bench = Bench(setup, target, upstream, 0)
        seen = [(0, target.memory())]
        tenth = requests // 10 // 16 * 16
        for n in range(1, 11):
            _checked(load(Work(sides=[bench.side()], requests=tenth, connections=16, warm=16)))
            seen.append((n * tenth, target.memory()))
        return seen
    finally:
        process.stop(target.process)
