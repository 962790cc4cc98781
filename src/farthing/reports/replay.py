"""Views of a replay: a terminal table, JSON, CSV."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farthing.money import decimal_text, show_usd
from farthing.policies.question import AS_IS, AS_SERVED, Replay, Row
from farthing.problems import Problems
from farthing.reports.charge import quantity_text, source_json
from farthing.time import show_instant
from farthing.units import TOKEN_METERS

if TYPE_CHECKING:
    from rich.console import Group

_KINDS = (
    ("in", ("input",)),
    ("read", ("cache_read",)),
    ("write", ("cache_write",)),
    ("out", ("output", "reasoning")),
)
CHEAPEST = 5


def by_kind(row: Row) -> dict[str, Fraction]:
    """The parts of a row's cost: uncached input, cache reads, cache writes, output, everything else."""
    parts = {name: Fraction(0) for name, _ in _KINDS} | {"other": Fraction(0)}
    for meter, share in row.shares.items():
        kind = next((name for name, heads in _KINDS if meter.startswith(heads)), "other")
        parts[kind if meter in TOKEN_METERS or meter == "reasoning" else "other"] += share
    return parts


def row_json(row: Row) -> dict[str, Any]:
    """A row in JSON types: dollars are decimal strings, ratios and shares numbers, unknown is null."""
    spread = row.spread
    per_request = {"mean": _text(row.mean_usd)}
    if spread is not None:
        per_request |= {name: decimal_text(getattr(spread, name)) for name in ("p50", "p95", "p99")}
    return {
        "offer": row.offer,
        "policy": row.policy,
        "total_usd": _text(row.total_usd),
        "known_usd": decimal_text(row.known_usd),
        "ratio": None if row.ratio is None else float(row.ratio),
        "dearer": None if row.ratio is None else row.ratio > 1,
        "usd_per_mtok": _text(row.usd_per_mtok),
        "per_request_usd": per_request,
        "sampled": bool(spread and spread.sampled),
        "shares": {name: float(share) for name, share in row.shares.items()},
        "lines": [
            {"meter": meter, "quantity": quantity_text(meter, count), "usd": _text(usd)}
            for meter, (count, usd) in row.lines.items()
        ],
        "rows": row.rows,
        "unpriced_rows": row.unpriced_rows,
        "too_long_rows": row.too_long_rows,
        "unknown": [{"reason": reason, "rows": rows} for reason, rows in row.reasons.items()],
        "grade": None if row.grade is None else str(row.grade),
        "assumptions": list(row.assumptions),
        "notes": list(row.notes),
        "sources": [source.id for source in row.sources],
    }


def _text(usd: Fraction | None) -> str | None:
    return None if usd is None else decimal_text(usd)


def replay_json(replay: Replay, source: str, problems: Problems) -> dict[str, Any]:
    """The whole answer. At the top `total_usd`, `lines` and `unknown` are those of the usage as it was."""
    as_is = row_json(replay.as_is)
    rows = [replay.as_is, *replay.rows, *replay.everywhere]
    sources = {source.id: source for row in rows for source in row.sources}
    return {
        "source": source,
        "usage": {
            "rows": replay.usage_rows,
            "requests": replay.requests,
            "quantities": replay.quantities,
            "first": show_instant(replay.first) if replay.first else None,
            "last": show_instant(replay.last) if replay.last else None,
            "relative": replay.relative,
            "cacheable_rows": replay.cacheable_rows,
            "unmeasured_rows": replay.unmeasured,
        },
        "total_usd": as_is["total_usd"],
        "lines": as_is["lines"],
        "unknown": as_is["unknown"],
        "as_is": as_is,
        "models": [row_json(row) for row in replay.models],
        "candidates": [row_json(row) for row in replay.rows],
        "everywhere": [row_json(row) for row in replay.everywhere],
        "unable": replay.unable,
        "rejected": {
            "rows": problems.total,
            "reasons": dict(problems.reasons),
            "first": [{"place": p.place, "reason": p.reason, "repair": p.repair} for p in problems.kept],
        },
        "sources": [source_json(source) for source in sources.values()],
        "notes": [*problems.notes, *replay.notes],
    }


COLUMNS = (
    "offer", "policy", "total_usd", "known_usd", "ratio", "usd_per_mtok", "mean_usd", "p50_usd", "p95_usd", "p99_usd",
    "share_input", "share_cache_read", "share_cache_write", "share_output", "share_other", "rows", "unpriced_rows",
    "grade", "notes",
)  # fmt: skip


def write_csv(replay: Replay, out: Path) -> None:
    """Every row as CSV (`COLUMNS`), written whole or not at all. Raises `OSError`."""
    import csv
    import io

    from farthing.files import write_whole

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    seen = set()
    for row in [replay.as_is, *replay.rows, *replay.everywhere]:
        first = row is replay.as_is
        if not first and (row.offer, row.policy) in seen:
            continue
        seen.add((row.offer, row.policy) if not first else ("", ""))
        spread = row.spread
        writer.writerow(
            [
                row.offer, "as-served" if first else row.policy, _text(row.total_usd), decimal_text(row.known_usd),
                "" if row.ratio is None else f"{float(row.ratio):.6g}", _text(row.usd_per_mtok), _text(row.mean_usd),
                *(decimal_text(getattr(spread, name)) if spread else "" for name in ("p50", "p95", "p99")),
                *(f"{float(share):.6f}" for share in by_kind(row).values()),
                row.rows, row.unpriced_rows, "" if row.grade is None else row.grade,
                "; ".join((*row.notes, *row.reasons)),
            ]
        )  # fmt: skip
    write_whole(out, text.getvalue())


def replay_view(replay: Replay, source: str, problems: Problems) -> "Group":
    """The answer for a terminal: what it cost, what it is made of, and where it would have cost what."""
    from rich.console import Group
    from rich.text import Text

    as_is = replay.as_is
    parts: list[Any] = [_headline(replay, source, problems), Text("")]
    if as_is.lines:
        parts += [_made_of(as_is), Text("")]
    if len(replay.models) > 1:
        parts += [_table("as served, by offer", replay.models, False), Text("")]
    parts.append(_table("the same work at other offers", _chosen(replay), True))
    if replay.everywhere:
        parts += [Text(""), _everywhere(replay)]
    parts.append(Text(""))
    for note in _footnotes(replay):
        parts.append(Text(note, style="dim"))
    if problems.total:
        parts.append(Text(f"{problems.total:,} rows rejected, for example:", style="bold"))
        parts += [Text(f"  {problem}") for problem in problems.kept[:3]]
    return Group(*parts)


def _headline(replay: Replay, source: str, problems: Problems) -> Any:
    from rich.text import Text

    as_is = replay.as_is
    head = Text()
    if as_is.total_usd is not None:
        head.append(show_usd(as_is.total_usd), style="bold")
        head.append(f" (exactly {decimal_text(as_is.total_usd)}) at {as_is.offer}, {as_is.grade}")
    elif as_is.known_usd:
        head.append(f"at least {show_usd(as_is.known_usd)}", style="bold")
        head.append(f" at {as_is.offer}: {as_is.unpriced_rows:,} of {as_is.rows:,} rows have a part without a price")
    else:
        head.append("what it cost is unknown", style="bold")
    span = ""
    if replay.first and replay.last and not replay.relative:
        span = f", {show_instant(replay.first)[:16]} to {show_instant(replay.last)[:16]}"
    head.append(f"\n{replay.requests:,} requests{span}: {source}")
    for reason, rows in list(as_is.reasons.items())[:4]:
        head.append(f"\nunknown: {reason} ({rows:,} {'row' if rows == 1 else 'rows'})")
    for note in (*problems.notes, *replay.notes):
        head.append(f"\n{note}")
    return head


def _made_of(row: Row) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("what it is made of")
    for name in ("quantity", "USD", "share"):
        table.add_column(name, justify="right")
    for meter, (count, usd) in row.lines.items():
        share = row.shares.get(meter)
        table.add_row(
            meter,
            f"{count:,}"
            if isinstance(count, int) and quantity_text(meter, count) == str(count)
            else quantity_text(meter, count),
            "unknown" if usd is None else decimal_text(usd),
            "" if share is None else f"{float(share):.1%}",
        )
    return table


def _chosen(replay: Replay) -> list[Row]:
    """The candidates with each policy; of a long answer as-is and the cheapest policy of each offer."""
    offers = list(dict.fromkeys(row.offer for row in replay.rows))
    if len(replay.rows) <= 16:
        return replay.rows
    chosen: list[Row] = []
    for offer in offers:
        rows = [row for row in replay.rows if row.offer == offer]
        if offer in (replay.as_is.offer, AS_SERVED) or not replay.everywhere:
            chosen += rows
            continue
        chosen += [row for row in rows if row.policy == AS_IS]
        others = [row for row in rows if row.policy != AS_IS and row.total_usd is not None]
        if others:
            best = min(others, key=lambda row: (row.total_usd or 0, len(row.policy)))
            if best.total_usd != chosen[-1].total_usd:
                chosen.append(best)
    return chosen


def _table(title: str, rows: Sequence[Row], relative: bool) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=29)
    names = ["cost", "ratio", "$/Mtok", "mean", "p50", "p95", "p99"] if relative else ["cost", "$/Mtok", "mean"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("in/rd/wr/out%", justify="right", no_wrap=True)
    unpriced = any(row.unpriced_rows for row in rows)
    if unpriced:
        table.add_column("unpriced", justify="right", no_wrap=True)
    before = None
    for row in rows:
        name = row.offer if row.offer != before else ""
        if row.policy != AS_IS:
            name = f"  + {row.policy}" if not name else f"{name} + {row.policy}"
        before = row.offer
        cost = _cost(row)
        spread = row.spread
        cells = [cost]
        if relative:
            cells.append("" if row.ratio is None else f"{float(row.ratio):.3g}")
        cells += [_short(row.usd_per_mtok), _short(row.mean_usd)]
        if relative:
            cells += [_short(getattr(spread, name)) if spread else "" for name in ("p50", "p95", "p99")]
        parts = by_kind(row)
        cells.append("/".join(f"{float(parts[name]) * 100:.0f}" for name, _ in _KINDS) if row.shares else "")
        if unpriced:
            cells.append(f"{row.unpriced_rows:,}" if row.unpriced_rows else "")
        dearer = row.ratio is not None and row.ratio > 1 and row.policy != AS_IS
        table.add_row(
            name, *cells, style="bold" if row.policy == AS_IS and row.ratio == 1 else ("yellow" if dearer else None)
        )
    return table


def _cost(row: Row) -> str:
    """What a row costs; of one with unpriced parts the lower bound."""
    if row.total_usd is not None:
        return _short(row.total_usd)
    return f"≥ {_short(row.known_usd)}" if row.known_usd else "unknown"


def _short(usd: Fraction | None) -> str:
    """Dollars in few characters: three significant digits below $100, whole cents above."""
    if usd is None:
        return ""
    if usd == 0:
        return "$0"
    value = float(usd)
    if value >= 100:
        return f"${value:,.0f}" if value >= 10_000 else f"${value:,.2f}"
    if value >= 0.001:
        return f"${value:.2f}" if value >= 1 else f"${value:#.3g}".replace("$0.", "$.")
    return f"${value:.1e}".replace("e-0", "e-")


def _everywhere(replay: Replay) -> Any:
    from rich.table import Table

    # What nobody knows the consumption of is unknown at each offer alike: the rest is compared.
    priced = [row for row in replay.everywhere if row.unpriced_rows == replay.unmeasured]
    paid = [row for row in priced if row.known_usd and not row.too_long_rows]
    paid.sort(key=lambda row: (row.known_usd, row.offer))
    free = sum(1 for row in replay.everywhere if row.total_usd == 0)
    counted = f"of {len(replay.everywhere) + replay.unable:,} offers"
    short = sum(1 for row in replay.everywhere if row.too_long_rows)
    left_out = [f"{free} free"] * bool(free) + [f"{short:,} too short"] * bool(short)
    left_out += [f"{replay.unable:,} without a price for it"] * bool(replay.unable)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    tail = f" ({', '.join(left_out)})" if left_out else ""
    table.add_column(f"the cheapest {min(CHEAPEST, len(paid))} {counted}{tail}", overflow="ellipsis", no_wrap=True)
    for name in ("cost", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in paid[:CHEAPEST]:
        table.add_row(row.offer, _cost(row), "" if row.ratio is None else f"{float(row.ratio):.2g}x")
    return table


def _footnotes(replay: Replay) -> Iterable[str]:
    if any(row.assumptions for row in replay.rows):
        yield (
            "Other offers: the same token counts and answer lengths (assumed; --token-ratio, --answer-ratio). "
            "Quality is not compared."
        )
    if not replay.cacheable_rows:
        yield "Prompt caching is not simulated: the usage has neither prefix hashes nor sessions."
    for row in replay.rows:
        if (
            "prompt-cache" in row.policy
            and row.offer in (replay.as_is.offer, AS_SERVED)
            and row.ratio
            and row.ratio > 1
        ):
            yield f"{row.policy} at {row.offer} comes out {float(row.ratio):.3g} times as dear as it was."
    notes = dict.fromkeys((row.offer, note) for row in replay.rows for note in row.notes)
    for offer, note in list(notes)[:6]:
        yield f"{offer}: {note}"
    if len(notes) > 6:
        yield f"… and {len(notes) - 6} more notes in --json"
