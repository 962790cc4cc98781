"""The load generator: raw HTTP/1.1 over kept connections, in a process of its own.

`python -m benchmarks.gateway.load` reads one `Work` as JSON from its standard input and prints one `Result`.
"""

import asyncio
import sys
import time

import msgspec

from benchmarks.gateway.process import cpu_s, waited_s


class Side(msgspec.Struct, kw_only=True):
    """Where requests go: `request` is the whole of one, its bytes as they are sent; `pid`: whose CPU is read."""

    port: int
    request: bytes
    pid: int = 0


class Work(msgspec.Struct, kw_only=True):
    """`sides` are visited in turn. Without `rate` each of `connections` sends its next request at once (closed loop);
    with `rate` (requests a second and side) they go out by the clock, as connections become free.
    """

    sides: list[Side]
    requests: int
    connections: int = 16
    rate: float = 0.0
    warm: int = 200


class Result(msgspec.Struct, kw_only=True):
    """By side: sorted seconds to the end of the answer and to the first byte of its body (evenly thinned to some
    thousands); answers that were not 200, and one of them.
    `cpu_s` of the sides' processes together, `wall_s` of the whole; `waited_s`: that they waited for a core.
    """

    total_s: list[list[float]]
    first_s: list[list[float]]
    bad: list[int]
    answer: list[bytes]
    cpu_s: float
    wall_s: float
    waited_s: float = 0.0


class Link(asyncio.Protocol):
    """One connection: a request at a time."""

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.done: asyncio.Future[bool] | None = None
        self.closed = False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.done is not None and not self.done.done():
            self.done.set_result(False)

    async def ask(self, request: bytes) -> bool:
        """Send it, wait for the whole answer; whether its status was 200."""
        self.head = b""
        self.left = -1
        self.tail = b""
        self.sent = time.perf_counter()
        self.first = 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.done

    def data_received(self, data: bytes) -> None:
        if self.left < 0 and not self.tail:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self.head[end + 4 :]
            told = self.head[:end].lower()
            at = told.find(b"\r\ncontent-length:")
            if at >= 0:
                self.left = int(told[at + 17 :].split(b"\r\n", 1)[0])
            else:
                self.tail = b"."
            self.ok = told.startswith(b"http/1.1 200")
            self.start = data
        if data and not self.first:
            self.first = time.perf_counter()
        if self.left >= 0:
            self.left -= len(data)
            over = self.left <= 0
        else:
            self.tail = (self.tail + data)[-7:]
            over = self.tail.endswith(b"\r\n0\r\n\r\n")
        if over and self.done is not None and not self.done.done():
            self.left, self.tail = -1, b""
            self.end = time.perf_counter()
            self.done.set_result(self.ok)


class Run:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.free: list[list[Link]] = [[] for _ in work.sides]
        self.result = Result(
            total_s=[[] for _ in work.sides],
            first_s=[[] for _ in work.sides],
            bad=[0] * len(work.sides),
            answer=[b""] * len(work.sides),
            cpu_s=0.0,
            wall_s=0.0,
        )

    async def one(self, n: int) -> None:
        """One request to side `n`, over a kept connection."""
        side = self.work.sides[n]
        kept = [link for link in self.free[n] if not link.closed]  # a server may close one that rests
        self.free[n] = kept
        if kept:
            link = kept.pop()
        else:
            _, link = await asyncio.get_running_loop().create_connection(Link, "127.0.0.1", side.port)
        if await link.ask(side.request):
            self.result.total_s[n].append(link.end - link.sent)
            self.result.first_s[n].append(link.first - link.sent)
        else:
            self.result.bad[n] += 1
            self.result.answer[n] = (link.head or b"the connection ended")[:600]
        if not link.closed:
            self.free[n].append(link)

    async def closed_loop(self, requests: int) -> None:
        async def lane(count: int) -> None:
            for _ in range(count):
                for n in range(len(self.work.sides)):
                    await self.one(n)

        lanes = self.work.connections
        await asyncio.gather(*(lane(requests // lanes) for _ in range(lanes)))

    async def open_loop(self) -> None:
        began = time.perf_counter()
        tasks = set()
        for k in range(self.work.requests * len(self.work.sides)):
            due = began + k / (self.work.rate * len(self.work.sides))
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.one(k % len(self.work.sides)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def run(self) -> Result:
        await self.closed_loop(max(self.work.warm, self.work.connections))
        if self.work.rate:
            await asyncio.sleep(0.2)
        for lists in (self.result.total_s, self.result.first_s):
            for each in lists:
                each.clear()
        pids = [side.pid for side in self.work.sides if side.pid]
        waited = sum(map(waited_s, pids))
        cpu, began = sum(map(cpu_s, pids)), time.perf_counter()
        await (self.open_loop() if self.work.rate else self.closed_loop(self.work.requests))
        self.result.wall_s = time.perf_counter() - began
        self.result.waited_s = sum(map(waited_s, pids)) - waited
        await asyncio.sleep(0.3)  # what a gateway does after its answers is its cost too
        self.result.cpu_s = sum(map(cpu_s, pids)) - cpu
        self.result.total_s = [thinned(each) for each in self.result.total_s]
        self.result.first_s = [thinned(each) for each in self.result.first_s]
        return self.result


def thinned(values: list[float]) -> list[float]:
    """The values in order, and where there are very many every n-th of them."""
    return sorted(values)[:: max(1, len(values) // 10_000)]


def main() -> None:
    import uvloop

    work = msgspec.json.decode(sys.stdin.buffer.read(), type=Work)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Run(work).run())))


if __name__ == "__main__":
    main()
