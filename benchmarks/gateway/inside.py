"""The gateway's application alone, in this process, its upstream a constant: what Python does for one request.

`python -m benchmarks.gateway.inside [--bytecodes]`: CPU µs of the event loop's thread a request (no sockets, no HTTP,
no client library), which other work on the machine disturbs least; with --bytecodes what of Python it is, by function.
"""

import argparse
import asyncio
import gc
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
from benchmarks.gateway.measure import request
from benchmarks.gateway.upstream import BODY


class Response:
    """What the client gives for the mock's answer: `Request` and `Response` in one."""

    status = 200
    headers = [("content-type", "application/json"), ("content-length", str(len(BODY))), ("x-request-id", "r")]  # noqa: RUF012

    async def answer(self) -> "Response":
        return self

    def whole(self) -> bytes:
        return BODY

    def close(self) -> None:
        return None


class Client:
    """A client's connection, and its transport: nothing is waited for, and what is sent goes nowhere."""

    taken = None

    def __init__(self) -> None:
        self.transport = self
        self.statuses: set[bytes] = set()

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.statuses.add(data[9:12])

    def resume_reading(self) -> None:
        return None

    def on_answered(self) -> None:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.inside", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--bytecodes", action="store_true")
    options = parser.parse_args()
    import uvloop

    sys.setswitchinterval(0.0005)  # as a worker has it
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_measure(Path(folder), options.requests, options.bytecodes))


async def _measure(folder: Path, requests: int, bytecodes: bool) -> None:
    from farthing.gateway import upstream
    from farthing.gateway.app import Gateway
    from farthing.gateway.config import load
    from farthing.gateway.process.cycle import Cycle
    from farthing.gateway.process.heads import BY_NAME

    setup = CONTENDERS[0].setup(folder, 4141, 4142)
    os.environ.update(setup.environ)
    config = load(folder / "farthing.toml", os.environ, data=folder / "data")
    upstream.Upstream.post = lambda *_, **__: Response()  # type: ignore[method-assign,assignment]
    head, _, body = request(4141, setup.path, setup.headers).partition(b"\r\n\r\n")
    pairs = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    headers = [(name.lower(), value) for name, _, value in pairs]
    scope = {
        "type": "http", "method": "POST", "path": setup.path, "raw_path": setup.path.encode(), "query_string": b"",
        "headers": headers, BY_NAME: dict(headers), "http_version": "1.1",
    }  # fmt: skip
    client = Client()

    gateway = Gateway(config, config.data)
    await gateway.start()

    async def ask(count: int) -> None:
        for n in range(count):
            cycle = Cycle(client, dict(scope), client, True)  # type: ignore[arg-type]
            cycle.came(body)
            cycle.ended()
            await gateway(dict(scope), cycle.receive, cycle.send)
            if n % 100 == 99:
                await asyncio.sleep(0)

    await ask(2_000)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    for _ in range(3):
        began = time.thread_time()
        await ask(requests)
        print(f"{(time.thread_time() - began) / requests * 1e6:6.1f} µs a request", flush=True)
        await asyncio.sleep(0.5)
    if client.statuses != {b"200"}:
        raise SystemExit(f"answers of status {sorted(client.statuses)}")
    if bytecodes:
        await _count(ask)
    await gateway.stop(1)


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
