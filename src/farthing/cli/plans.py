"""`farthing tco`, `farthing breakeven`: what hosting costs, and when it beats an API."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli import plans_inputs as inputs
from farthing.cli.common import At, Cards, Json, book_with, console, instant, print_json
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.rates.book import Book


def tco(
    device: inputs.Device = None,
    gpus: inputs.Gpus = 1,
    unit_gpus: inputs.UnitGpus = None,
    input_tokens_s: inputs.InputRate = None,
    output_tokens_s: inputs.OutputRate = None,
    model: inputs.Model = None,
    input: inputs.Input = "1024",
    output: inputs.Output = "1024",
    concurrency: inputs.Concurrency = None,
    engine: inputs.Engine = "vllm",
    weights: inputs.Weights = None,
    kv: inputs.Kv = "bf16",
    rent: inputs.Rent = None,
    term: inputs.Term = "on-demand",
    on_share: inputs.OnShare = "1",
    interruptions: inputs.Interruptions = None,
    restart_h: inputs.RestartH = None,
    lost_h: inputs.LostH = None,
    months: inputs.Months = "12",
    buy: inputs.Buy = None,
    life: inputs.Life = None,
    decline: inputs.Decline = None,
    residual: inputs.Residual = None,
    capital_rate: inputs.CapitalRate = None,
    maintenance: inputs.Maintenance = None,
    colocation: inputs.Colocation = None,
    network: inputs.Network = None,
    staff: inputs.Staff = None,
    board_w: inputs.BoardW = None,
    idle_w: inputs.IdleW = None,
    host_w: inputs.HostW = None,
    pue: inputs.PueOption = None,
    usd_per_kwh: inputs.Kwh = None,
    region: inputs.Region = None,
    volume: Annotated[str | None, typer.Option(metavar="N", help="Tokens a month, such as 5B.")] = None,
    utilization: Annotated[
        str | None, typer.Option(metavar="S", help="Or: mean utilisation of one block (0.5).")
    ] = None,
    mix: inputs.Mix = None,
    cached: inputs.Cached = "0",
    peak: inputs.Peak = "1",
    target: inputs.Target = "1",
    minimum: inputs.Minimum = 1,
    spare: inputs.Spare = 0,
    hours_per_month: inputs.Hours = "730",
    as_json: Json = False,
) -> None:
    """What serving a model yourself costs, rented or owned: by the hour, the month, the token; energy and carbon.

    Numbers may be intervals: 2.49..4.25 (its middle), or 2.49..3.79..4.25.

    Example: farthing tco --model llama-3.1-70b --weights fp8 --device h100-sxm --gpus 2 --volume 3B
    --input 3072 --output 1024
    """
    stated = dict(locals())
    from farthing.plans.tco import tco as account
    from farthing.reports.plans_tco import tco_json, tco_view

    load = inputs.load_of(stated)
    (host,) = inputs.hosts_of(stated, several=False)
    found = account(
        host.hosting,
        host.capacity,
        host.power,
        load,
        volume=inputs.volume(volume),
        utilisation=None if utilization is None else inputs.number("--utilization", utilization),
    )
    if as_json:
        print_json(tco_json(found))
    else:
        console().print(tco_view(found))


def breakeven(
    offer: Annotated[str | None, typer.Argument(metavar="[PROVIDER/MODEL]", help="The API offer.")] = None,
    scenario: Annotated[
        str | None, typer.Option(metavar="NAME", help="A documented scenario: startup-70b, decision-matrix, …")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Scenarios of your own (TOML).")] = None,
    device: inputs.Device = None,
    gpus: inputs.Gpus = 1,
    unit_gpus: inputs.UnitGpus = None,
    input_tokens_s: inputs.InputRate = None,
    output_tokens_s: inputs.OutputRate = None,
    model: inputs.Model = None,
    input: inputs.Input = "1024",
    output: inputs.Output = "1024",
    concurrency: inputs.Concurrency = None,
    engine: inputs.Engine = "vllm",
    weights: inputs.Weights = None,
    kv: inputs.Kv = "bf16",
    rent: inputs.Rent = None,
    term: inputs.Term = "on-demand",
    on_share: inputs.OnShare = "1",
    interruptions: inputs.Interruptions = None,
    restart_h: inputs.RestartH = None,
    lost_h: inputs.LostH = None,
    months: inputs.Months = "12",
    buy: inputs.Buy = None,
    life: inputs.Life = None,
    decline: inputs.Decline = None,
    residual: inputs.Residual = None,
    capital_rate: inputs.CapitalRate = None,
    maintenance: inputs.Maintenance = None,
    colocation: inputs.Colocation = None,
    network: inputs.Network = None,
    staff: inputs.Staff = None,
    board_w: inputs.BoardW = None,
    idle_w: inputs.IdleW = None,
    host_w: inputs.HostW = None,
    pue: inputs.PueOption = None,
    usd_per_kwh: inputs.Kwh = None,
    region: inputs.Region = None,
    mix: inputs.Mix = None,
    cached: inputs.Cached = "0",
    peak: inputs.Peak = "1",
    target: inputs.Target = "1",
    minimum: inputs.Minimum = 1,
    spare: inputs.Spare = 0,
    hours_per_month: inputs.Hours = "730",
    at: At = None,
    card: Cards = None,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="OUT", help="Also write a page with charts.")] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="OUT", help="Also write the charts as a picture.")
    ] = None,
) -> None:
    """The monthly volume at which an API, rented GPUs and owned ones each win, in whole machines.

    Example: farthing breakeven together/meta-llama/Llama-3.3-70B-Instruct-Turbo --device h100-sxm --gpus 2
    --input-tokens-s 5500 --output-tokens-s 3600 --rent market --buy market --region us-va --peak 2
    """
    stated = dict(locals())
    from farthing.plans.breakeven import breakeven as compare
    from farthing.reports.plans_breakeven import breakeven_json, breakeven_view

    if scenario is not None or file is not None:
        if offer is not None or html is not None or png is not None:
            raise FarthingError("a scenario has its own offers and no chart; leave out OFFER, --html and --png")
        _scenario(scenario, file, book_with(card), as_json)
        return
    if offer is None:
        raise FarthingError("name an offer (openai/gpt-4.1) or a --scenario; --help has an example")
    load = inputs.load_of(stated)
    hosts = inputs.hosts_of(stated, several=True)
    api = inputs.price_of(book_with(card))(offer, instant(at) or datetime.now(UTC))
    found = compare(api, hosts, load)
    if html is not None or png is not None:
        from farthing.reports import plans_charts

        drawn = compare(api, hosts, load, sorted({*plans_charts.volumes(), *(p.volume for p in found.curve)}))
        if html is not None:
            plans_charts.write_html(drawn, html, shlex.join(["farthing", *sys.argv[1:]]))
        if png is not None:
            plans_charts.write_png(drawn, png)
    if as_json:
        print_json(breakeven_json(found))
    else:
        console().print(breakeven_view(found))


def _scenario(name: str | None, file: Path | None, book: "Book", as_json: bool) -> None:
    from farthing.plans.scenario_run import run
    from farthing.plans.scenarios import load_scenarios, names
    from farthing.reports.plans_breakeven import scenario_json, scenario_view

    known = names(file)
    if name is None or name not in known:
        what = "name one" if name is None else f"no scenario is called {name!r}"
        raise FarthingError(f"{what}: --scenario {' or '.join(known) or '(the file has none)'}")
    found = run(load_scenarios(inputs.price_of(book), file, only=name)[name])
    if as_json:
        print_json(scenario_json(found))
    else:
        console().print(scenario_view(found))
