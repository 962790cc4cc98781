"""Views of routing decisions that were made again from a ledger."""

from typing import TYPE_CHECKING, Any

import msgspec

from farthing.ledger.decisions import Checked
from farthing.reports.usage import clean

if TYPE_CHECKING:
    from rich.console import Group as Screen

LISTED = 10


def checked_json(found: Checked, policy: str) -> dict[str, Any]:
    """What was found, as JSON types; `ok`: every decision that could be read came out as it was logged."""
    return {
        "policy": policy,
        "ok": found.ok,
        "attempts": found.attempts,
        "agree": found.agree,
        "differ": found.differ,
        "another_chain": found.other,
        "unlogged": found.unlogged,
        "unreadable": found.unreadable,
        "first": [msgspec.to_builtins(one) for one in found.first],
    }


def checked_view(found: Checked, policy: str) -> "Screen":
    """What was found, for a terminal."""
    from rich.console import Group as Screen
    from rich.table import Table
    from rich.text import Text

    made = found.agree + found.differ
    parts: list[Any] = [
        Text(
            f"{made:,} decision{'s' * (made != 1)} made again with {clean(policy)}: {found.agree:,} agree, "
            f"{found.differ:,} differ", style="bold",
        )
    ]  # fmt: skip
    if found.other:
        parts.append(
            Text(
                f"{found.other:,} of them were made by other policies than these: their target and chances are compared"
            )
        )
    if found.unlogged:
        parts.append(Text(f"attempts without a decision in their row: {found.unlogged:,}"))
    if found.unreadable:
        parts.append(Text(f"decisions that cannot be read: {found.unreadable:,}"))
    if found.first:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("attempt", "logged", "now", "differs in"):
            table.add_column(name, overflow="fold")
        for one in found.first[:LISTED]:
            table.add_row(*(Text(clean(word or "-")) for word in (one.attempt, one.logged, one.now, one.reason)))
        parts += ["", table]
    return Screen(*parts)
