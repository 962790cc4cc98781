"""The tool that writes the serving model's data: what it writes can be read, and is what the package carries."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from farthing.serving.coefficients import packaged
from farthing.serving.corrections import _packaged
from farthing.serving.fitting.corrections import Effects, fit_effects
from farthing.serving.fitting.fit import fit_values, group_weights
from farthing.serving.fitting.table import predict, table_of
from farthing.serving.validation import packaged as report

ROOT = Path(__file__).parents[1]
DATA = ROOT / "src" / "farthing" / "data" / "serving"
SAMPLE = ROOT.parent / "shared" / "serving" / "silicon_sample.csv"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/serving/silicon_sample.csv is not there")
STALE = (
    "the data are not those of these formulas: run `python tools/fit_serving.py ../shared/serving/silicon_sample.csv`"
)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fit_serving", ROOT / "tools" / "fit_serving.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_values_are_filled_in_and_the_rest_is_kept(tool: ModuleType) -> None:
    text = (DATA / "fit.toml").read_text("utf-8")
    values = packaged().values()
    assert tool._with_values(text, values) == text  # what is there is what was read
    changed = tool._with_values(text, {**values, "step_s": 0.00123456})
    before, after = text.splitlines(), changed.splitlines()
    differing = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(differing) == 1 and differing[0][1] == "value = 0.00123456"
    again = {one["name"]: one["value"] for one in tomllib.loads(changed)["coefficient"]}
    assert again["step_s"] == 0.00123456 and again["layer_s"] == values["layer_s"]


def test_corrections_are_written_as_they_are_read(tool: ModuleType) -> None:
    stated, every = _packaged()
    (low, low_ratio), (high, high_ratio) = every
    effects = [
        Effects(
            of={key: getattr(one, what) for key, one in stated.items()},
            rows={key: one.rows for key, one in stated.items()},
            spans={key: one.span or every for key, one in stated.items()},
        )
        for what in ("tpot", "ttft")
    ]  # fmt: skip
    written = tool._corrections(effects, ([low, high], [low_ratio, high_ratio]))
    assert tomllib.loads(written) == tomllib.loads((DATA / "corrections.toml").read_text("utf-8"))


def test_a_report_is_written_as_it_is_read(tool: ModuleType) -> None:
    written = tool._validation(report())
    assert tomllib.loads(written) == tomllib.loads((DATA / "validation.toml").read_text("utf-8"))


@needs_sample
@pytest.mark.slow
def test_the_packaged_fit_is_that_of_the_sample() -> None:
    """All of the tool but the validation, whose splits would take minutes; to 2 %, as machines differ."""
    from farthing.serving.fitting.rows import rows_of
    from farthing.serving.measured.read import read_measurements

    fit = packaged()
    rows, left = rows_of(read_measurements([str(SAMPLE)])[0], fit)
    assert (len(rows), dict(left)) == (report().rows, report().left_out), STALE
    table = table_of(rows, fit)
    values = fit_values(table, group_weights(rows), fit)
    for name, value in values.items():
        assert value == pytest.approx(
            fit.coefficients[name].value, rel=0.02, abs=0.002 if fit.coefficients[name].linear else 0
        ), f"{name}: {STALE}"
    tpot, ttft = predict(table, fit, values)
    stated = _packaged()[0]
    for what, measured, formulas in (("tpot", table.tpot_s, tpot), ("ttft", table.ttft_s, ttft)):
        effects = fit_effects(rows, np.log(measured / formulas), what)
        assert effects.of.keys() == stated.keys(), STALE
        for key, found in effects.of.items():
            assert found == pytest.approx(getattr(stated[key], what), rel=0.02, abs=0.005), f"{key} {what}: {STALE}"
            assert effects.rows[key] == stated[key].rows
