"""Calibration to measured points: made ones whose truth is known, and rows that must be left out with a reason."""

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from farthing.problems import FarthingError
from farthing.serving import devices, models
from farthing.serving.coefficients import packaged
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import Load, estimate
from farthing.serving.fitting.calibrate import calibrate, calibrate_all
from farthing.serving.fitting.compare import compare
from farthing.serving.fitting.points import Taken, columns_of, predicted, take, taken
from farthing.serving.measured.check import finished
from farthing.serving.measured.measurement import Latency, Measurement, Pool
from farthing.serving.measured.read import read_measurements
from farthing.serving.replica import Replica

SILICON = Path(__file__).parents[4] / "shared" / "serving" / "silicon_sample.csv"
DEPLOYMENT = Deployment(model=models.find("llama-3.1-8b"), device=devices.find("h100-sxm"), weights="fp8")
TODAY = date(2026, 11, 22)
LOADS = [(1, 512, 128), (4, 512, 128), (16, 512, 128), (64, 512, 128), (4, 4096, 128), (16, 4096, 512)]


def measurement(tpot: float, ttft: float | None, load: tuple[float, float, float], **changes: Any) -> Measurement:
    """A measured point of `DEPLOYMENT`."""
    concurrency, input, output = load
    return finished(
        Measurement(
            **{
                "format": "test", "source": f"p.json:{concurrency:g}", "engine": "vllm", "model": "llama-3.1-8b",
                "device": "h100-sxm", "precision": "fp8", "tp": 1, "input_tokens": input, "output_tokens": output,
                "concurrency": concurrency, "tpot_ms": Latency(mean=tpot),
                "ttft_ms": None if ttft is None else Latency(mean=ttft), **changes,
            }
        )
    )  # fmt: skip


def said(load: tuple[float, float, float]) -> tuple[float, float]:
    """What the packaged model says of `DEPLOYMENT`: TPOT and TTFT in ms."""
    found = estimate(DEPLOYMENT, Load(concurrency=load[0], input=load[1], output=load[2]))
    assert found.tpot_ms and found.ttft_ms
    return found.tpot_ms.value, found.ttft_ms.value


def made(tpot: float, ttft: float, loads: list[tuple[int, int, int]] = LOADS) -> list[Measurement]:
    """Points that are `tpot` and `ttft` times what the model says."""
    return [measurement(said(load)[0] * tpot, said(load)[1] * ttft, load) for load in loads]


def points(measurements: list[Measurement]) -> list[Taken]:
    found, left = taken(measurements, packaged())
    assert left == []
    return found


def test_points_are_compared_with_what_estimate_says() -> None:
    columns = columns_of(points(made(1, 1)), packaged())
    tpot, ttft = predicted(columns, packaged(), packaged().values())
    assert tpot == pytest.approx(columns.table.tpot_s, rel=1e-9)
    assert ttft == pytest.approx(columns.table.ttft_s, rel=1e-9)


def test_points_that_agree_change_next_to_nothing() -> None:
    found = calibrate(points(made(1, 1)), packaged(), TODAY)
    assert found.errors["before"]["tpot"] == 0
    assert found.errors["after"] == pytest.approx({"tpot": 0, "ttft": 0, "throughput": 0}, abs=1e-3)
    assert found.tpot.factor == pytest.approx(1, abs=1e-3) and found.moved == ()


def test_six_points_are_learned_and_the_estimate_says_so() -> None:
    every = made(1.2, 1.5)
    found = calibrate(points(every), packaged(), TODAY)
    assert found.errors["before"]["tpot"] == pytest.approx(1 - 1 / 1.2, abs=1e-4)  # |said / measured - 1|
    assert found.errors["after"]["tpot"] < 0.02
    assert found.errors["held_out"]["tpot"] < 0.06
    for point, one in zip(found.points, every, strict=True):
        load = Load(concurrency=point.concurrency, input=point.input, output=point.output)
        after = estimate(DEPLOYMENT, load, calibration=found)
        assert after.tpot_ms and after.ttft_ms and one.tpot
        assert after.tpot_ms.value == pytest.approx(point.tpot_after_ms, rel=2e-3)
        assert after.ttft_ms.value == pytest.approx(point.ttft_after_ms, rel=2e-3)
        assert after.tpot_ms.low < one.tpot < after.tpot_ms.high


def test_one_point_is_a_factor_that_is_half_believed() -> None:
    found = calibrate(points(made(1.1, 1.1, [(16, 512, 128)])), packaged(), TODAY)
    assert found.moved == () and found.tpot.per_octuple == 1 and "held_out" not in found.errors
    assert 1.01 < found.tpot.factor < 1.09
    without = estimate(DEPLOYMENT, Load(concurrency=16, input=512, output=128))
    assert without.basis
    low, high = without.basis.factors["tpot"]
    # 1 - 1/2 + 1/2 / (1 + 1) = 3/4 of the variance; a little more where the point itself is noisy
    share = found.widths["tpot"] / (np.log(high / low) / 2)
    assert 0.75**0.5 <= share < 1.05


def test_a_point_far_outside_the_interval_is_believed() -> None:
    found = calibrate(points(made(5, 5, [(16, 512, 128)])), packaged(), TODAY)
    assert found.tpot.factor == pytest.approx(5, rel=0.1)
    assert found.widths["tpot"] > 0.2  # at other loads nothing is known of such a deployment


def test_more_points_leave_less_open() -> None:
    widths = [calibrate(points(made(1.1, 1.1, LOADS[:n])), packaged(), TODAY).widths["tpot"] for n in (1, 2, 4)]
    assert widths == sorted(widths, reverse=True)


def test_what_the_points_determine_is_carried_to_other_lengths() -> None:
    """A machine that computes prompts at 0.6 of the usual speed: it must show at a load that was not measured."""
    values = packaged().values()
    slow = Replica(DEPLOYMENT, values=values | {"prompt_compute": values["prompt_compute"] * 0.6})
    usual = Replica(DEPLOYMENT)

    def point(load: tuple[int, int, int]) -> Measurement:
        c, i, o = load
        now, then = slow.point(i, o, c, c), usual.point(i, o, c, c)
        before = said(load)
        return measurement(before[0] * float(now[0] / then[0]), before[1] * float(now[1] / then[1]), load)

    seen = [(1, 512, 256), (8, 1024, 256), (32, 1024, 256), (64, 2048, 256), (16, 4096, 256), (128, 1024, 256)]
    found = calibrate(points([point(load) for load in seen]), packaged(), TODAY)
    assert any(one.name == "prompt_compute" and one.value < 0.85 * one.packaged for one in found.moved)
    load = (64, 8192, 256)
    truth = point(load).tpot or 0.0
    after = estimate(DEPLOYMENT, Load(concurrency=64, input=8192, output=256), calibration=found).tpot_ms
    assert after
    assert abs(after.value / truth - 1) < 0.5 * abs(said(load)[0] / truth - 1)


SWEEP = [(c, 1024, 256) for c in (1, 4, 16, 64, 128)]


def test_measured_beats_modelled_at_a_measured_load() -> None:
    """Errors that go up and down with the concurrency, as no coefficient and no slope explains."""
    off = (1.1, 0.9, 1.1, 0.9, 1.1)
    every = [measurement(said(at)[0] * f, said(at)[1] * f, at) for at, f in zip(SWEEP, off, strict=True)]
    found = calibrate(points(every), packaged(), TODAY)
    assert len(found.knots) == 5
    for at, one in zip(SWEEP, every, strict=True):
        after = estimate(DEPLOYMENT, Load(concurrency=at[0], input=1024, output=256), calibration=found).tpot_ms
        assert after and one.tpot and abs(after.value / one.tpot - 1) < 0.035
    # An error that its neighbours contradict is not foretold: held out, the points say so and the interval is wide.
    assert found.errors["held_out"]["tpot"] > 0.1 and found.widths["tpot"] > 0.1
    assert calibrate(points(every[:3]), packaged(), TODAY).knots == ()


def test_a_share_of_the_peak_does_not_rise_above_one() -> None:
    found = calibrate(points(made(0.5, 0.5, SWEEP)), packaged(), TODAY)
    moved = [one for one in found.moved if one.name.endswith(("_bandwidth", "_compute"))]
    assert moved and all(one.value <= max(1.0, one.packaged) * 1.0001 for one in moved)
    assert found.errors["after"]["tpot"] < 0.03


def test_points_come_in_the_order_of_their_load() -> None:
    ((found, _),) = calibrate_all(made(1.1, 1.1, [SWEEP[i] for i in (0, 4, 2, 1, 3)]), packaged(), TODAY)[0]
    assert [point.concurrency for point in found.points] == [1, 4, 16, 64, 128]


def test_two_deployments_make_two_calibrations() -> None:
    every = [*made(1.1, 1.1), measurement(8, 60, (16, 512, 128), device="h200-sxm")]
    found, left = calibrate_all(every, packaged(), TODAY)
    assert [(one.device, len(one.points), len(group)) for one, group in found] == [
        ("h100-sxm", 6, 6), ("h200-sxm", 1, 1)
    ]  # fmt: skip
    assert left == []


def test_points_without_ttft_leave_it_as_it_was() -> None:
    every = [measurement(said(load)[0] * 1.2, None, load) for load in LOADS]
    found = calibrate(points(every), packaged(), TODAY)
    assert "ttft" not in found.errors["after"] and found.errors["after"]["tpot"] < 0.03
    assert found.ttft.factor == pytest.approx(1)
    assert all(point.ttft_ms is None for point in found.points)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": ""}, "no device is stated: add --device"),
        ({"model": ""}, "no model is stated: add --model"),
        ({"engine": ""}, "no engine is stated: add --engine"),
        ({"device": "abacus"}, "unknown device 'abacus'"),
        ({"model": "nobody/nothing"}, "nothing"),
        ({"precision": "int3"}, "unknown format of weights 'int3'"),
        ({"tp": 3}, "tp 3 does not divide"),
        ({"disaggregated": True}, "disaggregated"),
        ({"requests": 80, "failed": 20}, "20 of 100 requests failed"),
        ({"concurrency": None, "request_rate": 3.0}, "neither concurrency nor what was in flight"),
        ({"output_tokens": 1}, "no second output token"),
    ],
)
def test_what_cannot_be_used_says_why(changes: dict[str, Any], reason: str) -> None:
    found = take(measurement(9, 40, (16, 512, 128), **changes), packaged(), {})
    assert isinstance(found, str) and reason in found


def test_nothing_usable_is_one_line_with_the_option() -> None:
    with pytest.raises(FarthingError, match=r"^p.json:16: no device is stated: add --device \(and 1 more\)$"):
        calibrate_all([measurement(9, 40, (16, 512, 128), device="")] * 2, packaged(), TODAY)


def test_options_fill_in_and_replace_unknown_names() -> None:
    one = measurement(9, 40, (16, 512, 128), device="", model="my-served-name", precision="")
    found = take(one, packaged(), {"device": "h100-sxm", "model": "llama-3.1-8b", "engine": "sglang"})
    assert isinstance(found, Taken)
    assert found.row.group == ("vllm", "h100-sxm", "meta-llama/Llama-3.1-8B", "bf16")  # the file's engine stays
    assert "model my-served-name taken as llama-3.1-8b" in found.notes
    assert any("format of the weights is not stated: bf16" in note for note in found.notes)


def test_open_loads_engines_unknown_and_caches() -> None:
    open_load = measurement(9, 40, (16, 512, 128), concurrency=None, request_rate=3.0, observed_concurrency=11.5)
    found = take(open_load, packaged(), {})
    assert isinstance(found, Taken) and found.row.concurrency == 11.5
    assert any("11.5 requests in flight" in note for note in found.notes)
    other = take(measurement(9, 40, (16, 512, 128), engine="llama.cpp", prefix_hit=0.5), packaged(), {})
    assert isinstance(other, Taken)
    assert (other.measured_engine, other.row.deployment.engine, other.prefix_hit) == ("llama.cpp", "vllm", 0.5)
    plain = take(measurement(9, 40, (16, 512, 128)), packaged(), {})
    assert isinstance(plain, Taken)
    both = columns_of([plain, other], packaged())
    _, ttft = predicted(both, packaged(), packaged().values())
    assert ttft[1] < ttft[0]  # half of the prompt is not computed


def test_tpot_is_found_from_the_end_to_end_time() -> None:
    # (1,310 - 40) / 127 = 10 ms a token
    one = measurement(9, 40, (16, 512, 128), tpot_ms=None, e2e_ms=Latency(mean=1310))
    found = take(one, packaged(), {})
    assert isinstance(found, Taken) and found.row.tpot_s == pytest.approx(0.01)


# --- the packaged model against rows -----------------------------------------------------------------


def test_a_comparison_counts_errors_bias_and_coverage() -> None:
    # All times 1.25 x what is said: said / measured - 1 = -0.2; so throughput is 0.8 x what is said: 0.25.
    found = compare(made(1.25, 1.25), packaged())
    assert found.every.rows == 6
    assert found.every.tpot and found.every.ttft and found.every.throughput
    for off in (found.every.tpot, found.every.ttft):
        assert (off.median, off.p90, off.bias) == pytest.approx((0.2, 0.2, -0.2), abs=1e-6)
    assert (found.every.throughput.median, found.every.throughput.bias) == pytest.approx((0.25, 0.25), abs=1e-6)
    inside = []
    for load in LOADS:
        stated = estimate(DEPLOYMENT, Load(concurrency=load[0], input=load[1], output=load[2])).tpot_ms
        assert stated
        inside.append(stated.low <= stated.value * 1.25 <= stated.high)
    assert found.every.tpot.coverage == pytest.approx(sum(inside) / 6)


def test_disaggregated_rows_are_compared_by_a_decode_step_alone() -> None:
    pool = Pool(workers=2, tp=1)
    replica = Replica(DEPLOYMENT)
    step = float(replica.point(512, 128, 8, 8)[3])  # 16 in flight on two workers
    one = measurement(step * 1e3, 40, (16, 512, 128), disaggregated=True, prefill=Pool(workers=1, tp=1), decode=pool)
    found = compare([one, msgspec.structs.replace(one, decode=Pool(tp=1))], packaged())
    assert found.split and found.split.tpot and found.split.rows == 1 and found.every.rows == 0
    assert found.split.tpot.median == pytest.approx(0, abs=1e-9)
    assert found.split_left_out == {"the number of decode workers or their layout is not stated": 1}


def test_nothing_to_compare_is_one_line() -> None:
    with pytest.raises(FarthingError, match="no device is stated"):
        compare([measurement(9, 40, (16, 512, 128), device="")], packaged())


@pytest.mark.skipif(not SILICON.exists(), reason="the measured rows are not here (../shared/serving)")
def test_every_measured_row_is_compared_or_left_out() -> None:
    measurements, _ = read_measurements(SILICON)
    found = compare(measurements, packaged())
    assert found.split
    counted = found.every.rows + sum(found.left_out.values()) + found.split.rows + sum(found.split_left_out.values())
    assert counted == len(measurements)
    for kinds in (found.levels, found.models, found.devices, found.engines, found.groups):
        assert sum(kind.rows for kind in kinds) == found.every.rows
    assert found.every.tpot and found.every.tpot.median < 0.1
    assert found.split.tpot and found.split.tpot.median < 0.2  # never fitted on: no disaggregated row is in the fit


@pytest.mark.slow
@pytest.mark.skipif(not SILICON.exists(), reason="the measured rows are not here (../shared/serving)")
def test_twelve_points_of_a_model_halve_the_error_on_its_other_loads() -> None:
    """The packaged fit, spoilt by a fifth in every efficiency, and twelve rows of a group to mend it."""
    fit = packaged()
    every, _ = taken(read_measurements(SILICON)[0], fit)
    group = [p for p in every if p.row.group == ("sglang", "h200-sxm", "meta-llama/Llama-3.1-8B", "bf16")]
    group = group or max(([p for p in every if p.row.group == g] for g in {p.row.group for p in every}), key=len)
    order = np.random.default_rng(7).permutation(len(group))
    seen, rest = [group[i] for i in order[:12]], [group[i] for i in order[12:]]
    spoilt = {
        name: msgspec.structs.replace(one, value=one.value * (0.8 if "band" in name or "compute" in name else 1.2))
        for name, one in fit.coefficients.items()
        if not one.linear and "@" not in name and name != "monthly_gain"
    }
    wrong = msgspec.structs.replace(fit, coefficients=fit.coefficients | spoilt)
    found = calibrate(seen, wrong, TODAY)
    columns = columns_of(rest, wrong)
    before = predicted(columns, wrong, wrong.values())[0]
    values = wrong.values() | {one.name: one.value for one in found.moved}
    after = predicted(columns, wrong, values)[0] * np.array([found.tpot.at(c) for c in columns.table.asked])

    def median(tpot: Any) -> float:
        return float(np.median(np.abs(tpot / columns.table.tpot_s - 1)))

    assert median(after) < median(before) / 2
