"""Corrections: what measured rows of a group say beyond the formulas, shrunk towards none.

The error that is left, in logarithms, is taken as a sum of effects of nested groups, each with a level and
a slope on concurrency and on input:output. Ridge regression: an effect is held to zero as if by `PENALTY`
rows that showed none, so a group of few rows is corrected little and one that was never seen not at all.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from farthing.serving.corrections import Key, Span, held, keys_of, slopes
from farthing.serving.fitting.rows import Row
from farthing.serving.fitting.table import Floats

PENALTY = 1.0
_SLOPE_PENALTY = 2.0  # a slope is held this many times as hard as a level
_OUTLIER = {"tpot": 0.12, "ttft": 0.2}


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted effects: by key, (level, slope on concurrency, slope on input:output); and the rows behind each.

    `spans`: of those rows. A correction is held within the span of its group.
    """

    of: dict[Key, tuple[float, float, float]]
    rows: dict[Key, int]
    spans: dict[Key, Span]

    def correction(self, row: Row) -> float:
        """What is to be added to the logarithm of the formulas' answer for `row`."""
        within = self.spans.get(keys_of(row.deployment)[0])
        if within is None:
            return 0.0
        weights = (1.0, *slopes(*held(row.concurrency, row.input / row.output, within), 1.0))
        total = 0.0
        for key in keys_of(row.deployment):
            effect = self.of.get(key)
            if effect is not None:
                total += sum(a * b for a, b in zip(effect, weights, strict=True))
        return total


def fit_effects(rows: Sequence[Row], errors: Floats, what: str) -> Effects:
    """The effects in `errors` = log(measured / formulas) of `rows`; `what` is "tpot" or "ttft"."""
    columns: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    spans: dict[Key, Span] = {}
    entries: list[tuple[int, int, float]] = []
    for at, row in enumerate(rows):
        weights = (1.0, *slopes(row.concurrency, row.input, row.output))
        here = row.concurrency, row.input / row.output
        for key in keys_of(row.deployment):
            low, high = spans.get(key, (here, here))
            spans[key] = (min(low[0], here[0]), min(low[1], here[1])), (max(high[0], here[0]), max(high[1], here[1]))
            column = columns.setdefault(key, 3 * len(columns))
            counts[key] = counts.get(key, 0) + 1
            entries.extend((at, column + k, weight) for k, weight in enumerate(weights))
    design = np.zeros((len(rows), 3 * len(columns)))
    for at, column, weight in entries:
        design[at, column] = weight
    penalty = np.array([PENALTY * (_SLOPE_PENALTY if k else 1.0) for _ in columns for k in range(3)])
    counts_as: NDArray[Any] = np.ones(len(rows))
    found: Floats = np.zeros(design.shape[1])
    for _ in range(4):  # rows that no effect explains count less
        scaled = design * counts_as[:, None]
        found = np.linalg.solve(design.T @ scaled + np.diag(penalty), scaled.T @ errors)
        left = np.abs(errors - design @ found)
        counts_as = np.asarray(1.0 / np.maximum(1.0, left / _OUTLIER[what]))
    return Effects(
        of={key: (float(found[c]), float(found[c + 1]), float(found[c + 2])) for key, c in columns.items()},
        rows=counts, spans=spans,
    )  # fmt: skip
