"""config.json to shape: each family's weights by its own arithmetic, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving.config import FAMILIES, KNOWN, checkpoint_precision, read_config
from farthing.serving.shape import ModelShape

# A small model whose sums are done by hand below.
SMALL: dict[str, object] = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "vocab_size": 1_000,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 256,
    "max_position_embeddings": 4_096,
}
QKVO = 64 * 128 + 2 * 64 * 32 + 128 * 64  # query, key and value, output: 20,480
GATED = 3 * 64 * 256  # gate, up, down: 49,152
ENDS = 2 * 1_000 * 64 + 64  # embedding, head, the last norm
MLA: dict[str, object] = {
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
# q_a, its norm, q_b (8 heads × 24), kv_a (32 + 8), its norm, kv_b (8 × 32), output, the layer's norm
MLA_WEIGHTS = 64 * 24 + 24 + 24 * 192 + 64 * 40 + 32 + 32 * 256 + 128 * 64 + 64


def shape(model_type: str, **keys: object) -> ModelShape:
    return read_config(json.dumps({"model_type": model_type, **SMALL, **keys}), "m")


def refusal(text: str | Path) -> str:
    with pytest.raises(FarthingError) as caught:
        read_config(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without(key: str) -> str:
    keys = {"model_type": "qwen3", **SMALL}
    del keys[key]
    return json.dumps(keys)


# --- families ---------------------------------------------------------------------------------


def test_llama() -> None:
    found = shape("llama")
    assert found.parameters == 4 * (QKVO + GATED + 2 * 64) + ENDS
    assert (found.id, found.architecture, found.layers, found.context) == ("m", "llama", 4, 4_096)
    assert found.kv_values_per_token() == 4 * 2 * 2 * 16
    assert shape("llama", tie_word_embeddings=True).parameters == found.parameters - 64_000


def test_the_head_size_is_that_of_the_hidden_size_where_a_family_leaves_it_out() -> None:
    assert shape("llama", head_dim=None).attention[0].key_dim == 64 // 8
    assert "'head_dim' is missing" in refusal(without("head_dim"))


def test_biases_and_norms_of_queries_and_keys() -> None:
    plain = shape("llama").parameters
    assert shape("llama", attention_bias=True).parameters == plain + 4 * (128 + 64 + 64)  # q, k + v, output
    assert shape("llama", mlp_bias=True).parameters == plain + 4 * (2 * 256 + 64)
    assert shape("qwen2").parameters == plain + 4 * (128 + 64)
    assert shape("qwen3").parameters == plain + 4 * 2 * 16
    assert shape("minimax_m2", num_local_experts=4, num_experts_per_tok=2).attention[0].parameters == (
        QKVO + 64 + (8 + 2) * 16  # its norms span all heads
    )


def test_gemma_has_four_norms_a_layer_and_one_table() -> None:
    two = shape("gemma2", sliding_window=512)
    assert two.parameters == 4 * (QKVO + GATED + 4 * 64) + 64_000 + 64
    assert [(b.layers, b.kind, b.window) for b in two.attention] == [(2, "window", 512), (2, "full", 0)]
    three = shape("gemma3_text", sliding_window=512, num_hidden_layers=13)
    # each sixth layer sees all: the 6th and the 12th
    assert [(b.layers, b.kind) for b in three.attention] == [(11, "window"), (2, "full")]
    assert three.parameters == 13 * (QKVO + GATED + 4 * 64 + 2 * 16) + 64_000 + 64


def test_windows_are_those_that_the_config_states() -> None:
    assert [b.kind for b in shape("mistral").attention] == ["full"]
    assert [(b.kind, b.window) for b in shape("mistral", sliding_window=4_096).attention] == [("window", 4_096)]
    unused = {"sliding_window": 512, "max_window_layers": 3}
    assert [b.kind for b in shape("qwen2", **unused).attention] == ["full"]
    used = shape("qwen2", **unused, use_sliding_window=True).attention
    assert [(b.layers, b.kind) for b in used] == [(3, "full"), (1, "window")]
    kinds = ["full_attention", "sliding_attention", "full_attention", "full_attention"]
    stated = shape("gemma3", sliding_window=512, layer_types=kinds)
    assert [(b.layers, b.kind) for b in stated.attention] == [(3, "full"), (1, "window")]


def test_mixtral() -> None:
    found = shape("mixtral", num_local_experts=8, num_experts_per_tok=2)
    assert found.parameters == 4 * (QKVO + 8 * GATED + 64 * 8 + 2 * 64) + ENDS
    assert found.active_parameters == found.parameters - 4 * 6 * GATED


def test_gpt_oss_has_sinks_and_biases_everywhere() -> None:
    found = shape("gpt_oss", num_local_experts=8, num_experts_per_tok=2, sliding_window=128)
    attention = QKVO + 128 + 64 + 64 + 8 + 64  # biases of q, of k and v, of the output; sinks; norm
    expert = GATED + 2 * 256 + 64
    assert found.parameters == 4 * (attention + 8 * expert + 64 * 8 + 8 + 64) + ENDS
    assert [(b.layers, b.kind) for b in found.attention] == [(2, "window"), (2, "full")]


def test_latent_attention_dense_first_layers_and_shared_experts() -> None:
    found = shape("deepseek_v3", **MLA)
    routed = 16 * 3 * 64 * 32 + 3 * 64 * 32 + 64 * 16 + 16 + 64  # experts, the shared one, router, its bias, norm
    assert found.parameters == 4 * MLA_WEIGHTS + (GATED + 64) + 3 * routed + ENDS
    assert found.active_parameters == found.parameters - 3 * 12 * 3 * 64 * 32
    assert found.kv_values_per_token() == 4 * (32 + 8)
    assert [(b.layers, b.experts) for b in found.feed_forward] == [(1, 0), (3, 16)]
    # without a low rank of queries, they are projected at once
    direct = shape("deepseek_v2", **{**MLA, "q_lora_rank": None})
    assert direct.attention[0].parameters == MLA_WEIGHTS - (64 * 24 + 24 + 24 * 192) + 64 * 192


def test_a_sparse_layers_index_and_layers_that_share_it() -> None:
    index: dict[str, object] = {"index_n_heads": 4, "index_head_dim": 8, "index_topk": 100}
    found = shape("deepseek_v32", **MLA, **index)
    (block,) = found.attention
    assert (block.kind, block.window, block.index_values) == ("sparse", 100, 8)
    # wq_b, wk, weights, the key's layer norm
    assert block.parameters == MLA_WEIGHTS + 24 * 32 + 64 * 8 + 64 * 4 + 2 * 8
    shared = shape("glm_moe_dsa", **MLA, **index, indexer_types=["full", "shared", "shared", "shared"])
    assert [(b.layers, b.index_values, b.parameters) for b in shared.attention] == [
        (1, 8, block.parameters),
        (3, 0, MLA_WEIGHTS),
    ]
    assert shared.kv_values_per_token() == 4 * 40 + 8


LINEAR: dict[str, object] = {
    "full_attention_interval": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}


def test_linear_layers_keep_a_state() -> None:
    found = shape("qwen3_5_text", **LINEAR)
    linear, full = found.attention
    assert (linear.layers, full.layers) == (3, 1)
    mixed = 2 * 2 * 8 + 4 * 16  # queries, keys, values: 96
    assert linear.state_values == 4 * 8 * 16 + mixed * 3
    # in: mixed, gate, beta and decay; convolution; decay's two vectors; norm of the head; out; the layer's norm
    assert linear.parameters == 64 * (mixed + 64 + 8) + mixed * 4 + 8 + 16 + 64 * 64 + 64
    assert full.parameters == QKVO + 64 * 128 + 2 * 16 + 64  # queries are doubled by their gate
    assert found.kv_values(1_000) == 1_000 * 64 + 3 * linear.state_values


def test_llama_4_interleaves_experts_and_chunks() -> None:
    keys: dict[str, object] = {
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "intermediate_size_mlp": 512,
        "attention_chunk_size": 1_024,
    }
    found = shape("llama4_text", **keys)
    assert [(b.layers, b.experts, b.width) for b in found.feed_forward] == [(2, 0, 512), (2, 4, 256)]
    assert [(b.layers, b.kind, b.window) for b in found.attention] == [(3, "window", 1_024), (1, "full", 0)]
    assert found.feed_forward[1].parameters == 64 * 4 + GATED + 64  # router, shared expert, norm


def test_nemotron_h_layers_are_of_one_kind_each() -> None:
    keys: dict[str, object] = {
        "num_hidden_layers": 5,
        "hybrid_override_pattern": "MEM*-",
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "n_groups": 2,
        "ssm_state_size": 8,
        "conv_kernel": 4,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "n_shared_experts": 1,
        "moe_shared_expert_intermediate_size": 64,
    }
    found = shape("nemotron_h", **keys)
    mamba, full = found.attention
    experts, dense = found.feed_forward
    assert (mamba.layers, full.layers, experts.layers, dense.layers) == (2, 1, 1, 1)
    mixed = 64 + 2 * 2 * 8
    assert mamba.state_values == 4 * 16 * 8 + mixed * 3
    assert mamba.parameters == 64 * (64 + mixed + 4) + mixed * 5 + 3 * 4 + 64 + 64 * 64 + 64
    assert experts.expert_parameters == 2 * 64 * 32
    assert dense.parameters == 2 * 64 * 256 + 64


def test_nemotron_h_layers_may_be_words() -> None:
    words = ["attention", "mlp"]
    found = shape("nemotron_h", num_hidden_layers=None, layers_block_type=words)
    assert found.layers == 2
    assert found.parameters == QKVO + 64 + 2 * 64 * 256 + 64 + ENDS


def test_glm_4_has_biases_and_says_whether_it_has_norms() -> None:
    routed = {key: value for key, value in MLA.items() if "lora" not in key}
    found = shape("glm4_moe", **routed, attention_bias=True, use_qk_norm=True)
    assert found.attention[0].parameters == QKVO + 128 + 64 + 2 * 16 + 64  # none on the output
    assert shape("glm4_moe", **routed).attention[0].parameters == QKVO + 64


def test_compressed_attention_is_a_window_and_a_stream_of_fewer_entries() -> None:
    keys: dict[str, object] = {
        **MLA,
        "head_dim": 128,
        "num_key_value_heads": 1,
        "compress_ratios": [0, 4, 128, 4, 0],  # the last is of a layer that is not counted
        "sliding_window": 16,
        "index_n_heads": 4,
        "index_head_dim": 8,
        "index_topk": 10,
        "o_lora_rank": 12,
        "o_groups": 2,
        "hc_mult": 4,
    }
    found = shape("deepseek_v4", **keys)
    told = [(b.layers, b.kind, b.window, b.kv_values, b.index_values) for b in found.attention]
    assert told == [
        (1, "window", 16, 128, 0),
        (2, "window", 16, 128, 0),
        (2, "sparse", 40, 32, 2),  # 10 entries of 4 tokens
        (1, "window", 16, 128, 0),
        (1, "full", 0, 1, 0),
    ]
    # query (by rank 24), key, sinks, norm, output by groups, two hyper-connections of 24 × 256 and 27 scalars
    base = 64 * 24 + 24 + 24 * 8 * 128 + 64 * 128 + 128 + 8 + 64 + 8 * 128 * 12 + 2 * 12 * 64 + 2 * (24 * 256 + 27)
    assert found.attention[0].parameters == base
    assert found.attention[3].parameters == base + 2 * 64 * 128 + 128 * 128 + 128
    indexer = 24 * 4 * 8 + 64 * 4 + 2 * 64 * 16 + 4 * 16 + 8
    assert found.attention[1].parameters == base + 2 * 64 * 256 + 4 * 256 + 128 + indexer
    assert found.kv_values(1_000) == 4 * 16 * 128 + 1_000 * (2 * (32 + 2) + 1)
    assert "holds '3'" in refusal(
        json.dumps({"model_type": "deepseek_v4", **SMALL, **keys, "compress_ratios": [3] * 4})
    )


def test_gemma_4_shares_the_projection_of_keys_in_its_full_layers() -> None:
    keys: dict[str, object] = {
        "sliding_window": 512,
        "num_hidden_layers": 6,
        "global_head_dim": 32,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
    }
    found = shape("gemma4_text", **keys)
    window, full = found.attention
    assert (window.layers, full.layers, window.window, found.tied) == (5, 1, 512, True)
    assert window.parameters == QKVO + 2 * 16 + 2 * 64
    assert full.parameters == 2 * 64 * 8 * 32 + 64 * 32 + 2 * 32 + 2 * 64  # one projection, two kept
    assert full.kv_values == 2 * 32
    moe = shape("gemma4", **keys, enable_moe_block=True, num_experts=8, top_k_experts=2, moe_intermediate_size=32)
    (block,) = moe.feed_forward
    # the dense block stays; beside it the router, its scales, three more norms
    assert block.parameters == found.feed_forward[0].parameters + 64 * 8 + 64 + 8 + 3 * 64
    assert block.expert_parameters == 3 * 64 * 32
    assert "'num_kv_shared_layers' is stated" in refusal(
        json.dumps({"model_type": "gemma4", **SMALL, **keys, "num_kv_shared_layers": 2})
    )


def test_a_nested_text_model_is_what_is_served() -> None:
    inner = {"model_type": "qwen3_vl_text", **SMALL}
    outer = {"model_type": "qwen3_vl", "tie_word_embeddings": True, "vision_config": {"depth": 9}}
    found = read_config(json.dumps({**outer, "text_config": inner}))
    assert (found.architecture, found.tied, found.layers) == ("qwen3_vl", True, 4)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", **SMALL}), "utf-8")
    assert read_config(path).parameters == read_config(str(path)).parameters == shape("llama").parameters


# --- refusals ---------------------------------------------------------------------------------


def test_an_unknown_family_is_refused_with_those_known() -> None:
    line = refusal(json.dumps({"model_type": "lama", **SMALL}))
    assert line.startswith("config.json: model_type 'lama' is not known (nearest: llama")
    assert "deepseek_v3" in line
    assert "'model_type' is missing" in refusal(json.dumps(SMALL))


@pytest.mark.parametrize("key", [key for key in SMALL if key != "max_position_embeddings"])
def test_a_missing_key_is_named(key: str) -> None:
    assert f"{key!r} is missing" in refusal(without(key))


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True, [8], 10**12])
def test_a_value_of_the_wrong_kind_is_named(value: object) -> None:
    line = refusal(json.dumps({"model_type": "llama", **SMALL, "num_hidden_layers": value}))
    assert "'num_hidden_layers' is" in line and "a whole number from 1 to 10000" in line


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"num_key_value_heads": 3}, "8 does not divide by 3"),
        ({"hidden_size": 65, "head_dim": None}, "65 does not divide by 8"),
        ({"num_experts": 8}, "'num_experts' is stated, but 'llama' is a dense family"),
        ({"kv_lora_rank": 8}, "'kv_lora_rank' is stated"),
        ({"attention_bias": "yes"}, "'attention_bias' is 'yes' (true or false)"),
    ],
)
def test_what_does_not_fit_is_refused(keys: dict[str, object], said: str) -> None:
    assert said in refusal(json.dumps({"model_type": "llama", **SMALL, **keys}))


def test_more_experts_a_token_than_there_are() -> None:
    keys = {"model_type": "mixtral", **SMALL, "num_local_experts": 4, "num_experts_per_tok": 5}
    assert "'num_experts_per_tok' is 5, of 4 experts" in refusal(json.dumps(keys))


def test_lists_that_are_short_or_no_lists() -> None:
    keys = {"model_type": "gemma3", **SMALL, "sliding_window": 512}
    assert "a list of 4 entries" in refusal(json.dumps({**keys, "layer_types": ["full_attention"]}))
    assert "a list of 4 entries" in refusal(json.dumps({**keys, "layer_types": "full_attention"}))
    hybrid = {"model_type": "nemotron_h", **SMALL, "hybrid_override_pattern": "MX"}
    assert "4 letters" in refusal(json.dumps(hybrid))


def test_what_is_no_config(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "config.json")
    assert "not JSON" in refusal("{")
    (tmp_path / "list.json").write_text("[1]", "utf-8")
    assert "not a JSON object" in refusal(tmp_path / "list.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert "not text in UTF-8" in refusal(tmp_path / "bytes.json")
    assert "Is a directory" in refusal(tmp_path)


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 600), st.floats(), st.text(max_size=3), st.just([1, 2]))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(KNOWN), st.dictionaries(st.sampled_from([*SMALL, *MLA, *LINEAR]), VALUES))
def test_a_config_gives_a_sound_shape_or_one_line(family: str, keys: dict[str, object]) -> None:
    try:
        found = shape(family, **{**MLA, **LINEAR, **keys})
    except FarthingError as error:
        assert "\n" not in str(error)
        return
    assert 0 < found.active_parameters <= found.parameters
    assert found.kv_values_per_token() >= 0
    assert all(block.parameters > 0 and block.layers > 0 for block in found.attention)
    assert all(block.parameters > 0 and block.layers > 0 for block in found.feed_forward)


def test_every_family_is_named_once() -> None:
    assert list(KNOWN) == sorted(set(KNOWN)) and set(FAMILIES) <= set(KNOWN)


# --- the checkpoint's own number format -------------------------------------------------------

COMPRESSED = {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}}
MIXED = {"config_groups": {str(bits): {"weights": {"num_bits": bits, "type": "float"}} for bits in (4, 8)}}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, None),
        ({"torch_dtype": "bfloat16"}, "bf16"),
        ({"dtype": "float16"}, "bf16"),
        ({"torch_dtype": "float32"}, "fp32"),
        ({"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "fp4"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "int8"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "int4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "fp4"),
        ({"quantization_config": COMPRESSED}, "int4"),
        ({"text_config": {"quantization_config": COMPRESSED}}, "int4"),
        ({"quantization_config": {"quant_method": "fp8", "moe_quant_algo": "NVFP4"}}, "fp4"),
        ({"quantization_config": {"quant_algo": "MIXED_PRECISION", **MIXED}}, None),
        ({"quantization_config": {"quant_method": "something new"}}, None),
    ],
)
def test_checkpoint_precision(keys: dict[str, object], said: str | None) -> None:
    assert checkpoint_precision(json.dumps(keys)) == said


def test_a_format_stated_in_the_file_beside(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"torch_dtype": "bfloat16"}', "utf-8")
    assert checkpoint_precision(path) == "bf16"
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}', "utf-8")
    assert checkpoint_precision(path) == checkpoint_precision(str(path)) == "fp4"
