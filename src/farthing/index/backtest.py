"""The back-test of forecasts: from every month of the past, forecast with what was known then, and look what came.

Errors are natural logs of actual over expected price. Windows overlap and tracks of one cluster move together:
`calibration`, which judges them, lets clusters count the same and holds some out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from farthing.index import forecast_models as models

if TYPE_CHECKING:
    from farthing.index.tracks import Floats, Grid, Labels

HORIZONS = (3, 6, 12, 24)
LEAST_ERRORS = 12
LEAST_FOLDS = 3
_MOST_PAIRS = 6000


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """Every forecast of every candidate at one horizon: `errors[model]` and `scales` by origin and track, flat."""

    horizon: int
    errors: dict[str, Floats]
    scales: Floats
    track: Labels
    cluster: Labels
    origin: Labels

    @property
    def windows(self) -> int:
        """How many windows of this horizon fit side by side into the time that the origins span; 0: no errors."""
        return 1 + int(self.origin.max() - self.origin.min()) // self.horizon if self.origin.size else 0

    @property
    def enough(self) -> bool:
        """Whether the errors are enough to show."""
        return self.scales.size >= LEAST_ERRORS

    @property
    def telling(self) -> bool:
        """Whether they are of more than one window of time, and can be judged by."""
        return self.enough and self.windows > 1


def errors(past: Grid, own: bool, horizons: Sequence[int] = HORIZONS) -> list[Errors]:
    """The errors of all candidates from all origins: rolling, with nothing known that came later.

    An origin of a track needs LEAST_MONTHS of its history. Where there are very many, every third month is taken.
    """
    import numpy as np

    logs = past.logs
    clusters = np.array([track.cluster for track in past.tracks])
    falling = np.array([track.falling for track in past.tracks], dtype=bool)
    known = np.isfinite(logs)
    step = 1 if known.sum() <= _MOST_PAIRS else 3
    last = logs.shape[1] - 1
    parts: dict[int, list[tuple[Labels, int, Floats, dict[str, Floats]]]] = {h: [] for h in horizons}
    for origin in range(last - min(horizons, default=0), models.LEAST_MONTHS - 1, -step):
        alive = np.flatnonzero(known[:, origin])
        ripe = origin - past.began[alive] >= models.LEAST_MONTHS
        here = [h for h in horizons if origin + h <= last]
        if not ripe.any():
            continue
        view = models.past(logs[alive, : origin + 1], past.began[alive], past.starts[alive], clusters[alive], own)
        yard = models.scale(view, here)
        said = {name: models.moves(name, view, here, falling[alive]) for name in models.candidates(own)}
        for place, h in enumerate(here):
            came = logs[alive, origin + h] - logs[alive, origin]
            use = ripe & np.isfinite(came)
            missed = {name: came[use] - found[use, place] for name, found in said.items()}
            parts[h].append((alive[use], origin, yard[use, place], missed))
    return [_joined(h, found, clusters) for h, found in parts.items()]


def _joined(horizon: int, parts: list[tuple[Labels, int, Floats, dict[str, Floats]]], clusters: Labels) -> Errors:
    import numpy as np

    def join(arrays: list[Floats]) -> Floats:
        return np.concatenate(arrays) if arrays else np.empty(0)

    track = join([part[0] for part in parts]).astype(int)
    return Errors(
        horizon=horizon,
        errors={name: join([part[3][name] for part in parts]) for name in (parts[0][3] if parts else ())},
        scales=join([part[2] for part in parts]),
        track=track,
        cluster=clusters[track],
        origin=join([np.full(part[0].size, part[1]) for part in parts]).astype(int),
    )
