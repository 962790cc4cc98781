"""Shapes: what follows from the counts of a block."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving.shape import Attention, FeedForward, ModelShape

FULL = Attention(layers=3, kind="full", heads=8, kv_heads=2, key_dim=16, value_dim=16, parameters=1_000)
DENSE = FeedForward(layers=3, width=64, parameters=500)
SHAPE = ModelShape(
    id="m", architecture="llama", layers=3, hidden=128, vocabulary=1_000, attention=(FULL,), feed_forward=(DENSE,)
)


def with_attention(**changes: object) -> ModelShape:
    block = msgspec.structs.replace(FULL, **changes)
    return msgspec.structs.replace(SHAPE, attention=(block,))


def test_grouped_heads_keep_a_key_and_a_value_each() -> None:
    assert FULL.kv_values == 2 * (16 + 16)
    assert SHAPE.kv_values_per_token() == 3 * 64
    assert SHAPE.kv_values(10) == 10 * 3 * 64


def test_a_pair_costs_a_multiply_and_an_add_for_key_and_value() -> None:
    assert FULL.prefill_flops_per_pair == FULL.decode_flops_per_pair == 2 * 8 * (16 + 16)


def test_a_latent_is_kept_once_for_all_heads_and_its_decode_pairs_cost_more() -> None:
    block = msgspec.structs.replace(FULL, latent=512, rope=64, key_dim=192, value_dim=128)
    assert block.kv_values == 512 + 64
    assert block.prefill_flops_per_pair == 2 * 8 * (192 + 128)
    assert block.decode_flops_per_pair == 2 * 8 * (2 * 512 + 64)  # scores on latent + rope, values on the latent


def test_a_window_keeps_no_more_than_its_length() -> None:
    shape = with_attention(kind="window", window=100)
    assert shape.kv_values(50) == 50 * 3 * 64
    assert shape.kv_values(100) == shape.kv_values(10_000) == 100 * 3 * 64
    assert shape.kv_values_per_token() == 0


def test_a_linear_layer_keeps_its_state_whatever_the_length() -> None:
    shape = with_attention(kind="linear", state_values=4_096)
    assert shape.kv_values(1) == shape.kv_values(1_000_000) == 3 * 4_096
    assert shape.attention[0].prefill_flops_per_pair == shape.attention[0].decode_flops_per_pair == 0


def test_a_sparse_layer_keeps_every_token_and_its_index() -> None:
    shape = with_attention(kind="sparse", window=100, index_values=8)
    assert shape.kv_values(1_000) == 1_000 * 3 * (64 + 8)
    assert shape.kv_values_per_token() == 3 * (64 + 8)


def test_parameters_add_up() -> None:
    # 3 × 1,000 + 3 × 500 + embedding and head 2 × 1,000 × 128
    assert SHAPE.parameters == SHAPE.active_parameters == 3_000 + 1_500 + 256_000
    tied = msgspec.structs.replace(SHAPE, tied=True, norm_parameters=128, other_parameters=7)
    assert tied.parameters == 3_000 + 1_500 + 128_000 + 128 + 7
    assert tied.active_parameters == tied.parameters - 7


def test_a_token_passes_the_experts_it_is_routed_to() -> None:
    routed = msgspec.structs.replace(DENSE, experts=8, per_token=2, expert_parameters=100)
    shape = msgspec.structs.replace(SHAPE, feed_forward=(routed,))
    assert shape.parameters == SHAPE.parameters + 3 * 8 * 100
    assert shape.active_parameters == SHAPE.parameters + 3 * 2 * 100
    assert (shape.moe_layers, SHAPE.moe_layers) == (3, 0)


BLOCKS = st.builds(
    Attention,
    layers=st.integers(1, 80),
    kind=st.sampled_from(["full", "window", "sparse", "linear"]),
    heads=st.integers(1, 128),
    kv_heads=st.integers(1, 16),
    key_dim=st.integers(1, 256),
    value_dim=st.integers(1, 256),
    parameters=st.integers(0, 10**9),
    latent=st.sampled_from([0, 512]),
    window=st.integers(1, 8_192),
    index_values=st.integers(0, 128),
    state_values=st.integers(0, 10**6),
)


@settings(deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=4), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_sequence_never_keeps_less(blocks: list[Attention], first: float, second: float) -> None:
    shape = msgspec.structs.replace(SHAPE, attention=tuple(blocks))
    short, long = sorted((first, second))
    assert 0 <= shape.kv_values(short) <= shape.kv_values(long)
