"""Prices at equal quality: a known fall is found though better and dearer models keep arriving."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from farthing.evidence import Grade, Source
from farthing.index.hedonic import Observation, hedonic, log_odds, of_observations
from farthing.index.kinds import Mix, blended
from farthing.index.line import Line, Quote
from farthing.index.panel import grid
from farthing.problems import FarthingError

DATES = grid(datetime(2023, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC), "quarter")
YEARS = [(d - DATES[0]).days / 365.25 for d in DATES]


def market(random: np.random.Generator, yearly: float, noise: float = 0.3, models: int = 25) -> list[Observation]:
    """Models that stay on sale for three quarters; later ones are more capable, and capability costs: e^0.8 a unit.
    Without it prices would seem to fall by less, as the models sold get better."""
    found = []
    for m in range(models):
        begun = int(random.integers(0, len(DATES)))
        quality = random.normal(0.8 * YEARS[begun], 0.5)
        own = random.normal(0, noise)
        for at in range(begun, min(begun + 4, len(DATES))):
            price = 1.0 - math.log(yearly) * YEARS[at] + 0.8 * quality + own
            found.append(Observation(at=at, family=f"m{m}", offer=f"h/m{m}", log_price=price, capability=quality))
    return found


def test_an_exact_fall_at_equal_quality_is_found_exactly() -> None:
    for adjacent in (False, True):
        made = of_observations(market(np.random.default_rng(1), 4.0, noise=0), DATES, adjacent=adjacent)
        known = [(p, year) for p, year in zip(made.points, YEARS, strict=True) if p.index is not None]
        assert len(known) >= 7
        first, base = known[0]
        for p, year in known:
            assert p.index == pytest.approx(100 * 4.0 ** -(year - base), rel=1e-6)
        assert made.yearly_factor == pytest.approx(4.0, rel=1e-6)
        assert first.index == 100


def test_the_interval_holds_the_known_rate_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    held, raw = [], []
    for _ in range(40):
        found = market(random, 4.0)
        made = of_observations(found, DATES)
        assert made.yearly_factor is not None and made.yearly_low is not None and made.yearly_high is not None
        held.append(made.yearly_low <= 4.0 <= made.yearly_high)
        first = np.mean([o.log_price for o in found if o.at == 1])
        last = np.mean([o.log_price for o in found if o.at == len(DATES) - 1])
        raw.append(math.exp((first - last) / (YEARS[-1] - YEARS[1])))
    assert np.mean(held) >= 0.8  # 90 % less two standard errors of 40 trials
    assert np.median(raw) < 3.2  # the mean price alone falls by less, since what is sold gets better


def test_hosts_of_a_model_are_no_evidence_of_their_own() -> None:
    found = market(np.random.default_rng(3), 4.0)
    alone = of_observations(found, DATES)
    listed = of_observations([o for o in found for _ in range(10)], DATES)
    assert listed.yearly_low == pytest.approx(alone.yearly_low)
    assert listed.yearly_high == pytest.approx(alone.yearly_high)


def test_a_date_with_few_models_has_no_level_and_says_so() -> None:
    found = [o for o in market(np.random.default_rng(1), 4.0) if o.at != 5]
    made = of_observations(found, DATES)
    assert made.points[5].index is None and made.points[6].index is not None
    assert any("fewer than 5 scored models" in note for note in made.notes)


def test_nothing_priced_gives_no_number() -> None:
    made = of_observations([], DATES)
    assert all(p.index is None for p in made.points)
    assert made.yearly_factor is None
    assert "no index" in made.notes[-1]


def test_base_and_dates_are_checked() -> None:
    with pytest.raises(FarthingError, match="two dates"):
        of_observations([], DATES[:1])
    with pytest.raises(FarthingError, match="not one of the series' dates"):
        of_observations([], DATES, base=datetime(2020, 1, 1, tzinfo=UTC))
    made = of_observations(market(np.random.default_rng(1), 4.0, noise=0), DATES, base=DATES[4])
    assert made.points[4].index == 100 and made.base == DATES[4]


def test_capability_is_in_log_odds() -> None:
    assert log_odds(50, "percent") == 0
    assert log_odds(75, "percent") == pytest.approx(math.log(3))
    assert log_odds(100, "percent") == pytest.approx(math.log(99.5 / 0.5))  # held half a point from the end
    assert log_odds(1400, "elo") - log_odds(1000, "elo") == pytest.approx(math.log(10))


def test_lines_are_joined_to_scores_and_what_has_none_is_counted() -> None:
    stated = Source(id="x", title="x", where="x", seen=None, grade=Grade.VENDOR_STATED)
    models = [
        "llama-3.1-405b",
        "gpt-4o-mini",
        "claude-3-opus",
        "gemini-1.5-pro",
        "llama-3.1-70b",
        "mistral-large-2407",
        "none-1b",
    ]

    def sold(model: str, n: int) -> Line:
        price = {"input": 2 + n, "output": 10 + n}
        quote = Quote(start=datetime(2024, 6, 1, tzinfo=UTC), end=None, usd_per_mtok=price, source=stated)  # type: ignore[arg-type]
        return Line(provider="p", model=model, family=model, quotes=(quote,))

    dates = grid(datetime(2024, 8, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC), "quarter")
    made = hedonic([sold(m, n) for n, m in enumerate(models)], blended(Mix.parse("3:1")), dates, "mmlu")
    assert made.count == 6 and "1 lines have no score on it" in made.notes
    assert [p.index for p in made.points] == pytest.approx([100] * len(dates))  # nothing moved
    assert made.yearly_factor == pytest.approx(1)
    assert made.grade == Grade.VENDOR_STATED
