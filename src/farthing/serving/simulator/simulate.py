"""Run requests through replicas: the clock of a simulation, open loop and closed loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec import structs

from farthing.problems import FarthingError
from farthing.serving.simulator.chains import chains
from farthing.serving.simulator.replica import Replica
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import ReplicaUse, Run, Slo
from farthing.serving.simulator.routers import Router
from farthing.serving.simulator.routers import router as router_named
from farthing.serving.simulator.state import State
from farthing.serving.steps import StepModel

if TYPE_CHECKING:
    from numpy.typing import NDArray


def simulate(
    requests: Requests,
    replicas: Sequence[StepModel],
    *,
    router: str = "least",
    block_size: int = 16,
    prefix_cache: bool = False,
    lookahead: bool = False,
    closed_loop: int | None = None,
    slo: Slo | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """What becomes of `requests` on `replicas`, one step model each (see `replica` for the engine's rules).

    Open loop: requests arrive at their times. `closed_loop` = C: in their order, the first C at once and
    another whenever one ends; their arrival times are not used. `prefix_cache`: free blocks keep their
    content and prompts find it (also a preempted request its own). `router`: "round-robin", "least",
    "prefix". `lookahead`: a step is composed while the one before it runs (vLLM's asynchronous scheduling).
    `progress(done, total)` is called some 200 times. Raises `FarthingError` for settings that nothing can
    run with.
    """
    _check(replicas, block_size, closed_loop)
    count = len(requests)
    ranks = _ranks(requests)
    shared = chains(requests, block_size) if prefix_cache else None
    if shared is not None and ranks is not None:
        placed: list[Any] = [()] * count
        for place, rank in enumerate(ranks.tolist()):
            placed[rank] = shared[place]
        shared = placed
    state = State(
        _by_rank(requests.arrival_s, ranks),
        _by_rank(requests.prompt_tokens, ranks),
        _by_rank(requests.output_tokens, ranks),
        given=None if prefix_cache or requests.cached_tokens is None else _by_rank(requests.cached_tokens, ranks),
        chains=shared,
        ranked=ranks is not None,
        progress=progress,
    )
    engines = [
        Replica(number, model, state, block_size=block_size, caches=prefix_cache, lookahead=lookahead)
        for number, model in enumerate(replicas)
    ]
    order: Sequence[int] = range(count) if ranks is None else ranks.tolist()
    if closed_loop is None:
        _open(order, state, engines, router_named(router))
    else:
        _closed(order, state, engines, router_named(router), closed_loop)
    if progress is not None:
        progress(count, count)
    return _run(requests, state, engines, ranks, slo)


def _check(replicas: Sequence[StepModel], block_size: int, closed_loop: int | None) -> None:
    if not replicas:
        raise FarthingError("a simulation needs at least one replica")
    if block_size < 1:
        raise FarthingError(f"blocks of {block_size} tokens; they must have 1 or more (vLLM: 16)")
    if closed_loop is not None and closed_loop < 1:
        raise FarthingError(f"a closed loop of {closed_loop} requests at a time; there must be 1 or more")
    for number, model in enumerate(replicas, 1):
        if model.kv_tokens < block_size or min(model.max_sequences, model.token_budget) < 1:
            raise FarthingError(
                f"replica {number} has room for {model.kv_tokens} tokens of context, {model.max_sequences} sequences"
                f" and {model.token_budget} tokens a step; it needs a block of {block_size} tokens, one sequence and"
                " one token"
            )


def _ranks(requests: Requests) -> NDArray[Any] | None:
    """The rank of each request by priority, then arrival; None where that is their order already."""
    import numpy as np

    if requests.priority is None or not len(requests) or (np.diff(requests.priority) >= 0).all():
        return None
    ranks = np.empty(len(requests), dtype=np.int64)
    ranks[np.argsort(requests.priority, kind="stable")] = np.arange(len(requests))
    return ranks


def _by_rank(column: NDArray[Any], ranks: NDArray[Any] | None) -> Any:
    import numpy as np

    if ranks is None:
        return column
    placed = np.empty_like(column)
    placed[ranks] = column
    return placed


def _open(order: Sequence[int], state: State, engines: list[Replica], choose: Router) -> None:
    alone = engines[0] if len(engines) == 1 else None
    for request in order:
        at_s = state.arrival_s[request]
        if alone is not None:
            if alone.end < at_s or not alone.planned:
                alone.run_until(at_s)
            alone.deliver(request, at_s)
            continue
        for engine in engines:
            if engine.end < at_s or not engine.planned:
                engine.run_until(at_s)
        choose(request, engines).deliver(request, at_s)
    for engine in engines:
        engine.run_until(inf)


def _closed(order: Sequence[int], state: State, engines: list[Replica], choose: Router, concurrency: int) -> None:
    """Steps are committed in the order of their ends; what ends at one instant is followed up at once."""
    coming = iter(order)
    ended: list[int] = []
    for engine in engines:
        engine.finished = ended
    now, due = 0.0, concurrency
    while True:
        while due:
            for request in islice(coming, due):
                state.arrival_s[request] = now
                choose(request, engines).deliver(request, now)
            due = len(ended)  # refused ones
            ended.clear()
        at_work = [engine for engine in engines if engine.waiting or engine.outstanding]
        if not at_work:
            return
        for engine in at_work:
            if not engine.planned:
                engine.plan()
        now = min(engine.end for engine in at_work)
        for engine in at_work:
            if engine.end == now:
                engine.commit()
        due = len(ended)
        ended.clear()


def _run(requests: Requests, state: State, engines: list[Replica], ranks: NDArray[Any] | None, slo: Slo | None) -> Run:
    import numpy as np

    def column(values: Any, kind: str) -> Any:
        found = np.frombuffer(values, dtype=kind) if len(values) else np.zeros(0, dtype=kind)
        return found if ranks is None else found[ranks]

    run = Run(
        arrival_s=column(state.arrival_s, "f8"),
        start_s=column(state.start_s, "f8"),
        first_s=column(state.first_s, "f8"),
        finish_s=column(state.finish_s, "f8"),
        prompt_tokens=requests.prompt_tokens,
        output_tokens=requests.output_tokens,
        cached_tokens=column(state.cached, "i8"),
        preemptions=column(state.preempted, "i4"),
        replica=column(state.replica, "i4"),
        replicas=(),
        slo=slo,
    )
    span, ended = run.duration_s, np.isfinite(run.finish_s)
    counts = np.bincount(run.replica[ended], minlength=len(engines)).tolist()
    uses = []
    for engine, served in zip(engines, counts, strict=True):
        idle_w = engine.model.watts(0, 0)
        whole = max(span, engine.busy_s) or 1.0
        uses.append(
            ReplicaUse(
                requests=served,
                gpus=engine.model.gpus,
                steps=engine.tick,
                busy_share=engine.busy_s / whole,
                kv_share=engine.kv_block_s / (whole * engine.blocks.total),
                kv_peak=engine.peak_blocks / engine.blocks.total,
                computed_tokens=engine.computed_tokens,
                energy_j=engine.energy_j + idle_w * max(0.0, span - engine.busy_s),
            )
        )
    return structs.replace(run, replicas=tuple(uses))
