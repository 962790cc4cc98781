"""Views of usage: its summary, the built-in workload profiles, the formats that are read."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.money import show_usd
from farthing.problems import Problems
from farthing.time import EPOCH, show_instant
from farthing.units import METERS, TOKEN_METERS
from farthing.usage.prefix import Ceiling
from farthing.usage.profiles import generate
from farthing.usage.profiles import profiles as built_in
from farthing.usage.read import READERS
from farthing.usage.record import STANDARD
from farthing.usage.summary import UNKNOWN, Lengths, Slice, Summary, summarise

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

OFFERS = 15
REJECTED = 10
LONGEST = 500  # characters of one text out of a file; --json has all of it
SAMPLE = 20_000
"""Generated requests that the lengths of a profile are shown of: its tables alone do not tell a session's growth."""


def summary_view(summary: Summary) -> "Group":
    """The summary for a terminal, at most 100 columns: how much, of what, how long, what was refused.

    Whatever says nothing is left out: one tier, one status, no session, no prefix hashes. What is
    cut says how much is not shown.
    """
    from rich.console import Group

    parts: list[Any] = [_head(summary)]
    tables = [
        _tokens(summary),
        _others(summary.quantities),
        _slices("offer", summary.by_offer) if set(summary.by_offer) - {UNKNOWN} else None,
        _lengths({"prompt": summary.prompt, "output": summary.output}) if summary.prompt.count else None,
        _slices("tier", summary.by_tier) if set(summary.by_tier) - {STANDARD} else None,
        _slices("status", summary.by_status) if set(summary.by_status) - {"ok"} else None,
        _ceilings(summary.prefix) if summary.prefix else None,
        _notes(summary),
        _rejected(summary),
    ]
    for table in tables:
        if table is not None:
            parts += ["", table]
    return Group(*parts)


def clean(text: str) -> str:
    """`text` from a file, without control characters and not endless: a log must not steer the reader's terminal."""
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)


def _table(*columns: str, left: int = 1) -> "Table":
    """A plain table whose first `left` columns are words and whose others are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for position, name in enumerate(columns):
        if position < left:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def _name(text: str) -> "Text":
    """A cell of text that is not ours: neither markup nor control codes in it count."""
    from rich.text import Text

    return Text(clean(text))


def percent(share: Fraction | float | None) -> str:
    """A share for a person: "84.54 %", or "-" of nothing."""
    return "-" if share is None else f"{float(share):.2%}".replace("%", " %")


def duration(seconds: float) -> str:
    """A time span for a person, in its two largest units: "58 min 21 s", "3 d 4 h", "0.25 s"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(position for position, (_, size) in enumerate(units) if whole >= size)
    shown = []
    for name, size in units[first : first + 2]:
        shown.append(f"{whole // size:,} {name}")
        whole %= size
    return " ".join(part for part in shown if not part.startswith("0 "))


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def _head(summary: Summary) -> "Text":
    from rich.text import Text

    if not summary.rows:
        return Text("No usable row.", style="bold")
    head = Text(_many(summary.requests, "request"), style="bold")
    if summary.rows != summary.requests:
        head.append(f" in {_many(summary.rows, 'row')}")
    if summary.clock == "mixed":
        head.append("; some times are offsets from an unstated start, so there is no span")
        return head
    assert summary.first is not None and summary.last is not None and summary.span_s is not None
    if summary.span_s:
        head.append(f" over {duration(summary.span_s)}")
    if summary.requests_per_second is not None:
        head.append(f", {summary.requests_per_second:,.3g} a second")
    if summary.clock == "relative":
        head.append("\noffsets from an unstated start")
    elif summary.first == summary.last:
        head.append(f"\nat {show_instant(summary.first)}")
    else:
        first, last = (show_instant(moment.replace(microsecond=0)) for moment in (summary.first, summary.last))
        head.append(f"\n{first} to {last}")
    return head


def _tokens(summary: Summary) -> "Table | None":
    counts = {name: count for name, count in summary.quantities.items() if name in TOKEN_METERS}
    total = sum(counts.values())
    if not total:
        return None
    table = _table("tokens", "count", "share")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", percent(Fraction(count, total)))
        if name == "output" and (reasoning := summary.quantities.get("reasoning")):
            table.add_row("  of which reasoning", f"{reasoning:,}", percent(Fraction(reasoning, total)))
    if len(counts) > 1:
        table.add_row("all", f"{total:,}", percent(Fraction(1)), style="bold")
    return table


def _others(quantities: Mapping[str, int]) -> "Table | None":
    """What was consumed that is not tokens, each in its own unit."""
    from farthing.reports.charge import quantity_text

    others = {name: count for name, count in quantities.items() if METERS[name].unit != "token"}
    if not others:
        return None
    table = _table("meter", "unit", "count", left=2)
    for name, count in others.items():
        table.add_row(name, METERS[name].unit, quantity_text(name, count))
    return table


def _slices(what: str, slices: Mapping[str, Slice]) -> "Table":
    table = _table(what, "requests", "prompt tokens", "output tokens")
    rows = list(slices.items())
    # One line is not saved by a line that says so.
    shown = rows if len(rows) <= OFFERS + 1 else rows[:OFFERS]
    for name, part in shown:
        table.add_row(_name(name), f"{part.requests:,}", f"{part.prompt_tokens:,}", f"{part.output_tokens:,}")
    if rest := rows[len(shown) :]:
        sums = [sum(numbers) for numbers in zip(
            *((part.requests, part.prompt_tokens, part.output_tokens) for _, part in rest), strict=True
        )]  # fmt: skip
        table.add_row(f"{len(rest):,} more (--json lists them)", *(f"{number:,}" for number in sums), style="dim")
    return table


def _lengths(lengths: Mapping[str, Lengths]) -> "Table":
    bounded = any(part.quantile_error != "0" for part in lengths.values())
    columns = ("mean", "min", "p50", "p90", "p95", "p99", "max")
    table = _table("tokens a request", *columns)
    for name, part in lengths.items():
        mean = "-" if part.mean is None else f"{float(part.mean):,.1f}"
        numbers = (part.min, part.p50, part.p90, part.p95, part.p99, part.max)
        table.add_row(name, mean, *("-" if number is None else f"{number:,}" for number in numbers))
    if bounded:
        table.caption = "quantiles within 0.5 %; the rest is exact"
        table.caption_justify = "left"
    return table


def _ceilings(ceilings: Sequence[Ceiling]) -> "Table":
    heads = ["unlimited" if c.capacity is None else f"LRU of {c.capacity:,} blocks" for c in ceilings]
    table = _table("prefix-cache ceiling", "definition", *heads, left=2)
    for name, definition in (
        ("share of blocks", "hit blocks / all blocks"),
        ("token-weighted", "hit tokens / prompt tokens"),
        ("mean per request", "mean of each request's token share"),
    ):
        shares = (getattr(ceiling, name.replace(" ", "_").replace("-", "_")) for ceiling in ceilings)
        table.add_row(name, definition, *(percent(share) for share in shares))
    hashed = ceilings[0]
    table.caption = f"of {hashed.requests:,} requests with prefix hashes, {hashed.blocks:,} blocks; nothing expires"
    table.caption_justify = "left"
    return table


def _notes(summary: Summary) -> "Text | None":
    """What else there is to know, where there is anything."""
    from rich.text import Text

    lines = []
    if set(summary.by_offer) == {UNKNOWN}:
        lines.append("no row names its model")
    if summary.sessions:
        lines.append(("" if summary.sessions_exact else "about ") + _many(summary.sessions, "session"))
    if summary.reported_usd is not None:
        lines.append(
            f"the sources state what {_many(summary.reported_rows, 'row')} cost: {show_usd(summary.reported_usd)}"
        )
    if summary.buckets:
        lines.append(f"{_many(summary.buckets, 'row')} with sums of several requests, whose single lengths are unknown")
    if unmeasured := sum(summary.unmeasured.values()):
        lines.append(f"{_many(unmeasured, 'row')} of which nobody knows what they consumed: all counts are at least")
        lines += [f"  {count:,}  {clean(reason)}" for reason, count in list(summary.unmeasured.items())[:REJECTED]]
    if summary.without_tokens:
        lines.append(f"{_many(summary.without_tokens, 'row')} without a token")
    if summary.estimated:
        lines.append(f"{_many(summary.estimated, 'row')} estimated: the source itself can undercount")
    if summary.out_of_order:
        lines.append(f"{_many(summary.out_of_order, 'row')} earlier than the row before")
    lines += map(clean, summary.notes)
    return Text("\n".join(lines)) if lines else None


def _rejected(summary: Summary) -> "Group | None":
    from rich.console import Group
    from rich.text import Text

    if not summary.rejected:
        return None
    parts: list[Any] = [Text(f"{summary.rejected:,} rejected", style="bold")]
    reasons = _table("reason", "rows")
    for reason, count in summary.reasons.items():
        reasons.add_row(_name(reason), f"{count:,}")
    parts += [reasons, ""]
    shown = summary.problems[:REJECTED]
    parts += [_name(str(problem)) for problem in shown]
    if hidden := summary.rejected - len(shown):
        parts.append(Text(f"and {hidden:,} more (--json lists the first {len(summary.problems):,})", style="dim"))
    return Group(*parts)


def profiles() -> list[dict[str, Any]]:
    """The built-in workload profiles as JSON types.

    `prompt_tokens` and `output_tokens` are the mean, p50 and p95 of `SAMPLE` generated requests.
    """
    made = []
    for profile in built_in().values():
        drawn = summarise(generate(profile.name, SAMPLE, 1, EPOCH), Problems())
        made.append(
            {
                "name": profile.name,
                "title": profile.title,
                "what": profile.what,
                "provider": profile.provider,
                "model": profile.model,
                "requests_per_second": profile.requests_per_second,
                "turns_per_session": round(profile.turns, 2),
                "prompt_tokens": _figures(drawn.prompt),
                "output_tokens": _figures(drawn.output),
                "grade": str(profile.grade),
                "basis": {
                    aspect: {"source": basis.source.title, "grade": str(basis.grade), "note": basis.note}
                    for aspect, basis in profile.basis.items()
                },
                "attribution": profile.attribution,
                "licence": profile.licence,
            }
        )
    return made


def _figures(lengths: Lengths) -> dict[str, float | int | None]:
    mean = None if lengths.mean is None else round(float(lengths.mean), 1)
    return {"mean": mean, "p50": lengths.p50, "p95": lengths.p95}


def profiles_table() -> "Group":
    """The built-in workload profiles for a terminal: what each is, how long, how much, and on what it rests."""
    from rich.console import Group
    from rich.text import Text

    made = profiles()
    table = _table("profile", "requests/s", "turns", "prompt mean", "p95", "output mean", "p95", "grade")
    for profile in made:
        lengths = [profile[kind][figure] for kind in ("prompt_tokens", "output_tokens") for figure in ("mean", "p95")]
        table.add_row(
            profile["name"],
            f"{profile['requests_per_second']:,.3g}",
            f"{profile['turns_per_session']:,.3g}",
            *(f"{number:,.0f}" for number in lengths),
            profile["grade"],
        )
    table.caption = f"turns: requests a session; lengths in tokens, of {SAMPLE:,} generated requests"
    table.caption_justify = "left"
    about = [
        Text(f"{profile['name']}: {profile['what']}.\n  Fitted to {profile['attribution']} ({profile['licence']}).")
        for profile in made
    ]
    return Group(table, "", *about)


def formats() -> list[dict[str, str]]:
    """The formats that are read, in the order in which they are tried, as JSON types."""
    return [
        {"name": reader.name, "title": reader.title, "containment": reader.containment, "clock": reader.clock}
        for reader in READERS
    ]


def formats_table() -> "Table":
    """The formats for a terminal, with the rule by which each one's counts become disjoint."""
    table = _table("--format", "what it is", "how its counts contain each other", left=3)
    table.columns[0].no_wrap = True
    for reader in READERS:
        table.add_row(reader.name, reader.title, reader.containment)
    table.show_lines = False
    table.padding = (0, 2, 1, 0)
    return table
