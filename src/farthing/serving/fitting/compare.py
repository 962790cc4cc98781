"""The packaged model against measured rows as they are: an external test, where it was never fitted on them.

Whether rows were in the fit cannot be told from them. Each row is compared with what `estimate` says of it, and with
the 80 % interval that it states. Disaggregated rows are compared by TPOT alone: a decode step of the decode
workers, which no prompt interrupts.
"""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from farthing.problems import FarthingError
from farthing.serving.coefficients import Fit
from farthing.serving.corrections import corrected
from farthing.serving.evidence import Basis, basis
from farthing.serving.fitting.points import STANDS_IN, Taken, columns_of, filled, predicted, take, taken
from farthing.serving.fitting.table import Floats
from farthing.serving.measured.measurement import Measurement, Pool
from farthing.serving.replica import prepared

Bools = NDArray[np.bool_]
QUANTITIES = ("tpot", "ttft", "throughput")


class Off(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute errors as shares of the measured value over `rows` rows. `bias`: the median of said / measured, minus 1.

    `coverage`: the share of rows inside the 80 % interval that was stated of each.
    """

    rows: int
    median: float
    p90: float
    bias: float
    coverage: float


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """The errors of the rows that have `name` in common; None: the quantity was measured in none of them."""

    name: str
    rows: int
    tpot: Off | None
    ttft: Off | None
    throughput: Off | None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison. `levels`: by what the model knew of a deployment before (`Basis.level`); `groups`: by engine,
    device, model and format; `split`: disaggregated rows, by TPOT. `notes`: how rows were read, counted.
    """

    every: Kind
    levels: tuple[Kind, ...]
    models: tuple[Kind, ...]
    devices: tuple[Kind, ...]
    engines: tuple[Kind, ...]
    groups: tuple[Kind, ...]
    split: Kind | None
    left_out: dict[str, int]
    split_left_out: dict[str, int]
    notes: dict[str, int]


def compare(measurements: Sequence[Measurement], fit: Fit) -> Compared:
    """The packaged model against `measurements`. Raises `FarthingError` where none of them can be compared."""
    points, left = taken((m for m in measurements if not m.disaggregated), fit, {"engine": STANDS_IN})
    split, split_left = _split([m for m in measurements if m.disaggregated], fit)
    if not points and split is None:
        why = left[0] if left else None
        raise FarthingError(
            f"{why.source}: {why.reason} (no row can be compared)" if why else "no row that can be compared"
        )
    off = _logs(points, fit)
    known = [_basis_of(point) for point in points]
    ends = {what: np.log(np.array([one.factors[what] for one in known]).reshape(-1, 2)) for what in QUANTITIES}

    def kinds(names: Sequence[str]) -> tuple[Kind, ...]:
        return tuple(_kind(name, np.array(names) == name, off, ends) for name in sorted(set(names)))

    rows = [point.row for point in points]
    return Compared(
        every=_kind("all", np.full(len(points), True), off, ends), levels=kinds([one.level for one in known]),
        models=kinds([row.deployment.model.id for row in rows]), engines=kinds([_engine(p) for p in points]),
        devices=kinds([row.deployment.device.id for row in rows]),
        groups=kinds([" ".join((_engine(p), *p.row.group[1:])) for p in points]), split=split,
        left_out=dict(Counter(_plain(one.reason) for one in left)), split_left_out=dict(split_left),
        notes=dict(Counter(_plain(note) for point in points for note in point.notes)),
    )  # fmt: skip


def _engine(point: Taken) -> str:
    return point.measured_engine or point.row.deployment.engine


def _plain(text: str) -> str:
    """A reason or a note without its numbers and names, to be counted by."""
    return re.sub(
        r"(?<![\w.-])\d[\d,.]*(?![\w])",
        "N",
        text.split(" of ")[0] if text.startswith("repeats") else text.split(" (")[0],
    )


def _basis_of(point: Taken) -> Basis:
    row = point.row
    each = row.concurrency / row.deployment.replicas
    seen = corrected(row.deployment, each, row.input, row.output).rows
    return basis(row.deployment, each, row.input, row.output, seen)


def _logs(points: Sequence[Taken], fit: Fit) -> dict[str, Floats]:
    """log(measured / said) of every row, by quantity; NaN where TTFT was not measured."""
    if not points:
        return {what: np.zeros(0) for what in QUANTITIES}
    columns = columns_of(points, fit)
    tpot, ttft = predicted(columns, fit, fit.values())
    table = columns.table
    more = np.maximum(table.output - 1, 0)
    return {
        "tpot": np.log(table.tpot_s / tpot),
        "ttft": np.log(table.ttft_s / ttft),
        "throughput": np.log((ttft + tpot * more) / (table.ttft_s + table.tpot_s * more)),
    }


def _kind(name: str, which: Bools, off: dict[str, Floats], ends: dict[str, Floats]) -> Kind:
    found = {what: _off(off[what][which], ends[what][which]) for what in QUANTITIES}
    return Kind(name=name, rows=int(which.sum()), **found)


def _off(logs: Floats, ends: Floats) -> Off | None:
    measured = np.isfinite(logs)
    if not measured.any():
        return None
    logs, ends = logs[measured], ends[measured]
    shares = np.abs(np.expm1(-logs))
    inside = (logs >= ends[:, 0]) & (logs <= ends[:, 1])
    return Off(
        rows=len(logs), median=float(np.median(shares)), p90=float(np.quantile(shares, 0.9)),
        bias=float(np.expm1(-np.median(logs))), coverage=float(inside.mean()),
    )  # fmt: skip


# --- disaggregated rows ------------------------------------------------------------------------------


def _split(measurements: Sequence[Measurement], fit: Fit) -> tuple[Kind | None, Counter[str]]:
    """TPOT of disaggregated rows whose decode workers are stated: one step of a worker, without any prompts."""
    logs, ends = [], []
    left: Counter[str] = Counter()
    for m in measurements:
        found = _decoded(m, fit)
        if isinstance(found, str):
            left[_plain(found)] += 1
        else:
            logs.append(found[0])
            ends.append(found[1])
    if not logs:
        return None, left
    off = _off(np.array(logs), np.log(np.array(ends)))
    return Kind(name="disaggregated", rows=len(logs), tpot=off, ttft=None, throughput=None), left


def _decoded(m: Measurement, fit: Fit) -> tuple[float, tuple[float, float]] | str:
    """log(measured / said) of the TPOT of one row, and the ends of its interval; or why it cannot be compared."""
    pool = m.decode or Pool()
    if not pool.workers or not pool.tp:
        return "the number of decode workers or their layout is not stated"
    changes = {
        "disaggregated": False, "tp": pool.tp, "pp": pool.pp, "dp": pool.dp, "ep": pool.ep, "gpus": None,
        "prefill": None, "decode": None,
    }  # fmt: skip
    point = take(filled(msgspec.structs.replace(m, **changes), {"engine": STANDS_IN}, []), fit, {})
    if isinstance(point, str):
        return point
    row = point.row
    asked = row.concurrency / pool.workers / row.deployment.replicas
    room = row.deployment.max_batch(row.input + row.output / 2)
    batch = min(asked, max(room, 1))
    _, _, _, step = prepared(row.deployment).point(row.input, row.output, batch, batch)
    factors = basis(row.deployment, asked, row.input, row.output, 0).factors
    return float(np.log(row.tpot_s / step)), factors["tpot"]
