"""What a measurement's own numbers say about each other: fields that follow, doubts, and units that cannot be."""

from itertools import pairwise

import msgspec

from farthing.serving.measured.fields import Refused
from farthing.serving.measured.latency import FASTEST_TPOT_MS, SLOWEST_TPOT_MS
from farthing.serving.measured.measurement import Latency, Measurement, common_statistic

_UNITS = 30.0  # two figures that differ by more than this are in different units (1000), not merely noisy
_NOISE = 1.25
_APART = 3.0  # a throughput this far from what the latencies say is no mere filling and emptying of slots
NO_LOAD = "no load is stated: neither concurrency nor request rate"
_FIRST = 10.0  # the first token takes a step as well: a TTFT ten times shorter than TPOT is none


def finished(measurement: Measurement) -> Measurement:
    """`measurement` with its statistic, what follows from its fields, and its doubts.

    Raises `Refused` where it has no time at all, no load or length, or its numbers contradict each other
    by more than any noise: seconds among milliseconds.
    """
    measurement = msgspec.structs.replace(
        measurement, statistic=common_statistic(measurement.ttft_ms, measurement.tpot_ms, measurement.e2e_ms)
    )
    _require(measurement)
    measurement = _derive(measurement)
    _refuse_impossible(measurement)
    return msgspec.structs.replace(
        measurement,
        notes=(*measurement.notes, *_notes(measurement)),
        doubts=(*measurement.doubts, *_doubts(measurement)),
    )


def _require(m: Measurement) -> None:
    if m.ttft_ms is None and m.tpot_ms is None and m.output_tokens_per_s is None:
        raise Refused(
            "no TTFT, no TPOT and no output throughput",
            "give fields such as mean_ttft_ms, mean_tpot_ms or output_throughput", "no time measured",
        )  # fmt: skip
    if m.input_length is None or m.output_length is None:
        which = "output" if m.output_length is None else "input"
        raise Refused(
            f"no {which} length",
            f"give total_{which}_tokens with the number of requests, or {'osl' if which == 'output' else 'isl'}",
            f"no {which} length",
        )


def _derive(m: Measurement) -> Measurement:
    """Request rate and token rates of a closed loop by Little's law, or from one another, where they are not stated."""
    derived: dict[str, float] = {}
    output, into, end = m.output_length, m.input_length, m.e2e
    per_s = m.requests_per_s
    if per_s is None and m.output_tokens_per_s is not None and output:
        per_s = derived["requests_per_s"] = m.output_tokens_per_s / output
    if per_s is None and m.concurrency and end:
        per_s = derived["requests_per_s"] = m.concurrency / (end / 1000)
    if per_s is not None and m.output_tokens_per_s is None and output:
        derived["output_tokens_per_s"] = per_s * output
    if per_s is not None and m.input_tokens_per_s is None and into:
        derived["input_tokens_per_s"] = per_s * into
    return msgspec.structs.replace(m, derived=(*m.derived, *derived), **derived)


def _refuse_impossible(m: Measurement) -> None:
    tpot, ttft = m.tpot, m.ttft
    if tpot is not None and not FASTEST_TPOT_MS <= tpot <= SLOWEST_TPOT_MS:
        guess = "seconds under a name in ms" if tpot < FASTEST_TPOT_MS else "microseconds, or a name in s"
        raise Refused(f"TPOT of {tpot:g} ms a token is not possible: {guess}?", "state times in ms", "impossible unit")
    if tpot is not None and ttft is not None and ttft < tpot / _FIRST:
        raise Refused(
            f"TTFT {ttft:g} ms is far below the {tpot:g} ms of a token: seconds under a name in ms?",
            "give TTFT and TPOT in one unit", "mixed units",
        )  # fmt: skip
    for name, latency in (("TTFT", m.ttft_ms), ("TPOT", m.tpot_ms), ("ITL", m.itl_ms), ("end-to-end", m.e2e_ms)):
        if latency is not None:
            _ordered(name, latency)
    stated = m.e2e_ms.value(m.statistic) if m.e2e_ms else None
    if stated and ttft is not None and tpot is not None and m.output_length:
        added = ttft + tpot * max(m.output_length - 1, 0)
        if _apart(stated, added) > _UNITS / 6:
            raise Refused(
                f"end-to-end {stated:g} ms is not TTFT {ttft:g} + TPOT {tpot:g} × (output - 1) = {added:g} ms",
                "give all three in one unit", "mixed units",
            )  # fmt: skip
    flow = _in_flight(m)
    limit = m.concurrency
    if flow and limit and not any(field in m.derived for field in ("requests_per_s",)) and _apart(flow, limit) > _UNITS:
        raise Refused(
            f"throughput × time says {flow:.3g} requests in flight, the file says {limit:g}",
            "check the units of the times (ms), the throughput and the GPU count", "mixed units",
        )  # fmt: skip
    if (
        m.requests
        and m.duration_s
        and m.requests_per_s
        and _apart(m.requests / m.duration_s, m.requests_per_s) > _UNITS
    ):
        raise Refused(
            f"{m.requests} requests in {m.duration_s:g} s are not {m.requests_per_s:g} requests/s",
            "state the duration in seconds", "mixed units",
        )  # fmt: skip


def _ordered(name: str, latency: Latency) -> None:
    """Percentiles must rise; one that falls by more than rounding is in another unit, or not a percentile."""
    ranked = sorted((float(key[1:]), value) for key, value in latency.percentiles.items())
    if latency.median is not None:
        ranked = sorted([*ranked, (50.0, latency.median)])
    for (low, first), (high, second) in pairwise(ranked):
        if second < first * 0.999:
            raise Refused(
                f"{name} p{high:g} of {second:g} ms is below p{low:g} of {first:g} ms",
                "give all statistics of a latency in one unit", "mixed units",
            )  # fmt: skip


def _in_flight(m: Measurement) -> float | None:
    """Little's law: requests in flight = requests a second × seconds each."""
    return m.requests_per_s * m.e2e / 1000 if m.requests_per_s and m.e2e else None


def _notes(m: Measurement) -> list[str]:
    flow = _in_flight(m)
    if flow and m.concurrency and "requests_per_s" not in m.derived and flow < m.concurrency / _NOISE:
        return [f"throughput × time says {flow:.3g} of {m.concurrency:g} in flight: the throughput has idle time in it"]
    return []


def _doubts(m: Measurement) -> list[str]:
    doubts = []
    if not m.concurrency and not m.request_rate and not m.observed_concurrency:
        doubts.append(NO_LOAD)
    if m.statistic == "mixed":
        doubts.append(_mixed(m))
    if m.requests and m.duration_s and m.output_tokens and m.output_tokens_per_s:
        counted = m.requests * m.output_tokens / m.duration_s
        if _apart(counted, m.output_tokens_per_s) > _NOISE:
            doubts.append(f"output throughput {m.output_tokens_per_s:.4g}/s is not tokens / duration = {counted:.4g}/s")
    flow, limit = _in_flight(m), m.concurrency
    if flow and limit and not {"requests_per_s", "output_tokens_per_s"} <= set(m.derived):  # both: from Little's law
        # A request rate that follows from tokens and nominal lengths is less sure than a stated one.
        more = _APART if "requests_per_s" in m.derived else _NOISE
        if flow > limit * more:
            doubts.append(f"throughput × time says {flow:.3g} requests in flight, more than the {limit:g} stated")
        if flow < limit / _APART:
            doubts.append(f"throughput × time says {flow:.3g} requests in flight, far fewer than the {limit:g} stated")
    if m.input_tokens_per_s and m.requests_per_s and m.input_length and "input_tokens_per_s" not in m.derived:
        counted = m.requests_per_s * m.input_length
        if _apart(counted, m.input_tokens_per_s) > _APART:
            doubts.append(f"input throughput {m.input_tokens_per_s:.4g}/s is not requests × length = {counted:.4g}/s")
    if m.failed and m.requests and m.failed > 0.05 * (m.requests + m.failed):
        doubts.append(f"{m.failed} of {m.requests + m.failed} requests failed")
    return doubts


def _mixed(m: Measurement) -> str:
    """Why TTFT and TPOT have no statistic in common: a field that is missing, or a mean beside a median."""
    for name, latency in (("TTFT", m.ttft_ms), ("TPOT", m.tpot_ms)):
        if latency is not None and latency.value("mixed") is None:
            low = name.lower()
            return f"no mean or median of {name} is stated (mean_{low} or median_{low}), only how it spreads"
    return "TTFT and TPOT are stated in different statistics: give the mean of both, or the median of both"


def _apart(one: float, other: float) -> float:
    low, high = sorted((abs(one), abs(other)))
    return high / low if low else float("inf")
