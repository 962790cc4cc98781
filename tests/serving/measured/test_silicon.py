"""The measured rows in ../shared, with the traps that their README names, and those that the rows show."""

from collections import Counter
from pathlib import Path

import pytest

from farthing.serving.measured.measurement import Measurement
from farthing.serving.measured.read import read_measurements

SAMPLE = Path(__file__).resolve().parents[4] / "shared" / "serving" / "silicon_sample.csv"


@pytest.fixture(scope="module")
def rows() -> dict[str, Measurement]:
    if not SAMPLE.exists():
        pytest.skip("the measured rows (../shared/serving/silicon_sample.csv) are not here")
    found, problems = read_measurements(SAMPLE)
    assert problems.total == 0
    return {one.label: one for one in found}


def test_every_row_is_a_measurement(rows: dict[str, Measurement]) -> None:
    assert len(rows) == 5221
    assert Counter(one.disaggregated for one in rows.values()) == {False: 3619, True: 1602}
    assert all(one.statistic == "unstated" and one.ttft and one.tpot for one in rows.values())
    assert sum(not one.engine_version for one in rows.values()) == 868


def test_lengths_of_the_public_benchmark_are_drawn(rows: dict[str, Measurement]) -> None:
    one = rows["minimaxm2_5_b300_vllm_fp8_agg_8192x1024_c128_cfg733"]
    assert one.input_tokens is None  # unknown is not a number
    assert one.input_length == pytest.approx(8192 * 0.9)
    assert one.output_length == pytest.approx(1024 * 0.9)
    own = rows["qwen_qwen3_32b_qwen_qwen3_32b_h100_sxm_sglang_agg_1024x128_c16_tp2_epnone_1"]
    assert own.input_length == 1024


def test_throughput_follows_by_littles_law_and_says_so(rows: dict[str, Measurement]) -> None:
    one = rows["minimaxm2_5_b300_vllm_fp8_agg_8192x1024_c128_cfg733"]
    # 128 / (0.9723 + 0.0334429 × (921.6 - 1) s) × 921.6 = 3,714 tokens/s
    assert one.output_tokens_per_s == pytest.approx(128 / (0.97231 + 0.0334429 * 920.6) * 921.6, rel=1e-4)
    assert "output_tokens_per_s" in one.derived


def test_a_product_of_parallelisms_is_undone(rows: dict[str, Measurement]) -> None:
    eight = rows["2026_04_06_qwen3_5_397b_h200_sxm_sglang_fp8_agg_8192x1024_c64_tp8_ep8_1499"]
    assert (eight.gpus, eight.tp, eight.dp, eight.ep) == (8, 8, 1, 8)  # the row says tp 64
    spread = rows["2026_04_06_deepseek_r1_h200_sxm_trtllm_fp8_agg_8192x1024_c64_tp8_ep8_941"]
    assert (spread.gpus, spread.tp, spread.dp, spread.ep) == (8, 1, 8, 8)  # the row says dp 64
    four = rows["2026_04_06_minimax_m2_5_h100_sxm_vllm_fp8_agg_8192x1024_c32_tp4_ep4_1322"]
    assert (four.gpus, four.tp, four.dp, four.ep) == (4, 1, 4, 4)  # the row says tp 4, dp 4, ep 16
    assert all("counts expert parallelism twice" in one.notes[0] for one in (eight, spread, four))


def test_one_run_under_two_layouts_is_read_to_one(rows: dict[str, Measurement]) -> None:
    """Rows with the same times to the last digit are one run: its layout must not depend on the listing."""
    wrong = rows["2026_04_06_deepseek_r1_h200_sxm_trtllm_fp8_agg_8192x1024_c64_tp8_ep8_941"]  # tp 1, dp 64
    right = rows["2026_03_25_deepseek_r1_h200_sxm_trtllm_fp8_agg_8192x1024_c64_tp8_0_ep8_0_1242"]  # tp 1, dp 8
    assert (wrong.ttft, wrong.tpot) == (right.ttft, right.tpot)
    assert (wrong.gpus, wrong.dp, wrong.ep) == (right.gpus, right.dp, right.ep)


def test_no_single_node_is_left_with_more_than_eight_gpus_without_a_doubt(rows: dict[str, Measurement]) -> None:
    big = [one for one in rows.values() if not one.disaggregated and (one.gpus or 0) > 8]
    assert len(big) == 55
    assert {one.device for one in big} == {"gb200"}
    assert all("multi-node" in " ".join(one.doubts) for one in big)


def test_concurrency_is_of_the_deployment_not_of_a_rank(rows: dict[str, Measurement]) -> None:
    one = rows["minimaxm2_5_b300_vllm_fp8_agg_1024x1024_c512_cfg734"]  # batch 128, four attention ranks
    assert one.concurrency == 512 and one.dp == 4
    untold = rows["deepseek_r1_deepseek_r1_gb200_trtllm_agg_4000x1000_c_tp8_epnone_1"]
    assert (untold.concurrency, untold.derived[0]) == (28, "concurrency")


def test_repeats_are_marked_once_each(rows: dict[str, Measurement]) -> None:
    repeats = [one for one in rows.values() if any(d.startswith("repeats the run of") for d in one.doubts)]
    assert len(repeats) == 1439  # 1,156 equal to the last digit, the rest rounded on one side
    by_source = {one.source: one for one in rows.values()}
    for one in repeats:
        (said,) = (d for d in one.doubts if d.startswith("repeats"))
        first = by_source[said.removeprefix("repeats the run of ")]
        assert first.tpot == pytest.approx(one.tpot, rel=0.01) and first.ttft == pytest.approx(one.ttft, rel=0.001)


def test_a_disaggregated_row_has_its_pools(rows: dict[str, Measurement]) -> None:
    one = rows["kimik2_5_gb200_trtllm_fp4_disagg_1024x1024_c4_cfg759"]
    assert one.prefill is not None and one.decode is not None
    assert (one.prefill.workers, one.prefill.gpus, one.decode.workers, one.decode.gpus) == (1, 4, 4, 8)
    assert one.gpus == 36  # 1 × 4 + 4 × 8
    untold = [o for o in rows.values() if o.disaggregated and o.gpus is None]
    assert all("workers is not stated" in " ".join(o.doubts) for o in untold)
