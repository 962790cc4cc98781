"""Units that cannot be, fields that are missing, files that are something else: one line, and what would work."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError, Problems
from farthing.serving.measured.measurement import Measurement
from farthing.serving.measured.read import read_measurements

from . import records


def _read(tmp_path: Path, *lines: Any) -> tuple[list[Measurement], Problems]:
    file = tmp_path / "r.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return read_measurements(file)


def _reason(tmp_path: Path, record: Any) -> str:
    found, problems = _read(tmp_path, record)
    assert found == []
    (problem,) = problems.kept
    text = str(problem)
    assert "\n" not in text and "r.jsonl:1" in text and problem.repair
    return text


def test_seconds_under_a_name_in_ms(tmp_path: Path) -> None:
    text = _reason(tmp_path, records.vllm(mean_tpot_ms=0.019, median_tpot_ms=0.019, p99_tpot_ms=0.022))
    assert "0.019 ms a token is not possible" in text


def test_a_ttft_in_seconds_beside_times_in_ms(tmp_path: Path) -> None:
    in_s = {"mean_ttft_ms": 0.218, "median_ttft_ms": 0.2, "p99_ttft_ms": 0.4}
    assert "TTFT 0.218 ms is far below the 19.005 ms of a token" in _reason(tmp_path, records.vllm(**in_s))
    text = _reason(tmp_path, records.vllm(p99_ttft_ms=0.4))
    assert "TTFT p99 of 0.4 ms is below p50 of 200 ms" in text


def test_an_end_to_end_time_in_seconds(tmp_path: Path) -> None:
    text = _reason(tmp_path, records.sglang(mean_e2e_latency_ms=4.0, median_e2e_latency_ms=3.99))
    assert "end-to-end 4 ms is not TTFT 218 + TPOT 19.005 × (output - 1) = 4000 ms" in text


def test_all_times_in_seconds_contradict_the_throughput(tmp_path: Path) -> None:
    tiny = {name: value / 100 for name, value in records.vllm().items() if name.endswith("_ms")}
    text = _reason(tmp_path, records.vllm(**tiny))
    # 4 requests/s × 0.04 s = 0.16 in flight, and the file says 16
    assert "0.16 requests in flight, the file says 16" in text


def test_inferencex_written_in_ms_is_told_by_its_interactivity(tmp_path: Path) -> None:
    thousand = (
        "mean_ttft",
        "median_ttft",
        "p99_ttft",
        "mean_tpot",
        "median_tpot",
        "p99_tpot",
        "mean_e2el",
        "median_e2el",
    )
    seconds = records.inferencex()
    (one,), problems = _read(tmp_path, records.inferencex(**{name: seconds[name] * 1000 for name in thousand}))
    assert problems.total == 0
    assert (one.ttft, one.tpot) == (pytest.approx(218.0), pytest.approx(19.005, abs=0.001))


def test_inferencex_with_a_tpot_in_ms_among_seconds_is_refused(tmp_path: Path) -> None:
    seconds = records.inferencex()
    mixed = {name: seconds[name] * 1000 for name in ("mean_tpot", "median_tpot", "p99_tpot")}
    assert "seconds by one count and milliseconds by another" in _reason(tmp_path, records.inferencex(**mixed))


def test_a_table_without_units_is_decided_by_its_throughput_or_refused(tmp_path: Path) -> None:
    bare = {"model": "m", "isl": 900, "osl": 200, "concurrency": 16, "ttft": 218.0, "tpot": 19.0}
    assert "ttft and tpot state no unit" in _reason(tmp_path, bare)
    (one,), _ = _read(tmp_path, {**bare, "output_throughput": 800})  # 16 × 200 / 800 = 4 s = 3,999 ms
    assert one.tpot == 19.0
    (one,), _ = _read(tmp_path, {**bare, "ttft": 0.218, "tpot": 0.019, "output_throughput": 800})
    assert one.tpot == pytest.approx(19.0)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("total_output_tokens",), "no output length (give total_output_tokens with the number of requests, or osl)"),
        (("completed",), "no output length (give total_output_tokens with the number of requests"),
    ],
)
def test_a_missing_field_is_named_with_what_would_work(tmp_path: Path, missing: tuple[str, ...], said: str) -> None:
    record = {name: value for name, value in records.vllm().items() if name not in missing}
    assert said in _reason(tmp_path, record)


def test_no_time_at_all(tmp_path: Path) -> None:
    record = {k: v for k, v in records.vllm(output_throughput=None).items() if not k.endswith("_ms")}
    assert "no TTFT, no TPOT and no output throughput" in _reason(tmp_path, record)


def test_text_where_a_number_belongs(tmp_path: Path) -> None:
    assert "mean_ttft_ms is '218 ms', not a number" in _reason(tmp_path, records.vllm(mean_ttft_ms="218 ms"))
    assert "max_concurrency is '16x'" in _reason(tmp_path, records.vllm(max_concurrency="16x"))
    assert "tp is 2.5, not a whole number" in _reason(tmp_path, records.vllm(tp=2.5))


def test_an_unknown_unit_is_named(tmp_path: Path) -> None:
    assert "is in 'fortnights'" in _reason(
        tmp_path, records.aiperf(inter_token_latency={"unit": "fortnights", "avg": 1.0})
    )


def test_good_records_are_kept_beside_bad_ones(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    lines = [json.dumps(records.vllm()), "{broken", json.dumps(records.vllm(mean_ttft_ms="?")), json.dumps([1])]
    file.write_text("\n".join(lines))
    found, problems = read_measurements(file)
    assert len(found) == 1
    assert [p.place for p in problems.kept] == [f"{file}:2", f"{file}:3", f"{file}:4[1]"]


def test_a_file_cut_short_is_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "cut.json"
    file.write_text(json.dumps(records.guidellm(), indent=2)[:3000])
    with pytest.raises(FarthingError, match="not JSON"):
        read_measurements(file)
    file.write_text(json.dumps(records.guidellm(), indent=2)[:3000] + "\n" + json.dumps(records.vllm()))
    found, problems = read_measurements(file)
    assert len(found) == problems.total == 1


def test_doubts_are_told_and_not_refused(tmp_path: Path) -> None:
    (one,), _ = _read(tmp_path, records.vllm(output_throughput=1200.0))
    assert one.doubts == ("output throughput 1200/s is not tokens / duration = 800/s",)
    (one,), _ = _read(tmp_path, records.vllm(max_concurrency=8, request_throughput=4.0))
    assert one.doubts == ("throughput × time says 16 requests in flight, more than the 8 stated",)
    (one,), _ = _read(tmp_path, records.vllm(max_concurrency=None))
    assert one.doubts == ("no load is stated: neither concurrency nor request rate",)
    (one,), _ = _read(tmp_path, records.vllm(failed=50))
    assert one.doubts == ("50 of 250 requests failed",)
    first, again = _read(tmp_path, records.vllm(), records.vllm(model_id="another/name"))[0]
    assert first.doubts == () and again.doubts == (f"repeats the run of {first.source}",)


def test_a_mean_beside_a_median_is_mixed(tmp_path: Path) -> None:
    (one,), _ = _read(tmp_path, {"isl": 9, "osl": 9, "concurrency": 1, "mean_ttft_ms": 50, "median_tpot_ms": 9})
    assert one.statistic == "mixed" and "different statistics" in one.doubts[0]


def test_a_time_without_mean_and_median_is_named(tmp_path: Path) -> None:
    record = {name: value for name, value in records.vllm().items() if name not in ("mean_tpot_ms", "median_tpot_ms")}
    (one,), _ = _read(tmp_path, record)
    assert "no mean or median of TPOT is stated (mean_tpot or median_tpot)" in one.doubts[0]
    record = {name: value for name, value in records.inferencex().items() if name not in ("mean_ttft", "median_ttft")}
    (one,), _ = _read(tmp_path, record)
    assert "no mean or median of TTFT is stated" in one.doubts[0]


def test_a_throughput_that_the_latencies_contradict_is_a_doubt(tmp_path: Path) -> None:
    # 8 GPUs × 20 / 200 = 0.8 requests/s × 4 s = 3.2 in flight, of 16; input: 8 × (550 - 20) beside 0.8 × 900
    (one,), _ = _read(tmp_path, records.inferencex(output_tput_per_gpu=20.0))
    assert one.doubts[0] == "throughput × time says 3.2 requests in flight, far fewer than the 16 stated"
    assert one.doubts[1].startswith("input throughput 4240/s is not requests × length = 720/s")
    (one,), _ = _read(tmp_path, records.inferencex(output_tput_per_gpu=500.0))
    assert one.doubts[0] == "throughput × time says 80 requests in flight, more than the 16 stated"
    # all tokens alone: 8 × 550 × 200 / 1,100 = 800 a second, as it should be; a fifth of that is not
    (one,), _ = _read(tmp_path, records.inferencex(output_tput_per_gpu=None))
    assert one.output_tokens_per_s == pytest.approx(800) and one.doubts == ()
    (one,), _ = _read(tmp_path, records.inferencex(output_tput_per_gpu=None, tput_per_gpu=110.0))
    assert "far fewer than the 16 stated" in one.doubts[0]


def test_an_empty_record_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="an empty record"):
        _read(tmp_path, {})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'{"hello": 1, "b": 2}', "no known result format (fields hello, b)"),
        ("a.json", b"", "nothing in it is a result"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[]", "nothing in it is a result"),
        ("a.csv", b"just text\nmore text\n", "nothing in it is a result"),
        ("a.csv", b"a,b\n1,2\n", "no known result format (fields a, b)"),
        ("a.json", b"\xff\xfe\x00", "not UTF-16"),
        ("a.json", b"[" * 100_000, "not JSON: nested too deeply"),
    ],
)
def test_a_named_file_that_is_something_else(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(FarthingError) as error:
        read_measurements(file)
    assert said.lower() in str(error.value).lower() and "\n" not in str(error.value)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="there is no such file"):
        read_measurements(tmp_path / "no.json")
    with pytest.raises(FarthingError, match="no file"):
        read_measurements([])


_ANY = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=2),
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    make=st.sampled_from(
        [records.vllm, records.sglang, records.inferencex, records.aiperf, lambda **c: records.guidellm() | c]
    ),
    data=st.data(),
)
def test_whatever_a_field_holds_there_is_a_measurement_or_a_line(
    tmp_path_factory: pytest.TempPathFactory, make: Any, data: st.DataObject
) -> None:
    base = make()
    names = data.draw(st.lists(st.sampled_from(sorted(base)), max_size=3, unique=True))
    record = {**base, **{name: data.draw(_ANY) for name in names}}
    file = tmp_path_factory.mktemp("any") / "r.json"
    file.write_text(json.dumps(record))
    try:
        found, problems = read_measurements(file)
    except FarthingError as error:
        assert "\n" not in str(error)
        return
    assert found or problems.total
    for one in found:
        assert one.tpot is None or 0.05 <= one.tpot <= 5000
