"""Views of a replay of routing policies: a terminal table and JSON."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.money import decimal_text, show_usd
from farthing.policies.question import Row
from farthing.policies.routing.offline import Routed, TargetRow
from farthing.problems import Problems
from farthing.reports.charge import source_json
from farthing.reports.replay import row_json

if TYPE_CHECKING:
    from rich.console import Group

_MOST_TARGETS = 20


def routed_json(routed: Routed, source: str, problems: Problems) -> dict[str, Any]:
    """The answer in JSON types: dollars are decimal strings, shares numbers, unknown is null."""
    sources = {s.id: s for row in (routed.as_served, routed.under) for s in row.sources}
    return {
        "source": source,
        "policy": routed.name,
        "requests": routed.requests,
        "attempts": routed.attempts,
        "differ": routed.differ,
        "refused": routed.refused,
        "unanswered": routed.unanswered,
        "as_served": row_json(routed.as_served),
        "under_policy": row_json(routed.under),
        "saved_usd": None if routed.saved_usd is None else decimal_text(routed.saved_usd),
        "decided_by": dict(routed.policies),
        "targets": [_target_json(row) for row in routed.targets],
        "rejected": {
            "rows": problems.total,
            "reasons": dict(problems.reasons),
            "first": [{"place": p.place, "reason": p.reason, "repair": p.repair} for p in problems.kept],
        },
        "sources": [source_json(one) for one in sources.values()],
        "notes": [*problems.notes, *routed.notes],
    }


def _target_json(row: TargetRow) -> dict[str, Any]:
    return {
        "target": row.target,
        "offer": row.offer or None,
        "requests_as_served": row.requests_served,
        "requests": row.requests,
        "as_served_usd": None if row.served_unpriced else decimal_text(row.served_usd),
        "known_as_served_usd": decimal_text(row.served_usd),
        "usd": None if row.unpriced else decimal_text(row.usd),
        "known_usd": decimal_text(row.usd),
        "unpriced_attempts": row.unpriced,
        "unpriced_attempts_as_served": row.served_unpriced,
        "share": None if row.share is None else float(row.share),
    }


def routed_view(routed: Routed, source: str, problems: Problems) -> "Group":
    """The answer for a terminal: both costs, the difference, and where the requests end."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [_headline(routed, source), Text(""), _targets(routed), Text("")]
    if any(row.assumptions for row in (routed.under,)):
        parts.append(
            Text(
                "Moved requests keep their tokens and answer lengths (assumed; --token-ratio, --answer-ratio). Quality "
                "is not compared.",
                style="dim",
            )
        )
    for note in dict.fromkeys((*problems.notes, *routed.notes, *routed.as_served.notes, *routed.under.notes)):
        parts.append(Text(note, style="dim"))
    if problems.total:
        parts.append(Text(f"{problems.total:,} rows rejected, for example:", style="bold"))
        parts += [Text(f"  {problem}") for problem in problems.kept[:3]]
    return Group(*parts)


def _headline(routed: Routed, source: str) -> Any:
    from rich.text import Text

    head = Text()
    head.append(_cost(routed.as_served), style="bold")
    head.append(" as served, ")
    head.append(_cost(routed.under), style="bold")
    head.append(f" under {routed.name}: {_difference(routed)}")
    attempts = f" ({routed.attempts:,} attempts)" if routed.attempts != routed.requests else ""
    head.append(f"\n{routed.requests:,} requests{attempts}: {source}")
    head.append(f"\n{routed.differ:,} of them ({_percent(routed.differ, routed.requests)}) would have gone elsewhere")
    decided = ", ".join(f"{name} {_percent(n, routed.requests)}" for name, n in routed.policies.items())
    head.append(f"\ndecided by: {decided}")
    reasons = {**routed.as_served.reasons, **routed.under.reasons}
    for reason, rows in list(reasons.items())[:4]:
        head.append(f"\nunknown: {reason} ({rows:,} {'attempt' if rows == 1 else 'attempts'})")
    return head


def _cost(row: Row) -> str:
    if row.total_usd is not None:
        return show_usd(row.total_usd)
    return f"at least {show_usd(row.known_usd)}" if row.known_usd else "unknown cost"


def _difference(routed: Routed) -> str:
    saved = routed.saved_usd
    if saved is None:
        return "the difference is unknown"
    if not saved:
        return "no difference"
    whole = routed.as_served.total_usd
    share = f" ({float(abs(saved) / whole):.1%})" if whole else ""
    return f"{show_usd(abs(saved))}{share} {'less' if saved > 0 else 'more'}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"


def _targets(routed: Routed) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("target", overflow="ellipsis", no_wrap=True, max_width=40)
    for name in ("as served", "cost", "under policy", "cost", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    unpriced = any(row.unpriced or row.served_unpriced for row in routed.targets)
    if unpriced:
        table.add_column("unpriced", justify="right", no_wrap=True)
    for row in routed.targets[:_MOST_TARGETS]:
        cells = [
            f"{row.requests_served:,}", _usd(row.served_usd, row.served_unpriced), f"{row.requests:,}",
            _usd(row.usd, row.unpriced),
            "" if row.share is None else f"{float(row.share):.1%}",
        ]  # fmt: skip
        if unpriced:
            cells.append(f"{max(row.unpriced, row.served_unpriced):,}" if row.unpriced or row.served_unpriced else "")
        table.add_row(row.target, *cells)
    if (more := len(routed.targets) - _MOST_TARGETS) > 0:
        table.add_row(f"… and {more} more in --json")
    return table


def _usd(amount: Fraction, unpriced: int) -> str:
    """A sum that leaves `unpriced` attempts out: then it is a lower bound, and nothing known is no zero."""
    if unpriced:
        return f"≥ {show_usd(amount)}" if amount else "unknown"
    return show_usd(amount) if amount else "$0"
