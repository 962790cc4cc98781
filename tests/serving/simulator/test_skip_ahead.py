"""Skipping ahead gives the times that taking every step gives: against the naive reference."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving.simulator import Requests, simulate
from tests.serving.simulator import reference
from tests.serving.simulator.models import Affine, Bent

EIGHTHS = st.integers(0, 400).map(lambda n: n / 8)  # sums of such times are exact, so that ties are ties


def chains():
    """Trees of pieces: each piece has one parent, as a hash of everything before it has."""
    piece = st.integers(0, 2)
    return st.lists(piece, max_size=3).map(tuple)


@st.composite
def workloads(draw):
    count = draw(st.integers(1, 25))
    requests = []
    now = 0.0
    sizes = draw(st.lists(st.integers(1, 40), min_size=3, max_size=3))
    for _ in range(count):
        now += draw(st.one_of(st.just(0.0), EIGHTHS))
        path = draw(chains())
        chain = [(hash(path[: depth + 1]) & 0xFFFFFFFF, sizes[depth]) for depth in range(len(path))]
        shared = sum(tokens for _, tokens in chain)
        extra = draw(st.integers(0 if shared else 1, 60))
        requests.append(
            {
                "arrival": now,
                "prompt": shared + extra,
                "output": draw(st.integers(0, 90)),
                "priority": 0,
                "chain": chain,
                "given": draw(st.integers(0, 50)),
            }
        )
    return requests


models = st.builds(
    Affine,
    kv_tokens=st.sampled_from([160, 200, 320, 1000, 10**6]),
    max_sequences=st.sampled_from([1, 2, 5, 30]),
    token_budget=st.sampled_from([7, 16, 33, 64, 512]),
    constant_s=st.sampled_from([1.0, 0.25, 4.0]),
    token_s=st.sampled_from([0.0, 1 / 64]),
    pair_s=st.sampled_from([0.0, 1 / 1024]),
    sequence_s=st.sampled_from([0.0, 1 / 16]),
    context_s=st.sampled_from([0.0, 1 / 256]),
)


def ours(requests, chosen, prefix_cache, **settings):
    columns = Requests.of(
        [r["arrival"] for r in requests],
        [r["prompt"] for r in requests],
        [r["output"] for r in requests],
        priority=[r["priority"] for r in requests],
        cached_tokens=[r["given"] for r in requests],
        prefixes=[r["chain"] for r in requests],
    )
    return simulate(columns, chosen, prefix_cache=prefix_cache, **settings)


def same(requests, chosen, prefix_cache=False, **settings):
    run = ours(requests, chosen, prefix_cache, **settings)
    expected, engines = reference.run(requests, chosen, prefix_cache=prefix_cache, **settings)
    for mine, name in (
        (run.arrival_s, "arrival"), (run.start_s, "start"), (run.first_s, "first"), (run.finish_s, "finish"),
        (run.preemptions, "preemptions"), (run.cached_tokens, "cached"), (run.replica, "replica"),
    ):  # fmt: skip
        for number, (got, request) in enumerate(zip(mine.tolist(), expected, strict=True)):
            want = getattr(request, name)
            assert (math.isnan(got) and math.isnan(want)) or math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-12), (
                f"request {number}: {name} {got}, stepwise {want}"
            )
    for use, engine in zip(run.replicas, engines, strict=True):
        assert use.steps == engine.steps
        assert use.computed_tokens == engine.computed
    return run


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(workloads(), models, st.sampled_from([4, 16]), st.booleans())
def test_one_replica(requests, model, block_size, prefix_cache):
    same(requests, [model], prefix_cache, block_size=block_size)


@settings(deadline=None, max_examples=150)
@given(workloads(), st.lists(models, min_size=2, max_size=3), st.sampled_from(["least", "round-robin"]), st.booleans())
def test_several_replicas(requests, chosen, router, prefix_cache):
    same(requests, chosen, prefix_cache, router=router)


@settings(deadline=None, max_examples=150)
@given(workloads(), st.lists(models, min_size=1, max_size=2), st.integers(1, 12), st.booleans())
def test_closed_loop(requests, chosen, concurrency, prefix_cache):
    same(requests, chosen, prefix_cache, closed_loop=concurrency)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(workloads(), models, st.data(), st.booleans())
def test_priorities(requests, model, data, prefix_cache):
    for request in requests:
        request["priority"] = data.draw(st.integers(0, 2))
    same(requests, [model], prefix_cache)


@settings(deadline=None, max_examples=100)
@given(workloads(), st.sampled_from([200, 10**6]), st.sampled_from([3, 20]))
def test_a_model_whose_time_is_not_affine_in_the_context(requests, kv_tokens, max_sequences):
    model = Bent(kv_tokens=kv_tokens, max_sequences=max_sequences, constant_s=1.0, context_s=1 / 64)
    same(requests, [model])


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(workloads(), st.lists(models, min_size=1, max_size=2), st.booleans(), st.one_of(st.none(), st.integers(1, 12)))
def test_lookahead(requests, chosen, prefix_cache, concurrency):
    same(requests, chosen, prefix_cache, lookahead=True, closed_loop=concurrency)


def test_the_workloads_meet_every_rule():
    """The strategies above do reach preemption, refusal, cut prompts and hits: one case that has them all."""
    requests = [
        {"arrival": 0.0, "prompt": 60 + 10 * (i % 3), "output": 60, "priority": 0, "given": 0,
         "chain": [(7, 48)]}
        for i in range(8)
    ] + [{"arrival": 1.0, "prompt": 500, "output": 5, "priority": 0, "given": 0, "chain": []}]  # fmt: skip
    run = same(requests, [Affine(kv_tokens=320, max_sequences=5, token_budget=33)], prefix_cache=True)
    assert run.preemptions.sum() > 0
    assert run.cached_tokens.sum() > 0
    assert math.isnan(run.finish_s[-1])
    assert pytest.approx(run.replicas[0].kv_peak) == 1.0
