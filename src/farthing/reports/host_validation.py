"""Views of the serving model's validation: the carried report, a file's rows against the model, a fit on that file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.reports.host_measured import grid, percent
from farthing.serving.validation import Part, Split, Validation

if TYPE_CHECKING:
    from rich.console import Group

    from farthing.serving.fitting.compare import Compared, Kind

_QUANTITIES = ("tpot", "ttft", "throughput")
_NAMES = {"random": "a random fifth", "model": "one model", "device": "one device", "engine": "one engine"}
_HEAD = tuple(name for what in ("TPOT", "TTFT", "tokens/s") for name in (what, "p90", "in 80 %"))


def validation_json(report: Validation | None) -> dict[str, Any]:
    """`rows`, `left_out`, `splits` by name with `parts`, `groups`, `group_median_tpot`; None without a report."""
    if report is None:
        return dict.fromkeys(("rows", "left_out", "splits", "groups", "group_median_tpot"))
    splits = {}
    for split in report.split:
        figures = {what: msgspec.to_builtins(split.of(what)) for what in _QUANTITIES}
        splits[split.name] = {"rows": split.rows, **figures, "parts": msgspec.to_builtins(split.part)}
    return {
        "rows": report.rows, "left_out": report.left_out, "splits": splits,
        "groups": msgspec.to_builtins(report.group), "group_median_tpot": report.group_median,
    }  # fmt: skip


def compared_json(found: "Compared") -> dict[str, Any]:
    """The comparison as JSON types: errors of all rows, and by level, model, device, engine and group."""
    tree: dict[str, Any] = msgspec.to_builtins(found)
    every = tree.pop("every")
    split = tree.pop("split")
    left = tree.pop("split_left_out")
    return {**every, **tree, "disaggregated": None if split is None else {**split, "left_out": left}}


def validation_view(report: Validation, source: str, groups: bool) -> "Group":
    """The report: errors by what was held out, by part, and (on wish) by group."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [
        Text(f"Held-out errors of the serving model: {report.rows:,} measured rows, {source}", style="bold"),
        Text("Absolute errors as shares of what was measured: median, p90, and how many rows the 80 % interval held."),
        Text(""),
    ]
    table = grid(("held out", "rows", *_HEAD))
    for split in report.split:
        table.add_row(_NAMES[split.name], f"{split.rows:,}", *_figures(split))
    parts += [table, Text("")]
    parts.append(
        Text(f"Each engine, device, model and format: median TPOT error {percent(report.group_median)} "
             f"(the median of {len(report.group)} groups, the random split).")
    )  # fmt: skip
    for split in report.split:
        if split.part:
            parts += [Text(""), _parts(f"without {_NAMES[split.name]}", split.part)]
    if groups:
        parts += [Text(""), _parts("group (random split)", report.group)]
    return Group(*parts, Text(""), *_left(report.left_out))


def _figures(split: Split) -> list[str]:
    every = (split.of(what) for what in _QUANTITIES)
    return [text for one in every for text in (percent(one.median), percent(one.p90), percent(one.coverage))]


def _parts(title: str, parts: Sequence[Part]) -> Any:
    table = grid((title, "rows", "TPOT", "TTFT", "tokens/s"))
    for part in parts:
        medians = (part.tpot_median, part.ttft_median, part.throughput_median)
        table.add_row(part.name, f"{part.rows:,}", *map(percent, medians))
    return table


def compared_view(found: "Compared", groups: bool) -> "Group":
    """A file's rows against the model that Farthing carries."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [
        Text(f"The packaged model against these rows as they are: {_rows(found.every.rows)}", style="bold"),
        Text(
            "Whether some of them were in its fit cannot be told from them; where none was, this is an external test."
        ),
        Text(""),
    ]
    table = grid(("rows of", "rows", *_HEAD))
    if found.every.rows:
        table.add_row("all", *_kind(found.every))
    if found.split is not None:
        table.add_row("split: decode", *_kind(found.split))
    parts += [table, Text("")]
    if found.every.tpot is not None:
        biases = ((name, getattr(found.every, what)) for what, name in (("tpot", "TPOT"), ("ttft", "TTFT")))
        text = ", ".join(f"{name} {percent(one.bias, signed=True)}" for name, one in biases if one is not None)
        parts.append(Text(f"What is said over what was measured, median: {text}."))
    named = (("known by", found.levels), ("model", found.models), ("device", found.devices), ("engine", found.engines))
    for title, kinds in (*named, *((("group", found.groups),) if groups else ())):
        if len(kinds) > 1 or title in ("known by", "group"):
            inner = grid((title, "rows", *_HEAD))
            for kind in kinds:
                inner.add_row(kind.name.rsplit("/", 1)[-1] if title == "model" else kind.name, *_kind(kind))
            parts += [Text(""), inner]
    notes = [Text(f"{_rows(count)}: {note}", style="dim") for note, count in _most(found.notes)]
    left = _left({**found.left_out, **{f"disaggregated: {why}": n for why, n in found.split_left_out.items()}})
    return Group(*parts, Text(""), *notes, *left)


def _kind(kind: "Kind") -> list[str]:
    shown = [f"{kind.rows:,}"]
    for what in _QUANTITIES:
        one = getattr(kind, what)
        shown += ["-", "-", "-"] if one is None else [percent(one.median), percent(one.p90), percent(one.coverage)]
    return shown


def _left(left_out: Mapping[str, int]) -> list[Any]:
    from rich.text import Text

    return [Text(f"{_rows(count)} left out: {reason}", style="dim") for reason, count in _most(left_out)]


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _most(counted: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))
