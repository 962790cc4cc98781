"""Reading files, folders and standard input: detection, mappings, what repeats across files, the public traces."""

import gzip
import io
import os
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
import zstandard

from farthing.problems import FarthingError, Problems
from farthing.usage.read import READERS, detect, find_agent_logs, read_usage, reader_named
from tests.usage.test_readers import EXPECTED, SAMPLES, claude, codex, jsonl

TRACES = Path(__file__).resolve().parents[2] / "../shared/traces"
needs_traces = pytest.mark.skipif(not TRACES.is_dir(), reason="the public traces (../shared/traces) are not here")


def totals(paths: list[Path], **options: object) -> tuple[int, Counter[str], Problems]:
    problems = Problems()
    rows, found = 0, Counter[str]()
    for usage in read_usage(paths, problems, **options):  # type: ignore[arg-type]
        rows += 1
        found.update(usage.quantities)
    return rows, found, problems


@needs_traces
def test_the_azure_trace_has_its_published_sums() -> None:
    rows, found, problems = totals([TRACES / "azure-conv-2023.csv"])
    assert (rows, dict(found), problems.total) == (19_366, {"input": 22_361_870, "output": 4_088_665}, 0)


@needs_traces
def test_the_mooncake_trace_has_its_published_rows_and_blocks() -> None:
    problems = Problems()
    rows = list(read_usage([TRACES / "mooncake-synthetic.jsonl"], problems))
    assert (len(rows), problems.total) == (3_993, 0)
    seen: set[int] = set()
    hits = blocks = 0
    for usage in rows:
        assert usage.relative
        hits += sum(block in seen for block in usage.prefix_hashes)
        blocks += len(usage.prefix_hashes)
        seen.update(usage.prefix_hashes)
    assert round(100 * hits / blocks, 2) == 63.96


@needs_traces
def test_the_claude_code_session_has_its_published_sums() -> None:
    rows, found, problems = totals([TRACES / "claude-code-session.jsonl"])
    assert (rows, problems.total) == (10, 0)
    assert dict(found) == {"input": 3_039, "cache_write_5m": 21_086, "cache_read": 394_068, "output": 9_423}


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_is_detected_and_read_from_a_file(sample: str, tmp_path: Path) -> None:
    path = tmp_path / sample
    path.write_bytes(SAMPLES[sample][1])
    assert detect(path).name == SAMPLES[sample][0]
    problems = Problems()
    assert [dict(usage.quantities) for usage in read_usage([path], problems)] == EXPECTED[sample]
    assert problems.total == 0


def test_a_folder_of_mixed_formats_and_packings(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.csv.gz").write_bytes(gzip.compress(SAMPLES["azure.csv"][1]))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(SAMPLES["bedrock.jsonl"][1]))
    (tmp_path / "c.json").write_bytes(SAMPLES["openai.json"][1])
    (tmp_path / "notes.txt").write_text("not read")
    (tmp_path / "settings.json").write_text('{"theme": "dark"}')
    (tmp_path / "empty.jsonl").write_text("")
    rows, _, problems = totals([tmp_path])
    assert rows == 2 + 1 + 2
    assert [(problem.place, problem.reason[:26]) for problem in problems.kept] == [
        (str(tmp_path / "settings.json"), "no known usage format fits")
    ]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(SAMPLES["azure.csv"][1])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    assert [dict(usage.quantities) for usage in read_usage(["-"], Problems())] == EXPECTED["azure.csv"]


def test_a_file_that_nothing_fits_names_the_choices(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("colour,size\nred,5\n")
    with pytest.raises(FarthingError, match=r"no known usage format fits; choose with --format \(azure-trace, moon"):
        list(read_usage([path], Problems()))


def test_a_file_that_two_fit_equally_names_both(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens,generation_id,tokens_prompt\n1,2,3,4,5\n")
    with pytest.raises(FarthingError, match="fits azure-trace and openrouter equally; choose with --format"):
        detect(path)


@pytest.mark.parametrize(
    "content",
    [
        b'{"object": "page", "data": [{"object": "bucket", "start_time": 1, "end_time": 2, "results": [{"object": '
        b'"organization.costs.result", "amount": {"value": 0.06, "currency": "usd"}}]}]}',
        b'{"data": [{"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z", "results": ['
        b'{"currency": "USD", "amount": "123.45", "workspace_id": "w", "description": "d", "cost_type": "tokens"}]}]}',
        b"usage_date_utc,model,workspace,usage_type,token_type,cost_usd\n2026-01-01,m,w,standard,input,0.5\n",
        b"start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency\n1,2,3,4,5,usd\n",
    ],
)
def test_a_cost_export_is_sent_to_reconcile(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "costs"
    path.write_bytes(content)
    with pytest.raises(FarthingError, match=r"a cost export.*farthing reconcile USAGE INVOICE"):
        list(read_usage([path], Problems()))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"paths": ["/nowhere/at/all.csv"]}, "there is no such file"),
        ({"paths": []}, "no file is given"),
        ({"paths": ["-"], "format": "excel"}, "unknown format 'excel'; --format is one of azure-trace"),
        ({"paths": ["-"], "mapping": {"outputs": "x"}}, "'outputs' is neither .*; did you mean 'output'"),
        ({"paths": ["-"], "mapping": {"at": "x"}, "format": "codex"}, "reads a table, not 'codex'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_readable_line(arguments: dict[str, object], why: str) -> None:
    with pytest.raises(FarthingError, match=why) as raised:
        read_usage(problems=Problems(), **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_zip_an_empty_file_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(FarthingError, match="unpack it"):
        list(read_usage([tmp_path / "a.zip"], Problems()))
    (tmp_path / "empty.csv").write_bytes(b"")
    problems = Problems()
    assert list(read_usage([tmp_path / "empty.csv"], problems)) == []
    assert dict(problems.reasons) == {"empty file": 1}
    (tmp_path / "bare").mkdir()
    with pytest.raises(FarthingError, match="the folder holds no"):
        list(read_usage([tmp_path / "bare"], Problems()))


def test_a_stated_format_is_used_whatever_the_file_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(SAMPLES["bedrock.jsonl"][1])
    rows, _, problems = totals([path], format="mooncake")
    assert (rows, problems.total) == (0, 1)
    assert reader_named("Claude_Code") is reader_named("claude-code")


def test_a_mapping_reads_other_columns_and_input_that_includes_the_cached(tmp_path: Path) -> None:
    path = tmp_path / "gateway.csv"
    path.write_text(
        "when,llm,prompt,cached,completion,cost\n"
        "2026-01-01T10:00:00+02:00,gpt-5,1000,600,50,$0.25\n"
        "2026-01-01T10:00:01+02:00,gpt-5,100,600,50,\n"
    )
    mapping = {"at": "when", "model": "llm", "input_total": "prompt", "cache-read": "cached", "output": "completion"}
    problems = Problems()
    found = list(read_usage([path], problems, mapping={**mapping, "reported_usd": "cost", "provider": "=openai"}))
    assert [dict(usage.quantities) for usage in found] == [{"input": 1000 - 600, "cache_read": 600, "output": 50}]
    assert found[0].offer == "openai/gpt-5"
    assert (found[0].at, found[0].reported_usd) == (datetime(2026, 1, 1, 8, tzinfo=UTC), Fraction(1, 4))
    assert [problem.place for problem in problems.kept] == [f"{path}:3"]


def test_a_mapping_reads_offsets_and_says_when_no_column_fits(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("arrived_at,prefill,decode\n1.5,100,20\n")
    mapping = {"at": "arrived_at", "relative": "=true", "input": "prefill", "output": "decode"}
    (usage,) = read_usage([path], Problems(), mapping=mapping)
    assert (usage.relative, usage.at) == (True, datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC))
    assert usage.quantities == {"input": 100, "output": 20}
    rows, _, problems = totals([path], mapping={"at": "when", "input": "tokens"})
    assert (rows, dict(problems.reasons)) == (0, {"mapped columns are missing": 1})


def test_parquet(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "usage.parquet"
    duckdb.execute(
        f"""COPY (SELECT TIMESTAMPTZ '2026-01-01 10:00:00.000001+02' AS at, 'OpenAI' AS provider, 'gpt-5' AS model,
              10::BIGINT AS input, 2.0::DOUBLE AS cache_read, 0.1::DOUBLE AS reported_usd, [1, 2] AS prefix_hashes,
              MAP {{'team': 'a'}} AS tags, 16 AS block_tokens
            UNION ALL SELECT TIMESTAMPTZ '2026-01-01 10:00:00+00', NULL, NULL, -5, NULL, NULL, NULL, NULL, NULL)
            TO '{path}' (FORMAT parquet)"""
    )
    assert detect(path).name == "table"
    problems = Problems()
    (usage,) = read_usage([path], problems)
    assert usage.at == datetime(2026, 1, 1, 8, 0, 0, 1, tzinfo=UTC)
    assert usage.quantities == {"input": 10, "cache_read": 2}
    assert usage.reported_usd == Fraction(1, 10)  # the digits, not the binary float beside them
    assert (usage.prefix_hashes, usage.block_tokens, usage.tags) == ((1, 2), 16, {"team": "a"})
    assert [problem.place for problem in problems.kept] == [f"{path} row 2"]


def test_broken_parquet_is_one_readable_line(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    path = tmp_path / "usage.parquet"
    path.write_bytes(b"PAR1 nothing more")
    with pytest.raises(FarthingError, match="cannot be read as Parquet"):
        list(read_usage([path], Problems()))


def test_ids_repeat_across_files_and_one_file_twice(tmp_path: Path) -> None:
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    one.write_bytes(SAMPLES["bedrock.jsonl"][1])
    two.write_bytes(SAMPLES["bedrock.jsonl"][1])
    rows, _, problems = totals([one, two, one])
    assert rows == 1
    assert dict(problems.reasons) == {"duplicate id": 1, "file given twice": 1}


@pytest.mark.parametrize("order", [1, -1])
def test_a_resumed_claude_code_session_counts_once(order: int, tmp_path: Path) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    files[0].write_bytes(jsonl(claude("m1", "r1", 5), claude("m2", "r2", 7)))
    files[1].write_bytes(jsonl(claude("m1", "r1", 5), claude("m2", "r9", 7, isSidechain=True), claude("m3", "r3", 9)))
    rows, found, problems = totals(files[::order])
    assert (rows, found["output"], problems.total) == (3, 5 + 7 + 9, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_forked_codex_session_counts_its_parents_history_once(order: int, tmp_path: Path) -> None:
    parent, child, other = (tmp_path / name for name in ("parent.jsonl", "child.jsonl", "other.jsonl"))
    history = [codex((100, 0, 10, 0), (100, 0, 10, 0), 1), codex((250, 0, 30, 0), (150, 0, 20, 0), 2)]
    parent.write_bytes(jsonl({"type": "session_meta", "payload": {"id": "p"}}, *history))
    copied = [{**event, "timestamp": "2026-02-07T00:00:00Z"} for event in history]
    meta = {"type": "session_meta", "payload": {"id": "c", "forked_from_id": "p"}}
    child.write_bytes(jsonl(meta, *copied, codex((300, 0, 70, 0), (50, 0, 40, 0), 9)))
    # A session of its own that happens to begin with the same counts is not a copy.
    other.write_bytes(jsonl({"type": "session_meta", "payload": {"id": "o"}}, history[0]))
    rows, found, problems = totals([parent, child, other][::order])
    assert (rows, found["output"], problems.total) == (4, (10 + 20) + 40 + 10, 0)


def test_agent_logs_are_found_where_their_tools_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.delenv("CODEX_HOME", raising=False)
    assert find_agent_logs() == []
    wanted = [".claude/projects/p/s.jsonl", ".codex/sessions/2026/01/01/rollout-1.jsonl"]
    for name in [*wanted, ".claude/projects/p/notes.md", ".claude/todos/x.jsonl"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in find_agent_logs()] == wanted
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", os.fspath(tmp_path / "elsewhere"))
    assert [path.name for path in find_agent_logs()] == ["rollout-1.jsonl"]


def test_names_of_readers_are_distinct_and_the_table_is_last() -> None:
    names = [reader.name for reader in READERS]
    assert len(set(names)) == len(names)
    assert names[-1] == "table"


def test_the_documentation_names_every_reader_and_its_columns() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "usage-formats.md").read_text()
    assert [reader.name for reader in READERS if f"### `{reader.name}`" not in page] == []


def test_a_broken_file_in_a_folder_does_not_cost_the_others(tmp_path: Path) -> None:
    good = '{"at": "2026-11-21T09:30:00Z", "model": "m", "input": 5}\n'
    (tmp_path / "a.parquet").write_bytes(b"PAR1 torn")
    (tmp_path / "b.csv").write_bytes(b"at,input\r2026-11-21T09:30:00Z,5\r")
    (tmp_path / "c.jsonl").write_text(good)
    problems = Problems()
    assert len(list(read_usage([tmp_path], problems))) == 1
    assert [problem.place for problem in problems.kept] == [str(tmp_path / name) for name in ("a.parquet", "b.csv")]
    with pytest.raises(FarthingError, match="cannot be read as Parquet"):
        list(read_usage([tmp_path / "c.jsonl", tmp_path / "a.parquet"], Problems()))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gzip.compress(gzip.compress(b"{}\n")), "packed twice"),
        (b"BZh91AY&SY", "packed twice, or in a way that is not read"),
        ('{"at": 1}\n'.encode("utf-16-le"), "not text in UTF-8"),
    ],
)
def test_what_is_no_text_is_said(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    path.write_bytes(content)
    with pytest.raises(FarthingError, match=why):
        list(read_usage([path], Problems()))


def test_an_empty_name_is_not_the_whole_folder() -> None:
    with pytest.raises(FarthingError, match="the name of a file is empty"):
        read_usage([""], Problems())


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(FarthingError, match="standard input is closed"):
        list(read_usage(["-"], Problems()))


def test_a_time_of_a_parquet_file_is_not_guessed_by_its_size(tmp_path: Path) -> None:
    """Microseconds of 1972 are as small as milliseconds of this century."""
    path = tmp_path / "old.parquet"
    duckdb.connect().execute(f"COPY (SELECT to_timestamp(63158400) AS at, 5 AS input) TO '{path}' (FORMAT parquet)")
    assert [usage.at for usage in read_usage([path], Problems())] == [datetime(1972, 1, 2, tzinfo=UTC)]
