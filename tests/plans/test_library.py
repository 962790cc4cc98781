"""The parts of plans from the libraries: each number from its data file, with its sources."""

from fractions import Fraction

import pytest

from farthing.evidence import Grade
from farthing.plans import library
from farthing.plans.depreciation import DECLINING
from farthing.plans.hosting import RESERVED
from farthing.problems import FarthingError
from farthing.serving import devices, hosts, market


def test_a_rent_is_the_markets() -> None:
    made = library.rented("h100-sxm")
    stated = market.rent("h100-sxm")
    assert made.usd_per_gpu_hour.mid == Fraction(stated.usd_per_gpu_hour)
    assert made.sources == (stated.source,)


def test_reserved_terms_have_a_minimum() -> None:
    made = library.rented("h100-sxm", "reserved-1y")
    assert made.term == RESERVED and made.minimum_months == 12


def test_a_machine_is_the_newest_uncontradicted_server() -> None:
    price, gpus, source = library.machine("h100-sxm")
    assert gpus == 8
    assert price.low <= price.mid <= price.high
    assert price.low > 200_000  # the 199,000 of a DGX A100 is contradicted, and left out
    assert source.title
    with pytest.raises(FarthingError, match="--buy"):
        library.machine("h20")


def test_owned_machines_lose_what_is_stated() -> None:
    made = library.owned("h100-sxm")
    assert made.method == DECLINING
    assert (made.yearly_decline.low, made.yearly_decline.high) == (Fraction("0.4"), Fraction("0.5"))
    assert made.rated_w.mid == 910  # 1.3 × 700


def test_power_is_measured_draw_not_tdp() -> None:
    made = library.power("h100-sxm", "us-va")
    assert (made.busy_w.low, made.busy_w.high) == (445, 577)
    assert made.idle_w.mid == 70
    assert made.busy_w.high + made.host_w.mid == pytest.approx(910)  # the host factor is of a loaded server
    assert made.usd_per_kwh is not None and made.g_per_kwh is not None
    device = devices.find("h100-sxm")
    assert float(made.host_w.mid) == pytest.approx(hosts.wall_w(device, 1) - hosts.draw_w(device, 1))
    assert min(source.grade for source in made.sources) == Grade.ASSUMED


def test_power_without_a_region_has_no_price() -> None:
    made = library.power("h100-sxm")
    assert made.usd_per_kwh is None and made.g_per_kwh is None
    with pytest.raises(FarthingError, match="region"):
        library.power("h100-sxm", "atlantis")
    with pytest.raises(FarthingError, match="PUE"):
        library.power("h100-sxm", pue="none")


def test_embodied_carbon() -> None:
    kilograms, years, source = library.embodied()
    assert kilograms.mid == Fraction("985.5")  # 273 + 5,700 / 8
    assert years.mid == 3 and source.grade == Grade.DERIVED
