"""Corrections of the serving model by measured groups: which apply to a deployment, and what they come to."""

import math
import tomllib
from functools import cache
from importlib import resources

import msgspec

from farthing.serving.deployment import Deployment

Key = tuple[str, ...]
"""("group", engine, device, model, weights); "layout" adds how it is divided: "tp4ep1dp1pp1"."""


class Correction(msgspec.Struct, frozen=True):
    """(level, slope on concurrency, slope on input:output) of log TPOT and of log TTFT, and the rows behind it."""

    tpot: tuple[float, float, float]
    ttft: tuple[float, float, float]
    rows: int


def keys_of(deployment: Deployment) -> tuple[Key, ...]:
    """The groups of a deployment, the wider first."""
    group = (deployment.engine, deployment.device.id, deployment.model.id, deployment.weights)
    layout = ("layout", *group, f"tp{deployment.tp}ep{deployment.ep}dp{deployment.dp}pp{deployment.pp}")
    return ("group", *group), layout


def slopes(concurrency: float, input: float, output: float) -> tuple[float, float]:
    """The two quantities that corrections may slope with: about -1 to 1 over what was measured."""
    return math.log2(max(concurrency, 1.0)) / 3.0 - 1.3, math.log2(input / output) / 3.0


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """What the corrections come to: factors on TPOT and TTFT, and the measured rows of the group (0: never seen)."""

    tpot: float = 1.0
    ttft: float = 1.0
    rows: int = 0


def corrected(deployment: Deployment, concurrency: float, input: float, output: float) -> Corrected:
    """The correction of `deployment` under a load. Held within the measured span of concurrency and lengths."""
    stated, (low, high) = _packaged()
    group, layout = keys_of(deployment)
    if group not in stated:
        return Corrected()
    a, b = slopes(min(max(concurrency, low[0]), high[0]), *_held(input, output, low[1], high[1]))
    tpot = ttft = 0.0
    for key in (group, layout):
        one = stated.get(key)
        if one is not None:
            tpot += one.tpot[0] + a * one.tpot[1] + b * one.tpot[2]
            ttft += one.ttft[0] + a * one.ttft[1] + b * one.ttft[2]
    return Corrected(tpot=math.exp(tpot), ttft=math.exp(ttft), rows=stated[group].rows)


def measured_groups() -> tuple[Key, ...]:
    """Every group that was measured: (engine, device, model, weights)."""
    return tuple(key[1:] for key in _packaged()[0] if key[0] == "group")


def _held(input: float, output: float, low: float, high: float) -> tuple[float, float]:
    """Lengths whose ratio is held between `low` and `high`."""
    return min(max(input / output, low), high), 1.0


@cache
def _packaged() -> tuple[dict[Key, Correction], tuple[tuple[float, float], tuple[float, float]]]:
    """Corrections by key, and the measured span: the least and the most of (concurrency, input:output)."""
    file = resources.files("farthing") / "data" / "serving" / "corrections.toml"
    values = tomllib.loads(file.read_text("utf-8"))
    stated = {
        tuple(entry["of"]): Correction(tuple(entry["tpot"]), tuple(entry["ttft"]), entry["rows"])
        for entry in values["corrections"]
    }
    low, high = values["span"]["low"], values["span"]["high"]
    return stated, ((low[0], low[1]), (high[0], high[1]))
