"""A worker's event loop without its sockets, its upstream a constant: what a request costs, from its bytes to the
answer's.

`python -m benchmarks.gateway.inside [--odd] [--bytecodes]`: CPU µs of the event loop's thread a request, and its
instructions where the system counts them, which other work on the machine disturbs least; with --odd of requests that
nothing is known of beforehand; with --bytecodes what of Python it is, by function.
"""

import argparse
import asyncio
import gc
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.gateway.contenders import CONTENDERS
from benchmarks.gateway.counter import Instructions
from benchmarks.gateway.measure import request
from benchmarks.gateway.upstream import answer


class Wire:
    """A connection's transport, of a client's or an upstream's: what is written goes nowhere."""

    def __init__(self) -> None:
        self.statuses: set[bytes] = set()
        self.writes = 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.statuses.add(data[9:12])
        self.writes += 1

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None

    def close(self) -> None:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.inside", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--odd", action="store_true", help="a new head with each request, a body with tools and parts")
    parser.add_argument("--bytecodes", action="store_true", help="those of Python, by function")
    options = parser.parse_args()
    import uvloop

    sys.setswitchinterval(0.0005)  # as a worker has it
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_measure(Path(folder), options.requests, options.odd, options.bytecodes))


async def _measure(folder: Path, requests: int, odd: bool, bytecodes: bool) -> None:
    from farthing.gateway.app import Gateway
    from farthing.gateway.client.connection import Connection as Upstream
    from farthing.gateway.config import load
    from farthing.gateway.process.connection import Connection
    from farthing.gateway.process.served import Served

    setup = CONTENDERS[0].setup(folder, 4141, 4142)
    os.environ.update(setup.environ)
    config = load(folder / "farthing.toml", os.environ, data=folder / "data")
    plain = request(4141, setup.path, setup.headers)
    asked = itertools.cycle([_odd(plain, n) for n in range(1000)] if odd else [plain])
    answers = itertools.cycle([answer(n) for n in range(1000)])
    gateway = Gateway(config, config.data)
    await gateway.start()
    served = Served(gateway, 10)
    served.at_once = gateway.at_once
    client, wire, away = Connection(served, asyncio.get_running_loop()), Wire(), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    pool = gateway._state.upstreams["mock"].open()  # type: ignore[union-attr]
    upstream = Upstream(pool)
    upstream.connection_made(away)  # type: ignore[arg-type]
    pool.give(upstream)

    async def ask(count: int) -> None:
        for n in range(count):
            before = away.writes
            client.data_received(next(asked))
            while away.writes == before:  # (a request that is served in a task)
                await asyncio.sleep(0)
                if not served.tasks and away.writes == before:
                    raise SystemExit(f"nothing was sent to the upstream; the answer: {sorted(wire.statuses)}")
            upstream.data_received(next(answers))
            while served.tasks:
                await asyncio.sleep(0)
            if n % 100 == 99:
                await asyncio.sleep(0)

    await ask(2_000)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    counter = _counter()
    for _ in range(3):
        began, first = time.thread_time(), counter.read() if counter is not None else 0
        await ask(requests)
        told = f"{(time.thread_time() - began) / requests * 1e6:6.1f} µs a request"
        if counter is not None:
            told += f", {(counter.read() - first) / requests:9,.0f} instructions"
        print(told, flush=True)
        await asyncio.sleep(0.5)
    if wire.statuses != {b"200"}:
        raise SystemExit(f"answers of status {sorted(wire.statuses)}")
    if bytecodes:
        await _count(ask)
    await gateway.stop(1)


def _odd(plain: bytes, n: int) -> bytes:
    """The same request as an agent's client may send it: traced, in parts, with tools."""
    head, _, body = plain.partition(b"\r\n\r\n")
    asked = json.loads(body)
    asked["messages"][0]["content"] = [{"type": "text", "text": asked["messages"][0]["content"]}]
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    named = [{"name": f"tool_{n}", "description": "Reads a file.", "parameters": schema} for n in range(4)]
    asked["tools"] = [{"type": "function", "function": one} for one in named]
    data = json.dumps(asked).encode()
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
    lines += [b"traceparent: 00-%032x-%016x-01" % (n + 1, n + 1), b"content-length: %d" % len(data)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + data


def _counter() -> Instructions | None:
    try:
        return Instructions()
    except OSError as error:
        print(f"({error.strerror or error})", file=sys.stderr)
        return None


async def _count(ask: Callable[[int], Awaitable[None]], requests: int = 128) -> None:
    """Print the bytecodes and the calls of a request by function: of a run like another, they are the same."""
    codes, calls = Counter[CodeType](), Counter[CodeType]()

    def step(frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            codes[frame.f_code] += 1
        return step

    def enter(frame: FrameType, _: str, __: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        calls[frame.f_code] += 1
        return step

    sys.settrace(enter)
    await ask(requests)
    sys.settrace(None)
    print(f"{codes.total() / requests:8.1f} bytecodes in {calls.total() / requests:.1f} calls")
    for code, count in codes.most_common(60):
        where = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
        print(f"{count / requests:8.1f} in {calls[code] / requests:5.2f}  {code.co_qualname}  {where}")


if __name__ == "__main__":
    main()
