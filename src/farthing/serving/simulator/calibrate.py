"""Fit a step model to a recorded run: a handful of factors, found by simulating the run again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import Run
from farthing.serving.simulator.simulate import simulate
from farthing.serving.steps import StepModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

PARTS = ("scale", "prompt", "pairs", "sequences", "context")
_PULL = 0.3  # a factor of e costs as much as one request that is 30 % off: what data leaves open stays near 1
_STEP = 0.02  # of the finite differences, in log factors: wide, since a schedule changes in jumps
_FEWEST = 10  # recorded requests to fit on


class ScaledSteps:
    """`base` with factors: scale × base.step_s(prompt × tokens, pairs × pairs, sequences × n, context × tokens).

    An argument is scaled in place of the time that is spent on it, which is the same wherever that time is
    proportional to it; where `base` takes the larger of two times, it also moves where they cross.
    """

    def __init__(
        self,
        base: StepModel,
        *,
        scale: float = 1.0,
        prompt: float = 1.0,
        pairs: float = 1.0,
        sequences: float = 1.0,
        context: float = 1.0,
    ) -> None:
        self.base = base
        self.scale, self.prompt, self.pairs, self.sequences, self.context = scale, prompt, pairs, sequences, context
        self.kv_tokens, self.max_sequences = base.kv_tokens, base.max_sequences
        self.token_budget, self.gpus = base.token_budget, base.gpus

    def step_s(self, prompt_tokens: float, prompt_pairs: float, sequences: float, context: float) -> float:
        return self.scale * self.base.step_s(
            self.prompt * prompt_tokens, self.pairs * prompt_pairs, self.sequences * sequences, self.context * context
        )

    def watts(self, prompt_tokens: float, sequences: float) -> float:
        return self.base.watts(prompt_tokens, sequences)

    @property
    def factors(self) -> dict[str, float]:
        """The factors by name."""
        return {name: getattr(self, name) for name in PARTS}


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute relative errors (0.03: 3 %) of simulated against recorded times over `requests` requests."""

    requests: int
    end_to_end_median: float
    end_to_end_p90: float
    ttft_median: float
    ttft_p90: float
    tpot_median: float
    tpot_p90: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted model; its errors where it was fitted and (None: nowhere) where it was not, before and after."""

    steps: ScaledSteps
    fitted: Errors
    held_out: Errors | None
    before: Errors
    simulations: int


class Recorded(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A recorded run: its requests and, in their order, seconds from arrival to first and to last token."""

    requests: Requests
    ttft_s: NDArray[np.float64]
    end_to_end_s: NDArray[np.float64]

    @classmethod
    def of(cls, requests: Requests, ttft_s: ArrayLike, end_to_end_s: ArrayLike) -> Recorded:
        """Raises `FarthingError` where the times do not fit the requests (their order: by arrival)."""
        import numpy as np

        first, last = np.asarray(ttft_s, dtype=np.float64), np.asarray(end_to_end_s, dtype=np.float64)
        if first.shape != last.shape or len(first) != len(requests):
            raise FarthingError(
                f"{len(requests)} requests, {first.size} times to first token, {last.size} to last: give one of each"
            )
        if not (np.isfinite(first) & np.isfinite(last) & (first > 0) & (last >= first)).all():
            raise FarthingError("a recorded time is missing, not above 0, or a last token came before the first")
        return cls(requests=requests, ttft_s=first, end_to_end_s=last)

    @property
    def tpot_s(self) -> NDArray[np.float64]:
        """(last token - first token) / (tokens - 1); nan for answers of one token."""
        import numpy as np

        gaps = self.requests.output_tokens - 1
        return np.where(gaps > 0, (self.end_to_end_s - self.ttft_s) / np.maximum(gaps, 1), np.nan)


def errors(run: Run, recorded: Recorded, which: NDArray[np.bool_] | None = None) -> Errors:
    """How far `run` is from what was recorded of the requests `which` (all)."""
    import numpy as np

    chosen = np.ones(len(recorded.requests), dtype=bool) if which is None else which
    found: dict[str, Any] = {"requests": int(chosen.sum())}
    for name in ("end_to_end", "ttft", "tpot"):
        simulated, real = getattr(run, f"{name}_s")[chosen], getattr(recorded, f"{name}_s")[chosen]
        with np.errstate(invalid="ignore"):
            off = np.abs(simulated / real - 1)
        off = off[np.isfinite(off)]
        median, p90 = np.percentile(off, [50, 90]) if off.size else (np.nan, np.nan)
        found |= {f"{name}_median": float(median), f"{name}_p90": float(p90)}
    return Errors(**found)


def calibrate_steps(
    model: StepModel,
    recorded: Recorded,
    *,
    fit_on: ArrayLike | None = None,
    progress: Callable[[int], None] | None = None,
    **settings: Any,
) -> Calibration:
    """The factors of `model` with which a simulated replica comes closest to a recorded one.

    Least squares of the logarithms of simulated / recorded TTFT, TPOT and end-to-end time (soft-L1, so that
    a few strange requests do not decide), with a weak pull towards factors of 1, over the requests `fit_on`
    (a mask; all are simulated, since they share the machine). It holds for loads like the recorded one: of
    what that never did it says little. `settings` go to `simulate`. `progress(simulations so far)`. Raises
    `FarthingError` for fewer than ten requests to fit on, and for requests that cannot run.
    """
    import numpy as np
    from scipy.optimize import least_squares

    count = len(recorded.requests)
    chosen = np.ones(count, dtype=bool) if fit_on is None else np.asarray(fit_on, dtype=bool)
    if chosen.shape != (count,) or chosen.sum() < _FEWEST:
        raise FarthingError(
            f"{int(chosen.sum())} of {count} requests to fit on; choose {_FEWEST} or more, by one value each"
        )
    if isinstance(model, ScaledSteps):
        raise FarthingError("a calibrated model is not calibrated again: start from its base")
    simulations = 0

    def simulated(logs: Any) -> Run:
        nonlocal simulations
        simulations += 1
        if progress is not None:
            progress(simulations)
        factors = dict(zip(PARTS, np.exp(logs).tolist(), strict=True))
        return simulate(recorded.requests, [ScaledSteps(model, **factors)], **settings)

    def residuals(logs: Any) -> Any:
        run = simulated(logs)
        found = [_PULL * logs]
        for name in ("ttft_s", "tpot_s", "end_to_end_s"):
            mine, real = getattr(run, name)[chosen], getattr(recorded, name)[chosen]
            there = np.isfinite(real)
            found.append(np.log(mine[there] / real[there]))
        return np.concatenate(found)

    start = np.zeros(len(PARTS))
    before = simulated(start)
    if not np.isfinite(before.finish_s).all():
        refused = int((~np.isfinite(before.finish_s)).sum())
        raise FarthingError(
            f"{refused} recorded requests do not fit into {model.kv_tokens} tokens of context: the run was on more"
        )
    bound = np.log(20.0)  # farther off, the model is of another machine
    best = least_squares(
        residuals, start, diff_step=_STEP, x_scale=1.0, loss="soft_l1", f_scale=0.05, bounds=(-bound, bound),
        max_nfev=40,
    )  # fmt: skip
    after = simulated(best.x)
    return Calibration(
        steps=ScaledSteps(model, **dict(zip(PARTS, np.exp(best.x).tolist(), strict=True))),
        fitted=errors(after, recorded, chosen),
        held_out=None if chosen.all() else errors(after, recorded, ~chosen),
        before=errors(before, recorded),
        simulations=simulations,
    )
