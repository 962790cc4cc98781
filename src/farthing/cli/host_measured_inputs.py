"""What the commands on measured serving share: options, reading, progress, and the offers of a card."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from farthing.cli import host_inputs as inputs
from farthing.problems import FarthingError, Problems

if TYPE_CHECKING:
    from rich.console import Console

    from farthing.rates.card import Offer
    from farthing.serving.calibration import Calibration
    from farthing.serving.fitting.points import Taken
    from farthing.serving.live.bench import Plan
    from farthing.serving.live.probe import Found
    from farthing.serving.live.result import BenchResult
    from farthing.serving.measured.measurement import Measurement

Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]…", help="More files of measurements.")]
Model = Annotated[str | None, typer.Option(metavar="M", help="The model, where the file does not say.")]
Engine = Annotated[str | None, typer.Option(metavar="E", help="vllm, sglang, trtllm: where it is not said.")]
Weights = Annotated[str | None, typer.Option(metavar="F", help="bf16, fp8, int4, …: where it is not said.")]
Kv = Annotated[str | None, typer.Option(metavar="F", help="Format of the KV cache: where it is not said.")]
Gpus = Annotated[int | None, typer.Option(metavar="N", min=1, help="Devices in all: where it is not said.")]
InFlight = Annotated[
    float | None, typer.Option("--concurrency", metavar="C", min=1, help="Requests in flight: where it is not said.")
]
Card = Annotated[Path | None, typer.Option("--card", metavar="FILE", help="Also write a rate card.")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="The card's offer is host/NAME.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write it.")]
_NO_RENT = "state --usd-per-gpu-hour (of the machine), or its --device for the market's rent"


def about_of(options: dict[str, Any]) -> dict[str, Any]:
    """The options that fill in fields of `Measurement`, by field. Raises `FarthingError` for what is not known."""
    from farthing.serving import devices, formats, models

    found: dict[str, Any] = {
        field: options.get(option)
        for field, option in (
            ("model", "model"), ("device", "device"), ("engine", "engine"), ("precision", "weights"),
            ("kv_precision", "kv"), ("gpus", "gpus"), ("tp", "tp"), ("pp", "pp"), ("ep", "ep"), ("dp", "dp"),
            ("concurrency", "in_flight"),
        )
        if options.get(option) is not None
    }  # fmt: skip
    if "model" in found:
        _named("--shape" if "shape" in options else "--model", models.find, found["model"])
    if "device" in found:
        found["device"] = _named("--device", devices.find, found["device"]).id
    if "precision" in found:
        _named("--weights", formats.find, found["precision"])
    if "kv_precision" in found:
        _named("--kv", formats.kv_bytes, found["kv_precision"])
    return found


def _named(option: str, find: Callable[[str], Any], name: str) -> Any:
    """What `find` says of `name`; a refusal names the option too."""
    try:
        return find(name)
    except FarthingError as error:
        raise FarthingError(f"{option}: {error}") from None


def before_load(options: dict[str, Any]) -> Callable[["Found"], None]:
    """A check that what `--calibration` and `--card` need is stated, for before any load is sent.

    Raises `FarthingError` with the option at once for what no server tells; the check itself for what one may.
    """
    calibration = options["calibration"] is not None
    if calibration and options["device"] is None:
        raise FarthingError("a calibration is of a device, and no server tells its own; name it with --device")
    if options["card"] is not None and options["usd_per_gpu_hour"] is None and options["device"] is None:
        raise FarthingError(_NO_RENT)

    def check(found: "Found") -> None:
        from farthing.serving import models

        if not calibration:
            return
        if not (options["engine"] or found.engine):
            raise FarthingError(
                "a calibration is of an engine, and the server does not tell its own; name it with --engine "
                "(vllm, sglang, trtllm; nothing was measured yet)"
            )
        if options["model"] is None:  # the shape, if its name is not known
            try:
                models.find(found.dialect.model)
            except FarthingError as error:
                raise FarthingError(f"{error}; name what is served with --shape (nothing was measured yet)") from None

    return check


def read(paths: Sequence[Path]) -> tuple[list["Measurement"], Problems]:
    """The measurements of `paths`. Raises `FarthingError` where there is none."""
    from farthing.serving.measured.read import read_measurements

    measurements, problems = read_measurements(list(paths))
    if not measurements:
        raise FarthingError(str(problems.kept[0]) if problems.kept else f"{paths[0]}: no measurement in it")
    return measurements, problems


def say_unread(screen: "Console", problems: Problems) -> None:
    for problem in problems.kept[:5]:
        screen.print(f"not read: {problem}")
    if problems.total > 5:
        screen.print(f"not read: {problems.total - 5:,} more")


@contextmanager
def bar(what: str) -> Iterator[Callable[..., None]]:
    """A function to call with (done, total, what is being done): a bar on stderr, and only on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total, now="": shown.update(task, completed=done, total=total, description=f"{what} {now}")


def points_of(plan: "Plan", concurrency: str | None, ready: Callable[["Found"], None]) -> list["BenchResult"]:
    """The points of `plan` at each concurrency, or at its rate. `ready`: called before any load."""
    import asyncio

    from farthing.serving.live.bench import measure, sweep

    slots = _slots(concurrency or "1,4,16") if plan.rate is None else []
    with bar("measuring") as moved:

        def progress(done: int, total: int, failed: int) -> None:
            moved(done, total, f"{done} of {total} requests" + f", {failed} failed" * bool(failed))

        return sweep(plan, slots, progress, ready) if slots else asyncio.run(measure([plan], progress, ready))


def _slots(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise FarthingError(f"--concurrency {text!r}; whole numbers of at least 1, such as 1,4,16")
    return [int(part) for part in parts]


Made = list[tuple["Calibration", list["Taken"]]]


def calibrated(results: Sequence["BenchResult"], options: dict[str, Any]) -> tuple[Made, str | None]:
    """The calibration to measured points; or none, and why not."""
    from farthing.serving.coefficients import packaged
    from farthing.serving.fitting.calibrate import calibrate_all
    from farthing.serving.measured_offer import load_text

    points = [
        msgspec.structs.replace(one.measurement, source=f"{one.url}, {load_text(one.measurement)}") for one in results
    ]
    try:
        made, _ = calibrate_all(points, packaged(), inputs.today().date(), about_of(options))
    except FarthingError as error:
        return [], str(error)
    return made, None


def calibrated_offers(made: Made, options: dict[str, Any]) -> list["Offer"]:
    """Each calibration's offer at the measured load with the most output tokens a second for each device."""
    from farthing.serving import hosted
    from farthing.serving.estimate import Load, estimate, priced
    from farthing.serving.measured_offer import at_measured

    if options["name"] is not None and len(made) > 1:
        raise FarthingError(f"--name is for one deployment, and the files are of {len(made)}; leave it out")
    offers = []
    for one, points in made:
        chosen = max(points, key=lambda point: _rate(point) * point.row.output / point.row.deployment.count)
        row = chosen.row
        load = Load(
            input=max(row.input, 1.0), output=max(row.output, 1.0), concurrency=row.concurrency,
            prefix_hit=chosen.prefix_hit,
        )  # fmt: skip
        found = estimate(row.deployment, load, utilization=options["utilization"], calibration=one)
        if not found.feasible:
            raise FarthingError(f"{one.name}: it was measured, but by our account {found.why}")
        if row.ttft_s == row.ttft_s:
            found = at_measured(found, _rate(chosen))
        usd, _, _ = inputs.dollars_of(options, one.device)
        name = options["name"] or _slug(one.model, one.device, one.measured_engine or one.engine, one.weights)
        offers.append(hosted.offer(name, priced(found, usd), inputs.today().date()))
    return offers


def _rate(point: "Taken") -> float:
    """Requests a second of a closed loop: those in flight over the time of one (TTFT left out where there is none)."""
    row = point.row
    first = row.ttft_s if row.ttft_s == row.ttft_s else 0.0
    return row.concurrency / (first + row.tpot_s * (row.output - 1))


def measured_offer_of(results: Sequence["BenchResult"], options: dict[str, Any]) -> "Offer":
    """The offer by measured tokens a second alone, at the load with the most of them."""
    from farthing.serving.measured_offer import best, measured_offer

    points = [result.measurement for result in results]
    if options["usd_per_gpu_hour"] is None and options["device"] is None:
        raise FarthingError(_NO_RENT)
    usd, _, _ = inputs.dollars_of(options, options["device"])
    chosen = best(points)
    name = options["name"] or _slug(chosen.model, options["device"] or "", chosen.engine)
    total = usd * Decimal(options["gpus"] or 1)
    return measured_offer(name, chosen, points, total, options["utilization"], inputs.today().date())


def _slug(*parts: str) -> str:
    """A name of an offer: "llama-3.1-8b-h100-sxm-vllm-fp8"."""
    words = (re.sub(r"[^a-z0-9.]+", "-", part.rsplit("/", 1)[-1].lower()).strip("-") for part in parts)
    return "-".join(word for word in words if word) or "measured"


def write_card_of(card: Path, offers: Sequence["Offer"]) -> None:
    """Write `offers` as a rate card. Raises `FarthingError`."""
    from farthing.files import write_whole
    from farthing.rates.write import prepare, write_card

    kept, left = prepare(offers, inputs.today().date())
    if left:
        raise FarthingError(str(left[0]))
    write_whole(card, write_card(kept, ["What one's own tokens cost, at the load that each source states."]))
