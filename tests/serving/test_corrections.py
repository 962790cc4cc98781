"""Corrections: which groups apply, and that they stay within what was measured."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.serving import devices, models
from farthing.serving.corrections import corrected, effects_of, held, keys_of, measured_groups, slopes, span
from farthing.serving.deployment import ENGINES, Deployment

GROUP = ("vllm", "h100-sxm", "meta-llama/Llama-3.1-70B", "fp8")


def measured(**changes: object) -> Deployment:
    engine, device, model, weights = GROUP
    return Deployment(
        **{
            "model": models.find(model),
            "device": devices.find(device),
            "engine": engine,
            "weights": weights,
            "tp": 4,
            **changes,
        }
    )  # type: ignore[arg-type]


def test_keys_from_wide_to_narrow() -> None:
    group, layout = keys_of(measured())
    assert group == ("group", *GROUP)
    assert layout == ("layout", *GROUP, "tp4ep1dp1pp1")


def test_slopes_are_about_one_over_what_was_measured() -> None:
    assert slopes(1, 1, 1) == pytest.approx((-1.3, 0))
    assert slopes(8, 8, 1) == pytest.approx((-0.3, 1))  # eight times the requests, eight times the prompt: one each
    assert slopes(64, 1, 8) == pytest.approx((0.7, -1))
    assert slopes(0.2, 1, 1) == slopes(1, 1, 1)


def test_a_group_never_seen_is_not_corrected() -> None:
    assert GROUP in measured_groups()
    never = measured(weights="int8")
    found = corrected(never, 16, 1_000, 1_000)
    assert (found.tpot, found.ttft, found.rows) == (1, 1, 0)
    assert effects_of(never)[:2] == ((0, 0, 0), (0, 0, 0))


def test_a_correction_is_the_sum_of_its_effects() -> None:
    one = measured()
    tpot, ttft, _ = effects_of(one)
    found = corrected(one, 8, 2_000, 1_000)
    a, b = math.log2(8) / 3 - 1.3, math.log2(2) / 3
    assert found.tpot == pytest.approx(math.exp(tpot[0] + a * tpot[1] + b * tpot[2]))
    assert found.ttft == pytest.approx(math.exp(ttft[0] + a * ttft[1] + b * ttft[2]))
    assert found.rows > 0
    other = corrected(measured(tp=1, pp=4), 8, 2_000, 1_000)  # a layout that was not measured has the group's alone
    assert other.rows == found.rows and other.tpot != found.tpot


def test_a_layout_of_no_measured_group_has_nothing() -> None:
    fine = msgspec.structs.replace(measured(), device=devices.find("l40s"))
    assert corrected(fine, 8, 1_000, 1_000).rows == 0


@given(group=st.sampled_from(measured_groups()), concurrency=st.floats(1, 1e7), ratio=st.floats(1e-5, 1e5))
@settings(deadline=None)
def test_nothing_grows_beyond_what_was_measured(group: tuple[str, ...], concurrency: float, ratio: float) -> None:
    engine, device, model, weights = group
    one = Deployment(model=models.find(model), device=devices.find(device), engine=engine, weights=weights, tp=8)
    _, _, within = effects_of(one)
    (low, low_ratio), (high, high_ratio) = within
    (least, least_ratio), (most, most_ratio) = span()
    assert least <= low <= high <= most and least_ratio <= low_ratio <= high_ratio <= most_ratio
    edge, edge_ratio = held(concurrency, ratio, within)
    found, there = corrected(one, concurrency, ratio * 1_000, 1_000), corrected(one, edge, edge_ratio, 1)
    assert found.tpot == pytest.approx(there.tpot, rel=1e-9)
    assert found.ttft == pytest.approx(there.ttft, rel=1e-9)


def test_no_correction_is_another_model() -> None:
    """A group's correction may tell of an engine's habits; a factor of ten would tell of rows that are mislabelled."""
    for engine, device, model, weights in measured_groups():
        one = Deployment(model=models.find(model), device=devices.find(device), engine=engine, weights=weights, tp=8)
        for concurrency in (1, 1e6):
            for ratio in (1e-6, 1e6):
                found = corrected(one, concurrency, ratio, 1)
                assert 1 / 4 < found.tpot < 4, one.name
                assert 1 / 10 < found.ttft < 10, one.name


def test_every_measured_group_is_of_things_that_we_know() -> None:
    for engine, device, model, _ in measured_groups():
        assert engine in ENGINES
        assert devices.find(device).id == device
        assert models.find(model).id == model
