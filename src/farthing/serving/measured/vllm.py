"""`vllm bench serve` (and its ancestors `benchmark_serving.py`, InferenceX's raw results, TensorRT-LLM's client).

One JSON object a run, or several appended. Times carry their unit in the name. Real lengths are the totals
over the completed requests. The device, the GPUs and the parallelism are there only as `--metadata`.
"""

from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import engine_of, text
from farthing.serving.measured.flat import identity, latencies, load
from farthing.serving.measured.measurement import Measurement

NAME = "vllm"
_TIMES = ("mean_ttft_ms", "median_ttft_ms", "mean_tpot_ms", "median_tpot_ms", "mean_e2el_ms", "median_e2el_ms")


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` has the fields that only this tool's results have together."""
    return "total_output_tokens" in record and "completed" in record and ("model_id" in record or has_time(record))


def has_time(record: Mapping[str, Any]) -> bool:
    """Whether a time is named as vLLM names it."""
    return any(name in record for name in _TIMES)


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The one measurement of `record`. Raises `Refused`."""
    facts = load(record)
    notes = []
    if record.get("request_rate") == "inf" and facts["concurrency"] is None:
        notes.append("all requests were sent at once: what was in flight is their number at first, and falls")
    about = identity(record)
    about["engine"] = about["engine"] or engine_of(text(record, "label"))
    return finished(
        Measurement(format=NAME, source=source, notes=tuple(notes), **about, **facts, **latencies(record, "ms", facts))
    )


READER = Reader(NAME, "completed, total_output_tokens and mean_ttft_ms or the like", fits, read)
