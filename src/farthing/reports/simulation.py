"""Views of a simulation: JSON, and tables."""

from typing import TYPE_CHECKING, Any

import msgspec

from farthing.reports.host import show
from farthing.serving.simulator.result import Spread, Summary

if TYPE_CHECKING:
    from rich.console import Group


def simulation_json(name: str, summary: Summary, source: str, usd_per_gpu_hour: str, scale: float) -> dict[str, Any]:
    """A run's summary; times in seconds."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(summary))
    return {
        "deployment": name, "usage": source, "usd_per_gpu_hour": usd_per_gpu_hour, "measured_correction": scale, **made
    }  # fmt: skip


def simulation_view(name: str, summary: Summary, source: str, rent: str) -> "Group":
    """A run for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    s = summary
    refused = f", {s.refused:,} can never fit" if s.refused else ""
    lines = [
        Text(name, style="bold"),
        Text(f"{source}: {s.requests:,} request{'' if s.requests == 1 else 's'} in {_time(s.duration_s)}{refused}"),
    ]
    times = Table(box=None, pad_edge=False)
    for column in ("", "mean", "p50", "p90", "p99"):
        times.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for label, spread in (
        ("time to first token, ms", s.ttft_s),
        ("of it waiting in the queue, ms", s.queueing_s),
        ("time per output token, ms", s.tpot_s),
        ("end to end, ms", s.end_to_end_s),
    ):
        times.add_row(label, *_cells(spread))
    cached = (
        f", {s.cached_tokens / s.prompt_tokens:.0%} of the prompts from the prefix cache" if s.cached_tokens else ""
    )
    facts = [
        f"{show(s.requests_per_s)} requests, {show(s.prompt_tokens_per_s)} prompt and "
        f"{show(s.output_tokens_per_s)} output tokens a second{cached}",
        f"busy {s.busy_share:.0%} of the time, memory for contexts {s.kv_share:.0%} full"
        + (f"; {s.preemptions:,} preemptions" if s.preemptions else ""),
        f"{s.energy_j / 3.6e6:,.3g} kWh at the boards"
        + ("" if s.joules_per_output_token is None else f", {show(s.joules_per_output_token)} J an output token"),
    ]
    if s.usd is not None:
        each = (
            "" if s.usd_per_mtok_output is None else f", all of it on output: {show(s.usd_per_mtok_output)} per million"
        )
        facts.append(f"${_dollars(s.usd)} for these hours{each} ({rent})")
    if s.goodput_per_s is not None and s.good_share is not None:
        facts.insert(0, f"goodput {show(s.goodput_per_s)} requests a second: {s.good_share:.1%} meet the objective")
    return Group(*lines, Text(""), times, Text(""), *(Text(fact) for fact in facts))


def _cells(spread: Spread) -> list[str]:
    return ["–" if v is None else show(v * 1e3) for v in (spread.mean, spread.p50, spread.p90, spread.p99)]


def _dollars(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 0.1 or not usd else show(usd)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
