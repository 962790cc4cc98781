"""Measurements as points to calibrate to or to compare with: what a file does not say filled in, or asked for by name.

More is taken than into the fit: a point whose load is an arrival rate (its mean number in flight counts), one
without TTFT, one whose prompts came in part from a prefix cache.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from farthing.problems import FarthingError
from farthing.serving import devices, formats, models
from farthing.serving.coefficients import Fit
from farthing.serving.corrections import corrected
from farthing.serving.deployment import ENGINES, Deployment
from farthing.serving.fitting.rows import Row, row_of
from farthing.serving.fitting.table import Floats, Table, table_of, terms_columns
from farthing.serving.measured.check import NO_LOAD
from farthing.serving.measured.measurement import Latency, Measurement
from farthing.serving.physics import decode_s, first_token_s, prompt_s, token_s

STANDS_IN = "vllm"
_OPTIONS = {"model": "--model", "device": "--device", "engine": "--engine", "precision": "--weights"}
_STATE_LOAD = ": add --concurrency"
_FORMATS = {
    "bfloat16": "bf16", "float16": "bf16", "fp16": "bf16", "half": "bf16", "auto": "", "w4a16": "int4", "awq": "int4",
    "gptq": "int4", "gptq_marlin": "int4", "awq_marlin": "int4", "nvfp4": "fp4", "mxfp4": "fp4", "fp8_e4m3": "fp8",
    "w8a8_fp8": "fp8", "modelopt": "fp8", "modelopt_fp4": "fp4", "compressed-tensors": "", "q4_k_m": "int4",
}  # fmt: skip

_GGUF = re.compile(r"\bq([48])_[01k]", re.IGNORECASE)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A point. `row.ttft_s` is NaN where no TTFT was measured; `prefix_hit`: share of the prompt found in a cache.

    `measured_engine`: what ran, where the model has no such engine and `STANDS_IN`'s formulas are used.
    """

    row: Row
    prefix_hit: float = 0.0
    measured_engine: str = ""
    notes: tuple[str, ...] = ()


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement that cannot be used, and why."""

    source: str
    reason: str


def taken(
    measurements: Iterable[Measurement], fit: Fit, about: dict[str, Any] | None = None
) -> tuple[list[Taken], list[Left]]:
    """The points of `measurements`, and those left out.

    `about`: fields of `Measurement` for where a file says nothing, or names a model or device that nobody knows.
    """
    points: list[Taken] = []
    left: list[Left] = []
    for one in measurements:
        found = take(one, fit, about or {})
        if isinstance(found, Taken):
            points.append(found)
        else:
            left.append(Left(source=one.source, reason=found))
    return points, left


def take(m: Measurement, fit: Fit, about: dict[str, Any]) -> Taken | str:
    """The point of one measurement, or why it cannot be one."""
    if m.disaggregated:
        return "disaggregated"
    notes = list(m.notes)
    m = filled(m, about, notes)
    doubts = [doubt for doubt in m.doubts if doubt != NO_LOAD or not m.concurrency]
    if doubts:
        return doubts[0] + _STATE_LOAD * (doubts[0] == NO_LOAD)
    m = msgspec.structs.replace(m, doubts=())
    for field in ("model", "device", "engine"):
        if not getattr(m, field):
            return f"no {field} is stated: add {_OPTIONS[field]}"
    try:
        m = _formatted(m, notes)
        m, loaded = _loaded(m, notes), m.ttft is not None
    except FarthingError as error:
        return str(error)
    if m.tpot is None:
        return "no TPOT is stated, nor an end-to-end time to find it from"
    stated, m = m.engine, msgspec.structs.replace(m, engine=m.engine if m.engine in ENGINES else STANDS_IN)
    if stated != m.engine:
        notes.append(f"{stated} has no coefficients of its own: those of {STANDS_IN} stand in")
    if not m.tp and not m.gpus:
        notes.append("the number of devices is not stated: taken as 1")
    row = row_of(m if loaded else msgspec.structs.replace(m, ttft_ms=m.tpot_ms), fit)
    if isinstance(row, str):
        return row + "; --device states another" * row.startswith("unknown device")
    if row.drafted:
        notes.append(
            "tokens were drafted" + ("" if m.speculative else ", by all that is known of the engine's version")
        )
    once = any(note.startswith("all requests were sent at once") for note in m.notes)
    if not loaded or once:
        row = msgspec.structs.replace(row, ttft_s=float("nan"))
        notes += ["its TTFT is of one burst, which no steady load has: not used"] if loaded else []
    return Taken(
        row=row, prefix_hit=min(m.prefix_hit or 0.0, 0.99), notes=tuple(notes),
        measured_engine=stated if stated != m.engine else "",
    )  # fmt: skip


def filled(m: Measurement, about: dict[str, Any], notes: list[str]) -> Measurement:
    """`m` with the fields of `about` that it does not state, or whose name nobody knows."""
    changes = {}
    for field, value in about.items():
        stated = getattr(m, field)
        if value in (None, "") or stated == value:
            continue
        if not stated or (field in _KNOWN and not _known(field, stated)):
            changes[field] = value
            notes += [f"{field} {stated} taken as {value}"] * bool(stated)
    return msgspec.structs.replace(m, **changes)


_KNOWN: dict[str, Any] = {"model": models.find, "device": devices.find}


def _known(field: str, name: str) -> bool:
    try:
        _KNOWN[field](name)
    except FarthingError:
        return False
    return True


def _formatted(m: Measurement, notes: list[str]) -> Measurement:
    """`m` with its format of weights in our word, from the model's name where it states none."""
    name = m.precision.lower()
    name = _FORMATS.get(name, name)
    if not name and (found := _GGUF.search(m.model)):
        name = f"int{found[1]}"
        notes.append(f"the format of the weights is taken from the name {m.model}: {name}")
    elif not name:
        name = models.precision(m.model)
        notes.append(f"the format of the weights is not stated: {name}, as {m.model} is published")
    formats.find(name)
    return msgspec.structs.replace(m, precision=name)


def _loaded(m: Measurement, notes: list[str]) -> Measurement:
    """`m` with requests in flight and TPOT, derived where they are not stated."""
    changes: dict[str, Any] = {}
    if not m.concurrency:
        flow = m.observed_concurrency or (m.requests_per_s * m.e2e / 1e3 if m.requests_per_s and m.e2e else None)
        if not flow:
            raise FarthingError(f"no load is stated: neither concurrency nor what was in flight{_STATE_LOAD}")
        changes["concurrency"] = max(flow, 1.0)
        notes.append(f"an open load: {flow:.3g} requests in flight in the mean")
    output = m.output_length or 0.0
    if m.tpot is None and m.ttft is not None and m.e2e_ms is not None and m.e2e is not None and output > 1:
        found: Any = {_statistic(m): (m.e2e - m.ttft) / (output - 1)}
        changes["tpot_ms"] = Latency(**found)
        notes.append("TPOT from the end-to-end time and TTFT")
    elif m.tpot_ms is None and m.itl_ms is not None and not m.speculative:
        changes["tpot_ms"] = m.itl_ms
        notes.append("TPOT taken as the gap between pieces of the stream")
    return msgspec.structs.replace(m, **changes)


def _statistic(m: Measurement) -> str:
    return "mean" if m.statistic == "mixed" else m.statistic


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Points in columns: their table, the packaged corrections as factors, the share found in a cache."""

    table: Table
    hit: Floats
    tpot_factor: Floats
    ttft_factor: Floats

    def take(self, at: Any) -> "Columns":
        """The points at the positions `at`."""
        return Columns(
            table=self.table.take(at), hit=self.hit[at], tpot_factor=self.tpot_factor[at],
            ttft_factor=self.ttft_factor[at],
        )  # fmt: skip


def columns_of(points: Sequence[Taken], fit: Fit) -> Columns:
    """The columns of `points`."""
    rows = [point.row for point in points]
    known = [
        corrected(row.deployment, row.concurrency / row.deployment.replicas, row.input, row.output) for row in rows
    ]
    return Columns(
        table=table_of(rows, fit), hit=np.array([point.prefix_hit for point in points]),
        tpot_factor=np.array([one.tpot for one in known]), ttft_factor=np.array([one.ttft for one in known]),
    )  # fmt: skip


def predicted(columns: Columns, fit: Fit, values: dict[str, float]) -> tuple[Floats, Floats]:
    """TPOT and TTFT in seconds of every point, as `estimate` says them: formulas × packaged corrections."""
    table = columns.table
    t = terms_columns(table, fit, values)
    step = decode_s(t, table.batch, table.batch, table.batch * (table.input + table.output / 2), np.maximum, np.minimum)
    found = table.input * columns.hit
    prompt = prompt_s(t, table.input - found, found, np.minimum)
    tpot = token_s(t, step, prompt, table.batch, table.output, np.maximum)
    ttft = first_token_s(t, prompt, tpot, table.asked, table.batch, table.output, np.maximum)
    return tpot * columns.tpot_factor, ttft * columns.ttft_factor


def aged(points: Sequence[Taken]) -> list[Taken]:
    """`points` with the newest day among them as the day of all: one calibration is of one engine.

    What was drafted is not told apart, since an estimate does not know of it: the calibration holds it.
    """
    days = [point.row.day for point in points if point.row.day is not None]
    newest = max(days, default=None)

    def one(point: Taken) -> Taken:
        deployment: Deployment = msgspec.structs.replace(point.row.deployment, engine_date=newest)
        row = msgspec.structs.replace(point.row, deployment=deployment, day=newest, drafted=False)
        return msgspec.structs.replace(point, row=row)

    return [one(point) for point in points]
