"""What one owned device costs an hour, all hours of its life alike: for rates that are computed by the hour."""

from decimal import Decimal
from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source
from farthing.money import to_decimal
from farthing.plans import library
from farthing.plans.hosting import HOURS_PER_MONTH, ZERO, Owned, Power, grade_of, kwh_per_hour, lines
from farthing.plans.interval import propagate
from farthing.problems import FarthingError

_CENTS = Decimal("0.0001")


class Hourly(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars an hour of one device, with the interval of its inputs, who states them, and the worst grade."""

    low: Decimal
    usd: Decimal
    high: Decimal
    grade: Grade
    sources: tuple[Source, ...]


def owned_usd_per_gpu_hour(device: str, region: str = "us") -> Hourly:
    """Owning `device`: depreciation, and the electricity of serving without a pause in `region`.

    Nothing is added for space, network or staff, which nobody stated (`farthing tco` takes them). Raises
    `FarthingError` where no price of a machine with the device, or of electricity in the region, is known.
    """
    try:
        owned = library.owned(device)
    except FarthingError as error:
        known = str(error).partition(":")[0]
        raise FarthingError(f"{known}; state --usd-per-gpu-hour (`farthing tco --buy DOLLARS` helps)") from None
    power = library.power(device, region)
    if power.usd_per_kwh is None:
        raise FarthingError(f"no price of electricity is known in {region}; state --usd-per-gpu-hour, or --region usa")

    def hourly(o: Owned, p: Power) -> Fraction:
        price = p.usd_per_kwh or ZERO  # never None: the above
        running = kwh_per_hour(p, 1, Fraction(1)) * price.mid
        bare = msgspec.structs.replace(p, usd_per_kwh=None)
        fixed = sum((line.usd for line in lines(o, bare, o.unit_gpus, HOURS_PER_MONTH)), Fraction(0))
        return fixed / HOURS_PER_MONTH / o.unit_gpus + running

    found = propagate(hourly, owned, power)
    low, usd, high = (to_decimal(end or Fraction(0)).quantize(_CENTS) for end in (found.low, found.mid, found.high))
    return Hourly(low=low, usd=usd, high=high, grade=grade_of(owned, power), sources=(*owned.sources, *power.sources))
