"""Validation: what is held out is held out, intervals are checked on others, and the packaged report holds."""

from collections import Counter

import numpy as np
import pytest

from farthing.serving import validation
from farthing.serving.coefficients import packaged
from farthing.serving.fitting import validate as v
from farthing.serving.fitting.fit import fit_values, group_weights
from farthing.serving.fitting.table import predict, table_of
from tests.serving.fitting.made import SAMPLE, grid, measured, row

FIT = packaged()
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/serving/silicon_sample.csv is not there")


def test_a_configuration_is_never_on_both_sides() -> None:
    rows = [row(c, i) for c in (1, 2, 4, 8, 16, 32) for i in (100, 1_000, 8_000) for _ in range(3)]
    parts = v._configurations(rows)
    assert sorted(np.concatenate([at for _, at in parts]).tolist()) == list(range(len(rows)))
    seen: dict[str, object] = {}
    for fold, at in parts:
        for one in at:
            assert seen.setdefault(v._configuration(rows[one]), fold) == fold
    sizes = [len(at) for _, at in parts]
    assert len(sizes) == 5 and max(sizes) - min(sizes) <= 3


def test_models_of_one_shape_are_left_out_together() -> None:
    big = {"device": "h200-sxm", "weights": "fp8", "tp": 8}
    three, one = row(model="deepseek-ai/DeepSeek-V3", **big), row(model="deepseek-ai/DeepSeek-R1", **big)
    assert three.deployment.model.id != one.deployment.model.id
    assert v._shape(three) == v._shape(one) != v._shape(row())


def test_ends_are_quantiles_and_few_parts_widen_them() -> None:
    values = np.linspace(-1, 1, 1_001)
    assert v._ends(values, 0.8) == pytest.approx((-0.8, 0.8))
    assert v._widened(1) == pytest.approx(0.9)  # one part says as much as one draw of two places
    assert v._widened(4) == pytest.approx(0.84)
    assert v._widened(1_000) == pytest.approx(0.8, abs=1e-3)


def test_an_interval_is_made_of_the_other_parts() -> None:
    # Two parts, of errors 0 and of errors 1: neither makes an interval that the other is in.
    errors = {what: np.array([0.0] * 50 + [1.0] * 50) for what in v.QUANTITIES}
    parts: list[tuple[object, v.Ints]] = [("a", np.arange(50)), ("b", np.arange(50, 100))]
    split = v._split("model", parts, errors)
    assert split.tpot.coverage == 0
    assert [part.rows for part in split.part] == [50, 50]
    # Errors are shares of the measured value: log(measured / predicted) = 1 is 1 - 1/e too low.
    assert split.part[1].tpot_median == pytest.approx(1 - np.exp(-1))
    assert split.part[0].tpot_median == 0
    same = {what: np.tile(np.linspace(-0.3, 0.3, 50), 2) for what in v.QUANTITIES}
    split = v._split("random", parts, same)
    assert split.tpot.coverage == pytest.approx(0.8, abs=0.05)
    assert np.log(split.tpot.high) == pytest.approx(0.24, abs=0.01)
    assert split.part == ()


def test_an_error_is_a_share_of_what_was_measured() -> None:
    # predicted twice the measured: log(1/2); |predicted - measured| / measured = 1
    errors = {what: np.full(4, np.log(0.5)) for what in v.QUANTITIES}
    split = v._split("random", [("a", np.arange(2)), ("b", np.arange(2, 4))], errors)
    assert split.tpot.median == pytest.approx(1.0)


def held_out(rows: tuple[object, ...] | list[object], held: np.ndarray) -> dict[str, np.ndarray]:
    table, weights = table_of(rows, FIT), group_weights(rows)  # type: ignore[arg-type]
    start = {name: one.prior for name, one in FIT.coefficients.items()}
    return v._held_out(rows, table, weights, FIT, start, held)  # type: ignore[arg-type]


def test_held_out_rows_are_not_looked_at() -> None:
    import msgspec

    rows = grid()
    held = np.arange(0, len(rows), 4)
    table = table_of(rows, FIT)
    tpot, ttft = predict(table, FIT, FIT.values())
    true = [
        msgspec.structs.replace(one, tpot_s=float(a), ttft_s=float(b))
        for one, a, b in zip(rows, tpot, ttft, strict=True)
    ]
    wild = [msgspec.structs.replace(one, tpot_s=one.tpot_s * 7) if at % 4 == 0 else one for at, one in enumerate(true)]
    plain, changed = held_out(true, held), held_out(wild, held)
    assert changed["tpot"] == pytest.approx(plain["tpot"] + np.log(7), abs=1e-6)  # predictions did not move
    assert changed["ttft"] == pytest.approx(plain["ttft"], abs=1e-6)
    assert np.abs(plain["tpot"]).max() < 0.1  # made by the formulas, found by them


@needs_sample
@pytest.mark.slow
def test_one_half_tells_of_the_other() -> None:
    rows = list(measured())
    parts = v._configurations(rows, folds=2)
    errors = held_out(rows, parts[0][1])
    medians = {what: np.median(np.abs(np.expm1(-values))) for what, values in errors.items()}
    assert medians["tpot"] <= 0.10
    assert medians["ttft"] <= 0.30
    assert medians["throughput"] <= 0.10
    # The packaged 80 % interval, which is of another split, holds for this one.
    stated = validation.packaged().named("random")
    for what, values in errors.items():
        inside = (values >= np.log(stated.of(what).low)) & (values <= np.log(stated.of(what).high))
        assert 0.72 <= inside.mean() <= 0.86, what
    # What would be had without the model: the median of the other half's group
    half = set(parts[0][1].tolist())
    by_group: dict[object, list[float]] = {}
    for at, one in enumerate(rows):
        if at not in half:
            by_group.setdefault(one.group, []).append(one.tpot_s)
    guesses = [
        abs(float(np.median(by_group[rows[at].group])) / rows[at].tpot_s - 1)
        for at in half
        if rows[at].group in by_group
    ]
    assert np.median(guesses) > 3 * medians["tpot"]


@needs_sample
@pytest.mark.slow
@pytest.mark.parametrize("id", ["meta-llama/Llama-3.1-70B", "openai/gpt-oss-120b"])
def test_a_model_that_was_never_seen(id: str) -> None:
    rows = list(measured())
    shape = next(v._shape(one) for one in rows if one.deployment.model.id == id)
    held = np.array([at for at, one in enumerate(rows) if v._shape(one) == shape])
    assert len(held) > 100
    errors = held_out(rows, held)
    found = float(np.median(np.abs(np.expm1(-errors["tpot"]))))
    assert found <= 0.20
    stated = next(part for part in validation.packaged().named("model").part if part.name == shape)
    assert found == pytest.approx(stated.tpot_median, abs=0.03)  # what the packaged report says


@pytest.mark.slow
def test_a_whole_report_of_a_few_rows() -> None:
    import msgspec

    rows = grid()[::3]
    tpot, ttft = predict(table_of(rows, FIT), FIT, FIT.values())
    true = [
        msgspec.structs.replace(one, tpot_s=float(a * np.exp(0.1 * (at % 3 - 1))), ttft_s=float(b))
        for at, (one, a, b) in enumerate(zip(rows, tpot, ttft, strict=True))
    ]
    told: list[tuple[str, int, int]] = []
    report = v.validate(true, Counter({"made up": 3}), FIT, lambda *one: told.append(one))
    assert [one.name for one in report.split] == list(validation.SPLITS)
    assert report.rows == len(true) and report.left_out == {"made up": 3}
    assert [done for _, done, _ in told] == list(range(told[0][2]))
    for split in report.split:
        assert split.tpot.median < 0.2
        if split.name != "random":
            assert sum(part.rows for part in split.part) == len(true)
    assert sum(part.rows for part in report.group) == len(true)
    assert len(values := fit_values(table_of(true, FIT), group_weights(true), FIT)) == len(FIT.coefficients), values
