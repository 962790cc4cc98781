"""A supervisor over a small application, as a process of its own: `python -m tests.gateway.supervised CONFIG`.

CONFIG is JSON: host, port, workers, data, shutdown_s, fail (how a worker's start fails), and the word that the
application answers with. The application tells its process, sleeps, streams, dies, stands still.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from farthing.gateway.config.values import Attribution, Config, Timeouts
from farthing.gateway.process import supervisor
from farthing.problems import FarthingError


class Small:
    """Has the interface of the gateway's application."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder, self.draining = config, folder, False
        self.streams = 0

    async def start(self) -> None:
        fail = self.config.attribution.user
        if fail == "refused":
            raise FarthingError("the ledger is of a newer Farthing")
        if fail == "crash":
            raise RuntimeError("boom")
        if fail == "exit":
            os._exit(3)

    async def stop(self, grace_s: float) -> None:
        (self.folder / f"stopped-{os.getpid()}").write_text(f"{grace_s:.1f} {self.streams}")

    def reload(self, config: Config) -> None:
        if config.attribution.feature == "bad-in-worker":
            raise FarthingError("the worker does not like it")
        self.config = config

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        headers = [(b"content-type", b"text/plain")]
        if path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        if path == "/block":
            time.sleep(3600)
        if path == "/stream":
            self.streams += 1
            try:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                for number in range(int(scope["query_string"] or b"10")):
                    await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
                    await asyncio.sleep(0.1)
                await send({"type": "http.response.body", "body": b"end\n"})
            finally:
                self.streams -= 1
            return
        size = 0
        if path == "/body":
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return
                size += len(message["body"])
                if not message["more_body"]:
                    break
        body = f"{os.getpid()} {self.config.attribution.feature} {size}".encode()
        if path == "/large":
            body = b"x" * 20_000_000
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def load(file: Path) -> Config:
    """The configuration in `file`."""
    try:
        tree = msgspec.json.decode(file.read_bytes())
    except msgspec.DecodeError as error:
        raise FarthingError(f"{file}: {error}") from None
    return Config(
        port=tree.get("port", 0), host=tree.get("host", "127.0.0.1"), workers=tree.get("workers", 1),
        data=Path(tree["data"]), timeouts=Timeouts(shutdown_s=tree.get("shutdown_s", 5.0)),
        attribution=Attribution(feature=tree.get("word", ""), user=tree.get("fail", "")),
    )  # fmt: skip


def main() -> int:
    """Run it; prints "serving PORT" when it serves."""
    file = Path(sys.argv[1])
    tree = msgspec.json.decode(file.read_bytes())
    supervisor.SILENT_S = tree.get("silent_s", supervisor.SILENT_S)
    supervisor.FIRST_CHORE_S = supervisor.CHORE_S = tree.get("chore_s", supervisor.CHORE_S)
    supervisor.LEDGER_S = tree.get("ledger_s", supervisor.LEDGER_S)

    def recover(config: Config) -> None:
        (config.data / "recovered").write_text("")

    try:
        return supervisor.Supervisor(
            lambda: load(file), Small, recover=recover,
            started=lambda config, port: print("serving", port, flush=True),
            say=lambda line: print(line, file=sys.stderr, flush=True),
            chore=lambda config: ["touch", str(config.data / f"chore-{time.monotonic_ns()}")],
        ).run()  # fmt: skip
    except FarthingError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
