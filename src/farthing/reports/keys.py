"""Views of virtual keys: who has one, what it may spend and has spent. Never a token."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.ledger.bank import PurseState
from farthing.ledger.budgets import BudgetRef, purse_id, span_at, usd
from farthing.ledger.keys import Key, KeyBudget
from farthing.money import decimal_text, show_usd
from farthing.reports.usage import clean
from farthing.time import from_unix, show_instant

if TYPE_CHECKING:
    from rich.table import Table


def purse_of(budget: BudgetRef, now_s: float) -> str:
    """The purse that a budget has now."""
    return purse_id(budget, span_at(budget.period, now_s))


def key_json(key: Key, states: Mapping[str, PurseState], now_s: float) -> dict[str, Any]:
    """A key in JSON's types: dollars as decimal text, instants in ISO 8601."""
    limits, defaults = key.limits, key.defaults
    return {
        "id": key.id,
        "name": key.name,
        "ends_in": key.tail,
        "state": key.state(int(now_s * 1e6)),
        "team": key.team,
        "models": list(key.models),
        "features": list(key.features),
        "budgets": [_budget_json(budget, state) for budget, state in _budgets(key, states, now_s)],
        "requests_per_minute": limits.requests_per_minute if limits else None,
        "tokens_per_minute": limits.tokens_per_minute if limits else None,
        "concurrent": limits.concurrent if limits else None,
        "defaults": {
            "feature": defaults.feature, "request_type": defaults.request_type, "user": defaults.user,
            "segment": defaults.segment, "tags": dict(defaults.tags),
        },
        "created": _instant(key.created_us),
        "expires": _instant(key.expires_us),
        "revoked": _instant(key.revoked_us),
    }  # fmt: skip


def _budgets(key: Key, states: Mapping[str, PurseState], now_s: float) -> list[tuple[KeyBudget, PurseState]]:
    """Each budget of a key, and how it stands."""
    found = [states.get(purse_of(ref, now_s), PurseState()) for ref in key.refs]
    return list(zip(key.budgets, found, strict=True))


def _budget_json(budget: KeyBudget, state: PurseState) -> dict[str, Any]:
    return {
        "usd": decimal_text(budget.usd),
        "period": budget.period,
        "hard": budget.hard,
        "spent_usd": decimal_text(usd(state.spent)),
        "held_usd": decimal_text(usd(state.held)),
        "remaining_usd": decimal_text(_remaining(budget, state)),
    }


def _remaining(budget: KeyBudget, state: PurseState) -> Fraction:
    """What is neither spent nor held for lost attempts. (A lease is not spent: most of it comes back.)"""
    return max(Fraction(budget.usd) - usd(state.spent + state.held), Fraction(0))


def _instant(at_us: int | None) -> str | None:
    return None if at_us is None else show_instant(from_unix(at_us // 1_000_000))


def keys_view(keys: Sequence[Key], states: Mapping[str, PurseState], now_s: float) -> "Table | str":
    """The keys for a terminal, those that live first; a budget a line."""
    if not keys:
        return "no keys; farthing keys create --name NAME makes one"
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "id", "token", "team"):
        table.add_column(name, overflow="fold", no_wrap=name in ("id", "token"))
    for name in ("budget", "spent", "remaining"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("expires", "state"):
        table.add_column(name, no_wrap=True)
    now_us = int(now_s * 1e6)
    for key in sorted(keys, key=lambda key: key.state(now_us) != "active"):
        found = _budgets(key, states, now_s)
        table.add_row(
            Text(clean(key.name)),
            key.id,
            f"…{key.tail}",
            Text(clean(key.team) or "-"),
            "\n".join(_budget(budget) for budget in key.budgets) or "none",
            "\n".join(show_usd(usd(state.spent)) for _, state in found) or "-",
            "\n".join(show_usd(_remaining(budget, state)) for budget, state in found) or "-",
            _day(key.expires_us),
            key.state(now_us),
        )
    return table


def _day(at_us: int | None) -> str:
    return "never" if at_us is None else from_unix(at_us // 1_000_000).date().isoformat()


def _budget(budget: KeyBudget) -> str:
    """ "$12.50/month", "$5.00/total warns"."""
    return f"{show_usd(Fraction(budget.usd))}/{budget.period}{'' if budget.hard else ' warns'}"
