"""What a run reports, the routers, the settings, and what is refused."""

import math

import numpy as np
import pytest

from farthing.problems import FarthingError
from farthing.serving.simulator import Requests, Slo, simulate, simulate_disaggregated
from farthing.serving.simulator.chains import chains
from farthing.serving.simulator.replica import Replica
from farthing.serving.simulator.state import State
from farthing.serving.simulator.steptimes import DecodeTimes
from tests.serving.simulator.models import Affine, Bent, Curved


def test_summary_by_hand():
    """Steps of 1 s. First: arrives 0, 1 prompt step, 2 decodes: 0 / 1 / 3. Second: arrives 0.5, starts at 1."""
    run = simulate(Requests.of([0, 0.5], [10, 20], [3, 2]), [Affine()], slo=Slo(ttft_s=1.2))
    assert run.start_s.tolist() == [0, 1]
    assert run.first_s.tolist() == [1, 2]
    assert run.finish_s.tolist() == [3, 3]
    summary = run.summary(usd_per_replica_hour=7.2)
    assert summary.duration_s == 3
    assert (summary.prompt_tokens, summary.output_tokens) == (30, 5)
    assert summary.output_tokens_per_s == pytest.approx(5 / 3)
    assert summary.queueing_s.mean == pytest.approx(0.25)
    assert summary.ttft_s.mean == pytest.approx(1.25)
    assert summary.tpot_s.p50 == pytest.approx(1.0)  # 2 s for 2 tokens, 1 s for 1
    assert summary.end_to_end_s.p50 == pytest.approx(2.75)
    assert (summary.good_share, summary.goodput_per_s) == (0.5, pytest.approx(1 / 3))
    assert summary.busy_share == 1
    assert summary.energy_j == pytest.approx(900)  # 3 s at 300 W
    assert summary.joules_per_output_token == pytest.approx(180)
    assert summary.usd == pytest.approx(0.006)  # 7.20 USD an hour for 3 s
    assert summary.usd_per_mtok_output == pytest.approx(1200)


def test_idle_time_draws_idle_power():
    """Busy 1 s at 300 W, idle 9 s at 100 W, busy 1 s: 1,500 J."""
    run = simulate(Requests.of([0, 10], [1, 1], [1, 1]), [Affine()])
    assert run.summary().energy_j == pytest.approx(1500)
    assert run.replicas[0].busy_share == pytest.approx(2 / 11)


def test_kv_share_by_hand():
    """4 blocks of 16; 16 prompt tokens: 1 block for the prompt's second, 2 in each of the next two: 5 / (3 x 4).

    A run of decodes counts the mean of its blocks before and after: 1 and 2 over two steps, so 1 + 3 in all.
    """
    run = simulate(Requests.of([0], [16], [3]), [Affine(kv_tokens=64)])
    assert run.replicas[0].kv_peak == pytest.approx(2 / 4)
    assert run.replicas[0].kv_share == pytest.approx((1 + 2 * 1.5) / 3 / 4)


def test_an_objective_that_does_not_apply_is_met():
    run = simulate(Requests.of([0], [1], [1]), [Affine()])
    assert math.isnan(run.tpot_s[0])
    assert run.good(Slo(tpot_s=0.001)).tolist() == [True]
    assert run.good(Slo(end_to_end_s=0.5)).tolist() == [False]
    assert run.summary().tpot_s.p50 is None


def test_a_request_that_can_never_fit_is_refused_and_counted():
    run = simulate(Requests.of([0, 0, 1], [100, 10, 10], [10, 5, 5]), [Affine(kv_tokens=64)])
    assert math.isnan(run.finish_s[0])
    summary = run.summary(slo=Slo())
    assert (summary.requests, summary.refused, summary.good_share) == (2, 1, pytest.approx(2 / 3))
    closed = simulate(Requests.of([0, 0, 1], [100, 10, 10], [10, 5, 5]), [Affine(kv_tokens=64)], closed_loop=1)
    assert np.isfinite(closed.finish_s).tolist() == [False, True, True]


def test_nothing_to_simulate():
    run = simulate(Requests.of([], [], []), [Affine()])
    summary = run.summary(usd_per_replica_hour=1)
    assert (summary.requests, summary.duration_s, summary.output_tokens_per_s, summary.usd) == (0, 0, 0, 0)
    assert summary.ttft_s.mean is None
    assert summary.joules_per_output_token is None


def test_priorities_go_first():
    """One at a time, all there at once: by priority, then by order."""
    requests = Requests.of([0, 0, 0, 0], [1] * 4, [2] * 4, priority=[1, 0, 1, 0])
    run = simulate(requests, [Affine(max_sequences=1)])
    assert run.finish_s.tolist() == [6, 2, 8, 4]


def test_round_robin_takes_turns_and_least_looks():
    """Two long ones and two short ones by turns: round-robin puts the long ones together, least does not."""
    requests = Requests.of([0, 1, 2, 3], [1] * 4, [50, 2, 50, 2])
    slow = Affine(max_sequences=1)
    assert simulate(requests, [slow] * 2, router="round-robin").replica.tolist() == [0, 1, 0, 1]
    # At 2 and 3 both have one: the first of equals. The short one of replica 1 ends at 3, and counts as there.
    assert simulate(requests, [slow] * 2, router="least").replica.tolist() == [0, 1, 0, 1]
    later = Requests.of([0, 1, 3.5, 4], [1] * 4, [50, 2, 50, 2])
    assert simulate(later, [slow] * 2, router="least").replica.tolist() == [0, 1, 1, 0]


def test_prefix_affinity_finds_more_than_chance():
    random = np.random.default_rng(1)
    groups = random.integers(0, 40, 2000)
    requests = Requests.of(
        np.cumsum(random.exponential(0.05, 2000)), np.full(2000, 1100), np.full(2000, 20),
        prefixes=[[(int(group), 1024)] for group in groups],
    )  # fmt: skip
    model = Affine(constant_s=0.01, token_s=1e-5, kv_tokens=30_000)
    cached = {
        name: simulate(requests, [model] * 4, router=name, prefix_cache=True).cached_tokens.sum()
        for name in ("round-robin", "least", "prefix")
    }
    assert cached["prefix"] > 1.5 * cached["round-robin"]
    assert cached["prefix"] > 0.85 * 1024 * (2000 - 40)  # 10 of 40 groups fit into each replica


def test_prefix_cache_by_hand():
    """64 shared tokens of 80, twice: the second computes 16. The same prompt of 64 again: its last block, 16."""
    requests = Requests.of([0, 5, 10], [80, 80, 64], [1, 1, 1], prefixes=[[(1, 64)], [(1, 64)], [(1, 64)]])
    run = simulate(requests, [Affine(token_s=1 / 64)], prefix_cache=True)
    assert run.cached_tokens.tolist() == [0, 64, 48]
    assert run.end_to_end_s.tolist() == [2.25, 1.25, 1.25]
    assert simulate(requests, [Affine()]).cached_tokens.sum() == 0


def test_recorded_cache_reads_are_not_computed():
    run = simulate(Requests.of([0], [100], [1], cached_tokens=[60]), [Affine(token_s=1 / 64)])
    assert run.ttft_s[0] == 1 + 40 / 64
    assert run.cached_tokens.tolist() == [60]


def test_progress_is_told_and_ends():
    seen = []
    simulate(
        Requests.synthetic(1000, rate_per_s=5, prompt_tokens=10, output_tokens=5),
        [Affine(constant_s=0.01)],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (1000, 1000)
    assert 100 <= len(seen) <= 201


def test_disaggregated_by_hand():
    """Prompt 0.01 + 1000 x 1e-4; transfer 0.5 + 1000 x 1e-4; then 4 steps, the first with one token to compute."""
    model = Affine(constant_s=0.01, token_s=1e-4, context_s=1e-7)
    run = simulate_disaggregated(
        Requests.of([0, 0], [1000, 10], [5, 1]), [model], [model], transfer_s=0.5, transfer_s_per_token=1e-4
    )
    first = 0.01 + 1010e-4
    assert run.first_s.tolist() == pytest.approx([first, first])
    assert run.finish_s[0] == pytest.approx(first + 0.6 + 4 * 0.01 + 1e-4 + 1e-7 * (1001 + 1002 + 1003))
    assert run.finish_s[1] == run.first_s[1]
    assert run.replica.tolist() == [1, 0]
    assert run.summary().output_tokens == 6
    with pytest.raises(FarthingError, match="less than no time"):
        simulate_disaggregated(Requests.of([0], [1], [1]), [model], [model], transfer_s=-1)


def test_a_prefill_pool_keeps_prompts_out_of_the_way_of_answers():
    """The point of it: with prompts elsewhere, the worst TPOT is lower than on two replicas that do both."""
    requests = Requests.synthetic(500, rate_per_s=8, prompt_tokens=3000, output_tokens=100, variation=0.5, seed=3)
    model = Affine(constant_s=0.01, token_s=3e-5, sequence_s=1e-5)
    both = simulate(requests, [model] * 2).summary()
    apart = simulate_disaggregated(requests, [model], [model]).summary()
    assert apart.tpot_s.p99 < 0.5 * both.tpot_s.p99


@pytest.mark.parametrize(
    ("settings", "model", "said"),
    [
        ({"router": "random"}, Affine(), "unknown router 'random'; there are: round-robin, least, prefix"),
        ({"block_size": 0}, Affine(), "blocks of 0 tokens"),
        ({"closed_loop": 0}, Affine(), "closed loop of 0"),
        ({}, Affine(kv_tokens=8), "room for 8 tokens"),
        ({}, Affine(max_sequences=0), "0 sequences"),
        ({}, Affine(constant_s=0.0), "the step model gives"),
        ({}, Affine(constant_s=math.nan), "the step model gives nan"),
    ],
)
def test_settings_that_nothing_can_run_with(settings, model, said):
    with pytest.raises(FarthingError, match=said):
        simulate(Requests.of([0, 0], [5, 5], [5, 5]), [model], **settings)
    with pytest.raises(FarthingError, match="at least one replica"):
        simulate(Requests.of([0], [5], [5]), [])


@pytest.mark.parametrize(
    ("model", "calls"),
    [
        (Affine(context_s=1e-4, sequence_s=1e-3, kv_tokens=400_000), 5),
        (Bent(context_s=1e-2, window=30, kv_tokens=400_000), 150),
        (Curved(context_s=1e-2, kv_tokens=2_000), 10**9),
    ],
)
def test_sums_of_decode_steps(model, calls):
    """Against adding them up; and once a batch size is known, straight and bent models are not called again."""
    times = DecodeTimes(model)
    for sequences, context, steps in ((1, 5, 1), (1, 5, 2), (3, 60, 40), (7, 100, 233), (2, 59, 3), (2, 60, 1)):
        stepwise = np.cumsum([model.step_s(0, 0, sequences, context + k * sequences) for k in range(steps)])
        assert times.total_s(sequences, context, steps) == pytest.approx(stepwise[-1], rel=1e-9)
        for wanted in (0.5, stepwise[steps // 2] - 1e-6, stepwise[steps // 2] + 1e-6, 1e9):
            fewest = min(int(np.searchsorted(stepwise, wanted)) + 1, steps)
            assert times.steps_until(sequences, context, steps, wanted) == fewest
    counted = _Counted(model)
    times = DecodeTimes(counted)
    for context in range(10, 2000, 50):
        times.total_s(5, context, 100)
    assert counted.calls <= calls


class _Counted:
    def __init__(self, model):
        self.model, self.calls, self.kv_tokens = model, 0, model.kv_tokens

    def step_s(self, *arguments):
        self.calls += 1
        return self.model.step_s(*arguments)


def test_blocks_are_neither_lost_nor_made():
    """At every step, what is held and what is free are all there are; in the end nothing is held."""
    random = np.random.default_rng(5)
    count = 300
    prompt, output = random.integers(1, 120, count), random.integers(0, 80, count)
    requests = Requests.of(
        np.cumsum(random.exponential(3, count)), prompt, output,
        prefixes=[[(int(n % 7), 20), (int(n % 21) + 7, 30)] for n in random.integers(0, 10**6, count)],
    )  # fmt: skip
    state = State(requests.arrival_s, requests.prompt_tokens, requests.output_tokens, chains=chains(requests, 8))
    replica = Replica(0, Affine(kv_tokens=400, max_sequences=9, token_budget=50), state, block_size=8, caches=True)
    for request in range(count):
        replica.run_until(requests.arrival_s[request])
        replica.deliver(request, requests.arrival_s[request])
        assert replica.blocks.idle() == replica.blocks.total - replica.blocks.used >= 0
    while replica.waiting or replica.outstanding:
        if replica.planned:
            replica.commit()
        else:
            replica.plan()
        assert replica.blocks.idle() == replica.blocks.total - replica.blocks.used >= 0
    assert replica.blocks.used == 0
    assert sum(state.preempted) > 20
    assert sum(state.cached) > 0
