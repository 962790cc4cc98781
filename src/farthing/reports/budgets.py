"""A view of budgets: what each has spent in the period that runs, and what is left of it."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.ledger.bank import PurseState
from farthing.ledger.budgets import EVER, PERIODS, BudgetRef, nano_up, purse_id, span_at, usd
from farthing.ledger.keys import Key
from farthing.money import decimal_text, show_usd
from farthing.reports.usage import clean

if TYPE_CHECKING:
    from rich.table import Table

    from farthing.gateway.config.values import Budget


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A purse of a period that runs. `limit` in nanodollars, None: none is stated (any more); `name`: of its key."""

    purse: str
    scope: str
    period: str
    start: str
    name: str = ""
    limit: int | None = None
    hard: bool = False
    state: PurseState = PurseState()

    @property
    def left(self) -> int | None:
        """What is neither spent nor held, in nanodollars. (A lease is not spent: most of it comes back.)"""
        return None if self.limit is None else max(self.limit - self.state.spent - self.state.held, 0)


def budget_lines(purses: Iterable[str], keys: Sequence[Key], rules: "Sequence[Budget]", now_s: float) -> list[Line]:
    """A line for each running purse among `purses`, and for each budget of a key or a rule that has no purse yet."""
    now_us = int(now_s * 1e6)
    living = [key for key in keys if key.state(now_us) == "active"]
    found = {line.purse: line for purse in purses if (line := _line(purse, now_s)) is not None}
    stated = [ref for key in living for ref in key.refs] + [ref for rule in rules for ref in _refs(rule, living)]
    for ref in stated:
        span = span_at(ref.period, now_s)
        purse = purse_id(ref, span)
        found.setdefault(purse, Line(purse=purse, scope=ref.id, period=ref.period, start=span.name))
    named = {key.id: key for key in keys}
    whole = [_stated(line, named, rules) for line in found.values()]
    return sorted(whole, key=lambda line: (line.scope, PERIODS.index(line.period)))


def _line(purse: str, now_s: float) -> Line | None:
    """The line of a purse; None where its period is over."""
    front, _, start = purse.rpartition("@")
    scope, _, period = front.rpartition("/")
    if period not in PERIODS or span_at(period, now_s).name != start:
        return None
    return Line(purse=purse, scope=scope, period=period, start=start)


def _refs(rule: "Budget", keys: Sequence[Key]) -> list[BudgetRef]:
    """The purses that a rule is known to have: those of others begin with a request that names them."""
    scopes = {"all": ["all"], "key": [f"key:{key.id}" for key in keys if rule.who in ("", key.id, key.name)]}
    named = [f"{rule.per}:{rule.who}"] if rule.who else []
    return [BudgetRef(scope, 0, rule.period) for scope in scopes.get(rule.per, named)]


def _stated(line: Line, keys: Mapping[str, Key], rules: "Sequence[Budget]") -> Line:
    """`line` with its key's name, and the least of the limits that are stated of it."""
    per, _, who = line.scope.partition(":")
    key = keys.get(who) if per == "key" else None
    names = {who, key.name} if key is not None else {who}
    limits = [(ref.limit, ref.hard) for ref in (key.refs if key else ()) if ref.period == line.period]
    limits += [
        (nano_up(Fraction(rule.usd)), rule.hard)
        for rule in rules
        if rule.per == per and rule.period == line.period and (not rule.who or rule.who in names)
    ]
    least, hard = min(limits, default=(None, False), key=lambda one: one[0])
    return msgspec.structs.replace(line, name=key.name if key else "", limit=least, hard=hard)


def with_states(lines: Sequence[Line], states: Mapping[str, PurseState]) -> list[Line]:
    """`lines` with what the bank says of each purse."""
    return [msgspec.structs.replace(line, state=states.get(line.purse, PurseState())) for line in lines]


def line_json(line: Line) -> dict[str, Any]:
    """A line in JSON's types: dollars as decimal text, null where no limit is stated."""
    return {
        "purse": line.purse,
        "scope": line.scope,
        "key_name": line.name or None,
        "period": line.period,
        "since": None if line.start == EVER else line.start,
        "limit_usd": _text(line.limit),
        "hard": line.hard,
        "spent_usd": _text(line.state.spent),
        "held_usd": _text(line.state.held),
        "left_usd": _text(line.left),
    }


def _text(nano: int | None) -> str | None:
    return None if nano is None else decimal_text(usd(nano))


def budgets_view(lines: Sequence[Line]) -> "Table | str":
    """The lines for a terminal."""
    if not lines:
        return "no budget has been used or stated: farthing keys create --budget-usd X, or [[budget]] in farthing.toml"
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("budget of", "key"):
        table.add_column(name, overflow="fold")
    table.add_column("period", no_wrap=True)
    for name in ("limit", "spent", "held", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("beyond", no_wrap=True)
    for line in lines:
        table.add_row(
            Text(clean(line.scope)),
            Text(clean(line.name) or "-"),
            line.period if line.start == EVER else f"{line.period} from {line.start}",
            _shown(line.limit),
            _shown(line.state.spent),
            _shown(line.state.held or None),
            _shown(line.left),
            "-" if line.limit is None else "refused" if line.hard else "told",
        )
    return table


def _shown(nano: int | None) -> str:
    return "-" if nano is None else show_usd(usd(nano))
