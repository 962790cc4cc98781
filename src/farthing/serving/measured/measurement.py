"""One measured point of a deployment: what ran, under which load, and how fast it was."""

from typing import Literal

import msgspec

Statistic = Literal["mean", "median", "unstated", "mixed"]


class Latency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool stated of one latency, in milliseconds. None: it did not state that.

    `unstated`: a value of which nobody says whether it is a mean or a median. `percentiles`: by name ("p99").
    """

    mean: float | None = None
    median: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    unstated: float | None = None
    percentiles: dict[str, float] = {}

    def value(self, statistic: Statistic) -> float | None:
        """The typical value in ms: the statistic asked for, or for "mixed" the first that there is."""
        by_name = {"mean": self.mean, "median": self.median, "unstated": self.unstated}
        if statistic != "mixed":
            return by_name[statistic]
        return next((value for value in by_name.values() if value is not None), None)

    def at(self, percentile: str) -> float | None:
        """The percentile called "p99" in ms; "p50" is the median."""
        return self.median if percentile == "p50" else self.percentiles.get(percentile)


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The prefill or the decode side of a disaggregated deployment. None: not stated; counts are per worker."""

    workers: int | None = None
    gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    dp: int | None = None
    batch: int | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured point. Empty text and None: not stated by the file.

    `gpus`: devices of the whole deployment. `tp`, `dp`: of the attention; `ep`: of the experts.
    `input_tokens`, `output_tokens`: real means per request. `nominal_*`: what the tool was asked for;
    `nominal_ratio` is the mean that its random draw gives, as a share of that.
    `prefix_hit`: share of the prompt tokens that came from a prefix cache.
    `concurrency`: requests kept in flight (closed loop), of the whole deployment. `request_rate`:
    arrivals per second (open loop). `observed_concurrency`: mean requests in flight, as the tool saw it.
    `statistic`: which statistic `ttft` and `tpot` are. TPOT is (end - first token) / (tokens - 1) of a
    request; ITL is the gap between two chunks of a stream.
    `derived`: fields that the reader computed. `notes`: how the row was read. `doubts`: why a fit should
    leave it out.
    """

    format: str
    source: str
    label: str = ""
    measured_on: str = ""
    engine: str = ""
    engine_version: str = ""
    model: str = ""
    device: str = ""
    precision: str = ""
    kv_precision: str = ""
    gemm_format: str = ""
    moe_format: str = ""
    speculative: str = ""
    gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    dp: int | None = None
    disaggregated: bool = False
    prefill: Pool | None = None
    decode: Pool | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    nominal_input_tokens: float | None = None
    nominal_output_tokens: float | None = None
    nominal_ratio: float = 1.0
    prefix_hit: float | None = None
    concurrency: float | None = None
    request_rate: float | None = None
    observed_concurrency: float | None = None
    requests: int | None = None
    failed: int | None = None
    duration_s: float | None = None
    statistic: Statistic = "mean"
    ttft_ms: Latency | None = None
    tpot_ms: Latency | None = None
    itl_ms: Latency | None = None
    e2e_ms: Latency | None = None
    output_tokens_per_s: float | None = None
    input_tokens_per_s: float | None = None
    requests_per_s: float | None = None
    goodput_requests_per_s: float | None = None
    derived: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def ttft(self) -> float | None:
        """Time to the first token, ms, in `statistic`."""
        return self.ttft_ms.value(self.statistic) if self.ttft_ms else None

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first, ms, in `statistic`."""
        return self.tpot_ms.value(self.statistic) if self.tpot_ms else None

    @property
    def e2e(self) -> float | None:
        """End-to-end time of a request, ms: stated in `statistic`, else TTFT + TPOT × (output - 1)."""
        if self.e2e_ms and (stated := self.e2e_ms.value(self.statistic)) is not None:
            return stated
        if self.ttft is None or self.tpot is None or self.output_length is None:
            return None
        return self.ttft + self.tpot * max(self.output_length - 1, 0)

    @property
    def input_length(self) -> float | None:
        """Prompt tokens per request: the real mean, else the nominal length × what the draw makes of it."""
        return _length(self.input_tokens, self.nominal_input_tokens, self.nominal_ratio)

    @property
    def output_length(self) -> float | None:
        """Output tokens per request: the real mean, else the nominal length × what the draw makes of it."""
        return _length(self.output_tokens, self.nominal_output_tokens, self.nominal_ratio)


def _length(real: float | None, nominal: float | None, ratio: float) -> float | None:
    return real if real is not None else None if nominal is None else nominal * ratio


def common_statistic(ttft: Latency | None, tpot: Latency | None, e2e: Latency | None = None) -> Statistic:
    """The best statistic in which TTFT and TPOT are stated, or the end-to-end time where neither is.

    The mean comes first: it adds up, as sums of tokens and times do.
    """
    stated = [latency for latency in (ttft, tpot) if latency is not None] or ([e2e] if e2e else [])
    choices: tuple[Statistic, ...] = ("mean", "median", "unstated")
    for statistic in choices:
        if stated and all(latency.value(statistic) is not None for latency in stated):
            return statistic
    return "mixed" if stated else "unstated"
