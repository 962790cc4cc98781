"""InferenceX (InferenceMAX) results: the aggregate of a run, or a row of its database (figures under `metrics`).

Times are in seconds under names without a unit, throughput is per GPU, lengths are nominal. `tp` counts the
GPUs of one worker; with `dp_attention` the attention runs data-parallel over them. Output throughput of a
disaggregated run is per decode GPU. The benchmark draws lengths evenly from 0.8 × to 1 × the nominal one
(`--random-range-ratio 0.8` in its scripts), so that their mean is 0.9 of it.
"""

from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import flag, number, positive, text, whole
from farthing.serving.measured.flat import identity, latencies, load
from farthing.serving.measured.measurement import Measurement, Pool

NAME = "inferencex"
RANGE_RATIO = 0.8
DRAWN = (1 + RANGE_RATIO) / 2
_PER_GPU = ("tput_per_gpu", "output_tput_per_gpu")


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` states throughput per GPU, itself or under `metrics`."""
    metrics = record.get("metrics")
    inner = metrics if isinstance(metrics, Mapping) else {}
    return any(name in record or name in inner for name in _PER_GPU) and ("conc" in record or "hw" in record)


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The one measurement of `record`. Raises `Refused`."""
    metrics = record.get("metrics")
    merged = {**record, **metrics} if isinstance(metrics, Mapping) else dict(record)
    about = {**identity(merged), **_layout(merged)}
    facts = load(merged)
    ratio = number(merged, "random_range_ratio")
    facts["nominal_ratio"] = (1 + ratio) / 2 if ratio is not None and 0 <= ratio <= 1 else DRAWN
    into, out = (facts[f"{way}_tokens"] or facts[f"nominal_{way}_tokens"] or 0.0 for way in ("input", "output"))
    facts.update(_rates(merged, about, into, out))
    notes = []
    if facts["input_tokens"] is None:
        notes.append(
            f"lengths are nominal: taken as {facts['nominal_ratio']:g} × {facts['nominal_input_tokens'] or 0:g}"
        )
    doubts = []
    scenario = text(merged, "scenario_type", "benchmark_type")
    if scenario.startswith("agentic") and facts["prefix_hit"] is None:
        doubts.append(f"{scenario}: prompts share prefixes, and the share that came from the cache is not stated")
    speculative = text(merged, "spec_decoding", "spec_method", "mtp")
    return finished(
        Measurement(
            format=NAME,
            source=source,
            notes=tuple(notes),
            doubts=tuple(doubts),
            speculative="" if speculative == "off" else speculative,
            **about,
            **facts,
            **latencies(merged, "s", facts),
        )
    )


def _layout(record: Mapping[str, Any]) -> dict[str, Any]:
    """GPUs and parallelism. Expert parallelism of 1 is none; attention over data replaces tensor parallelism."""
    split = flag(record, "disagg") or (flag(record, "is_multinode") and positive(record, "num_decode_gpu") is not None)
    if split:
        prefill, decode = _pool(record, "prefill"), _pool(record, "decode")
        gpus = (prefill.gpus or 0) + (decode.gpus or 0) or None
        return {"disaggregated": True, "prefill": prefill, "decode": decode, "gpus": gpus,
                "tp": None, "pp": None, "ep": None, "dp": None}  # fmt: skip
    # A row of the database states an aggregated run under both roles' names.
    worker = "" if positive(record, "tp") is not None else "prefill_"
    width, stages = whole(record, f"{worker}tp"), whole(record, f"{worker}pp")
    spread = flag(record, f"{worker}dp_attention")
    gpus = whole(record, "num_aggregate_gpu") or (width * (stages or 1) if width else None)
    return {
        "gpus": gpus or whole(record, "num_gpus", "num_prefill_gpu"),
        "tp": 1 if spread and width else width,
        "dp": width if spread else 1 if width else None,
        "pp": stages,
        "ep": whole(record, f"{worker}ep"),
    }


def _pool(record: Mapping[str, Any], role: str) -> Pool:
    width, spread = whole(record, f"{role}_tp"), flag(record, f"{role}_dp_attention")
    return Pool(
        workers=whole(record, f"{role}_num_workers"), gpus=whole(record, f"num_{role}_gpu"),
        tp=1 if spread and width else width, dp=width if spread else None,
        pp=whole(record, f"{role}_pp"), ep=whole(record, f"{role}_ep"),
    )  # fmt: skip


def _rates(record: Mapping[str, Any], about: Mapping[str, Any], into: float, out: float) -> dict[str, float]:
    """Tokens a second of the whole deployment, from those per GPU; `into`, `out`: lengths of a request, 0: unknown."""
    gpus, decode = about["gpus"], about.get("decode")
    shared = (decode.gpus if decode is not None and decode.gpus else gpus) if about.get("disaggregated") else gpus
    per_gpu, total = positive(record, "output_tput_per_gpu"), positive(record, "tput_per_gpu")
    rates = {}
    if per_gpu and shared:
        rates["output_tokens_per_s"] = per_gpu * shared
        if total and gpus and total * gpus > per_gpu * shared:
            rates["input_tokens_per_s"] = total * gpus - per_gpu * shared
    elif total and gpus and (both := into + out) and out:  # all tokens; a request has them in the ratio of its lengths
        rates["output_tokens_per_s"] = total * gpus * out / both
    return rates


READER = Reader(NAME, "hw or conc, and tput_per_gpu", fits, read)
