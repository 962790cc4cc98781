"""The gateway's application alone, in this process, its upstream a constant: what Python does for one request.

`python -m benchmarks.gateway.inside [--profile]`: CPU µs of the event loop's thread a request (no sockets, no HTTP, no
client library), which other work on the machine disturbs least; with --profile the functions that take it.
"""

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

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
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    import uvloop

    sys.setswitchinterval(0.0005)  # as a worker has it
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_measure(Path(folder), options.requests, options.profile))


async def _measure(folder: Path, requests: int, profile: bool) -> None:
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
    if profile:
        import cProfile
        import pstats

        with cProfile.Profile() as profiler:
            await ask(requests)
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(60)
    await gateway.stop(1)


if __name__ == "__main__":
    main()
