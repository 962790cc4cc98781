"""Electricity by region."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.serving import grid


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("deu", "deu"),
        ("Germany", "deu"),
        ("eu-central-1", "deu"),
        ("us-east-1", "us-va"),
        ("Virginia", "us-va"),
        ("us-central1", "us-ia"),
        ("us-west-2", "us-or"),  # AWS: Oregon
        ("us-west2", "us-ca"),  # Google: Los Angeles
        ("UK", "gbr"),
        ("South Korea", "kor"),
        ("us", "usa"),
    ],
)
def test_regions_by_country_state_and_cloud_region(name: str, wanted: str) -> None:
    assert grid.find(name).id == wanted


def test_figures_that_are_published() -> None:
    # eGRID2023, Virginia: 539.599 lb/MWh x 0.45359237 = 244.76 g/kWh; EIA 2023: 8.92 cents.
    virginia = grid.find("us-va")
    assert virginia.g_per_kwh == pytest.approx(539.599 * 0.45359237, abs=0.05)
    assert virginia.usd_per_kwh == Decimal("0.0892")
    assert virginia.price().source.grade is Grade.MEASURED
    # France is nuclear, Poland coal.
    assert grid.find("fra").g_per_kwh < 60 < 500 < grid.find("pol").g_per_kwh


def test_sources_that_disagree_stand_side_by_side() -> None:
    usa = grid.find("usa")
    assert [one.source.id for one in usa.prices] == ["eia-us", "seed-economics"]
    assert usa.prices[1].usd_per_kwh == Decimal("0.12")  # what the seed states
    assert len(usa.carbon) == 2


def test_an_unknown_price_is_not_zero() -> None:
    mexico = grid.find("mex")
    assert mexico.usd_per_kwh is None
    with pytest.raises(FarthingError, match="no price of electricity is known for Mexico"):
        mexico.price()


def test_all_regions_are_plausible_and_sourced() -> None:
    assert len(grid.regions()) >= 40
    for region in grid.regions():
        for said in region.carbon:
            assert 10 < said.g_per_kwh < 1000, region.id
            assert said.source.where
        for price in region.prices:
            assert Decimal("0.02") < price.usd_per_kwh < Decimal("0.5"), region.id
            assert price.source.where
        first = region.carbon[0].g_per_kwh
        assert all(0.6 < said.g_per_kwh / first < 1.6 for said in region.carbon), region.id


def test_an_unknown_region_is_one_line_with_near_misses() -> None:
    with pytest.raises(FarthingError, match=r"unknown grid region 'germny' \(did you mean deu"):
        grid.find("germny")
    with pytest.raises(FarthingError, match="known: usa"):
        grid.find("qqqqqq")


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_finds_a_region_or_is_refused_in_one_line(name: str) -> None:
    try:
        assert grid.find(name) in grid.regions()
    except FarthingError as error:
        assert len(str(error).splitlines()) == 1
