"""SGLang's `bench_serving`: one JSON object a line.

Lengths asked for are beside the totals; with a range ratio r they are drawn evenly from r × length to the
length, so that their mean is (1 + r) / 2 of it. `server_info` tells the layout where the server gave it.
"""

from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import find, flag, number, positive
from farthing.serving.measured.flat import identity, latencies, load
from farthing.serving.measured.measurement import Measurement

NAME = "sglang"
_SERVER = (
    "enable_dp_attention",
    "tp_size",
    "dp_size",
    "ep_size",
    "pp_size",
    "model_path",
    "quantization",
    "kv_cache_dtype",
    "version",
)


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` has the fields that only this tool's results have together."""
    own = ("total_output_tokens_retokenized", "mean_e2e_latency_ms", "median_e2e_latency_ms", "random_range_ratio")
    return "total_output_tokens" in record and any(name in record for name in own)


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The one measurement of `record`. Raises `Refused`."""
    server = {name: found for name in _SERVER if (found := find(record.get("server_info"), name)) is not None}
    merged = {**server, **record}
    facts = load(merged)
    # `concurrency` is what the tool observed (time in flight / duration); the limit is `max_concurrency`.
    facts["concurrency"] = positive(record, "max_concurrency")
    facts["observed_concurrency"] = positive(record, "concurrency")
    ratio = number(record, "random_range_ratio")
    if ratio is not None and 0 <= ratio <= 1 and str(record.get("dataset_name", "random")).startswith("random"):
        facts["nominal_ratio"] = (1 + ratio) / 2
    else:  # another data set: the random lengths are options that were not used
        facts["nominal_input_tokens"] = facts["nominal_output_tokens"] = None
    about = identity(merged)
    about["engine"] = about["engine"] or "sglang"
    if flag(server, "enable_dp_attention") and about["tp"] and about["dp"]:
        # Here `tp_size` counts all GPUs, and the attention's data parallelism divides them.
        about |= {"gpus": about["tp"] * (about["pp"] or 1), "tp": max(about["tp"] // about["dp"], 1)}
    return finished(Measurement(format=NAME, source=source, **about, **facts, **latencies(record, "ms", facts)))


READER = Reader(NAME, "completed, total_output_tokens and mean_e2e_latency_ms or the like", fits, read)
