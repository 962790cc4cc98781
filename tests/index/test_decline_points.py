"""Anybody's file of prices: names in any spelling, bad rows located, nothing lost in silence."""

import csv
from datetime import date
from pathlib import Path

import pytest

from farthing.index.points import Series, read_points
from farthing.index.scores import title_of
from farthing.problems import FarthingError, Problems


def read(tmp_path: Path, text: str, name: str = "p.csv") -> tuple[Series, Problems]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    problems = Problems()
    return read_points(path, problems, lambda one: title_of(one) is not None), problems


def test_columns_are_found_in_any_spelling_and_order(tmp_path: Path) -> None:
    series, problems = read(
        tmp_path, "Model Name,USD per 1M Tokens,benchmark_score,Release Date\nA,$1.50,44%,2024-05-01\n"
    )
    (one,) = series.points[None]
    assert (one.model, one.price, one.score, one.date) == ("A", 1.5, 44, date(2024, 5, 1))
    assert problems.total == 0


def test_a_wide_file_has_a_series_for_each_benchmark_it_names(tmp_path: Path) -> None:
    text = "model,date,price,MMLU,GPQA,speed\nA,2024-05-01,2,70,,99\nB,2024-06-01,1,71,40,98\n"
    series, _ = read(tmp_path, text)
    assert {name: [p.model for p in points] for name, points in series.points.items()} == {
        "MMLU": ["A", "B"],
        "GPQA": ["B"],
    }


def test_a_long_file_may_name_its_benchmarks(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "bench;date;price;score\nMMLU;2024-05-01;2;70\nmine;2024-06-01;1;3\n")
    assert set(series.points) == {"MMLU", "mine"}


def test_input_and_output_prices_are_blended_three_to_one(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "date,model,input,output\n2024-05-01,A,1,5\n")
    assert series.points[None][0].price == 2  # (3 x 1 + 5) / 4


@pytest.mark.parametrize(
    "day", ["2024-05-01", "2024/05/01", "1 May 2024", "May 1, 2024", "2024-05-01T09:00:00Z", "2024-05"]
)
def test_dates_that_cannot_be_misread(tmp_path: Path, day: str) -> None:
    series, _ = read(tmp_path, f'date,price\n"{day}",1\n')
    assert series.points[None][0].date == date(2024, 5, 1)
    assert bool(series.notes) == (day == "2024-05")


def test_bad_rows_are_located_and_the_good_ones_kept(tmp_path: Path) -> None:
    bad = ("05/01/2024,1,50", "2024-05-02,cheap,50", "2024-05-03,-1,50", "2024-05-04,1,best", ",,")
    text = "\n".join(("date,price,score", "2024-05-01,1,50", *bad, ""))
    series, problems = read(tmp_path, text)
    assert len(series.points[None]) == 1  # a score that cannot be read may be below any threshold: its row is out, too
    assert [str(p).split(": ")[0].rsplit(":", 1)[1] for p in problems.kept] == ["3", "4", "5", "6", "7", "7"]


@pytest.mark.parametrize(
    ("text", "price"),
    [("1,500", 1500), ("$1,234,567.5", 1234567.5), ("60 USD", 60), ("1e-3", 0.001), (".5", 0.5)],
)
def test_prices_that_cannot_be_misread(tmp_path: Path, text: str, price: float) -> None:
    series, _ = read(tmp_path, f'date,price\n2024-05-01,"{text}"\n')
    assert series.points[None][0].price == price


@pytest.mark.parametrize("text", ["1,50", "0,9", "1,23,456", ".", "-1", "nan", "inf", "1e999", "1e300", "1e-320"])
def test_a_price_that_may_be_another_is_no_price(tmp_path: Path, text: str) -> None:
    """A decimal comma is not a hundredfold price: 1,50 was once read as 150."""
    series, problems = read(tmp_path, f'date,price\n2024-05-01,1\n2024-05-02,"{text}"\n')
    assert [point.price for point in series.points[None]] == [1]
    assert problems.total == 1


def test_where_semicolons_part_cells_a_comma_may_part_decimals(tmp_path: Path) -> None:
    series, problems = read(tmp_path, "date;price\n2024-05-01;1.5\n2024-05-02;1,500\n")
    assert [point.price for point in series.points[None]] == [1.5]
    assert "'1,500' is not a number" in str(problems.kept[0])


def test_days_ahead_and_times_with_something_after_them(tmp_path: Path) -> None:
    text = "date,price\n2024-05-01T10:00:00+02:00,1\n2024-06-01 10:00,2\n20240701,3\n2024-08-01Zx,4\n2999-01-01,5\n"
    series, problems = read(tmp_path, text)
    assert [point.price for point in series.points[None]] == [1, 2, 3, 5]
    assert problems.total == 1
    assert "1 rows are dated after today" in series.notes[0]


def test_free_prices_and_repeated_rows_are_counted(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "date,price,model\n2024-05-01,1,a\n2024-05-01,1,a\n2024-05-01,0,b\n")
    assert (series.free, series.repeated, len(series.points[None])) == (1, 1, 1)
    assert len(series.notes) == 2


def test_json_and_json_lines_read_as_well(tmp_path: Path) -> None:
    row = '{"date": "2024-05-01", "price": 1.5, "model": "a", "score": 50}'
    for text in (f"[{row}]", f'{{"points": [{row}]}}', f"{row}\n{row}\n"):
        series, _ = read(tmp_path, text, "p.json")
        assert series.points[None][0].price == 1.5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no rows"),
        ("date,price\n", "no rows"),
        ("day of days,cost of it\n2024-01-01,3\n", "no column of dates"),
        ("date,model\n2024-01-01,a\n", "no column of prices"),
        ("date,price\nx,y\n", "no row with"),
        ("date,price\n2024-01-01,0\n", "no row with"),
        ("{", "not JSON"),
        ('{"a": 1}', "not a list of points"),
        ("[1, 2]", "not a list of points"),
        ("[" * 100_000, "nested too deeply"),
        ("date,price,price\n2024-01-01,1,2\n", "two columns are called 'price'"),
        ("date,price,model\n2024-01-01,1," + "a" * 200_000 + "\n", "not CSV: field larger"),
    ],
)
def test_a_file_that_says_nothing_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    csv.field_size_limit(131_072)  # a reader of logs raises it for the whole process
    with pytest.raises(FarthingError, match=reason) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be read"):
        read_points(tmp_path / "none.csv", Problems(), lambda _: False)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00date")
    with pytest.raises(FarthingError, match="not UTF-8"):
        read_points(tmp_path / "b.csv", Problems(), lambda _: False)
