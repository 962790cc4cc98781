"""One run listed more than once: the same load, device and times under other labels."""

from collections.abc import Iterable

import msgspec

from farthing.serving.measured.measurement import Measurement


def mark_repeats(measurements: Iterable[Measurement]) -> list[Measurement]:
    """`measurements` in their order, those that repeat an earlier one with a doubt naming it.

    The model's name is not compared (one run stands under two names of the same weights), nor the layout
    (which is where the listings differ). TTFT to four digits and TPOT to three: some lists are rounded.
    """
    first: dict[tuple[object, ...], str] = {}
    marked = []
    for one in measurements:
        key = _key(one)
        if key is not None and key in first:
            one = msgspec.structs.replace(one, doubts=(*one.doubts, f"repeats the run of {first[key]}"))
        elif key is not None:
            first[key] = one.source
        marked.append(one)
    return marked


def _key(m: Measurement) -> tuple[object, ...] | None:
    if m.ttft is None or m.tpot is None:
        return None
    lengths = (m.nominal_input_tokens, m.nominal_output_tokens, m.input_tokens, m.output_tokens)
    return (m.device, m.engine, m.concurrency, m.request_rate, lengths, f"{m.ttft:.4g}", f"{m.tpot:.3g}")
