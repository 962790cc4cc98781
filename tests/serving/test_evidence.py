"""Intervals: how they combine, whose errors they have, and what widens them."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving import devices, models, validation
from farthing.serving.deployment import Deployment, Speculation
from farthing.serving.evidence import Basis, Ranged, basis, widened

RANGED = st.tuples(st.floats(0.1, 1e6), st.floats(0.3, 1), st.floats(1, 3)).map(
    lambda one: Ranged(one[0], one[0] * one[1], one[0] * one[2])
)


def of(
    model: str = "meta-llama/Llama-3.1-70B", device: str = "h100-sxm", rows: int = 0,
    load: tuple[float, float, float] = (16, 1_000, 500), **more: object,
) -> Basis:  # fmt: skip
    one = Deployment(**{"model": models.find(model), "device": devices.find(device), "tp": 4, **more})  # type: ignore[arg-type]
    return basis(one, *load, rows)


def test_ratios_of_ranges_by_hand() -> None:
    one, two = Ranged(100.0, 50.0, 200.0), Ranged(4.0, 2.0, 8.0)
    assert one.times(2) == Ranged(200.0, 100.0, 400.0)
    assert two.under(8) == Ranged(2.0, 1.0, 4.0)
    found = one.over(two)  # both are a factor of 2 either way: together 2^√2
    assert found.value == 25
    assert found.high / 25 == pytest.approx(2 ** math.sqrt(2)) == 25 / found.low


@given(a=RANGED, b=RANGED)
@settings(deadline=None)
def test_a_ratio_is_less_sure_than_its_parts_and_surer_than_the_worst_case(a: Ranged, b: Ranged) -> None:
    found, slack = a.over(b), 1e-9
    assert found.low <= found.value * (1 + slack) and found.value <= found.high * (1 + slack)
    assert found.low >= a.low / b.high * (1 - slack)
    assert found.high <= a.high / b.low * (1 + slack)
    assert found.high / found.value >= a.high / a.value * (1 - slack)


def test_the_interval_is_that_of_what_was_held_out() -> None:
    report = validation.packaged()
    for rows, model, device, split in (
        (10**9, "meta-llama/Llama-3.1-70B", "h100-sxm", "random"),
        (0, "google/gemma-3-27b-it", "h100-sxm", "model"),
        (0, "meta-llama/Llama-3.1-70B", "l40s", "device"),
    ):
        found = of(model, device, rows, **({"weights": "fp8"} if rows else {"tp": 1}))  # a layout that was measured
        stated = report.named(split)
        for what in ("tpot", "ttft", "throughput"):
            errors = stated.of(what)
            assert found.factors[what] == pytest.approx((errors.low, errors.high))
            assert found.error[what] == errors.median
            around = found.around(what, 10.0)
            assert around.low < 10 < around.high
        assert found.reasons == ()
        assert found.grade == "derived"


def test_a_group_of_few_rows_is_between_the_two() -> None:
    known, unseen = (validation.packaged().named(name).tpot for name in ("random", "device"))
    for rows, share in ((1, 3 / 4), (3, 1 / 2), (27, 1 / 10)):
        low, high = of(rows=rows, weights="fp8").factors["tpot"]
        assert math.log(high) == pytest.approx(math.hypot(math.log(known.high), share * math.log(unseen.high)))
        assert -math.log(low) == pytest.approx(math.hypot(math.log(known.low), share * math.log(unseen.low)))


def test_beyond_what_was_measured_of_the_group_is_wider() -> None:
    """The group's 45 rows are of tp 2, 4 and 8, with 4 to 64 requests at once (silicon sample)."""
    inside = of(rows=45, weights="fp8").factors["tpot"]
    for changed, says in (
        ({"load": (512, 1_000, 500)}, "these rows are of"),
        ({"load": (16, 1_000, 5)}, "these rows are of prompts"),
        ({"tp": 1}, "none of them has this layout"),
    ):
        found = of(rows=45, **{"weights": "fp8", **changed})  # type: ignore[arg-type]
        assert any(reason.startswith(says) for reason in found.reasons), (changed, found.reasons)
        assert found.factors["tpot"][1] > inside[1] and found.factors["tpot"][0] < inside[0]


def test_neither_model_nor_device_adds_both_errors_in_squares() -> None:
    found = of("google/gemma-3-27b-it", "l40s", tp=1)
    model, device = (validation.packaged().named(name).tpot for name in ("model", "device"))
    assert math.log(found.factors["tpot"][1]) == pytest.approx(math.hypot(math.log(model.high), math.log(device.high)))
    assert (found.grade, found.level) == ("assumed", "model and device")
    assert "neither" in found.says


def test_what_is_less_known_is_less_sure() -> None:
    widths = [
        math.log(one.factors["tpot"][1] / one.factors["tpot"][0])
        for one in (
            of(rows=10, weights="fp8"),
            of("google/gemma-3-27b-it"),
            of("google/gemma-3-27b-it", "a100-80gb-sxm"),
        )
    ]
    assert widths == sorted(widths) and widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "mi300x"}, "no device of amd was measured"),
        ({"pp": 2, "tp": 2}, "pipeline parallelism was not measured"),
        ({"speculation": Speculation(tokens=3, acceptance=0.7)}, "acceptance rate"),
        ({"weights": "int8"}, "weights in int8 were not measured"),
        ({"tp": 8, "pp": 2}, "more than 8 devices"),
        ({"device": "l40s"}, "no cards linked by PCIe were measured"),
        ({"load": (5_000.0, 1_000, 500)}, "up to 2048 requests at once"),
        ({"load": (16.0, 100_000, 5_000)}, "up to 8,000 tokens"),
        ({"load": (16.0, 10, 5_000)}, "0.12 to 80"),
    ],
)
def test_each_way_to_be_outside_is_said_and_widens(changes: dict[str, object], says: str) -> None:
    found = of(**changes)  # type: ignore[arg-type]
    assert any(says in reason for reason in found.reasons), found.reasons
    assert found.grade == "assumed"
    inside = {key: value for key, value in changes.items() if key == "device"}
    level = validation.packaged().named("device" if not found.rows else "random").tpot
    assert math.log(found.factors["tpot"][1]) == pytest.approx(math.log(level.high) * (1 + 0.5 * len(found.reasons))), (
        inside
    )


def test_one_more_reason_widens_as_if_it_had_been_there() -> None:
    one = of(pp=2, tp=2)
    more = widened(one, "something else")
    assert more.reasons == (*one.reasons, "something else")
    for end in (0, 1):
        assert math.log(more.factors["ttft"][end]) == pytest.approx(math.log(one.factors["ttft"][end]) * 2.0 / 1.5)
    assert msgspec.structs.replace(more, reasons=one.reasons, factors=one.factors) == one


def test_the_packaged_validation_beats_what_was_asked() -> None:
    report = validation.packaged()
    assert report.rows > 2_000
    assert report.named("random").tpot.median <= 0.10
    assert report.group_median <= 0.06
    for split in ("model", "device"):
        assert report.named(split).tpot.median <= 0.12
    assert report.named("random").ttft.median < 0.30
    for split in report.split:
        for what in ("tpot", "throughput") if split.name == "engine" else ("tpot", "ttft", "throughput"):
            errors = split.of(what)
            assert 0.75 <= errors.coverage <= 0.85, (split.name, what)
            assert errors.low < 1 < errors.high and errors.median < errors.p90
    assert sum(part.rows for part in report.named("device").part) == report.rows
    assert sum(part.rows for part in report.group) == report.rows
