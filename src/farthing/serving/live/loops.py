"""The two kinds of load: so many requests in flight (closed loop), or so many a second whatever happens (open)."""

import asyncio
import random
from array import array
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from farthing.serving.live.exchange import Dialect, Reply, exchange
from farthing.serving.live.prompts import Prompts

if TYPE_CHECKING:
    import aiohttp

Progress = Callable[[int, int, int], None]
"""Called with (requests done, requests in all, of which failed) after each request."""


class Run(msgspec.Struct, kw_only=True):
    """What a loop has collected, complete or not."""

    replies: list[Reply]
    gaps: "array[float]"
    begun_s: float
    ended_s: float = 0.0
    interrupted: bool = False
    failed: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What each request of a run is: prompts, output tokens, and how to ask."""

    dialect: Dialect
    prompts: Prompts
    output_tokens: int
    first: int = 0


async def closed_loop(
    session: "aiohttp.ClientSession", job: Job, requests: int, concurrency: int, progress: Progress | None
) -> Run:
    """Keep `concurrency` requests in flight until `requests` are done. A cancellation ends it with what there is."""
    run = Run(replies=[], gaps=array("d"), begun_s=perf_counter())
    numbers = iter(range(job.first, job.first + requests))

    async def worker() -> None:
        for index in numbers:
            await _one(session, job, run, index, requests, progress)

    await _gathered([asyncio.ensure_future(worker()) for _ in range(min(concurrency, requests))], run)
    return run


async def open_loop(
    session: "aiohttp.ClientSession", job: Job, requests: int, rate: float, seed: str, progress: Progress | None
) -> Run:
    """Send `requests` at random moments, `rate` a second in the mean (a Poisson process), never waiting for answers.

    Latencies count from the moment a request was due: a stall of this program must not hide one of the
    server (coordinated omission).
    """
    chance = random.Random(f"{seed}/arrivals")
    run = Run(replies=[], gaps=array("d"), begun_s=perf_counter())
    tasks: list[asyncio.Future[None]] = []
    due = run.begun_s

    async def send() -> None:
        nonlocal due
        for index in range(job.first, job.first + requests):
            due += chance.expovariate(rate)
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.ensure_future(_one(session, job, run, index, requests, progress, due)))

    await _gathered([asyncio.ensure_future(send())], run)
    await _gathered(tasks, run)
    return run


async def _one(
    session: "aiohttp.ClientSession", job: Job, run: Run, index: int, requests: int, progress: Progress | None,
    due_s: float | None = None,
) -> None:  # fmt: skip
    reply = await exchange(session, job.dialect, index, job.prompts[index], job.output_tokens, run.gaps, due_s)
    run.replies.append(reply)
    run.failed += bool(reply.error)
    if progress is not None:
        progress(len(run.replies), requests, run.failed)


async def _gathered(tasks: "list[asyncio.Future[None]]", run: Run) -> None:
    """Wait for all; when cancelled (^C), drop what is in flight and keep what is done."""
    if run.interrupted:
        for task in tasks:
            task.cancel()
    try:
        await asyncio.gather(*tasks, return_exceptions=run.interrupted)
    except asyncio.CancelledError:
        run.interrupted = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    run.ended_s = perf_counter()
