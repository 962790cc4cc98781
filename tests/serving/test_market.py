"""Rents and purchases: the statements are there, exact and dated; the default is chosen as documented."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.serving import devices, market
from farthing.serving.market import Rent


def said(source: str, provider: str, device: str, term: str = "on-demand") -> set[Decimal]:
    found = [r for r in market.rents(device, term=term) if r.source.id == source and r.provider == provider]
    return {figure for r in found for figure in (r.low, r.high)}


def test_the_h100_index_by_date() -> None:
    points = {
        date(2023, 9, 15): "3.38",
        date(2024, 2, 1): "4.84",
        date(2025, 9, 30): "3.84",
        date(2025, 10, 1): "2.73",
        date(2026, 3, 1): "3.30",
        date(2026, 11, 22): "3.79",
    }
    for day, rent in points.items():
        assert market.rent("h100-sxm", day).usd_per_gpu_hour == Decimal(rent)
    assert market.rent("h100-sxm").usd_per_gpu_hour == Decimal("3.79")
    now = {"b200": "6.60", "h200": "4.13", "a100_sxm": "2.31"}
    assert {d: market.rent(d).usd_per_gpu_hour for d in now} == {d: Decimal(rent) for d, rent in now.items()}


def test_before_any_index_the_offers_count() -> None:
    assert market.rent("h100-sxm", date(2023, 8, 1)).usd_per_gpu_hour == Decimal("12.29")  # 98.32 / 8, p5.48xlarge


def test_the_seeds_statements_are_present() -> None:
    seed = "seed-economics"
    for provider, device, on_demand in [
        ("runpod", "a100-80gb-pcie", "1.64"),
        ("runpod", "h100-sxm", "3.29"),
        ("lambda", "a100-80gb-sxm", "1.29"),
        ("lambda", "h100-sxm", "2.49"),
        ("coreweave", "a100-80gb-sxm", "2.06"),
        ("coreweave", "h100-sxm", "4.25"),
        ("vast-ai", "a100-80gb-sxm", "0.80"),
        ("vast-ai", "a100-80gb-sxm", "1.20"),
    ]:
        assert Decimal(on_demand) in said(seed, provider, device)
    assert said(seed, "aws", "h100-sxm") == {Decimal("4.09625")}  # 32.77 / 8
    assert said(seed, "aws", "h100-sxm", "reserved-1y") == {Decimal("2.4575")}  # 19.66 / 8
    assert said(seed, "runpod", "h100-sxm", "spot") == {Decimal("2.49")}
    assert said(seed, "runpod", "a100-80gb-sxm", "spot") == {Decimal("1.04")}
    assert said(seed, "coreweave", "h100-sxm", "reserved-1y") == {Decimal("2.23")}
    assert Decimal("2.5") in said(seed, "lambda", "h100-sxm")  # about 20 for eight
    assert said("seed-note", "retail", "h100-sxm") == {Decimal(2)}


def test_the_seeds_purchases_are_present_and_their_build_adds_up() -> None:
    seed = [p for p in market.purchases() if p.source.id == "seed-economics"]
    assert {(p.item, p.low, p.high) for p in seed if p.kind == "device" and p.condition == "new"} == {
        ("rtx-5090", Decimal(2000), Decimal(2000)),
        ("rtx-4090", Decimal(1600), Decimal(1600)),
        ("h100-sxm", Decimal(25000), Decimal(30000)),
    }
    assert {(int(p.low), int(p.high)) for p in seed if p.condition == "used"} == {(8000, 12000), (10000, 15000)}
    (build,) = (p for p in seed if p.kind == "build")
    gpu = next(p for p in seed if p.item == "rtx-5090")
    assert build.usd == gpu.usd + sum(p.usd for p in seed if p.kind == "part") == 3350


def test_a_price_of_a_machine_is_divided_exactly() -> None:
    aws = [r for r in market.rents("b200") if r.provider == "aws"]
    assert [(r.usd_per_gpu_hour, r.gpus) for r in aws] == [(Decimal("14.2416"), 8)]  # 113.9328 / 8


def test_conflicts_name_the_price_of_another_machine() -> None:
    found = [c for c in market.conflicts() if isinstance(c.stated, Rent) and c.stated.contradicted]
    (p5,) = (c for c in found if c.stated.term == "on-demand")  # type: ignore[union-attr]
    assert p5.against is not None
    assert p5.against.source.id == "aws-2025"
    assert p5.factor == pytest.approx(32.77 / 55.04)
    assert "p4d.24xlarge" in p5.text
    # What is wrong is never the rent of an estimate.
    for day in (date(2026, 1, 1), None):
        assert market.rent("h100-sxm", day, "reserved-1y").source.id != "seed-economics"


def test_conflicts_tell_both_figures_and_days() -> None:
    texts = [c.text for c in market.conflicts()]
    assert any(
        "seed-economics on lambda h100-sxm" in t and "2.49 (2026-01-01)" in t and "(2026-06-01)" in t for t in texts
    )
    assert any("seed-note on retail h100-sxm" in t and "2.73 (2025-10-01)" in t for t in texts)
    assert len(texts) == len(set(texts))
    for conflict in market.conflicts():
        if conflict.against is not None and not conflict.stated.contradicted:
            assert conflict.factor is not None
            assert not 1 / 1.05 < conflict.factor < 1.05
        assert conflict.stated.source.grade is Grade.ASSUMED  # a vendor's own change of price is no conflict


def test_the_middle_offer_is_the_default_where_there_is_no_index() -> None:
    offers: dict[str, Decimal] = {}
    for one in market.rents("l40s", term="on-demand"):
        if one.source.grade > Grade.ASSUMED:
            offers.setdefault(one.provider, one.usd_per_gpu_hour)
    assert sorted(offers.values()) == [Decimal("1.5484"), Decimal("1.861")]
    assert market.rent("l40s").usd_per_gpu_hour == Decimal("1.861")  # of two, the dearer
    # RunPod's second-hand 0.79 counts only where no seller's own list does.
    assert market.rent("rtx-4090").source.grade is Grade.ASSUMED


def test_rents_in_force_on_a_day() -> None:
    def aws(day: date) -> list[Decimal]:
        return [r.usd_per_gpu_hour for r in market.rents("h100-sxm", day, "on-demand") if r.provider == "aws"]

    assert aws(date(2025, 5, 31)) == [Decimal("12.29")]
    assert Decimal("6.88") in aws(date(2025, 6, 1))  # 55.04 / 8
    assert market.rents("h100-sxm", date(2016, 1, 1)) == ()


def test_unknown_rents_are_refused_with_what_would_work() -> None:
    with pytest.raises(FarthingError, match="no on-demand rent of gb300 is known: state it with --usd-per-gpu-hour"):
        market.rent("gb300")
    with pytest.raises(FarthingError, match=r"no reserved-3y rent of h100-sxm is known.*other terms: on-demand"):
        market.rent("h100-sxm", None, "reserved-3y")
    with pytest.raises(FarthingError, match="by 2016-01-01"):
        market.rent("h100-sxm", date(2016, 1, 1))
    with pytest.raises(FarthingError, match="unknown term 'weekly'"):
        market.rents("h100-sxm", term="weekly")
    with pytest.raises(FarthingError, match="h100-sxm, h100-pcie, h100-nvl"):
        market.rent("h100")


def test_every_statement_is_dated_sourced_and_plausible() -> None:
    for rent in market.rents():
        assert Decimal("0.05") < rent.low <= rent.high < 20, rent
        assert date(2017, 1, 1) < rent.valid_from <= date(2026, 11, 22)
        assert rent.source.where
        assert rent.source.seen is not None
        assert rent.min_hours >= 8760 or rent.term != "reserved-1y"
    for bought in market.purchases():
        assert 0 < bought.low <= bought.high
        assert bought.valid_from <= date(2026, 11, 22)
        assert bought.source.where


def test_values_fall_with_age() -> None:
    left = market.residuals("h100-sxm")
    assert [(r.years, r.low, r.high) for r in left] == [(1, 0.60, 0.65), (2, 0.40, 0.45), (3, 0.25, 0.35)]
    assert market.residuals("l4") == ()
    ways = market.depreciations()
    assert (ways["seed"].method, ways["seed"].low, ways["seed"].high) == ("declining", 0.40, 0.50)
    assert (ways["hyperscaler"].method, ways["hyperscaler"].low, ways["hyperscaler"].high) == ("straight-line", 5.5, 6)


def test_purchases_of_one_device_newest_first() -> None:
    found = market.purchases("h100-sxm", "device")
    assert [p.valid_from for p in found] == sorted((p.valid_from for p in found), reverse=True)
    assert all(p.device == "h100-sxm" for p in found)
    assert market.purchases("h100-sxm", "device", date(2023, 12, 31))[0].source.id == "raymond-james"


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(devices.names()), st.dates(date(2016, 1, 1), date(2030, 1, 1)), st.sampled_from(market.TERMS))
def test_the_default_rent_is_one_of_those_in_force(device: str, day: date, term: str) -> None:
    try:
        chosen = market.rent(device, day, term)
    except FarthingError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert chosen in market.rents(device, day, term)
    assert chosen.valid_from <= day
    assert chosen.term == term
    assert not chosen.contradicted
