"""A flat record in the words of `Measurement`, or of anyone: `mean_ttft_ms`, `tpot_s`, `isl`, `concurrency`, `tp`, …

The last resort, and the format of a table that people write themselves. A time must name its unit, unless
the record's own throughput decides it.
"""

from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.flat import OUTPUT_RATE, identity, latencies, load
from farthing.serving.measured.latency import stated_latencies
from farthing.serving.measured.measurement import Measurement

NAME = "plain"


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` names a latency or an output throughput."""
    return any(name in record for name in OUTPUT_RATE) or bool(stated_latencies(record))


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The measurement of `record`. Raises `Refused`."""
    facts = load(record)
    return finished(
        Measurement(format=NAME, source=source, **identity(record), **facts, **latencies(record, "", facts))
    )


READER = Reader(NAME, "ttft_ms and tpot_ms (or mean_…, median_…), isl, osl, concurrency", fits, read)
