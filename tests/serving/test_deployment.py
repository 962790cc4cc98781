"""Deployments: bytes by hand, what divides, and what is filled in."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving import devices, models
from farthing.serving.deployment import Deployment, Speculation, plan
from farthing.serving.shape import ModelShape
from tests.serving.hand import DENSE, DEVICE, MOE


def dense(**changes: object) -> Deployment:
    return Deployment(model=DENSE, device=DEVICE, **{"chunk": 1_000, **changes})  # type: ignore[arg-type]


def moe(**changes: object) -> Deployment:
    return Deployment(model=MOE, device=DEVICE, **{"chunk": 1_000, **changes})  # type: ignore[arg-type]


# Dense: 4 × 2.5M attention + 4 × 10M feed-forward + 1,000 = 50,001,000; embedding and head 10M each, in 16 bit.


def test_weights_of_a_dense_model_by_hand() -> None:
    assert dense().weight_bytes == 50_001_000 * 2 + 2 * 10_000_000 * 2  # 140.0 MB
    assert dense(weights="fp8").weight_bytes == 50_001_000 + 40_000_000
    assert dense(weights="fp4").weight_bytes == 50_001_000 * 0.5625 + 40_000_000  # no expert, so all of it is small
    assert dense(tp=2).weight_bytes == 140_002_000 / 2
    # Two stages: half of the layers, and either the embedding or the head.
    assert dense(pp=2).weight_bytes == 100_002_000 / 2 + 20_000_000
    assert dense(tp=2, pp=2).weight_bytes == (100_002_000 / 2 + 20_000_000) / 2


def test_a_tied_head_is_on_the_first_and_on_the_last_stage() -> None:
    tied = msgspec.structs.replace(DENSE, tied=True)
    one = Deployment(model=tied, device=DEVICE)
    assert one.weight_bytes == 100_002_000 + 20_000_000
    two = Deployment(model=tied, device=DEVICE, pp=2)
    assert two.weight_bytes == 100_002_000 / 2 + 20_000_000  # a whole copy on each


def test_the_fullest_stage_counts_where_stages_do_not_divide_the_layers() -> None:
    three = dense(pp=3)
    assert three.stage_share == 2 / 4  # 2 + 1 + 1 layers
    assert three.weight_bytes == dense(pp=2).weight_bytes
    assert three.kv_bytes(1_000) == dense(pp=2).kv_bytes(1_000)


def test_room_and_batch_of_a_dense_model_by_hand() -> None:
    one = dense()
    assert one.reserve_bytes == 1e9 + 1_000 * 1_000 * 14 * 2  # 1.028 GB
    assert one.kv_room_bytes == pytest.approx(3.6e9 - 1.028e9 - 140_002_000)  # 2,431,998,000
    assert one.kv_bytes(10_000) == 4 * 2 * (100 + 100) * 2 * 10_000  # 32 MB
    assert one.max_batch(10_000) == 75  # 2,431.998 / 32 = 75.99…
    assert dense(kv="fp8").max_batch(10_000) == 151  # 2,431.998 / 16 = 151.99…
    assert dense(tp=2).max_batch(10_000) == 156  # (3,600 - 1,028 - 70.001) / 16 = 156.37…
    # Two KV heads: four devices hold them twice. (2,572 - 35.0005) / 16 = 158.56…
    assert dense(tp=4).kv_split == 2
    assert dense(tp=4).max_batch(10_000) == 158
    assert dense(max_sequences=10).max_batch(10_000) == 10


# MoE: dense parts 4 × 2M + 6M + 3 × 1M + 1,000 = 17,001,000; experts 3 × 8 × 0.5M = 12M; head 10M, tied; 3M others.


def test_weights_of_a_mixture_by_hand() -> None:
    assert moe().weight_bytes == (17_001_000 + 12_000_000 + 10_000_000 + 3_000_000) * 2
    # fp4: only the experts are small. 34,002,000 + 20,000,000 + 6,000,000 + 6,750,000
    assert moe(weights="fp4").weight_bytes == 66_752_000
    # Attention copied on two ranks, experts divided: 60,002,000 + 6,750,000 / 2, with or without whole experts a rank
    assert moe(weights="fp4", dp=2, ep=2).weight_bytes == moe(weights="fp4", dp=2).weight_bytes == 63_377_000
    assert moe(weights="fp4", tp=2).weight_bytes == 66_752_000 / 2


def test_a_latent_is_kept_on_every_device_and_ranks_add_room() -> None:
    assert moe().kv_bytes(1_000) == moe(tp=4).kv_bytes(1_000) == (400 + 100) * 4 * 2 * 1_000
    one, two = moe(weights="fp4"), moe(weights="fp4", dp=2, ep=2)
    # (3,600 - 1,028 - 66.752) / 40 = 62.6; (3,600 - 1,028 - 63.377) / 40 = 62.7, on each of two ranks
    assert (one.max_batch(10_000), two.max_batch(10_000)) == (62, 124)


def test_windows_and_states_stop_growing() -> None:
    block = DENSE.attention[0]
    windowed = msgspec.structs.replace(DENSE, attention=(msgspec.structs.replace(block, kind="window", window=500),))
    one = Deployment(model=windowed, device=DEVICE)
    assert one.kv_bytes(500) == one.kv_bytes(50_000) == 500 * 3_200
    linear = msgspec.structs.replace(
        DENSE, attention=(msgspec.structs.replace(block, kind="linear", state_values=1_000),)
    )
    two = Deployment(model=linear, device=DEVICE, tp=2)
    assert two.kv_bytes(1) == two.kv_bytes(100_000) == 4 * 1_000 * 4 / 2  # 32 bit, divided by head


@pytest.mark.parametrize(
    ("id", "weights", "published_gb"),
    # Sizes of the checkpoints' files as published: parameters × bytes, heads of 16 bit in them.
    [
        ("meta-llama/Llama-3.1-8B", "bf16", 16.06),
        ("meta-llama/Llama-3.1-70B", "bf16", 141.1),
        ("deepseek-ai/DeepSeek-V3", "fp8", 673.0),
        ("openai/gpt-oss-120b", "fp4", 65.0),
    ],
)
def test_weights_of_known_checkpoints(id: str, weights: str, published_gb: float) -> None:
    one = Deployment(model=models.find(id), device=devices.find("h100-sxm"), weights=weights)
    assert one.weight_bytes / 1e9 == pytest.approx(published_gb, rel=0.08)


def test_one_divided_by_eight_is_the_whole_whatever_the_layout() -> None:
    model, device = models.find("deepseek-ai/DeepSeek-V3"), devices.find("h200-sxm")
    tensor = Deployment(model=model, device=device, weights="fp8", tp=8)
    expert = Deployment(model=model, device=device, weights="fp8", tp=8, ep=8)
    assert tensor.weight_bytes == expert.weight_bytes
    copied = Deployment(model=model, device=device, weights="fp8", dp=8, ep=8)
    assert copied.weight_bytes > tensor.weight_bytes  # attention and heads on each rank
    assert copied.max_batch(8_192) > tensor.max_batch(8_192)  # but each sequence's latent only on one


@given(
    tokens=st.floats(10, 100_000), more=st.floats(1, 100_000), tp=st.sampled_from([1, 2, 4, 8]),
    id=st.sampled_from([
        "meta-llama/Llama-3.1-8B", "openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3.5-397B-A17B",
    ]),
)  # fmt: skip
@settings(deadline=None)
def test_longer_contexts_never_fit_oftener(tokens: float, more: float, tp: int, id: str) -> None:
    one = Deployment(model=models.find(id), device=devices.find("b300-sxm"), weights="fp4", tp=tp)
    assert one.max_batch(tokens + more) <= one.max_batch(tokens)
    assert one.kv_bytes(tokens + more) >= one.kv_bytes(tokens)
    smaller = msgspec.structs.replace(one, kv="fp8")
    assert smaller.max_batch(tokens) >= one.max_batch(tokens)
    batch = one.max_batch(tokens)
    if 0 < batch < one.max_sequences:
        assert one.weight_bytes + one.reserve_bytes + batch * one.kv_bytes(tokens) <= one.device.memory_bytes * 0.9


def test_devices_and_name() -> None:
    one = moe(tp=2, pp=2, dp=2, ep=4, replicas=3)
    assert (one.gpus, one.count) == (8, 24)
    assert one.name == "hand-moe on 24 × hand (vllm, bf16 tp2 pp2 dp2 ep4 replicas3)"


def test_speculation_yields_a_geometric_sum() -> None:
    assert Speculation(tokens=3, acceptance=0.5).per_step == 1 + 0.5 + 0.25 + 0.125
    assert Speculation(tokens=3, acceptance=0.0).per_step == 1
    assert Speculation(tokens=3, acceptance=1.0).per_step == 4


@pytest.mark.parametrize(
    ("speculation", "says"),
    [
        (Speculation(tokens=0, acceptance=0.5), "drafts 0 tokens"),
        (Speculation(tokens=2, acceptance=1.5), "acceptance 1.5"),
        (Speculation(tokens=2, acceptance=-0.1), "acceptance -0.1"),
        (Speculation(tokens=2, acceptance=float("nan")), "acceptance nan"),
        (Speculation(tokens=2, acceptance=0.5, draft=-1), "-1 of a step"),
    ],
)
def test_speculation_that_cannot_be(speculation: Speculation, says: str) -> None:
    with pytest.raises(FarthingError, match=says):
        dense(speculation=speculation).check()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tp": 3}, "tp 3 does not divide the 8 attention heads of hand-dense; 1, 2, 4, 8 would"),
        ({"tp": 0}, "tp is 0; it must be at least 1"),
        ({"pp": 5}, "pp 5 is more than the 4 layers of hand-dense"),
        ({"ep": 2}, "ep 2: hand-dense has no experts to spread; use --count"),
        ({"dp": 2}, "dp 2: hand-dense has no experts to spread; use --count"),
        ({"engine": "ollama"}, "unknown engine 'ollama'; one of vllm, sglang, trtllm"),
        ({"weights": "fp6"}, "unknown format of weights 'fp6'; one of"),
        ({"kv": "fp2"}, "unknown format of the KV cache 'fp2'; one of"),
        ({"replicas": 0}, "replicas is 0"),
    ],
)
def test_what_cannot_be_is_one_line_with_what_would(changes: dict[str, object], says: str) -> None:
    with pytest.raises(FarthingError, match=says) as caught:
        dense(**changes).check()
    assert "\n" not in str(caught.value)


def test_ranks_of_experts_must_divide_both() -> None:
    with pytest.raises(
        FarthingError, match=r"ep 3 must divide tp × dp = 4 and the 8 experts of hand-moe; 1, 2, 4 would"
    ):
        moe(tp=4, ep=3).check()
    moe(tp=2, dp=4, ep=8).check()


def test_kv_heads_are_divided_or_repeated_evenly() -> None:
    block = msgspec.structs.replace(DENSE.attention[0], heads=24, kv_heads=8)
    model = msgspec.structs.replace(DENSE, attention=(block,))
    with pytest.raises(
        FarthingError, match=r"tp 6 neither divides nor is a multiple of the KV heads .* 1, 2, 4, 8, 24 would"
    ):
        Deployment(model=model, device=DEVICE, tp=6).check()
    Deployment(model=model, device=DEVICE, tp=24).check()
    assert plan(model, DEVICE, count=6).tp == 2


# plan: what was not said is filled in


def test_the_fewest_devices_that_hold_the_model() -> None:
    model, device = models.find("meta-llama/Llama-3.1-70B"), devices.find("h100-sxm")
    assert plan(model, device).tp == 2  # 70.6 GB of weights and 2.9 GB reserved in 0.9 × 85.5 GB each
    assert plan(model, device, context=30_000).tp == 4  # a context of 4.9 GB on each of two is too much
    for weights in ("bf16", "fp8", "fp4"):
        one = plan(model, device, weights=weights)
        assert one.max_batch(4096) > 0
        if one.tp > 1:
            assert msgspec.structs.replace(one, tp=one.tp // 2).max_batch(4096) == 0


def test_more_devices_than_a_domain_are_replicas() -> None:
    one = plan(models.find("meta-llama/Llama-3.1-70B"), devices.find("h100-sxm"), count=16)
    assert (one.tp, one.replicas, one.count) == (8, 2, 16)
    assert plan(DENSE, DEVICE, count=6).tp == 2  # 6 and 3 do not divide 8 heads
    assert plan(DENSE, DEVICE, count=6).replicas == 3
    assert plan(MOE, DEVICE, count=16, dp=2).tp == 8


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"count": 6, "tp": 4}, "--count 6 is not a multiple of tp × pp × dp = 4; 4, 8, 12"),
        ({"count": 1, "pp": 2}, "--count 1 is not a multiple of tp × pp × dp = 2"),
        ({"count": 0}, "--count is 0; it must be at least 1"),
        ({"count": -2}, "--count is -2; it must be at least 1"),
        ({"tp": 0}, "tp is 0; it must be at least 1"),
        ({"pp": 0}, "pp is 0; it must be at least 1"),
        ({"dp": -1}, "dp is -1; it must be at least 1"),
        ({"ep": 0}, "ep is 0; it must be at least 1"),
    ],
)
def test_plans_that_cannot_be(given_: dict[str, int], says: str) -> None:
    with pytest.raises(FarthingError, match=says):
        plan(DENSE, DEVICE, **given_)  # type: ignore[arg-type]


@given(
    count=st.integers(1, 64), id=st.sampled_from(models.names()), device=st.sampled_from(devices.everything())
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_any_count_gets_a_layout_that_divides(count: int, id: str, device: object) -> None:
    model: ModelShape = models.find(id)
    one = plan(model, device, count=count)  # type: ignore[arg-type]
    one.check()
    assert one.count == count
