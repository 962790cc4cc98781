"""How sure an estimate is: which measured rows stand behind it, and how wide its 80 % interval is."""

import math

import msgspec

from farthing.serving import validation
from farthing.serving.coefficients import packaged
from farthing.serving.corrections import effects_of, layout_measured, measured_groups, span
from farthing.serving.deployment import Deployment

_LONGEST = 16_000  # tokens in or out; twice the longest that was measured
_FEW = 3.0  # rows of a group at which half of that doubt is left (assumed)
_OUTSIDE = 0.5  # each way in which a deployment is unlike all that was measured widens its interval by half (assumed)


class Ranged(msgspec.Struct, frozen=True):
    """A number and the ends of its 80 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Ranged":
        """All three, times a positive factor."""
        return Ranged(self.value * factor, self.low * factor, self.high * factor)

    def under(self, numerator: float) -> "Ranged":
        """`numerator` over it: the ends change places."""
        return Ranged(numerator / self.value, numerator / self.high, numerator / self.low)

    def over(self, other: "Ranged") -> "Ranged":
        """This over `other`, independent of it: their widths (in logarithms) add in squares."""
        value = self.value / other.value
        low = math.hypot(math.log(self.value / self.low), math.log(other.high / other.value))
        high = math.hypot(math.log(self.high / self.value), math.log(other.value / other.low))
        return Ranged(value, value * math.exp(-low), value * math.exp(high))


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimate rests on. `level`: whose held-out errors its interval has; `rows`: measured rows of its group.

    `error`: the median error at that level, of TPOT, TTFT and throughput; `reasons`: what was never measured.
    """

    grade: str
    level: str
    rows: int
    says: str
    error: dict[str, float]
    reasons: tuple[str, ...]
    factors: dict[str, tuple[float, float]]

    def around(self, what: str, value: float) -> Ranged:
        """`value` with its interval; `what` is "tpot", "ttft" or "throughput"."""
        low, high = self.factors[what]
        return Ranged(value, value * low, value * high)


def basis(deployment: Deployment, concurrency: float, input: float, output: float, rows: int) -> Basis:
    """The basis of an estimate of `deployment` under a load; `rows`: the measured rows of its own group."""
    engine, device, model, weights = deployment.engine, deployment.device.id, deployment.model.id, deployment.weights
    groups = measured_groups()
    known_model = any(group[2] == model for group in groups)
    known_device = any(group[1] == device for group in groups)
    if rows:
        levels, says = ["random"], f"{rows} measured rows of {model} in {weights} with {engine} on {device}"
    elif known_model and known_device:
        levels, says = ["device"], f"{model} and {device} were measured, not with {engine} and {weights} together"
    elif known_device:
        levels, says = ["model"], f"{device} was measured with other models, {model} never"
    elif known_model:
        levels, says = ["device"], f"{model} was measured on other devices, {device} never"
    else:
        levels, says = ["model", "device"], f"neither {model} nor {device} was measured: physics and priors alone"
    reasons = _outside(deployment, concurrency, input, output, {group[3] for group in groups})
    if rows:
        reasons += _beyond(deployment, concurrency, input, output)
    report = validation.packaged()
    factors, error = {}, {}
    for what in ("tpot", "ttft", "throughput"):
        splits = [report.named(name).of(what) for name in levels]
        low = -math.sqrt(sum(math.log(one.low) ** 2 for one in splits))
        high = math.sqrt(sum(math.log(one.high) ** 2 for one in splits))
        if rows:  # a group of a few rows is hardly better known than a device that was never measured
            unseen, doubt = report.named("device").of(what), _FEW / (rows + _FEW)
            low, high = -math.hypot(low, doubt * math.log(unseen.low)), math.hypot(high, doubt * math.log(unseen.high))
        wider = 1.0 + _OUTSIDE * len(reasons)
        factors[what] = (math.exp(low * wider), math.exp(high * wider))
        error[what] = max(one.median for one in splits)
    level = {"random": "group"}.get(levels[0], " and ".join(levels))
    grade = "assumed" if reasons or len(levels) > 1 else "derived"
    return Basis(grade=grade, level=level, rows=rows, says=says, error=error, reasons=reasons, factors=factors)


def _beyond(deployment: Deployment, concurrency: float, input: float, output: float) -> tuple[str, ...]:
    """In which ways it is unlike what was measured of its own group: the load, the layout."""
    reasons = []
    _, _, ((least, least_ratio), (most, most_ratio)) = effects_of(deployment)
    if not 0.99 * least <= concurrency <= 1.01 * most:
        reasons.append(f"these rows are of {least:g} to {most:g} requests at once")
    if not 0.8 * least_ratio <= input / output <= 1.25 * most_ratio:
        reasons.append(f"these rows are of prompts {least_ratio:.2g} to {most_ratio:.2g} × the answer")
    if not layout_measured(deployment):
        reasons.append("none of them has this layout")
    return tuple(reasons)


def widened(one: Basis, reason: str) -> Basis:
    """`one` with its intervals widened by one more way in which nothing like it was measured."""
    wider = (1.0 + _OUTSIDE * (len(one.reasons) + 1)) / (1.0 + _OUTSIDE * len(one.reasons))
    factors = {what: (low**wider, high**wider) for what, (low, high) in one.factors.items()}
    return msgspec.structs.replace(one, grade="assumed", reasons=(*one.reasons, reason), factors=factors)


def _outside(
    deployment: Deployment, concurrency: float, input: float, output: float, formats: set[str]
) -> tuple[str, ...]:
    """In which ways the deployment or its load is unlike all that was measured."""
    (least, least_ratio), (most, most_ratio) = span()
    reasons = []
    vendor = deployment.device.vendor.lower()
    if vendor != "nvidia":
        reasons.append(f"no device of {vendor} was measured")
        if not any(name.endswith(f"@{vendor}") for name in packaged().coefficients):
            reasons.append(f"nothing public stands in for how far {vendor}'s devices reach their stated rates")
    if deployment.pp > 1:
        reasons.append("pipeline parallelism was not measured")
    if deployment.speculation is not None:
        reasons.append("speculative decoding rests on the stated acceptance rate")
    if 0 < deployment.model.context < input + output:
        reasons.append(f"longer than the model's context of {deployment.model.context:,} tokens")
    if deployment.weights not in formats:
        reasons.append(f"weights in {deployment.weights} were not measured")
    if deployment.device.form == "pcie" and deployment.gpus > 1:
        reasons.append("no cards linked by PCIe were measured")
    if deployment.gpus > 8:
        reasons.append("more than 8 devices a replica were not measured")
    if not least <= concurrency <= most:
        reasons.append(f"measured up to {most:g} requests at once")
    if not least_ratio <= input / output <= most_ratio or max(input, output) > _LONGEST:
        reasons.append(f"measured with up to 8,000 tokens, {least_ratio:.2g} to {most_ratio:.3g} × the answer in")
    return tuple(reasons)
