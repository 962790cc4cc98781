"""LiteLLM's database for a run of the benchmark: PostgreSQL of its own, the tables, a virtual key, what it cost.

LiteLLM reaches its database through Prisma's query engine. The program that Prisma offers comes from a host of its own
only; the same engine as a library (Prisma 4.7.1, Node-API) is in a package of the npm registry, and query_engine.js
gives it the program's face. So the engine's work is Prisma's own, and Node's HTTP stands in for the program's.
"""

import atexit
import http.client
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.ledger.postgres.server import Server, missing, programs

from benchmarks.gateway import process
from benchmarks.gateway.measure import GATEWAY_CORE

KEY = "sk-bench-0123456789abcdef"
_KEY = {
    "key": KEY,
    "key_alias": "bench",
    "max_budget": 1_000_000,
    "budget_duration": "30d",
    "rpm_limit": 100_000_000,
    "tpm_limit": 100_000_000_000,
    "max_parallel_requests": 100_000,
}
_open: "list[Database]" = []


def environ(tools: Path) -> dict[str, str]:
    """What Prisma's Python client and its CLI read, to take what `install` put into `tools` and ask no host."""
    return {
        "PRISMA_BINARY_CACHE_DIR": str(tools / "cli"),
        "PRISMA_QUERY_ENGINE_BINARY": str(tools / "query-engine"),
        "PRISMA_SCHEMA_ENGINE_BINARY": "/bin/false",  # asked for, not needed: psql applies the migrations
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
    }


class Database:
    """A PostgreSQL server with LiteLLM's tables. It ends with this process, or where the next one begins."""

    def __init__(self, litellm: Path) -> None:
        """`litellm`: the environment that LiteLLM is installed in. RuntimeError where there can be no server."""
        if why := missing():
            raise RuntimeError(why)
        while _open:
            _open[0].close()
        self._server = Server()
        self._cpu_s = 0.0
        _open.append(self)
        self.url = f"postgresql://farthing@localhost/postgres?host={self._server.folder}"
        files = sorted(litellm.glob("lib/python3*/site-packages/litellm_proxy_extras/migrations/*/migration.sql"))
        if not files:
            raise RuntimeError(f"no migrations of litellm_proxy_extras in {litellm}")
        self._psql(*(part for file in files for part in ("-f", str(file))))

    def make_key(
        self, command: Sequence[str], port: int, ready: str, settings: Mapping[str, str], folder: Path
    ) -> None:
        """Start the proxy once and have it make `KEY`, as its administrator would; then it is gone again."""
        target = process.start(command, port, ready, GATEWAY_CORE, settings, folder)
        try:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {"authorization": "Bearer sk-master", "content-type": "application/json"}
            link.request("POST", "/key/generate", json.dumps(_KEY), headers)
            with link.getresponse() as answer:
                said = answer.read().decode("utf-8", "replace")
                if answer.status != 200 or json.loads(said)["key"] != KEY:
                    raise RuntimeError(f"LiteLLM did not make the key: {answer.status} {said}")
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeError(f"LiteLLM did not make the key: {error}") from None
        finally:
            process.stop(target.process)
        self._cpu_s = self._all_cpu_s()

    def told(self) -> str:
        """What the run left: spend rows beside requests counted; the server's own CPU, which the table leaves out."""
        counted = self._psql("-c", 'SELECT coalesce(sum(api_requests), 0) FROM "LiteLLM_DailyUserSpend"')
        rows, dollars = self._psql("-c", 'SELECT count(*), coalesce(sum(spend), 0) FROM "LiteLLM_SpendLogs"').split("|")
        cpu_us = (self._all_cpu_s() - self._cpu_s) / max(1, int(counted)) * 1e6
        held = f"litellm-db: for {int(counted):,} requests its database holds {int(rows):,} spend rows"
        return f"{held} of ${float(dollars):.4f}; not counted: {cpu_us:,.0f} µs of PostgreSQL's CPU for each"

    def close(self) -> None:
        """Tell on standard error, end the server and remove its folder. Twice does no harm."""
        if self not in _open:
            return
        _open.remove(self)
        try:
            print(self.told(), file=sys.stderr)
        except (RuntimeError, OSError) as error:
            print(f"litellm-db: its database does not tell: {error}", file=sys.stderr)
        finally:
            self._server.close()

    def _psql(self, *what: str) -> str:
        found = programs()
        assert found is not None
        place = ["-h", str(self._server.folder), "-U", "farthing", "-d", "postgres"]
        command = [str(found / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *place, *what]
        settings = {"PGOPTIONS": "-c client_min_messages=warning"}
        ran = subprocess.run(command, capture_output=True, text=True, env=settings)
        if ran.returncode:
            raise RuntimeError(f"psql: {ran.stderr.strip()}")
        return ran.stdout.strip()

    def _all_cpu_s(self) -> float:
        """CPU seconds of the server: its own, its living processes', and of those that have ended."""
        pid = int((self._server.folder / "data" / "postmaster.pid").read_text().split()[0])
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return process.cpu_s(pid) + (int(fields[13]) + int(fields[14])) * process.TICK_S


@atexit.register
def _close() -> None:
    while _open:
        _open[0].close()
