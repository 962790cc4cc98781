"""The formulas: two deployments worked out by hand, limits, and what must rise or fall."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving.deployment import Deployment
from farthing.serving.figures import figures
from farthing.serving.physics import Terms, decode_s, first_token_s, pace_s, pass_s, prompt_s, terms, token_s
from tests.serving.hand import CHOSEN, DENSE, DEVICE, MOE


def of(model: object = DENSE, chosen: object = CHOSEN, **changes: object) -> Terms:
    return terms(figures(Deployment(model=model, device=DEVICE, **changes)), chosen)  # type: ignore[arg-type]


# Dense, TP 2, ten sequences of 1,000 tokens in and 100 out, at half of every stated rate (see hand.py).


def test_a_dense_step_by_hand() -> None:
    t = of(tp=2)
    assert t.dense_read == pytest.approx(100_002_000 / 2 / 0.5e12)  # 100.002 µs
    assert t.dense_decode == pytest.approx(2 * 50_001_000 / 2 / 50e12)  # 1.00002 µs
    assert t.head_read == pytest.approx(20e-6)
    assert t.kv_read == pytest.approx(3_200 / 2 / 0.5e12)  # 3.2 ns a token of context
    assert t.kv_flop == pytest.approx(12_800 / 2 / 50e12)
    assert t.comm_step == pytest.approx(2 * 4 * 4e-6)  # two all-reduces a layer, one doubling
    assert t.comm_token == pytest.approx(2 * 4 * 2 * 0.5 * 2_000 / 50e9)  # 0.32 µs
    assert t.overhead == pytest.approx(4 * 10e-6 + 1e-3)
    # weights 100.002 + head 20 + cache 10 × 1,050 × 3.2 ns = 33.6 + 32 + 10 × 0.32 + 1,040 + 10 × 1 of sampling
    assert decode_s(t, 10, 10, 10_500) * 1e6 == pytest.approx(1_238.802)


def test_a_dense_prompt_and_its_times_by_hand() -> None:
    t = of(tp=2)
    # a token: 1.00002 µs of weights, 0.32 µs of all-reduce, 500 pairs on the mean × 12,800 / 2 / 50e12 = 0.064 µs
    prompt = prompt_s(t, 1_000, 0)
    assert prompt * 1e6 == pytest.approx(1_384.02)
    step = decode_s(t, 10, 10, 10_500)
    tpot = token_s(t, step, prompt, 10, 100)
    assert tpot * 1e6 == pytest.approx(1_238.802 + 0.8 * 9 / 100 * 1_384.02)  # 1,338.45144
    # One pass, 100.002 + 1,040 + 512 = 1,652.002, is longer than the prompt; front 10 ms + 4 layers × 1 ms.
    assert pass_s(t) * 1e6 == pytest.approx(1_652.002)
    first = first_token_s(t, prompt, tpot, 10, 10, 100)
    assert first * 1e6 == pytest.approx(14_000 + 1_652.002 + 0.5 * 1_338.45144 + 0.1 * 9 * 1_384.02)
    # With room for five of ten: half of a whole turn of 100 tokens is waited; four prompts came before, not nine.
    short = first_token_s(t, prompt, tpot, 10, 5, 100)
    assert short - first == pytest.approx(0.5 * 1.0 * 100 * tpot - 0.1 * 5 * prompt)


# MoE in fp4 on two ranks, experts spread, four sequences of 1,000 tokens of context.


def test_a_mixture_step_by_hand() -> None:
    t = of(MOE, weights="fp4", dp=2, ep=2)
    assert t.dense_read * 1e6 == pytest.approx(34_002_000 / 0.5e6)  # 68.004: all of it on each rank
    assert t.head_read * 1e6 == pytest.approx(40.0)
    assert t.expert_read * 1e6 == pytest.approx(843_750 / 2 / 0.5e6)  # 0.84375 µs for one expert of all layers
    assert t.kv_read == pytest.approx(4_000 / 0.5e12 / 2)  # two ranks read their own sequences at once
    assert t.comm_step == pytest.approx(3 * 2 * 5e-6)
    assert t.comm_token == pytest.approx(3 * 2 * 2 * 1_000 * 1.5 / (2 * 50e9))  # no all-reduce within a rank of one
    assert t.overhead == pytest.approx(4 * 10e-6 + 3 * 20e-6 + 4 * 30e-6 + 1e-3)
    # touched: 8 (1 - 0.75^4) = 5.46875 experts × 0.84375 × imbalance 1.2 = 5.537109375
    # 68.004 + 40 + 5.537109375 + cache 4,000 × 4 ns = 16 + 30 + 4 × 0.18 + 1,220 + 4 × 0.5
    assert decode_s(t, 4, 4, 4_000) * 1e6 == pytest.approx(1_382.261109375)


def test_a_mixture_prompt_by_hand() -> None:
    t = of(MOE, weights="fp4", dp=2, ep=2)
    # 2 × 17.001M / (2 × 50e12) + 2 × 1.5M × 2 / (2 × 400e12 × 0.5 × 0.5) + 0.18 µs + 600 pairs × 16,000 / (2 × 50e12)
    each = 0.34002e-6 + 0.03e-6 + 0.18e-6 + 600 * 0.16e-9
    assert prompt_s(t, 400, 400) == pytest.approx(400 * each)  # 400 new after 400 found: 400 + 200 on the mean


def test_experts_touched_at_the_limits() -> None:
    only = msgspec.structs.replace(
        CHOSEN, layer_s=0.0, moe_layer_s=0.0, latent_layer_s=0.0, step_s=1e-12, decode_compute=1e6, expert_compute=1e6
    )
    t = of(MOE, only, weights="fp4")
    rest = t.dense_read + t.head_read + t.overhead

    def touched(tokens: float) -> float:
        step = decode_s(t, tokens, tokens, 0.0) - rest - t.rank_token * tokens
        return float(step / t.expert_read)

    assert touched(1) == pytest.approx(2)  # one token passes its k experts
    assert touched(1e-6) == pytest.approx(-np.log(0.75) * 8e-6, rel=1e-3)
    assert touched(200) == pytest.approx(8)
    assert touched(2) == pytest.approx(8 * (1 - 0.75**2))


def test_one_device_says_nothing_to_others() -> None:
    t = of(tp=1)
    assert t.comm_step == t.comm_token == 0
    island = terms(
        figures(Deployment(model=DENSE, device=msgspec.structs.replace(DEVICE, link_bytes_s=0.0, link_devices=1))),
        CHOSEN,
    )
    assert island.comm_step == island.comm_token == 0


def test_two_devices_halve_the_weights_read() -> None:
    one, two, four = of(tp=1), of(tp=2), of(tp=4)
    assert two.dense_read == pytest.approx(one.dense_read / 2)
    assert two.head_read == pytest.approx(one.head_read / 2)
    assert two.dense_prompt == pytest.approx(one.dense_prompt / 2)
    assert two.kv_read == pytest.approx(one.kv_read / 2)
    assert four.kv_read == pytest.approx(two.kv_read)  # two KV heads: no further
    assert of(MOE, tp=4).kv_read == pytest.approx(of(MOE).kv_read)  # a latent is never divided
    assert of(MOE, tp=4).expert_read == pytest.approx(of(MOE).expert_read / 4)


def test_all_reduces_of_several_ranks_run_side_by_side() -> None:
    # TP 2 × DP 2: each rank reduces its own half of the tokens.
    both, one = of(MOE, tp=2, dp=2, ep=4), of(MOE, tp=2)
    exchange = 3 * 2 * 2 * 1_000 * 1.5 / (4 * 50e9)
    assert both.comm_token == pytest.approx(one.comm_token / 2 + exchange)


def test_stages_do_not_divide_one_sequence() -> None:
    one, four = of(), of(pp=4)
    assert decode_s(four, 1, 1, 5_000) == pytest.approx(decode_s(one, 1, 1, 5_000))
    # Four sequences on four stages: each stage has one of them, so a token takes as long as alone.
    assert decode_s(four, 4, 4, 20_000) == pytest.approx(decode_s(one, 1, 1, 5_000))
    assert decode_s(four, 40, 40, 200_000) == pytest.approx(decode_s(one, 10, 10, 50_000))


def test_ranks_do_not_divide_one_sequence() -> None:
    alone, ranks = of(MOE), of(MOE, dp=4)
    quiet = (ranks.comm_step, ranks.comm_token)
    at_rest = msgspec.structs.replace(ranks, comm_step=0.0, comm_token=0.0)
    assert quiet[0] > 0 and quiet[1] > 0
    # One sequence's cache is read by its rank alone: as long as on one device; only its experts are divided.
    here = decode_s(alone, 1, 1, 50_000) - 2 * alone.expert_read
    assert decode_s(at_rest, 1, 1, 50_000) - 2 * ranks.expert_read == pytest.approx(here)


def test_prompts_on_stages_overlap() -> None:
    one, two = of(), of(pp=2)
    assert prompt_s(one, 1_000, 0) == pytest.approx(prompt_s(two, 1_000, 0))  # one prompt passes them all
    step, prompt = 1e-3, 10e-3
    assert token_s(two, step, prompt, 11, 100) - step == pytest.approx((token_s(one, step, prompt, 11, 100) - step) / 2)


def test_drafted_tokens_share_one_reading() -> None:
    t = of(tp=2)
    plain, verified = decode_s(t, 10, 10, 10_500), decode_s(t, 30, 10, 10_500)
    assert plain < verified < plain * 1.1  # three times the tokens, one pass over weights and caches
    # 20 more tokens × (0.32 µs all-reduce + 1 µs sampling); everything else is bound by reading
    assert verified - plain == pytest.approx(20 * 1.32e-6)


def test_a_machine_that_is_full_gives_what_it_gives() -> None:
    t = of(tp=2)
    tpot, first = 0.020, 0.5
    # Not full: Little's law, (0.5 + 99 × 0.02) / 4
    assert pace_s(t, 1e-3, 0.01, tpot, first, 4, 4, 100) == pytest.approx(2.48 / 4)
    # Ten asked for, four fit: (0.5 + 1.98) / 10 a request would need 8 at once; four give 1.98 / 4
    assert pace_s(t, 1e-3, 0.01, tpot, first, 10, 4, 100) == pytest.approx(1.98 / 4)
    # Prompts alone: no more than one at a time, however many wait
    assert pace_s(t, 0.3, 0.01, tpot, first, 1_000, 1_000, 1) == pytest.approx(0.3)


BATCH = st.floats(1, 2_048)
LENGTH = st.floats(1, 50_000)
LAYOUTS = st.sampled_from(
    [
        ("dense", {"tp": 1}), ("dense", {"tp": 4}), ("dense", {"tp": 2, "pp": 2}),
        ("dense", {"weights": "fp8", "kv": "fp8"}),
        ("moe", {"tp": 2}), ("moe", {"weights": "fp4", "tp": 2, "ep": 2}),
        ("moe", {"dp": 4, "ep": 4, "weights": "fp8"}),
    ]
)  # fmt: skip


def _terms(layout: tuple[str, dict[str, object]], **device: float) -> Terms:
    model = DENSE if layout[0] == "dense" else MOE
    changed = msgspec.structs.replace(DEVICE, **device)
    return terms(figures(Deployment(model=model, device=changed, **layout[1])), CHOSEN)  # type: ignore[arg-type]


@given(layout=LAYOUTS, batch=BATCH, more=st.floats(1, 100), length=LENGTH, output=st.floats(2, 5_000))
@settings(deadline=None)
def test_times_rise_with_batch_context_and_prompt(
    layout: tuple[str, dict[str, object]], batch: float, more: float, length: float, output: float
) -> None:
    t = _terms(layout)
    step = decode_s(t, batch, batch, batch * length)
    larger = decode_s(t, batch + more, batch + more, (batch + more) * length)
    assert step <= larger * (1 + 1e-12)
    assert step <= decode_s(t, batch, batch, batch * (length + more)) * (1 + 1e-12)
    prompt = prompt_s(t, length, 0)
    assert 0 < prompt < prompt_s(t, length + more, 0)
    assert prompt <= prompt_s(t, length, more)
    tpot = token_s(t, step, prompt, batch, output)
    assert step <= tpot <= token_s(t, step, prompt, batch + more, output)
    assert tpot >= token_s(t, step, prompt, batch, output + more)  # longer answers meet fewer prompts a token
    first = first_token_s(t, prompt, tpot, batch, batch, output)
    assert first < first_token_s(t, prompt_s(t, length + more, 0), tpot, batch, batch, output) * (1 + 1e-12)
    assert first <= first_token_s(t, prompt, tpot, batch + more, batch, output)
    # A batch never takes longer than its halves one after another.
    assert step <= 2 * decode_s(t, batch / 2, batch / 2, batch * length / 2) * (1 + 1e-12) or batch < 2


@given(layout=LAYOUTS, batch=BATCH, length=LENGTH, faster=st.floats(1.01, 10))
@settings(deadline=None)
def test_a_better_device_is_never_slower(
    layout: tuple[str, dict[str, object]], batch: float, length: float, faster: float
) -> None:
    base = _terms(layout)
    for change in (
        {"bandwidth_bytes_s": DEVICE.bandwidth_bytes_s * faster}, {"link_bytes_s": DEVICE.link_bytes_s * faster},
        {"flops": {name: flops * faster for name, flops in DEVICE.flops.items()}},
    ):  # fmt: skip
        better = _terms(layout, **change)  # type: ignore[arg-type]
        assert decode_s(better, batch, batch, batch * length) <= decode_s(base, batch, batch, batch * length)
        assert prompt_s(better, length, 0) <= prompt_s(base, length, 0)
    slow, fast = (_terms(layout, bandwidth_bytes_s=one) for one in (1e12, 2e12))
    assert fast.dense_read == pytest.approx(slow.dense_read / 2)


@given(batch=BATCH, length=LENGTH, output=st.floats(1, 5_000), hit=st.floats(0, 0.99), asked=st.floats(1, 4_000))
@settings(deadline=None)
def test_arrays_and_floats_give_the_same(batch: float, length: float, output: float, hit: float, asked: float) -> None:
    for layout in (("dense", {"tp": 2, "pp": 2}), ("moe", {"weights": "fp4", "tp": 2, "dp": 2, "ep": 4})):
        t = _terms(layout)  # type: ignore[arg-type]
        b, i, o = (np.array([one, one]) for one in (batch, length, output))
        most, least = np.maximum, np.minimum
        step, steps = decode_s(t, batch, batch, batch * length), decode_s(t, b, b, b * i, most, least)
        new = length * (1 - hit)
        prompt, prompts = prompt_s(t, new, length - new), prompt_s(t, i - (i - new), i - new, least)
        tpot, tpots = token_s(t, step, prompt, batch, output), token_s(t, steps, prompts, b, o, most)
        first = first_token_s(t, prompt, tpot, asked, batch, output)
        firsts = first_token_s(t, prompts, tpots, asked + 0 * b, b, o, most)
        pace = pace_s(t, prompt, step, tpot, first, asked, batch, output)
        paces = pace_s(t, prompts, steps, tpots, firsts, asked + 0 * b, b, o, most)
        for scalar, vector in ((step, steps), (prompt, prompts), (tpot, tpots), (first, firsts), (pace, paces)):
            assert vector == pytest.approx([scalar, scalar], rel=1e-12)


@given(
    prompt=st.floats(1e-4, 10), step=st.floats(1e-4, 1), asked=st.floats(1, 4_000), share=st.floats(0.01, 1),
    output=st.floats(1, 5_000), layout=LAYOUTS,
)  # fmt: skip
@settings(deadline=None)
def test_no_load_gets_more_than_the_machine_has(
    prompt: float, step: float, asked: float, share: float, output: float, layout: tuple[str, dict[str, object]]
) -> None:
    t = _terms(layout)
    batch = max(asked * share, 1.0)
    tpot = token_s(t, step, prompt * t.pp, batch, output)
    first = first_token_s(t, prompt * t.pp, tpot, asked, batch, output)
    rate = 1 / pace_s(t, prompt, step, tpot, first, asked, batch, output)
    slack = 1 + 1e-9
    assert rate * prompt <= slack  # prompts take no more than all of the time
    assert rate * output * step / batch <= slack  # nor do steps
    assert rate * tpot * (output - 1) <= batch * slack  # and no more decode than fit
    assert rate * (first + tpot * (output - 1)) <= asked * slack
