"""A calibration as a value and as a file: what it changes in an estimate, when it is refused, how wide it is."""

from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving import devices, models
from farthing.serving.calibration import Calibration, Moved, Point, Residual, fit_digest, load_calibration
from farthing.serving.calibration_file import calibration_text, load_calibrations, write_calibrations
from farthing.serving.calibration_knots import Knot, followed
from farthing.serving.coefficients import packaged
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import Load, estimate

DEPLOYMENT = Deployment(model=models.find("llama-3.1-8b"), device=devices.find("h100-sxm"), weights="fp8")
POINT = Point(
    source="a.json:1", layout="one device", concurrency=16, input=900, output=200, tpot_ms=9.5, ttft_ms=None,
    tpot_before_ms=9, tpot_after_ms=9.4, ttft_before_ms=40, ttft_after_ms=41, tpot_held_out_ms=9.1,
)  # fmt: skip
CALIBRATION = Calibration(
    engine="vllm", device="h100-sxm", model=DEPLOYMENT.model.id, weights="fp8", measured_engine="",
    layouts=("one device",), engine_day=None, made=date(2026, 11, 22), fit=fit_digest(), moved=(),
    tpot=Residual(concurrency=16), ttft=Residual(concurrency=16),
    spans={"concurrency": (4, 64), "input": (900, 900), "output": (200, 200)},
    widths={"tpot": 0.05, "ttft": 0.1, "throughput": 0.06}, rule="by hand",
    errors={"before": {"tpot": 0.1}, "after": {"tpot": 0.02}}, points=(POINT,), sources=("a.json:1",),
)  # fmt: skip
LOAD = Load(input=900, output=200, concurrency=16)


def test_a_residual_is_a_factor_that_slopes() -> None:
    # 2 at 16 requests; x 1.5 for eight times as many (128), / 1.5 for an eighth (2); x sqrt(1.5) for x sqrt(8).
    found = Residual(factor=2.0, per_octuple=1.5, concurrency=16)
    assert found.at(16) == 2
    assert found.at(128) == pytest.approx(3)
    assert found.at(2) == pytest.approx(2 / 1.5)
    assert found.at(16 * 8**0.5) == pytest.approx(2 * 1.5**0.5)


def test_a_knot_is_followed_near_itself_and_forgotten_far_away() -> None:
    knot = Knot(layout="one device", concurrency=16, input=900, output=200, tpot=1.2, ttft=0.9)
    assert followed([knot], "one device", 16, 900, 200) == pytest.approx((1.2, 0.9))
    # 2.828 times as many requests are 1.5 octaves, 1/e: 1.2 ** 0.36788 = 1.06937
    assert followed([knot], "one device", 16 * 2**1.5, 900, 200)[0] == pytest.approx(1.06937, abs=1e-5)
    assert followed([knot], "tp2", 16, 900, 200)[0] == pytest.approx(1.06937, abs=1e-5)
    assert followed([knot], "one device", 16, 90_000, 200) == pytest.approx((1, 1), abs=1e-3)
    assert followed([], "one device", 16, 900, 200) == (1, 1)


def test_one_that_moves_nothing_keeps_the_values_and_narrows_the_interval() -> None:
    before, after = estimate(DEPLOYMENT, LOAD), estimate(DEPLOYMENT, LOAD, calibration=CALIBRATION)
    assert before.tpot_ms and after.tpot_ms and before.ttft_ms and after.ttft_ms and after.basis
    assert after.tpot_ms.value == pytest.approx(before.tpot_ms.value)
    assert after.ttft_ms.value == pytest.approx(before.ttft_ms.value)
    # e^0.05 = 1.05127 on either side
    assert after.tpot_ms.high / after.tpot_ms.value == pytest.approx(1.05127, abs=1e-5)
    assert after.tpot_ms.value / after.tpot_ms.low == pytest.approx(1.05127, abs=1e-5)
    assert after.basis.grade == "measured" and after.basis.rows == 1 and after.basis.reasons == ()


def test_factors_and_coefficients_are_applied() -> None:
    moved = msgspec.structs.replace(
        CALIBRATION, tpot=Residual(factor=1.2, concurrency=16),
        moved=(Moved(name="dense_bandwidth", value=0.5, packaged=packaged().values()["dense_bandwidth"]),),
    )  # fmt: skip
    only = msgspec.structs.replace(moved, tpot=Residual(concurrency=16))
    plain, factor, both = (estimate(DEPLOYMENT, LOAD, calibration=one).tpot_ms for one in (CALIBRATION, only, moved))
    assert plain and factor and both
    assert factor.value > 1.2 * plain.value  # the weights' reads, most of a step, take 0.9 / 0.5 as long
    assert both.value == pytest.approx(1.2 * factor.value)


def test_the_slope_is_held_within_what_was_measured() -> None:
    steep = msgspec.structs.replace(CALIBRATION, tpot=Residual(per_octuple=2.0, concurrency=16))
    applied = steep.apply(DEPLOYMENT)
    assert applied.tpot_factor(512, 900, 200) / CALIBRATION.apply(DEPLOYMENT).tpot_factor(
        512, 900, 200
    ) == pytest.approx(2 ** (2 / 3))  # held at 64 = 4 x 16: two thirds of an octuple


@settings(deadline=None, max_examples=50)
@given(st.floats(1, 512), st.floats(64, 8192), st.floats(16, 4096), st.floats(1, 4))
def test_the_further_outside_the_wider(concurrency: float, input: float, output: float, further: float) -> None:
    applied = CALIBRATION.apply(DEPLOYMENT)
    inside = applied.basis(16, 900, 200)
    near = applied.basis(concurrency, input, output)
    for what, (low, high) in near.factors.items():
        assert low <= inside.factors[what][0] * 1.000001 and high >= inside.factors[what][1] / 1.000001
    more = applied.basis(64 * further, 900, 200).factors["tpot"][1]
    assert more <= applied.basis(64 * further * 2, 900, 200).factors["tpot"][1] * 1.000001


def test_another_layout_is_said_and_widens() -> None:
    two = msgspec.structs.replace(DEPLOYMENT, tp=2)
    found = CALIBRATION.apply(two).basis(16, 900, 200)
    assert found.reasons == ("calibrated with one device, not tp2",)
    assert found.grade == "derived"
    assert found.factors["tpot"][1] > CALIBRATION.apply(DEPLOYMENT).basis(16, 900, 200).factors["tpot"][1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": "bf16"}, "of weights fp8, not bf16"),
        ({"engine": "sglang"}, "of engine vllm, not sglang"),
        ({"device": devices.find("a10g")}, "of device h100-sxm, not a10g"),
        ({"model": models.find("qwen3-32b")}, "of model meta-llama/Llama-3.1-8B, not Qwen/Qwen3-32B"),
    ],
)
def test_it_is_not_used_for_something_else(change: dict[str, object], said: str) -> None:
    with pytest.raises(FarthingError, match=said):
        CALIBRATION.apply(msgspec.structs.replace(DEPLOYMENT, **change))


def test_one_on_top_of_another_fit_is_refused() -> None:
    with pytest.raises(FarthingError, match="another fit"):
        msgspec.structs.replace(CALIBRATION, fit="0" * 12).apply(DEPLOYMENT)


@settings(deadline=None, max_examples=50)
@given(
    st.floats(1e-6, 1e6), st.floats(0.01, 100), st.text(min_size=1).filter(str.strip), st.dates(),
    st.one_of(st.none(), st.floats(1e-3, 1e6)),
)  # fmt: skip
def test_what_is_written_is_read_back(value: float, factor: float, text: str, day: date, ttft: float | None) -> None:
    made = msgspec.structs.replace(
        CALIBRATION, tpot=Residual(factor=factor, per_octuple=factor, concurrency=value), made=day, notes=(text,),
        moved=(Moved(name="layer_s", value=value, packaged=factor),), measured_engine="llama.cpp", engine_day=day,
        points=(msgspec.structs.replace(POINT, source=text, ttft_ms=ttft),),
        knots=(Knot(layout=text, concurrency=value, input=value, output=factor, tpot=factor, ttft=factor),),
    )  # fmt: skip
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "c.toml"
        write_calibrations(file, [made, CALIBRATION])
        assert load_calibrations(file) == [made, CALIBRATION]


def test_the_one_of_a_deployment_is_found(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    other = msgspec.structs.replace(CALIBRATION, device="h200-sxm")
    write_calibrations(file, [other, CALIBRATION])
    assert load_calibration(file, DEPLOYMENT) == CALIBRATION
    with pytest.raises(FarthingError, match="holds 2 calibrations"):
        load_calibration(file)
    with pytest.raises(FarthingError, match="has no calibration of Qwen/Qwen3-32B on 1 × h100-sxm"):
        load_calibration(file, msgspec.structs.replace(DEPLOYMENT, model=models.find("qwen3-32b")))
    write_calibrations(file, [CALIBRATION])
    assert load_calibration(file) == CALIBRATION


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('format = "farthing-calibration/1"', 'format = "x"', "no calibration: format is not"),
        ('device = "h100-sxm"\n', "", r"c\.toml:\d+: 'device' is missing"),
        ("made = 2026-11-22", "made = 7", "'made' is 7, not a date"),
        ("widths = {", "widthz = {", "'widths' is missing"),
        (
            "spans = { concurrency = { low = 4,",
            "spans = { concurrency = { low = 99,",
            "low must be above 0 and not above",
        ),
        ("tpot = { factor = 1.0", "tpot = { factor = 0.0", "it must be above 0"),
        ("[[calibration.point]]", "[[calibration.pint]]", "did you mean 'point'"),
        ('grade = "measured"', 'grade = "assumed"', "one of measured"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(tmp_path: Path, was: str, now: str, said: str) -> None:
    text = calibration_text([CALIBRATION])
    assert was in text
    file = tmp_path / "c.toml"
    file.write_text(text.replace(was, now, 1))
    with pytest.raises(FarthingError, match=said) as caught:
        load_calibration(file)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_ours(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be read"):
        load_calibration(tmp_path / "absent.toml")
    (tmp_path / "c.toml").write_text('format = "farthing-calibration/1"\n')
    with pytest.raises(FarthingError, match=r"no \[\[calibration\]\] in it"):
        load_calibration(tmp_path / "c.toml")
