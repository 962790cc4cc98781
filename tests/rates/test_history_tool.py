"""`tools/build_history.py`: which days it asks for, how it reads the oldest tables, and what it writes."""

import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from farthing.rates.history import read_history
from tests.rates.test_series_read import litellm

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def releases() -> ModuleType:
    sys.path.insert(0, str(TOOLS))
    import history_releases

    return history_releases


@pytest.fixture(scope="module")
def build(releases: ModuleType) -> ModuleType:
    import build_history

    return build_history


def test_half_months(releases: ModuleType) -> None:
    days = list(releases.half_months(date(2023, 11, 15), date(2024, 2, 1)))
    assert [str(day) for day in days] == [
        "2023-11-15", "2023-12-01", "2023-12-15", "2024-01-01", "2024-01-15", "2024-02-01",
    ]  # fmt: skip
    assert not list(releases.half_months(date(2024, 2, 2), date(2024, 2, 14)))


def test_langchains_table(releases: ModuleType) -> None:
    content = b"""
import os
os.abort()
MODEL_COST_PER_1K_TOKENS = {
    "gpt-4": 0.03, "gpt-4-completion": 0.06,
    "text-davinci-003": 0.02,
    "gpt-4o-mini": 0.00015, "gpt-4o-mini-completion": 0.0006, "gpt-4o-mini-cached": 0.000075,
    "babbage-002-finetuned": 0.0016, "gpt-35-turbo-0613-azure-finetuned": 0.0015,
}
"""
    made = releases.of_langchain(content)
    # Dollars per 1,000 tokens: 0.03 / 1,000 = 3e-05 a token, 30 a million.
    assert made == {
        "gpt-4": {"litellm_provider": "openai", "input_cost_per_token": 3e-05, "output_cost_per_token": 6e-05},
        "text-davinci-003": {
            "litellm_provider": "openai", "input_cost_per_token": 2e-05, "output_cost_per_token": 2e-05,
        },
        "gpt-4o-mini": {
            "litellm_provider": "openai", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07,
            "cache_read_input_token_cost": 7.5e-08,
        },
    }  # fmt: skip
    in_a_function = b"def f(m):\n    model_cost_mapping = {'gpt-4': 0.03, 'gpt-4-completion': 0.06}\n"
    assert releases.of_langchain(in_a_function)["gpt-4"]["output_cost_per_token"] == 6e-05
    with pytest.raises(ValueError, match="no table"):
        releases.of_langchain(b"x = {'gpt-4': 1}\n")


def test_tokencosts_first_table(releases: ModuleType) -> None:
    content = b"TOKEN_COSTS = {'gpt-4': {'prompt': 300, 'completion': 600, 'max_prompt': 8192}}\n"
    # Units of a ten-millionth of a dollar: 300 / 10,000,000 = 3e-05 a token.
    assert releases.of_tokencost(content)["gpt-4"]["input_cost_per_token"] == 3e-05
    with pytest.raises(ValueError, match="no table"):
        releases.of_tokencost(b"OTHER = {}\n")


def test_it_writes_what_the_loader_reads(
    releases: ModuleType, build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip taken out, a vendor's day put in, a retired model closed; and `--check` sees that nothing would change."""
    data, work = tmp_path / "data", tmp_path / "work"
    (data / "announced").mkdir(parents=True)
    (data / "announced" / "a.toml").write_text(
        '[source.vendor]\ntitle = "The vendor"\nwhere = "x"\nseen = 2026-11-22\ngrade = "vendor-stated"\n'
        '[[offer]]\nprovider = "openai"\nmodel = "gpt-x"\n[[offer.price]]\nvalid_from = 2024-02-14\nsource = "vendor"\n'
        "rates = { input = 2.5, output = 10 }\n"
    )
    (data / "stale.toml").write_text("")
    place = work / "litellm"
    place.mkdir(parents=True)
    lists = {
        "2024-01-01": {"gpt-x": (5, 15), "old": (1, 1), "slip": (0.5, 2)},
        "2024-02-01": {"gpt-x": (5, 15), "old": (1, 1), "slip": (500, 2000)},
        "2024-03-01": {"gpt-x": (2.5, 10), "slip": (0.5, 2)},
    }
    manifest = []
    for number, (day, models) in enumerate(lists.items()):
        (place / f"{day}.json").write_text(litellm(**models))  # type: ignore[arg-type]
        manifest.append(f'[[snapshot]]\nfile = "{day}.json"\ndate = {day}\nrelease = "litellm 1.{number}"\n')
    (place / "series.toml").write_text("\n".join(manifest))
    monkeypatch.setattr(build, "DATA", data)
    assert build.main([str(work), "--offline", "--check"]) == 1
    assert build.main([str(work), "--offline"]) == 0
    assert sorted(path.name for path in data.glob("*.toml")) == ["openai.toml"]
    text = (data / "openai.toml").read_text()
    assert "@ old chat gone=2024-03-01\n2024-01-01 input=1 output=1 litellm@1.0\n" in text
    assert "@ slip chat\n2024-01-01 input=0.5 output=2 litellm@1.0\n" in text
    assert "2024-01-01 input=5 output=15 litellm@1.0\n2024-02-14 input=2.5 output=10 vendor\n" in text
    assert {offer.model for offer in read_history(text, "x")} == {"gpt-x", "old", "slip"}
    assert build.main([str(work), "--offline", "--check"]) == 0
