"""What owning and renting cost: worked examples with their arithmetic, properties, and refusals."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.plans.depreciation import DECLINING, STRAIGHT, power, residual_usd, schedule, yearly_interest_usd
from farthing.plans.fleet import Load, option
from farthing.plans.hosting import SPOT, Capacity, Owned, Power, Rented, block_gpus, kwh_per_hour, lines, useful_share
from farthing.plans.interval import between, exactly
from farthing.plans.tco import tco
from farthing.problems import FarthingError

MIXED = Capacity(input_tokens_s=exactly(3000), output_tokens_s=exactly(3000))
H100 = Rented(usd_per_gpu_hour=exactly(Fraction("2.49")))
HALF = Load(input_share=Fraction(1, 2), hours_per_month=Fraction(720))
DRAW = Power(
    busy_w=exactly(575),
    idle_w=exactly(75),
    host_w=exactly(100),
    pue=exactly(Fraction("1.2")),
    usd_per_kwh=exactly(Fraction("0.10")),
    g_per_kwh=exactly(400),
    embodied_kg=exactly(876),
    life_years=exactly(4),
)
shares = st.fractions(min_value=Fraction(1, 100), max_value=Fraction(99, 100), max_denominator=100)
amounts = st.fractions(min_value=1, max_value=10**6, max_denominator=100)


def money(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


# --- depreciation ---------------------------------------------------------------------------------


def test_declining_by_45_percent_leaves_16_6_percent_after_three_years() -> None:
    # 0.55^3 = 0.166375
    left = residual_usd(Fraction(30_000), Fraction(3), DECLINING, Fraction("0.45"), Fraction(0))
    assert left == Fraction("4991.25")
    rows = schedule(Fraction(30_000), left, Fraction(3), Fraction(1, 10), DECLINING, Fraction("0.45"))
    # 30,000 × 45 %, 16,500 × 45 %, 9,075 × 45 %
    assert [row.depreciation_usd for row in rows] == [13_500, 7_425, Fraction("4083.75")]
    # 10 % of 30,000, of 16,500, of 9,075: 5,557.50 over three years
    assert yearly_interest_usd(rows, Fraction(3)) == Fraction("1852.50")


def test_part_of_a_year_is_part_of_its_interest() -> None:
    rows = schedule(Fraction(1000), Fraction(0), Fraction(3, 2), Fraction(1, 10), STRAIGHT, Fraction(0))
    # 100 for the first year; half of 10 % on the 333.33 that are left
    assert [row.interest_usd for row in rows] == [100, Fraction(1000, 3) / 20]


@settings(deadline=None)
@given(amounts, shares, st.integers(1, 12), st.sampled_from([STRAIGHT, DECLINING]))
def test_a_schedule_adds_up_to_what_is_lost(price: Fraction, share: Fraction, halves: int, method: str) -> None:
    years = Fraction(halves, 2)
    left = residual_usd(price, years, method, share, share)
    rows = schedule(price, left, years, Fraction(0), method, share)
    assert len(rows) == -(-halves // 2)
    assert rows[0].opening_usd == price
    assert money(rows[-1].closing_usd) == pytest.approx(money(left), rel=1e-9)
    assert money(sum(row.depreciation_usd for row in rows)) == pytest.approx(money(price - left), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(amounts, shares, st.integers(1, 10), shares, st.sampled_from([STRAIGHT, DECLINING]))
def test_interest_is_on_no_more_than_the_price(
    price: Fraction, share: Fraction, years: int, rate: Fraction, method: str
) -> None:
    left = residual_usd(price, Fraction(years), method, share, share)
    rows = schedule(price, left, Fraction(years), rate, method, share)
    assert min(left, price) * rate <= yearly_interest_usd(rows, Fraction(years)) <= price * rate


def test_powers_are_exact_for_whole_years() -> None:
    assert power(Fraction(11, 10), Fraction(3)) == Fraction(1331, 1000)
    assert power(Fraction(0), Fraction(1, 2)) == 0
    assert money(power(Fraction(4), Fraction(1, 2))) == 2


# --- rented ---------------------------------------------------------------------------------------


def test_the_seeds_h100_month() -> None:
    found = tco(H100, MIXED, None, HALF, volume=Fraction(5 * 10**9))
    assert found.usd_per_month.mid == Fraction("1792.80")  # 2.49 × 720
    assert found.usd_per_mtok.mid == Fraction("0.35856")  # 1,792.80 / 5,000
    # 3,000 × 3,600 × 720 = 7.776B tokens: 64.3 % busy
    assert found.utilisation.mid == Fraction(5 * 10**9, 7_776_000_000)
    assert (found.gpus, found.blocks) == (1, 1)
    assert found.carbon is None and found.grade == Grade.ASSUMED


def test_one_gpu_does_not_serve_fifty_billion() -> None:
    found = tco(H100, MIXED, None, HALF, volume=Fraction(50 * 10**9))
    assert found.gpus == 7  # 50 / 7.776 = 6.43
    assert found.usd_per_month.mid == 7 * Fraction("1792.80")


def test_input_and_output_are_priced_by_the_time_they_take() -> None:
    fast = Capacity(input_tokens_s=exactly(9000), output_tokens_s=exactly(1000))
    found = tco(H100, fast, None, HALF, utilisation=Fraction(1, 2))
    assert found.usd_per_mtok_input is not None and found.usd_per_mtok_output is not None
    read, written = found.usd_per_mtok_input.mid, found.usd_per_mtok_output.mid
    assert read is not None and written is not None
    assert written == 9 * read
    assert (read + written) / 2 == found.usd_per_mtok.mid


def test_a_cached_prompt_takes_no_prefill_but_counts() -> None:
    cached = msgspec.structs.replace(HALF, cached_share=Fraction(1))
    assert option(H100, MIXED, None, cached).block_tokens == 2 * option(H100, MIXED, None, HALF).block_tokens


def test_spot_hours_that_serve() -> None:
    # 720 hours with 10 interruptions: each 72-hour run repeats 1 hour and waits half an hour: 71 / 72.5
    spot = Rented(usd_per_gpu_hour=exactly(1), term=SPOT, interruptions_per_month=exactly(10),
                  restart_h=exactly(Fraction(1, 2)), lost_h=exactly(1))  # fmt: skip
    assert useful_share(spot, Fraction(720)) == Fraction(142, 145)
    assert useful_share(H100, Fraction(720)) == 1
    hopeless = msgspec.structs.replace(spot, lost_h=exactly(80))
    with pytest.raises(FarthingError, match="no time to serve"):
        tco(hopeless, MIXED, None, HALF, utilisation=Fraction(1))


def test_a_reserved_term_is_paid_for_to_its_end() -> None:
    year = Rented(usd_per_gpu_hour=exactly(2), term="reserved", minimum_months=Fraction(12), months=Fraction(6),
                  on_share=Fraction(1, 2))  # fmt: skip
    costs = {line.name: line.usd for line in lines(year, None, 1, Fraction(730))}
    assert costs["rent"] == 1460  # every hour, on or off
    assert costs["rent after the need ends (minimum term)"] == 1460  # 12 months paid for 6 used


# --- owned ----------------------------------------------------------------------------------------


def test_an_owned_machine_line_by_line() -> None:
    machine = Owned(
        machine_usd=exactly(48_000), unit_gpus=8, life_years=exactly(4), residual_share=exactly(Fraction(1, 4)),
        maintenance_share=exactly(Fraction(3, 100)), colocation_usd_per_kw_month=exactly(150), rated_w=exactly(910),
        network_usd_per_month=exactly(500), staff_usd_per_month=exactly(4000),
    )  # fmt: skip
    costs = {line.name: line for line in lines(machine, DRAW, 8, Fraction(730))}
    assert costs["depreciation"].usd == 750  # (48,000 - 12,000) / 48 months
    assert "cost of capital" not in costs  # none stated
    assert costs["maintenance"].usd == 120  # 48,000 × 3 % / 12
    assert costs["colocation"].usd == 1092  # 150 × 7.28 kW
    assert costs["electricity, waiting"].usd == Fraction("122.64")  # 8 × (75 + 100) W × 1.2 = 1.68 kW × 730 × 0.10
    assert costs["staff"].fleet and not costs["network"].fleet


def test_serving_adds_its_own_draw() -> None:
    assert kwh_per_hour(DRAW, 1, Fraction(0)) == Fraction("0.21")  # (75 + 100) × 1.2
    assert kwh_per_hour(DRAW, 1, Fraction(1)) == Fraction("0.81")  # (575 + 100) × 1.2
    machine = Owned(machine_usd=exactly(1000), life_years=exactly(1))
    # 0.60 kWh × 0.10 = 6 cents an hour of 10.8M tokens
    assert option(machine, MIXED, DRAW, HALF).token_usd * 10_800_000 == Fraction("0.06")


def test_energy_and_carbon_of_a_million_tokens() -> None:
    found = tco(H100, MIXED, DRAW, HALF, utilisation=Fraction(1))
    carbon = found.carbon
    assert carbon is not None and carbon.missing == ()
    assert carbon.kwh_per_month.mid == Fraction("583.2")  # 0.81 × 720
    assert carbon.wh_per_mtok.mid == Fraction(75)  # 583.2 kWh / 7,776 million
    assert carbon.operational_g_per_mtok is not None and carbon.embodied_g_per_mtok is not None
    assert carbon.operational_g_per_mtok.mid == 30  # 0.075 × 400
    # 876 kg over 48 months: 18,250 g a month / 7,776
    assert carbon.embodied_g_per_mtok.mid == Fraction(18250, 7776)
    assert carbon.sci_g_per_mtok is not None
    assert carbon.sci_g_per_mtok.mid == 30 + Fraction(18250, 7776)
    # Half the energy for half the tokens, which are output: 75 Wh = 270,000 J over a million tokens of both
    assert carbon.joules_per_output_token is not None
    assert carbon.joules_per_output_token.mid == Fraction(27, 100)


def test_carbon_that_was_not_stated_is_missing_not_zero() -> None:
    bare = Power(busy_w=exactly(500), idle_w=exactly(100))
    carbon = tco(H100, MIXED, bare, HALF, utilisation=Fraction(1)).carbon
    assert carbon is not None
    assert carbon.sci_g_per_mtok is None and carbon.operational_g_per_mtok is None
    assert len(carbon.missing) == 2


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10**12), shares, shares, st.integers(0, 3))
def test_the_lines_are_the_whole(volume: int, mix: Fraction, rate: Fraction, spare: int) -> None:
    machine = Owned(machine_usd=between(900, 1000, 1200), unit_gpus=4, capital_rate=exactly(rate),
                    staff_usd_per_month=exactly(10))  # fmt: skip
    load = Load(input_share=mix, spare=spare, peak=Fraction(2))
    found = tco(machine, MIXED, DRAW, load, volume=Fraction(volume))
    assert sum(cost.usd_per_month.mid or 0 for cost in found.costs) == found.usd_per_month.mid
    assert sum(cost.share for cost in found.costs) == 1
    use = found.utilisation.mid
    assert use is not None and use * load.peak <= 1  # never more than the fleet can serve
    assert found.gpus % 4 == 0


def test_blocks_are_whole_units() -> None:
    assert block_gpus(Rented(usd_per_gpu_hour=exactly(1), unit_gpus=8), 2) == 8
    assert block_gpus(Rented(usd_per_gpu_hour=exactly(1), unit_gpus=1), 2) == 2
    assert block_gpus(Rented(usd_per_gpu_hour=exactly(1), unit_gpus=8), 16) == 16
    four = Capacity(input_tokens_s=exactly(3000), output_tokens_s=exactly(3000), gpus=2)
    eight = Rented(usd_per_gpu_hour=exactly(1), unit_gpus=8)
    # Four replicas of two GPUs on a machine of eight.
    assert option(eight, four, None, HALF).block_tokens == 4 * option(H100, MIXED, None, HALF).block_tokens


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"capacity": Capacity(input_tokens_s=exactly(0), output_tokens_s=exactly(1))}, "input tokens per second"),
        ({"power": msgspec.structs.replace(DRAW, pue=exactly(Fraction(1, 2)))}, "PUE"),
        ({"hosting": Owned(machine_usd=exactly(1))}, "draw power"),
        ({"hosting": msgspec.structs.replace(H100, on_share=Fraction(2))}, "hours that are on"),
        ({"load": Load(input_share=Fraction(2))}, "input share"),
        ({"load": Load(peak=Fraction(1, 2))}, "peak"),
        ({"load": Load(minimum=0)}, "nothing to serve from"),
        ({"volume": Fraction(0)}, "above 0"),
        ({"utilisation": Fraction(1, 2)}, "not both"),
        ({"volume": None, "utilisation": Fraction(2)}, "utilisation is 2"),
    ],
)
def test_what_cannot_be_is_said(change: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"hosting": H100, "capacity": MIXED, "power": None, "load": HALF,
                                "volume": Fraction(10**9), "utilisation": None}  # fmt: skip
    given.update(change)
    where = (given["hosting"], given["capacity"], given["power"], given["load"])
    with pytest.raises(FarthingError, match=said):
        tco(*where, volume=given["volume"], utilisation=given["utilisation"])  # type: ignore[arg-type]
