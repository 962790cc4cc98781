"""The price of tokens against the rent of a GPU: how much of the fall in one is not in the other.

Were tokens priced at a fixed mark-up over the rent of the GPUs that make them, and did a GPU-hour always make the same
tokens, both indices would move alike. What the price per token fell beyond the rent is then hardware, software, models
and margin together, never the rent; where rents rose while tokens fell, all of the fall is.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time

import msgspec

from farthing.index import capability, matched, scores
from farthing.index.decline import Point, frontier
from farthing.index.gpu import DeviceRents
from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.panel import grid

Rented = tuple[date, float]
"""A day, and the dollars of an hour."""


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """Both indices on a day, 100 at the first; `ratio`: tokens over rent, 1 at the first day."""

    day: date
    tokens: float
    gpu: float
    ratio: float


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """From the first to the last common day: by what factor tokens fell, rents fell (below 1: rose), and the rest.

    `tokens_fell` = `rents_fell` x `beyond_rents`. `share_beyond`: ln beyond / ln tokens_fell, None where tokens did
    not fall; above 1 where rents rose.
    """

    start: date
    end: date
    tokens_fell: float
    rents_fell: float
    beyond_rents: float
    share_beyond: float | None


def against(rents: Sequence[Rented], tokens: Mapping[date, float | None]) -> tuple[Against, ...]:
    """Both on the days of `rents` ($ an hour, above 0) on which `tokens` (any index, above 0) has a value; nothing is
    interpolated. Empty where fewer than two days are common."""
    common = [(day, usd, level) for day, usd in rents if (level := tokens.get(day)) and usd > 0]
    if len(common) < 2:
        return ()
    _, first_usd, first_level = common[0]
    return tuple(
        Against(
            day=day,
            tokens=100 * level / first_level,
            gpu=100 * usd / first_usd,
            ratio=(level / first_level) / (usd / first_usd),
        )
        for day, usd, level in common
    )


def attribution(points: Sequence[Against]) -> Attribution | None:
    """What fell by how much from the first to the last of `points`; None below two."""
    if len(points) < 2:
        return None
    first, last = points[0], points[-1]
    fell, rents = first.tokens / last.tokens, first.gpu / last.gpu
    return Attribution(
        start=first.day,
        end=last.day,
        tokens_fell=fell,
        rents_fell=rents,
        beyond_rents=fell / rents,
        share_beyond=math.log(fell / rents) / math.log(fell) if fell > 1 else None,
    )


class TokenSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The price of tokens against the rent of `device` by one method; `points` are empty where `notes` say why."""

    name: str
    method: str
    device: str
    points: tuple[Against, ...]
    notes: tuple[str, ...] = ()


def against_rents(found: DeviceRents, lines: Sequence[Line], kind: Kind, benchmark: str | None) -> list[TokenSeries]:
    """Tokens against the published rents of `found`, by matched models and at constant capability.

    On the days of its publisher with most dates; offers are no index, so without an average there is nothing to
    compare. `benchmark` None: the one on which the price of the first day's best score has been undercut most often.
    """
    rents = [(point.day, point.usd_per_hour) for point in found.main] if found.averages else []
    if len(rents) < 2:
        why = f"fewer than two dates of one publisher's average of {found.device}: tokens are not compared with it"
        return [TokenSeries(name="tokens", method="", device=found.device, points=(), notes=(why,))]
    return [_matched(found, rents, lines, kind), _constant(found, rents, lines, kind, benchmark)]


def _matched(found: DeviceRents, rents: Sequence[Rented], lines: Sequence[Line], kind: Kind) -> TokenSeries:
    # Chained from month to month, as `index show` does, and read on the days of the rents: over years the same models
    # are few.
    days = [_midnight(day) for day, _ in rents]
    made = matched.series(lines, kind, "jevons", [*grid(days[0], days[-1]), *days])
    levels = {point.date.date(): point.index for point in made.points}
    points = against(rents, levels)
    missing = [day for day, _ in rents if not levels.get(day)]
    notes = [_missing(missing)] if missing else []
    if not points:
        notes.append("no day of the rents has a matched-model level: too few models are priced at two of them")
    method = f"matched-model Jevons, {made.count:,} models"
    return TokenSeries(name="matched models", method=method, device=found.device, points=points, notes=tuple(notes))


def _constant(
    found: DeviceRents, rents: Sequence[Rented], lines: Sequence[Line], kind: Kind, benchmark: str | None
) -> TokenSeries:
    names = [scores.find(benchmark).id] if benchmark else [one.id for one in scores.benchmarks()]
    best: tuple[int, str, float, list[Point]] | None = None
    for name in names:
        points = capability.market(lines, kind, name).points
        for first, _ in rents:
            reached = [point.score for point in points if point.date <= first and point.score is not None]
            if reached:
                lows = frontier(points, max(reached))
                if best is None or len(lows) > best[0]:
                    best = (len(lows), name, max(reached), lows)
                break
    if best is None:
        why = "no scored model has a price on a day of the rents: no price of constant capability"
        return TokenSeries(name="constant capability", method="", device=found.device, points=(), notes=(why,))
    _, name, score, lows = best
    levels = {day: low.price for day, _ in rents if (low := _low_on(lows, day)) is not None}
    points_made = against(rents, levels)
    missing = [day for day, _ in rents if day not in levels]
    method = f"cheapest model with {score:g} or more on {scores.find(name).title}, running minimum"
    notes = [_missing(missing)] if missing else []
    return TokenSeries(
        name="constant capability", method=method, device=found.device, points=points_made, notes=tuple(notes)
    )


def _low_on(lows: Sequence[Point], day: date) -> Point | None:
    return next((low for low in reversed(lows) if low.date <= day), None)


def _missing(days: Sequence[date]) -> str:
    return f"no level at {len(days)} of the rents' days ({', '.join(f'{day:%Y-%m}' for day in days)})"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
