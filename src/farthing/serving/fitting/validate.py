"""Validation: how far the model is off on measured rows that it was not fitted on, and whether its intervals hold.

Four ways to hold rows out: a random fifth of the configurations at a time (rows that differ in nothing but
the run stay together), and all rows of one model, one device or one engine. Models of one shape (DeepSeek V3
and R1) are left out together. An interval is checked on rows that did not make it: its ends come from the
errors of the other parts.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from farthing.serving.coefficients import Fit
from farthing.serving.fitting.corrections import fit_effects
from farthing.serving.fitting.fit import fit_values, group_weights
from farthing.serving.fitting.rows import Row
from farthing.serving.fitting.table import Floats, Ints, Table, predict, table_of
from farthing.serving.validation import Errors, Part, Split, Validation

QUANTITIES = ("tpot", "ttft", "throughput")
LEVEL = 0.8
Progress = Callable[[str, int, int], None]


def validate(rows: Sequence[Row], left_out: Counter[str], fit: Fit, progress: Progress | None = None) -> Validation:
    """Fit on all but a part of `rows` and compare with that part, for each way to hold out."""
    table, weights = table_of(rows, fit), group_weights(rows)
    start = fit_values(table, weights, fit)
    ways = [
        ("random", _configurations(rows)),
        ("model", _parts(rows, _shape)),
        ("device", _parts(rows, lambda row: row.deployment.device.id)),
        ("engine", _parts(rows, lambda row: row.deployment.engine)),
    ]
    ways = [(name, parts) for name, parts in ways if len(parts) > 1]  # of one part nothing is left to fit on
    total, done = sum(len(parts) for _, parts in ways), 0
    splits: list[Split] = []
    groups: tuple[Part, ...] = ()
    for name, parts in ways:
        errors = {what: np.full(len(rows), np.nan) for what in QUANTITIES}
        for _, held in parts:
            if progress:
                progress(name, done, total)
            done += 1
            for what, values in _held_out(rows, table, weights, fit, start, held).items():
                errors[what][held] = values
        splits.append(_split(name, parts, errors))
        if name == "random":
            groups = tuple(_part(str(key), at, errors) for key, at in _parts(rows, lambda row: " ".join(row.group)))
    return Validation(rows=len(rows), left_out=dict(left_out), split=tuple(splits), group=groups)


def _held_out(
    rows: Sequence[Row], table: Table, weights: Floats, fit: Fit, start: dict[str, float], held: Ints
) -> dict[str, Floats]:
    """log(measured / predicted) of the rows `held`, fitted without them."""
    kept = np.setdiff1d(np.arange(len(rows)), held)
    values = fit_values(table.take(kept), weights[kept], fit, start)
    seen, unseen = [rows[i] for i in kept], [rows[i] for i in held]
    tpot, ttft = predict(table, fit, values)
    tpot_effects = fit_effects(seen, np.log(table.tpot_s[kept] / tpot[kept]), "tpot")
    ttft_effects = fit_effects(seen, np.log(table.ttft_s[kept] / ttft[kept]), "ttft")
    tpot_held = tpot[held] * np.exp([tpot_effects.correction(row) for row in unseen])
    ttft_held = ttft[held] * np.exp([ttft_effects.correction(row) for row in unseen])
    more = np.maximum(table.output[held] - 1, 0)
    measured_e2e = table.ttft_s[held] + table.tpot_s[held] * more
    return {
        "tpot": np.log(table.tpot_s[held] / tpot_held),
        "ttft": np.log(table.ttft_s[held] / ttft_held),
        "throughput": np.log((ttft_held + tpot_held * more) / measured_e2e),
    }


def _split(name: str, parts: Sequence[tuple[object, Ints]], errors: dict[str, Floats]) -> Split:
    summed = {}
    for what, values in errors.items():
        shares = np.abs(np.expm1(-values))
        level = LEVEL if name == "random" else _widened(len(parts))
        low, high = _ends(values, level)
        inside = np.full(len(values), False)
        for _, held in parts:
            others = np.setdiff1d(np.arange(len(values)), held)
            a, b = _ends(values[others], level)
            inside[held] = (values[held] >= a) & (values[held] <= b)
        summed[what] = Errors(
            median=float(np.median(shares)), p90=float(np.quantile(shares, 0.9)), coverage=float(inside.mean()),
            low=float(np.exp(low)), high=float(np.exp(high)),
        )  # fmt: skip
    named = () if name == "random" else tuple(_part(str(key), held, errors) for key, held in parts)
    return Split(name=name, rows=len(errors["tpot"]), part=named, **summed)


def _widened(parts: int) -> float:
    """The level to take so that the interval covers 80 % of a new part: `parts` parts are few draws of their kind.

    Rows of one part err together, so the errors of k parts say about as much as k draws, and a new part is one
    of k + 1 places among them.
    """
    return 1 - (1 - LEVEL) * parts / (parts + 1)


def _ends(values: Floats, level: float) -> tuple[float, float]:
    """The ends of the middle `level` of log errors."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _part(name: str, at: Ints, errors: dict[str, Floats]) -> Part:
    medians = {what: float(np.median(np.abs(np.expm1(-values[at])))) for what, values in errors.items()}
    return Part(
        name=name, rows=len(at), tpot_median=medians["tpot"], ttft_median=medians["ttft"],
        throughput_median=medians["throughput"],
    )  # fmt: skip


def _parts(rows: Sequence[Row], key: Callable[[Row], object]) -> list[tuple[object, Ints]]:
    found: dict[object, list[int]] = {}
    for at, row in enumerate(rows):
        found.setdefault(key(row), []).append(at)
    return [(name, np.array(at, np.int64)) for name, at in sorted(found.items(), key=lambda item: str(item[0]))]


def _configurations(rows: Sequence[Row], folds: int = 5) -> list[tuple[object, Ints]]:
    """Random fifths of the configurations; rows of one configuration are never on both sides."""
    every = [at for _, at in _parts(rows, _configuration)]
    order = np.random.default_rng(20261122).permutation(len(every))
    return [
        (fold, np.sort(np.concatenate([every[i] for i in order[fold::folds]])))
        for fold in range(min(folds, len(every)))
    ]


def _configuration(row: Row) -> str:
    return f"{row.group} {row.version} {row.deployment.layout} {row.input} {row.output} {row.concurrency}"


def _shape(row: Row) -> str:
    """What tells models apart that are not the same weights under two names: layers, width, weights."""
    model = row.deployment.model
    return f"{model.architecture} {model.layers} × {model.hidden}, {model.parameters / 1e9:.4g} B"
