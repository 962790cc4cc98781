"""The figures of the seeds: every line with a digit is judged or set aside with a reason; verdicts are golden."""

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from farthing.plans import claims
from farthing.plans.claims import Judgement, Verdict

ROOT = Path(__file__).parents[2]
SEEDS = ROOT / "../shared/seeds"
GOLDEN = ROOT / "tests/golden/claims/verdicts.toml"

HEADING = "a heading or table head: its digits number a section or name a unit or a product"
NAME = "digits only inside names of products or number formats; no figure is claimed"
LIST = "digits only number a list"
DATE = "a date or the place of a source"
PAGE = "the page around the document: other articles, counts of articles, advertising"

SET_ASIDE: dict[str, dict[str, tuple[int, ...]]] = {
    "000": {
        DATE: (3, 4),
        NAME: (10, 19),
        HEADING: (48, 71),
        LIST: (103, 105),
        PAGE: (111, 115, 127, 131),
    },
    "001": {PAGE: (9, 20)},
    "002": {
        PAGE: (2, 8),
        HEADING: (
            4, 10, 13, 15, 17, 32, 41, 43, 45, 57, 84, 88, 99, 113, 120, 125, 131, 146, 148, 155, 187, 196, 204, 215,
            223, 241, 268,
        ),
        LIST: (142, 143, 144, 174, 192, 193, 194),
        NAME: (141, 225, 264),
        DATE: (285,),
    },
    "003": {HEADING: (9, 11, 87), LIST: (25, 26, 27, 28, 29), DATE: (109, 134), NAME: (113, 142)},
    "004": {NAME: (9, 27, 39, 41, 69)},
}  # fmt: skip


@cache
def judged() -> list[Judgement]:
    return claims.packaged()


@cache
def by_id() -> dict[str, Judgement]:
    return {j.id: j for j in judged()}


def seed_files() -> list[Path]:
    files = sorted(SEEDS.glob("*.txt"))
    if not files:
        pytest.skip("../shared/seeds is not here")
    return files


@pytest.mark.parametrize("seed", sorted(SET_ASIDE))
def test_every_line_with_a_digit_is_judged_or_set_aside(seed: str) -> None:
    (path,) = [file for file in seed_files() if file.name.startswith(seed)]
    lines = path.read_text("utf-8").split("\n")
    digits = {number for number, line in enumerate(lines, 1) if re.search(r"\d", line)}
    covered = {line for j in judged() if j.file == path.name for line in j.lines}
    aside = [line for numbers in SET_ASIDE[seed].values() for line in numbers]
    assert max(covered) <= len(lines)
    assert len(aside) == len(set(aside))
    assert set(aside) & covered == set()  # nothing is set aside that is judged
    assert digits - covered - set(aside) == set()
    assert set(aside) - digits == set()


def test_all_five_seeds_have_their_statements() -> None:
    assert {j.file[:3] for j in judged()} == set(SET_ASIDE)
    assert {file.name for file in seed_files()} == {j.file for j in judged()}
    assert len(judged()) >= 350


def test_verdicts_are_those_that_were_reviewed() -> None:
    """A change of data, of a check or of the price book shows here; look at it, then write the new verdict."""
    golden = tomllib.loads(GOLDEN.read_text("utf-8"))
    assert {j.id: str(j.verdict) for j in judged()} == golden


def test_ids_are_unique_and_everything_is_said() -> None:
    assert len(by_id()) == len(judged())
    for j in judged():
        assert j.says and j.finding.computation and "\n" not in j.finding.computation, j.id
        assert (j.grade is None) == (j.verdict is Verdict.CANNOT_TELL), j.id
        if j.verdict is Verdict.OFF:
            assert j.finding.factor is not None and j.finding.factor > 1, j.id


@pytest.mark.parametrize(
    ("id", "verdict", "factor"),
    [
        ("ainews-index:73b", Verdict.OFF, 63.92 / 45),  # (18.5 / 4.2)^(1/3) − 1 = 63.92 %, not 45 %
        ("ainews-index:77b", Verdict.OFF, 108.0 / 73),  # 9^(1/3) − 1 = 108.0 %
        ("ainews-index:59", Verdict.HOLDS, None),  # 75 / 0.80 = 93.75: nearly 100
        ("accel4:30b", Verdict.OFF, 2.50 / 0.60),  # Gemini 2.5 Flash
        ("accel4:71a", Verdict.OFF, 55.04 / 32.77),  # p5 for the price of p4d
        ("accel4:91d", Verdict.HOLDS, None),  # 300 W: the PCIe card
        ("accel4:209c", Verdict.IMPOSSIBLE, 19290.12 / 14025.0),  # 50e9 / 2,592,000 s; 1979e12 / (2 × 70.55e9)
        ("accel4:235", Verdict.IMPOSSIBLE, 23148.15 / 19505.0),  # 60e9 / 2,592,000 s; 8 × 1979e12 / (2 × 405.85e9)
        ("accel4:230a", Verdict.OFF, 1.00 / 0.36),  # 14,400 / 40,000 M
        ("note:13a", Verdict.OFF, 30 / 1.25),  # GPT-5
        ("note:95a", Verdict.IMPOSSIBLE, 13.0e6 / 1.8972e6),  # 46.8e9 / 3600; 72 × 1979e12 / (2 × 37.55e9)
        ("note:96b", Verdict.OFF, 479.52 / 46.7),  # 14,800 × 9 × 3600
        ("note:98b", Verdict.OFF, 1000 / (73.7 / 14.8)),
        ("note:126", Verdict.OFF, 0.90 / 0.30),  # 30 × 10 × 0.003
        ("note:128a", Verdict.OFF, 17 / 10.3),  # 0.30 + 10
    ],
)
def test_the_findings_that_matter(id: str, verdict: Verdict, factor: float | None) -> None:
    j = by_id()[id]
    assert j.verdict is verdict
    if factor is None:
        assert j.finding.factor is None
    else:
        assert j.finding.factor is not None
        assert float(j.finding.factor) == pytest.approx(factor, rel=2e-3)


def test_a_growth_that_is_wrong_says_how_long_it_would_take() -> None:
    assert "4.0 years" in by_id()["ainews-index:73b"].finding.note


def test_form_factors_are_told_apart() -> None:
    finding = by_id()["accel4:91d"].finding
    assert "PCIe 300" in finding.note and "SXM" not in finding.note
    assert "400" in finding.computation
