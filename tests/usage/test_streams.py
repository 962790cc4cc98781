"""Streams: compression by magic number, faults that keep what is good, lines and CSV records with places."""

import gzip
import io
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from farthing.problems import FarthingError, Problems
from farthing.usage import streams
from farthing.usage.readers import rows as rows_module
from farthing.usage.readers.rows import csv_rows, json_rows, rows
from farthing.usage.streams import decode_json, numbered_lines, open_source

LINES = b"".join(b'{"n": %d}\n' % n for n in range(20_000))


def lines_of(path: Path) -> tuple[list[bytes], Problems]:
    problems = Problems()
    with open_source(path, problems) as opened:
        return [line for _, line in numbered_lines(opened.stream, opened.place, problems)], problems


@pytest.mark.parametrize(
    "pack",
    [
        lambda data: data,
        gzip.compress,
        lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]),  # members after each other
        lambda data: gzip.compress(data) + b"\0" * 600_000,  # padded
        zstandard.ZstdCompressor().compress,
        lambda data: zstandard.compress(data[:5000]) + zstandard.compress(data[5000:]),
    ],
)
def test_plain_gzip_and_zstd_read_the_same_whatever_the_name(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "usage.jsonl"
    path.write_bytes(pack(LINES))  # type: ignore[operator]
    lines, problems = lines_of(path)
    assert b"".join(lines) == LINES
    assert problems.total == 0


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, 1), zstandard.ZstdCompressor().compress])
def test_a_truncated_stream_gives_its_good_part_and_one_problem(tmp_path: Path, pack: object) -> None:
    rough = b"".join(b'{"n": %d}\n' % (n * 7919 % 104729) for n in range(200_000))
    packed = pack(rough)  # type: ignore[operator]
    path = tmp_path / "cut.gz"
    path.write_bytes(packed[: len(packed) // 2])
    lines, problems = lines_of(path)
    assert 0.2 < len(lines) / 200_000 < 0.8
    assert rough.startswith(b"".join(lines))
    assert problems.total == 1
    assert "truncated" in problems.kept[0].reason
    assert problems.kept[0].place == str(path)


def test_a_row_that_truncation_cuts_short_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    rough = b"a,b\n" + b"".join(b"%d,%d\n" % (n * 7919 % 104729, n) for n in range(50_000))
    packed = gzip.compress(rough, 1)
    whole = set(rough.splitlines(keepends=True))
    for end in range(len(packed) // 2, len(packed) // 2 + 40):
        path = tmp_path / "cut.gz"
        path.write_bytes(packed[:end])
        lines, problems = lines_of(path)
        assert set(lines) <= whole
        assert problems.total == 1


def test_damage_in_the_middle_is_one_problem(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 0xFF  # the checksum at the end
    path = tmp_path / "bad.gz"
    path.write_bytes(bytes(packed))
    lines, problems = lines_of(path)
    assert len(lines) == 0 or lines[0] == b'{"n": 0}\n'
    assert [p.reason[:24] for p in problems.kept] == ["the gzip data is damaged"]


def test_a_file_that_cannot_be_opened_is_one_readable_line(tmp_path: Path) -> None:
    with (
        pytest.raises(FarthingError, match=r"none\.csv: cannot be opened: No such file"),
        open_source(tmp_path / "none.csv", Problems()),
    ):
        pass


def test_a_disk_that_fails_midway_is_a_problem_after_the_good_part() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(4)

    problems = Problems()
    assert b"".join(streams._chunks(Failing(b"a\nb\nrest"), "f", problems)) == b"a\nb\n"
    assert [str(problem) for problem in problems.kept] == ["f: reading failed: Input/output error (read it again)"]


def test_a_line_over_the_limit_is_a_problem_and_its_neighbours_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 16)
    problems = Problems()
    data = io.BytesIO(b"short\n" + b"x" * 100 + b"\n\nlast\n")
    assert list(numbered_lines(data, "f", problems)) == [(1, b"short\n"), (4, b"last\n")]
    assert [p.place for p in problems.kept] == ["f:2"]


def test_fractions_keep_their_digits() -> None:
    assert decode_json(b'{"cost": 0.1000000000000000055511151231257827}')["cost"] == Decimal(
        "0.1000000000000000055511151231257827"
    )


def test_json_rows_of_an_array_and_of_documents_one_after_the_other() -> None:
    problems = Problems()
    array = io.BytesIO(b'[\n {"a": 1},\n {"a": 2},\n 3\n]')
    assert [row for _, row in json_rows(array, "f", problems)] == [{"a": 1}, {"a": 2}]
    assert [str(p) for p in problems.kept] == ["f item 3: not a JSON object (mend or remove the item)"]
    two = io.BytesIO(b'{\n "a": 1\n}\n{\n "a": 2\n}\n')
    assert [row for _, row in json_rows(two, "f", Problems())] == [{"a": 1}, {"a": 2}]


def test_a_broken_array_gives_its_items_up_to_the_fault_and_the_line_of_it() -> None:
    problems = Problems()
    data = io.BytesIO(b'{\n"object": "page", "data": [\n {"a": 1},\n {"a": 2},\n {"a": 3, oops')
    assert [row for _, row in json_rows(data, "f", problems)] == [{"a": 1}, {"a": 2}]
    assert problems.total == 1
    assert problems.kept[0].place == "f:5"


def test_a_document_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "LARGEST_DOCUMENT", 10)
    with pytest.raises(FarthingError, match="one object a line"):
        list(json_rows(io.BytesIO(b'[{"a": 1}, {"a": 2}]'), "f", Problems()))


def test_rows_are_told_apart_even_where_the_first_line_is_broken() -> None:
    found = [row for _, row in rows(io.BytesIO(b'broken\n{"a": 1}\n'), "f", Problems())]
    assert found == [{"a": 1}]
    assert [row for _, row in rows(io.BytesIO(b"a,b\n1,2\n"), "f", Problems())] == [{"a": "1", "b": "2"}]


def test_csv_records_may_hold_line_breaks_separators_and_quotes() -> None:
    problems = Problems()
    data = io.BytesIO('\ufeffname;text\r\nx;"one\r\ntwo;""three"""\r\ny;z\r\n'.encode())
    assert list(csv_rows(data, "f", problems)) == [
        ("f:2", {"name": "x", "text": 'one\r\ntwo;"three"'}),
        ("f:4", {"name": "y", "text": "z"}),
    ]
    assert problems.total == 0


def test_a_stray_quote_costs_its_own_line_only() -> None:
    problems = Problems()
    data = io.BytesIO(b'a,b\n1,2\n"3,4\n5,6\n7,"8"\n9,10\n')
    assert [row["a"] for _, row in csv_rows(data, "f", problems)] == ["1", "5", "7", "9"]
    assert [p.place for p in problems.kept] == ["f:3"]


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=12), st.integers(1, 64))
def test_lines_are_the_same_however_the_bytes_are_chunked(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    chunks = iter([data[start : start + size] for start in range(0, len(data), size)])
    stream = io.BufferedReader(streams._Chunks(chunks), 32)
    found = [line for _, line in numbered_lines(stream, "f", Problems())]  # type: ignore[arg-type]
    expected = [line for _, line in numbered_lines(io.BytesIO(data), "f", Problems())]
    assert found == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_wide_text_is_told_by_its_mark(tmp_path: Path, encoding: str, packed: bool) -> None:
    """Some shells write UTF-16 where a command's output is redirected to a file."""
    text = '{"n": "m\u00fcde"}\n' * 200_000  # longer than a chunk, so that a chunk can end within a character
    path = tmp_path / "wide.jsonl"
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    lines, problems = lines_of(path)
    assert b"".join(lines).decode() == text
    assert problems.total == 0


def test_wide_text_that_breaks_off_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "wide.jsonl"
    path.write_bytes('{"n": 1}\n{"n": 2}\n'.encode("utf-16")[:-1])
    lines, problems = lines_of(path)
    assert lines[0] == b'{"n": 1}\n'
    assert problems.reasons == {"damaged text": 1}


@pytest.mark.parametrize(
    ("header", "why"), [(b"a,b\r1,2\r", "bare carriage return"), (b'a,"b\n1,2\n', "a quote is not closed")]
)
def test_a_header_that_is_none_is_one_readable_line(header: bytes, why: str) -> None:
    with pytest.raises(FarthingError, match=f"f: the header of the CSV cannot be read: .*{why}"):
        list(csv_rows(io.BytesIO(header), "f", Problems()))


def test_columns_of_one_name_that_differ_cost_their_row() -> None:
    problems = Problems()
    found = list(csv_rows(io.BytesIO(b"a,b,a,,\n1,2,1,x,y\n1,2,7,x,y\n3,4,3,x,y\n"), "f", problems))
    assert [(place, row["a"]) for place, row in found] == [("f:2", "1"), ("f:4", "3")]
    assert [(p.place, p.reason) for p in problems.kept] == [("f:3", "two columns are called 'a' and differ")]
