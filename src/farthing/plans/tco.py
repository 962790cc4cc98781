"""The total cost of serving a load yourself: by cost, by hour, by token; with energy and carbon.

Carbon is the software carbon intensity of ISO/IEC 21031, SCI = (E·I + M) per R: energy times the
grid's intensity, plus the embodied emissions for the share of the hardware's life, per million tokens.
"""

from collections.abc import Callable
from fractions import Fraction

import msgspec

from farthing.evidence import Grade
from farthing.plans.depreciation import Year
from farthing.plans.fleet import MTOK, Load, Option, option, seconds_per_token
from farthing.plans.hosting import (
    Capacity,
    Hosting,
    Owned,
    Power,
    Rented,
    block_gpus,
    check,
    grade_of,
    kwh_per_hour,
    lines,
    useful_share,
)
from farthing.plans.interval import Outcome, propagate
from farthing.problems import FarthingError


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the account: dollars a month of the whole fleet, and its share of the total."""

    name: str
    usd_per_month: Outcome
    share: Fraction


class Carbon(msgspec.Struct, frozen=True, kw_only=True):
    """Energy and emissions. None: an input was not stated (`missing` says which), and nothing is taken as zero."""

    kwh_per_month: Outcome
    wh_per_mtok: Outcome
    joules_per_output_token: Outcome | None
    operational_g_per_mtok: Outcome | None
    embodied_g_per_mtok: Outcome | None
    sci_g_per_mtok: Outcome | None
    missing: tuple[str, ...]
    grade: Grade


class Tco(msgspec.Struct, frozen=True, kw_only=True):
    """What a load costs when you serve it yourself.

    `utilisation`: of the time that all blocks can serve, the share in which they do. The prices of
    input and output split the whole cost by the time that each takes; `input` counts cached tokens.
    """

    hosting: Hosting
    capacity: Capacity
    power: Power | None
    load: Load
    volume: Fraction
    blocks: int
    gpus: int
    machines: Fraction
    utilisation: Outcome
    useful_share: Fraction
    block_tokens: Outcome
    costs: tuple[Cost, ...]
    usd_per_month: Outcome
    usd_per_hour: Outcome
    usd_per_gpu_hour: Outcome
    usd_per_mtok: Outcome
    usd_per_mtok_input: Outcome | None
    usd_per_mtok_output: Outcome | None
    carbon: Carbon | None
    years: tuple[Year, ...]
    grade: Grade


def tco(
    hosting: Hosting,
    capacity: Capacity,
    power: Power | None,
    load: Load,
    *,
    volume: Fraction | None = None,
    utilisation: Fraction | None = None,
) -> Tco:
    """The account of `volume` tokens a month; or of one sized block at a mean `utilisation`.

    Blocks are sized once, on the best estimate; the intervals are those of cost and throughput for
    that many, and at a utilisation of the tokens that they serve (`farthing.plans.interval` propagates).
    Raises `FarthingError` for what cannot be, such as interruptions that leave no time.
    """
    check(hosting, capacity, power)
    load.check()
    middle = option(hosting, capacity, power, load)
    if (volume is None) == (utilisation is None):
        raise FarthingError("state a volume of tokens a month, or a mean utilisation, not both")
    if volume is None:
        assert utilisation is not None
        if not 0 < utilisation <= 1:
            raise FarthingError(f"utilisation is {float(utilisation):g}; it must be above 0 and at most 1")
        asked = _Asked(load=load, blocks=max(load.minimum, 1) + load.spare, utilisation=utilisation)
    else:
        if volume <= 0:
            raise FarthingError("the volume must be above 0 tokens a month")
        asked = _Asked(load=load, blocks=middle.blocks(volume), volume=volume)
    blocks = asked.blocks

    def seen(function: Callable[[Capacity, Option], Fraction]) -> Outcome:
        def at(h: Hosting, c: Capacity, p: Power | None) -> Fraction:
            return function(c, option(h, c, p, load))

        return propagate(at, hosting, capacity, power)

    def total(o: Option) -> Fraction:
        return o.fleet_usd + o.block_usd * blocks + o.token_usd * asked.tokens(o)

    def part(kind: int) -> Outcome | None:
        share = (load.input_share, 1 - load.input_share)[kind]
        if share == 0:
            return None

        def price(c: Capacity, o: Option) -> Fraction:
            times = seconds_per_token(load, c)
            return total(o) * times[kind] / sum(times) / (asked.tokens(o) * share) * MTOK

        return seen(price)

    gpus = blocks * middle.gpus
    return Tco(
        hosting=hosting,
        capacity=capacity,
        power=power,
        load=load,
        volume=asked.tokens(middle),
        blocks=blocks,
        gpus=gpus,
        machines=Fraction(gpus, hosting.unit_gpus),
        utilisation=seen(lambda c, o: asked.tokens(o) / (o.block_tokens * blocks)),
        useful_share=useful_share(hosting, load.hours_per_month),
        block_tokens=seen(lambda c, o: o.block_tokens),
        costs=_costs(hosting, capacity, power, asked),
        usd_per_month=seen(lambda c, o: total(o)),
        usd_per_hour=seen(lambda c, o: total(o) / load.hours_per_month),
        usd_per_gpu_hour=seen(lambda c, o: total(o) / (gpus * load.hours_per_month)),
        usd_per_mtok=seen(lambda c, o: total(o) / asked.tokens(o) * MTOK),
        usd_per_mtok_input=part(0),
        usd_per_mtok_output=part(1),
        carbon=None if power is None else _carbon(hosting, capacity, power, asked),
        years=hosting.years() if isinstance(hosting, Owned) else (),
        grade=money_grade(hosting, capacity, power),
    )


def money_grade(hosting: Hosting, capacity: Capacity, power: Power | None) -> Grade:
    """The worst grade that the dollars rest on: a rent holds the power in it."""
    return grade_of(hosting, capacity, power if isinstance(hosting, Owned) else None)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """So many blocks, for a volume; or for a mean utilisation, and then as many tokens as they serve at it."""

    load: Load
    blocks: int
    volume: Fraction | None = None
    utilisation: Fraction | None = None

    def tokens(self, made: Option) -> Fraction:
        """Tokens a month."""
        if self.volume is not None:
            return self.volume
        return made.block_tokens * (self.utilisation or 1) * max(self.load.minimum, 1)


def _costs(hosting: Hosting, capacity: Capacity, power: Power | None, asked: _Asked) -> tuple[Cost, ...]:
    """Every line of the month, each with its interval."""

    def amounts(h: Hosting, c: Capacity, p: Power | None) -> dict[str, Fraction]:
        made: dict[str, Fraction] = {}
        for line in lines(h, p, block_gpus(h, c.gpus), asked.load.hours_per_month):
            made[line.name] = line.usd if line.fleet else line.usd * asked.blocks
        costs = option(h, c, p, asked.load)
        serving = costs.token_usd * asked.tokens(costs)
        return {**made, "electricity, serving": serving} if serving else made

    found = amounts(hosting, capacity, power)
    total = sum(found.values(), Fraction(0))

    def one(name: str) -> Outcome:
        return propagate(lambda h, c, p: amounts(h, c, p).get(name, Fraction(0)), hosting, capacity, power)

    return tuple(
        Cost(name=name, usd_per_month=one(name), share=usd / total if total else Fraction(0))
        for name, usd in found.items()
    )


def _carbon(hosting: Hosting, capacity: Capacity, power: Power, asked: _Asked) -> Carbon:
    """Energy and emissions of the month, per million tokens."""
    on = hosting.on_share if isinstance(hosting, Rented) else Fraction(1)
    gpus, load = asked.blocks * block_gpus(hosting, capacity.gpus), asked.load

    def tokens(h: Hosting, c: Capacity, p: Power) -> Fraction:
        return asked.tokens(option(h, c, p, load))

    def kwh(h: Hosting, c: Capacity, p: Power) -> Fraction:
        waiting = kwh_per_hour(p, gpus, Fraction(0)) * load.hours_per_month * on
        busy_h = sum(seconds_per_token(load, c)) * tokens(h, c, p) / 3600
        serving = kwh_per_hour(p, c.gpus, Fraction(1)) - kwh_per_hour(p, c.gpus, Fraction(0))
        return waiting + serving * busy_h

    def wh(h: Hosting, c: Capacity, p: Power) -> Fraction:
        return kwh(h, c, p) * 1000 / tokens(h, c, p) * MTOK

    def operational(h: Hosting, c: Capacity, p: Power) -> Fraction:
        assert p.g_per_kwh is not None
        return wh(h, c, p) / 1000 * p.g_per_kwh.mid

    def embodied(h: Hosting, c: Capacity, p: Power) -> Fraction:
        assert p.embodied_kg is not None  # M = TE × (time reserved / life) × the share of the machine, all of it here
        month = p.embodied_kg.mid * 1000 * gpus * on / (p.life_years.mid * 12)
        return month / tokens(h, c, p) * MTOK

    def joules(h: Hosting, c: Capacity, p: Power) -> Fraction:
        reading, writing = seconds_per_token(load, c)
        written = tokens(h, c, p) * (1 - load.input_share)
        return kwh(h, c, p) * 3_600_000 * writing / (reading + writing) / written

    missing = [name for name, value in (("the grid's g CO2e per kWh", power.g_per_kwh),
                                        ("embodied kg CO2e per GPU", power.embodied_kg)) if value is None]  # fmt: skip
    parts = (hosting, capacity, power)
    return Carbon(
        kwh_per_month=propagate(kwh, *parts),
        wh_per_mtok=propagate(wh, *parts),
        joules_per_output_token=propagate(joules, *parts) if load.input_share < 1 else None,
        operational_g_per_mtok=None if power.g_per_kwh is None else propagate(operational, *parts),
        embodied_g_per_mtok=None if power.embodied_kg is None else propagate(embodied, *parts),
        sci_g_per_mtok=None if missing else propagate(lambda h, c, p: operational(h, c, p) + embodied(h, c, p), *parts),
        missing=tuple(missing),
        grade=grade_of(hosting, capacity, power),
    )
