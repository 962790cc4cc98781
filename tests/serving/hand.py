"""A device, two models and coefficients with numbers round enough to be worked out by hand."""

from datetime import date

from farthing.evidence import Grade, Source
from farthing.serving.coefficients import Chosen
from farthing.serving.device import Device
from farthing.serving.shape import Attention, FeedForward, ModelShape

DEVICE = Device(
    id="hand",
    title="Hand-made card",
    vendor="nvidia",
    form="sxm",
    memory_bytes=4_000_000_000,
    bandwidth_bytes_s=1e12,
    flops={"bf16": 100e12, "fp8": 200e12, "fp4": 400e12},
    link_bytes_s=100e9,
    link_devices=8,
    network_bytes_s=10e9,
    tdp_w=700,
    source=Source(id="hand", title="made up", where="here", seen=date(2026, 11, 1), grade=Grade.ASSUMED),
)

DENSE = ModelShape(
    id="hand-dense",
    architecture="llama",
    layers=4,
    hidden=1_000,
    vocabulary=10_000,
    attention=(
        Attention(layers=4, kind="full", heads=8, kv_heads=2, key_dim=100, value_dim=100, parameters=2_500_000),
    ),
    feed_forward=(FeedForward(layers=4, width=3_333, parameters=10_000_000),),
    norm_parameters=1_000,
)

MOE = ModelShape(
    id="hand-moe",
    architecture="deepseek_v3",
    layers=4,
    hidden=1_000,
    vocabulary=10_000,
    attention=(
        Attention(
            layers=4, kind="full", heads=8, kv_heads=8, key_dim=150, value_dim=100, parameters=2_000_000, latent=400,
            rope=100,
        ),
    ),
    feed_forward=(
        FeedForward(layers=1, width=2_000, parameters=6_000_000),
        FeedForward(layers=3, width=166, parameters=1_000_000, experts=8, per_token=2, expert_parameters=500_000),
    ),
    tied=True,
    norm_parameters=1_000,
    other_parameters=3_000_000,
)  # fmt: skip

CHOSEN = Chosen(
    dense_bandwidth=0.5, expert_bandwidth=0.5, kv_bandwidth=0.5, prompt_compute=0.5, expert_prompt=0.5,
    decode_compute=0.5, expert_compute=0.5, attention_compute=0.5, link_bandwidth=0.5, link_latency_s=4e-6,
    exchange_latency_s=5e-6, imbalance=1.2, overhead=1.0, layer_s=10e-6, moe_layer_s=20e-6, latent_layer_s=30e-6,
    linear_layer_s=0.0, sparse_layer_s=0.0, step_s=1e-3, rank_sequence_s=1e-6, interference=0.8, hidden_overhead=0.0,
    hidden_compute=0.0, expert_size=0.0, speed=1.0, drafted=1.0, front=1.0, front_s=0.010, eager_layer_s=1e-3,
    eager_moe_layer_s=1e-3, eager_latent_layer_s=1e-3, front_power=0.0, own_prompt=1.0, first_step=0.5, queue=0.1,
    capacity_wait=0.5,
)  # fmt: skip
