"""The simulator against what queueing theory says exactly, and against sums that can be done by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving.simulator import Requests, simulate
from tests.serving.simulator.models import Affine

SINGLE = Affine(max_sequences=1, constant_s=0.001)  # a request of n output tokens takes n ms: a prompt step, n - 1 more


def poisson(count, rate_per_s, output, seed):
    arrival = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_per_s, count))
    return Requests.of(arrival, np.ones(count, dtype=int), output)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_m_d_1_waiting_time(load):
    """M/D/1: mean wait = rho s / (2 (1 - rho)) (Pollaczek-Khinchine with no variance of service)."""
    service_s = 0.1
    requests = poisson(200_000, load / service_s, np.full(200_000, 100), seed=1)
    run = simulate(requests, [SINGLE])
    assert run.queueing_s.mean() == pytest.approx(load * service_s / (2 * (1 - load)), rel=0.03)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_m_m_1_waiting_time(load):
    """M/M/1: mean wait = rho s / (1 - rho); time in system is exponential: its p99 = ln(100) s / (1 - rho)."""
    count, service_s = 300_000, 1.0  # exponential to a millisecond
    output = np.ceil(np.random.default_rng(7).exponential(service_s * 1000, count)).astype(int)
    run = simulate(poisson(count, load / service_s, output, seed=3), [SINGLE])
    assert run.queueing_s.mean() == pytest.approx(load * service_s / (1 - load), rel=0.05)
    assert np.percentile(run.end_to_end_s, 99) == pytest.approx(np.log(100) * service_s / (1 - load), rel=0.06)
    assert run.replicas[0].busy_share == pytest.approx(load, rel=0.02)


def test_m_g_infinity_number_in_service():
    """Room for all and steps of one length: the number in service is Poisson with mean rate x duration."""
    requests = Requests.synthetic(50_000, rate_per_s=20, prompt_tokens=1, output_tokens=1000, variation=0.5, seed=5)
    run = simulate(requests, [Affine(max_sequences=10_000, token_budget=20_000, constant_s=0.001)])
    mean = 20 * requests.output_tokens.mean() * 0.001
    middle = np.linspace(run.arrival_s[5000], run.arrival_s[-5000], 4000)
    inside = np.searchsorted(run.arrival_s, middle) - np.searchsorted(np.sort(run.finish_s), middle)
    assert inside.mean() == pytest.approx(mean, rel=0.03)
    assert inside.var() == pytest.approx(mean, rel=0.15)


def test_erlang_c():
    """M/M/c by c replicas of one sequence, fed by a router that knows who is idle, is bounded by M/M/c from
    below: join-the-shortest-queue waits at least as long as one common queue, and at most 1/c of M/M/1's load."""
    count, servers, load = 200_000, 4, 0.7
    output = np.ceil(np.random.default_rng(11).exponential(1000, count)).astype(int)
    run = simulate(poisson(count, load * servers, output, seed=12), [SINGLE] * servers)
    offered = load * servers
    term = offered**servers / np.prod(range(1, servers + 1)) / (1 - load)
    wait_probability = term / (sum(offered**k / np.prod(range(1, k + 1)) for k in range(servers)) + term)
    common_queue = wait_probability / (servers * (1 - load))
    random_split = load / (1 - load)
    assert common_queue * 0.97 < run.queueing_s.mean() < 0.5 * random_split


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 400), st.integers(1, 100), st.integers(2, 40), st.sampled_from([16, 2048]))
def test_little_s_law(seed, rate, output, budget):
    """Mean number in the system = rate x mean time, exactly, over a span in which all come and go."""
    requests = Requests.synthetic(200, rate_per_s=rate, prompt_tokens=50, output_tokens=output, variation=1, seed=seed)
    run = simulate(requests, [Affine(constant_s=0.01, token_s=1e-4, token_budget=budget, max_sequences=16)])
    moments = np.concatenate([run.arrival_s, run.finish_s])
    change = np.concatenate([np.ones(200), -np.ones(200)])
    order = np.argsort(moments, kind="stable")
    inside = np.cumsum(change[order])[:-1]
    mean_inside = (inside * np.diff(moments[order])).sum() / run.duration_s
    assert mean_inside == pytest.approx(200 / run.duration_s * run.end_to_end_s.mean(), rel=1e-9)


def test_one_request_alone_is_the_sum_of_its_steps():
    """5,000 prompt tokens in chunks of 2,048, 2,048 and 904, then 9 decodes with 5,000 ... 5,008 before them."""
    model = Affine(constant_s=0.01, token_s=1e-4, pair_s=1e-8, sequence_s=1e-3, context_s=1e-6)
    run = simulate(Requests.of([3.0], [5000], [10]), [model])
    chunks = [(2048, 0), (2048, 2048), (904, 4096)]
    prompt_s = sum(0.01 + 1e-4 * n + 1e-8 * (n * before + n * (n - 1) // 2) for n, before in chunks)
    decode_s = sum(0.01 + 1e-3 + 1e-6 * (5000 + k) for k in range(9))
    assert run.ttft_s[0] == pytest.approx(prompt_s, rel=1e-12)
    assert run.end_to_end_s[0] == pytest.approx(prompt_s + decode_s, rel=1e-12)
    assert run.tpot_s[0] == pytest.approx(decode_s / 9, rel=1e-12)
    assert run.replicas[0].steps == 12


def test_tokens_are_conserved():
    """Without preemption every prompt token is computed once, or found; every request ends."""
    requests = Requests.synthetic(3000, rate_per_s=30, prompt_tokens=700, output_tokens=50, variation=1, seed=2)
    model = Affine(constant_s=0.01, token_s=2e-5, max_sequences=64)
    run = simulate(requests, [model, model], router="round-robin")
    assert run.preemptions.sum() == 0
    assert sum(use.computed_tokens for use in run.replicas) == requests.prompt_tokens.sum()
    summary = run.summary()
    assert summary.output_tokens == requests.output_tokens.sum()
    assert (summary.requests, summary.refused) == (3000, 0)
    assert sum(use.requests for use in summary.replicas) == 3000


def test_preempted_work_is_done_again_and_nothing_is_lost():
    """Four requests of 32 + 48 tokens in 12 blocks of 16.

    At 32 stored tokens each takes a third block: all 12. At 48 none is left: the fourth goes (49 tokens exist),
    the others take a fourth block. At 64 the third goes (65 exist), the first two go on to their end at 79.
    Then both come back and compute 65 and 49 tokens again.
    """
    requests = Requests.of([0, 0, 0, 0], [32] * 4, [48] * 4)
    run = simulate(requests, [Affine(kv_tokens=12 * 16)])
    assert run.preemptions.tolist() == [0, 0, 1, 1]
    assert np.isfinite(run.finish_s).all()
    # 1 step of prompts, 47 decodes; then 1 step for both, 80 - 65 = 15 and 80 - 49 = 31 more tokens.
    assert run.finish_s.tolist() == [48, 48, 48 + 1 + 14, 48 + 1 + 30]
    assert run.replicas[0].computed_tokens == 4 * 32 + 65 + 49
    roomy = simulate(requests, [Affine(kv_tokens=20 * 16)])
    assert roomy.preemptions.sum() == 0
    assert roomy.end_to_end_s.max() < run.end_to_end_s.max()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["least", "round-robin"]))
def test_more_replicas_do_not_wait_longer(seed, router):
    requests = Requests.synthetic(300, rate_per_s=20, prompt_tokens=200, output_tokens=30, variation=0.5, seed=seed)
    model = Affine(constant_s=0.02, token_s=1e-5, max_sequences=8)
    means = [simulate(requests, [model] * n, router=router).end_to_end_s.mean() for n in (1, 2, 4, 8)]
    assert all(more <= fewer * 1.001 for fewer, more in pairwise(means))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(1.01, 3.0))
def test_a_slower_machine_is_slower(seed, factor):
    """With one sequence at a time and arrivals that do not change, every request ends later."""
    requests = Requests.synthetic(100, rate_per_s=5, prompt_tokens=20, output_tokens=10, variation=0.5, seed=seed)
    quick = simulate(requests, [Affine(max_sequences=1, constant_s=0.01)])
    slow = simulate(requests, [Affine(max_sequences=1, constant_s=0.01 * factor)])
    assert (slow.end_to_end_s > quick.end_to_end_s).all()


def test_a_closed_loop_keeps_so_many_in_the_system():
    """Concurrency 8: at any time but the last part 8 requests are under way; throughput = 8 / mean time."""
    requests = Requests.synthetic(800, rate_per_s=None, prompt_tokens=100, output_tokens=50, variation=0.7, seed=4)
    run = simulate(requests, [Affine(constant_s=0.01, token_s=1e-5)], closed_loop=8)
    until = np.sort(run.finish_s)[-8]
    for moment in np.linspace(run.arrival_s[8], until, 50)[:-1]:
        assert ((run.arrival_s <= moment) & (run.finish_s > moment)).sum() == 8
    assert (run.arrival_s[:8] == 0).all()
    assert run.queueing_s.max() == pytest.approx(0, abs=0.02)


def test_equal_requests_in_a_closed_loop_have_a_cycle_that_can_be_computed():
    """One at a time: prompt step 1.5 s, then 3 decodes of 1 s: a request every 4.5 s."""
    model = Affine(constant_s=1.0, token_s=0.05)
    run = simulate(Requests.of([0] * 5, [10] * 5, [4] * 5), [model], closed_loop=1)
    assert run.finish_s.tolist() == pytest.approx([4.5, 9, 13.5, 18, 22.5])
    assert run.summary().requests_per_s == pytest.approx(5 / 22.5)
