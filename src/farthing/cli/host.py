"""`farthing host`: what serving a model yourself does and costs."""

import re
from pathlib import Path
from typing import Annotated

import typer

from farthing.cli import host_inputs as inputs
from farthing.cli import host_measured, host_simulate
from farthing.cli.common import Json, console, print_json, share
from farthing.problems import FarthingError

app = typer.Typer(help="Serve a model yourself: speed, memory, watts and dollars, each with its interval.",
                  no_args_is_help=True)  # fmt: skip


@app.command()
def estimate(
    model: inputs.ModelArgument,
    device: inputs.Device = None,
    count: inputs.Count = None,
    engine: inputs.Engine = "vllm",
    weights: inputs.Weights = None,
    kv: inputs.Kv = "bf16",
    tp: inputs.Tp = None,
    pp: inputs.Pp = None,
    ep: inputs.Ep = None,
    dp: inputs.Dp = None,
    chunk: inputs.Chunk = None,
    input: Annotated[float, typer.Option(metavar="ISL", help="Prompt tokens of a request.")] = 1024,
    output: Annotated[float, typer.Option(metavar="OSL", help="Tokens of its answer.")] = 1024,
    concurrency: inputs.Concurrency = None,
    prefix_hit: inputs.PrefixHit = 0.0,
    usd_per_gpu_hour: inputs.Rent = None,
    own: inputs.Own = False,
    region: inputs.Region = "usa",
    utilization: inputs.Utilization = 1.0,
    draft_tokens: inputs.DraftTokens = None,
    acceptance: inputs.Acceptance = None,
    disaggregated: Annotated[
        str | None, typer.Option(metavar="P:D", help="P replicas that read prompts, D that decode.")
    ] = None,
    calibration: inputs.Calibrated = None,
    at: inputs.At = None,
    save: Annotated[str | None, typer.Option(metavar="NAME", help="Keep it for `replay --to host:NAME`.")] = None,
    hosts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to keep it (./farthing-hosts.toml).")
    ] = None,
    card: Annotated[Path | None, typer.Option("--card", metavar="OUT", help="Also write a rate card.")] = None,
    as_json: Json = False,
) -> None:
    """How fast MODEL runs on a device, how many requests fit, what it draws, and what its tokens cost.

    Example: farthing host estimate llama-3.1-70b --device h100-sxm --count 4 --weights fp8
    --input 2000 --output 500 --concurrency 32
    """
    options = dict(locals())
    from farthing.reports.host import estimate_json, estimate_view
    from farthing.serving import hosted
    from farthing.serving.estimate import Load, priced
    from farthing.serving.estimate import estimate as of

    if save is not None and (disaggregated is not None or calibration is not None):
        raise FarthingError("--save keeps a plain deployment: not with --disaggregated or --calibration")
    if save is not None and not save.strip():
        raise FarthingError("--save needs a name; such as --save ours")
    if disaggregated is not None and calibration is not None:
        raise FarthingError("state --disaggregated or --calibration, not both")
    pools = None if disaggregated is None else _pools(disaggregated)
    if pools is not None and count is not None:
        options["count"] = _each(count, pools)
    made = inputs.deployment_of(options, save or "")
    load = Load(input=input, output=output, concurrency=concurrency, prefix_hit=prefix_hit)
    if pools is not None:
        from farthing.serving.disaggregated import estimate_split

        found = estimate_split(made.deployment, load, *pools, utilization=utilization)
    elif calibration is not None:
        from farthing.serving.calibration import load_calibration

        found = of(
            made.deployment, load, utilization=utilization, calibration=load_calibration(calibration, made.deployment)
        )
    else:
        found = of(made.deployment, load, utilization=utilization)
    rent, says = None, ""
    if found.feasible:
        usd, says, rent = inputs.dollars_or_none(options, made.deployment.device.id, needed=bool(save or card))
        found = found if usd is None else priced(found, usd)
        if save is not None:
            hosted.save(
                inputs.with_rent(made, usd) if own and usd is not None else made, hosts or Path(hosted.DEFAULT_FILE)
            )
        if card is not None:
            from farthing.files import write_whole
            from farthing.rates.write import prepare, write_card

            day = inputs.today().date()
            offers, _ = prepare([hosted.offer(save or made.name, found, day)], day)
            write_whole(card, write_card(offers))
    if as_json:
        print_json(estimate_json(found, rent))
    else:
        console().print(estimate_view(found, says))
        if not found.feasible and (save is not None or card is not None):
            console().print("Nothing is written.")


@app.command()
def search(
    model: inputs.ModelArgument,
    device: Annotated[list[str], typer.Option(metavar="D", help="A device to try; repeatable.")],
    ttft_ms: Annotated[float, typer.Option("--ttft-ms", metavar="X", help="The slowest first token that will do.")],
    tpot_ms: Annotated[float, typer.Option("--tpot-ms", metavar="Y", help="The slowest token that will do.")],
    input: Annotated[float, typer.Option(metavar="ISL", help="Prompt tokens of a request.")] = 1024,
    output: Annotated[float, typer.Option(metavar="OSL", help="Tokens of its answer.")] = 1024,
    engine: Annotated[list[str] | None, typer.Option(metavar="E", help="vllm (default), sglang, trtllm.")] = None,
    weights: Annotated[list[str] | None, typer.Option(metavar="F", help="Formats to try; none: all it has.")] = None,
    kv: inputs.Kv = "bf16",
    prefix_hit: inputs.PrefixHit = 0.0,
    max_gpus: Annotated[int, typer.Option("--max-gpus", metavar="N", min=1, help="Devices a replica at most.")] = 8,
    usd_per_gpu_hour: Annotated[
        list[str] | None, typer.Option("--usd-per-gpu-hour", metavar="X", help="For each --device, in order.")
    ] = None,
    own: inputs.Own = False,
    region: inputs.Region = "usa",
    utilization: inputs.Utilization = 1.0,
    sure: Annotated[bool, typer.Option("--sure", help="The slow end of the 80 % interval must do.")] = False,
    at: inputs.At = None,
    as_json: Json = False,
) -> None:
    """The cheapest ways to serve MODEL under a promise on latency, and the frontier of speed against dollars.

    Example: farthing host search llama-3.1-70b --device h100-sxm --device h200 --input 2000 --output 500
    --ttft-ms 1000 --tpot-ms 40
    """
    from farthing.reports.host import search_json, search_view
    from farthing.serving import devices, models
    from farthing.serving.search import Goal
    from farthing.serving.search import search as run

    stated = list(usd_per_gpu_hour or [])
    if stated and len(stated) not in (1, len(device)):
        raise FarthingError(f"{len(stated)} rents for {len(device)} devices; state one, or one for each --device")
    offers, rents = [], list[str]()
    for position, name in enumerate(device):
        one = devices.find(name)
        rent = stated[position if len(stated) > 1 else 0] if stated else None
        wanted = {"usd_per_gpu_hour": rent, "own": own, "region": region, "at": at}
        usd, says, _ = inputs.dollars_or_none(wanted, one.id, needed=len(device) == 1)
        told = f"{one.id}: {says}" if usd is None else f"{one.id} at {usd} an hour ({says})"
        if told not in rents:
            rents.append(told)
        if usd is not None and (one, usd) not in offers:
            offers.append((one, usd))
    if not offers:
        raise FarthingError("; ".join(rents))
    goal = Goal(input=input, output=output, ttft_ms=ttft_ms, tpot_ms=tpot_ms, prefix_hit=prefix_hit, sure=sure)
    with share("searching") as tick:
        found = run(
            models.find(model), offers, goal, engines=engine or ("vllm",), weights=weights or (), kv=kv,
            max_gpus=max_gpus, utilization=utilization, progress=tick,
        )  # fmt: skip
    if as_json:
        print_json({**search_json(found, goal), "rents": rents})
    else:
        console().print(search_view(found, goal))
        console().print("Rents: " + "; ".join(rents) + ".")


app.command("simulate")(host_simulate.simulate)
app.command("validate")(host_measured.validate)
app.command("calibrate")(host_measured.calibrate)
app.command("bench")(host_measured.bench)


def _pools(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})", text)
    if found is None:
        raise FarthingError(f"--disaggregated {text!r} is not P:D, such as 1:3")
    return int(found[1]), int(found[2])


def _each(count: int, pools: tuple[int, int]) -> int:
    """The devices of each of the replicas in two pools that have `count` together."""
    replicas = sum(pools)
    if count % replicas:
        raise FarthingError(f"--count {count} cannot be shared evenly by {pools[0]} + {pools[1]} replicas")
    return count // replicas
