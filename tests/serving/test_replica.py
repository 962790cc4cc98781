"""A prepared replica against a second, naive implementation, and its closed forms against its steps."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving import devices, formats, models
from farthing.serving.coefficients import Chosen, choose, months_of, packaged, tags_of
from farthing.serving.deployment import Deployment, Speculation
from farthing.serving.replica import Replica, prepared

SPARSE = next((id for id in models.names() if any(b.kind == "sparse" for b in models.find(id).attention)), "")
CASES = [
    ("meta-llama/Llama-3.1-70B", "h100-sxm", {"weights": "fp8", "tp": 4}),
    ("meta-llama/Llama-3.1-8B", "l40s", {"tp": 2, "engine": "sglang", "kv": "fp8"}),
    ("meta-llama/Llama-3.1-8B", "cpu-2x-epyc-9654", {}),
    ("openai/gpt-oss-120b", "b200-sxm", {"weights": "fp4", "tp": 2, "ep": 2, "engine": "trtllm"}),
    ("deepseek-ai/DeepSeek-V3", "h200-sxm", {"weights": "fp8", "dp": 8, "ep": 8}),
    ("deepseek-ai/DeepSeek-V3", "h200-sxm", {"weights": "fp8", "tp": 2, "dp": 4, "ep": 8}),
    ("Qwen/Qwen3.5-397B-A17B", "b300-sxm", {"weights": "fp4", "tp": 4}),
    ("meta-llama/Llama-3.1-70B", "a100-80gb-sxm", {"tp": 2, "pp": 4}),
    (SPARSE, "b200-sxm", {"weights": "fp8", "tp": 8}),
]  # fmt: skip
IDS = [f"{model} {device} {changes}" for model, device, changes in CASES]


def of(case: tuple[str, str, dict[str, object]], **more: object) -> Deployment:
    return Deployment(**{"model": models.find(case[0]), "device": devices.find(case[1]), **case[2], **more})  # type: ignore[arg-type]


class Naive:
    """The serving model once more, layer by layer, from the formulas of ../shared/facts.md and the docstrings:
    what a device moves over what it can, what it computes over what it can, the larger; then messages and fixed costs.
    Weights are read by each device's share; every sum is over blocks, in seconds."""

    def __init__(self, d: Deployment, c: Chosen) -> None:
        self.d, self.c, self.m = d, c, d.model
        form = formats.find(d.weights)
        kept = formats.find(form.moe_attention) if form.moe_attention and self.m.expert_parameters else form
        self.all = d.tp * d.dp
        self.bw = d.device.bandwidth_bytes_s
        self.kv = formats.kv_bytes(d.kv)
        self.wire = d.device.link_bytes_s if self.all <= d.device.link_devices else d.device.network_bytes_s
        self.wire *= c.link_bandwidth
        self.expert_bytes, self.dense_bytes = form.expert_bytes, kept.expert_bytes
        self.expert_flops, self.dense_flops = d.device.flops_of(form.compute), d.device.flops_of(kept.compute)
        self.bf16 = d.device.flops["bf16"]
        self.dense = self.m.norm_parameters
        self.dense += sum(b.layers * b.parameters for b in (*self.m.attention, *self.m.feed_forward))
        self.prompt_flops = c.prompt_compute * (self.m.hidden / 5_000) ** c.hidden_compute
        latent_only = [b.kv_heads for b in self.m.attention if not b.latent and b.kind != "linear"]
        self.split = min(d.tp, min(latent_only)) if latent_only else 1
        windows = [b.window for b in self.m.attention if b.kind in ("window", "sparse")]
        self.window = max(windows, default=1)

    def messages(self, tokens: float) -> float:
        """All-reduces of the attention and the feed-forward of each layer, and exchanges among ranks."""
        d, c, m, total = self.d, self.c, self.m, 0.0
        if d.tp > 1:
            each_rank = tokens / d.dp
            for _ in range(2 * m.layers):
                total += c.link_latency_s * math.log2(d.tp) if tokens else 0.0
                total += 2 * (d.tp - 1) / d.tp * each_rank * m.hidden * 2 / self.wire
        if d.dp > 1:
            experts = max(b.per_token for b in m.feed_forward)
            for _ in range(m.moe_layers):
                total += 2 * c.exchange_latency_s * math.log2(self.all)
                total += 2 * experts * tokens * m.hidden * 1.5 / self.all / self.wire  # out in 8 bit, back in 16
        return total

    def fixed(self) -> float:
        c, m = self.c, self.m
        wide = (m.hidden / 5_000) ** c.hidden_overhead
        total = (m.layers * c.layer_s + m.moe_layers * c.moe_layer_s) * wide
        for b in m.attention:
            total += b.layers * c.latent_layer_s if b.latent else 0
            total += b.layers * c.linear_layer_s if b.kind == "linear" else 0
            total += b.layers * c.sparse_layer_s if b.kind == "sparse" else 0
        return total * c.overhead + c.step_s

    def caches(self, batch: float, context: float) -> float:
        """The larger of reading the contexts of one rank and multiplying by them."""
        d, read, states, flops = self.d, 0.0, 0.0, 0.0
        windowed = min(context, batch * self.window)
        for b in self.m.attention:
            if b.kind == "full":
                read += b.layers * b.kv_values * self.kv * context
                flops += b.layers * b.decode_flops_per_pair * context
            elif b.kind == "window":
                read += b.layers * b.kv_values * self.kv * windowed
            elif b.kind == "sparse":
                read += b.layers * (b.index_values * self.kv * context + b.kv_values * self.kv * windowed)
            states += 2 * b.layers * b.state_values * 4 * batch  # of all heads, which TP divides
        moved = (read / self.split + states / d.tp) / (self.bw * self.c.kv_bandwidth)
        return max(moved, flops / d.tp / (self.bf16 * self.c.attention_compute))

    def experts(self, tokens: float, compute: float) -> float:
        c, d, total = self.c, self.d, 0.0
        for b in self.m.feed_forward:
            if not b.experts:
                continue
            shard = b.expert_parameters * self.expert_bytes / (1 if d.ep > 1 else self.all)
            bw = self.bw * c.expert_bandwidth * (max(shard, 1) / 5e6) ** c.expert_size
            touched = b.experts * (1 - (1 - b.per_token / b.experts) ** tokens)
            read = touched * b.layers * b.expert_parameters * self.expert_bytes / self.all / bw
            work = 2 * tokens * b.per_token * b.layers * b.expert_parameters / self.all / (self.expert_flops * compute)
            total += max(read, work) * (c.imbalance if d.ep > 1 else 1)
        return total

    def step(self, batch: float, context: float) -> float:
        """One step of `batch` sequences with `context` tokens in all."""
        d, c, m = self.d, self.c, self.m
        parts = min(d.pp, max(batch, 1))
        batch, context = batch / parts, context / parts
        ranks = min(d.dp, max(batch, 1))  # those with a sequence
        own = batch / ranks
        total = max(
            self.dense * self.dense_bytes / d.tp / (self.bw * c.dense_bandwidth),
            2 * self.dense * own / d.tp / (self.dense_flops * c.decode_compute),
        )
        head = m.vocabulary * m.hidden
        total += max(
            head * 2 / d.tp / (self.bw * c.dense_bandwidth), 2 * head * own / d.tp / (self.bf16 * c.decode_compute)
        )
        total += self.experts(batch, c.expert_compute)
        total += self.caches(own, context / ranks)
        return (total + self.messages(batch) + self.fixed() + own * c.rank_sequence_s) * c.speed

    def prompt(self, new: float, before: float) -> float:
        """`new` tokens after `before` in the cache: arithmetic, attention to what stands before, messages."""
        c, total = self.c, 0.0
        total += 2 * self.dense * new / self.all / (self.dense_flops * self.prompt_flops)
        for b in self.m.feed_forward:
            work = 2 * new * b.per_token * b.layers * b.expert_parameters / self.all
            total += work / (self.expert_flops * self.prompt_flops * c.expert_prompt)
        mean = before + new / 2
        for b in self.m.attention:
            seen = mean if b.kind == "full" else min(mean, self.window) if b.kind != "linear" else 0
            total += (
                new
                * seen
                * b.layers
                * 2
                * b.heads
                * (b.key_dim + b.value_dim)
                / self.all
                / (self.bf16 * c.attention_compute)
            )
        latency = self.messages(1e-300) if new else 0  # of messages; prompts pay it in their step
        return total + self.messages(new) - latency

    def times(self, into: float, out: float, asked: float, batch: float, hit: float) -> tuple[float, float]:
        """TPOT and TTFT."""
        c, d, m = self.c, self.d, self.m
        prompt = self.prompt(into * (1 - hit), into * hit)
        tpot = self.step(batch, batch * (into + out / 2)) + c.interference * (batch - 1) / out * prompt / d.pp * c.speed
        front = c.front_s + m.layers * c.eager_layer_s + m.moe_layers * c.eager_moe_layer_s
        front += sum(b.layers for b in m.attention if b.latent) * c.eager_latent_layer_s
        everything = self.dense * self.dense_bytes / d.tp / (self.bw * c.dense_bandwidth) + self.fixed()
        for b in m.feed_forward:
            if b.experts:
                shard = b.expert_parameters * self.expert_bytes / (1 if d.ep > 1 else self.all)
                bw = self.bw * c.expert_bandwidth * (shard / 5e6) ** c.expert_size
                everything += b.experts * b.layers * b.expert_parameters * self.expert_bytes / self.all / bw
        everything += 512 * c.rank_sequence_s / d.dp
        first = front * c.front * asked**c.front_power + c.own_prompt * max(prompt, everything) + c.first_step * tpot
        first += c.queue * (batch - 1) * prompt / d.pp
        return tpot, first + max(asked - batch, 0) / batch * out * tpot * c.capacity_wait


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize(
    ("into", "out", "asked", "batch", "hit"),
    [(1_000, 1_000, 1, 1, 0), (1_000, 200, 8, 8, 0.5), (8_000, 1_000, 256, 256, 0), (300, 3_000, 500, 130, 0.9),
     (60, 8, 16, 9, 0)],
)  # fmt: skip
def test_a_second_implementation_agrees(
    case: tuple[str, str, dict[str, object]], into: float, out: float, asked: float, batch: float, hit: float
) -> None:
    one, fit = of(case), packaged()
    chosen = choose(fit, fit.values(), tags_of(one, fit), months=months_of(one, fit))
    naive = Naive(one, chosen)
    tpot, ttft, prompt, step = prepared(one).point(into, out, asked, batch, hit)
    expected = naive.times(into, out, asked, batch, hit)
    assert (tpot, ttft) == pytest.approx(expected, rel=1e-9)
    assert prompt == pytest.approx(naive.prompt(into * (1 - hit), into * hit) * chosen.speed / one.pp, rel=1e-9)
    assert step == pytest.approx(naive.step(batch, batch * (into + out / 2)), rel=1e-9)
    assert prepared(one).step_s(0, 0, batch, batch * (into + out / 2)) == pytest.approx(step, rel=1e-9)


@given(
    case=st.sampled_from(CASES), prompt=st.integers(0, 8_192), pairs=st.floats(0, 1e8), batch=st.integers(0, 1_000),
    context=st.floats(0, 1e7), more=st.floats(1, 1e4),
)  # fmt: skip
@settings(deadline=None)
def test_a_step_rises_with_all_that_is_in_it(
    case: tuple[str, str, dict[str, object]], prompt: int, pairs: float, batch: int, context: float, more: float
) -> None:
    replica = prepared(of(case))
    base, slack = replica.step_s(prompt, pairs, batch, context), 1 + 1e-12
    assert base > 0
    assert base <= replica.step_s(prompt + 100, pairs, batch, context) * slack
    assert base <= replica.step_s(prompt, pairs + more, batch, context) * slack
    assert base <= replica.step_s(prompt, pairs, batch, context + more) * slack
    if replica.terms.pp == 1 and replica.terms.ranks == 1:  # else one more may put an idle stage or rank to work
        assert base <= replica.step_s(prompt, pairs, batch + 1, context) * slack


def test_a_step_is_affine_in_context_and_pairs_where_no_window_is_passed() -> None:
    replica = prepared(of(CASES[0]))
    one, two, three = (replica.step_s(0, 0, 8, context) for context in (10_000, 20_000, 30_000))
    assert three - two == pytest.approx(two - one, rel=1e-6)
    one, two, three = (replica.step_s(100, pairs, 8, 10_000) for pairs in (0, 1e6, 2e6))
    assert three - two == pytest.approx(two - one, rel=1e-6)


def test_a_prompt_alone_takes_no_less_than_its_arithmetic_or_one_pass() -> None:
    replica = prepared(of(CASES[0]))
    from farthing.serving.physics import prompt_s

    long = replica.step_s(8_192, 8_192 * 4_096, 0, 0)
    assert long >= prompt_s(replica.terms, 8_192, 0) * replica.terms.speed
    assert replica.step_s(1, 0, 0, 0) >= replica.terms.dense_read


def test_scale_and_own_coefficients() -> None:
    one = of(CASES[0])
    plain, twice = Replica(one), Replica(one, scale=2.0)
    assert twice.step_s(100, 5_000, 8, 8_000) == pytest.approx(2 * plain.step_s(100, 5_000, 8, 8_000))
    values = {**packaged().values(), "step_s": packaged().values()["step_s"] * 2}
    slower = Replica(one, values=values)
    added = slower.step_s(0, 0, 1, 1_000) - plain.step_s(0, 0, 1, 1_000)
    assert added == pytest.approx(packaged().values()["step_s"] * packaged().values()["step_s@vllm"])


def test_room_and_watts_of_a_replica() -> None:
    one = of(CASES[0])
    replica = prepared(one)
    assert prepared(one) is replica
    assert replica.gpus == 4
    assert replica.kv_tokens == pytest.approx(one.kv_room_bytes / (one.kv_bytes(4_096) / 4_096), abs=1)
    ranks = of(CASES[4])
    assert prepared(ranks).kv_tokens == pytest.approx(8 * ranks.kv_room_bytes / (ranks.kv_bytes(4_096) / 4_096), abs=8)
    assert prepared(of(("deepseek-ai/DeepSeek-V3", "l40s", {}))).kv_tokens == 0
    # H100: 445 W with few sequences to 577 W with 256 (facts.md), four boards
    assert 4 * 440 < replica.watts(0, 1) < 4 * 450
    assert 4 * 570 < replica.watts(0, 256) < 4 * 585
    assert replica.watts(8_192, 0) == replica.watts(0, 256) == replica.watts(0, 2_000)
    assert replica.watts(0, 16) < replica.watts(0, 64)


def test_a_prefix_is_not_computed_but_read() -> None:
    replica = prepared(of(CASES[0]))
    none, half = replica.point(4_000, 200, 16, 16, 0.0), replica.point(4_000, 200, 16, 16, 0.5)
    assert half[3] == none[3]  # the step reads the whole context
    assert 0.5 < half[2] / none[2] < 0.6  # the later half of a prompt attends to more
    assert half[0] < none[0] and half[1] < none[1]


def test_speculation_by_its_formula() -> None:
    one = of(CASES[0])
    drafting = msgspec.structs.replace(one, speculation=Speculation(tokens=3, acceptance=0.7, draft=0.1))
    useless = msgspec.structs.replace(one, speculation=Speculation(tokens=3, acceptance=0.0, draft=0.1))
    plain = Replica(one).point(1_000, 500, 1, 1)[3]
    fast, slow = Replica(drafting).point(1_000, 500, 1, 1)[3], Replica(useless).point(1_000, 500, 1, 1)[3]
    # 1 + 0.7 + 0.49 + 0.343 = 2.533 tokens for a verifying step and three drafts of a tenth of one
    assert slow / fast == pytest.approx(2.533)
    assert slow > plain * 1.3
    assert fast < plain * 0.55
    busy = Replica(drafting).point(1_000, 500, 1_024, 1_024)[3] / Replica(one).point(1_000, 500, 1_024, 1_024)[3]
    assert busy > fast / plain  # where arithmetic or caches bind, verifying costs more


def test_floats_and_arrays_agree() -> None:
    for case in CASES:
        replica = prepared(of(case))
        loads = [(1_000.0, 500.0, 64.0, 40.0, 0.3), (10.0, 2.0, 1.0, 1.0, 0.0), (20_000.0, 100.0, 900.0, 900.0, 0.8)]
        columns = [np.array(column) for column in zip(*loads, strict=True)]
        vector = replica.point(*columns, np.maximum, np.minimum)
        for at, load in enumerate(loads):
            assert [one[at] for one in vector] == pytest.approx(list(replica.point(*load)), rel=1e-12)
