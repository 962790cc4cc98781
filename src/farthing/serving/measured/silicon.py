"""The table of measured rows with `silicon_ttft_ms` and `silicon_tpot_ms` (aiconfigurator's, and our own tests').

Its traps, and what is done with each:

* Rows from the public benchmark draw lengths from 0.8 × to 1 × the nominal one: `nominal_ratio` 0.9.
* A converter multiplied tensor and expert parallelism. 8 GPUs with EP 8 stand as tp 64, moe_tp 8, ep 8, or
  as dp 64; 4 GPUs with attention data parallelism and EP 4 as tp 4, dp 4, ep 16. Rows that repeat one
  measurement under both layouts, and the `tp8_ep8` in their ids, tell the true one, which is read.
* `batch_size` is per attention rank; the concurrency of the whole deployment is in the source column.
* Multi-node runs are listed as aggregated with tensor parallelism over 8: a doubt.
* Mean or median is not stated; there is no throughput (Little's law gives it; it is marked as derived).
"""

import re
from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import number, positive, text, whole
from farthing.serving.measured.inferencex import DRAWN
from farthing.serving.measured.latency import in_ms, stated_latencies
from farthing.serving.measured.measurement import Measurement, Pool

NAME = "silicon"
_BENCHMARK = re.compile(r"db-dump/|source_file=(20\d\d-\d\d-\d\d|[^/;]*-gap-analysis)\.csv")
_LARGEST_NODE = 8
_APART = 0.02


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` is a row of this table."""
    return "silicon_tpot_ms" in record


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The measurement of one row. Raises `Refused`."""
    row = {name.removeprefix("silicon_"): value for name, value in record.items()}
    origin = text(record, "silicon_data_source")
    public = bool(_BENCHMARK.match(origin))
    notes: list[str] = []
    doubts: list[str] = []
    split = text(record, "mode") == "disagg"
    where = _pools(record, doubts) if split else _layout(record, public, notes, doubts)
    concurrency, derived = _concurrency(record, origin, where.get("dp"), split, doubts)
    times = in_ms(stated_latencies(row), "ms")
    return finished(
        Measurement(
            format=NAME,
            source=source,
            label=text(record, "id"),
            measured_on=_told(origin, "measured")[:10],
            engine=text(record, "backend"),
            engine_version=text(record, "backend_version"),
            model=text(record, "model_path"),
            device=text(record, "system"),
            precision=text(record, "precision"),
            gemm_format=text(record, "gemm_quant_mode"),
            moe_format=text(record, "moe_quant_mode"),
            nominal_input_tokens=positive(record, "isl"),
            nominal_output_tokens=positive(record, "osl"),
            nominal_ratio=DRAWN if public else 1.0,
            concurrency=concurrency,
            ttft_ms=times.get("ttft"),
            tpot_ms=times.get("tpot"),
            derived=derived,
            notes=tuple(notes),
            doubts=tuple(doubts),
            **where,
        )
    )


def _told(origin: str, name: str) -> str:
    """A value of the source column, which is "name=value; name=value; …"."""
    found = re.search(rf"(?:^|;)\s*{name}=([^;]*)", origin)
    return found[1].strip() if found else ""


def _layout(record: Mapping[str, Any], public: bool, notes: list[str], doubts: list[str]) -> dict[str, Any]:
    """The layout of an aggregated row, with the converter's product undone."""
    tp, dp = whole(record, "tp_size") or 1, whole(record, "attention_dp_size")
    moe_tp, ep = whole(record, "moe_tp_size"), whole(record, "moe_ep_size")
    pp, spread = whole(record, "pp_size"), (dp or 1) > 1
    gpus = tp * (dp or 1)
    if public and moe_tp and ep and moe_tp == ep > 1 and gpus == moe_tp * ep:
        gpus = ep  # tp × ep was written for tp; the id's tp8_ep8 and the row's repeats say so
    elif public and spread and tp == dp and ep == tp * tp:
        gpus, ep = tp, tp
    if gpus != tp * (dp or 1):
        notes.append(f"{gpus} GPUs: tp {tp} × dp {dp or 1} of the file counts expert parallelism twice")
        tp, dp = (1, gpus) if spread else (gpus, 1)
    if gpus > _LARGEST_NODE:
        doubts.append(f"aggregated with tensor parallelism {gpus}: looks like a mislabelled multi-node run")
    return {"gpus": gpus * (pp or 1), "tp": tp, "dp": dp, "pp": pp, "ep": ep}


def _pools(record: Mapping[str, Any], doubts: list[str]) -> dict[str, Any]:
    prefill, decode = (_pool(record, role) for role in ("prefill", "decode"))
    if prefill.workers is None or decode.workers is None:
        doubts.append("the number of prefill or decode workers is not stated")
        gpus = None
    else:
        gpus = prefill.workers * (prefill.gpus or 0) + decode.workers * (decode.gpus or 0)
    return {"disaggregated": True, "prefill": prefill, "decode": decode, "gpus": gpus}


def _pool(record: Mapping[str, Any], role: str) -> Pool:
    tp, dp = whole(record, f"{role}_tp_size"), whole(record, f"{role}_attention_dp_size")
    pp = whole(record, f"{role}_pp_size")
    return Pool(
        workers=whole(record, f"{role}_num_workers"), tp=tp, dp=dp, pp=pp, ep=whole(record, f"{role}_moe_ep_size"),
        gpus=tp * (dp or 1) * (pp or 1) if tp else None, batch=whole(record, f"{role}_batch_size"),
    )  # fmt: skip


def _concurrency(
    record: Mapping[str, Any], origin: str, dp: int | None, split: bool, doubts: list[str]
) -> tuple[float | None, tuple[str, ...]]:
    """Requests in flight in the whole deployment: stated in the source column, else batch × attention ranks."""
    stated = number({"concurrency": _told(origin, "silicon_concurrency")}, "concurrency")
    batch = None if split else positive(record, "batch_size")
    if stated is None:
        return (batch * (dp or 1), ("concurrency",)) if batch else (None, ())
    written = whole(record, "attention_dp_size") or 1
    if batch and abs(stated / (batch * written) - 1) > _APART and abs(stated / (batch * (dp or 1)) - 1) > _APART:
        doubts.append(f"concurrency {stated:g} is not batch {batch:g} × {written} attention ranks")
    return stated, ()


READER = Reader(NAME, "model_path, system, isl, osl, batch_size, silicon_ttft_ms, silicon_tpot_ms", fits, read)
