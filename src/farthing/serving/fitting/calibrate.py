"""The calibration's fit: measured points of one deployment against the packaged fit, which is the prior.

Unknown are: a level of log TPOT and of log TTFT; with 4 points at 3 concurrencies also their slopes; with 3 points also
the coefficients. Each is normal around the packaged fit's answer: a coefficient by its own `sd`, a level by half the
variance of the packaged interval (80 % of a normal lie within 1.2816 sd), a slope by half of a level's sd. A point is
as sure as repeats of one configuration are alike; where no coefficient is free, the other half of that variance, which
differs from load to load, is added. The most likely values of all are found together. A coefficient that is a share
of a peak (of bandwidth, of compute) does not rise above 1. What is then left at four points or more is followed near
them (`follow`), in the fit and in each fit without a point.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import msgspec
import numpy as np

from farthing.problems import FarthingError
from farthing.serving.calibration import Calibration, Moved, Point, Residual, fit_digest, layout_text
from farthing.serving.calibration_knots import Knot
from farthing.serving.coefficients import Fit
from farthing.serving.corrections import corrected
from farthing.serving.evidence import basis
from farthing.serving.fitting import follow
from farthing.serving.fitting.points import Columns, Left, Taken, aged, columns_of, predicted, taken
from farthing.serving.fitting.table import Floats, Ints
from farthing.serving.measured.measurement import Measurement

NOISE = {"tpot": 0.06, "ttft": 0.12, "throughput": 0.06}
"""sd of a measured point in logarithms. Repeats of one configuration differ by 1.22 and 1.31 at p90 (max/min) over
engine versions too; ln / 2.33 = 0.085 and 0.116 would be the sd if all of that were noise."""
_LEAST_WIDTH = {"tpot": 0.05, "ttft": 0.1, "throughput": 0.05}
_SIDE = 1.2816  # sd within which 80 % of a normal lie
_OWN = 0.5
"""The share of the packaged interval's variance that is one deployment's level, the same at all its loads (assumed;
with it, points of models that the fit was denied narrow the interval about as they should)."""
_FOLDS = 10
_FOR_INTERVAL, _FOR_COEFFICIENTS, _FOR_SLOPE, _CONCURRENCIES = 5, 3, 4, 3
_MOVED = 0.001  # a coefficient that moved by less than this share stays the packaged one
_SHARES = ("_bandwidth", "_compute")  # coefficients so named are shares of the device's peak
_ROBUST = 2.0  # beyond so many sd a point counts linearly
Progress = Callable[[int, int], None]


class _Prior(msgspec.Struct, frozen=True, kw_only=True):
    """What is free: `names` of coefficients with their `start` (logarithms), and the `sd` of all that is free.

    By quantity, variances of log errors: `level` of the level, `within` of what differs from load to load, `noise` of
    what a point leaves open.
    """

    names: tuple[str, ...]
    start: Floats
    sd: Floats
    level: dict[str, float]
    within: dict[str, float]
    noise: dict[str, float]


class _Solved(msgspec.Struct, frozen=True, kw_only=True):
    """`values` of coefficients; (level, slope) of log TPOT and log TTFT."""

    values: dict[str, float]
    tpot: tuple[float, float]
    ttft: tuple[float, float]


def calibrate(
    points: Sequence[Taken], fit: Fit, made: date, sources: Sequence[str] = (), progress: Progress | None = None
) -> Calibration:
    """The calibration of one deployment's `points` (all of one engine, device, model and format; at least one)."""
    points = aged(points)
    columns = columns_of(points, fit)
    middle = _middle(columns)
    packaged = predicted(columns, fit, fit.values())
    loads = follow.loads(points)
    spread = _spread(points)
    prior = _prior(columns, fit, spread)
    parts = _parts(len(points))
    held = (np.full(len(points), np.nan), np.full(len(points), np.nan))
    for number, part in enumerate(parts):
        if progress:
            progress(number, len(parts) + 1)
        kept = np.setdiff1d(np.arange(len(points)), part)
        seen = columns.take(kept)
        solved = _solve(seen, fit, _prior(seen, fit, spread), middle)
        knots = _knots(seen, fit, solved, middle, [loads[at] for at in kept])
        answers = _answers(columns.take(part), fit, solved, middle)
        beyond = follow.factors(knots, [loads[at] for at in part])
        for found, answer, factor in zip(held, answers, beyond, strict=True):
            found[part] = answer * factor
    solved = _solve(columns, fit, prior, middle)
    knots = _knots(columns, fit, solved, middle, loads)
    smooth, beyond = _answers(columns, fit, solved, middle), follow.factors(knots, loads)
    after = smooth[0] * beyond[0], smooth[1] * beyond[1]
    errors = {"before": _errors(columns, packaged), "after": _errors(columns, after)}
    if parts:
        errors["held_out"] = _errors(columns, held)
    widths, rule = _widths(columns, held if parts else None, prior)
    first = points[0].row
    deployment = first.deployment
    told = dict.fromkeys(note for point in points for note in point.notes)
    versions = sorted({point.row.version for point in points if point.row.version})
    notes = [*told, *([f"engine versions: {', '.join(versions)}"] if len(versions) > 1 else [])]
    return Calibration(
        engine=deployment.engine, device=deployment.device.id, model=deployment.model.id, weights=deployment.weights,
        measured_engine=points[0].measured_engine, engine_day=first.day, made=made, fit=fit_digest(),
        layouts=tuple(dict.fromkeys(layout_text(point.row.deployment) for point in points)),
        moved=_moved(fit, solved), tpot=_residual(solved.tpot, middle), ttft=_residual(solved.ttft, middle),
        knots=knots, spans=_spans(columns), widths=widths, rule=rule,
        errors={stage: _medians(found) for stage, found in errors.items()},
        points=tuple(
            _point(point, columns, at, packaged, after, held if parts else None) for at, point in enumerate(points)
        ),
        sources=tuple(sources or dict.fromkeys(point.row.source for point in points)), notes=tuple(notes),
    )  # fmt: skip


def calibrate_all(
    measurements: Sequence[Measurement], fit: Fit, made: date, about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> tuple[list[tuple[Calibration, list[Taken]]], list[Left]]:  # fmt: skip
    """A calibration of each deployment (engine, device, model, format) in `measurements`, with its points; and what was
    left out. `about`: fields for where the files say nothing.

    Raises `FarthingError` where no measurement can be used.
    """
    points, left = taken(measurements, fit, about)
    if not points:
        first = left[0] if left else Left(source="the files", reason="no measurement")
        raise FarthingError(f"{first.source}: {first.reason}" + f" (and {len(left) - 1} more)" * (len(left) > 1))
    groups: dict[tuple[str, ...], list[Taken]] = {}
    for point in points:
        groups.setdefault((point.measured_engine, *point.row.group), []).append(point)
    for group in groups.values():
        group.sort(key=lambda point: (point.row.input, point.row.output, point.row.concurrency))
    return [(calibrate(group, fit, made, progress=progress), group) for group in groups.values()], left


# --- the fit ------------------------------------------------------------------------------------------


def _middle(columns: Columns) -> float:
    """The geometric mean of the concurrencies in a replica, where the level is stated."""
    return float(np.exp(np.log(np.maximum(columns.table.asked, 1.0)).mean()))


def _spread(points: Sequence[Taken]) -> dict[str, tuple[float, float]]:
    """Log half-widths of the packaged 80 % interval, (below, above), by quantity: the widest among the points."""
    ends: dict[str, tuple[float, float]] = {}
    for point in points:
        row = point.row
        each = row.concurrency / row.deployment.replicas
        rows = corrected(row.deployment, each, row.input, row.output).rows
        for what, (low, high) in basis(row.deployment, each, row.input, row.output, rows).factors.items():
            below, above = ends.get(what, (0.0, 0.0))
            ends[what] = max(below, -float(np.log(low))), max(above, float(np.log(high)))
    return ends


def _sd(spread: dict[str, tuple[float, float]], what: str) -> float:
    return sum(spread[what]) / 2 / _SIDE


def _prior(columns: Columns, fit: Fit, spread: dict[str, tuple[float, float]]) -> _Prior:
    """Coefficients that are factors and have no tag (a tagged one is another factor on the same); levels and slopes.

    Points that are further off than the packaged interval allows say that it does not hold here: the level's
    variance is then the square of how far they are off, less what else they hold (method of moments), and
    what differs from load to load grows with the root of that.
    """
    names: tuple[str, ...] = ()
    points = len(columns.hit)
    if points >= _FOR_COEFFICIENTS:
        drafted = ("drafted", "monthly_gain")
        names = tuple(n for n, one in fit.coefficients.items() if "@" not in n and not one.linear and n not in drafted)
    slope = points >= _FOR_SLOPE and len(np.unique(columns.table.asked)) >= _CONCURRENCIES
    start = np.log([fit.coefficients[name].value for name in names]) if names else np.zeros(0)
    level, within, noise = {}, {}, {}
    for what, errors in _errors(columns, predicted(columns, fit, fit.values())).items():
        known = errors[np.isfinite(errors)]
        far = float(np.median(known)) ** 2 if len(known) else 0.0
        variance, repeats = _sd(spread, what) ** 2, NOISE[what] ** 2
        within[what] = (1 - _OWN) * variance * max(1.0, far / (variance + repeats)) ** 0.5
        noise[what] = repeats if names else repeats + within[what]
        level[what] = max(_OWN * variance, far - (1 - _OWN) * variance - repeats)
    free = [level[what] ** 0.5 * share for what in ("tpot", "ttft") for share in (1.0, 0.5 if slope else 1e-6)]
    return _Prior(
        names=names, start=start, sd=np.array([*(fit.coefficients[name].sd for name in names), *free]),
        level=level, within=within, noise=noise,
    )  # fmt: skip


def _solve(columns: Columns, fit: Fit, prior: _Prior, middle: float) -> _Solved:
    """The most likely coefficients, levels and slopes."""
    from scipy.optimize import least_squares

    table = columns.table
    size = len(prior.names)
    seen = np.isfinite(table.ttft_s)
    tpot_sd, ttft_sd = prior.noise["tpot"] ** 0.5, prior.noise["ttft"] ** 0.5

    def solved(x: Floats) -> _Solved:
        values = fit.values() | dict(zip(prior.names, np.exp(prior.start + x[:size]).tolist(), strict=True))
        a, b, c, d = (float(one) for one in x[size:])
        return _Solved(values=values, tpot=(a, b), ttft=(c, d))

    def residuals(x: Floats) -> Floats:
        tpot, ttft = _answers(columns, fit, solved(x), middle)
        off = np.log(tpot / table.tpot_s) / tpot_sd
        first = np.log(ttft[seen] / table.ttft_s[seen]) / ttft_sd
        return np.concatenate([_robust(off), _robust(first), x / prior.sd])

    most = np.full(len(prior.sd), np.inf)
    for at, name in enumerate(prior.names):
        if name.endswith(_SHARES):
            most[at] = max(-float(prior.start[at]), 1e-6)  # no share above 1, but where the packaged one is
    found = least_squares(residuals, np.zeros(len(prior.sd)), bounds=(-np.inf, most), x_scale=prior.sd, max_nfev=40)
    return solved(found.x)


def _knots(columns: Columns, fit: Fit, solved: _Solved, middle: float, loads: Sequence[Knot]) -> tuple[Knot, ...]:
    """What `solved` leaves at its own points, to be followed near them."""
    errors = _errors(columns, _answers(columns, fit, solved, middle))
    return follow.knots(loads, errors["tpot"], errors["ttft"])


def _robust(off: Floats) -> Floats:
    """Pseudo-Huber: about the error itself, growing as its root where it is large."""
    return np.asarray(np.sign(off) * _ROBUST * np.sqrt(2 * (np.sqrt(1 + (off / _ROBUST) ** 2) - 1)))


def _answers(columns: Columns, fit: Fit, solved: _Solved, middle: float) -> tuple[Floats, Floats]:
    """TPOT and TTFT of every point in seconds, calibrated."""
    tpot, ttft = predicted(columns, fit, solved.values)
    octuples = np.log2(np.maximum(columns.table.asked, 1.0) / middle) / 3.0
    factors = (np.exp(level + slope * octuples) for level, slope in (solved.tpot, solved.ttft))
    return tpot * next(factors), ttft * next(factors)


def _parts(points: int) -> list[Ints]:
    """The points to hold out in turn: each alone, or of many a tenth at a time; none where there is only one."""
    if points < 2:
        return []
    order = np.random.default_rng(20261122).permutation(points)
    return [np.sort(part) for part in np.array_split(order, min(points, _FOLDS))]


# --- what it comes to --------------------------------------------------------------------------------


def _errors(columns: Columns, answers: tuple[Floats, Floats]) -> dict[str, Floats]:
    """log(measured / said) by quantity; NaN where TTFT was not measured."""
    table, (tpot, ttft) = columns.table, answers
    more = np.maximum(table.output - 1, 0)
    return {
        "tpot": np.log(table.tpot_s / tpot),
        "ttft": np.log(table.ttft_s / ttft),
        "throughput": np.log((ttft + tpot * more) / (table.ttft_s + table.tpot_s * more)),
    }


def _medians(errors: dict[str, Floats]) -> dict[str, float]:
    """Medians of absolute errors as shares of the measured value; a quantity that was never measured is left out."""
    shares = {what: np.abs(np.expm1(-one[np.isfinite(one)])) for what, one in errors.items()}
    return {what: _short(float(np.median(one))) for what, one in shares.items() if len(one)}


def _widths(columns: Columns, held: tuple[Floats, Floats] | None, prior: _Prior) -> tuple[dict[str, float], str]:
    """Log half-widths of the 80 % interval, and the rule by which they come about."""
    from scipy.stats import t as student

    points = len(columns.hit)
    first = int(np.isfinite(columns.table.ttft_s).sum())
    counts = {"tpot": points, "ttft": first, "throughput": first}
    by_errors = held is not None and points >= _FOR_INTERVAL
    errors = _errors(columns, held) if held is not None else {}
    widths = {}
    for what, count in counts.items():
        if by_errors and count >= _FOR_INTERVAL:
            known = errors[what][np.isfinite(errors[what])]
            side = float(student.ppf(0.9, count - 1)) * float(np.sqrt((known**2).mean() * (1 + 1 / count)))
            widths[what] = max(side, _LEAST_WIDTH[what])
        else:
            level, seen = prior.level[what], (prior.within[what] + NOISE[what] ** 2) / max(count, 1e-9)
            widths[what] = _SIDE * float(np.sqrt(prior.within[what] + level * seen / (level + seen)))
    rule = (
        f"80 % of Student's t over the errors of {points} points, each held out "
        f"{'alone' if points <= _FOLDS else 'with a tenth of them'}"
        if by_errors
        else f"the packaged interval; half of its variance is taken as this deployment's own level, and divided by "
        f"1 + the {points} point{'s' * (points > 1)}; wider where they lie outside it"
    )
    return {what: _short(width) for what, width in widths.items()}, rule


def _moved(fit: Fit, solved: _Solved) -> tuple[Moved, ...]:
    packaged = fit.values()
    return tuple(
        Moved(name=name, value=_short(value), packaged=packaged[name])
        for name, value in solved.values.items()
        if packaged[name] != value and abs(value / packaged[name] - 1) > _MOVED
    )


def _residual(found: tuple[float, float], middle: float) -> Residual:
    level, slope = found
    return Residual(
        factor=_short(float(np.exp(level))), per_octuple=_short(float(np.exp(slope))), concurrency=_short(middle)
    )


def _short(value: float) -> float:
    """`value` as it is written: six digits."""
    return float(f"{value:.6g}")


def _spans(columns: Columns) -> dict[str, tuple[float, float]]:
    table = columns.table
    named = (("concurrency", np.maximum(table.asked, 1.0)), ("input", table.input), ("output", table.output))
    return {name: (_short(float(one.min())), _short(float(one.max()))) for name, one in named}


def _point(
    point: Taken, columns: Columns, at: int, before: tuple[Floats, Floats], after: tuple[Floats, Floats],
    held: tuple[Floats, Floats] | None,
) -> Point:  # fmt: skip
    row, table = point.row, columns.table
    said = {"before": before, "after": after} | ({"held_out": held} if held else {})
    answers = {
        f"{what}_{stage}_ms": _short(float(answer[at]) * 1e3)
        for stage, pair in said.items()
        for what, answer in zip(("tpot", "ttft"), pair, strict=True)
    }
    return Point(
        source=row.source, layout=layout_text(row.deployment), concurrency=_short(row.concurrency),
        input=_short(row.input), output=_short(row.output), tpot_ms=_short(row.tpot_s * 1e3),
        ttft_ms=_short(row.ttft_s * 1e3) if np.isfinite(table.ttft_s[at]) else None, **answers,
    )  # fmt: skip
