"""The time of a run of decode steps, without taking them one by one.

While the batch stays the same, each step finds every context one token longer. A step's time is affine
in the contexts (`StepModel.step_s`), so `k` steps are an arithmetic series:

    T(k) = k t(c) + b n k (k - 1) / 2        n sequences, c tokens of context at first, b = dt/dc

Where a window is passed or a roofline turns, the line has a bend: for each number of sequences the bends
are looked for once, and kept. A time that is curved throughout is summed by halving intervals.
"""

from bisect import bisect_right
from math import ceil, isfinite, sqrt

from farthing.problems import FarthingError
from farthing.serving.steps import StepModel

_STRAIGHT = 1e-10  # relative; beyond it times do not lie on a line
_PROBES = (0.11, 0.37, 0.71)  # where an interval is tried
_MOST_PIECES = 40  # a line with more bends is a curve

_Pieces = tuple[list[int], list[tuple[float, float]]]
"""Contexts from which on a line holds, up to the next; each line as (seconds at no context, seconds per token)."""


class DecodeTimes:
    """Sums of decode-step times of one model, with the lines of each batch size kept."""

    def __init__(self, model: StepModel) -> None:
        self.model = model
        self._known: dict[int, _Pieces | None] = {}
        self._watts: dict[int, float] = {}

    def watts(self, sequences: int) -> float:
        """The draw of the replica while it decodes `sequences` sequences (0: idle), in watts."""
        found = self._watts.get(sequences)
        if found is None:
            found = self._watts[sequences] = self.model.watts(0, sequences)
        return found

    def total_s(self, sequences: int, context: int, steps: int) -> float:
        """Seconds of `steps` decode steps of `sequences` sequences with `context` tokens before the first."""
        pieces = self._pieces(sequences)
        if pieces is None:
            first = self._step_s(sequences, context)
            if steps == 1:
                return first
            return self._curved(
                sequences, context, steps, first, self._step_s(sequences, context + (steps - 1) * sequences)
            )
        starts, lines = pieces
        place = bisect_right(starts, context) - 1 if len(lines) > 1 else 0
        total = 0.0
        while True:
            a, b = lines[place]
            place += 1
            here = steps
            if place < len(lines):  # those up to the bend
                here = min(steps, max(0, (starts[place] - context) // sequences + 1))
            total += here * (a + b * context + 0.5 * b * sequences * (here - 1))
            steps -= here
            if not steps:
                return total
            context += here * sequences

    def steps_until(self, sequences: int, context: int, most: int, wanted_s: float) -> int:
        """The fewest of 1 … `most` steps that take at least `wanted_s` seconds (`most`, if none do)."""
        pieces = self._pieces(sequences)
        if pieces is None or len(pieces[1]) > 1:
            low, high = 1, most
            while low < high:
                middle = (low + high) // 2
                if self.total_s(sequences, context, middle) < wanted_s:
                    low = middle + 1
                else:
                    high = middle
            return low
        a, b = pieces[1][0]
        # T(k) = p k + q k², solved for k in the form that also holds for q = 0, then put right by one.
        q = 0.5 * b * sequences
        p = a + b * context - q
        k = max(1, min(most, ceil(2 * wanted_s / (p + sqrt(max(p * p + 4 * q * wanted_s, 0.0))))))
        while k < most and self.total_s(sequences, context, k) < wanted_s:
            k += 1
        while k > 1 and self.total_s(sequences, context, k - 1) >= wanted_s:
            k -= 1
        return k

    def _step_s(self, sequences: int, context: int) -> float:
        took = self.model.step_s(0, 0, sequences, context)
        if not (took > 0 and isfinite(took)):
            raise FarthingError(
                f"the step model gives {took!r} s for a decode step of {sequences} sequences with {context} tokens"
                " of context; a step must take some time"
            )
        return took

    def _pieces(self, sequences: int) -> _Pieces | None:
        """The lines of a step's time over the contexts of `sequences` sequences; None: it is a curve."""
        try:
            return self._known[sequences]
        except KeyError:
            pass
        low, high = sequences, max(self.model.kv_tokens, 2 * sequences)
        pieces: _Pieces = ([], [])
        straight = self._cut(sequences, low, self._step_s(sequences, low), high, self._step_s(sequences, high), pieces)
        self._known[sequences] = pieces if straight else None
        return self._known[sequences]

    def _cut(self, sequences: int, low: int, at_low: float, high: int, at_high: float, pieces: _Pieces) -> bool:
        """Add the lines between two contexts to `pieces`; False if there are too many."""
        starts, lines = pieces
        b = (at_high - at_low) / (high - low)
        tried = {low + round(share * (high - low)) for share in _PROBES}
        if high - low == 1 or all(
            abs(self._step_s(sequences, context) - (at_low + b * (context - low))) <= _STRAIGHT * at_high
            for context in tried
        ):
            if lines and abs(lines[-1][0] + lines[-1][1] * high - at_high) <= _STRAIGHT * at_high:
                return True  # the line before goes on
            starts.append(low)
            lines.append((at_low - b * low, b))
            return len(lines) <= _MOST_PIECES
        middle = (low + high) // 2
        at_middle = self._step_s(sequences, middle)
        return self._cut(sequences, low, at_low, middle, at_middle, pieces) and self._cut(
            sequences, middle, at_middle, high, at_high, pieces
        )

    def _curved(self, sequences: int, context: int, steps: int, first: float, last: float) -> float:
        """The sum over `steps` > 1 steps: the trapezoid where it is straight, else both halves."""
        if steps == 2:
            return first + last
        half = steps // 2
        middle = self._step_s(sequences, context + half * sequences)
        rise = (last - first) / (steps - 1)
        if abs(middle - first - rise * half) <= _STRAIGHT * last:
            # A bend can hide from one point, but not from two.
            quarter = self._step_s(sequences, context + (half // 2) * sequences)
            if abs(quarter - first - rise * (half // 2)) <= _STRAIGHT * last:
                return steps * (first + last) / 2
        left = self._curved(sequences, context, half + 1, first, middle)
        right = self._curved(sequences, context + half * sequences, steps - half, middle, last)
        return left + right - middle
