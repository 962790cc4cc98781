"""The options that `tco`, `breakeven` and `margin` share, and the plans that they state."""

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.common import instant
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from farthing.evidence import Source
    from farthing.plans.breakeven import ApiPrice, Host
    from farthing.plans.fleet import Load
    from farthing.plans.hosting import Capacity, Owned, Power, Rented
    from farthing.plans.interval import Interval
    from farthing.rates.book import Book

_FITS = re.compile(r"; (--.+) would fit$")
MARKET = "market"
USUAL_MIX = "3:1"


def _option(metavar: str, help: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help)


Text = str | None
Device = Annotated[Text, _option("D", "Device (h100-sxm): its rent, price and draw, where not stated.")]
Gpus = Annotated[int, typer.Option("--gpus", metavar="N", min=1, help="GPUs of one replica.")]
UnitGpus = Annotated[
    int | None,
    typer.Option("--unit-gpus", min=1, metavar="N", help="GPUs rented or bought at once (1; of a --buy USD: --gpus)."),
]
InputRate = Annotated[Text, _option("R", "Prompt tokens a replica reads a second, doing nothing else.",
                                    "--input-tokens-s")]  # fmt: skip
OutputRate = Annotated[Text, _option("R", "Tokens a replica writes a second, doing nothing else.",
                                     "--output-tokens-s")]  # fmt: skip
Model = Annotated[Text, _option("M", "Or estimate the throughput: a model (llama-3.1-70b), with --device.")]
Input = Annotated[str, _option("ISL", "Estimate: prompt tokens of a request.")]
Output = Annotated[str, _option("OSL", "Estimate: tokens of an answer.")]
Concurrency = Annotated[Text, _option("C", "Estimate: requests in flight in a replica.")]
Engine = Annotated[str, _option("E", "Estimate: vllm, sglang or trtllm.")]
Weights = Annotated[Text, _option("F", "Estimate: format of the weights (bf16, fp8, int4, fp4; the checkpoint's).")]
Kv = Annotated[str, _option("F", "Estimate: format of the cache (bf16, fp8).")]
Rent = Annotated[Text, _option("USD", "Rent, dollars a GPU-hour; 'market': the library's.")]
Term = Annotated[str, _option("T", "on-demand, spot, reserved-1y, reserved-3y.")]
OnShare = Annotated[str, _option("S", "Of the hours, those that rented machines are on.", "--on-share")]
Interruptions = Annotated[Text, _option("N", "Spot: interruptions a month.")]
RestartH = Annotated[Text, _option("H", "Hours until it serves again after one.", "--restart-h")]
LostH = Annotated[Text, _option("H", "Hours of work repeated after one.", "--lost-h")]
Months = Annotated[str, _option("M", "How long machines are needed (a minimum term may be longer).")]
Buy = Annotated[Text, _option("USD", "Price of one machine of --unit-gpus; 'market': the library's.")]
Life = Annotated[Text, _option("Y", "Years that a machine is kept (4).")]
Decline = Annotated[Text, _option("S", "Share of its value lost a year (declining depreciation).")]
Residual = Annotated[Text, _option("S", "Share of the price left at the end (straight-line).")]
CapitalRate = Annotated[Text, _option("S", "Yearly cost of capital (0.08).", "--capital-rate")]
Maintenance = Annotated[Text, _option("S", "Of the price, a year.")]
Colocation = Annotated[Text, _option("USD", "Dollars a rated kW and month.")]
Network = Annotated[Text, _option("USD", "Dollars a machine (or rented block) and month.")]
Staff = Annotated[Text, _option("USD", "Dollars a month, for the whole fleet.")]
BoardW = Annotated[Text, _option("W", "Mean draw of a busy board.", "--board-w")]
IdleW = Annotated[Text, _option("W", "Draw of a waiting board.", "--idle-w")]
HostW = Annotated[Text, _option("W", "Rest of the server, for each GPU.", "--host-w")]
PueOption = Annotated[Text, _option("R", "Facility energy over energy at the wall.", "--pue")]
Kwh = Annotated[Text, _option("USD", "Price of a kilowatt-hour.", "--usd-per-kwh")]
Region = Annotated[Text, _option("R", "Grid region (us-va, fra): price and carbon.")]
Mix = Annotated[Text, _option("I:O", "Input to output tokens (3:1; with --model those of a request).")]
Cached = Annotated[str, _option("S", "Share of the input that a prefix cache holds.")]
Peak = Annotated[str, _option("R", "Busiest hour over mean hour.")]
Target = Annotated[str, _option("S", "Highest utilisation planned at the peak.")]
Minimum = Annotated[int, typer.Option(metavar="N", min=0, help="Blocks that always run.")]
Spare = Annotated[int, typer.Option(metavar="N", min=0, help="Blocks that stand by (1: N+1).")]
Hours = Annotated[str, _option("H", "Hours in a month.", "--hours-per-month")]


def interval(option: str, text: str | None) -> "Interval | None":
    """An option's number, LOW..HIGH or LOW..MID..HIGH. Raises `FarthingError` naming the option."""
    from farthing.plans.interval import parse_interval

    try:
        return None if text is None else parse_interval(text)
    except ValueError as error:
        raise FarthingError(f"{option}: {error}") from None


def number(option: str, text: str) -> Fraction:
    """An option's exact number. Raises `FarthingError` naming the option."""
    from farthing.plans.interval import parse_number

    try:
        return parse_number(text)
    except ValueError as error:
        raise FarthingError(f"{option}: {error}") from None


def volume(text: str | None) -> Fraction | None:
    """The tokens a month of --volume. Raises `FarthingError` with examples."""
    from farthing.plans.interval import parse_number

    try:
        return None if text is None else parse_number(text)
    except ValueError as error:
        raise FarthingError(f"--volume: {error}; write such as 5B, 300M or 1200000") from None


def you() -> "Source":
    """The source of what the options state."""
    from farthing.evidence import Grade, Source

    return Source(id="options", title="Stated on the command line", where="its options", seen=None, grade=Grade.ASSUMED)


def share_of(mix: str) -> Fraction:
    """The share of input in "3:1". Raises `FarthingError` with an example."""
    left, colon, right = mix.partition(":")
    if not colon:
        raise FarthingError(f"--mix {mix!r} is not INPUT:OUTPUT, such as 3:1")
    read, written = number("--mix", left), number("--mix", right)
    if read + written == 0:
        raise FarthingError("--mix 0:0 has no tokens; write such as 3:1")
    return read / (read + written)


def load_of(o: dict[str, Any]) -> "Load":
    """The load that the options state."""
    from farthing.plans.fleet import Load
    from farthing.plans.hosting import HOURS_PER_MONTH

    hours = o["hours_per_month"]
    made = Load(
        input_share=share_of(o["mix"] or (f"{o['input']}:{o['output']}" if o.get("model") else USUAL_MIX)),
        cached_share=number("--cached", o["cached"]),
        peak=number("--peak", o["peak"]),
        target=number("--target", o["target"]),
        minimum=o["minimum"],
        spare=o["spare"],
        hours_per_month=number("--hours-per-month", hours) if hours != "730" else HOURS_PER_MONTH,
    )
    made.check()
    return made


def hosts_of(o: dict[str, Any], *, several: bool) -> "list[Host]":
    """The ways of hosting that the options state: --rent, --buy, or (with --device alone) the market's rent."""
    from farthing.plans.breakeven import Host

    if o["rent"] is None and o["buy"] is None:
        if o["device"] is None:
            raise FarthingError("say what it runs on: --device h100-sxm, --rent DOLLARS or --buy DOLLARS")
        o = {**o, "rent": MARKET}
    if o["rent"] is not None and o["buy"] is not None and not several:
        raise FarthingError("state --rent or --buy, not both; `farthing breakeven` compares them")
    capacity = _capacity(o)
    power = _power(o)
    found = []
    if o["rent"] is not None:
        found.append(Host(hosting=_rented(o), capacity=capacity, power=power))
    if o["buy"] is not None:
        found.append(Host(hosting=_owned(o), capacity=capacity, power=power))
    return found


def _capacity(o: dict[str, Any]) -> "Capacity":
    from farthing.plans.hosting import Capacity

    if o.get("model") is not None:
        return _estimated(o)
    read = interval("--input-tokens-s", o["input_tokens_s"])
    written = interval("--output-tokens-s", o["output_tokens_s"])
    if read is None or written is None:
        raise FarthingError(
            "state what one replica does: --input-tokens-s 5000 --output-tokens-s 3000, or --model to estimate it"
        )
    return Capacity(input_tokens_s=read, output_tokens_s=written, gpus=o["gpus"], sources=(you(),))


def _estimated(o: dict[str, Any]) -> "Capacity":
    """The throughput of --model on --gpus of --device, tensor-parallel."""
    from farthing.plans.estimated import capacity
    from farthing.serving import devices, models
    from farthing.serving.deployment import Deployment
    from farthing.serving.estimate import Load

    if o["input_tokens_s"] is not None or o["output_tokens_s"] is not None:
        raise FarthingError("state the throughput, or a --model to estimate it for, not both")
    deployment = Deployment(
        model=models.find(o["model"]),
        device=devices.find(_need_device(o, "--model")),
        engine=o["engine"],
        weights=o["weights"] or models.precision(o["model"]),
        kv=o["kv"],
        tp=o["gpus"],
    )
    deployment.check()
    flight = o["concurrency"]
    load = Load(
        input=float(number("--input", o["input"])),
        output=float(number("--output", o["output"])),
        concurrency=None if flight is None else float(number("--concurrency", flight)),
        prefix_hit=float(number("--cached", o["cached"])),
    )
    try:
        return capacity(deployment, load)
    except FarthingError as error:
        raise FarthingError(_FITS.sub(_in_our_options, str(error))) from None


def _in_our_options(found: re.Match[str]) -> str:
    """What would fit, in the options of a plan: --gpus is the estimate's --tp, and there are no stages (--pp)."""
    ways = [re.sub(r"--tp (\d+).*", r"--gpus \1", way) for way in found[1].split(" or ") if "--pp" not in way]
    if not ways:
        return "; a larger device is needed, or stages: `farthing host estimate --pp`"
    return f"; {' or '.join(ways)} would fit"


def _need_device(o: dict[str, Any], option: str) -> str:
    if o["device"] is None:
        what = "" if option == "--model" else " market"
        raise FarthingError(f"{option}{what} needs --device, such as h100-sxm")
    return str(o["device"])


def _stated(o: dict[str, Any], keys: dict[str, str]) -> "dict[str, Interval]":
    """The intervals of the options that were given, by field."""
    found = {field: interval("--" + key.replace("_", "-"), o[key]) for field, key in keys.items()}
    return {field: value for field, value in found.items() if value is not None}


def _rented(o: dict[str, Any]) -> "Rented":
    import msgspec

    from farthing.plans.hosting import Rented
    from farthing.plans.library import TERMS, rented

    if o["term"] not in TERMS:
        raise FarthingError(f"--term {o['term']!r} is not one of {', '.join(TERMS)}")
    if o["rent"] == MARKET:
        moment = instant(o.get("at"))
        made = rented(_need_device(o, "--rent"), o["term"], moment.date() if moment else None)
    else:
        price = interval("--rent", o["rent"])
        assert price is not None
        kind, _, years = o["term"].partition("-") if o["term"].startswith("reserved") else (o["term"], "", "")
        made = Rented(usd_per_gpu_hour=price, term=kind, minimum_months=Fraction({"1y": 12, "3y": 36}.get(years, 0)),
                      name=f"rented, {o['term']}", sources=(you(),))  # fmt: skip
    keys = {"network_usd_per_month": "network", "staff_usd_per_month": "staff",
            "interruptions_per_month": "interruptions", "restart_h": "restart_h", "lost_h": "lost_h"}  # fmt: skip
    return msgspec.structs.replace(
        made,
        **_stated(o, keys),
        unit_gpus=o["unit_gpus"] or made.unit_gpus,
        on_share=number("--on-share", o["on_share"]),
        months=number("--months", o["months"]),
    )


def _owned(o: dict[str, Any]) -> "Owned":
    import msgspec

    from farthing.plans.depreciation import DECLINING, STRAIGHT
    from farthing.plans.hosting import Owned
    from farthing.plans.library import owned

    if o["decline"] is not None and o["residual"] is not None:
        raise FarthingError("state --decline (a share lost a year) or --residual (what is left at the end), not both")
    if o["buy"] == MARKET:
        made = owned(_need_device(o, "--buy"))
    else:
        price = interval("--buy", o["buy"])
        assert price is not None
        made = Owned(machine_usd=price, unit_gpus=o["unit_gpus"] or o["gpus"], name="owned", sources=(you(),))
        if o["device"] is not None:
            usual = owned_rating(o["device"])
            made = msgspec.structs.replace(made, rated_w=usual)
    keys = {"life_years": "life", "yearly_decline": "decline", "residual_share": "residual",
            "capital_rate": "capital_rate", "maintenance_share": "maintenance",
            "colocation_usd_per_kw_month": "colocation", "network_usd_per_month": "network",
            "staff_usd_per_month": "staff"}  # fmt: skip
    method = DECLINING if o["decline"] is not None else STRAIGHT if o["residual"] is not None else made.method
    made = msgspec.structs.replace(made, **_stated(o, keys), method=method, unit_gpus=o["unit_gpus"] or made.unit_gpus)
    if made.colocation_usd_per_kw_month.high and not made.rated_w.high:
        raise FarthingError("--colocation is by the rated kW: name the --device")
    return made


def owned_rating(device: str) -> "Interval":
    """Watts at the wall for each GPU that a place is rented for: the host factor times the TDP."""
    from farthing.plans.interval import exactly, from_physics
    from farthing.serving import devices, hosts

    found = devices.find(device)
    return exactly(from_physics(hosts.host(found).factor * found.tdp_w))


def _power(o: dict[str, Any]) -> "Power | None":
    import msgspec

    from farthing.plans.hosting import Power
    from farthing.plans.interval import exactly, from_physics
    from farthing.plans.library import power, region

    keys = {"busy_w": "board_w", "idle_w": "idle_w", "host_w": "host_w", "pue": "pue", "usd_per_kwh": "usd_per_kwh"}
    stated: dict[str, Any] = dict(_stated(o, keys))
    mine = (you(),) if stated else ()
    if o["device"] is not None:
        usual = power(o["device"], o["region"])
        return msgspec.structs.replace(usual, **stated, sources=(*usual.sources, *mine))
    if "busy_w" not in stated:
        if o["buy"] is not None:
            raise FarthingError("owned machines draw power: name the --device, or state --board-w and --usd-per-kwh")
        return None
    if o["region"] is not None:
        price, carbon, sources = region(o["region"])
        if price is not None:
            stated.setdefault("usd_per_kwh", exactly(price))
        stated["g_per_kwh"] = exactly(from_physics(carbon))
        mine = (*mine, *sources)
    return Power(**{"idle_w": stated["busy_w"], **stated}, sources=mine)


def price_of(book: "Book") -> "Callable[[str, datetime], ApiPrice]":
    """The prices of the book, as scenarios look them up."""
    from farthing.plans.prices import api_price

    return lambda offer, moment: api_price(book, offer, moment)
