"""An offer from measured points alone: dollars an hour of the machine over what it was seen to do. No model of it."""

import math
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from farthing.evidence import Grade, Source
from farthing.problems import FarthingError
from farthing.rates.card import Offer, Price, Rate
from farthing.serving.estimate import Estimate
from farthing.serving.evidence import Ranged
from farthing.serving.hosted import PROVIDER, to_rate
from farthing.serving.measured.measurement import Measurement
from farthing.units import CACHE_WRITES, MICRO

_LEAST_SHARE = 0.01
_REPEATS = math.log(1.22) / 2.326 * 1.2816
"""Log half-width within which 80 % of repeated throughputs lie: repeats of one configuration in the public rows
differ by 1.22 at p90 (max/min of mostly two; ln / 2.326 is the sd of one), engine versions included."""


def best(measurements: Sequence[Measurement]) -> Measurement:
    """The measurement with the most output tokens per second. Raises `FarthingError` where none states any."""
    rated = [one for one in measurements if one.output_tokens_per_s and one.requests_per_s]
    if not rated:
        raise FarthingError("no throughput was measured, so its tokens have no price")
    return max(rated, key=lambda one: one.output_tokens_per_s or 0.0)


def prompt_share(chosen: Measurement, measurements: Sequence[Measurement]) -> float:
    """The share of the machine's time that prompts take at the load of `chosen`.

    Requests per second × seconds of one prompt, the shortest TTFT per prompt token of all measurements: at low
    load a first token waits for little but its prompt. A TTFT has the network and the queue in it too, so that this
    is at most what two bounds leave: decoding takes at least the shortest TPOT a token, shared by all in
    flight; and an output token passes through the same weights as a prompt token, and costs no less. Raises
    `FarthingError` where no TTFT was measured.
    """
    per_token = [m.ttft / 1e3 / m.input_length for m in measurements if m.ttft and m.input_length]
    if not per_token or not chosen.input_length:
        raise FarthingError("no TTFT was measured, so dollars cannot be divided between prompts and answers")
    share = (chosen.requests_per_s or 0.0) * min(per_token) * chosen.input_length
    return max(min(share, _most(chosen, measurements)), _LEAST_SHARE)


def _most(chosen: Measurement, measurements: Sequence[Measurement]) -> float:
    """The most that prompts can take of the machine's time; see `prompt_share`."""
    into, out = chosen.input_length or 0.0, chosen.output_length or 0.0
    most = min(1 - _LEAST_SHARE, into / (into + out))
    steps = [m.tpot / 1e3 for m in measurements if m.tpot]
    in_flight = chosen.concurrency or chosen.observed_concurrency
    if steps and in_flight and chosen.requests_per_s:
        most = min(most, 1 - chosen.requests_per_s * max(out - 1, 0.0) * min(steps) / max(in_flight, 1.0))
    return most


def measured_offer(
    name: str, chosen: Measurement, measurements: Sequence[Measurement], usd_per_hour: Decimal, utilization: float,
    seen: date,
) -> Offer:  # fmt: skip
    """The offer `host/NAME` at the load of `chosen`, one of `measurements`.

    `usd_per_hour`: of the whole machine; `utilization`: the share of paid hours in which the load is there.
    At that load input and output together cost exactly what the machine does. Raises `FarthingError`.
    """
    into, out, rate = chosen.input_length, chosen.output_length, chosen.requests_per_s
    if not into or not out or not rate:
        raise FarthingError("a price needs the lengths and the throughput of a measured load")
    share = prompt_share(chosen, measurements)
    per_request = float(usd_per_hour) / 3600 / utilization / rate * 1e6
    input, output = to_rate(per_request * share / into), to_rate(per_request * (1 - share) / out)
    at = f"{into:,.0f} tokens in, {out:,.0f} out, {load_text(chosen)}"
    source = Source(
        id="measured", title=f"Measured: {chosen.model or 'a model'} with {chosen.engine or 'its engine'}, {at}, "
        f"at {usd_per_hour} USD an hour", where="farthing host bench", seen=seen, grade=Grade.DERIVED,
    )  # fmt: skip
    rates = [Rate(meter="input", amount=input, per=MICRO), Rate(meter="output", amount=output, per=MICRO)]
    rates.append(Rate(meter="cache_read", amount=Decimal(0), per=MICRO, note="kept on the machine: not computed again"))
    rates += [Rate(meter=meter, amount=input, per=MICRO) for meter in CACHE_WRITES]
    note = (
        f"{share:.0%} of the machine's time is taken as the prompts': by the shortest TTFT, which has network and "
        "queue in it, and at most so much that an output token costs no less than a prompt token and decoding has the "
        "shortest TPOT a token; other loads cost otherwise"
    )
    return Offer(
        provider=PROVIDER, model=name, prices=(Price(source=source, rates=tuple(rates), note=note),),
        title=f"{chosen.model or 'a model'}, measured", note=note,
    )  # fmt: skip


def at_measured(found: Estimate, requests_per_s: float) -> Estimate:
    """`found` with the throughput that was measured at its load, and the interval of repeated measurements.

    What it says of watts and of shares stays the model's. To be priced after it.
    """
    if found.requests_per_s is None or found.basis is None:
        return found
    rate = Ranged(requests_per_s, requests_per_s * math.exp(-_REPEATS), requests_per_s * math.exp(_REPEATS))
    load = found.load
    output = rate.times(load.output)
    return msgspec.structs.replace(
        found, requests_per_s=rate, input_tokens_per_s=rate.times(load.input), output_tokens_per_s=output,
        output_tokens_per_s_per_gpu=output.times(1 / found.deployment.count),
        basis=msgspec.structs.replace(found.basis, says=f"throughput as measured at this load; {found.basis.says}"),
    )  # fmt: skip


def load_text(m: Measurement) -> str:
    """The load of a measurement in words: "16 at once", "2.5 requests/s"."""
    return f"{m.concurrency:g} at once" if m.concurrency else f"{m.request_rate or 0:g} requests/s"
