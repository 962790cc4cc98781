"""The seeds' break-even scenarios: reproduced from their own inputs, refuted where capacity says so, and corrected."""

from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest

from farthing.evidence import Grade
from farthing.plans.breakeven import ApiPrice
from farthing.plans.findings import HIGH, HOLDS, LOW, NEVER, Finding
from farthing.plans.prices import api_price
from farthing.plans.scenario_run import CaseRun, run
from farthing.plans.scenarios import Scenario, load_scenarios, names
from farthing.problems import FarthingError
from farthing.rates.book import Book

NAMES = ["startup-70b", "enterprise-405b", "local-rtx5090", "decision-matrix"]


@pytest.fixture(scope="module")
def scenarios() -> dict[str, Scenario]:
    book = Book()

    def price(offer: str, at: datetime) -> ApiPrice:
        return api_price(book, offer, at)

    return load_scenarios(price)


def case(scenarios: dict[str, Scenario], name: str, part: str) -> CaseRun:
    (found,) = (one for one in run(scenarios[name]).cases if one.case.name == part)
    return found


def findings(found: CaseRun) -> dict[str, Finding]:
    return {one.stated.what: one for one in found.findings}


def test_every_scenario_runs_and_every_stated_case_is_marked(scenarios: dict[str, Scenario]) -> None:
    assert list(scenarios) == names() == NAMES
    for scenario in scenarios.values():
        assert {one.basis for one in scenario.cases} == {"stated", "corrected"}
        for one in run(scenario).cases:
            assert one.grade == Grade.ASSUMED  # each rests on a seed's rent, price or throughput
            assert one.rows or one.findings or one.decisions


def test_fifty_billion_tokens_do_not_fit_one_gpu(scenarios: dict[str, Scenario]) -> None:
    found = case(scenarios, "startup-70b", "as the document has it, 24/7")
    rows = {int(row.row.volume / 10**6): row for row in found.rows}
    for millions, api in ((10, 3), (100, 30), (1000, 300)):
        assert rows[millions].api_usd == api == rows[millions].row.api_usd
        assert rows[millions].single_usd == Fraction("1792.80")
        assert rows[millions].verdict == "holds"
    # 10B: the document has one GPU for 1,793 win against 3,000; two are needed, 3,585.60, and the API wins.
    assert rows[10_000].gpus == 2 and rows[10_000].winner == "DeepInfra"
    assert rows[10_000].verdict == "needs 2 GPUs, not 1; wrong winner"
    # 50B: seven, not one; hosting wins 1.2 times, not 8 times.
    assert rows[50_000].gpus == 7 and rows[50_000].verdict == "needs 7 GPUs, not 1; winner holds"
    assert float(rows[50_000].api_usd / (rows[50_000].hosted_usd.mid or 1)) == pytest.approx(1.195, abs=0.001)
    stated = findings(found)
    assert stated["break-even at 6-8B tokens a month"].figure.value.mid == 5_976_000_000
    assert stated["self-hosting wins beyond it (also at 10B)"].verdict == LOW


def test_half_the_hours_are_half_the_capacity(scenarios: dict[str, Scenario]) -> None:
    five, three = case(scenarios, "startup-70b", "as the document has it, half the hours").rows
    assert five.single_usd == Fraction("896.40")
    assert not five.fits and five.winner == "DeepInfra"  # 3.888B in 360 hours
    assert three.fits and three.verdict == "holds"


def test_the_corrected_startup_never_beats_the_cheapest_api(scenarios: dict[str, Scenario]) -> None:
    found = case(scenarios, "startup-70b", "corrected")
    stated = findings(found)
    assert stated["break-even at 6-8B tokens, cheapest API"].verdict == NEVER
    assert stated["break-even at 500M tokens, Haiku 3.5"].verdict == LOW
    assert stated["$0.23 per million tokens"].verdict == LOW


def test_the_enterprise_month_and_its_capacity(scenarios: dict[str, Scenario]) -> None:
    stated = findings(case(scenarios, "enterprise-405b", "as the document has it"))
    assert stated["$14,400 a month"].figure.value.mid == 14_400  # 8 × 2.50 × 720
    assert stated["effective $0.24-0.36 per million"].verdict == HOLDS  # 14,400 / 40B to 60B
    assert stated["break-even against GPT-4.1: about 2B tokens"].figure.value.mid == 1_800_000_000  # 14,400 / 8
    assert stated["Llama 3.1 405B on 8 H100: $0.50-1.00 (its own table)"].verdict == HIGH
    corrected = findings(case(scenarios, "enterprise-405b", "corrected: Llama 3.1 405B"))
    assert corrected["40-60B tokens a month from eight H100"].verdict == HIGH
    assert corrected["effective $0.24-0.36 per million"].verdict == LOW


def test_the_local_machine(scenarios: dict[str, Scenario]) -> None:
    found = case(scenarios, "local-rtx5090", "as the document has it")
    stated = findings(found)
    # 3,350 / 36 months + 0.575 kW × 0.12 × 720 = 93.06 + 49.68
    assert float(stated["$142 a month"].figure.value.mid or 0) == pytest.approx(142.74, abs=0.01)
    assert {one.verdict for one in found.findings} == {HOLDS}
    assert [row.verdict for row in found.rows] == ["holds"] * 3
    corrected = case(scenarios, "local-rtx5090", "corrected")
    assert findings(corrected)["break-even at about 250M tokens a month"].verdict == LOW
    assert [one.verdict for one in corrected.decisions] == ["wrong"]  # a personal month costs the API a few dollars


def test_the_decision_matrix(scenarios: dict[str, Scenario]) -> None:
    own = case(scenarios, "decision-matrix", "with the document's inputs")
    assert [one.verdict for one in own.decisions] == ["holds", "holds", "wrong", "wrong", "holds"]
    rental = own.decisions[2]
    assert rental.decision.said.startswith("dedicated GPU rental")
    assert [choice.best for choice in rental.choices] == ["DeepInfra", "owned", "owned", "owned"]
    corrected = case(scenarios, "decision-matrix", "corrected")
    assert [one.verdict for one in corrected.decisions[:2]] == ["holds", "holds"]


OWN = """
[source.me]
title = "t"
where = "w"
seen = 2026-11-01
grade = "assumed"
[[scenario]]
name = "mine"
title = "Mine"
[[scenario.case]]
name = "one"
basis = "stated"
[[scenario.case.api]]
name = "api"
usd = 1
source = "me"
[[scenario.case.host]]
name = "gpu"
kind = "rented"
usd_per_gpu_hour = 2
source = "me"
capacity = { input_tokens_s = 1000, output_tokens_s = 1000, source = "me" }
[[scenario.case.row]]
volume = 1_000_000
winner = "api"
"""


def never(offer: str, at: datetime) -> ApiPrice:
    raise AssertionError(offer)


def test_scenarios_of_your_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(OWN)
    (found,) = run(load_scenarios(never, file)["mine"]).cases
    assert found.rows[0].verdict == "holds"
    assert found.pairs[0].full_usd_per_mtok.mid == Fraction(2 * 10**6, 3_600_000)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "rented"', 'kind = "leased"', "kind is 'leased'"),
        ("usd_per_gpu_hour = 2\n", "", "'usd_per_gpu_hour' is missing"),
        ("usd_per_gpu_hour = 2", 'usd_per_gpu_hour = "2"', "not a number"),
        ("usd_per_gpu_hour = 2", "usd_per_gpu_hours = 2", "'usd_per_gpu_hour' is missing"),
        ("capacity = {", "capacitee = {", "'capacity' is missing"),
        ('winner = "api"', 'winner = "cpu"', "no API or host of this case is called 'cpu'"),
        ("usd = 1\n", "", "no price"),
        ('source = "me"\ncapacity', "capacity", "every number has a source"),
        ("volume = 1_000_000", "volume = 0", "above 0"),
        ('basis = "stated"', 'basis = "stated"\nlode = 1', "unknown key 'lode'"),
        ("[[scenario]]", "[[scenarios]]", "unknown key|scenario"),
        ('name = "gpu"', 'name = "api"', "the same name"),
    ],
)
def test_a_bad_scenario_is_refused_at_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(FarthingError, match=said) as refused:
        load_scenarios(never, file)
    assert str(refused.value).startswith(f"{file}:")
    assert "\n" not in str(refused.value)


def test_a_stated_figure_needs_a_computed_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(OWN + '[[scenario.case.stated]]\nkey = "profit"\nwhat = "x"\nvalue = 1\nsource = "me"\n')
    with pytest.raises(FarthingError, match="nothing is computed under 'profit'; there are: usd_per_hour"):
        run(load_scenarios(never, file)["mine"])
