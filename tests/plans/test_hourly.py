"""What an owned device costs an hour: by hand from its inputs, and what is said where an input is unknown."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from farthing.evidence import Grade, Source
from farthing.plans import library
from farthing.plans.hosting import Owned, Power
from farthing.plans.hourly import owned_usd_per_gpu_hour
from farthing.plans.interval import between, exactly
from farthing.problems import FarthingError

MADE_UP = Source(id="test", title="made up", where="tests", seen=date(2026, 11, 1), grade=Grade.VENDOR_STATED)


def given(monkeypatch: pytest.MonkeyPatch, owned: Owned, power: Power) -> None:
    monkeypatch.setattr(library, "owned", lambda device: owned)
    monkeypatch.setattr(library, "power", lambda device, region: power)


def machine(**more: object) -> Owned:
    """One device of 35,040 dollars kept four years of 8,760 hours: a dollar an hour."""
    return Owned(**{"machine_usd": exactly(35_040), "life_years": exactly(4), "sources": (MADE_UP,), **more})  # type: ignore[arg-type]


def board(**more: object) -> Power:
    """(900 W + 100 W) × 1.25 × 0.08 a kWh: ten cents an hour."""
    stated = {"busy_w": exactly(900), "idle_w": exactly(50), "host_w": exactly(100), "pue": exactly(Fraction(5, 4)),
              "usd_per_kwh": exactly(Fraction(8, 100)), "sources": (MADE_UP,)}  # fmt: skip
    return Power(**{**stated, **more})  # type: ignore[arg-type]


def test_depreciation_and_electricity_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, machine(), board())
    found = owned_usd_per_gpu_hour("any")
    assert (found.low, found.usd, found.high) == (Decimal("1.1000"),) * 3  # exact inputs: no interval
    assert found.grade == Grade.VENDOR_STATED
    assert MADE_UP in found.sources


def test_what_is_sold_at_the_end_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, machine(residual_share=exactly(Fraction(1, 4))), board())
    assert owned_usd_per_gpu_hour("any").usd == Decimal("0.8500")  # 0.75 × 1.00 + 0.10


def test_a_server_of_eight_is_divided_by_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, machine(machine_usd=exactly(8 * 35_040), unit_gpus=8), board())
    assert owned_usd_per_gpu_hour("any").usd == Decimal("1.1000")


def test_the_inputs_intervals_become_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The price alone moves 1.00 to 0.80 or 1.50."""
    given(monkeypatch, machine(machine_usd=between(28_032, 35_040, 52_560)), board())
    found = owned_usd_per_gpu_hour("any")
    assert (found.low, found.usd, found.high) == (Decimal("0.9000"), Decimal("1.1000"), Decimal("1.6000"))


def test_an_h100_of_the_library() -> None:
    """Its inputs are the library's; the arithmetic is this one.

    A declining balance of 45 % a year leaves 0.55^4 = 0.0915 after four years. A board serving draws its mean
    of 64 sequences with its part of the server, times the PUE.
    """
    owned, power = library.owned("h100-sxm"), library.power("h100-sxm", "us")
    assert power.usd_per_kwh is not None
    left = (1 - float(owned.yearly_decline.mid)) ** float(owned.life_years.mid)
    worn = float(owned.machine_usd.mid) * (1 - left) / float(owned.life_years.mid) / 8760 / owned.unit_gpus
    kw = float(power.busy_w.mid + power.host_w.mid) * float(power.pue.mid) / 1000
    found = owned_usd_per_gpu_hour("h100-sxm", "us")
    assert float(found.usd) == pytest.approx(worn + kw * float(power.usd_per_kwh.mid), abs=1e-4)
    assert 0.5 < found.low < found.usd < found.high < 2
    assert found.grade == Grade.ASSUMED


def test_dearer_electricity_makes_a_dearer_hour() -> None:
    cheap, dear = owned_usd_per_gpu_hour("h100-sxm", "nor"), owned_usd_per_gpu_hour("h100-sxm", "deu")
    cents = [region_cents(name) for name in ("nor", "deu")]
    assert (cheap.usd < dear.usd) == (cents[0] < cents[1]) and cents[0] != cents[1]


def region_cents(name: str) -> Decimal:
    price, _, _ = library.region(name)
    assert price is not None
    return price


def test_an_unknown_price_of_a_machine_is_said() -> None:
    with pytest.raises(FarthingError, match=r"^no price of a machine with tpu-v5e is known; state --usd-per-gpu-hour"):
        owned_usd_per_gpu_hour("tpu-v5e")


def test_an_unknown_price_of_electricity_is_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, machine(), board(usd_per_kwh=None))
    with pytest.raises(FarthingError, match="no price of electricity is known in nowhere"):
        owned_usd_per_gpu_hour("any", "nowhere")


def test_an_unknown_region_is_said() -> None:
    with pytest.raises(FarthingError, match="unknown grid region 'mars'"):
        owned_usd_per_gpu_hour("h100-sxm", "mars")
