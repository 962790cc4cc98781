"""A calibration: what measured points of one deployment say beyond the packaged fit, and how it is used.

A calibration is of one model on one device with one engine and format of weights. It holds coefficients that
moved from the packaged fit, a factor on TPOT and on TTFT (which may slope with the concurrency), and an interval from
its own errors. `fitting.calibrate` makes one; `calibration_file` writes and reads it.
"""

import math
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.serving.calibration_knots import Knot, followed
from farthing.serving.coefficients import packaged
from farthing.serving.corrections import Corrected, corrected
from farthing.serving.deployment import Deployment
from farthing.serving.evidence import Basis, basis

QUANTITIES = ("tpot", "ttft", "throughput")
_FULLY_OUTSIDE = 3.0  # octaves beyond the measured loads at which the packaged interval holds again (assumed)
_OTHER_LAYOUT = 0.5  # how much of the packaged interval another layout than the measured one brings back (assumed)


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """A factor at `concurrency` requests in a replica, and the further factor that eight times as many bring."""

    factor: float = 1.0
    per_octuple: float = 1.0
    concurrency: float = 1.0

    def at(self, concurrency: float) -> float:
        """The factor at `concurrency` requests in a replica."""
        octuples = math.log2(max(concurrency, 1.0) / self.concurrency) / 3.0
        return self.factor * math.exp(math.log(self.per_octuple) * octuples)


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A coefficient that the points moved from `packaged` to `value`."""

    name: str
    value: float
    packaged: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A measured point and what was said of it before, after, and (where there are others) without it. Times in ms.

    `concurrency`: requests in flight of the whole deployment. `ttft_ms` None: not used.
    """

    source: str
    layout: str
    concurrency: float
    input: float
    output: float
    tpot_ms: float
    ttft_ms: float | None
    tpot_before_ms: float
    tpot_after_ms: float
    ttft_before_ms: float
    ttft_after_ms: float
    tpot_held_out_ms: float | None = None
    ttft_held_out_ms: float | None = None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """See the module. `engine`, `device`, `model`, `weights`: what it is of (ids). `measured_engine`: what really ran,
    where that engine is not modelled and `engine`'s formulas stand in.

    `knots`: what the points leave beyond `tpot` and `ttft`, followed near them.
    `engine_day`: how new the engine was. `spans`: least and most of the concurrency in a replica and of the
    lengths that were measured. `widths`: half-widths of the 80 % interval in logarithms; `rule`: where they come from.
    `errors`: medians of absolute errors as shares, by "before", "after", "held_out" and by quantity.
    `fit`: which packaged fit it is on top of.
    """

    engine: str
    device: str
    model: str
    weights: str
    measured_engine: str
    layouts: tuple[str, ...]
    engine_day: date | None
    made: date
    fit: str
    moved: tuple[Moved, ...]
    tpot: Residual
    ttft: Residual
    spans: dict[str, tuple[float, float]]
    widths: dict[str, float]
    rule: str
    errors: dict[str, dict[str, float]]
    points: tuple[Point, ...]
    sources: tuple[str, ...]
    knots: tuple[Knot, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a person calls it: "meta-llama/Llama-3.1-8B on h100-sxm (vllm, fp8)"."""
        return f"{self.model} on {self.device} ({self.measured_engine or self.engine}, {self.weights})"

    def apply(self, deployment: Deployment) -> "Applied":
        """The calibration for `deployment`.

        Raises `FarthingError` where it is of another model, device, engine or format, or of another packaged fit.
        """
        for what, mine, asked in (
            ("model", self.model, deployment.model.id), ("device", self.device, deployment.device.id),
            ("engine", self.engine, deployment.engine), ("weights", self.weights, deployment.weights),
        ):  # fmt: skip
            if mine != asked:
                raise FarthingError(
                    f"the calibration is of {what} {mine}, not {asked}; calibrate {asked}, or leave it out"
                )
        if self.fit != fit_digest():
            raise FarthingError(
                f"the calibration of {self.name} rests on another fit than this version's; "
                "run `farthing host calibrate` on its measurements again"
            )
        day = deployment.engine_date or self.engine_day
        values = packaged().values() | {one.name: one.value for one in self.moved}
        return Applied(calibration=self, deployment=msgspec.structs.replace(deployment, engine_date=day), values=values)


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A calibration on a deployment. `values`: the coefficients; `deployment`: as new as the measured engine."""

    calibration: Calibration
    deployment: Deployment
    values: dict[str, float]

    def corrected(self, concurrency: float, input: float, output: float) -> Corrected:
        """Factors on TPOT and TTFT under a load, the packaged corrections included; `concurrency` is of one replica.

        The slope is held within the measured concurrencies.
        """
        one = self.calibration
        known = corrected(self.deployment, concurrency, input, output)
        low, high = one.spans["concurrency"]
        held = min(max(concurrency, low), high)
        tpot, ttft = followed(one.knots, layout_text(self.deployment), held, input, output)
        return Corrected(
            tpot=known.tpot * one.tpot.at(held) * tpot, ttft=known.ttft * one.ttft.at(held) * ttft, rows=len(one.points)
        )

    def tpot_factor(self, concurrency: float, input: float, output: float) -> float:
        """The factor on the formulas' TPOT under a load."""
        return self.corrected(concurrency, input, output).tpot

    def ttft_factor(self, concurrency: float, input: float, output: float) -> float:
        """The factor on the formulas' TTFT under a load."""
        return self.corrected(concurrency, input, output).ttft

    def basis(self, concurrency: float, input: float, output: float) -> Basis:
        """The basis of a calibrated estimate: the calibration's interval, wider the further the load is from what
        was measured, up to the interval without it.
        """
        one, deployment = self.calibration, self.deployment
        rows = corrected(deployment, concurrency, input, output).rows
        without = basis(deployment, concurrency, input, output, rows)
        share, reasons = self._outside(concurrency, input, output)
        factors = {}
        for what in QUANTITIES:
            width = one.widths[what]
            ends = [
                math.sqrt(width**2 + share * max(math.log(end) ** 2 - width**2, 0.0)) for end in without.factors[what]
            ]
            factors[what] = (math.exp(-ends[0]), math.exp(ends[1]))
        stage = "held_out" if "held_out" in one.errors else "after"
        grade = str(Grade.DERIVED if reasons else Grade.MEASURED)
        points = f"{len(one.points)} measured point{'s' * (len(one.points) != 1)}"
        return Basis(
            grade=grade, level="calibration", rows=len(one.points), says=f"calibrated to {points} of {one.name}",
            error=one.errors[stage], reasons=reasons, factors=factors,
        )  # fmt: skip

    def _outside(self, concurrency: float, input: float, output: float) -> tuple[float, tuple[str, ...]]:
        """How far a load lies outside what was measured (0: inside; 1: as if nothing was), and in which ways."""
        one = self.calibration
        share, reasons = 0.0, []
        for name, value in (("concurrency", concurrency), ("input", input), ("output", output)):
            low, high = one.spans[name]
            octaves = max(math.log2(low / value), math.log2(value / high), 0.0)
            share += octaves / _FULLY_OUTSIDE
            if octaves > 0.1:
                reasons.append(f"{name} was calibrated from {low:,.0f} to {high:,.0f}")
        layout = layout_text(self.deployment)
        if layout not in one.layouts:
            share += _OTHER_LAYOUT
            reasons.append(f"calibrated with {' and '.join(one.layouts)}, not {layout}")
        return min(share, 1.0), tuple(reasons)


def layout_text(deployment: Deployment) -> str:
    """How one replica is divided: "tp4", "dp8 ep8", "one device"."""
    parts = [f"{key}{value}" for key, value in deployment.layout.items() if value > 1 and key != "replicas"]
    return " ".join(parts) or "one device"


@cache
def fit_digest() -> str:
    """What tells the packaged fit and its corrections from those of another version: twelve hexadecimal digits."""
    import hashlib

    corrections = (resources.files("farthing") / "data" / "serving" / "corrections.toml").read_bytes()
    values = repr(sorted(packaged().values().items())).encode()
    return hashlib.sha256(values + corrections).hexdigest()[:12]


def load_calibration(path: Path, deployment: Deployment | None = None) -> Calibration:
    """The calibration in `path`: the one of `deployment`, or the only one. Raises `FarthingError`."""
    from farthing.serving.calibration_file import load_calibrations  # which builds on this module

    found = load_calibrations(path)
    if deployment is not None:
        key = (deployment.model.id, deployment.device.id, deployment.engine, deployment.weights)
        for one in found:
            if (one.model, one.device, one.engine, one.weights) == key:
                return one
        there = "; ".join(one.name for one in found)
        raise FarthingError(f"{path} has no calibration of {deployment.name}; it has {there}")
    if len(found) > 1:
        there = "; ".join(one.name for one in found)
        raise FarthingError(f"{path} holds {len(found)} calibrations ({there}); say of which deployment")
    return found[0]
