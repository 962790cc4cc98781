"""`farthing prices import --series`: by table, JSON and files, and what it says to mistakes."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli import run
from tests.rates.test_series_read import litellm


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    folder.mkdir()
    for day, models in {
        "2024-01-01": {"gpt-4o": (5, 15), "gone": (1, 1), "slip": (0.5, 2)},
        "2024-02-01": {"gpt-4o": (5, 15), "slip": (0.5, 2)},
        "2024-03-01": {"gpt-4o": (2.5, 10), "slip": (500, 2000), "new": (1, 1)},
    }.items():
        (folder / f"{day}.json").write_text(litellm(**models))  # type: ignore[arg-type]
    (folder / "undated.json").write_text(litellm(a=(1, 1)))
    return folder


def test_json_holds_everything(lists: Path) -> None:
    view = run("prices", "import", "--series", str(lists), "--json").json
    assert {"snapshots", "events", "counts", "problems"} <= view.keys()
    assert [s["date"] for s in view["snapshots"]] == ["2024-01-01", "2024-02-01", "2024-03-01"]
    assert view["counts"]["by_verdict"] == {"change": 2, "correction": 2, "unclear": 0, "first-seen": 1, "withdrawn": 1}
    assert view["counts"]["corrections_of_decided_token_prices"] == 0.5
    assert "undated.json: has no date" in view["problems"][0]
    (event,) = [e for e in view["events"] if (e["model"], e["meter"]) == ("gpt-4o", "input")]
    assert (event["from"], event["to"], event["unit"], event["condition"]) == ("5", "2.5", "1M tokens", "always")
    assert (event["after"], event["by"], event["recorded"]) == ("2024-02-01", "2024-03-01", "2024-03-01")
    assert event["verdict"] == "change" and event["reason"]
    assert event["sources"] == [
        {
            "source": "litellm",
            "after": "2024-02-01",
            "by": "2024-03-01",
            "from_label": "2024-02-01.json",
            "to_label": "2024-03-01.json",
        }
    ]
    (first,) = [e for e in view["events"] if e["verdict"] == "first-seen"]
    assert first["model"] == "new" and first["meter"] is None and first["prices"] == {"input": "1", "output": "1"}


def test_the_table_says_counts_first_and_fits(lists: Path) -> None:
    text = run("prices", "import", "--series", str(lists)).out
    assert text.startswith("3 price lists of 4 files, 4 offers; 1 file adds nothing")
    assert text.index("correction") < text.index("The newest")
    assert "input 5 → 2.5" in text and "a unit slip" in text and "gone" not in text.split("The newest")[1]
    assert max(map(len, text.splitlines())) <= 100


def test_filters(lists: Path) -> None:
    def events(*options: str) -> list[tuple[str, str]]:
        view = run("prices", "import", "--series", str(lists), "--json", *options).json
        return sorted({(e["model"], e["verdict"]) for e in view["events"]})

    assert events("--model", "GPT-4*") == [("gpt-4o", "change")]
    assert events("--verdict", "withdrawn") == [("gone", "withdrawn")]
    assert events("--since", "2024-02-15", "--verdict", "correction") == [("slip", "correction")]
    assert events("--provider", "openai", "--since", "2025-01-01") == []


def test_files_may_be_named_one_by_one_in_any_order(lists: Path) -> None:
    names = [str(lists / f"2024-0{month}-01.json") for month in (3, 1, 2)]
    one = run("prices", "import", "--series", *names, "--json").json
    other = run("prices", "import", *sorted(names), "--series", "--json").json
    assert one["events"] == other["events"]


def test_one_list_alone_concludes_nothing(lists: Path) -> None:
    text = run("prices", "import", "--series", str(lists / "2024-01-01.json")).out
    assert "No event. A change is between two lists of one source, and there is one list of each." in text


def test_gaps_and_copies_are_said(tmp_path: Path) -> None:
    for position, day in enumerate(("2024-01-01", "2024-01-15", "2024-02-01", "2024-08-01", "2024-08-15")):
        (tmp_path / f"{day}.json").write_text(litellm(a=(1 + min(position, 3), 1)))
    text = " ".join(run("prices", "import", "--series", str(tmp_path)).out.split())
    assert "no list between 2024-02-01 and 2024-08-01 (182 days)" in text
    assert "1 files are byte for byte an earlier one" in text


def test_out_writes_json_and_csv(lists: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    text = run("prices", "import", "--series", str(lists), "--out", str(out)).out
    assert "Written:" in text
    view = json.loads((out / "events.json").read_text())
    rows = list(csv.DictReader((out / "events.csv").read_text().splitlines()))
    assert len(rows) == len(view["events"]) == 6
    assert {row["verdict"] for row in rows} == {"change", "correction", "first-seen", "withdrawn"}
    assert rows[0]["sources"] == "litellm"


def test_a_card_of_ones_own_decides(lists: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text(
        '[source.s]\ntitle = "The bill"\nwhere = "a drawer"\nseen = 2026-11-01\ngrade = "measured"\n'
        '[[offer]]\nprovider = "openai"\nmodel = "gpt-4o"\n[[offer.price]]\nvalid_from = 2024-02-14\nsource = "s"\n'
        "rates = { input = 2.5, output = 10 }\n"
    )
    found = run("prices", "import", "--series", str(lists), "--model", "gpt-4o", "--card", str(card), "--json").json
    events = found["events"]
    assert {(e["since"], e["since_source"], e["reason"]) for e in events} == {
        ("2024-02-14", "The bill", "stated by The bill")
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--verdict", "maybe"], "unknown verdict 'maybe'; one of change, correction"),
        (["--provider", "opnai"], "no list of this series names a provider 'opnai'; near it: openai"),
        (["--since", "yesterday"], "not an ISO 8601 instant"),
        (["--out", "card.toml"], "a file ending in .json or .csv, or a folder"),
        (["--at", "2024-01-01"], "the days of a series are in its names"),
        (["--feed", "litelm"], "unknown format 'litelm'"),
    ],
)
def test_mistakes_are_one_line(lists: Path, options: list[str], says: str) -> None:
    found = run("prices", "import", "--series", str(lists), *options)
    assert says in found.refusal


def test_options_of_a_series_need_it(lists: Path) -> None:
    found = run("prices", "import", str(lists / "2024-01-01.json"), "--model", "x")
    assert "are for --series" in found.refusal


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    found = run("prices", "import", "--series", str(tmp_path))
    assert "holds no price lists" in found.refusal
