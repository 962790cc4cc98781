"""Measurements as rows: what each becomes, and what is left out, saying why."""

from datetime import date

import pytest

from farthing.serving.coefficients import packaged
from farthing.serving.fitting.rows import Row, deployment_of, row_of, rows_of
from farthing.serving.measured.measurement import Latency
from tests.serving.fitting.made import SAMPLE, measured, measurement

FIT = packaged()


def of(**changes: object) -> Row:
    found = row_of(measurement(**changes), FIT)
    assert isinstance(found, Row), found
    return found


def test_a_measurement_becomes_a_row() -> None:
    row = of()
    one = row.deployment
    assert row.group == ("vllm", "h100-sxm", "meta-llama/Llama-3.1-70B", "fp8")
    assert (one.tp, one.pp, one.dp, one.ep, one.replicas, one.kv) == (4, 1, 1, 1, 1, "bf16")
    assert (row.input, row.output, row.concurrency) == (1_000, 500, 16)
    assert (row.tpot_s, row.ttft_s) == (0.015, 0.2)  # from milliseconds
    assert not row.drafted and not row.lockstep


def test_nominal_lengths_are_drawn_and_real_ones_come_first() -> None:
    drawn = of(
        input_tokens=None,
        output_tokens=None,
        nominal_input_tokens=1_024.0,
        nominal_output_tokens=512.0,
        nominal_ratio=0.9,
    )
    assert (drawn.input, drawn.output) == (pytest.approx(921.6), pytest.approx(460.8))
    assert not drawn.lockstep
    same = of(input_tokens=None, output_tokens=None, nominal_input_tokens=1_024.0, nominal_output_tokens=512.0)
    assert (same.input, same.output) == (1_024, 512)
    assert same.lockstep  # all of one length: they start and end together
    assert of(nominal_input_tokens=9_999.0).input == 1_000


def test_the_day_is_the_measurement_s_or_the_version_s() -> None:
    assert of(measured_on="2026-03-01").day == of(measured_on="2026-03-01").deployment.engine_date == date(2026, 3, 1)
    assert of().day == FIT.releases["vllm", "0.16.0"]
    assert of(engine_version="9.9").day is None


def test_layouts() -> None:
    assert deployment_of(measurement(tp=None)).tp == 4  # all devices
    assert deployment_of(measurement(tp=None, gpus=8, pp=2)).tp == 4
    copies = deployment_of(measurement(tp=2, dp=2))
    assert (copies.tp, copies.dp, copies.replicas) == (2, 1, 2)  # no experts: whole copies
    spread = deployment_of(measurement(model="deepseek-ai/DeepSeek-V3", device="h200-sxm", tp=1, dp=8, gpus=8, ep=8))
    assert (spread.tp, spread.dp, spread.ep, spread.replicas) == (1, 8, 8, 1)
    assert deployment_of(measurement(model="deepseek-ai/DeepSeek-V3", tp=8, gpus=8, ep=64)).ep == 8


@pytest.mark.parametrize(
    ("stated", "taken"), [("", "bf16"), ("auto", "bf16"), ("fp8_e4m3", "fp8"), ("FP8", "fp8"), ("int8", "fp8")]
)
def test_the_format_of_the_cache(stated: str, taken: str) -> None:
    assert of(kv_precision=stated).deployment.kv == taken


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"disaggregated": True}, "disaggregated"),
        ({"doubts": ("repeats the run of vllm.json:3",)}, "repeats the run"),
        (
            {"doubts": ("concurrency 512 is not batch 4 × 8 attention ranks",)},
            "concurrency N is not batch N × N attention ranks",
        ),
        ({"ttft_ms": None}, "no TTFT, TPOT, lengths or concurrency"),
        ({"tpot_ms": Latency(median=3.0)}, "no TTFT, TPOT, lengths or concurrency"),  # the mean was asked for
        ({"concurrency": None}, "no TTFT, TPOT, lengths or concurrency"),
        ({"output_tokens": 1.0}, "no second output token"),
        ({"tp": 3, "gpus": 3}, "tp 3 does not divide the 64 attention heads"),
        ({"model": "nobody/knows-this"}, "nobody/knows-this"),
        ({"device": "abacus"}, "abacus"),
        ({"model": "Qwen/Qwen3-235B-A22B", "tp": 1, "gpus": 1}, "the weights are more than the stated devices hold"),
    ],
)
def test_what_cannot_be_compared_is_left_out_saying_why(changes: dict[str, object], why: str) -> None:
    found = row_of(measurement(**changes), FIT)
    assert isinstance(found, str) and why in found, found


def test_left_out_rows_are_counted_by_kind() -> None:
    rows, left = rows_of(
        [measurement(), measurement(disaggregated=True), measurement(doubts=("repeats the run of a:1",)),
         measurement(doubts=("repeats the run of b:2",)), measurement(prefix_hit=0.4),
         measurement(prefix_hit=0.0)], FIT,
    )  # fmt: skip
    assert len(rows) == 2
    assert left == {"disaggregated": 1, "repeats the run": 2, "part of the prompts was found in a cache": 1}


@pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/serving/silicon_sample.csv is not there")
def test_the_measured_rows() -> None:
    rows = measured()
    assert 2_600 < len(rows) < 3_619  # aggregated, without repeats and doubtful ones
    for one in rows:
        assert one.deployment.weight_bytes < one.deployment.device.memory_bytes
        assert 1e-4 < one.tpot_s < 1 and 1e-3 < one.ttft_s < 1_000
        assert one.deployment.pp == 1
    nominal = {1_024, 8_192, 1_000, 8_000, 4_096, 2_048}
    assert any(one.input not in nominal for one in rows)  # drawn lengths are taken as drawn
