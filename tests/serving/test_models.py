"""The shipped library: every shape against what its maker publishes, and every name that must be found."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import pytest

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.serving import models
from farthing.serving.config import PRECISIONS

SAMPLE = Path(__file__).parents[2].parent / "shared/serving/silicon_sample.csv"


def refusal(name: str) -> str:
    with pytest.raises(FarthingError) as caught:
        models.find(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def half_digit(stated: int) -> float:
    """Half a unit of the last digit of a rounded count, relative to it: 671 billion is ±0.5 billion."""
    unit = 1
    while stated % (unit * 10) == 0:
        unit *= 10
    return unit / 2 / stated


@pytest.mark.parametrize("name", models.names())
def test_parameters_are_those_published(name: str) -> None:
    shape, published = models.find(name), models.published(name)
    if published.exact:
        assert shape.parameters == published.total
    else:
        assert shape.parameters == pytest.approx(published.total, rel=max(0.01, half_digit(published.total)))


@pytest.mark.parametrize("name", models.names())
def test_active_parameters_are_those_published(name: str) -> None:
    shape, published = models.find(name), models.published(name)
    assert 0 < shape.active_parameters <= shape.parameters
    if published.active is None:
        return
    left_out = {"all": 0, "head": 1, "layers": 2}[published.active_of] * shape.head_parameters
    # Makers round these to whole billions, and down more often than up.
    tolerance = max(0.03, half_digit(published.active))
    assert shape.active_parameters - left_out == pytest.approx(published.active, rel=tolerance)


def test_every_mixture_has_a_published_active_count_or_says_why() -> None:
    silent = [name for name in models.names() if models.find(name).moe_layers and models.published(name).active is None]
    assert silent == ["deepseek-ai/DeepSeek-V3.2"]  # its maker states that of V3, which has no indexer


# Bytes per token at bf16: 2 × the values kept, each by hand.
CACHES = {
    "meta-llama/Llama-3.1-8B": 32 * 2 * 8 * 128 * 2,  # 131,072: layers × (key, value) × KV heads × size × bytes
    "meta-llama/Llama-3.1-70B": 80 * 2 * 8 * 128 * 2,  # 327,680
    "meta-llama/Llama-2-7b": 32 * 2 * 32 * 128 * 2,  # 524,288: each head has its own
    "Qwen/Qwen3-32B": 64 * 2 * 8 * 128 * 2,  # 262,144
    "deepseek-ai/DeepSeek-V3": 61 * 576 * 2,  # 70,272: a latent of 512 and 64 of rotary key
    "deepseek-ai/DeepSeek-V3.2": 61 * (576 + 128) * 2,  # and the indexer's key
    "openai/gpt-oss-120b": 18 * 2 * 8 * 64 * 2,  # the other 18 layers are windows
    "Qwen/Qwen3.5-397B-A17B": 15 * 2 * 2 * 256 * 2,  # the other 45 layers are linear
    # 30 layers keep an entry of 512 and an index of 128 for every 4 tokens, 31 an entry for every 128
    "deepseek-ai/DeepSeek-V4-Pro": (30 * (512 + 128) // 4 + 31 * 512 // 128) * 2,  # 9,848
    "google/gemma-4-31B": 10 * 2 * 4 * 512 * 2,  # 50 of the 60 layers are windows
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B": 6 * 2 * 2 * 128 * 2,
}


@pytest.mark.parametrize("name", CACHES)
def test_bytes_kept_per_token(name: str) -> None:
    assert 2 * models.find(name).kv_values_per_token() == CACHES[name]


def test_bytes_kept_by_name() -> None:
    assert CACHES["meta-llama/Llama-3.1-8B"] == 131_072
    assert CACHES["meta-llama/Llama-3.1-70B"] == 327_680
    assert CACHES["deepseek-ai/DeepSeek-V3"] == 70_272


def test_deepseek_v4_keeps_what_its_makers_say_at_a_million_tokens() -> None:
    # Published for V4-Pro: 9.62 GiB a sequence of 1M tokens at bf16, 8.7 times less than V3.2.
    million = 2**20
    newer = 2 * models.find("DeepSeek-V4-Pro").kv_values(million) / 2**30
    older = 2 * models.find("DeepSeek-V3.2").kv_values(million) / 2**30
    assert newer == pytest.approx(9.62, abs=0.005)
    assert older / newer == pytest.approx(8.7, abs=0.05)


@pytest.mark.parametrize("name", models.names())
def test_a_longer_sequence_keeps_more(name: str) -> None:
    shape = models.find(name)
    kept = [shape.kv_values(tokens) for tokens in (1, 100, 1_000, 10_000, 100_000)]
    assert all(0 < short <= long for short, long in pairwise(kept))
    if "window" not in {block.kind for block in shape.attention}:
        assert kept[-1] - kept[-2] == 90_000 * shape.kv_values_per_token()


@pytest.mark.parametrize("name", models.names())
def test_layers_are_all_there(name: str) -> None:
    shape = models.find(name)
    mixing = sum(block.layers for block in shape.attention if block.parameters)
    feeding = sum(block.layers for block in shape.feed_forward)
    if shape.architecture == "nemotron_h":
        assert mixing + feeding == shape.layers
    else:
        assert mixing == feeding == shape.layers
    assert shape.context >= 4_096 and shape.title


@pytest.mark.parametrize("name", models.names())
def test_every_shape_and_count_has_a_source(name: str) -> None:
    for source in (models.source_of(name), models.published(name).source):
        assert source.title and source.seen and source.grade >= Grade.DERIVED
        assert "{" not in source.where
    assert models.precision(name) in PRECISIONS


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("deepseek-ai/DeepSeek-V3.1", "deepseek-ai/DeepSeek-V3"),
        ("DeepSeek-V3.2", "deepseek-ai/DeepSeek-V3.2"),
        ("MiniMaxAI/MiniMax-M2.5", "MiniMaxAI/MiniMax-M2.5"),
        ("gpt-oss-20b", "openai/gpt-oss-20b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("Llama-3.3-70B", "meta-llama/Llama-3.1-70B"),
        ("llama-3-70b", "meta-llama/Llama-3-70B"),
        ("Llama-2-13b-chat-hf", "meta-llama/Llama-2-13b"),
        ("Qwen/Qwen3-235B-A22B-FP8", "Qwen/Qwen3-235B-A22B"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B"),
        ("Qwen2.5-72B-Instruct-AWQ", "Qwen/Qwen2.5-72B"),
        ("DeepSeek-V4-Flash", "deepseek-ai/DeepSeek-V4-Flash"),
        ("zhipuai/GLM-5", "zai-org/GLM-5"),
        ("zai-org/GLM-5", "zai-org/GLM-5"),
        ("nvidia/DeepSeek-R1-NVFP4", "deepseek-ai/DeepSeek-R1"),
        ("nvidia/DeepSeek-V3.1-NVFP4", "deepseek-ai/DeepSeek-V3"),
        ("nvidia/Qwen3-32B-NVFP4", "Qwen/Qwen3-32B"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "meta-llama/Llama-3.1-8B"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/llama-3.3-70b-instruct:free", "meta-llama/Llama-3.1-70B"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistralai/Mistral-7B-v0.2"),
        ("MIXTRAL-8X7B", "mistralai/Mixtral-8x7B-v0.1"),
        ("gemma-3-270m-it", "google/gemma-3-270m"),
    ],
)
def test_a_model_is_found_by_its_names(name: str, id: str) -> None:
    assert models.find(name).id == id


@pytest.mark.parametrize("name", models.names())
def test_a_model_is_found_by_each_name_of_its_own(name: str) -> None:
    for alias in (name, name.upper(), name.rsplit("/", 1)[-1].lower(), *models.find(name).aliases):
        assert models.find(alias).id == name


def test_every_measured_model_is_there() -> None:
    if not SAMPLE.exists():
        pytest.skip("../shared/serving/silicon_sample.csv is absent")
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        measured = {row["model_path"] for row in csv.DictReader(file)}
    assert len(measured) == 15
    assert all(models.find(name).parameters > 1e9 for name in measured)


def test_a_format_in_the_name_says_what_the_weights_are() -> None:
    assert models.precision("meta-llama/Llama-3.1-8B-Instruct") == "bf16"
    assert models.precision("nvidia/Llama-3.1-8B-Instruct-FP8") == "fp8"
    assert models.precision("deepseek-ai/DeepSeek-R1") == "fp8"  # trained and published so
    assert models.precision("nvidia/DeepSeek-R1-NVFP4") == "fp4"
    assert models.precision("openai/gpt-oss-120b") == "fp4"
    assert models.precision("Qwen2.5-72B-Instruct-AWQ") == "int4"


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    assert refusal("lama-3.1-8b").startswith(
        "no model 'lama-3.1-8b' in the library (nearest: meta-llama/Llama-3.1-8B, "
    )
    assert refusal("claude") == "no model 'claude' in the library (give the path of its config.json)"
    assert "no model ''" in refusal("")
    assert "no model" in refusal("x" * 5_000) and "no model" in refusal("a\0b") and "no model" in refusal("a\nb")
    assert "openai/gpt-oss-20b" in refusal("gpt-oss")


def test_another_size_or_version_is_never_taken_for_it() -> None:
    for name in ("Llama-3.1-9B", "Qwen3-33B", "Mistral-7B-Instruct-v0.9", "DeepSeek-V9", "GLM-4.55"):
        refusal(name)


def test_a_config_file_is_a_model(tmp_path: Path) -> None:
    keys = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "vocab_size": 10,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 16,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(keys), "utf-8")
    # layers × (q and output 2 × 8 × 8, k and v 2 × 8 × 4, gated 3 × 8 × 16, norms 2 × 8) + 2 × 10 × 8 + 8
    assert models.find(str(path)).parameters == 2 * (128 + 64 + 384 + 16) + 168
    assert models.find(str(tmp_path)).parameters == models.find(str(path)).parameters
    assert "No such file" in refusal(str(tmp_path / "other.json"))
