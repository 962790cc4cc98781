"""A request that is served without a task and one that is served in a task end alike: answer, row, budget, limits."""

import asyncio
import gc
import json
import re
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farthing.gateway.app import Gateway
from farthing.gateway.config import load
from farthing.gateway.observe.tracing import Tracer
from farthing.gateway.process.connection import Connection
from farthing.gateway.process.served import Served
from farthing.gateway.visit import Metered
from farthing.ledger.health import LedgerFull
from tests.gateway.asking import CONFIG, GPT, SURFACES
from tests.gateway.faulty import Upstream
from tests.gateway.running import ANTHROPIC_KEY, OPENAI_KEY, purses, read_rows

ORDERS = [
    "", "cached=2", "reasoning=3", "tool=true", "tier=priority", "model=mystery-9", "text=wide",
    "fault=no_usage", "fault=usage_huge", "fault=usage_text", "fault=gzipped", "fault=duplicate_headers",
    "fault=huge_headers", "fault=huge_answer", "fault=one_byte", "fault=split", "fault=until_closed", "fault=interim",
    "fault=error status=400", "fault=error status=429 retry_after=1", "fault=error status=500",
    "fault=error status=529",
    "fault=error status=401", "fault=redirect", "fault=refuse", "fault=refuse how=rst", "fault=half_headers",
    "fault=not_http", "fault=two_lengths", "fault=empty", "fault=not_json", "fault=garbage", "fault=die",
    "fault=die how=rst", "fault=length_over", "fault=length_under", "fault=half_json", "fault=bad_chunk", "fault=hang",
    "first_ms=300",
]  # fmt: skip
LIMITED = """
[[limit]]
per = "all"
requests_per_minute = 100000
tokens_per_minute = 100000000
concurrent = 50
"""


class Inside:
    """A gateway in this process, on the running loop. `taken`: how many requests it took without a task."""

    def __init__(self, folder: Path, config: str, url: str, *, at_once: bool) -> None:
        folder.mkdir()
        (folder / "farthing.toml").write_text(config.replace("{url}", url))
        environ = {"TEST_OPENAI_KEY": OPENAI_KEY, "TEST_ANTHROPIC_KEY": ANTHROPIC_KEY}
        self.data = folder / "data"
        self.gateway = Gateway(load(folder / "farthing.toml", environ, data=self.data), self.data)
        self.served = Served(self.gateway, 100)
        self.taken = 0
        self.served.at_once = self._take if at_once else None

    def _take(self, cycle: Any) -> bool:
        self.taken += 1
        return self.gateway.at_once(cycle)

    async def __aenter__(self) -> "Inside":
        await self.gateway.start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self.served, loop), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.gateway.stop(2)

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """A request in one piece on a connection of its own, and its answer."""
        return (await self.ask(request_of(path, body)))[0]

    async def ask(self, *requests: bytes) -> list[tuple[int, dict[str, str], bytes]]:
        """The answers to requests on one connection, one after another."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            answers = []
            for request in requests:
                writer.write(request)
                answers.append(await asyncio.wait_for(read_answer(reader), 20))
            return answers
        finally:
            writer.close()

    async def introduce(self, path: str = "/v1/chat/completions", model: str = GPT) -> None:
        """Make the head of what `post` sends known to the gateway, and a connection to the upstream."""
        await self.ask(*[request_of(path, asking("", model))] * 3)


def request_of(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = b"POST %b HTTP/1.1\r\nhost: gateway\r\nx-farthing-feature: f\r\n" % path.encode()
    return head + b"content-length: %d\r\n\r\n" % len(data) + data


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    top, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = dict(line.split(": ", 1) for line in rest)
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        return int(top.split()[1]), headers, body
    return int(top.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def asking(orders: str, model: str = GPT, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": f"hello [[words=6 prompt=7 {orders}]]"}
    return {"model": model, "max_tokens": 50, "messages": [message], **more}


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def row_of(row: Any) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in row.__struct_fields__}
    return {name: value for name, value in told.items() if name not in ("id", "request")}


VARYING = ("x-farthing-request-id", "x-request-id", "date", "x-ratelimit-remaining-tokens", "content-length")
IDS = re.compile(rb'"(id|created)": ?("[^"]*"|\d+)|[0-9a-f]{32}')


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


FALLING = """
[[model]]
name = "either"
targets = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"]
"""
WAYS = [*SURFACES.values(), ("/v1/chat/completions", "either")]


@pytest.mark.parametrize(("path", "model"), WAYS, ids=["openai", "anthropic", "falling back"])
def test_both_ways_end_alike(path: str, model: str, upstream: Upstream, tmp_path: Path) -> None:
    config = CONFIG.replace("total_s = 4", "total_s = 1") + LIMITED
    if model == "either":
        config = config.replace("count = 0", "count = 1\nfirst_s = 0.001") + FALLING

    async def work() -> None:
        told: list[list[Any]] = []
        for at_once in (True, False):
            answers: list[Any] = []
            async with Inside(tmp_path / str(at_once), config, upstream.url, at_once=at_once) as gateway:
                await gateway.introduce(path, model)
                before = gateway.taken
                for orders in ORDERS:
                    status, headers, body = await gateway.post(path, asking(orders, model))
                    kept = {name: value for name, value in headers.items() if name not in VARYING}
                    answers.append((orders, status, kept, IDS.sub(b"", body)))
                assert gateway.taken - before == at_once * len(ORDERS)
                assert gateway.gateway.in_flight == 0 and not gateway.served.tasks
                assert gateway.gateway._state is not None and gateway.gateway._state.held.bytes == 0
                assert gateway.gateway._state.shared.limits.in_flight("all#0") == 0
            told.append(answers)
            told.append([row_of(row) for row in read_rows(gateway.data)])
            told.append(sorted(purses(gateway.data)[0].values()))
            assert not any(sum(part.values()) for part in purses(gateway.data)[1:])
        for ours, theirs in zip(told[0], told[3], strict=True):
            assert ours == theirs
        for ours, theirs in zip(told[1], told[4], strict=True):
            assert ours == theirs
        assert told[2] == told[5]

    run(work)


class Counted(set[Any]):
    """A set that counts what was ever added to it."""

    added = 0

    def add(self, one: Any) -> None:
        self.added += 1
        super().add(one)


def test_plain_requests_need_no_task(upstream: Upstream, tmp_path: Path) -> None:
    async def work() -> None:
        async with Inside(tmp_path / "one", CONFIG, upstream.url, at_once=True) as gateway:
            gateway.served.tasks = tasks = Counted()
            await gateway.introduce()
            known = tasks.added
            assert known  # while the head was not known
            for _ in range(4):
                status, headers, _ = await gateway.post("/v1/chat/completions", asking(""))
                assert status == 200 and headers["x-farthing-cost-usd"]
            assert tasks.added == known
            await gateway.post("/v1/chat/completions", asking("fault=one_byte"))
            assert tasks.added == known + 1

    run(work)


def test_refusals_are_told_as_ever(upstream: Upstream, tmp_path: Path) -> None:
    """By the budget, the limits and the checks of a request, whose faults come up before a task is there."""
    config = CONFIG.replace("usd = 1000", "usd = 0.0001") + LIMITED.replace("100000\n", "9\n", 1)

    async def work() -> None:
        told = []
        for at_once in (True, False):
            async with Inside(tmp_path / str(at_once), config, upstream.url, at_once=at_once) as gateway:
                answers = []
                await gateway.introduce()
                for body in (asking(""), asking("", model=7), asking("", max_tokens=10**8), *[asking("")] * 8):
                    status, headers, answer = await gateway.post("/v1/chat/completions", body)
                    answers.append((status, headers.get("retry-after") is not None, json.loads(answer).get("error")))
                metrics = gateway.gateway._state.shared.metrics.text()  # type: ignore[union-attr]
            lines = [line for line in metrics.splitlines() if "refusals" in line and "#" not in line]
            told.append((answers, lines))
        assert told[0] == told[1]
        statuses = [status for status, *_ in told[0][0]]
        assert {200, 400, 429} == set(statuses)

    run(work)


def test_a_refusal_after_admission_leaves_nothing_in_flight(upstream: Upstream, tmp_path: Path) -> None:
    """Nobody answers for the model, which is known only once the request is counted under its limits."""
    config = CONFIG + LIMITED.replace("concurrent = 50", "concurrent = 3")

    async def work() -> None:
        for at_once in (True, False):
            async with Inside(tmp_path / str(at_once), config, upstream.url, at_once=at_once) as gateway:
                await gateway.introduce()
                for _ in range(5):
                    assert (await gateway.post("/v1/chat/completions", asking("", "nobody's")))[0] == 404
                assert gateway.gateway._state is not None
                assert gateway.gateway._state.shared.limits.in_flight("all#0") == 0
                assert (await gateway.post("/v1/chat/completions", asking("")))[0] == 200

    run(work)


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["unknown model", "ledger full"])
def test_a_refused_request_is_no_garbage_that_waits_for_the_collector(
    full: bool, upstream: Upstream, tmp_path: Path
) -> None:
    """What was raised holds the frames it passed through, and they the request."""

    async def work() -> None:
        async with Inside(tmp_path / "one", CONFIG, upstream.url, at_once=True) as gateway:
            await gateway.introduce()
            ask = request_of("/v1/chat/completions", asking("", GPT if full else "nobody's"))
            await gateway.ask(ask)
            if full:
                shared = gateway.gateway._shared
                assert shared is not None
                shared.ledger = SimpleNamespace(write=refuse, health=shared.ledger.health, close=shared.ledger.close)  # type: ignore[assignment]
            gc.collect()
            gc.disable()
            try:
                for _ in range(5):
                    assert [status for status, *_ in await gateway.ask(ask)] == [503 if full else 404]
                await asyncio.sleep(0.1)
                assert not [one for one in gc.get_objects() if isinstance(one, Metered)]
            finally:
                gc.enable()

    run(work)


def refuse(rows: Any) -> None:
    raise LedgerFull("no room")


def test_what_is_known_of_clients_that_are_gone_keeps_no_configuration_alive(
    upstream: Upstream, tmp_path: Path
) -> None:
    async def work() -> None:
        async with Inside(tmp_path / "one", CONFIG, upstream.url, at_once=True) as gateway:
            await gateway.introduce()
            assert gateway.taken
            before = weakref.ref(gateway.gateway._state)
            environ = {"TEST_OPENAI_KEY": OPENAI_KEY, "TEST_ANTHROPIC_KEY": ANTHROPIC_KEY}
            gateway.gateway.reload(load(tmp_path / "one" / "farthing.toml", environ, data=gateway.data))
            await asyncio.gather(*gateway.gateway._closing)
            gc.collect()
            assert before() is None
            assert (await gateway.post("/v1/chat/completions", asking("")))[0] == 200

    run(work)


def test_whatever_fails_when_all_is_said_nothing_stays_held(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG + LIMITED + '[telemetry]\notlp = "http://127.0.0.1:9"\n'

    async def work() -> None:
        async with Inside(tmp_path / "one", config, upstream.url, at_once=True) as gateway:
            await gateway.introduce()
            told: list[int] = []

            def fail(*_: Any, status: int, **more: Any) -> None:
                told.append(status)
                raise RuntimeError("the tracer fails")

            monkeypatch.setattr(Tracer, "request", fail)
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            for body in (asking(""), asking("", "nobody's"), asking("fault=one_byte")):
                await gateway.post("/v1/chat/completions", body)
            await asyncio.sleep(0.1)
            state = gateway.gateway._state
            assert told == [200, 404, 200] and state is not None
            assert gateway.gateway.in_flight == state.in_flight == state.held.bytes == 0
            assert state.shared.limits.in_flight("all#0") == 0 and not gateway.gateway.sweep.watches

    run(work)


def test_a_client_that_leaves_is_still_accounted_for(upstream: Upstream, tmp_path: Path) -> None:
    async def work() -> None:
        async with Inside(tmp_path / "one", CONFIG, upstream.url, at_once=True) as gateway:
            await gateway.introduce()
            before = gateway.taken
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(gateway.post("/v1/chat/completions", asking("first_ms=400")), 0.1)
            assert gateway.taken == before + 1 and gateway.gateway.in_flight == 1
            until = time.monotonic() + 5
            while gateway.gateway.in_flight and time.monotonic() < until:
                await asyncio.sleep(0.02)
            assert gateway.gateway.in_flight == 0
        row = read_rows(gateway.data)[-1]
        assert row.state == "cancelled" and row.usd is not None and row.quantities["output"] == 6

    run(work)


def test_what_is_in_flight_can_be_made_a_task_and_ended(upstream: Upstream, tmp_path: Path) -> None:
    """As at the end of a worker's time: each request ends as one that was cancelled, and its row says so."""

    async def work() -> None:
        async with Inside(tmp_path / "one", CONFIG, upstream.url, at_once=True) as gateway:
            await gateway.introduce()
            waiting = asyncio.ensure_future(gateway.post("/v1/chat/completions", asking("fault=hang")))
            await asyncio.sleep(0.2)
            assert gateway.gateway.in_flight == 1 and not gateway.served.tasks
            (cycle,) = gateway.served.waiting()
            assert cycle.take_up is not None
            cycle.take_up()
            await asyncio.sleep(0)
            (task,) = gateway.served.tasks
            task.cancel()
            await asyncio.wait([task])
            assert gateway.gateway.in_flight == 0
            waiting.cancel()
        row = read_rows(gateway.data)[-1]
        assert (row.state, row.error) == ("cancelled", "stopped") and row.unknown

    run(work)
