"""Metrics: what is counted, how it is written, and that nothing is lost or counted twice over workers and deaths."""

import multiprocessing
import os
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.observe import metrics as module
from farthing.gateway.observe.attempt_sums import pico
from farthing.gateway.observe.metrics import Metrics
from farthing.gateway.observe.metrics_store import MOST_SERIES, Labels, Series, Snapshot
from farthing.gateway.observe.metrics_text import COUNTERS, GAUGES, render
from farthing.ledger.row import Attempt

parser = pytest.importorskip("prometheus_client.parser", reason="needs prometheus-client")
FORK = multiprocessing.get_context("fork")


def attempt(**fields: Any) -> Attempt:
    values: dict[str, Any] = {
        "attempt": "a", "request": "r", "state": "done", "started_us": 10**15, "ended_us": 10**15 + 1_500_000,
        "first_us": 10**15 + 200_000, "upstream": "main", "model_asked": "gpt-test", "model_served": "gpt-test",
        "quantities": {"input": 1000, "output": 50}, "status": 200, "usd": "23/5000",
    }  # fmt: skip
    return Attempt(**{**values, **fields})


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name and labels, by Prometheus' own parser."""
    assert text.endswith("\n")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            series = found.setdefault(sample.name, {})
            assert labels not in series, (sample.name, labels)
            series[labels] = sample.value
    return found


def of(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


AT = of(upstream="main", model="gpt-test")


def test_what_is_counted(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.observe(attempt(streamed=True, reported_usd="0.0046"))
    metrics.observe(attempt(number=2, reported_usd="0.005", quantities={"input": 10, "reasoning": 7, "output": 9}))
    metrics.observe(attempt(usd=None, unknown="no price stated", estimated=True))
    metrics.observe(
        attempt(state="failed", status=None, usd=None, unknown="no answer came", error="timeout", quantities={},
                first_us=None, model_served="")
    )  # fmt: skip
    metrics.observe(attempt(state="failed", status=500, usd="0", error="overloaded", quantities={}, first_us=None))
    metrics.observe(attempt(quantities={"audio_second": 2_500_000}, usd="1/3"))
    found = parsed(metrics.text())
    by_how = found["farthing_attempts_total"]
    assert by_how[of(upstream="main", model="gpt-test", state="done", status="200")] == 4
    assert by_how[of(upstream="main", model="gpt-test", state="failed", status="500")] == 1
    # The attempt that no upstream answered names no served model, and what clients ask for is no label.
    assert by_how[of(upstream="main", model="other", state="failed", status="")] == 1
    assert found["farthing_requests_total"] == {AT: 4, of(upstream="main", model="other"): 1}
    assert found["farthing_streams_total"][AT] == 1
    assert found["farthing_estimated_total"][AT] == 1
    assert found["farthing_errors_total"] == {
        of(upstream="main", error="timeout"): 1,
        of(upstream="main", error="overloaded"): 1,
    }
    # 2 x $0.0046 + $0 + $1/3, each to the picodollar
    assert f'farthing_cost_usd_total{{upstream="main",model="gpt-test"}} {0.0092 + 1 / 3:.12f}\n' in metrics.text()
    assert found["farthing_unknown_charges_total"] == {
        of(upstream="main", model="gpt-test", reason="price"): 1,
        of(upstream="main", model="other", reason="usage"): 1,
    }
    assert found["farthing_reported_total"][AT] == 2
    assert found["farthing_drifted_total"][AT] == 1  # 0.005 against 0.0046: 8 %
    assert found["farthing_reported_cost_usd_total"][AT] == 0.0096
    assert found["farthing_reported_cost_ours_usd_total"][AT] == 0.0092
    tokens = found["farthing_tokens_total"]
    assert tokens[of(upstream="main", model="gpt-test", kind="input")] == 1000 + 10 + 1000
    assert tokens[of(upstream="main", model="gpt-test", kind="output")] == 50 + 9 + 50
    assert of(upstream="main", model="gpt-test", kind="reasoning") not in tokens  # it is part of output
    assert found["farthing_reasoning_tokens_total"][AT] == 7
    assert found["farthing_units_total"] == {of(upstream="main", model="gpt-test", meter="audio_second"): 2.5}
    duration = found["farthing_attempt_duration_seconds_bucket"]
    assert duration[of(upstream="main", model="gpt-test", le="1.28")] == 0
    assert duration[of(upstream="main", model="gpt-test", le="2.56")] == 4  # 1.5 s each
    assert duration[of(upstream="main", model="gpt-test", le="+Inf")] == 4
    assert found["farthing_attempt_duration_seconds_sum"][AT] == 6
    assert found["farthing_first_byte_seconds_bucket"][of(upstream="main", model="gpt-test", le="0.32")] == 4
    assert found["farthing_first_byte_seconds_count"][AT] == 4
    assert found["farthing_workers"][()] == 1
    metrics.close()


@pytest.mark.parametrize("ended", [1, 127, 128, 129, 300])
def test_whoever_reads_has_all_that_ended(tmp_path: Path, ended: int) -> None:
    """Attempts are counted several together; a reader, the snapshot for others and the last one wait for none."""
    metrics, other = Metrics(tmp_path / "here"), Metrics(tmp_path / "here")
    for _ in range(ended):
        metrics.observe(attempt())
    metrics.tick()
    assert parsed(other.text())["farthing_requests_total"][AT] == ended
    metrics.observe(attempt(usd="1/3", error="late"))
    found = parsed(metrics.text())
    assert found["farthing_requests_total"][AT] == ended + 1
    assert found["farthing_tokens_total"][of(upstream="main", model="gpt-test", kind="input")] == 1000 * (ended + 1)
    assert found["farthing_errors_total"] == {of(upstream="main", error="late"): 1}
    metrics.observe(attempt())
    metrics.close()
    assert parsed(other.text())["farthing_requests_total"][AT] == ended + 2
    other.close()


ENDED = st.fixed_dictionaries(
    {},
    optional={
        "upstream": st.sampled_from(["main", "other"]), "model_served": st.sampled_from(["", "gpt-test", "b"]),
        "state": st.sampled_from(["done", "failed", "cancelled"]), "status": st.sampled_from([None, 200, 500]),
        "number": st.integers(1, 3), "streamed": st.booleans(), "estimated": st.booleans(),
        "error": st.sampled_from(["", "timeout"]), "unknown": st.sampled_from(["", "no price"]),
        "usd": st.sampled_from([None, "0", "3", "1/3", "23/5000", "0.25", "x"]),
        "reported_usd": st.sampled_from([None, "1/3", "0.0046"]),
        "quantities": st.sampled_from([{}, {"input": 3}, {"output": 2, "input": 5}, {"cache_read": 7}]),
        "ended_us": st.sampled_from([None, 10**15 + 9, 10**15 + 10**7]),
        "first_us": st.sampled_from([None, 10**15 + 10_000, 10**15 + 10_001]),
    },
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(ended=st.lists(ENDED, max_size=12))
def test_attempts_that_are_counted_together(ended: list[dict[str, Any]]) -> None:
    """Whatever they have in common: the sums are those of each counted alone."""
    with tempfile.TemporaryDirectory() as folder:
        together, alone = (Metrics(Path(folder) / name, known=lambda name: name == "b") for name in ("a", "b"))
        for fields in ended:
            together.observe(attempt(**fields))
            alone.observe(attempt(**fields))
            alone._count_ended()
        together._count_ended()
        assert (together._now.series, together._now.errors) == (alone._now.series, alone._now.errors)
        together.close()
        alone.close()


def test_bounds_are_inclusive(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.observe(attempt(ended_us=10**15 + 10_000, first_us=10**15 + 10_001))
    found = parsed(metrics.text())
    assert found["farthing_attempt_duration_seconds_bucket"][of(upstream="main", model="gpt-test", le="0.01")] == 1
    assert found["farthing_first_byte_seconds_bucket"][of(upstream="main", model="gpt-test", le="0.01")] == 0
    assert found["farthing_first_byte_seconds_bucket"][of(upstream="main", model="gpt-test", le="0.02")] == 1


def test_events_and_states(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for name, (_, label) in COUNTERS.items():
        metrics.count(name, "x" if label else "")
    metrics.count("refusals", "rate_limit_error", 2)
    metrics.total("limit_refusals", "tokens", 17)
    metrics.total("limit_refusals", "tokens", 18)
    for name, (_, label, _) in GAUGES.items():
        metrics.gauge(name, 0.5, "x" if label else "")
    metrics.gauge("in_flight", 3)
    found = parsed(metrics.text())
    assert found["farthing_refusals_total"] == {of(reason="x"): 1, of(reason="rate_limit_error"): 2}
    assert found["farthing_limit_refusals_total"][of(what="tokens")] == 18
    assert found["farthing_in_flight"] == {(): 3}
    assert found["farthing_breaker_open"] == {of(upstream="x"): 0.5}
    assert found["farthing_resident_memory_bytes"][()] > 1_000_000
    with pytest.raises(KeyError):
        metrics.count("refusal")
    with pytest.raises(KeyError):
        metrics.gauge("inflight", 1)
    metrics.close()


def test_the_document_names_them_all(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.observe(attempt(usd=None, unknown="x", error="e", quantities={"input": 1, "reasoning": 1, "image": 1}))
    for name in COUNTERS:
        metrics.count(name)
    for name in GAUGES:
        metrics.gauge(name, 1)
    given = set(re.findall(r"^# TYPE (\w+)", metrics.text(), re.MULTILINE))
    document = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    assert set(re.findall(r"farthing_\w+", document)) == given
    metrics.close()


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=40) | st.sampled_from(['a"b', "a\\", "a\nb", "\\n", "\ud800x", "é漢"]))
def test_any_name_is_read_back(text: str) -> None:
    snapshot = Snapshot(series={Labels("main", text, "done", "200"): Series(attempts=1)})
    found = parsed(render(snapshot, []))["farthing_attempts_total"]
    clean = text.encode("utf-8", "replace").decode()
    assert found == {of(upstream="main", model=clean, state="done", status="200"): 1}


@pytest.mark.slow
def test_names_are_bounded(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, known=lambda name: name.startswith("ours-"))
    for number in range(6000):
        metrics.observe(attempt(model_asked=f"made-up-{number}", model_served=""))
        metrics.observe(attempt(model_served=f"said-{number}", error=f"e{number}"))
        metrics.observe(attempt(model_asked=f"ours-{number}", model_served="", state="failed", status=404))
        metrics.count("refusals", f"r{number}")
    assert len(metrics._now.series) <= MOST_SERIES + 50
    assert len(metrics._series) <= module._MOST_KEYS
    found = parsed(metrics.text())
    models = {dict(labels)["model"] for labels in found["farthing_requests_total"]}
    assert sum(model.startswith("said-") for model in models) == module._MOST_MODELS
    assert not any(model.startswith("made-up") for model in models)
    assert sum(found["farthing_requests_total"].values()) == 18_000
    assert len(found["farthing_errors_total"]) <= module._MOST_ERRORS + 1
    assert sum(found["farthing_errors_total"].values()) == 6000
    assert len(found["farthing_refusals_total"]) <= module._MOST_EVENTS + 1
    assert sum(found["farthing_refusals_total"].values()) == 6000
    metrics.close()


def test_a_reload_may_know_other_models(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    one = attempt(model_served="", model_asked="new")
    metrics.observe(one)
    metrics.knows(lambda name: name == "new")
    metrics.observe(one)
    assert parsed(metrics.text())["farthing_requests_total"] == {
        of(upstream="main", model="new"): 1,
        of(upstream="main", model="other"): 1,
    }


@settings(deadline=None, max_examples=100)
@given(over=st.integers(-(10**12), 10**15), under=st.integers(1, 10**9))
def test_money_is_right_to_the_picodollar(over: int, under: int) -> None:
    from fractions import Fraction

    text = str(Fraction(over, under))
    assert abs(Fraction(pico(text), 10**12) - Fraction(over, under)) <= Fraction(1, 2 * 10**12)


def test_odd_amounts_do_no_harm(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for usd in ("0.25", "1e-3", "x", "1/0", ""):
        metrics.observe(attempt(usd=usd, reported_usd="?"))
    assert parsed(metrics.text())["farthing_cost_usd_total"][AT] == 0.251


# --- workers ----------------------------------------------------------------------------------


def _work(folder: Path, count: int, ready: "multiprocessing.Queue[int]", stay: bool) -> None:
    metrics = Metrics(folder)
    for _ in range(count):
        metrics.observe(attempt())
    metrics.gauge("in_flight", 5)
    metrics.tick()
    ready.put(os.getpid())
    if stay:
        time.sleep(60)
    metrics.close()


def test_workers_together_and_the_dead(tmp_path: Path) -> None:
    ready = FORK.Queue()
    workers = [FORK.Process(target=_work, args=(tmp_path, count, ready, True)) for count in (10, 200)]
    for worker in workers:
        worker.start()
        ready.get(timeout=30)
    metrics = Metrics(tmp_path)
    metrics.observe(attempt())
    metrics.gauge("in_flight", 2)
    found = parsed(metrics.text())
    assert found["farthing_requests_total"][AT] == 211
    assert found["farthing_in_flight"][()] == 12
    assert found["farthing_workers"][()] == 3
    assert workers[0].pid is not None
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].join(30)
    for _ in range(3):  # moved to the retired once, and no more
        found = parsed(metrics.text())
        assert found["farthing_requests_total"][AT] == 211
        assert found["farthing_in_flight"][()] == 7  # how things are with the dead is nothing
        assert found["farthing_workers"][()] == 2
    workers[1].kill()
    workers[1].join(30)
    metrics.close()
    again = Metrics(tmp_path)
    found = parsed(again.text())
    assert found["farthing_requests_total"][AT] == 211
    assert found["farthing_workers"][()] == 1
    assert (tmp_path / "metrics" / "retired.snap").exists()
    assert len(list((tmp_path / "metrics").glob("*.snap"))) == 2
    again.close()


def test_a_death_between_sum_and_deletion_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Metrics(tmp_path)
    first.observe(attempt())
    first.close()
    second = Metrics(tmp_path)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # killed before it could delete
    assert parsed(second.text())["farthing_requests_total"][AT] == 1
    monkeypatch.undo()
    for _ in range(2):
        assert parsed(second.text())["farthing_requests_total"][AT] == 1
    assert len(list((tmp_path / "metrics").glob("*.snap"))) == 2
    second.observe(attempt())
    second.close()
    third = Metrics(tmp_path)
    assert parsed(third.text())["farthing_requests_total"][AT] == 2
    third.close()


def test_a_broken_snapshot_is_left_out(tmp_path: Path) -> None:
    first = Metrics(tmp_path)
    first.observe(attempt())
    first.tick()
    (tmp_path / "metrics" / "host_1_2.snap").write_bytes(b"\xff\x00 nonsense")
    assert parsed(first.text())["farthing_requests_total"][AT] == 1
    assert parsed(first.text())["farthing_workers"][()] == 1
    first.close()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    metrics.observe(attempt())
    metrics.tick()
    monkeypatch.undo()
    metrics.tick()
    found = parsed(metrics.text())
    assert found["farthing_snapshot_failures_total"][()] == 1
    assert found["farthing_requests_total"][AT] == 1
    metrics.close()
