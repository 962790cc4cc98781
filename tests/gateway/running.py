"""A gateway as it is run: `farthing up` in a process of its own, in front of the faulty upstream."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from fractions import Fraction
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import msgspec

from farthing.ledger.keys import Key, Keys
from farthing.ledger.view import open_view

_AT = re.compile(r"serves at http://127\.0\.0\.1:(\d+)")
OPENAI_KEY, ANTHROPIC_KEY = "sk-upstream-openai-secret", "sk-ant-upstream-secret"

UPSTREAMS = """
[[upstream]]
name = "openai"
provider = "openai"
protocol = "openai"
url = "{url}/v1"
key_env = "TEST_OPENAI_KEY"
models = ["gpt-*", "text-embedding-*", "unknown-*"]
surfaces = [
  "chat/completions", "responses", "embeddings", "completions", "models", "batches", "files",
]

[[upstream]]
name = "anthropic"
provider = "anthropic"
protocol = "anthropic"
url = "{url}/v1"
key_env = "TEST_ANTHROPIC_KEY"
models = ["claude-*"]
surfaces = ["messages", "messages/count_tokens"]
"""

IMPATIENT = """
[timeouts]
connect_s = 1
first_byte_s = 1
idle_s = 1
total_s = 4
drain_s = 1
body_s = 1
shutdown_s = 3
"""


class Row(msgspec.Struct, kw_only=True):
    """What tests look at of a ledger's row. `quantities`: the meters that are not 0."""

    id: str
    request: str
    number: int
    state: str
    http_status: int | None
    error: str | None
    usd: Fraction | None
    unknown: str | None
    estimated: bool
    model_asked: str | None
    model_served: str | None
    tier_served: str | None
    upstream: str | None
    surface: str | None
    feature: str | None
    user: str | None
    session: str | None
    key: str | None
    streamed: bool
    quantities: dict[str, int]


class Running:
    """`with Running(folder, config) as gateway:`. `config`: the text of farthing.toml, `{url}` the upstream's."""

    def __init__(
        self, folder: Path, config: str, url: str, *, workers: int = 1, environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "farthing.toml"
        self._url = url
        self._workers = workers
        self._environ = {"TEST_OPENAI_KEY": OPENAI_KEY, "TEST_ANTHROPIC_KEY": ANTHROPIC_KEY, **(environ or {})}
        self.port = 0
        self.write(config)

    def write(self, config: str) -> None:
        """Another configuration; `signal(SIGHUP)` makes a running gateway take it."""
        self.config.write_text(config.replace("{url}", self._url))

    def __enter__(self) -> "Running":
        command = [
            sys.executable,
            "-m",
            "farthing",
            "up",
            "--config",
            str(self.config),
            "--data",
            str(self.data),
        ]
        command += ["--port", str(self.port), "--workers", str(self._workers)]
        self._out = (self.folder / "out").open("a+b")
        self.process = subprocess.Popen(
            command, env={**os.environ, **self._environ}, stdout=self._out, stderr=self._out, cwd=self.folder
        )
        try:
            self.port = int(self.wait(lambda: _AT.search(self.said()), "its address").group(1))
            self.wait(self.is_ready, "a ready worker")
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._out.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, signal_: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        """End it, and wait for its end; its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._out.close()
        return self.process.returncode

    def signal(self, which: int) -> None:
        self.process.send_signal(which)

    def kill(self, pid: int) -> None:
        """End one of its processes, which must be one of its workers, without warning."""
        os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The process ids of the workers (not of what was started to do a chore)."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in pids if b"ledger" not in _command(int(pid))]

    def wait(self, what: Callable[[], Any], name: str, timeout_s: float = 20) -> Any:
        """What `what` gives once it is truthy."""
        until = time.monotonic() + timeout_s
        while not (found := what()):
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with status {self.process.returncode}:\n{self.said()}")
            if time.monotonic() > until:
                raise AssertionError(f"{name} did not come in {timeout_s} s:\n{self.said()}")
            time.sleep(0.02)
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        return (self.folder / "out").read_text("utf-8", "replace")

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as link:
            link.request("GET", path)
            answer = link.getresponse()
            return answer.status, answer.read()

    def post(
        self, path: str, body: bytes | dict[str, Any], headers: Mapping[str, str] | None = None, timeout_s: float = 20
    ) -> tuple[HTTPResponse, bytes]:
        """A request with nothing added, its answer read whole."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)) as link:
            link.request("POST", path, data, {"content-type": "application/json", **(headers or {})})
            answer = link.getresponse()
            return answer, answer.read()

    def key(self, name: str, **options: Any) -> tuple[Key, str]:
        """A new virtual key, as `farthing keys create` makes it."""
        with Keys(self.data, create=True) as keys:
            return keys.create(name, **options)

    def count(self) -> int:
        """How many rows the database holds, without the price of looking at them."""
        with closing(sqlite3.connect(self.data / "ledger.sqlite")) as database:
            return int(database.execute("SELECT count(*) FROM attempt").fetchone()[0])

    def rows(self, count: int | None = None, timeout_s: float = 5) -> list[Row]:
        """The ledger's rows in the order of their start, once `count` of them have ended (None: as they are)."""
        until = time.monotonic() + timeout_s
        while True:
            while count and self.count() < count and time.monotonic() < until:
                time.sleep(0.01)
            found = read_rows(self.data)
            ended = [row for row in found if row.state != "open"]
            if count is None or (len(ended) >= count and len(found) == len(ended)):
                return found
            if time.monotonic() > until:
                raise AssertionError(f"{len(ended)} ended rows of {len(found)}, {count} expected: {found}")
            time.sleep(0.05)

    def row(self, attempt: str, timeout_s: float = 5) -> Row:
        """The row of an attempt, once it has ended."""
        until = time.monotonic() + timeout_s
        while True:
            found = [row for row in read_rows(self.data) if row.id == attempt and row.state != "open"]
            if found or time.monotonic() > until:
                (row,) = found
                return row
            time.sleep(0.02)


def read_rows(data: Path) -> list[Row]:
    """All rows of a ledger, hot and closed."""
    if not (data / "ledger.sqlite").exists():
        return []
    with open_view(data) as view:
        columns = '* EXCLUDE (completed, first_byte) REPLACE (epoch_us("at") AS "at")'
        cursor = view.connection.execute(f'SELECT {columns} FROM attempts ORDER BY "at", number')
        names = [column[0] for column in cursor.description]
        found = []
        for values in cursor.fetchall():
            told = dict(zip(names, values, strict=True))
            quantities = {meter: int(told[meter]) for meter in view.meters if told[meter]}
            usd = Fraction(told["usd_exact"] or told["usd"]) if told["usd"] is not None else None
            fields = {name: told[name] for name in Row.__struct_fields__ if name in told}
            found.append(Row(**{**fields, "usd": usd, "quantities": quantities}))
        return found


def purses(data: Path) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Nanodollars by purse: spent, leased by workers, held by attempts whose worker died."""
    with closing(sqlite3.connect(data / "ledger.sqlite")) as database:
        spent = dict(database.execute("SELECT id, spent FROM purse"))
        leased = dict(database.execute("SELECT purse, sum(amount) FROM lease GROUP BY purse"))
        held = dict(database.execute("SELECT purse, sum(amount) FROM hold WHERE expires_us IS NOT NULL GROUP BY purse"))
    return spent, leased, held


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
