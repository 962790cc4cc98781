"""Views of what serving yourself costs: JSON and a table."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.plans.hosting import Owned
from farthing.plans.interval import Outcome
from farthing.plans.tco import Tco
from farthing.reports.plans_costs import left_out, machines
from farthing.reports.plans_show import (
    digits,
    dollars,
    drivers_json,
    line,
    number,
    percent,
    range_json,
    sources_json,
    sources_lines,
    spread,
    table,
    tokens,
)

if TYPE_CHECKING:
    from rich.console import Group


def _sources(found: Tco) -> list[Any]:
    parts = (found.hosting, found.capacity, found.power)
    return [source for part in parts if part is not None for source in part.sources]


def tco_json(found: Tco) -> dict[str, Any]:
    """The account in JSON's types; each uncertain number has low, mid and high."""
    carbon, load = found.carbon, found.load
    return {
        "name": found.hosting.name,
        "kind": "owned" if isinstance(found.hosting, Owned) else "rented",
        "tokens_per_month": number(found.volume),
        "input_share": number(load.input_share),
        "cached_share": number(load.cached_share),
        "gpus": found.gpus,
        "gpus_of_a_machine": found.hosting.unit_gpus,
        "machines": number(found.machines),
        "utilization": range_json(found.utilisation),
        "useful_share": number(found.useful_share),
        "tokens_per_month_of_a_block": range_json(found.block_tokens),
        "usd_per_month": range_json(found.usd_per_month),
        "usd_per_hour": range_json(found.usd_per_hour),
        "usd_per_gpu_hour": range_json(found.usd_per_gpu_hour),
        "usd_per_mtok_input": range_json(found.usd_per_mtok_input),
        "usd_per_mtok_output": range_json(found.usd_per_mtok_output),
        "usd_per_mtok_blended": range_json(found.usd_per_mtok),
        "drivers": drivers_json(found.usd_per_mtok),
        "costs": [
            {"name": cost.name, "usd_per_month": range_json(cost.usd_per_month), "share": number(cost.share)}
            for cost in found.costs
        ],
        "kwh_per_month": range_json(carbon.kwh_per_month) if carbon else None,
        "wh_per_mtok": range_json(carbon.wh_per_mtok) if carbon else None,
        "joules_per_output_token": range_json(carbon.joules_per_output_token) if carbon else None,
        "operational_g_per_mtok": range_json(carbon.operational_g_per_mtok) if carbon else None,
        "embodied_g_per_mtok": range_json(carbon.embodied_g_per_mtok) if carbon else None,
        "sci_g_per_mtok": range_json(carbon.sci_g_per_mtok) if carbon else None,
        "not_included": left_out(found.hosting),
        "carbon_missing": list(carbon.missing) if carbon else ["what a GPU draws"],
        "carbon_evidence": str(carbon.grade) if carbon else None,
        "years": [
            {
                "year": year.year,
                "opening_usd": number(year.opening_usd),
                "depreciation_usd": number(year.depreciation_usd),
                "interest_usd": number(year.interest_usd),
                "closing_usd": number(year.closing_usd),
            }
            for year in found.years
        ],
        "evidence": str(found.grade),
        "sources": sources_json(_sources(found)),
    }


def tco_view(found: Tco) -> "Group":
    """The account for a terminal: the price of a token first, then what it is made of."""
    from rich.console import Group
    from rich.text import Text

    load = found.load
    head = Text()
    head.append(f"{spread(found.usd_per_mtok)} per million tokens", style="bold")
    head.append(f", {found.hosting.name}; evidence: {found.grade}")
    mix = f"{percent(load.input_share)} input"
    if load.cached_share:
        mix += f", {percent(load.cached_share)} of it cached"
    gpus = _gpus(found.gpus) + machines(found.hosting)
    parts: list[Any] = [
        head,
        line(f"{tokens(found.volume)} tokens a month ({mix}) on {gpus}, busy {_busy(found)}"),
        line(),
    ]
    prices = table("", "US dollars>", "")
    for name, value, note in (
        ("a million input tokens", found.usd_per_mtok_input, "its part by the time it takes; cached ones counted"),
        ("a million output tokens", found.usd_per_mtok_output, ""),
        ("a GPU-hour", found.usd_per_gpu_hour, "all in"),
        ("an hour", found.usd_per_hour, ""),
        ("a month", found.usd_per_month, ""),
    ):
        if value is not None:
            prices.add_row(name, spread(value), note)
    costs = table("of the month", "US dollars>", "share>")
    for cost in found.costs:
        costs.add_row(cost.name, spread(cost.usd_per_month), percent(cost.share))
    parts += [prices, line(), costs, *_carbon_lines(found), *_years(found), line()]
    parts += [line(text, "dim") for text in notes(found)]
    return Group(*parts, *sources_lines(_sources(found)))


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count:,} GPUs"


def _busy(found: Tco) -> str:
    return spread(found.utilisation, "ratio")


def notes(found: Tco) -> list[str]:
    """What a reader should know of this account."""
    said = []
    if found.useful_share < 1:
        said.append(f"interruptions leave {percent(found.useful_share)} of the paid hours for serving")
    high = found.utilisation.high
    if high is not None and high * found.load.peak > 1:
        said.append("at the low end of the throughput these GPUs cannot serve the peak; add a block, or measure")
    if found.usd_per_mtok.drivers and found.usd_per_mtok.low != found.usd_per_mtok.high:
        widest = found.usd_per_mtok.drivers[0].name
        said.append(f"the interval comes first of all from {_WORDS.get(widest, widest.replace('_', ' '))}")
    absent = left_out(found.hosting)
    if absent:
        said.append("not stated, so not in it: " + ", ".join(absent))
    return said


_WORDS = {
    "scale": "the estimate of the throughput",
    "input_tokens_s": "the tokens read a second",
    "output_tokens_s": "the tokens written a second",
    "usd_per_gpu_hour": "the rent",
    "machine_usd": "the machine's price",
    "yearly_decline": "the yearly loss of value",
    "life_years": "the machine's life",
    "staff_usd_per_month": "staff",
}


def _carbon_lines(found: Tco) -> list[Any]:
    carbon = found.carbon
    if carbon is None:
        return [line(), line("energy and carbon: unknown; state what a GPU draws (--board-w)", "dim")]
    made = table("energy and carbon", ">", f"evidence: {carbon.grade}")
    rows: list[tuple[str, Outcome | None, str, str]] = [
        ("kWh a month", carbon.kwh_per_month, "", ""),
        ("Wh per million tokens", carbon.wh_per_mtok, "", ""),
        ("J per output token", carbon.joules_per_output_token, "", ""),
        ("g CO2e per million tokens", carbon.operational_g_per_mtok, "operational: energy × grid", ""),
        ("", carbon.embodied_g_per_mtok, "embodied: making the hardware", ""),
        ("", carbon.sci_g_per_mtok, "SCI (ISO/IEC 21031): both", ""),
    ]
    for name, value, note, _ in rows:
        if value is not None:
            made.add_row(name, spread(value, ""), note)
    said = [line(f"carbon incomplete: not stated: {', '.join(carbon.missing)}", "dim")] if carbon.missing else []
    return [line(), made, *said]


def _years(found: Tco) -> list[Any]:
    if not found.years or not isinstance(found.hosting, Owned):
        return []
    made = table("year", "one machine, start>", "loses>", "capital>", "worth at the end>")
    for year in found.years:
        made.add_row(str(year.year), dollars(year.opening_usd), dollars(year.depreciation_usd),
                     dollars(year.interest_usd), dollars(year.closing_usd))  # fmt: skip
    count = Fraction(found.gpus, found.hosting.unit_gpus)
    how = f"{found.hosting.method}; {digits(count)} of them"
    return [line(), made, line(how, "dim")]
