"""`farthing host validate`, `calibrate`, `bench`: what was measured against what is modelled."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli import host_inputs as inputs
from farthing.cli import host_measured_inputs as shared
from farthing.cli.common import Json, console, print_json
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.rates.card import Offer
    from farthing.serving.measured.measurement import Measurement
    from farthing.serving.validation import Validation

_FEWEST = 50


def validate(
    data: Annotated[
        list[Path] | None, typer.Option("--data", metavar="FILE", help="Measured rows; repeatable. None: the report.")
    ] = None,
    refit: Annotated[bool, typer.Option(help="Also fit on the rows, with parts of them held out.")] = True,
    groups: Annotated[bool, typer.Option("--groups", help="Also by engine, device, model and format.")] = False,
    model: shared.Model = None,
    device: inputs.Device = None,
    engine: shared.Engine = None,
    weights: shared.Weights = None,
    kv: shared.Kv = None,
    gpus: shared.Gpus = None,
    tp: inputs.Tp = None,
    pp: inputs.Pp = None,
    ep: inputs.Ep = None,
    dp: inputs.Dp = None,
    concurrency: shared.InFlight = None,
    as_json: Json = False,
) -> None:
    """How far the serving model is off on measured rows that it was not fitted on.

    Without --data: the report of the fit that Farthing carries. With --data: that fit against your rows as they are,
    and, where they are enough, a new fit on them with parts held out. The options after --groups fill in what the
    files do not say.

    Example: farthing host validate --data results/
    """
    options = {**locals(), "in_flight": concurrency}
    from farthing.reports import host_validation as views
    from farthing.serving import validation
    from farthing.serving.coefficients import packaged

    if not data:
        carried = validation.packaged()
        if as_json:
            source = packaged().source
            print_json({**views.validation_json(carried), "source": source.title, "grade": str(source.grade)})
        else:
            console().print(views.validation_view(carried, "in the fit that Farthing carries", groups))
            console().print(
                "Your own rows: farthing host validate --data FILE. The fit: python tools/fit_serving.py FILE."
            )
        return
    from farthing.serving.fitting.compare import compare
    from farthing.serving.fitting.points import filled

    measurements, problems = shared.read(data)
    about = shared.about_of(options)
    measurements = [filled(one, about, []) for one in measurements]
    compared = compare(measurements, packaged())
    again, why = _refitted(measurements) if refit else (None, "not asked for (--no-refit)")
    if as_json:
        tree = views.validation_json(again)
        if again is None:
            tree |= {"rows": compared.every.rows, "left_out": compared.left_out}
        tree |= {"as_packaged": views.compared_json(compared), "why_not_refitted": why}
        print_json({**tree, "unreadable": problems.total, "files": [str(path) for path in data]})
        return
    screen = console()
    screen.print(views.compared_view(compared, groups))
    shared.say_unread(screen, problems)
    screen.print()
    if again is not None:
        screen.print(views.validation_view(again, "fitted again on these rows", groups))
    else:
        screen.print(f"No fit on these rows: {why}.")


def _refitted(measurements: Sequence["Measurement"]) -> tuple["Validation | None", str | None]:
    """A validation of a fit on the measurements; or None, and why not."""
    from farthing.serving.coefficients import packaged
    from farthing.serving.fitting.rows import rows_of

    fit = packaged()
    rows, left = rows_of(measurements, fit)
    shapes = {row.deployment.model.id for row in rows}
    if len(rows) < _FEWEST:
        return None, f"{len(rows)} rows can be fitted on; {_FEWEST} are needed to hold some out"
    if len(shapes) < 2:
        return None, f"all rows are of {shapes.pop()}; two models are needed to hold one out"
    from farthing.serving.fitting.validate import validate as held_out

    with shared.bar("fitting") as moved:
        return held_out(rows, left, fit, lambda name, done, total: moved(done, total, f"without {name}")), None


def calibrate(
    measured: Annotated[list[Path], typer.Option("--measured", metavar="FILE", help="Results, or a folder of them.")],
    files: shared.Files = None,
    model: shared.Model = None,
    device: inputs.Device = None,
    engine: shared.Engine = None,
    weights: shared.Weights = None,
    kv: shared.Kv = None,
    gpus: shared.Gpus = None,
    tp: inputs.Tp = None,
    pp: inputs.Pp = None,
    ep: inputs.Ep = None,
    dp: inputs.Dp = None,
    concurrency: shared.InFlight = None,
    out: shared.Out = None,
    card: shared.Card = None,
    name: shared.Name = None,
    usd_per_gpu_hour: inputs.Rent = None,
    utilization: inputs.Utilization = 1.0,
    as_json: Json = False,
) -> None:
    """Fit the serving model to measured points of a deployment: what was measured comes before what is modelled.

    Reads results of `vllm bench serve`, SGLang's bench_serving, aiperf, guidellm, InferenceX and `farthing host bench`.
    Options fill in what the files do not say. The calibration is for `farthing host estimate --calibration FILE`.

    Example: farthing host calibrate --measured c1.json c16.json c64.json --device h100-sxm --tp 2 --out mine.toml
    """
    options = {**locals(), "in_flight": concurrency}
    from farthing.reports import host_measured as views
    from farthing.serving.calibration_file import write_calibrations
    from farthing.serving.coefficients import packaged
    from farthing.serving.fitting.calibrate import calibrate_all

    measurements, problems = shared.read([*measured, *(files or [])])
    with shared.bar("calibrating") as moved:
        made, left = calibrate_all(measurements, packaged(), inputs.today().date(), shared.about_of(options), moved)
    if out is not None:
        write_calibrations(out, [one for one, _ in made])
    offers = shared.calibrated_offers(made, options) if card is not None else []
    if card is not None:
        shared.write_card_of(card, offers)
    if as_json:
        tree = {
            "calibrations": [views.calibration_json(one) for one, _ in made],
            "left_out": [{"source": one.source, "reason": one.reason} for one in left],
            "unreadable": [str(problem) for problem in problems.kept], "offers": views.offers_json(offers),
        }  # fmt: skip
        print_json(tree)
        return
    screen = console()
    for one, _ in made:
        screen.print(views.calibration_view(one, str(out or "")))
    screen.print(views.left_view(left))
    shared.say_unread(screen, problems)
    if out is None:
        screen.print("Nothing was written; --out FILE keeps the calibration.")
    if offers:
        screen.print(views.offers_view(offers, str(card)))


def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="An OpenAI-compatible server, http://127.0.0.1:8000/v1.")],
    model: Annotated[str | None, typer.Option(metavar="M", help="The model to ask for; none: the server's.")] = None,
    concurrency: Annotated[
        str | None, typer.Option(metavar="C,C,…", help="Requests in flight, a point each (1,4,16).")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="R", help="Or: requests a second, whatever happens.")] = None,
    requests: Annotated[int, typer.Option(metavar="N", help="Requests a point, at least.")] = 32,
    input: Annotated[int, typer.Option(metavar="ISL", help="Prompt tokens of a request.")] = 512,
    output: Annotated[int, typer.Option(metavar="OSL", help="Tokens of its answer.")] = 128,
    warmup: Annotated[int | None, typer.Option(metavar="N", help="Requests before, not counted.")] = None,
    shared_prefix: Annotated[int, typer.Option(metavar="N", help="Prompt tokens that all requests share.")] = 0,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds that a request may take.")] = 600.0,
    api_key_env: Annotated[str | None, typer.Option(metavar="NAME", help="The variable with the key.")] = None,
    slo_ttft_ms: Annotated[float | None, typer.Option("--slo-ttft-ms", metavar="X", help="A good first token.")] = None,
    slo_tpot_ms: Annotated[float | None, typer.Option("--slo-tpot-ms", metavar="Y", help="A good token.")] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="M", help="What the served model is (llama-3.1-8b), if its name is not known.")
    ] = None,
    device: inputs.Device = None,
    gpus: shared.Gpus = None,
    engine: shared.Engine = None,
    weights: shared.Weights = None,
    kv: shared.Kv = None,
    tp: inputs.Tp = None,
    pp: inputs.Pp = None,
    ep: inputs.Ep = None,
    dp: inputs.Dp = None,
    out: shared.Out = None,
    card: shared.Card = None,
    name: shared.Name = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", metavar="FILE", help="Where to write the calibration.")
    ] = None,
    usd_per_gpu_hour: inputs.Rent = None,
    utilization: inputs.Utilization = 1.0,
    as_json: Json = False,
) -> None:
    """Measure a live endpoint: TTFT, TPOT, throughput, goodput; then a calibration and a rate card of it.

    Prompts are random words of the length asked for in the server's own tokens; a warm-up comes first. ^C ends it with
    what there is.

    Example: farthing host bench http://127.0.0.1:8000/v1 --concurrency 1,4,16 --device h100-sxm
    --out points.json --calibration mine.toml --card card.toml
    """
    options = {**locals(), "model": shape}
    from farthing.reports import host_measured as views
    from farthing.serving.live.bench import Plan
    from farthing.serving.live.result import Slo, write_results

    if concurrency is not None and rate is not None:
        raise FarthingError("give --concurrency (closed loop) or --rate (open loop), not both")
    slo = Slo(ttft_ms=slo_ttft_ms, tpot_ms=slo_tpot_ms) if slo_ttft_ms or slo_tpot_ms else None
    about = {key: value for key, value in shared.about_of(options).items() if key != "model"}
    plan = Plan(
        url=url, model=model, requests=requests, input_tokens=input, output_tokens=output, warmup=warmup, rate=rate,
        timeout_s=timeout, api_key_env=api_key_env, shared_prefix_tokens=shared_prefix, slo=slo, about=about,
        concurrency=None,
    )  # fmt: skip
    results = shared.points_of(plan, concurrency, shared.before_load(options))
    if out is not None:
        write_results(out, results)
    made, why = shared.calibrated(results, options)
    if calibration is not None and made:
        from farthing.serving.calibration_file import write_calibrations

        write_calibrations(calibration, [one for one, _ in made])
    offers: list[Offer] = []
    refused = f"no calibration: {why}" if calibration is not None and why else ""
    if card is not None:
        try:
            offers = shared.calibrated_offers(made, options) if made else [shared.measured_offer_of(results, options)]
            shared.write_card_of(card, offers)
        except FarthingError as error:
            refused = refused or f"no card: {error}"
    if as_json:
        found = [views.calibration_json(one) for one, _ in made]
        more = {"calibration": found[0] if found else None, "why_not_calibrated": why}
        print_json({**views.bench_json(results), **more, "offers": views.offers_json(offers)})
    else:
        screen = console()
        screen.print(views.bench_view(results, str(out or "")))
        for one, _ in made:
            screen.print()
            screen.print(views.calibration_view(one, str(calibration or "")))
        if why:
            screen.print(f"No calibration: {why}.")
        if offers:
            screen.print(views.offers_view(offers, str(card)))
    if refused:
        raise FarthingError(f"{url} was measured, but {refused}")
