"""Figures: what is counted, once, of shape, formats and layout."""

import msgspec
import pytest

from farthing.serving import devices, models
from farthing.serving.deployment import Deployment
from farthing.serving.figures import Figures, figures
from tests.serving.hand import DENSE, DEVICE, MOE


def of(**changes: object) -> Figures:
    return figures(Deployment(**{"model": DENSE, "device": DEVICE, **changes}))  # type: ignore[arg-type]


def test_a_dense_model_by_hand() -> None:
    f = of(tp=2)
    assert (f.dense_weights, f.dense_bytes) == (50_001_000, 100_002_000)
    assert (f.head_weights, f.head_bytes) == (10_000_000, 20_000_000)  # the head is read; the embedding is looked up
    assert (f.expert_bytes, f.expert_weights, f.per_token, f.moe_layers) == (0, 0, 0, 0)
    assert f.kv_bytes == 4 * 2 * 200 * 2  # a token in all layers
    assert (f.kv_window_bytes, f.state_bytes) == (0, 0)
    assert f.pair_flops == f.read_flops == 4 * 2 * 8 * 200
    assert (f.gpus, f.tp, f.pp, f.ranks, f.spread, f.kv_split) == (2, 2, 1, 1, 0, 2)


def test_a_tied_head_is_read_just_the_same() -> None:
    tied = msgspec.structs.replace(DENSE, tied=True)
    assert of(model=tied).head_bytes == of().head_bytes


def test_a_mixture_by_hand() -> None:
    f = of(model=MOE, weights="fp4", tp=2, dp=2, ep=4)
    assert (f.dense_weights, f.dense_bytes) == (17_001_000, 34_002_000)  # 16 bit beside 4-bit experts
    assert f.expert_weights == 1_500_000  # one expert of all three layers
    assert f.expert_bytes == 1_500_000 * 0.5625
    assert (f.experts, f.per_token, f.moe_layers, f.latent_layers) == (8, 2, 3, 4)
    assert (f.dense_flops, f.expert_flops) == (100e12, 400e12)
    assert f.kv_bytes == 4 * 500 * 2
    assert f.pair_flops == 4 * 2 * 8 * 250
    assert f.read_flops == 4 * 2 * 8 * (2 * 400 + 100)  # absorbed
    assert (f.gpus, f.tp, f.ranks, f.spread, f.kv_split) == (4, 2, 2, 1, 1)


def test_a_format_without_units_computes_as_16_bit() -> None:
    old = msgspec.structs.replace(DEVICE, flops={"bf16": 100e12})
    assert of(device=old, weights="fp8").dense_flops == 100e12
    assert of(weights="fp8").dense_flops == 200e12


def test_windows_states_and_sparse_attention_are_apart() -> None:
    block = DENSE.attention[0]
    mixed = msgspec.structs.replace(
        DENSE,
        layers=10,
        attention=(
            block,
            msgspec.structs.replace(block, layers=3, kind="window", window=128),
            msgspec.structs.replace(block, layers=2, kind="linear", state_values=5_000),
            msgspec.structs.replace(block, layers=1, kind="sparse", window=2_048, index_values=64),
        ),
    )
    f = of(model=mixed, kv="fp8")
    assert f.kv_bytes == 4 * 400 + 1 * 64  # full layers, and the index of the sparse one
    assert f.kv_window_bytes == 3 * 400 + 1 * 400
    assert f.window == 2_048
    assert f.state_bytes == 2 * 5_000 * 4 * 2  # 32 bit, read and written
    assert (f.linear_layers, f.sparse_layers) == (2, 1)
    assert f.pair_flops == 4 * 3_200
    assert f.window_pair_flops == 4 * 3_200


def test_more_devices_than_a_domain_talk_over_the_network() -> None:
    assert of(tp=8).link == DEVICE.link_bytes_s
    pair = msgspec.structs.replace(DEVICE, link_devices=2)
    assert of(device=pair, tp=4).link == DEVICE.network_bytes_s
    assert of(device=pair, tp=2).link == DEVICE.link_bytes_s
    assert of(device=pair, model=MOE, tp=2, dp=2, ep=4).link == DEVICE.network_bytes_s


@pytest.mark.parametrize("id", models.names())
def test_every_shipped_model_counts_its_weights_once(id: str) -> None:
    model = models.find(id)
    f = figures(Deployment(model=model, device=devices.find("h100-sxm")))
    embedding = 0 if model.tied else model.head_parameters
    whole = f.dense_weights + f.head_weights + embedding + f.expert_weights * f.experts + model.other_parameters
    assert whole == pytest.approx(model.parameters, rel=1e-12)
    active = f.dense_weights + f.head_weights + embedding + f.expert_weights * f.per_token
    assert active == pytest.approx(model.active_parameters, rel=1e-12)


@pytest.mark.parametrize("id", models.names())
def test_memory_and_reads_agree_on_what_a_long_context_keeps(id: str) -> None:
    model = models.find(id)
    one = Deployment(model=model, device=devices.find("h100-sxm"))
    f = figures(one)
    long = 1_000_000.0
    growth = one.kv_bytes(2 * long) - one.kv_bytes(long)
    sparse = sum(b.layers * b.kv_values for b in model.attention if b.kind == "sparse") * 2
    assert growth == pytest.approx((f.kv_bytes + sparse) * long, rel=1e-9)  # sparse layers keep all and read some
