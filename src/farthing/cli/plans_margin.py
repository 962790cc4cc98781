"""`farthing margin`: the cost behind a price, of an API, a disclosure, a subscription."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli import plans_inputs as inputs
from farthing.cli.common import At, Cards, Json, book_with, console, instant, print_json
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.plans.breakeven import ApiPrice
    from farthing.plans.margin import TokenCost

Cost = Annotated[str | None, typer.Option(metavar="USD", help="What a million of them costs the provider.")]


def margin(
    offer: Annotated[str | None, typer.Argument(metavar="[PROVIDER/MODEL]", help="The API offer.")] = None,
    scenario: Annotated[
        str | None, typer.Option(metavar="NAME", help="deepseek-open-infra: a provider's own account; …")
    ] = None,
    plan: Annotated[str | None, typer.Option(metavar="NAME", help="A subscription: claude-max-20x, …")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Subscriptions of your own (TOML).")
    ] = None,
    cost_input: Cost = None,
    cost_cached: Cost = None,
    cost_output: Cost = None,
    like: Annotated[
        str | None, typer.Option(metavar="NAME", help="Or the cost of a disclosure: deepseek-open-infra.")
    ] = None,
    factor: Annotated[str, typer.Option(metavar="R", help="Times this (0.5..2..8): another model, by guess.")] = "1",
    device: inputs.Device = None,
    gpus: inputs.Gpus = 1,
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
    utilization: Annotated[str, typer.Option(metavar="S", help="Mean utilisation of those GPUs.")] = "0.6",
    mix: inputs.Mix = None,
    cached: inputs.Cached = "0",
    at: At = None,
    card: Cards = None,
    as_json: Json = False,
) -> None:
    """The cost behind a price: gross margin of an API (input and output apart), of a disclosure, of a subscription.

    The cost of a token is stated (--cost-input, --cost-output), like a disclosure's (--like), or that of GPUs
    (--device or --rent, with --input-tokens-s and --output-tokens-s).

    Example: farthing margin deepseek/deepseek-v3.1-terminus --like deepseek-open-infra --mix 608:168 --cached 0.56
    """
    stated = dict(locals())
    if scenario is not None and (offer is not None or plan is not None or file is not None):
        raise FarthingError("a --scenario has its own prices; leave out OFFER, --plan and --file")
    price_of = inputs.price_of(book_with(card))
    moment = instant(at) or datetime.now(UTC)
    if scenario is not None:
        _margin_scenario(scenario, rent, as_json)
        return
    cost = _token_cost(stated)
    if plan is not None or file is not None:
        _plan(plan, file, price_of, cost, None if offer is None else price_of(offer, moment), as_json)
        return
    if offer is None:
        raise FarthingError("name an offer (openai/gpt-4.1), a --scenario or a --plan; --help has an example")
    if cost is None:
        raise FarthingError("state what a token costs: --cost-input and --cost-output, --like, or the GPUs")
    from farthing.plans.margin import api_margin
    from farthing.reports.plans_margin import api_margin_json, api_margin_view

    found = api_margin(price_of(offer, moment), cost, inputs.load_of(stated | _UNSIZED))
    if as_json:
        print_json(api_margin_json(found))
    else:
        console().print(api_margin_view(found))


_UNSIZED = {"peak": "1", "target": "1", "minimum": 1, "spare": 0, "hours_per_month": "730"}
_UNUSED = dict.fromkeys(
    ("buy", "unit_gpus", "interruptions", "restart_h", "lost_h", "network", "staff", "board_w", "idle_w", "host_w",
     "pue", "usd_per_kwh", "region")
)  # fmt: skip


def _token_cost(stated: dict[str, object]) -> "TokenCost | None":
    """What the options say that a token costs; None where they say nothing."""
    ways = [
        stated["cost_input"] is not None or stated["cost_output"] is not None,
        stated["like"] is not None,
        stated["input_tokens_s"] is not None or stated["device"] is not None or stated["model"] is not None,
    ]
    if sum(ways) > 1:
        raise FarthingError("state the cost of tokens in one way: --cost-input and --cost-output, --like, or the GPUs")
    if ways[1]:
        from farthing.plans.plan_cases import scaled_cost

        times = inputs.interval("--factor", str(stated["factor"]))
        assert times is not None
        extra = () if times.exact and times.mid == 1 else (inputs.you(),)
        return scaled_cost(str(stated["like"]), times, extra)
    if ways[2]:
        from farthing.plans.margin import cost_of_host

        (host,) = inputs.hosts_of(stated | _UNUSED | {"on_share": "1", "months": "12"}, several=False)
        use = inputs.number("--utilization", str(stated["utilization"]))
        return cost_of_host(host, inputs.load_of(stated | _UNSIZED), use)
    if not ways[0]:
        return None
    from farthing.plans.margin import TokenCost

    read = inputs.interval("--cost-input", _text(stated["cost_input"]))
    written = inputs.interval("--cost-output", _text(stated["cost_output"]))
    if read is None or written is None:
        raise FarthingError("state both --cost-input and --cost-output")
    hit = inputs.interval("--cost-cached", _text(stated["cost_cached"]))
    return TokenCost(name="what you state", input_usd=read, output_usd=written, cached_usd=hit, sources=(inputs.you(),))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _margin_scenario(name: str, rent: str | None, as_json: bool) -> None:
    from farthing.plans.margin_scenarios import margin_scenario
    from farthing.reports.plans_margin import margin_scenario_json, margin_scenario_view

    found = margin_scenario(name, inputs.interval("--rent", rent))
    if as_json:
        print_json(margin_scenario_json(found))
    else:
        console().print(margin_scenario_view(found))


def _plan(
    name: str | None, file: Path | None, price_of: "Callable[[str, datetime], ApiPrice]", cost: "TokenCost | None",
    offer: "ApiPrice | None", as_json: bool,
) -> None:  # fmt: skip
    from farthing.plans.plan_cases import plan_names, run_plan
    from farthing.reports.plans_margin import plan_json, plan_view

    if name is None:
        raise FarthingError(f"name a plan of the file: --plan {' or '.join(plan_names(file)) or '(it has none)'}")
    found = run_plan(name, price_of, file, cost, offer)
    if as_json:
        print_json(plan_json(found))
    else:
        console().print(plan_view(found))
