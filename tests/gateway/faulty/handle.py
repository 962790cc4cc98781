"""How tests hold the upstream: in a thread, or in a process of its own."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from urllib.request import Request, urlopen

from tests.gateway.faulty.log import Log, Record, read_log
from tests.gateway.faulty.orders import words_of
from tests.gateway.faulty.serve import Server
from tests.gateway.faulty.wire import Reply


class Upstream:
    """The upstream in a thread of this process. `url`: its address without `/v1`."""

    def __init__(self, port: int = 0, log: Path | None = None) -> None:
        self.log = Log(log)
        self.server = Server(self.log)
        self._port = port
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Upstream":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        self.port = await self.server.start(self._port)
        self._ready.set()
        await self._stop.wait()
        await self.server.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def next(self, orders: str) -> None:
        """Orders for the next request: `upstream.next("fault=die at=3")`."""
        self.server.next.append(words_of(orders))

    def reply(self, *chunks: bytes, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> None:
        """The very bytes of the next answer: one chunk is a whole body of JSON, several are a stream of events."""
        streamed = len(chunks) > 1
        kind = ("content-type", "text/event-stream" if streamed else "application/json")
        typed = [*headers] if any(name == "content-type" for name, _ in headers) else [kind, *headers]
        self.server.replies.append(Reply(status, typed, list(chunks), [0] * len(chunks), streamed))

    def records(self) -> list[Record]:
        return self.log.all()

    def clear(self) -> None:
        self.log.clear()
        self.server.next.clear()
        self.server.replies.clear()


class UpstreamProcess:
    """The upstream in a process of its own, its log in a file."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.url = ""

    def __enter__(self) -> "UpstreamProcess":
        command = [sys.executable, "-m", "tests.gateway.faulty", "--port", "0", "--log", str(self._log)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def next(self, orders: str) -> None:
        with urlopen(Request(f"{self.url}/_next", orders.encode())) as answer:
            answer.read()

    def records(self) -> list[Record]:
        return read_log(self._log)
