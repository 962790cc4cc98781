"""Measurements as rows of a fit: the deployment of each, its load, its times; what is left out and why."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date

import msgspec

from farthing.problems import FarthingError
from farthing.serving import devices, formats, models
from farthing.serving.coefficients import Fit
from farthing.serving.deployment import Deployment
from farthing.serving.measured.measurement import Measurement

_MOST = 0.55  # of the peak; no group that is in order shows more than 0.46


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured point that can be compared with the model. Times in seconds, lengths in tokens.

    `day`: of the measurement, or about when the engine's version came out; None: neither is known.
    `drafted`: tokens were presumably drafted by the model's own heads. `lockstep`: all requests had one length.
    `version`: of the engine.
    """

    source: str
    deployment: Deployment
    version: str
    input: float
    output: float
    concurrency: float
    tpot_s: float
    ttft_s: float
    lockstep: bool
    drafted: bool
    day: date | None

    @property
    def group(self) -> tuple[str, str, str, str]:
        """What a correction is shared by: engine, device, model, format of weights."""
        one = self.deployment
        return one.engine, one.device.id, one.model.id, one.weights


def rows_of(measurements: Iterable[Measurement], fit: Fit) -> tuple[list[Row], Counter[str]]:
    """The rows of `measurements`, and why the others are left out, counted."""
    rows: list[Row] = []
    left: Counter[str] = Counter()
    for one in measurements:
        # A table of rows knows no prefix cache; points of a calibration do.
        found = "part of the prompts was found in a cache" if one.prefix_hit else row_of(one, fit)
        if isinstance(found, Row):
            rows.append(found)
        else:
            left[found] += 1
    return rows, left


def row_of(m: Measurement, fit: Fit) -> Row | str:
    """The row of one measurement, or why it cannot be one."""
    if m.disaggregated:
        return "disaggregated"
    if m.doubts:
        return _kind(m.doubts[0])
    if m.tpot is None or m.ttft is None or m.input_length is None or m.output_length is None or not m.concurrency:
        return "no TTFT, TPOT, lengths or concurrency"
    if m.output_length <= 1:
        return "no second output token"
    try:
        deployment = deployment_of(m)
        deployment.check()
    except FarthingError as error:
        return str(error).split(" (")[0]
    if not m.kv_precision:
        deployment = _with_room(deployment, m.concurrency, m.input_length + m.output_length / 2)
    if deployment.weight_bytes > deployment.device.memory_bytes:
        return "the weights are more than the stated devices hold"
    if _implied_share(deployment, m.input_length, m.output_length, m.concurrency, m.ttft / 1e3, m.tpot / 1e3) > _MOST:
        return "more operations than engines reach are implied: prompts were cached, or several replicas ran"
    key = (m.engine, m.engine_version)
    day = _day(m.measured_on) or fit.releases.get(key)
    drafted = key in fit.drafted and "DeepSeek-R1" in m.model and (day is None or day >= date(2026, 1, 1))
    return Row(
        source=m.source, deployment=msgspec.structs.replace(deployment, engine_date=day), version=m.engine_version,
        input=m.input_length, output=m.output_length, concurrency=m.concurrency, tpot_s=m.tpot / 1e3,
        ttft_s=m.ttft / 1e3, lockstep=m.input_tokens is None and m.nominal_ratio == 1.0,
        drafted=drafted or bool(m.speculative), day=day,
    )  # fmt: skip


def _with_room(deployment: Deployment, concurrency: float, tokens: float) -> Deployment:
    """`deployment` with an 8-bit cache where so many requests fit with that and not with the usual 16 bit."""
    asked = concurrency / deployment.replicas
    smaller = msgspec.structs.replace(deployment, kv="fp8")
    return smaller if deployment.max_batch(tokens) < asked <= smaller.max_batch(tokens) else deployment


def _implied_share(
    deployment: Deployment, input: float, output: float, concurrency: float, ttft_s: float, tpot_s: float
) -> float:
    """The share of the devices' peak that computing every prompt would take at the measured rate (Little's law)."""
    model = deployment.model
    weights = model.active_parameters - model.head_parameters * (1 if model.tied else 2)
    rate = concurrency / (ttft_s + tpot_s * (output - 1))
    peak = deployment.device.flops_of(formats.find(deployment.weights).compute) * deployment.count
    return 2.0 * weights * input * rate / peak


def _day(stated: str) -> date | None:
    """The day of "2026-11-01", "2026-11-01T12:00:00Z" or "20261101-120000" (vLLM's); None for anything else."""
    found = re.match(r"(20\d\d)-?(\d\d)-?(\d\d)(?!\d)", stated)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def _kind(doubt: str) -> str:
    """A doubt without its numbers and names, to be counted by."""
    return re.sub(r"\d+(\.\d+)?", "N", doubt.split(" of ")[0] if doubt.startswith("repeats") else doubt)


def _cache_format(stated: str) -> str:
    """The format of the cache by its stated name: "", "auto", "fp8_e4m3", …"""
    return "fp8" if stated.lower().startswith(("fp8", "int8", "e4m3", "e5m2")) else "bf16"


def deployment_of(m: Measurement) -> Deployment:
    """The deployment that a measurement was taken on. Raises `FarthingError` for an unknown model, device or layout.

    Where the cache's format is not stated it is taken to be the engines' default, 16 bit; that also explains
    the public rows better than 8 bit does (`row_of` takes 8 bit where only so the requests fit).
    """
    model = models.find(m.model)
    weights = m.precision or "bf16"
    dp = m.dp or 1
    moe = bool(model.expert_parameters)
    tp, pp = m.tp or (m.gpus or 1) // (dp * (m.pp or 1)) or 1, m.pp or 1
    ep = min(m.ep or 1, tp * dp)
    if not moe:
        ep, dp, replicas = 1, 1, dp
    else:
        replicas = 1
    return Deployment(
        model=model, device=devices.find(m.device), engine=m.engine or "vllm", weights=weights,
        kv=_cache_format(m.kv_precision), tp=tp, pp=pp, ep=ep, dp=dp, replicas=replicas,
    )  # fmt: skip
