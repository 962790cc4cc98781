"""Number formats: their bytes, what dense parts of mixtures keep, and what is said of names that are not there."""

import pytest

from farthing.problems import FarthingError
from farthing.serving import formats


def test_bytes_with_their_scales() -> None:
    assert formats.find("bf16").expert_bytes == 2
    assert formats.find("fp8").expert_bytes == formats.find("int8").expert_bytes == 1
    assert formats.find("fp4").expert_bytes == 4 / 8 + 1 / 16  # a byte of scale per 16 values
    assert formats.find("int4").expert_bytes == 4 / 8 + 2 / 32  # two bytes of scale per 32 values
    assert (formats.kv_bytes("bf16"), formats.kv_bytes("fp8")) == (2, 1)


@pytest.mark.parametrize("name", ["fp4", "int4"])
def test_attention_stays_in_16_bit_in_mixtures_only(name: str) -> None:
    four = formats.find(name)
    assert four.dense_bytes(experts=True) == 2
    assert four.dense_format(experts=True).compute == "bf16"
    assert four.dense_bytes(experts=False) == 0.5625


def test_weights_of_four_bits_compute_in_16_bit_where_only_they_are_small() -> None:
    assert formats.find("int4").compute == "bf16"
    assert formats.find("fp4").compute == "fp4"
    assert formats.find("fp8").dense_format(experts=True) is formats.find("fp8")


def test_an_unknown_format_is_one_line_that_names_the_others() -> None:
    with pytest.raises(FarthingError, match="unknown format of weights 'q4_k_m'; one of bf16, fp8, int8, fp4, int4"):
        formats.find("q4_k_m")
    with pytest.raises(FarthingError, match="unknown format of the KV cache 'int2'; one of bf16, fp8"):
        formats.kv_bytes("int2")


def test_engines_keep_a_part_of_the_memory() -> None:
    rules = formats.memory()
    assert 0.8 < rules.utilisation < 1
    assert 0 < rules.fixed_bytes < 5e9
    # 16.06 GB of weights in 24 GiB, 2,048 tokens a step, hidden 4,096: the recorded run had 5.43 GB of blocks.
    left = 24 * 2**30 * rules.utilisation - 16.06e9 - rules.fixed_bytes - 2048 * 4096 * rules.activations_per_hidden * 2
    assert left == pytest.approx(5.9e9, rel=0.1)
