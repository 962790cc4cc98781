"""A load on hosted capacity: how many blocks it takes, and what a month costs at any volume.

Capacity comes in whole blocks. A fleet is sized for its peak, not for its mean, and has spare blocks
on top: cost is a staircase in the volume, and no volume is served that the fleet cannot serve.
"""

from fractions import Fraction
from math import ceil

import msgspec

from farthing.plans.hosting import (
    HOURS_PER_MONTH,
    Capacity,
    Hosting,
    Owned,
    Power,
    block_gpus,
    kwh_per_hour,
    lines,
    usable_hours,
)
from farthing.problems import FarthingError

MTOK = 10**6


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a month by kind, and how a fleet is sized for them.

    `input_share`: of all tokens, prompt tokens (cached ones included). `cached_share`: of the prompt
    tokens, those found in a prefix cache: they take no prefill. `peak`: busiest hour over mean hour.
    `target`: highest utilisation planned at the peak. `minimum` blocks always run; `spare` blocks
    stand by (1 is N+1).
    """

    input_share: Fraction = Fraction(3, 4)
    cached_share: Fraction = Fraction(0)
    peak: Fraction = Fraction(1)
    target: Fraction = Fraction(1)
    minimum: int = 1
    spare: int = 0
    hours_per_month: Fraction = HOURS_PER_MONTH

    def check(self) -> None:
        """Raises `FarthingError` naming each number that cannot be."""
        wrong = [
            f"{name} is {float(value):g}, not {what}"
            for name, value, good, what in (
                ("the input share", self.input_share, 0 <= self.input_share <= 1, "from 0 to 1"),
                ("the cached share", self.cached_share, 0 <= self.cached_share <= 1, "from 0 to 1"),
                ("the peak factor", self.peak, self.peak >= 1, "at least 1"),
                ("the target utilisation", self.target, 0 < self.target <= 1, "above 0 and at most 1"),
                ("the minimum", self.minimum, self.minimum >= 0, "at least 0"),
                ("the spare", self.spare, self.spare >= 0, "at least 0"),
                ("hours a month", self.hours_per_month, 0 < self.hours_per_month <= 744, "above 0 and at most 744"),
            )
            if not good
        ]
        if self.minimum + self.spare < 1:
            wrong.append("with no minimum and no spare there is nothing to serve from")
        if wrong:
            raise FarthingError("; ".join(wrong))


def seconds_per_token(load: Load, capacity: Capacity) -> tuple[Fraction, Fraction]:
    """Replica-seconds that the mean token takes: reading prompts, and generating."""
    reading, writing = seconds_each(capacity)
    return load.input_share * (1 - load.cached_share) * reading, (1 - load.input_share) * writing


def seconds_each(capacity: Capacity) -> tuple[Fraction, Fraction]:
    """Replica-seconds to read one prompt token, and to write one."""
    scale = capacity.scale.mid
    return 1 / (capacity.input_tokens_s.mid * scale), 1 / (capacity.output_tokens_s.mid * scale)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """Hosting for one load, in numbers: cost(v) = fleet + block × blocks(v) + token × v, in dollars a month.

    `block_tokens`: tokens a month that a block serves when never idle. `token_usd`: what a token adds
    (the power of serving it). `gpus`: of a block.
    """

    name: str
    gpus: int
    fleet_usd: Fraction
    block_usd: Fraction
    token_usd: Fraction
    block_tokens: Fraction
    load: Load

    def sized_tokens(self) -> Fraction:
        """Tokens a month for which one block is enough at the peak."""
        return self.block_tokens * self.load.target / self.load.peak

    def blocks(self, volume: Fraction) -> int:
        """Blocks for `volume` tokens a month: enough for the peak, at least the minimum, and the spare ones."""
        return max(self.load.minimum, ceil(volume / self.sized_tokens())) + self.load.spare

    def usd(self, volume: Fraction) -> Fraction:
        """Dollars a month at `volume` tokens a month."""
        return self.fleet_usd + self.block_usd * self.blocks(volume) + self.token_usd * volume

    def usd_per_mtok(self, utilisation: Fraction) -> Fraction:
        """Dollars per million tokens of a large fleet at a mean `utilisation`: steps, spare and staff left out."""
        return (self.block_usd / (self.block_tokens * utilisation) + self.token_usd) * MTOK


def option(hosting: Hosting, capacity: Capacity, power: Power | None, load: Load) -> Option:
    """Hosting, throughput and power as the costs of one load (the middles of all intervals).

    Raises `FarthingError` where interruptions leave no time to serve.
    """
    gpus = block_gpus(hosting, capacity.gpus)
    costs = lines(hosting, power, gpus, load.hours_per_month)
    reading, writing = seconds_per_token(load, capacity)
    replicas = gpus // capacity.gpus
    seconds = usable_hours(hosting, load.hours_per_month) * 3600 * replicas
    if seconds == 0:
        raise FarthingError("interruptions leave no time to serve; state fewer, or a shorter restart")
    if reading + writing == 0:
        raise FarthingError("a load of cached input alone takes no time in this model; state some output")
    token = Fraction(0)
    if isinstance(hosting, Owned) and power is not None and power.usd_per_kwh is not None:
        busy = kwh_per_hour(power, capacity.gpus, Fraction(1)) - kwh_per_hour(power, capacity.gpus, Fraction(0))
        token = busy * power.usd_per_kwh.mid * (reading + writing) / 3600
    return Option(
        name=hosting.name,
        gpus=gpus,
        fleet_usd=sum((line.usd for line in costs if line.fleet), Fraction(0)),
        block_usd=sum((line.usd for line in costs if not line.fleet), Fraction(0)),
        token_usd=token,
        block_tokens=seconds / (reading + writing),
        load=load,
    )
