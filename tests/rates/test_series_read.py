"""A series of price lists: which files, which days, and what is said about the rest."""

import gzip
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farthing.problems import FarthingError
from farthing.rates.feeds import litellm as feed
from farthing.rates.series.entries import day_of
from farthing.rates.series.read import read_series
from farthing.rates.series.snapshot import Key, Subject


def litellm(**models: tuple[float | None, float | None]) -> str:
    """A list in LiteLLM's format; prices are dollars per million tokens, written per token as it does."""
    entries: dict[str, dict[str, Any]] = {}
    for name, prices in models.items():
        entry: dict[str, Any] = {"litellm_provider": "openai", "mode": "chat"}
        for side, usd in zip(("input", "output"), prices, strict=True):
            if usd is not None:
                entry[f"{side}_cost_per_token"] = float(Decimal(str(usd)) / 1_000_000)
        entries[name.replace("__", "-")] = entry
    return json.dumps(entries)


def put(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "-").replace("_slash_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def key(model: str, meter: str = "input") -> Key:
    return Key(Subject("openai", model, "direct", ""), meter, "always")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2024-07-01", date(2024, 7, 1)),
        ("litellm-2024-07-01", date(2024, 7, 1)),
        ("prices_20240701", date(2024, 7, 1)),
        ("2024_07_01", date(2024, 7, 1)),
        ("from 2023-01-01 to 2024-07-01", date(2024, 7, 1)),
        ("2024-02-31", None),
        ("2024-13-01", None),
        ("1.53.1", None),
        ("120240701", None),  # part of a longer number
        ("2024-0701", None),  # two ways to write a date in one
        ("prices", None),
    ],
)
def test_the_day_is_in_the_name(name: str, day: date | None) -> None:
    assert day_of(name) == day


def test_days_come_from_names_and_folders_and_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "2024-03-01").mkdir()
    (tmp_path / "2024-03-01" / "model_prices.json").write_text(litellm(a=(3, 4)))
    (tmp_path / "prices-20240101.json").write_text(litellm(a=(1, 2)))
    series = read_series([tmp_path])
    assert [s.day for s in series.snapshots["litellm"]] == [date(2024, 1, 1), date(2024, 3, 1)]
    assert series.snapshots["litellm"][1].prices[key("a", "output")] == Decimal(4)
    assert not series.problems


def test_a_day_is_never_the_time_of_writing(tmp_path: Path) -> None:
    put(tmp_path, **{"2024-01-01.json": litellm(a=(1, 2)), "prices.json": litellm(a=(2, 3))})
    series = read_series([tmp_path])
    assert len(series.snapshots["litellm"]) == 1
    (problem,) = series.problems
    assert problem.place.endswith("prices.json") and problem.reason == "has no date"
    assert "series.toml" in problem.repair


def test_a_manifest_says_day_source_and_release(tmp_path: Path) -> None:
    put(
        tmp_path,
        **{
            "a.json": litellm(a=(1, 2)),
            "b.json": litellm(a=(2, 2)),
            "series.toml": '[[snapshot]]\nfile = "a.json"\ndate = 2024-01-01\nrelease = "litellm 1.0"\n'
            '[[snapshot]]\nfile = "b.json"\ndate = 2024-02-01\nsource = "another"\n',
        },
    )
    series = read_series([tmp_path])
    assert {name: [s.label for s in listed] for name, listed in series.snapshots.items()} == {
        "another": ["b.json"],
        "litellm": ["litellm 1.0"],
    }
    assert set(read_series([tmp_path / "series.toml"]).snapshots) == {"another", "litellm"}


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ('[[snapshot]]\nfile = "a.json"\n', "'date' is missing"),
        ('[[snapshot]]\nfile = "a.json"\ndate = "2024-01-01"\n', "not a date"),
        ('[[snapshot]]\nfile = "a.json"\ndate = 2024-01-01\nrelaese = "1"\n', "did you mean 'release'?"),
        ("snapshot = 3\n", "not a list of tables"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_line(tmp_path: Path, manifest: str, says: str) -> None:
    put(tmp_path, **{"a.json": litellm(a=(1, 2)), "series.toml": manifest})
    with pytest.raises(FarthingError) as error:
        read_series([tmp_path])
    assert says in str(error.value) and "series.toml:" in str(error.value)


def test_a_file_that_the_manifest_names_and_is_not_there_is_said(tmp_path: Path) -> None:
    manifest = '[[snapshot]]\nfile = "gone.json"\ndate = 2024-01-01\n'
    put(tmp_path, **{"2024-02-01.json": litellm(a=(1, 2)), "series.toml": manifest})
    assert "does not exist" in read_series([tmp_path]).problems[0].reason


def test_the_same_file_again_proves_nothing_of_a_later_day(tmp_path: Path) -> None:
    same = litellm(a=(1, 2))
    put(tmp_path, **{"2024-01-01.json": same, "2024-02-01.json": same, "2024-03-01.json": litellm(a=(2, 2))})
    series = read_series([tmp_path])
    assert [s.day for s in series.snapshots["litellm"]] == [date(2024, 1, 1), date(2024, 3, 1)]
    assert "1 files are byte for byte an earlier one" in series.notes[0]


def test_two_lists_of_one_day_that_differ_are_said(tmp_path: Path) -> None:
    put(tmp_path, **{"a-2024-01-01.json": litellm(a=(1, 2)), "b-2024-01-01.json": litellm(a=(9, 2))})
    series = read_series([tmp_path])
    assert [s.prices[key("a")] for s in series.snapshots["litellm"]] == [Decimal(9)]
    assert "says something else: b-2024-01-01.json, which counts" in series.problems[0].reason


def test_entries_without_a_provider_have_that_of_another_list(tmp_path: Path) -> None:
    bare = json.loads(litellm(a=(0.3, 2), b=(1, 1)))
    for entry in bare.values():
        del entry["litellm_provider"]
    put(tmp_path, **{"2024-01-01.json": json.dumps(bare), "2024-02-01.json": litellm(a=(1, 2))})
    series = read_series([tmp_path])
    first = series.snapshots["litellm"][0]
    assert first.prices[key("a")] == Decimal("0.3") and key("b") not in first.prices
    assert "1 LiteLLM files name no provider" in series.notes[0]
    assert any("b: litellm_provider" in str(problem) for problem in series.problems)


def test_what_is_no_list_is_named_and_the_rest_read(tmp_path: Path) -> None:
    put(
        tmp_path,
        **{
            "2024-01-01.json": litellm(a=(1, 2)),
            "2024-01-02.json": litellm(a=(1, 2))[:-20],
            "2024-01-03.json": '{"name": "package"}',
            "2024-01-04.py": "import os\nos.abort()\n",
            "2024-01-05.json": "\xff",
        },
    )
    series = read_series([tmp_path])
    assert len(series.snapshots["litellm"]) == 1 and series.files == 5
    said = {Path(p.place).name: p.reason for p in series.problems}
    assert "cut off" in said["2024-01-02.json"] and "none of the price lists" in said["2024-01-03.json"]
    assert "not the data of a genai-prices release" in said["2024-01-04.py"]
    assert not any(str(tmp_path) in reason for reason in said.values())  # the place says it once


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "holds no price lists"),
        ({"2024-01-01.json": "{}"}, "none of 1 file is a dated price list"),
        ({"prices.json": litellm(a=(1, 2))}, "has no date"),
    ],
)
def test_a_series_of_nothing_is_refused(tmp_path: Path, files: dict[str, str], says: str) -> None:
    put(tmp_path, **files)
    with pytest.raises(FarthingError, match=says):
        read_series([tmp_path])


def test_no_path_and_no_such_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="needs files"):
        read_series([])
    with pytest.raises(FarthingError, match="No such file"):
        read_series([tmp_path / "2024-01-01.json"])


RELEASE = """
import datetime
from decimal import Decimal
from .types import *

providers: list[Provider] = [
    Provider(
        id='openai', name='OpenAI', api_pattern='api', extractors=[UsageExtractor(root='usage', mappings=[])],
        models=[
            ModelInfo(
                id='gpt-9', match=ClauseOr(or_=[ClauseEquals(equals='gpt-9'), ClauseStartsWith(starts_with='gpt-9-')]),
                prices=[
                    ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('4'), output_mtok=Decimal('8'))),
                    ConditionalPrice(
                        constraint=StartDateConstraint(start_date=datetime.date(2026, 1, 10)),
                        prices=ModelPrice(input_mtok=Decimal('2'), output_mtok=Decimal('8')),
                    ),
                    ConditionalPrice(
                        constraint=StartDateConstraint(start_date=datetime.date(2026, 9, 1)),
                        prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('8')),
                    ),
                ],
            ),
            ModelInfo(id='odd', match=ClauseEquals(equals='odd'), prices=ModelPrice(input_mtok=open('/etc/passwd'))),
        ],
    ),
]
"""


def test_a_genai_prices_release_is_parsed_and_never_run(tmp_path: Path) -> None:
    put(tmp_path, **{"2025-12-15.py": RELEASE, "2026-02-01.py": RELEASE + "\n# another\n"})
    series = read_series([tmp_path])
    before, after = series.snapshots["genai-prices"]
    # In force at the end of the list's own day: 4 before 10 January, 2 after it, and not yet the 1 of September.
    assert [s.prices[key("gpt-9")] for s in (before, after)] == [Decimal(4), Decimal(2)]
    assert after.starts[key("gpt-9")] == date(2026, 1, 10)
    assert after.patterns[0].model == "gpt-9"
    assert any("open(…) is not known" in p.reason for p in series.problems)


def test_a_release_without_a_list_of_providers_is_named(tmp_path: Path) -> None:
    broken = RELEASE.replace("providers: list[Provider] =", "others =")
    put(tmp_path, **{"2025-12-15.py": broken, "2026-01-01.py": "x = ModelInfo(Provider(", "2026-02-01.py": RELEASE})
    reasons = [p.reason for p in read_series([tmp_path]).problems]
    assert any("holds a list called providers" in r for r in reasons)
    assert any("not a genai-prices data.py" in r for r in reasons)


def test_the_json_of_genai_prices_is_read_too(tmp_path: Path) -> None:
    listed = [
        {
            "id": "openai",
            "name": "OpenAI",
            "api_pattern": "x",
            "models": [{"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 0.3, "output_mtok": 1}}],
        }
    ]
    put(tmp_path, **{"2026-02-01.json": json.dumps(listed), "2026-03-01.json": json.dumps([{"models": [3]}])})
    series = read_series([tmp_path])
    assert series.snapshots["genai-prices"][0].prices[key("m")] == Decimal("0.3")
    assert "not genai-prices data" in series.problems[0].reason


def test_openrouter_and_models_dev_are_read_as_series(tmp_path: Path) -> None:
    def router(prompt: str) -> str:
        return json.dumps({"data": [{"id": "a/m", "pricing": {"prompt": prompt, "completion": "0.00001"}}]})

    def dev(usd: float) -> str:
        return json.dumps({"p": {"id": "p", "models": {"m": {"id": "m", "cost": {"input": usd, "output": 4}}}}})

    put(
        tmp_path,
        **{
            "2026-01-01/openrouter.json": router("0.000003"),
            "2026-02-01/openrouter.json": router("0.000002"),
            "2026-01-01/models.dev.json": dev(3),
            "2026-02-01/models.dev.json": dev(2),
        },
    )
    series = read_series([tmp_path])
    read = {
        name: [sorted(value for k, value in s.prices.items() if k.meter == "input") for s in listed]
        for name, listed in series.snapshots.items()
    }
    # $0.000003 a token is $3 a million; models.dev writes dollars per million.
    assert read == {"openrouter": [[Decimal(3)], [Decimal(2)]], "models.dev": [[Decimal(3)], [Decimal(2)]]}


def test_packed_lists_are_read(tmp_path: Path) -> None:
    for day, usd in (("2024-01-01", 4), ("2024-02-01", 2)):
        (tmp_path / f"{day}.json.gz").write_bytes(gzip.compress(litellm(a=(usd, 9)).encode()))
    whole = (tmp_path / "2024-02-01.json.gz").read_bytes()
    (tmp_path / "2024-03-01.json.gz").write_bytes(whole[:-20])
    found = read_series([tmp_path])
    (listed,) = found.snapshots.values()
    assert [one.prices[key("a")] for one in listed] == [4, 2]
    assert [p.reason.split(":")[0] for p in found.problems] == ["is not a whole gzip file"]


def test_a_day_that_has_not_come_is_no_days_list(tmp_path: Path) -> None:
    put(tmp_path, **{"2024-01-01.json": litellm(a=(4, 9)), "2099-01-01.json": litellm(a=(2, 9))})
    found = read_series([tmp_path], until=date(2026, 11, 22))
    assert [one.day for listed in found.snapshots.values() for one in listed] == [date(2024, 1, 1)]
    assert [p.reason for p in found.problems] == ["is of 2099-01-01, a day that has not come"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    put(tmp_path, **{"2024-01-01.json": litellm(a=(4, 9))})
    (tmp_path / "2024-02-01.json").symlink_to(tmp_path / "gone.json")
    (problem,) = read_series([tmp_path]).problems
    assert "cannot be read" in problem.reason


def test_entries_that_stay_are_read_once_and_said_of_each_list(tmp_path: Path) -> None:
    """What an entry of an earlier list made is used again only where it is word for word the same."""
    first = {"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "input_cost_per_smell": 1}}
    second = {"m": {**first["m"], "input_cost_per_token": 2e-06}, "n": first["m"]}
    kept: feed.Kept = {}
    for listed in (first, second, second, first):
        content = json.dumps(listed).encode()
        again, alone = feed.read(content, "here", kept), feed.read(content, "here")
        assert [(o.model, o.prices[0].rates) for o in again.offers] == [
            (o.model, o.prices[0].rates) for o in alone.offers
        ]
        assert (again.not_expressed, again.read, again.priceless) == (alone.not_expressed, alone.read, alone.priceless)
    other = feed.read(json.dumps(first).encode(), "there", kept)
    assert [p.place for p in other.not_expressed] == ["there: m"]
