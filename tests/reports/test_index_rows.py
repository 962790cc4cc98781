"""CSV of the index: the union of columns, unknown as an empty cell, whole or not at all."""

import csv
from pathlib import Path

import pytest

from farthing.problems import FarthingError
from farthing.reports.index_rows import csv_text, write_csv


def test_columns_are_the_union_in_order_and_unknown_is_empty_not_zero() -> None:
    text = csv_text([{"a": 1, "b": None}, {"c": "0.60", "a": 0}])
    assert text == "a,b,c\n1,,\n0,,0.60\n"


def test_what_needs_quotes_comes_back_whole() -> None:
    rows = [{"name": 'a, "b"\nc', "list": ["x", 1, None], "of": {"k": 2}, "yes": True}]
    (back,) = list(csv.DictReader(csv_text(rows).splitlines(keepends=True)))
    assert back == {"name": 'a, "b"\nc', "list": "x; 1; ", "of": "k: 2", "yes": "true"}


def test_no_rows_is_an_empty_file() -> None:
    assert csv_text([]) == ""


def test_dash_is_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv([{"a": 1}], Path("-"))
    assert capsys.readouterr().out == "a\n1\n"
    assert not Path("-").exists()


def test_a_place_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be written") as found:
        write_csv([{"a": 1}], tmp_path / "no" / "x.csv")
    assert "\n" not in str(found.value)
