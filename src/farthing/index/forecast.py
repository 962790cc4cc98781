"""The forecast of a price in steps: the candidate that did best in the back-test, with the interval it earned there.

Two questions, one machine. `forecast`: where one track goes, from its own past and that of tracks like it.
`pooled`: where a use case goes of which nothing is known but that it is like one of these tracks; its price now is 1.

The interval (`fan`) is what the back-test's errors were, widened until what was left out of it is covered
(split-conformal prediction: Vovk, Gammerman & Shafer 2005); of a lone series, Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import exp, log

import msgspec

from farthing.index import forecast_models as models
from farthing.index.calibration import ALONE, Backtest, backtest
from farthing.index.fan import ENOUGH_WINDOWS, Ahead, fan, fan_alone
from farthing.index.tracks import Step, Track, at_their_ends, grid

LEAST_CHANGES = 3  # of a track without others like it: fewer steps tell no rate
LEAST_TRACKS = 3  # others enough to learn from
REACH = 2.0  # how far it may look ahead: times the length of the history
_NAME = "a use case like these"


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Where the price of `name` goes from `start` on. `points` is empty where it is too thin to say (see `notes`).

    `yearly_factor`: by how much it is expected to fall in the year ahead (below 1: it rises). `history_months`: how
    long the longest history is that it rests on. `backtest` is None where there was too little for one.
    """

    name: str
    start: date
    level: float
    points: tuple[Ahead, ...]
    model: str | None
    backtest: Backtest | None
    yearly_factor: float | None
    history_months: float
    tracks: int
    notes: tuple[str, ...]


def forecast(track: Track, others: Sequence[Track], end: date, horizon_months: int, level: float) -> Forecast:
    """The price of `track` month by month for `horizon_months` after `end`, at `level` (0.9: nine times in ten).

    `others` are tracks to learn from besides it; with half a year of its own or less it is forecast from them alone.
    Less than half a year, or fewer than three changes, and fewer than three others: no points, and a note says why.
    """
    import numpy as np

    notes: list[str] = []
    now = track.at(end)
    tracks = [track, *(other for other in others if other.name != track.name)]
    months = track.months(end) if track.steps else 0.0
    learned = [other for other in tracks[1:] if other.steps and other.months(end) >= models.LEAST_MONTHS]
    changes = _known(track, end).changes
    reason = _too_thin(track, now, months, changes, len(learned), end)
    if reason:
        return _none(track.name, end, level, months, len(tracks), reason)
    if months < models.LEAST_MONTHS and now is not None:
        return _as_the_others(track.name, now.price, months, pooled(others, end, horizon_months, level))
    table = grid(tracks, end)
    tested = backtest(table, level, own=True)
    present = at_their_ends(table)
    clusters = np.array([one.cluster for one in present.tracks])
    known = models.past(present.logs, present.began, present.starts, clusters, own=True)
    row = [one.name for one in present.tracks].index(track.name)
    falling = np.array([one.falling for one in present.tracks], dtype=bool)
    ahead = list(range(1, horizon_months + 1))
    model = tested.model if tested else "drift"
    moved = models.moves(model, known, ahead, falling)[row]
    yard = models.scale(known, ahead)[row]
    if changes == 0:
        notes.append(f"its own price never changed in {months:.0f} months: what is said of it comes from the others")
    notes += _tested_notes(tested, horizon_months, months)
    assert now is not None
    if tested is not None and tested.folds != ALONE:
        points = fan(now.price, end, moved, tested, level, track.falling, months)
    else:
        centres = [moved]
        if model != "drift":
            centres.append(models.moves("drift", known, ahead, falling)[row])
            notes.append("the interval also holds what its mean rate says: one series cannot rule that out")
        wider = tested.horizons[0].stretched if tested is not None else 1.0
        points = fan_alone(now.price, end, centres, yard * wider, level, track.falling, changes)
    return Forecast(
        name=track.name, start=end, level=level, points=points, model=model, backtest=tested,
        yearly_factor=_yearly(points), history_months=months, tracks=len(tracks), notes=tuple(notes),
    )  # fmt: skip


def pooled(
    tracks: Sequence[Track],
    end: date,
    horizon_months: int,
    level: float,
    name: str = _NAME,
    wider: Sequence[Track] = (),
) -> Forecast:
    """The price, from 1 now, of a use case that is like one of `tracks`, nobody knows which.

    Every error of its back-test is of a track whose own cluster was hidden: the interval holds how unlike they are.
    `wider`: where `tracks` are too alike to be tested alone (the milestones of one benchmark share their few models),
    the tracks on which candidates are judged and the interval is made; `tracks` then state the rate.
    Fewer than three tracks of half a year, or too few to test: no points, and a note says why.
    """
    import numpy as np

    long = [one for one in tracks if one.steps and one.months(end) >= models.LEAST_MONTHS]
    months = max((one.months(end) for one in long), default=0.0)
    if len(long) < LEAST_TRACKS:
        found = f"{len(long)} series of at least {models.LEAST_MONTHS} months; it takes {LEAST_TRACKS}"
        return _none(name, end, level, months, len(tracks), f"too thin to pool: {found}")
    table = grid(tracks, end)
    known_until = max((one.until for one in wider if one.until is not None), default=end)
    tested = backtest(grid(wider, max(end, known_until)) if wider else table, level, own=False)
    if tested is None:
        return _none(name, end, level, months, len(tracks), "too thin to test, so no interval can be earned")
    present = at_their_ends(table)
    case = np.full((1, table.logs.shape[1]), np.nan)
    case[0, -1] = 0.0  # a track that begins today at 1, in a cluster of its own: all others are its others
    clusters = np.array([*(one.cluster for one in present.tracks), ""])
    logs = np.vstack([present.logs, case])
    began, starts = np.append(present.began, logs.shape[1] - 1.0), np.append(present.starts, 0.0)
    known = models.past(logs, began, starts, clusters, own=False)
    falls = all(one.falling for one in table.tracks)
    falling = np.full(clusters.size, falls)
    ahead = list(range(1, horizon_months + 1))
    model = tested.model
    moved = models.moves(model, known, ahead, falling)[-1]
    middle = float(np.median([one.months(end) for one in long]))
    notes = _tested_notes(tested, horizon_months, months)
    if wider:
        notes.insert(0, f"its rate is that of its own {len(long)} milestones; model and interval are tested on all "
                        f"{len(wider)} of all benchmarks")  # fmt: skip
    points = fan(1.0, end, moved, tested, level, falls, middle)
    return Forecast(
        name=name, start=end, level=level, points=points, model=model, backtest=tested,
        yearly_factor=_yearly(points), history_months=months, tracks=len(long), notes=tuple(notes),
    )  # fmt: skip


def _as_the_others(name: str, price: float, months: float, said: Forecast) -> Forecast:
    """`said`, a pooled forecast, of a price that is too young to be forecast from its own past."""

    def scaled(value: float | None) -> float | None:
        return None if value is None else price * value

    points = tuple(
        msgspec.structs.replace(one, expected=price * one.expected, low=scaled(one.low), high=scaled(one.high))
        for one in said.points
    )
    note = f"only {months:.1f} months of prices of its own: what is said of it comes from the others"
    return msgspec.structs.replace(said, name=name, points=points, notes=(note, *said.notes))


def furthest_months(history_months: float) -> int:
    """How many months ahead may be asked of a history this long: twice its length."""
    return int(history_months * REACH)


def _known(track: Track, end: date) -> Track:
    """The track as it was known at `end`."""
    return msgspec.structs.replace(track, steps=tuple(step for step in track.steps if step.date <= end))


def _too_thin(track: Track, now: Step | None, months: float, changes: int, others: int, end: date) -> str:
    """Why nothing can be said of `track`; empty where something can."""
    if now is None:
        return f"no price of {track.name} is known on {end}"
    if months < models.LEAST_MONTHS and others < LEAST_TRACKS:
        return f"too thin: {months:.1f} months of prices; it takes {models.LEAST_MONTHS}"
    if changes < LEAST_CHANGES and others < LEAST_TRACKS:
        times = {0: "never changed", 1: "changed once", 2: "changed twice"}[changes]
        return f"too thin: the price {times} in {months:.0f} months; it takes {LEAST_CHANGES} changes to tell a rate"
    return ""


def _none(name: str, end: date, level: float, months: float, tracks: int, reason: str) -> Forecast:
    return Forecast(
        name=name, start=end, level=level, points=(), model=None, backtest=None, yearly_factor=None,
        history_months=months, tracks=tracks, notes=(reason,),
    )  # fmt: skip


def _yearly(points: Sequence[Ahead]) -> float | None:
    """By how much the price is expected to fall in a year: over the first twelve months, or what there is of them."""
    last = points[min(12, len(points) - 1)] if len(points) > 1 else None
    if last is None:
        return None
    return exp(-log(last.expected / points[0].expected) * 12 / last.months)


def _tested_notes(tested: Backtest | None, horizon: int, history: float) -> list[str]:
    notes = []
    if tested is None:
        notes.append(
            "not back-tested: the history is too short for origins enough; the interval is Student's t around the "
            "mean rate, and rests on the assumption that the future is like the past"
        )
    else:
        longest = max(one.months for one in tested.used)
        if horizon > longest:
            notes.append(f"the back-test reaches {longest} months; what is said beyond them has not been tested")
        notes += [
            f"{one.months} months fit only once into the time that was tested: shown, not used"
            for one in tested.horizons
            if not one.used
        ]
        if tested.model == "no change":
            notes.append('no model did better than "no change" in the back-test: the price is expected to stay')
        still = [one.months for one in tested.used if one.factor_error_no_change < one.factor_error]
        if still and tested.model != "no change":
            months = " and ".join(map(str, still))
            notes.append(
                f'"no change" had the smaller typical error {months} months ahead: the price moves in steps, and what '
                "is expected is for the long run"
            )
        few = [one for one in tested.used if one.windows < ENOUGH_WINDOWS]
        if few and tested.folds != ALONE:
            notes.append(
                f"{few[0].months} months fit only {few[0].windows} times side by side into the time that was tested: "
                "so few cannot rule out that nothing gets cheaper, and the interval holds that too"
            )
        if tested.covered < tested.level - 0.05:
            notes.append(
                f"the interval held {tested.covered:.0%} of the outcomes left out, not {tested.level:.0%}: take it as "
                "narrower than it should be"
            )
    if horizon > history:
        notes.append(f"{horizon} months ahead is more than the history's {history:.0f} months")
    return notes
