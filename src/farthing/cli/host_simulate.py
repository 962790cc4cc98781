"""`farthing host simulate`: recorded requests, or a workload, on a deployment of one's own."""

import math
from typing import Annotated

import typer

from farthing.cli import host_inputs as inputs
from farthing.cli.common import Json, console, print_json, share
from farthing.cli.usage import Format, Map, mapping
from farthing.problems import FarthingError, Problems

_MOST_TOKENS = 1e9  # of a request: no context comes near


def simulate(
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
    usage: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Usage files; repeatable.")] = None,
    format: Format = None,
    map: Map = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="A built-in workload instead.")] = None,
    input: Annotated[float, typer.Option(metavar="ISL", help="Without either: requests of this many tokens.")] = 1024,
    output: Annotated[float, typer.Option(metavar="OSL", help="… and answers of this many.")] = 1024,
    rate: Annotated[float | None, typer.Option(metavar="R", help="… arriving so many a second.")] = None,
    requests: Annotated[int, typer.Option(metavar="N", min=1, help="How many are drawn.")] = 1000,
    concurrency: Annotated[
        int | None, typer.Option(metavar="C", min=1, help="Keep so many in flight, whatever their times.")
    ] = None,
    speed: Annotated[float, typer.Option(metavar="X", help="Arrivals come so many times as fast.")] = 1.0,
    prefix_cache: Annotated[
        bool, typer.Option("--prefix-cache/--no-prefix-cache", help="Keep prompts' blocks.")
    ] = True,
    router: Annotated[str, typer.Option(metavar="R", help="Among replicas: least, round-robin, prefix.")] = "least",
    calibration: inputs.Calibrated = None,
    kv_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Tokens of context a replica holds, as the engine prints it.")
    ] = None,
    ttft_ms: Annotated[float | None, typer.Option("--ttft-ms", metavar="X", help="Objective: first token.")] = None,
    tpot_ms: Annotated[float | None, typer.Option("--tpot-ms", metavar="Y", help="Objective: per token.")] = None,
    usd_per_gpu_hour: inputs.Rent = None,
    own: inputs.Own = False,
    region: inputs.Region = "usa",
    at: inputs.At = None,
    as_json: Json = False,
) -> None:
    """What becomes of your requests on MODEL served yourself: waiting, speed, goodput, memory, energy, dollars.

    Example: farthing host simulate llama-3.1-8b --device rtx-4090 --usage examples/usage.jsonl --ttft-ms 500
    """
    options = {**locals(), "prefix_hit": None, "utilization": None}
    from farthing.reports.simulation import simulation_json, simulation_view
    from farthing.serving.estimate import Load
    from farthing.serving.hosted_run import Setting, run
    from farthing.serving.simulator.requests import Requests
    from farthing.serving.simulator.result import Slo

    if usage and profile:
        raise FarthingError("state --usage or --profile, not both")
    made = inputs.deployment_of(options)
    usd, says, _ = inputs.dollars_of(options, made.deployment.device.id)
    problems = Problems()
    closed = concurrency
    if usage:
        from farthing.usage.read import read_usage

        asked = Requests.from_usage(read_usage(usage, problems, format, mapping(map)))
        source = ", ".join(usage) if len(usage) <= 3 else f"{usage[0]} and {len(usage) - 1} more"
    elif profile:
        from farthing.usage.profiles import generate

        asked = Requests.from_usage(generate(profile, requests, 1, inputs.today()))
        source = f"the built-in workload {profile!r}"
    else:
        if rate is not None and not 0 < rate < math.inf:
            raise FarthingError(f"--rate {rate:g}; more than 0 a second")
        Load(input=input, output=output).check()
        if max(input, output) > _MOST_TOKENS:
            raise FarthingError(f"requests of {input:g} tokens in and {output:g} out; at most {_MOST_TOKENS:g}")
        asked = Requests.synthetic(requests, rate_per_s=rate or 1.0, prompt_tokens=input, output_tokens=output)
        closed = concurrency or (None if rate else 32 * made.deployment.replicas)
        source = f"{input:,.0f} tokens in, {output:,.0f} out"
        source += f", {rate:g} a second" if rate and not closed else ""
    if closed:
        source += f", {closed} kept in flight"
    slo = None
    for option, goal in (("--ttft-ms", ttft_ms), ("--tpot-ms", tpot_ms)):
        if goal is not None and not goal > 0:
            raise FarthingError(f"{option} {goal:g}; an objective is more than 0 ms")
    if ttft_ms is not None or tpot_ms is not None:
        slo = Slo(
            ttft_s=None if ttft_ms is None else ttft_ms / 1e3, tpot_s=None if tpot_ms is None else tpot_ms / 1e3
        )  # fmt: skip
    found = None
    if calibration is not None:
        from farthing.serving.calibration import load_calibration

        found = load_calibration(calibration, made.deployment)
    setting = Setting(prefix_cache=prefix_cache, router=router, closed_loop=closed, speed=speed, slo=slo,
                      calibration=found, kv_tokens=kv_tokens)  # fmt: skip
    with share("simulating") as tick:
        ran, scale = run(made, asked, setting, tick)
    summary = ran.summary(slo=slo, usd_per_replica_hour=float(usd) * made.deployment.gpus)
    if as_json:
        document = simulation_json(made.deployment.name, summary, source, str(usd), scale)
        print_json({**document, "left_out": asked.left_out, "rejected": problems.total})
    else:
        out = console()
        out.print(simulation_view(made.deployment.name, summary, source, f"{usd} a device-hour: {says}"))
        if asked.left_out or problems.total:
            lost = asked.left_out + problems.total
            out.print(f"{lost:,} record{'s are' if lost > 1 else ' is'} not in it: no prompt, sums, or unreadable.")
