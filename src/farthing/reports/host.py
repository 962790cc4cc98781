"""Views of estimates and searches: JSON, and tables that say first what a person wants to know."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from farthing.evidence import Grade
from farthing.serving.estimate import Estimate
from farthing.serving.evidence import Basis, Ranged
from farthing.serving.search import Goal, Search
from farthing.serving.validation import packaged

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

UNCERTAIN = (
    "ttft_ms", "tpot_ms", "requests_per_s", "input_tokens_per_s", "output_tokens_per_s", "output_tokens_per_s_per_gpu",
    "usd_per_mtok_input", "usd_per_mtok_output", "usd_per_mtok_blended", "watts", "joules_per_output_token",
)  # fmt: skip


def ranged_json(one: Ranged | None) -> dict[str, float] | None:
    """`value` with `low` and `high`, the ends of its 80 % interval."""
    return None if one is None else {"value": one.value, "low": one.low, "high": one.high}


def basis_json(basis: Basis | None, rent: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """What an estimate rests on: `grade` is the worst, that of the rent included; `model_grade` that of the speeds."""
    if basis is None:
        return None
    return {
        "grade": _worst(basis, rent),
        "model_grade": basis.grade,
        "level": basis.level,
        "says": basis.says,
        "measured_rows": basis.rows,
        "outside": list(basis.reasons),
        "held_out_median_error": basis.error,
        "interval": 0.8,
    }


def _worst(basis: Basis, rent: Mapping[str, Any] | None) -> str:
    """The worse of the model's grade and the rent's; dollars stated by the user have none."""
    grades = [basis.grade, *([rent["grade"]] if rent and "grade" in rent else [])]
    return str(min(Grade.parse(grade) for grade in grades))


def estimate_json(one: Estimate, rent: dict[str, Any] | None = None) -> dict[str, Any]:
    """An estimate; `rent` says whence its dollars an hour are."""
    deployment, load = one.deployment, one.load
    made: dict[str, Any] = {
        "deployment": deployment.name,
        "model": deployment.model.id,
        "device": deployment.device.id,
        "count": deployment.count,
        "engine": deployment.engine,
        "weights": deployment.weights,
        "kv": deployment.kv,
        **deployment.layout,
        "input": load.input,
        "output": load.output,
        "prefix_hit": load.prefix_hit,
        "feasible": one.feasible,
    }
    if not one.feasible:
        return {**made, "why": one.why, "max_batch": 0, **dict.fromkeys(UNCERTAIN), "evidence": None}
    return {
        **made,
        "max_batch": one.max_batch,
        "concurrency": load.concurrency or one.batch,
        "batch": one.batch,
        "weight_gb_per_gpu": one.weight_gb_per_gpu,
        "kv_gb_per_gpu": one.kv_gb_per_gpu,
        **{name: ranged_json(getattr(one, name)) for name in UNCERTAIN},
        "prompt_share": one.prompt_share,
        "usd_per_gpu_hour": None if one.usd_per_gpu_hour is None else str(one.usd_per_gpu_hour),
        "utilization": one.utilization,
        "rent": rent,
        "evidence": basis_json(one.basis, rent),
    }


def estimate_view(one: Estimate, rent: str = "") -> "Group":
    """One estimate for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    load = one.load
    head = Text(one.deployment.name, style="bold")
    if not one.feasible:
        return Group(head, Text(f"does not fit: {one.why}"))
    lengths = _lengths(load.input, load.output)
    hit = f", {load.prefix_hit:.0%} of the prompt cached" if load.prefix_hit else ""
    waits = f" of {load.concurrency:,.0f} asked" if load.concurrency and load.concurrency > one.batch + 0.5 else ""
    batch = f"{one.batch:,.0f} request{'' if round(one.batch) == 1 else 's'} at once"
    full = " of full length" if one.batch > one.max_batch else ""  # those that run are on average half written
    at = Text(f"{lengths}{hit}; {batch}{waits}, room for {one.max_batch:,}{full}")
    table = Table(box=None, pad_edge=False, show_header=True)
    for name, justify in (("", "left"), ("estimate", "right"), ("80 % interval", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name, value in _lines(one):
        table.add_row(name, show(value.value), f"{show(value.low)} to {show(value.high)}")
    memory = f"{one.weight_gb_per_gpu:,.1f} GB of weights and {one.kv_gb_per_gpu:,.1f} GB for contexts on each device"
    notes = [f"Memory: {memory}; {one.prompt_share:.0%} of the time goes to prompts."]
    if one.usd_per_gpu_hour is not None:
        used = "" if one.utilization == 1 else f", {one.utilization:.0%} of the hours in use"
        notes.append(f"Dollars: {one.usd_per_gpu_hour} a device-hour{used}{f' ({rent})' if rent else ''}.")
    elif rent:
        notes.append(f"Dollars: {rent}.")
    return Group(head, at, Text(""), table, Text(""), *(Text(note) for note in notes), *evidence_lines(one.basis))


def _lines(one: Estimate) -> list[tuple[str, Ranged]]:
    named = (
        ("USD per million output tokens", one.usd_per_mtok_output),
        ("USD per million input tokens", one.usd_per_mtok_input),
        ("USD per million tokens, both", one.usd_per_mtok_blended),
        ("time to first token, ms", one.ttft_ms),
        ("time per output token, ms", one.tpot_ms),
        ("output tokens per second", one.output_tokens_per_s),
        ("output tokens per second and device", one.output_tokens_per_s_per_gpu),
        ("watts at the wall", one.watts),
        ("joules per output token", one.joules_per_output_token),
    )
    return [(name, value) for name, value in named if value is not None]


def evidence_lines(basis: Basis | None) -> list[Any]:
    """What the estimate rests on, in a sentence or two."""
    from rich.text import Text

    if basis is None:
        return []
    error = basis.error
    held = f"off by {error['tpot']:.0%} (TPOT) and {error['ttft']:.0%} (TTFT) in the median on rows held out alike"
    lines = [f"Evidence: {basis.grade}; {basis.says}; {held}."]
    if basis.reasons:
        lines.append(f"Outside it, so wider: {'; '.join(basis.reasons)}.")
    return [Text(line) for line in lines]


def search_json(found: Search, goal: Goal) -> dict[str, Any]:
    """A search: `best` and `frontier` are estimates."""
    return {
        "goal": {
            "input": goal.input, "output": goal.output, "ttft_ms": goal.ttft_ms, "tpot_ms": goal.tpot_ms,
            "prefix_hit": goal.prefix_hit, "sure": goal.sure,
        },
        "tried": found.tried,
        "fitting": found.fitting,
        "meeting": len(found.best),
        "best": [estimate_json(one) for one in found.best],
        "frontier": [estimate_json(one) for one in found.frontier],
        "nearest": None if found.nearest is None else estimate_json(found.nearest),
    }  # fmt: skip


def search_view(found: Search, goal: Goal, most: int = 10) -> "Group":
    """A search for a terminal: the cheapest that meet the goal, then the frontier."""
    from rich.console import Group
    from rich.text import Text

    wanted = f"TTFT ≤ {goal.ttft_ms:g} ms and TPOT ≤ {goal.tpot_ms:g} ms{' at the slow end' if goal.sure else ''}"
    lengths = _lengths(goal.input, goal.output)
    head = Text(f"{len(found.best)} of {found.tried} deployments meet {wanted} ({lengths})", style="bold")
    parts: list[Any] = [head]
    if found.best:
        parts += [Text(""), _points(found.best[:most])]
        if len(found.best) > most:
            parts.append(Text(f"… and {len(found.best) - most} more; --json has all."))
    elif found.nearest is not None:
        parts += [Text(""), Text("The nearest:", style="bold"), _points([found.nearest])]
    else:
        parts.append(Text("None fits in memory: name larger devices, more of them (--max-gpus) or smaller weights."))
    if found.frontier:
        parts += [
            Text(""),
            Text("No other is both faster and cheaper:", style="bold"),
            _points(_spread(found.frontier, most)),
        ]
    overall = packaged().named("model").tpot.median
    parts += [Text(""), Text(f"Estimates; TPOT is off by {overall:.0%} in the median on models never measured.")]
    return Group(*parts)


def _lengths(input: float, output: float) -> str:
    return f"{input:,.0f} token{'' if round(input) == 1 else 's'} in, {output:,.0f} out"


def _spread(points: Sequence[Estimate], most: int) -> list[Estimate]:
    """At most `most` of `points`, evenly from first to last."""
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def _points(points: Any) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    columns = ("deployment", "at once", "TTFT ms", "TPOT ms", "tok/s", "USD/Mtok", "80 % interval")
    for name in columns:
        table.add_column(name, justify="left" if name == "deployment" else "right", overflow="fold")
    for one in points:
        cost = one.usd_per_mtok_blended
        name = one.deployment.name.partition(" on ")[2]
        table.add_row(
            name, f"{one.batch:,.0f}", show(one.ttft_ms.value), show(one.tpot_ms.value),
            show(one.output_tokens_per_s.value), show(cost.value), f"{show(cost.low)}-{show(cost.high)}",
        )  # fmt: skip
    return table


def show(value: float) -> str:
    """A number in three significant digits."""
    if value >= 1e15:
        return f"{value:.2e}"
    if value >= 999.5:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}"
    return f"{value:.3g}" if value >= 1e-3 or value == 0 else f"{value:.2e}"
