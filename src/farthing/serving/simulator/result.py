"""What a simulation found: arrays by request, and their summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHARES = (50, 90, 99)


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """A service-level objective: what a request must meet to count as good. None: not asked."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    end_to_end_s: float | None = None


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Mean and percentiles (linear between neighbours) of a time over requests; None: of no request."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class ReplicaUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica did. Shares are of the time from the first arrival to the last end, and of its blocks.

    `steps`: engine steps. `computed_tokens`: of prompts, also those computed again after a preemption.
    `energy_j`: of its devices, idle time included.
    """

    requests: int
    gpus: int
    steps: int
    busy_share: float
    kv_share: float
    kv_peak: float
    computed_tokens: int
    energy_j: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in numbers. Times in seconds; rates over `duration_s`, first arrival to last end.

    `refused`: requests that can never fit. `goodput_per_s`: requests a second that meet the objective,
    `good_share` of all requests; None without an objective. `usd`: replica-hours times the stated price.
    """

    requests: int
    refused: int
    duration_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    preemptions: int
    requests_per_s: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    queueing_s: Spread
    ttft_s: Spread
    tpot_s: Spread
    end_to_end_s: Spread
    goodput_per_s: float | None
    good_share: float | None
    busy_share: float
    kv_share: float
    energy_j: float
    joules_per_output_token: float | None
    usd: float | None
    usd_per_mtok_output: float | None
    replicas: tuple[ReplicaUse, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One simulation, by request in the order of the `Requests`; nan: it never happened (a refused request).

    `start_s`: first admitted to a batch. `first_s`: first token. `finish_s`: last token. All on the clock
    of `arrival_s` (in a closed loop: when the request was sent). `cached_tokens`: of the prompt, found at
    the first admission. `slo` is what `summary` judges by, unless it is given another.
    """

    arrival_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    first_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    cached_tokens: NDArray[np.int64]
    preemptions: NDArray[np.int32]
    replica: NDArray[np.int32]
    replicas: tuple[ReplicaUse, ...]
    slo: Slo | None = None

    @property
    def queueing_s(self) -> NDArray[np.float64]:
        """Arrival to first admission."""
        return self.start_s - self.arrival_s

    @property
    def ttft_s(self) -> NDArray[np.float64]:
        """Arrival to first token."""
        return self.first_s - self.arrival_s

    @property
    def end_to_end_s(self) -> NDArray[np.float64]:
        """Arrival to last token."""
        return self.finish_s - self.arrival_s

    @property
    def tpot_s(self) -> NDArray[np.float64]:
        """(last token - first token) / (tokens - 1); nan for answers of one token or none."""
        import numpy as np

        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (self.finish_s - self.first_s) / (self.output_tokens - 1)
        return np.where(self.output_tokens > 1, mean, np.nan)

    @property
    def duration_s(self) -> float:
        """First arrival to last end; 0 if nothing ended."""
        import numpy as np

        ended = np.isfinite(self.finish_s)
        return float(self.finish_s[ended].max() - self.arrival_s.min()) if ended.any() else 0.0

    def good(self, slo: Slo) -> NDArray[np.bool_]:
        """Which requests meet `slo`. A TPOT that does not exist is met; a refused request is not good."""
        import numpy as np

        good = np.isfinite(self.finish_s)
        for limit, times, absent in (
            (slo.ttft_s, self.ttft_s, False),
            (slo.tpot_s, self.tpot_s, True),
            (slo.end_to_end_s, self.end_to_end_s, False),
        ):
            if limit is not None:
                good &= np.where(np.isnan(times), absent, times <= limit)
        return good

    def summary(self, *, slo: Slo | None = None, usd_per_replica_hour: float | None = None) -> Summary:
        """The run in numbers; `usd_per_replica_hour` of all replicas, over the whole duration.

        Raises `FarthingError` for a negative price.
        """
        import numpy as np

        if usd_per_replica_hour is not None and not usd_per_replica_hour >= 0:
            raise FarthingError(f"a replica cannot cost {usd_per_replica_hour} USD an hour")
        ended = np.isfinite(self.finish_s)
        duration = self.duration_s
        slo = slo or self.slo
        good = int(self.good(slo).sum()) if slo is not None else None
        output = int(self.output_tokens[ended].sum())
        prompt = int(self.prompt_tokens[ended].sum())
        energy = sum(replica.energy_j for replica in self.replicas)
        usd = None
        if usd_per_replica_hour is not None:
            usd = len(self.replicas) * usd_per_replica_hour * duration / 3600
        of_all = max(1, len(self.replicas))

        def rate(amount: float) -> float:
            return amount / duration if duration > 0 else 0.0

        return Summary(
            requests=int(ended.sum()),
            refused=int((~ended).sum()),
            duration_s=duration,
            prompt_tokens=prompt,
            cached_tokens=int(self.cached_tokens[ended].sum()),
            output_tokens=output,
            preemptions=int(self.preemptions.sum()),
            requests_per_s=rate(int(ended.sum())),
            prompt_tokens_per_s=rate(prompt),
            output_tokens_per_s=rate(output),
            queueing_s=spread(self.queueing_s),
            ttft_s=spread(self.ttft_s),
            tpot_s=spread(self.tpot_s),
            end_to_end_s=spread(self.end_to_end_s),
            goodput_per_s=None if good is None else rate(good),
            good_share=None if good is None or not len(ended) else good / len(ended),
            busy_share=sum(replica.busy_share for replica in self.replicas) / of_all,
            kv_share=sum(replica.kv_share for replica in self.replicas) / of_all,
            energy_j=energy,
            joules_per_output_token=energy / output if output else None,
            usd=usd,
            usd_per_mtok_output=None if usd is None or not output else usd / output * 1e6,
            replicas=self.replicas,
        )


def spread(values: NDArray[Any]) -> Spread:
    """Mean and percentiles of those of `values` that are numbers."""
    import numpy as np

    known = values[np.isfinite(values)]
    if not known.size:
        return Spread(mean=None, p50=None, p90=None, p99=None)
    p50, p90, p99 = (float(x) for x in np.percentile(known, _SHARES))
    return Spread(mean=float(known.mean()), p50=p50, p90=p90, p99=p99)
