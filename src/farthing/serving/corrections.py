"""Corrections of the serving model by measured groups: which apply to a deployment, and what they come to."""

import math
import tomllib
from functools import cache
from importlib import resources

import msgspec

from farthing.serving.deployment import Deployment

Key = tuple[str, ...]
"""("group", engine, device, model, weights); "layout" adds how it is divided: "tp4ep1dp1pp1"."""

Span = tuple[tuple[float, float], tuple[float, float]]
"""The least and the most of (concurrency, input:output) that was measured."""


class Correction(msgspec.Struct, frozen=True):
    """(level, slope on concurrency, slope on input:output) of log TPOT and of log TTFT, and the rows behind it.

    `span`: between which (concurrency, input:output) those rows are; None: as far as any.
    """

    tpot: tuple[float, float, float]
    ttft: tuple[float, float, float]
    rows: int
    span: Span | None = None


def keys_of(deployment: Deployment) -> tuple[Key, ...]:
    """The groups of a deployment, the wider first."""
    group = (deployment.engine, deployment.device.id, deployment.model.id, deployment.weights)
    layout = ("layout", *group, f"tp{deployment.tp}ep{deployment.ep}dp{deployment.dp}pp{deployment.pp}")
    return ("group", *group), layout


def slopes(concurrency: float, input: float, output: float) -> tuple[float, float]:
    """The two quantities that corrections may slope with: about -1 to 1 over what was measured."""
    return math.log2(max(concurrency, 1.0)) / 3.0 - 1.3, math.log2(input / output) / 3.0


def held(concurrency: float, ratio: float, within: Span) -> tuple[float, float]:
    """The nearest (concurrency, input:output) that was measured."""
    low, high = within
    return min(max(concurrency, low[0]), high[0]), min(max(ratio, low[1]), high[1])


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """What the corrections come to: factors on TPOT and TTFT, and the measured rows of the group (0: never seen)."""

    tpot: float = 1.0
    ttft: float = 1.0
    rows: int = 0


Effect = tuple[float, float, float]


def effects_of(deployment: Deployment) -> tuple[Effect, Effect, Span]:
    """The sums of the effects on log TPOT and on log TTFT that apply to a deployment, and its group's measured span."""
    stated, every = _packaged()
    group = stated.get(keys_of(deployment)[0])
    if group is None:
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), every
    found = [stated[key] for key in keys_of(deployment) if key in stated]
    return _sum([one.tpot for one in found]), _sum([one.ttft for one in found]), group.span or every


def corrected(deployment: Deployment, concurrency: float, input: float, output: float) -> Corrected:
    """The correction of `deployment` under a load. Held within its group's span of concurrency and lengths.

    A slope of few rows over a narrow span comes to factors of ten and more where it is followed beyond.
    """
    stated = _packaged()[0]
    group = keys_of(deployment)[0]
    if group not in stated:
        return Corrected()
    tpot, ttft, within = effects_of(deployment)
    a, b = slopes(*held(concurrency, input / output, within), 1.0)
    return Corrected(
        tpot=math.exp(tpot[0] + a * tpot[1] + b * tpot[2]),
        ttft=math.exp(ttft[0] + a * ttft[1] + b * ttft[2]),
        rows=stated[group].rows,
    )


def _sum(effects: list[Effect]) -> Effect:
    return sum(e[0] for e in effects), sum(e[1] for e in effects), sum(e[2] for e in effects)


def layout_measured(deployment: Deployment) -> bool:
    """Whether the group's rows have one of the deployment's layout."""
    return keys_of(deployment)[1] in _packaged()[0]


@cache
def measured_groups() -> tuple[Key, ...]:
    """Every group that was measured: (engine, device, model, weights)."""
    return tuple(key[1:] for key in _packaged()[0] if key[0] == "group")


@cache
def _packaged() -> tuple[dict[Key, Correction], Span]:
    """Corrections by key, and the measured span: the least and the most of (concurrency, input:output)."""
    file = resources.files("farthing") / "data" / "serving" / "corrections.toml"
    values = tomllib.loads(file.read_text("utf-8"))
    stated = {
        tuple(entry["of"]): Correction(
            tuple(entry["tpot"]), tuple(entry["ttft"]), entry["rows"], _span(entry["span"]) if "span" in entry else None
        )
        for entry in values["corrections"]
    }
    return stated, _span([values["span"]["low"], values["span"]["high"]])


def _span(ends: list[list[float]]) -> Span:
    (low, low_ratio), (high, high_ratio) = ends
    return (low, low_ratio), (high, high_ratio)


def span() -> Span:
    """The measured span: the least and the most of (concurrency, input:output)."""
    return _packaged()[1]
