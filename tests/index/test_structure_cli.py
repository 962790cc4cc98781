"""`farthing index spread | compare | gpu` as commands: what they print, as JSON, and how they refuse."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from farthing.cli import index_structure
from farthing.problems import FarthingError

app = typer.Typer()
for verb in (index_structure.spread, index_structure.compare, index_structure.gpu):
    app.command()(verb)
run = CliRunner()


def said(*words: str) -> str:
    result = run.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str) -> str:
    result = run.invoke(app, list(words))
    assert isinstance(result.exception, FarthingError), result.output
    assert len(str(result.exception).splitlines()) == 1
    return str(result.exception)


def test_spread_of_one_model() -> None:
    view = json.loads(said("spread", "llama-3.3-70b", "--json", "--at", "2026-11-22"))
    assert view["count"] > 5 and view["ratio"] > 1
    assert {"model", "at", "mix", "hosts", "cheapest", "dearest", "median", "notes", "grade"} <= view.keys()
    text = said("spread", "llama-3.3-70b")
    assert "the dearest asks" in " ".join(text.split()) and "Note:" in text
    assert all(len(row) <= 100 for row in text.splitlines())


@pytest.mark.slow
def test_spread_of_the_most_widely_sold(tmp_path: Path) -> None:
    out = tmp_path / "models.csv"
    text = said("spread", "--limit", "3", "--csv", str(out))
    assert "Open models that most hosts sell" in text and "more models are sold by three or more" in text
    assert len(out.read_text().splitlines()) == 4
    assert all(len(row) <= 100 for row in text.splitlines())


def test_compare_prints_providers_bands_and_clouds() -> None:
    text = said("compare")
    for words in ("Makers:", "Cloud platforms and routers:", "Hosts of others' models:", "Price bands"):
        assert words in text
    assert all(len(row) <= 100 for row in text.splitlines())
    view = json.loads(said("compare", "mistral", "--json", "--natural", "3"))
    assert {"at", "mix", "providers", "bands", "tiers", "ratios", "markups", "notes"} <= view.keys()
    assert {row["provider"] for row in view["providers"]} == {"mistral"}  # perhaps with a row of what it resells


@pytest.mark.slow
def test_gpu_prints_averages_offers_and_tokens() -> None:
    text = said("gpu")
    assert "An hour of h100-sxm (on-demand, market average): $3.79 in 2026-09, +12 %" in " ".join(text.split())
    assert all(len(row) <= 100 for row in text.splitlines())
    view = json.loads(said("gpu", "--device", "h100", "--json"))
    assert {"devices", "index", "tokens", "notes"} <= view.keys()
    assert {point["date"] for point in view["devices"][0]["points"]} >= {"2023-09-01", "2026-09-01"}
    assert view["devices"][0]["offers"][0].keys() >= {"date", "usd_per_hour", "low", "high", "count", "grade"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("spread", "no-such-model-at-all"), "no offer of a model called"),
        (("spread", "llama-3.3-70b", "--mix", "three"), "mix 'three' is not INPUT:OUTPUT"),
        (("spread", "llama-3.3-70b", "--at", "tomorrow"), "'tomorrow' is not an ISO 8601 instant"),
        (("compare", "antropic"), "near it: anthropic"),
        (("compare", "--benchmark", "vibes"), "no scores on a benchmark called 'vibes'"),
        (("gpu", "--device", "h900"), "unknown device 'h900'"),
        (("gpu", "--term", "weekly"), "unknown term 'weekly'"),
        (("gpu", "--since", "2031-01-01"), "no market average of on-demand rents is known since 2031-01-01"),
    ],
)
def test_mistakes_are_refused_in_one_line(words: tuple[str, ...], why: str) -> None:
    assert why in refused(*words)
