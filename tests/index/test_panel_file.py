"""Panels from anybody's files: tolerant of names, strict with values, and plain about what was dropped."""

import json
from pathlib import Path

import pytest

from farthing.index.matched import of_panel
from farthing.index.panel import Panel
from farthing.index.panel_file import read_panel
from farthing.problems import FarthingError, Problems
from tests.index.made import day
from tests.index.test_formulas import CHAINED, PRICES, QUANTITIES


def read(folder: Path, text: str, by: str | None = None, name: str = "prices.csv") -> tuple[Panel, Problems]:
    path = folder / name
    path.write_text(text, "utf-8")
    problems = Problems()
    return read_panel(path, problems, by), problems


@pytest.mark.parametrize("method", CHAINED)
def test_the_manuals_example_from_a_file(tmp_path: Path, method: str) -> None:
    lines = [f"{2000 + t}-01-01,commodity {n},{PRICES[t][n]},{QUANTITIES[t][n]}" for t in range(5) for n in range(6)]
    made, problems = read(tmp_path, "\n".join(["Date;Item;Price;Quantity".replace(";", ","), *lines]))
    found = of_panel(made, method)
    assert [p.index for p in found.points] == pytest.approx([100 * level for level in CHAINED[method]], abs=0.005)
    assert not problems.total


def test_json_semicolons_months_and_dollars(tmp_path: Path) -> None:
    text = json.dumps(
        [{"date": "2024-01", "model": "a", "price": 10}, {"date": "2024-02", "model": "a", "price": "$5"}]
    )
    made, _ = read(tmp_path, text, name="prices.json")
    assert made.dates == (day("2024-01-01"), day("2024-02-01")) and made.rows[0].prices == (10.0, 5.0)
    other, _ = read(tmp_path, "\ufeffmodel;PRICE;day\na;1,000.5;2024-01-01\n")
    assert other.rows[0].prices == (1000.5,)
    assert not other.weighted


def test_hosts_of_one_model_are_one_item(tmp_path: Path) -> None:
    made, _ = read(tmp_path, "date,provider,model,price\n2024-01-01,x,a,1\n2024-01-01,y,a,2\n2024-01-01,x,b,3\n")
    assert [(row.id, row.item) for row in made.rows] == [("x/a", "a"), ("y/a", "a"), ("x/b", "b")]


def test_order_does_not_matter_and_gaps_stay(tmp_path: Path) -> None:
    made, _ = read(tmp_path, "date,model,price\n2024-03-01,a,3\n2024-01-01,a,1\n2024-02-01,b,2\n")
    assert made.dates == (day("2024-01-01"), day("2024-02-01"), day("2024-03-01"))
    assert [row.prices for row in made.rows] == [(1.0, None, 3.0), (None, 2.0, None)]


def test_changes_hold_until_the_next_row_where_a_grid_is_asked_for(tmp_path: Path) -> None:
    text = "date,model,price\n2024-01-01,a,10\n2024-02-15,a,5\n2024-01-20,b,7\n2024-04-01,b,7\n"
    made, _ = read(tmp_path, text, by="month")
    assert [f"{d:%m-%d}" for d in made.dates] == ["01-01", "02-01", "03-01", "04-01"]
    assert [row.prices for row in made.rows] == [(10.0, 10.0, 5.0, 5.0), (None, 7.0, 7.0, 7.0)]
    assert any("holds until the model's next row" in note for note in made.notes)


def test_bad_rows_are_counted_and_located_and_the_others_kept(tmp_path: Path) -> None:
    text = (
        "date,model,price,quantity\n2024-01-01,a,10,1\nyesterday,a,9,1\n2024-02-01,,9,1\n2024-02-01,a,dear,1\n"
        "2024-02-01,a,-1,1\n2024-02-01,a,9,many\n2024-02-01,a,nan,1\n2024-02-01,a,0,1\n2024-03-01,a,8,1\n"
        "2024-03-01,a,8,1\n2024-03-01,a,7,1\n"
    )
    made, problems = read(tmp_path, text)
    assert [row.prices for row in made.rows] == [(10.0, 8.0)] and made.free == 1
    assert problems.reasons == {
        "not a date": 1, "no model": 1, "not a price": 3, "not a quantity": 1, "second row of a date": 1,
    }  # fmt: skip
    assert str(problems.kept[0]) == f"{tmp_path}/prices.csv:3: 'yesterday' is not a date (write 2024-07-18)"
    assert "left out, as no logarithm has them: 1 row with a price of 0" in made.notes
    assert "left out: 2 rows for an offer's date that was there; the first one counts" in made.notes
    assert any(note.startswith("7 rows in doubt, the first: ") for note in made.notes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no rows"),
        ("date,model,price\n", "no rows"),
        ("date,price\n2024-01-01,1\n", "no column called model; its columns are: date, price"),
        (
            "date,model,price\n2024-01-01,a,0\n",
            "price above 0; rows with a price of 0: 1",
        ),
        ("date,model,price\nsoon,a,1\n", "no row with a date.*'soon' is not a date"),
        ("[1", "not JSON"),
    ],
)
def test_files_without_a_panel(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(FarthingError, match=reason):
        read(tmp_path, text)


@pytest.mark.parametrize("price", ["1,5", "1e300", "1e-300", "1,23,4", "nan", "-1"])
def test_what_is_no_price_is_no_other_price(tmp_path: Path, price: str) -> None:
    """ "1,5" is one and a half somewhere, and was read as fifteen; 1e300 overflowed."""
    _, problems = read(tmp_path, f'date,model,price\n2024-01-01,a,"{price}"\n2024-02-01,a,1\n')
    assert problems.total == 1 and "is not a price" in str(problems.kept[0])


def test_commas_of_thousands(tmp_path: Path) -> None:
    made, problems = read(tmp_path, 'date,model,price\n2024-01-01,a,"$1,200.50"\n2024-02-01,a,"1,000"\n')
    assert made.rows[0].prices == (1200.5, 1000.0) and not problems.total


def test_days_to_come_are_said(tmp_path: Path) -> None:
    made, _ = read(tmp_path, "date,model,price\n2024-01-01,a,2\n2999-01-01,a,1\n")
    assert any("days to come" in note for note in made.notes)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be read: No such file"):
        read_panel(tmp_path / "absent.csv", Problems())
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00date")
    with pytest.raises(FarthingError, match="not UTF-8 text"):
        read_panel(tmp_path / "bytes", Problems())
