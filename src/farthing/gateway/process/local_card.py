"""The price of the local model's tokens: dollars an hour of this machine over what it was just measured to do."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.files import write_whole
from farthing.problems import FarthingError
from farthing.rates.card import Offer
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table
from farthing.serving.measured.measurement import Measurement

HOURS_A_YEAR = 8766
_PLACE = "data/gateway/local.toml"


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour of the machine costs in dollars, how that comes about, and how sure it is."""

    usd: Decimal
    says: str
    grade: Grade


def assumed_hour() -> Hour:
    """An hour of the machine of data/gateway/local.toml, from its price, life, draw and the price of electricity."""
    from farthing.serving import grid

    root = Document(files("farthing").joinpath(_PLACE).read_text("utf-8"), _PLACE).table()
    sources = read_sources(root)
    machine = root.sub("machine")
    assert machine is not None
    (usd, bought), (years, used), (watts, drawn) = (
        _figure(machine, name, unit, sources) for name, unit in (("price", "usd"), ("life", "years"), ("draw", "watts"))
    )
    region = grid.find(machine.needed_text("region"))
    machine.finish()
    root.finish()
    power = region.price()
    return Hour(
        usd=Decimal(f"{usd / (years * HOURS_A_YEAR) + watts / 1000 * power.usd_per_kwh:.4g}"),
        says=f"{usd} USD of hardware over {years} years, {watts} W at {power.usd_per_kwh} USD a kWh",
        grade=worst(source.grade for source in (bought, used, drawn, power.source)),
    )


def stated_hour(usd: Decimal) -> Hour:
    """An hour as the one who runs the machine states it."""
    return Hour(usd=usd, says="as stated with --local-usd-per-hour", grade=Grade.DERIVED)


def offer_of(name: str, points: Sequence[Measurement], hour: Hour, context: int, seen: date) -> Offer:
    """The offer `host/NAME` at the measured load with the most tokens a second. Raises `FarthingError`.

    `context`: tokens that a request may have, prompt and answer, which bounds what it can cost.
    """
    from farthing.serving.measured_offer import best, measured_offer

    made = measured_offer(name, best(points), points, hour.usd, 1.0, seen)
    price = made.prices[0]
    source: Source = msgspec.structs.replace(
        price.source, title=f"{price.source.title} ({hour.says}); for the time in which it works, idle hours left out",
        where="farthing up --local", grade=worst((price.source.grade, hour.grade)),
    )  # fmt: skip
    price = msgspec.structs.replace(price, source=source)
    return msgspec.structs.replace(made, prices=(price,), context_window=context)


def write(file: Path, offer: Offer) -> None:
    """Write the offer as a rate card. Raises `FarthingError`."""
    from farthing.rates.write import prepare, write_card

    kept, left = prepare([offer], datetime.now(UTC).date())
    if left:
        raise FarthingError(str(left[0]))
    head = ["What tokens of the local model cost on this machine; `farthing up --local` measures and writes it anew."]
    write_whole(file, write_card(kept, head))


def _figure(machine: Table, name: str, unit: str, sources: Sources) -> tuple[Decimal, Source]:
    """A positive figure with its source."""
    table = machine.sub(name)
    if table is None:
        machine.fail(name, f"no {name} is stated")
    value = table.number(unit, positive=True)
    if value is None:
        table.fail(unit, f"no {unit} are stated")
    source = read_source(table, sources)
    table.finish()
    return value, source
