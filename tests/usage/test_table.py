"""Usage in columns: what is staged is what was read, and Parquet gives the same sums without a copy."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError, Problems
from farthing.time import EPOCH, microseconds, parse_instant
from farthing.usage.read import read_usage
from farthing.usage.record import LARGEST_COUNT, Usage
from farthing.usage.table import BATCH, Subject, UsageTable, stage, view_parquet

START = parse_instant("2026-11-21T09:30:00Z")
names = st.sampled_from([None, "a", "b"])
usages = st.builds(
    Usage,
    at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda naive: naive.replace(tzinfo=EPOCH.tzinfo)),
    quantities=st.dictionaries(
        st.sampled_from(["input", "output", "cache_read", "cache_write_1h", "image", "audio_second"]),
        st.integers(1, 10**12),
    ),
    provider=names,
    model_served=names,
    tier_served=st.sampled_from([None, "default", "batch"]),
    region=names,
    attrs=st.dictionaries(st.sampled_from(["size", "route"]), st.sampled_from(["x", "y"])),
    requests=st.sampled_from([1, 1, 3]),
)
Row = tuple[datetime, datetime, str | None, str, int, tuple[tuple[str, int], ...]]


def row(usage: Usage) -> Row:
    counts = tuple(sorted(usage.quantities.items()))
    return usage.at, usage.completed or usage.at, usage.offer, usage.tier, usage.requests, counts


def total(table: UsageTable, sql: str) -> int:
    [(found,)] = table.connection.execute(f"SELECT {sql} FROM {table.name}").fetchall()
    return int(found or 0)


@settings(max_examples=25, deadline=None)
@given(st.lists(usages, max_size=12))
def test_every_record_comes_back(records: list[Usage]) -> None:
    table = stage(records)
    assert table.rows == len(records)
    found = [usage for _, usage in table.records(range(len(table.subjects)))]
    assert Counter(map(row, found)) == Counter(map(row, records))
    assert [usage.at for usage in found] == sorted(usage.at for usage in records)
    assert len(set(table.subjects)) == len(table.subjects)
    span = (min(u.at for u in records), max(u.at for u in records)) if records else None
    assert table.span() == (span and tuple(map(microseconds, span)))


def test_records_of_some_subjects_only() -> None:
    table = stage(Usage(at=START, quantities={"input": n + 1}, model_served="ab"[n % 2]) for n in range(6))
    wanted = [number for number, subject in enumerate(table.subjects) if subject.model == "b"]
    assert sorted(usage.quantities["input"] for _, usage in table.records(wanted)) == [2, 4, 6]
    assert list(table.records([])) == []


def test_batches_join_without_a_seam() -> None:
    """A meter that appears only in a later batch is zero in the earlier ones."""
    count = BATCH + 10
    seen: list[int] = []
    table = stage(
        (
            Usage(at=START + timedelta(seconds=n), quantities={"input": n} if n < BATCH else {"output": n})
            for n in range(count)
        ),
        progress=seen.append,
    )
    assert (table.rows, table.meters, seen) == (count, ["input", "output"], [BATCH])
    assert total(table, "sum(input)") == BATCH * (BATCH - 1) // 2
    assert total(table, "sum(output)") == sum(range(BATCH, count))
    assert total(table, "count(*) FILTER (output IS NULL OR input IS NULL)") == 0


def test_completion_is_stated_or_the_latency_after_the_start() -> None:
    table = stage(
        [
            Usage(at=START, quantities={"input": 1}, latency_s=1.5),
            Usage(at=START, quantities={"input": 1}, latency_s=1.5, completed=START + timedelta(seconds=9)),
            Usage(at=START, quantities={"input": 1}),
        ]
    )
    found = table.connection.execute("SELECT completed - started FROM usage ORDER BY 1").fetchall()
    assert found == [(0,), (1_500_000,), (9_000_000,)]


# --- Parquet ----------------------------------------------------------------------------------


def parquet(path: Path, select: str) -> Path:
    quoted = str(path).replace("'", "''")
    duckdb.connect().execute(f"COPY ({select}) TO '{quoted}' (FORMAT parquet)")
    return path


AT = f"to_timestamp({int(START.timestamp())})"  # unlike a literal, this needs no extension of DuckDB
ROWS = f"""
    SELECT to_timestamp({int(START.timestamp())} + i) AS at,
           CASE i % 3 WHEN 0 THEN 'one' WHEN 1 THEN 'two' END AS model,
           'p' AS provider, CASE i % 2 WHEN 0 THEN 'default' ELSE 'batch' END AS tier,
           i AS input, i % 7 AS cache_read, (i * i) % 11 AS output, 1 + i % 2 AS requests
    FROM range(1000) AS rows(i)
"""


def same_rows() -> list[Usage]:
    return [
        Usage(
            at=START + timedelta(seconds=i),
            quantities={k: v for k, v in (("input", i), ("cache_read", i % 7), ("output", i * i % 11)) if v},
            provider="p",
            model_served={0: "one", 1: "two"}.get(i % 3),
            tier_served="batch" if i % 2 else "default",
            requests=1 + i % 2,
        )
        for i in range(1000)
    ]


def test_parquet_gives_the_rows_that_staging_gives(tmp_path: Path) -> None:
    problems = Problems()
    viewed = view_parquet([parquet(tmp_path / "it's usage.parquet", ROWS)], problems)
    assert viewed is not None
    staged = stage(same_rows())
    assert problems.total == 0
    assert (viewed.rows, viewed.meters, viewed.span()) == (staged.rows, staged.meters, staged.span())
    assert set(viewed.subjects) == set(staged.subjects)
    for table in (viewed, staged):
        assert total(table, "sum(input)") == sum(range(1000))
        assert total(table, "sum(requests)") == 1500
        assert total(table, f"max{table.prompt_sql()}") == max(i + i % 7 for i in range(1000))
    records = [
        Counter(row(usage) for _, usage in table.records(range(len(table.subjects)))) for table in (viewed, staged)
    ]
    assert records[0] == records[1]
    assert Subject(provider="p", model=None, tier="standard", bucket=False) in viewed.subjects


def test_parquet_files_with_different_columns(tmp_path: Path) -> None:
    at = f"{AT} AS at"
    files = [
        parquet(tmp_path / "a.parquet", f"SELECT {at}, 'one' AS model, 5 AS input"),
        parquet(tmp_path / "b.parquet", f"SELECT {at}, 'one' AS model, 7 AS input, 'eu' AS region, {AT} AS completed"),
    ]
    table = view_parquet(files, Problems())
    assert table is not None
    assert (table.rows, total(table, "count(*)"), total(table, "sum(input)")) == (2, 2, 12)
    assert {subject.region for subject in table.subjects} == {None, "eu"}


def test_bad_rows_of_parquet_are_left_out_and_counted(tmp_path: Path) -> None:
    most = LARGEST_COUNT
    path = parquet(
        tmp_path / "bad.parquet",
        f"""
        SELECT to_timestamp("at") AS at, 'one' AS model, input, output, requests
        FROM (VALUES (1, 10, 1, 1), (2, -1, 1, 1), (3, {most}, NULL, NULL), (4, {most + 1}, 1, 1), (NULL, 5, 5, 1),
                     (5, 7, 7, 0), (6, 8, 8, -2)) AS rows("at", input, output, requests)
        """,
    )
    problems = Problems()
    table = view_parquet([path], problems)
    assert table is not None
    assert (table.rows, total(table, "count(*)"), total(table, "sum(requests)")) == (2, 2, 2)
    assert (total(table, "sum(input)"), total(table, "sum(output)")) == (10 + most, 1)
    assert (problems.total, problems.reasons) == (5, {"no time, or a bad count": 5})
    assert [problem.place for problem in problems.kept] == [f"{path} row {n}" for n in (2, 4, 5, 6, 7)]
    few = Problems(keep=2)
    view_parquet([path], few)
    assert (few.total, len(few.kept), few.reasons.total()) == (5, 2, 5)


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ("SELECT TIMESTAMP '2026-11-21 09:30:00' AS at, 'one' AS model, 1 AS input", "column 'at' has no time zone"),
        ("SELECT 'one' AS model, 1 AS input", "no column 'at'.*--map at=COLUMN"),
        (f"SELECT {AT} AS at, 'one' AS model, 1 AS requests", "no column is a meter"),
    ],
)
def test_parquet_that_cannot_be_priced_is_refused(tmp_path: Path, select: str, says: str) -> None:
    path = parquet(tmp_path / "bad.parquet", select)
    with pytest.raises(FarthingError, match=says) as refused:
        view_parquet([path], Problems())
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "columns",
    [
        f"{AT} AS at, 'one' AS model, 100 AS input_total, 30 AS cache_read",
        f"{AT} AS at, 'one' AS model, 1.5::DOUBLE AS input",
        f"{AT} AS at, 'one' AS model, 1.5::DECIMAL(9, 2) AS input",
        f"{AT} AS at, 'one' AS model, '5' AS input",
        f"{AT} AS at, 'one' AS model, [5] AS input",
        f"{AT} AS at, 'one' AS model, true AS input",
        f"{AT} AS at, 1 AS model, 5 AS input",
        f"{AT} AS at, 'one' AS model, 5 AS input, '7' AS requests",
        f"{AT} AS at, 'one' AS model, 5 AS input, '2026-11-21T09:31:00Z' AS completed",
        f"{AT} AS at, 'one' AS model, 5 AS input, 3.5::DOUBLE AS latency_s",
        f"{AT} AS at, 'one' AS model, 5 AS input, {{'geography': 'us'}} AS attrs",
        f"{AT} AS at, 'one' AS model, 5 AS input, 'same' AS id FROM range(2)",
        "'2026-11-21T09:30:00Z' AS at, 'one' AS model, 5 AS input",
        "1795253400 AS at, 'one' AS model, 5 AS input",
    ],
)
def test_what_columns_alone_would_misread_is_left_to_the_reader(tmp_path: Path, columns: str) -> None:
    assert view_parquet([parquet(tmp_path / "usage.parquet", f"SELECT {columns}")], Problems()) is None


COLUMNS = f"""
    SELECT {AT} + to_seconds(i) AS at, ['OpenAI', 'aws_bedrock', ' x-ai ', '', NULL][1 + i % 5] AS provider,
           CASE WHEN i % 3 = 0 THEN 'served' WHEN i % 3 = 1 THEN ' ' END AS model_served, 'asked' AS model_asked,
           CASE WHEN i % 4 = 0 THEN 'batch' END AS service_tier, CASE WHEN i % 2 = 0 THEN 'bedrock' END AS channel,
           i AS input, 1 + i % 3 AS audio_second, i % 5 AS reasoning, i % 7 AS output, i AS id, {AT} AS completed
    FROM range(60) AS rows(i)
"""


def test_columns_and_the_reader_make_the_same_of_every_name_and_unit(tmp_path: Path) -> None:
    path = parquet(tmp_path / "usage.parquet", f"SELECT * REPLACE (CAST(id AS VARCHAR) AS id) FROM ({COLUMNS})")
    seen, read = Problems(), Problems()
    viewed, staged = view_parquet([path], seen), stage(read_usage([path], read))
    assert viewed is not None
    assert seen.total == read.total > 0  # reasoning beyond the output
    assert [p.place for p in seen.kept] == [p.place for p in read.kept]
    sums = "count(*), sum(input), sum(audio_second), sum(output), sum(completed)"
    for table in (viewed, staged):
        assert total(table, "sum(audio_second)") % 1_000_000 == 0
    groups = [
        Counter(
            {(table.subjects[number], *rest): n
             for number, n, *rest in table.connection.execute(
                 f"SELECT subject, {sums} FROM {table.name} GROUP BY subject").fetchall()}
        )
        for table in (viewed, staged)
    ]  # fmt: skip
    by_subject: list[dict[Subject, tuple[int, ...]]] = []
    for group in groups:
        made: dict[Subject, tuple[int, ...]] = {}
        for (subject, *counted), n in group.items():
            made[subject] = tuple(map(sum, zip(made.get(subject, (0,) * 5), (n, *counted), strict=True)))
        by_subject.append(made)
    assert by_subject[0] == by_subject[1]


def test_times_beyond_the_calendar_are_left_out_and_counted(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "usage.parquet",
        f"SELECT unnest([to_timestamp(-9e10), to_timestamp(9e12), {AT}]) AS at, 5 AS input",
    )
    problems, read = Problems(), Problems()
    table = view_parquet([path], problems)
    assert table is not None
    assert (table.rows, problems.total) == (1, 2)
    assert [usage.at for usage in read_usage([path], read)] == [START]
    assert read.total == 2


def test_a_column_of_requests_is_the_records_own_field(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    path.write_text('{"at": "2026-11-21T09:30:00Z", "model": "one", "input": 6, "requests": 3}\n' * 2)
    table = stage(read_usage([path], Problems()))
    assert (table.meters, total(table, "sum(requests)"), total(table, "sum(input)")) == (["input"], 6, 12)


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    path.write_text("at,model,input\n")
    with pytest.raises(FarthingError) as refused:
        view_parquet([path], Problems())
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_mapped_column_that_is_not_there_is_said(tmp_path: Path) -> None:
    from farthing.usage.read import read_usage

    file = tmp_path / "odd.csv"
    file.write_text("ts,prompt_tokens,answer\n2026-11-01T10:00:00Z,5,7\n")
    problems = Problems()
    mapping = {"at": "ts", "input": "promptt_tokens", "output": "answer"}
    [usage] = read_usage([file], problems, mapping=mapping)
    assert dict(usage.quantities) == {"output": 7}
    [problem] = problems.kept
    assert "'promptt_tokens' is in no row" in problem.reason
    assert problem.repair == "the columns are ts, prompt_tokens, answer"
