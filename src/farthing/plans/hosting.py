"""Where a model is served: rented or owned machines, their power, their throughput, and what they cost a month.

Every uncertain number is an `Interval`; the functions read the middles, so `propagate` can move them
one by one. Costs are of one block: the machines that are bought or rented together to hold at least
one replica.
"""

from fractions import Fraction
from math import ceil

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.plans.depreciation import DECLINING, STRAIGHT, Year, residual_usd, schedule, yearly_interest_usd
from farthing.plans.interval import Interval, exactly
from farthing.problems import FarthingError

HOURS_PER_MONTH = Fraction(8760, 12)
ON_DEMAND, RESERVED, SPOT = "on-demand", "reserved", "spot"
ZERO, ONE = exactly(0), exactly(1)


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica of `gpus` devices does when it never waits, in tokens per second.

    `input_tokens_s`: prompt tokens if it only read prompts; `output_tokens_s`: tokens if it only
    generated. A load of both takes the sum of the two times (as measured runs and separate prefill
    and decode machines both have it, to first order). `scale` multiplies both: an error that they share.
    """

    input_tokens_s: Interval
    output_tokens_s: Interval
    scale: Interval = ONE
    gpus: int = 1
    sources: tuple[Source, ...] = ()


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """What one GPU draws, with its part of the server, and what a kilowatt-hour costs and emits.

    `busy_w`, `idle_w`: its board, measured, serving and waiting. `host_w`: the rest of the server for
    each GPU, at the wall. `pue`: facility energy for each unit at the wall. `usd_per_kwh` is not
    charged to rented machines. `embodied_kg`: CO2e of making one GPU and its part of the server,
    spread over `life_years` (None: not stated, and then not in the result, which says so).
    """

    busy_w: Interval
    idle_w: Interval
    host_w: Interval = ZERO
    pue: Interval = ONE
    usd_per_kwh: Interval | None = None
    g_per_kwh: Interval | None = None
    embodied_kg: Interval | None = None
    life_years: Interval = exactly(5)
    sources: tuple[Source, ...] = ()


class Rented(msgspec.Struct, frozen=True, kw_only=True):
    """Rented GPUs, `unit_gpus` at a time.

    `on_share`: of the month's hours, those that are billed and usable (switched off otherwise); a
    reserved term bills every hour. `minimum_months`: the least that is paid for; `months`: how long
    they are needed. Spot: `interruptions_per_month` while running, each costing `restart_h` until it
    serves again and `lost_h` of work to repeat. `staff`: of the whole fleet; `network`: of a block.
    """

    usd_per_gpu_hour: Interval
    unit_gpus: int = 1
    term: str = ON_DEMAND
    on_share: Fraction = Fraction(1)
    minimum_months: Fraction = Fraction(0)
    months: Fraction = Fraction(12)
    interruptions_per_month: Interval = ZERO
    restart_h: Interval = ZERO
    lost_h: Interval = ZERO
    network_usd_per_month: Interval = ZERO
    staff_usd_per_month: Interval = ZERO
    name: str = "rented"
    sources: tuple[Source, ...] = ()


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of `unit_gpus` GPUs, bought at `machine_usd` and kept `life_years`.

    `method`: "straight" to `residual_share` of the price, or "declining" by `yearly_decline` of what
    is left. `capital_rate`: yearly cost of the money tied up. `maintenance_share`: of the price, a
    year. `colocation_usd_per_kw_month`: for `rated_w` a GPU, at the wall.
    """

    machine_usd: Interval
    unit_gpus: int = 1
    life_years: Interval = exactly(4)
    method: str = STRAIGHT
    yearly_decline: Interval = ZERO
    residual_share: Interval = ZERO
    capital_rate: Interval = ZERO
    maintenance_share: Interval = ZERO
    colocation_usd_per_kw_month: Interval = ZERO
    rated_w: Interval = ZERO
    network_usd_per_month: Interval = ZERO
    staff_usd_per_month: Interval = ZERO
    name: str = "owned"
    sources: tuple[Source, ...] = ()

    def residual_usd(self) -> Fraction:
        """What one machine is sold for."""
        return residual_usd(self.machine_usd.mid, self.life_years.mid, self.method, self.yearly_decline.mid,
                            self.residual_share.mid)  # fmt: skip

    def years(self) -> tuple[Year, ...]:
        """One machine year by year: its value, its loss of value, the cost of the money in it."""
        return schedule(self.machine_usd.mid, self.residual_usd(), self.life_years.mid, self.capital_rate.mid,
                        self.method, self.yearly_decline.mid)  # fmt: skip


Hosting = Rented | Owned


class Line(msgspec.Struct, frozen=True):
    """One cost: dollars a month, for each block or (`fleet`) for all of them together."""

    name: str
    usd: Fraction
    fleet: bool = False


def check(hosting: Hosting, capacity: Capacity, power: Power | None) -> None:
    """Raises `FarthingError` for what cannot be: no throughput, a share above 1, a life of nothing, a PUE below 1."""
    wrong: list[str] = []
    for name, value in (("input tokens per second", capacity.input_tokens_s),
                        ("output tokens per second", capacity.output_tokens_s),
                        ("the scale of the throughput", capacity.scale)):  # fmt: skip
        if value.low <= 0:
            wrong.append(f"{name} must be above 0")
    if capacity.gpus < 1 or hosting.unit_gpus < 1:
        wrong.append("at least one GPU is needed")
    if isinstance(hosting, Owned):
        if hosting.life_years.low <= 0:
            wrong.append("the life must be above 0 years")
        for name, share in (("the residual share", hosting.residual_share), ("the yearly decline",
                            hosting.yearly_decline)):  # fmt: skip
            if share.high > 1:
                wrong.append(f"{name} is a share from 0 to 1 (0.45 is 45 %)")
        if power is None or power.usd_per_kwh is None:
            wrong.append("owned machines draw power: state what a GPU draws, and a price of the kWh or a region")
        if hosting.method not in (STRAIGHT, DECLINING):
            wrong.append(f"depreciation {hosting.method!r} is not {STRAIGHT} or {DECLINING}")
    else:
        if not 0 < hosting.on_share <= 1:
            wrong.append("the share of hours that are on must be above 0 and at most 1")
        if hosting.months <= 0:
            wrong.append("the months of need must be above 0")
        if hosting.term not in (ON_DEMAND, RESERVED, SPOT):
            wrong.append(f"term {hosting.term!r} is not {ON_DEMAND}, {RESERVED} or {SPOT}")
    if power is not None and power.pue.low < 1:
        wrong.append("a PUE is at least 1")
    if power is not None and power.life_years.low <= 0:
        wrong.append("the life of the hardware must be above 0 years")
    if wrong:
        raise FarthingError("; ".join(wrong))


def block_gpus(hosting: Hosting, replica_gpus: int) -> int:
    """GPUs of the smallest set of whole units that holds a replica: 8 for 2 GPUs of a machine of 8."""
    return hosting.unit_gpus * ceil(Fraction(replica_gpus, hosting.unit_gpus))


def useful_share(hosting: Hosting, hours_per_month: Fraction) -> Fraction:
    """Of the hours paid for, the share that serves, under interruptions.

    A cycle is 1/λ hours of running, of which `lost_h` are repeated, and `restart_h` without service
    (renewal-reward): (1/λ - lost) / (1/λ + restart). 1 without interruptions.
    """
    if not isinstance(hosting, Rented) or hosting.interruptions_per_month.mid == 0:
        return Fraction(1)
    run = hours_per_month / hosting.interruptions_per_month.mid
    return max(Fraction(0), (run - hosting.lost_h.mid) / (run + hosting.restart_h.mid))


def usable_hours(hosting: Hosting, hours_per_month: Fraction) -> Fraction:
    """Hours a month in which a block can serve."""
    on = hosting.on_share if isinstance(hosting, Rented) else Fraction(1)
    return hours_per_month * on * useful_share(hosting, hours_per_month)


def kwh_per_hour(power: Power, gpus: int, utilisation: Fraction) -> Fraction:
    """Kilowatt-hours that `gpus` GPUs with their servers and facility take in an hour at `utilisation`."""
    board = power.idle_w.mid + (power.busy_w.mid - power.idle_w.mid) * utilisation
    return gpus * (board + power.host_w.mid) * power.pue.mid / 1000


def lines(hosting: Hosting, power: Power | None, gpus: int, hours_per_month: Fraction) -> list[Line]:
    """What a block of `gpus` GPUs costs a month whether it serves or waits, and what the fleet costs as a whole.

    Power that serving adds comes on top, by the token (`Option.token_usd`).
    """
    if isinstance(hosting, Rented):
        billed = hours_per_month * (Fraction(1) if hosting.term == RESERVED else hosting.on_share)
        longer = max(Fraction(1), hosting.minimum_months / hosting.months)
        found = [Line("rent", hosting.usd_per_gpu_hour.mid * gpus * billed)]
        if longer > 1:
            found.append(Line("rent after the need ends (minimum term)", found[0].usd * (longer - 1)))
        found.append(Line("network", hosting.network_usd_per_month.mid))
    else:
        machines = Fraction(gpus, hosting.unit_gpus)
        price, years = hosting.machine_usd.mid * machines, hosting.life_years.mid
        left = hosting.residual_usd() * machines
        found = [
            Line("depreciation", (price - left) / years / 12),
            Line("cost of capital", yearly_interest_usd(hosting.years(), years) / 12 * machines),
            Line("maintenance", price * hosting.maintenance_share.mid / 12),
            Line("colocation", hosting.colocation_usd_per_kw_month.mid * hosting.rated_w.mid * gpus / 1000),
            Line("network", hosting.network_usd_per_month.mid * machines),
        ]
        if power is not None and power.usd_per_kwh is not None:
            waiting = kwh_per_hour(power, gpus, Fraction(0)) * hours_per_month
            found.append(Line("electricity, waiting", waiting * power.usd_per_kwh.mid))
    found.append(Line("staff", hosting.staff_usd_per_month.mid, fleet=True))
    return [line for line in found if line.usd]


def grade_of(*parts: msgspec.Struct | None) -> Grade:
    """The worst grade of the sources of `parts`; assumed where a part names none."""
    grades: list[Grade] = []
    for part in parts:
        if part is not None:
            sources = getattr(part, "sources", ())
            grades += [source.grade for source in sources] or [Grade.ASSUMED]
    return worst(grades)
