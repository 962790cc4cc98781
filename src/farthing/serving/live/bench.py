"""Measure a live OpenAI-compatible endpoint: closed loop or open loop, streamed, warmed up, in real tokens."""

import asyncio
import os
import random
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError
from farthing.serving.live.exchange import Api
from farthing.serving.live.loops import Job, Progress, Run, closed_loop, open_loop
from farthing.serving.live.probe import Found, probe
from farthing.serving.live.prompts import Prompts
from farthing.serving.live.result import BenchResult, Slo, summarised

if TYPE_CHECKING:
    import aiohttp

_PER_SLOT = 4
Ready = Callable[[Found], None]
"""Called with what probing found, before any load; raises `FarthingError` where the points would be of no use."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure. One of `concurrency` and `rate` (requests per second) is set.

    `warmup`: requests sent before, and not counted; None: one a slot (closed), or two (open).
    `shared_prefix_tokens`: of each prompt, the first so many are the same, which a prefix cache can use.
    `seed`: of prompts and arrivals; None: a new one each time, since a server remembers yesterday's prompts.
    `about`: fields of `Measurement` that only you know (device, gpus, tp, precision, …).
    """

    url: str
    model: str | None = None
    requests: int = 32
    concurrency: int | None = None
    rate: float | None = None
    input_tokens: int = 512
    output_tokens: int = 128
    warmup: int | None = None
    timeout_s: float = 600.0
    stream: bool = True
    api: Api | None = None
    api_key_env: str | None = None
    shared_prefix_tokens: int = 0
    seed: int | None = None
    slo: Slo | None = None
    detailed: bool = False
    about: dict[str, Any] = {}

    def checked(self) -> "Plan":
        """This plan. Raises `FarthingError` for one that cannot be carried out."""
        if (self.concurrency is None) == (self.rate is None):
            raise FarthingError("give either a concurrency (closed loop) or a rate of requests per second (open loop)")
        for name in ("requests", "input_tokens", "output_tokens", "timeout_s", "concurrency", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise FarthingError(f"{name} is {value:g}; it must be above 0")
        if not 0 <= self.shared_prefix_tokens < self.input_tokens:
            raise FarthingError(f"a shared prefix of {self.shared_prefix_tokens} leaves nothing of {self.input_tokens}")
        if self.warmup is not None and self.warmup < 0:
            raise FarthingError(f"warmup is {self.warmup}; it must be 0 or more")
        return self


def bench(
    url: str,
    *,
    model: str | None = None,
    requests: int = 32,
    concurrency: int | None = None,
    rate: float | None = None,
    input_tokens: int = 512,
    output_tokens: int = 128,
    warmup: int | None = None,
    timeout_s: float = 600.0,
    stream: bool = True,
    api: Api | None = None,
    api_key_env: str | None = None,
    shared_prefix_tokens: int = 0,
    seed: int | None = None,
    slo: Slo | None = None,
    detailed: bool = False,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> BenchResult:
    """One measured point of the endpoint at `url`; see `Plan` for the arguments.

    ^C ends it with what was measured until then. Raises `FarthingError` where nothing can be measured: no
    answer, a wrong key, every request failed.
    """
    plan = Plan(
        url=url, model=model, requests=requests, concurrency=concurrency, rate=rate, input_tokens=input_tokens,
        output_tokens=output_tokens, warmup=warmup, timeout_s=timeout_s, stream=stream, api=api,
        api_key_env=api_key_env, shared_prefix_tokens=shared_prefix_tokens, seed=seed, slo=slo, detailed=detailed,
        about=dict(about or {}),
    )  # fmt: skip
    return asyncio.run(measure([plan], progress))[0]


def sweep(
    plan: Plan, concurrency: Sequence[int], progress: Progress | None = None, ready: Ready | None = None
) -> list[BenchResult]:
    """A point at each `concurrency`, rising; each has four requests a slot, or `plan.requests` if that is more.

    ^C ends it with the points measured until then. Raises as `bench` does.
    """
    plans = [
        msgspec.structs.replace(plan, concurrency=slots, rate=None, requests=max(plan.requests, _PER_SLOT * slots))
        for slots in sorted(set(concurrency))
    ]
    if not plans:
        raise FarthingError("no concurrency is given; give some, such as 1,2,4,8")
    return asyncio.run(measure(plans, progress, ready))


async def measure(
    plans: Sequence[Plan], progress: Progress | None = None, ready: Ready | None = None
) -> list[BenchResult]:
    """The points of `plans`, which ask the same endpoint; it is probed once. Raises `FarthingError`."""
    first = plans[0].checked()
    headers = {"Content-Type": "application/json", **_key(first.api_key_env)}
    results: list[BenchResult] = []
    seed = first.seed if first.seed is not None else random.SystemRandom().getrandbits(32)
    async with _session(headers, first.timeout_s) as session:
        longest = max(plan.input_tokens for plan in plans)
        found = await probe(session, first.url, first.api, first.model, first.stream, longest, str(seed))
        if ready is not None:
            ready(found)
        for number, plan in enumerate(plans):
            # Each point has prompts of its own: those of the point before are in the server's cache.
            results.append(await _point(session, plan.checked(), found, f"{seed}/{number}", progress))
            if results[-1].interrupted:
                break
    return results


def _session(headers: dict[str, str], timeout_s: float) -> "aiohttp.ClientSession":
    try:
        import aiohttp
    except ImportError:
        raise FarthingError("the benchmark needs aiohttp; install it with: pip install aiohttp") from None
    return aiohttp.ClientSession(
        headers=headers, connector=aiohttp.TCPConnector(limit=0), read_bufsize=1 << 18,
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 20.0)),
    )  # fmt: skip


def _key(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    if not (key := os.environ.get(variable)):
        raise FarthingError(f"the variable {variable}, which should hold the key, is not set")
    return {"Authorization": f"Bearer {key}"}


async def _point(
    session: "aiohttp.ClientSession", plan: Plan, found: Found, seed: str, progress: Progress | None
) -> BenchResult:
    words, shared = found.lengths.words(plan.input_tokens), 0
    if plan.shared_prefix_tokens:
        shared = min(words - 1, round(plan.shared_prefix_tokens / found.lengths.per_word))
    job = Job(
        dialect=found.dialect, output_tokens=plan.output_tokens,
        prompts=Prompts(words=words, shared_words=shared, seed=seed),
    )  # fmt: skip
    warm = plan.warmup if plan.warmup is not None else plan.concurrency or 2
    run = Run(replies=[], gaps=array("d"), begun_s=time.perf_counter())
    if warm:
        warming = msgspec.structs.replace(job, first=-warm)  # prompts that never come again
        run = await closed_loop(session, warming, warm, plan.concurrency or warm, None)
    busy = time.thread_time()
    if not run.interrupted:
        if plan.concurrency is not None:
            run = await closed_loop(session, job, plan.requests, plan.concurrency, progress)
        else:
            run = await open_loop(session, job, plan.requests, plan.rate or 0.0, seed, progress)
    else:
        run = Run(replies=[], gaps=array("d"), begun_s=run.begun_s, ended_s=run.ended_s, interrupted=True)
    busy = time.thread_time() - busy
    _refuse_nothing(run, plan)
    settings = {
        "requests": plan.requests, "warmup": warm, "seed": seed, "stream": plan.stream,
        "shared_prefix_tokens": plan.shared_prefix_tokens, "words": words,
    }  # fmt: skip
    about = {
        "model": found.dialect.model, "engine": found.engine, "engine_version": found.engine_version,
        "measured_on": datetime.now(UTC).date().isoformat(), "concurrency": plan.concurrency,
        "request_rate": plan.rate, "nominal_input_tokens": plan.input_tokens,
        "nominal_output_tokens": plan.output_tokens, **plan.about,
    }  # fmt: skip
    return summarised(
        run, url=found.dialect.url, api=found.dialect.api, about=about, settings=settings, slo=plan.slo,
        busy_s=busy, detailed=plan.detailed, notes=found.notes,
    )  # fmt: skip


def _refuse_nothing(run: Run, plan: Plan) -> None:
    """Raise where no request succeeded: there is no measurement in that."""
    if any(not reply.error for reply in run.replies):
        return
    if run.interrupted:
        raise FarthingError(f"{plan.url}: interrupted before any request was done")
    one = run.replies[0]
    raise FarthingError(
        f"{plan.url}: all {len(run.replies)} requests failed, the first with {one.error}"
        + (f": {one.detail}" if one.detail else "")
    )
