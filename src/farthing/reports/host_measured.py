"""Views of measured serving: calibrations and live benchmarks, as tables and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from farthing.serving.calibration import Calibration
from farthing.serving.live.result import BenchResult

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from farthing.rates.card import Offer
    from farthing.serving.fitting.points import Left

_SHOWN = 12
_NARROW = 4  # a column never disappears, on however narrow a terminal
_STAGES = ("before", "after", "held_out")


def percent(value: float | None, signed: bool = False) -> str:
    """A share: "4.5 %"; "-" for None."""
    if value is None:
        return "-"
    return f"{value * 100:+.1f} %" if signed else f"{value * 100:.1f} %"


def grid(columns: Sequence[str], left: int = 1) -> "Table":
    """A table without lines; its first `left` columns are text, the others numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for position, name in enumerate(columns):
        table.add_column(
            name, justify="left" if position < left else "right", no_wrap=position >= left, min_width=_NARROW
        )
    return table


# --- calibrations -------------------------------------------------------------------------------------


def calibration_view(one: Calibration, where: str = "") -> "Group":
    """One calibration: each point before and after, what moved, how sure it now is."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(one.name, style="bold"), Text("")]
    several = len(one.layouts) > 1
    times = ("before", "after", "held out")
    table = grid(("in:out", *(("layout",) if several else ()), "at once", "TPOT ms", *times, "TTFT ms", *times))
    for point in one.points:
        shown = [f"{point.input:.0f}:{point.output:.0f}", *([point.layout] if several else [])]
        shown += [f"{point.concurrency:.4g}", f"{point.tpot_ms:.4g}"]
        for what, measured in (("tpot", point.tpot_ms), ("ttft", point.ttft_ms)):
            shown += [] if what == "tpot" else [f"{measured:.4g}" if measured else "-"]
            shown += [_off(getattr(point, f"{what}_{stage}_ms"), measured) for stage in _STAGES]
        table.add_row(*shown)
    parts += [table, Text("")]
    stages = [(stage, one.errors[stage]) for stage in _STAGES if stage in one.errors]
    for what, name in (("tpot", "TPOT"), ("ttft", "TTFT"), ("throughput", "throughput")):
        errors = [f"{stage.replace('_', ' ')} {percent(found[what])}" for stage, found in stages if what in found]
        if errors:
            width = one.widths[what]
            parts.append(
                Text(f"{name}: median error {', '.join(errors)}; 80 % interval x{_times(-width)} to x{_times(width)}")
            )
    parts.append(Text(f"Interval: {one.rule}.", style="dim"))
    parts.append(Text(f"Factors on the serving model: TPOT {_residual(one, 'tpot')}, TTFT {_residual(one, 'ttft')}."))
    if one.knots:
        parts.append(Text(f"What is then left at the {len(one.knots)} points is followed near them.", style="dim"))
    if one.moved:
        shown = [
            f"{m.name} {m.packaged:.3g} > {m.value:.3g}" for m in one.moved if abs(m.value / m.packaged - 1) > 0.02
        ]
        parts.append(Text("Coefficients: " + (", ".join(shown) or "none moved by more than 2 %") + ".", style="dim"))
    parts += [Text(f"note: {note}", style="dim") for note in one.notes[:_SHOWN]]
    if where:
        parts.append(Text(f"Written to {where}; `farthing host estimate … --calibration {where}` uses it."))
    return Group(*parts, Text(""))


def _times(log: float) -> str:
    import math

    return f"{math.exp(log):.3g}"


def _off(said: float | None, measured: float | None) -> str:
    return "-" if said is None or not measured or said != said else percent(said / measured - 1, signed=True)


def _residual(one: Calibration, what: str) -> str:
    found = one.tpot if what == "tpot" else one.ttft
    text = f"x{found.factor:.3g}"
    if abs(found.per_octuple - 1) > 0.005:
        text += f" at {found.concurrency:.3g} at once, x{found.per_octuple:.3g} further for 8 times as many"
    return text


def left_view(left: "Sequence[Left]") -> "Group":
    """What was left out, and why."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"left out: {one.source}: {one.reason}", style="dim") for one in left[:_SHOWN]]
    if len(left) > _SHOWN:
        lines.append(Text(f"left out: {len(left) - _SHOWN:,} more", style="dim"))
    return Group(*lines)


def calibration_json(one: Calibration) -> dict[str, Any]:
    """The calibration as JSON types; `widths` as factors of its 80 % interval."""
    import math

    import msgspec

    tree: dict[str, Any] = msgspec.to_builtins(one)
    widths = tree.pop("widths")
    tree["interval"] = {what: {"low": math.exp(-w), "high": math.exp(w)} for what, w in widths.items()}
    return {"name": one.name, **tree}


# --- live benchmarks ------------------------------------------------------------------------------------


def bench_view(results: Sequence[BenchResult], where: str = "") -> "Group":
    """The measured points, a row each, then what there is to say about them."""
    from rich.console import Group
    from rich.text import Text

    first = results[0].measurement
    engine = " ".join(part for part in (first.engine, first.engine_version) if part)
    parts: list[Any] = [Text(f"{first.model} at {results[0].url}" + (f" ({engine})" if engine else ""), style="bold")]
    columns = ["load", "requests", "failed", "in:out", "TTFT ms", "p99", "TPOT ms", "p99", "tokens/s", "requests/s"]
    slo = any(result.slo for result in results)
    table = grid([*columns, "good"] if slo else columns)
    for result in results:
        m = result.measurement
        load = f"{m.concurrency:g} at once" if m.concurrency else f"{m.request_rate or 0:g}/s"
        row = [
            load,
            f"{m.requests or 0}",
            f"{m.failed or 0}",
            f"{m.input_length or 0:,.0f}:{m.output_length or 0:,.0f}",
        ]
        for latency in (m.ttft_ms, m.tpot_ms):
            row += [_ms(latency.mean), _ms(latency.at("p99"))] if latency else ["-", "-"]
        row += [_figure(m.output_tokens_per_s), _figure(m.requests_per_s)]
        table.add_row(*row, *([percent(result.good_share)] if slo else []))
    parts += [Text(""), table, Text("")]
    said = dict.fromkeys(note for result in results for note in (*result.measurement.doubts, *result.measurement.notes))
    parts += [Text(f"note: {note}", style="dim") for note in said]
    for result in results:
        if result.errors:
            counted = ", ".join(f"{count} x {kind}" for kind, count in result.errors.items())
            parts.append(Text(f"failed: {counted}{f' ({result.example})' if result.example else ''}"))
    if where:
        parts.append(Text(f"Written to {where}; `farthing host calibrate --measured {where}` reads it."))
    return Group(*parts)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if value < 10_000 else f"{value:,.0f}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def bench_json(results: Sequence[BenchResult]) -> dict[str, Any]:
    """The points as JSON types: `measurement` as in the file, and how it came about."""
    import msgspec

    return {"points": msgspec.to_builtins(list(results))}


# --- the card -------------------------------------------------------------------------------------------


def offers_view(offers: "Sequence[Offer]", where: str) -> "Group":
    """The offers of a written card: their prices at the stated load."""
    from rich.console import Group
    from rich.text import Text

    from farthing.money import decimal_text

    lines: list[Any] = [Text("")]
    for offer in offers:
        rates = {rate.meter: decimal_text(rate.amount) for rate in offer.prices[-1].rates if rate.amount is not None}
        lines.append(
            Text(f"{offer.id}: ${rates['input']} per million input tokens, ${rates['output']} output", style="bold")
        )
        lines.append(Text(f"{offer.prices[-1].source.title}. {offer.note}", style="dim"))
    lines.append(Text(f"Card: {where}; `farthing price {offers[0].id} --card {where} --input … --output …` uses it."))
    return Group(*lines)


def offers_json(offers: "Sequence[Offer]") -> list[dict[str, Any]]:
    """The offers as JSON types: dollars per million tokens as decimal text."""
    from farthing.money import decimal_text

    return [
        {
            "offer": offer.id, "title": offer.prices[-1].source.title, "note": offer.note,
            "usd_per_mtok": {r.meter: decimal_text(r.amount) for r in offer.prices[-1].rates if r.amount is not None},
        }
        for offer in offers
    ]  # fmt: skip
